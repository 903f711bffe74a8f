r"""The two kinds of couplings that orbits are made of at full speed, behind one face.

A dense J is a tensor (N, N); a sparse one is its entries (E,) and the pattern that says where they
are.  States lie in memory as the product likes them: rows (B, N) for a dense J, columns (N, B) for
a sparse one, whose entries then meet a run of numbers each.  The outer product of two orbits,

.. math:: \sum_t \delta_t \, \phi(z_t)^T,

is the gradient of J; of a sparse J it is taken at the places of the entries alone, and over many
steps at once, because it is slow with few columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sntorch.couplings.layers import Dense, Sparse
from sntorch.couplings.products import Pattern, sampled_product, sparse_product

__all__ = ["Matrix", "inside", "matrix"]

_COLUMNS = 256  # of one sampled product; more of them find less of each other in the cache


class Matrix(NamedTuple):
    """Couplings: the matrix (N, N), or the entries (E,) of a sparse one with their pattern."""

    entries: Tensor
    pattern: Pattern | None

    @property
    def upright(self) -> bool:
        """Whether states are columns."""
        return self.pattern is not None

    def inside(self, value: Tensor) -> Tensor:
        """Return rows or a quantity as they lie here (see `inside`)."""
        return inside(value, self.upright)

    def rows(self, f: Tensor) -> Tensor:
        """Return J f (..., N) for rows f (..., N), by operations torch can transform."""
        if self.pattern is None:
            return nn.functional.linear(f, self.entries)
        flat = f.reshape(-1, f.shape[-1])
        return sparse_product(self.entries, flat.mT, self.pattern).mT.reshape(f.shape)

    def adjoint(self) -> Tensor:
        """Return what `pull` takes for J, made once for many steps."""
        if self.pattern is None:
            return self.entries
        pattern, order = self.pattern.transposed
        return pattern.tensor(self.entries.index_select(0, order))

    def adder(self, alone: bool) -> Callable[[Tensor | None, Tensor, Tensor], None]:
        """Return the function that writes rest + J f, or J f, into the place given last.

        For one state (N,) if `alone`, else for many as they lie inside; made once for many steps.
        """
        J = self.entries if self.pattern is None else self.pattern.tensor(self.entries)
        if alone:

            def add(rest: Tensor | None, f: Tensor, out: Tensor) -> None:
                torch.mv(J, f, out=out) if rest is None else torch.addmv(rest, J, f, out=out)
        elif self.upright:

            def add(rest: Tensor | None, f: Tensor, out: Tensor) -> None:
                torch.mm(J, f, out=out) if rest is None else torch.addmm(rest, J, f, out=out)
        else:
            J = J.T

            def add(rest: Tensor | None, f: Tensor, out: Tensor) -> None:
                torch.mm(f, J, out=out) if rest is None else torch.addmm(rest, f, J, out=out)

        return add

    def pull(self, J: Tensor, rest: Tensor | None, delta: Tensor, out: Tensor) -> None:
        """Write rest + J^T delta, or J^T delta, for states as they lie inside into `out`."""
        pair = (J, delta) if self.upright else (delta, J)
        torch.mm(*pair, out=out) if rest is None else torch.addmm(rest, *pair, out=out)

    def add_outer(self, total: Tensor, delta: Tensor, rates: Tensor) -> None:
        """Add sum_t delta_t rates_t^T of two orbits inside to a total of the entries' shape."""
        if self.pattern is None:
            total.addmm_(delta.flatten(0, 1).T, rates.flatten(0, 1))
            return
        length = max(1, _COLUMNS // delta.shape[-1])
        for pair in zip(delta.split(length), rates.split(length), strict=True):
            A, B = (part.transpose(0, 1).flatten(1) for part in pair)
            total += sampled_product(A, B, self.pattern)


def matrix(J: object) -> Matrix | None:
    """Return a tensor, a dense or a sparse layer as a `Matrix`; None for every other coupling."""
    if isinstance(J, Sparse):
        return Matrix(J.values, J.pattern)
    entries = J.weight if isinstance(J, Dense) else J
    return Matrix(entries, None) if isinstance(entries, Tensor) else None


def inside(value: Tensor, upright: bool) -> Tensor:
    """Return rows (..., B, N), or a quantity () or (N,) that multiplies them, as columns.

    Rows come back the same way.  Where states are rows all stay as they are.
    """
    if not upright or value.ndim == 0:
        return value
    return value.mT if value.ndim > 1 else value.unsqueeze(-1)
