"""Simulated networks beside the mean field: what the studies of theory have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import max_lyapunov
from sntorch.cells import SNTCell

__all__ = ["draw_measured", "draw_theory", "largest_exponent", "seeded"]

_MARKERS = ("o", "s", "^", "D", "v", "p")


def largest_exponent(
    size: int, settings: dict[str, Any], *, networks: int, steps: int, transient: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return mean and standard error, over random networks of one size, of the largest exponent.

    `settings` are arguments of `SNTCell`.  Network i of a size has the same couplings J_ij ~
    N(0, 1/N), initial state and noise at all settings.
    """
    found = []
    for i in range(networks):
        draw = np.random.default_rng([seed, size, i])
        J = torch.from_numpy(draw.standard_normal((size, size)) / size**0.5)
        u = torch.from_numpy(draw.standard_normal(size))
        cell = SNTCell(J, **settings, trainable=())
        spectrum = max_lyapunov(cell, u, steps, transient=transient, generator=torch.Generator())
        found.append(spectrum.exponents[0])
    values = torch.stack(found)
    return values.mean(), values.std() / networks**0.5


def seeded(seed: int) -> torch.Generator:
    """Return a generator for a seed up to 9999, which begins elsewhere in torch's sequence."""
    generator = torch.Generator()
    torch.rand(1 + 7919 * checks.count("seed", seed, low=0, high=9999), generator=generator)
    return generator


def draw_measured(
    ax: Any, x: Tensor, y: Tensor, error: Tensor, index: int, label: str | None
) -> None:
    """Draw measured exponents with their errors; markers tell the curves apart in grey."""
    look = {"color": str(0.05 + 0.2 * (index % 4)), "markerfacecolor": "white", "zorder": 3}
    ax.errorbar(x, y, error, fmt=_MARKERS[index % len(_MARKERS)], label=label, **look)


def draw_theory(ax: Any, x: Tensor, y: Tensor, label: str | None) -> None:
    """Draw what the mean field predicts, a thin dashed line."""
    ax.plot(x, y, linestyle=(0, (5, 3)), linewidth=0.9, color="#666666", label=label)
