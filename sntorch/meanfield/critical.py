r"""Where phases end, which of them coexist, and whether replicas come together.

A critical line is where the largest exponent crosses zero; it is found for any parameter by
bisection and inverse interpolation, arrays at once.  Where solutions coexist (quiet fixed points
beside chaos), all are found by Newton's method from many starts.  Two replicas with the same
couplings and thresholds have a covariance that obeys

.. math:: q_{12} = J^2 E[f f]_{q_{12}} + s_\theta^2 + \sigma^2 \quad \text{(common noise)}, \qquad
          q_{12} = J^2 E[f f]_{q_{12}} + s_\theta^2 \quad \text{(independent noise)};

the second is the static overlap, the first reaches v, replicas come together, exactly where the
largest exponent is negative.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.dynamic import common_noise
from sntorch.meanfield.record import MeanField, Number, Parameters, enter, real
from sntorch.meanfield.static import overlap, relax
from sntorch.meanfield.stationary import answer, rescaled, settled, start
from sntorch.meanfield.tables import Tables
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["Critical", "Replicas", "critical", "replicas", "solutions"]

_NAMES = ("gain", "std", "mean", "threshold", "threshold_std", "noise", "leak")
_ROUNDS = 100
_STARTS_V, _STARTS_MU = 60, 25
_SAME, _SOLVED = 1e-6, 1e-9
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


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Replicas(Result):
    """What two networks with the same couplings have in common, per neuron."""

    field: MeanField
    """The mean field of one of them."""
    common: Tensor
    """(...), covariance of replicas with the same noise."""
    independent: Tensor
    """(...), covariance of replicas with noise of their own: the static overlap."""

    @property
    def distance_common(self) -> Tensor:
        """Mean square distance per neuron (...), 2 (v - q), with common noise."""
        return 2 * (self.field.variance - self.common)

    @property
    def distance_independent(self) -> Tensor:
        """Mean square distance per neuron (...) with independent noise."""
        return 2 * (self.field.variance - self.independent)

    @property
    def synchronised(self) -> Tensor:
        """Bool (...): replicas with common noise come together, and keep moving together."""
        return self.field.lyapunov < 0

    def scalars(self) -> dict[str, float]:
        """Return both distances, averaged over the ensembles."""
        return {
            "distance_common": float(self.distance_common.mean()),
            "distance_independent": float(self.distance_independent.mean()),
        }


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
    checks.one_of("parameter", parameter, _NAMES)
    checks.number("tolerance", tolerance, low=1e-15, high=0.1)
    values = (gain, std, mean, threshold, threshold_std, noise, leak)
    numbers: dict[str, Number] = {}
    for name, value in zip(_NAMES, values, strict=True):
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


def solutions(
    *,
    gain: float,
    std: float = 1.0,
    mean: float = 0.0,
    threshold: float = 0.0,
    threshold_std: float = 0.0,
    noise: float = 0.0,
    transfer: str | Transfer = "tanh",
) -> MeanField:
    """Return all stationary solutions of one ensemble without leak, by ascending variance.

    Which of them networks can stay at is ``stationary``; a quiet fixed point has ``lyapunov`` < 0
    and the overlap v.  The search starts from a mesh of means and variances: two solutions closer
    than 1e-6 count as one.

    Parameters
    ----------
    gain, std, mean, threshold, threshold_std, noise, transfer
        As in `solve`, one number each.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.solutions(gain=6.0, threshold=0.3, transfer="tanh01")
    >>> found.stationary & ~found.chaotic, found.stationary & found.chaotic
    (tensor([ True, False, False]), tensor([False, False,  True]))
    """
    values = (gain, std, mean, threshold, threshold_std, noise, 0.0)
    one = {name: checks.number(name, value) for name, value in zip(_NAMES, values, strict=True)}
    p, _, _, phi = enter(dict(one), transfer)
    v_most = 1.5 * float(p.std.square() + p.independent) + 1e-3
    v = torch.logspace(-10, 0, _STARTS_V - 1, dtype=torch.float64) * v_most + p.independent
    v = torch.cat([p.independent, v])
    mu = -p.threshold
    if one["mean"]:
        mu = mu + p.mean * torch.linspace(-1.05, 1.05, _STARTS_MU, dtype=torch.float64)
    mu, v = (t.reshape(-1) for t in torch.meshgrid(mu, v, indexing="ij"))
    wide = {name: value + torch.zeros_like(v) for name, value in one.items()}
    p, _, _, _ = enter(wide, phi)
    s = relax(phi, p, mu, v, warm=0)
    good = (s.residual <= _SOLVED * (1 + s.v)).nonzero().squeeze(-1)
    order = good[s.residual[good].argsort()]  # of those that count as one, the best is kept
    kept: list[int] = []
    for i in order.tolist():
        near = [
            j
            for j in kept
            if abs(float(s.v[i] - s.v[j])) <= _SAME * (1e-3 + float(s.v[i]))
            and abs(float(s.mu[i] - s.mu[j])) <= _SAME * (1 + abs(float(s.mu[i])))
        ]
        if not near:
            kept.append(i)
    rows = torch.tensor(kept, dtype=torch.int64)
    rows = rows[s.v[rows].argsort(stable=True)]
    part, _, arguments, _ = enter({n: value[rows] for n, value in wide.items()}, phi)
    return answer(phi, part, s.take(rows), (len(rows),), arguments)


def replicas(
    *,
    gain: Number,
    std: Number = 1.0,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
) -> Replicas:
    """Return the covariances of two replicas with common and with independent noise.

    Noise that suppresses chaos does not stop the network: replicas under the same noise converge to
    one another, and go on moving.

    Parameters
    ----------
    gain, std, mean, threshold, threshold_std, noise, leak, transfer
        As in `solve`; arrays broadcast.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> pair = snt.meanfield.replicas(gain=2.0, noise=[0.3, 1.0])
    >>> pair.distance_common > 0
    tensor([ True, False])
    """
    values = (gain, std, mean, threshold, threshold_std, noise, leak)
    p, shape, arguments, phi = enter(dict(zip(_NAMES, values, strict=True)), transfer)
    scaled = rescaled(p)
    s = settled(phi, scaled, relax(phi, scaled, *start(scaled)))
    field = answer(phi, p, s, shape, arguments)
    common = field.variance.reshape(-1).clone()
    calm = (field.lyapunov < 0).reshape(-1)
    instant = (~calm & (p.leak == 0)).nonzero().squeeze(-1)
    if len(instant):
        part, some = p.take(instant), s.take(instant)
        none = torch.zeros(len(instant), dtype=torch.bool, device=common.device)
        common[instant] = overlap(phi, part, some, part.independent, none)[0]
    slow = (~calm & (p.leak > 0)).nonzero().squeeze(-1)
    if len(slow):
        law = (each.reshape(-1)[slow, None] for each in (field.mean, common, field.overlap))
        lags = field.covariances.shape[-1] - 1
        common[slow] = common_noise(Tables.of(phi, p.take(slow)), *law, lags).squeeze(-1)
    return Replicas(field=field, common=common.reshape(shape), independent=field.overlap)
