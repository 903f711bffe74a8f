r"""Stationary mean field without leak: a fixed point of two numbers, mean and variance.

.. math:: \mu = \bar J E f - \theta, \qquad v = J^2 E f^2 + s_\theta^2 + \sigma^2, \qquad
          q = J^2 E[f f]_q + s_\theta^2,

with E[f f]_q the pair average at covariance q, whose smallest root is the static overlap: the
couplings are quenched, so that all lags but 0 share it.  Without noise q = v is a fixed point of
the network, stable while J^2 E f'^2 < 1.  The exponents are

.. math:: \lambda_{micro} = \tfrac12 \ln J^2 E f'^2, \qquad
          \lambda_{macro} = \ln \rho\, \frac{\partial (\mu', v')}{\partial (\mu, v)}

(Molgedey, Schuchhardt, Schuster, PRL 69 (1992) 3717, for the first).  `relax` solves the equations,
`sntorch.meanfield.relaxation` says how; the start decides between coexisting solutions.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from sntorch.meanfield.averages import (
    AVERAGES,
    BLOCK,
    Moments,
    fineness,
    intervals,
    moments,
    resolved,
)
from sntorch.meanfield.nearby import nearly_equal
from sntorch.meanfield.pairs import MOST_TERMS, TERMS, Pairs
from sntorch.meanfield.record import Parameters
from sntorch.meanfield.relaxation import UNBOUNDED, newton
from sntorch.transfer import Transfer

__all__ = ["Static", "by_mesh", "evaluate", "jacobian", "overlap", "relax", "spectral"]

_WARM = 2  # plain steps before Newton: they reach the neighbourhood of the right solution
_RISING = 60  # where two roots meet Newton's method halves the distance, no more
_LAST = 1e-8  # relative: the error after a Newton step is of the order of its square
_FLAT = 1e-12
_SETTLED, _SETTLED_SLOPE = 1e-9, 1e-7  # change of overlap and slopes with twice the terms
_MANY, _COARSE = 200, -1
_DEAD = 1e-13  # a variance that only rounding keeps alive


@dataclasses.dataclass(frozen=True)
class Static:
    """Mean, variance, their averages and the residual, each (P,)."""

    mu: Tensor
    v: Tensor
    at: Moments
    residual: Tensor
    fine: int
    """How much finer than usual the meshes are, see `fineness`."""

    def take(self, rows: Tensor) -> Static:
        """Return the solutions at an index."""
        at = Moments(**{name: getattr(self.at, name)[rows] for name in AVERAGES})
        return Static(self.mu[rows], self.v[rows], at, self.residual[rows], self.fine)


def relax(transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, warm: int = _WARM) -> Static:
    """Return the solution reached from mean mu and variance v (P,), at first by `warm` plain steps.

    Without plain steps Newton's method finds unstable solutions too.  Where averages cost more than
    what is around them, a mesh of half the usual fineness leads near the solution.
    """
    fine = fineness(transfer, p.gain, mu, v)
    result = torch.stack([mu, v, v])
    coarse = fine > 0 or (fine == 0 and len(v) >= _MANY)
    for level in (_COARSE, fine) if coarse else (fine,):
        for n, rows in by_mesh(p.gain, result[1], level):
            if rows is None:
                result = newton(transfer, p, result[0], result[1], n, warm)
            else:
                law = result[:, rows]
                result[:, rows] = newton(transfer, p.take(rows), law[0], law[1], n, warm)
        warm = 0
    mu, v = result[0], result[1]
    dead = (v < _DEAD) & (p.independent == 0)
    s = evaluate(transfer, p, mu, v.masked_fill(dead, 0), result[2], fine)
    miss = p.mean * s.at.mean - p.threshold - s.mu, _next_v(p, s.at) - s.v
    residual = torch.maximum(miss[0].abs(), miss[1].abs())
    known = (s.v < UNBOUNDED) & resolved(p.gain, s.v, fine)
    return dataclasses.replace(s, residual=residual.masked_fill(~known, torch.inf))


def by_mesh(gain: Tensor, v: Tensor, fine: int) -> list[tuple[int, Tensor | None]]:
    """Return pairs of a mesh and the rows that need it, None for all of them.

    Few rows share the finest: the averages cost less than what is around them.
    """
    mesh = intervals(gain, v, fine)
    finest = int(mesh.max())
    if len(mesh) * finest <= BLOCK:
        return [(finest, None)]
    found = mesh.unique().tolist()
    if len(found) == 1:
        return [(finest, None)]
    return [(n, (mesh == n).nonzero().squeeze(-1)) for n in found]


def evaluate(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, residual: Tensor, fine: int
) -> Static:
    """Return the averages at a solution, on meshes that fit its own variance."""
    safe = torch.where(v.isfinite(), v, 1.0)
    fields: dict[str, Tensor] = {}
    for n, rows in by_mesh(p.gain, safe, fine):
        if rows is None:
            return Static(mu, v, moments(transfer, p.gain, mu, safe, n), residual, fine)
        fields = fields or {name: torch.empty_like(v) for name in AVERAGES}
        at = moments(transfer, p.gain[rows], mu[rows], safe[rows], n)
        for name, value in fields.items():
            value[rows] = getattr(at, name)
    return Static(mu, v, Moments(**fields), residual, fine)


def _next_v(p: Parameters, at: Moments) -> Tensor:
    return p.std.square() * at.square + p.independent


def jacobian(p: Parameters, at: Moments) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the derivatives (mu'_mu, mu'_v, v'_mu, v'_v) of the map of mean and variance."""
    power = p.std.square()
    return p.mean * at.slope, p.mean * at.mean_v, power * at.square_mu, power * at.square_v


def spectral(p: Parameters, s: Static) -> Tensor:
    """Return the logarithm (P,) of the spectral radius of that map.

    Where nothing varies, v is quadratic in the perturbation of a neuron and counts half.
    """
    a, b, c, d = (each.numpy(force=True) for each in jacobian(p, s.at))
    with np.errstate(all="ignore"):
        half, det = (a + d) / 2, a * d - b * c
        root = half**2 - det
        real = np.abs(half) + np.sqrt(np.maximum(root, 0))
        rho = np.where(root >= 0, real, np.sqrt(np.maximum(det, 0)))
        still = np.maximum(np.abs(a), np.sqrt(np.abs(d)))
        rho = np.log(np.where(s.v.numpy(force=True) > 0, rho, still))
    return torch.from_numpy(rho).to(s.v.device)


def overlap(
    transfer: Transfer, p: Parameters, s: Static, added: Tensor, known: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the smallest q = J^2 E[f f]_q + added and E f' f' at it, each (P,).

    The right side is a power series with coefficients >= 0 and hence convex for q >= 0: Newton's
    method from below rises to the smallest root without passing it.  Rows that are `known` to be
    fixed points of the network have q = v.
    """
    power = p.std.square()
    full = known | (s.v <= added * (1 + 1e-15))
    q = torch.where(full, s.v, 0.0)
    pair = torch.where(full, s.at.slope_sq, s.at.slope.square())
    some = power * s.at.mean.square() + added > 1e-26 * s.v
    rows = (~full & some & (s.v < UNBOUNDED)).nonzero().squeeze(-1)
    for n, part in by_mesh(p.gain[rows], s.v[rows], s.fine) if len(rows) else ():
        for at in (rows if part is None else rows[part]).split(2048):
            q[at], pair[at] = _refine(transfer, p.take(at), s.take(at), n, added[at])
    return torch.minimum(q, s.v), pair


def _refine(
    transfer: Transfer, p: Parameters, s: Static, mesh: int, added: Tensor
) -> tuple[Tensor, Tensor]:
    """Return overlap and slope pair, from a series of which half the terms say the same.

    A short series may miss the smallest root and lead to v, where all series agree; the slope there
    tells, which is below 1 at the smallest root only.  What no series settles is nearly v.
    """
    power, terms = p.std.square(), 2 * TERMS
    # The first step of Newton's method, from q = 0.
    start, change = power * s.at.mean.square() + added, power * s.at.slope.square()
    start = torch.where(change < 1, start / (1 - change).clamp(min=_FLAT), start)
    start = torch.minimum(start, s.v)
    q, pair = start.clone(), torch.empty_like(start)
    rows = torch.arange(len(q), device=q.device)
    while True:
        pairs = Pairs(transfer, p.gain, s.mu, s.v, mesh, terms, law=s.at)
        q[rows] = found = _rise(pairs, power, added, start)
        if pairs.closed:
            return q, pairs.slope(found.unsqueeze(-1)).squeeze(-1)
        value, change, slope = pairs.both(found)
        pair[rows] = slope
        few = pairs.shortened(terms // 2).both(found)
        moved = power * (value - few[0]).abs() / (1 - power * change).clamp(min=_FLAT)
        moving = (moved > _SETTLED * (1 + found)) | (power * slope > 1 + _FLAT)
        moving |= (slope - few[2]).abs() > _SETTLED_SLOPE * (1 + slope)
        if not bool(moving.any()):
            return q, pair
        rows, power, added, start = (each[moving] for each in (rows, power, added, start))
        p, s, terms = p.take(moving), s.take(moving), 2 * terms
        if terms > MOST_TERMS:
            q[rows], pair[rows] = nearly_equal(
                transfer, p, (s.mu, s.v), s.fine, added, start, q[rows]
            )
            return q, pair


def _rise(pairs: Pairs, power: Tensor, added: Tensor, q: Tensor) -> Tensor:
    """Return the overlap from q on; rows leave the loop once they have converged."""
    result = q.clone()
    rows = torch.arange(len(q), device=q.device)
    for _ in range(_RISING):
        value, slope, _ = pairs.both(q)
        gap, slope = power * value + added - q, power * slope
        step = torch.where(slope < 1, gap / (1 - slope).clamp(min=_FLAT), gap)
        q = torch.minimum(q + step, pairs.v)
        result[rows] = q
        keep = step.abs() > _LAST * pairs.v
        going = int(keep.sum())
        if not going:
            break
        if going <= len(rows) // 2:
            rows, pairs, q = rows[keep], pairs.take(keep), q[keep]
            power, added = power[keep], added[keep]
    return result
