"""Pictures of capacities: the share of every past input that is left, and functions by degree."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from sntorch.analysis import InformationCapacity, MemoryCapacity
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    THEORY,
    array,
    finish,
    finite,
    name_axes,
    on,
    plot,
    plus_minus,
    style,
)


@plot.register
@style()
def _(result: MemoryCapacity, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    rows = finite(result.capacity).reshape(-1, result.capacity.shape[-1])
    errors = finite(result.stderr).reshape(rows.shape)
    delays = np.arange(rows.shape[1])
    for i, row in enumerate(rows[:20] if len(rows) > 1 else []):
        ax.plot(delays, row, color=LIGHT, linewidth=0.8, label=None if i else "rows")
    mean = rows.mean(0)
    error = np.sqrt((errors**2).sum(0)) / len(rows)
    ax.fill_between(delays, mean - error, mean + error, color=DARK, alpha=0.25, linewidth=0)
    ax.plot(delays, mean, color=DARK, label="mean ± s.e.", zorder=3)
    for value, label in ((1, "all, and nothing"), (0, None)):
        ax.axhline(value, label=label, **THEORY)
    name_axes(ax, "delay (steps)", "share of the input that is read out", whole=True)
    scalars = result.scalars()
    total = plus_minus(scalars["memory"], scalars["memory_stderr"])
    highest = f"at most N = {result.size}, rank {array(result.rank).max():.0f}"
    return finish(ax, "Memory capacity", rows, f"sum {total}; {highest}")


@plot.register
@style()
def _(result: InformationCapacity, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    rows = finite(result.capacity).reshape(-1, result.capacity.shape[-1])
    error = np.sqrt((finite(result.stderr).reshape(rows.shape) ** 2).sum(0)) / len(rows)
    degrees = np.arange(1, rows.shape[1] + 1)
    if len(rows) > 1:
        for i, row in enumerate(rows[:20]):
            label = None if i else "rows"
            ax.plot(degrees, row, ".", color=LIGHT, label=label, zorder=4)
    look = {"color": DARK, "alpha": 0.35, "width": 0.6}
    ax.bar(degrees, rows.mean(0), yerr=error, label="mean ± s.e.", **look)
    ax.axhline(array(result.rank).mean(), label="rank, the bound of the sum", **THEORY)
    name_axes(ax, "degree", "capacity (functions)", whole=True)
    scalars = result.scalars()
    total = plus_minus(scalars["information"], scalars["information_stderr"])
    return finish(ax, "Information processing", rows, f"sum {total}; N = {result.size}")
