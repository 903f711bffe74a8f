r"""Products with a sparse matrix whose entries are trained: the gradient stays sparse too.

With J stored as ``values`` v_e at places (i_e, j_e), and X of m columns,

.. math:: (J X)_{im} = \sum_{e: i_e = i} v_e X_{j_e m}, \qquad
          S(A, B)_e = \sum_m A_{i_e m} B_{j_e m}.

Both are bilinear, and each is the derivative of the other: with G the gradient of J X, that of v is
S(G, X) and that of X is J^T G.  So two functions close under differentiation of any order, forward
and reverse, and no N x N matrix is ever formed: torch's own gradient of a CSR tensor is dense.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

__all__ = ["Pattern", "compress", "csr", "sampled_product", "sparse_product"]


_COMPRESSIBLE = (torch.strided, torch.sparse_csr, torch.sparse_csc, torch.sparse_coo)
_BLOCKED = (torch.sparse_bsr, torch.sparse_bsc)  # torch compresses them by way of COO only
_MOST = 2**31 - 1  # entries that int32 indices can count


class Pattern:
    """Where a sparse matrix has entries: row starts and columns in int32, as CSR stores them.

    Not a module and not a tuple on purpose: torch's transforms pass it through untouched.
    """

    def __init__(self, crow: Tensor, columns: Tensor, shape: tuple[int, int]) -> None:
        self.crow, self.columns, self.shape = crow, columns, shape

    def tensor(self, values: Tensor) -> Tensor:
        """Return the CSR tensor with these values."""
        return csr(self.crow, self.columns, values, self.shape)

    def rows(self) -> Tensor:
        """Return the row of every entry, int32 (E,)."""
        index = torch.arange(self.shape[0], dtype=torch.int32, device=self.crow.device)
        return index.repeat_interleave(self.crow.diff())

    @functools.cached_property
    def transposed(self) -> tuple[Pattern, Tensor]:
        """The pattern of the transpose, and the order in which it takes the values, int32 (E,)."""
        # An index born in inference mode could not serve a later reverse pass.
        with torch.inference_mode(False):
            order = self.columns.sort(stable=True).indices.int()
            counts = torch.bincount(self.columns, minlength=self.shape[1])
            crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
            rows = self.rows().index_select(0, order)
        return Pattern(crow, rows, (self.shape[1], self.shape[0])), order


def csr(crow: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a CSR tensor, without torch's remark that the layout is young."""
    _hush()
    return torch.sparse_csr_tensor(crow, columns, values, size=shape, check_invariants=False)


def compress(name: str, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return row starts and columns, int32, and values of a matrix.

    Raises
    ------
    ValueError
        If the layout is neither dense nor one of torch's sparse ones, the stored entries are no
        plain numbers or too many for int32, or indices are out of bounds, unsorted or repeated.
    """
    _hush()
    J = matrix.detach()
    known = (*_COMPRESSIBLE, *_BLOCKED)
    if J.layout not in known:
        names = ", ".join(str(layout).removeprefix("torch.") for layout in known)
        raise ValueError(f"{name}: expected one of the layouts {names}, got {J.layout}")
    try:
        J = J.to_sparse_coo() if J.layout in _BLOCKED else J
        if J.layout != torch.sparse_csr:
            J = (J.coalesce() if J.layout == torch.sparse_coo else J).to_sparse_csr()
        crow, columns, values = J.crow_indices(), J.col_indices(), J.values()
        torch.sparse_csr_tensor(crow, columns, values, size=J.shape, check_invariants=True)
    except RuntimeError as error:
        raise ValueError(f"{name}: expected a valid sparse matrix, got {error}") from error
    if values.ndim != 1 or len(values) > _MOST:
        raise ValueError(f"{name}: expected fewer than 2^31 numbers, got {tuple(values.shape)}")
    return crow.int(), columns.int(), values


def sparse_product(values: Tensor, X: Tensor, pattern: Pattern, transposed: bool = False) -> Tensor:
    """Return J X, or J^T X, for X (n, m); differentiable in values and X, any order and mode."""
    return _apply(_SparseProduct, values, X, pattern, transposed)


def sampled_product(A: Tensor, B: Tensor, pattern: Pattern) -> Tensor:
    """Return the entries of A B^T at the places of the pattern, (E,)."""
    return _apply(_SampledProduct, A, B, pattern)


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, X: Tensor, pattern: Pattern, transposed: bool) -> Tensor:
        if transposed:
            pattern, order = pattern.transposed
            values = values.index_select(0, order)
        return pattern.tensor(values) @ X

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, X, ctx.pattern, ctx.transposed = inputs
        ctx.save_for_backward(values, X)
        ctx.save_for_forward(values, X)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (values, X), (G,) = ctx.saved_tensors, grads
        for_values = for_X = None
        if ctx.needs_input_grad[0]:
            left, right = (X, G) if ctx.transposed else (G, X)
            for_values = sampled_product(left, right, ctx.pattern)
        if ctx.needs_input_grad[1]:
            for_X = sparse_product(values, G, ctx.pattern, not ctx.transposed)
        return for_values, for_X, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (values, X), (dvalues, dX, *_) = ctx.saved_tensors, tangents
        parts = [(dvalues, X), (values, dX)]
        return _sum_of(
            sparse_product(v, Y, ctx.pattern, ctx.transposed) for v, Y in parts if _both(v, Y)
        )

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any,
        in_dims: tuple[Any, ...],
        values: Tensor,
        X: Tensor,
        pattern: Any,
        transposed: Any,
    ) -> tuple[Tensor, int]:
        if in_dims[0] is not None:  # one matrix per element: nothing to share
            pairs = zip(*_unbound(info, in_dims, values, X), strict=True)
            return torch.stack([sparse_product(v, Y, pattern, transposed) for v, Y in pairs]), 0
        X = X.movedim(in_dims[1], -1)
        product = sparse_product(values, X.flatten(1), pattern, transposed)
        return product.unflatten(1, X.shape[1:]), 2


class _SampledProduct(torch.autograd.Function):
    @staticmethod
    def forward(A: Tensor, B: Tensor, pattern: Pattern) -> Tensor:
        if not len(pattern.columns):
            return A.new_zeros(0)
        places = pattern.tensor(A.new_zeros(len(pattern.columns)))
        return torch.sparse.sampled_addmm(places, A, B.T, beta=0.0).values()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        A, B, ctx.pattern = inputs
        ctx.save_for_backward(A, B)
        ctx.save_for_forward(A, B)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (A, B), (g,) = ctx.saved_tensors, grads
        for_A = sparse_product(g, B, ctx.pattern) if ctx.needs_input_grad[0] else None
        for_B = sparse_product(g, A, ctx.pattern, True) if ctx.needs_input_grad[1] else None
        return for_A, for_B, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (A, B), (dA, dB, _) = ctx.saved_tensors, tangents
        return _sum_of(
            sampled_product(a, b, ctx.pattern) for a, b in [(dA, B), (A, dB)] if _both(a, b)
        )

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[Any, ...], A: Tensor, B: Tensor, pattern: Any
    ) -> tuple[Tensor, int]:
        pairs = zip(*_unbound(info, in_dims, A, B), strict=True)
        return torch.stack([sampled_product(a, b, pattern) for a, b in pairs]), 0


def _apply(function: Any, *arguments: Any) -> Tensor:
    return function.apply(*arguments)


def _both(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None


def _sum_of(parts: Any) -> Tensor:
    return functools.reduce(torch.add, parts)


def _unbound(info: Any, in_dims: tuple[Any, ...], *tensors: Tensor) -> list[Any]:
    """Return each tensor as a sequence over the vmapped axis, repeated where it has none."""
    return [
        [tensor] * info.batch_size if axis is None else tensor.unbind(axis)
        for tensor, axis in zip(tensors, in_dims, strict=False)
    ]


@functools.cache
def _hush() -> None:
    """Let torch say once, where nobody hears it, that its compressed layouts are young."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        starts = torch.zeros(2, dtype=torch.int32)
        nothing = torch.zeros(0)
        torch.sparse_csr_tensor(starts, nothing.int(), nothing, (1, 1), check_invariants=True)
