"""The main job's network against torch's RNN of equal size: same task, epochs and optimizer.

Prints test accuracy, mean and standard error over seeds, and CPU seconds.

    python scripts/bench/digits.py [--models snt,rnn] [--seeds 3] [hydra overrides]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

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


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="snt,rnn")
    parser.add_argument("--seeds", type=int, default=3)
    options, overrides = parser.parse_known_args()
    print(f"{'model':8}{'accuracy':>10}{'s.e.':>8}{'CPU s':>8}", flush=True)
    for model in options.models.split(","):
        accuracies, seconds = [], []
        for seed in range(options.seeds):
            with initialize_config_dir(sntorch.config_dir(), version_base="1.3"):
                cfg = compose("config", [f"model={model}", f"seed={seed}", *overrides])
            accuracy, cost = train(cfg)
            accuracies.append(accuracy)
            seconds.append(cost)
        error = statistics.stdev(accuracies) / len(accuracies) ** 0.5 if options.seeds > 1 else 0.0
        mean, cost = statistics.mean(accuracies), statistics.median(seconds)
        print(f"{model:8}{mean:10.4f}{error:8.4f}{cost:8.1f}", flush=True)


if __name__ == "__main__":
    main()
