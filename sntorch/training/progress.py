"""How far a run has come, one line for every epoch: for files, in which lines stay.

A bar that overwrites itself is for terminals; in the log of a cluster it is thousands of lines.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar

__all__ = ["EpochLines", "calm"]


def calm(trainer: pl.Trainer) -> None:
    """Put lines in the place of the trainer's bar where the output is no terminal."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, TQDMProgressBar) and not sys.stdout.isatty():
        callbacks: list[Any] = getattr(trainer, "callbacks", [])
        callbacks[callbacks.index(bar)] = EpochLines()


class EpochLines(ProgressBar):
    """A line for every epoch with its metrics, those that are logged for the progress bar.

    Examples
    --------
    >>> trainer = pl.Trainer(callbacks=[EpochLines()], logger=False, enable_checkpointing=False)
    >>> type(trainer.progress_bar_callback).__name__
    'EpochLines'
    """

    def __init__(self) -> None:
        super().__init__()
        self._writes = True
        self._start = 0.0

    def disable(self) -> None:
        """Write nothing: what all processes but the first do."""
        self._writes = False

    def enable(self) -> None:
        """Write again."""
        self._writes = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line."""
        if not self._writes:
            return
        metrics = self.get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        shown = (f"{k} {v:.4g}" for k, v in metrics.items() if isinstance(v, int | float))
        whole = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        seconds = time.monotonic() - self._start
        sys.stdout.write(
            f"epoch {trainer.current_epoch + 1}{whole}, {seconds:.0f} s: {', '.join(shown)}\n"
        )
        sys.stdout.flush()
