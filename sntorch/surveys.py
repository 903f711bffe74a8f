r"""A network looked at from all sides: every question that needs no theory, at once.

The network may read sequences x(t), (T, R, I).  What it does *while it reads* are the conditional
exponents along the sequences.  All other questions are about a stationary state, and there is none
under a drive that changes: they are asked under the constant mean of the sequences, from where the
network stands after it has read them and another transient.

===========  =====================================================================================
question     what is asked
===========  =====================================================================================
reading      exponents along the sequences; only if there are sequences
exponents    Lyapunov spectrum, dimension and entropy in the stationary state
regime       fixed point, periodic, quasi-periodic or chaotic, without noise
dimension    how many principal components an orbit fills
spectrum     the Jacobian at states of the orbit
power        power spectrum of the orbit
points       fixed points without noise, sought from states of the orbit
response     what a kick on one neuron does to every other one
entropy      entropy production; without noise the contraction rate of phase space
flux         flux of probability in the plane that turns most
===========  =====================================================================================

A question that has no answer here, say because an orbit is not bounded, says why and leaves the
others alone.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from sntorch import checks
from sntorch.analysis import (
    find_fixed_points,
    jacobian_spectrum,
    linear_response,
    lyapunov_spectrum,
    participation_ratio,
    power_spectrum,
    regime,
)
from sntorch.dynamics import Dynamics, enter, rollout
from sntorch.landscape import entropy_production, flux_field
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Survey", "survey"]

_EXPONENTS = 128  # of larger networks only the leading ones, unless asked for
_ROWS = 8  # rows give errors; more of them cost time
_STATES = 16  # of the orbit, for Jacobians
_STARTS = 64  # of the orbit, for fixed points
_RESPONSES = 256  # neurons up to which all pairs are asked


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Survey(Result):
    """What was found, question by question."""

    records: dict[str, Result]
    """Question: the record that answers it."""
    missing: dict[str, str]
    """Question without an answer: why."""
    remarks: dict[str, str]
    """Question: what its analysis warned of."""
    size: int
    """N, the dimension of the state."""

    def scalars(self) -> dict[str, float]:
        """Return the scalars of all records as ``question/name``."""
        parts = self.records.items()
        return {f"{name}/{key}": v for name, r in parts for key, v in r.scalars().items()}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Place:
    """Where the questions are asked."""

    f: Dynamics
    u: Tensor
    """(R, N), states before the sequences."""
    x: Tensor | None
    """The drive as it was given."""
    mean: Tensor | None
    """(I,), the constant drive."""
    steps: int
    k: int
    generator: torch.Generator | None
    orbit: Tensor
    """(steps, R, N), in the stationary state."""

    @property
    def settled(self) -> Tensor:
        """(R, N), where that orbit ends."""
        return self.orbit[-1]


def survey(
    f: object,
    u: Tensor,
    *,
    x: Tensor | None = None,
    steps: int = 500,
    k: int | None = None,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Survey:
    """Return the answers to all questions that can be asked about f.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (R, N).
    x
        Constant drive (I,), or sequences (T, R, I) or (T, 1, I).
    steps
        Steps of the stationary orbit, at least 200, and as many before it.
    k
        How many exponents; by default all, of more than 128 neurons 128.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        On wrong arguments, and if the stationary orbit leaves the finite numbers, since then
        nothing can be asked.

    Examples
    --------
    >>> import sntorch as snt
    >>> g = torch.Generator().manual_seed(1)
    >>> J = snt.couplings.gaussian(12, generator=g, dtype=torch.float64)
    >>> cell = snt.SNTCell(J, gain=0.5)
    >>> u = torch.randn(4, 12, generator=g, dtype=torch.float64)
    >>> found = snt.survey(cell, u, steps=200, generator=g)
    >>> found.records["regime"].label, found.scalars()["points/stable"]
    ('fixed_point', 1.0)
    """
    place = _settle(f, u, x, steps, k, generator)
    records: dict[str, Result] = {}
    missing: dict[str, str] = {}
    remarks: dict[str, str] = {}
    bar = tqdm(_QUESTIONS.items(), disable=not progress, bar_format="{l_bar}{bar:24}| {elapsed}")
    with torch.random.fork_rng([u.device] if u.is_cuda else []):
        for name, ask in bar:
            bar.set_description(f"{name:10}")
            if name == "reading" and (x is None or x.ndim == 1):
                continue
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                try:
                    records[name] = ask(place)
                except (ValueError, RuntimeError) as error:
                    missing[name] = str(error)
            if said:
                remarks[name] = "; ".join(dict.fromkeys(str(each.message) for each in said))
    return Survey(records=records, missing=missing, remarks=remarks, size=u.shape[-1])


def _settle(
    f: object,
    u: Tensor,
    x: Tensor | None,
    steps: int,
    k: int | None,
    generator: torch.Generator | None,
) -> _Place:
    if checks.floating("u", u, ndim=1).ndim != 2:
        raise ValueError(f"u: expected (R, N), got {tuple(u.shape)}")
    if x is not None and checks.floating("x", x, ndim=1).ndim not in (1, 3):
        raise ValueError(f"x: expected (I,) or (T, R, I), got {tuple(x.shape)}")
    steps = checks.count("steps", steps, low=200)
    k = min(u.shape[-1], _EXPONENTS) if k is None else checks.count("k", k, high=u.shape[-1])
    checks.generator(generator, u.device)
    length = None if x is None or x.ndim == 1 else len(x)
    g, x = enter(f, u, length, x)
    mean = x if x is None or x.ndim == 1 else x.mean((0, 1))
    with observing(g, u):
        start = u
        if length is not None:
            start = rollout(g, u, length, x=x, generator=generator, every=length)[-1]
        orbit = rollout(g, start, 2 * steps, x=mean, generator=generator)[steps:]
    return _Place(
        f=g, u=u, x=x, mean=mean, steps=steps, k=k, generator=generator, orbit=orbit.clone()
    )  # fmt: skip


def _reading(place: _Place) -> Result:
    x, f = place.x, place.f
    if x is None or x.ndim == 1:
        raise ValueError("x: expected sequences, got none")
    transient = len(x) // 4
    rows = x if x.shape[1] == 1 else x[:, :_ROWS]
    options = {"transient": transient, "x": rows, "generator": place.generator}
    return lyapunov_spectrum(f, place.u[:_ROWS], len(x) - transient, k=place.k, **options)


def _exponents(place: _Place) -> Result:
    u, transient = place.settled[:_ROWS], place.steps // 4
    options = {"transient": transient, "x": place.mean, "generator": place.generator}
    return lyapunov_spectrum(place.f, u, place.steps, k=place.k, **options)


def _regime(place: _Place) -> Result:
    return regime(place.f, place.settled[:4], 4 * place.steps, x=place.mean)


def _dimension(place: _Place) -> Result:
    return participation_ratio(place.orbit)


def _spectrum(place: _Place) -> Result:
    return jacobian_spectrum(place.f, _some(place.orbit, _STATES), place.mean)


def _power(place: _Place) -> Result:
    return power_spectrum(place.orbit, dt=place.f.dt)


def _points(place: _Place) -> Result:
    starts = _some(place.orbit, _STARTS)
    spread = 0.1 * starts.std() if len(starts) > 1 else torch.zeros(())
    noise = torch.randn(
        starts.shape, dtype=starts.dtype, device=starts.device, generator=place.generator
    )
    return find_fixed_points(place.f, starts + spread * noise, place.mean)


def _response(place: _Place) -> Result:
    size = place.settled.shape[-1]
    if size > _RESPONSES:
        raise ValueError(f"size: expected at most {_RESPONSES} for all pairs, got {size}")
    options = {"x": place.mean, "generator": place.generator}
    return linear_response(place.f, place.settled, lags=16, samples=200, **options)


def _entropy(place: _Place) -> Result:
    return entropy_production(place.f, place.orbit, x=place.mean)


def _flux(place: _Place) -> Result:
    if noise_of(place.f, place.u) is None:
        raise ValueError("noise: expected some, since flux is one of probability; got none")
    return flux_field(place.orbit, dt=place.f.dt)


def _some(orbit: Tensor, count: int) -> Tensor:
    """Return states (count, N) spread over times and rows."""
    states = orbit.flatten(0, 1)
    # An odd stride visits all rows, however many there are.
    stride = max(1, (len(states) // count - 1) | 1)
    return states[::stride][:count]


_QUESTIONS: dict[str, Callable[[_Place], Result]] = {
    "reading": _reading,
    "exponents": _exponents,
    "regime": _regime,
    "dimension": _dimension,
    "spectrum": _spectrum,
    "power": _power,
    "points": _points,
    "response": _response,
    "entropy": _entropy,
    "flux": _flux,
}
