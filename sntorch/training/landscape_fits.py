"""What the monitor of the landscape finds: how good a potential of two coordinates is."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from sntorch.plot import plot, style
from sntorch.plot.canvas import DARK, THEORY, finish, on, plus_minus
from sntorch.results import Result

__all__ = ["LandscapeFit"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LandscapeFit(Result):
    """How well a potential of two principal coordinates fits a network, and what it says of it."""

    entropy_production: Tensor
    """(), of the whole network, nats per unit of time, from its own steps."""
    stderr: Tensor
    """(), over walkers."""
    information: Tensor
    """(3,), I on the states of training, on others, and there of the Gaussian."""
    defect: Tensor
    """(2, 2), <(y - m) grad U> - 1, on other states than those of training."""
    z: Tensor
    """(), how far the walkers are from a steady state, in standard errors; see `Stationarity`."""
    stationary: bool
    """Whether that is chance."""
    wells: int
    """Wells at least half a nat deep."""
    explained: Tensor
    """(), share of the variance that the two coordinates have."""

    def scalars(self) -> dict[str, float]:
        """Return all numbers; of the defect the root mean square per row."""
        train, test, gaussian = self.information.tolist()
        return {
            "entropy_production": float(self.entropy_production),
            "entropy_production_stderr": float(self.stderr),
            "information_train": train,
            "information": test,
            "information_gaussian": gaussian,
            "structure": test - gaussian,
            "defect": float(self.defect.square().sum(-1).mean().sqrt()),
            "z": float(self.z),
            "stationary": float(self.stationary),
            "wells": float(self.wells),
            "explained": float(self.explained),
        }


@plot.register(LandscapeFit)
@style()
def _(result: LandscapeFit, ax: Any = None) -> Any:
    """Draw the bracket of the information beside that of the Gaussian."""
    ax = on(ax)
    train, test, gaussian = result.information.tolist()
    ax.plot([train, test], [0, 1], "o", color=DARK, label="learned")
    ax.axvline(gaussian, label="Gaussian", **THEORY)
    ax.set_yticks([0, 1], ("states of\ntraining", "other\nstates"))
    ax.set_ylim(1.6, -0.6)
    ax.set_xlabel("information per step (nats)")
    produced = plus_minus(float(result.entropy_production), float(result.stderr))
    note = f"wells: {result.wells}; entropy production\n{produced} nats / time"
    return finish(ax, "Learned landscape: bracket", result.information, note)
