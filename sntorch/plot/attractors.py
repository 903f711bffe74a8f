"""Pictures of single attractors and of the Gaussian round one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from sntorch.landscape import Attractor, Basin
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    array,
    finish,
    finite,
    name_axes,
    on,
    plot,
    plus_minus,
    style,
)

_ELLIPSES = 60  # along a cycle


@plot.register
@style()
def _(result: Attractor, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    _states(ax, result)
    rates = np.real(array(result.rates))[1 if result.period else 0 :]
    slowest = float(rates.max(initial=-np.inf))
    note = f"slowest rate {slowest:.3g} / unit of time" if np.isfinite(slowest) else ""
    return finish(ax, _name(result), result.states, note)


@plot.register
@style()
def _(result: Basin, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    every = max(1, len(result.covariance) // _ELLIPSES)
    centres = _flat(finite(result.attractor.states))[::every]
    covariances = finite(result.covariance)[::every]
    angle = np.linspace(0, 2 * np.pi, 61)
    round_ = np.stack([np.cos(angle), np.sin(angle)])
    if covariances.shape[-1] > 1:
        values, axes = np.linalg.eigh(np.nan_to_num(covariances[:, :2, :2]))
        root = axes * np.sqrt(np.maximum(values, 0))[:, None]
    else:
        root = np.sqrt(np.maximum(np.nan_to_num(covariances), 0)) * np.array([[1.0, 0], [0, 0]])
    ellipses = (centres[:, :, None] + 2 * root @ round_).transpose(0, 2, 1)
    ax.add_collection(LineCollection(list(ellipses), colors=LIGHT, linewidths=0.9))
    ax.plot([], [], color=LIGHT, label="two standard deviations")
    _states(ax, result.attractor)
    ax.autoscale_view()
    share = plus_minus(100 * result.weight, 100 * result.weight_stderr)
    note = f"{share} % of the starts, nonlinearity {result.nonlinearity:.2g}"
    return finish(ax, f"Gaussian round a {result.attractor.kind}", result.covariance, note)


def _states(ax: Axes, result: Attractor) -> None:
    states = _flat(finite(result.states))
    closed = np.concatenate([states, states[:1]])
    look: dict[str, Any] = {"color": DARK, "zorder": 3, "label": _name(result)}
    ax.plot(closed[:, 0], closed[:, 1], marker="" if result.period else "o", **look)
    name_axes(ax, "u₁", "u₂")


def _flat(states: NDArray[Any]) -> NDArray[Any]:
    """Return the first two coordinates (P, 2)."""
    return np.pad(states, ((0, 0), (0, max(0, 2 - states.shape[1]))))[:, :2]


def _name(result: Attractor) -> str:
    return f"Limit cycle, T = {result.period:.4g}" if result.period else "Fixed point"
