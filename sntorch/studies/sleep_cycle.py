r"""The cycle of REM sleep: landscape, flux, and which wiring matters for what.

The landscape of `SleepCycle` is a ring; flux drives round it.  How period, barrier, entropy
production and coherence answer to a wiring p is the logarithmic derivative d ln Q / d ln p, by
central differences of p (1 +- change).  The model and its parameters are our own surrogate for the
one of H. Yan et al., PNAS 110 (2013) E4185; the original pair of McCarley and Hobson has no steady
state under noise and hence no landscape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape import Density, Grid, LimitCycle, barrier, fokker_planck, limit_cycle
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    THEORY,
    StyledFigure,
    finish,
    finite,
    headline,
    on,
)
from sntorch.plot.grids import landscape
from sntorch.studies.study import Study
from sntorch.systems import SleepCycle

__all__ = ["WIRINGS", "SleepStudy", "run"]

WIRINGS = ("a", "b", "d", "tau", "threshold")
QUANTITIES = ("period", "barrier", "entropy_production", "coherence")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SleepStudy(Study):
    """The landscape of the sleep cycle and its sensitivity to w wirings, so far."""

    values: Tensor
    """(4,): period, barrier from the mean (nats), entropy production (nats per time), coherence."""
    sensitivity: Tensor
    """(w, 4), d ln quantity / d ln wiring."""
    wirings: tuple[str, ...]
    """Names of the w wirings."""
    density: Density
    """The landscape."""
    cycle: LimitCycle
    """The cycle without noise."""
    planned: int
    """Wirings of the whole study."""

    @property
    def progress(self) -> str:
        """The last wiring and what it does to the period."""
        if not self.wirings:
            return f"period {float(self.values[0]):.5g}, barrier {float(self.values[1]):.4g} nats"
        count = f"[{len(self.wirings)}/{self.planned}]"
        return (
            f"{count} d ln period / d ln {self.wirings[-1]} = {float(self.sensitivity[-1, 0]):.3f}"
        )

    def scalars(self) -> dict[str, float]:
        """Return the quantities and all sensitivities."""
        found: dict[str, float] = dict(zip(QUANTITIES, self.values.tolist(), strict=True))
        for name, row in zip(self.wirings, self.sensitivity.tolist(), strict=True):
            found |= {f"{q}/{name}": v for q, v in zip(QUANTITIES, row, strict=True)}
        return found

    def table(self) -> str:
        """Return the quantities, then the wirings ranked by what they do to the period."""
        lines = [f"{'':10}" + "".join(f"{name:>20}" for name in QUANTITIES)]
        lines.append(f"{'value':10}" + "".join(f"{v:20.5g}" for v in self.values.tolist()))
        for i in self.sensitivity[:, 0].abs().argsort(descending=True).tolist():
            row = "".join(f"{v:20.3f}" for v in self.sensitivity[i].tolist())
            lines.append(f"{self.wirings[i]:10}{row}")
        return "\n".join(lines)

    @style()
    def picture(self) -> Any:
        """Return the landscape with its flux beside the sensitivities."""
        fig = StyledFigure(figsize=(9.6, 4.0))
        axes = fig.subplots(1, 2)
        landscape(self.density, axes[0], lines={"cycle without noise": self.cycle})
        axes[0].set(xlabel="x (REM-on)", ylabel="y (REM-off)")
        plot(self, axes[1])
        headline(fig, "The cycle of REM sleep (surrogate model)")
        return fig


def run(
    *,
    noise: float = 0.002,
    change: float = 0.02,
    cells: int = 160,
    wirings: Sequence[str] = WIRINGS,
) -> Iterator[SleepStudy]:
    """Yield the study: first the landscape, then with one wiring more each time.

    The full setting is ``cells=300``.

    Parameters
    ----------
    noise
        D > 0.
    change
        Relative change of a wiring to both sides, up to 0.1.
    cells
        Cells along both axes of the box [-0.5, 1.7]^2.
    wirings
        Those that are changed, names from `WIRINGS`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> first = next(run(cells=110))
    >>> round(float(first.values[0]), 1)
    26.8
    """
    checks.positive("noise", noise)
    checks.number("change", change, low=1e-4, high=0.1)
    for name in wirings:
        checks.one_of("wirings", name, WIRINGS)
    grid = Grid([-0.5, -0.5], [1.7, 1.7], cells)
    values, density, cycle = _look(grid, noise, {})
    rows: list[Tensor] = []
    for count in range(len(wirings) + 1):
        if count:
            rows.append(_derivative(grid, noise, wirings[count - 1], change))
        yield SleepStudy(
            values=values,
            sensitivity=torch.stack(rows) if rows else values.new_zeros(0, len(QUANTITIES)),
            wirings=tuple(wirings[:count]),
            planned=len(wirings),
            density=density,
            cycle=cycle,
        )


def _look(grid: Grid, noise: float, wiring: dict[str, float]) -> tuple[Tensor, Density, LimitCycle]:
    """Return the four quantities, the landscape and the cycle."""
    flow = SleepCycle(**wiring, diffusion=noise)
    density = fokker_planck(flow, grid)
    start = torch.tensor([1.0, 0.5], dtype=torch.float64)
    cycle = limit_cycle(flow, start, transient=60.0, points=100, dt=0.1)
    height = torch.tensor(float("nan"), dtype=torch.float64)
    if cycle.converged:
        height = barrier(density, cycle.points).from_mean
    numbers = cycle.period, height, density.entropy_production, density.coherence
    return torch.stack(numbers), density, cycle


def _derivative(grid: Grid, noise: float, name: str, change: float) -> Tensor:
    middle = getattr(SleepCycle(), name)
    up, down = (_look(grid, noise, {name: middle * (1 + s * change)})[0].log() for s in (1, -1))
    step = torch.tensor((1 + change) / (1 - change), dtype=up.dtype).log()
    return (up - down) / step


@plot.register(SleepStudy)
@style()
def _(result: SleepStudy, ax: Any = None) -> Any:
    ax = on(ax)
    looks = ((DARK, ""), (MIDDLE, "//"), (LIGHT, ""), (GREY, ".."))
    places = torch.arange(len(result.wirings)).numpy()
    for q, (colour, hatch) in enumerate(looks):
        heights = finite(result.sensitivity[:, q])
        ax.bar(places + 0.2 * (q - 1.5), heights, 0.18, color=colour, hatch=hatch,
               label=QUANTITIES[q].replace("_", " "))  # fmt: skip
    ax.axhline(0, **THEORY)
    ax.set_xticks(places, list(result.wirings))
    ax.set(xlabel="wiring p", ylabel="d ln quantity / d ln p")
    return finish(ax, "Sensitivity", result.values)
