r"""The quasi-periodic route to chaos of a random network, as its gain grows.

.. math:: u(t+1) = J \tanh(g\,u(t)) - \theta, \qquad J_{ij} \sim N(0, 1/N), \theta_i \sim N(0, 0.01)

A fixed point loses its stability to a closed curve, the curve to a two-torus, which locks here and
there, and the torus breaks up into chaos (Ruelle, Takens and Newhouse; for random networks Doyon,
Cessac, Quoy and Samuelides 1993).  The orbit is continued from gain to gain.

The network is drawn once: N = 100 from numpy's legacy stream with seed 0, couplings first.  Its
fixed point is stable up to g = 1.0174897959, where a curve of rotation number 0.256908 is born.
Published are the three largest exponents at three gains, nats per step:

======  =======  =======  =======  ============  ======================
gain    first    second   third    regime        error
======  =======  =======  =======  ============  ======================
1.0     -0.0134  -0.0134  -0.0297  fixed point   0.0002
1.1     0.0000   -0.0085  -0.0085  closed curve  0.0002
1.4     0.0197   0.0115   0.0025   chaos         0.001, 0.0015, 0.0015
======  =======  =======  =======  ============  ======================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import Regime, scan_regimes
from sntorch.cells import SNTCell
from sntorch.plot import along, panels, plot
from sntorch.studies.study import Study

__all__ = ["PUBLISHED", "RouteToChaos", "network", "run"]

GAINS = (1.0, 1.05, 1.1, 1.15, 1.23, 1.26, 1.32, 1.36, 1.4)

PUBLISHED = {
    1.0: ((-0.0134, -0.0134, -0.0297), (2e-4, 2e-4, 2e-4)),
    1.1: ((0.0, -0.0085, -0.0085), (2e-4, 2e-4, 2e-4)),
    1.4: ((0.0197, 0.0115, 0.0025), (1e-3, 1.5e-3, 1.5e-3)),
}
"""Gain: the three largest exponents and their errors, for seed 0 and N = 100."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RouteToChaos(Study):
    """The regimes of one network at P gains, in the order in which they were visited."""

    gains: Tensor
    """(P,)."""
    regimes: dict[str, Regime]
    """Gain as text: the regime there."""
    planned: int
    """Gains that the whole study has."""
    reference: bool
    """Whether the network is the one whose exponents are published."""

    @property
    def labels(self) -> list[str]:
        """What is found at each gain (P): the label, and on a torus its dimension."""
        return [each.title for each in self.regimes.values()]

    @property
    def exponents(self) -> Tensor:
        """(P, k)."""
        return torch.stack([each.exponents for each in self.regimes.values()])

    @property
    def stderr(self) -> Tensor:
        """(P, k)."""
        return torch.stack([each.stderr for each in self.regimes.values()])

    @property
    def progress(self) -> str:
        """The last gain and its evidence."""
        gain, last = list(self.regimes.items())[-1]
        return f"[{len(self.gains)}/{self.planned}] gain {gain}: {last.evidence}"

    def scalars(self) -> dict[str, float]:
        """Return the largest exponent at every gain."""
        return {f"max/{gain}": each.scalars()["max"] for gain, each in self.regimes.items()}

    def table(self) -> str:
        """Return regime and exponents per gain, and below them those published."""
        lines = [f"{'gain':>6}  {'regime':16}{'exponents (nats / step)':39}frequencies (per step)"]
        for gain, each in self.regimes.items():
            pairs = zip(each.exponents[:3].tolist(), each.stderr[:3].tolist(), strict=True)
            numbers = "".join(f"{value:8.4f}({1e4 * error:.0f})" for value, error in pairs)
            known = each.frequencies[each.frequencies.isfinite()].tolist()
            tones = ", ".join(f"{tone:.6f}" for tone in known)
            lines.append(f"{gain:>6}  {each.title:16}{numbers:39}{tones}")
            if self.reference and float(gain) in PUBLISHED:
                numbers = "".join(
                    f"{value:8.4f}({1e4 * error:.0f})"
                    for value, error in zip(*PUBLISHED[float(gain)], strict=True)
                )
                lines.append(f"{'':6}  {'  published':16}{numbers}")
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return m(t+1) against m(t) and spectra of each regime, and exponents along the route."""
        first: dict[str, str] = {}
        for gain, name in zip(self.regimes, self.labels, strict=True):
            if name != "undecided":
                first.setdefault(name, gain)
        shown = {f"g = {gain}": self.regimes[gain] for gain in first.values()}
        return panels(shown, self, "The quasi-periodic route to chaos")


def network(gain: float, *, size: int = 100, seed: int = 0) -> SNTCell:
    """Return the network of the study at a gain, in float64."""
    stream = np.random.RandomState(seed)
    J = torch.from_numpy(stream.randn(size, size) / size**0.5)
    threshold = torch.from_numpy(0.1 * stream.randn(size))
    return SNTCell(J, gain=gain, threshold=threshold, trainable=())


def run(
    *,
    gains: Sequence[float] = GAINS,
    steps: int = 5000,
    transient: int = 1500,
    size: int = 100,
    seed: int = 0,
    k: int = 4,
) -> Iterator[RouteToChaos]:
    """Yield the route up to each gain: the last record is the whole study.

    Parameters
    ----------
    gains
        Gains in the order in which they are visited; the first starts near 0.
    steps, transient
        Steps that are measured at each gain, and steps before them.
    size, seed
        Neurons N and the seed of the draw.
    k
        How many exponents, at least 3.

    Raises
    ------
    ValueError
        On wrong arguments, before the first gain.

    References
    ----------
    B. Doyon, B. Cessac, M. Quoy, M. Samuelides, Int. J. Bifurcation Chaos 3 (1993) 279.

    Examples
    --------
    >>> *_, found = run(gains=[0.5], steps=200, transient=100, size=20)
    >>> found.labels
    ['fixed point']
    """
    gains = [checks.positive("gains", gain) for gain in gains]
    if not gains or len(set(gains)) < len(gains):
        raise ValueError(f"gains: expected at least one and none twice, got {gains}")
    checks.count("k", k, low=3, high=checks.count("size", size, low=3))
    checks.count("seed", seed, low=0)
    start = torch.full((size,), 0.1, dtype=torch.float64)
    visits = scan_regimes(
        lambda gain: network(gain, size=size, seed=seed), gains, start, steps,
        transient=transient, k=k,
    )  # fmt: skip
    found: dict[str, Regime] = {}
    for gain, each in zip(gains, visits, strict=True):
        found[f"{gain:g}"] = each
        yield RouteToChaos(
            gains=torch.tensor(gains[: len(found)], dtype=torch.float64),
            regimes=dict(found),
            planned=len(gains),
            reference=(size, seed) == (100, 0),
        )


@plot.register(RouteToChaos)
def _(result: RouteToChaos, ax: Any = None) -> Any:
    ax = along(result.gains, result.exponents, result.stderr, result.labels, ax)
    ax.set(xlabel="gain g", ylabel="Lyapunov exponents (nats / step)")
    return ax
