"""Accuracy and memory of networks against their exponents: the record of the gain sweep."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from torch import Tensor

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
from sntorch.studies.peaks import Peak, peak
from sntorch.studies.study import Study

__all__ = ["FIXED", "MEASURES", "SWEPT", "GainSweep"]

_FORGETS = math.log(0.9)  # nats per step: the trace of `PlasticSNTCell` by default
_NEAR = 0.1  # nats per step: what counts as at the edge
SWEPT = {"frozen": "SNT, frozen", "trained": "SNT, trained", "plastic": "SNT, plastic"}
FIXED = {"orthogonal": "orthogonal RNN", "rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
MEASURES = ("accuracy", "exponent before", "exponent after", "memory before", "memory after")


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
    first: int
    """The seed of the first network of a point."""

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

    def best(self, kind: str, what: str = "accuracy") -> tuple[int, float, float]:
        """Return the point where a kind is best, and between which mean exponents it is as good.

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

    def peak(self, kind: str) -> Peak:
        """Return where the memory of a kind is largest before learning; places are ln gain."""
        found = self.points(kind)
        memory, against = self.measured("memory")
        return peak(self.gains[found].log(), memory[found], against[found])

    def scalars(self) -> dict[str, float]:
        """Return the best accuracy and memory of every kind, and the exponents where they are.

        Of a kind that was swept the memory is that at the top of its curve, with its errors.
        """
        named: dict[str, float] = {}
        for kind in dict.fromkeys(self.kinds):
            for what in ("accuracy", "memory"):
                values, against = self.measured(what)
                best = self.best(kind, what)[0]
                named[f"{kind}/{what}"] = float(values[best].mean())
                named[f"{kind}/{what}_exponent"] = float(against[best].mean())
        for kind in self.swept:
            top = self.peak(kind)
            named |= {f"{kind}/memory": top.height, f"{kind}/memory_stderr": top.height_stderr,
                      f"{kind}/memory_exponent": top.beside,
                      f"{kind}/memory_exponent_stderr": top.beside_stderr}  # fmt: skip
        return named

    def table(self) -> str:
        """Return every point, means over seeds with standard errors, and what they say."""
        seeds = self.accuracy.shape[1]
        lines = [f"{self.task}; chance {self.chance:.3f}; {seeds} seeds"]
        lines.append(f"{'network':16}{'gain':>6}" + "".join(f"{name:>17}" for name in MEASURES))
        for i, kind in enumerate(self.kinds):
            gain = float(self.gains[i])
            cells = [self.accuracy[i], *self.exponents[i].unbind(-1), *self.memory[i].unbind(-1)]
            shown = "" if math.isnan(gain) else f"{gain:.3g}"
            lines.append(f"{kind:16}{shown:>6}" + "".join(f"{_shown(c):>17}" for c in cells))
        lines += [self._accuracy(kind) for kind in self.swept]
        lines += [self._memory(kind) for kind in self.distinct]
        if SWEPT["plastic"] in self.kinds:
            lines.append(
                "Exponents of SNT, plastic are those of neurons and trace together: before "
                f"learning none is below that of the trace's own forgetting, {_FORGETS:.3f}, which "
                "is near the edge whatever the neurons do."
            )
        return "\n".join(lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return every network: a point and a seed."""
        return [
            {"network": kind, "gain": float(self.gains[i]), "seed": self.first + s}
            | dict(zip(MEASURES, [float(self.accuracy[i, s]), *self.exponents[i, s].tolist(),
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

    def _accuracy(self, kind: str) -> str:
        values, against = self.measured("accuracy")
        best, low, high = self.best(kind)
        margin = 2 * float(_errors(against[best])) + _NEAR
        reached = low <= margin and high >= -margin
        return (
            f"{kind}: accuracy is best, {_shown(values[best])}, at exponent "
            f"{_shown(against[best])}, within errors as good from {low:.2f} to {high:.2f}, which "
            f"{'reaches' if reached else 'stays away from'} the edge (0 ± {_NEAR}, and two errors)."
        )

    def _memory(self, kind: str) -> str:
        top, (_, low, high) = self.peak(kind), self.best(kind, "memory")
        gain, exponent = math.exp(top.place), abs(top.beside)
        if not top.inside:
            return (
                f"{kind}: memory is largest at an end of the gains, {gain:.3g}: its peak, and the "
                f"exponent there, are not known."
            )
        away = (exponent - _NEAR) / top.beside_stderr if top.beside_stderr else math.inf
        near = "within" if away <= 0 else "within errors of" if away < 2 else "not within"
        side = "below" if top.beside < 0 else "above"
        return (
            f"{kind}: memory is largest, {top.height:.2f} ± {top.height_stderr:.2f}, at gain "
            f"{gain:.3f} ± {gain * top.place_stderr:.3f} and an exponent of {exponent:.3f} ± "
            f"{top.beside_stderr:.3f} {side} the edge, {near} {_NEAR} of it; gains that were tried "
            f"are within errors as good from {low:.2f} to {high:.2f}."
        )


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
        if what == "accuracy" or kind in result.distinct or kind not in SWEPT.values():
            ax.errorbar(x.mean(1), y.mean(1), _errors(y), _errors(x), label=kind, **look)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(0, label="edge of chaos", **dotted)
    if what == "memory":
        _draw_tops(result, ax)
    if what == "accuracy":
        ax.axhline(result.chance, label="chance", **THEORY)
        ax.set_ylim(None, 1.02)
        name_axes(ax, "largest exponent before learning (nats / step)", "test accuracy")
        finish(ax, "Accuracy", values, result.task)
    else:
        name_axes(ax, "largest exponent under random numbers (nats / step)", "memory (steps)")
        finish(ax, "Memory capacity, before and (light) after learning", values)


def _draw_tops(result: GainSweep, ax: Any) -> None:
    """Mark where memory is largest, with the errors of the place."""
    tops = [top for top in map(result.peak, result.distinct) if top.inside]
    for i, top in enumerate(tops):
        errors = {"xerr": top.beside_stderr, "yerr": top.height_stderr}
        look: dict[str, Any] = {"marker": "x", "color": "black", "linestyle": "", "zorder": 4}
        label = None if i else "top of the curve"
        ax.errorbar(top.beside, top.height, **errors, label=label, elinewidth=0.8, **look)


@plot.register(GainSweep)
@style()
def _(result: GainSweep, ax: Any = None) -> Any:
    ax = on(ax)
    _draw(result, "accuracy", ax)
    return ax
