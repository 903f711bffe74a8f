"""A run as a whole: taking it up again to the bit, and recording what was seen.

`ExactResume` puts every random stream into the checkpoint.  `RunRecorder` keeps the curves, also
across an interruption, and hands them out as a `TrainingHistory`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed

from sntorch.dynamics import Dynamics
from sntorch.results import TrainingHistory
from sntorch.training.monitor import Monitor, Onlooker

__all__ = ["ExactResume", "RunRecorder"]


class ExactResume(pl.Callback):
    """Saves the random streams with every checkpoint and restores them when a run is taken up.

    A run that is interrupted, even killed, and taken up from a checkpoint at the end of an epoch
    then ends on the same bits as one that was not, provided the order of the data depends on the
    epoch alone (`EpochSampler`), also where several processes run it, if again as many do.  Loggers
    are flushed at each checkpoint, so that their curves
    reach at least as far as it does.

    Examples
    --------
    >>> saved = {}
    >>> resume = ExactResume()
    >>> trainer = pl.Trainer(callbacks=[resume], logger=False, enable_checkpointing=False)
    >>> resume.on_save_checkpoint(trainer, pl.LightningModule(), saved)
    >>> sorted(saved[ExactResume.key])
    ['cells', 'cuda', 'numpy', 'python', 'torch']
    """

    key = "sntorch.random"

    def __init__(self) -> None:
        self.saved: dict[str, Any] | None = None
        self.mine = False  # whether they are those of this process, which is not the first

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the random streams: torch, CUDA, numpy, python, and those of the cells."""
        first, *others = _told(trainer, _streams(pl_module))
        checkpoint[self.key] = first | ({"others": others} if others else {})
        for logger in trainer.loggers:
            logger.save()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the streams until training starts: what comes before may draw from them."""
        self.saved = checkpoint.get(self.key)
        others = [] if self.saved is None else self.saved.get("others", [])
        self.mine = 0 < trainer.global_rank <= len(others)
        if self.mine:
            self.saved = others[trainer.global_rank - 1]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the streams back; beside the first process, set them apart from those of others."""
        self._put_back(pl_module)
        if (
            trainer.global_rank > 0 and not self.mine
        ):  # otherwise all processes would add the same noise
            pl.seed_everything(int(torch.randint(2**31, ())) + trainer.global_rank, verbose=False)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the streams back where a run was killed after its training."""
        self._put_back(pl_module)

    def _put_back(self, pl_module: pl.LightningModule) -> None:
        if self.saved is None:
            return
        saved, self.saved = self.saved, None
        torch.set_rng_state(saved["torch"].cpu())
        if len(saved["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]])
        name, keys, *rest = saved["numpy"]
        np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
        version, inner, gauss = saved["python"]
        random.setstate((version, tuple(inner), gauss))
        for key, generator in _generators(pl_module).items():
            if key in saved["cells"]:
                generator.set_state(saved["cells"][key].cpu())


class RunRecorder(pl.Callback):
    """Keeps losses, accuracies and the scalars of all monitors, epoch by epoch.

    Parameters
    ----------
    metric
        A name that validation must log: if the sanity check finds it missing, training does not
        start.

    Raises
    ------
    ValueError
        In the sanity check, if `metric` is not logged.

    Examples
    --------
    >>> recorder = RunRecorder()
    >>> recorder.load_state_dict({"rows": {0: {"val/loss": 2.0}, 1: {"val/loss": 1.0}}})
    >>> trainer = pl.Trainer(logger=False, enable_checkpointing=False)
    >>> recorder.history(trainer, "two epochs").curves["val/loss"]
    tensor([2., 1.])
    """

    def __init__(self, metric: str | None = None) -> None:
        self.metric = metric
        self.rows: dict[int, dict[str, float]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the rows seen so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the rows of an interrupted run."""
        self.rows = dict(state_dict["rows"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take a row."""
        known = trainer.callback_metrics
        if trainer.sanity_checking and self.metric is not None and self.metric not in known:
            raise ValueError(f"metric: expected one of {', '.join(known)}, got {self.metric!r}")
        if trainer.sanity_checking and trainer.global_step == 0:
            # One batch of many is no value before training, unless it is all there is.
            whole = sum(trainer.num_sanity_val_batches) == sum(trainer.num_val_batches)
            self.rows[0] = (_floats(known) if whole else {}) | _monitored(trainer)
        elif trainer.state.fn == "fit" and not trainer.sanity_checking:
            # Lightning keeps the last value of everything: leave out what was not looked at now.
            old = {name for m in _monitors(trainer) if not _fresh(m, trainer) for name in m.scalars}
            measured = {name: value for name, value in _floats(known).items() if name not in old}
            self.rows[trainer.current_epoch + 1] = measured

    def history(self, trainer: pl.Trainer, title: str) -> TrainingHistory:
        """Return the curves and the first and last records of the monitors."""
        epochs = sorted(self.rows)
        names = sorted({name for row in self.rows.values() for name in row})
        watched = [c for c in getattr(trainer, "callbacks", []) if isinstance(c, Onlooker)]
        return TrainingHistory(
            title=title,
            epoch=torch.tensor(epochs, dtype=torch.int64),
            curves={
                name: torch.tensor([self.rows[e].get(name, math.nan) for e in epochs])
                for name in names
            },
            before={key: r for each in watched for key, r in each.before.items()},
            after={key: r for each in watched for key, r in each.after.items()},
        )


def _monitors(trainer: pl.Trainer) -> list[Monitor]:
    return [c for c in getattr(trainer, "callbacks", []) if isinstance(c, Monitor)]


def _fresh(monitor: Monitor, trainer: pl.Trainer) -> bool:
    return monitor.looked_at == trainer.global_step


def _monitored(trainer: pl.Trainer) -> dict[str, float]:
    return {key: value for m in _monitors(trainer) for key, value in m.scalars.items()}


def _streams(pl_module: pl.LightningModule) -> dict[str, Any]:
    """Return the states of the streams of this process."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the user's stream, not ours
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "numpy": [name, torch.as_tensor(np.asarray(keys, dtype=np.int64)), *rest],
        "python": random.getstate(),
        "cells": {key: g.get_state() for key, g in _generators(pl_module).items()},
    }


def _told(trainer: pl.Trainer, mine: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what all processes say, in their order; Lightning has them all save together."""
    if trainer.world_size == 1:
        return [mine]
    said: list[Any] = [None] * trainer.world_size
    distributed.all_gather_object(said, mine)
    return said


def _floats(known: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in known.items()}


def _generators(pl_module: pl.LightningModule) -> dict[str, torch.Generator]:
    parts = {name: part for name, part in pl_module.named_modules() if isinstance(part, Dynamics)}
    return {name: f.generator for name, f in parts.items() if f.generator is not None}
