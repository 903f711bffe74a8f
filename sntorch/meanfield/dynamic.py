r"""Stationary mean field with leak: a covariance function, on a ring of lags.

With a leak the field is correlated with the past of u, and v is not given by an equation of its own
(the obvious one can be wrong by a factor of 3).  From u(t+1) = gamma u(t) + field(t) follows

.. math:: (1 + \gamma^2) \Delta_k - \gamma (\Delta_{k+1} + \Delta_{k-1}) = C_k, \qquad
          C_k = J^2 E[f f]_{\Delta_k} + s_\theta^2 + \sigma^2 \delta_{k0},

a division in Fourier space, :math:`\hat\Delta = \hat C / |e^{i\omega} - \gamma|^2`, together with
:math:`\mu (1 - \gamma) = \bar J E f - \theta`.  The largest exponent z = exp(lambda) is the largest
root of

.. math:: (z^2 + \gamma^2 - J^2 p_k)\, \psi_k = \gamma z (\psi_{k+1} + \psi_{k-1}), \qquad
          p_k = E f'(u_t) f'(u_{t+k}),

where z^2 + gamma^2 is the top eigenvalue of a symmetric tridiagonal matrix whose eigenvector is
positive and even: the pivots of its elimination from the far end are positive above the root and
only there.  Constant p gives gamma + J sqrt(p), which is also where the far end begins.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.meanfield.averages import MOST_TERMS, TERMS, Pairs, fineness, intervals, is_closed
from sntorch.meanfield.record import Parameters
from sntorch.transfer import Transfer

__all__ = ["Ring", "common_noise", "fluctuating", "largest_root", "slope_pairs"]

_LAGS, _MOST_LAGS = 64, 8192
_ROUNDS, _RISING = 600, 3000
_TOLERANCE = 1e-11
_FADED = 1e-9  # of v: what may be left of the covariance at the end of the ring
_DAMPING = 0.8
_PLAIN = 3  # damped rounds before acceleration
_MEMORY = 8
_LENGTHS = 25.0  # correlation lengths that a ring begins with
_SECTIONS, _SWEEPS = 256, 6
_BLOCK = 2**22


@dataclasses.dataclass(frozen=True)
class Ring:
    """Mean (P,), covariances (P, M + 1) at the lags 0 to M, and the residual (P,)."""

    mu: Tensor
    covariance: Tensor
    residual: Tensor


class _Equations:
    """x -> G(x) for x = (mu, Delta_0, ..., Delta_M) (P, M + 2), at one accuracy."""

    def __init__(self, transfer: Transfer, p: Parameters, lags: int, terms: int) -> None:
        self.transfer, self.p, self.terms = transfer, p, terms
        omega = torch.arange(lags + 1, dtype=torch.float64, device=p.gain.device)
        omega = omega * (torch.pi / lags)
        leak = p.leak.unsqueeze(-1)
        self.filter = 1 / (1 + leak.square() - 2 * leak * omega.cos())

    def field(self, pairs: Pairs, D: Tensor) -> Tensor:
        """Return the covariance of the field at all lags, noise included."""
        p = self.p
        field = p.std.square().unsqueeze(-1) * pairs(D) + p.static.unsqueeze(-1)
        field[:, 0] += p.noise.square()
        return field

    def pairs(self, x: Tensor, mesh: int) -> Pairs:
        """Return the pair averages at the state x."""
        return Pairs(self.transfer, self.p.gain, x[:, 0], x[:, 1], mesh, self.terms)

    def mesh(self, x: Tensor) -> int:
        """Return a mesh for all rows of x."""
        v = x[:, 1]
        fine = fineness(self.transfer, self.p.gain, x[:, 0], v)
        return int(intervals(self.p.gain, v, fine).max())

    def __call__(self, x: Tensor, mesh: int) -> Tensor:
        """Return the image of x."""
        p = self.p
        pairs = self.pairs(x, mesh)
        if is_closed(self.transfer):
            mean = self.transfer.mean(p.gain * x[:, 0], p.gain.square() * x[:, 1])
        else:
            mean = pairs.mean
        field = self.field(pairs, x[:, 1:])
        mu = (p.mean * mean - p.threshold) / (1 - p.leak)
        return torch.cat([mu.unsqueeze(-1), divided(field, self.filter)], -1)


def divided(field: Tensor, kernel: Tensor) -> Tensor:
    """Return the even sequence (P, M + 1) whose Fourier transform is that of `field` x `kernel`."""
    lags = field.shape[-1] - 1
    whole = torch.cat([field, field[:, 1:-1].flip(-1)], -1)
    return torch.fft.irfft(torch.fft.rfft(whole) * kernel, n=2 * lags)[:, : lags + 1]


def fluctuating(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, q: Tensor, pair: Tensor
) -> Ring:
    """Return the stationary covariance reached from a static part q and a bump above it.

    With `pair` = E f' f' at covariance q, the covariance decays at long lags like exp(-kappa k),
    2 gamma (cosh kappa - 1) = (1 - gamma)^2 - J^2 pair, and near the onset of chaos it is the bump
    (v - q) sech^2(kappa k / 2) of a quadratic nonlinearity: the start, and the length of the ring.
    """
    gap = ((1 - p.leak).square() - p.std.square() * pair).clamp(min=1e-9)
    kappa = (1 + gap / (2 * p.leak)).acosh()
    octave = (_LENGTHS / kappa / _LAGS).clamp(min=1).log2().ceil().to(torch.int64)
    lags = (_LAGS * 2**octave).clamp(max=_MOST_LAGS // 2)
    found: list[Ring] = []
    order: list[Tensor] = []
    for m in lags.unique().tolist():
        alike = (lags == m).nonzero().squeeze(-1)
        for at in alike.split(max(1, _BLOCK // (64 * m))):
            k = torch.arange(m + 1, dtype=v.dtype, device=v.device)
            bump = (v[at] - q[at]).unsqueeze(-1) / (kappa[at].unsqueeze(-1) * k / 2).clamp(
                max=300
            ).cosh().square()
            x = torch.cat([mu[at].unsqueeze(-1), q[at].unsqueeze(-1) + bump], -1)
            found.append(_grown(transfer, p.take(at), x))
            order.append(at)
    width = max(r.covariance.shape[-1] for r in found)
    back = torch.cat(order).argsort()
    return Ring(
        torch.cat([r.mu for r in found])[back],
        torch.cat([_padded(r.covariance, width) for r in found])[back],
        torch.cat([r.residual for r in found])[back],
    )


def _padded(x: Tensor, length: int) -> Tensor:
    return torch.cat([x, x[:, -1:].expand(-1, length - x.shape[-1])], -1)


def _grown(transfer: Transfer, p: Parameters, x: Tensor) -> Ring:
    terms, residual = TERMS, torch.full_like(p.gain, torch.inf)
    while True:
        equations = _Equations(transfer, p, x.shape[-1] - 2, terms)
        mesh = equations.mesh(x)
        x, residual = _fixed_point(equations, x, mesh)
        lags = x.shape[-1] - 2
        tail = (x[:, -1] - x[:, -1 - lags // 8]).abs() > _FADED * x[:, 1]
        if bool(tail.any()) and lags < _MOST_LAGS:
            x = _padded(x, 2 * lags + 2)
            continue
        if is_closed(transfer) or terms >= MOST_TERMS:
            break
        finer = _Equations(transfer, p, lags, 2 * terms)
        missed = (finer(x, 2 * mesh) - x).abs().amax(-1)
        if bool((missed <= 1e-8 * (1 + x[:, 1])).all()):
            residual = missed
            break
        terms *= 2
    return Ring(x[:, 0], x[:, 1:], residual)


def _fixed_point(g: _Equations, x: Tensor, mesh: int) -> tuple[Tensor, Tensor]:
    """Return the fixed point of g near x and its residual: damped rounds, then Anderson's mixing.

    Rows mix on their own; a row whose residual has grown tenfold forgets its past.
    """
    past_x: list[Tensor] = []
    past_r: list[Tensor] = []
    best, size = torch.full_like(x[:, 0], torch.inf), torch.full_like(x[:, 0], torch.inf)
    kept = x
    for i in range(_ROUNDS):
        r = g(x, mesh) - x
        size = r.abs().amax(-1)
        kept = torch.where((size <= best).unsqueeze(-1), x, kept)
        best = torch.minimum(size, best)
        if bool((best <= _TOLERANCE * (1 + kept[:, 1])).all()):
            break
        past_x, past_r = [*past_x, x][-_MEMORY:], [*past_r, r][-_MEMORY:]
        new = x + _DAMPING * r
        if i >= _PLAIN:
            mixed = _anderson(past_x, past_r)
            sane = (mixed[:, 1:].abs().amax(-1) <= mixed[:, 1] * (1 + 1e-9)) & (size < 10 * best)
            new = torch.where((sane & mixed.isfinite().all(-1)).unsqueeze(-1), mixed, new)
        new[:, 1] = new[:, 1].clamp(min=0)
        x = new
    return kept, best


def _anderson(past_x: list[Tensor], past_r: list[Tensor]) -> Tensor:
    dr = torch.stack([past_r[-1] - r for r in past_r[:-1]], -1)
    dx = torch.stack([past_x[-1] - x for x in past_x[:-1]], -1)
    gram = dr.mT @ dr
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    right = dr.mT @ past_r[-1].unsqueeze(-1)
    weight = torch.linalg.solve_ex(gram + (1e-13 * trace + 1e-300) * eye, right).result
    step = past_r[-1] - (dr @ weight).squeeze(-1)
    return past_x[-1] - (dx @ weight).squeeze(-1) + _DAMPING * step


def common_noise(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, q: Tensor, lags: int
) -> Tensor:
    """Return the equal-time covariance (P,) of two replicas that receive the same noise.

    Its equations are those of one network with v given.  All of their coefficients are >= 0: plain
    rounds from the static part and the noise alone rise to the smallest solution.
    """
    g = _Equations(transfer, p, lags, 4 * TERMS)
    k = torch.arange(lags + 1, dtype=v.dtype, device=v.device)
    shape = p.leak.unsqueeze(-1) ** k / (1 - p.leak.square()).unsqueeze(-1)
    D = q.unsqueeze(-1) + p.noise.square().unsqueeze(-1) * shape
    mesh = int(intervals(p.gain, v, fineness(transfer, p.gain, mu, v)).max())
    pairs = Pairs(transfer, p.gain, mu, v, mesh, 4 * TERMS)
    for _ in range(_RISING):
        new = divided(g.field(pairs, D), g.filter)
        done = bool(((new - D).abs().amax(-1) <= _TOLERANCE * (1 + v)).all())
        D = torch.minimum(new, v.unsqueeze(-1))
        if done:
            break
    return D[:, 0]


def slope_pairs(transfer: Transfer, p: Parameters, ring: Ring) -> Tensor:
    """Return p_k = E f'(u_t) f'(u_{t+k}) (P, M + 1), to the terms that doubling asks for."""
    v, terms, coarse = ring.covariance[:, 0], TERMS, None
    mesh = int(intervals(p.gain, v, fineness(transfer, p.gain, ring.mu, v)).max())
    while True:
        value = Pairs(transfer, p.gain, ring.mu, v, mesh, terms).slope(ring.covariance)
        if is_closed(transfer) or terms >= MOST_TERMS:
            return value
        if coarse is not None and bool(((value - coarse).abs() <= 1e-8 * (1 + value)).all()):
            return value
        terms, coarse = 2 * terms, value


def largest_root(leak: Tensor, power: Tensor, far: Tensor) -> Tensor:
    """Return the largest root z (P,) of the eigenproblem with J^2 p_k = `power` (P, M + 1).

    `far` (P,) is its value beyond the last lag.
    """
    close = ((power - far.unsqueeze(-1)).abs() > 1e-13 * power[:, :1]).any(0).nonzero()
    last = int(close.max()) + 1 if len(close) else 1
    power = power[:, : last + 1]
    low, high = leak + far.clamp(min=0).sqrt(), leak + power[:, 0].sqrt()
    share = torch.linspace(0, 1, _SECTIONS + 1, dtype=leak.dtype, device=leak.device)
    for _ in range(_SWEEPS):
        z = low.unsqueeze(-1) + (high - low).unsqueeze(-1) * share
        above = _above(leak.unsqueeze(-1), power, far.unsqueeze(-1), z)
        above[:, -1] = True
        first = above.to(torch.int8).argmax(-1, keepdim=True).clamp(min=1)
        low, high = z.gather(-1, first - 1).squeeze(-1), z.gather(-1, first).squeeze(-1)
    return (low + high) / 2


def _above(leak: Tensor, power: Tensor, far: Tensor, z: Tensor) -> Tensor:
    """Say where z (P, S) is above the largest root."""
    side, total = leak * z, z.square() + leak.square()
    half = (total - far) / 2
    # Beyond the last lag the solution decays by the same factor at every lag.
    factor = side / (half + (half.square() - side.square()).clamp(min=0).sqrt()).clamp(min=1e-300)
    ok = torch.ones_like(z, dtype=torch.bool)
    for k in range(power.shape[-1] - 1, 0, -1):
        pivot = total - power[:, k : k + 1] - side * factor
        ok &= pivot > 0
        factor = side / pivot.clamp(min=1e-300)
    return ok & (total - power[:, :1] - 2 * side * factor > 0)
