"""Pictures of the mean field: scans, phase diagrams, two times."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sntorch.meanfield import (
    CorrelatedField,
    Critical,
    MeanField,
    PopulationField,
    Replicas,
    TwoTime,
)
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
    name_axes,
    on,
    plot,
    style,
)


@plot.register
@style()
def _(result: MeanField, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    scanned = _scanned(result.arguments)
    if result.lyapunov.ndim == 2 and len(scanned) == 2:
        return _phases(ax, result, scanned)
    x = _scan_axis(ax, scanned, result.lyapunov.numel())
    chaotic = array(result.chaotic).ravel() > 0
    _shade(ax, x, chaotic, "chaotic")
    _line(ax, x, result.lyapunov, color=DARK, label="exponent λ (nats / step)")
    _line(ax, x, result.variance, color=MIDDLE, marker="s", label="variance v (u²)")
    _line(ax, x, result.overlap, color=MIDDLE, marker="", linestyle=":", label="overlap q (u²)")
    if bool((result.mean != 0).any()):
        _line(ax, x, result.mean, color=LIGHT, marker="^", label="mean μ (u)")
    ax.axhline(0, label="zero", **THEORY)
    ax.set_ylabel("λ (nats / step), v and q (u²)")
    return finish(ax, "Mean field", result.lyapunov, _settings(result.arguments, result.transfer))


@plot.register
@style()
def _(result: TwoTime, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    table = finite(result.covariance.reshape(-1, *result.covariance.shape[-2:])[0])
    limit = float(np.nan_to_num(np.abs(table)).max()) or 1.0
    image = ax.imshow(table, cmap=SIGNED, vmin=-limit, vmax=limit, origin="lower")
    colour_bar(ax, image, "covariance Δ(t, s) (u²)")
    name_axes(ax, "time s (steps)", "time t (steps)", whole=True)
    note = _settings(result.arguments, result.transfer)
    return finish(ax, "Two-time covariance", table, note)


@plot.register
@style()
def _(result: PopulationField, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    means = finite(result.means.flatten(1, -2)[:, 0] if result.means.ndim > 2 else result.means)
    t = np.arange(-min(len(means), 40), 0)
    markers = "os^vD"
    for a in range(means.shape[1]):
        look: dict[str, Any] = {"color": (DARK, MIDDLE)[a % 2], "marker": markers[a % 5]}
        ax.plot(t, means[-len(t) :, a], label=f"population {a + 1}", **look)
    name_axes(ax, "time before the end (steps)", "mean μ (u)", whole=True)
    period = int(result.period.flatten()[0])
    kind = {0: "neither at rest nor periodic", 1: "at rest"}.get(period, f"period {period}")
    note = f"{kind}\nexponents: neurons {array(result.microscopic).flat[0]:.3g}, "
    note += f"mean field {array(result.macroscopic).flat[0]:.3g} nats / step"
    return finish(ax, "Mean field of populations", means, note)


@plot.register
@style()
def _(result: CorrelatedField, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    size = len(result.covariances)
    distance = np.arange(size) - (size - 1) // 2
    for values, label, colour, marker in (
        (result.covariances, "same time", DARK, "o"),
        (result.overlaps, "different times", MIDDLE, "s"),
    ):
        y = finite(values)[distance % size]
        ax.plot(distance, y, label=label, color=colour, marker=marker)
    ax.axhline(0, label="zero", **THEORY)
    name_axes(ax, "distance on the ring (neurons)", "covariance Δ (u²)", whole=True)
    note = f"exponent {float(result.lyapunov):.3g} nats / step"
    return finish(ax, "Mean field of correlated couplings", result.covariances, note)


@plot.register
@style()
def _(result: Critical, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    scanned = _scanned(result.arguments)
    x = _scan_axis(ax, scanned, result.value.numel())
    _line(ax, x, result.value, color=DARK, label=f"critical {result.parameter}")
    ax.set_ylabel(f"critical {_WORDS[result.parameter]}")
    return finish(ax, "Edge of chaos", result.value, _settings(result.arguments, ""))


@plot.register
@style()
def _(result: Replicas, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    arguments = result.field.arguments
    x = _scan_axis(ax, _scanned(arguments), result.common.numel())
    _shade(ax, x, array(result.synchronised).ravel() > 0, "synchronised")
    _line(ax, x, result.distance_common, color=DARK, label="common noise")
    _line(ax, x, result.distance_independent, color=MIDDLE, marker="s", label="independent noise")
    ax.axhline(0, label="zero", **THEORY)
    ax.set_ylabel("mean square distance per neuron (u²)")
    note = _settings(arguments, result.field.transfer)
    return finish(ax, "Distance of two replicas", result.common, note)


_NEAR = 0.05


_WORDS = {  # arguments of a mean field, with their units
    "gain": "gain (1 / u)",
    "std": "coupling deviation (u)",
    "mean": "mean coupling (u)",
    "threshold": "threshold (u)",
    "threshold_std": "threshold deviation (u)",
    "noise": "noise per step (u)",
    "leak": "leak (per step)",
}


def _scanned(arguments: dict[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    """Return the arguments that vary."""
    arrays = {name: array(value) for name, value in arguments.items()}
    return {name: value for name, value in arrays.items() if value.size and np.ptp(value) > 0}


def _settings(arguments: dict[str, torch.Tensor], transfer: str) -> str:
    """Return the arguments that do not vary and are not zero."""
    arrays = {name: array(value) for name, value in arguments.items()}
    fixed = {k: v.flat[0] for k, v in arrays.items() if v.size and np.ptp(v) == 0 and v.flat[0]}
    return ", ".join([*filter(None, [transfer]), *(f"{k} {v:.3g}" for k, v in fixed.items())])


def _scan_axis(ax: Axes, scanned: dict[str, NDArray[Any]], size: int) -> NDArray[Any]:
    """Return the numbers of a scan and name them: the argument that varies, or the index."""
    alone = len(scanned) == 1
    name = next(iter(scanned), "")
    name_axes(ax, _WORDS[name] if alone else "ensemble", "", whole=not alone)
    return scanned[name].ravel() if alone else np.arange(size)


def _line(ax: Axes, x: NDArray[Any], values: Any, **look: Any) -> None:
    y, order = finite(values).ravel(), np.argsort(x, kind="stable")
    if "marker" not in look or len(x) == 1:
        look["marker"] = look.get("marker") or "o"
    ax.plot(x[order], y[order], markevery=max(1, len(x) // 15), **look)


def _shade(ax: Axes, x: NDArray[Any], where: NDArray[Any], label: str) -> None:
    """Shade the part of the axis where something holds, up to half way to the next point."""
    order = np.argsort(x, kind="stable")
    x, where = x[order], where[order]
    middle = (x[1:] + x[:-1]) / 2
    edges = np.concatenate([x[:1], middle, x[-1:]])
    named: str | None = label
    for i in np.nonzero(where)[0]:
        ax.axvspan(edges[i], edges[i + 1], color=LIGHT, alpha=0.35, linewidth=0, label=named)
        named = None


def _phases(ax: Axes, result: MeanField, scanned: dict[str, NDArray[Any]]) -> Axes:
    """Draw the exponent over two arguments, and the line where it vanishes."""
    names = sorted(scanned, key=lambda name: float(np.ptp(scanned[name], axis=0).max()))
    along, across = names  # the first varies along the columns, the second down the rows
    table = finite(result.lyapunov)
    limit = float(np.nan_to_num(np.abs(np.clip(table, -1, 1))).max()) or 1.0
    look: dict[str, Any] = {"cmap": SIGNED, "vmin": -limit, "vmax": limit, "shading": "nearest"}
    image = ax.pcolormesh(scanned[along], scanned[across], table, rasterized=True, **look)
    bar = colour_bar(ax, image, "exponent λ (nats / step)", extend="min")
    bar.ax.axhline(0, color="black", linewidth=0.9)
    if np.nanmin(table) < 0 < np.nanmax(table):
        # Where one solution gives way to another the exponent jumps: the line stays in between.
        near = np.clip(table, -_NEAR, _NEAR)
        grid = scanned[along], scanned[across]
        ax.contour(*grid, near, levels=[0], colors="black", linewidths=1.2)
        ax.plot([], [], color="black", linewidth=1.2, label="edge of chaos")
    name_axes(ax, _WORDS[along], _WORDS[across])
    note = _settings(result.arguments, result.transfer)
    return finish(ax, "Phase diagram", table, note)
