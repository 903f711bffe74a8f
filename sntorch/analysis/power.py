r"""How the power of a series is spread over frequencies.

Time is the first axis, as `rollout` returns it; dt is the time per step and frequencies are in
cycles per unit of time.

Power spectrum (Welch 1967).  A series of N neurons is cut into segments of L steps that overlap by
half; with the Hann window w,

.. math:: S(\nu) = \frac{2\,dt}{\sum_t w_t^2}
          \Big\langle \Big| \sum_t w_t\, (u_t - \bar u)\, e^{-2\pi i \nu t\,dt} \Big|^2 \Big\rangle,
          \qquad \int_0^{1/2dt} S\,d\nu = \mathrm{Var}\,u,

one-sided, averaged over segments and neurons.  Segments give the standard error, in which the
overlap counts: neighbours share 1/36 of their variance.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import Result, over_rows

__all__ = ["PowerSpectrum", "power_spectrum"]

_SHORTEST = 8  # steps of a segment at least: fewer make no spectrum


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PowerSpectrum(Result):
    """Power per frequency of every row, averaged over neurons."""

    frequencies: Tensor
    """(F,), cycles per unit of time from 0 to 1 / (2 dt)."""
    density: Tensor
    """(..., F), one-sided: its integral over frequency is the variance."""
    stderr: Tensor
    """(..., F), from the spread of the segments; NaN for a single one."""
    segments: int
    """Segments of the series that were averaged, overlapping by half."""
    dt: float = 1.0
    """Time per step."""

    @property
    def resolution(self) -> float:
        """Distance of neighbouring frequencies; lines closer than twice this are one."""
        return float(self.frequencies[:2].detach().diff())

    @property
    def mean(self) -> Tensor:
        """Density (F,) averaged over rows."""
        return over_rows(self.density, self.stderr, axes=1)[0]

    @property
    def mean_stderr(self) -> Tensor:
        """Standard error (F,) of `mean`: from the spread of rows where there are 8 or more."""
        return over_rows(self.density, self.stderr, axes=1)[1]

    @property
    def variance(self) -> Tensor:
        """Variance (...): the integral of the density."""
        return self.density.sum(-1) * self.resolution

    def scalars(self) -> dict[str, float]:
        """Return the variance and the frequency at which the mean density is highest."""
        return {
            "variance": float(self.variance.mean()),
            "peak": float(self.frequencies[self.mean.argmax()]),
        }


def power_spectrum(
    trajectory: Tensor | NDArray, *, dt: float = 1.0, resolution: float | None = None
) -> PowerSpectrum:
    """Return the power spectrum of a trajectory (T, ..., N), averaged over its N neurons.

    Parameters
    ----------
    trajectory
        Orbit (T, ..., N) as `rollout` returns it; a single series is (T, 1).
    dt
        Time per stored step.
    resolution
        Distance of neighbouring frequencies in cycles per unit of time, at most; by default the
        series is cut into 15 segments.  The finer, the noisier.

    Raises
    ------
    ValueError
        If the trajectory is not finite, or too short for the resolution.

    References
    ----------
    P. D. Welch, IEEE Trans. Audio Electroacoust. 15 (1967) 70.

    Examples
    --------
    >>> wave = torch.sin(2 * torch.pi * 0.125 * torch.arange(512.0)).unsqueeze(-1)
    >>> power_spectrum(wave).scalars()["peak"]
    0.125
    """
    trajectory = checks.recorded("trajectory", trajectory)
    dt = checks.positive("dt", dt)
    length = _segment_length(len(trajectory), dt, resolution)
    window = torch.hann_window(length, dtype=trajectory.dtype, device=trajectory.device)
    centred = trajectory - trajectory.mean(0)
    pieces = centred.unfold(0, length, length // 2)  # (S, ..., N, L)
    parts = torch.view_as_real(torch.fft.rfft(pieces * window))  # faster than abs, and over
    power = parts.square().mean(-3).sum(-1)  # neurons first, whose axis is not the innermost
    power *= 2 * dt / window.square().sum()
    power[..., 0] /= 2
    if length % 2 == 0:
        power[..., -1] /= 2
    count = len(power)
    shared = 1 + 2 / 36 * (count - 1) / count
    spread = power.std(0) if count > 1 else torch.full_like(power[0], torch.nan)
    return PowerSpectrum(
        frequencies=torch.fft.rfftfreq(length, dt, dtype=power.dtype, device=power.device),
        density=power.mean(0),
        stderr=spread * (shared / count) ** 0.5,
        segments=count,
        dt=dt,
    )


def _segment_length(steps: int, dt: float, resolution: float | None) -> int:
    length = (
        steps // 8 if resolution is None else 1 / (checks.positive("resolution", resolution) * dt)
    )
    length = max(math.ceil(length), _SHORTEST)
    if length > steps:
        finest = 1 / (steps * dt)
        raise ValueError(
            f"trajectory: expected at least {length} steps for the resolution"
            f" {1 / (length * dt):.4g}, got {steps}, which resolve {finest:.4g}"
        )
    return length
