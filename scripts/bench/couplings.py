"""What couplings cost as layers: sparse against dense, and one large sparse network.

First seconds and memory of a network whose dense matrix would fit nowhere.  Then a step, a tangent
step and a training step (two steps and their gradient) of an `SNTCell` with sparse couplings over
the same with the dense matrix of equal numbers, in turns in one process; figures are medians over
rounds of the ratio of CPU times.

    python scripts/bench/couplings.py [--rounds 15] [--neurons 100000] [--degree 100]
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator

import torch
from measure import HEAD, Line, Sections, Work, figures, seconds

import sntorch as snt


def train(cell: snt.SNTCell, u: torch.Tensor) -> None:
    """Make one gradient of two steps."""
    cell.zero_grad()
    cell.map(cell.map(u)).square().sum().backward()


def ratios(n: int, density: float, rows: int) -> Iterator[Line]:
    """Yield time over dense of map, jvp with 10 columns, and training step."""
    J = snt.couplings.sparse(n, density=density, layout="csr")
    sparse, dense = snt.SNTCell(J, leak=0.5), snt.SNTCell(J.to_dense(), leak=0.5)
    u, V = torch.randn(rows, n), torch.randn(n, 10)
    name = f"N = {n}, {density:.0%}, {rows} rows: sparse over dense"
    bound = "<= 0.2" if density == 0.01 else "<= 0.6" if density == 0.05 else ""
    step, base = (silent(lambda f=f: f.map(u)) for f in (sparse, dense))
    yield Line(f"{name}, step", step, base, bound)
    push, base = (silent(lambda f=f: f.jvp(u[0], V)) for f in (sparse, dense))
    yield Line(f"{name}, tangents", push, base, "")
    yield Line(f"{name}, gradient", lambda: train(sparse, u), lambda: train(dense, u), "")


def silent(work: Work) -> Work:
    """Return work without gradients, that gives no value to compare."""

    def run() -> None:
        with torch.no_grad():
            work()

    return run


def against_dense(n: int) -> Iterator[Line]:
    for density in (0.01, 0.05, 0.1) if n == 1000 else (0.01, 0.05):
        for rows in (1, 16, 128):
            yield from ratios(n, density, rows)


SECTIONS: Sections = {
    "small": lambda: against_dense(1000),
    "wide": lambda: against_dense(4000),
}


def gigabytes() -> float:
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def large(n: int, degree: int) -> None:
    """Print what building, stepping and differentiating one large network takes."""
    print(f"\n{n} neurons, {degree} inputs each: seconds, and gigabytes above the start so far")
    start = gigabytes()
    cells: list[snt.SNTCell] = []

    def build() -> None:
        cells.append(snt.SNTCell(snt.couplings.sparse(n, degree=degree, layout="csr"), leak=0.5))

    u = torch.randn(4, n)
    for name, work in [
        ("build", build),
        ("one step, 4 rows", lambda: cells[0].map(u)),
        ("first gradient, sorts once", lambda: train(cells[0], u)),
        ("one gradient, 4 rows", lambda: train(cells[0], u)),
        ("one tangent step", lambda: cells[0].jvp(u[0], u[0].unsqueeze(-1))),
    ]:
        print(f"{name:28s} {seconds(work)[0]:8.3f} s {gigabytes() - start:8.2f} GB")


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--neurons", type=int, default=100_000)
    parser.add_argument("--degree", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    snt.SNTCell(torch.eye(3).to_sparse_csr()).map(torch.ones(3)).sum().backward()  # libraries load
    large(options.neurons, options.degree)
    print(f"\n{HEAD}")
    for _, figure in figures(SECTIONS, list(SECTIONS), options.rounds):
        print(figure.row, flush=True)


if __name__ == "__main__":
    main()
