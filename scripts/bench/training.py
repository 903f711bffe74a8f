"""What a training step costs in the loop that users run: Lightning, a readout, Adam, clipping.

`throughput` is the time per step of ``nn.RNN`` over that of an `SNT` network of equal size, noise
and leak off, on the same batches; `flossing` that of ``nn.RNN`` with gradient flossing at its
default settings over one without.  Times are CPU times between the ends of batches, medians in a
run; runs of both alternate in one process, and the figure is the median of the ratios.

    python scripts/bench/training.py [--rounds 5] [--only throughput flossing]
        [--size 256] [--steps 100] [--rows 64]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from measure import Line, Sections, show, told
from torch import nn

import sntorch as snt
from sntorch.training import DelayedXorTask, GradientFlossing, SequenceModel
from sntorch.training.trial import trial


class Clock(pl.Callback):
    """Notes the CPU time at the end of every batch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.times.append(time.process_time())


def timed(make: Callable[[], nn.Module], task: Any, batches: int, *callbacks: pl.Callback) -> float:
    """Return CPU seconds per batch, without the first ones."""
    torch.manual_seed(0)
    model, clock = SequenceModel(make(), 2, when="every"), Clock()
    trial(model, task, batches, callbacks=[*callbacks, clock])
    steps = [b - a for a, b in zip(clock.times, clock.times[1:], strict=False)][2:]
    return statistics.mean(steps) if callbacks else statistics.median(steps)


def sections(n: int, steps: int, rows: int) -> Sections:
    """Return both questions about networks of n units that read so many steps and rows."""
    task = DelayedXorTask(delay=4, steps=steps, sequences=13 * rows, held_out=1, batch_size=rows)
    size = f"N = {n}, T = {steps}, B = {rows}"

    def ours() -> nn.Module:
        cell = snt.SNTCell(snt.couplings.gaussian(n), input_size=1)
        return snt.SNT(cell, batch_first=True, output="rate")

    def theirs() -> nn.Module:
        return nn.RNN(1, n, batch_first=True)

    def throughput() -> Iterator[Line]:
        a, b = (functools.partial(timed, make, task, 13) for make in (ours, theirs))
        yield Line(f"a step, {size}: nn.RNN over SNT", b, a, ">= 1.2", told)

    def flossing() -> Iterator[Line]:
        a = functools.partial(timed, theirs, task, 23, GradientFlossing(until=None))
        b = functools.partial(timed, theirs, task, 23)
        yield Line(f"a step, {size}: with flossing over without", a, b, "<= 1.3", told)

    return {"throughput": throughput, "flossing": flossing}


SECTIONS = sections(256, 100, 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    chosen = sections(options.size, options.steps, options.rows)
    show(chosen, options.only, options.rounds)


if __name__ == "__main__":
    main()
