"""What plasticity costs: a step that learns over a bare step and its rank-one update.

The baseline is what no plastic network can do without: the product J x and the update of a matrix
by an outer product, in place.  Against it a step of `PlasticSNTCell`, which adds a second product
and an epoch of one step of `learn`.  Then a tangent of the plastic cell
over one of the cell without a trace, per column, and the same by torch.func.  Figures are medians
over rounds of the ratio of CPU times, in turns in one process.

Steps are those of an orbit of which the last state is kept: like the baseline it writes over its
matrix.  `learn` makes a change dJ in every epoch, 4 MB at N = 1000.  If the allocator gives such
memory back to the system, every epoch pays for its pages again, as much as for all its sums:
MALLOC_TRIM_THRESHOLD_=1000000000 and MALLOC_MMAP_THRESHOLD_=1000000000 in the environment keep it.

    python scripts/bench/plasticity.py [--rounds 40] [--neurons 1000]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import sntorch as snt
from sntorch.plasticity import HebbianForgetting, Oja, PlasticSNTCell, RateSTDP, learn


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def median_ratio(ours: Callable[[], object], baseline: Callable[[], object], rounds: int) -> float:
    """Return the median ratio of CPU times of two calls made in turns."""
    for work in (ours, baseline) * 3:
        work()
    return statistics.median(seconds(ours) / seconds(baseline) for _ in range(rounds))


def steps(n: int, rounds: int, repeats: int = 50) -> None:
    """Print the cost of steps that learn."""
    g = torch.Generator().manual_seed(0)
    cell = snt.SNTCell(snt.couplings.gaussian(n, generator=g), gain=2.0)
    J, H, u = cell.coupling.detach().clone(), torch.zeros(n, n), torch.randn(n, generator=g)

    def bare() -> None:
        x = torch.tanh(2 * u)
        for _ in range(repeats):
            y = torch.tanh(2 * (J @ x))
            H.addr_(y, x, beta=0.9, alpha=0.1 / n)
            x = y

    cells = {
        "hebbian": PlasticSNTCell(cell, alpha=0.5, rate=0.1),
        "oja": PlasticSNTCell(cell, alpha=0.5, rate=0.1, trace="oja"),
        "modulated": PlasticSNTCell(cell, alpha=0.5, rate=0.1, modulated=True),
    }
    for name, f in cells.items():
        s = f.join(u)

        def plastic(f: PlasticSNTCell = f, s: torch.Tensor = s) -> None:
            snt.rollout(f, s, repeats, every=repeats)

        print(f"PlasticSNTCell, {name:21s} {median_ratio(plastic, bare, rounds):6.2f}")
    for rule in (HebbianForgetting(), Oja(), RateSTDP()):

        def on_line(rule: snt.plasticity.Rule = rule) -> None:
            learn(cell, rule, u, repeats, steps=1)

        name = f"learn, {type(rule).__name__}, on line"
        print(f"{name:37s} {median_ratio(on_line, bare, rounds):6.2f}")


def tangents(n: int, columns: int, rounds: int) -> None:
    """Print the cost of tangents of the joint state."""
    cell = snt.SNTCell(snt.couplings.gaussian(n), gain=2.0)
    f = PlasticSNTCell(cell, alpha=0.5, rate=0.1)
    s = f.join(torch.randn(n))
    V = torch.randn(f.size, columns)
    ours = median_ratio(lambda: f.jvp(s, V), lambda: V.mul(0.9).add_(V), rounds)
    theirs = median_ratio(lambda: snt.Dynamics.jvp(f, s, V), lambda: f.jvp(s, V), rounds)
    print(
        f"N = {n}, {columns} columns: tangent over a scaled copy and a sum of the frame {ours:6.2f}"
    )
    print(f"N = {n}, {columns} columns: torch.func over ours {theirs:27.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--neurons", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        print(f"N = {options.neurons}, float32: time over the product and its rank-one update")
        steps(options.neurons, options.rounds)
        tangents(100, 10, options.rounds)


if __name__ == "__main__":
    main()
