"""Pictures of learned potentials: the landscape with its flux, how good it is, and its states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sntorch.landscape import PotentialMap, PotentialQuality, Stationarity
from sntorch.plot.canvas import (
    DARK,
    GREY,
    MIDDLE,
    THEORY,
    array,
    colour_bar,
    finish,
    finite,
    name_axes,
    on,
    plot,
    plus_minus,
    some,
    style,
)
from sntorch.plot.grids import DEEPEST, VALLEY, arrows, frame


@plot.register
@style()
def _(result: PotentialMap, ax: Axes | None = None) -> Axes:
    """Draw V, in nats if there is noise, as shade, the flux as arrows, states as dots."""
    ax = on(ax)
    axes, V = list(array(result.axes)), finite(result.potential)
    noisy = math.isfinite(result.scale)
    # Without noise there are no nats: shown is what lies lower than half of the slice.
    unit = result.scale if noisy else float(np.nanmedian(V)) / DEEPEST
    U = V / max(unit, 1e-30)
    shade = np.where(U < DEEPEST, U, DEEPEST)
    extent = (*axes[0][[0, -1]], *axes[1][[0, -1]])
    high = DEEPEST if noisy else DEEPEST * unit
    image = ax.imshow(shade.T * (high / DEEPEST), cmap=VALLEY, extent=extent, origin="lower",
                      vmin=0, vmax=high)  # fmt: skip
    inside = np.where(np.isfinite(V), shade, np.nan)
    ax.contour(*axes, inside.T, np.arange(1, DEEPEST, 2), colors=GREY, linewidths=0.4)
    colour_bar(ax, image, "(V - min V) / D (nats)" if noisy else "V - min V")
    ax.plot(*array(result.states).T, ".", color=MIDDLE, markersize=1.5, alpha=0.5, label="states")
    flux = some(result.velocity)
    if flux:
        arrows(ax, axes, finite(result.flux), U)
    frame(ax, axes, U)
    principal = result.sliced or result.marginal
    names = ("principal coordinate 1", "principal coordinate 2") if principal else ("u₁", "u₂")
    name_axes(ax, *names)
    words = [
        "of these two coordinates alone" * result.marginal,
        "slice through the mean" * result.sliced,
        "arrows: flux" * flux,
    ]
    return finish(ax, "Learned landscape", U, "; ".join(word for word in words if word))


@plot.register
@style()
def _(result: PotentialQuality, ax: Axes | None = None) -> Axes:
    """Draw the relative defects on a logarithmic axis, with 1, of no use, beside them."""
    ax = on(ax)
    virial = abs(float(result.virial) - 1)
    parts = {
        "not stationary": float(result.balance),
        "Hamilton-Jacobi": float(result.hamilton_jacobi),
        "virial - 1": virial,
        "error of V": float(result.error),
        "1 - correlation": 1 - float(result.correlation),
    }
    known = {name: value for name, value in parts.items() if math.isfinite(value)}
    places = np.arange(len(known))
    ax.plot(list(known.values()), places, "o", color=DARK, label="relative defect")
    ax.axvline(1, label="of no use", **THEORY)
    ax.set_xscale("log")
    ax.set_yticks(places, list(known))
    ax.invert_yaxis()
    ax.set_xlabel("relative size")
    produced = plus_minus(float(result.entropy_production), float(result.stderr))
    return finish(ax, "Learned potential", list(known.values()), f"{produced} nats / unit of time")


@plot.register
@style()
def _(result: Stationarity, ax: Axes | None = None) -> Axes:
    """Draw the drift of mean and variance of every neuron in standard errors."""
    ax = on(ax)
    z = finite(result.rates) / finite(result.stderr)
    for row, marker, colour, label in zip(z, "os", (DARK, MIDDLE), ("mean", "variance"),
                                          strict=True):  # fmt: skip
        look: dict[str, Any] = {"color": colour, "linestyle": "none", "label": label}
        ax.plot(np.arange(1, len(row) + 1), row, marker, **look)
    for edge in (-2, 2):
        ax.axhline(edge, label="two standard errors" if edge > 0 else None, **THEORY)
    name_axes(ax, "neuron", "rate of change / standard error", whole=True)
    state = "stationary" if result.stationary else "not stationary"
    return finish(ax, "Balance of the states", z, f"{state}, largest {float(result.z):.3g}")
