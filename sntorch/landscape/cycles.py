r"""Limit cycles: the period without noise, and how noise makes the phase forget.

.. math:: u(t + T) = u(t), \qquad Z \cdot F = \omega = 2\pi/T, \qquad
          \dot Z = -DF^T Z, \qquad D_\phi = \frac{1}{T} \int_0^T Z \cdot D Z\; dt

============  ===================================================  ==================
symbol        meaning                                              shape
============  ===================================================  ==================
``T``         period                                               ()
``Z``         phase response: gradient of the phase, rad           (points, N)
``D_phi``     phase diffusion for weak noise, rad^2 per time       ()
``m``         Floquet multipliers, growth over one turn            (N,)
============  ===================================================  ==================

The cycle is found by `find_cycle`.  One multiplier is 1, that of a shift along the cycle; the cycle
is stable if the others are below 1.

Y. Kuramoto, Chemical Oscillations, Waves, and Turbulence, Springer 1984, for Z and D_phi.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, RungeKutta4
from sntorch.landscape.grid import diffusion_of
from sntorch.landscape.orbits import Attractor, entered, find_cycle, stepper, tangents
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["LimitCycle", "limit_cycle"]

_KEPT = 2**23  # numbers of derivatives that are kept for a second look: 64 MB


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LimitCycle(Result):
    """A periodic orbit of a flow without noise, and what weak noise does to its phase."""

    points: Tensor
    """(points, N), states at equal times, one turn."""
    period: Tensor
    """(), T."""
    multipliers: Tensor
    """(N,), complex Floquet multipliers, largest first; one of them is 1."""
    response: Tensor
    """(points, N), Z: change of the phase (rad) per change of the state."""
    phase_diffusion: Tensor
    """(), D_phi to leading order in the noise, rad^2 per unit of time."""
    residual: Tensor
    """(), distance between start and end of the turn, largest component."""
    converged: bool
    """Whether a periodic orbit that is no fixed point was found; all numbers are NaN if not."""

    @property
    def omega(self) -> Tensor:
        """Angular velocity () in rad per unit of time."""
        return 2 * math.pi / self.period

    @property
    def cycles(self) -> Tensor:
        """Turns () in the time 1 / D_phi in which the phase is forgotten; infinite without noise.

        omega / (2 pi D_phi).
        """
        return self.omega / (2 * math.pi * self.phase_diffusion)

    @property
    def stable(self) -> bool:
        """Whether perturbations off the cycle decay."""
        trivial = (self.multipliers - 1).abs().argmin()
        others = torch.arange(len(self.multipliers)) != trivial.cpu()
        return bool((self.multipliers.cpu()[others].abs() < 1).all())

    def scalars(self) -> dict[str, float]:
        """Return period, phase diffusion and turns per coherence time."""
        return {"period": float(self.period), "phase_diffusion": float(self.phase_diffusion),
                "cycles": float(self.cycles)}  # fmt: skip


def limit_cycle(
    flow: object,
    u: Tensor,
    *,
    transient: float = 50.0,
    period: float | None = None,
    search: float = 500.0,
    points: int = 200,
    dt: float = 0.05,
    x: Tensor | None = None,
) -> LimitCycle:
    """Return the limit cycle that a flow runs into from a state, with its phase.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts; its noise enters the phase diffusion only.
    u
        State (N,); for an unstable cycle one on it, with its `period` and a transient of 0.
    transient
        Time to run before the search.
    period
        First guess of T, by default the time until the orbit comes back.
    search
        No period is longer.
    points
        States along the cycle.
    dt
        Longest step of Runge-Kutta's method.
    x
        Constant drive (I,).

    Raises
    ------
    ValueError
        On wrong arguments.  An orbit that comes to rest, or does not come back, is a result that
        has not converged.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.TanhRing(1.5, 1.0)
    >>> found = snt.landscape.limit_cycle(ring, torch.tensor([1.0, 0.0]).double())
    >>> round(float(found.period), 5)
    9.88318
    """
    if isinstance(u, Tensor) and u.ndim != 1:
        raise ValueError(f"u: expected one state (N,), got {tuple(u.shape)}")
    f, rows, x = entered(flow, u, x)
    checks.number("transient", transient, low=0)
    u, dt = rows[0], checks.positive("dt", dt)
    with observing(f, u):
        quiet = RungeKutta4(f, dt)
        for _ in range(round(transient / dt)):
            u = quiet.map(u, x)
        cycle = find_cycle(f, u, x, longest=search, period=period, dt=dt, points=points)
        if cycle is None:
            return _no_cycle(u, points)
        Z, D_phi = _phase_response(f, cycle, dt, x)
    return LimitCycle(
        points=cycle.states,
        period=torch.as_tensor(cycle.period, dtype=u.dtype, device=u.device),
        multipliers=(cycle.rates * cycle.period).exp(),
        response=Z,
        phase_diffusion=D_phi,
        residual=torch.as_tensor(cycle.error, dtype=u.dtype, device=u.device),
        converged=True,
    )


def _phase_response(
    flow: Flow, cycle: Attractor, dt: float, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return Z (points, N) and D_phi: the left eigenvector of 1, pulled back along the orbit."""
    orbit, T = cycle.states, cycle.period
    step, back = stepper(flow, T / len(orbit), dt), orbit.flip(0)
    kept = list(tangents(step, x, back)) if len(orbit) * orbit.shape[-1] ** 2 <= _KEPT else None
    turn = torch.eye(orbit.shape[-1]).to(orbit)
    for M in kept or tangents(step, x, back):
        turn = M.T @ turn
    values, left = torch.linalg.eig(turn)
    z, responses = left[:, (values - 1).abs().argmin()].real, []
    for M in kept or tangents(step, x, back):
        z = M.T @ z
        responses.append(z)
    Z = torch.stack(responses).flip(0)
    F = flow.drift(orbit, x)
    Z = Z * 2 * math.pi / T / (Z * F).sum(-1, keepdim=True)
    D = diffusion_of(flow, len(z)).to(Z)
    spread = Z @ D if D.ndim == 2 else Z * D
    return Z, (Z * spread).sum(-1).mean()


def _no_cycle(u: Tensor, points: int) -> LimitCycle:
    nothing = u.new_full((), torch.nan)
    return LimitCycle(
        points=u.expand(points, -1).clone(),
        period=nothing,
        multipliers=torch.complex(nothing, nothing).expand(len(u)).clone(),
        response=u.new_full((points, len(u)), torch.nan),
        phase_diffusion=nothing,
        residual=nothing,
        converged=False,
    )
