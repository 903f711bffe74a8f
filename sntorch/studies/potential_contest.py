"""The record of the study of losses of learned potentials, and its pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from torch import Tensor

from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    StyledFigure,
    finish,
    headline,
    logarithmic,
    on,
)
from sntorch.studies.solvable import LOSSES, SYSTEMS
from sntorch.studies.study import Study

__all__ = ["LearnedPotentials"]

_LOOKS = (
    ("o-", DARK), ("s--", MIDDLE), ("D-.", "black"), ("^:", GREY), ("v-", LIGHT), ("P--", DARK),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LearnedPotentials(Study):
    """Errors and cost of R fits."""

    systems: tuple[str, ...]
    """(R,)."""
    losses: tuple[str, ...]
    """(R,)."""
    budgets: Tensor
    """(R,), gradient steps."""
    seconds: Tensor
    """(R,), CPU time, walkers included."""
    error: Tensor
    """(R,), of V where P is, relative to the spread of the known one."""
    region: Tensor
    """(R,), the same over the box."""
    batch: int
    """States of a gradient step."""
    planned: int
    """Fits of the whole study."""

    @property
    def progress(self) -> str:
        """The last fit."""
        return (
            f"[{len(self.systems)}/{self.planned}] {self.systems[-1]}, {self.losses[-1]}: error "
            f"{float(self.error[-1]):.4f} after {int(self.budgets[-1])} steps, "
            f"{float(self.seconds[-1]):.2g} s"
        )

    def best(self) -> dict[tuple[str, str], int]:
        """Return the fit with the largest budget of every system and loss."""
        found: dict[tuple[str, str], int] = {}
        for i, pair in enumerate(zip(self.systems, self.losses, strict=True)):
            if pair not in found or self.budgets[i] > self.budgets[found[pair]]:
                found[pair] = i
        return found

    def scalars(self) -> dict[str, float]:
        """Return the errors at the largest budget."""
        found: dict[str, float] = {}
        for (system, loss), i in self.best().items():
            found[f"{system}/{loss}/error"] = float(self.error[i])
            found[f"{system}/{loss}/region"] = float(self.region[i])
        return found

    def table(self) -> str:
        """Return error where P is, error over the box, and seconds, at the largest budget."""
        shown = [name for name in SYSTEMS if name in self.systems]
        lines = [f"{'':>16}" + "".join(f"{name:>25}" for name in shown)]
        best = self.best()
        for loss in (name for name in LOSSES if name in self.losses):
            cells = []
            for system in shown:
                i = best.get((system, loss))
                cells.append("-" if i is None else self._cell(i))
            lines.append(f"{loss:>16}" + "".join(f"{cell:>25}" for cell in cells))
        lines.append("error of V where P is, over the box, CPU seconds; - if a loss does not apply")
        return "\n".join(lines)

    def _cell(self, i: int) -> str:
        error, region, seconds = (float(v[i]) for v in (self.error, self.region, self.seconds))
        return f"{error:.4f} {region:.4f} {seconds:5.1f} s"

    def rows(self) -> list[dict[str, Any]]:
        """Return all fits."""
        return [
            {
                "system": self.systems[i],
                "loss": self.losses[i],
                "steps": int(self.budgets[i]),
                "seconds": float(self.seconds[i]),
                "error": float(self.error[i]),
                "error over the box": float(self.region[i]),
            }
            for i in range(len(self.systems))
        ]

    @style()
    def picture(self) -> Any:
        """Return error against cost, a panel per system, all losses in each."""
        shown = list(dict.fromkeys(self.systems))
        fig = StyledFigure(figsize=(9.6, 3.6 * ((len(shown) + 1) // 2)))
        grid = fig.subplots((len(shown) + 1) // 2, 2, squeeze=False)
        for ax, system in zip(grid.flat, shown, strict=False):
            _draw(self, system, ax)
        for ax in grid.flat[len(shown) :]:
            ax.remove()
        headline(fig, "Learned potentials against what is known")
        return fig


@plot.register(LearnedPotentials)
@style()
def _(result: LearnedPotentials, ax: Any = None) -> Any:
    """Draw error against cost of the last system."""
    return _draw(result, result.systems[-1], on(ax))


def _draw(result: LearnedPotentials, system: str, ax: Any) -> Any:
    here = np.array([name == system for name in result.systems])
    for loss, (look, colour) in zip(LOSSES, _LOOKS, strict=True):
        rows = np.flatnonzero(here & np.array([name == loss for name in result.losses]))
        if len(rows):
            ax.plot(result.seconds[rows], result.error[rows], look, color=colour, label=loss,
                    markersize=5, markeredgecolor="black", markeredgewidth=0.4)  # fmt: skip
    ax.set(xlabel="CPU time (s)", ylabel="relative error of V")
    logarithmic(ax)
    return finish(ax, system[0].upper() + system[1:], result.error[here])
