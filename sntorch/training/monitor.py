"""The monitor: when to look at a network that learns, and on which states.

`Monitor` knows *when* to look and *on which states*; a subclass names the analysis, and nothing
else.  A monitor looks after validation, at the sequences that the recurrent part read in the first
validation batch; in a fit without validation, after the training epoch, at the first training
batch; before training, in Lightning's sanity check, which gives the value at step 0; and after
``trainer.validate`` and ``trainer.test``, where tags begin with ``test/``.

Watching does not change training, not by a bit: the analyses leave modules and random streams as
they found them.  Of several processes the first looks and the others wait for its
numbers.  Monitors keep no tensors of the graph.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from sntorch import checks
from sntorch.plot import figure
from sntorch.results import Result
from sntorch.training.dashboard import lay_out
from sntorch.training.probes import Listener, Probe, recurrent_part

__all__ = ["Monitor", "Onlooker", "fields_of", "tensorboards"]


class Onlooker(pl.Callback):
    """Keeps records of before and after training, for the report of a run."""

    def __init__(self) -> None:
        self.before: dict[str, Result] = {}
        self.after: dict[str, Result] = {}


class Monitor(Onlooker, abc.ABC):
    """When to look, and on which states; `look` says what to measure there.

    Parameters
    ----------
    part
        Name of the recurrent submodule; by default ``recurrent``, or the only one there is.
    every_n_epochs
        Epochs between two looks during a fit; the last epoch is always looked at.
    rows
        Sequences of the batch that are used.
    figures
        Looks between two figures; the first and the last look are always drawn, 0 draws none.

    Raises
    ------
    ValueError
        At setup, before any training, if the model has no such part, or only half precision.

    Examples
    --------
    >>> from sntorch.analysis import ParticipationRatio, participation_ratio
    >>> from sntorch.dynamics import rollout
    >>> class Dimension(Monitor):  # how many dimensions the states fill while the network reads
    ...     name = "dimension"
    ...     records = {"dimension": ParticipationRatio}
    ...     def look(self, probe, *, full=True):
    ...         orbit = rollout(probe.f, probe.u, probe.steps, x=probe.x)
    ...         return {"dimension": participation_ratio(orbit)}
    >>> Dimension(every_n_epochs=5).state_key
    'Dimension[None]'
    """

    name: ClassVar[str]
    """First part of every tag."""
    records: ClassVar[dict[str, type[Result]]]
    """What `look` returns."""
    shown: ClassVar[str | None] = None
    """The scalar that the progress bar shows."""
    layout: ClassVar[dict[str, Any]] = {}
    """Charts of TensorBoard's custom-scalars tab."""

    def __init__(
        self,
        *,
        part: str | None = None,
        every_n_epochs: int = 2,
        rows: int = 16,
        figures: int = 40,
    ) -> None:
        super().__init__()
        self.part = part
        self.every_n_epochs = checks.count("every_n_epochs", every_n_epochs)
        self.rows = checks.count("rows", rows)
        self.figures = checks.count("figures", figures, low=0)
        self.scalars: dict[str, float] = {}
        self.looked_at = -1  # training steps behind the last look
        self._looks = 0
        self._listener: Listener | None = None
        self._probe: Probe | None = None

    @abc.abstractmethod
    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return the records of this monitor for the given dynamics, states and drive.

        Records that only a picture needs may be left out unless `full`.
        """

    def histograms(self, results: dict[str, Result]) -> dict[str, Tensor]:
        """Return what TensorBoard shows as distributions."""
        return {}

    @property
    def state_key(self) -> str:
        """Tell monitors of one class apart in a checkpoint."""
        return f"{type(self).__qualname__}[{self.part}]"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know: how many looks there were, and the first of them."""
        fields = {key: fields_of(result) for key, result in self.before.items()}
        return {"looks": self._looks, "before": fields}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self._looks = state_dict["looks"]
        saved = state_dict["before"].items()
        self.before = {key: self.records[key](**fields) for key, fields in saved}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the recurrent part, so that a model without one fails before training."""
        recurrent_part(pl_module, self.part)
        if trainer.precision in ("16-true", "bf16-true"):
            raise ValueError(
                "trainer.precision: expected 32-true, 64-true or a mixed one to watch a network, "
                f"got {trainer.precision}"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lay out the charts."""
        together = [c for c in getattr(trainer, "callbacks", []) if isinstance(c, Monitor)]
        if together[0] is self:
            lay_out(tensorboards(trainer), [each.layout for each in together])

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Listen to the first validation batch."""
        if batch_idx == dataloader_idx == 0 and self._due(trainer):
            self._listen(pl_module)

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop listening."""
        self._stop()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look."""
        self._show(trainer, pl_module)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Listen to the first test batch."""
        if batch_idx == dataloader_idx == 0 and self._due(trainer):
            self._listen(pl_module)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop listening."""
        self._stop()

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look."""
        self._show(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Listen to the first training batch where there is no validation."""
        if batch_idx == 0 and not trainer.enable_validation and self._due(trainer):
            self._listen(pl_module)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop listening."""
        self._stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look, where there was no validation."""
        self._show(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _due(self, trainer: pl.Trainer) -> bool:
        if trainer.sanity_checking:
            return trainer.global_step == 0  # a resumed run has its value before training already
        if trainer.state.fn != "fit":
            return True
        done = trainer.current_epoch + 1
        return done % self.every_n_epochs == 0 or done == trainer.max_epochs

    def _listen(self, pl_module: pl.LightningModule) -> None:
        part = recurrent_part(pl_module, self.part)[1]
        self._listener = Listener(part, self.rows)

    def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._probe = self._listener.probe()
            self._listener = None

    def _show(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        probe, self._probe = self._probe, None
        if probe is None:
            return
        last = trainer.state.fn != "fit" or trainer.current_epoch + 1 == trainer.max_epochs
        turn = self.figures > 0 and self._looks % self.figures == 0
        full = last or turn or self._looks == 0
        self._looks += 1
        looked = self.look(probe, full=full) if trainer.is_global_zero else {}
        seen = {key: result.map(torch.Tensor.cpu) for key, result in looked.items()}
        if trainer.state.fn == "fit":
            self.before, self.after = self.before or seen, seen
        prefix = f"test/{self.name}" if trainer.testing else self.name
        parts = [result.scalars() for result in seen.values()]
        self.looked_at = trainer.global_step
        found = {f"{prefix}/{key}": value for part in parts for key, value in part.items()}
        # All processes know the numbers, so that a checkpoint or a schedule may depend on them.
        self.scalars = trainer.strategy.broadcast(found)
        self._log(trainer, pl_module, prefix, seen, full and self.figures > 0)

    def _log(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prefix: str,
        seen: dict[str, Result],
        drawn: bool,
    ) -> None:
        # Lightning logs the last batch of an epoch under the number of steps before it.
        step = max(trainer.global_step - 1, 0)
        for name, value in self.scalars.items():
            bar = name == f"{prefix}/{self.shown}"
            pl_module.log(name, value, prog_bar=bar, logger=False, sync_dist=True)
        for logger in trainer.loggers:
            # What was not measured is no point of a chart, and a chart of such points says nothing.
            logger.log_metrics({k: v for k, v in self.scalars.items() if math.isfinite(v)}, step)
        for logger in tensorboards(trainer):
            shown = {} if trainer.testing else self.histograms(seen)  # one look is no distribution
            for name, values in shown.items():
                logger.experiment.add_histogram(f"{prefix}/{name}", values, step)
            for name, record in seen.items() if drawn else ():
                tag = f"{prefix}/figure" if len(seen) == 1 else f"{prefix}/figure/{name}"
                logger.experiment.add_figure(tag, figure(record), step, close=False)


def tensorboards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    """Return where the first process may show pictures."""
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if _is_tensorboard(logger)]


def _is_tensorboard(logger: object) -> bool:
    # By name, since the package `lightning` has a class of its own for the same logger.
    return any(kind.__name__ == TensorBoardLogger.__name__ for kind in type(logger).__mro__)


def fields_of(result: Result) -> dict[str, Any]:
    """Return what a record is made of, for a checkpoint."""
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
