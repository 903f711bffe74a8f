r"""Exponents of the mean field with leak: of single neurons, and of the mean field itself.

**Neurons.**  Covariances of perturbations of neurons grow by z = exp(lambda) in either time if

.. math:: (z^2 + \gamma_a^2)\, \psi_{a,k} - \gamma_a z (\psi_{a,k+1} + \psi_{a,k-1})
          = \sum_b S_{ab}^2 E[f_b' f_b'](k)\, \psi_{b,k},

and the largest exponent is the largest such z: above it, and only there, the solution for a positive
right side is positive (`sntorch.meanfield.chains`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield import chains
from sntorch.meanfield.averages import is_closed
from sntorch.meanfield.dynamic import Equations, Ring
from sntorch.meanfield.pairs import MOST_TERMS, TERMS
from sntorch.meanfield.tables import Tables

__all__ = ["constant_root", "largest_root", "slope_pairs"]

_SECTIONS, _SWEEPS = 32, 8
_FLAT = 1e-13  # of the largest weight: where nothing changes any more
_SETTLED = 1e-8


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
    wide = [each.repeat_interleave(_SECTIONS - 1, 0) for each in (leak, W, far)]
    edge = torch.ones(B, 1, dtype=torch.bool, device=leak.device)
    for _ in range(_SWEEPS):
        z = low.unsqueeze(-1) + (high - low).unsqueeze(-1) * share
        above = torch.cat([_above(*wide, z.flatten()).reshape(B, -1), edge], -1)
        bounds = torch.cat([low.unsqueeze(-1), z, high.unsqueeze(-1)], -1)
        first = above.to(torch.int8).argmax(-1, keepdim=True)
        low, high = bounds.gather(-1, first).squeeze(-1), bounds.gather(-1, first + 1).squeeze(-1)
    return (low + high) / 2


def _above(leak: Tensor, W: Tensor, far: Tensor, z: Tensor) -> Tensor:
    """Say where z (B,) is above the largest root."""
    one = torch.ones_like(W[:, :, :1])
    return (chains.solve(leak, z, W, one, chains.beyond(leak, z, far)) > 0).flatten(1).all(-1)
