r"""A coupling whose rows are held by several processes: J larger than one memory.

Process r holds the rows :math:`J_r` of J (and trains them); states, tangents, and all else are the
same in every process.  With S the sum over processes, C their blocks below each other, and
:math:`Y_r` the part of Y that belongs to the rows of r,

.. math:: J X = C_r (J_r X), \qquad J^T Y = S_r (J_r^T Y_r).

Each step sends N numbers per state, not N^2.  Derivatives come from four linear maps, of which each
is the adjoint of another: to *gather* parts and to *cut* them out, to *sum* over processes and to
*spread* what all have alike.  So derivatives of any order are exact in every process, those of J_r
in the process that holds it.
"""

from __future__ import annotations

from typing import Any, Self, final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.layers import Coupling, as_coupling, entries
from sntorch.couplings.normals import fits
from sntorch.couplings.teams import Team

__all__ = ["Sharded"]

_ADJOINT = {"gather": "cut", "cut": "gather", "sum": "spread", "spread": "sum"}


@final
class Sharded(Coupling):
    """Rows of J in each process of a `Team`; every process makes the layer at the same time.

    All processes must do the same work in the same order: equal seeds, states, and drives.  An
    optimiser in each trains its own rows, and everything else alike; a norm over all parameters, as
    for clipping, is known to no process.  ``state_dict`` holds the rows of one process.

    Parameters
    ----------
    rows
        The rows of this process, a tensor or a layer (m_r, n), dense or sparse; for n neurons the
        m_r of all processes add up to n, in the order of their ranks.
    team
        The processes.

    Raises
    ------
    ValueError
        If the rows do not fit those of the other processes; all processes raise it.
    LostWorker
        In any product, if a process does not come.
    """

    def __init__(self, rows: Tensor | Coupling, team: Team) -> None:
        super().__init__()
        self.block = as_coupling(rows, "rows")
        self.team = checks.instance("team", team, Team)
        told = team.tell((self.block.shape, entries(self.block).dtype))
        for rank, (shape, dtype) in enumerate(told):
            if shape[1] != told[0][0][1] or dtype != told[0][1]:
                raise ValueError(
                    f"rows: expected {told[0][0][1]} columns of {told[0][1]}, as on rank 0, "
                    f"got {shape[1]} of {dtype} on rank {rank}"
                )
        self.sizes = tuple(shape[0] for shape, _ in told)
        self.shape = sum(self.sizes), self.block.shape[1]

    @property
    def rows(self) -> slice:
        """Which rows of J this process holds."""
        start = sum(self.sizes[: self.team.rank])
        return slice(start, start + self.sizes[self.team.rank])

    def matmat(self, X: Tensor) -> Tensor:
        """Return J X (m, k) for X (n, k), in every process."""
        return self._apply_map("gather", self.block.matmat(self._apply_map("spread", X)))

    def rmatmat(self, Y: Tensor) -> Tensor:
        """Return J^T Y (n, k) for Y (m, k), in every process."""
        return self._apply_map("sum", self.block.rmatmat(self._apply_map("cut", Y)))

    def to_dense(self) -> Tensor:
        """Return the whole matrix (m, n), in every process."""
        like = entries(self.block)
        fits("J", self.shape, like.dtype, like.device)
        return self._apply_map("gather", self.block.to_dense())

    def scale_(self, factor: float) -> Self:
        """Multiply J by a number, in place."""
        self.block.scale_(factor)
        return self

    def extra_repr(self) -> str:
        """Say how large it is, and which rows are here."""
        rows = self.rows
        return f"{super().extra_repr()}, rows={rows.start}:{rows.stop}"

    def send(self, verb: str, value: Tensor) -> Tensor:
        """Return one of the four maps of a value (m or n, k), without derivatives."""
        if verb == "gather":
            return self.team.gather(value, self.sizes)
        if verb == "sum":
            return self.team.sum(value)
        return value[self.rows].clone() if verb == "cut" else value.view_as(value)

    def _apply_map(self, verb: str, value: Tensor) -> Tensor:
        apply: Any = _Map.apply
        return apply(value, self, verb)


class _Map(torch.autograd.Function):
    """One of the four maps; its derivatives are the maps again."""

    @staticmethod
    def forward(value: Tensor, layer: Sharded, verb: str) -> Tensor:
        return layer.send(verb, value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.layer, ctx.verb = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        apply: Any = _Map.apply
        return apply(grads[0], ctx.layer, _ADJOINT[ctx.verb]), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        apply: Any = _Map.apply
        return apply(tangents[0], ctx.layer, ctx.verb)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[Any, ...], value: Tensor, layer: Any, verb: Any
    ) -> tuple[Tensor, int]:
        apply: Any = _Map.apply
        columns = value.movedim(in_dims[0], -1)
        moved = apply(columns.flatten(1), layer, verb)
        return moved.unflatten(1, columns.shape[1:]), 2
