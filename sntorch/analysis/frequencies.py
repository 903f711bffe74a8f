r"""Which few frequencies make up a series.

Lines (Laskar 1993).  A quasi-periodic series is a sum of lines at the frequencies

.. math:: \nu = \sum_{i=1}^{d} k_i \nu_i + j/q \pmod 1 \quad \text{per step, } k_i, j \text{ whole}

with d base frequencies on a torus of d dimensions, or on q tori that are visited in turn.  Lines
are the peaks of the transform under a Blackman-Harris window, placed between its points by a
parabola.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np
import scipy
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import Result

__all__ = ["Lines", "spectral_lines"]

_Array = NDArray[np.float64]

_PADDING = 8  # points of the transform per bin: a parabola between them is then good to 1e-3 bins
_LOBE = 4  # half width in bins of the Blackman-Harris window's line
_MAX_LINES = 12
_REACH = {0: 0, 1: 40, 2: 10, 3: 8}  # largest sum of |k_i| for d base frequencies
_DOUBT = 6.0  # bits by which an account with fewer base frequencies, or one piece, must be shorter
_PIECES = {0: 24, 1: 6, 2: 3, 3: 1}  # largest q


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


def spectral_lines(
    series: Tensor | NDArray, *, dt: float = 1.0, floor: float = 5e-3, most: int = 3
) -> Lines:
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
    >>> import torch
    >>> t = torch.arange(2000.0).double()
    >>> found = spectral_lines(torch.cos(0.7 * t) + 0.3 * torch.cos(2.0 * t).square())
    >>> [round(float(2 * torch.pi * nu), 5) for nu in found.base]
    [0.7, 2.28319]
    """
    series = checks.recorded("series", series, ndim=0)
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


def _peaks(values: _Array, floor: float) -> tuple[_Array, _Array]:
    """Return frequencies (m,) per step and amplitudes (m,) of the lines, strongest first."""
    values = values - values.mean()
    window = scipy.signal.windows.blackmanharris(len(values), sym=False)
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
    k, order = _multiples(d)
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


@functools.cache
def _multiples(d: int) -> tuple[_Array, _Array]:
    """Return the whole numbers (K, d) that may make up a line, and their sums (K,), ascending."""
    reach = np.arange(-_REACH[d], _REACH[d] + 1)
    k = np.array(list(itertools.product(reach, repeat=d))).reshape(len(reach) ** d, d)
    order = np.abs(k).sum(1)
    inside = np.argsort(order, kind="stable")[: (order <= _REACH[d]).sum()]
    return k[inside].astype(float), order[inside].astype(float)


def _candidates(lines: _Array, errors: _Array, d: int) -> list[tuple[float, float]]:
    """Return what a base frequency may be, with its error: a line, a sum or difference of two."""
    known = list(zip(lines.tolist(), errors.tolist(), strict=True))
    if d > 2:
        return known[:8]
    found = list(known)
    for (a, e), (b, h) in itertools.combinations(known[: _MAX_LINES if d == 1 else 6], 2):
        found += [(min(s, 1 - s), e + h) for s in (a + b, abs(a - b)) if 0 < s < 1]
    return found
