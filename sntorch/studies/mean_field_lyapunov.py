r"""The largest exponent against the gain: networks of several sizes beside the infinite one.

.. math:: u(t+1) = \gamma u(t) + J \tanh(g\,u(t)) + \sigma B(t), \qquad J_{ij} \sim N(0, 1/N)

Mean-field theory gives the limit N -> infinity.  Finite networks differ by a bias of order 1/N, and
from one to the next by about as much: their mean approaches the line as N grows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch.meanfield import MeanField, solve
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import finish, name_axes, on
from sntorch.studies.ensembles import (
    check_draws,
    draw_border,
    draw_measured,
    draw_theory,
    exponents_along,
    scan,
    stacked,
)
from sntorch.studies.study import Study

__all__ = ["MeanFieldLyapunov", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MeanFieldLyapunov(Study):
    """Exponents of S sizes at G gains, so far, and what the mean field says."""

    gains: Tensor
    """(G,)."""
    sizes: Tensor
    """(S,), neurons."""
    exponents: Tensor
    """(S, G), mean over networks of the largest exponent, nats per step."""
    stderr: Tensor
    """(S, G), from the spread over networks."""
    theory: MeanField
    """Of the shape (G,)."""
    curve: MeanField
    """The same on a fine grid of gains."""
    planned: int
    """Sizes that the whole study has."""

    @property
    def progress(self) -> str:
        """The last size and how far it is from theory."""
        gap = (self.exponents[-1] - self.theory.lyapunov).abs().max()
        n = int(self.sizes[-1])
        return f"[{len(self.sizes)}/{self.planned}] N = {n}: at most {gap:.4f} from the mean field"

    def scalars(self) -> dict[str, float]:
        """Return the root mean square distance from theory of every size."""
        gaps = (self.exponents - self.theory.lyapunov).square().mean(-1).sqrt()
        names = (f"distance/{int(n)}" for n in self.sizes)
        return dict(zip(names, gaps.tolist(), strict=True))

    def table(self) -> str:
        """Return exponents by gain and size, with theory in the last column."""
        head = "".join(f"{f'N = {int(n)}':>18}" for n in self.sizes)
        lines = [f"{'gain':>6}{head}{'mean field':>14}"]
        for i, gain in enumerate(self.gains.tolist()):
            pairs = zip(self.exponents[:, i].tolist(), self.stderr[:, i].tolist(), strict=True)
            numbers = "".join(f"{f'{value:.4f} ± {error:.4f}':>18}" for value, error in pairs)
            lines.append(f"{gain:6.3g}{numbers}{float(self.theory.lyapunov[i]):14.4f}")
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the exponents against the gain, with the line of theory."""
        return figure(self, title="The largest exponent of random networks")


def run(
    *,
    gains: Sequence[float] = (0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0),
    sizes: Sequence[int] = (100, 200, 400, 800),
    networks: int = 6,
    steps: int = 400,
    transient: int = 200,
    leak: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Iterator[MeanFieldLyapunov]:
    """Yield the study with one size more each time.

    Parameters
    ----------
    gains, leak, noise
        Of the networks; leak in [0, 1), noise >= 0.
    sizes
        Numbers of neurons, in the order in which they are simulated.
    networks
        Random networks of each size, at least 2.
    steps, transient
        Steps measured, and steps before them.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717; B. Cessac,
    J. Phys. I France 5 (1995) 409.

    Examples
    --------
    >>> *_, found = run(gains=[0.5, 2.0], sizes=[20], networks=2, steps=50)
    >>> found.exponents.shape, found.theory.chaotic.tolist()
    (torch.Size([1, 2]), [False, True])
    """
    values = scan("gains", gains, positive=True)
    check_draws(sizes, networks, seed)
    fixed: dict[str, Any] = {"leak": leak, "noise": noise}
    theory = solve(gain=values, **fixed)
    fine = torch.linspace(float(values[0]), float(values[-1]), 120, dtype=torch.float64)
    curve = solve(gain=fine, **fixed) if leak == 0 else theory
    rows: list[list[tuple[Tensor, Tensor]]] = []
    for size in sizes:
        draws = {"networks": networks, "steps": steps, "transient": transient, "seed": seed}
        rows.append(exponents_along("gain", values.tolist(), size, fixed, **draws))
        yield MeanFieldLyapunov(
            gains=values,
            sizes=torch.tensor(sizes[: len(rows)]),
            **stacked(rows),
            theory=theory,
            curve=curve,
            planned=len(sizes),
        )


@plot.register(MeanFieldLyapunov)
@style()
def _(result: MeanFieldLyapunov, ax: Any = None) -> Any:
    ax = on(ax)
    for i, n in enumerate(result.sizes.tolist()):
        draw_measured(ax, result.gains, result.exponents[i], result.stderr[i], i, f"N = {n} ± s.e.")
    draw_theory(ax, result.curve.arguments["gain"], result.curve.lyapunov, "mean field, N → ∞")
    draw_border(ax)
    name_axes(ax, "gain g", "largest Lyapunov exponent (nats / step)")
    return finish(ax, "Exponent and gain", result.exponents)
