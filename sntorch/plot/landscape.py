"""Pictures of flux and entropy production."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sntorch.landscape import AreaRates, EntropyProduction, FluxField
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    MIDDLE,
    SIGNED,
    THEORY,
    array,
    colour_bar,
    finish,
    finite,
    mean_of,
    name_axes,
    on,
    plot,
    plus_minus,
    points,
    some,
    step_of,
    style,
)
from sntorch.results import over_rows

_ARROWS = 26  # along an axis at most
_DENSITY = LinearSegmentedColormap.from_list("density", ["white", LIGHT])


@plot.register
@style()
def _(result: EntropyProduction, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    title, value, error = "Entropy production", result.value, result.stderr
    zero, note = "equilibrium", f"noise {result.noise:.3g} per step"
    if result.noise == 0:
        title, value, error = "Contraction rate", result.contraction, result.contraction_stderr
        zero, note = "volume conserved", "without noise entropy production has no value"
    mean, spread = map(mean_of, over_rows(value, error))
    points(ax, np.arange(value.numel()), value, error, line="", label="rows ± s.e.")
    number = f"{plus_minus(mean, spread)} nats / {step_of(result)}"
    if math.isfinite(mean + spread) and value.numel() > 1:
        ax.axhline(mean, color=MIDDLE, label="mean ± s.e.")
        ax.axhspan(mean - spread, mean + spread, color=MIDDLE, alpha=0.25, linewidth=0)
    ax.axhline(0, label=zero, **THEORY)
    name_axes(ax, "row", f"{title.lower()} (nats / {step_of(result)})", whole=True)
    note = f"{number}, {mean / result.size:.3g} per neuron\n{note}"
    return finish(ax, title, value, note)


@plot.register
@style()
def _(result: AreaRates, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    matrix, error = finite(result.matrix), finite(result.stderr)
    limit = float(np.nan_to_num(np.abs(matrix)).max()) or 1.0
    image = ax.imshow(matrix, cmap=SIGNED, vmin=-limit, vmax=limit)
    bar = colour_bar(ax, image, f"area rate (u² / {step_of(result)})")
    look = {"color": "black", "markersize": min(6.0, 70 / len(matrix)), "markeredgewidth": 0.8}
    for sign, marker, label in ((1, "+", "positive by 2 s.e."), (-1, "_", "negative by 2 s.e.")):
        i, j = np.nonzero(sign * matrix > 2 * error)
        ax.plot(j, i, marker, label=label, **look)  # two hues alone have no sign in grey
    typical = 2 * np.nan_to_num(mean_of(error[error > 0]))  # the diagonal is zero without an error
    for level in (-typical, 0, typical):
        bar.ax.axhline(level, **THEORY)
    ax.plot([], [], label="0, ± 2 s.e. (bar)", **THEORY)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.set(xlabel="to axis j", ylabel="from axis i")
    ratio = plus_minus(mean_of(result.irreversibility), mean_of(result.irreversibility_stderr))
    return finish(ax, "Area rates", matrix, f"irreversibility {ratio}")


@plot.register
@style()
def _(result: FluxField, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    edges, density = array(result.edges), finite(result.density)
    note = ""
    if np.isfinite(edges).all() and some(density):
        extent = (edges[0, 0], edges[0, -1], edges[1, 0], edges[1, -1])
        ax.imshow(density.T, cmap=_DENSITY, vmin=0, extent=extent, origin="lower")
        note = _arrows(ax, edges, array(result.flux), array(result.stderr), step_of(result))
        note += f"; shade: density ≤ {np.nanmax(density):.2g} / u²"
        if math.isfinite(result.share):
            share = plus_minus(100 * result.share, 100 * result.share_stderr)
            note += f"\nat least {share} % of the entropy production"
        if np.ptp(edges, axis=1).max() < 1e-6 * (1 + np.abs(edges).max()):
            note = "the states differ by rounding alone"
        _frame(ax, edges, density)
    name_axes(ax, "y₁ (units of u)", "y₂ (units of u)")
    return finish(ax, "Probability flux", density if note else math.nan, note)


def _arrows(
    ax: Axes, edges: NDArray[Any], flux: NDArray[Any], error: NDArray[Any], time: str
) -> str:
    """Draw the flux where it exceeds two standard errors; return what the arrows mean."""
    length = np.linalg.norm(flux, axis=-1)
    apart = -(-len(flux) // _ARROWS)
    shown = np.zeros_like(length, dtype=bool)
    shown[apart // 2 :: apart, apart // 2 :: apart] = True
    clear = (length > 2 * np.linalg.norm(error, axis=-1)) & shown
    if not clear.any():
        return "no flux beyond 2 s.e."
    x, y = np.meshgrid(*(edges[:, 1:] + edges[:, :-1]) / 2, indexing="ij")
    look = {"color": DARK, "pivot": "mid", "width": 0.006, "angles": "xy", "scale_units": "xy"}
    cells = np.linalg.norm(flux[clear] / np.diff(edges)[:, 0], axis=-1)
    # The longest arrow reaches nearly the next but one, also in a plane with unequal axes.
    ax.quiver(x[clear], y[clear], *flux[clear].T, scale=cells.max() / 1.8 / apart, **look)
    return f"arrows: flux ≤ {length[clear].max():.2g} / (u · {time})\nbeyond 2 s.e."


def _frame(ax: Axes, edges: NDArray[Any], density: NDArray[Any]) -> None:
    """Show the cells that matter, in true proportions unless the plane is a thin strip."""
    seen = density > 0.002 * np.nanmax(density)
    for axis, limits in enumerate((ax.set_xlim, ax.set_ylim)):
        cells = np.nonzero(seen.any(1 - axis))[0]
        if len(cells):
            limits(edges[axis, cells[0]], edges[axis, cells[-1] + 1])
    spans = np.ptp(edges, axis=1)
    ax.set_aspect("equal" if spans.max() < 3 * spans.min() else "auto")
