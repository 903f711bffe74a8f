"""The epochs of slow learning: a network on its way, its looks, its changes, and how it ends."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sntorch.cells import SNTCell
from sntorch.couplings.layers import Dense, Sparse
from sntorch.dynamics import observing, rollout
from sntorch.plasticity.history import LearningHistory
from sntorch.plasticity.rules import Rule
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
        for target in {rule.target for rule in rules} - {"coupling"}:
            _one_per_neuron(self.cell, target)

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
        shapes = [{name: value.shape for name, value in r.items()} for r in (row, *self.rows[:1])]
        if shapes[0] != shapes[-1]:
            raise ValueError(f"observe: expected {shapes[-1]}, as before, got {shapes[0]}")
        return row, records

    def note(self, row: dict[str, Tensor], records: dict[str, Result]) -> None:
        """Keep what a look has shown."""
        self.before = records if self.epoch == 0 else self.before
        self.after = records
        self.rows.append(row)
        self.epochs.append(self.epoch)

    def propose(
        self, steps: int, transient: int, x: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the state after an epoch and what every rule would change."""
        try:
            orbit = rollout(self.cell, self.u, transient + steps, x=x, generator=generator)
        except ValueError as error:  # arguments were checked: the orbit is not finite
            raise DivergedError(str(error)) from error
        rates = self.cell.rate(torch.cat([self.u.unsqueeze(0), orbit])[-steps - 1 :])
        changes = [
            rule.at(self.epoch)(getattr(self.cell, rule.target), rates[:-1], rates[1:])
            for rule in self.rules
        ]
        for rule, change in zip(self.rules, changes, strict=True):
            if not math.isfinite(float(change.sum())):
                raise DivergedError(f"{rule.target}: expected a finite change")
        return orbit[-1].clone(), changes

    def commit(self, u: Tensor, changes: list[Tensor]) -> None:
        """Finish an epoch."""
        for rule, change in zip(self.rules, changes, strict=True):
            entries(self.cell, rule.target).add_(change)
        self.u, self.epoch = u, self.epoch + 1

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

    def _ask(self, name: str, analysis: Callable[[SNTCell, Tensor], object]) -> object:
        try:
            with observing(self.cell, self.u):
                return analysis(self.cell, self.u.clone())
        except ValueError as error:
            if not self.rows:
                raise
            raise DivergedError(f"{name}: {error}") from error


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
        run.commit(*proposal)


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
