"""What drives a dynamics: nothing, a constant (I,), or one drive per step (T, ..., I)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sntorch import checks

__all__ = ["check_drive", "drive_at"]


def drive_at(x: Tensor | None, t: int) -> Tensor | None:
    """Return the drive of step t: x itself where it is None or constant (I,), else x[t]."""
    return x if x is None or x.ndim == 1 else x[t]


def check_drive(x: Tensor, u: Tensor, steps: int | None) -> None:
    """Refuse a drive of other rows than those of the states u, or of other than `steps` steps."""
    checks.finite("x", checks.same_kind("x", checks.floating("x", x, ndim=1), u, "the state"))
    if x.ndim == 1 or steps is None:
        return
    if x.shape[0] != steps:
        raise ValueError(
            f"x: expected (I,) or ({steps}, ..., I), one row per step, got {tuple(x.shape)}"
        )
    rows = u.shape[:-1]
    try:
        fits = np.broadcast_shapes(x.shape[1:-1], rows) == rows  # torch's would import sympy
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"x: expected batch axes that fit {tuple(rows)}, got {tuple(x.shape[1:-1])}"
        )
