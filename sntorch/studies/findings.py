"""Measured beside expected: the sentences of which the judgement of a claim is made."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

__all__ = ["Finding", "Scalars", "above", "below", "near", "ordered", "series"]

Scalars = Mapping[str, float]
"""What a study measured, by name (``result.json``)."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One number beside what it should be."""

    what: str
    """Which number."""
    measured: str
    """The number."""
    expected: str
    """What it should be."""
    agrees: bool
    """Whether it is."""


def near(what: str, measured: float, expected: float, tolerance: float) -> Finding:
    """Return whether two numbers are as near as they should be; NaN is not."""
    agrees = abs(measured - expected) <= tolerance
    return Finding(what, f"{measured:.4g}", f"{expected:.4g} ± {tolerance:.2g}", agrees)


def above(what: str, measured: float, bound: float) -> Finding:
    """Return whether a number is larger than a bound."""
    return Finding(what, f"{measured:.4g}", f"> {bound:.4g}", measured > bound)


def below(what: str, measured: float, bound: float) -> Finding:
    """Return whether a number is smaller than a bound."""
    return Finding(what, f"{measured:.4g}", f"< {bound:.4g}", measured < bound)


def ordered(what: str, values: list[float], rising: bool = True) -> Finding:
    """Return whether finite numbers only rise, or only fall."""
    values = [value for value in values if math.isfinite(value)]
    steps = [b - a if rising else a - b for a, b in itertools.pairwise(values)]
    shown = ", ".join(f"{value:.3g}" for value in values)
    return Finding(what, shown, "rising" if rising else "falling", min(steps, default=-1.0) > 0)


def series(found: Scalars, name: str) -> dict[float, float]:
    """Return the values of ``name/number`` by the number, in ascending order."""
    start = f"{name}/"
    parts = [(float(k.removeprefix(start)), v) for k, v in found.items() if k.startswith(start)]
    if not parts:
        raise KeyError(name)
    return dict(sorted(parts))
