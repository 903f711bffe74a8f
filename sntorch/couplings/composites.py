"""Couplings made of couplings: structure on top of a base, and tables of populations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.couplings.layers import Coupling, as_coupling, entries

__all__ = ["Blocks", "LowRank"]


@final
class LowRank(Coupling):
    r"""J = base + left right^T: structure of rank r on top of any coupling.

    Parameters
    ----------
    left, right
        (m, r) and (n, r), the output and input directions; copied into parameters.
    base
        A tensor, a layer, or None for zero.  Freeze it with ``layer.base.requires_grad_(False)``
        to train the structure alone.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not fit, or numbers are not finite.

    Examples
    --------
    >>> import sntorch as snt
    >>> m, n = torch.randn(2, 500, 1)
    >>> J = snt.couplings.LowRank(m, n / 500, base=snt.couplings.gaussian(500, std=0.8))
    >>> snt.SNTCell(J).map(torch.zeros(2, 500)).shape
    torch.Size([2, 500])
    """

    base: Coupling | None

    def __init__(self, left: Tensor, right: Tensor, base: Tensor | Coupling | None = None) -> None:
        super().__init__()
        checks.matrix("left", left)
        checks.same_kind("right", checks.matrix("right", right), left, "left")
        if left.shape[1] != right.shape[1]:
            raise ValueError(f"right: expected (n, {left.shape[1]}), got {tuple(right.shape)}")
        self.left = nn.Parameter(left.detach().clone())
        self.right = nn.Parameter(right.detach().clone())
        self.shape = left.shape[0], right.shape[0]
        self.base = None if base is None else as_coupling(base, "base")
        if self.base is not None:
            checks.same_kind("base", entries(self.base), left, "left")
            if self.base.shape != self.shape:
                raise ValueError(f"base: expected {self.shape}, got {tuple(self.base.shape)}")

    def matmat(self, X: Tensor) -> Tensor:
        """Return base X + left (right^T X), (m, k) for X (n, k)."""
        value = self.left @ (self.right.T @ X)
        return value if self.base is None else value + self.base.matmat(X)

    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return base^T Y + right (left^T Y), (n, k) for Y (m, k)."""
        value = self.right @ (self.left.T @ Y)
        return value if self.base is None else value + self.base.rmatmat(Y)

    def to_dense(self) -> Tensor:
        """Return the matrix (m, n)."""
        value = self.left @ self.right.T
        return value if self.base is None else value + self.base.to_dense()

    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place: left and base."""
        with torch.no_grad():
            self.left.mul_(factor)
        if self.base is not None:
            self.base.scale_(factor)
        return self


@final
class Blocks(Coupling):
    """J block by block: one layer from each population to each, and nothing where there is none.

    Parameters
    ----------
    table
        ``table[a][b]`` couples population b to population a: a tensor or layer (n_a, n_b), or None
        for zero.  Every row and every column of the table needs one that is not None.

    Raises
    ------
    ValueError
        If the table is not rectangular, blocks do not fit together, or a row or column is empty.

    Examples
    --------
    >>> import sntorch as snt
    >>> within, to_others = snt.couplings.gaussian(80), torch.full((20, 80), 1 / 80)
    >>> J = snt.couplings.Blocks([[within, None], [to_others, snt.couplings.gaussian(20)]])
    >>> J.shape, J.sizes
    ((100, 100), ((80, 20), (80, 20)))
    """

    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    """Sizes of the populations that receive and of those that send."""

    def __init__(self, table: Sequence[Sequence[Tensor | Coupling | None]]) -> None:
        super().__init__()
        layers = _table(table)
        self.sizes = _block_sizes(layers)
        self.shape = sum(self.sizes[0]), sum(self.sizes[1])
        self.layers = nn.ModuleDict({f"{a}_{b}": layer for (a, b), layer in layers.items()})
        self._places = tuple(layers)

    def block(self, a: int, b: int) -> Coupling | None:
        """Return the layer from population b to population a, or None."""
        return self.layers[f"{a}_{b}"] if (a, b) in self._places else None  # pyright: ignore[reportReturnType]

    def matmat(self, X: Tensor) -> Tensor:
        """Return J X (m, k) for X (n, k)."""
        parts = X.split(self.sizes[1])
        return _stacked((a, layer.matmat(parts[b])) for (a, b), layer in self._items())

    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return J^T Y (n, k) for Y (m, k)."""
        parts = Y.split(self.sizes[0])
        return _stacked((b, layer.rmatmat(parts[a])) for (a, b), layer in self._items())

    def to_dense(self) -> Tensor:
        """Return the matrix (m, n)."""
        zero = entries(self).new_zeros
        blocks: dict[tuple[int, int], Tensor] = {p: layer.to_dense() for p, layer in self._items()}
        return torch.cat([
            torch.cat([blocks[a, b] if (a, b) in blocks else zero(m, n)
                       for b, n in enumerate(self.sizes[1])], 1)
            for a, m in enumerate(self.sizes[0])
        ])  # fmt: skip

    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place: every block."""
        for _, layer in self._items():
            layer.scale_(factor)
        return self

    def _items(self) -> list[tuple[tuple[int, int], Any]]:
        return list(zip(self._places, self.layers.values(), strict=True))


def _stacked(parts: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Add what comes for each place, and put the sums below each other."""
    sums: dict[int, Tensor] = {}
    for place, value in parts:
        sums[place] = sums[place] + value if place in sums else value
    return torch.cat([sums[place] for place in sorted(sums)])


def _table(table: Sequence[Sequence[Tensor | Coupling | None]]) -> dict[tuple[int, int], Coupling]:
    """Return the layers of a table by place, all of one kind."""
    if not table or not table[0] or any(len(row) != len(table[0]) for row in table):
        lengths = [len(row) for row in table]
        raise ValueError(f"table: expected rows of one length >= 1, got lengths {lengths}")
    places = [(a, b) for a, row in enumerate(table) for b, J in enumerate(row) if J is not None]
    layers = {(a, b): as_coupling(table[a][b], f"table[{a}][{b}]") for a, b in places}  # pyright: ignore[reportArgumentType]
    for axis, wanted in enumerate((range(len(table)), range(len(table[0])))):
        empty = set(wanted) - {place[axis] for place in places}
        if empty:
            kind = ("row", "column")[axis]
            raise ValueError(f"table: expected a block in every {kind}, got none in {min(empty)}")
    first = entries(layers[places[0]])
    for (a, b), layer in layers.items():
        checks.same_kind(f"table[{a}][{b}]", entries(layer), first, "the first block")
    return layers


def _block_sizes(
    layers: dict[tuple[int, int], Coupling],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sizes of receiving and sending populations, on which all blocks agree."""
    sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for place, layer in layers.items():
        for known, index, size in zip(sizes, place, layer.shape, strict=True):
            if known.setdefault(index, size) != size:
                a, b = place
                raise ValueError(
                    f"table[{a}][{b}]: expected {known[index]} on axis "
                    f"{0 if known is sizes[0] else 1}, as its neighbours, got {tuple(layer.shape)}"
                )
    rows, columns = (tuple(known[i] for i in sorted(known)) for known in sizes)
    return rows, columns
