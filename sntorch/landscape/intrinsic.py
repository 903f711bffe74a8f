r"""Tests of a candidate for the intrinsic potential, by an equation and along orbits.

With the diffusion D = Db G, tr G = N, and weak noise, the stationary density is P ~ exp(-V / Db)
where the intrinsic potential V solves the Hamilton-Jacobi equation

.. math:: F \cdot \nabla V + \nabla V \cdot G\, \nabla V = 0.

Then F = -G grad V + l, and l is orthogonal to grad V.  Along orbits without noise
dV/dt = -grad V G grad V <= 0: V is a Lyapunov function, with or without detailed balance.  A
candidate, from a formula, from a fit or from a grid, is tested by both.

The residual is judged relative to its parts: |F . grad V + grad V G grad V| is compared with
|F . grad V| + grad V G grad V, which makes 0 of a solution and 1 of an unrelated function.

H. Ge, H. Qian, Chaos 22 (2012) 023140, for V and its Lyapunov property; the energy of a network
with asymmetric couplings is an example that fails the second test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.differentiable import recording
from sntorch.dynamics import rollout
from sntorch.flows import Flow, RungeKutta4, as_flow
from sntorch.landscape.grid import diffusion_of
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Descent", "HamiltonJacobi", "descent", "gradient", "hamilton_jacobi", "mobility"]

Potential = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class HamiltonJacobi(Result):
    """How well a potential solves the Hamilton-Jacobi equation at given states."""

    residual: Tensor
    """(...), F . grad V + grad V G grad V, per unit of time."""
    dissipation: Tensor
    """(...), grad V G grad V >= 0."""
    flux_force: Tensor
    """(..., N), l = F + G grad V: orthogonal to grad V for a solution."""

    @property
    def relative(self) -> Tensor:
        """The residual over the sum of its parts (...), in [0, 1]; 0 for a solution."""
        parts = (self.residual - self.dissipation).abs() + self.dissipation
        return self.residual.abs() / parts.clamp(min=torch.finfo(parts.dtype).tiny)

    @property
    def rms(self) -> Tensor:
        """Root mean square of the residual over that of the dissipation ()."""
        squares = [v.double().square().mean() for v in (self.residual, self.dissipation)]
        return (squares[0] / squares[1].clamp(min=torch.finfo(torch.float64).tiny)).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the root mean square, the mean and the largest relative residual."""
        relative = self.relative
        return {"rms": float(self.rms), "mean": float(relative.mean()),
                "largest": float(relative.max())}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Descent(Result):
    """A potential along orbits without noise."""

    values: Tensor
    """(T + 1, ...), V from the start on."""
    rate: Tensor
    """(T + 1, ...), dV/dt = F . grad V."""
    dt: float
    """Time between two values."""

    @property
    def rising(self) -> Tensor:
        """Share of the time (...) in which V rises by more than rounding."""
        scale = self.rate.abs().amax(0)
        slack = 1e3 * torch.finfo(self.rate.dtype).eps * scale
        return (self.rate > slack).to(self.rate.dtype).mean(0)

    @property
    def climb(self) -> Tensor:
        """The largest rise (...) of V above a value that it had before; 0 where it only falls."""
        return (self.values - self.values.cummin(0).values).amax(0)

    @property
    def monotone(self) -> Tensor:
        """Whether V never rises (...)."""
        return self.rising == 0

    def scalars(self) -> dict[str, float]:
        """Return the share of orbits on which V never rises, and of time in which it does."""
        return {"monotone": float(self.monotone.double().mean()),
                "rising": float(self.rising.mean())}  # fmt: skip


def hamilton_jacobi(
    flow: object, potential: Potential, u: Tensor, *, x: Tensor | None = None
) -> HamiltonJacobi:
    """Return the Hamilton-Jacobi residual of a candidate for the intrinsic potential.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts; the scale of its diffusion does not matter, its shape does.
    potential
        V, a differentiable function of states (..., N), a module or ``density.potential_at`` among
        them.  Its scale does matter: P ~ exp(-V / Db), so from a density V = Db U, up to terms of
        the order of Db.
    u
        States (..., N) at which to look.
    x
        Constant drive (I,).

    Raises
    ------
    ValueError
        On wrong arguments, or if the potential is not one number per state.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    >>> u = torch.randn(50, 2, dtype=torch.float64)
    >>> bool(snt.landscape.hamilton_jacobi(well, well.potential, u).rms < 1e-12)
    True
    """
    f = as_flow(flow)
    checks.finite("u", f.check(u))
    with observing(f, u):
        G = mobility(f, u.shape[-1]).to(u)
        F, slope = f.drift(u, x), gradient(potential, u)
    moved = slope @ G
    dissipation = (slope * moved).sum(-1)
    return HamiltonJacobi(
        residual=(F * slope).sum(-1) + dissipation, dissipation=dissipation, flux_force=F + moved
    )


def descent(
    flow: object,
    potential: Potential,
    u: Tensor,
    steps: int,
    *,
    dt: float = 0.05,
    x: Tensor | None = None,
) -> Descent:
    """Return a potential and its rate of change along the orbits of a flow without noise.

    Parameters
    ----------
    flow, potential, x
        As for `hamilton_jacobi`.
    u
        Starts (..., N).
    steps, dt
        Runge-Kutta steps, and the time of each.

    Raises
    ------
    ValueError
        On wrong arguments, or where an orbit leaves the finite numbers.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, circulation=0.5)
    >>> found = snt.landscape.descent(well, well.potential, torch.randn(9, 2).double(), 100)
    >>> bool(found.monotone.all())
    True
    """
    f = as_flow(flow)
    checks.finite("u", f.check(u))
    integrator = RungeKutta4(f, dt)
    with observing(f, u):
        quiet = lambda state: integrator.map(state, x)  # noqa: E731
        orbit = torch.cat([u[None], rollout(quiet, u, steps)])
        F, slope = f.drift(orbit, x), gradient(potential, orbit)
        values = _numbers(potential, orbit)
    return Descent(values=values, rate=(F * slope).sum(-1), dt=integrator.dt)


def gradient(potential: Potential, u: Tensor) -> Tensor:
    """Return grad V (..., N) at u (..., N), itself differentiable.

    Raises
    ------
    ValueError
        If the potential is not one number per state.
    """
    with recording():
        pull = torch.func.vjp(lambda s: _numbers(potential, s), u)
        values, back = pull[0], pull[1]
        return back(torch.ones_like(values))[0]


def mobility(flow: Flow, size: int) -> Tensor:
    """Return G = N D / tr D (N, N), the unit matrix without noise; float64 on the CPU.

    Raises
    ------
    ValueError
        If there is noise, but none in some direction.
    """
    D = diffusion_of(flow, size)
    D = D if D.ndim == 2 else torch.diag(D.expand(size))
    mean = D.diagonal().mean()
    if float(mean) == 0:
        return torch.eye(size, dtype=torch.float64)
    lowest = float(torch.linalg.eigvalsh(D).min())
    if lowest <= 1e-12 * float(mean):
        raise ValueError(
            f"diffusion: expected noise in all directions or none, got the eigenvalue {lowest:.4g}"
        )
    return D / mean


def _numbers(potential: Potential, u: Tensor) -> Tensor:
    values = potential(u)
    if not isinstance(values, Tensor) or values.shape != u.shape[:-1]:
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"potential: expected numbers {tuple(u.shape[:-1])}, got {found}")
    return values
