"""What the benchmarks share: two ways to the same answer, timed in turns in one process.

A line compares ours with a baseline; its figure is the median over rounds of the ratio of CPU
times, which a shared machine disturbs less than either of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

Work = Callable[[], Any]


def seconds(work: Work) -> tuple[float, Any]:
    """Return the CPU time of a call, and its value."""
    start = time.process_time()
    value = work()
    return time.process_time() - start, value


def told(work: Work) -> tuple[float, Any]:
    """Return the seconds that a call itself returns, which knows what is to be timed of it."""
    return work(), None


class Line(NamedTuple):
    """A comparison: what is timed, over what, the bound of the ratio, and how it is timed."""

    name: str
    ours: Work
    base: Work
    bound: str
    clock: Callable[[Work], tuple[float, Any]] = seconds


class Figure(NamedTuple):
    """What came out: a ratio or another number, the bound it is held to, and its spread."""

    name: str
    value: float
    bound: str = ""
    low: float | None = None
    high: float | None = None
    """Quartiles over rounds."""
    difference: float | None = None
    """Largest difference between the two answers, where both give one."""

    @property
    def row(self) -> str:
        """The figure's row of the table."""
        apart = "" if self.difference is None else f"{self.difference:12.1e}"
        return f"{self.name:64}{self.value:8.2f}  {self.bound:8}{apart}"


Sections = dict[str, Callable[[], Iterator[Line | Figure]]]

HEAD = f"{'':64}{'figure':>8}  {'bound':8}{'difference':>12}"


def compare(line: Line, rounds: int) -> Figure:
    """Return the median ratio of the line."""
    ratios, difference = [], None
    for _ in range(rounds):
        (ours, found), (base, expected) = line.clock(line.ours), line.clock(line.base)
        ratios.append(ours / base)
        if found is not None and expected is not None:
            a, b = torch.as_tensor(found), torch.as_tensor(expected)
            difference = float((a - b).abs().max())
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    return Figure(line.name, middle, line.bound, low, high, difference)


def figures(sections: Sections, names: list[str], rounds: int) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of sections with the name of each section, one after the other."""
    for name in names:
        for line in sections[name]():
            yield name, compare(line, rounds) if isinstance(line, Line) else line


def table(sections: Sections, description: str | None, rounds: int) -> None:
    """Print the table of the sections that the command line asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", nargs="*", choices=list(sections), default=list(sections))
    options = parser.parse_args()
    show(sections, options.only, options.rounds)


def show(sections: Sections, names: list[str], rounds: int) -> None:
    """Print the table of some sections, for scripts that read options of their own."""
    torch.set_num_threads(1)
    print(HEAD)
    for _, figure in figures(sections, names, rounds):
        print(figure.row, flush=True)
