r"""Limit cycles of a flow without its noise: periods, states and Floquet exponents.

The time T after which an orbit passes its own place again is refined together with the place by
Newton's method,

.. math:: \Phi_T(u) = u, \qquad F(u_0) \cdot (u - u_0) = 0,

with Phi the flow map and its derivative, the monodromy matrix, both by Runge-Kutta.  Floquet's
exponents are ln(multiplier) / T, per unit of time; the one along the cycle is zero.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import enter, rollout
from sntorch.flows import EulerMaruyama, Flow, RungeKutta4, as_flow
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Attractor", "entered", "find_cycle", "stepper", "tangents"]

_RETURN = 0.1  # a return this close, relative to the way out, is worth Newton's method
_PART = 200  # steps between two looks at whether it is over
_ENTRIES = 2**22  # of Jacobians in memory at a time
_NEWTON = 12  # iterations, of which a few are needed


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attractor(Result):
    """A fixed point or a limit cycle of a flow.

    Examples
    --------
    >>> import sntorch as snt
    >>> cycle = find_cycle(snt.systems.TanhRing(), torch.tensor([1.0, 0.0]).double())
    >>> cycle.kind, cycle.stable, round(cycle.period, 4)
    ('limit cycle', True, 9.8832)
    """

    states: Tensor
    """(P, N), along a cycle equally spaced in time; P = 1 for a fixed point."""
    period: float
    """T; 0 for a fixed point."""
    rates: Tensor
    """(N,) complex, largest real part first, per unit of time."""
    error: float
    """|F(u)|, on a cycle the gap after one period, largest component."""

    @property
    def kind(self) -> str:
        """``fixed point`` or ``limit cycle``."""
        return "limit cycle" if self.period else "fixed point"

    @property
    def stable(self) -> bool:
        """Whether all rates are negative, but for the one along a cycle."""
        return bool((self.rates.real[1 if self.period else 0 :] < 0).all())


def find_cycle(
    flow: object,
    u: Tensor,
    x: Tensor | None = None,
    *,
    longest: float = 100.0,
    period: float | None = None,
    dt: float = 0.05,
    points: int = 200,
) -> Attractor | None:
    """Return the cycle, stable or not, that a state (N,) is on or near, None if there is none.

    Parameters
    ----------
    longest
        No period is longer.
    period
        First guess of T, for an unstable cycle, which orbits leave; by default the time until the
        orbit comes back.
    flow, x, dt, points
        As for `find_attractors`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> find_cycle(snt.systems.OrnsteinUhlenbeck(-torch.eye(2).double()), start) is None
    True
    """
    if isinstance(u, Tensor) and u.ndim != 1:
        raise ValueError(f"u: expected one state (N,), got {tuple(u.shape)}")
    flow, rows, x = entered(flow, u, x)
    longest, dt = checks.positive("longest", longest), checks.positive("dt", dt)
    points, u = checks.count("points", points, low=8), rows[0]
    guess = None if period is None else checks.positive("period", period)
    with observing(flow, u):
        u, T = _first_return(flow, u, x, longest, dt) if guess is None else (u, guess)
        tol = torch.finfo(u.dtype).eps ** 0.75
        origin, along = u, flow.drift(u, x)
        for _ in range(_NEWTON):
            if not 0 < T <= 1.5 * longest:
                return None
            states, end, monodromy = _around(flow, u, x, T, dt, points)
            gap = end - u
            if not bool(monodromy.isfinite().all() and gap.isfinite().all()):
                return None
            small = float(gap.abs().amax()) <= tol * (1 + float(u.abs().amax()))
            if small:
                break
            u, T = _corrected(flow, x, u, T, gap, end, monodromy, along, along @ (u - origin))
        else:
            return None
        width = (states.amax(0) - states.amin(0)).amax()
        if width <= 1e-6 * (1 + u.abs().amax()):  # Newton's method has found a fixed point
            return None
        rates = _floquet(flow, x, states, T, dt, monodromy)
    return Attractor(states=states, period=T, rates=rates, error=float(gap.abs().amax()))


def entered(flow: object, u: Tensor, x: Tensor | None) -> tuple[Flow, Tensor, Tensor | None]:
    """Return a flow, starts (R, N) and a constant drive, checked."""
    flow = as_flow(flow)
    checks.finite("u", flow.check(u))
    _, x = enter(EulerMaruyama(flow, 1.0), u, x=x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected one constant drive (I,), got {tuple(x.shape)}")
    return flow, u.detach().reshape(-1, u.shape[-1]), x


def _first_return(
    flow: Flow, u: Tensor, x: Tensor | None, longest: float, dt: float
) -> tuple[Tensor, float]:
    """Return a state and the time after which the orbit passes near it again, 0 if never.

    That is where the orbit crosses the plane through the state across the flow.  A state that is
    not met again is given up for a later one, nearer to the attractor, and twice the time.
    """
    quiet, left, part = RungeKutta4(lambda s: flow.drift(s, x), dt), 2 * longest / dt, _PART
    while left > 0:
        orbit = torch.cat([u[None], rollout(quiet, u, part)])
        side = (orbit - u) @ flow.drift(u, x)
        far = (orbit - u).norm(dim=-1)
        back = (side[:-1] < 0) & (side[1:] >= 0) & (far[1:] <= _RETURN * far.cummax(0).values[1:])
        if bool(back.any()):
            t = int(back.nonzero()[0])
            return u, dt * (t + float(side[t] / (side[t] - side[t + 1])))
        u, left, part = orbit[-1], left - part, 2 * part
    return u, 0.0


def _around(
    flow: Flow, u: Tensor, x: Tensor | None, T: float, dt: float, points: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return P states from u on in time T, the state at T, and its derivative by u."""
    f = stepper(flow, T / points, dt)
    states = [u]
    for _ in range(points):
        states.append(f.map(states[-1], x))
    visited, V = torch.stack(states[:-1]), torch.eye(len(u), dtype=u.dtype, device=u.device)
    for M in tangents(f, x, visited):
        V = M @ V
    return visited, states[-1], V


def stepper(flow: Flow, h: float, dt: float) -> RungeKutta4:
    """Return steps of length h, in substeps no longer than dt."""
    return RungeKutta4(flow, h, substeps=max(1, math.ceil(h / dt)))


def tangents(f: RungeKutta4, x: Tensor | None, states: Tensor) -> Iterator[Tensor]:
    """Yield the derivative of the step from each state to the next."""
    for part in states.split(max(1, _ENTRIES // states.shape[-1] ** 2)):
        yield from f.jacobian(part, x)


def _floquet(
    flow: Flow, x: Tensor | None, states: Tensor, T: float, dt: float, monodromy: Tensor
) -> Tensor:
    """Return Floquet's exponents (N,), zero first; strong decay by a frame that goes round.

    Multipliers below rounding are lost in the product of all steps.  In a frame that has settled
    on the directions, the logarithms of its stretches add up instead; angles are then unknown.
    """
    multipliers = torch.linalg.eigvals(monodromy)
    trivial = int((multipliers - 1).abs().argmin())
    others = torch.cat([multipliers[:trivial], multipliers[trivial + 1 :]])
    others = others[others.abs().argsort(descending=True)]
    rates = others.log() / T
    lost = others.abs() < torch.finfo(states.dtype).eps ** 0.5
    if bool(lost.any()):
        Q = torch.linalg.qr(monodromy).Q
        f, logs = stepper(flow, T / len(states), dt), states.new_zeros(len(monodromy))
        for _ in range(2):  # in the first round the frame settles
            logs.zero_()
            for M in tangents(f, x, states):
                Q, R = torch.linalg.qr(M @ Q)
                logs += R.diagonal().abs().log()
        decay = logs.sort(descending=True).values[1:] / T
        rates = torch.where(lost, torch.complex(decay, torch.zeros_like(decay)), rates)
    return torch.cat([torch.zeros_like(rates[:1]), rates])


def _corrected(
    flow: Flow,
    x: Tensor | None,
    u: Tensor,
    T: float,
    gap: Tensor,
    end: Tensor,
    monodromy: Tensor,
    along: Tensor,
    off: Tensor,
) -> tuple[Tensor, float]:
    """Return u and T after a step of Newton's method in the plane across `along`."""
    n = len(u)
    system = u.new_zeros(n + 1, n + 1)
    system[:n, :n] = monodromy - torch.eye(n, dtype=u.dtype, device=u.device)
    system[:n, n] = flow.drift(end, x)
    system[n, :n] = along
    step = torch.linalg.lstsq(system, -torch.cat([gap, off[None]])[:, None]).solution[:, 0]
    change = float(step[n].clamp(-0.2 * T, 0.2 * T))
    return u + step[:n], T + change
