"""A monitor of fixed and slow points: where a network that learns comes to rest, and how nearly."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import FixedPoints, find_fixed_points
from sntorch.dynamics import rollout
from sntorch.landscape import SpeedPotential
from sntorch.observing import observing
from sntorch.plot import plot, style
from sntorch.plot.canvas import DARK, THEORY, array, finish, name_axes, on
from sntorch.results import Result
from sntorch.training.monitor import Monitor
from sntorch.training.probes import Probe

__all__ = ["FixedPointMonitor", "SlowPoints"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SlowPoints(Result):
    """Speed potential per neuron where S searches began and where they ended."""

    visited: Tensor
    """(S,), E / N at states that the network visits."""
    reached: Tensor
    """(S,), E / N at the fixed or slow points below them."""
    slow: Tensor
    """(S,) bool: the end is a slow point, no fixed point."""

    def scalars(self) -> dict[str, float]:
        """Return the energy visited, the number of slow ends, and their median energy, else 0."""
        slow = self.reached[self.slow]
        return {
            "energy_visited": float(self.visited.mean()),
            "slow": float(self.slow.sum()),
            "energy_slow": float(slow.median()) if len(slow) else 0.0,
        }


class FixedPointMonitor(Monitor):
    """Logs number, stability, speed and energy of fixed and slow points as a network learns.

    Searches start at states that the network visits while it reads, spread over sequences and time,
    and go on under the mean input, which is constant: only so are there fixed points.  Energies are
    those of the speed potential, |F(u) - u|^2 / 2, per neuron.

    Parameters
    ----------
    starts
        S, searches.
    steps
        Steps of a search at most; one costs N^3, for every start.
    part, every_n_epochs, rows, figures
        As in `Monitor`.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> cell = snt.SNTCell(torch.eye(2, dtype=torch.float64), gain=2.0)
    >>> probe = Probe(f=cell, u=torch.tensor([[0.1, -0.1], [0.1, 0.1]]).double(), x=None, steps=40)
    >>> seen = FixedPointMonitor(starts=4).look(probe)
    >>> seen["points"].unique().unstable  # two of the four wells were visited
    tensor([0, 0])
    """

    name = "fixed_points"
    records: ClassVar = {"points": FixedPoints, "slow": SlowPoints}
    shown = "points"

    def __init__(self, *, starts: int = 16, steps: int = 50, **when: Any) -> None:
        super().__init__(**when)
        self.starts = checks.count("starts", starts)
        self.steps = checks.count("steps", steps)

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return where the searches ended, and the energies at both ends."""
        x = None if probe.x is None else probe.x.mean((0, 1))
        with observing(probe.f, probe.u):
            orbit = rollout(probe.f, probe.u, probe.steps, x=probe.x)
            times = torch.linspace(probe.steps // 4, probe.steps - 1, self.starts).long()
            u = orbit[times, torch.arange(self.starts) % orbit.shape[1]].contiguous()
            potential = SpeedPotential(probe.f, x=x)
            points = find_fixed_points(probe.f, u, x, steps=self.steps)
            size = u.shape[-1]
            slow = SlowPoints(
                visited=potential(u) / size,
                reached=potential(points.states) / size,
                slow=~points.converged,
            )
        return {"points": points, "slow": slow}

    def histograms(self, results: dict[str, Result]) -> dict[str, Tensor]:
        """Return how many directions are unstable at the distinct points."""
        points: Any = results["points"]
        unstable = points.unique().unstable.double()
        return {"unstable_directions": unstable} if len(unstable) else {}


@plot.register(SlowPoints)
@style()
def _(result: SlowPoints, ax: Any = None) -> Any:
    ax = on(ax)
    tiny = 1e-32  # what is left of rounding alone
    visited, reached = (array(e.clamp(min=tiny)) for e in (result.visited, result.reached))
    slow = array(result.slow) > 0
    look: dict[str, Any] = {"color": DARK, "linestyle": "", "markersize": 4}
    ax.plot(visited[~slow], reached[~slow], "o", label="fixed points", **look)
    ax.plot(visited[slow], reached[slow], "s", markerfacecolor="white", label="slow points", **look)
    ax.axline((1, 1), slope=1, label="no descent", **THEORY)
    name_axes(ax, "energy visited E/N", "energy reached E/N")
    ax.set(xscale="log", yscale="log")
    note = f"{int(result.slow.sum())} of {len(result.slow)} searches end at slow points"
    return finish(ax, "Speed potential", result.visited, note)
