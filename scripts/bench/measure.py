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


class Line(NamedTuple):
    """A comparison: what is timed, over what, and the bound of the ratio."""

    name: str
    ours: Work
    base: Work
    bound: str


Sections = dict[str, Callable[[], Iterator[Line]]]


def seconds(work: Work) -> tuple[float, Any]:
    """Return the CPU time of a call, and its value."""
    start = time.process_time()
    value = work()
    return time.process_time() - start, value


def compare(line: Line, rounds: int) -> str:
    """Return the line's row of the table."""
    ratios, difference = [], ""
    for _ in range(rounds):
        (ours, found), (base, expected) = seconds(line.ours), seconds(line.base)
        ratios.append(ours / base)
        if found is not None and expected is not None:
            a, b = torch.as_tensor(found), torch.as_tensor(expected)
            difference = f"{float((a - b).abs().max()):12.1e}"
    return f"{line.name:60}{statistics.median(ratios):8.2f}  {line.bound:8}{difference}"


def table(sections: Sections, description: str | None, rounds: int) -> None:
    """Print the table of the sections that the command line asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", nargs="*", choices=list(sections), default=list(sections))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':60}{'ratio':>8}  {'bound':8}{'difference':>12}")
    for name in options.only:
        for line in sections[name]():
            print(compare(line, options.rounds), flush=True)
