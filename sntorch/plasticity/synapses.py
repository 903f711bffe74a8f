r"""The synapses of couplings J, and changes of them that are written as products of activities.

.. math:: \Delta J_{ij} = k_i J_{ij} + \sum_s a_{si} b_{sj}

Every rule of `hebbian` has this form.  As long as a change is kept as its factors, a sum of changes
or a multiple of one costs O(N), and J itself changes in one pass of memory,
J <- (1 + k) J + a^T b, without a matrix dJ beside it.  Nor is J read to know that it stays finite:

.. math:: \max |J + \Delta J| \le \max_i |1 + k_i| \max |J| + ||a|| \, ||b||

(Cauchy and Schwarz, norms over all entries) carries a bound from one change to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import overload

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.layers import Coupling, Dense, Sparse
from sntorch.couplings.products import sampled_product

__all__ = ["Outer", "Synapses", "multiplied_out", "peak"]


class Synapses:
    """The synapses of couplings J, with the few sums that rules are written in.

    `values` are (m, n) for a matrix and (E,) for the stored entries of a `Sparse` layer.

    Raises
    ------
    ValueError
        If J has another layout, in which a rule would create synapses, or is no floating matrix.
    """

    def __init__(self, J: Tensor | Coupling) -> None:
        if isinstance(J, Sparse):
            self.values, self.pattern = J.values, J.pattern
        elif isinstance(J, Coupling) and not isinstance(J, Dense):
            raise ValueError(
                "J: expected a matrix, couplings.Dense or couplings.Sparse, got "
                f"{type(J).__name__}, in which a rule would create synapses"
            )
        else:
            self.values = _matrix(J.weight if isinstance(J, Dense) else J)
            self.pattern = None
        self.shape: tuple[int, int] = (J.shape[0], J.shape[1])
        self._rooms: Iterator[Tensor] | None = None

    def borrow(self, rooms: list[Tensor]) -> Synapses:
        """Let `room` give memory out of a list, to which it adds what is missing."""
        self._rooms = _lent(rooms, self.values)
        return self

    def room(self) -> Tensor | None:
        """Return memory of the shape of `values` for ``out=``, or None, which makes it anew.

        While a network learns it is that of the epoch before: new memory costs more than what is
        computed in it.
        """
        return None if self._rooms is None else next(self._rooms)

    def outer(self, post: Tensor, pre: Tensor, kept: float | Tensor = 0.0) -> Outer:
        """Return the change kept_i J_ij + sum_s post_si pre_sj, post (..., m) and pre (..., n).

        `kept` is a number or one per receiver, (m,).
        """
        m, n = self.shape
        return Outer(self, post.reshape(-1, m), pre.reshape(-1, n), kept)

    def scaled(self, kept: Tensor) -> Outer:
        """Return the change kept_i J_ij, kept (m,)."""
        m, n = self.shape
        return Outer(self, kept.new_empty(0, m), kept.new_empty(0, n), kept)

    def of_post(self, numbers: Tensor) -> Tensor:
        """Return the numbers (m,) of the receivers at every synapse, to be broadcast."""
        if self.pattern is None:
            return numbers.unsqueeze(-1)
        return numbers.index_select(0, self.pattern.rows())

    def onto_post(self, entries: Tensor) -> Tensor:
        """Return the sum (m,) of entries over the synapses of every receiver."""
        if self.pattern is None:
            return entries.sum(1)
        return entries.new_zeros(self.shape[0]).index_add(0, self.pattern.rows(), entries)


@dataclasses.dataclass(frozen=True, eq=False)
class Outer:
    """The change kept_i J_ij + sum_s post_si pre_sj, not multiplied out.

    Changes are added and multiplied by numbers; for anything else take their `entries`.

    Examples
    --------
    >>> J = Synapses(torch.eye(2))
    >>> change = 2 * J.outer(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), kept=-0.5)
    >>> change.entries()
    tensor([[-1.,  2.],
            [ 0., -1.]])
    """

    J: Synapses
    post: Tensor
    """(S, m)."""
    pre: Tensor
    """(S, n)."""
    kept: float | Tensor = 0.0
    """A number or (m,); 0 keeps J as it is."""

    def entries(self) -> Tensor:
        """Return dJ in the shape of ``J.values``."""
        values, number = self.J.values, isinstance(self.kept, float | int)
        if number and self.kept and self.J.pattern is None:  # all in one pass
            return _add_products(values, self.post, self.pre, float(self.kept), self.J.room())
        change = self._products()
        if isinstance(self.kept, Tensor):
            return change.addcmul_(self.J.of_post(self.kept), values)
        return change.add_(values, alpha=self.kept) if self.kept else change

    def apply(self) -> None:
        """Change J in place."""
        values, factor = self.J.values, 1 + self.kept
        if isinstance(factor, Tensor):
            values.mul_(self.J.of_post(factor))
            factor = 1.0
        if self.J.pattern is None:
            _add_products(values, self.post, self.pre, factor, out=values)
        else:
            values.mul_(factor).add_(self._products())

    def reach(self, largest: float) -> float:
        """Return a bound on max |J + dJ|, where max |J| is not above `largest`."""
        factor = 1 + self.kept
        factor = peak(factor) if isinstance(factor, Tensor) else abs(factor)
        return factor * largest + _norm(self.post) * _norm(self.pre)

    @overload
    def __add__(self, other: Outer) -> Outer: ...
    @overload
    def __add__(self, other: Tensor) -> Tensor: ...
    def __add__(self, other: Tensor | Outer) -> Tensor | Outer:
        """Return both changes: a `Tensor` if the other one is."""
        if not isinstance(other, Outer):
            return self.entries() + other
        post, pre = torch.cat([self.post, other.post]), torch.cat([self.pre, other.pre])
        return Outer(self.J, post, pre, self.kept + other.kept)

    __radd__ = __add__

    def __mul__(self, factor: float) -> Outer:
        """Return the change times a number."""
        return Outer(self.J, factor * self.post, self.pre, factor * self.kept)

    __rmul__ = __mul__

    def _products(self) -> Tensor:
        a, b = self.post, self.pre
        if self.J.pattern is not None:
            return sampled_product(a.T, b.T, self.J.pattern)
        if len(a) == 1:
            return torch.outer(a[0], b[0], out=self.J.room())
        return torch.mm(a.T, b, out=self.J.room())


def _lent(rooms: list[Tensor], like: Tensor) -> Iterator[Tensor]:
    yield from rooms
    while True:
        rooms.append(torch.empty_like(like))
        yield rooms[-1]


def multiplied_out(change: Tensor | Outer) -> Tensor:
    """Return dJ as a tensor."""
    return change.entries() if isinstance(change, Outer) else change


def peak(values: Tensor) -> float:
    """Return max |values|, 0 if there are none, NaN if one of them is."""
    if not values.numel():
        return 0.0
    low, high = (float(end) for end in torch.aminmax(values.detach()))
    return max(-low, high)


def _norm(factor: Tensor) -> float:
    return torch.linalg.vector_norm(factor.detach()).item()


def _add_products(
    J: Tensor, a: Tensor, b: Tensor, factor: float, out: Tensor | None = None
) -> Tensor:
    """Return factor J + a^T b in one pass of memory: on line it is what a step costs."""
    if len(a) == 1:
        return torch.addr(J, a[0], b[0], beta=factor, out=out)
    return torch.addmm(J, a.T, b, beta=factor, out=out)


def _matrix(J: Tensor) -> Tensor:
    if isinstance(J, Tensor) and J.layout != torch.strided:
        raise ValueError(
            f"J: expected a dense tensor or couplings.Sparse, got layout {J.layout}, in which a "
            "rule would create synapses"
        )
    if checks.floating("J", J).ndim != 2:
        raise ValueError(f"J: expected a matrix, got {tuple(J.shape)}")
    return J
