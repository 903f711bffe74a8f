r"""Chains of populations over lags: the linear systems of the mean field with leak.

Perturbations psi of covariances that grow by z per step in both of their times obey

.. math:: (z^2 + \gamma_a^2)\, \psi_{a,k} - \gamma_a z (\psi_{a,k+1} + \psi_{a,k-1})
          - \sum_b W_{ab,k}\, \psi_{b,k} = r_{a,k}, \qquad W_{ab,k} = S_{ab}^2 E f_b' f_b'(k),

even in the lag k: a banded system with P diagonals on either side, solved by LU factors.  Its
matrix has no positive entry off the diagonal; its inverse is positive exactly where z is above the
largest root of its determinant (Berman and Plemmons 1979), the exponential of the largest exponent.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor

__all__ = ["beyond", "solve"]

_DOUBLINGS = 40


def solve(leak: Tensor, z: Tensor, W: Tensor, right: Tensor, far: Tensor | None = None) -> Tensor:
    """Return psi (B, P, R, n) for R right sides (B, P, R, n), weights (B, P, P, n) and z (B,).

    The far end is a mirror, as on a ring of 2 (n - 1) lags, or subtracts `far` (B, P, P) from its
    block, see `beyond`.  Rows that are not finite or singular are NaN.
    """
    B, P, _, n = W.shape
    bad = ~(W.isfinite().all(-1).all(-1).all(-1) & right.isfinite().all(-1).all(-1).all(-1))
    bands = _bands(leak, z, W.masked_fill(bad[:, None, None, None], 0), far)
    tall = right.masked_fill(bad[:, None, None, None], 0).permute(0, 3, 1, 2).reshape(B * n * P, -1)
    options = {"overwrite_ab": True, "check_finite": False}
    try:
        found = scipy.linalg.solve_banded((P, P), bands, tall.cpu().numpy(), **options)
    except scipy.linalg.LinAlgError:
        return torch.full_like(right, torch.nan)
    psi = torch.from_numpy(found).to(right).reshape(B, n, P, -1).permute(0, 2, 3, 1)
    return psi.masked_fill(bad[:, None, None, None], torch.nan)


def _bands(leak: Tensor, z: Tensor, W: Tensor, far: Tensor | None) -> np.ndarray:
    """Return the matrix by diagonals (2P + 1, B n P), the networks one after the other."""
    B, P, _, n = W.shape
    bands = W.new_zeros(2 * P + 1, B, n, P)
    for a in range(P):
        for b in range(P):
            bands[P + a - b, :, :, b] = -W[:, a, b]
            if far is not None:
                bands[P + a - b, :, -1, b] -= far[:, a, b]
    bands[P] += (z.square().unsqueeze(-1) + leak.square()).unsqueeze(1)
    side = (leak * z.unsqueeze(-1)).unsqueeze(1)
    bands[0, :, 1:] -= side
    bands[0, :, 1:2] -= side
    bands[2 * P, :, :-1] -= side
    if far is None:
        bands[2 * P, :, -2:-1] -= side
    return bands.reshape(2 * P + 1, -1).cpu().numpy()


def beyond(leak: Tensor, z: Tensor, W: Tensor) -> Tensor:
    """Return what a chain without end and with weights W (B, P, P) subtracts where it begins.

    By cyclic reduction, which squares the decay over its reach in every round.
    """
    side = torch.diag_embed(leak * z.unsqueeze(-1))
    block = torch.diag_embed(z.square().unsqueeze(-1) + leak.square()) - W
    up, down, first = side, side, block
    for _ in range(_DOUBLINGS):
        both = torch.linalg.solve_ex(block, torch.cat([up, down], -1)).result
        ahead, behind = both.split(side.shape[-1], dim=-1)
        change = up @ behind
        first = first - change
        block = block - change - down @ ahead
        up, down = up @ ahead, down @ behind
        if not bool((change.abs() > 1e-17 * first.abs().amax()).any()):
            break
    return side @ torch.linalg.solve_ex(first, side).result
