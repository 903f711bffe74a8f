r"""Slow points of a trained network, searched for directly or by a potential that was learned.

A GRU that has learned to hold three bits has 27 fixed or slow points, 3 to the power of its bits:
memories at the corners of a cube, saddles at its edges and faces, and one in its middle.  From the
same starts, random averages of states that the network visits, they are looked for by

1. direct search: `find_fixed_points` from every start;
2. descent of the speed potential E = |F(u) - u|^2 / 2, whose ends are merged where they lie
   together, and polished by the same direct search;
3. the same on a `NeuralPotential` V that `PotentialLearner` has fitted to grad E beforehand.

V pays if 3 takes less time than 1 for as many points; its training is then spread over so many
searches.  It can save Levenberg-Marquardt steps, which cost N^3 each, but no gradients: one of V
costs about as many products with N x N matrices as one of E.  Contender 2 says what is due to
descent and merging alone.

What came out: at 24 units it does not pay, a search takes about twice the time of a direct one.  At
64 units, where many ends are slow points at which direct search goes on in vain, 8 networks gave
0.3 +- 0.4 s saved of 2 to 4 s: nothing is resolved, against 7 to 12 s of training.  The error of
grad V is a tenth of the mean |grad E|, but at slow points grad E vanishes: V leads only near them,
to an E ten to a hundred times that at which as many steps on E itself arrive.

`sntorch.studies.searches` says which points count.  Seconds are CPU time of the process.

The default setting takes two to three minutes of CPU, the longer the busier the machine; the full
one is ``networks: 10, epochs: 8, starts: [12, 48, 192, 768]``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, GREY, MIDDLE, THEORY, finish, logarithmic, name_axes, on
from sntorch.studies.searches import BITS, CONTENDERS, compare
from sntorch.studies.study import Study

__all__ = ["AmortisedSlowPoints", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AmortisedSlowPoints(Study):
    """Three searches in M trained networks, so far, from S numbers of starts."""

    sizes: Tensor
    """(M,), hidden units."""
    starts: Tensor
    """(S,), ascending; fewer starts are the first of more."""
    points: Tensor
    """(M, 3, S), distinct slow points found by each contender."""
    speed: Tensor
    """(M, 3, S), median of |F(u) - u| at them, per step; NaN where there are none."""
    seconds: Tensor
    """(M, 3, S), CPU seconds of a search."""
    begun: Tensor
    """(M, 3), median E where the last search begins, from the most starts."""
    training: Tensor
    """(M,), CPU seconds in which the potential was learned."""
    error: Tensor
    """(M,), <|grad V - grad E|^2> / <|grad E|^2> over fresh starts."""
    known: int
    """Points that the task asks for."""
    planned: int
    """Networks that the whole study has."""

    @property
    def saved(self) -> Tensor:
        """(M, S): CPU seconds that direct search takes for as many points, less those of V.

        Between numbers of starts direct search is interpolated; where it never finds as many, its
        longest search counts, and the number is too small.
        """
        rows = []
        for points, seconds in zip(self.points.tolist(), self.seconds.tolist(), strict=True):
            best = np.maximum.accumulate(points[0])
            asked = [_first(best, seconds[0], p) for p in points[2]]
            rows.append([a - s for a, s in zip(asked, seconds[2], strict=True)])
        return torch.tensor(rows, dtype=torch.float64)

    @property
    def progress(self) -> str:
        """The last network and what was found in it."""
        count = f"[{len(self.sizes)}/{self.planned}] {int(self.sizes[-1])} units"
        last = zip(CONTENDERS, self.points[-1, :, -1], self.seconds[-1, :, -1], strict=True)
        return f"{count}: " + ", ".join(f"{c} {int(p)} in {s:.2f} s" for c, p, s in last)

    def scalars(self) -> dict[str, float]:
        """Return points and seconds from the most starts, and what V costs and saves."""
        found: dict[str, float] = {}
        for size, rows in self._groups():
            for c, name in enumerate(CONTENDERS):
                key = f"{name.replace(' ', '_')}/{size}"
                found[f"points/{key}"] = float(self.points[rows, c, -1].mean())
                found[f"seconds/{key}"] = float(self.seconds[rows, c, -1].mean())
                found[f"begun/{key}"] = float(self.begun[rows, c].median())
            mean, error = _mean(self.saved[rows, -1])
            found[f"training/{size}"] = float(self.training[rows].mean())
            found[f"error/{size}"] = float(self.error[rows].mean())
            found |= {f"saved/{size}": mean, f"saved_stderr/{size}": error}
        return found

    def table(self) -> str:
        """Return points, time and speed by size, contender and starts, and when V pays."""
        lines = [
            f"{'units':>6}{'search':>19}{'starts':>8}{'points':>16}{'CPU seconds':>19}"
            f"{'speed per step':>16}"
        ]
        for size, rows in self._groups():
            for c, name in enumerate(CONTENDERS):
                for s, starts in enumerate(self.starts.tolist()):
                    points = "{:.1f} ± {:.1f}".format(*_mean(self.points[rows, c, s]))
                    seconds = "{:.3f} ± {:.3f}".format(*_mean(self.seconds[rows, c, s]))
                    speed = float(self.speed[rows, c, s].nanmedian())
                    lines.append(
                        f"{size:6}{name:>19}{starts:8}{points:>16}{seconds:>19}{speed:16.1e}"
                    )
        return "\n".join(
            [*lines, "", *(self._verdict(size, rows) for size, rows in self._groups())]
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return every search of every network."""
        return [
            {
                "units": int(self.sizes[m]), "network": m, "search": name,
                "starts": int(self.starts[s]), "points": int(self.points[m, c, s]),
                "seconds": float(self.seconds[m, c, s]), "speed": float(self.speed[m, c, s]),
                "training_seconds": float(self.training[m]), "gradient_error": float(self.error[m]),
            }
            for m in range(len(self.sizes))
            for c, name in enumerate(CONTENDERS)
            for s in range(len(self.starts))
        ]  # fmt: skip

    def picture(self) -> Any:
        """Return points against time, a panel for every size."""
        parts = [self._only(rows) for _, rows in self._groups()]
        return figure(*parts, title="Slow points of trained GRUs: searched or learned?")

    def _groups(self) -> list[tuple[int, list[int]]]:
        """Return every size with the rows of its networks."""
        sizes = self.sizes.tolist()
        return [(n, [m for m, each in enumerate(sizes) if each == n]) for n in dict.fromkeys(sizes)]

    def _verdict(self, size: int, rows: list[int]) -> str:
        training, error = _mean(self.training[rows])
        begun = "; ".join(
            f"{name} {float(e):.1e}"
            for name, e in zip(CONTENDERS, self.begun[rows].median(0).values, strict=True)
        )
        saved, scatter = _mean(self.saved[rows, -1])
        pays = saved > scatter * float(scipy.stats.t.ppf(0.975, len(rows) - 1))
        after = (
            f"after {math.ceil(training / saved)} searches"
            if pays
            else "never, as far as is resolved"
        )
        return (
            f"{size} units: training {training:.1f} ± {error:.1f} s, relative squared error of "
            f"grad V {float(self.error[rows].mean()):.3f}; a search saves {saved:.3f} ± "
            f"{scatter:.3f} s at equal points: training is paid back {after}. "
            f"E where the last search begins: {begun}."
        )

    def _only(self, rows: list[int]) -> AmortisedSlowPoints:
        names = ("sizes", "points", "speed", "seconds", "begun", "training", "error")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def run(
    *,
    sizes: Sequence[int] = (24, 64),
    networks: int = 3,
    starts: Sequence[int] = (12, 36, 72),
    descent: int = 30,
    hidden: Sequence[int] = (128,),
    epochs: int = 5,
    lr: float = 1e-2,
    trained: int = 10,
    seed: int = 0,
) -> Iterator[AmortisedSlowPoints]:
    """Yield the study with one network more each time.

    Parameters
    ----------
    sizes
        Hidden units of the GRUs.
    networks
        Trained networks of each size, at least 2.
    starts
        Numbers of starts, ascending.
    descent
        Steps of descent on either potential.
    hidden, epochs, lr
        Of the learned potential: widths, epochs of 100 batches of 512 states, and Adam's rate,
        which falls to 0 like a cosine.
    trained
        Epochs of the network itself.
    seed
        Of the first network, its starts and its potential; each further one has its own.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    D. Sussillo, O. Barak, Neural Comput. 25 (2013) 626.

    Examples
    --------
    >>> first = next(run(sizes=[8], networks=2, starts=[4, 8], epochs=1, trained=1))
    >>> first.points.shape, first.planned
    (torch.Size([1, 3, 2]), 2)
    """
    if not sizes:
        raise ValueError("sizes: expected at least one, got none")
    for n in sizes:
        checks.count("sizes", n, low=2)
    numbers = [checks.count("starts", s) for s in starts]
    if not numbers or sorted(set(numbers)) != numbers:
        raise ValueError(f"starts: expected some, ascending, got {list(starts)}")
    checks.count("networks", networks, low=2)
    if not hidden:
        raise ValueError("hidden: expected at least one width, got none")
    for width in hidden:
        checks.count("hidden", width)
    checks.count("descent", descent)
    for name, value in (("epochs", epochs), ("trained", trained)):
        checks.count(name, value)
    checks.positive("lr", lr)
    checks.count("seed", seed, low=0, high=4999 - networks)
    learning = {"hidden": hidden, "epochs": epochs, "lr": lr}
    found: list[dict[str, Tensor]] = []
    for n in sizes:
        for i in range(networks):
            found.append(compare(n, numbers, descent, trained, seed + i, **learning))
            yield AmortisedSlowPoints(
                sizes=torch.tensor([m for m in sizes for _ in range(networks)][: len(found)]),
                starts=torch.tensor(numbers),
                **{name: torch.stack([each[name] for each in found]) for name in found[0]},
                known=3**BITS,
                planned=len(sizes) * networks,
            )


def _first(points: Any, seconds: Sequence[float], asked: float) -> float:
    """Return when a search that finds `points` in `seconds` has found as many as asked."""
    late = int(np.searchsorted(points, asked))
    if late == 0 or late == len(points):
        return seconds[min(late, len(points) - 1)]
    part = (asked - points[late - 1]) / (points[late] - points[late - 1])
    return seconds[late - 1] + part * (seconds[late] - seconds[late - 1])


def _mean(values: Tensor) -> tuple[float, float]:
    """Return the mean and its standard error, NaN of a single number."""
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), error


@plot.register(AmortisedSlowPoints)
@style()
def _(result: AmortisedSlowPoints, ax: Any = None) -> Any:
    """Draw points against time, of all networks together."""
    ax = on(ax)
    looks = (("o", DARK, "-"), ("s", GREY, "--"), ("^", MIDDLE, "-"))
    for c, (name, (marker, colour, line)) in enumerate(zip(CONTENDERS, looks, strict=True)):
        look = {"marker": marker, "color": colour, "linestyle": line}
        _draw(ax, result.seconds[:, c], result.points[:, c], name, look)
    total = result.seconds[:, 2] + result.training.unsqueeze(-1)
    look = {"marker": "^", "color": MIDDLE, "linestyle": ":", "markerfacecolor": "white"}
    _draw(ax, total, result.points[:, 2], "the same, with its training", look)
    ax.axhline(result.known, label=f"{result.known}, as the task asks for", **THEORY)
    name_axes(ax, "CPU time of a search (s)", "distinct slow points found")
    ax.set_ylim(bottom=0)
    logarithmic(ax, "x")
    sizes = ", ".join(str(n) for n in dict.fromkeys(result.sizes.tolist()))
    starts = ", ".join(str(s) for s in result.starts.tolist())
    note = f"from {starts} starts; mean ± s.e. of {len(result.sizes)} networks"
    return finish(ax, f"GRU of {sizes} units", result.points, note)


def _draw(ax: Any, seconds: Tensor, points: Tensor, label: str, look: dict[str, Any]) -> None:
    many = len(seconds) > 1
    bars = [each.std(0) / len(each) ** 0.5 if many else None for each in (points, seconds)]
    ax.errorbar(seconds.mean(0), points.mean(0), *bars, label=label, elinewidth=0.9, **look)
