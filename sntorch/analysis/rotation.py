r"""Averages along an orbit that converge fast on a torus, and the turns that an orbit makes.

Time is the first axis, as `rollout` returns it; dt is the time per step.

Weighted Birkhoff average (Das et al. 2017).  Along a quasi-periodic orbit the mean of a smooth
quantity with weights :math:`\exp(-1/(s(1 - s)))`, s = t/T, converges faster than any power of 1/T;
along a chaotic one no faster than :math:`T^{-1/2}`.  The difference between the two halves of the
series is the error, and tells order from chaos.

The rotation number is that average of the angle by which the orbit turns per step.
"""

from __future__ import annotations

import math

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks

__all__ = ["rotation_number", "weighted_mean"]

_SHORTEST = 16  # steps at least: both halves are averaged


def weighted_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted Birkhoff average (...) over time of values (T, ...), and its error (...).

    The error is the difference between the averages over the two halves of the series: that of
    the whole is smaller by orders of magnitude on a torus, and by about 1/2 in chaos.

    References
    ----------
    S. Das, Y. Saiki, E. Sander, J. A. Yorke, Nonlinearity 30 (2017) 4111.

    Examples
    --------
    >>> mean, error = weighted_mean(torch.cos(torch.arange(2000.0).double()))
    >>> bool(mean.abs() < 1e-9), bool(error < 1e-9)
    (True, True)
    """
    checks.floating("values", values, ndim=1)
    if len(values) < _SHORTEST:
        raise ValueError(f"values: expected at least {_SHORTEST} steps, got {len(values)}")
    half = len(values) // 2
    return _bump_mean(values), (_bump_mean(values[:half]) - _bump_mean(values[-half:])).abs()


def rotation_number(
    trajectory: Tensor | NDArray, *, centre: Tensor | None = None, dt: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the turns per unit of time (...) about a centre in the plane, and their error (...).

    Turns count anticlockwise; per step they are known up to whole ones and given in [-1/2, 1/2).
    The average is `weighted_mean`.  Where steps turn by every angle alike, as in most chaos, there
    is no continuous choice of the angle and the value is NaN.

    Parameters
    ----------
    trajectory
        Orbit (T, ..., 2) in a plane, for instance a `delay_map`.
    centre
        Point (2,) or (..., 2) about which it turns; by default the mean of the orbit.
    dt
        Time per step.

    Raises
    ------
    ValueError
        If the trajectory has no plane, is too short, not finite, or meets its centre.

    Examples
    --------
    >>> angle = 2 * torch.pi * 0.38 * torch.arange(400.0).double()
    >>> turns, error = rotation_number(torch.stack([angle.cos(), angle.sin()], -1))
    >>> round(float(turns), 6)
    0.38
    """
    trajectory = checks.recorded("trajectory", trajectory)
    if trajectory.shape[-1] != 2 or len(trajectory) <= _SHORTEST:
        got = tuple(trajectory.shape)
        raise ValueError(f"trajectory: expected (T, ..., 2), T > {_SHORTEST}, got {got}")
    middle = trajectory.mean(0) if centre is None else checks.finite("centre", centre)
    x, y = (trajectory - middle).unbind(-1)
    if bool(((x == 0) & (y == 0)).any()):
        raise ValueError("centre: expected a point off the orbit, got one on it")
    turns = torch.atan2(y, x).diff(dim=0) / (2 * math.pi)
    cut, gap = _widest_gap(turns)
    mean, error = weighted_mean(cut + (turns - cut) % 1)
    # A covering of the circle by T points at random leaves a widest gap of about ln T / T.
    mean = torch.where(gap > 3 * math.log(len(turns)) / len(turns), mean, torch.nan)
    return ((mean + 0.5) % 1 - 0.5) / checks.positive("dt", dt), error / dt


def _bump_mean(values: Tensor) -> Tensor:
    s = torch.arange(1, len(values) + 1, dtype=torch.float64, device=values.device)
    s /= len(values) + 1
    weight = torch.exp(-1 / (s * (1 - s)))
    return torch.tensordot((weight / weight.sum()).to(values.dtype), values, dims=1)


def _widest_gap(turns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle (...) of the widest gap between turns (T, ...) on the circle; its width."""
    ordered = (turns % 1).sort(0).values
    gaps = torch.cat([ordered[1:], ordered[:1] + 1]) - ordered
    width, place = gaps.max(0)
    return ordered.gather(0, place.unsqueeze(0)).squeeze(0) + width / 2, width
