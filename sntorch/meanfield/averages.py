r"""Gaussian averages of f(u) = phi(g u) as the mean-field equations consume them: many, fast.

For u ~ N(mu, v), s = sqrt(v), and h ~ N(0, 1), one evaluation of phi and phi' on a mesh gives

.. math:: E f, \; E f^2, \; E f', \; E f'^2, \qquad
          \partial_\mu E F = E F', \quad \partial_v E F = \frac{1}{2s} E\, h F'(\mu + s h),

the derivatives by Stein's identity, with F = f or f^2.  Pairs of equal law and covariance D, rho =
D / v, follow from the Hermite coefficients a_n = E f He_n(h) / sqrt(n!) (Mehler; Price):

.. math:: E f(u_1) f(u_2) = \sum_n a_n^2 \rho^n, \qquad
          E f'(u_1) f'(u_2) = \frac1v \sum_n n\, a_n^2 \rho^{n-1}.

A truncated series leaves a known remainder at rho = 1, which is put on the last power + 2.  Meshes
and series are refined by doubling until nothing changes.  Functions with closed forms use them.
Tensors are float64; the parameters of a problem lie along the first axis, P of them.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math

import torch
from torch import Tensor

from sntorch.transfer import Erf, NormalCdf, Sigmoid, Softplus, Tanh, Tanh01, Transfer

__all__ = [
    "CLOSED",
    "MOST_TERMS",
    "TERMS",
    "Moments",
    "Pairs",
    "coefficients",
    "fineness",
    "image",
    "intervals",
    "is_closed",
    "moments",
    "powers",
]

_REACH = 9.0  # standard deviations: what lies beyond weighs 1e-18
_FAR = 12.0  # the same for high polynomials, which grow like the root of the inverse weight
CLOSED = -1
_ANALYTIC = (Erf, NormalCdf, Sigmoid, Softplus, Tanh, Tanh01)  # no pole nearer than i pi / 2
_COARSEST, _FINEST = 48, 48 * 2**11
_STEP = 0.27  # of the argument of phi: with poles at distance pi/2 the error is exp(-pi^2 / 0.27)
_AGREE, _AGREE_SLOPE = 1e-12, 1e-9
_QUIET = 1e-8  # below this variance differences of f lose too many digits
_WITNESSES = 8
_SHIFT = 1e-5  # relative, for the differences of closed forms
_BLOCK = 2**15  # numbers worked on at a time: they stay in the cache
TERMS, MOST_TERMS = 64, 2048  # of a Hermite series: to begin and to end with


@dataclasses.dataclass(frozen=True)
class Moments:
    """Averages (P,) of f, f^2, f', f'^2 and the derivatives of the first two."""

    mean: Tensor
    square: Tensor
    slope: Tensor
    slope_sq: Tensor
    mean_v: Tensor
    square_mu: Tensor
    square_v: Tensor


def is_closed(transfer: Transfer) -> bool:
    """Say whether the averages of a transfer function are closed forms."""
    return type(transfer).product is not Transfer.product


def moments(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Moments:
    """Return the averages at u ~ N(mu, v); `mesh` is the number of `intervals`."""
    if not mesh:
        return _closed(transfer, gain, mu, v)
    if bool((v < 1e-20).any()):
        return _at_rest(transfer, gain, mu, v, mesh)
    rows = max(1, _BLOCK // (mesh + 1))
    if len(v) <= rows:
        return _quadrature(transfer, gain, mu, v, mesh)
    parts = zip(gain.split(rows), mu.split(rows), v.split(rows), strict=True)
    return _join([_quadrature(transfer, g, m, s, mesh) for g, m, s in parts])


def _join(parts: list[Moments]) -> Moments:
    names = [field.name for field in dataclasses.fields(Moments)]
    return Moments(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})


@functools.lru_cache(maxsize=32)
def _weights(mesh: int, reach: float = _REACH) -> tuple[Tensor, Tensor]:
    """Return nodes h (n,) and the weights (n, 3) of E F, E h F and E (h^2 - 1) F."""
    h = torch.linspace(-reach, reach, mesh + 1, dtype=torch.float64)
    w = torch.exp(-h.square() / 2)
    w = w / w.sum()
    return h, torch.stack([w, w * h, w * (h.square() - 1)], -1)


def image(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Tensor:
    """Return (2, 3, P): the averages of f and f^2, and their derivatives in mu and v.

    The derivatives need f alone, by Stein's identity used twice, unless v nearly vanishes.
    """
    if not mesh or bool((v < _QUIET).any()):
        at = moments(transfer, gain, mu, v, mesh)
        rows = (at.mean, at.slope, at.mean_v, at.square, at.square_mu, at.square_v)
        return torch.stack(rows).reshape(2, 3, -1)
    h, weight = _weights(mesh)
    h, weight = h.to(mu), weight.to(mu)
    rows = max(1, _BLOCK // (mesh + 1))
    parts = []
    for g, m, s in zip(gain.split(rows), mu.split(rows), v.split(rows), strict=True):
        phi = transfer(torch.addcmul((g * m).unsqueeze(-1), (g * s.sqrt()).unsqueeze(-1), h))
        parts.append(torch.stack([(phi @ weight).T, (phi.square_() @ weight).T]))
    value = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    value[:, 1] /= v.sqrt()
    value[:, 2] /= 2 * v
    return value


def _quadrature(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Moments:
    h, weight = _weights(mesh)
    h, weight = h.to(mu), weight.to(mu)
    z = torch.addcmul((gain * mu).unsqueeze(-1), (gain * v.sqrt()).unsqueeze(-1), h)
    phi, slope = transfer.with_derivative(z)
    mean, square = phi @ weight[:, 0], phi.square() @ weight[:, 0]
    slope_sq = slope.square() @ weight[:, 0]
    first, cross = slope @ weight[:, :2], phi.mul(slope) @ weight[:, :2]
    over = gain / v.sqrt()
    return Moments(
        mean=mean,
        square=square,
        slope=gain * first[:, 0],
        slope_sq=gain.square() * slope_sq,
        mean_v=over * first[:, 1] / 2,
        square_mu=2 * gain * cross[:, 0],
        square_v=over * cross[:, 1],
    )


def _at_rest(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Moments:
    """Return the averages where some variances vanish: there the derivatives are those nearby."""
    near = moments(transfer, gain, mu, v.clamp(min=1e-20), mesh)
    phi, slope = transfer.with_derivative(gain * mu)
    rest = v < 1e-20
    exact = (phi, phi.square(), gain * slope, (gain * slope).square())
    names = ("mean", "square", "slope", "slope_sq")
    values = {
        name: torch.where(rest, value, getattr(near, name))
        for name, value in zip(names, exact, strict=True)
    }
    return dataclasses.replace(near, **values)


def _closed(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor) -> Moments:
    m, s = gain * mu, gain.square() * v
    dm, dv = _SHIFT * (1 + m.abs() + s.sqrt()), _SHIFT * s + 1e-10
    low = (s - dv).clamp(min=0)
    ms = torch.stack([m, m, m, m + dm, m - dm])
    vs = torch.stack([s, s + dv, low, s, s])
    mean, square = transfer.mean(ms[:3], vs[:3]), transfer.second_moment(ms, vs)
    width = s + dv - low
    return Moments(
        mean=mean[0],
        square=square[0],
        slope=gain * transfer.slope(m, s),
        slope_sq=gain.square() * transfer.slope_sq(m, s),
        mean_v=gain.square() * (mean[1] - mean[2]) / width,
        square_mu=gain * (square[3] - square[4]) / (2 * dm),
        square_v=gain.square() * (square[1] - square[2]) / width,
    )


def intervals(gain: Tensor, v: Tensor, fine: int) -> Tensor:
    """Return the number of intervals (P,) of the mesh for laws as wide as these.

    It is 0, which asks for closed forms, where `fine` is `CLOSED`.
    """
    if fine == CLOSED:
        return torch.zeros_like(v, dtype=torch.int64)
    return _size(_octave(gain, v), fine)


def fineness(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor) -> int:
    """Return how often the meshes of `intervals` must be doubled for this function.

    They are made for poles as far from the axis as those of tanh.  For other functions a few
    witnesses, the widest laws among them, must agree with twice the number.  Where they do not at
    once and closed forms exist, as for functions with a kink, the answer is `CLOSED`; smooth
    functions are quicker on a mesh.
    """
    if isinstance(transfer, _ANALYTIC):
        return 0
    at = _witnesses(gain.abs() * v.sqrt())
    top, fine = _octave(gain[at], v[at]).max(), 0
    while (mesh := int(_size(top, fine))) < _FINEST:
        if _agree(transfer, gain[at], mu[at], v[at], mesh):
            break
        if is_closed(transfer):
            return CLOSED
        fine += 1
    return fine


def _size(octave: Tensor, fine: int) -> Tensor:
    return (_COARSEST * 2 ** (octave / 2 + fine)).ceil().to(torch.int64).clamp(max=_FINEST)


def _octave(gain: Tensor, v: Tensor) -> Tensor:
    """Return half octaves: few different meshes, none much finer than it must be."""
    needed = 2 * _REACH / (_STEP * _COARSEST) * gain.abs() * v.sqrt()
    return needed.clamp(1, _FINEST / _COARSEST).log2().mul(2).ceil()


def _witnesses(width: Tensor) -> Tensor:
    if len(width) == 1:
        return torch.zeros(1, dtype=torch.int64, device=width.device)
    widest = width.topk(min(_WITNESSES // 2, len(width))).indices
    spread = torch.linspace(0, len(width) - 1, _WITNESSES // 2, device=width.device).long()
    return torch.cat([widest, spread])


def _agree(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> bool:
    coarse, fine = (moments(transfer, gain, mu, v, n) for n in (mesh, 2 * mesh))
    return all(
        bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())
        for a, b, tolerance in (
            (coarse.square, fine.square, _AGREE),
            (coarse.mean, fine.mean, _AGREE),
            (coarse.slope_sq, fine.slope_sq, _AGREE_SLOPE),
            (coarse.slope, fine.slope, _AGREE_SLOPE),
        )
    )


@functools.lru_cache(maxsize=8)
def polynomials(mesh: int, terms: int) -> Tensor:
    """Return weights (n, terms) of the Hermite coefficients a_0, a_1, ... on the mesh."""
    h, weight = _weights(mesh, _FAR)
    w = weight[:, 0]
    # The normalised polynomials times the root of the weight stay bounded where He_n overflows.
    root = w.sqrt()
    table = torch.empty(terms, len(h), dtype=torch.float64)
    table[0] = root
    if terms > 1:
        table[1] = h * root
    for n in range(1, terms - 1):
        table[n + 1] = (h * table[n] - math.sqrt(n) * table[n - 1]) / math.sqrt(n + 1)
    return (table * root).T.contiguous()


def coefficients(
    transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int, terms: int
) -> tuple[Tensor, Tensor]:
    """Return the Hermite coefficients (P, terms) of f and E f^2 (P,), which is all of their mass.

    High polynomials oscillate: the mesh is at least fine enough for them.
    """
    octave = math.ceil(math.log2(max(1.0, math.sqrt(terms) / 4)))
    mesh = max(int(mesh * _FAR / _REACH), _COARSEST * 2**octave)
    h, weight = _weights(mesh, _FAR)
    h, weight, basis = h.to(mu), weight[:, 0].to(mu), polynomials(mesh, terms).to(mu)
    rows = max(1, 2**20 // (mesh + 1))
    found = []
    for g, m, s in zip(gain.split(rows), mu.split(rows), v.split(rows), strict=True):
        phi = transfer(torch.addcmul((g * m).unsqueeze(-1), (g * s.sqrt()).unsqueeze(-1), h))
        found.append((phi @ basis, phi.square() @ weight))
    a, mass = (torch.cat(part) for part in zip(*found, strict=True))
    return a, mass


class Pairs:
    """E f f and E f' f' of pairs of one law as functions of their covariance, for P problems.

    ``pairs(D)`` takes covariances (P, L) and returns (P, L).
    """

    def __init__(
        self, transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int, terms: int = TERMS
    ) -> None:
        self.transfer, self.gain, self.mu, self.v = transfer, gain, mu, v
        self.closed = is_closed(transfer)
        if not self.closed:
            a, mass = coefficients(transfer, gain, mu, v, mesh, terms)
            self.mean = a[:, 0]
            self.power = a.square()
            self.rest = (mass - self.power.sum(-1)).clamp(min=0)
            self.mesh = mesh

    def take(self, rows: Tensor) -> Pairs:
        """Return the problems at an index or mask."""
        part = copy.copy(self)
        part.gain, part.mu, part.v = self.gain[rows], self.mu[rows], self.v[rows]
        if not self.closed:
            part.mean, part.power, part.rest = self.mean[rows], self.power[rows], self.rest[rows]
            part.slopes = tuple(each[rows] for each in self.slopes)
        return part

    def rho(self, D: Tensor) -> Tensor:
        """Return the correlation that belongs to a covariance."""
        v = self.v.clamp(min=torch.finfo(self.v.dtype).tiny).unsqueeze(-1)
        return (D / v).clamp(-1, 1)

    def __call__(self, D: Tensor) -> Tensor:
        """Return E f(u1) f(u2)."""
        if self.closed:
            return self._product(D)
        rho = self.rho(D)
        return _series(self.power, rho) + self.rest.unsqueeze(-1) * rho.pow(
            self.power.shape[-1] + 1
        )

    def slope(self, D: Tensor) -> Tensor:
        """Return E f'(u1) f'(u2)."""
        if self.closed:
            return self._difference(D)
        rho = self.rho(D)
        rising, rest, most = self.slopes
        total = _series(rising, rho) + rest.unsqueeze(-1) * rho.pow(rising.shape[-1] + 1)
        still = self.v.unsqueeze(-1) <= 1e-20
        value = total / self.v.clamp(min=1e-20).unsqueeze(-1)
        return torch.where(still, most.unsqueeze(-1), value)

    @functools.cached_property
    def slopes(self) -> tuple[Tensor, ...]:
        """Return the series of v E f' f', its remainder, and E f'^2, where the series ends."""
        n = torch.arange(1, self.power.shape[-1]).to(self.v)
        rising = n * self.power[:, 1:]
        most = moments(self.transfer, self.gain, self.mu, self.v, self.mesh).slope_sq
        return rising, (most * self.v - rising.sum(-1)).clamp(min=0), most

    def _product(self, D: Tensor) -> Tensor:
        g, v = self.gain.unsqueeze(-1), self.v.unsqueeze(-1)
        D = torch.minimum(torch.maximum(D, -v), v)
        return self.transfer.product(g * self.mu.unsqueeze(-1), g.square() * v, g.square() * D)

    def _difference(self, D: Tensor) -> Tensor:
        """Return the derivative of the product in the covariance, by differences inside [-v, v]."""
        v = self.v.unsqueeze(-1).expand_as(D)
        D = torch.minimum(torch.maximum(D, -v), v)
        room = torch.minimum(v - D, v + D)
        e = torch.minimum(1e-5 * v, room / 2)
        ends = room <= 1e-9 * v
        e = torch.where(ends, torch.ones_like(e), e)
        inside = torch.where(ends, torch.zeros_like(D), D)
        e = torch.where(ends, 1e-5 * v, e)
        value = (self._product(inside + e) - self._product(inside - e)) / (2 * e).clamp(min=1e-300)
        g = self.gain
        most = g.square() * self.transfer.slope_sq(g * self.mu, g.square() * self.v)
        return torch.where(ends, most.unsqueeze(-1).expand_as(value), value)


def _series(power: Tensor, rho: Tensor) -> Tensor:
    """Return sum_n power[:, n] rho^n (P, L), in blocks of powers that are matrix products."""
    P, terms = power.shape
    if rho.shape[-1] == 1:
        rising = rho.expand(P, terms).clone()
        rising[:, 0] = 1
        return (rising.cumprod(-1) * power).sum(-1, keepdim=True)
    width = min(16, terms)
    low = rho.unsqueeze(-1).repeat(1, 1, width)
    low[..., 0] = 1
    low = low.cumprod(-1)  # 1, rho, ..., rho^(width - 1)
    blocks = torch.nn.functional.pad(power, (0, -terms % width)).reshape(P, -1, width)
    sums = low @ blocks.mT  # (P, L, blocks)
    step = low[..., -1] * rho
    total = sums[..., -1]
    for b in range(sums.shape[-1] - 2, -1, -1):
        total = torch.addcmul(sums[..., b], total, step)
    return total


def powers(weight: Tensor, rho: Tensor) -> Tensor:
    """Return sum_n weight[:, n] rho^n for weights (P, terms, L) and correlations (P, L)."""
    terms, width = weight.shape[1], 16
    low = rho.unsqueeze(1).repeat(1, width, 1)
    low[:, 0] = 1
    low = low.cumprod(1)
    weight = torch.nn.functional.pad(weight, (0, 0, 0, -terms % width))
    sums = (weight.unflatten(1, (-1, width)) * low.unsqueeze(1)).sum(2)
    step, total = low[:, -1] * rho, sums[:, -1]
    for b in range(sums.shape[1] - 2, -1, -1):
        total = torch.addcmul(sums[:, b], total, step)
    return total
