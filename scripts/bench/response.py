"""What linear response costs: times over bare matrix products and finite differences; streaming.

All variants of a line run in turns in one process, on one thread, in float64; the figure is the
median over rounds of the ratio of CPU times.  The network is an SNT cell with leak 0.5 and gain 3.

    python scripts/bench/response.py [--rounds 3] [--only products differences stream]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import torch
from measure import Line, Sections, Work, figures
from torch import Tensor

import sntorch as snt
from sntorch.analysis import ResponseAccumulator

LAGS = 10
SAMPLES = {500: 60, 1000: 30}


def network(n: int, noise: float = 0.0) -> tuple[snt.SNTCell, Tensor]:
    """Return the cell and a state on its attractor."""
    g = torch.Generator().manual_seed(n)
    J = snt.couplings.gaussian(n, generator=g, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=3.0, leak=0.5, noise=noise, trainable=())
    return cell, snt.rollout(cell, torch.randn(n, generator=g, dtype=torch.float64), 100)[-1]


def tangents(cell: snt.SNTCell, u: Tensor) -> Work:
    return lambda: ResponseAccumulator(cell, u, lags=LAGS).update(SAMPLES[len(u)]).result()


def products(n: int) -> Work:
    """Return the floor: J V for all N columns, once per lag and sample."""
    J, V, out = torch.randn(n, n).double(), torch.randn(n, n).double(), torch.empty(n, n).double()

    def run() -> None:
        for _ in range(LAGS * SAMPLES[n]):
            torch.mm(J, V, out=out)

    return run


def one_sided(cell: snt.SNTCell, u: Tensor) -> Work:
    """Return the mean over samples of N + 1 replicas, batched, the first one not kicked."""
    n, size = len(u), 1e-7

    @torch.no_grad()
    def run() -> Tensor:
        state, total = u, torch.zeros(LAGS + 1, n, n, dtype=u.dtype)
        for _ in range(SAMPLES[n]):
            replicas = torch.cat([state[None], state + size * torch.eye(n, dtype=u.dtype)])
            for lag in range(1, LAGS + 1):
                replicas = cell.map(replicas)
                total[lag] += (replicas[1:] - replicas[0]).T / size
            state = replicas[0]
        return total / SAMPLES[n]

    return run


def against_products() -> Iterator[Line]:
    for n in SAMPLES:
        yield Line(f"N = {n}: tangents over products", tangents(*network(n)), products(n), "<= 1.5")


def against_differences() -> Iterator[Line]:
    for n in SAMPLES:
        cell, u = network(n)
        ours, base = tangents(cell, u), one_sided(cell, u)
        yield Line(f"N = {n}: tangents over one-sided differences", ours, base, "<= 0.9")


def stream(samples: int, pieces: int = 10) -> Iterator[str]:
    """Yield rows on the noise method at N = 100: time, error and memory, piece by piece."""
    cell, u = network(100, noise=0.3)
    walk = ResponseAccumulator(cell, u.expand(100, -1), lags=LAGS, method="noise", transient=100)
    start = time.process_time()
    for _ in range(pieces):
        found = walk.update(samples // pieces).result()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB on Linux
        spent, error = time.process_time() - start, float(found.error[LAGS])
        figures = f"{spent:8.1f} s{error:10.5f} error{memory:8.0f} MB at most"
        yield f"{found.samples:>10} samples{figures}"


SECTIONS: Sections = {"products": against_products, "differences": against_differences}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ("products", "differences", "stream")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1_000_000, help="of the stream")
    parser.add_argument("--only", nargs="*", choices=names, default=list(names))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        if name == "stream":
            for row in stream(options.samples):
                print(row, flush=True)
            continue
        for _, figure in figures(SECTIONS, [name], options.rounds):
            print(figure.row, flush=True)


if __name__ == "__main__":
    main()
