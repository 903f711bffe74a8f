r"""The linear dimension of a trajectory: how many directions share its variance.

With the covariance C of the states and its eigenvalues c_1 >= c_2 >= ... the participation ratio is

.. math:: \mathrm{PR} = \frac{(\mathrm{tr}\, C)^2}{\mathrm{tr}\, C^2}
          = \frac{(\sum c_i)^2}{\sum c_i^2}, \qquad 1 \le \mathrm{PR} \le N,

N for equal variances, 1 on a line.  It says how many dimensions the orbit fills linearly; the
Kaplan-Yorke dimension of `sntorch.analysis.lyapunov` says how many it needs, and is smaller.

From n independent states the estimate is too small, 1/PR too large by about 1/n: an orbit of T
steps with memory m has n = T/m.  The jackknife over blocks of time gives the standard error and an
estimate of the bias, which is right while it is small beside PR.
"""

from __future__ import annotations

import dataclasses

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import Result, block_lengths, over_rows

__all__ = ["ParticipationRatio", "participation_ratio"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ParticipationRatio(Result):
    """The linear dimension of every row's trajectory."""

    value: Tensor
    """(...), as estimated, bias included; NaN where nothing moves."""
    stderr: Tensor
    """(...), by jackknife over blocks of time; NaN from fewer than four states."""
    bias: Tensor
    """(...), by the same jackknife: subtract it from `value`."""
    variances: Tensor
    """(..., N), eigenvalues of the covariance, largest first."""

    def scalars(self) -> dict[str, float]:
        """Return value, stderr and bias."""
        mean, error = over_rows(self.value, self.stderr)
        return {"value": float(mean), "stderr": float(error), "bias": float(self.bias.mean())}

    def __float__(self) -> float:
        return float(self.value)


def participation_ratio(trajectory: Tensor | NDArray) -> ParticipationRatio:
    """Return the participation ratio of trajectories (T, ..., N), one per row.

    To take all rows as samples of one law, join them with time first:
    ``trajectory.flatten(0, -2)``.

    Raises
    ------
    ValueError
        If the trajectory is no floating tensor with time and state, has one state only, or is not
        finite.

    References
    ----------
    L. F. Abbott, K. Rajan, H. Sompolinsky, "Interactions between intrinsic and stimulus-evoked
    activity in recurrent neural networks" (2011).

    Examples
    --------
    >>> flat = torch.randn(4000, 9, dtype=torch.float64)[:, :3] @ torch.eye(3, 9).double()
    >>> round(float(participation_ratio(flat)), 1)
    3.0
    """
    trajectory = checks.recorded("trajectory", trajectory)
    if len(trajectory) < 2:
        raise ValueError(f"trajectory: expected at least 2 states, got {len(trajectory)}")
    with torch.inference_mode(False), torch.no_grad():
        states = trajectory.movedim(0, -2)  # (..., T, N)
        states = states - states.mean(-2, keepdim=True)
        second = states.mT @ states
        left_out = [_without(part, states, second) for part in _blocks(states)]
        variances = torch.linalg.eigvalsh(second / states.shape[-2]).flip(-1).clamp(min=0)
        value = _ratio(second)
        stderr, bias = _jackknife(value, left_out)
    return ParticipationRatio(value=value, stderr=stderr, bias=bias, variances=variances)


def _blocks(states: Tensor) -> tuple[Tensor, ...]:
    return states.split(block_lengths(states.shape[-2], shortest=2), -2)


def _without(part: Tensor, states: Tensor, second: Tensor) -> Tensor:
    """Return the ratio (...) of what is left of centred states without one block of them."""
    rest = states.shape[-2] - part.shape[-2]
    mean = -part.sum(-2, keepdim=True) / max(rest, 1)
    return _ratio(second - part.mT @ part - rest * mean.mT @ mean)


def _ratio(C: Tensor) -> Tensor:
    return C.diagonal(dim1=-2, dim2=-1).sum(-1).square() / C.square().sum((-2, -1))


def _jackknife(value: Tensor, left_out: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return standard error and bias (...) from the values without one block each."""
    B = len(left_out)
    if B < 2:
        return torch.full_like(value, torch.nan), torch.full_like(value, torch.nan)
    ratios = torch.stack(left_out)
    mean = ratios.mean(0)
    stderr = ((ratios - mean).square().mean(0) * (B - 1)).sqrt()
    return stderr, (B - 1) * (mean - value)
