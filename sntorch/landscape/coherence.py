r"""How regularly an orbit with noise turns: frequency, phase diffusion, coherence.

The phase is the angle round a centre in a plane.  Over rows or blocks of the orbit

.. math:: \omega = \frac{\langle \Delta \rangle}{s}, \qquad
          D_\phi = \frac{\langle (\Delta - \omega s)^2 \rangle}{2 s}, \qquad
          \xi(\tau) = \frac{2 \sum_{\delta > 0} \delta}{\sum |\delta|} - 1
          = \frac{E\,\delta}{E\,|\delta|}

where Delta is the increment of the angle over the time s, long against the memory of the shape, and
delta that over the lag tau.  xi is 1 for a clock and 0 where both directions are equally frequent.
It depends on tau; the number of turns until the phase is forgotten, omega / (2 pi D_phi), does not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import Result, block_lengths, over_rows

__all__ = ["PhaseCoherence", "phase_coherence"]

_FEW_ROWS = 8  # with fewer rows, each is cut into blocks to see a spread


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PhaseCoherence(Result):
    """How regularly an orbit with noise turns round a centre in a plane."""

    frequency: Tensor
    """(), mean angular velocity, rad per unit of time."""
    frequency_stderr: Tensor
    """()."""
    diffusion: Tensor
    """(), D_phi from the growth of the variance of the angle, rad^2 per unit of time."""
    diffusion_stderr: Tensor
    """()."""
    coherence: Tensor
    """(), xi at the lag tau."""
    coherence_stderr: Tensor
    """()."""
    lag: float
    """tau, time between the two angles of an increment of the coherence."""
    span: float
    """Time over which the variance of the angle is taken."""

    @property
    def cycles(self) -> Tensor:
        """Turns () until the phase is forgotten, omega / (2 pi D_phi)."""
        return self.frequency.abs() / (2 * math.pi * self.diffusion)

    @property
    def period(self) -> Tensor:
        """Mean time of a turn ()."""
        return 2 * math.pi / self.frequency.abs()

    def scalars(self) -> dict[str, float]:
        """Return frequency, phase diffusion and coherence with their errors, and its lag."""
        return {
            "frequency": float(self.frequency),
            "frequency_stderr": float(self.frequency_stderr),
            "phase_diffusion": float(self.diffusion),
            "phase_diffusion_stderr": float(self.diffusion_stderr),
            "coherence": float(self.coherence),
            "coherence_stderr": float(self.coherence_stderr),
            "lag": self.lag,
        }


def phase_coherence(
    trajectory: Tensor | NDArray,
    *,
    dt: float = 1.0,
    lag: int = 1,
    span: int | None = None,
    centre: Tensor | None = None,
    plane: Tensor | None = None,
) -> PhaseCoherence:
    """Return how regularly orbits with noise turn round a centre.

    Parameters
    ----------
    trajectory
        States (T, ..., N) in a steady state, close enough in time that the angle moves by less than
        half a turn from one to the next.
    dt
        Time between two states.
    lag
        Steps of the increments whose coherence xi is taken; store it with the number.
    span
        Steps over which the variance of the angle is taken, by default a tenth of the orbit: longer
        than the memory of the shape, much shorter than the orbit.
    centre
        (N,), by default the mean.
    plane
        Two orthonormal axes (2, N); by default the first two neurons.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185, for the coherence xi.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.EulerMaruyama(snt.systems.StuartLandau(diffusion=0.01), dt=0.05)
    >>> start = torch.tensor([[1.0, 0.0]]).expand(50, 2)
    >>> orbit = snt.rollout(f, start, 1000, generator=torch.Generator())
    >>> found = phase_coherence(orbit, dt=f.dt)
    >>> bool((found.frequency - 1).abs() < 4 * found.frequency_stderr + 0.01)
    True
    """
    trajectory = checks.recorded("trajectory", trajectory)
    checks.positive("dt", dt)
    length, size = trajectory.shape[0], trajectory.shape[-1]
    checks.count("trajectory.shape[-1]", size, low=2)
    checks.count("len(trajectory)", length, low=20)
    span = max(1, length // 10) if span is None else checks.count("span", span, high=length // 2)
    checks.count("lag", lag, high=length // 2)
    P = torch.eye(size).to(trajectory)[:2] if plane is None else _plane(plane, trajectory)
    middle = trajectory.reshape(-1, size).mean(0) if centre is None else centre.to(trajectory)
    with torch.no_grad():
        y = ((trajectory - middle) @ P.mT).double()
        angle = _unwrapped(torch.atan2(y[..., 1], y[..., 0])).reshape(length, -1)
        frequency = _over(angle, lambda a: (a[-1] - a[0]) / (len(a) - 1) / dt)
        turns = angle[span:] - angle[:-span]
        drift = frequency[0] * span * dt
        spread = _over(turns, lambda d: (d - drift).square().mean(0) / (2 * span * dt))
        steps = angle[lag:] - angle[:-lag]
        xi = _over(steps, lambda d: d.mean(0) / d.abs().mean(0).clamp(min=1e-300))
    return PhaseCoherence(
        frequency=frequency[0],
        frequency_stderr=frequency[1],
        diffusion=spread[0],
        diffusion_stderr=spread[1],
        coherence=xi[0],
        coherence_stderr=xi[1],
        lag=lag * dt,
        span=span * dt,
    )


def _unwrapped(angle: Tensor) -> Tensor:
    step = angle.diff(dim=0)
    step = (step + math.pi).remainder(2 * math.pi) - math.pi
    return torch.cat([angle[:1], angle[:1] + step.cumsum(0)])


def _over(values: Tensor, measure: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and error of a measure (rows,) of (T, rows), of blocks in time of few rows."""
    many = values.shape[1] >= _FEW_ROWS
    parts = [values] if many else values.split(block_lengths(len(values), shortest=2))
    found = torch.cat([measure(part) for part in parts])
    return over_rows(found, torch.full_like(found, torch.nan))


def _plane(plane: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-1]
    if plane.shape != (2, size):
        raise ValueError(f"plane: expected (2, {size}), got {tuple(plane.shape)}")
    return checks.finite("plane", plane).to(like)
