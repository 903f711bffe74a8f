r"""Exponents of the mean field with leak: of single neurons, and of the mean field itself.

**Neurons.**  Covariances of perturbations of neurons grow by z = exp(lambda) in either time if

.. math:: (z^2 + \gamma_a^2)\, \psi_{a,k} - \gamma_a z (\psi_{a,k+1} + \psi_{a,k-1})
          = \sum_b S_{ab}^2 E[f_b' f_b'](k)\, \psi_{b,k},

and the largest exponent is the largest such z: above it, and only there, the solution for a
positive right side is positive (`sntorch.meanfield.chains`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch.meanfield import chains
from sntorch.meanfield.averages import is_closed
from sntorch.meanfield.dynamic import Equations, Ring
from sntorch.meanfield.pairs import MOST_TERMS, TERMS
from sntorch.meanfield.tables import Tables

__all__ = ["collective", "constant_root", "largest_root", "slope_pairs"]

_SECTIONS, _SWEEPS = 32, 8
_FLAT = 1e-13  # of the largest weight: where nothing changes any more
_SETTLED = 1e-8
_STEPS, _RESTARTS = 600, 30
_SURE, _NEAR = 1e-9, 0.02  # of an eigenvalue, and of its logarithm to the growth seen

_Array = NDArray[np.float64]


def slope_pairs(t: Tables, ring: Ring) -> Tensor:
    """Return E f' f' (B, P, M + 1) at all lags, to the terms that doubling asks for."""
    D, terms, coarse = ring.covariance, TERMS, None
    x = torch.cat([ring.mu.unsqueeze(-1), D[..., :1]], -1)
    while True:
        g = Equations(t, 1, terms)
        value = g.pairs(x, g.mesh(x)).slope(D.flatten(0, 1)).reshape(D.shape)
        if is_closed(t.phi) or terms >= MOST_TERMS:
            return value
        if coarse is not None and bool(((value - coarse).abs() <= _SETTLED * (1 + value)).all()):
            return value
        terms, coarse = 2 * terms, value


def constant_root(leak: Tensor, W: Tensor) -> Tensor:
    """Return the largest root (B,) where weights W (B, P, P) do not depend on the lag.

    For one population it is gamma + sqrt(W).
    """
    keep, one = torch.diag_embed(leak), torch.diag_embed(torch.ones_like(leak))
    matrix = torch.cat([torch.cat([keep, one], -1), torch.cat([W, keep], -1)], -2)
    return torch.linalg.eigvals(matrix).real.amax(-1)


def largest_root(leak: Tensor, W: Tensor, far: Tensor) -> Tensor:
    """Return the largest root z (B,) for leaks (B, P) and weights (B, P, P, M + 1).

    `far` (B, P, P) are the weights beyond the last lag.
    """
    B = len(W)
    far = far.clamp(min=0)
    moving = (W - far.unsqueeze(-1)).abs() > _FLAT * W.amax()
    last = moving.flatten(0, 2).any(0).nonzero()
    W = W[..., : int(last.max()) + 2] if len(last) else W[..., :1]
    if W.shape[-1] < 2:
        W = torch.cat([W, far.unsqueeze(-1)], -1)
    low = constant_root(leak, far)
    high = torch.maximum(constant_root(leak, W.amax(-1)), low)
    share = torch.arange(1, _SECTIONS, dtype=leak.dtype, device=leak.device) / _SECTIONS
    leaks, weights, fars = (each.repeat_interleave(_SECTIONS - 1, 0) for each in (leak, W, far))
    edge = torch.ones(B, 1, dtype=torch.bool, device=leak.device)
    for _ in range(_SWEEPS):
        z = low.unsqueeze(-1) + (high - low).unsqueeze(-1) * share
        above = torch.cat([_above(leaks, weights, fars, z.flatten()).reshape(B, -1), edge], -1)
        bounds = torch.cat([low.unsqueeze(-1), z, high.unsqueeze(-1)], -1)
        first = above.to(torch.int8).argmax(-1, keepdim=True)
        low, high = bounds.gather(-1, first).squeeze(-1), bounds.gather(-1, first + 1).squeeze(-1)
    return (low + high) / 2


def _above(leak: Tensor, W: Tensor, far: Tensor, z: Tensor) -> Tensor:
    """Say where z (B,) is above the largest root."""
    one = torch.ones_like(W[:, :, :1])
    return (chains.solve(leak, z, W, one, chains.beyond(leak, z, far)) > 0).flatten(1).all(-1)


def collective(t: Tables, ring: Ring, pair: Tensor) -> Tensor:
    """Return the exponent (B,) of the mean field itself; `pair` is E f' f' at the overlap."""
    x = torch.cat([ring.mu.unsqueeze(-1), ring.covariance], -1)
    g = Equations(t, 1, 4 * TERMS)
    pairs = g.pairs(x, g.mesh(x))
    flat = pairs.derivatives(ring.covariance.flatten(0, 1))
    slopes = [each.reshape(ring.covariance.shape) for each in flat]
    means = [each.reshape(t.gain.shape) for each in (pairs.law.slope, pairs.law.mean_v)]
    frozen = t.power * pair.unsqueeze(1) / (1 - t.leak).unsqueeze(-1) + torch.diag_embed(t.leak)
    edge = torch.linalg.eigvals(frozen).abs().amax(-1)
    arrays = (t.leak, t.mean, t.power, *slopes, *means)
    rows = zip(*(each.cpu().numpy() for each in arrays), strict=True)
    each = zip(rows, edge.tolist(), strict=True)
    found = [_Perturbation(*row).exponent(limit) for row, limit in each]
    return torch.tensor(found, dtype=ring.mu.dtype, device=ring.mu.device)


class _Perturbation:
    """The map of D(t, t - k), m(t - k), w(t - k) (3, P, M + 1) of one network by a step."""

    def __init__(self, leak: _Array, mean: _Array, power: _Array, by_D: _Array, by_mu: _Array,
                 by_v: _Array, slope: _Array, mean_v: _Array) -> None:  # fmt: skip
        self.leak, self.mean, self.power = leak, mean, power
        self.by_D, self.by_mu, self.by_v = by_D, by_mu / 2, by_v / 2
        self.slope, self.mean_v = slope, mean_v

    def exponent(self, edge: float) -> float:
        """Return the logarithm of the largest modulus, that of an eigenvalue or of the `edge`."""
        x = np.zeros((3, *self.by_D.shape))
        x[..., 0] = 1
        x, size, seen = x.ravel(), 0.0, []
        for _ in range(_STEPS):
            x = self.step(x)
            norm = float(np.linalg.norm(x))
            x, size = x / norm, size + math.log(norm)
            # The past in x is no part of what grows.
            now = float(np.abs(x.reshape(3, -1, self.by_D.shape[-1])[:, :, 0]).max())
            seen.append(size + math.log(max(now, 1e-300)))
        late = np.array(seen[_STEPS // 2 :])
        rate = float(np.polyfit(np.arange(len(late)), late, 1)[0])
        if rate <= math.log(edge) + 1 / _STEPS:
            return math.log(edge)
        options: dict[str, Any] = {"v0": x, "tol": _SURE, "maxiter": _RESTARTS}
        try:
            operator = scipy.sparse.linalg.LinearOperator((x.size, x.size), self.step)
            found = scipy.sparse.linalg.eigs(operator, k=2, return_eigenvectors=False, **options)
        except scipy.sparse.linalg.ArpackNoConvergence as failure:
            found = failure.eigenvalues
        exact = np.log(np.abs(found)).max(initial=-math.inf)
        # A long past makes eigenvalues of its own out of rounding: they are not what grew.
        return float(exact) if abs(exact - rate) <= _NEAR else rate

    def step(self, x: _Array) -> _Array:
        """Return the perturbation one step later."""
        D, m, w = x.reshape(3, *self.by_D.shape)
        now_m, now_w, leak = m[:, :1], D[:, :1], self.leak[:, None]
        w = np.concatenate([now_w, w[:, 1:]], -1)
        c = self.power @ (self.by_D * D + self.by_mu * (m + now_m) + self.by_v * (w + now_w))
        # X(s) = D(t+1, s) - leak D(t, s) obeys X(s+1) = leak X(s) + c(t, s).
        X = np.stack([
            scipy.signal.lfilter([1], [1, -g], each[::-1], zi=[g * each[-1] / (1 - g)])[0][::-1]
            for g, each in zip(self.leak, c, strict=True)
        ])  # fmt: skip
        new = np.empty_like(D)
        new[:, 1:] = leak * D[:, :-1] + X[:, 1:]
        new[:, :1] = X[:, :1] + leak * (leak * now_w + X[:, 1:2])
        drive = self.mean @ (self.slope * m[:, 0] + self.mean_v * now_w[:, 0])
        ahead = (self.leak * m[:, 0] + drive)[:, None]
        past = np.concatenate([ahead, m[:, :-1]], -1), np.concatenate([new[:, :1], w[:, :-1]], -1)
        return np.stack([new, *past]).ravel()
