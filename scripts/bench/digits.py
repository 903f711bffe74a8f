"""The main job's network against torch's RNN of equal size: same task, epochs and optimizer.

Test accuracy in per cent, its standard error over seeds, and CPU seconds of a run.

    python scripts/bench/digits.py [--models snt,rnn] [--seeds 3] [hydra overrides]
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from measure import Figure, Sections, show

import sntorch
from sntorch.training.experiment import prepare


def train(cfg: Any) -> tuple[float, float]:
    """Return test accuracy and CPU seconds of one run without monitors."""
    prepare(cfg.seed, 1)
    model, task = instantiate(cfg.model), instantiate(cfg.task)
    trainer: pl.Trainer = instantiate(
        cfg.trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    start = time.process_time()
    trainer.fit(model, task)
    seconds = time.process_time() - start
    return trainer.test(model, task, verbose=False)[0]["test/accuracy"], seconds


def sections(models: Sequence[str], seeds: int, overrides: Sequence[str] = ()) -> Sections:
    """Return the models, trained with so many seeds each."""

    def measured(model: str) -> Iterator[Figure]:
        runs: list[tuple[float, float]] = []
        for seed in range(seeds):
            with initialize_config_dir(sntorch.config_dir(), version_base="1.3"):
                runs.append(
                    train(compose("config", [f"model={model}", f"seed={seed}", *overrides]))
                )
        accuracies, seconds = zip(*runs, strict=True)
        mean = 100 * statistics.mean(accuracies)
        error = 100 * statistics.stdev(accuracies) / seeds**0.5 if seeds > 1 else math.nan
        yield Figure(f"{model}: accuracy, %", mean, low=mean - error, high=mean + error)
        yield Figure(f"{model}: its standard error", error)
        yield Figure(f"{model}: CPU seconds", statistics.median(seconds))

    return {model: functools.partial(measured, model) for model in models}


SECTIONS = sections(("snt", "rnn"), seeds=3)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="snt,rnn")
    parser.add_argument("--seeds", type=int, default=3)
    options, overrides = parser.parse_known_args()
    models = options.models.split(",")
    show(sections(models, options.seeds, overrides), models, rounds=1)


if __name__ == "__main__":
    main()
