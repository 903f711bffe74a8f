"""What theory costs: a point, a phase diagram of 100 x 100 points, and two-time covariances.

The baseline of the two-time theory is the same recursion with a Gauss-Hermite rule of 32 x 32 nodes
for every pair of times; the error of both is that of the stationary variance it ends at.

    python scripts/bench/meanfield.py [--rounds 5] [--only static correlated two_times]
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from measure import Figure, Line, Sections, Work, seconds, table
from torch import Tensor

import sntorch as snt
from sntorch.meanfield.evolution import History
from sntorch.meanfield.record import enter

TWO_TIMES: dict[str, Any] = {"gain": 2.0, "leak": 0.5}


class GaussHermite(History):
    """The recursion with the pairs of times by a product rule of 32 nodes."""

    def _pairs(self, t: int, a: Tensor, rest: Tensor) -> Tensor:
        x, w = map(torch.as_tensor, np.polynomial.hermite_e.hermegauss(32))
        w = w / w.sum()
        gain = float(self.p.gain)
        v = self.D[0].diagonal()[: t + 1].clamp(min=1e-300)
        common = self.D[0, t, : t + 1] / v.sqrt()
        own = (v[-1] - common.square()).clamp(min=0).sqrt()
        inside = common[:, None, None] * x[:, None] + own[:, None, None] * x
        first = torch.tanh(gain * v.sqrt()[:, None] * x)
        return ((first * (torch.tanh(gain * inside) @ w)) @ w).unsqueeze(0)


def hermite(steps: int) -> float:
    """Return the variance after so many steps."""
    arguments = {"std": 1.0, "mean": 0.0, "threshold": 0.0, "threshold_std": 0.0, "noise": 0.0}
    p, _, _, phi = enter(arguments | TWO_TIMES, "tanh")
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    return float(GaussHermite(phi, p, zero, one, steps, 2).run().D[0, -1, -1])


def mehler(steps: int) -> float:
    """Return the same by `evolve` with 64 terms."""
    return float(snt.meanfield.evolve(steps, terms=64, **TWO_TIMES).variance[-1])


def ten_points(name: str) -> Work:
    """Return the work of ten points, each on its own."""
    return lambda: (
        [snt.meanfield.solve(gain=1.5, noise=0.1, transfer=name) for _ in range(10)] and None
    )


def static() -> Iterator[Line | Figure]:
    """Time a point in milliseconds, and a hundred times a hundred of them over ten."""
    grid = torch.linspace(0.5, 4, 100, dtype=torch.float64)
    for name in ("tanh", "erf", "tanh01"):
        points = ten_points(name)
        points()
        times = [100 * seconds(points)[0] for _ in range(7)]
        yield Figure(f"a point, {name}: ms", statistics.median(times), "<= 5")

        def many(name: str = name) -> None:
            snt.meanfield.solve(gain=grid[:, None], noise=grid / 4, transfer=name)

        yield Line(f"100 x 100 points over ten, {name}", many, points, "<= 6")


def correlated() -> Iterator[Line]:
    """Compare networks with leak, whose covariance in time is found, with points without."""
    std = torch.tensor([[1, 0.8], [0.7, 1.2]], dtype=torch.float64)
    points = ten_points("tanh")
    for gain in (2.0, 0.53, 0.51):  # chaos begins at 0.5

        def leaky(gain: float = gain) -> None:
            snt.meanfield.solve(gain=gain, leak=0.5)

        yield Line(f"with leak, gain {gain}, over ten points", leaky, points, "")

    def two() -> None:
        snt.meanfield.populations(gain=2.0, std=std, noise=0.1, leak=0.5)

    yield Line("two populations with leak, over ten points", two, points, "")


def two_times() -> Iterator[Line | Figure]:
    """Compare the recursion in two times with one twice as long, and with another rule."""
    exact = float(snt.meanfield.solve(**TWO_TIMES).variance)
    yield Line("T = 1000 over T = 500", lambda: mehler(1000), lambda: mehler(500), "<= 3")
    yield Line(
        "Gauss-Hermite over ours, T = 500", lambda: hermite(500), lambda: mehler(500), ">= 2"
    )
    yield Figure("log10 of our error of v", math.log10(abs(mehler(500) - exact)))
    yield Figure("log10 of that of Gauss-Hermite", math.log10(abs(hermite(500) - exact)))


SECTIONS: Sections = {"static": static, "correlated": correlated, "two_times": two_times}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=5)
