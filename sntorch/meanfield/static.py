r"""Stationary mean field without leak: a fixed point of two numbers, mean and variance.

.. math:: \mu = \bar J E f - \theta, \qquad v = J^2 E f^2 + s_\theta^2 + \sigma^2, \qquad
          q = J^2 E[f f]_q + s_\theta^2,

with E[f f]_q the pair average at covariance q, whose smallest root is the static overlap: the
couplings are quenched, so that all lags but 0 share it.  Without noise q = v is a fixed point of
the network, stable while J^2 E f'^2 < 1.  The exponents are

.. math:: \lambda_{micro} = \tfrac12 \ln J^2 E f'^2, \qquad
          \lambda_{macro} = \ln \rho\, \frac{\partial (\mu', v')}{\partial (\mu, v)}

(Molgedey, Schuchhardt, Schuster, PRL 69 (1992) 3717, for the first).  The equations are solved by
Newton's method with steps of the map itself where Newton does not help: those are the relaxation of
the network, so that from a large variance the most active solution is found.  `Start` decides
between coexisting solutions.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.meanfield.averages import Moments, fineness, image, intervals, is_closed, moments
from sntorch.meanfield.pairs import MOST_TERMS, TERMS, Pairs
from sntorch.meanfield.record import Parameters
from sntorch.transfer import Transfer

__all__ = ["Static", "by_mesh", "evaluate", "jacobian", "overlap", "relax", "spectral"]

_ROUNDS = 400
_EXACT, _STALLED, _LAST = 2e-15, 1e-11, 1e-8
_UNBOUNDED = 1e12
_WARM = 2  # plain steps before Newton: they reach the neighbourhood of the right solution
_RISING = 60  # where two roots meet Newton's method halves the distance, no more
_SETTLED, _SETTLED_SLOPE = 1e-9, 1e-7  # change of overlap and slopes with twice the terms
_TINY = 1e-13
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
        names = [field.name for field in dataclasses.fields(Moments)]
        at = Moments(**{name: getattr(self.at, name)[rows] for name in names})
        return Static(self.mu[rows], self.v[rows], at, self.residual[rows], self.fine)


def relax(transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, warm: int = _WARM) -> Static:
    """Return the solution reached from mean mu and variance v (P,), at first by `warm` plain steps.

    Without plain steps Newton's method finds unstable solutions too.
    """
    fine = fineness(transfer, p.gain, mu, v)
    result = torch.stack([mu, v, torch.full_like(v, torch.inf)])
    for n, rows in by_mesh(p.gain, v, fine):
        result[:, rows] = _newton(transfer, p.take(rows), mu[rows], v[rows], n, warm)
    dead = (result[1] < _DEAD) & (p.independent == 0)
    s = evaluate(transfer, p, result[0], result[1].masked_fill(dead, 0), result[2], fine)
    (mean, variance), shift = linear_part(p)
    miss = mean[0] * s.at.mean + shift[0] - s.mu, variance[0] * s.at.square + shift[1] - s.v
    unbounded = ~(s.v < _UNBOUNDED)
    residual = torch.maximum(miss[0].abs(), miss[1].abs()).masked_fill(unbounded, torch.inf)
    return dataclasses.replace(s, residual=residual)


def by_mesh(gain: Tensor, v: Tensor, fine: int) -> list[tuple[int, Tensor]]:
    """Return pairs of a mesh and the rows that need it."""
    mesh = intervals(gain, v, fine)
    if len(mesh) == 1:
        return [(int(mesh), torch.zeros(1, dtype=torch.int64, device=mesh.device))]
    return [(n, (mesh == n).nonzero().squeeze(-1)) for n in mesh.unique().tolist()]


def evaluate(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, residual: Tensor, fine: int
) -> Static:
    """Return the averages at a solution, on meshes that fit its own variance."""
    safe = torch.where(v.isfinite(), v, 1.0)
    parts = by_mesh(p.gain, safe, fine)
    if len(parts) == 1:
        at = moments(transfer, p.gain, mu, safe, parts[0][0])
        return Static(mu, v, at, residual, fine)
    fields = {f.name: torch.empty_like(v) for f in dataclasses.fields(Moments)}
    for n, rows in parts:
        at = moments(transfer, p.gain[rows], mu[rows], safe[rows], n)
        for name, value in fields.items():
            value[rows] = getattr(at, name)
    return Static(mu, v, Moments(**fields), residual, fine)


def jacobian(p: Parameters, at: Moments) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the derivatives (mu'_mu, mu'_v, v'_mu, v'_v) of the map of mean and variance."""
    power = p.std.square()
    return p.mean * at.slope, p.mean * at.mean_v, power * at.square_mu, power * at.square_v


def spectral(p: Parameters, s: Static) -> Tensor:
    """Return the logarithm (P,) of the spectral radius of that map.

    Where nothing varies, v is quadratic in the perturbation of a neuron and counts half.
    """
    a, b, c, d = jacobian(p, s.at)
    half, det = (a + d) / 2, a * d - b * c
    root = half.square() - det
    real = half.abs() + root.clamp(min=0).sqrt()
    rho = torch.where(root >= 0, real, det.clamp(min=0).sqrt())
    return torch.where(s.v > 0, rho, torch.maximum(a.abs(), d.abs().sqrt())).log()


def _newton(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, mesh: int, warm: int
) -> Tensor:
    """Return mean, variance and residual (3, P); finished rows leave the loop.

    A Newton step that does not halve the residual is taken back and followed by steps of the map,
    twice as many every time: they pass the narrows that Newton's method turns round in.
    """
    x = torch.stack([mu, v])
    kept = torch.cat([x, torch.full_like(x[:1], torch.inf)])
    result, rows = kept.clone(), torch.arange(x.shape[1], device=x.device)
    best = kept[2]
    wait, penalty, anchor = torch.full_like(v, warm), torch.ones_like(v), x
    weight, shift = linear_part(p)
    gain = p.gain
    for _ in range(_ROUNDS):
        at = weight * image(transfer, gain, x[0], x[1], mesh)
        y = at[:, 0] + shift
        miss = x - y
        size = miss.abs().amax(0)
        # Relative to v, since two solutions may be as close as v is small.
        scale = torch.stack([1 + x[0].abs(), x[1].clamp(min=_TINY)])
        relative = (miss.abs() / scale).amax(0)
        good = size <= 0.5 * best
        kept = torch.where(size <= kept[2], torch.cat([x, size[None]]), kept)
        keep = (relative > _EXACT) & (x[1] < _UNBOUNDED) & (good | (relative > _STALLED))
        step = _step(at, miss)
        newton = x + step
        jump = good & (wait <= 0) & (newton[1] >= 0) & newton.isfinite().all(0)
        # The error after a Newton step is of the order of its square.
        last = jump & keep & ((step.abs() / scale).amax(0) <= _LAST)
        kept[:2] = torch.where(last, newton, kept[:2])
        keep &= ~last
        if not bool(keep.all()):
            result[:, rows[~keep]] = kept[:, ~keep]
        if not bool(keep.any()):
            break
        penalty = torch.where(good, penalty, 2 * penalty)
        wait = torch.where(good, wait - 1, penalty)
        anchor = torch.where(good, y, anchor)
        x = torch.where(jump, newton, anchor)
        best = torch.where(jump, size, torch.inf)
        if not bool(keep.all()):
            parts = (weight, shift, x, anchor, kept, rows, gain, best, wait, penalty)
            parts = (t[..., keep] for t in parts)
            weight, shift, x, anchor, kept, rows, gain, best, wait, penalty = parts
    else:
        result[:, rows] = kept
    return result


def linear_part(p: Parameters) -> tuple[Tensor, Tensor]:
    """Return W (2, 1, P) and c (2, P): mean and variance become W (E f, E f^2) + c."""
    weight = torch.stack([p.mean, p.std.square()]).unsqueeze(1)
    return weight, torch.stack([-p.threshold, p.independent])


def _step(at: Tensor, miss: Tensor) -> Tensor:
    """Return the Newton step (2, P) at the derivatives of the map and x minus its image."""
    (a, b), (c, d) = at[0, 1:], at[1, 1:]
    a, d = a - 1, d - 1
    return torch.stack([d * miss[0] - b * miss[1], a * miss[1] - c * miss[0]]) / (a * d - b * c)


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
    rows = (~full & some & s.v.isfinite()).nonzero().squeeze(-1)
    if len(rows):
        for n, part in by_mesh(p.gain[rows], s.v[rows], s.fine):
            for at in rows[part].split(2048):
                args = (transfer, p.gain[at], s.mu[at], s.v[at])
                q[at], pair[at] = _refine(args, n, power[at], added[at])
    return torch.minimum(q, s.v), pair


def _refine(
    args: tuple[Transfer, Tensor, Tensor, Tensor], mesh: int, power: Tensor, added: Tensor
) -> tuple[Tensor, Tensor]:
    """Return overlap and slope pair from as many terms of the series as doubling asks for."""
    terms = TERMS
    result = torch.stack(_rise(Pairs(*args, mesh, terms), power, added, added))
    if is_closed(args[0]):
        return result[0], result[1]
    rows = torch.arange(len(power), device=power.device)
    while terms < MOST_TERMS:
        terms *= 2
        phi, gain, mu, v = args
        pairs = Pairs(phi, gain[rows], mu[rows], v[rows], mesh, terms)
        fine = torch.stack(_rise(pairs, power[rows], added[rows], result[0, rows]))
        moved = (fine - result[:, rows]).abs()
        moving = (moved[0] > _SETTLED * (1 + fine[0])) | (moved[1] > _SETTLED_SLOPE * (1 + fine[1]))
        result[:, rows] = fine
        rows = rows[moving]
        if not len(rows):
            break
    return result[0], result[1]


def _rise(pairs: Pairs, power: Tensor, added: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Return overlap and slope pair from q on; rows leave the loop once they have converged."""
    result = q.clone()
    rows, part = torch.arange(len(q), device=q.device), pairs
    for _ in range(_RISING):
        value, slope = part.both(q)
        gap, slope = power * value + added - q, power * slope
        step = torch.where(slope < 1, gap / (1 - slope).clamp(min=1e-12), gap)
        q = torch.minimum(q + step, part.v)
        result[rows] = q
        keep = step.abs() > _LAST * part.v
        if not bool(keep.any()):
            break
        if not bool(keep.all()):
            rows, part, q = rows[keep], part.take(keep), q[keep]
            power, added = power[keep], added[keep]
    return result, pairs.both(result)[1]
