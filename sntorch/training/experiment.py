"""An experiment from start to end: fit, test, and the folder in which everything is written.

The folder holds ``checkpoints``, ``report.png`` and ``report.pdf``, ``history.csv`` (one row an
epoch, epoch 0 before training) and ``result.json`` (the last value of every curve, and the test).
"""

from __future__ import annotations

import csv
import json
import logging
import pathlib
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies.launchers import (
    _MultiProcessingLauncher,
    _SubprocessScriptLauncher,
)

from sntorch.plot import report
from sntorch.results import TrainingHistory
from sntorch.training.files import is_full, write_text
from sntorch.training.progress import calm
from sntorch.training.runs import RunRecorder

__all__ = ["conduct", "prepare", "starts_anew", "steps_at"]


def prepare(seed: int, threads: int) -> None:
    """Make the process ready for a run that is a function of its seed, and quiet."""
    torch.set_num_threads(threads)
    pl.seed_everything(seed, workers=True, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning's own words about its dependencies, about data that fit in memory, and about the
    # checkpoints from which a run is taken up.
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")


def steps_at(checkpoint: pathlib.Path) -> int:
    """Return how many training steps a checkpoint has behind it."""
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"]


def starts_anew(trainer: pl.Trainer) -> bool:
    """Tell whether a run starts its other processes by the words that started this one."""
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def conduct(
    trainer: pl.Trainer,
    model: pl.LightningModule,
    task: pl.LightningDataModule,
    *,
    folder: pathlib.Path,
    title: str,
    checkpoint: pathlib.Path | None = None,
) -> tuple[TrainingHistory, Mapping[str, float]]:
    """Fit and test, write the folder, and return the history and the test's numbers.

    The trainer must have a `RunRecorder`.  With a checkpoint the run is taken up from there.

    Raises
    ------
    ValueError
        If the processes of the trainer's strategy do not run the command, but are made from this
        one: what they saw would be lost.
    """
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ValueError("trainer.strategy: expected ddp or another that starts the command anew")
    recorder = next(c for c in _callbacks(trainer) if isinstance(c, RunRecorder))
    calm(trainer)
    try:
        trainer.fit(model, task, ckpt_path=None if checkpoint is None else str(checkpoint))
        tested = trainer.test(model, task, verbose=False)[0]
        history = recorder.history(trainer, title)
        if trainer.is_global_zero:
            _write(history, tested, folder)
    except SystemExit:  # how Lightning ends after Ctrl-C
        sys.stderr.write(f"\nInterrupted.  Continue with: resume={folder}\n")
        raise
    except OSError as error:
        if not is_full(error):
            raise
        raise SystemExit(_full(error, folder)) from error
    return history, tested


def _callbacks(trainer: pl.Trainer) -> list[Any]:
    return getattr(trainer, "callbacks", [])


def _full(error: OSError, folder: pathlib.Path) -> str:
    """Return what to tell the user of a run that found no room."""
    known = any(folder.glob("checkpoints/*.ckpt"))
    after = f"continue with: resume={folder}" if known else "start again: there is no checkpoint"
    said = f"{error.strerror or 'No space left'}: {folder} cannot be written"
    return f"{said}; what was saved before is intact.  Make room, then {after}"


def _write(history: TrainingHistory, tested: Mapping[str, float], folder: pathlib.Path) -> None:
    figure = report(history)
    figure.savefig(folder / "report.png", dpi=110)
    figure.savefig(folder / "report.pdf")
    with (folder / "history.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", *history.curves])
        columns = [values.tolist() for values in history.curves.values()]
        writer.writerows(zip(history.epoch.tolist(), *columns, strict=True))
    final = history.scalars() | dict(tested)
    write_text(folder / "result.json", json.dumps(final, indent=2))  # the sign of a finished run
