r"""Gaussian averages of f(u) = phi(g u) as the mean-field equations consume them: many, fast.

For u ~ N(mu, v), s = sqrt(v), and h ~ N(0, 1), one evaluation of phi and phi' on a mesh gives

.. math:: E f, \; E f^2, \; E f', \; E f'^2, \qquad
          \partial_\mu E F = E F', \quad \partial_v E F = \frac{1}{2s} E\, h F'(\mu + s h),

the derivatives by Stein's identity, with F = f or f^2.  Meshes are refined by doubling until
nothing changes.  Functions with closed forms use them.  Averages over pairs are in
`sntorch.meanfield.pairs`.  Tensors are float64; the parameters of a problem lie along the first
axis, P of them.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sntorch.transfer import Erf, NormalCdf, Sigmoid, Softplus, Tanh, Tanh01, Transfer

__all__ = [
    "AVERAGES",
    "BLOCK",
    "CLOSED",
    "COARSEST",
    "REACH",
    "Moments",
    "fineness",
    "image",
    "intervals",
    "is_closed",
    "levels",
    "moments",
    "resolved",
    "weights",
]

REACH = 9.0  # standard deviations: what lies beyond weighs 1e-18
CLOSED = -64
_ANALYTIC = (Erf, NormalCdf, Sigmoid, Softplus, Tanh, Tanh01)  # no pole nearer than i pi / 2
COARSEST, _FINEST = 48, 48 * 2**11
_STEP = 0.27  # of the argument of phi: with poles at distance pi/2 the error is exp(-pi^2 / 0.27)
_AGREE, _AGREE_SLOPE = 1e-12, 1e-9
_QUIET = 1e-8  # below this variance differences of f lose too many digits
_WITNESSES = 8
_SHIFT = 1e-5  # relative, for the differences of closed forms
_Array = npt.NDArray[Any]
BLOCK = 2**15  # numbers worked on at a time: they stay in the cache


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


AVERAGES = tuple(field.name for field in dataclasses.fields(Moments))
"""Their names."""


def is_closed(transfer: Transfer) -> bool:
    """Say whether the averages of a transfer function are closed forms."""
    return type(transfer).product is not Transfer.product


def moments(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Moments:
    """Return the averages at u ~ N(mu, v); `mesh` is the number of `intervals`."""
    if not mesh:
        return _closed(transfer, gain, mu, v)
    if float(v.min()) < 1e-20:
        return _at_rest(transfer, gain, mu, v, mesh)
    rows = max(1, BLOCK // (mesh + 1))
    if len(v) <= rows:
        return _quadrature(transfer, gain, mu, v, mesh)
    parts = zip(gain.split(rows), mu.split(rows), v.split(rows), strict=True)
    return _join([_quadrature(transfer, g, m, s, mesh) for g, m, s in parts])


def _join(parts: list[Moments]) -> Moments:
    return Moments(**{name: torch.cat([getattr(p, name) for p in parts]) for name in AVERAGES})


@functools.lru_cache(maxsize=32)
def weights(mesh: int, reach: float = REACH) -> tuple[Tensor, Tensor]:
    """Return nodes h (n,) and the weights (n, 3) of E F, E h F and E (h^2 - 1) F."""
    h = torch.linspace(-reach, reach, mesh + 1, dtype=torch.float64)
    w = torch.exp(-h.square() / 2)
    w = w / w.sum()
    return h, torch.stack([w, w * h, w * (h.square() - 1)], -1)


def levels(
    transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int
) -> tuple[Tensor, Tensor]:
    """Return the averages (P,) of f and f^2 alone, which is all that a step of the map needs."""
    if not mesh:
        m, s = gain * mu, gain.square() * v
        return transfer.mean(m, s), transfer.second_moment(m, s)
    h, weight = weights(mesh)
    h, weight = h.to(mu), weight[:, 0].to(mu)
    centre, width = (gain * mu).unsqueeze(-1), (gain * v.sqrt()).unsqueeze(-1)
    rows = max(1, BLOCK // (mesh + 1))
    found = []
    for at in range(0, len(v), rows):
        phi = transfer(torch.addcmul(centre[at : at + rows], width[at : at + rows], h))
        found.append((phi @ weight, phi.square_() @ weight))
    mean, square = found[0] if len(found) == 1 else map(torch.cat, zip(*found, strict=True))
    return mean, square


def image(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> _Array:
    """Return (2, 3, P): the averages of f and f^2, and their derivatives in mu and v.

    The derivatives need f alone, by Stein's identity used twice, unless v nearly vanishes.
    """
    if not mesh or float(v.min()) < _QUIET:
        at = moments(transfer, gain, mu, v, mesh)
        rows = (at.mean, at.slope, at.mean_v, at.square, at.square_mu, at.square_v)
        return torch.stack(rows).reshape(2, 3, -1).numpy(force=True)
    h, weight = weights(mesh)
    h, weight = h.to(mu), weight.to(mu)
    rows = max(1, BLOCK // (mesh + 1))
    centre, width = (gain * mu).unsqueeze(-1), (gain * v.sqrt()).unsqueeze(-1)
    parts = []
    for at in range(0, len(v), rows):
        phi = transfer(torch.addcmul(centre[at : at + rows], width[at : at + rows], h))
        parts.append(torch.stack([phi @ weight, phi.square_() @ weight]))
    value = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    found, v2 = value.numpy(force=True), 2 * v.numpy(force=True)
    found[..., 1] /= np.sqrt(v2 / 2)
    found[..., 2] /= v2
    return found.transpose(0, 2, 1)


def _quadrature(transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, mesh: int) -> Moments:
    h, weight = weights(mesh)
    h, weight = h.to(mu), weight.to(mu)
    z = torch.addcmul((gain * mu).unsqueeze(-1), (gain * v.sqrt()).unsqueeze(-1), h)
    phi, slope = transfer.with_derivative(z)
    rows = torch.stack([slope, phi * slope, phi, phi.square(), slope.square()])
    (first, cross), (mean_v, square_v) = (rows[:2] @ weight[:, :2]).permute(2, 0, 1)
    mean, square, slope_sq = rows[2:] @ weight[:, 0]
    over = gain / v.sqrt()
    return Moments(
        mean=mean,
        square=square,
        slope=gain * first,
        slope_sq=gain.square() * slope_sq,
        mean_v=over * mean_v / 2,
        square_mu=2 * gain * cross,
        square_v=over * square_v,
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
    return torch.from_numpy(_size(_octave(gain, v), fine)).to(v.device)


def resolved(gain: Tensor, v: Tensor, fine: int) -> Tensor:
    """Return whether the finest mesh is fine enough for laws as wide as these, bool (P,)."""
    width = gain.abs() * v.sqrt()
    return (2 * REACH / _STEP * width <= _FINEST) | (fine == CLOSED)


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


def _size(octave: _Array, fine: int) -> _Array:
    return np.minimum(np.ceil(COARSEST * 2 ** (octave / 2 + fine)), _FINEST).astype(np.int64)


def _octave(gain: Tensor, v: Tensor) -> _Array:
    """Return half octaves: few different meshes, none much finer than it must be."""
    width = np.abs(gain.numpy(force=True)) * np.sqrt(v.numpy(force=True))
    needed = np.fmax(2 * REACH / (_STEP * COARSEST) * width, 1)
    return np.ceil(2 * np.log2(np.fmin(needed, _FINEST / COARSEST)))


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
