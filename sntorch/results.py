"""The record that every analysis returns, and the two ways in which a standard error is made.

A result is a frozen dataclass of tensors.  Fields hold what was measured, properties what follows
from it; `...` in a field's documentation stands for the batch axes of the state.  Failure to
converge is a field, not an exception, and every estimate carries its standard error.

Standard errors.  Along one orbit, the mean over T steps is cut into B blocks of nearly equal
length; if blocks are longer than the memory of the process their means b_i are independent and

    stderr = sqrt( sum_i w_i (b_i - b)^2 / ((B - 1) sum_i w_i) ),     w_i = length of block i.

Over R independent rows (trials, replicas, initial conditions), stderr = sd(rows) / sqrt(R), which
assumes nothing about memory and is preferred wherever there are rows to compare.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

__all__ = [
    "BLOCKS",
    "Result",
    "Settings",
    "Sweep",
    "TrainingHistory",
    "block_lengths",
    "block_mean",
    "over_rows",
    "plus_minus",
    "readable",
    "time_unit",
]

BLOCKS = 20
"""Blocks that an orbit is cut into: enough to estimate a spread, long enough to be independent."""

_ROWS = 8  # from this many rows on, their spread is a better error than that of blocks in time


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """Base of all records: `map` over the tensors, `scalars` for a log.

    ``print(record)`` shows the scalars with their standard errors, ``repr`` all fields in brief.
    ``torch.save`` keeps a record; ``torch.load(path, weights_only=False)`` brings it back.
    """

    def map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Return the record with `fn` applied to every tensor, e.g. ``r.map(torch.Tensor.cpu)``."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return type(self)(**_mapped(fields, fn))

    def scalars(self) -> dict[str, float]:
        """Return the numbers that a log shows, one per name, averaged over the batch axes."""
        return {}

    def __repr__(self) -> str:
        parts = (
            f"{f.name}={_brief(getattr(self, f.name))}" for f in dataclasses.fields(self) if f.repr
        )
        return f"{type(self).__name__}({', '.join(parts)})"

    def __str__(self) -> str:
        shown = readable(self.scalars())
        if not shown:
            return repr(self)
        width = max(map(len, shown))
        lines = (f"  {name:{width}}  {text}" for name, text in shown.items())
        return "\n".join([type(self).__name__, *lines])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TrainingHistory(Result):
    """What was seen while a network learned: curves over epochs, and records at both ends."""

    title: str
    """What was trained, in a few words."""
    epoch: Tensor
    """(E,), epochs completed when a row was taken; 0 is before training."""
    curves: dict[str, Tensor]
    """Name of a scalar, such as ``lyapunov/max``: its values (E,), NaN where not measured."""
    before: dict[str, Result]
    """Name of a monitor's record, such as ``lyapunov``: the record before training."""
    after: dict[str, Result]
    """The same records after training."""

    def scalars(self) -> dict[str, float]:
        """Return the last value of every curve that is a number."""
        known = {name: values[values.isfinite()] for name, values in self.curves.items()}
        return {name: float(values[-1]) for name, values in known.items() if len(values)}


class Settings(NamedTuple):
    """Runs of a sweep that differ in their seed alone, and what they measured."""

    values: dict[str, Any]
    """Key of the configuration: its value."""
    runs: int
    """Runs that measured it."""
    mean: float
    """Mean over these runs, NaN if there is none."""
    stderr: float
    """Standard error of the mean, NaN of fewer than two runs."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sweep(Result):
    """Runs that differ in a few values of their configuration."""

    folders: tuple[str, ...]
    """R names, one of each run."""
    values: dict[str, tuple[Any, ...]]
    """Key of the configuration that was swept: its value in each run."""
    finished: Tensor
    """(R,), whether the run came to its end."""
    measured: dict[str, Tensor]
    """Name of a number, such as ``val/accuracy``: its value (R,) at the end, NaN where unknown."""
    metric: str
    """The name of the number that the sweep is about."""

    def over_seeds(self, metric: str | None = None) -> list[Settings]:
        """Return one entry for each choice of values, in order of appearance, seeds put together.

        Raises
        ------
        ValueError
            If no run measured `metric`; it is the sweep's own if None.
        """
        name = self.metric if metric is None else metric
        if name not in self.measured:
            raise ValueError(f"metric: expected one of {', '.join(self.measured)}, got {name!r}")
        keys = [key for key in self.values if key.rpartition(".")[2] != "seed"]
        groups: dict[str, tuple[dict[str, Any], list[float]]] = {}
        for r, value in enumerate(self.measured[name].tolist()):
            values = {key: self.values[key][r] for key in keys}
            known = groups.setdefault(repr(values), (values, []))[1]
            known += [value] if math.isfinite(value) else []
        return [Settings(values, len(known), *_spread(known)) for values, known in groups.values()]

    def scalars(self) -> dict[str, float]:
        """Return how many runs there are and how many came to their end."""
        return {"runs": float(len(self.folders)), "finished": float(self.finished.sum())}

    def table(self) -> str:
        """Return mean and standard error over seeds for every choice of values, as text."""
        groups = self.over_seeds()
        keys = list(groups[0].values)
        rows = [[*keys, self.metric, "s.e.", "runs"]]
        for group in groups:
            cells = [str(group.values[key]) for key in keys]
            rows.append([*cells, f"{group.mean:.4g}", f"{group.stderr:.2g}", str(group.runs)])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        pairs = [zip(row, widths, strict=True) for row in rows]
        lines = ["  ".join(cell.rjust(width) for cell, width in pair) for pair in pairs]
        return "\n".join(
            [*lines, f"{int(self.finished.sum())} of {len(self.folders)} runs finished"]
        )


def _spread(values: list[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, statistics.stdev(values) / math.sqrt(len(values))


def block_lengths(steps: int, shortest: int = 1) -> list[int]:
    """Return the lengths of at most `BLOCKS` nearly equal blocks that add up to `steps`."""
    blocks = max(1, min(BLOCKS, steps // shortest))
    short, longer = divmod(steps, blocks)
    return [short + 1] * longer + [short] * (blocks - longer)


def block_mean(means: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Return mean and standard error (...) of the block means (B, ...), weighted by length.

    One block says nothing about spread: its standard error is NaN.
    """
    weight = torch.as_tensor(lengths, dtype=means.dtype, device=means.device)
    weight = (weight / weight.sum()).reshape(-1, *[1] * (means.ndim - 1))
    mean = (weight * means).sum(0)
    if len(lengths) < 2:
        return mean, torch.full_like(mean, torch.nan)
    variance = (weight * (means - mean).square()).sum(0) / (len(lengths) - 1)
    return mean, variance.sqrt()


def over_rows(value: Tensor, stderr: Tensor, axes: int = 0) -> tuple[Tensor, Tensor]:
    """Return mean and standard error over all rows, keeping the last `axes` axes.

    With at least 8 rows the error is their spread, otherwise the errors of the rows combined.
    """
    keep = value.shape[value.ndim - axes :]
    value, stderr = value.reshape(-1, *keep), stderr.reshape(-1, *keep)
    rows = value.shape[0]
    if rows >= _ROWS:
        return value.mean(0), value.std(0) / rows**0.5
    return value.mean(0), stderr.square().sum(0).sqrt() / rows


def time_unit(dt: float) -> str:
    """Return what a rate is per, for a label: a step if a step is the unit of time."""
    return "step" if dt == 1 else "unit of time"


def plus_minus(mean: float, error: float) -> str:
    """Return both numbers to the second digit of the error; the first where that is very small."""
    if not math.isfinite(error) or error <= 0:
        return f"{mean:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 6:
        return f"{mean:.5g} ± {error:.0e}"
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def readable(scalars: Mapping[str, float]) -> dict[str, str]:
    """Return numbers as text, those that have a standard error with it.

    The error of ``name`` is ``name_stderr``, that of ``value`` is ``stderr``.
    """
    errors = {name: _error_of(name) for name in scalars}
    return {
        name: plus_minus(value, scalars.get(errors[name], math.nan))
        for name, value in scalars.items()
        if name not in errors.values()
    }


def _error_of(name: str) -> str:
    question, slash, last = name.rpartition("/")
    return f"{question}{slash}stderr" if last == "value" else f"{name}_stderr"


def _mapped(value: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, Result):
        return value.map(fn)
    if isinstance(value, tuple):
        return tuple(_mapped(entry, fn) for entry in value)
    if isinstance(value, dict):
        return {key: _mapped(entry, fn) for key, entry in value.items()}
    return value


def _brief(value: object) -> str:
    if isinstance(value, Tensor) and value.numel() > 6:
        return f"tensor{tuple(value.shape)}"
    if isinstance(value, Tensor):
        return _brief(value.tolist())
    if isinstance(value, float):
        return repr(float(f"{value:.4g}"))
    if isinstance(value, complex):
        return repr(complex(f"{value:.4g}"))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_brief(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_brief, value))}{',' * (len(value) == 1)})"
    return repr(value)
