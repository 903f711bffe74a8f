"""Several random networks: beside the mean field, or all at once, one per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import max_lyapunov
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics
from sntorch.plot.canvas import THEORY
from sntorch.streams import seeded
from sntorch.transfer import as_transfer

__all__ = [
    "Networks",
    "check_draws",
    "draw_border",
    "draw_measured",
    "draw_theory",
    "exponents_along",
    "largest_exponent",
    "scan",
    "seeded",
    "stacked",
]

_MARKERS = ("o", "s", "^", "D", "v", "p")


def scan(name: str, values: Sequence[float], *, positive: bool = False) -> Tensor:
    """Return the ascending numbers of a scan, two or more of them >= 0, or > 0 if `positive`."""
    one = checks.positive if positive else lambda name, x: checks.number(name, x, low=0)
    numbers = torch.tensor([one(name, x) for x in values], dtype=torch.float64)
    if len(numbers) < 2 or bool((numbers.diff() <= 0).any()):
        raise ValueError(f"{name}: expected two or more, ascending, got {list(values)}")
    return numbers


def check_draws(sizes: Sequence[int], networks: int, seed: int, name: str = "sizes") -> None:
    """Refuse sizes, numbers of networks and seeds that no ensemble can be drawn with."""
    if not sizes:
        raise ValueError(f"{name}: expected at least one, got none")
    for size in sizes:
        checks.count(name, size)
    checks.count("networks", networks, low=2)
    checks.count("seed", seed, low=0)


def exponents_along(
    parameter: str, values: Iterable[float], size: int, settings: dict[str, Any], **draws: int
) -> list[tuple[Tensor, Tensor]]:
    """Return `largest_exponent` at every value of one argument of `SNTCell`."""
    return [largest_exponent(size, settings | {parameter: x}, **draws) for x in values]


def stacked(rows: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> dict[str, Tensor]:
    """Return the tables of means and standard errors of rows of `exponents_along`, by field."""
    pairs = [[torch.stack(pair) for pair in row] for row in rows]
    table = torch.stack([torch.stack(row) for row in pairs])
    return {"exponents": table[..., 0], "stderr": table[..., 1]}


def draw_border(ax: Any) -> None:
    """Draw the line above which networks are chaotic."""
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axhline(0, label="chaos above", **dotted)


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


class Networks(Dynamics):
    """R networks of one size at once, u(t+1) = J f(u(t)) + x: row r of a state is network r.

    Small networks one by one cost the time of calls, not of products.
    """

    def __init__(self, J: Tensor, *, gain: float, transfer: str) -> None:
        super().__init__()
        self.J, self.gain, self.transfer = J, gain, as_transfer(transfer)
        self.size = J.shape[-1]

    def rate(self, u: Tensor) -> Tensor:
        """Return f(u) (..., R, N)."""
        return self.transfer(self.gain * u)

    def slope(self, u: Tensor) -> Tensor:
        """Return f'(u) (..., R, N), gain included."""
        return self.gain * self.transfer.derivative(self.gain * u)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next states (R, N); a drive (N,) is added to every network."""
        value = (self.J @ self.rate(u).unsqueeze(-1)).squeeze(-1)
        return value if x is None else value + x

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V (R, N, k)."""
        self.check_frame("V", u, V)
        rate, slope = self.transfer.with_derivative(self.gain * u)
        columns = torch.cat([rate.unsqueeze(-1), (self.gain * slope).unsqueeze(-1) * V], -1)
        both = self.J @ columns  # every matrix is read once
        value = both[..., 0] if x is None else both[..., 0] + x
        return value, both[..., 1:]


def draw_measured(
    ax: Any, x: Tensor, y: Tensor, error: Tensor, index: int, label: str | None
) -> None:
    """Draw measured exponents with their errors; markers tell the curves apart in grey."""
    look = {"color": str(0.05 + 0.2 * (index % 4)), "markerfacecolor": "white", "zorder": 3}
    ax.errorbar(x, y, error, fmt=_MARKERS[index % len(_MARKERS)], label=label, **look)


def draw_theory(ax: Any, x: Tensor, y: Tensor, label: str | None) -> None:
    """Draw what the mean field predicts, a thin dashed line."""
    ax.plot(x, y, linestyle=(0, (5, 3)), linewidth=0.9, color="#666666", label=label)
