r"""Entropy production: how far a noisy network is from equilibrium, and what that costs.

For the noisy map u' = F(u) + sigma B the transition densities are Gaussian, so that the logarithm
of forward over backward probability of every observed step is known exactly.  In the steady state
its mean is the entropy production per step (nats),

.. math:: e = \Big\langle \tfrac12 \big[ |u - F(u')|^2_{S^{-1}} - |u' - F(u)|^2_{S^{-1}} \big]
          \Big\rangle, \qquad S = \sigma \sigma^T,

zero exactly under detailed balance and unbiased for any length of the orbit.  With d = F(u) - u
and :math:`\delta = u' - u` the part of neuron i, what it delivers to its own noise, is

.. math:: e_i = \big\langle (S^{-1}\delta)_i\,(d_i + d'_i) + \tfrac12
          \big[(S^{-1}d')_i\, d'_i - (S^{-1}d)_i\, d_i\big] \big\rangle, \qquad \sum_i e_i = e;

a part may be negative, where a neuron takes up what others deliver.  Every map is evaluated once
per state, since F(u') is the forward step of the next transition.  It grows like
1/sigma^2 as the noise vanishes and has no value for a deterministic network: there the contraction
rate of phase space, minus the sum of all Lyapunov exponents, is what remains to report.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, enter, rollout
from sntorch.landscape.ratios import log_ratios, reaches_everywhere
from sntorch.noise import add_noise, noise_of
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean, over_rows, time_unit

__all__ = [
    "EntropyProduction",
    "entropy_production",
    "simulate_entropy_production",
]

_PROBES = 64  # states at which the contraction of a deterministic network is measured
_CHUNK = 2**17  # numbers mapped at a time: what is made of them stays in the cache


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EntropyProduction(Result):
    """Entropy production of every row, or the contraction rate where there is no noise."""

    value: Tensor
    """(...), in `unit`; NaN where the noise is zero on some neuron or singular."""
    stderr: Tensor
    """(...), by block averaging along the orbit."""
    neurons: Tensor
    """(..., N), the parts of the neurons, which add up to `value`; some may be negative."""
    neurons_stderr: Tensor
    """(..., N), by block averaging."""
    contraction: Tensor
    """(...), minus the mean of ln |det DF| per unit of time; NaN where there is noise."""
    contraction_stderr: Tensor
    """(...), from the spread over the probed states."""
    noise: float
    """Standard deviation per step, root mean square over neurons: the number depends on it."""
    dt: float
    """Time per step: a flow observed at another step has another entropy production."""
    size: int
    """N, the dimension of the state."""

    @property
    def per_neuron(self) -> Tensor:
        """Entropy production divided by N (...): the mean of `neurons`."""
        return self.value / self.size

    @property
    def unit(self) -> str:
        """The unit of `value`."""
        return f"nats per {time_unit(self.dt)}"

    def scalars(self) -> dict[str, float]:
        """Return entropy production, per neuron too, with errors; contraction rate; noise; dt."""
        value, stderr = over_rows(self.value, self.stderr)
        contraction, _ = over_rows(self.contraction, self.contraction_stderr)
        return {
            "entropy_production": float(value),
            "entropy_production_stderr": float(stderr),
            "entropy_production_per_neuron": float(value) / self.size,
            "entropy_production_per_neuron_stderr": float(stderr) / self.size,
            "contraction_rate": float(contraction),
            "noise": self.noise,
            "dt": self.dt,
        }


def entropy_production(
    f: object, trajectory: Tensor | NDArray, *, x: Tensor | None = None
) -> EntropyProduction:
    """Return the entropy production of a noisy map from an orbit in its steady state.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; F and the noise are known from it.
    trajectory
        Successive states (T, ..., N), T >= 2, as `rollout` with ``every=1`` returns them.
    x
        The constant drive (I,) under which the orbit was made.  A network whose drive changes has
        no steady state, and the formula no meaning.

    Raises
    ------
    ValueError
        On wrong arguments, a drive that changes in time among them.

    References
    ----------
    U. Seifert, Rep. Prog. Phys. 75 (2012) 126001, for the log ratio of path probabilities.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.as_dynamics(lambda u: 0.5 * u, noise=1.0)  # reversible: no entropy production
    >>> orbit = snt.rollout(f, torch.zeros(400, 2), 200, generator=torch.Generator())
    >>> produced = snt.landscape.entropy_production(f, orbit[50:])
    >>> bool(produced.value.mean().abs() < 4 * produced.value.std() / 20)
    True
    """
    trajectory = checks.recorded("trajectory", trajectory)
    checks.count("len(trajectory)", trajectory.shape[0], low=2)
    f, x = enter(f, trajectory, x=x)
    _check_constant(x)
    with observing(f, trajectory):
        return _measured(f, x, trajectory[0], len(trajectory), _stored(f, x, trajectory))


def simulate_entropy_production(
    f: object,
    u: Tensor,
    steps: int,
    *,
    transient: int = 0,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> EntropyProduction:
    """Return the same of an orbit that is made on the way and not kept, however long it is.

    The numbers are those of ``entropy_production(f, rollout(...)[transient:])`` at no more
    evaluations of the map than the orbit takes, and one.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (..., N).
    steps
        States of the orbit that count, at least 2.
    transient
        Steps before them, in which the steady state is reached.
    x
        Constant drive (I,).
    generator
        Source of the noise; None is torch's global generator, left as it was found.

    Raises
    ------
    ValueError
        On wrong arguments, and when the orbit leaves the finite numbers.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.SNTCell(snt.couplings.gaussian(100), noise=0.5)
    >>> found = simulate_entropy_production(f, torch.randn(4, 100), 200, transient=50)
    >>> bool(0.5 < found.per_neuron.mean() < 1.5)
    True
    """
    steps = checks.count("steps", steps, low=2)
    transient = checks.count("transient", transient, low=0)
    f, x = enter(f, u, transient + steps, x)
    _check_constant(x)
    checks.generator(generator, u.device)
    with observing(f, u):
        u = rollout(f, u, transient + 1, x=x, generator=generator, every=transient + 1)[-1]
        return _measured(f, x, u, steps, _made(f, x, u, steps, generator))


def _check_constant(x: Tensor | None) -> None:
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")


Parts = Iterator[tuple[Tensor, Tensor]]
"""Successive stretches of an orbit (t, ..., N) and F at them; each begins where the last ended."""


def _stored(f: Dynamics, x: Tensor | None, u: Tensor) -> Parts:
    rows = max(1, _CHUNK // u[0].numel())
    last = f.map(u[:1], x)
    for start in range(0, len(u) - 1, rows):
        part = u[start : start + rows + 1]
        mapped = torch.cat([last, f.map(part[1:], x)])
        yield part, mapped
        last = mapped[-1:]


def _made(
    f: Dynamics, x: Tensor | None, u: Tensor, steps: int, generator: torch.Generator | None
) -> Parts:
    sigma, rows = noise_of(f, u), max(1, _CHUNK // u.numel())
    states, mapped = [u], [f.map(u, x)]
    for t in range(1, steps):
        states.append(add_noise(mapped[-1], sigma, generator))
        mapped.append(f.map(states[-1], x))
        if len(states) > rows or t == steps - 1:
            part = torch.stack(states)
            if not bool(part.isfinite().all()):
                raise ValueError(
                    f"u: expected a bounded orbit, got numbers that are not finite by step {t + 1}"
                )
            yield part, torch.stack(mapped)
            states, mapped = states[-1:], mapped[-1:]


def _measured(
    f: Dynamics, x: Tensor | None, u: Tensor, count: int, parts: Parts
) -> EntropyProduction:
    sigma = noise_of(f, u)
    nothing = u.new_full(u.shape[:-1], torch.nan), u.new_full(u.shape[:-1], torch.nan)
    produced = contracted = nothing
    neurons = (torch.full_like(u, torch.nan), torch.full_like(u, torch.nan))
    if sigma is None:
        contracted = _contraction(f, x, count, parts, math.prod(u.shape[:-1]))
    elif reaches_everywhere(sigma):
        produced, neurons = _log_ratio(parts, sigma, u, count - 1)
    return EntropyProduction(
        value=produced[0] / f.dt,
        stderr=produced[1] / f.dt,
        neurons=neurons[0] / f.dt,
        neurons_stderr=neurons[1] / f.dt,
        contraction=contracted[0] / f.dt,
        contraction_stderr=contracted[1] / f.dt,
        noise=0.0 if sigma is None else _root_mean_square(sigma),
        dt=f.dt,
        size=u.shape[-1],
    )


def _log_ratio(
    parts: Parts, sigma: Tensor, u: Tensor, count: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return mean and error of the log ratio of `count` steps, and of the parts of the neurons."""
    lengths = block_lengths(count)
    sums = u.new_zeros(len(lengths), *u.shape)
    block = torch.repeat_interleave(torch.tensor(lengths, device=u.device))
    for states, mapped in parts:
        ratio = log_ratios(states, mapped, sigma)
        sums.index_add_(0, block[: len(ratio)], ratio)
        block = block[len(ratio) :]
    means = sums / u.new_tensor(lengths).reshape(-1, *[1] * u.ndim)
    return block_mean(means.sum(-1), lengths), block_mean(means, lengths)


def _root_mean_square(sigma: Tensor) -> float:
    """Return the noise of a neuron, root mean square over neurons."""
    variances = sigma.square().sum(-1) if sigma.ndim == 2 else sigma.square()
    return float(variances.mean().sqrt())


def _contraction(
    f: Dynamics, x: Tensor | None, count: int, parts: Parts, rows: int
) -> tuple[Tensor, Tensor]:
    """Return minus the mean log|det DF| and its standard error at states spread over the orbit."""
    times = max(2, min(count, _PROBES // rows))
    wanted = torch.linspace(0, count - 1, times).long().tolist()
    volumes, start = [], 0
    for states, _ in parts:
        while len(volumes) < times and wanted[len(volumes)] < start + len(states):
            state = states[wanted[len(volumes)] - start]
            volumes.append(torch.linalg.slogdet(f.jacobian(state, x)).logabsdet)
        start += len(states) - 1
    return block_mean(-torch.stack(volumes), [1] * times)
