"""Plasticity in training: a local rule that acts between batches, and a monitor of what it does.

`LocalRule` and gradient descent may change the same couplings: the rule acts after the step of the
optimizer, on what the network does with the batch as it now is.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.analysis import SynapticChange, synaptic_change
from sntorch.cells import SNTCell
from sntorch.couplings import Coupling
from sntorch.dynamics import rollout
from sntorch.observing import observing
from sntorch.plasticity import CouplingRule, PlasticSNTCell, Rule
from sntorch.plasticity.epochs import entries
from sntorch.plasticity.synapses import Synapses
from sntorch.results import Result
from sntorch.sequence import SNT
from sntorch.training.monitor import Monitor
from sntorch.training.probes import Listener, Probe, recurrent_part

__all__ = ["LocalRule", "PlasticityMonitor"]


class LocalRule(pl.Callback):
    """Adds what a local rule asks for, after each training batch.

    The network reads the first rows of the batch once more, with noise if it has any, and the rule
    sees its activity: ``pre[t] = f(u(t))``, ``post[t] = f(u(t + 1))``, every row a presentation.
    What it returns is added in place; over several processes the mean is added, so that their
    networks stay the same.  The optimizer knows nothing of it, and no random stream is touched.

    Parameters
    ----------
    rule
        A rule of couplings, thresholds or gains; its epoch is that of the training.
    part
        Name of the recurrent submodule; by default ``recurrent``, or the only one there is.  It is
        an SNT network, or a `PlasticSNTCell`, whose slow couplings change.
    every_n_batches
        Batches between two changes.
    rows
        Sequences of the batch that are read.

    Raises
    ------
    ValueError
        At setup, if the part is no such network or the rule would create synapses there; during
        training, if a change is not finite: the batch is named, the network is as before.

    Examples
    --------
    >>> import sntorch as snt
    >>> forget = snt.plasticity.HebbianForgetting(forgetting=0.999, rate=1e-3, activity=0.0)
    >>> callback = LocalRule(forget)  # pl.Trainer(callbacks=[callback])
    """

    def __init__(
        self, rule: Rule, *, part: str | None = None, every_n_batches: int = 1, rows: int = 16
    ) -> None:
        if not isinstance(rule, Rule):
            raise ValueError(f"rule: expected a Rule, got {type(rule).__name__}")
        self.rule, self.part = rule, part
        self.every_n_batches = checks.count("every_n_batches", every_n_batches)
        self.rows = checks.count("rows", rows)
        self._listener: Listener | None = None

    @property
    def state_key(self) -> str:
        """Tell rules of one model apart in a checkpoint."""
        return f"{type(self).__qualname__}[{self.part}, {self.rule.target}]"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the network, so that a model without one fails before training."""
        name, part = recurrent_part(pl_module, self.part)
        cell = _neurons(part)
        if cell is None:
            got = type(part).__name__
            raise ValueError(f"part: expected an SNT network at {name!r}, got {got}")
        if self.rule.target == "coupling":
            Synapses(cell.coupling)
        elif getattr(cell, self.rule.target).ndim == 0:
            raise ValueError(
                f"part: expected a {self.rule.target} for every neuron at {name!r}, got one number"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Listen to what the network reads."""
        if batch_idx % self.every_n_batches == 0:
            self._listener = Listener(recurrent_part(pl_module, self.part)[1], self.rows)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Change the network."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        cell = _neurons(listener.part)
        if cell is None:
            return
        change = self._change(listener.probe(), cell, trainer.current_epoch)
        change = trainer.strategy.reduce(change, reduce_op="mean")
        if not isinstance(change, Tensor) or not math.isfinite(float(change.sum())):
            where = f"batch {batch_idx} of epoch {trainer.current_epoch}"
            raise ValueError(
                f"rule: expected finite changes of the {self.rule.target}, got others in {where}"
            )
        with torch.no_grad():
            entries(cell, self.rule.target).add_(change)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave no hook behind."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _change(self, probe: Probe, cell: SNTCell, epoch: int) -> Tensor:
        with observing(probe.f, probe.u):
            orbit = rollout(probe.f, probe.u, probe.steps, x=probe.x)
            rates = _rates(probe.f, cell, torch.cat([probe.u.unsqueeze(0), orbit]))
            rule = self.rule.at(epoch)
            return rule(getattr(cell, self.rule.target), rates[:-1], rates[1:])


class PlasticityMonitor(Monitor):
    """Logs what plasticity does to the synapses of a network, and to its dynamics.

    How far the couplings have moved since the fit began, how much of that is along the rule, the
    eigenvalue that stands out, the largest exponent at frozen synapses and of neurons and synapses
    together, and the sensitivity to what is read: see `analysis.synaptic_change`.  The first
    quarter of the steps is left to settle.

    Parameters
    ----------
    rule
        What the change of an SNT network is compared with; by default the rule of couplings that a
        `LocalRule` among the callbacks applies to it.  A `PlasticSNTCell` has its own.
    part, every_n_epochs, rows, figures
        As in `Monitor`; 4 rows by default, since every row of a `PlasticSNTCell` has N^2 synapses.

    Raises
    ------
    ValueError
        At setup, before any training, if the network has no plastic parts.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> cell = snt.SNTCell(snt.couplings.gaussian(10), gain=0.5)
    >>> watch = PlasticityMonitor(rule=snt.plasticity.Oja())
    >>> probe = Probe(f=cell, u=torch.rand(4, 10), x=None, steps=20)
    >>> float(watch.look(probe)["plasticity"].change)  # nothing yet: this is the first look
    0.0
    """

    name = "plasticity"
    records: ClassVar = {"plasticity": SynapticChange}
    shown = "change"
    layout: ClassVar = {
        "plasticity": {
            "exponents": ["Multiline", [r"^plasticity/frozen$", r"^plasticity/joint$"]],
            "synapses": ["Multiline", [r"^plasticity/(change|alignment|outlier)$"]],
        }
    }

    def __init__(self, *, rule: CouplingRule | None = None, **when: Any) -> None:
        super().__init__(rows=when.pop("rows", 4), **when)
        if rule is not None and not isinstance(rule, CouplingRule):
            raise ValueError(f"rule: expected a CouplingRule or None, got {type(rule).__name__}")
        self.rule = rule
        self.start: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know: the couplings at the start of the fit, too."""
        return super().state_dict() | {"start": self.start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        super().load_state_dict(state_dict)
        self.start = state_dict["start"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find what is plastic, so that a network without plastic parts fails before training."""
        name, part = recurrent_part(pl_module, self.part)
        if isinstance(part, PlasticSNTCell):
            self.rule = None
            return
        cell = _neurons(part)
        if cell is not None and self.rule is None:
            rules = [c.rule for c in getattr(trainer, "callbacks", []) if _acts(c, pl_module, part)]
            self.rule = rules[0] if rules else None
        if cell is None or self.rule is None:
            raise ValueError(
                "part: expected plastic parts, a PlasticSNTCell, or an SNT network with rule= or a "
                f"LocalRule among the callbacks; got {type(part).__name__} at {name!r} without"
            )

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return what has become of the synapses since the first look."""
        cell: Any = probe.f.cell if isinstance(probe.f, PlasticSNTCell) else probe.f
        with torch.no_grad():
            J = cell.coupling.to_dense() if isinstance(cell.coupling, Coupling) else cell.coupling
        start = J.clone() if self.start is None else self.start.to(J)
        self.start = start
        transient = probe.steps // 4
        found = synaptic_change(
            probe.f, probe.u, probe.steps - transient, start=start, rule=self.rule,
            transient=transient, x=probe.x,
        )  # fmt: skip
        return {"plasticity": found}


def _neurons(part: nn.Module) -> SNTCell | None:
    """Return the cell whose quantities change, if there is one."""
    cell = part.cell if isinstance(part, SNT | PlasticSNTCell) else part
    return cell if isinstance(cell, SNTCell) else None


def _rates(f: nn.Module, cell: SNTCell, states: Tensor) -> Tensor:
    return cell.rate(f.split(states)[0] if isinstance(f, PlasticSNTCell) else states)


def _acts(callback: pl.Callback, model: nn.Module, part: nn.Module) -> bool:
    """Tell whether a callback changes the couplings of a part by a rule."""
    return (
        isinstance(callback, LocalRule)
        and isinstance(callback.rule, CouplingRule)
        and recurrent_part(model, callback.part)[1] is part
    )
