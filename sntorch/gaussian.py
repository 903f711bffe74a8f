r"""Averages over Gaussian laws, which is all that mean-field theory asks of a function.

.. math:: E g(z), \quad z \sim N(m, v); \qquad E g(z_1) g(z_2), \quad \mathrm{Cov}(z_1, z_2) = c.

The trapezoid rule on 12 standard deviations to each side is refined until two meshes agree: on
entire or strip-analytic integrands it converges geometrically, where Gauss-Hermite rules are wrong
by percents once sqrt(v) reaches 5.  Functions here change within about 1 around z = 0: where
sqrt(v) is much more, nodes crowd there, z = sinh s, and 1e8 is no harder than 1.  Pairs of opposite
signs, c < 0, change where either of them does: there nodes crowd at two places, m and -m.
`plackett` is the integral behind all closed forms of pairs.  Everything is float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sntorch import checks

__all__ = [
    "Moments",
    "average",
    "average_pair",
    "cdf",
    "correlation",
    "moments",
    "normal",
    "plackett",
    "ratio",
]

Moments = float | Tensor
"""A mean, variance or covariance as the caller gives it."""
_REACH = 12.0  # standard deviations: what lies beyond weighs 1e-32
_COARSE, _FINE = 64, 2**15  # numbers of intervals to begin and to end with
_FINE_PAIRS = 2**10
_AGREE = 1e-13
_OPPOSITE, _SMALLEST = -0.9, 1e-12  # correlations below which pairs are opposite; a mean
_WIDE = 64.0  # a variance above which nodes are crowded where functions change


def moments(mean: Moments, variance: Moments, *covariance: Moments) -> list[Tensor]:
    """Return mean, variance and covariance as float64 tensors of one shape, checked."""
    given = [torch.as_tensor(value, dtype=torch.float64) for value in (mean, variance, *covariance)]
    alike = all(value.shape == given[0].shape for value in given)
    m, v, *c = given if alike else torch.broadcast_tensors(*given)
    if m.numel():
        for name, value in zip(("mean", "variance", "covariance"), (m, v, *c), strict=False):
            # A sum passes NaN and inf on, and is quicker than a question to every number.
            if not math.isfinite(value.sum().item()):
                checks.finite(name, value)
        if (low := v.min().item()) < 0:
            raise ValueError(f"variance: expected >= 0, got {low}")
        if any((v * (1 + 1e-12) - value.abs()).min().item() < 0 for value in c):
            raise ValueError("covariance: expected at most the variance in modulus, got more")
    return [m, v, *(torch.clamp(value, -v, v) for value in c)]


def _mesh(intervals: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the trapezoid rule for the standard normal density."""
    h = torch.linspace(-_REACH, _REACH, intervals + 1, dtype=like.dtype, device=like.device)
    weight = torch.exp(-h.square() / 2)
    return h, weight / weight.sum()


def _crowded(intervals: int, m: Tensor, v: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes z - m and weights (..., n) for N(m, v): crowded within `scale` of z = 0."""
    spread = v.sqrt().clamp(min=torch.finfo(v.dtype).tiny).unsqueeze(-1)
    centre = (-m.unsqueeze(-1) / spread).clamp(-_REACH, _REACH)
    width = (scale.unsqueeze(-1) / spread).clamp(max=1.0)
    low, high = ((end - centre).div(width).asinh() for end in (-_REACH, _REACH))
    s = low + (high - low) * torch.linspace(0, 1, intervals + 1, dtype=m.dtype, device=m.device)
    h = centre + width * s.sinh()
    weight = torch.exp(-h.square() / 2) * s.cosh()
    return spread * h, weight / weight.sum(-1, keepdim=True)


def _crowded_twice(intervals: int, m: Tensor, v: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes z and weights (..., n) for N(0, v): crowded within `scale` of m and of -m.

    They are equally spaced in s = (asinh((z - m) / scale) + asinh((z + m) / scale)) / 2.
    """
    spread = v.sqrt().clamp(min=torch.finfo(v.dtype).tiny).unsqueeze(-1)
    centre = (m.unsqueeze(-1) / spread).abs().clamp(max=_REACH)
    width = (scale.unsqueeze(-1) / spread).clamp(max=1.0)
    top = sum(((_REACH + side * centre) / width).asinh() for side in (-1, 1)) / 2
    s = top * torch.linspace(-1, 1, intervals + 1, dtype=m.dtype, device=m.device)
    far, cosh = (centre / width).square(), s.cosh()
    root = (1 + far / cosh.square()).sqrt()
    h = width * s.sinh() * root
    weight = torch.exp(-h.square() / 2) * (cosh + far / cosh**3) / root
    return spread * h, weight / weight.sum(-1, keepdim=True)


def _refined(rule: Callable[[int], Tensor], finest: int) -> Tensor:
    """Return rule(n) for the first n at which doubling changes nothing any more."""
    intervals, coarse = _COARSE, rule(_COARSE)
    while intervals < finest:
        intervals *= 2
        fine = rule(intervals)
        if bool(((fine - coarse).abs() <= _AGREE * (1 + fine.abs())).all()):
            return fine
        coarse = fine
    return coarse


def average(g: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
    """Return E g(z) of the shape of m and v."""
    wide = _wide(v)

    def rule(intervals: int) -> Tensor:
        if wide:
            z, weight = _crowded(intervals, m, v, torch.ones_like(v))
            return (g(m.unsqueeze(-1) + z) * weight).sum(-1)
        h, weight = _mesh(intervals, m)
        return g(m.unsqueeze(-1) + v.sqrt().unsqueeze(-1) * h) @ weight

    return _refined(rule, _FINE)


def average_pair(g: Callable[[Tensor], Tensor], m: Tensor, v: Tensor, c: Tensor) -> Tensor:
    """Return E g(z1) g(z2): what the two have in common outside, what they have not inside.

    A negative covariance enters the two with opposite signs.
    """
    if _wide(v):
        return _refined(lambda n: _wide_pair(n, g, m, v, c), _FINE_PAIRS)
    common, own = c.abs().sqrt(), (v - c.abs()).clamp(min=0).sqrt()

    def rule(intervals: int) -> Tensor:
        h, weight = _mesh(intervals, m)
        inside = (own.unsqueeze(-1) * h).unsqueeze(-2)
        shared = (common.unsqueeze(-1) * h).unsqueeze(-1)
        centre = m.reshape(*m.shape, 1, 1)
        first = g(centre + shared + inside) @ weight
        # the mesh is symmetric: the average at -h is the one at h, read backwards
        second = torch.where((c < 0).unsqueeze(-1), first.flip(-1), first)
        return (first * second) @ weight

    return _refined(rule, _FINE_PAIRS)


def _wide_pair(
    intervals: int, g: Callable[[Tensor], Tensor], m: Tensor, v: Tensor, c: Tensor
) -> Tensor:
    """Return E g(z1) g(z2) by crowded nodes: outside they follow what is left of g inside."""
    own = (v - c.abs()).clamp(min=0)
    scale, opposite = own.sqrt().clamp(min=1.0), (c < 0).unsqueeze(-1)
    shared, weight = _crowded(intervals, m, c.abs(), scale)
    if opposite.any():
        nodes = _crowded_twice(intervals, m, c.abs(), scale)
        shared, weight = (
            torch.where(opposite, nodes[0], shared),
            torch.where(opposite, nodes[1], weight),
        )

    def inner(centre: Tensor) -> Tensor:
        law = own.unsqueeze(-1).expand_as(centre)
        z, inside = _crowded(intervals, centre, law, torch.ones_like(law))
        return (g(centre.unsqueeze(-1) + z) * inside).sum(-1)

    first = inner(m.unsqueeze(-1) + shared)
    second = (
        torch.where(opposite, inner(m.unsqueeze(-1) - shared), first) if opposite.any() else first
    )
    return (first * second * weight).sum(-1)


def _wide(v: Tensor) -> bool:
    return bool(v.numel()) and v.max().item() > _WIDE


def normal(z: Tensor) -> Tensor:
    """Return the standard normal density at z."""
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def cdf(z: Tensor) -> Tensor:
    """Return the standard normal distribution function at z."""
    return torch.special.ndtr(z)


def ratio(m: Tensor, v: Tensor) -> Tensor:
    """Return m / sqrt(v), with its limit where the variance is zero."""
    exact = m.sign() * torch.inf
    return torch.where(v > 0, m / v.clamp(min=torch.finfo(v.dtype).tiny).sqrt(), exact.nan_to_num())


def correlation(c: Tensor, v: Tensor) -> Tensor:
    """Return c / v within [-1, 1], 0 where the variance is zero."""
    return (c / v.clamp(min=torch.finfo(v.dtype).tiny)).clamp(-1, 1)


@functools.cache
def _legendre() -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / (4 * math.pi))


def plackett(h: Tensor, r: Tensor, factor: Callable[[Tensor], Tensor]) -> Tensor:
    """Return int_0^r factor(s) exp(-h^2 / (1 + s)) / (2 pi sqrt(1 - s^2)) ds, with s = sin t."""
    nodes, weights = _legendre()
    top, nodes, weights = r.asin().unsqueeze(-1), nodes.to(r), weights.to(r)
    if r.numel() and r.min().item() < _OPPOSITE:
        # Near s = -1 all happens within |h| of t = -pi / 2: nodes crowd there.
        width = h.abs().clamp(_SMALLEST, 1.0).unsqueeze(-1)
        begin, end = (((math.pi / 2 + t) / width).asinh() for t in (torch.zeros_like(top), top))
        at = begin + (end - begin) * nodes
        angle, weights = width * at.sinh(), width * at.cosh() * weights
        above, top = 2 * (angle / 2).sin().square(), end - begin
        sine = above - 1
    else:
        sine = (top * nodes).sin()
        above = 1 + sine
    value = factor(sine) * torch.exp(-h.square().unsqueeze(-1) / above)
    return (value * weights).sum(-1) * top.squeeze(-1)
