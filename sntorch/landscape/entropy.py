r"""Entropy production: how far a noisy network is from equilibrium, and what that costs.

For the noisy map u' = F(u) + sigma B the transition densities are Gaussian, so that the logarithm
of forward over backward probability of every observed step is known exactly.  In the steady state
its mean is the entropy production per step (nats),

.. math:: e = \Big\langle \tfrac12 \big[ |u - F(u')|^2_{S^{-1}} - |u' - F(u)|^2_{S^{-1}} \big]
          \Big\rangle, \qquad S = \sigma \sigma^T,

zero exactly under detailed balance and unbiased for any length of the orbit.  It grows like
1/sigma^2 as the noise vanishes and has no value for a deterministic network: there the contraction
rate of phase space, minus the sum of all Lyapunov exponents, is what remains to report.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, enter, noise_of, observing
from sntorch.results import Result, block_lengths, block_mean, over_rows, time_unit

__all__ = ["EntropyProduction", "entropy_production"]

_PROBES = 64  # states at which the contraction of a deterministic network is measured
_CHUNK = 2**22  # numbers mapped at a time: bounds memory, changes nothing


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EntropyProduction(Result):
    """Entropy production of every row, or the contraction rate where there is no noise."""

    value: Tensor
    """(...), in `unit`; NaN where the noise is zero on some neuron or singular."""
    stderr: Tensor
    """(...), by block averaging along the orbit."""
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
        """Entropy production divided by N (...)."""
        return self.value / self.size

    @property
    def unit(self) -> str:
        """The unit of `value`."""
        return f"nats per {time_unit(self.dt)}"

    def scalars(self) -> dict[str, float]:
        """Return entropy production and stderr, per neuron too, contraction rate, and the noise."""
        value, stderr = over_rows(self.value, self.stderr)
        contraction, _ = over_rows(self.contraction, self.contraction_stderr)
        return {
            "entropy_production": float(value),
            "entropy_production_stderr": float(stderr),
            "entropy_production_per_neuron": float(value) / self.size,
            "contraction_rate": float(contraction),
            "noise": self.noise,
        }


def entropy_production(
    f: object, trajectory: Tensor, *, x: Tensor | None = None
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
    checks.floating("trajectory", trajectory, ndim=2)
    checks.count("len(trajectory)", trajectory.shape[0], low=2)
    f, x = enter(f, trajectory, x=x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    with observing(f, trajectory):
        sigma = noise_of(f, trajectory)
        spread = 0.0 if sigma is None else _root_mean_square(sigma)
        none = torch.full_like(trajectory[0, ..., 0], torch.nan)
        produced = contracted = (none, none)
        if sigma is None:
            contracted = _contraction(f, trajectory, x)
        elif _reaches_everywhere(sigma):
            produced = _log_ratio(f, trajectory, x, sigma)
    return EntropyProduction(
        value=produced[0] / f.dt,
        stderr=produced[1] / f.dt,
        contraction=contracted[0] / f.dt,
        contraction_stderr=contracted[1] / f.dt,
        noise=spread,
        dt=f.dt,
        size=trajectory.shape[-1],
    )


def _log_ratio(f: Dynamics, u: Tensor, x: Tensor | None, sigma: Tensor) -> tuple[Tensor, Tensor]:
    rows = max(1, _CHUNK // u[0].numel())
    mapped = torch.cat([f.map(part, x) for part in u.split(rows)])
    forward = _whitened(u[1:] - mapped[:-1], sigma).square().sum(-1)
    backward = _whitened(u[:-1] - mapped[1:], sigma).square().sum(-1)
    ratio = (backward - forward) / 2
    lengths = block_lengths(len(ratio))
    return block_mean(torch.stack([part.mean(0) for part in ratio.split(lengths)]), lengths)


def _whitened(difference: Tensor, sigma: Tensor) -> Tensor:
    if sigma.ndim < 2:
        return difference / sigma
    rows = difference.flatten(0, -2)  # as one matrix: sigma is factorised once
    return torch.linalg.solve(sigma.mT, rows, left=False).view_as(difference)


def _reaches_everywhere(sigma: Tensor) -> bool:
    if sigma.ndim < 2:
        return bool((sigma > 0).all())
    return int(torch.linalg.matrix_rank(sigma)) == len(sigma)


def _root_mean_square(sigma: Tensor) -> float:
    """Return the noise of a neuron, root mean square over neurons."""
    variances = sigma.square().sum(-1) if sigma.ndim == 2 else sigma.square()
    return float(variances.mean().sqrt())


def _contraction(f: Dynamics, u: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return minus the mean log|det DF| and its standard error at states spread over the orbit."""
    times = max(2, min(len(u), _PROBES // math.prod(u.shape[1:-1])))
    picked = torch.linspace(0, len(u) - 1, times, device=u.device).long()
    volumes = torch.stack([torch.linalg.slogdet(f.jacobian(u[t], x)).logabsdet for t in picked])
    return block_mean(-volumes, [1] * times)
