r"""Fixed points of a map, F(u) = u, and slow points, where F(u) - u is small but not zero.

With r(u) = F(u) - u and A = DF - 1, all starts minimise the speed (Sussillo and Barak 2013)

.. math:: E(u) = \tfrac12 |F(u) - u|^2, \qquad
          \delta = -(A^\top A + \mu 1)^{-1} A^\top r, \qquad
          \mu = \alpha \, |r| / \sqrt N,

by Levenberg-Marquardt steps, each row with its own damping alpha, taken only if they lower E: small
steps downhill far away, Newton's and quadratic at the end, also where fixed points form a line (Fan
2003).  Last comes one undamped Newton step.  A point is reached if

.. math:: |r|_\infty \le \mathrm{tol}\,(1 + |u|_\infty) \quad\text{and}\quad
          |A^{-1} r|_\infty \le \sqrt{\mathrm{tol}}\,(1 + |u|_\infty):

the second number estimates the distance to the true point, so that the trace that a fold leaves
behind is not taken for one.  A local minimum of E with E > 0 is a slow point: kept, not converged.

Stability is told by the multipliers, the eigenvalues of DF: directions with modulus above 1 are
unstable.  Points of period n are the fixed points of ``iterate(f, n)``.  Completeness cannot be
promised (mathematics): points that no start leads to are missing.  How many starts led to a point
says how easily this search finds it; it is no volume of a basin of attraction of F.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.stability import Stability
from sntorch.dynamics import Dynamics, enter
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["FixedPoints", "find_fixed_points", "noise_level"]

_ENTRIES = 2**22  # of all Jacobians that are in memory at a time
_FLAT = 1e-7  # a step that lowers the speed by a smaller part has reached a minimum


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FixedPoints(Stability, Result):
    """Where M starts ended: fixed points of F, and slow points, which have not converged."""

    states: Tensor
    """(M, N), in the order of the starts."""
    speed: Tensor
    """(M,), E = |F(u) - u|^2 / 2 per step squared."""
    error: Tensor
    """(M,), estimated distance to the fixed point, largest component."""
    converged: Tensor
    """(M,) bool; nothing else is a fixed point."""
    eigenvalues: Tensor
    """(M, N) complex, multipliers per step, largest modulus first; NaN where DF is not finite."""
    label: Tensor
    """(M,), which of the distinct points of `unique` a start led to; -1 if it did not converge."""
    basin: Tensor
    """(M,), how many starts a row stands for: 1 before `unique`."""
    noise: float = 0.0
    """Largest noise of the dynamics per step; it is left out: these are fixed points of F."""

    def unique(self) -> FixedPoints:
        """Return the distinct converged points with their `basin`, stable ones first.

        Points with equally many unstable directions come with the larger `basin` first.
        """
        count = int(self.label.max()) + 1
        basin = torch.zeros(count, dtype=self.basin.dtype, device=self.basin.device)
        reached = self.label >= 0
        basin.index_add_(0, self.label[reached], self.basin[reached])
        first = [int((self.label == i).nonzero()[0]) for i in range(count)]
        return self._rows(torch.tensor(first, dtype=torch.long, device=basin.device), basin)

    def scalars(self) -> dict[str, float]:
        """Return numbers of distinct points and of stable ones, and the share that converged."""
        distinct = self.unique()
        return {
            "points": float(len(distinct.states)),
            "stable": float(distinct.stable.sum()),
            "converged": float(self.converged.double().mean()),
        }

    def _rows(self, rows: Tensor, basin: Tensor) -> FixedPoints:
        """Return some rows as distinct points."""
        eigenvalues = self.eigenvalues[rows]
        order = basin.argsort(descending=True, stable=True)
        unstable = (eigenvalues.abs() > 1).sum(-1)
        order = order[unstable[order].argsort(stable=True)]
        rows, basin = rows[order], basin[order]
        return dataclasses.replace(
            self,
            states=self.states[rows],
            speed=self.speed[rows],
            error=self.error[rows],
            converged=self.converged[rows],
            eigenvalues=self.eigenvalues[rows],
            label=torch.arange(len(rows), device=rows.device),
            basin=basin,
        )


def find_fixed_points(
    f: object,
    u: Tensor,
    x: Tensor | None = None,
    *,
    tol: float | None = None,
    steps: int = 200,
    separation: float | None = None,
) -> FixedPoints:
    """Return the fixed points of f that are found from the starts u.

    Good starts are states that the network visits, with some noise upon them.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; ``iterate(f, n)`` for points of period n.
    u
        Starts (..., N), all at once; M is the number of rows.
    x
        Constant drive (I,), one for all rows.
    tol
        A point is fixed to this, relative to 1 + |u|; by default eps^(3/4), 2e-12 in float64.
    steps
        Levenberg-Marquardt steps at most.
    separation
        Points closer than this, relative to 1 + |u|, are one; by default sqrt(tol).

    Raises
    ------
    ValueError
        On wrong arguments, a drive per row or per step included.

    References
    ----------
    D. Sussillo, O. Barak, Neural Comput. 25 (2013) 626; J. Fan, J. Comput. Math. 21 (2003) 625.

    Examples
    --------
    >>> import sntorch as snt
    >>> starts = torch.linspace(-1, 1, 9, dtype=torch.float64).unsqueeze(-1)
    >>> points = snt.analysis.find_fixed_points(lambda u: torch.tanh(2 * u), starts).unique()
    >>> points.unstable
    tensor([0, 0, 1])
    """
    f, x = enter(f, u, x=x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected one constant drive (I,), got {tuple(x.shape)}")
    fixed = checks.positive("tol", float(torch.finfo(u.dtype).eps ** 0.75) if tol is None else tol)
    apart = checks.positive("separation", fixed**0.5 if separation is None else separation)
    steps = checks.count("steps", steps)
    with observing(f, u):
        states = _minimise(f, u.reshape(-1, u.shape[-1]).detach().clone(), x, steps)
        states, r, error = _by_parts(_newton, f, x, states)
        size = 1 + _largest(states)
        good = (_largest(r) <= fixed * size) & (error <= fixed**0.5 * size)
        label = _labels(states, good, apart)
        return FixedPoints(
            states=states,
            speed=0.5 * r.square().sum(-1),
            error=error,
            converged=good,
            eigenvalues=_multipliers(f, states, x, label),
            label=label,
            basin=torch.ones_like(label),
            noise=noise_level(f, u),
        )


def noise_level(f: Dynamics, u: Tensor) -> float:
    """Return the largest noise of f per step, 0 if there is none."""
    sigma = noise_of(f, u)
    return 0.0 if sigma is None else float(sigma.detach().abs().max())


def _minimise(f: Dynamics, u: Tensor, x: Tensor | None, steps: int) -> Tensor:
    """Return the states (M, N) after Levenberg-Marquardt steps; rows that settle drop out."""
    damping = u.new_ones(len(u))
    moving = torch.ones(len(u), dtype=torch.bool, device=u.device)
    for _ in range(steps):
        rows = moving.nonzero().squeeze(-1)
        if not len(rows):
            break
        u[rows], damping[rows], moving[rows] = _by_parts(_descend, f, x, u[rows], damping[rows])
    return u


def _descend(
    f: Dynamics, x: Tensor | None, u: Tensor, damping: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Make one damped step; return states, dampings, and which rows go on."""
    r, A = _linearise(f, u, x)
    square = r.square().sum(-1)
    mu = damping * (square / r.shape[-1]).sqrt()
    normal = A.mT @ A
    normal.diagonal(dim1=-2, dim2=-1).add_(mu.unsqueeze(-1))
    factor, failed = torch.linalg.cholesky_ex(normal)
    delta = -torch.cholesky_solve(A.mT @ r.unsqueeze(-1), factor)
    trial = u + delta.squeeze(-1)
    gained = square - (f.map(trial, x) - trial).square().sum(-1)
    promised = square - (r.unsqueeze(-1) + A @ delta).squeeze(-1).square().sum(-1)
    better = (gained > 0) & (failed == 0)
    ratio = torch.where(better, gained / promised, -1.0)
    change = torch.where(ratio > 0.75, 0.25, torch.where(ratio < 0.25, 4.0, 1.0))
    flat = better & (gained < _FLAT * square) | (damping > 1e12)
    still = _largest(delta.squeeze(-1)) <= torch.finfo(u.dtype).eps * (1 + _largest(u))
    stop = flat | still | (_largest(r) <= _rounding(u)) | ~square.isfinite()
    damping = (damping * change).clamp(min=1e-12)
    return torch.where(better.unsqueeze(-1), trial, u), damping, ~stop


def _newton(f: Dynamics, x: Tensor | None, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make one Newton step where it helps; return states, F(u) - u, and the size of the next."""
    r, A = _linearise(f, u, x)
    factors, pivots, _ = torch.linalg.lu_factor_ex(A)
    trial = u - torch.linalg.lu_solve(factors, pivots, r.unsqueeze(-1)).squeeze(-1)
    residual = f.map(trial, x) - trial
    better = (residual.square().sum(-1) < r.square().sum(-1)).unsqueeze(-1)
    u, r = torch.where(better, trial, u), torch.where(better, residual, r)
    error = _largest(torch.linalg.lu_solve(factors, pivots, r.unsqueeze(-1)).squeeze(-1))
    return u, r, torch.where(_largest(r) <= _rounding(u), 0.0, error)


def _linearise(f: Dynamics, u: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return r = F(u) - u (M, N) and A = DF - 1 (M, N, N)."""
    value, DF = f.linearise(u, x)
    return value - u, DF - torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)


def _by_parts(
    step: Callable[..., tuple[Tensor, ...]], f: Dynamics, x: Tensor | None, *rows: Tensor
) -> tuple[Tensor, ...]:
    """Apply a function of rows to as many rows at a time as memory should hold."""
    height = max(1, _ENTRIES // rows[0].shape[-1] ** 2)
    parts = zip(*(each.split(height) for each in rows), strict=True)
    found = [step(f, x, *part) for part in parts]
    return tuple(torch.cat(each) for each in zip(*found, strict=True))


def _largest(v: Tensor) -> Tensor:
    return v.abs().amax(-1)


def _rounding(u: Tensor) -> Tensor:
    """Return what rounding leaves of F(u) - u (M,) at a fixed point."""
    return 4 * u.shape[-1] ** 0.5 * torch.finfo(u.dtype).eps * (1 + _largest(u))


def _labels(states: Tensor, good: Tensor, apart: float) -> Tensor:
    """Return for every row (M,) the number of its point, -1 for rows that are not good."""
    label = torch.full_like(good, -1, dtype=torch.long)
    left = good.nonzero().squeeze(-1)
    count = 0
    while len(left):
        point = states[left[0]]
        near = _largest(states[left] - point) <= apart * (1 + _largest(point))
        label[left[near]] = count
        left, count = left[~near], count + 1
    return label


def _multipliers(f: Dynamics, u: Tensor, x: Tensor | None, label: Tensor) -> Tensor:
    """Return the eigenvalues of DF (M, N); rows that reached the same point share them."""
    rows, seen = [], {}
    for row, point in enumerate(label.tolist()):
        rows.append(seen.setdefault(point if point >= 0 else -row - 1, row))
    places, back = torch.as_tensor(rows, device=u.device).unique(return_inverse=True)
    (values,) = _by_parts(_eigenvalues, f, x, u[places])
    return values[back]


def _eigenvalues(f: Dynamics, x: Tensor | None, u: Tensor) -> tuple[Tensor]:
    DF = f.jacobian(u, x)
    finite = DF.isfinite().all((-2, -1))
    values = torch.linalg.eigvals(torch.where(finite[:, None, None], DF, 0.0))
    values = values.gather(-1, values.abs().argsort(-1, descending=True))
    return (torch.where(finite[:, None], values, torch.nan),)
