r"""Covariances of small fluctuations: about a stable fixed point, and across a limit cycle.

The equations are those of `sntorch.landscape.gaussian`.  Along a cycle nothing pulls back: a
covariance that is not projected grows without bound there, and is refused.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, RungeKutta4, as_flow
from sntorch.landscape.linear import diffusion_matrix, linear_flow
from sntorch.landscape.orbits import Attractor
from sntorch.observing import observing

__all__ = ["covariance_at", "cycle_covariance"]

_ENTRIES = 2**22  # numbers in memory at a time


def covariance_at(flow: object, u: Tensor, x: Tensor | None = None) -> Tensor:
    """Return the covariance (N, N) of small fluctuations about a stable fixed point u (N,).

    Raises
    ------
    ValueError
        On wrong arguments; if u is no fixed point, since on a cycle the covariance across the flow
        is all there is, that of `cycle_covariance`; if it is not stable; and without noise.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.OrnsteinUhlenbeck(-2 * torch.eye(2), diffusion=1.0)
    >>> covariance_at(flow, torch.zeros(2))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    flow = as_flow(flow)
    checks.finite("u", flow.check(u))
    if u.ndim != 1:
        raise ValueError(f"u: expected one state (N,), got {tuple(u.shape)}")
    with observing(flow, u):
        speed, A = float(flow.drift(u, x).abs().amax()), flow.jacobian(u, x)
    if speed > torch.finfo(u.dtype).eps ** 0.5 * (1 + float(u.abs().amax())):
        raise ValueError(
            f"u: expected a fixed point, got a drift of {speed:.3g}; on a limit cycle only the "
            "covariance across the flow exists, see cycle_covariance"
        )
    return linear_flow(A, flow.diffusion).covariance


def cycle_covariance(flow: object, cycle: Attractor, x: Tensor | None = None) -> Tensor:
    """Return the covariance (P, N, N) across the flow at the states of a stable limit cycle.

    Raises
    ------
    ValueError
        If `cycle` is no stable limit cycle, as `find_cycle` returns it, and without noise.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.TanhRing(diffusion=0.05)
    >>> cycle = snt.landscape.find_cycle(ring, torch.tensor([1.0, 0.0], dtype=torch.float64))
    >>> across = snt.landscape.cycle_covariance(ring, cycle)
    >>> bool((across @ ring.drift(cycle.states).unsqueeze(-1)).abs().max() < 1e-12)
    True
    """
    flow = as_flow(flow)
    checks.instance("cycle", cycle, Attractor)
    if not cycle.period or not cycle.stable:
        raise ValueError(f"cycle: expected a stable limit cycle, got {cycle!r}")
    states = cycle.states
    D = 2 * diffusion_matrix("diffusion", flow.diffusion, states.shape[-1]).to(states)
    with observing(flow, states):
        M, Q = _steps(flow, x, cycle, D)
        across = _across(flow.drift(states, x)).roll(-1, 0)  # where the steps lead to
    M, Q = across @ M, across @ Q @ across
    # Squaring: Sigma(0) = sum of W^k V W^Tk of one period, doubled until nothing is added.
    W, V = torch.eye(M.shape[-1]).to(M), torch.zeros_like(Q[0])
    for step, noise in zip(M, Q, strict=True):
        W, V = step @ W, step @ V @ step.T + noise
    S = V
    while float((added := W @ S @ W.T).abs().amax()) > torch.finfo(S.dtype).eps * S.abs().amax():
        S, W = S + added, W @ W
    found = [S]
    for step, noise in zip(M[:-1], Q[:-1], strict=True):
        S = step @ S @ step.T + noise
        found.append((S + S.T) / 2)
    return torch.stack(found)


def _steps(flow: Flow, x: Tensor | None, cycle: Attractor, D: Tensor) -> tuple[Tensor, Tensor]:
    """Return from every state to the next the derivative and the covariance that noise adds."""
    h = cycle.period / len(cycle.states)
    substeps = max(1, math.ceil(h / 0.05))
    half = RungeKutta4(flow, h / 2, substeps=substeps)
    parts = cycle.states.split(max(1, _ENTRIES // len(D) ** 2))
    first, second = [], []
    for part in parts:
        eye = torch.eye(len(D), dtype=part.dtype, device=part.device)
        middle, M = half.jvp(part, eye.expand(len(part), -1, -1), x)
        first.append(M)
        second.append(half.jacobian(middle, x))
    late = torch.cat(second)
    M = late @ torch.cat(first)
    Q = h / 6 * (M @ D @ M.mT + 4 * late @ D @ late.mT + D)  # Simpson's rule
    return M, Q


def _across(F: Tensor) -> Tensor:
    """Return the projections (P, N, N) on the planes across F (P, N)."""
    along = (F / F.norm(dim=-1, keepdim=True)).unsqueeze(-1)
    return torch.eye(F.shape[-1], dtype=F.dtype, device=F.device) - along @ along.mT
