"""What watching costs: the time of an epoch of the main job with its monitors, over that without.

Both are trained in turns in one process; the figure is the ratio of the median epoch times, with
the cost of each monitor alone beside it.

    python scripts/bench/monitors.py [--rounds 5] [--epochs 4]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pytorch_lightning.loggers import TensorBoardLogger

import sntorch


class Stopwatch(pl.Callback):
    """Times whole epochs, validation and monitors included."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the start of every epoch."""
        self.marks.append(time.perf_counter())

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the end of the last one."""
        self.marks.append(time.perf_counter())

    def epochs(self) -> list[float]:
        """Return the seconds of every epoch but the first, which warms up."""
        return [b - a for a, b in zip(self.marks[1:], self.marks[2:], strict=False)]


def epoch_seconds(cfg: Any, monitors: list[str], epochs: int, folder: str) -> list[float]:
    """Train the main job for `epochs` epochs and return how long each took."""
    pl.seed_everything(0, verbose=False)
    watch = Stopwatch()
    callbacks = [instantiate(cfg.callbacks[name]) for name in monitors]
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=TensorBoardLogger(folder),
        callbacks=[*callbacks, watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
        gradient_clip_val=1.0,
        log_every_n_steps=10,
    )
    trainer.fit(instantiate(cfg.model), instantiate(cfg.task))
    return watch.epochs()


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    with initialize_config_dir(sntorch.config_dir(), version_base="1.3"):
        cfg = compose("config")
    names = list(cfg.callbacks)
    variants = {"none": [], "all": names, **{name: [name] for name in names}}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, monitors in variants.items():
                seconds[name] += epoch_seconds(cfg, monitors, options.epochs + 1, folder)
    base = statistics.median(seconds["none"])
    print(f"{'monitors':12}{'epoch (s)':>12}{'ratio':>8}")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:12}{median:12.3f}{median / base:8.3f}")


if __name__ == "__main__":
    main()
