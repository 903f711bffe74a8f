"""Leading eigenvalues of a Jacobian by Arnoldi iteration (ARPACK, scipy).

It takes hundreds of products with one vector, for which a small Jacobian is formed; a large one
never is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from sntorch.dynamics import Dynamics

__all__ = ["Products", "leading_eigenvalues", "leading_singular_values"]

_FORMED = 512  # neurons up to which DF is formed: then all its columns cost less than the products
_PROBES = 8
_WIDTH = 80  # vectors of the Krylov space


class Products:
    """DF at one state (N,), known by its products `push` DF V and `pull` DF^T V with V (N, m)."""

    def __init__(self, f: Dynamics, u: Tensor, x: Tensor | None) -> None:
        self.f, self.u, self.x = f, u, x
        self.size = u.shape[-1]
        if self.size <= _FORMED:
            DF = f.jacobian(u, x)
            self.push, self.pull = DF.matmul, DF.mT.matmul
        else:
            self.push, self.pull = self._push, f.pullback(u, x)[1]

    def _push(self, V: Tensor) -> Tensor:
        return self.f.jvp(self.u, V, self.x)[1]

    def probes(self) -> Tensor:
        """Return random signs (N, m), the same for the same N: v . A v has the mean tr A."""
        stream = torch.Generator(self.u.device)  # always starts at the same seed
        bits = torch.randint(2, (self.size, _PROBES), generator=stream, device=self.u.device)
        return bits.to(self.u.dtype) * 2 - 1

    def operator(self, product: Callable[[Tensor], Tensor]) -> Any:
        """Return a product with columns as scipy's linear operator."""

        def matmat(V: Any) -> Any:
            columns = torch.as_tensor(V.reshape(self.size, -1), dtype=self.u.dtype)
            return product(columns.to(self.u.device)).numpy(force=True)

        kind = np.float32 if self.u.dtype == torch.float32 else np.float64
        shape = (self.size, self.size)
        return scipy.sparse.linalg.LinearOperator(shape, matvec=matmat, matmat=matmat, dtype=kind)  # pyright: ignore[reportCallIssue]


def leading_eigenvalues(DF: Products, k: int, *, symmetric: bool = False) -> Tensor:
    """Return the k eigenvalues (k,) of largest modulus, largest first; NaN if not converged.

    With `symmetric`, those of (DF + DF^T) / 2 that are largest, without their modulus.
    """
    dtype = torch.complex64 if DF.u.dtype == torch.float32 else torch.complex128
    if k >= DF.size - 1:  # Arnoldi needs room
        return _dense(DF, symmetric)[:k].to(dtype)
    if symmetric:
        operator = DF.operator(lambda V: (DF.push(V) + DF.pull(V)) / 2)
        found = _converged(scipy.sparse.linalg.eigsh, operator, k, "LA", DF.size)
    else:
        found = _converged(scipy.sparse.linalg.eigs, DF.operator(DF.push), k, "LM", DF.size)
    size = found.real if symmetric else np.abs(found)
    found = found[np.argsort(-size)]
    missing = np.full(k - len(found), math.nan, found.dtype)
    return torch.as_tensor(np.concatenate([found, missing]), device=DF.u.device).to(dtype)


def leading_singular_values(DF: Products, k: int) -> Tensor:
    """Return the k largest singular values (k,), largest first; NaN if not converged."""
    if k >= DF.size - 1:
        eye = torch.eye(DF.size, dtype=DF.u.dtype, device=DF.u.device)
        return torch.linalg.svdvals(DF.push(eye))[:k]
    operator = DF.operator(lambda V: DF.pull(DF.push(V)))
    found = np.sort(_converged(scipy.sparse.linalg.eigsh, operator, k, "LA", DF.size).real)[::-1]
    missing = np.full(k - len(found), math.nan, found.dtype)
    squares = torch.as_tensor(np.concatenate([found, missing]), device=DF.u.device)
    return squares.clamp(min=0).sqrt().to(DF.u.dtype)


def _converged(solver: Any, operator: Any, k: int, which: str, size: int) -> Any:
    """Return the eigenvalues that the solver found, from a start that is always the same."""
    start = np.random.default_rng(0).standard_normal(size)
    # Wider than scipy's default: eigenvalues at the edge of a disk are close in modulus.
    ncv = min(size, max(_WIDTH, 3 * k))
    try:
        return solver(operator, k, which=which, v0=start, ncv=ncv, return_eigenvectors=False)
    except scipy.sparse.linalg.ArpackNoConvergence as error:
        return error.eigenvalues


def _dense(DF: Products, symmetric: bool) -> Tensor:
    matrix = DF.push(torch.eye(DF.size, dtype=DF.u.dtype, device=DF.u.device))
    if symmetric:
        return torch.linalg.eigvalsh((matrix + matrix.mT) / 2).flip(-1)
    values = torch.linalg.eigvals(matrix)
    return values[values.abs().argsort(descending=True)]
