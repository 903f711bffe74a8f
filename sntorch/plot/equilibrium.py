"""Pictures of the equilibrium of the speed potential: order parameters, chains, cooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes

from sntorch.landscape import Annealed, FieldResponse, Planted, Samples, Tempered
from sntorch.meanfield import Equilibrium, StateMeasure
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    MIDDLE,
    THEORY,
    array,
    finish,
    finite,
    histogram,
    logarithmic,
    mean_of,
    name_axes,
    on,
    plot,
    plus_minus,
    style,
)
from sntorch.results import over_rows


@plot.register
@style()
def _(result: Equilibrium, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    x, name, note = _scan(result.arguments)
    curves = (
        (result.overlap, "self-overlap q", DARK, "o", "-"),
        (result.response, "response R", MIDDLE, "s", "-"),
        (result.stability, "stability of Q = 0", LIGHT, "^", "-"),
        (result.replica_overlap, "replica overlap Q", DARK, "", ":"),
    )
    for values, label, colour, marker, line in curves:
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line}
        ax.plot(x, finite(values).ravel(), label=label, markevery=max(1, len(x) // 20), **look)
    ax.axhline(1, label="unstable above", **THEORY)
    name_axes(ax, name, "order parameters (no unit)")
    return finish(ax, "Canonical measure of the speed", result.overlap, note)


@plot.register
@style()
def _(result: StateMeasure, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    x, name, note = _scan(result.arguments)
    curves = [
        (result.overlap, "overlap |φ|²/N", DARK, "o"),
        (result.variance, "radius |x|²/N", MIDDLE, "s"),
    ]
    if bool((result.speed > 0).any()):
        curves.append((result.speed, "speed |dx/dt|²/N", LIGHT, "^"))
    if bool(result.complexity.isfinite().any()):
        curves.append((100 * result.complexity, "100 Σ, complexity", LIGHT, "D"))
    for values, label, colour, marker in curves:
        look: dict[str, Any] = {"color": colour, "marker": marker}
        ax.plot(x, finite(values).ravel(), label=label, markevery=max(1, len(x) // 20), **look)
    name_axes(ax, name, "per neuron")
    note = f"{result.measure}{'; ' if note else ''}{note}"
    return finish(ax, "States of an infinite network", result.overlap, note)


@plot.register
@style()
def _(result: Samples, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    M = len(result.energies)
    t = np.arange(M) * result.every
    energies = finite(
        result.energies.flatten(1) if result.energies.ndim > 1 else result.energies[:, None]
    )
    for i, row in enumerate(energies.T[:8]):
        look: dict[str, Any] = {"color": LIGHT, "linewidth": 0.5}
        ax.plot(t, row, label="single chains" if i == 0 else None, **look)
    ax.plot(t, energies.mean(1) if M else [], color=DARK, label="mean of chains")
    half = mean_of(result.temperature) / 2
    if result.temperature.unique().numel() == 1:
        ax.axhline(half, label="T/2", **THEORY)
    name_axes(ax, "steps", "energy per neuron E/N", whole=True)
    shown = [
        f"{word} {plus_minus(*(float(v) for v in over_rows(value, error)))}"
        for word, value, error in (
            ("E/N", result.energy, result.energy_stderr),
            ("q", result.overlap, result.overlap_stderr),
        )
    ]
    note = f"{', '.join(shown)}\nT = {2 * half:.4g}, step {result.step_size:.3g}"
    note += f", {mean_of(result.acceptance):.0%} accepted"
    note += f"\n{result.stopped}" if result.stopped else ""
    return finish(ax, "Langevin sampling", result.energies, note)


@plot.register
@style()
def _(result: Tempered, ax: Axes | None = None) -> Axes:
    """Draw the energy at every temperature: a mean over all of them would be none of anything."""
    ax = on(ax)
    T = array(result.temperature.flatten(1)[:, 0])
    pairs = zip(result.energy, result.energy_stderr, strict=True)
    found = [tuple(map(float, over_rows(value, error))) for value, error in pairs]
    energy, error = np.array(found).T
    look: dict[str, Any] = {"color": DARK, "marker": "o", "elinewidth": 0.9}
    ax.errorbar(T, energy, np.nan_to_num(error), label="mean of chains ± s.e.", **look)
    ax.plot(T, T / 2, label="T/2", **THEORY)
    logarithmic(ax)
    ax.set(xlabel="temperature T", ylabel="energy per neuron E/N")
    note = f"{mean_of(result.swaps):.0%} of exchanges accepted, step {result.step_size:.3g}"
    note += f"\n{result.stopped}" if result.stopped else ""
    return finish(ax, "Parallel tempering", result.energies, note)


@plot.register
@style()
def _(result: Annealed, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    M = len(result.energies)
    T, energies = (
        array(result.temperatures),
        finite(
            result.energies.flatten(1) if result.energies.ndim > 1 else result.energies[:, None]
        ),
    )
    for i, row in enumerate(energies.T[:20]):
        look: dict[str, Any] = {"color": LIGHT, "linewidth": 0.5}
        ax.plot(T, row, label="single chains" if i == 0 else None, **look)
    ax.plot(T, energies.mean(1) if M else [], color=DARK, label="mean of chains")
    ax.plot(T, T / 2, label="T/2", **THEORY)
    name_axes(ax, "temperature T (falling to the right)", "energy per neuron E/N")
    if M and (energies > 0).all():
        ax.set_yscale("log")
    ax.set_xscale("log")
    ax.invert_xaxis()
    share = f"{mean_of(result.converged):.0%} of {result.energy.numel()} chains at a minimum"
    return finish(
        ax, "Cooling", result.energy, share + f", lowest E {float(result.energy.min()):.2g}"
    )


@plot.register
@style()
def _(result: FieldResponse, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    M = len(result.responses)
    rows = finite(
        result.responses.flatten(1) if result.responses.ndim > 1 else result.responses[:, None]
    )
    ax.plot(np.arange(M), rows.mean(1) if M else [], color=DARK, label="mean of chains")
    value, error = (float(v) for v in over_rows(result.response, result.response_stderr))
    if math.isfinite(value):
        ax.axhline(value, label="mean", **THEORY)
    name_axes(ax, "measurement", "response of φ to a field", whole=True)
    note = f"{plus_minus(value, error)}, field {result.strength:.3g}"
    return finish(ax, "Response by a weak field", result.responses, note)


def _scan(arguments: dict[str, torch.Tensor]) -> tuple[np.ndarray, str, str]:
    """Return the scanned argument, the name of its axis, and the others as text."""
    names = {
        "gain": "gain g",
        "temperature": "temperature T",
        "symmetry": "symmetry",
        "confinement": "confinement η",
    }
    varied = [k for k, v in arguments.items() if v.unique().numel() > 1]
    fixed = (k for k in arguments if k not in varied)
    values = ((names[k].split()[-1], float(arguments[k].flatten()[0])) for k in fixed)
    text = ", ".join(
        f"{letter} = {value:.4g}" for letter, value in values if value or letter == "T"
    )
    if len(varied) != 1:
        return np.arange(next(iter(arguments.values())).numel()), "ensemble", text
    return array(arguments[varied[0]]).ravel(), names[varied[0]], text


@plot.register
@style()
def _(result: Planted, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    state = finite(result.state).ravel()
    histogram(ax, state, "components", LIGHT)
    width = math.sqrt(result.temperature + result.gain**2 * mean_of(result.overlap))
    if width > 0:
        x = width * np.linspace(-4, 4, 161)
        bell = np.exp(-((x / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
        ax.plot(x, bell, label="theory", **THEORY)
    name_axes(ax, "component of the state x (units of u)", "density (1 / units of u)")
    note = f"g = {result.gain:.3g}, T = {result.temperature:.3g}, q = {mean_of(result.overlap):.3g}"
    return finish(ax, f"Planted state, N = {len(state)}", state, note)
