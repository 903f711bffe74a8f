r"""The QR of frames, one matrix (N, k) per row: V = Q R.

By Householder's reflections, the exact way, wherever that is quick.  A GPU makes them for one
matrix after the other, so that there many frames go by the Cholesky factor of their Gram matrices,

.. math:: V = \hat V D, \qquad \hat V^T \hat V = L L^T, \qquad R = L^T D, \qquad Q = V R^{-1},

with D the lengths of the columns.  Rounding then enters with :math:`\epsilon / l^2`, where l is the
smallest :math:`L_{ii}`: what a column has beyond those before it.  Below
:math:`\epsilon^{1/4}` all frames go the exact way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["decades", "orthonormal"]


def orthonormal(V: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q (..., N, k) with orthonormal columns and the triangle R (..., k, k) with V = Q R.

    Signs of the diagonal of R are those of the way that was taken.
    """
    found = _by_cholesky(V) if _many(V) else None
    return tuple(torch.linalg.qr(V)) if found is None else found


def decades(V: Tensor) -> float:
    """Return how far apart columns of frames like V may come before they go the exact way."""
    return -math.log10(_least(V)) if _many(V) else math.inf


def _many(V: Tensor) -> bool:
    return V.is_cuda and math.prod(V.shape[:-2]) > 1


def _least(V: Tensor) -> float:
    return torch.finfo(V.dtype).eps ** 0.25


def _by_cholesky(V: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return Q and R, or None where columns come too close to those before them."""
    lengths = torch.linalg.vector_norm(V, dim=-2, keepdim=True)
    V = V / lengths
    L, failed = torch.linalg.cholesky_ex(V.mT @ V)
    # Comparisons with NaN are false: a frame that is not finite goes the exact way too.
    fine = (failed == 0) & (L.diagonal(dim1=-2, dim2=-1) > _least(V)).all(-1)
    if not bool(fine.all()):
        return None
    R = L.mT
    return torch.linalg.solve_triangular(R, V, upper=True, left=False), R * lengths
