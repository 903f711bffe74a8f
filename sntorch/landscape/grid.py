"""A box cut into equal cells: where a density in one to three dimensions lives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.flows import Flow, checked_diffusion

__all__ = ["Grid", "diffusion_of", "kind_of", "values_on"]

_LARGEST = 4_000_000  # cells; beyond them not even the iterative solution fits a workstation
_CHUNK = 200_000  # states that a flow is asked for at once


@dataclasses.dataclass(frozen=True, init=False)
class Grid:
    """The box from `low` to `high`, cut along each axis into equal cells.

    Parameters
    ----------
    low, high
        Corners of the box, d numbers each, d from 1 to 3.
    cells
        Cells along every axis, a number or d numbers, at least 3.

    Raises
    ------
    ValueError
        If d > 3, a side of the box is not longer than zero, or there are too many cells.

    Examples
    --------
    >>> grid = Grid([-2.0, -1.0], [2.0, 1.0], (8, 4))
    >>> grid.spacing, grid.points.shape
    ((0.5, 0.5), torch.Size([8, 4, 2]))
    """

    low: tuple[float, ...]
    """(d,)."""
    high: tuple[float, ...]
    """(d,)."""
    cells: tuple[int, ...]
    """(d,)."""

    def __init__(
        self, low: Sequence[float], high: Sequence[float], cells: int | Sequence[int]
    ) -> None:
        corners = _corner("low", low), _corner("high", high)
        size = len(corners[0])
        if not 1 <= size <= 3:
            raise ValueError(
                f"grid: expected 1 to 3 dimensions, got {size}; in more use gaussian_landscape, or "
                "entropy_production and flux_field of an orbit"
            )
        if len(corners[1]) != size:
            raise ValueError(f"high: expected {size} numbers, as low has, got {len(corners[1])}")
        for a, b in zip(*corners, strict=True):
            if not a < b:
                raise ValueError(f"high: expected more than low = {a}, got {b}")
        counts = (cells,) * size if isinstance(cells, int) else tuple(cells)
        if len(counts) != size:
            raise ValueError(f"cells: expected one number or {size}, got {len(counts)}")
        counts = tuple(checks.count("cells", n, low=3) for n in counts)
        if math.prod(counts) > _LARGEST:
            raise ValueError(f"cells: expected at most {_LARGEST} in all, got {math.prod(counts)}")
        for name, value in (("low", corners[0]), ("high", corners[1]), ("cells", counts)):
            object.__setattr__(self, name, value)

    @property
    def dimension(self) -> int:
        """Number of axes d."""
        return len(self.cells)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Width of a cell along every axis (d,)."""
        return tuple((b - a) / n for a, b, n in zip(self.low, self.high, self.cells, strict=True))

    @property
    def volume(self) -> float:
        """Volume of a cell."""
        return math.prod(self.spacing)

    @property
    def axes(self) -> tuple[Tensor, ...]:
        """Centres of the cells along every axis, d tensors (cells[a],)."""
        return tuple(
            a + h * (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5)
            for a, h, n in zip(self.low, self.spacing, self.cells, strict=True)
        )

    @property
    def points(self) -> Tensor:
        """Centres of all cells (*cells, d)."""
        return torch.stack(torch.meshgrid(*self.axes, indexing="ij"), -1)

    def faces(self, axis: int) -> Tensor:
        """Return the centres of the inner faces across `axis`, one fewer than cells along it."""
        kept = self.points.narrow(axis, 0, self.cells[axis] - 1).clone()
        kept[..., axis] += self.spacing[axis] / 2
        return kept

    def inside(self, u: Tensor) -> Tensor:
        """Tell which states (..., d) lie in the box (...)."""
        low, high = (torch.tensor(v, dtype=u.dtype, device=u.device) for v in (self.low, self.high))
        return ((u >= low) & (u <= high)).all(-1)


def values_on(flow: Flow, points: Tensor, x: Tensor | None) -> Tensor:
    """Return the drift (..., d) at `points`, asked for in the kind of the flow, as float64.

    Raises
    ------
    ValueError
        If the flow has another number of variables, or is not finite at one of the points.
    """
    u = points.to(**kind_of(flow)).reshape(-1, points.shape[-1])
    flow.check(u)
    found = torch.cat([flow.drift(part, x) for part in u.split(_CHUNK)]).double().cpu()
    good = found.isfinite().all(-1)
    if not bool(good.all()):
        place = [round(v, 4) for v in points.reshape(-1, points.shape[-1])[~good][0].tolist()]
        raise ValueError(f"flow: expected a finite drift in the whole box, got none at {place}")
    return found.reshape(points.shape)


def kind_of(module: nn.Module) -> dict[str, Any]:
    """Return dtype and device of the numbers of a module, float64 on the CPU if it has none."""
    numbers = (n for n in (*module.parameters(), *module.buffers()) if n.is_floating_point())
    like = next(numbers, torch.empty(0, dtype=torch.float64, device="cpu"))
    return {"dtype": like.dtype, "device": like.device}


def diffusion_of(flow: Flow, size: int) -> Tensor:
    """Return D of a flow, scalar, (N,) or (N, N), checked, as float64 on the CPU."""
    D = checked_diffusion(flow.diffusion, size)
    return torch.as_tensor(D, dtype=torch.float64, device="cpu").detach()


def _corner(name: str, value: Sequence[float]) -> tuple[float, ...]:
    if isinstance(value, Tensor):
        value = value.detach().reshape(-1).tolist()
    if isinstance(value, int | float):
        value = (value,)
    try:
        return tuple(checks.number(name, float(v)) for v in value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected finite numbers, one per axis, got {value!r}") from None
