"""Newton's method for few unknowns, many problems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Equations", "newton"]

Equations = Callable[[Tensor], Tensor]
"""Unknowns (P, k) to what must vanish (P, k); problems, along P, are independent."""

_ROUNDS = 40
_HALVINGS = 10
_WIDTH = 1e-7  # of unknowns of order one
_EXACT, _CLOSE = 1e-14, 1e-11  # done; too close for steps to be halved


def newton(equations: Equations, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return the solutions (P, k) near `start` and the largest violation (P,) of each.

    Steps are halved until they lower the violation; problems that stall keep their best point.
    """
    x, miss = start, equations(start)
    size = _size(miss)
    moving = size > _EXACT
    for _ in range(_ROUNDS):
        if not bool(moving.any()):
            break
        step = _step(equations, x, miss)
        waiting = moving
        for _ in range(_HALVINGS):
            trial = torch.where(waiting.unsqueeze(-1), x - step, x)
            new = equations(trial)
            better = (_size(new) < size) & waiting
            x = torch.where(better.unsqueeze(-1), trial, x)
            miss = torch.where(better.unsqueeze(-1), new, miss)
            waiting = waiting & ~better & (size > _CLOSE)
            if not bool(waiting.any()):
                break
            step = step / 2
        smaller = _size(miss)
        moving = (smaller < size) & (smaller > _EXACT)
        size = smaller
    return x, size


def _step(equations: Equations, x: Tensor, miss: Tensor) -> Tensor:
    """Return the Newton step (P, k), least squares where the derivative is singular."""
    k = x.shape[-1]
    # Differences: their error slows the last steps a little and moves no solution.
    widths = _WIDTH * torch.eye(k).to(x)
    columns = [(equations(x + width) - miss) / _WIDTH for width in widths]
    jacobian = torch.stack(columns, -1)
    finite = jacobian.isfinite().all((-2, -1)) & miss.isfinite().all(-1)
    jacobian = torch.where(finite[:, None, None], jacobian, torch.eye(k).to(x))
    miss = torch.where(finite[:, None], miss, 0.0)
    return torch.linalg.lstsq(jacobian, miss.unsqueeze(-1)).solution.squeeze(-1)


def _size(miss: Tensor) -> Tensor:
    return miss.abs().amax(-1).nan_to_num(torch.inf, torch.inf)
