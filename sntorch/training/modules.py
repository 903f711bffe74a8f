"""A sequence model: a recurrent part and a linear readout, trained through time.

The recurrent part is any layer or cell, of torch or of sntorch; the monitors find it under the name
``recurrent``.  Batches are pairs (x, y) with x (B, T, I), batch first, whatever the layer prefers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchmetrics import Metric

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.plasticity import PlasticSNTCell
from sntorch.sequence import SNT
from sntorch.training.sharding import clip_norm, one_share, shared_parts
from sntorch.training.tasks import IGNORED, Task

__all__ = ["SequenceModel"]

_EVALUATED = [f"{stage}/{kind}" for stage in ("val", "test") for kind in ("loss", "accuracy")]

Layer = SNT | nn.RNNBase
Cell = Dynamics | nn.RNNCellBase


class SequenceModel(pl.LightningModule):
    """Recurrent part plus linear readout, for classification or regression.

    Parameters
    ----------
    recurrent
        An `SNT` layer, ``nn.RNN/GRU/LSTM``, or a cell: `Dynamics` or torch's.  An `SNTCell` is read
        out by its rates f(u), and so is a `PlasticSNTCell`, whose synapses start anew with every
        sequence; other cells by their state.
    output_size
        Classes, or numbers to predict.
    kind
        ``"classification"`` (cross entropy, accuracy) or ``"regression"`` (mean squared error).
    when
        ``"last"`` reads the network after the sequence, ``"every"`` at every step; steps of class
        -100 do not count.
    optimizer
        Makes the optimizer from the parameters; Adam with its defaults if None.
    scheduler
        Makes a learning-rate schedule, stepped every epoch, from the optimizer; none if None.

    Raises
    ------
    ValueError
        If the recurrent part is none, or an argument is unknown.

    Examples
    --------
    >>> model = SequenceModel(nn.GRU(3, 16, batch_first=True), 10)
    >>> model(torch.randn(4, 7, 3)).shape
    torch.Size([4, 10])
    """

    def __init__(
        self,
        recurrent: nn.Module,
        output_size: int,
        *,
        kind: str = "classification",
        when: str = "last",
        optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(recurrent, Layer | Cell):
            got = type(recurrent).__name__
            raise ValueError(f"recurrent: expected a recurrent layer or cell, got {got}")
        self.recurrent = recurrent
        self.kind = checks.one_of("kind", kind, ("classification", "regression"))
        self.when = checks.one_of("when", when, ("last", "every"))
        self.optimizer, self.scheduler = optimizer, scheduler
        output_size = checks.count("output_size", output_size)
        self.readout = nn.Linear(_feature_size(recurrent), output_size)
        # Lightning's own mean over processes is wrong where they do not share the data equally.
        self.means = nn.ModuleDict({name: _Mean() for name in _EVALUATED})

    def forward(self, x: Tensor) -> Tensor:
        """Return the readout (B, C), or (B, T, C) at every step, of sequences x (B, T, I)."""
        features = self.features(x)
        in_time = features.transpose(0, 1)  # as layers make it; in another order all is copied
        if features.ndim == 3 and in_time.is_contiguous():
            return self.readout(in_time).transpose(0, 1)
        return self.readout(features)

    def features(self, x: Tensor) -> Tensor:
        """Return what the readout sees, (B, H), or (B, T, H) at every step."""
        if x.ndim != 3:
            raise ValueError(f"x: expected (B, T, I), got {tuple(x.shape)}")
        features = _features(self.recurrent, x)
        return features[:, -1] if self.when == "last" else features

    def setup(self, stage: str) -> None:
        """Refuse a task or a strategy that does not fit, before any training."""
        one_share(self, self.trainer.world_size)
        task = getattr(self.trainer, "datamodule", None)
        if isinstance(task, Task):
            self.check_task(task)

    def check_task(self, task: Task) -> None:
        """Refuse a task whose sizes or targets are not those of the model.

        Raises
        ------
        ValueError
            Naming what the task has and the model has not, or a class that is none.
        """
        mine: dict[str, Any] = {
            "input_size": getattr(self.recurrent, "input_size", task.input_size),
            "output_size": self.readout.out_features,
            "kind": self.kind,
            "when": self.when,
        }
        for name, value in mine.items():
            wanted = getattr(task, name)
            if value != wanted:
                kind = type(task).__name__
                raise ValueError(f"{name}: expected {wanted!r}, that of {kind}, got {value!r}")
        if self.kind == "classification":
            for part, data in task.parts.items():
                if isinstance(data, TensorDataset):  # a task of the user may have another
                    self._check_classes(f"y of {part}", data.tensors[1])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch and log it at every step."""
        x, y = batch
        loss = self._loss(self(x), y)
        self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=len(x))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log ``val/loss`` and, for classes, ``val/accuracy``."""
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log ``test/loss`` and, for classes, ``test/accuracy``."""
        self._evaluate(batch, "test")

    def configure_optimizers(self) -> Any:
        """Return what Lightning needs to train."""
        make = self.optimizer or torch.optim.Adam
        optimizer = make([p for p in self.parameters() if p.requires_grad])
        if self.scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self.scheduler(optimizer), "interval": "epoch"}]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer says; a norm is over all rows where processes share the couplings."""
        if gradient_clip_val and gradient_clip_algorithm != "value" and shared_parts(self):
            clip_norm(self, gradient_clip_val)
            return
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _evaluate(self, batch: tuple[Tensor, Tensor], stage: str) -> None:
        x, y = batch
        prediction = self(x)
        shown = {f"{stage}/loss": self._loss(prediction, y)}
        if self.kind == "classification":
            counted = y != IGNORED
            shown[f"{stage}/accuracy"] = (prediction.argmax(-1) == y)[counted].float().mean()
        for name, value in shown.items():
            mean: Any = self.means[name]
            mean.update(value, len(x))
            self.log(name, mean, prog_bar=True, on_step=False, on_epoch=True)

    def _loss(self, prediction: Tensor, y: Tensor) -> Tensor:
        shape = prediction.shape if self.kind == "regression" else prediction.shape[:-1]
        if y.shape != shape:  # which torch would stretch
            raise ValueError(f"y: expected {tuple(shape)}, got {tuple(y.shape)}")
        if self.kind == "regression":
            return nn.functional.mse_loss(prediction, y)
        try:
            return nn.functional.cross_entropy(prediction.flatten(0, -2), y.flatten())
        except IndexError:  # of data that no task checked: only now, since a look at all y costs
            self._check_classes("y", y)
            raise

    def _check_classes(self, name: str, y: Tensor) -> None:
        wrong = y[((y < 0) | (y >= self.readout.out_features)) & (y != IGNORED)]
        if len(wrong):
            expected = f"classes 0 to {self.readout.out_features - 1}, or {IGNORED}"
            raise ValueError(f"{name}: expected {expected}, got {wrong[0].item()}")


class _Mean(Metric):
    """Mean over samples, those of all processes."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "samples"):
            self.add_state(name, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, samples: int) -> None:
        """Add the mean of some samples."""
        self.total = self.total + value * samples
        self.samples = self.samples + samples

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.samples


@as_dynamics.register
def _(obj: SequenceModel, **options: Any) -> Dynamics:
    return as_dynamics(obj.recurrent, **options)


def _feature_size(recurrent: nn.Module) -> int:
    if isinstance(recurrent, nn.RNNBase):
        width = recurrent.proj_size or recurrent.hidden_size
        return width * (2 if recurrent.bidirectional else 1)
    if isinstance(recurrent, PlasticSNTCell):
        return recurrent.neurons
    if isinstance(recurrent, nn.RNNCellBase | SNT):
        return int(recurrent.hidden_size)
    if isinstance(recurrent, Dynamics) and recurrent.size > 0:
        return recurrent.size
    raise ValueError(f"recurrent: expected a part of known size, got {type(recurrent).__name__}")


def _features(recurrent: nn.Module, x: Tensor) -> Tensor:
    """Return what the readout sees, (B, T, H)."""
    if not isinstance(recurrent, nn.RNNBase | nn.RNNCellBase):
        # In a chaotic network rounding grows: under mixed precision its orbit stays in full.
        with torch.autocast(x.device.type, enabled=False):
            return _orbit(recurrent, x)
    return _orbit(recurrent, x)


def _orbit(recurrent: nn.Module, x: Tensor) -> Tensor:
    if not isinstance(recurrent, Layer):
        return _loop(recurrent, x)
    output = recurrent(x if recurrent.batch_first else x.transpose(0, 1))[0]
    return output if recurrent.batch_first else output.transpose(0, 1)


def _loop(cell: nn.Module, x: Tensor) -> Tensor:
    hx, features = None, []
    for step in x.unbind(1):
        hx = cell(step, hx)
        features.append(_seen(cell, hx[0] if isinstance(hx, tuple) else hx))
    return torch.stack(features, 1)


def _seen(cell: nn.Module, h: Tensor) -> Tensor:
    """Return what is read of a state."""
    if isinstance(cell, PlasticSNTCell):
        return cell.cell.rate(cell.split(h)[0])
    return cell.rate(h) if isinstance(cell, SNTCell) else h
