r"""Flux round a ring: two neurons that turn each other, against their asymmetry.

.. math:: F = (-u_1 + a \tanh u_1 - b \tanh u_2,\; -u_2 + b \tanh u_1 + a \tanh u_2)

For b = 0 the network is symmetric and remembers: its landscape has wells.  With b it becomes a
closed ring; the gradient draws to the ring, the flux drives round it.  As b grows, flux and entropy
production grow, the period falls, and the ring becomes flatter (H. Yan et al., PNAS 110 (2013)
E4185, for larger networks; these two neurons are our choice).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape import (
    Density,
    Grid,
    LimitCycle,
    barrier,
    fokker_planck,
    limit_cycle,
    wells,
)
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    GREY,
    MIDDLE,
    StyledFigure,
    finish,
    finite,
    headline,
    name_axes,
    on,
)
from sntorch.plot.grids import landscape
from sntorch.studies.study import Study
from sntorch.systems import TanhRing

__all__ = ["RingLandscape", "run"]

_QUANTITIES = ("entropy_production", "flux", "period", "barrier", "modulation")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RingLandscape(Study):
    """Landscapes at B asymmetries, so far; NaN where there is no cycle."""

    asymmetry: Tensor
    """(B,), b."""
    entropy_production: Tensor
    """(B,), nats per unit of time."""
    flux: Tensor
    """(B,), average of J along the cycle, per unit of time and length."""
    period: Tensor
    """(B,), of the cycle without noise."""
    barrier: Tensor
    """(B,), U(top inside) - mean of U over a turn, nats."""
    modulation: Tensor
    """(B,), highest - lowest U along the cycle, nats."""
    count: Tensor
    """(B,), wells deeper than half a nat."""
    densities: tuple[Density, ...]
    """The landscapes, B of them."""
    cycles: tuple[LimitCycle, ...]
    """The cycles without noise, B of them; not converged where there is none."""
    noise: float
    """D."""
    planned: int
    """Asymmetries that the whole study has."""

    @property
    def progress(self) -> str:
        """The last asymmetry and what it costs."""
        count = f"[{len(self.asymmetry)}/{self.planned}]"
        cost, period = float(self.entropy_production[-1]), float(self.period[-1])
        return (
            f"{count} b {float(self.asymmetry[-1]):g}: {cost:.4g} nats / time, period {period:.5g}"
        )

    def scalars(self) -> dict[str, float]:
        """Return entropy production and period of every asymmetry."""
        found: dict[str, float] = {}
        for i, b in enumerate(self.asymmetry.tolist()):
            found[f"entropy_production/{b:g}"] = float(self.entropy_production[i])
            found[f"period/{b:g}"] = float(self.period[i])
        return found

    def table(self) -> str:
        """Return all quantities by asymmetry."""
        lines = [f"{'b':>6}{'wells':>7}" + "".join(f"{name:>20}" for name in _QUANTITIES)]
        for i, b in enumerate(self.asymmetry.tolist()):
            row = "".join(f"{float(getattr(self, name)[i]):20.5g}" for name in _QUANTITIES)
            lines.append(f"{b:6.3g}{int(self.count[i]):7d}{row}")
        return "\n".join(lines)

    @style()
    def picture(self) -> Any:
        """Return the first and the last landscape beside all quantities."""
        fig = StyledFigure(figsize=(13.8, 4.0))
        axes = fig.subplots(1, 3)
        for ax, i in zip(axes, (0, -1), strict=False):
            cycle = self.cycles[i]
            lines = {"cycle without noise": cycle} if cycle.converged else {}
            landscape(self.densities[i], ax, lines=lines)
            ax.set_title(
                f"Landscape and flux, b = {float(self.asymmetry[i]):g}", loc="left", pad=41
            )
        plot(self, axes[2])
        headline(fig, f"Flux round a ring, D = {self.noise:g}")
        return fig


def run(
    *,
    asymmetries: Sequence[float] = (0.0, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5),
    a: float = 1.5,
    noise: float = 0.05,
    half: float = 3.5,
    cells: int = 160,
) -> Iterator[RingLandscape]:
    """Yield the study with one asymmetry more each time.

    The full setting is ``cells=300``, which halves the error twice.

    Parameters
    ----------
    asymmetries
        Values of b, in the order in which they are taken.
    a
        Coupling of a neuron to itself.
    noise
        D > 0.
    half, cells
        The box reaches from -half to half along both axes, in that many cells.

    Raises
    ------
    ValueError
        On wrong arguments, before the first landscape.

    Examples
    --------
    >>> *_, found = run(asymmetries=[1.0], cells=120)
    >>> 19.5 < float(found.entropy_production) < 20
    True
    """
    values = [checks.number("asymmetries", b) for b in asymmetries]
    if not values:
        raise ValueError("asymmetries: expected at least one, got none")
    checks.positive("noise", noise)
    grid = Grid([-checks.positive("half", half)] * 2, [half] * 2, cells)
    flows = [TanhRing(a, b, diffusion=noise) for b in values]
    rows: list[list[float]] = []
    densities: list[Density] = []
    cycles: list[LimitCycle] = []
    for flow in flows:
        density = fokker_planck(flow, grid, modes=0)
        cycle = limit_cycle(flow, torch.tensor([1.0, 0.2], dtype=torch.float64), points=100)
        densities, cycles = [*densities, density], [*cycles, cycle]
        rows.append(_numbers(density, cycle))
        table = torch.tensor(rows, dtype=torch.float64).unbind(-1)
        yield RingLandscape(
            asymmetry=torch.tensor(values[: len(rows)], dtype=torch.float64),
            **dict(zip(_QUANTITIES, table, strict=False)),
            count=table[-1],
            densities=tuple(densities),
            cycles=tuple(cycles),
            noise=float(noise),
            planned=len(values),
        )


def _numbers(density: Density, cycle: LimitCycle) -> list[float]:
    """Return the five quantities and the number of wells."""
    produced = float(density.entropy_production)
    count = float(len(wells(density).floor))
    if not cycle.converged:
        return [produced, *[float("nan")] * 4, count]
    total, length = density.loop_flux(cycle.points)
    height = barrier(density, cycle.points)
    numbers = (total / length).abs(), cycle.period, height.from_mean, height.modulation
    return [produced, *map(float, numbers), count]


@plot.register(RingLandscape)
@style()
def _(result: RingLandscape, ax: Any = None) -> Any:
    """Draw all quantities relative to their largest value."""
    ax = on(ax)
    looks = ((DARK, "o-"), (MIDDLE, "s--"), (GREY, "^:"), ("black", "D-."))
    names = ("entropy production", "average flux", "period", "modulation")
    fields = ("entropy_production", "flux", "period", "modulation")
    for name, field, (colour, look) in zip(names, fields, looks, strict=True):
        values = finite(getattr(result, field))
        top = values[values == values].max(initial=0) or 1.0
        ax.plot(finite(result.asymmetry), values / top, look, color=colour,
                label=f"{name} / {top:.3g}")  # fmt: skip
    ax.set_ylim(bottom=0)
    name_axes(ax, "asymmetry b", "relative to the largest")
    return finish(ax, "Against the asymmetry", result.entropy_production)
