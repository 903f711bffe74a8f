"""Pictures of Gaussian landscapes, of what is irreversible where, and of sensitivities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from sntorch.landscape import (
    Attractors,
    EntropyEstimate,
    GaussianLandscape,
    LinearSteadyState,
    LoopFlux,
    Sensitivity,
    SobolIndices,
    SynapticEntropy,
)
from sntorch.plot.canvas import (
    DARK,
    GREY,
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
    plus_minus,
    some,
    step_of,
    style,
)

_DEPTH = LinearSegmentedColormap.from_list("depth", [DARK, LIGHT, "white"])
_BARS = 20  # parameters that are shown, the most important ones


@plot.register
@style()
def _(result: LinearSteadyState, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    unit = "unit of time" if result.dt == 0 else step_of(result)
    _heat(ax, finite(result.synapses), f"entropy production (nats / {unit})")
    total = f"{float(result.entropy_production):.4g} nats / {unit}"
    note = f"{total}, {float(result.per_neuron):.3g} per neuron, exact"
    return finish(ax, "Entropy production by synapse", result.synapses, note)


@plot.register
@style()
def _(result: SynapticEntropy, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    value, error = finite(result.value), finite(result.stderr)
    _heat(ax, value, f"entropy production (nats / {step_of(result)})")
    if len(value) <= 24:  # more are no longer read
        look = {"color": "black", "markersize": min(6.0, 70 / len(value)), "markeredgewidth": 0.8}
        for sign, marker, label in ((1, "+", "above 0 by 2 s.e."), (-1, "_", "below 0 by 2 s.e.")):
            i, j = np.nonzero(sign * value > 2 * error)
            ax.plot(j, i, marker, linestyle="", label=label, **look)
    note = f"sum {float(result.total):.3g} nats / {step_of(result)}, noise {result.noise:.3g}"
    return finish(ax, "Entropy production by synapse", value, note)


@plot.register
@style()
def _(result: EntropyEstimate, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    value, error = float(result.value), float(result.stderr)
    names = ["bias removed", "plain"]
    look = {"color": DARK, "linestyle": "", "elinewidth": 0.9}
    ax.errorbar([0], [value], [error], marker="o", label="± s.e. (jackknife)", **look)
    ax.plot([1], [float(result.plain)], "s", color=GREY, label="without correction")
    if result.bound:
        ax.plot([2], [float(result.uncertainty_relation)], "^", color=MIDDLE, label="short steps")
        names.append("uncertainty\nrelation")
        if math.isfinite(value):
            ax.axhspan(0, max(value, 0), color=LIGHT, alpha=0.3, linewidth=0)
    ax.axhline(0, label="equilibrium", **THEORY)
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylabel(f"entropy production ({result.unit.replace(' per ', ' / ')})")
    kind = "lower bound, excluded below" if result.bound else "exact for Gaussian processes only"
    note = f"{plus_minus(value, error)}: {kind}\n{result.axes} axes, {result.samples} steps"
    return finish(ax, f"Entropy production from {result.method}", result.value, note)


@plot.register
@style()
def _(result: LoopFlux, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    curve, along = array(result.curve), finite(result.along)
    way = np.concatenate([[0], np.linalg.norm(np.diff(curve, axis=0), axis=1).cumsum()])
    ax.plot(way, along, color=DARK, label="along the curve")
    ax.axhline(float(result.average), color=MIDDLE, label="average")
    ax.axhline(0, label="equilibrium", **THEORY)
    name_axes(ax, "way along the curve (u)", "flux along the curve (1 / u^(d-1) / time)")
    integral = plus_minus(float(result.integral), float(result.stderr))
    note = f"round the loop {integral}, length {float(result.length):.3g}"
    return finish(ax, "Loop flux", along, note)


@plot.register
@style()
def _(result: Attractors, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    for i, each in enumerate(result.found):
        states = array(each.states)
        mark = "o" if each.kind == "fixed point" else ""
        name = each.kind if not each.period else f"cycle, T = {each.period:.4g}"
        label = f"{name}: {float(result.shares[i]):.0%} of starts"
        closed = np.concatenate([states, states[:1]])
        second = closed[:, 1] if closed.shape[1] > 1 else np.zeros(len(closed))
        ax.plot(closed[:, 0], second, marker=mark, color=str(0.1 + 0.15 * (i % 5)), label=label)
    saddles = array(result.saddles)
    if len(saddles):
        second = saddles[:, 1] if saddles.shape[1] > 1 else np.zeros(len(saddles))
        ax.plot(saddles[:, 0], second, "x", color=MIDDLE, label="unstable point")
    name_axes(ax, "u₁", "u₂")
    without = float((result.label < 0).double().mean())
    note = f"{without:.0%} of the starts without attractor" if without else ""
    return finish(ax, "Attractors", result.label, note)


@plot.register
@style()
def _(result: GaussianLandscape, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    if result.means.shape[1] == 1:
        return _profile(result, ax)
    flat = result if result.means.shape[1] == 2 else result.on(_principal(result))
    spread = flat.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    low = (flat.means - 5 * spread).amin(0)  # a Gaussian alone has U = 12 at 4.9
    high = (flat.means + 5 * spread).amax(0)
    axes = [torch.linspace(float(low[a]), float(high[a]), 90).to(low) for a in (0, 1)]
    y = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    U = flat.potential(y)
    U = finite(U - U.min())
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    shown = np.minimum(U.T, 12)
    look: dict[str, Any] = {"extent": extent, "origin": "lower", "aspect": "auto"}
    image = ax.imshow(shown, cmap=_DEPTH, vmin=0, vmax=12, **look)
    colour_bar(ax, image, "U - min U (cut at 12)")
    doubt = ~array(flat.trusted(y)).astype(bool)
    ax.contour(*(array(each) for each in axes), doubt.T, [0.5], colors=[GREY], linewidths=0.8)
    ax.plot([], [], color=GREY, linewidth=0.8, label="valid inside")
    if len(flat.saddles):
        ax.plot(*array(flat.saddles[:, :2]).T, "x", color=MIDDLE, label="unstable point")
    plane = result.means.shape[1] > 2
    name_axes(ax, "y₁" if plane else "u₁", "y₂" if plane else "u₂")
    return finish(ax, "Gaussian landscape", U, _basins(result))


def _profile(result: GaussianLandscape, ax: Axes) -> Axes:
    spread = result.covariances[:, 0, 0].sqrt()
    low, high = (result.means[:, 0] - 4 * spread).min(), (result.means[:, 0] + 4 * spread).max()
    u = torch.linspace(float(low), float(high), 400).to(low).unsqueeze(-1)
    U, valid = finite(result.potential(u)), array(result.trusted(u)).astype(bool)
    ax.plot(array(u)[:, 0], U, color=LIGHT, label="not valid")
    ax.plot(array(u)[:, 0], np.where(valid, U, np.nan), color=DARK, label="valid")
    name_axes(ax, "u", "U = -ln P")
    return finish(ax, "Gaussian landscape", U, _basins(result))


def _principal(result: GaussianLandscape) -> torch.Tensor:
    """Return the plane (2, N) in which the mixture spreads most."""
    mean = result.weights @ result.means
    off = result.means - mean
    between = torch.einsum("c,ci,cj->ij", result.weights, off, off)
    within = torch.einsum("c,cij->ij", result.weights, result.covariances)
    return torch.linalg.eigh(between + within).eigenvectors[:, [-1, -2]].T


def _basins(result: GaussianLandscape) -> str:
    shares = ", ".join(f"{each.weight:.0%}" for each in result.basins[:5])
    more = " ..." if len(result.basins) > 5 else ""
    return f"basins: {shares}{more} of the starts\nbarriers are not valid"


@plot.register
@style()
def _(result: Sensitivity, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    logarithmic = finite(result.logarithmic)
    order = array(result.ranking).astype(int)
    order = [i for i in order if np.isfinite(logarithmic.ravel()[i])][:_BARS]
    order = [i for i in order if array(result.parameters).ravel()[i] != 0]
    values = logarithmic.ravel()[order]
    scale = array(result.parameters).ravel()[order] / float(result.value or math.nan)
    errors = np.abs(array(result.error).ravel()[order] * scale)
    names = [", ".join(map(str, np.unravel_index(i, logarithmic.shape))) for i in order]
    _bars(ax, names, values, np.nan_to_num(errors), DARK, "d ln|m| / d ln|p|", 0.0)
    ax.axvline(0, label="no effect", **THEORY)
    ax.set(xlabel="d ln|m| / d ln|p|", ylabel="parameter")
    note = f"m = {float(result.value):.4g}, by {result.method}"
    return finish(ax, "Sensitivity", values if len(values) else math.nan, note)


@plot.register
@style()
def _(result: SobolIndices, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    first, total = finite(result.first), finite(result.total)
    order = np.argsort(-np.nan_to_num(total))[:_BARS]
    names = [str(i) for i in order]
    errors = [finite(each)[order] for each in (result.total_stderr, result.first_stderr)]
    _bars(ax, names, total[order], errors[0], LIGHT, "with all others ± s.e.", 0.2)
    _bars(ax, names, first[order], errors[1], DARK, "alone ± s.e.", -0.2)
    ax.axvline(0, label="nothing", **THEORY)
    ax.set(xlabel="share of the variance", ylabel="parameter")
    note = f"m = {result.mean:.3g}, standard deviation {result.std:.2g}"
    return finish(ax, "Sobol indices", total, f"{note}\n{result.evaluations} evaluations")


def _bars(
    ax: Axes, names: list[str], values: Any, errors: Any, colour: str, label: str, shift: float
) -> None:
    place = np.arange(len(names))
    height = 0.4 if shift else 0.7
    look = {"error_kw": {"elinewidth": 0.8, "ecolor": GREY}, "height": height, "color": colour}
    ax.barh(place + shift, values, xerr=errors, label=label, **look)
    ax.set_yticks(place, names)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _heat(ax: Axes, matrix: Any, label: str) -> None:
    limit = float(np.nan_to_num(np.abs(matrix)).max()) or 1.0
    image = ax.imshow(matrix, cmap=SIGNED, vmin=-limit, vmax=limit)
    if some(matrix):
        colour_bar(ax, image, label)
    ax.set(xlabel="from neuron j", ylabel="to neuron i")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
