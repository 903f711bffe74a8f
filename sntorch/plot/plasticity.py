"""How a network learned: what was observed over the epochs, beside the control."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sntorch.analysis import PatternSensitivity, SynapticChange
from sntorch.plasticity import LearningHistory
from sntorch.plot.canvas import (
    DARK,
    MIDDLE,
    THEORY,
    StyledFigure,
    array,
    finish,
    finite,
    name_axes,
    on,
    plot,
    style,
)

__all__ = ["learning"]


@plot.register
@style()
def _(result: LearningHistory, ax: Axes | None = None) -> Axes:
    """Draw the first of the observed analyses."""
    ax = on(ax)
    if not result.curves:
        return finish(ax, "Learning", np.nan)
    return _curve(result, next(iter(result.curves)), ax)


def learning(history: LearningHistory) -> Figure:
    """Return a figure with one panel per observed analysis: the network and its control.

    Raises
    ------
    ValueError
        If `history` is no `LearningHistory`, or nothing was observed.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(10), transfer="tanh01", trainable=())
    >>> rule, u = snt.plasticity.HebbianForgetting(), cell.coupling[0]
    >>> norm = {"norm of J": lambda f, u: f.coupling.norm()}
    >>> history = snt.plasticity.learn(cell, rule, u, 2, steps=5, observe=norm)
    >>> learning(history).axes[0].get_ylabel()
    'norm of J'
    """
    if not isinstance(history, LearningHistory):
        raise ValueError(f"history: expected a LearningHistory, got {type(history).__name__}")
    names = [name for name in history.curves if "/" not in name]
    if not names:
        raise ValueError("history: expected observed analyses, got none; use observe= in learn")
    with style():
        fig = StyledFigure(figsize=(4.2 * len(names), 3.6))
        for name, ax in zip(names, fig.subplots(1, len(names), squeeze=False)[0], strict=True):
            _curve(history, name, ax)
    return fig


@plot.register
@style()
def _(result: SynapticChange, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    z, radius = array(result.eigenvalues), float(result.bulk)
    circle = radius * np.exp(2j * np.pi * np.linspace(0, 1, 181))
    ax.plot(np.real(z), np.imag(z), "o", color=DARK, markersize=3, label="eigenvalues")
    ax.plot(np.real(circle), np.imag(circle), label="random, same norm", **THEORY)
    ax.set_aspect("equal", adjustable="datalim")
    name_axes(ax, "real part of the couplings' eigenvalues", "imaginary part")
    lines = [f"weights changed by {100 * float(result.change):.3g} %"]
    if bool(result.alignment.isfinite()):
        lines.append(f"along the rule: cosine {float(result.alignment):.2f}")
    lines.append(f"leading eigenvalue {float(result.outlier):.2f} of the radius")
    return finish(ax, "Couplings in use", result.eigenvalues.abs(), "\n".join(lines))


@plot.register
@style()
def _(result: PatternSensitivity, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    slope, change = array(result.slopes).ravel(), np.abs(array(result.change)).ravel()
    ax.plot(slope, change, "o", color=DARK, alpha=0.5, markersize=3, label="neurons")
    ax.axhline(float(result.floor.mean()), label="mean floor of finite averages", **THEORY)
    name_axes(ax, "mean slope f' without the pattern", "its change under the pattern")
    note = f"relative sensitivity {float(result.relative.mean()):.3g}"
    return finish(ax, "Sensitivity to the pattern", result.change, note)


def _curve(history: LearningHistory, name: str, ax: Axes) -> Axes:
    """Draw one entry: the mean over rows, and their spread where there are several."""
    values = history.curves[name]
    _line(ax, history, name, "learning", DARK, "o", "-")
    if history.control is not None:
        _line(ax, history.control, name, "control", MIDDLE, "s", "--")
    if len(values) and float(finite(values).min()) < 0 < float(finite(values).max()):
        ax.axhline(0, label="zero", **THEORY)
    name_axes(ax, "epoch", name, whole=True)
    return finish(ax, "Learning", values, note=history.stopped.partition(":")[0])


def _line(
    ax: Axes, history: LearningHistory, name: str, label: str, colour: str, marker: str, dash: str
) -> None:
    values = finite(history.curves[name]).reshape(len(history.epoch), -1)
    epoch, mean = array(history.epoch), values.mean(1)
    look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dash, "label": label}
    ax.plot(epoch, mean, markevery=max(1, len(epoch) // 15), **look)
    if values.shape[1] > 1:
        ax.fill_between(epoch, values.min(1), values.max(1), color=colour, alpha=0.2, linewidth=0)
