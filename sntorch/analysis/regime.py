r"""Which regime an orbit is in: fixed point, periodic, quasi-periodic, chaotic, or undecided.

Three independent witnesses are heard, and their words are kept as evidence.

1. **Recurrence.**  The orbit comes back: u(t + p) = u(t) for the last quarter of it, up to rounding
   or to a distance that shrinks.
2. **Exponents.**  k Lyapunov exponents, and the weighted Birkhoff average
   (`sntorch.analysis.rotation`) of the growth ln |R_11| of the first: it tells an exponent that
   is zero from one that is small, and an orderly orbit from one that wanders.
3. **Lines.**  The base frequencies that explain all lines of the spectrum; in chaos none do.

=================  =========================================  ==================================
label              a map                                      a flow
=================  =========================================  ==================================
fixed_point        period 1, all exponents < 0                period 1, all exponents < 0
periodic           period p > 1, all exponents < 0            one line and its harmonics, one zero
quasi_periodic     d >= 1 frequencies, d zeros, none > 0      d >= 2 frequencies, d zeros, none > 0
chaotic            one > 0 in both halves of the orbit        the same
undecided          witnesses disagree, or the orbit is too    the same
                   short for them
=================  =========================================  ==================================

A zero exponent of a flow is the direction of the flow itself.  A map is read as a flow if it is an
integrator of one (`EulerMaruyama`, `RungeKutta4`, or `iterate` of these), or on demand: sampled in
time, a limit cycle fills a closed curve and the map alone would be quasi-periodic.  A stroboscopic
map of a driven flow, one period per step, is a map.

Noise is switched off: the regime is that of F.  A drive must be constant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.blocks import cut
from sntorch.analysis.power import PowerSpectrum, power_spectrum
from sntorch.analysis.tangents import Interval, TangentWalk
from sntorch.analysis.timeseries import mean_activity
from sntorch.analysis.witnesses import LABELS, Witnesses
from sntorch.dynamics import Dynamics, IteratedDynamics, enter, iterate
from sntorch.flows import EulerMaruyama, RungeKutta4
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean

__all__ = ["LABELS", "Regime", "regime", "scan_regimes"]

_VIEWS = 8  # projections of the state in which recurrence is looked for
_TOGETHER = 64  # steps of an orbit that are looked at together


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Regime(Result):
    """The regime of every row, with what it was concluded from."""

    labels: tuple[str, ...]
    """One of `LABELS` per row, rows flattened."""
    exponents: Tensor
    """(..., k), the leading Lyapunov exponents, largest first, in nats per unit of time."""
    stderr: Tensor
    """(..., k), by block averaging."""
    frequencies: Tensor
    """(..., 3), base frequencies in cycles per unit of time, NaN where there are fewer."""
    period: Tensor
    """(...), steps after which the orbit comes back; NaN where it does not."""
    testimony: tuple[str, ...]
    """What the witnesses said, one text per row."""
    activity: Tensor
    """m(t) (T, ...), mean over neurons of the rates of an SNT network, else of the states."""
    spectrum: PowerSpectrum
    """Power spectrum of m(t)."""
    state: Tensor
    """(..., N), where the orbit ended: the start of the next one in a scan."""
    dt: float = 1.0
    """Time per step."""

    @property
    def label(self) -> str:
        """The label that all rows share, else ``"mixed"``."""
        return self.labels[0] if len(set(self.labels)) == 1 else "mixed"

    @property
    def title(self) -> str:
        """The label in words; where all rows fill tori alike, the kind of torus."""
        tori = set(self.frequencies.isfinite().sum(-1).flatten().tolist())
        if self.label != "quasi_periodic" or len(tori) > 1:
            return self.label.replace("_", " ")
        return "closed curve" if tori == {1} else f"{tori.pop()}-torus"

    @property
    def evidence(self) -> str:
        """Label and testimony of every row, a line each."""
        pairs = zip(self.labels, self.testimony, strict=True)
        return "\n".join(f"{label}: {words}" for label, words in pairs)

    def scalars(self) -> dict[str, float]:
        """Return the largest exponent and the share of rows with each label."""
        shares = {name: self.labels.count(name) / len(self.labels) for name in LABELS}
        return {"max": float(self.exponents[..., 0].mean()), **shares}


def regime(
    f: object,
    u: Tensor,
    steps: int,
    *,
    transient: int | None = None,
    x: Tensor | None = None,
    k: int | None = None,
    continuous: bool | None = None,
) -> Regime:
    """Return the regime of f on the orbits from u, with its evidence.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise is switched off.
    u
        Initial states (..., N); every row gets a label of its own.
    steps
        Steps that are measured, at least 200.  Exponents smaller than 5 / steps and lines closer
        than 4 / steps cannot be told; several thousand steps are a good choice.
    transient
        Steps of state and frame before the measurement; half of `steps` by default.
    x
        Constant drive (I,).
    k
        How many exponents; at most 4 by default.
    continuous
        Whether to read the map as a flow; None asks whether it is an integrator of one.

    Raises
    ------
    ValueError
        On wrong arguments, a drive that changes, and when an orbit leaves the finite numbers: the
        step is named.

    Examples
    --------
    >>> import sntorch as snt
    >>> u = torch.tensor([0.3], dtype=torch.float64)
    >>> snt.analysis.regime(lambda u: 3.2 * u * (1 - u), u, 400).evidence
    'periodic: comes back after 2 steps; largest exponent -0.9163 ± 0.0000 nats / step'
    """
    f, x = enter(f, u, x=x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    steps = checks.count("steps", steps, low=200)
    transient = steps // 2 if transient is None else checks.count("transient", transient, low=0)
    k = checks.count("k", min(4, u.shape[-1]) if k is None else k, high=u.shape[-1])
    with observing(f, u):
        noisy = noise_of(f, u) is not None
        flow = _is_flow(f) if continuous is None else bool(continuous)
        walk = _walk(f, iterate(f, 1), u, x, k, transient, steps)
        return _judge(walk, f.dt, flow, noisy)


def scan_regimes(
    make: Callable[[float], object],
    values: Iterable[float],
    u: Tensor,
    steps: int,
    *,
    kick: float = 1e-6,
    **settings: Any,
) -> Iterator[Regime]:
    """Yield the regime of ``make(value)`` for one value of a parameter after the other.

    The orbit is continued: each value starts where the last one ended, so that a scan follows one
    attractor, and upwards and downwards it may see two.

    Parameters
    ----------
    make
        Returns the dynamics for a value of the parameter.
    values
        The values in the order in which they are visited.
    u
        States (..., N) from which the first value starts.
    steps
        Steps that are measured at each value.
    kick
        Largest component of a fixed push at each start: without it a scan would stay on a state
        that remains fixed, such as 0, when it has become unstable.
    settings
        `transient`, `x`, `k` and `continuous` of `regime`.

    Raises
    ------
    ValueError
        As `regime`.

    Examples
    --------
    >>> import sntorch as snt
    >>> u = torch.tensor([0.3], dtype=torch.float64)
    >>> found = scan_regimes(snt.systems.Logistic, [2.8, 3.2, 3.9], u, 1000)
    >>> [each.label for each in found]
    ['fixed_point', 'periodic', 'chaotic']
    """
    checks.number("kick", kick, low=0)
    for value in values:
        push = torch.linspace(0.5, 1, u.shape[-1], dtype=u.dtype, device=u.device)
        found = regime(make(value), u + kick * push, steps, **settings)
        yield found
        u = found.state


def _is_flow(f: Dynamics) -> bool:
    while isinstance(f, IteratedDynamics):
        f = f.base
    return isinstance(f, EulerMaruyama | RungeKutta4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Walk:
    """What is kept of an orbit: growth (T, ..., k), views (T, ..., d), m (T, ...), last state."""

    growth: Tensor
    views: Tensor
    activity: Tensor
    state: Tensor


def _walk(
    f: Dynamics, F: Dynamics, u: Tensor, x: Tensor | None, k: int, transient: int, steps: int
) -> _Walk:
    """Follow state and frame under F, the noiseless f."""
    n = u.shape[-1]
    walk = TangentWalk(F, u, k, x, None, Interval("auto", u.dtype))
    stream = torch.Generator(u.device)  # always the same, whatever the user did
    mixing = torch.randn(n, min(n, _VIEWS), dtype=u.dtype, device=u.device, generator=stream)
    mixing /= math.sqrt(n)
    walk.skip(transient)
    growth, views, activity = [], [], []
    for length in cut(steps, _TOGETHER):
        triangles, states = [], []
        for _ in range(length):
            walk.push()
            triangles.append(walk.orthonormalise())
            states.append(walk.u)
        orbit, R = torch.stack(states), torch.stack(triangles)
        growth.append(R.diagonal(dim1=-2, dim2=-1).abs().log())
        views.append(orbit @ mixing)
        activity.append(mean_activity(orbit, f))
    joined = (torch.cat(part) for part in (growth, views, activity))
    return _Walk(**dict(zip(("growth", "views", "activity"), joined, strict=True)), state=walk.u)


def _judge(walk: _Walk, dt: float, flow: bool, noisy: bool) -> Regime:
    steps, rows = len(walk.growth), walk.activity.shape[1:]
    lengths = block_lengths(steps)
    means = torch.stack([part.mean(0) for part in walk.growth.split(lengths)])
    mean, stderr = block_mean(means, lengths)
    order = mean.argsort(-1, descending=True)
    mean, stderr = mean.gather(-1, order), stderr.gather(-1, order).nan_to_num(0.0)
    growth = walk.growth.flatten(1, -2) if rows else walk.growth.unsqueeze(1)
    views = walk.views.flatten(1, -2) if rows else walk.views.unsqueeze(1)
    pairs = zip(mean.reshape(-1, mean.shape[-1]), stderr.reshape(-1, mean.shape[-1]), strict=True)
    found = [
        Witnesses(growth[:, i, 0], views[:, i], *pair, dt=dt, flow=flow).verdict()
        for i, pair in enumerate(pairs)
    ]
    note = "; noise switched off" if noisy else ""
    like = {"dtype": mean.dtype, "device": mean.device}
    return Regime(
        labels=tuple(verdict.label for verdict in found),
        exponents=mean / dt,
        stderr=stderr / dt,
        frequencies=torch.tensor([v.frequencies for v in found], **like).reshape(*rows, -1) / dt,
        period=torch.tensor([v.period for v in found], **like).reshape(rows),
        testimony=tuple(verdict.words + note for verdict in found),
        activity=walk.activity,
        spectrum=power_spectrum(walk.activity.unsqueeze(-1), dt=dt),
        state=walk.state,
        dt=dt,
    )
