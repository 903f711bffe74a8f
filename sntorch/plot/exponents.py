"""Pictures of Lyapunov exponents and of what belongs to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sntorch.analysis import (
    CovariantVectors,
    FiniteTimeExponents,
    LyapunovSpectrum,
    ParticipationRatio,
)
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    THEORY,
    finish,
    finite,
    histogram,
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


@plot.register
@style()
def _(result: LyapunovSpectrum, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    rows = finite(result.exponents).reshape(-1, result.exponents.shape[-1])
    index = np.arange(1, rows.shape[1] + 1)
    mean, error = over_rows(result.exponents, result.stderr, axes=1)
    if len(rows) > 1:
        # All rows are one line with gaps, which is as fast to draw as one row.
        x, y = np.append(index, 0), np.column_stack([rows, np.full(len(rows), np.nan)])
        look = {"color": LIGHT, "linewidth": 0.8, "marker": "." if len(index) == 1 else ""}
        ax.plot(np.tile(x, len(rows)), y.ravel(), label=f"{len(rows)} rows", **look)
    points(ax, index, mean, error, label="mean ± s.e." if len(rows) > 1 else "exponent ± s.e.")
    ax.axhline(0, label="zero", **THEORY)
    note = f"entropy {mean_of(result.entropy):.3g} nats / {step_of(result)}"
    if some(result.dimension):
        note = f"dimension {mean_of(result.dimension):.3g}, {note}"
    name_axes(ax, "index", f"Lyapunov exponent (nats / {step_of(result)})", whole=True)
    return finish(ax, f"Lyapunov spectrum, N = {result.size}", mean, note)


@plot.register
@style()
def _(result: CovariantVectors, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    angles = finite(result.angles)
    note = f"smallest {np.nanmin(angles):.3g} rad" if some(angles) else ""
    histogram(ax, angles, "times and rows", LIGHT)
    ax.axvline(0, label="tangency", **THEORY)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(np.pi / 2, label="right angle", **dotted)
    name_axes(ax, "smallest angle between stable and unstable (rad)", "density (1 / rad)")
    return finish(ax, f"Angles of {result.growth.shape[-1]} covariant vectors", angles, note)


@plot.register
@style()
def _(result: FiniteTimeExponents, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    values = finite(result.values).reshape(-1, result.values.shape[-1])
    for column in range(min(values.shape[1], 6) - 1, 0, -1):
        label = "next ones" if column == 1 else ""
        histogram(ax, values[:, column], label, GREY, fill=False)
    histogram(ax, values[:, 0], "largest, windows and rows", LIGHT)
    mean, error = (mean_of(part[..., 0]) for part in (result.mean, result.stderr))
    width = np.sqrt(mean_of(result.variance[..., 0]))
    if math.isfinite(mean) and width > 0:
        x = mean + width * np.linspace(-4, 4, 161)
        bell = np.exp(-(((x - mean) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        ax.plot(x, bell, label="Gaussian", **THEORY)
    unit = f"nats / {step_of(result)}"
    name_axes(ax, f"finite-time exponent ({unit})", f"density (1 / ({unit}))")
    note = f"mean {plus_minus(mean, error)}, D {mean_of(result.diffusion[..., 0]):.3g}"
    note += f" nats² / {step_of(result)}"
    return finish(ax, f"Windows of {result.window} steps", values, note)


@plot.register
@style()
def _(result: ParticipationRatio, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    rows = finite(result.variances).reshape(-1, result.variances.shape[-1])
    shares = np.cumsum(rows, 1) / np.sum(rows, 1, keepdims=True)
    index = np.arange(1, rows.shape[1] + 1)
    if some(shares):
        ax.plot(index, np.nanmean(shares, 0), color=DARK, label="share of the variance")
    mean, error = map(mean_of, over_rows(result.value, result.stderr))
    if math.isfinite(mean):
        ax.axvline(mean, label="participation ratio", **THEORY)
    name_axes(ax, "principal components", "cumulative share of the variance", whole=True)
    ax.set_ylim(0, 1.05)
    note = f"{plus_minus(mean, error)} of {len(index)} dimensions"
    return finish(ax, "Linear dimension", shares, note)
