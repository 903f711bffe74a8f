"""Monitors: Lightning callbacks that show what a network does while it learns.

`Monitor` knows *when* to look and *on which states*; a subclass names the analysis, and nothing
else.  A monitor looks after validation, at the sequences that the recurrent part read in the first
validation batch; in a fit without validation, after the training epoch, at the first training
batch; before training, in Lightning's sanity check, which gives the value at step 0; and after
``trainer.validate`` and ``trainer.test``, where tags begin with ``test/``.

Watching does not change training, not by a bit: the analyses leave modules and random streams as
they found them.  Monitors work on rank zero alone and keep no tensors of the graph.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from sntorch import checks
from sntorch.analysis import (
    JacobianSpectrum,
    LyapunovSpectrum,
    jacobian_spectrum,
    lyapunov_spectrum,
)
from sntorch.dynamics import observing, rollout
from sntorch.landscape import (
    AreaRates,
    EntropyProduction,
    FluxField,
    area_rates,
    entropy_production,
    flux_field,
)
from sntorch.plot import figure
from sntorch.results import Result
from sntorch.training.probes import Listener, Probe, recurrent_part

__all__ = ["FluxMonitor", "LyapunovMonitor", "Monitor", "SpectrumMonitor"]


class Monitor(pl.Callback, abc.ABC):
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
        Looks between two figures; 0 draws none.

    Raises
    ------
    ValueError
        At setup, before any training, if the model has no such part.
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
        every_n_epochs: int = 1,
        rows: int = 16,
        figures: int = 20,
    ) -> None:
        self.part = part
        self.every_n_epochs = checks.count("every_n_epochs", every_n_epochs)
        self.rows = checks.count("rows", rows)
        self.figures = checks.count("figures", figures, low=0)
        self.before: dict[str, Result] = {}
        self.after: dict[str, Result] = {}
        self.scalars: dict[str, float] = {}
        self._looks = 0
        self._listener: Listener | None = None
        self._probe: Probe | None = None

    @abc.abstractmethod
    def look(self, probe: Probe) -> dict[str, Result]:
        """Return the records of this monitor for the given dynamics, states and drive."""

    def histograms(self, results: dict[str, Result]) -> dict[str, Tensor]:
        """Return what TensorBoard shows as distributions."""
        return {}

    @property
    def state_key(self) -> str:
        """Tell monitors of one class apart in a checkpoint."""
        return f"{type(self).__qualname__}[{self.part}]"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know: how many looks there were, and the first of them."""
        fields = {key: _fields(result) for key, result in self.before.items()}
        return {"looks": self._looks, "before": fields}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self._looks = state_dict["looks"]
        saved = state_dict["before"].items()
        self.before = {key: self.records[key](**fields) for key, fields in saved}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the recurrent part, so that a model without one fails before training."""
        recurrent_part(pl_module, self.part)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lay out the charts."""
        for logger in _tensorboards(trainer):
            if self.layout:
                logger.experiment.add_custom_scalars(self.layout)

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
        if not trainer.is_global_zero:
            return False
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
        seen = {key: result.map(torch.Tensor.cpu) for key, result in self.look(probe).items()}
        if trainer.state.fn == "fit":
            self.before, self.after = self.before or seen, seen
        prefix = f"test/{self.name}" if trainer.testing else self.name
        parts = [result.scalars() for result in seen.values()]
        self.scalars = {f"{prefix}/{key}": value for part in parts for key, value in part.items()}
        self._log(trainer, pl_module, prefix, seen)

    def _log(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prefix: str,
        seen: dict[str, Result],
    ) -> None:
        # Lightning logs the last batch of an epoch under the number of steps before it.
        step = max(trainer.global_step - 1, 0)
        for name, value in self.scalars.items():
            bar = name == f"{prefix}/{self.shown}"
            pl_module.log(name, value, prog_bar=bar, logger=False, rank_zero_only=True)
        for logger in trainer.loggers:
            logger.log_metrics(self.scalars, step)
        last = trainer.current_epoch + 1 == trainer.max_epochs
        drawn = self.figures and (self._looks % self.figures == 0 or last)
        self._looks += 1
        for logger in _tensorboards(trainer):
            for name, values in self.histograms(seen).items():
                logger.experiment.add_histogram(f"{prefix}/{name}", values, step)
            if drawn:
                picture = figure(*seen.values())
                logger.experiment.add_figure(f"{prefix}/figure", picture, step, close=False)


class LyapunovMonitor(Monitor):
    """Logs the Lyapunov exponents of the network as it reads its sequences.

    They are conditional exponents over the length of a sequence: how a small change of the state
    grows or fades while the network reads, averaged over `rows` sequences.  The first quarter of
    the steps is left to the tangent vectors to settle.

    Parameters
    ----------
    k
        How many exponents.
    part, every_n_epochs, rows, figures
        As in `Monitor`.
    """

    name = "lyapunov"
    records: ClassVar = {"lyapunov": LyapunovSpectrum}
    shown = "max"
    layout: ClassVar = {"lyapunov": {"exponents": ["Multiline", [r"^lyapunov/\d+$"]]}}

    def __init__(self, *, k: int = 8, **when: Any) -> None:
        super().__init__(**when)
        self.k = checks.count("k", k)

    def look(self, probe: Probe) -> dict[str, Result]:
        """Return the exponents, one spectrum per sequence."""
        transient = probe.steps // 4
        k = min(self.k, probe.u.shape[-1])
        steps = probe.steps - transient
        spectrum = lyapunov_spectrum(probe.f, probe.u, steps, k=k, transient=transient, x=probe.x)
        return {"lyapunov": spectrum}


class SpectrumMonitor(Monitor):
    """Logs the spectrum of the Jacobian at states that the network visits while it reads.

    Parameters
    ----------
    states
        At how many states, spread over the sequences and over time.
    part, every_n_epochs, rows, figures
        As in `Monitor`.
    """

    name = "spectrum"
    records: ClassVar = {"spectrum": JacobianSpectrum}

    def __init__(self, *, states: int = 4, **when: Any) -> None:
        super().__init__(**when)
        self.states = checks.count("states", states)

    def look(self, probe: Probe) -> dict[str, Result]:
        """Return eigenvalues and singular values at the states."""
        with observing(probe.f, probe.u):
            orbit = rollout(probe.f, probe.u, probe.steps, x=probe.x)
        visited = torch.cat([probe.u[None], orbit[:-1]])
        times = torch.linspace(probe.steps // 4, probe.steps - 1, self.states).long()
        rows = torch.arange(self.states) % len(probe.u)
        x = None if probe.x is None else probe.x[times, rows]
        return {"spectrum": jacobian_spectrum(probe.f, visited[times, rows], x)}

    def histograms(self, results: dict[str, Result]) -> dict[str, Tensor]:
        """Return the moduli of the eigenvalues."""
        spectrum: Any = results["spectrum"]
        return {"eigenvalue_modulus": spectrum.eigenvalues.abs()}


class FluxMonitor(Monitor):
    """Logs entropy production and probability flux of the network left to its own noise.

    Walkers start where the network stands after its sequences and then see the mean input, which
    is constant: only so is there a steady state.  Without noise the contraction rate is logged
    and the entropy production is NaN.

    Parameters
    ----------
    burn_in
        Steps that walkers take before they count, at least ten times the slowest time.
    steps
        Steps that count.
    part, every_n_epochs, rows, figures
        As in `Monitor`; `rows` is the number of walkers.
    """

    name = "flux"
    records: ClassVar = {"flux": EntropyProduction, "area": AreaRates, "field": FluxField}

    def __init__(
        self, *, burn_in: int = 100, steps: int = 100, rows: int = 32, **when: Any
    ) -> None:
        super().__init__(rows=rows, **when)
        self.burn_in = checks.count("burn_in", burn_in)
        self.steps = checks.count("steps", steps, low=2)

    def look(self, probe: Probe) -> dict[str, Result]:
        """Return entropy production, area rates and the flux in the plane of strongest rotation."""
        f, dt = probe.f, probe.f.dt
        x = None if probe.x is None else probe.x.mean((0, 1))
        with observing(f, probe.u):
            u = rollout(f, probe.u, probe.steps, x=probe.x, every=probe.steps)[-1]
            u = rollout(f, u, self.burn_in, x=x, every=self.burn_in)[-1]
            orbit = rollout(f, u, self.steps, x=x)
        return {
            "flux": entropy_production(f, orbit, x=x),
            "area": area_rates(orbit, dt=dt),
            "field": flux_field(orbit, dt=dt),
        }


def _tensorboards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    loggers = trainer.loggers if trainer.is_global_zero else []
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]


def _fields(result: Result) -> dict[str, Any]:
    return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
