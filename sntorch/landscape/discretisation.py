"""A flow on a grid: its drift on the faces, its diffusion there, and the jumps they make."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.generator import Jumps, jumps
from sntorch.landscape.grid import Grid, diffusion_of, kind_of, values_on
from sntorch.observing import observing

__all__ = ["DiffusionField", "process"]

DiffusionField = Callable[[Tensor], Tensor]
"""D at states (..., d): numbers (...) or one per axis (..., d)."""


def process(
    flow: object, grid: Grid, *, x: Tensor | None, diffusion: DiffusionField | None
) -> tuple[Jumps, Tensor]:
    """Return the jump process of a flow on a grid, and the drift (*cells, d) at the centres.

    Raises
    ------
    ValueError
        As `sntorch.landscape.fokker_planck`.
    """
    if not isinstance(grid, Grid):
        raise ValueError(f"grid: expected a Grid, got {type(grid).__name__}")
    f = as_flow(flow)
    if f.size not in (-1, grid.dimension):
        raise ValueError(f"grid: expected {f.size} dimensions, those of the flow, got "
                         f"{grid.dimension}")  # fmt: skip
    with observing(f, torch.empty(0)):
        D = _diffusion_of(f, grid, diffusion)
        sides = range(grid.dimension)
        drift = [values_on(f, grid.faces(a), x)[..., a].numpy() for a in sides]
        faces = [D(grid.faces(a))[..., a].numpy() for a in sides]
        centres = D(grid.points)
        return jumps(grid, drift, centres.numpy(), faces), values_on(f, grid.points, x)


def _diffusion_of(f: Flow, grid: Grid, field: DiffusionField | None) -> DiffusionField:
    """Return D (..., d) as a function of states (..., d), checked where it is asked."""
    constant = diffusion_of(f, grid.dimension)
    if constant.ndim == 2:
        rest = constant - torch.diag(constant.diagonal())
        if float(rest.abs().max()) > 0:
            raise ValueError(
                "diffusion: expected a number, (N,) or a diagonal matrix on a grid, got a full "
                "one; rotate the coordinates to its eigenvectors"
            )
        constant = constant.diagonal()

    def on(points: Tensor) -> Tensor:
        D = constant
        if field is not None:
            D = torch.as_tensor(field(points.to(**kind_of(f)))).double().cpu()
            D = D.unsqueeze(-1) if D.shape == points.shape[:-1] else D
        try:
            D = D.expand(points.shape).contiguous()
        except RuntimeError:
            shape = tuple(points.shape)
            raise ValueError(f"diffusion: expected {shape[:-1]} or {shape}, got {tuple(D.shape)}"
                             ) from None  # fmt: skip
        lowest = float(checks.finite("diffusion", D).min())
        if lowest <= 0:
            raise ValueError(
                f"diffusion: expected > 0 along every axis, got {lowest:.4g}; without noise on all "
                "variables there is no smooth density: look at the orbits themselves"
            )
        return D

    return on
