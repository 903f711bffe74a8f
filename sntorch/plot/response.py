"""Pictures of how a network answers: kernels, susceptibilities, graphs, transmitted signals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from sntorch.analysis import (
    FluctuationDissipation,
    Graph,
    LinearResponse,
    Poles,
    ResponseParts,
    Susceptibility,
    Transmission,
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
    name_axes,
    on,
    plot,
    points,
    style,
)

_PAIRS = 3  # strongest pairs that are drawn
_LOOKS = ((DARK, "-", "o"), (MIDDLE, "--", "s"), (GREY, ":", "^"))
_FREQUENCY = "frequency ω (rad / step)"


@plot.register
@style()
def _(result: LinearResponse, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    kernel, error = array(result.kernel), np.nan_to_num(array(result.stderr))
    lag = np.arange(len(kernel))
    size = np.abs(kernel[1:]).max(0)
    for (i, j), (colour, line, marker) in zip(_strongest(size), _LOOKS, strict=False):
        look: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker}
        label = f"{j} to {i}"
        ax.errorbar(lag, kernel[:, i, j], error[:, i, j], label=label, elinewidth=0.9, **look)
    ax.axhline(0, **THEORY)
    name_axes(ax, "lag τ (steps)", "response K(τ) (per unit kick)", whole=True)
    note = f"{result.method}, {result.samples} samples; the strongest pairs"
    return finish(ax, "Linear response", kernel, note)


@plot.register
@style()
def _(result: Susceptibility, ax: Axes | None = None) -> Axes:
    """Draw the pair with the largest gain, beside the power spectrum of the receiver."""
    ax = on(ax)
    gain, error = array(result.modulus), np.nan_to_num(array(result.stderr))
    omega = array(result.omega)
    aside = gain.max(0).copy()
    for column, source in enumerate(result.sources.tolist()):
        aside[source, column] = -1 if len(aside) > 1 else aside[source, column]
    i, column = _strongest(aside)[0]
    line, band = gain[:, i, column], error[:, i, column]
    ax.fill_between(omega, line - band, line + band, color=LIGHT, linewidth=0)
    name = f"|χ|, {int(result.sources[column])} to {i}"
    ax.plot(omega, line, color=DARK, marker="" if len(omega) > 40 else "o", label=name)
    power = array(result.power[:, i])
    scale = line.max() / power.max() if power.max() > 0 else 0.0
    ax.plot(omega, scale * power, label=f"power spectrum of {i}, scaled", **THEORY)
    broken = array(result.linear) == 0
    if broken.any():
        ax.plot(omega[broken], line[broken], "x", color=MIDDLE, label="not linear")
    name_axes(ax, _FREQUENCY, "gain |χ| (per unit signal)")
    ax.set_ylim(bottom=0)
    return finish(ax, "Susceptibility", gain, f"{result.method}, {result.samples} samples")


@plot.register
@style()
def _(result: Graph, ax: Axes | None = None) -> Axes:
    """Draw the first graph as a matrix, with a dot where there is a synapse."""
    ax = on(ax)
    weights = array(result.weights[0])
    image = ax.imshow(weights, cmap="Greys", origin="upper", vmin=0, interpolation="nearest")
    colour_bar(ax, image, "weight |χ| (per unit signal)")
    if result.coupling is not None and len(weights) <= 60:
        to, source = np.nonzero(array(result.coupling))
        ax.plot(source, to, "o", color=MIDDLE, markersize=2.5, label="synapse")
    name_axes(ax, "from neuron j", "to neuron i", whole=True)
    ax.set(xlim=(-0.5, len(weights) - 0.5), ylim=(len(weights) - 0.5, -0.5))
    note = f"ω = {float(result.omega[0]):.3g} rad / step, hub {int(result.hub[0])}"
    return finish(ax, "Effective connectivity", weights, note)


@style()
def circle(
    graph: Graph, ax: Axes | None = None, *, index: int = 0, links: int | None = None
) -> Axes:
    """Return axes with the graph at ``omega[index]`` as arrows between neurons on a circle.

    The `links` strongest are drawn, by default twice as many as neurons; width and darkness are the
    weight, circles grow with the out-strength, and the hub is filled.
    """
    ax = on(ax)
    weights, strength = array(graph.weights[index]), array(graph.out_strength[index])
    size = len(weights)
    angle = np.pi / 2 - 2 * np.pi * np.arange(size) / size
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    count = min(2 * size if links is None else links, size * (size - 1))
    scale = Normalize(0, max(float(weights.max()), 1e-300))
    for i, j in reversed(_strongest(weights, count)):
        weight = float(scale(weights[i, j]))
        arrow: dict[str, Any] = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.12"}
        arrow |= {"shrinkA": 9, "shrinkB": 9, "mutation_scale": 8, "linewidth": 0.4 + 2 * weight}
        ax.add_patch(
            FancyArrowPatch(
                (place[j, 0], place[j, 1]),
                (place[i, 0], place[i, 1]),
                color=str(0.8 * (1 - weight)),
                **arrow,
            )
        )
    hub = int(graph.hub[index])
    area = 60 + 200 * strength / max(float(strength.max()), 1e-300)
    face = [DARK if k == hub else "white" for k in range(size)]
    ax.scatter(place[:, 0], place[:, 1], s=area, c=face, edgecolors=DARK, zorder=3)
    for k, (x, y) in enumerate(place if size <= 40 else ()):
        colour = "white" if k == hub else "black"
        ax.text(x, y, str(k), color=colour, ha="center", va="center", fontsize=7, zorder=4)
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    ax.axis("off")
    note = f"ω = {float(graph.omega[index]):.3g} rad / step, the {count} strongest links"
    return finish(ax, "Effective connectivity", weights, note)


@plot.register
@style()
def _(result: Transmission, ax: Axes | None = None) -> Axes:
    """Draw gains over all neurons, measured and predicted."""
    ax = on(ax)
    neuron = np.arange(len(result.gain))
    points(ax, neuron, result.gain, result.gain_stderr, "received", line="")
    predicted = array(result.predicted_gain)
    if np.isfinite(predicted).any():
        ax.plot(neuron, predicted, "x", color=MIDDLE, markersize=7, label="predicted |χ|")
    ax.axvline(result.source, label="source", **THEORY)
    name_axes(ax, "neuron", "gain of the envelope (per unit signal)", whole=True)
    ax.set_ylim(bottom=0)
    note = f"carrier {result.carrier:.3g}, modulation {result.modulation:.3g} rad / step"
    return finish(ax, "Signal transmission", result.gain, note)


@plot.register
@style()
def _(result: FluctuationDissipation, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    violation, floor = array(result.violation), array(result.floor)
    lag = np.arange(1, len(violation))
    ax.plot(lag, violation[1:], "o-", color=DARK, label="‖C(τ) - K(τ) C(0)‖ / ‖C(τ)‖")
    ax.plot(lag, floor[1:], label="what noise leaves unseen", **THEORY)
    name_axes(ax, "lag τ (steps)", "relative violation (1)", whole=True)
    ax.set_ylim(bottom=0)
    return finish(ax, "Fluctuation and dissipation", violation)


@plot.register
@style()
def _(result: ResponseParts, ax: Axes | None = None) -> Axes:
    """Draw the size of an entry of both parts against the lag, and the least that is seen."""
    ax = on(ax)
    named = {"unstable": result.unstable, "stable": result.stable}
    for (name, part), (colour, line, marker) in zip(named.items(), _LOOKS, strict=False):
        lag, size = np.arange(len(part.kernel)), array(part.signal)
        seen = size > 0
        label = f"{name}, {len(result.exponents) - result.dimension} directions"
        if name == "unstable":
            label = f"{name}, {result.dimension}"
        look: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker}
        ax.plot(lag[seen], size[seen], label=label, **look)
        error = np.nan_to_num(array(part.error))
        if (error > 0).any():
            ax.plot(lag[error > 0], error[error > 0], color=colour, linewidth=0.6, label="_error")
    name_axes(ax, "lag τ (steps)", "rms entry of K(τ) (per unit kick)", whole=True)
    if ax.lines:
        ax.set_yscale("log")
    note = f"{result.whole.samples} samples; thin: standard errors"
    return finish(ax, "Parts of the response", result.whole.kernel, note)


@plot.register
@style()
def _(result: Poles, ax: Axes | None = None) -> Axes:
    """Draw the poles in the upper half plane, with errors along and across the radius."""
    ax = on(ax)
    turn = np.linspace(0, np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), label="unit circle", **THEORY)
    known = result.z.isfinite()
    z = array(result.z[known])
    radial = array(result.modulus_stderr[known])
    across = array(result.angle_stderr[known]) * np.abs(z)
    for place, along, aside in zip(z, radial, across, strict=True):
        unit = place / max(abs(place), 1e-300)
        for direction, error in ((unit, along), (1j * unit, aside)):
            ends = np.array([place - error * direction, place + error * direction])
            ax.plot(np.real(ends), np.imag(ends), color=DARK, linewidth=0.9)
    strength = array(result.strength[known])
    area = 20 + 120 * strength / max(strength.max(initial=0), 1e-300)
    look: dict[str, Any] = {"color": DARK, "zorder": 3, "label": "poles, area by strength"}
    ax.scatter(np.real(z), np.imag(z), s=area, **look)
    name_axes(ax, "real part of z (1)", "imaginary part of z (1)")
    ax.set(xlim=(-1.1, 1.1), ylim=(-0.1, 1.1), aspect="equal")
    where = [each for each in (result.source, result.receiver) if each is not None]
    pair = f"{result.source} to {result.receiver}" if len(where) == 2 else "all pairs"
    return finish(ax, "Poles of the susceptibility", result.z, f"{pair}; {result.rank} waves")


def _strongest(size: NDArray[Any], count: int = _PAIRS) -> list[tuple[int, int]]:
    """Return the places of the largest entries, largest first."""
    flat = torch.as_tensor(np.nan_to_num(size, nan=-math.inf)).flatten()
    order = flat.topk(min(count, flat.numel())).indices.tolist()
    return [divmod(place, size.shape[1]) for place in order]
