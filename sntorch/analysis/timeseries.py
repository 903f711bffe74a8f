r"""What a series of states shows by itself: spectra, mean activity, maps of returns, frequencies.

Time is the first axis, as `rollout` returns it; dt is the time per step and frequencies are in
cycles per unit of time.

Power spectrum (Welch 1967).  A series of N neurons is cut into segments of L steps that overlap by
half; with the Hann window w,

.. math:: S(\nu) = \frac{2\,dt}{\sum_t w_t^2}
          \Big\langle \Big| \sum_t w_t\, (u_t - \bar u)\, e^{-2\pi i \nu t\,dt} \Big|^2 \Big\rangle,
          \qquad \int_0^{1/2dt} S\,d\nu = \mathrm{Var}\,u,

one-sided, averaged over segments and neurons.  Segments give the standard error, in which the
overlap counts: neighbours share 1/36 of their variance.

Weighted Birkhoff average (Das et al. 2017).  Along a quasi-periodic orbit the mean of a smooth
quantity with weights :math:`\exp(-1/(s(1 - s)))`, s = t/T, converges faster than any power of 1/T;
along a chaotic one no faster than :math:`T^{-1/2}`.  The difference between the two halves of the
series is the error, and tells order from chaos.

Lines (Laskar 1993).  A quasi-periodic series is a sum of lines at the frequencies

.. math:: \nu = \sum_{i=1}^{d} k_i \nu_i + j/q \pmod 1 \quad \text{per step, } k_i, j \text{ whole}

with d base frequencies on a torus of d dimensions, or on q tori that are visited in turn.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import windows
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import as_dynamics
from sntorch.results import Result, over_rows

__all__ = [
    "Lines",
    "PowerSpectrum",
    "delay_map",
    "mean_activity",
    "poincare_section",
    "power_spectrum",
    "rotation_number",
    "spectral_lines",
    "weighted_mean",
]

_Array = NDArray[np.float64]

_SHORTEST = 8  # steps of a segment at least: fewer make no spectrum
_PADDING = 8  # points of the transform per bin: a parabola between them is then good to 1e-3 bins
_LOBE = 4  # half width in bins of the Blackman-Harris window's line
_MAX_LINES = 12
_REACH = {0: 0, 1: 40, 2: 10, 3: 8}  # largest sum of |k_i| for d base frequencies
_DOUBT = 6.0  # bits by which an account with fewer base frequencies, or one piece, must be shorter
_PIECES = {0: 24, 1: 6, 2: 3, 3: 1}  # largest q


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


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Lines(Result):
    """Lines of one series and the base frequencies that explain them."""

    frequencies: Tensor
    """(m,), cycles per unit of time in (0, 1 / (2 dt)], strongest first; m <= 12."""
    amplitudes: Tensor
    """(m,)."""
    base: Tensor
    """(d,), base frequencies; none where all lines are rational per step, or unexplained."""
    explained: bool
    """Whether all lines are combinations of at most 3 base frequencies."""
    pieces: int
    """q, tori or points that are visited in turn."""
    dt: float = 1.0
    """Time per step."""

    def scalars(self) -> dict[str, float]:
        """Return the base frequencies and whether they explain all lines."""
        named = {str(i + 1): float(nu) for i, nu in enumerate(self.base)}
        return {"explained": float(self.explained), **named}


def power_spectrum(
    trajectory: Tensor, *, dt: float = 1.0, resolution: float | None = None
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
    checks.finite("trajectory", checks.floating("trajectory", trajectory, ndim=2))
    dt = checks.positive("dt", dt)
    length = _segment_length(len(trajectory), dt, resolution)
    window = torch.hann_window(length, dtype=trajectory.dtype, device=trajectory.device)
    centred = trajectory - trajectory.mean(0)
    pieces = centred.unfold(0, length, length // 2)  # (S, ..., N, L)
    power = torch.fft.rfft(pieces * window).abs().square().mean(-2)
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


def mean_activity(trajectory: Tensor, f: object = None) -> Tensor:
    """Return m(t) (T, ...), the mean over neurons of f(u) for an SNT network f, else of u.

    Examples
    --------
    >>> mean_activity(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    tensor([2., 2.])
    """
    checks.floating("trajectory", trajectory, ndim=2)
    cell = None if f is None else as_dynamics(f)
    if isinstance(cell, SNTCell):
        with torch.no_grad():
            trajectory = cell.rate(cell.check(trajectory))
    return trajectory.mean(-1)


def delay_map(series: Tensor, *, lag: int = 1, dimension: int = 2) -> Tensor:
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
    checks.floating("series", series, ndim=1)
    span = checks.count("lag", lag) * (checks.count("dimension", dimension) - 1)
    if len(series) <= span:
        raise ValueError(f"series: expected more than {span} steps, got {len(series)}")
    count = len(series) - span
    return torch.stack([series[i * lag : i * lag + count] for i in range(dimension)], -1)


def poincare_section(
    trajectory: Tensor, normal: Tensor, offset: float = 0.0, *, dt: float = 1.0
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
    checks.finite("trajectory", checks.floating("trajectory", trajectory))
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
    if len(values) < 2 * _SHORTEST:
        raise ValueError(f"values: expected at least {2 * _SHORTEST} steps, got {len(values)}")
    half = len(values) // 2
    return _bump_mean(values), (_bump_mean(values[:half]) - _bump_mean(values[-half:])).abs()


def rotation_number(
    trajectory: Tensor, *, centre: Tensor | None = None, dt: float = 1.0
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
    checks.finite("trajectory", checks.floating("trajectory", trajectory, ndim=2))
    if trajectory.shape[-1] != 2 or len(trajectory) <= 2 * _SHORTEST:
        got = tuple(trajectory.shape)
        raise ValueError(f"trajectory: expected (T, ..., 2), T > {2 * _SHORTEST}, got {got}")
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


def spectral_lines(series: Tensor, *, dt: float = 1.0, floor: float = 5e-3, most: int = 3) -> Lines:
    """Return the strongest lines of one series (T,) and the base frequencies that explain them.

    Parameters
    ----------
    series
        Numbers (T,); of lines closer than 8 / (T dt) only the strongest is seen.
    dt
        Time per step.
    floor
        Weakest line, in units of the strongest, at least 1e-4: what the window
        can tell.
    most
        Base frequencies at most, 0 to 3.  Frequencies in a ratio of whole numbers below 40 by
        chance are taken for one: where exponents tell the dimension of the torus, say so.

    Raises
    ------
    ValueError
        If the series is not finite or shorter than 64 steps.

    References
    ----------
    J. Laskar, Physica D 67 (1993) 257.

    Examples
    --------
    >>> t = torch.arange(2000.0).double()
    >>> found = spectral_lines(torch.cos(0.7 * t) + 0.3 * torch.cos(2.0 * t).square())
    >>> [round(float(2 * torch.pi * nu), 5) for nu in found.base]
    [0.7, 2.28319]
    """
    checks.finite("series", checks.floating("series", series))
    if series.ndim != 1 or len(series) < 64:
        raise ValueError(f"series: expected (T,) with T >= 64, got {tuple(series.shape)}")
    values = series.detach().cpu().double().numpy()
    frequencies, amplitudes = _peaks(values, checks.number("floor", floor, low=1e-4, high=1))
    most = checks.count("most", most, low=0, high=3)
    base, pieces = _explain(frequencies, _blur(amplitudes) / len(values), most)
    dt = checks.positive("dt", dt)
    return Lines(
        frequencies=series.new_tensor(frequencies) / dt,
        amplitudes=series.new_tensor(amplitudes),
        base=series.new_tensor([] if base is None else base) / dt,
        explained=base is not None,
        pieces=pieces,
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


def _peaks(values: _Array, floor: float) -> tuple[_Array, _Array]:
    """Return frequencies (m,) per step and amplitudes (m,) of the lines, strongest first."""
    values = values - values.mean()
    window = windows.blackmanharris(len(values), sym=False)
    size = _PADDING * len(values)
    size += size % 2
    power = np.abs(np.fft.rfft(values * window, size)) * 2 / window.sum()
    mirrored = np.concatenate([power[1:2], power, power[-2:-1]])
    left, right = mirrored[:-2], mirrored[2:]
    top = (power >= left) & (power > right)
    top[: _LOBE * _PADDING] = False  # what the mean leaves behind
    (index,) = np.nonzero(top & (power > floor * power.max(initial=0.0)))
    index = _apart(index[np.argsort(power[index])[::-1]], size // 2)
    a, b, c = (np.log(part[index]) for part in (left, power, right))
    shift = 0.5 * (a - c) / (a - 2 * b + c)
    return np.minimum((index + shift) / size, 0.5), power[index]


def _apart(index: NDArray[np.intp], edge: int) -> NDArray[np.intp]:
    """Return the strongest points whose lines overlap neither a stronger one nor a mirror image."""
    near, kept = 2 * _LOBE * _PADDING, list[int]()
    for i in index.tolist():
        mirrored = i < near or edge - near < i < edge
        if not mirrored and all(abs(i - j) > near for j in kept):
            kept.append(i)
    return np.array(kept[:_MAX_LINES], dtype=np.intp)


def _blur(amplitudes: _Array) -> _Array:
    """Return the error (m,) of frequencies in bins: of the parabola, and leakage."""
    return 2e-3 + 2e-5 * amplitudes.max(initial=0.0) / amplitudes


def _explain(lines: _Array, errors: _Array, most: int) -> tuple[_Array | None, int]:
    """Return base frequencies of which all lines are combinations, and q: the shortest account.

    An account costs the bits of its base frequencies and of the whole numbers of every line.
    """
    found, pieces, least = None, 1, math.inf
    for d in range(min(most, len(lines)) + 1):
        for q in range(1, _PIECES[d] + 1):
            base, bits = _basis(lines, errors, d, q)
            if base is not None and bits < least:
                found, pieces, least = base, q, bits
    return found, pieces


def _basis(lines: _Array, errors: _Array, d: int, q: int) -> tuple[_Array | None, float]:
    """Return the d frequencies that account for all lines with the fewest bits, and these bits."""
    reach = np.arange(-_REACH[d], _REACH[d] + 1)
    k = np.array(list(itertools.product(reach, repeat=d))).reshape(len(reach) ** d, d)
    order = np.abs(k).sum(1)
    inside = np.argsort(order, kind="stable")[: (order <= _REACH[d]).sum()]
    k, order = k[inside], order[inside]
    choices = np.searchsorted(order, order, side="right") * q
    best, least = None, math.inf
    candidates = _candidates(lines, errors, d)
    for chosen in itertools.combinations(candidates, d):
        value, error = np.array(chosen).reshape(d, 2).T
        off = (k @ value - lines[:, None]) * q  # (m, K)
        blur = errors[:, None] + np.abs(k) @ error
        near = np.abs(off - off.round()) <= q * blur
        if near.any(1).all():
            first = near.argmax(1)
            widened = blur[np.arange(len(lines)), first] / errors
            bits = np.log2(choices[first] * widened).sum() - np.log2(2 * error).sum()
            if bits < least:
                best, least = value, bits
    return best, least + d * math.log2(max(len(candidates), 1)) - _DOUBT * (d - (q > 1))


def _candidates(lines: _Array, errors: _Array, d: int) -> list[tuple[float, float]]:
    """Return what a base frequency may be, with its error: a line, a sum or difference of two."""
    known = list(zip(lines.tolist(), errors.tolist(), strict=True))
    if d > 2:
        return known[:8]
    found = list(known)
    for (a, e), (b, h) in itertools.combinations(known[: _MAX_LINES if d == 1 else 6], 2):
        found += [(min(s, 1 - s), e + h) for s in (a + b, abs(a - b)) if 0 < s < 1]
    return found
