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
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
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


def main() -> None:
    """Print a row per question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["throughput", "flossing"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    n, rows = options.size, options.rows
    task = DelayedXorTask(
        delay=4, steps=options.steps, sequences=13 * rows, held_out=1, batch_size=rows
    )

    def ours(output: str = "rate") -> nn.Module:
        cell = snt.SNTCell(snt.couplings.gaussian(n), input_size=1)
        return snt.SNT(cell, batch_first=True, output=output)

    def theirs() -> nn.Module:
        return nn.RNN(1, n, batch_first=True)

    size = f"N = {n}, T = {options.steps}, B = {rows}"
    if "throughput" in options.only:
        ratios = []
        for _ in range(options.rounds):
            a, b = timed(ours, task, 13), timed(theirs, task, 13)
            ratios.append(b / a)
            print(f"  SNT {1e3 * a:.1f} ms, nn.RNN {1e3 * b:.1f} ms per step", flush=True)
        print(f"nn.RNN over SNT, {size}: {statistics.median(ratios):.2f}  (>= 1.2)", flush=True)
    if "flossing" in options.only:
        ratios = []
        for _ in range(options.rounds):
            a = timed(theirs, task, 23, GradientFlossing(until=None))
            b = timed(theirs, task, 23)
            ratios.append(a / b)
        print(f"with flossing over without, {size}: {statistics.median(ratios):.2f}  (<= 1.3)")


if __name__ == "__main__":
    main()
