r"""Slow learning: epochs of dynamics at fixed couplings, and a change between them.

An epoch lets the network run for ``transient + steps`` steps from where it is, shows the rules its
activity in the last ``steps``, pre[t] = f(u(t)) and post[t] = f(u(t + 1)), and adds what they
return; all rules see the quantities as they were.  The state goes on into the next epoch.  Between
epochs any analysis looks at the network with its couplings frozen.

Beside it runs the *control*: the same network from the same state under the same drive and the same
noise, without learning, or with another rule.  Where a rule also forgets, a control that forgets
only, ``HebbianForgetting(rate=0)``, is needed to say what learning did.

Memory: a copy of the network for each of the two runs, made once; an epoch holds its activity,
(steps, ..., N), and one change dJ at a time for each run, never another J.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings.layers import Dense, Sparse
from sntorch.dynamics import enter, noise_of, observing, rollout
from sntorch.plasticity.rules import Rule, Synapses
from sntorch.results import Result

__all__ = ["LearningHistory", "learn"]

Rules = Rule | Sequence[Rule]
Observe = Mapping[str, Callable[[SNTCell, Tensor], object]]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LearningHistory(Result):
    """What was seen while a network learned, and the network as it is at the end.

    ``history[name]`` is ``history.curves[name]``.
    """

    epoch: Tensor
    """(E,), epochs completed when a row was taken; 0 is before learning."""
    curves: dict[str, Tensor]
    """One entry (E, ...) per observed analysis.  Where an analysis returns a record, the entry is
    the first of its scalars, and all of them are there as ``name/scalar``."""
    before: dict[str, Result]
    """Records of the observed analyses before learning, of those that return one."""
    after: dict[str, Result]
    """The same at the last observation."""
    control: LearningHistory | None
    """The same without learning; None if it was not asked for or nothing is observed."""
    stopped: str
    """Why learning ended before its time, with the epoch; empty if it did not."""
    learned: int
    """Epochs completed by the network below."""
    cell: SNTCell
    """The network after that many epochs."""
    state: Tensor
    """(..., N), where its orbit stands."""

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.curves:
            known = ", ".join(self.curves) or "none"
            raise KeyError(f"{name}: expected one of the observed analyses ({known})")
        return self.curves[name]

    def __repr__(self) -> str:
        seen = f"{int(self.epoch[0])} to {int(self.epoch[-1])}" if len(self.epoch) else "none"
        names = ", ".join(self.curves) or "none"
        return f"LearningHistory(epoch={seen}, curves={names}, stopped={self.stopped!r})"

    def scalars(self) -> dict[str, float]:
        """Return the mean over the batch axes of the last value of every curve."""
        return {name: float(curve[-1].mean()) for name, curve in self.curves.items() if len(curve)}


def learn(
    cell: SNTCell,
    rule: Rules,
    u: Tensor,
    epochs: int,
    *,
    steps: int,
    x: Tensor | None = None,
    transient: int = 0,
    observe: Observe | None = None,
    every: int = 1,
    control: Rules | None = (),
    generator: torch.Generator | None = None,
    resume: LearningHistory | None = None,
) -> LearningHistory:
    """Return what was observed while a copy of the cell learned for some epochs.

    The cell itself does not change; the one that learned is ``history.cell``.  An interruption from
    the keyboard, and numbers that are no longer finite, end the run early; `stopped` says so and
    the history is that of the epochs completed, as are cell and state.

    Parameters
    ----------
    cell
        An `SNTCell` whose couplings are dense or a `couplings.Sparse` layer.
    rule
        A rule, or several that act on different quantities or together.
    u
        Initial states (..., N); rows are presentations at the same couplings.
    epochs
        Epochs in all, those of `resume` included.
    steps
        Steps of an epoch that the rules see; 1 is learning on line.
    x
        Drive: constant (I,), or that of every epoch (transient + steps, ..., I).
    transient
        Steps of every epoch before those.
    observe
        Analyses by name, ``f(cell, u) -> number, tensor or Result``, called with the cell as it is
        and the state reached, e.g. ``lambda f, u: snt.analysis.max_lyapunov(f, u, 1000)``.
    every
        Epochs between two observations; 0 is the first.
    control
        The rules of the control run: none by default, so that nothing changes there; None leaves it
        out.
    generator
        Source of the noise, which learner and control read alike; None is torch's global one.
    resume
        A history to go on from: the same call with it finishes what was interrupted, and with a
        generator that stands where it stood, to the same bits.

    Raises
    ------
    ValueError
        On wrong arguments, or if an analysis fails before learning.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(50), gain=5, transfer="tanh01")
    >>> radius = lambda f, u: snt.analysis.jacobian_spectrum(f, u).radius
    >>> rule = snt.plasticity.HebbianForgetting()
    >>> history = snt.plasticity.learn(
    ...     cell, rule, torch.rand(50), 3, steps=100, observe={"radius": radius}
    ... )
    >>> history["radius"].shape, history.control["radius"].shape
    (torch.Size([4]), torch.Size([4]))
    """
    rules = _check_rules("rule", rule, cell)
    steps, transient = checks.count("steps", steps), checks.count("transient", transient, low=0)
    epochs, every = checks.count("epochs", epochs, low=0), checks.count("every", every)
    observe = _check_observe(observe)
    enter(cell, u, transient + steps, x)
    noise_of(cell, u)
    checks.generator(generator, u.device)
    compared = None if control is None or not observe else _check_rules("control", control, cell)
    _check_resume(resume, compared is not None, u)
    with torch.inference_mode(False), torch.no_grad():
        runs = [_Run(cell, rules, u, observe, resume)]
        if compared is not None:
            runs.append(_Run(cell, compared, u, observe, resume and resume.control))
        stopped = _go(
            runs, epochs, every, lambda both: _learn(both, steps, transient, x, generator)
        )
    last = runs[1].history(None, stopped) if compared is not None else None
    return runs[0].history(last, stopped)


class _Run:
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
            raise _DivergedError(str(error)) from error
        rates = self.cell.rate(torch.cat([self.u.unsqueeze(0), orbit])[-steps - 1 :])
        changes = [
            rule.at(self.epoch)(getattr(self.cell, rule.target), rates[:-1], rates[1:])
            for rule in self.rules
        ]
        for rule, change in zip(self.rules, changes, strict=True):
            if not math.isfinite(float(change.sum())):
                raise _DivergedError(f"{rule.target}: expected a finite change")
        return orbit[-1].clone(), changes

    def commit(self, u: Tensor, changes: list[Tensor]) -> None:
        """Finish an epoch."""
        for rule, change in zip(self.rules, changes, strict=True):
            _entries(self.cell, rule.target).add_(change)
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
            raise _DivergedError(f"{name}: {error}") from error


class _DivergedError(Exception):
    """Numbers left the finite ones: the run ends, its history stays."""


def _go(runs: list[_Run], epochs: int, every: int, epoch: Callable[[list[_Run]], None]) -> str:
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
    except _DivergedError as error:
        return f"diverged {moment}: {error}"


def _learn(
    runs: list[_Run],
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


def _entries(cell: SNTCell, target: str) -> Tensor:
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


def _check_rules(name: str, rule: object, cell: object) -> Sequence[Rule]:
    if not isinstance(cell, SNTCell):
        raise ValueError(f"cell: expected an SNTCell, got {type(cell).__name__}")
    rules = [rule] if isinstance(rule, Rule) else rule
    if not isinstance(rules, Sequence) or not all(isinstance(r, Rule) for r in rules):
        raise ValueError(f"{name}: expected a Rule or several, got {rule!r}")
    if any(r.target == "coupling" for r in rules):
        Synapses(cell.coupling)
    return rules


def _check_observe(observe: object) -> Observe:
    if observe is None:
        return {}
    if not isinstance(observe, Mapping) or not all(callable(f) for f in observe.values()):
        raise ValueError(f"observe: expected names with functions, got {observe!r}")
    return observe


def _check_resume(resume: object, control: bool, u: Tensor) -> None:
    if resume is None:
        return
    if not isinstance(resume, LearningHistory):
        raise ValueError(f"resume: expected a LearningHistory, got {type(resume).__name__}")
    if resume.state.shape != u.shape:
        expected, got = tuple(resume.state.shape), tuple(u.shape)
        raise ValueError(f"u: expected {expected}, the state of the history, got {got}")
    if control and resume.control is None:
        raise ValueError("control: expected None, since the history has no control to go on from")
