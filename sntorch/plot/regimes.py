"""Pictures of time series and regimes, and of routes from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from sntorch.analysis import Lines, PowerSpectrum, Regime
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    THEORY,
    StyledFigure,
    array,
    finish,
    finite,
    headline,
    mean_of,
    name_axes,
    on,
    plot,
    some,
    step_of,
    style,
)
from sntorch.results import Result, time_unit


@plot.register
@style()
def _(result: PowerSpectrum, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    mean = _power(ax, result)
    note = f"resolution {result.resolution:.2g}, {result.segments} segments"
    return finish(ax, "Power spectrum", mean, note)


@plot.register
@style()
def _(result: Lines, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    frequency, amplitude = finite(result.frequencies), finite(result.amplitudes)
    ax.set_yscale("log")
    ax.vlines(frequency, 1e-4 * np.nanmax(amplitude, initial=1e-300), amplitude, color=LIGHT)
    ax.plot(frequency, amplitude, "o", color=DARK, label="lines")
    for i, base in enumerate(finite(result.base)):
        ax.axvline(base, label="base frequencies" if i == 0 else None, **THEORY)
    ax.set(xlabel=f"frequency (cycles / {step_of(result)})", ylabel="amplitude (units of u)")
    note = f"{len(result.base)} base frequencies" if result.explained else "not explained"
    return finish(ax, "Spectral lines", amplitude, note)


@plot.register
@style()
def _(result: Regime, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    moving = set(result.labels) != {"fixed_point"}
    below = _strip_below(ax) if moving else None  # what rests has no spectrum
    m = finite(result.activity).reshape(len(result.activity), -1)
    look = {"color": DARK, "markeredgewidth": 0, "rasterized": True}
    if some(m):
        low, high = np.nanmin(m), np.nanmax(m)
        grain = 1e-4 * max(high - low, 1e-3)
        look["markersize"] = 5 if len(np.unique(np.round(m[:, 0] / grain))) < 50 else 0.8
        ends = (low + high) / 2 + 0.6 * max(high - low, 1e-3) * np.array([-1, 1])
        ax.plot(ends, ends, label="m(t+1) = m(t)", **THEORY)
        ax.plot(m[:-1], m[1:], "o", **look)
    name_axes(ax, "mean activity m(t)", "m(t+1)")
    if below is not None:
        _power(below, result.spectrum)
        below.set_ylabel("power")
        lines = array(result.frequencies)
        for line in np.unique(lines[np.isfinite(lines)])[:6]:
            below.axvline(line, **THEORY)
    note = f"exponent {mean_of(result.exponents[..., 0]):.3g} nats / {step_of(result)}"
    return finish(ax, f"Regime: {result.title}", m, note)


def panels(results: Mapping[str, Result], below: Result, title: str | None = None) -> Figure:
    """Return a figure with a row of named records, and a wide one below.

    Examples
    --------
    >>> import torch
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(10))
    >>> spectrum = snt.analysis.jacobian_spectrum(cell, torch.zeros(10))
    >>> fig = panels({"gain 1": spectrum}, snt.analysis.max_lyapunov(cell, torch.zeros(10), 50))
    >>> len(fig.axes)
    2
    """
    with style():
        fig = StyledFigure(figsize=(3.3 * max(len(results), 2), 8.6))
        grid = fig.add_gridspec(2, max(len(results), 1), height_ratios=[1.6, 1])
        for i, (name, result) in enumerate(results.items()):
            ax = plot(result, fig.add_subplot(grid[0, i]))
            ax.set_xlabel(f"{ax.get_xlabel()}, {name}")
        plot(below, fig.add_subplot(grid[1, :]))
        headline(fig, title)
    return fig


@style()
def along(
    x: Tensor, y: Tensor, error: Tensor, names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Return axes with curves y (P, k) against a parameter x (P,), and the name of every value.

    Examples
    --------
    >>> import torch
    >>> gain, exponent = torch.tensor([0.5, 1.5]), torch.tensor([[-0.7], [0.1]])
    >>> ax = along(gain, exponent, torch.full((2, 1), 0.01), ["rest", "chaos"])
    >>> [text.get_text() for text in ax.texts]
    ['rest', 'chaos']
    """
    ax = on(ax)
    at, curves, errors = finite(x), finite(y), np.nan_to_num(finite(error))
    for i in range(curves.shape[1] - 1, -1, -1):
        look = {"color": DARK if i == 0 else LIGHT, "marker": "o", "elinewidth": 0.9}
        label = {0: "largest ± s.e.", 1: "others"}.get(i)
        ax.errorbar(at, curves[:, i], errors[:, i], label=label, zorder=3, **look)
    for value, name in zip(at, names, strict=True):
        place = {"xycoords": ("data", "axes fraction"), "rotation": 30, "va": "bottom"}
        ax.annotate(name, (value, 1.01), fontsize=7.5, color=GREY, **place)
    ax.axhline(0, label="zero", **THEORY)
    ax.legend(loc="best", frameon=False)
    return ax


def _power(ax: Axes, result: PowerSpectrum) -> NDArray[Any]:
    """Draw the mean density with its error, return it; without frequency 0, the mean's."""
    frequency, mean, error = map(finite, (result.frequencies, result.mean, result.mean_stderr))
    frequency, mean, error = frequency[1:], mean[1:], np.nan_to_num(error[1:])
    mean = np.where(mean > 0, mean, np.nan)
    ax.set_yscale("log")
    ax.plot(frequency, mean, color=DARK, linewidth=0.9, label="power ± s.e.")
    low = np.maximum(mean - error, 0.1 * mean)  # a logarithm knows no zero
    ax.fill_between(frequency, low, mean + error, color=DARK, alpha=0.25, linewidth=0)
    unit = time_unit(result.dt)
    ax.set(xlabel=f"frequency (cycles / {unit})", ylabel=f"power (u² · {unit})")
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    return mean


def _strip_below(ax: Axes) -> Axes | None:
    """Return new axes in the lower third of the place of `ax`, which keeps the rest."""
    place = ax.get_subplotspec()
    if place is None or not isinstance(ax.figure, Figure):
        return None
    parts = place.subgridspec(2, 1, height_ratios=[1.7, 1])
    ax.set_subplotspec(parts[0])
    return ax.figure.add_subplot(parts[1])
