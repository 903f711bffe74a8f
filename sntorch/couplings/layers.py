r"""How J acts: dense, sparse, by structure (`composites`), in several processes (`sharded`).

A coupling is a linear map J from n to m numbers (n = m in a network) that need not be a matrix in
memory.  Everything a network asks of it follows from two products with columns, J X and
:math:`J^\top Y`:

==================  ====================  =========================================================
method              input                 output
==================  ====================  =========================================================
``layer(f)``        rows (..., n)         J f (..., m)
``transposed(g)``   rows (..., m)         :math:`J^\top g` (..., n)
``push(V)``         frame (..., n, k)     J V (..., m, k); J is linear, so this is its tangent
``pull(W)``         frame (..., m, k)     :math:`J^\top W` (..., n, k)
``to_dense()``                            the matrix (m, n)
``scale_(c)``       number                c J in place of J
==================  ====================  =========================================================

All products are differentiable in the input and in the stored entries, to any order; the gradient
of a sparse coupling is that of its stored entries and nothing else.  A layer is a module: ``.to``,
``state_dict`` and ``requires_grad_`` work as everywhere in torch.  Memory and time per product of
one column, in multiplications:

=================  ===================================  ======================
layer              J                                    cost
=================  ===================================  ======================
`Dense`            the matrix                           m n
`Sparse`           E stored entries, int32 indices      E
`LowRank`          base + left right^T, rank r          base + r (m + n)
`Blocks`           a table of layers, zeros left out    sum over blocks
`Sharded`          rows of J in several processes       that of the rows here
=================  ===================================  ======================

Sparse products are faster than dense ones below about 10 to 20 % of stored entries.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.couplings.normals import fits
from sntorch.couplings.products import Pattern, compress, sparse_product

__all__ = [
    "Coupling",
    "Dense",
    "Sparse",
    "as_coupling",
    "entries",
    "pull",
    "push",
]


class Coupling(nn.Module, abc.ABC):
    """A linear map that knows its products: subclass it with `shape`, four methods, and no more.

    `shape` is (m, n), as of a matrix.

    Examples
    --------
    >>> class Shift(Coupling):  # neuron i hears neuron i + 1
    ...     shape = (3, 3)
    ...     def matmat(self, X):
    ...         return X.roll(-1, 0)
    ...     def rmatmat(self, Y):
    ...         return Y.roll(1, 0)
    ...     def to_dense(self):
    ...         return self.matmat(torch.eye(3))
    ...     def scale_(self, factor):
    ...         raise ValueError("factor: expected none, got one")
    >>> layer = Shift()
    >>> layer(torch.tensor([1.0, 2.0, 3.0])), layer.transposed(torch.tensor([1.0, 2.0, 3.0]))
    (tensor([2., 3., 1.]), tensor([3., 1., 2.]))
    """

    shape: tuple[int, int]

    @abc.abstractmethod
    def matmat(self, X: Tensor) -> Tensor:
        """Return J X (m, k) for X (n, k)."""

    @abc.abstractmethod
    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return J^T Y (n, k) for Y (m, k)."""

    @abc.abstractmethod
    def to_dense(self) -> Tensor:
        """Return the matrix (m, n), differentiable in the stored entries."""

    @abc.abstractmethod
    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place and without a gradient; return the layer."""

    def forward(self, f: Tensor) -> Tensor:
        """Return J f (..., m) for f (..., n)."""
        return _on_rows(self.matmat, self._fit("f", f, -1, self.shape[1]))

    def transposed(self, g: Tensor) -> Tensor:
        """Return J^T g (..., n) for g (..., m)."""
        return _on_rows(self.rmatmat, self._fit("g", g, -1, self.shape[0]))

    @final
    def push(self, V: Tensor) -> Tensor:
        """Return J V (..., m, k) for V (..., n, k), one product for the columns of all rows."""
        return _on_frames(self.matmat, self._fit("V", V, -2, self.shape[1]))

    @final
    def pull(self, W: Tensor) -> Tensor:
        """Return J^T W (..., n, k) for W (..., m, k), one product for the columns of all rows."""
        return _on_frames(self.rmatmat, self._fit("W", W, -2, self.shape[0]))

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"shape={tuple(self.shape)}"

    @staticmethod
    def _fit(name: str, value: Tensor, axis: int, size: int) -> Tensor:
        if value.ndim < -axis or value.shape[axis] != size:
            raise ValueError(f"{name}: expected {size} on axis {axis}, got {tuple(value.shape)}")
        return value


@final
class Dense(Coupling):
    """A matrix as a layer.

    Parameters
    ----------
    weight
        The matrix (m, n); copied into the parameter ``weight``.

    Raises
    ------
    ValueError
        If it is not a finite dense floating matrix.

    Examples
    --------
    >>> layer = Dense(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
    >>> layer.transposed(torch.tensor([1.0, 0.0])).detach()
    tensor([0., 2.])
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(checks.matrix("weight", weight).detach().clone())
        self.shape = _shape(weight)

    def forward(self, f: Tensor) -> Tensor:
        """Return J f (..., m) for f (..., n)."""
        return nn.functional.linear(self._fit("f", f, -1, self.shape[1]), self.weight)

    def matmat(self, X: Tensor) -> Tensor:
        """Return J X (m, k) for X (n, k)."""
        return self.weight @ X

    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return J^T Y (n, k) for Y (m, k)."""
        return self.weight.T @ Y

    def to_dense(self) -> Tensor:
        """Return the matrix itself."""
        return self.weight

    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place."""
        with torch.no_grad():
            self.weight.mul_(factor)
        return self


@final
class Sparse(Coupling):
    """A matrix of which only the stored entries exist: compressed rows with int32 indices.

    The parameter ``values`` (E,) holds the entries, row by row; the buffers ``crow`` (m + 1,) and
    ``columns`` (E,) say where they are.  An entry that is stored may become zero and stays
    trainable, one that is not stored stays zero.  The first transposed product or gradient sorts
    the entries by column, once, and keeps that order: 8 more bytes per entry.

    Parameters
    ----------
    matrix
        A sparse tensor (m, n) in any of torch's layouts, or a dense one, whose zeros are dropped.

    Raises
    ------
    ValueError
        If it is not a finite floating matrix in one of these layouts, holds 2^31 entries or more,
        or its indices are out of bounds, unsorted or repeated.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.Sparse(snt.couplings.sparse(1000, degree=10, layout="csr"))
    >>> J(torch.ones(3, 1000)).shape, J.values.shape
    (torch.Size([3, 1000]), torch.Size([10000]))
    """

    crow: Tensor
    columns: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        crow, columns, values = compress("matrix", checks.matrix("matrix", matrix, dense=False))
        self.shape = _shape(matrix)
        self.values = nn.Parameter(checks.finite("matrix", values.detach().clone()))
        self.register_buffer("crow", crow)
        self.register_buffer("columns", columns)
        self._known: Pattern | None = None

    @property
    def pattern(self) -> Pattern:
        """Where the entries are."""
        # A move to a device or a loaded state makes new indices, and with them a new pattern.
        known = self._known
        if known is None or known.crow is not self.crow or known.columns is not self.columns:
            known = self._known = Pattern(self.crow, self.columns, self.shape)
        return known

    def matmat(self, X: Tensor) -> Tensor:
        """Return J X (m, k) for X (n, k)."""
        return sparse_product(self.values, X, self.pattern)

    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return J^T Y (n, k) for Y (m, k)."""
        return sparse_product(self.values, Y, self.pattern, transposed=True)

    def to_dense(self) -> Tensor:
        """Return the matrix (m, n)."""
        fits("J", self.shape, self.values.dtype, self.values.device)
        index = self.pattern.rows(), self.columns
        return self.values.new_zeros(self.shape).index_put(index, self.values)

    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place."""
        with torch.no_grad():
            self.values.mul_(factor)
        return self

    def to_csr(self) -> Tensor:
        """Return the matrix as a CSR tensor without a gradient, e.g. for scipy."""
        return self.pattern.tensor(self.values.detach())

    def extra_repr(self) -> str:
        """Say how large it is and how many entries it has."""
        return f"shape={tuple(self.shape)}, entries={len(self.values)}"

    def _load_from_state_dict(self, *arguments: Any, **settings: Any) -> None:
        super()._load_from_state_dict(*arguments, **settings)
        self._known = None  # new indices may have been written into the old tensors

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}  # copies sort for themselves


def as_coupling(J: Tensor | Coupling, name: str = "J") -> Coupling:
    """Return `J` as a layer: a layer is itself, a dense tensor `Dense`, a sparse one `Sparse`.

    Raises
    ------
    ValueError
        If J is neither, or is a matrix that the layer refuses.

    Examples
    --------
    >>> [type(as_coupling(J)).__name__ for J in (torch.eye(3), torch.eye(3).to_sparse())]
    ['Dense', 'Sparse']
    """
    if isinstance(J, Coupling):
        return J
    checks.matrix(name, J, dense=False)
    return Dense(J) if J.layout == torch.strided else Sparse(J)


def untrained(layer: Coupling) -> Coupling:
    """Return a layer with the same numbers, in the same memory, of which it trains none."""
    shared: dict[int, Any] = {
        id(p): nn.Parameter(p.detach(), requires_grad=False) for p in layer.parameters()
    }
    return copy.deepcopy(layer, shared | {id(b): b for b in layer.buffers()})


def push(J: Tensor | Coupling, V: Tensor) -> Tensor:
    """Return J V (..., m, k) for V (..., n, k), J a dense tensor or a layer.

    The vectors of a frame travel as rows, each in one piece of memory, as QR leaves them: in
    float64 few of them as columns can take twice the time.
    """
    return J.push(V) if isinstance(J, Coupling) else _times(V.mT, J.T).mT


def pull(J: Tensor | Coupling, W: Tensor) -> Tensor:
    """Return J^T W (..., n, k) for W (..., m, k), J a dense tensor or a layer."""
    if isinstance(J, Coupling):
        return J.pull(W)
    return _times(W.mT, J).mT


def _times(rows: Tensor, J: Tensor) -> Tensor:
    """Return the vectors (..., k, m) times J (m, n), in one product whatever their strides are."""
    return (rows.reshape(-1, rows.shape[-1]) @ J).view(*rows.shape[:-1], J.shape[1])


def _on_rows(product: Callable[[Tensor], Tensor], f: Tensor) -> Tensor:
    """Apply a product with columns to the rows (..., n) of f."""
    value = product(f.reshape(-1, f.shape[-1]).T).T
    return value.reshape(*f.shape[:-1], value.shape[-1])


def _on_frames(product: Callable[[Tensor], Tensor], V: Tensor) -> Tensor:
    """Apply a product with columns to frames (..., n, k): one product over all rows and columns."""
    if V.ndim == 2:
        return product(V)
    columns = V.movedim(-2, 0)
    value = product(columns.reshape(V.shape[-2], -1))
    return value.reshape(value.shape[0], *columns.shape[1:]).movedim(0, -2)


def _shape(matrix: Tensor) -> tuple[int, int]:
    return matrix.shape[0], matrix.shape[1]


def entries(layer: Coupling) -> Tensor:
    """Return one tensor of the layer, which tells dtype and device."""
    return next(t for t in (*layer.parameters(), *layer.buffers()) if t.is_floating_point())
