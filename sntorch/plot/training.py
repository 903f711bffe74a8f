"""The report of a training run: the panels for which something was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from sntorch.analysis import JacobianSpectrum
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    THEORY,
    StyledFigure,
    array,
    finish,
    finite,
    headline,
    logarithmic,
    name_axes,
    plot,
    report,
    some,
    step_of,
    style,
)
from sntorch.plot.spectra import complex_plane, eigenvalues
from sntorch.results import TrainingHistory


@report.register
def _(history: TrainingHistory) -> Figure:
    panels = [draw for draw, names in _PANELS if _has(history, *names)]
    top = len(panels) if len(panels) < 4 else (len(panels) + 1) // 2
    rows = [row for row in (panels[:top], panels[top:]) if row]
    with style():
        fig = StyledFigure(figsize=(max(4 * top, 5), 3.5 * max(len(rows), 1)))
        grid = fig.add_gridspec(max(len(rows), 1), 6)  # six columns hold one, two or three panels
        for r, row in enumerate(rows):
            width = 6 // len(row)
            for c, draw in enumerate(row):
                draw(fig, grid[r, c * width : (c + 1) * width], history)
        if not rows:
            fig.text(0.5, 0.5, "nothing was measured", ha="center", color=GREY)
        headline(fig, history.title)
    return fig


def _learning(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    kinds = [kind for kind in ("accuracy", "loss") if _has(history, f"train/{kind}", f"val/{kind}")]
    parts = cell.subgridspec(len(kinds), 1)
    axes = [fig.add_subplot(parts[i, 0]) for i in range(len(kinds))]
    for ax, kind in zip(axes, kinds, strict=True):
        _curve(ax, history, f"val/{kind}", color=DARK, marker="o", label="validation")
        _curve(ax, history, f"train/{kind}", color=LIGHT, label="training")
        name_axes(ax, "epoch", kind, whole=True)
    for ax in axes[:-1]:
        ax.sharex(axes[-1])
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    finish(axes[0], "Learning", below=axes[1:])


def _exponents(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    largest = "lyapunov/max" if _has(history, "lyapunov/max") else "lyapunov/1"
    look = {"color": DARK, "marker": "o", "label": "largest ± s.e.", "zorder": 3}
    _curve(ax, history, largest, "lyapunov/max_stderr", **look)
    for i in range(2, len(history.curves) + 1):
        label = "others" if i == 2 else None
        _curve(ax, history, f"lyapunov/{i}", color=LIGHT, linewidth=0.9, label=label)
    ax.axhline(0, label="zero", **THEORY)
    name_axes(
        ax, "epoch", f"exponent (nats / {step_of(history.after.get('lyapunov'))})", whole=True
    )
    finish(ax, "Lyapunov exponents")


def _radius(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    _curve(ax, history, "spectrum/radius", color=DARK, marker="o", label="spectrum")
    look = {"color": MIDDLE, "marker": "s", "label": "circular law"}
    _curve(ax, history, "spectrum/circular_law", **look)
    ax.axhline(1, label="unit circle", **THEORY)
    name_axes(ax, "epoch", "radius (per step)", whole=True)
    finish(ax, "Spectral radius")


def _plane(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    shown = None
    for when, records in (("before", history.before), ("after", history.after)):
        record = records.get("spectrum")
        if isinstance(record, JacobianSpectrum) and some(record.eigenvalues):
            eigenvalues(ax, record, when, LIGHT if when == "before" else DARK)
            shown = record
    if shown is not None:
        complex_plane(ax, shown)
    finish(ax, "Spectrum of the Jacobian")


def _dissipation(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    name, title, zero, unit = next(row for row in _DISSIPATION if _has(history, row[0]))
    _curve(ax, history, name, color=DARK, marker="o", label="network")
    ax.axhline(0, label=zero, **THEORY)
    name_axes(ax, "epoch", unit.format(step_of(history.after.get("flux"))), whole=True)
    ratios = array(history.curves.get("flux/irreversibility", math.nan)).ravel()
    known = [f"{ratio:.3g}" for ratio in ratios if math.isfinite(ratio)]
    note = f"irreversibility {known[0]} → {known[-1]}" if known else ""
    finish(ax, title, note=note)


def _circulation(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    name = "field" if _has(history, "field") else "area"
    when = "after" if name in history.after else "before"
    ax = plot(getattr(history, when)[name], fig.add_subplot(cell))
    ax.set_xlabel(f"{ax.get_xlabel()}, {when} training")


def _bracket(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    name, title, unit = next(row for row in _BRACKETS if _has(history, f"{row[0]}_train"))
    label = "other states ± s.e." if _has(history, f"{name}_stderr") else "other states"
    look = {"color": DARK, "marker": "o", "label": label, "zorder": 3}
    _curve(ax, history, name, f"{name}_stderr", **look)
    _curve(ax, history, f"{name}_train", color=LIGHT, label="states of training")
    if _has(history, f"{name}_exact"):
        exact = array(history.curves[f"{name}_exact"])
        ax.axhline(float(exact[np.isfinite(exact)][-1]), label="known", **THEORY)
    _zoomed(ax, history, name)
    name_axes(ax, "epoch", unit, whole=True)
    finish(ax, title, history.curves[name])


def _zoomed(ax: Axes, history: TrainingHistory, name: str) -> None:
    """Leave the beginning out of sight, beside which nothing of the end could be seen."""
    curves = [f"{name}{end}" for end in ("", "_train", "_exact")]
    late = [finite(history.curves[c])[len(history.epoch) // 5 :] for c in curves
            if c in history.curves]  # fmt: skip
    seen = [y for y in np.concatenate(late).tolist() if math.isfinite(y)]
    if not seen:
        return
    low, high = min(seen), max(seen)
    margin = max(0.3 * (high - low), 1e-3 * abs(high))
    ax.set_ylim(low - margin, high + margin)


def _defects(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
    ax = fig.add_subplot(cell)
    for name, label, colour, line in _DEFECTS:
        _curve(ax, history, name, color=colour, label=label, linestyle=line)
    name_axes(ax, "epoch", "relative size", whole=True)
    logarithmic(ax, "y")
    finish(ax, "What is wrong with the potential")


def _landscape(when: str) -> Callable[[Figure, SubplotSpec, TrainingHistory], None]:
    def draw(fig: Figure, cell: SubplotSpec, history: TrainingHistory) -> None:
        ax = plot(getattr(history, when)["landscape"], fig.add_subplot(cell))
        ax.set_xlabel(f"{ax.get_xlabel()}, {when} training")

    return draw


_ZERO = "equilibrium"


_DISSIPATION = (  # curve, title, what zero means, unit; the first that was measured is drawn
    ("flux/entropy_production_per_neuron", "Entropy production per neuron", _ZERO, "nats / {}"),
    ("flux/entropy_production", "Entropy production", _ZERO, "nats / {}"),
    ("flux/contraction_rate", "Contraction rate", "volume conserved", "nats / {}"),
    ("flux/irreversibility", "Irreversibility", _ZERO, "ratio of norms"),
)


_BRACKETS = (  # curve, title, unit
    ("val/entropy_production", "Entropy production", "nats / unit of time"),
    ("val/information", "Information of the potential", "per step"),
)
_DEFECTS = (  # curve, label, colour, line
    ("val/error", "error of V", DARK, "-"),
    ("val/balance", "not stationary", MIDDLE, "--"),
    ("val/hamilton_jacobi", "Hamilton-Jacobi", GREY, ":"),
)


_PANELS: Sequence[tuple[Callable[[Figure, SubplotSpec, TrainingHistory], None], Sequence[str]]] = (
    (_learning, ("train/loss", "val/loss", "train/accuracy", "val/accuracy")),
    (_exponents, ("lyapunov/max", "lyapunov/1")),
    (_radius, ("spectrum/radius", "spectrum/circular_law")),
    (_plane, ("spectrum",)),
    (_dissipation, [row[0] for row in _DISSIPATION]),
    (_circulation, ("field", "area")),
    (_bracket, [f"{row[0]}_train" for row in _BRACKETS]),
    (_defects, [row[0] for row in _DEFECTS]),
    (_landscape("before"), ("landscape",)),
    (_landscape("after"), ("landscape",)),
)


_SHOWN = {"spectrum": "eigenvalues", "field": "density", "area": "matrix", "landscape": "potential"}


def _has(history: TrainingHistory, *names: str) -> bool:
    """Say whether a curve, or a record at either end, has a finite number to show."""
    values = [history.curves[name] for name in names if name in history.curves]
    records = [(n, r[n]) for n in names for r in (history.before, history.after) if n in r]
    return any(map(some, [*values, *(getattr(record, _SHOWN[n]) for n, record in records)]))


def _curve(ax: Axes, history: TrainingHistory, name: str, error: str = "", **look: Any) -> None:
    if _has(history, name):
        y = finite(history.curves[name])
        keep = np.isfinite(y)
        x, y = array(history.epoch)[keep], y[keep]
        look |= {"markevery": max(1, len(x) // 15)} | ({"marker": "o"} if len(x) == 1 else {})
        ax.plot(x, y, **look)
        if _has(history, error):
            e = finite(history.curves[error])[keep]
            ax.fill_between(x, y - e, y + e, color=look["color"], alpha=0.25, linewidth=0)
