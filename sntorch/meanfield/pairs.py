r"""Gaussian averages over pairs of times of one neuron: Hermite series in their correlation.

Pairs of equal law N(mu, v) and covariance D, rho = D / v, follow from the Hermite coefficients
a_n = E f He_n(h) / sqrt(n!) (Mehler; Price), which derivatives shift and rescale:

.. math:: E f(u_1) f(u_2) &= \sum_n a_n^2 \rho^n, \qquad
          E f'(u_1) f'(u_2) = \frac1v \sum_n n\, a_n^2 \rho^{n-1}, \\
          E f'(u_1) f(u_2) &= \frac1s \sum_n \sqrt{n+1}\, a_n a_{n+1} \rho^n, \qquad
          E f''(u_1) f(u_2) = \frac1v \sum_n \sqrt{(n+1)(n+2)}\, a_n a_{n+2} \rho^n .

A truncated series leaves a known remainder at rho = 1, which is put on the last power + 2.  The
number of terms is doubled by those who use them until nothing changes.
"""

from __future__ import annotations

import copy
import functools
import math

import torch
from torch import Tensor

from sntorch.meanfield.averages import COARSEST, REACH, Moments, is_closed, moments, weights
from sntorch.transfer import Transfer

__all__ = ["MOST_TERMS", "TERMS", "Pairs", "coefficients", "powers"]

_FAR = 12.0  # deviations: high polynomials grow like the root of the inverse weight
TERMS, MOST_TERMS = 64, 2048  # of a Hermite series: to begin and to end with
_SHIFT = 1e-5  # relative, for the differences of closed forms


@functools.lru_cache(maxsize=8)
def polynomials(mesh: int, terms: int) -> Tensor:
    """Return weights (n, terms) of the Hermite coefficients a_0, a_1, ... on the mesh."""
    h, weight = weights(mesh, _FAR)
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
    mesh = max(int(mesh * _FAR / REACH), COARSEST * 2**octave)
    h, weight = weights(mesh, _FAR)
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
        self,
        transfer: Transfer,
        gain: Tensor,
        mu: Tensor,
        v: Tensor,
        mesh: int,
        terms: int = TERMS,
        law: Moments | None = None,
    ) -> None:
        if law is not None:
            self.law = law
        self.transfer, self.gain, self.mu, self.v = transfer, gain, mu, v
        self.closed = is_closed(transfer)
        self.mesh = 0 if self.closed else mesh
        if self.closed:
            self.mean = transfer.mean(gain * mu, gain.square() * v)
        else:
            self.a, mass = coefficients(transfer, gain, mu, v, mesh, terms + 2)
            self.mean, self.power = self.a[:, 0], self.a[:, :terms].square()
            self.rest = (mass - self.power.sum(-1)).clamp(min=0)

    def take(self, rows: Tensor) -> Pairs:
        """Return the problems at an index or mask."""
        part = self._fresh("law", "slopes", "scaled")
        part.gain, part.mu, part.v = self.gain[rows], self.mu[rows], self.v[rows]
        part.mean = self.mean[rows]
        if not self.closed:
            part.a, part.power, part.rest = self.a[rows], self.power[rows], self.rest[rows]
            part.series = self.series[rows]
        return part

    def shortened(self, terms: int) -> Pairs:
        """Return the series with fewer terms."""
        part = self._fresh("slopes", "series")
        part.power = self.power[:, :terms]
        part.rest = (self.rest + self.power[:, terms:].sum(-1)).clamp(min=0)
        return part

    def _fresh(self, *names: str) -> Pairs:
        """Return a copy that works these out anew."""
        part = copy.copy(self)
        for name in names:
            part.__dict__.pop(name, None)
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
            return self._slope_product(D)
        rho = self.rho(D)
        rising, rest, most = self.slopes
        total = _series(rising, rho) + rest.unsqueeze(-1) * rho.pow(rising.shape[-1] + 1)
        still = self.v.unsqueeze(-1) <= 1e-20
        value = total / self.v.clamp(min=1e-20).unsqueeze(-1)
        return torch.where(still, most.unsqueeze(-1), value)

    def both(self, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return E f f, its derivative in D, and E f' f' (P,) at one covariance (P,) each.

        The second is that of the series as it is summed, which the third knows better.
        """
        if self.closed or self.v.min().item() <= 1e-20:
            slope = self.slope(D.unsqueeze(-1)).squeeze(-1)
            return self(D.unsqueeze(-1)).squeeze(-1), slope, slope
        series = self.series
        rising = torch.empty_like(series[:, 0])
        rising[:, 0], rising[:, 1:] = 1, (D / self.v).clamp_(-1, 1).unsqueeze(-1)
        value, change, slope = (series @ rising.cumprod_(-1).unsqueeze(-1)).squeeze(-1).unbind(-1)
        return value, change / self.v, slope / self.v

    def derivatives(self, D: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives of this function in D, in mu, and in v at fixed D.

        They are E f' f', 2 E f' f and E f'' f, but of the series as it is summed: its remainder
        E f^2 - sum a_n^2, on the power K + 1, has derivatives too.
        """
        if self.closed:
            return self._slope_product(D), *self._shifted(D)
        rho, v, law = self.rho(D), self.v.clamp(min=1e-300).unsqueeze(-1), self.law
        K = self.power.shape[-1]
        n = torch.arange(1, K + 2).to(v)
        a, last, rest = self.a[:, :K], rho.pow(K + 1), self.rest.unsqueeze(-1)
        rising = (n[:K] - 1) * self.power
        first = 2 * n[:K].sqrt() * a * self.a[:, 1 : K + 1] / v.sqrt()
        second = (n[:K] * n[1:]).sqrt() * a * self.a[:, 2:]
        by_D = (_series(rising[:, 1:], rho) + (K + 1) * rest * rho.pow(K)) / v
        rest_mu = law.square_mu.unsqueeze(-1) - first.sum(-1, keepdim=True)
        own = (second + rising).sum(-1, keepdim=True)
        rest_v = law.square_v.unsqueeze(-1) - (own + (K + 1) * rest) / v
        found = by_D, _series(first, rho) + rest_mu * last, _series(second, rho) / v + rest_v * last
        rest = (law.slope_sq, law.square_mu, law.square_v - law.slope_sq)
        still = v <= 1e-20
        return tuple(
            torch.where(still, b.unsqueeze(-1), a) for a, b in zip(found, rest, strict=True)
        )

    @functools.cached_property
    def law(self) -> Moments:
        """Return the averages over single times, unless the caller knew them."""
        return moments(self.transfer, self.gain, self.mu, self.v, self.mesh)

    @functools.cached_property
    def slopes(self) -> tuple[Tensor, ...]:
        """Return the series of v E f' f', its remainder, and E f'^2, where the series ends."""
        n = torch.arange(1, self.power.shape[-1]).to(self.v)
        rising = n * self.power[:, 1:]
        most = self.law.slope_sq
        return rising, (most * self.v - rising.sum(-1)).clamp(min=0), most

    @functools.cached_property
    def series(self) -> Tensor:
        """Return the coefficients (P, 3, terms + 2) in rho of E f f, its derivative, v E f' f'."""
        rising, rest, _ = self.slopes
        P, terms = self.power.shape
        series = self.power.new_zeros(P, 3, terms + 2)
        series[:, 0, :terms], series[:, 0, -1] = self.power, self.rest
        series[:, 1:, : terms - 1] = rising.unsqueeze(1)
        series[:, 1, -2], series[:, 2, -2] = (terms + 1) * self.rest, rest
        return series

    @functools.cached_property
    def scaled(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and variance (P, 1) of g u, and g^2."""
        power = self.gain.square()
        return (self.gain * self.mu).unsqueeze(-1), (power * self.v).unsqueeze(-1), power[:, None]

    def _product(self, D: Tensor) -> Tensor:
        m, s, power = self.scaled
        return self.transfer.product(m, s, (power * D).clamp(-s, s))

    def _shifted(self, D: Tensor) -> tuple[Tensor, Tensor]:
        g, mu, v = self.gain.unsqueeze(-1), self.mu.unsqueeze(-1), self.v.unsqueeze(-1)
        D = torch.minimum(torch.maximum(D, -v), v)
        dm, dv = _SHIFT * (1 + mu.abs()), _SHIFT * v + 1e-300

        def product(mu: Tensor, v: Tensor) -> Tensor:
            return self.transfer.product(g * mu, g.square() * v, g.square() * D)

        by_mean = (product(mu + dm, v) - product(mu - dm, v)) / (2 * dm)
        return by_mean, (product(mu, v + dv) - product(mu, v)) / dv

    def _slope_product(self, D: Tensor) -> Tensor:
        m, s, power = self.scaled
        return power * self.transfer.slope_product(m, s, (power * D).clamp(-s, s))


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
    if terms % width:
        weight = torch.nn.functional.pad(weight, (0, 0, 0, -terms % width))
    sums = (weight.unflatten(1, (-1, width)) * low.unsqueeze(1)).sum(2)
    step, total = low[:, -1] * rho, sums[:, -1]
    for b in range(sums.shape[1] - 2, -1, -1):
        total = torch.addcmul(sums[:, b], total, step)
    return total
