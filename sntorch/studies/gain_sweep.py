r"""Does the edge of chaos help?  Accuracy and memory against the measured largest exponent.

Networks of N neurons learn a task with a delay: SNT networks at many gains, once frozen, with a
readout that is solved for (`sntorch.training.fit_readout`), and once trained through time, all
weights of them; and torch's RNN, GRU and LSTM and an orthogonal RNN beside them, under the same
loop, from the same batches, with the same number of steps.  The largest exponent is measured, not
inferred from the gain, under the task's own drive.  The memory capacity of the state
(`sntorch.analysis.memory`) is measured before and after learning under random numbers of the
variance of one unit, and the exponent that stands beside it under such numbers too: what a network
reads suppresses chaos, and with another drive comes another edge.

What to look for: for a frozen network the exponent decides, since it can neither remember in a
network that forgets nor read from one that is chaotic.  A network that is trained moves its
exponent itself, and starts from a wide range of gains may end alike.

``experiment=edge/gain_sweep`` takes about two minutes; a full one has
``size=128 seeds=10 updates=1500 samples=5000 delays=200``.  ``experiment=edge/plastic`` is the same
study of networks whose synapses have a Hebbian trace (`sntorch.plasticity.PlasticSNTCell`); their
exponents are those of neurons and trace together, which no gain brings below that of the trace's
own forgetting.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    THEORY,
    StyledFigure,
    finish,
    headline,
    name_axes,
    on,
)
from sntorch.studies.contenders import delayed, exponent, learner, memory, network, reading
from sntorch.studies.study import Study
from sntorch.training import SequenceModel, Task, fit_readout
from sntorch.training.trial import score, trial

__all__ = ["GainSweep", "run"]

_NEAR = 0.1  # nats per step: what counts as at the edge
_STEPS, _ROWS = 300, 4  # of the drives under which exponents are measured
_SWEPT = {"frozen": "SNT, frozen", "trained": "SNT, trained", "plastic": "SNT, plastic"}
_FIXED = {"orthogonal": "orthogonal RNN", "rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
_MEASURES = ("accuracy", "exponent before", "exponent after", "memory before", "memory after")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GainSweep(Study):
    """What P points, a kind of network at a gain each, reached with S seeds, so far."""

    kinds: tuple[str, ...]
    """The kind of each point."""
    gains: Tensor
    """(P,), NaN where there is none to choose."""
    accuracy: Tensor
    """(P, S), on the test sequences."""
    exponents: Tensor
    """(P, S, 2), largest exponent under the task's drive, nats per step: before and after."""
    memory: Tensor
    """(P, S, 2), memory capacity likewise, in steps."""
    memory_exponents: Tensor
    """(P, S, 2), largest exponent under the drive of the memory capacity."""
    chance: float
    """Accuracy of guessing."""
    task: str
    """What was learned, in a few words."""
    planned: int
    """Points that the whole study has."""

    @property
    def progress(self) -> str:
        """The last point."""
        gain = float(self.gains[-1])
        at = "" if math.isnan(gain) else f" at gain {gain:.3g}"
        return (
            f"[{len(self.kinds)}/{self.planned}] {self.kinds[-1]}{at}: exponent "
            f"{float(self.exponents[-1, :, 0].mean()):.3f}, accuracy "
            f"{float(self.accuracy[-1].mean()):.3f}, memory {float(self.memory[-1].mean()):.1f}"
        )

    def points(self, kind: str) -> list[int]:
        """Return the indices of the points of a kind, by gain."""
        return [i for i, each in enumerate(self.kinds) if each == kind]

    @property
    def swept(self) -> list[str]:
        """Kinds that were looked at with more than one gain."""
        return [kind for kind in dict.fromkeys(self.kinds) if len(self.points(kind)) > 1]

    def peak(self, kind: str, what: str = "accuracy") -> tuple[int, float, float]:
        """Return where a kind is best, and between which mean exponents it is as good.

        As good is what lies within the two standard errors, added in squares, of the best mean.

        Parameters
        ----------
        kind
            One of `swept`.
        what
            ``"accuracy"``, against the exponent before learning, or ``"memory"``, before learning.
        """
        values, against = self.measured(what)
        found = self.points(kind)
        mean, error = values[found].mean(1), _errors(values[found])
        best = int(mean.argmax())
        margin = (error.square() + error[best].square()).sqrt().nan_to_num()
        alike = against[found].mean(1)[mean >= mean[best] - margin]
        return found[best], float(alike.min()), float(alike.max())

    def scalars(self) -> dict[str, float]:
        """Return the best accuracy and memory of every kind, and the exponents where they are."""
        named: dict[str, float] = {}
        for kind in dict.fromkeys(self.kinds):
            for what in ("accuracy", "memory"):
                values, against = self.measured(what)
                best = self.peak(kind, what)[0]
                named[f"{kind}/{what}"] = float(values[best].mean())
                named[f"{kind}/{what}_exponent"] = float(against[best].mean())
        return named

    def table(self) -> str:
        """Return every point, means over seeds with standard errors, and what they say."""
        seeds = self.accuracy.shape[1]
        lines = [f"{self.task}; chance {self.chance:.3f}; {seeds} seeds"]
        lines.append(f"{'network':16}{'gain':>6}" + "".join(f"{name:>17}" for name in _MEASURES))
        for i, kind in enumerate(self.kinds):
            gain = float(self.gains[i])
            cells = [self.accuracy[i], *self.exponents[i].unbind(-1), *self.memory[i].unbind(-1)]
            shown = "" if math.isnan(gain) else f"{gain:.3g}"
            lines.append(f"{kind:16}{shown:>6}" + "".join(f"{_shown(c):>17}" for c in cells))
        lines += [self._verdict(kind, "accuracy") for kind in self.swept]
        lines += [self._verdict(kind, "memory") for kind in self.distinct]
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return every network: a point and a seed."""
        return [
            {"network": kind, "gain": float(self.gains[i]), "seed": s}
            | dict(zip(_MEASURES, [float(self.accuracy[i, s]), *self.exponents[i, s].tolist(),
                                   *self.memory[i, s].tolist()], strict=True))
            | dict(zip(("memory exponent before", "memory exponent after"),
                       self.memory_exponents[i, s].tolist(), strict=True))
            for i, kind in enumerate(self.kinds) for s in range(self.accuracy.shape[1])
        ]  # fmt: skip

    def picture(self) -> Any:
        """Return accuracy and memory, each against its exponent."""
        with style():
            fig = StyledFigure(figsize=(10, 4.4))
            for i, what in enumerate(("accuracy", "memory")):
                _draw(self, what, fig.add_subplot(1, 2, i + 1))
            headline(fig, "Does the edge of chaos help?")
        return fig

    def measured(self, what: str) -> tuple[Tensor, Tensor]:
        """Return accuracy or memory (P, S), and the exponent before learning beside it."""
        if what == "accuracy":
            return self.accuracy, self.exponents[..., 0]
        return self.memory[..., 0], self.memory_exponents[..., 0]

    @property
    def distinct(self) -> list[str]:
        """Kinds that were swept, without those that start as another one does."""
        same = "SNT, frozen" in self.swept
        return [kind for kind in self.swept if kind != "SNT, trained" or not same]

    def _verdict(self, kind: str, what: str) -> str:
        values, against = self.measured(what)
        best, low, high = self.peak(kind, what)
        reached = low <= _NEAR and high >= -_NEAR
        return (
            f"{kind}: {what} is best, {_shown(values[best])}, at exponent {_shown(against[best])}, "
            f"within errors as good from {low:.2f} to {high:.2f}, which "
            f"{'reaches' if reached else 'stays away from'} the edge (0 ± {_NEAR})."
        )


def run(
    *,
    task: str = "delayed_xor",
    delay: int = 8,
    gains: Sequence[float] = (0.3, 0.6, 0.8, 0.9, 1.0, 1.2, 1.6, 2.5),
    swept: Sequence[str] = ("frozen", "trained"),
    fixed: Sequence[str] = ("orthogonal", "rnn", "gru", "lstm"),
    size: int = 64,
    read: float = 0.1,
    updates: int = 150,
    lr: float = 0.003,
    penalty: float = 1e-6,
    samples: int = 1000,
    delays: int = 60,
    seeds: int = 3,
    seed: int = 0,
) -> Iterator[GainSweep]:
    """Yield the study with one point more each time.

    Parameters
    ----------
    task
        ``"delayed_xor"`` or ``"copy"``.
    delay
        Of the task, in steps.
    gains
        In ascending order, of the SNT networks.
    swept
        SNT networks to look at: ``"frozen"``, ``"trained"``, ``"plastic"``.
    fixed
        Networks beside them, at their usual initial weights: ``"orthogonal"``, ``"rnn"``,
        ``"gru"``, ``"lstm"``.
    size
        N.
    read
        Standard deviation of what a neuron of an SNT network reads, and of its thresholds.
    updates
        Optimiser steps of all networks that are trained.
    lr
        Learning rate of Adam.
    penalty
        Of the readout of frozen networks, as in `fit_readout`.
    samples, delays
        Steps from which the memory capacity is measured, and delays that it counts.
    seeds
        Networks per point, at least 2.
    seed
        The first of them.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    N. Bertschinger, T. Natschlaeger, Neural Comput. 16 (2004) 1413.

    Examples
    --------
    >>> settings = {"size": 8, "delay": 2, "updates": 3, "samples": 60, "delays": 10, "seeds": 2}
    >>> *_, found = run(gains=[0.5, 1.0], swept=["frozen"], fixed=["gru"], **settings)
    >>> found.kinds, found.accuracy.shape
    (('SNT, frozen', 'SNT, frozen', 'GRU'), torch.Size([3, 2]))
    """
    values = [checks.positive("gains", gain) for gain in gains]
    if len(values) < 2 or values != sorted(set(values)):
        raise ValueError(f"gains: expected two or more, ascending, got {list(gains)}")
    plan = [(checks.one_of("swept", kind, tuple(_SWEPT)), g) for kind in swept for g in values]
    plan += [(checks.one_of("fixed", kind, tuple(_FIXED)), math.nan) for kind in fixed]
    if not plan:
        raise ValueError("swept: expected a network to look at, got none, and none in fixed")
    checks.count("size", size)
    checks.positive("read", read)
    checks.count("updates", updates)
    checks.positive("lr", lr)
    checks.number("penalty", penalty, low=0)
    widest = 2 * size if "lstm" in fixed else size
    checks.count("samples", samples, low=max(widest + 3, checks.count("delays", delays) + 1))
    first = checks.count("seed", seed, low=0)
    data = [
        delayed(task, delay, s) for s in range(first, first + checks.count("seeds", seeds, low=2))
    ]
    found: list[list[list[float]]] = []
    for kind, gain in plan:
        settings = {"gain": 1.0 if math.isnan(gain) else gain, "read": read}
        rows = []
        for s, each in enumerate(data, first):
            known = {"frozen": "snt", "trained": "snt"}.get(kind, kind)
            layer = network(known, each.input_size, size, s, **settings, trained=kind != "frozen")
            model = learner(layer, each, lr)
            look = _Look(each, samples, delays)
            before = look(model)
            if kind == "frozen":
                tested, after = score(fit_readout(model, each, penalty=penalty), each), before
            else:
                tested = trial(model, each, updates)
                after = look(model)
            rows.append([tested["test/accuracy"], *before, *after])
        found.append(rows)
        table = torch.tensor(found, dtype=torch.float64)
        yield GainSweep(
            kinds=tuple((_SWEPT | _FIXED)[kind] for kind, _ in plan[: len(found)]),
            gains=torch.tensor([gain for _, gain in plan[: len(found)]], dtype=torch.float64),
            accuracy=table[..., 0],
            exponents=table[..., [1, 4]],
            memory=table[..., [2, 5]],
            memory_exponents=table[..., [3, 6]],
            chance=data[0].chance,
            task=f"{task}, delay {delay}, {size} neurons",
            planned=len(plan),
        )


class _Look:
    """Measures a model: exponent under its task, memory, exponent under the drive of memory."""

    def __init__(self, task: Task, samples: int, delays: int) -> None:
        self.x, self.samples, self.delays = reading(task, _STEPS, _ROWS), samples, delays
        self.inputs = task.input_size
        bound = (3 / self.inputs) ** 0.5  # all inputs read the same number, as in `memory`
        draw = np.random.default_rng([task.seed, 1]).uniform(-bound, bound, (_STEPS, _ROWS, 1))
        self.numbers = torch.from_numpy(draw).float().repeat(1, 1, self.inputs)

    def __call__(self, model: SequenceModel) -> tuple[float, float, float]:
        """Return the three numbers."""
        kept = memory(model.recurrent, self.inputs, self.samples, self.delays)
        mine, other = (float(exponent(model, x).mean()) for x in (self.x, self.numbers))
        return mine, kept, other


def _errors(values: Tensor) -> Tensor:
    """Return the standard error over the last axis."""
    return values.std(-1) / values.shape[-1] ** 0.5


def _shown(values: Tensor) -> str:
    digits = 2 if float(values.abs().mean()) > 3 else 3
    return f"{float(values.mean()):.{digits}f} ± {float(_errors(values)):.{digits}f}"


_LOOKS: dict[str, dict[str, Any]] = {
    "SNT, frozen": {"color": GREY, "marker": "s", "markerfacecolor": "white"},
    "SNT, trained": {"color": DARK, "marker": "o"},
    "SNT, plastic": {"color": MIDDLE, "marker": "D", "markerfacecolor": "white"},
    "orthogonal RNN": {"color": MIDDLE, "marker": "P", "linestyle": ""},
    "RNN": {"color": MIDDLE, "marker": "v", "linestyle": ""},
    "GRU": {"color": MIDDLE, "marker": "^", "linestyle": ""},
    "LSTM": {"color": MIDDLE, "marker": "X", "linestyle": ""},
}


def _draw(result: GainSweep, what: str, ax: Any) -> None:
    """Draw one measure against the exponent before learning, and where memory goes from there."""
    values, against = result.measured(what)
    for kind in dict.fromkeys(result.kinds):
        at = result.points(kind)
        look: dict[str, Any] = {"elinewidth": 0.8, "linewidth": 1.2, "zorder": 3} | _LOOKS[kind]
        x, y = against[at], values[at]
        if what == "memory" and kind != "SNT, frozen":
            after = result.memory_exponents[at, :, 1].mean(1), result.memory[at, :, 1].mean(1)
            for pair in zip(x.mean(1), y.mean(1), *after, strict=True):
                ax.plot(pair[::2], pair[1::2], color=LIGHT, linewidth=0.8)
            ax.plot(*after, linestyle="", marker=look["marker"], color=LIGHT)
        if what == "accuracy" or kind in result.distinct or kind not in _SWEPT.values():
            ax.errorbar(x.mean(1), y.mean(1), _errors(y), _errors(x), label=kind, **look)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(0, label="edge of chaos", **dotted)
    if what == "accuracy":
        ax.axhline(result.chance, label="chance", **THEORY)
        ax.set_ylim(None, 1.02)
        name_axes(ax, "largest exponent before learning (nats / step)", "test accuracy")
        finish(ax, "Accuracy", values, result.task)
    else:
        name_axes(ax, "largest exponent under random numbers (nats / step)", "memory (steps)")
        finish(ax, "Memory capacity, before and (light) after learning", values)


@plot.register(GainSweep)
@style()
def _(result: GainSweep, ax: Any = None) -> Any:
    ax = on(ax)
    _draw(result, "accuracy", ax)
    return ax
