"""What theory costs: a point, a phase diagram of 100 x 100 points, and two-time covariances.

CPU seconds, medians over rounds; everything that is compared runs in turns in one process.  The
baseline of the two-time theory is the same recursion with a Gauss-Hermite rule of 32 x 32 nodes
for every pair of times; the error of both is that of the stationary variance it ends at.

    python scripts/bench/meanfield.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
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


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    grid = torch.linspace(0.5, 4, 100, dtype=torch.float64)
    jobs: dict[str, Callable[[], Any]] = {}
    for name in ("tanh", "erf", "tanh01"):
        jobs[f"point, {name}"] = lambda name=name: [
            snt.meanfield.solve(gain=1.5, noise=0.1, transfer=name) for _ in range(10)
        ]
        jobs[f"100 x 100 points, {name}"] = lambda name=name: snt.meanfield.solve(
            gain=grid[:, None], noise=grid / 4, transfer=name
        )
    for gain in (2.0, 0.53, 0.51):  # chaos begins at 0.5
        jobs[f"with leak, gain {gain}"] = lambda gain=gain: snt.meanfield.solve(gain=gain, leak=0.5)
    std = torch.tensor([[1, 0.8], [0.7, 1.2]], dtype=torch.float64)
    jobs["two populations with leak"] = lambda: snt.meanfield.populations(
        gain=2.0, std=std, noise=0.1, leak=0.5
    )
    jobs["two times, T = 500"] = lambda: mehler(500)
    jobs["two times, T = 1000"] = lambda: mehler(1000)
    jobs["Gauss-Hermite, T = 500"] = lambda: hermite(500)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for work in jobs.values():
        work()
    for _ in range(options.rounds):
        for name, work in jobs.items():
            per = 10 if name.startswith("point, ") else 1
            times[name].append(seconds(work) / per)
    for name, each in times.items():
        print(f"{name:28}{1e3 * statistics.median(each):10.2f} ms")

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))

    for name in ("tanh", "erf", "tanh01"):
        print(
            f"grid over point, {name}: {ratio(f'100 x 100 points, {name}', f'point, {name}'):.1f}"
        )
    print(f"T = 1000 over T = 500: {ratio('two times, T = 1000', 'two times, T = 500'):.2f}")
    print(f"Gauss-Hermite over ours: {ratio('Gauss-Hermite, T = 500', 'two times, T = 500'):.2f}")
    exact = float(snt.meanfield.solve(**TWO_TIMES).variance)
    print(f"errors of v: {abs(mehler(500) - exact):.1e} and {abs(hermite(500) - exact):.1e}")


if __name__ == "__main__":
    main()
