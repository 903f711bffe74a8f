"""A short run that writes nothing: fit and test, for studies that train many models."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl

from sntorch import checks

__all__ = ["fit", "score", "trial"]

_SILENT: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def trial(
    model: pl.LightningModule,
    task: pl.LightningDataModule,
    steps: int,
    *,
    callbacks: Sequence[pl.Callback] = (),
    ready: Callable[[pl.LightningModule], Any] | None = None,
) -> Mapping[str, float]:
    """Return what the test says of a model after `steps` batches, without a file or a line of text.

    Parameters
    ----------
    model, task
        A module and its data.
    steps
        Batches.
    callbacks
        Take part in the training.
    ready
        Is called with the model before its first batch, after the callbacks have prepared it.

    Raises
    ------
    ValueError
        If `steps` is no positive whole number, and what model, task and callbacks refuse.
    """
    looks = [] if ready is None else [_Ready(ready)]
    with _quiet():
        trainer = pl.Trainer(
            max_steps=checks.count("steps", steps),
            max_epochs=-1,
            callbacks=[*callbacks, *looks],
            gradient_clip_val=1.0,
            limit_val_batches=0,
            **_SILENT,
        )
        trainer.fit(model, task)
        return trainer.test(model, task, verbose=False)[0]


def fit(model: pl.LightningModule, epochs: int) -> None:
    """Train a model that brings its own data, without a look at its validation."""
    with _quiet():
        epochs = checks.count("epochs", epochs)
        pl.Trainer(max_epochs=epochs, limit_val_batches=0, **_SILENT).fit(model)


def score(model: pl.LightningModule, task: pl.LightningDataModule) -> Mapping[str, float]:
    """Return what the test says of a model as it is."""
    with _quiet():
        return pl.Trainer(**_SILENT).test(model, task, verbose=False)[0]


class _Ready(pl.Callback):
    """Calls a function once, before the first batch."""

    def __init__(self, ready: Callable[[pl.LightningModule], Any]) -> None:
        self.ready = ready

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Call it."""
        if trainer.global_step == 0 and batch_idx == 0:
            self.ready(pl_module)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
