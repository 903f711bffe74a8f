r"""Gradient flossing: whether exponents kept near zero let a network learn over longer delays.

An ``nn.RNN`` with torch's own initial weights forgets fast: they are uniform with standard
deviation :math:`1/\sqrt{3N}`, so that its largest exponent is about ln(1/sqrt 3) = -0.55 per step,
and an error sent back over t steps shrinks like exp(-0.55 t).  Two copies of it learn the same task
from the same batches: one as it is, one whose first k exponents are pulled to a target before and
while it learns (`sntorch.training.GradientFlossing`).  Both make the same number of optimiser
steps: those of the regulariser are taken off the batches that the second may see.

The rate at which the gradient shrinks on its way back is measured too, beside the exponent.  The
two agree where one direction leads; where many exponents are near zero no direction does, and over
a window as short as a sequence they differ by a few hundredths.

The default setting takes about a minute; a fuller one has ``seeds=10``, longer delays and, since
the plain network may only need longer, more ``updates``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.analysis import max_lyapunov
from sntorch.dynamics import as_dynamics, observing, rollout
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, LIGHT, MIDDLE, THEORY, finish, name_axes, on
from sntorch.studies.study import Study
from sntorch.training import CopyTask, DelayedXorTask, GradientFlossing, SequenceModel
from sntorch.training.trial import trial

__all__ = ["Flossing", "run"]

_ROWS = 32  # sequences on which exponents and gradients are measured
_WAYS = ("plain", "flossed")
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
    batches: tuple[int, int]
    """Batches that each way has learned from."""
    chance: float
    """Accuracy of guessing."""
    task: str
    """What was learned, in a few words."""
    planned: int
    """Seeds that the whole study has."""

    @property
    def difference(self) -> tuple[float, float]:
        """Mean over seeds of flossed less plain accuracy, and its standard error."""
        gap = self.accuracy[:, 1] - self.accuracy[:, 0]
        error = float(gap.std()) / len(gap) ** 0.5 if len(gap) > 1 else math.nan
        return float(gap.mean()), error

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
        return named

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
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the accuracy of every network against its exponent before learning."""
        return figure(self, title="Learning with and without gradient flossing")

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
    updates: int = 400,
    pretrain: int = 60,
    every_n_steps: int = 40,
    until: int = 200,
    lr: float = 0.003,
    flossing_lr: float = 0.003,
    seeds: int = 5,
    seed: int = 0,
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

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).
    """
    checks.one_of("task", task, ("delayed_xor", "copy"))
    checks.count("size", size)
    checks.count("seeds", seeds)
    checks.count("seed", seed, low=0)
    settings = {"k": checks.count("k", k, high=size), "target": target, "pretrain": pretrain,
                "every_n_steps": every_n_steps, "until": until, "lr": flossing_lr}  # fmt: skip
    GradientFlossing(**settings)
    during = -(-until // every_n_steps) if every_n_steps else 0
    left = checks.count("updates", updates, low=pretrain + during + 1) - pretrain - during
    rates = (checks.positive("lr", lr), updates, left)
    rows = []
    for s in range(seed, seed + seeds):
        data = DelayedXorTask(delay=delay, steps=3 * delay, sequences=2048, batch_size=32, seed=s)
        if task == "copy":
            data = CopyTask(delay=delay, length=2, batch_size=32, seed=s)
        ways = (None, settings | {"seed": s})
        rows.append([_learn(data, size, way, s, rates) for way in ways])
        table = torch.tensor(rows, dtype=torch.float64)
        yield Flossing(
            accuracy=table[..., 0],
            exponents=table[..., 1:3],
            decay=table[..., 3:5],
            batches=(updates, left),
            chance=data.chance,
            task=f"{task}, delay {delay}, nn.RNN of {size} units",
            planned=seeds,
        )


def _learn(
    task: Any, size: int, floss: dict[str, Any] | None, seed: int, rates: tuple[float, int, int]
) -> list[float]:
    """Return accuracy, both exponents and both decay rates of one network."""
    lr, updates, left = rates
    layer = nn.RNN(task.input_size, size, batch_first=True)
    draw = np.random.default_rng(seed)
    with torch.no_grad():
        for p in layer.parameters():  # torch's own initial weights, from a stream of the seed
            p.copy_(torch.from_numpy(draw.uniform(-1, 1, tuple(p.shape)) / size**0.5))
    model = SequenceModel(
        layer,
        task.output_size,
        when="every",
        optimizer=functools.partial(torch.optim.Adam, lr=lr),
    )
    nn.init.zeros_(model.readout.weight)
    nn.init.zeros_(model.readout.bias)
    task.setup("fit")
    x = task.parts["test"].tensors[0][:_ROWS].transpose(0, 1)
    seen: list[tuple[float, float]] = []
    callbacks = [] if floss is None else [GradientFlossing(**floss)]
    steps = updates if floss is None else left
    tested = trial(
        model, task, steps, callbacks=callbacks, ready=lambda m: seen.append(_measure(m, x))
    )
    first, last = seen[0], _measure(model, x)
    return [tested["test/accuracy"], first[0], last[0], first[1], last[1]]


def _measure(model: nn.Module, x: Tensor) -> tuple[float, float]:
    """Return the largest exponent under x (T, R, I), and the rate of the gradient on its way back.

    The second follows a random error that is sent back through the same steps.
    """
    f, steps = as_dynamics(model), len(x) - len(x) // 4
    u = x.new_zeros(x.shape[1], f.size)
    skipped = len(x) - steps
    spectrum = max_lyapunov(f, u, steps, transient=skipped, x=x)
    with observing(f, u):
        orbit = torch.cat([u[None], rollout(f, u, len(x), x=x)[:-1]])
        W = torch.randn(*u.shape, 1, generator=torch.Generator(), dtype=u.dtype)
        logs = u.new_zeros(len(u))
        for t in reversed(range(len(x))):
            W = f.vjp(orbit[t], W, x[t])[1]
            norm = W.norm(dim=(-2, -1), keepdim=True)
            W = W / norm
            if t < steps:  # the first steps back turn the error into the direction that lasts
                logs += norm.flatten().log()
    return float(spectrum.exponents.mean()), float(logs.mean() / steps)


def _shown(values: Tensor) -> str:
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{float(values.mean()):.3f} ± {error:.3f}"


@plot.register(Flossing)
@style()
def _(result: Flossing, ax: Any = None) -> Any:
    ax = on(ax)
    looks = ((MIDDLE, "s"), (DARK, "o"))
    before = result.exponents[..., 0]
    for pair, accuracy in zip(before, result.accuracy, strict=True):
        ax.plot(pair, accuracy, color=LIGHT, linewidth=0.8)
    for i, (colour, marker) in enumerate(looks):
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": "", "zorder": 3}
        ax.plot(before[:, i], result.accuracy[:, i], label=_WAYS[i], **look)
    ax.axhline(result.chance, label="chance", **THEORY)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(0, label="edge of chaos", **dotted)
    ax.set_ylim(None, 1.02)
    name_axes(ax, "largest exponent before learning (nats / step)", "test accuracy")
    return finish(ax, "Accuracy and exponent", result.accuracy, result.task)
