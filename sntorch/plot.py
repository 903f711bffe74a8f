"""Pictures of the records: one function per type, all in one style.

``plot(record)`` draws one record on one axes, ``figure(record, record)`` several in a row, and
``report(history)`` a whole training run.  Figures are made without pyplot: nothing is registered,
no window opens, and they may be drawn while a network trains.

Measurements are dark and solid; rows, and what was before training, are light; theory is a thin
dashed line beside them: the zero of an exponent, the circular law of a spectrum.  Lightness and
markers repeat what colour says, so that a picture also reads in grey.  Numbers that are not finite
are left out, and legends stand above the axes, where they cover no data.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sntorch.analysis import (
    Branch,
    ContractionGain,
    FixedPoints,
    JacobianSpectrum,
    LyapunovSpectrum,
)
from sntorch.landscape import AreaRates, EntropyProduction, FluxField
from sntorch.results import Result, TrainingHistory, over_rows, time_unit

__all__ = ["figure", "plot", "report", "style"]

_DARK, _MIDDLE, _LIGHT, _GREY = "#12355b", "#d1603d", "#a9bccb", "#666666"
_DENSITY = LinearSegmentedColormap.from_list("density", ["white", _LIGHT])
_SIGNED = LinearSegmentedColormap.from_list("signed", ["#4a7fb0", "white", "#e08a5b"])
_THEORY: dict[str, Any] = {"color": _GREY, "linewidth": 0.9, "linestyle": (0, (5, 3))}

_RC: dict[Any, Any] = (
    {"axes.labelsize": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "font.size": 9}
    | {"legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8}
    | {"axes.linewidth": 0.7, "lines.linewidth": 1.4, "lines.markersize": 4}
    | {"axes.spines.right": False, "axes.spines.top": False}
    | {"axes.edgecolor": "#444444", "xtick.color": "#444444", "ytick.color": "#444444"}
    | {"axes.labelcolor": "black", "text.color": "black"}
    | {"xtick.labelcolor": "black", "ytick.labelcolor": "black"}
    | {"axes.facecolor": "white", "figure.facecolor": "white", "savefig.facecolor": "white"}
    | {"figure.constrained_layout.use": True, "figure.dpi": 110}
    | {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}  # text stays text
)
_LEGEND: dict[str, Any] = (
    {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "alignment": "left"}
    | {"borderaxespad": 0, "borderpad": 0.1, "columnspacing": 1.2, "handlelength": 1.8}
    | {"labelspacing": 0.2, "title_fontsize": 8}
)

_MARKERS = ("o", "s", "^", "D", "v", "p", "*")
_EVENTS = {"fold": "o", "pitchfork": "^", "transcritical": "x", "flip": "s", "neimark_sacker": "D"}
"""Kind of a bifurcation: its marker."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Return a context, also a decorator, in which matplotlib draws as this library does.

    Examples
    --------
    >>> with style():
    ...     axes = Figure().subplots()
    >>> axes.spines["top"].get_visible()
    False
    """
    with matplotlib.rc_context(_RC):
        yield


class _Figure(Figure):
    """A figure that is in style also when it is saved: the kind of fonts is chosen only then."""

    @style()
    def savefig(self, fname: Any, **kwargs: Any) -> None:
        super().savefig(fname, **kwargs)


@functools.singledispatch
def plot(result: object, ax: Axes | None = None) -> Axes:
    """Return the axes on which the record is drawn, new ones unless they are given.

    Raises
    ------
    ValueError
        If there is no picture of such a record.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20))
    >>> plot(snt.analysis.jacobian_spectrum(cell, torch.randn(4, 20))).get_xlabel()
    'real part of λ (per step)'
    """
    known = ", ".join(sorted(kind.__name__ for kind in plot.registry if kind is not object))
    raise ValueError(f"result: expected one of {known}, got {type(result).__name__}")


@plot.register
@style()
def _(result: LyapunovSpectrum, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    rows = _finite(result.exponents).reshape(-1, result.exponents.shape[-1])
    index = np.arange(1, rows.shape[1] + 1)
    mean, error = over_rows(result.exponents, result.stderr, axes=1)
    if len(rows) > 1:
        # All rows are one line with gaps, which is as fast to draw as one row.
        x, y = np.append(index, 0), np.column_stack([rows, np.full(len(rows), np.nan)])
        look = {"color": _LIGHT, "linewidth": 0.8, "marker": "." if len(index) == 1 else ""}
        ax.plot(np.tile(x, len(rows)), y.ravel(), label=f"{len(rows)} rows", **look)
    _points(ax, index, mean, error, label="mean ± s.e." if len(rows) > 1 else "exponent ± s.e.")
    ax.axhline(0, label="zero", **_THEORY)
    note = f"entropy {_mean(result.entropy):.3g} nats / {_step(result)}"
    if _some(result.dimension):
        note = f"dimension {_mean(result.dimension):.3g}, {note}"
    _label(ax, "index", f"Lyapunov exponent (nats / {_step(result)})", whole=True)
    return _finish(ax, f"Lyapunov spectrum, N = {result.size}", mean, note)


@plot.register
@style()
def _(result: JacobianSpectrum, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    _eigenvalues(ax, result, "eigenvalues", _DARK)
    _complex_plane(ax, result)
    note = f"spectral radius {_mean(result.radius):.3g} per step"
    return _finish(ax, "Spectrum of the Jacobian", result.eigenvalues, note)


@plot.register
@style()
def _(result: FixedPoints, ax: Axes | None = None) -> Axes:
    ax, result = _axes(ax), result.map(torch.Tensor.detach)
    distinct = result.unique()
    points, slow = _finite(distinct.states), _finite(result.states[~result.converged])
    both = np.nan_to_num(points if len(points) else slow)
    axes = np.linalg.svd(both - both.mean(0), full_matrices=False)[2][:2]
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    if len(slow):
        look: dict[str, Any] = {"color": _LIGHT, "markeredgewidth": 0, "markersize": 3}
        ax.plot(*(axes @ (slow - both.mean(0)).T), "o", label="slow points", **look)
    unstable = _array(distinct.unstable)
    for i, number in enumerate(np.unique(unstable)):
        at = axes @ (points[unstable == number] - both.mean(0)).T
        label = "stable" if number == 0 else f"{number:.0f} unstable"
        look = {"color": _DARK, "markerfacecolor": _DARK if number == 0 else "white"}
        ax.plot(*at, _MARKERS[i % len(_MARKERS)], label=label, markersize=6, **look)
    _label(ax, "1st principal axis (units of u)", "2nd principal axis (units of u)")
    share = f"{_mean(result.converged):.0%} of {int(result.basin.sum())} starts converged"
    return _finish(ax, f"{len(points)} fixed points", result.states, share)


@plot.register
@style()
def _(result: Branch, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    p, u, stable = _array(result.parameter), _finite(result.states)[:, 0], _array(result.stable) > 0
    inside = np.append(True, stable[:-1]) & stable & np.append(stable[1:], True)
    # Dashes reach the first stable point, so that the curve has no gap.
    for name, keep, line in (("stable", stable, "-"), ("unstable", ~inside, "--")):
        if keep.any():
            ax.plot(p, np.where(keep, u, np.nan), line, color=_DARK, label=name)
    for event in result.events:
        mark = _EVENTS[event.kind]
        label = f"{event.kind.replace('_', '-')} at {event.parameter:.5g}"
        look: dict[str, Any] = {"color": _MIDDLE, "markersize": 6, "zorder": 3}
        ax.plot(event.parameter, _finite(event.state)[0], mark, label=label, **look)
    _label(ax, result.name, "first coordinate u₁")
    return _finish(ax, "Branch of fixed points", u, result.note)


@plot.register
@style()
def _(result: ContractionGain, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    gain, leak = float(_array(result.gain)), _finite(result.leak)
    top = 2 * gain if math.isfinite(gain) else 1.0
    for name, norm in result.norms.items():
        best = name == result.norm
        look = {"color": _DARK if best else _LIGHT, "label": f"{name} norm", "zorder": 2 + best}
        ax.plot([0, top], leak + np.array([0, top]) * (result.slope * _finite(norm)), **look)
    ax.axhline(1, label="contraction below", **_THEORY)
    ax.set_ylim(0, 2.5)
    _label(ax, "gain", "Lipschitz constant (per step)")
    return _finish(ax, "Contraction", leak, f"contracts for gains below {gain:.4g}")


@plot.register
@style()
def _(result: EntropyProduction, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    title, value, error = "Entropy production", result.value, result.stderr
    zero, note = "equilibrium", f"noise {result.noise:.3g} per step"
    if result.noise == 0:
        title, value, error = "Contraction rate", result.contraction, result.contraction_stderr
        zero, note = "volume conserved", "without noise entropy production has no value"
    mean, spread = map(_mean, over_rows(value, error))
    _points(ax, np.arange(value.numel()), value, error, line="", label="rows ± s.e.")
    number = f"{_plus_minus(mean, spread)} nats / {_step(result)}"
    if math.isfinite(mean + spread) and value.numel() > 1:
        ax.axhline(mean, color=_MIDDLE, label="mean ± s.e.")
        ax.axhspan(mean - spread, mean + spread, color=_MIDDLE, alpha=0.25, linewidth=0)
    ax.axhline(0, label=zero, **_THEORY)
    _label(ax, "row", f"{title.lower()} (nats / {_step(result)})", whole=True)
    note = f"{number}, {mean / result.size:.3g} per neuron\n{note}"
    return _finish(ax, title, value, note)


@plot.register
@style()
def _(result: AreaRates, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    matrix, error = _finite(result.matrix), _finite(result.stderr)
    limit = float(np.nan_to_num(np.abs(matrix)).max()) or 1.0
    image = ax.imshow(matrix, cmap=_SIGNED, vmin=-limit, vmax=limit)
    bar = ax.figure.colorbar(image, ax=ax, label=f"area rate (u² / {_step(result)})")
    look = {"color": "black", "markersize": min(6.0, 70 / len(matrix)), "markeredgewidth": 0.8}
    for sign, marker, label in ((1, "+", "positive by 2 s.e."), (-1, "_", "negative by 2 s.e.")):
        i, j = np.nonzero(sign * matrix > 2 * error)
        ax.plot(j, i, marker, label=label, **look)  # two hues alone have no sign in grey
    typical = 2 * np.nan_to_num(_mean(error[error > 0]))  # the diagonal is zero without an error
    for level in (-typical, 0, typical):
        bar.ax.axhline(level, **_THEORY)
    ax.plot([], [], label="0, ± 2 s.e. (bar)", **_THEORY)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.set(xlabel="to axis j", ylabel="from axis i")
    ratio = _plus_minus(_mean(result.irreversibility), _mean(result.irreversibility_stderr))
    return _finish(ax, "Area rates", matrix, f"irreversibility {ratio}")


@plot.register
@style()
def _(result: FluxField, ax: Axes | None = None) -> Axes:
    ax = _axes(ax)
    edges, density = _array(result.edges), _finite(result.density)
    note = ""
    if np.isfinite(edges).all() and _some(density):
        extent = (edges[0, 0], edges[0, -1], edges[1, 0], edges[1, -1])
        ax.imshow(density.T, cmap=_DENSITY, vmin=0, extent=extent, origin="lower")
        note = _arrows(ax, edges, _array(result.flux), _array(result.stderr), _step(result))
        note += f"; shade: density ≤ {np.nanmax(density):.2g} / u²"
        _frame(ax, edges, density)
    _label(ax, "y₁ (units of u)", "y₂ (units of u)")
    return _finish(ax, "Probability flux", density if note else math.nan, note)


def figure(*results: Result, title: str | None = None) -> Figure:
    """Return a figure with one panel per record, in a row.

    Raises
    ------
    ValueError
        Without any record, and if there is no picture of one of them.
    """
    if not results:
        raise ValueError("results: expected at least one record, got none")
    with style():
        fig = _Figure(figsize=(4.6 * len(results), 3.8))
        for i, result in enumerate(results):
            plot(result, fig.add_subplot(1, len(results), i + 1))
        _headline(fig, title)
    return fig


def report(history: TrainingHistory) -> Figure:
    """Return the picture of a training run: learning, exponents, spectrum, dissipation and flux.

    Panels without a single finite number are left out.

    Raises
    ------
    ValueError
        If `history` is not a `TrainingHistory`.
    """
    if not isinstance(history, TrainingHistory):
        raise ValueError(f"history: expected a TrainingHistory, got {type(history).__name__}")
    panels = [draw for draw, names in _PANELS if _has(history, *names)]
    top = len(panels) if len(panels) < 4 else (len(panels) + 1) // 2
    rows = [row for row in (panels[:top], panels[top:]) if row]
    with style():
        fig = _Figure(figsize=(max(4 * top, 5), 3.5 * max(len(rows), 1)))
        grid = fig.add_gridspec(max(len(rows), 1), 6)  # six columns hold one, two or three panels
        for r, row in enumerate(rows):
            width = 6 // len(row)
            for c, draw in enumerate(row):
                draw(fig, grid[r, c * width : (c + 1) * width], history)
        if not rows:
            fig.text(0.5, 0.5, "nothing was measured", ha="center", color=_GREY)
        _headline(fig, history.title)
    return fig


def _learning(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    kinds = [kind for kind in ("accuracy", "loss") if _has(history, f"train/{kind}", f"val/{kind}")]
    parts = cell.subgridspec(len(kinds), 1)
    axes = [fig.add_subplot(parts[i, 0]) for i in range(len(kinds))]
    for ax, kind in zip(axes, kinds, strict=True):
        _curve(ax, history, f"val/{kind}", color=_DARK, marker="o", label="validation")
        _curve(ax, history, f"train/{kind}", color=_LIGHT, label="training")
        _label(ax, "epoch", kind, whole=True)
    for ax in axes[:-1]:
        ax.sharex(axes[-1])
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    _finish(axes[0], "Learning", below=axes[1:])


def _exponents(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    largest = "lyapunov/max" if _has(history, "lyapunov/max") else "lyapunov/1"
    look = {"color": _DARK, "marker": "o", "label": "largest ± s.e.", "zorder": 3}
    _curve(ax, history, largest, "lyapunov/max_stderr", **look)
    for i in range(2, len(history.curves) + 1):
        label = "others" if i == 2 else None
        _curve(ax, history, f"lyapunov/{i}", color=_LIGHT, linewidth=0.9, label=label)
    ax.axhline(0, label="zero", **_THEORY)
    _label(ax, "epoch", f"exponent (nats / {_step(history.after.get('lyapunov'))})", whole=True)
    _finish(ax, "Lyapunov exponents")


def _radius(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    _curve(ax, history, "spectrum/radius", color=_DARK, marker="o", label="spectrum")
    look = {"color": _MIDDLE, "marker": "s", "label": "circular law"}
    _curve(ax, history, "spectrum/circular_law", **look)
    ax.axhline(1, label="unit circle", **_THEORY)
    _label(ax, "epoch", "radius (per step)", whole=True)
    _finish(ax, "Spectral radius")


def _plane(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    shown = None
    for when, records in (("before", history.before), ("after", history.after)):
        record = records.get("spectrum")
        if isinstance(record, JacobianSpectrum) and _some(record.eigenvalues):
            _eigenvalues(ax, record, when, _LIGHT if when == "before" else _DARK)
            shown = record
    if shown is not None:
        _complex_plane(ax, shown)
    _finish(ax, "Spectrum of the Jacobian")


def _dissipation(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    name, title, zero, unit = next(row for row in _DISSIPATION if _has(history, row[0]))
    _curve(ax, history, name, color=_DARK, marker="o", label="network")
    ax.axhline(0, label=zero, **_THEORY)
    _label(ax, "epoch", unit.format(_step(history.after.get("flux"))), whole=True)
    ratios = _array(history.curves.get("flux/irreversibility", math.nan)).ravel()
    known = [f"{ratio:.3g}" for ratio in ratios if math.isfinite(ratio)]
    note = f"irreversibility {known[0]} → {known[-1]}" if known else ""
    _finish(ax, title, note=note)


def _circulation(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    name = "field" if _has(history, "field") else "area"
    when = "after" if name in history.after else "before"
    ax = plot(getattr(history, when)[name], fig.add_subplot(cell))
    ax.set_xlabel(f"{ax.get_xlabel()}, {when} training")


_ZERO = "equilibrium"
_DISSIPATION = (  # curve, title, what zero means, unit; the first that was measured is drawn
    ("flux/entropy_production_per_neuron", "Entropy production per neuron", _ZERO, "nats / {}"),
    ("flux/entropy_production", "Entropy production", _ZERO, "nats / {}"),
    ("flux/contraction_rate", "Contraction rate", "volume conserved", "nats / {}"),
    ("flux/irreversibility", "Irreversibility", _ZERO, "ratio of norms"),
)
_PANELS: Sequence[tuple[Callable[[Figure, SubplotSpec, TrainingHistory], None], Sequence[str]]] = (
    (_learning, ("train/loss", "val/loss", "train/accuracy", "val/accuracy")),
    (_exponents, ("lyapunov/max", "lyapunov/1")),
    (_radius, ("spectrum/radius", "spectrum/circular_law")),
    (_plane, ("spectrum",)),
    (_dissipation, [row[0] for row in _DISSIPATION]),
    (_circulation, ("field", "area")),
)
_SHOWN = {"spectrum": "eigenvalues", "field": "density", "area": "matrix"}


def _has(history: TrainingHistory, *names: str) -> bool:
    """Say whether a curve, or a record at either end, has a finite number to show."""
    values = [history.curves[name] for name in names if name in history.curves]
    records = [(n, r[n]) for n in names for r in (history.before, history.after) if n in r]
    return any(map(_some, [*values, *(getattr(record, _SHOWN[n]) for n, record in records)]))


def _curve(ax: Axes, history: TrainingHistory, name: str, error: str = "", **look: Any) -> None:
    if _has(history, name):
        y = _finite(history.curves[name])
        keep = np.isfinite(y)
        x, y = _array(history.epoch)[keep], y[keep]
        look |= {"markevery": max(1, len(x) // 15)} | ({"marker": "o"} if len(x) == 1 else {})
        ax.plot(x, y, **look)
        if _has(history, error):
            e = _finite(history.curves[error])[keep]
            ax.fill_between(x, y - e, y + e, color=look["color"], alpha=0.25, linewidth=0)


def _points(ax: Axes, x: NDArray[Any], y: Any, error: Any, label: str, line: str = "-") -> None:
    y, error = _array(y).ravel(), np.nan_to_num(_finite(error).ravel())
    keep, few = np.isfinite(y), len(y) <= 40
    if keep.any():
        look = {"color": _DARK, "marker": "o" if few else ".", "linestyle": line, "elinewidth": 0.9}
        ax.errorbar(x[keep], y[keep], error[keep], label=label, zorder=3, **look)


def _eigenvalues(ax: Axes, result: JacobianSpectrum, label: str, colour: str) -> None:
    z = _array(result.eigenvalues).ravel()
    z = z[np.isfinite(z)]
    alpha = max(0.3, min(1.0, 1000 / max(len(z), 1))) if colour == _DARK else 1.0
    look: dict[str, Any] = {"color": colour, "alpha": alpha, "markeredgewidth": 0}
    look["markersize"] = 2.5 if len(z) > 200 else 4
    # A vector file of more points would be heavy: they become a picture inside it.
    ax.plot(np.real(z), np.imag(z), "o", label=label, rasterized=len(z) > 20000, **look)


def _complex_plane(ax: Axes, result: JacobianSpectrum) -> None:
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 181))
    disk = _mean(result.disk_centre) + _mean(result.disk_radius) * circle
    ax.plot(np.real(disk), np.imag(disk), label="circular law", **_THEORY)
    dotted: dict[str, Any] = _THEORY | {"linestyle": (0, (1, 1.5))}
    ax.plot(np.real(circle), np.imag(circle), label="unit circle", **dotted)
    ax.set_aspect("equal", adjustable="datalim")
    _label(ax, "real part of λ (per step)", "imaginary part of λ (per step)")


def _arrows(
    ax: Axes, edges: NDArray[Any], flux: NDArray[Any], error: NDArray[Any], time: str
) -> str:
    """Draw the flux where it exceeds two standard errors; return what the arrows mean."""
    length = np.linalg.norm(flux, axis=-1)
    clear = length > 2 * np.linalg.norm(error, axis=-1)
    if not clear.any():
        return "no flux beyond 2 s.e."
    x, y = np.meshgrid(*(edges[:, 1:] + edges[:, :-1]) / 2, indexing="ij")
    look = {"color": _DARK, "pivot": "mid", "width": 0.006, "angles": "xy", "scale_units": "xy"}
    cells = np.linalg.norm(flux[clear] / np.diff(edges)[:, 0], axis=-1)
    # The longest arrow spans two cells, also in a plane with unequal axes.
    ax.quiver(x[clear], y[clear], *flux[clear].T, scale=cells.max() / 1.8, **look)
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


def _finish(
    ax: Axes, title: str, data: Any = 0.0, note: str = "", below: Sequence[Axes] = ()
) -> Axes:
    """Put title, note and a legend of all lines above the axes; say so if `data` has no number."""
    named: dict[str, Any] = {}
    for each in (ax, *below):
        handles, labels = each.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if not _some(data):
        note = "no finite value"
    width = sum(len(label) + 6.5 for label in named)  # in letters; a panel has room for about 54
    columns = len(named) if 0 < width < 54 else 2
    place = {"ncols": columns, "title": note or None}
    legend = ax.legend(list(named.values()), list(named), **place, **_LEGEND)
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            handle.set(alpha=1, markersize=4)
    rows = math.ceil(len(named) / columns) + len(note.splitlines())
    ax.set_title(title, loc="left", pad=5 + 12 * rows)
    return ax


def _label(ax: Axes, x: str, y: str, whole: bool = False) -> None:
    ax.set(xlabel=x, ylabel=y)
    look = {"integer": True, "min_n_ticks": 1} if whole else {}
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], **look))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _headline(fig: Figure, title: str | None) -> None:
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None and not isinstance(ax, Axes):
        raise ValueError(f"ax: expected matplotlib Axes or None, got {type(ax).__name__}")
    return _Figure(figsize=(4.6, 3.8)).add_subplot() if ax is None else ax


def _array(values: Any) -> NDArray[Any]:
    values = torch.as_tensor(values).detach().cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()


def _finite(values: Any) -> NDArray[Any]:
    values = _array(values)
    return np.where(np.isfinite(values), values, np.nan)


def _some(values: Any) -> bool:
    return bool(np.isfinite(_array(values)).any())


def _mean(values: Any) -> float:
    values = _array(values)
    return float(values[np.isfinite(values)].mean()) if _some(values) else math.nan


def _plus_minus(mean: float, error: float) -> str:
    """Return both numbers to the second digit of the error."""
    if not math.isfinite(error) or error <= 0:
        return f"{mean:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def _step(result: Result | None) -> str:
    """Return what the rates of a record are per."""
    if isinstance(result, LyapunovSpectrum | EntropyProduction | AreaRates | FluxField):
        return time_unit(result.dt)
    return time_unit(1.0)


class _CallableModule(types.ModuleType):
    """The module itself: once imported it shadows the function ``sntorch.plot``, so it answers."""

    def __call__(self, result: object, ax: Axes | None = None) -> Axes:
        return plot(result, ax)


sys.modules[__name__].__class__ = _CallableModule
