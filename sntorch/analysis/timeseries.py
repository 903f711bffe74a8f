"""What a series of states is looked at by: mean activity, maps of returns, sections.

Time is the first axis, as `rollout` returns it.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import as_dynamics

__all__ = ["delay_map", "mean_activity", "poincare_section"]


def mean_activity(trajectory: Tensor | NDArray, f: object = None) -> Tensor:
    """Return m(t) (T, ...), the mean over neurons of f(u) for an SNT network f, else of u.

    Examples
    --------
    >>> mean_activity(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    tensor([2., 2.])
    """
    trajectory = checks.recorded("trajectory", trajectory)
    cell = None if f is None else as_dynamics(f)
    if isinstance(cell, SNTCell):
        with torch.no_grad():
            trajectory = cell.rate(cell.check(trajectory))
    return trajectory.mean(-1)


def delay_map(series: Tensor | NDArray, *, lag: int = 1, dimension: int = 2) -> Tensor:
    """Return the delay vectors (T - lag (d - 1), ..., d) of a series (T, ...).

    Component i of vector t is m(t + i lag): with d = 2 the return map m(t + lag) against m(t).

    Raises
    ------
    ValueError
        If the series is shorter than one vector.

    References
    ----------
    F. Takens, Lect. Notes Math. 898 (1981) 366.

    Examples
    --------
    >>> delay_map(torch.arange(4.0)).tolist()
    [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]
    """
    series = checks.recorded("series", series, ndim=1)
    span = checks.count("lag", lag) * (checks.count("dimension", dimension) - 1)
    if len(series) <= span:
        raise ValueError(f"series: expected more than {span} steps, got {len(series)}")
    count = len(series) - span
    return torch.stack([series[i * lag : i * lag + count] for i in range(dimension)], -1)


def poincare_section(
    trajectory: Tensor | NDArray, normal: Tensor, offset: float = 0.0, *, dt: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return states (M, N) and times (M,) at which one orbit (T, N) crosses a plane upwards.

    The plane is normal . u = offset.  Crossings are interpolated linearly, which leaves an error
    of order dt^2; time starts with the first stored state.

    Raises
    ------
    ValueError
        On wrong shapes or numbers that are not finite.

    Examples
    --------
    >>> angle = torch.arange(200.0) * 0.1
    >>> orbit = torch.stack([angle.cos(), angle.sin()], -1)
    >>> states, times = poincare_section(orbit, torch.tensor([0.0, 1.0]), dt=0.1)
    >>> [round(float(t), 2) for t in times]
    [6.28, 12.57, 18.85]
    """
    trajectory = checks.recorded("trajectory", trajectory, ndim=0)
    if trajectory.ndim != 2:
        raise ValueError(f"trajectory: expected one orbit (T, N), got {tuple(trajectory.shape)}")
    checks.same_kind("normal", checks.floating("normal", normal), trajectory, "the trajectory")
    if normal.shape != trajectory.shape[1:]:
        raise ValueError(f"normal: expected ({trajectory.shape[1]},), got {tuple(normal.shape)}")
    height = trajectory @ normal - checks.number("offset", offset)
    before = ((height[:-1] < 0) & (height[1:] >= 0)).nonzero().squeeze(-1)
    part = height[before] / (height[before] - height[before + 1])
    states = torch.lerp(trajectory[before], trajectory[before + 1], part.unsqueeze(-1))
    return states, (before + part) * checks.positive("dt", dt)
