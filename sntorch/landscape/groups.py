"""Samples of one steady state in independent groups, and the jackknife over them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import block_lengths

__all__ = ["check_orbit", "groups", "jackknife", "mean_and_error", "mean_state", "pooled"]

_FEW_ROWS = 8  # with fewer rows, each is cut into blocks to see a spread


def check_orbit(trajectory: Tensor | NDArray, dt: float) -> Tensor:
    """Return an orbit (T, ..., N) if it has at least 4 states, and its time is one."""
    trajectory = checks.recorded("trajectory", trajectory)
    checks.number("dt", dt, low=torch.finfo(torch.float64).tiny)
    if trajectory[..., 0].numel() < 4 or len(trajectory) < 2:
        shape = tuple(trajectory.shape)
        raise ValueError(f"trajectory: expected (T, ..., N) with at least 4 states, got {shape}")
    return trajectory


def mean_state(trajectory: Tensor) -> Tensor:
    """Return the mean (N,) over time and rows."""
    return trajectory.reshape(-1, trajectory.shape[-1]).mean(0)


def groups(y: Tensor) -> list[Tensor]:
    """Cut (T, ..., p) into independent stretches (t, p): the rows, or blocks of few rows."""
    rows = y.reshape(len(y), -1, y.shape[-1]).unbind(1)
    if len(rows) >= _FEW_ROWS:
        return list(rows)
    lengths = block_lengths(len(y), shortest=2)
    return [part for row in rows for part in row.split(lengths)]


def pooled(y: Tensor) -> list[list[Tensor]]:
    """Return the stretches in at most `BLOCKS` bundles of nearly equal size."""
    stretches = groups(y)
    lengths = iter(block_lengths(len(stretches)))
    return [[stretches.pop(0) for _ in range(length)] for length in lengths]


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard error over groups (G, ...)."""
    return values.mean(0), values.std(0) / len(values) ** 0.5


def jackknife(statistic: Callable[..., Tensor], *sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a function of sums over G groups without its bias of order 1/G, error, and plain.

    The function is evaluated on all groups and with one left out at a time, theta_(g).  Then

        value = G theta - (G - 1) mean theta_(g),   stderr^2 = (G - 1) / G sum (theta_(g) - mean)^2

    (Quenouille 1956, Tukey 1958).

    Parameters
    ----------
    statistic
        From totals (...) of each of `sums` to a number.
    sums
        (G, ...), what every group contributes, G >= 2.
    """
    count = len(sums[0])
    plain = statistic(*(each.sum(0) for each in sums))
    others = [statistic(*(each.sum(0) - each[g] for each in sums)) for g in range(count)]
    left_out = torch.stack(others)
    mean = left_out.mean(0)
    spread = (left_out - mean).square().sum(0) * (count - 1) / count
    return count * plain - (count - 1) * mean, spread.sqrt(), plain
