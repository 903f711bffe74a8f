"""Pictures of spectra in the complex plane."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sntorch.analysis import (
    JacobianSpectrum,
    PseudospectralRadius,
)
from sntorch.plot.canvas import (
    DARK,
    THEORY,
    array,
    finish,
    mean_of,
    name_axes,
    on,
    plot,
    style,
)


@plot.register
@style()
def _(result: JacobianSpectrum, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    eigenvalues(ax, result, "eigenvalues", DARK)
    complex_plane(ax, result)
    states = result.radius.numel()
    note = f"spectral radius {mean_of(result.radius):.3g} per step"
    note += f", mean of {states} states" if states > 1 else ""
    if result.eigenvalues.shape[-1] < result.size:
        note += f"\nthe {result.eigenvalues.shape[-1]} leading of {result.size} eigenvalues"
    return finish(ax, "Spectrum of the Jacobian", result.eigenvalues, note)


@plot.register
@style()
def _(result: PseudospectralRadius, ax: Axes | None = None) -> Axes:
    ax = on(ax)
    size = array(result.epsilon)
    radius = array(result.radius).reshape(-1, len(size))
    ax.plot(size, radius.T, "o-", color=DARK, alpha=max(0.2, 1 / len(radius)))
    normal = mean_of(result.spectral_radius) + size
    ax.plot(size, normal, label="if normal", **THEORY)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axhline(1, label="unit circle", **dotted)
    if (size > 0).any() and np.isfinite(size).any():
        ax.set_xscale("log")
    name_axes(ax, "size of the perturbation ε (per step)", "pseudospectral radius (per step)")
    kreiss = mean_of(result.kreiss)
    note = f"some power of DF grows by {kreiss:.3g} at least (Kreiss)"
    note = note if math.isfinite(kreiss) else "an eigenvalue lies outside the unit circle"
    return finish(ax, "Pseudospectral radius", result.radius, note)


def eigenvalues(ax: Axes, result: JacobianSpectrum, label: str, colour: str) -> None:
    """Draw eigenvalues in the complex plane."""
    z = array(result.eigenvalues).ravel()
    z = z[np.isfinite(z)]
    alpha = max(0.3, min(1.0, 1000 / max(len(z), 1))) if colour == DARK else 1.0
    look: dict[str, Any] = {"color": colour, "alpha": alpha, "markeredgewidth": 0}
    look["markersize"] = 2.5 if len(z) > 200 else 4
    # A vector file of more points would be heavy: they become a picture inside it.
    ax.plot(np.real(z), np.imag(z), "o", label=label, rasterized=len(z) > 20000, **look)


def complex_plane(ax: Axes, result: JacobianSpectrum) -> None:
    """Draw the unit circle and the law of large random matrices, and name the axes."""
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 181))
    real, imaginary = (mean_of(axis) for axis in result.semi_axes.unbind(-1))
    law = "elliptic law"
    if abs(mean_of(result.symmetry)) < 5 / result.size:  # what chance alone gives
        real = imaginary = mean_of(result.disk_radius)
        law = "circular law"
    ax.plot(
        mean_of(result.disk_centre) + real * np.real(circle),
        imaginary * np.imag(circle),
        label=law,
        **THEORY,
    )
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.plot(np.real(circle), np.imag(circle), label="unit circle", **dotted)
    ax.set_aspect("equal", adjustable="datalim")
    name_axes(ax, "real part of λ (per step)", "imaginary part of λ (per step)")
