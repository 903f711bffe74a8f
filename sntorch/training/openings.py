"""How a potential begins: as the quadratic that its loss would choose."""

from __future__ import annotations

import functools
import math
from typing import Any

from torch import Tensor

from sntorch.landscape import NeuralPotential, teacher_loss
from sntorch.landscape.teachers import descent

__all__ = ["missed", "open_with", "teacher_of"]


def open_with(
    V: NeuralPotential, f: object, loss: object, states: Tensor, *, x: Tensor | None
) -> None:
    """Give V the Gaussian solution of f at the states or, for a teacher, the quadratic like it.

    The teacher of a network without noise has nothing to do with the density of the states: where
    they lie close together their Gaussian is steep, and what is slow is flat.
    """
    teacher = teacher_of(loss)
    if teacher is None:
        V.start(f, states, x)
    else:
        V.start(descent(f, **({"x": x} | teacher)), states)


def missed(f: object, loss: object, states: Tensor, value: float, *, x: Tensor | None) -> float:
    """Return the value of a teacher's loss as a share of its mean squared slope; NaN of none."""
    settings = {"x": x} | (teacher_of(loss) or {})
    slope = float(descent(f, **settings).drift(states).square().mean())
    return value / slope if slope else math.nan


def teacher_of(loss: object) -> dict[str, Any] | None:
    """Return the settings of `teacher_loss` if the loss is that, else None."""
    if loss is teacher_loss:
        return {}
    if isinstance(loss, functools.partial) and loss.func is teacher_loss:
        return {k: v for k, v in loss.keywords.items() if k in ("teacher", "x")}
    return None
