"""Pictures of fixed points, their branches, and where a network contracts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from sntorch.analysis import Branch, ContractionGain, Event, FixedPoints
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    MIDDLE,
    THEORY,
    array,
    finish,
    finite,
    mean_of,
    name_axes,
    on,
    plot,
    style,
)

_MARKERS = ("o", "s", "^", "D", "v", "p", "*")
_EVENTS = {"fold": "o", "pitchfork": "^", "transcritical": "x", "flip": "s", "neimark_sacker": "D"}
"""Kind of a bifurcation: its marker."""


@plot.register
@style()
def _(result: FixedPoints, ax: Axes | None = None) -> Axes:
    ax, result = on(ax), result.map(torch.Tensor.detach)
    distinct = result.unique()
    points, slow = finite(distinct.states), finite(result.states[~result.converged])
    both = np.nan_to_num(points if len(points) else slow)
    axes = np.linalg.svd(both - both.mean(0), full_matrices=False)[2][:2]
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    if len(slow):
        look: dict[str, Any] = {"color": LIGHT, "markeredgewidth": 0, "markersize": 3}
        ax.plot(*(axes @ (slow - both.mean(0)).T), "o", label="slow points", **look)
    unstable = array(distinct.unstable)
    for i, number in enumerate(np.unique(unstable)):
        at = axes @ (points[unstable == number] - both.mean(0)).T
        label = "stable" if number == 0 else f"{number:.0f} unstable"
        look = {"color": DARK, "markerfacecolor": DARK if number == 0 else "white"}
        ax.plot(*at, _MARKERS[i % len(_MARKERS)], label=label, markersize=6, **look)
    name_axes(ax, "1st principal axis (units of u)", "2nd principal axis (units of u)")
    share = f"{mean_of(result.converged):.0%} of {int(result.basin.sum())} starts converged"
    return finish(ax, f"{len(points)} fixed point{'s' * (len(points) != 1)}", result.states, share)


@plot.register
@style()
def _(result: Branch, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    p, u, stable = array(result.parameter), finite(result.states)[:, 0], array(result.stable) > 0
    inside = np.append(True, stable[:-1]) & stable & np.append(stable[1:], True)
    # Dashes reach the first stable point, so that the curve has no gap.
    for name, keep, line in (("stable", stable, "-"), ("unstable", ~inside, "--")):
        if keep.any():
            ax.plot(p, np.where(keep, u, np.nan), line, color=DARK, label=name)
    for event in result.events:
        mark = _EVENTS[event.kind]
        label = f"{event.kind.replace('_', '-')} at {event.parameter:.5g}"
        look: dict[str, Any] = {"color": MIDDLE, "markersize": 6, "zorder": 3}
        ax.plot(event.parameter, finite(event.state)[0], mark, label=label, **look)
    if np.nanmax(np.abs(u), initial=0.0) < 1e-9:
        ax.set_ylim(-1, 1)  # the origin, not its rounding
    name_axes(ax, result.name, "first coordinate u₁")
    return finish(ax, "Branch of fixed points", u, result.note)


@plot.register
@style()
def _(result: ContractionGain, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    gain, leak = float(array(result.gain)), finite(result.leak)
    top = 2 * gain if math.isfinite(gain) else 1.0
    for name, norm in result.norms.items():
        best = name == result.norm
        look = {"color": DARK if best else LIGHT, "label": f"{name} norm", "zorder": 2 + best}
        ax.plot([0, top], leak + np.array([0, top]) * (result.slope * finite(norm)), **look)
    ax.axhline(1, label="contraction below", **THEORY)
    ax.set_ylim(0, 2.5)
    name_axes(ax, "gain", "Lipschitz constant (per step)")
    return finish(ax, "Contraction", leak, f"contracts for gains below {gain:.4g}")


@plot.register
@style()
def _(result: Event, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 181))
    ax.plot(np.real(circle), np.imag(circle), label="unit circle", **THEORY)
    critical = array(result.eigenvalues).astype(complex).ravel()
    look: dict[str, Any] = {"color": DARK, "markersize": 7, "label": "critical multipliers"}
    ax.plot(np.real(critical), np.imag(critical), _EVENTS.get(result.kind, "o"), **look)
    ax.set_aspect("equal", adjustable="datalim")
    name_axes(ax, "real part of λ (per step)", "imaginary part of λ (per step)")
    note = f"at {result.parameter:.6g}"
    if math.isfinite(result.rotation):
        note += f", {result.rotation:.4g} turns per step"
    return finish(ax, "-".join(w.capitalize() for w in result.kind.split("_")), critical, note)
