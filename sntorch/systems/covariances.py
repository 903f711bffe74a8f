r"""The covariance of a linear flow with noise: Lyapunov's equation in blocks.

.. math:: A C + C A^T + Q = 0, \qquad A = Z T Z^T, \qquad T Y + Y T^T = -Z^T Q Z, \qquad
          C = Z Y Z^T,

T the real Schur form of A, whose diagonal holds the real parts of the eigenvalues.  The triangular
equation is cut in halves down to blocks that LAPACK solves: what is left are matrix products.

R. H. Bartels, G. W. Stewart, Commun. ACM 15 (1972) 820; I. Jonsson, B. Kagstrom, ACM Trans. Math.
Softw. 28 (2002) 392, for the halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["steady_covariance"]

_BLOCK = 64  # rows that LAPACK solves, which is slow for many


def steady_covariance(A: Tensor, Q: Tensor) -> Tensor | None:
    """Return C (N, N) for float64 matrices on the CPU; None unless all eigenvalues of A decay."""
    if not bool(A.isfinite().all()):
        return None
    T, Z = scipy.linalg.schur(A.numpy())
    if T.diagonal().max() >= 0:
        return None
    C = torch.from_numpy(Z @ _sylvester(T, T, -Z.T @ Q.numpy() @ Z) @ Z.T)
    return (C + C.T) / 2


def _sylvester(A: NDArray[Any], B: NDArray[Any], C: NDArray[Any]) -> NDArray[Any]:
    """Return X with A X + X B^T = C for Schur forms A and B."""
    if len(A) < len(B):
        return _sylvester(B, A, C.T).T
    if len(A) <= _BLOCK:
        X, scale, _ = scipy.linalg.lapack.dtrsyl(A, B, C, tranb="T")
        return X / scale
    k = len(A) // 2
    k += int(A[k, k - 1] != 0)  # a pair of complex eigenvalues stays together
    late = _sylvester(A[k:, k:], B, C[k:])
    return np.vstack([_sylvester(A[:k, :k], B, C[:k] - A[:k, k:] @ late), late])
