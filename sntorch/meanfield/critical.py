"""Where phases end: critical lines, on which the largest exponent crosses zero.

They are found for any parameter by bisection and inverse interpolation, arrays at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.record import NAMES, Number, Parameters, enter, real
from sntorch.meanfield.static import relax
from sntorch.meanfield.stationary import answer, rescaled, settled, start
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["Critical", "critical"]

_ROUNDS = 100
_CONTINUOUS = 1e-4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Critical(Result):
    """Values of one parameter where the largest exponent changes sign."""

    value: Tensor
    """(...), the critical value; NaN where the exponent has one sign at both ends."""
    found: Tensor
    """(...), bool: the signs at the ends differ."""
    below: Tensor
    """(...), the exponent at the last value below the critical one."""
    above: Tensor
    """(...), the exponent at the last value above it."""
    width: Tensor
    """(...), between those two: the error of the value."""
    parameter: str
    """Name of the parameter."""
    arguments: dict[str, Tensor]
    """The other arguments, of the broadcast shape."""

    @property
    def continuous(self) -> Tensor:
        """Bool (...): the exponent is continuous there; where not, one solution gives way."""
        return self.found & ((self.above - self.below).abs() < _CONTINUOUS)

    def scalars(self) -> dict[str, float]:
        """Return the mean critical value of those found."""
        known = self.value[self.found]
        return {f"critical_{self.parameter}": float(known.mean())} if known.numel() else {}


def critical(
    parameter: str,
    low: Number,
    high: Number,
    *,
    gain: Number | None = None,
    std: Number = 1.0,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
    tolerance: float = 1e-10,
) -> Critical:
    """Return where the largest exponent of `solve` crosses zero as one parameter varies.

    Parameters
    ----------
    parameter
        Its name, such as ``"gain"`` or ``"noise"``; what is given for it otherwise is not used.
    low, high
        The values between which to search, arrays that broadcast with the others; if the exponent
        crosses zero several times between them, one of the crossings is returned.
    gain, std, mean, threshold, threshold_std, noise, leak, transfer
        As in `solve`.
    tolerance
        Width, relative to high - low, at which to stop.  With leak and noise every trial solves
        for a covariance function: 1e-6 is then quick.

    Raises
    ------
    ValueError
        On wrong arguments, and if low >= high somewhere.  No change of sign is no error.

    References
    ----------
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717, for the critical
    noise.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.meanfield.critical("noise", 0.1, 2.0, gain=2.0).value  # noise suppresses chaos
    tensor(0.6395, dtype=torch.float64)
    """
    checks.one_of("parameter", parameter, NAMES)
    checks.number("tolerance", tolerance, low=1e-15, high=0.1)
    values = (gain, std, mean, threshold, threshold_std, noise, leak)
    numbers: dict[str, Number] = {}
    for name, value in zip(NAMES, values, strict=True):
        if name != parameter and value is None:
            raise ValueError(f"{name}: expected a number or an array, got None")
        numbers[name] = 0.0 if value is None else value
    a, b = real("low", low), real("high", high)
    p, shape, arguments, phi = enter(numbers | {parameter: a + 0 * b}, transfer)
    upper, _, _, _ = enter(numbers | {parameter: b + 0 * a}, transfer)
    x, y = getattr(p, parameter), getattr(upper, parameter)
    if bool((x >= y).any()):
        raise ValueError("high: expected values above low, got some that are not")

    def exponent(value: Tensor, rows: Tensor) -> Tensor:
        return _exponent(phi, dataclasses.replace(p, **{parameter: value}).take(rows))

    ends = _crossing(exponent, x, y, tolerance)
    found, left, right, below, above = ends
    middle = left + (right - left) * below.abs() / (below.abs() + above.abs()).clamp(min=1e-300)
    jump = (above - below).abs() >= _CONTINUOUS
    middle = torch.where(jump, (left + right) / 2, middle)
    arguments.pop(parameter)
    return Critical(
        value=torch.where(found, middle, torch.nan).reshape(shape),
        found=found.reshape(shape),
        below=below.reshape(shape),
        above=above.reshape(shape),
        width=(right - left).reshape(shape),
        parameter=parameter,
        arguments=arguments,
    )


def _exponent(phi: Transfer, p: Parameters) -> Tensor:
    """Return the largest exponent (P,).

    Without noise it is that of the fixed point, which has the same sign and is quickly known.
    """
    scaled = rescaled(p)
    s = settled(phi, scaled, relax(phi, scaled, *start(scaled)))
    value = (p.leak + p.std * s.at.slope_sq.sqrt()).log()
    moving = ((p.leak > 0) & (p.noise > 0)).nonzero().squeeze(-1)
    if len(moving):
        part = p.take(moving)
        field = answer(phi, part, s.take(moving), (len(moving),), {})
        value[moving] = field.lyapunov
    return value


def _crossing(
    exponent: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return found, both ends and the exponents there: false position, bisection every third time.

    An end that stays twice has its value halved (Illinois).
    """
    every = torch.arange(len(x), device=x.device)
    left, right = x.clone(), y.clone()
    below, above = exponent(left, every), exponent(right, every)
    found = (below > 0) != (above > 0)
    wl, wr = below.clone(), above.clone()
    rows, span = found.nonzero().squeeze(-1), y - x
    for i in range(_ROUNDS):
        if not len(rows):
            break
        a, b, fa, fb = left[rows], right[rows], wl[rows], wr[rows]
        secant = b - fb * (b - a) / (fb - fa)
        inside = (secant > a) & (secant < b) & (i % 3 != 2)
        c = torch.where(inside, secant, (a + b) / 2)
        trial = x.clone()
        trial[rows] = c
        fc = exponent(trial, rows)
        up = (fc > 0) == (above[rows] > 0)
        right[rows], left[rows] = torch.where(up, c, b), torch.where(up, a, c)
        above[rows] = torch.where(up, fc, above[rows])
        below[rows] = torch.where(up, below[rows], fc)
        wr[rows], wl[rows] = torch.where(up, fc, fb / 2), torch.where(up, fa / 2, fc)
        rows = rows[(right - left)[rows] > tolerance * span[rows]]
    return found, left, right, below, above
