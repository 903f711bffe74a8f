"""The picture of a sweep: a number against what was swept, means over seeds with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from sntorch.plot.canvas import DARK, GREY, LIGHT, MIDDLE, finish, name_axes, on, plot, style
from sntorch.results import Settings, Sweep

_LOOKS = [(DARK, "o", "-"), (MIDDLE, "s", "--"), (GREY, "^", ":"), (LIGHT, "D", "-.")]


@plot.register
@style()
def _(result: Sweep, ax: Axes | None = None) -> Axes:
    ax, groups = on(ax), result.over_seeds()
    key = _axis(groups)
    places = _places([group.values.get(key) for group in groups])
    lines: dict[str, list[Settings]] = {}
    for group in groups:
        others = [f"{name} = {value}" for name, value in group.values.items() if name != key]
        lines.setdefault(", ".join(others), []).append(group)
    for i, (label, line) in enumerate(lines.items()):
        _line(ax, [(places[repr(g.values.get(key))], g) for g in line if g.runs], label, i)
    name_axes(ax, key or "all runs", result.metric)
    if not _numeric([group.values.get(key) for group in groups]):
        ax.set_xticks(list(places.values()), [name.strip("'") for name in places] if key else [""])
    counts = sorted({group.runs for group in groups})
    runs = "-".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    return finish(ax, "Sweep", result.measured[result.metric], f"mean ± s.e. over {runs} runs")


def _line(ax: Axes, known: list[tuple[float, Settings]], label: str, turn: int) -> None:
    """Draw one line of means with their errors."""
    if known:
        known.sort(key=lambda pair: pair[0])
        colour, marker, dash = _LOOKS[turn % len(_LOOKS)]
        error = [0.0 if math.isnan(group.stderr) else group.stderr for _, group in known]
        look = {"color": colour, "marker": marker, "linestyle": dash, "elinewidth": 0.9}
        x, y = [place for place, _ in known], [group.mean for _, group in known]
        ax.errorbar(x, y, error, capsize=2, label=label or None, **look)


def _axis(groups: Sequence[Settings]) -> str:
    """Return what to draw along x: of the numbers that were swept the one with most values."""
    columns = {key: [g.values[key] for g in groups] for key in groups[0].values}
    count = {key: len(set(map(repr, column))) for key, column in columns.items()}
    numbers = [key for key, column in columns.items() if _numeric(column)]
    return max(numbers or columns, key=count.__getitem__, default="")


def _numeric(column: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in column)


def _places(column: Sequence[Any]) -> dict[str, float]:
    """Return where each value stands: numbers at themselves, others in order."""
    distinct = {repr(value): value for value in column}
    if _numeric(column):
        return {name: float(value) for name, value in distinct.items()}
    return {name: float(i) for i, name in enumerate(distinct)}
