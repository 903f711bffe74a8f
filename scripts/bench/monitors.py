"""What watching costs: the time of an epoch of the main job with its monitors, over that without.

Both are trained in turns in one process; the figure is the median over rounds of the ratio of CPU
times, the figures of the last epoch included; ``--each`` adds the monitors one by one.

    python scripts/bench/monitors.py [--rounds 3] [--epochs 40] [--each]
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
    """Times a fit from its second epoch on, validation and monitors included."""

    def __init__(self) -> None:
        self.start = self.end = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start after the epoch that warms up."""
        if trainer.current_epoch == 1:
            self.start = time.process_time()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop."""
        self.end = time.process_time()


def epoch_seconds(cfg: Any, monitors: list[str], epochs: int, folder: str) -> float:
    """Train the main job and return the CPU seconds of an epoch, the mean over `epochs`."""
    pl.seed_everything(0, verbose=False)
    watch = Stopwatch()
    callbacks = [instantiate(cfg.callbacks[name]) for name in monitors]
    trainer = pl.Trainer(
        max_epochs=epochs + 1,
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
    return (watch.end - watch.start) / epochs


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    with initialize_config_dir(sntorch.config_dir(), version_base="1.3"):
        cfg = compose("config")
    names = list(cfg.callbacks)
    variants = {"none": [], "all": names}
    if options.each:
        variants |= {name: [name] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, monitors in variants.items():
                seconds[name].append(epoch_seconds(cfg, monitors, options.epochs, folder))
    print(f"{'monitors':12}{'epoch (CPU s)':>14}{'ratio':>8}")
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds["none"], strict=True)]
        print(f"{name:12}{statistics.median(times):14.3f}{statistics.median(ratios):8.3f}")


if __name__ == "__main__":
    main()
