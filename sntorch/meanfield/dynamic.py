r"""Stationary mean field with leak: covariance functions, on a ring of lags.

With a leak the field is correlated with the past of u, and v is not given by an equation of its own
(the obvious one can be wrong by a factor of 3).  From u(t+1) = gamma u(t) + field(t) follows, for
every population a,

.. math:: (1 + \gamma_a^2) \Delta_{a,k} - \gamma_a (\Delta_{a,k+1} + \Delta_{a,k-1}) = C_{a,k},
          \qquad
          C_{a,k} = \sum_b S_{ab}^2 E[f_b f_b]_{\Delta_{b,k}} + s_{\theta,a}^2
                    + \sigma_a^2 \delta_{k0},

a division in Fourier space, :math:`\hat\Delta = \hat C / |e^{i\omega} - \gamma|^2`, together with
:math:`\mu_a (1 - \gamma_a) = \sum_b \bar J_{ab} E f_b - \theta_a`.

A few damped rounds of these reach the neighbourhood of the solution.  Then Newton's method takes
over, whose linear system is a chain over the lags (`sntorch.meanfield.chains`) with two columns per
population more, since every E f f depends on v and mu besides its own Delta_k: it costs no more
than the averages, and near the onset of chaos, where rounds gain next to nothing, it needs no more
steps than elsewhere.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.meanfield import chains
from sntorch.meanfield.averages import fineness, intervals, is_closed
from sntorch.meanfield.pairs import MOST_TERMS, TERMS, Pairs
from sntorch.meanfield.tables import Tables

__all__ = ["Equations", "Ring", "common_noise", "fluctuating"]

_LAGS, _MOST_LAGS = 64, 2**16
_ROUNDS = 300
_TOLERANCE = 1e-11
_LAST = 1e-7  # relative: the error after a Newton step is of the order of its square
_FADED = 1e-9  # of v: what may be left of the covariance at the end of the ring
_SETTLED = 1e-8  # of 1 + v: change with twice the terms and a finer mesh
_PACE, _FASTER, _SLOWER, _NEWTON = 4.0, 8.0, 32.0, 1e6  # rounds in one: in the beginning, and later
_GROWN = 1.2
_LENGTHS = 25.0  # correlation lengths that a ring begins with
_BLOCK = 2**22


@dataclasses.dataclass(frozen=True)
class Ring:
    """Means (B, P), covariances (B, P, M + 1) at the lags 0 to M, and the residual (B,)."""

    mu: Tensor
    covariance: Tensor
    residual: Tensor


class Equations:
    """The equations for x = (mu, Delta_0, ..., Delta_M) (B, P, M + 2), at one accuracy."""

    def __init__(self, tables: Tables, lags: int, terms: int) -> None:
        self.tables, self.terms = tables, terms
        omega = torch.arange(lags + 1, dtype=torch.float64, device=tables.gain.device)
        omega = omega * (torch.pi / lags)
        leak = tables.leak.unsqueeze(-1)
        self.filter = 1 / (1 + leak.square() - 2 * leak * omega.cos())

    def take(self, rows: Tensor) -> Equations:
        """Return the equations of the networks at an index."""
        part = object.__new__(Equations)
        part.tables, part.terms = self.tables.take(rows), self.terms
        part.filter = self.filter[rows]
        return part

    def mesh(self, x: Tensor) -> int:
        """Return a mesh for all rows of x."""
        t = self.tables
        law = t.gain.flatten(), x[..., 0].flatten(), x[..., 1].flatten()
        return int(intervals(law[0], law[2], fineness(t.phi, *law)).max())

    def pairs(self, x: Tensor, mesh: int) -> Pairs:
        """Return the pair averages, of B P laws, at the state x."""
        t = self.tables
        law = t.gain.flatten(), x[..., 0].flatten(), x[..., 1].flatten()
        return Pairs(t.phi, *law, mesh, self.terms)

    def field(self, pairs: Pairs, D: Tensor) -> Tensor:
        """Return the covariance (B, P, M + 1) of the field at all lags, noise included."""
        field = self.tables.field(pairs(D.flatten(0, 1)).reshape(D.shape))
        field[..., 0] += self.tables.noise
        return field

    def image(self, pairs: Pairs, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next x and the covariance of the field at this one."""
        t, field = self.tables, self.field(pairs, x[..., 1:])
        mu = t.drive(pairs.mean.reshape(t.gain.shape)) / (1 - t.leak)
        return torch.cat([mu.unsqueeze(-1), divided(field, self.filter)], -1), field

    def step(self, pairs: Pairs, x: Tensor, field: Tensor, mu: Tensor, share: Tensor) -> Tensor:
        """Return the step from x with the given field, and mean after it.

        It is that of Newton's method where `share` (B,) is 1, and an implicit round below.
        """
        t, D, leak = self.tables, x[..., 1:], self.tables.leak
        B, P, n = D.shape
        share = share[:, None, None]
        flat, weight = D.flatten(0, 1), (share * t.power).unsqueeze(-1)
        W, tilt, bend = (weight * each.reshape(B, 1, P, n) for each in pairs.derivatives(flat))
        miss = (share * (field - curved(leak, D))).unsqueeze(2)
        one = torch.ones_like(leak[:, 0])
        psi = chains.solve(leak, one, W, torch.cat([miss, bend, tilt], 2))
        # What remains are variances and means: delta v = psi at lag 0, and the equation of mu.
        law, eye = pairs.law, torch.eye(P, dtype=x.dtype, device=x.device)
        slope, mean_v = (each.reshape(B, 1, P) for each in (law.slope, law.mean_v))
        keep = torch.diag_embed(1 - leak)
        first, columns = psi[:, :, 0], psi[:, :, 1:]
        upper = torch.cat([eye - columns[:, :, :P, 0], -columns[:, :, P:, 0]], -1)
        mean = share * t.mean
        lower = torch.cat([-mean * mean_v, keep - mean * slope], -1)
        pull = share.squeeze(-1) * (1 - leak) * (mu - x[..., 0])
        known = torch.cat([first[..., 0], pull], -1).unsqueeze(-1)
        moved = torch.linalg.solve_ex(torch.cat([upper, lower], -2), known).result
        change = first + (columns * moved.reshape(B, 1, 2 * P, 1)).sum(2)
        return torch.cat([moved[:, P:], change], -1)


def curved(leak: Tensor, D: Tensor) -> Tensor:
    """Return the field whose division gives D (B, P, M + 1), on a ring."""
    ahead = torch.cat([D[..., 1:], D[..., -2:-1]], -1)
    behind = torch.cat([D[..., 1:2], D[..., :-1]], -1)
    leak = leak.unsqueeze(-1)
    return (1 + leak.square()) * D - leak * (ahead + behind)


def divided(field: Tensor, kernel: Tensor) -> Tensor:
    """Return the even sequence (..., M + 1) whose transform is that of `field` x `kernel`."""
    lags = field.shape[-1] - 1
    whole = torch.cat([field, field[..., 1:-1].flip(-1)], -1)
    return torch.fft.irfft(torch.fft.rfft(whole) * kernel, n=2 * lags)[..., : lags + 1]


def fluctuating(t: Tables, mu: Tensor, v: Tensor, q: Tensor, pair: Tensor) -> Ring:
    """Return the stationary covariance reached from a static part q and a bump above it.

    Everything is (B, P).  With `pair` = E f' f' at covariance q, the covariance decays at long lags
    like exp(-kappa k), for one population 2 gamma (cosh kappa - 1) = (1 - gamma)^2 - J^2 pair, and
    near the onset of chaos it is the bump (v - q) sech^2(kappa k / 2) of a quadratic nonlinearity:
    the start, and the length of the ring.
    """
    kappa = _decay(t, pair)
    octave = (_LENGTHS / kappa / _LAGS).clamp(min=1).log2().ceil().to(torch.int64)
    lags = (_LAGS * 2**octave).clamp(max=_MOST_LAGS // 2)
    found: list[Ring] = []
    order: list[Tensor] = []
    for m in lags.unique().tolist():
        alike = (lags == m).nonzero().squeeze(-1)
        for at in alike.split(max(1, _BLOCK // (64 * m * v.shape[-1]))):
            k = torch.arange(m + 1, dtype=v.dtype, device=v.device)
            shape = (kappa[at].unsqueeze(-1) * k / 2).clamp(max=300).cosh().square().reciprocal()
            D = q[at].unsqueeze(-1) + (v[at] - q[at]).unsqueeze(-1) * shape.unsqueeze(1)
            found.append(_grown(t.take(at), torch.cat([mu[at].unsqueeze(-1), D], -1)))
            order.append(at)
    width = max(r.covariance.shape[-1] for r in found)
    back = torch.cat(order).argsort()
    return Ring(
        torch.cat([r.mu for r in found])[back],
        torch.cat([_padded(r.covariance, width) for r in found])[back],
        torch.cat([r.residual for r in found])[back],
    )


def _decay(t: Tables, pair: Tensor) -> Tensor:
    """Return the slowest rate kappa (B,) at which covariances decay."""
    leak = t.leak.clamp(min=1e-3)
    matrix = torch.diag_embed((1 - leak).square()) - t.power * pair.unsqueeze(1)
    slowest = torch.linalg.eigvals(matrix / leak.unsqueeze(-1)).real.amin(-1)
    return (1 + slowest.clamp(min=1e-9) / 2).acosh()


def _padded(x: Tensor, length: int) -> Tensor:
    return torch.cat([x, x[..., -1:].expand(*x.shape[:-1], length - x.shape[-1])], -1)


def _grown(t: Tables, x: Tensor) -> Ring:
    """Return the solution near x on a ring, and with terms, that are doubled until they suffice.

    What the next doubling would change is taken from the last two changes, of which each is a
    smaller part of the one before.
    """
    terms, pace, coarse = TERMS, _PACE, None
    before = torch.zeros_like(x[:, 0, 0])
    while True:
        equations = Equations(t, x.shape[-1] - 2, terms)
        mesh = equations.mesh(x) * (1 if terms == TERMS else 2)
        x, residual = _fixed_point(equations, x, mesh, pace)
        pace, lags = _NEWTON, x.shape[-1] - 2
        left = (x[..., -1] - x[..., -1 - lags // 8]).abs()
        left = left.masked_fill(left <= _FADED * x[..., 1], 0).amax(-1)
        if bool((left > 0).any()) and lags < _MOST_LAGS:
            x, coarse = _padded(x, 2 * lags + 2), None
            continue
        residual = torch.maximum(residual, left)
        if is_closed(t.phi):
            break
        if coarse is not None:
            change = (x - coarse).abs().flatten(1).amax(-1)
            next_change = change * (change / before.clamp(min=1e-300)).clamp(max=1)
            settled = next_change <= _SETTLED * (1 + x[..., 1].amax(-1))
            if bool(settled.all()) or terms >= MOST_TERMS:
                residual = torch.maximum(residual, next_change)
                break
            before = change
        terms, coarse = 2 * terms, x
    return Ring(x[..., 0], x[..., 1:], residual)


def _fixed_point(g: Equations, x: Tensor, mesh: int, pace: float) -> tuple[Tensor, Tensor]:
    """Return the solution near x and its residual, by implicit rounds that turn into Newton steps.

    Rows move on their own and leave when they are done.  One whose residual grows goes back to its
    best state, and on from there at a slower pace.
    """
    kept, best = x.clone(), torch.full_like(x[:, 0, 0], torch.inf)
    rows = torch.arange(len(x), device=x.device)
    paces, last = torch.full_like(best, pace), torch.zeros_like(best, dtype=torch.bool)
    for _ in range(_ROUNDS):
        pairs = g.pairs(x, mesh)
        image, field = g.image(pairs, x)
        size = (image - x).abs().flatten(1).amax(-1).nan_to_num(torch.inf, torch.inf)
        kept[rows] = torch.where((size <= best[rows])[:, None, None], x, kept[rows])
        grown = size > _GROWN * best[rows]
        best[rows] = torch.minimum(size, best[rows])
        go = ~last & (size > 0)
        if not bool(go.any()):
            break
        if not bool(go.all()):
            rows, g, pairs, x = (
                rows[go],
                g.take(go),
                pairs.take(go.repeat_interleave(x.shape[1])),
                x[go],
            )
            image, field, grown, paces = image[go], field[go], grown[go], paces[go]
        step = g.step(pairs, x, field, image[..., 0], paces / (1 + paces))
        new = x + step
        v = new[..., 1]
        sane = new.isfinite().all(-1) & (v > 0) & (new[..., 1:].abs().amax(-1) <= v * (1 + 1e-6))
        sane = sane.all(-1) & ~grown
        small = (step[..., 1:].abs() <= _LAST * v.unsqueeze(-1)).flatten(1).all(-1)
        last = sane & small & (paces >= _NEWTON)
        x = torch.where(sane[:, None, None], new, kept[rows])
        paces = torch.where(sane, _FASTER * paces, paces.clamp(max=_NEWTON) / _SLOWER)
    return kept, best


def common_noise(t: Tables, mu: Tensor, v: Tensor, q: Tensor, lags: int) -> Tensor:
    """Return the equal-time covariance (B, P) of two replicas that receive the same noise.

    Its equations are those of one network with v given.  All of their coefficients are >= 0: from
    the static part and the noise alone Newton's method rises to the smallest solution, and never
    passes it.
    """
    g = Equations(t, lags, 4 * TERMS)
    k = torch.arange(lags + 1, dtype=v.dtype, device=v.device)
    leak, weight, one = t.leak.unsqueeze(-1), t.power.unsqueeze(-1), torch.ones_like(v[:, 0])
    D = q.unsqueeze(-1) + t.noise.unsqueeze(-1) * leak**k / (1 - leak.square())
    x = torch.stack([mu, v], -1)
    pairs = g.pairs(x, g.mesh(x))
    for _ in range(_ROUNDS):
        field, flat = g.field(pairs, D), D.flatten(0, 1)
        # Of the series as it is summed: the slope that knows better leads past the solution.
        W = weight * pairs.derivatives(flat)[0].reshape(D.shape).unsqueeze(1)
        miss = (field - curved(t.leak, D)).unsqueeze(2)
        step = chains.solve(t.leak, one, W, miss).squeeze(2)
        # Where two solutions meet the system is singular: there the map itself goes on.
        plain = ~(step >= -_TOLERANCE * (1 + v).unsqueeze(-1)).flatten(1).all(-1)
        step = torch.where(plain[:, None, None], divided(field, g.filter) - D, step)
        D = torch.minimum(D + step, v.unsqueeze(-1))
        if bool((step.abs().amax(-1) <= _TOLERANCE * (1 + v)).all()):
            break
    return D[..., 0]
