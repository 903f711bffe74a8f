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

The cycle is found by Newton's method on (u, T) with the monodromy matrix of a Runge-Kutta map.  One
multiplier is 1, that of a shift along the cycle; the cycle is stable if the others are below 1.

Y. Kuramoto, Chemical Oscillations, Waves, and Turbulence, Springer 1984, for Z and D_phi.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, observing
from sntorch.flows import Flow, RungeKutta4, as_flow
from sntorch.landscape.grid import diffusion_of
from sntorch.results import Result

__all__ = ["LimitCycle", "limit_cycle"]

_NEWTON = 30


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
    """(), distance between start and end of the turn."""
    converged: bool
    """Whether Newton's method arrived at a periodic orbit that is no fixed point."""

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
    tol: float = 1e-9,
) -> LimitCycle:
    """Return the limit cycle that a flow runs into from a state.

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
        Time after which an orbit that has not come back is given up.
    points
        States along the cycle, and Runge-Kutta steps per turn: T has a relative error of the order
        of (omega T / points)^4.
    dt
        Step of the transient and of the search for the first guess.
    x
        Constant drive (I,).
    tol
        Distance, relative to the size of the cycle, at which it counts as closed.

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
    f = as_flow(flow)
    checks.finite("u", f.check(u))
    if u.ndim != 1:
        raise ValueError(f"u: expected one state (N,), got {tuple(u.shape)}")
    checks.number("transient", transient, low=0)
    checks.count("points", points, low=16)
    checks.positive("tol", tol)
    checks.positive("search", search)
    if period is not None:
        checks.positive("period", period)
    with observing(f, u):
        coarse = RungeKutta4(f, dt)
        for _ in range(round(transient / coarse.dt)):
            u = coarse.map(u, x)
        guess = (
            _return_time(coarse, u, x, round(search / coarse.dt))
            if period is None
            else checks.positive("period", period)
        )
        found = None if math.isnan(guess) else _closed(f, u, guess, points, x, tol)
        if found is None:
            return _no_cycle(u, points)
        orbit, T, M, done = found
        Z, D_phi = _phase_response(f, orbit[:-1], T, M, x)
    return LimitCycle(
        points=orbit[:-1],
        period=torch.as_tensor(T, dtype=u.dtype, device=u.device),
        multipliers=_descending(torch.linalg.eigvals(M)),
        response=Z,
        phase_diffusion=D_phi,
        residual=(orbit[-1] - orbit[0]).norm(),
        converged=done,
    )


def _return_time(f: Dynamics, u: Tensor, x: Tensor | None, longest: int) -> float:
    """Return the time until the orbit passes the plane across the flow at u again; NaN if never."""
    normal = f.map(u, x) - u
    if float(normal.norm()) < 1e-7 * f.dt * (1 + float(u.norm())):
        return math.nan
    start, reach, before = u, 0.0, 0.0
    for step in range(1, longest):
        u = f.map(u, x)
        side = float((u - start) @ normal)
        away = float((u - start).norm())
        reach = max(reach, away)
        if before < 0 <= side and away < 0.5 * reach:
            return f.dt * (step - side / (side - before))
        before = side
    return math.nan


def _closed(
    flow: Flow, u: Tensor, T: float, points: int, x: Tensor | None, tol: float
) -> tuple[Tensor, float, Tensor, bool] | None:
    """Return the closed orbit (points + 1, N), its period and monodromy, and whether it closed."""
    size = len(u)
    unit = torch.eye(size).to(u)
    closest = max(tol, 50 * torch.finfo(u.dtype).eps)
    orbit, M = _turn(flow, u, T, points, x)
    for _ in range(_NEWTON):
        extent = float((orbit - orbit.mean(0)).norm(dim=-1).max())
        gap = orbit[-1] - u
        if float(gap.norm()) <= closest * extent:
            return orbit, T, M, extent > 1e-6 * (1 + float(u.norm()))
        system = torch.zeros(size + 1, size + 1).to(u)
        system[:size, :size] = M - unit
        system[:size, size], system[size, :size] = flow.drift(orbit[-1], x), flow.drift(u, x)
        wanted = torch.cat([-gap, gap.new_zeros(1)])
        change = torch.linalg.lstsq(system, wanted.unsqueeze(-1)).solution[:, 0]
        u, T = u + change[:size], T + float(change[size])
        if not (0 < T < math.inf and bool(u.isfinite().all())):
            return None
        orbit, M = _turn(flow, u, T, points, x)
    return orbit, T, M, False


def _turn(flow: Flow, u: Tensor, T: float, points: int, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the orbit (points + 1, N) over the time T and the derivative (N, N) of its end."""
    f = RungeKutta4(flow, T / points)
    V, orbit = torch.eye(len(u)).to(u), [u]
    for _ in range(points):
        u, V = f.jvp(u, V, x)
        orbit.append(u)
    return torch.stack(orbit), V


def _phase_response(
    flow: Flow, orbit: Tensor, T: float, M: Tensor, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return Z (points, N) and D_phi: the left eigenvector of 1, pulled back along the orbit."""
    values, left = torch.linalg.eig(M.mT)
    z = left[:, (values - 1).abs().argmin()].real
    omega = 2 * math.pi / T
    f, responses = RungeKutta4(flow, T / len(orbit)), []
    for u in orbit.flip(0):
        z = f.vjp(u, z[:, None], x)[1][:, 0]
        responses.append(z)
    Z = torch.stack(responses).flip(0)
    F = flow.drift(orbit, x)
    Z = Z * omega / (Z * F).sum(-1, keepdim=True)
    D = diffusion_of(flow, len(z)).to(Z)
    spread = Z @ D if D.ndim == 2 else Z * D
    return Z, (Z * spread).sum(-1).mean()


def _descending(values: Tensor) -> Tensor:
    return values[values.abs().argsort(descending=True)]


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
