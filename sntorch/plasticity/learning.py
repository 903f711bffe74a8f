r"""Slow learning: epochs of dynamics at fixed couplings, and a change between them.

An epoch lets the network run for ``transient + steps`` steps from where it is, shows the rules its
activity in the last ``steps``, pre[t] = f(u(t)) and post[t] = f(u(t + 1)), and adds what they
return; all rules see the quantities as they were.  The state goes on into the next epoch.  Between
epochs any analysis looks at the network with its couplings frozen.

Beside it runs the *control*: the same network from the same state under the same drive and the same
noise, without learning, or with another rule.  Where a rule also forgets, a control that forgets
only, ``HebbianForgetting(rate=0)``, is needed to say what learning did.

Memory: a copy of the network for each of the two runs, made once; an epoch holds its activity,
(transient + steps, ..., N).  A rule of `hebbian` changes J in place, without a matrix dJ (see
`synapses`); constraints, and rules that return a tensor, need one dJ or a few in each run, the
constraints the same ones again in every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sntorch import checks, memory
from sntorch.cells import SNTCell
from sntorch.drives import drive_at
from sntorch.dynamics import enter
from sntorch.noise import noise_of
from sntorch.plasticity.epochs import Observe, Run, go, learn_epoch
from sntorch.plasticity.history import LearningHistory
from sntorch.plasticity.rules import TARGETS, Rule
from sntorch.plasticity.synapses import Synapses

__all__ = ["learn"]

Rules = Rule | Sequence[Rule]


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
    needed = memory.size_of(transient + steps, *u.shape, dtype=u.dtype)
    memory.afford("steps", needed, u.device, "learn in shorter epochs")
    noise_of(cell, u)
    checks.generator(generator, u.device)
    compared = None if control is None or not observe else _check_rules("control", control, cell)
    _check_resume(resume, compared is not None, u)
    with torch.inference_mode(False), torch.no_grad():
        if x is not None:
            cell.map(u, drive_at(x, 0))  # refuses a drive that it cannot read
        runs = [Run(cell, rules, u, observe, resume)]
        if compared is not None:
            runs.append(Run(cell, compared, u, observe, resume and resume.control))
        stopped = go(
            runs, epochs, every, lambda both: learn_epoch(both, steps, transient, x, generator)
        )
    last = runs[1].history(None, stopped) if compared is not None else None
    return runs[0].history(last, stopped)


def _check_rules(name: str, rule: object, cell: object) -> Sequence[Rule]:
    if not isinstance(cell, SNTCell):
        raise ValueError(f"cell: expected an SNTCell, got {type(cell).__name__}")
    rules = [rule] if isinstance(rule, Rule) else rule
    if not isinstance(rules, Sequence) or not all(isinstance(r, Rule) for r in rules):
        raise ValueError(f"{name}: expected a Rule or several, got {rule!r}")
    for r in rules:
        if getattr(r, "target", None) not in TARGETS:
            expected, got = ", ".join(TARGETS), getattr(r, "target", None)
            raise ValueError(f"{name}: expected a target among {expected}, got {got!r} of {r!r}")
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
