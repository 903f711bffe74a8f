"""What watching costs: the time of an epoch of the main job with its monitors, over that without.

Both are trained in turns in one process; the figure is the median over rounds of the ratio of CPU
times, the figures of the last epoch included; `each` are the monitors one by one.

    python scripts/bench/monitors.py [--rounds 3] [--epochs 40] [--only all each]
"""

from __future__ import annotations

import argparse
import functools
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from measure import Line, Sections, show, told
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


def epoch_seconds(cfg: Any, monitors: list[str], epochs: int) -> float:
    """Train the main job and return the CPU seconds of an epoch, the mean over `epochs`."""
    pl.seed_everything(0, verbose=False)
    watch = Stopwatch()
    callbacks = [instantiate(cfg.callbacks[name]) for name in monitors]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
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


def sections(epochs: int) -> Sections:
    """Return the monitors all together and one by one, in runs of so many epochs."""

    def lines(each: bool) -> Iterator[Line]:
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        with initialize_config_dir(sntorch.config_dir(), version_base="1.3"):
            cfg = compose("config")
        names = list(cfg.callbacks)
        none = functools.partial(epoch_seconds, cfg, [], epochs)
        for name, monitors in ((n, [n]) for n in names) if each else [("all monitors", names)]:
            watched = functools.partial(epoch_seconds, cfg, monitors, epochs)
            yield Line(f"an epoch with {name}: over one without", watched, none, "", told)

    return {"all": lambda: lines(False), "each": lambda: lines(True)}


SECTIONS = sections(epochs=16)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=["all"])
    options = parser.parse_args()
    show(sections(options.epochs), options.only, options.rounds)


if __name__ == "__main__":
    main()
