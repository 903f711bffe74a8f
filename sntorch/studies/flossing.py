r"""Gradient flossing: whether exponents kept near zero let a network learn over longer delays.

An ``nn.RNN`` with torch's own initial weights forgets fast: they are uniform with standard
deviation :math:`1/\sqrt{3N}`, so that its largest exponent is about ln(1/sqrt 3) = -0.55 per step,
and an error sent back over t steps shrinks like exp(-0.55 t).  Two copies of it learn the same task
from the same batches: one as it is, one whose first k exponents are pulled to a target before and
while it learns (`sntorch.training.GradientFlossing`).  Both make the same number of optimiser
steps: those of the regulariser are taken off the batches that the second may see.

The norm of an error that is sent back from the end of a long drive, test sequences one after
another, is measured too, and the rate at which it shrinks beside the largest exponent of the same
steps: transposed products of the same matrices, they grow at the same rate.

What came out, for delayed XOR at delay 10 and seeds 10 to 14: after 1000 steps all flossed networks
are perfect, and the plain ones guess, 0.499 +- 0.002.  Rates and numbers of steps were chosen on
other seeds, 0 to 9 and 100 to 119.  There, with 400 steps in all, 23 of 25 flossed networks learned
the task; of the two others one did with 1000.  Of plain networks none of 15 did with 400 steps,
and none of 8 with 1000; at twice the rate 1 of 25 did with 400.

The default setting takes about two minutes; a fuller one has ``seeds=10`` and longer delays.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    LIGHT,
    MIDDLE,
    THEORY,
    StyledFigure,
    finish,
    headline,
    name_axes,
    on,
)
from sntorch.studies.contenders import TASKS, delayed, learner, network, reading
from sntorch.studies.gradients import Look, draw_norms, look
from sntorch.studies.study import Study, earlier
from sntorch.training import GradientFlossing, Task
from sntorch.training.trial import trial

__all__ = ["Flossing", "run"]

_ROWS, _STEPS = 8, 300  # of the drive on which exponents and gradients are measured
_WAYS = ("plain", "flossed")
_TABLES = ("accuracy", "exponents", "decay", "errors", "norms")
_MEASURES = ("accuracy", "exponent before", "exponent after", "gradient before", "gradient after")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Flossing(Study):
    """What the networks of S seeds had learned, plain and flossed, so far."""

    accuracy: Tensor
    """(S, 2), on the test sequences: plain, flossed."""
    exponents: Tensor
    """(S, 2, 2), largest exponent under the input, nats per step: plain, flossed; before learning
    (and after flossing), after it."""
    decay: Tensor
    """(S, 2, 2), the rate at which the gradient changes per step on its way back, likewise."""
    errors: Tensor
    """(S, 2, 2), standard errors of the exponents, over time and rows."""
    norms: Tensor
    """(S, 2, 2, T), logarithm of the norm of an error t steps back, mean over rows, likewise."""
    batches: tuple[int, int]
    """Batches that each way has learned from."""
    chance: float
    """Accuracy of guessing."""
    task: str
    """What was learned, in a few words."""
    planned: int
    """Seeds that the whole study has."""
    first: int
    """The first of them."""

    @property
    def difference(self) -> tuple[float, float]:
        """Mean over seeds of flossed less plain accuracy, and its standard error."""
        return _mean(self.accuracy[:, 1] - self.accuracy[:, 0])

    @property
    def mismatch(self) -> tuple[float, float]:
        """Mean over all networks of decay less exponent, and its standard error."""
        return _mean((self.decay - self.exponents).flatten())

    @property
    def progress(self) -> str:
        """The accuracies of the last seed."""
        plain, flossed = self.accuracy[-1].tolist()
        return (
            f"[{len(self.accuracy)}/{self.planned}] accuracy {plain:.3f} plain, "
            f"{flossed:.3f} flossed (chance {self.chance:.3f})"
        )

    def scalars(self) -> dict[str, float]:
        """Return mean accuracies, their difference and its error, and the mean exponents."""
        mean, error = self.difference
        named = {"difference": mean, "difference_stderr": error}
        for i, way in enumerate(_WAYS):
            named[f"{way}/accuracy"] = float(self.accuracy[:, i].mean())
            named[f"{way}/exponent_before"] = float(self.exponents[:, i, 0].mean())
            named[f"{way}/exponent_after"] = float(self.exponents[:, i, 1].mean())
        gap, error = self.mismatch
        return named | {"gradient_less_exponent": gap, "gradient_less_exponent_stderr": error}

    def table(self) -> str:
        """Return both ways side by side, means over seeds with standard errors."""
        lines = [f"{self.task}; chance {self.chance:.3f}; {len(self.accuracy)} seeds"]
        lines.append(f"{'':28}" + "".join(f"{way:>18}" for way in _WAYS))
        lines.append(f"{'batches':28}" + "".join(f"{count:18d}" for count in self.batches))
        for name, values in zip(_MEASURES, self._columns(), strict=True):
            lines.append(f"{name:28}" + "".join(f"{_shown(v):>18}" for v in values.unbind(1)))
        mean, error = self.difference
        lines.append(
            f"Flossed less plain: {mean:.3f} ± {error:.3f}, {abs(mean / error):.1f} errors."
        )
        gap, error = self.mismatch
        lines.append(
            f"Gradients grow by their exponent and {gap:.4f} ± {error:.4f} nats per step; a single "
            f"exponent is known to {float(self.errors.mean()):.4f}."
        )
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return every network: a seed and a way."""
        columns = self._columns()
        return [
            {"seed": self.first + s, "way": way, "batches": self.batches[i]}
            | {name: float(v[s, i]) for name, v in zip(_MEASURES, columns, strict=True)}
            for s in range(len(self.accuracy)) for i, way in enumerate(_WAYS)
        ]  # fmt: skip

    def picture(self) -> Any:
        """Return accuracy against the exponent before learning, and gradients through time."""
        with style():
            fig = StyledFigure(figsize=(10, 4.2))
            plot(self, fig.add_subplot(1, 2, 1))
            shown = self.norms[:, :, 0], self.exponents[..., 0]
            draw_norms(_WAYS, *shown, fig.add_subplot(1, 2, 2))
            headline(fig, "Learning with and without gradient flossing")
        return fig

    def _columns(self) -> list[Tensor]:
        parts = [self.exponents[..., 0], self.exponents[..., 1]]
        return [self.accuracy, *parts, self.decay[..., 0], self.decay[..., 1]]


def run(
    *,
    task: str = "delayed_xor",
    delay: int = 10,
    size: int = 64,
    k: int = 32,
    target: float = 0.0,
    updates: int = 1000,
    pretrain: int = 100,
    every_n_steps: int = 40,
    until: int = 200,
    lr: float = 0.003,
    flossing_lr: float = 0.003,
    seeds: int = 5,
    seed: int = 10,
    known: str | None = None,
) -> Iterator[Flossing]:
    """Yield the study with one seed more each time.

    Parameters
    ----------
    task
        ``"delayed_xor"`` or ``"copy"``.
    delay
        Of the task, in steps.
    size
        Neurons.
    k, target, pretrain, every_n_steps, until
        Of the regulariser, as in `GradientFlossing`.
    updates
        Optimiser steps of each network, those of the regulariser included.
    lr, flossing_lr
        Learning rates of the task and of the regulariser.
    seeds
        Networks of each kind.
    seed
        The first of them.
    known
        The file ``record.pt`` of a run with the same arguments that was interrupted: what it knows
        comes first, and is not learned again.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).
    """
    checks.one_of("task", task, TASKS)
    checks.count("size", size)
    checks.count("seeds", seeds)
    checks.count("seed", seed, low=0)
    settings = {"k": checks.count("k", k, high=size), "target": target, "pretrain": pretrain,
                "every_n_steps": every_n_steps, "until": until, "lr": flossing_lr}  # fmt: skip
    GradientFlossing(**settings)
    during = -(-until // every_n_steps) if every_n_steps else 0
    left = checks.count("updates", updates, low=pretrain + during + 1) - pretrain - during
    rates = (checks.positive("lr", lr), updates, left)
    about = {"task": f"{task}, delay {delay}, nn.RNN of {size} units", "batches": (updates, left),
             "first": seed}  # fmt: skip
    tables = earlier(known, about, _TABLES)
    for s in range(seed, seed + seeds):
        data = delayed(task, delay, s)
        if s - seed >= len(tables["accuracy"]):
            pair = [_learn(data, size, w, s, rates) for w in (None, settings | {"seed": s})]
            for name in _TABLES:
                tables[name].append(torch.stack([way[name] for way in pair]))
        so_far = {name: torch.stack(each[: s - seed + 1]) for name, each in tables.items()}
        yield Flossing(**so_far, **about, chance=data.chance, planned=seeds)


def _learn(
    task: Task, size: int, floss: dict[str, Any] | None, seed: int, rates: tuple[float, int, int]
) -> dict[str, Tensor]:
    """Return a row of every table: accuracy, and the looks before and after learning."""
    lr, updates, left = rates
    model = learner(network("rnn", task.input_size, size, seed), task, lr)
    x = reading(task, _STEPS, _ROWS)
    looks: list[Look] = []
    callbacks = [] if floss is None else [GradientFlossing(**floss)]
    steps = updates if floss is None else left
    tested = trial(
        model, task, steps, callbacks=callbacks, ready=lambda m: looks.append(look(m, x))
    )
    looks.append(look(model, x))
    return {
        "accuracy": torch.tensor(tested["test/accuracy"], dtype=torch.float64),
        "exponents": torch.stack([each.exponent for each in looks]),
        "decay": torch.stack([each.decay for each in looks]),
        "errors": torch.stack([each.error for each in looks]),
        "norms": torch.stack([each.norms for each in looks]),
    }


def _mean(values: Tensor) -> tuple[float, float]:
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return float(values.mean()), error


def _shown(values: Tensor) -> str:
    return "{:.3f} ± {:.3f}".format(*_mean(values))


@plot.register(Flossing)
@style()
def _(result: Flossing, ax: Any = None) -> Any:
    ax = on(ax)
    before = result.exponents[..., 0]
    for pair, accuracy in zip(before, result.accuracy, strict=True):
        ax.plot(pair, accuracy, color=LIGHT, linewidth=0.8)
    for i, (colour, marker) in enumerate(((MIDDLE, "s"), (DARK, "o"))):
        ax.plot(before[:, i], result.accuracy[:, i], marker=marker, color=LIGHT, linestyle="")
        mean, errors = zip(*(_mean(each[:, i]) for each in (before, result.accuracy)), strict=True)
        look = {"color": colour, "marker": marker, "linestyle": "", "zorder": 3}
        ax.errorbar(*mean, errors[1], errors[0], label=f"{_WAYS[i]}, mean ± s.e.", **look)
    ax.axhline(result.chance, label="chance", **THEORY)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(0, label="edge of chaos", **dotted)
    ax.set_ylim(None, 1.02)
    name_axes(ax, "largest exponent before learning (nats / step)", "test accuracy")
    return finish(ax, "Accuracy and exponent", result.accuracy, result.task)
