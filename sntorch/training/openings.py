"""How a potential begins: as the quadratic that its loss would choose."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

from sntorch.landscape import NeuralPotential, teacher_loss
from sntorch.landscape.teachers import descent

__all__ = ["open_with", "slope_of", "teacher_of"]


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


def slope_of(f: object, loss: object, states: Tensor, *, x: Tensor | None) -> float:
    """Return the teacher's mean squared slope per neuron, at the states."""
    teacher = teacher_of(loss) or {}
    return float(descent(f, **({"x": x} | teacher)).drift(states).square().mean())


def teacher_of(loss: object) -> dict[str, Any] | None:
    """Return the settings of `teacher_loss` if the loss is that, else None."""
    if loss is teacher_loss:
        return {}
    if isinstance(loss, functools.partial) and loss.func is teacher_loss:
        return {k: v for k, v in loss.keywords.items() if k in ("teacher", "x")}
    return None
