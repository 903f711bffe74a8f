r"""The phase diagram of the infinite network: where in the plane of gain and noise it is chaotic.

.. math:: u(t+1) = \gamma u(t) + J \tanh(g\,u(t)) - \theta + \sigma B(t), \quad
          J_{ij} \sim N(0, 1/N), \quad \theta_i \sim N(0, s_\theta^2)

Every point is the stationary mean field; the line is where its largest exponent is zero, found by
root finding gain by gain.  Without noise and thresholds chaos begins at g = 1 - leak (Sompolinsky,
Crisanti and Sommers 1988 in continuous time); noise moves the border to larger gains (Molgedey et
al. 1992).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield import MeanField, critical, solve
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, finish
from sntorch.studies.study import Study

__all__ = ["PhaseDiagram", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PhaseDiagram(Study):
    """The mean field on a grid of gains and noises, and the border of chaos."""

    field: MeanField
    """Of the shape (S, G): noise by gain."""
    gains: Tensor
    """(G,)."""
    border: Tensor
    """(G,), noise at which chaos ends at each gain; NaN where there is none."""

    @property
    def progress(self) -> str:
        """How much of the plane is chaotic."""
        share = float(self.field.chaotic.double().mean())
        return f"{self.field.lyapunov.numel()} points, {share:.0%} chaotic"

    def scalars(self) -> dict[str, float]:
        """Return the chaotic share of the plane, its largest exponent, and where its border is.

        ``onset`` is the smallest gain that has a border, ``border`` the noise at the largest gain.
        """
        known = self.gains[self.border.isfinite()]
        return {
            "onset": float(known[0]) if len(known) else math.nan,
            "border": float(self.border[-1]),
            "chaotic": float(self.field.chaotic.double().mean()),
            "max": float(self.field.lyapunov.max()),
        }

    def table(self) -> str:
        """Return the border, gain by gain."""
        lines = [f"{'gain':>8}{'noise where chaos ends':>26}"]
        for gain, noise in zip(self.gains.tolist(), self.border.tolist(), strict=True):
            lines.append(f"{gain:8.3f}{noise:26.6f}")
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the exponent in the plane, with the border of chaos."""
        return figure(self, title="Chaos in the plane of gain and noise")


def run(
    *,
    gain: float = 3.0,
    noise: float = 1.5,
    points: int = 100,
    leak: float = 0.0,
    threshold_std: float = 0.0,
) -> Iterator[PhaseDiagram]:
    """Yield the diagram.

    Parameters
    ----------
    gain, noise
        Where the axes end; they begin at 0.5 and 0.
    points
        Points of each axis; with leak every point is a covariance function, so take about 12.
    leak, threshold_std
        Of all networks.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717.

    Examples
    --------
    >>> (found,) = run(points=8)
    >>> found.field.lyapunov.shape, bool(found.border[0].isnan())
    (torch.Size([8, 8]), True)
    """
    if checks.number("gain", gain) <= 0.5:
        raise ValueError(f"gain: expected a number > 0.5, got {gain!r}")
    gains = torch.linspace(0.5, gain, checks.count("points", points, low=2), dtype=torch.float64)
    noises = torch.linspace(0.0, checks.positive("noise", noise), points, dtype=torch.float64)
    fixed: dict[str, Any] = {"leak": leak, "threshold_std": threshold_std}
    tolerance = 1e-10 if leak == 0 else 1e-5
    border = critical("noise", 1e-3, 3 * gain, gain=gains, tolerance=tolerance, **fixed)
    yield PhaseDiagram(
        field=solve(gain=gains, noise=noises.unsqueeze(-1), **fixed),
        gains=gains,
        border=border.value,
    )


@plot.register(PhaseDiagram)
@style()
def _(result: PhaseDiagram, ax: Any = None) -> Any:
    ax = plot(result.field, ax)
    seen = ax.get_ylim()
    every = max(1, len(result.gains) // 15)
    look = {"color": DARK, "markerfacecolor": "white", "linestyle": "", "zorder": 3}
    ax.plot(result.gains[::every], result.border[::every], "o", label="by root finding", **look)
    ax.set_ylim(seen)
    return finish(ax, "Phase diagram", result.field.lyapunov)
