"""Pictures of landscapes on a grid, of the paths on them, and of limit cycles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from sntorch.landscape import (
    ActionPath,
    Density,
    Descent,
    EscapeRate,
    HamiltonJacobi,
    LimitCycle,
    PhaseCoherence,
    Relaxation,
    RingBarrier,
    Wells,
)
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    THEORY,
    array,
    colour_bar,
    finish,
    finite,
    histogram,
    logarithmic,
    name_axes,
    on,
    plot,
    plus_minus,
    points,
    some,
    style,
)

VALLEY = LinearSegmentedColormap.from_list("valley", ["#7f99af", "#dfe7ee", "white"])
DEEPEST = 12.0  # nats above the lowest point that are shaded
_ARROWS = 22  # per axis


@style()
def landscape(
    result: Density, ax: Axes | None = None, *, lines: Mapping[str, Any] | None = None
) -> Axes:
    """Return axes with U as shade and the flux as arrows; `lines` are drawn on it.

    Parameters
    ----------
    result
        A `Density`: of one dimension a curve, of two a map, of three the marginal of two.
    ax
        Axes, new ones by default.
    lines
        Names of at most three results with `points` in the plane, such as an `ActionPath` or a
        `LimitCycle`, and these.
    """
    ax = on(ax)
    if result.grid.dimension == 1:
        return _curve(result, ax)
    P, J = finite(result.density), finite(result.flux)
    axes, note = [array(a) for a in result.grid.axes[:2]], ""
    if result.grid.dimension == 3:
        height = result.grid.spacing[2]
        P, J, note = P.sum(2) * height, J[..., :2].sum(2) * height, "third variable summed out; "
    if not some(P) or np.nanmax(P) <= 0:
        name_axes(ax, "u₁", "u₂")
        return finish(ax, "Landscape and flux", math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        U = -np.log(P / np.nanmax(P))
    extent = (*axes[0][[0, -1]], *axes[1][[0, -1]])
    shade = np.where(U < DEEPEST, U, DEEPEST)
    image = ax.imshow(shade.T, cmap=VALLEY, extent=extent, origin="lower", vmin=0, vmax=DEEPEST)
    levels = np.arange(1, DEEPEST, 2)
    ax.contour(*axes, shade.T, levels, colors=GREY, linewidths=0.4)
    colour_bar(ax, image, "U - min U (nats)")
    note += arrows(ax, axes, J, U)
    _draw_lines(ax, lines or {})
    frame(ax, axes, U)
    name_axes(ax, "u₁", "u₂")
    produced = float(result.entropy_production)
    return finish(
        ax, "Landscape and flux", P, f"{note}\nentropy production {produced:.4g} nats / time"
    )


plot.register(Density)(lambda result, ax=None: landscape(result, ax))


def arrows(ax: Axes, axes: list[Any], J: Any, U: Any) -> str:
    """Draw the flux where it is strong, and say what the longest arrow is."""
    every = [max(1, len(a) // _ARROWS) for a in axes]
    picked = np.ix_(
        *(np.arange(step // 2, len(a), step) for a, step in zip(axes, every, strict=True))
    )
    x, y = np.meshgrid(*axes, indexing="ij")
    length = np.linalg.norm(J, axis=-1)[picked]
    strong = length > 0.03 * np.nanmax(length)
    if not strong.any() or np.nanmax(length) < 1e-12:
        return "no flux"
    step = every[0] * (axes[0][1] - axes[0][0])
    look: dict[str, Any] = {"color": DARK, "pivot": "mid", "width": 0.004, "scale_units": "xy"}
    ax.quiver(x[picked][strong], y[picked][strong], *J[picked][strong].T, angles="xy",
              scale=np.nanmax(length) / (1.6 * step), **look)  # fmt: skip
    return f"arrows: flux ≤ {np.nanmax(length):.2g} / (u · time)"


def _draw_lines(ax: Axes, lines: Mapping[str, Any]) -> None:
    looks = ((MIDDLE, "-"), ("black", "--"), (GREY, ":"))
    for (name, line), (colour, dash) in zip(lines.items(), looks, strict=False):
        at = array(line.points)
        if isinstance(line, LimitCycle):
            at = np.concatenate([at, at[:1]])
        ax.plot(at[:, 0], at[:, 1], color=colour, linestyle=dash, linewidth=1.6, label=name)


def frame(ax: Axes, axes: list[Any], U: Any) -> None:
    """Show the part of the box that has a shade, and one cell more."""
    seen = U < DEEPEST
    for axis, limits in enumerate((ax.set_xlim, ax.set_ylim)):
        cells = np.nonzero(seen.any(1 - axis))[0]
        width = axes[axis][1] - axes[axis][0]
        limits(axes[axis][cells[0]] - width, axes[axis][cells[-1]] + width)
    spans = [np.ptp(limits()) for limits in (ax.get_xlim, ax.get_ylim)]
    ax.set_aspect("equal" if max(spans) < 3 * min(spans) else "auto")


def _curve(result: Density, ax: Axes) -> Axes:
    u, P = array(result.grid.axes[0]), finite(result.density)
    U = finite(result.potential)
    seen = np.nan_to_num(U - np.nanmin(U) if some(U) else U, nan=np.inf) < DEEPEST
    ax.plot(u[seen], U[seen], color=DARK, label="U = -ln P")
    ax.plot(u, P, color=MIDDLE, linestyle="--", label="P (per u)")
    name_axes(ax, "u", "U (nats), P")
    return finish(ax, "Landscape", P)


@plot.register
@style()
def _(result: Relaxation, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    time, energy = array(result.times), finite(result.free_energy)
    keep = energy > 1e-13 * np.nanmax(energy) if some(energy) else np.zeros(len(time), bool)
    ax.plot(
        time[keep], energy[keep], "o-", color=DARK, label="relative entropy to the steady state"
    )
    if keep.sum() > 1:
        logarithmic(ax, "y")
    ax.set(xlabel="time", ylabel="free energy G (nats)")
    return finish(ax, "Relaxation", energy)


@plot.register
@style()
def _(result: ActionPath, ax: Axes | None = None) -> Axes:
    """Draw the height that the path has climbed along its length."""
    ax = on(ax)
    at = array(result.points)
    place = np.concatenate([[0], np.linalg.norm(np.diff(at, axis=0), axis=-1).cumsum()])
    ax.plot(place, finite(result.climbed), color=DARK, label="climbed, S / 2")
    ax.axhline(float(result.straight) / 2, label="straight line, in all", **THEORY)
    name_axes(ax, "length along the path (units of u)", "action S / 2")
    state = "" if result.converged else ", not converged"
    return finish(
        ax, "Path of minimum action", result.pieces, f"S = {float(result.action):.4g}{state}"
    )


@plot.register
@style()
def _(result: EscapeRate, ax: Axes | None = None) -> Axes:
    """Draw the rate against the strength of the noise, and this noise on it."""
    ax = on(ax)
    exponent, prefactor = float(result.exponent), float(result.prefactor)
    inverse = np.linspace(0.3, 1.7, 50) * exponent
    scale = prefactor if math.isfinite(prefactor) else 1.0
    ax.plot(inverse, scale * np.exp(-inverse), label=result.law.split(":")[0], **THEORY)
    ax.plot([exponent], [scale * math.exp(-exponent)], "o", color=DARK, label="this noise")
    ax.set_yscale("log")
    rate = "rate (per unit of time)" if math.isfinite(prefactor) else "rate / prefactor"
    ax.set(xlabel="barrier / noise", ylabel=rate)
    data = result.rate if math.isfinite(prefactor) else result.exponent
    return finish(ax, "Escape", data, f"{rate.split(' (')[0]} {scale * math.exp(-exponent):.3g}")


@plot.register
@style()
def _(result: LimitCycle, ax: Axes | None = None) -> Axes:
    """Draw the first variables over one turn."""
    ax = on(ax)
    count, period = result.points.shape[0], float(result.period)
    time = np.arange(count) * (period / count if math.isfinite(period) else 1.0)
    looks = ((DARK, "-"), (MIDDLE, "--"), (GREY, ":"))
    for i, (colour, dash) in zip(range(result.points.shape[1]), looks, strict=False):
        ax.plot(time, array(result.points[:, i]), color=colour, linestyle=dash, label=f"u{i + 1}")
    name_axes(ax, "time", "state u")
    note = f"period {period:.5g}" if result.converged else "not converged"
    if float(result.phase_diffusion) > 0:
        note += f", {float(result.cycles):.3g} turns until the phase is forgotten"
    return finish(ax, "Limit cycle", result.period, note)


@plot.register
@style()
def _(result: PhaseCoherence, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    values = [result.frequency, result.diffusion, result.coherence]
    errors = [result.frequency_stderr, result.diffusion_stderr, result.coherence_stderr]
    points(ax, np.arange(3), torch.stack(values), torch.stack(errors), "± s.e.", line="")
    ax.set_xticks(range(3), ["ω (rad / time)", "D (rad² / time)", f"ξ(τ = {result.lag:.3g})"])
    ax.set(xlabel="quantity", ylabel="value", xlim=(-0.5, 2.5))
    ax.axhline(0, label="no turning", **THEORY)
    turns = plus_minus(float(result.cycles), math.nan)
    return finish(ax, "Phase", torch.stack(values), f"{turns} turns until the phase is forgotten")


@plot.register
@style()
def _(result: RingBarrier, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    share = np.arange(len(result.along)) / len(result.along)
    ax.plot(share, finite(result.along), color=DARK, label="U along the cycle")
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axhline(float(result.height), color=MIDDLE, label="top inside")
    ax.axhline(float(result.along.mean()), label="mean", **THEORY)
    ax.axhline(float(result.lowest), label="lowest", **dotted)
    name_axes(ax, "part of the turn", "U (nats)")
    note = f"barrier {float(result.from_mean):.3g} from the mean, "
    return finish(
        ax, "Barrier", result.along, f"{note}{float(result.from_minimum):.3g} from the lowest"
    )


@plot.register
@style()
def _(result: Wells, ax: Axes | None = None) -> Axes:
    """Draw the wells in the order of their depth and the passes to the deepest."""
    ax = on(ax)
    floor, place = finite(result.floor), np.arange(len(result.floor))
    ax.plot(place, floor, "o", color=DARK, label="floor")
    ax.plot(place[1:], finite(result.passes[0, 1:]), "_", color=MIDDLE, markersize=14,
            markeredgewidth=2, label="pass to the deepest")  # fmt: skip
    name_axes(ax, "well, deepest first", "U (nats)", whole=True)
    ax.set_xlim(-0.5, len(floor) - 0.5)
    weights = ", ".join(f"{w:.2g}" for w in result.weight.tolist()[:5])
    return finish(ax, "Wells", floor, f"probabilities {weights}")


@plot.register
@style()
def _(result: HamiltonJacobi, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    relative = finite(result.relative).ravel()
    histogram(ax, relative, "states", LIGHT)
    ax.axvline(0, label="solution", **THEORY)
    name_axes(ax, "relative residual", "density over states")
    return finish(ax, "Hamilton-Jacobi equation", relative, f"rms {float(result.rms):.2g}")


@plot.register
@style()
def _(result: Descent, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    values = finite(result.values).reshape(len(result.values), -1)
    ax.plot(np.arange(len(values)) * result.dt, values, color=DARK, alpha=0.5, linewidth=0.8)
    ax.plot([], [], color=DARK, label="V along orbits")
    name_axes(ax, "time", "potential V")
    share = float(result.rising.mean())
    return finish(ax, "Descent", values, f"V rises in {100 * share:.2g} % of the time")
