r"""Where a curve that several networks trace is highest: a parabola through its top.

At places x the networks s = 1 ... S have heights y_s(x).  The parabola is fitted, by least squares,
to the means of the points around the highest one that reach a share of its height, and at least to
its two neighbours.  Errors are those of the jackknife,

.. math:: \mathrm{err}^2 = \frac{S - 1}{S} \sum_s (\theta_{-s} - \bar\theta)^2,

where :math:`\theta_{-s}` is what comes out without network s: networks are the same at all places,
so that the points of a curve do not err independently.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Peak", "peak"]

_HIGH = 0.9  # of the largest height: points that belong to the top

Numbers = NDArray[np.float64]


class Peak(NamedTuple):
    """The top of a curve; every number has its standard error."""

    place: float
    place_stderr: float
    height: float
    height_stderr: float
    beside: float
    """What another quantity is there."""
    beside_stderr: float
    inside: bool
    """Whether the curve falls on both sides."""


def peak(x: Tensor, y: Tensor, beside: Tensor) -> Peak:
    """Return the top of y (P, S) over ascending places x (P,), with `beside` (P, S) there.

    At an end of the range the top is the point itself.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(0, 1, 9).double()
    >>> y = 5 - (x - torch.tensor([[0.4], [0.6]])) ** 2
    >>> found = peak(x, y.T, -2 * y.T)
    >>> [round(number, 4) for number in found[:6]]
    [0.5, 0.1, 4.99, 0.0, -9.98, 0.0]
    """
    at, heights, others = (each.double().numpy() for each in (x, y, beside))
    many = heights.shape[1]
    every = np.ones(many, bool)
    whole, inside = _top(at, heights.mean(1), others.mean(1))
    left = [every & (np.arange(many) != s) for s in range(many)]
    parts = [_top(at, heights[:, kept].mean(1), others[:, kept].mean(1))[0] for kept in left]
    errors = np.sqrt(many - 1) * np.std(parts, 0)
    (place, height, other), (a, b, c) = whole.tolist(), errors.tolist()
    return Peak(place, a, height, b, other, c, inside)


def _top(x: Numbers, y: Numbers, beside: Numbers) -> tuple[Numbers, bool]:
    """Return place, height and what is beside, and whether the curve falls on both sides."""
    best = int(y.argmax())
    inside = 0 < best < len(x) - 1
    place, height = x[best], y[best]
    if inside:
        first, last = best - 1, best + 1
        while first > 0 and y[first - 1] >= _HIGH * y[best]:
            first -= 1
        while last < len(x) - 1 and y[last + 1] >= _HIGH * y[best]:
            last += 1
        near = slice(first, last + 1)
        a, b, c = np.polyfit(x[near] - x[best], y[near], 2)
        shift = -b / (2 * a) if a < 0 else 0.0
        if x[first] <= place + shift <= x[last]:
            place, height = place + shift, c + b * shift / 2
    return np.array([place, height, np.interp(place, x, beside)]), inside
