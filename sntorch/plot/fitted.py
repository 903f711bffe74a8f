"""Pictures of flows that were estimated: the drift with its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from sntorch.landscape.bases import Polynomial, Splines
from sntorch.landscape.fitted import FittedFlow
from sntorch.landscape.reduction import ReducedFlow
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    THEORY,
    array,
    colour_bar,
    finish,
    finite,
    name_axes,
    on,
    plot,
    style,
)

_UNKNOWN = LinearSegmentedColormap.from_list("unknown", ["white", LIGHT, "#6f8699"])
_REACH = 3.0  # standard deviations of the states that are shown of polynomials
_POINTS = 81  # along an axis
_ARROWS = 5  # points between two arrows


@plot.register
@style()
def _(result: FittedFlow, ax: Axes | None = None) -> Axes:
    """Draw the drift over one coordinate with its error, or in the plane of the first two."""
    ax = on(ax)
    reduced = isinstance(result, ReducedFlow)
    name = "y" if reduced else "u"
    low, high, centre = (
        each.nan_to_num(e) for each, e in zip(_box(result), (-1, 1, 0), strict=True)
    )
    axes = [torch.linspace(0, 1, _POINTS).to(low) * (high[a] - low[a]) + low[a]
            for a in range(min(2, result.size))]  # fmt: skip
    mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    at = centre.expand(*mesh.shape[:-1], result.size).clone()
    at[..., : len(axes)] = mesh
    with torch.no_grad():
        F, error = (finite(each) for each in (result.drift.at(at), result.stderr_at(at)))
    D = float(result.diffusion.diagonal().mean())
    note = f"n = {result.samples}, D = {D:.3g}, scatter {float(result.scatter):.2g} nats / time"
    title = "Reduced flow" if reduced else "Flow from increments"
    if reduced:
        note += f"\nmemory {float(result.memory.max()):.2g}: 0 for a Markov process"
    if len(axes) == 1:
        _curve(ax, array(axes[0]), F[..., 0], error[..., 0], name)
        return finish(ax, title, F, note)
    _plane(ax, [array(each) for each in axes], F[..., :2], error[..., :2], name)
    if result.size > 2:
        note += "\nslice through the mean"
    return finish(ax, title, F, note + "\narrows: drift beyond 2 s.e.")


def _box(result: FittedFlow) -> tuple[Tensor, Tensor, Tensor]:
    """Return the corners (N,) of what is shown, and its middle."""
    basis = result.drift.basis
    if isinstance(basis, Splines):
        return basis.low, basis.high, (basis.low + basis.high) / 2
    if isinstance(basis, Polynomial):
        away = _REACH * basis.scale
        return basis.centre - away, basis.centre + away, basis.centre
    raise ValueError(f"result: expected splines or polynomials, got {type(basis).__name__}")


def _curve(ax: Axes, y: Any, F: Any, error: Any, name: str) -> None:
    ax.plot(y, F, color=DARK, label="drift")
    ax.fill_between(y, F - 2 * error, F + 2 * error, color=LIGHT, alpha=0.6, label="± 2 s.e.")
    ax.axhline(0, label="at rest", **THEORY)
    known = error < np.nanmax(np.abs(F)) if np.isfinite(F).any() else error < 0
    if known.any():
        span = float(np.abs(F[known]).max())
        ax.set_ylim(-1.1 * span, 1.1 * span)
    name_axes(ax, name, f"drift ({name} / unit of time)")


def _plane(ax: Axes, axes: list[Any], F: Any, error: Any, name: str) -> None:
    speed = np.linalg.norm(F, axis=-1)
    off = np.linalg.norm(error, axis=-1)
    typical = float(np.nanmedian(speed)) if np.isfinite(speed).any() else 1.0
    shade = np.minimum(off / (typical or 1.0), 1)
    extent = (axes[0][0], axes[0][-1], axes[1][0], axes[1][-1])
    look: dict[str, Any] = {"extent": extent, "origin": "lower", "aspect": "auto"}
    image = ax.imshow(shade.T, cmap=_UNKNOWN, vmin=0, vmax=1, **look)
    colour_bar(ax, image, "standard error / median drift (cut at 1)")
    some = (slice(_ARROWS // 2, None, _ARROWS),) * 2
    clear = (speed > 2 * off)[some]
    if clear.any():
        x, y = np.meshgrid(axes[0], axes[1], indexing="ij")
        arrow = {"color": DARK, "pivot": "mid", "width": 0.005, "angles": "xy"}
        shown = F[some][clear]
        ax.quiver(x[some][clear], y[some][clear], shown[:, 0], shown[:, 1], **arrow)
    name_axes(ax, f"{name}₁", f"{name}₂")
