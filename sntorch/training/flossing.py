"""Gradient flossing as a callback: exponents kept at a target before and while a model learns.

Three ways, which can be combined: `pretrain` steps before the first batch, `repeats` steps after
every n-th batch (n = 1: all the time), or, with a `weight`, a term that is added to the gradient of
every n-th batch instead of steps of its own.  The states and sequences are those that the recurrent
part itself reads, found as monitors find them (`sntorch.training.probes`).

A step looks at a window of the sequences that starts at a random time: the state is rolled to it
without gradients.  Gradients are clipped to norm `clip` on their own, before they are used; those
that are not finite are not used, and ``skipped`` counts them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import growth_rates
from sntorch.dynamics import as_dynamics, rollout
from sntorch.observing import observing
from sntorch.training.losses import LONGEST, targets
from sntorch.training.probes import Listener, Probe, recurrent_part

__all__ = ["GradientFlossing"]


class GradientFlossing(pl.Callback):
    """Pulls the first k exponents of the recurrent part to a target, in any module.

    Cost.  A step takes about as long as a training step with (k + 1) `rows` sequences of
    `transient` + `steps` steps.  The exponents before the last step are in ``exponents``, and are
    logged as ``flossing/1`` and so on, the loss as ``flossing/loss``.

    Parameters
    ----------
    k
        How many exponents, at most N.
    target
        One number for all, or k of them, largest first, in nats per unit of time, within +-10.
    pretrain
        Steps before the first batch; the model is then called with the first entry of that batch.
    every_n_steps
        Batches between two times while training; 0 never flosses after `pretrain`.  At 20
        training of an ``nn.RNN`` takes 1.2 times as long for 64 units, 30 steps and 32 rows, and
        1.03 times for 256 units, 100 steps and 64 rows (``scripts/bench/training.py``).
    until
        Batches after which it ends; None goes on to the end.
    repeats
        Steps at each of these times.
    weight
        Adds weight times the gradient of the loss to that of the batch, before the trainer clips
        it, and makes no steps of its own but those of `pretrain`.
    lr, clip
        Learning rate of the Adam that makes the callback's own steps, and the norm of its
        gradients at most.
    steps, transient
        Window that is measured and steps before it, both differentiated, together at most 200;
        sequences that are shorter shorten them.
    rows
        Sequences of a batch that are used.
    part
        Name of the recurrent submodule; by default ``recurrent``, or the only one there is.
    seed
        Chooses when windows start.

    Raises
    ------
    ValueError
        On wrong arguments; before training if the model has no such part, none of its parameters
        is trainable, or k is larger than its state.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).

    Examples
    --------
    >>> floss = GradientFlossing(k=10, pretrain=100, every_n_steps=20)
    >>> trainer = pl.Trainer(callbacks=[floss], logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        *,
        k: int = 1,
        target: float | Sequence[float] = 0.0,
        pretrain: int = 0,
        every_n_steps: int = 20,
        until: int | None = None,
        repeats: int = 1,
        weight: float | None = None,
        lr: float = 1e-3,
        clip: float = 1.0,
        steps: int = 20,
        transient: int = 5,
        rows: int = 8,
        part: str | None = None,
        seed: int = 0,
    ) -> None:
        self.k = checks.count("k", k)
        self.target = targets(list(target) if isinstance(target, Sequence) else target, k)
        self.pretrain = checks.count("pretrain", pretrain, low=0)
        self.every_n_steps = checks.count("every_n_steps", every_n_steps, low=0)
        self.until = None if until is None else checks.count("until", until, low=0)
        self.repeats = checks.count("repeats", repeats)
        self.weight = None if weight is None else checks.positive("weight", weight)
        self.lr, self.clip = checks.positive("lr", lr), checks.positive("clip", clip)
        self.transient = checks.count("transient", transient, low=0, high=LONGEST - 1)
        self.steps = checks.count("steps", steps, high=LONGEST - self.transient)
        self.rows = checks.count("rows", rows)
        self.part, self.seed = part, checks.count("seed", seed, low=0)
        self.done = 0
        """Looks at a window so far."""
        self.skipped = 0
        """Of these, those whose gradient was not finite."""
        self.exponents: Tensor | None = None
        self.loss: Tensor | None = None
        self._logged, self._flossed_at = 0, -1
        self._optimizer: torch.optim.Optimizer | None = None
        self._saved: dict[str, Any] | None = None
        self._listener: Listener | None = None
        self._parameters: list[torch.nn.Parameter] = []

    @property
    def state_key(self) -> str:
        """Tell callbacks of this class apart in a checkpoint."""
        return f"{type(self).__qualname__}[{self.part}]"

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        optimizer = None if self._optimizer is None else self._optimizer.state_dict()
        return {"done": self.done, "optimizer": optimizer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        self.done, self._saved = state_dict["done"], state_dict["optimizer"]
        self._logged = self.done

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the recurrent part and make the optimizer of its parameters."""
        _, part = recurrent_part(pl_module, self.part)
        size = as_dynamics(part).size
        checks.count("k", self.k, high=size if size > 0 else None)
        self._parameters = [p for p in part.parameters() if p.requires_grad]
        if not self._parameters:
            raise ValueError("part: expected a part with trainable parameters, got none")
        self._optimizer = torch.optim.Adam(self._parameters, lr=self.lr)
        if self._saved is not None:
            self._optimizer.load_state_dict(self._saved)
            self._saved = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Floss before the first batch, and listen to batches after which it is due."""
        if self.pretrain and trainer.global_step == 0 and batch_idx == 0 and not self.done:
            probe = self._ahead(pl_module, batch)
            for _ in range(self.pretrain):
                self._step(trainer, probe)
            self._log(pl_module)
        if self._due(trainer):
            self._listener = self._listen(pl_module)
            self._flossed_at = trainer.global_step

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Add the term to the gradient of the batch, where there is a weight."""
        if self.weight is None or self._listener is None:
            return
        for p, gradient in zip(self._parameters, self._gradient(trainer, self._heard()) or [],
                               strict=False):  # fmt: skip
            term = self.weight * gradient
            p.grad = term if p.grad is None else p.grad + term

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Make the callback's own steps, where they are due."""
        before = self._logged
        if self._listener is not None:
            probe = self._heard()
            if self.weight is None:
                for _ in range(self.repeats):
                    self._step(trainer, probe)
        if self.done > before:
            self._log(pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _due(self, trainer: pl.Trainer) -> bool:
        step = trainer.global_step
        if not self.every_n_steps or (self.until is not None and step >= self.until):
            return False
        # Batches whose gradients are accumulated are one step: own steps are made after the first.
        fresh = self.weight is not None or step != self._flossed_at
        return fresh and step % self.every_n_steps == 0

    def _listen(self, pl_module: pl.LightningModule) -> Listener:
        return Listener(recurrent_part(pl_module, self.part)[1], self.rows)

    def _ahead(self, pl_module: pl.LightningModule, batch: Any) -> Probe:
        """Return what the part reads of a batch before it is trained on; no random stream moves."""
        x = batch[0] if isinstance(batch, list | tuple) else batch
        listener = self._listen(pl_module)
        with contextlib.closing(listener), observing(pl_module, self._parameters[0]):
            pl_module(x)
        return listener.probe()

    def _heard(self) -> Probe:
        listener, self._listener = self._listener, None
        if listener is None:
            raise ValueError("part: expected a listener, got none")
        listener.close()
        return listener.probe()

    def _step(self, trainer: pl.Trainer, probe: Probe) -> None:
        if self._optimizer is None:
            raise ValueError("trainer: expected a fit that has started, got none")
        gradients = self._gradient(trainer, probe)
        if gradients is None:
            return
        kept = [p.grad for p in self._parameters]
        for p, gradient in zip(self._parameters, gradients, strict=True):
            p.grad = gradient
        self._optimizer.step()
        for p, gradient in zip(self._parameters, kept, strict=True):
            p.grad = gradient

    def _gradient(self, trainer: pl.Trainer, probe: Probe) -> list[Tensor] | None:
        """Return the clipped gradient of the loss, averaged over processes; None if not finite."""
        with torch.enable_grad():
            rates = self._rates(probe).mean(0)
            loss = (rates - rates.new_tensor(self.target)).square().mean()
            found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        self.exponents, self.loss = rates.detach(), loss.detach()
        self.done += 1
        gradients = [
            torch.zeros_like(p) if g is None else trainer.strategy.reduce(g, reduce_op="mean")
            for p, g in zip(self._parameters, found, strict=True)
        ]
        norm = torch.stack([g.norm() for g in gradients]).norm()
        if not bool(norm.isfinite()):
            self.skipped += 1
            return None
        return [g * (self.clip / norm.clamp(min=self.clip)) for g in gradients]

    def _rates(self, probe: Probe) -> Tensor:
        transient = min(self.transient, probe.steps // 4)
        window = min(self.steps + transient, probe.steps)
        draw = np.random.default_rng([self.seed, self.done])
        start = int(draw.integers(probe.steps - window + 1))
        u, x = probe.u, probe.x
        if start:
            with observing(probe.f, u):
                before = None if x is None else x[:start]
                u = rollout(probe.f, u, start, x=before, every=start)[-1]
        x = None if x is None else x[start : start + window]
        return growth_rates(probe.f, u, window - transient, k=self.k, transient=transient, x=x)

    def _log(self, pl_module: pl.LightningModule) -> None:
        self._logged = self.done
        if self.exponents is None or self.loss is None:
            return
        values = {f"flossing/{i + 1}": value for i, value in enumerate(self.exponents)}
        pl_module.log_dict(values | {"flossing/loss": self.loss}, on_step=True, on_epoch=False)
