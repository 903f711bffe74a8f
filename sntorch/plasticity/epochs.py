"""The epochs of slow learning: a network on its way, its looks, its changes, and how it ends."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings.layers import Dense, Sparse
from sntorch.dynamics import check_bounded
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.plasticity.history import LearningHistory
from sntorch.plasticity.rules import CouplingRule, Rule
from sntorch.plasticity.synapses import Outer, Synapses, multiplied_out, peak
from sntorch.results import Result

__all__ = ["DivergedError", "Observe", "Run", "entries", "go", "learn_epoch"]

Observe = Mapping[str, Callable[[SNTCell, Tensor], object]]


class Run:
    """A network on its way: what changes during `learn`."""

    def __init__(
        self,
        cell: SNTCell,
        rules: Sequence[Rule],
        u: Tensor,
        observe: Observe,
        resume: LearningHistory | None,
    ) -> None:
        self.cell = copy.deepcopy(cell if resume is None else resume.cell)
        self.u = (u if resume is None else resume.state).detach().clone()
        self.rules, self.observe = rules, observe
        self.epoch = 0 if resume is None else resume.learned
        self.epochs: list[int] = [] if resume is None else resume.epoch.tolist()
        self.rows: list[dict[str, Tensor]] = [] if resume is None else _rows(resume)
        self.before: dict[str, Result] = {} if resume is None else dict(resume.before)
        self.after: dict[str, Result] = {} if resume is None else dict(resume.after)
        self.rooms: list[Tensor] = []
        self.sigma = noise_of(self.cell, self.u)
        targets = {rule.target for rule in rules}
        for target in targets - {"coupling"}:
            _one_per_neuron(self.cell, target)
        self.largest = {
            target: peak(checks.finite(target, entries(self.cell, target))) for target in targets
        }

    def look(self) -> tuple[dict[str, Tensor], dict[str, Result]]:
        """Return a row of the curves, and the records.

        Raises
        ------
        ValueError
            If an analysis returns something else than before, or fails at the first look.
        """
        row: dict[str, Tensor] = {}
        records: dict[str, Result] = {}
        for name, analysis in self.observe.items():
            value = self._ask(name, analysis)
            row |= _numbers(name, value)
            if isinstance(value, Result):
                records[name] = value
        got, expected = _shapes(row), _shapes(self.rows[0] if self.rows else row)
        if got != expected:
            raise ValueError(f"observe: expected {expected}, as before, got {got}")
        return row, records

    def note(self, row: dict[str, Tensor], records: dict[str, Result]) -> None:
        """Keep what a look has shown."""
        self.before = records if self.epoch == 0 else self.before
        self.after = records
        self.rows.append(row)
        self.epochs.append(self.epoch)

    def propose(
        self, steps: int, transient: int, x: Tensor | None, generator: torch.Generator | None
    ) -> Proposal:
        """Return the state after an epoch and what the rules would change.

        Raises
        ------
        DivergedError
            If the orbit or what would become of the network is not finite.
        """
        orbit, u = self.cell.orbit(self.u, transient + steps, x, self.sigma, generator, 1)
        try:
            check_bounded(orbit)
        except ValueError as error:
            raise DivergedError(str(error)) from error
        states = torch.cat([self.u.unsqueeze(0), orbit])
        rates = self.cell.rate(states[transient:])
        changes: dict[str, Tensor | Outer] = {}
        synapses: Synapses | None = None
        for rule in self.rules:
            value = getattr(self.cell, rule.target)
            if isinstance(rule, CouplingRule):
                value = synapses = synapses or Synapses(value).borrow(self.rooms)
            change = rule.at(self.epoch).proposed(value, rates[:-1], rates[1:])
            known = changes.get(rule.target)
            changes[rule.target] = change if known is None else known + change
        reached = {target: self._reach(target, change) for target, change in changes.items()}
        return Proposal(u.clone(), changes, reached)

    def commit(self, proposal: Proposal) -> None:
        """Finish an epoch."""
        for target, change in proposal.changes.items():
            if isinstance(change, Outer):
                change.apply()
            else:
                entries(self.cell, target).add_(change)
        self.u, self.epoch = proposal.u, self.epoch + 1
        self.largest |= proposal.reached

    def history(self, control: LearningHistory | None, stopped: str) -> LearningHistory:
        """Return what was noted."""
        names = self.rows[0] if self.rows else {}
        return LearningHistory(
            epoch=torch.tensor(self.epochs, dtype=torch.long),
            curves={name: torch.stack([row[name] for row in self.rows]) for name in names},
            before=self.before,
            after=self.after,
            control=control,
            stopped=stopped,
            learned=self.epoch,
            cell=self.cell,
            state=self.u,
        )

    def _reach(self, target: str, change: Tensor | Outer) -> float:
        """Return a bound on the numbers of a target after a change."""
        value, largest = entries(self.cell, target), self.largest[target]
        if isinstance(change, Outer):
            reached = change.reach(largest)
        else:
            checks.same_kind("rule", checks.instance("rule", change, Tensor), value, target)
            if change.shape != value.shape:
                expected, got = tuple(value.shape), tuple(change.shape)
                raise ValueError(f"rule: expected a change {expected} of the {target}, got {got}")
            reached = largest + peak(change)
        if not reached < _limit(value):  # too coarse a bound, or the truth
            reached = peak(value + multiplied_out(change))
        if not reached < _limit(value):
            raise DivergedError(f"{target}: expected a finite change")
        return reached

    def _ask(self, name: str, analysis: Callable[[SNTCell, Tensor], object]) -> object:
        try:
            with observing(self.cell, self.u):
                return analysis(self.cell, self.u.clone())
        except ValueError as error:
            if not self.rows:
                raise
            raise DivergedError(f"{name}: {error}") from error


class Proposal(NamedTuple):
    """What an epoch would make of a run."""

    u: Tensor
    """(..., N), the state at its end."""
    changes: dict[str, Tensor | Outer]
    """The sum of the changes of every target."""
    reached: dict[str, float]
    """A bound on the numbers of every target after the change."""


class DivergedError(Exception):
    """Numbers left the finite ones: the run ends, its history stays."""


def go(runs: list[Run], epochs: int, every: int, epoch: Callable[[list[Run]], None]) -> str:
    """Learn and look until the epochs are over; return why not, if so."""
    learner = runs[0]
    moment = "before learning"
    try:
        while True:
            if learner.epoch % every == 0 and learner.epoch not in learner.epochs[-1:]:
                seen = [run.look() for run in runs]
                for run, (row, records) in zip(runs, seen, strict=True):
                    run.note(row, records)
            if learner.epoch >= epochs:
                return ""
            moment = f"in epoch {learner.epoch + 1}"
            epoch(runs)
            moment = f"after epoch {learner.epoch}"
    except KeyboardInterrupt:
        return f"interrupted {moment}"
    except DivergedError as error:
        return f"diverged {moment}: {error}"


def learn_epoch(
    runs: list[Run],
    steps: int,
    transient: int,
    x: Tensor | None,
    generator: torch.Generator | None,
) -> None:
    """Make one epoch of all runs under the same noise, or none of it."""
    stream = generator or _global_stream(runs[0].u.device)
    start = stream.get_state()
    proposals = []
    try:
        for run in runs:
            stream.set_state(start)
            proposals.append(run.propose(steps, transient, x, generator))
    except BaseException:
        stream.set_state(start)
        raise
    for run, proposal in zip(runs, proposals, strict=True):
        run.commit(proposal)


def _global_stream(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def entries(cell: SNTCell, target: str) -> Tensor:
    """Return the numbers that a rule of some target changes, to be changed in place."""
    value = getattr(cell, target)
    if isinstance(value, Sparse):
        return value.values
    return value.weight if isinstance(value, Dense) else value


def _shapes(row: dict[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in row.items()) or "nothing"


def _limit(value: Tensor) -> float:
    """Return the size from which on numbers count as not finite."""
    return torch.finfo(value.dtype).max / 2


def _one_per_neuron(cell: SNTCell, name: str) -> None:
    value: Tensor = getattr(cell, name)
    if value.ndim == 0:
        spread = value.detach().expand(cell.size).clone()
        setattr(cell, name, nn.Parameter(spread) if isinstance(value, nn.Parameter) else spread)


def _numbers(name: str, value: object) -> dict[str, Tensor]:
    """Return the entries of the curves that an observed value makes."""
    if isinstance(value, Result):
        scalars = {key: torch.tensor(v, dtype=torch.float64) for key, v in value.scalars().items()}
        first = {name: next(iter(scalars.values()))} if scalars else {}
        return first | {f"{name}/{key}": number for key, number in scalars.items()}
    if isinstance(value, Tensor):
        return {name: value.detach().clone()}
    if isinstance(value, numbers.Real):
        return {name: torch.tensor(float(value), dtype=torch.float64)}
    raise ValueError(
        f"observe: expected {name} to return a number, tensor or Result, got {type(value).__name__}"
    )


def _rows(history: LearningHistory) -> list[dict[str, Tensor]]:
    return [
        {name: curve[i] for name, curve in history.curves.items()}
        for i in range(len(history.epoch))
    ]
