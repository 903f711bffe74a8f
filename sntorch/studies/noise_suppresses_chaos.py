r"""Noise suppresses chaos: the largest exponent against the noise at several gains.

.. math:: u(t+1) = J \tanh(g\,u(t)) + \sigma B(t), \qquad J_{ij} \sim N(0, 1/N)

Noise widens the distribution of u, drives neurons into saturation, and lowers the mean square of
the slope: beyond a critical noise two copies under the same noise converge, although both keep
moving (Molgedey, Schuchhardt and Schuster 1992).  For large gains the critical noise grows like
sqrt(8 g^2 / (9 pi) - 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield import MeanField, critical, solve
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

__all__ = ["NoiseSuppressesChaos", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class NoiseSuppressesChaos(Study):
    """Exponents at G gains, so far, and S strengths of the noise, and what the mean field says."""

    gains: Tensor
    """(G,)."""
    noises: Tensor
    """(S,), standard deviations per step."""
    exponents: Tensor
    """(G, S), mean over networks of the largest exponent, nats per step."""
    stderr: Tensor
    """(G, S), from the spread over networks."""
    theory: MeanField
    """Of the shape (G, S)."""
    critical: Tensor
    """(G,), noise at which chaos ends by the mean field; NaN where there is none."""
    size: int
    """Neurons of each network."""
    planned: int
    """Gains that the whole study has."""

    @property
    def progress(self) -> str:
        """The last gain and its critical noise."""
        gain, limit = float(self.gains[-1]), float(self.critical[-1])
        count = f"[{len(self.gains)}/{self.planned}]"
        return f"{count} gain {gain:g}: chaos ends at a noise of {limit:.4f} by the mean field"

    def scalars(self) -> dict[str, float]:
        """Return the critical noise of every gain."""
        names = (f"critical/{gain:g}" for gain in self.gains.tolist())
        return dict(zip(names, self.critical.tolist(), strict=True))

    def table(self) -> str:
        """Return measured and predicted exponents by noise and gain."""
        head = "".join(f"{f'gain {gain:g}':>20}{'mean field':>12}" for gain in self.gains.tolist())
        lines = [f"{'noise':>6}{head}"]
        for i, noise in enumerate(self.noises.tolist()):
            numbers = "".join(
                f"{f'{self.exponents[g, i]:.4f} ± {self.stderr[g, i]:.4f}':>20}"
                f"{float(self.theory.lyapunov[g, i]):12.4f}"
                for g in range(len(self.gains))
            )
            lines.append(f"{noise:6.3g}{numbers}")
        limits = "".join(f"{'':20}{limit:12.4f}" for limit in self.critical.tolist())
        return "\n".join([*lines, f"{'ends':>6}{limits}"])

    def picture(self) -> Any:
        """Return the exponents against the noise, with the lines of theory."""
        return figure(self, title="Noise suppresses chaos")


def run(
    *,
    gains: Sequence[float] = (1.5, 2.0, 3.0),
    noises: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5),
    size: int = 500,
    networks: int = 4,
    steps: int = 400,
    transient: int = 200,
    seed: int = 0,
) -> Iterator[NoiseSuppressesChaos]:
    """Yield the study with one gain more each time.

    Parameters
    ----------
    gains
        Gains > 0, in the order in which they are simulated.
    noises
        Standard deviations of the noise per step, >= 0, ascending.
    size, networks
        Neurons of each network, and random networks per point, at least 2.
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
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717.

    Examples
    --------
    >>> *_, found = run(gains=[2.0], noises=[0.0, 1.0], size=20, networks=2, steps=50)
    >>> round(float(found.critical), 4)
    0.6395
    """
    values = [checks.positive("gains", gain) for gain in gains]
    if not values:
        raise ValueError("gains: expected at least one, got none")
    strengths = scan("noises", noises)
    check_draws([size], networks, seed, name="size")
    found: list[list[tuple[Tensor, Tensor]]] = []
    for gain in values:
        draws = {"networks": networks, "steps": steps, "transient": transient, "seed": seed}
        settings = {"gain": gain}
        found.append(exponents_along("noise", strengths.tolist(), size, settings, **draws))
        so_far = torch.tensor(values[: len(found)], dtype=torch.float64)
        yield NoiseSuppressesChaos(
            gains=so_far,
            noises=strengths,
            **stacked(found),
            theory=solve(gain=so_far.unsqueeze(-1), noise=strengths),
            critical=critical("noise", 1e-3, 2.0 * so_far, gain=so_far).value,
            size=size,
            planned=len(values),
        )


@plot.register(NoiseSuppressesChaos)
@style()
def _(result: NoiseSuppressesChaos, ax: Any = None) -> Any:
    ax = on(ax)
    fine = torch.linspace(float(result.noises[0]), float(result.noises[-1]), 100).double()
    curves = solve(gain=result.gains.unsqueeze(-1), noise=fine).lyapunov
    for g, gain in enumerate(result.gains.tolist()):
        label = f"gain {gain:g} ± s.e."
        draw_measured(ax, result.noises, result.exponents[g], result.stderr[g], g, label)
        draw_theory(ax, fine, curves[g], "mean field" if g == 0 else None)
    draw_border(ax)
    name_axes(ax, "noise (per step)", "largest Lyapunov exponent (nats / step)")
    return finish(ax, f"Exponent and noise, N = {result.size}", result.exponents)
