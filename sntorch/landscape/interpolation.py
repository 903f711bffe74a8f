"""Smooth values between the centres of a grid: cubic, with a continuous slope, differentiable."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sntorch.landscape.grid import Grid

__all__ = ["interpolate"]


def interpolate(grid: Grid, values: Tensor, u: Tensor) -> Tensor:
    """Return `values` (*cells,) at the states u (..., d): NaN outside the box.

    Cubic convolution along every axis, exact for quadratic functions away from the walls.

    References
    ----------
    R. Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153.
    """
    if u.shape[-1] != grid.dimension:
        raise ValueError(f"u: expected {grid.dimension} on the last axis, got {tuple(u.shape)}")
    low, h = (torch.tensor(v, dtype=u.dtype, device=u.device) for v in (grid.low, grid.spacing))
    place = (u - low) / h - 0.5
    near = torch.nan_to_num(place.detach()).floor()
    weights = _weights(place - near)  # (..., d, 4)
    values, flat = values.to(u), torch.zeros_like(near[..., 0], dtype=torch.long)
    total = torch.zeros_like(u[..., 0])
    for corner in itertools.product(range(4), repeat=grid.dimension):
        weight, index = torch.ones_like(total), flat
        for axis, (offset, n) in enumerate(zip(corner, grid.cells, strict=True)):
            cell = (near[..., axis].long() + offset - 1).clamp(0, n - 1)
            index, weight = index * n + cell, weight * weights[..., axis, offset]
        total = total + weight * values.reshape(-1)[index]
    return torch.where(grid.inside(u.detach()), total, torch.nan)


def _weights(t: Tensor) -> Tensor:
    """Return the weights (..., 4) of the two cells before and the two after t in [0, 1)."""
    square, cube = t.square(), t.pow(3)
    return (
        torch.stack(
            [
                2 * square - t - cube,
                2 - 5 * square + 3 * cube,
                t + 4 * square - 3 * cube,
                cube - square,
            ],
            -1,
        )
        / 2
    )
