r"""Transfer functions phi: from the state of a neuron to its rate, f(u) = phi(gain * u).

==============  =========================  =====================  ===  =======================
name            phi(z)                     sup phi'               odd  Gaussian averages
==============  =========================  =====================  ===  =======================
``tanh``        tanh z                     1                      yes  quadrature
``erf``         erf z                      2 / sqrt(pi)           yes  closed
``normal_cdf``  (1 + erf(z/sqrt 2)) / 2    1 / sqrt(2 pi)         no   closed
``tanh01``      (1 + tanh z) / 2           1/2                    no   quadrature
``sigmoid``     1 / (1 + exp(-z))          1/4                    no   quadrature
``hill``        z^4 / (1/16 + z^4), z > 0  1.9                    no   quadrature
``relu``        max(z, 0)                  1                      no   closed
``softplus``    ln(1 + exp z)              1                      no   quadrature
``linear``      z                          1                      yes  closed
==============  =========================  =====================  ===  =======================

The gain is outside: f'(u) = gain * phi'(gain * u).  Names are exact: erf(z) is not the Gaussian
distribution function, and tanh01(z) = sigmoid(2z).  For functions that are not odd u = 0 is no
equilibrium.  A function of one's own is a subclass of `Transfer` with three members.

Averages.  For z ~ N(m, v), and pairs of that law with covariance c, mean-field theory needs

.. math:: E\phi, \quad E\phi^2, \quad E\phi', \quad E\phi'^2, \quad E\phi(z_1)\phi(z_2).

For u ~ N(mu, s) they are taken at m = gain mu, v = gain^2 s.  Where no closed form exists they come
from the trapezoid rule on [-12, 12] standard deviations, refined until two meshes agree: on entire
or strip-analytic integrands it converges geometrically, while Gauss-Hermite rules are wrong by
percents once sqrt(v) reaches 5.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import final

import numpy as np
import torch
from torch import Tensor

from sntorch import checks

__all__ = [
    "TRANSFERS",
    "Erf",
    "Hill",
    "Linear",
    "NormalCdf",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Tanh01",
    "Transfer",
    "as_transfer",
]

Moments = float | Tensor
_REACH = 12.0  # standard deviations: what lies beyond weighs 1e-32
_COARSE, _FINE = 64, 2**15  # numbers of intervals to begin and to end with
_FINE_PAIRS = 2**10
_AGREE = 1e-13


class Transfer(abc.ABC):
    """A scalar function applied to every neuron, with derivative and Gaussian averages.

    ``transfer(z)`` is phi(z) and keeps the shape (...) of z; `supremum` is the largest |phi'|,
    which bounds contraction (Cessac 2020, SNT slides, contraction theorem).  The averages take
    mean and variance as numbers or tensors, broadcast them, and return float64.

    Examples
    --------
    >>> import sntorch as snt
    >>> phi = snt.transfer.as_transfer("erf")
    >>> phi.second_moment(0.0, 0.5)  # (2/pi) arcsin(1/2)
    tensor(0.3333, dtype=torch.float64)
    """

    supremum: float

    @abc.abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """Return phi(z)."""

    @abc.abstractmethod
    def derivative(self, z: Tensor) -> Tensor:
        """Return phi'(z)."""

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (phi(z), phi'(z)); override where the derivative is cheap given the value."""
        return self(z), self.derivative(z)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi(z), z ~ N(mean, variance)."""
        return _average(self, *_moments(mean, variance))

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi(z)^2."""
        return _average(lambda z: self(z).square(), *_moments(mean, variance))

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi'(z)."""
        return _average(self.derivative, *_moments(mean, variance))

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi'(z)^2."""
        return _average(lambda z: self.derivative(z).square(), *_moments(mean, variance))

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return E phi(z1) phi(z2) for z1, z2 ~ N(mean, variance) with the given covariance."""
        m, v, c = _moments(mean, variance, covariance)
        return _average_pair(self, m, v, c)

    def __repr__(self) -> str:
        return type(self).__name__.lower()


@final
class Tanh(Transfer):
    """phi(z) = tanh z."""

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return tanh z."""
        return torch.tanh(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1 - tanh^2 z."""
        return self.with_derivative(z)[1]

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (tanh z, 1 - tanh^2 z) at the price of one tanh."""
        value = torch.tanh(z)
        return value, 1 - value.square()


@final
class Sigmoid(Transfer):
    """phi(z) = 1 / (1 + exp(-z)), the logistic function."""

    supremum = 0.25

    def __call__(self, z: Tensor) -> Tensor:
        """Return the logistic function of z."""
        return torch.sigmoid(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return phi (1 - phi)."""
        return self.with_derivative(z)[1]

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (phi, phi (1 - phi)) at the price of one exponential."""
        value = torch.sigmoid(z)
        return value, value * torch.sigmoid(-z)


@final
class Tanh01(Transfer):
    """phi(z) = (1 + tanh z) / 2 = sigmoid(2z)."""

    supremum = 0.5

    def __call__(self, z: Tensor) -> Tensor:
        """Return (1 + tanh z) / 2."""
        return torch.sigmoid(2 * z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return 2 phi (1 - phi)."""
        return self.with_derivative(z)[1]

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (phi, 2 phi (1 - phi))."""
        value = torch.sigmoid(2 * z)
        return value, 2 * value * torch.sigmoid(-2 * z)


@final
class Softplus(Transfer):
    """phi(z) = ln(1 + exp z)."""

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return ln(1 + exp z) without overflow."""
        return torch.logaddexp(z, torch.zeros_like(z))

    def derivative(self, z: Tensor) -> Tensor:
        """Return the logistic function of z."""
        return torch.sigmoid(z)


@final
class Hill(Transfer):
    """phi(z) = z^n / (half^n + z^n) for z > 0, and 0 for z <= 0.

    Parameters
    ----------
    n
        Steepness, at least 2, so that the derivative is continuous.
    half
        Where phi is 1/2.
    """

    def __init__(self, n: int = 4, half: float = 0.5) -> None:
        self.n = checks.count("n", n, low=2)
        self.half = checks.number("half", half, low=torch.finfo(torch.float64).tiny)
        top = ((n - 1) / (n + 1)) ** (1 / n)  # where the slope is largest, in units of half
        self.supremum = n * top ** (n - 1) / (1 + top**n) ** 2 / self.half

    def __call__(self, z: Tensor) -> Tensor:
        """Return the Hill function of z."""
        power = (z.clamp(min=0) / self.half) ** self.n
        return torch.where(power.isinf(), 1.0, power / (1 + power))

    def derivative(self, z: Tensor) -> Tensor:
        """Return n phi (1 - phi) / z, continued to 0."""
        ratio = z.clamp(min=0) / self.half
        slope = self.n * ratio ** (self.n - 1) / (1 + ratio**self.n).square() / self.half
        return torch.where(slope.isfinite(), slope, 0.0)


@final
class Linear(Transfer):
    """phi(z) = z."""

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return z."""
        return z

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(z)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m."""
        return _moments(mean, variance)[0]

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m^2 + v."""
        m, v = _moments(mean, variance)
        return m.square() + v

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 1."""
        return torch.ones_like(_moments(mean, variance)[0])

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 1."""
        return self.slope(mean, variance)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return m^2 + c."""
        m, _, c = _moments(mean, variance, covariance)
        return m.square() + c


@final
class Relu(Transfer):
    """phi(z) = max(z, 0); its derivative at 0 is 0, as in torch."""

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return max(z, 0)."""
        return torch.relu(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1 where z > 0, else 0."""
        return (z > 0).to(z.dtype)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m Phi(a) + s N(a) with s = sqrt(v), a = m / s."""
        m, v = _moments(mean, variance)
        a = _ratio(m, v)
        return m * _cdf(a) + v.sqrt() * _normal(a)

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return (m^2 + v) Phi(a) + m s N(a)."""
        m, v = _moments(mean, variance)
        a = _ratio(m, v)
        return (m.square() + v) * _cdf(a) + m * v.sqrt() * _normal(a)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(a), the probability of z > 0."""
        return _cdf(_ratio(*_moments(mean, variance)))

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(a)."""
        return self.slope(mean, variance)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return (E phi)^2 plus the integral over covariances of P(z1 > 0, z2 > 0).

        By Price's theorem d/dc E phi phi = E phi' phi'; the orthant probability is Plackett's.
        For m = 0 it is the arc-cosine kernel (Cho and Saul 2009).
        """
        m, v, c = _moments(mean, variance, covariance)
        a, rho = _ratio(m, v), _correlation(c, v)
        inner = _plackett(a, rho, lambda sine: rho.unsqueeze(-1) - sine)
        return self.mean(m, v).square() + v * (inner + rho * _cdf(a).square())


@final
class NormalCdf(Transfer):
    """phi(z) = (1 + erf(z / sqrt 2)) / 2, the Gaussian distribution function."""

    supremum = 1 / math.sqrt(2 * math.pi)

    def __call__(self, z: Tensor) -> Tensor:
        """Return the probability of a standard normal variable below z."""
        return torch.special.ndtr(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return the standard normal density at z."""
        return _normal(z)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(m / sqrt(1 + v))."""
        m, v = _moments(mean, variance)
        return _cdf(m / (1 + v).sqrt())

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the pair average at c = v."""
        m, v = _moments(mean, variance)
        return self.product(m, v, v)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the density of N(0, 1 + v) at m."""
        m, v = _moments(mean, variance)
        width = (1 + v).sqrt()
        return _normal(m / width) / width

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the density of N(0, v + 1/2) at m over 2 sqrt(pi)."""
        m, v = _moments(mean, variance)
        width = (v + 0.5).sqrt()
        return _normal(m / width) / width / (2 * math.sqrt(math.pi))

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return Phi(h)^2 + int_0^r N2, h = m / sqrt(1 + v), r = c / (1 + v) (Plackett 1954)."""
        m, v, c = _moments(mean, variance, covariance)
        h, r = m / (1 + v).sqrt(), c / (1 + v)
        return _cdf(h).square() + _plackett(h, r, torch.ones_like)


@final
class Erf(Transfer):
    """phi(z) = erf z = 2 Phi(sqrt(2) z) - 1; its averages follow from those of `NormalCdf`."""

    supremum = 2 / math.sqrt(math.pi)

    def __call__(self, z: Tensor) -> Tensor:
        """Return erf z."""
        return torch.erf(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return (2 / sqrt(pi)) exp(-z^2)."""
        return self.supremum * torch.exp(-z.square())

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return erf(m / sqrt(1 + 2v))."""
        m, v = _moments(mean, variance)
        return torch.erf(m / (1 + 2 * v).sqrt())

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the pair average at c = v."""
        m, v = _moments(mean, variance)
        return self.product(m, v, v)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 2 sqrt(2) E Phi' at sqrt(2) z."""
        m, v = _moments(mean, variance)
        return math.sqrt(8) * _PHI.slope(math.sqrt(2) * m, 2 * v)

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 8 E Phi'^2 at sqrt(2) z."""
        m, v = _moments(mean, variance)
        return 8 * _PHI.slope_sq(math.sqrt(2) * m, 2 * v)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return (E phi)^2 plus four times Plackett's integral; for m = 0 (2/pi) arcsin."""
        m, v, c = _moments(mean, variance, covariance)
        h, r = math.sqrt(2) * m / (1 + 2 * v).sqrt(), 2 * c / (1 + 2 * v)
        return self.mean(m, v).square() + 4 * _plackett(h, r, torch.ones_like)


_PHI = NormalCdf()

TRANSFERS: dict[str, Transfer] = {
    "tanh": Tanh(),
    "erf": Erf(),
    "normal_cdf": _PHI,
    "tanh01": Tanh01(),
    "sigmoid": Sigmoid(),
    "hill": Hill(),
    "relu": Relu(),
    "softplus": Softplus(),
    "linear": Linear(),
}
"""The transfer functions that have a name."""


def as_transfer(obj: object) -> Transfer:
    """Return the `Transfer` that `obj` is or names.

    Raises
    ------
    ValueError
        If it is neither a `Transfer` nor a name in `TRANSFERS`.
    """
    if isinstance(obj, Transfer):
        return obj
    if isinstance(obj, str) and obj in TRANSFERS:
        return TRANSFERS[obj]
    known = ", ".join(TRANSFERS)
    raise ValueError(f"transfer: expected one of {known}, or a Transfer, got {obj!r}")


def _moments(mean: Moments, variance: Moments, *covariance: Moments) -> list[Tensor]:
    """Return mean, variance and covariance as float64 tensors of one shape, checked."""
    given = [torch.as_tensor(value, dtype=torch.float64) for value in (mean, variance, *covariance)]
    m, v, *c = torch.broadcast_tensors(*given)
    for name, value in zip(("mean", "variance", "covariance"), (m, v, *c), strict=False):
        if value.numel():
            checks.finite(name, value)
    if bool((v < 0).any()):
        raise ValueError(f"variance: expected >= 0, got {float(v.min())}")
    for value in c:
        if bool((value.abs() > v * (1 + 1e-12)).any()):
            raise ValueError("covariance: expected at most the variance in modulus, got more")
    return [m, v, *(torch.minimum(torch.maximum(value, -v), v) for value in c)]


def _mesh(intervals: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of the trapezoid rule for the standard normal density."""
    h = torch.linspace(-_REACH, _REACH, intervals + 1, dtype=like.dtype, device=like.device)
    weight = torch.exp(-h.square() / 2)
    return h, weight / weight.sum()


def _refined(rule: Callable[[int], Tensor], finest: int) -> Tensor:
    """Return rule(n) for the first n at which doubling changes nothing any more."""
    intervals, coarse = _COARSE, rule(_COARSE)
    while intervals < finest:
        intervals *= 2
        fine = rule(intervals)
        if bool(((fine - coarse).abs() <= _AGREE * (1 + fine.abs())).all()):
            return fine
        coarse = fine
    return coarse


def _average(g: Callable[[Tensor], Tensor], m: Tensor, v: Tensor) -> Tensor:
    def rule(intervals: int) -> Tensor:
        h, weight = _mesh(intervals, m)
        return g(m.unsqueeze(-1) + v.sqrt().unsqueeze(-1) * h) @ weight

    return _refined(rule, _FINE)


def _average_pair(g: Callable[[Tensor], Tensor], m: Tensor, v: Tensor, c: Tensor) -> Tensor:
    """Return E g(z1) g(z2): what the two have in common outside, what they have not inside.

    A negative covariance enters the two with opposite signs.
    """
    common, own = c.abs().sqrt(), (v - c.abs()).clamp(min=0).sqrt()

    def rule(intervals: int) -> Tensor:
        h, weight = _mesh(intervals, m)
        inside = (own.unsqueeze(-1) * h).unsqueeze(-2)
        shared = (common.unsqueeze(-1) * h).unsqueeze(-1)
        centre = m.reshape(*m.shape, 1, 1)
        first = g(centre + shared + inside) @ weight
        # the mesh is symmetric: the average at -h is the one at h, read backwards
        second = torch.where((c < 0).unsqueeze(-1), first.flip(-1), first)
        return (first * second) @ weight

    return _refined(rule, _FINE_PAIRS)


def _normal(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def _cdf(z: Tensor) -> Tensor:
    return torch.special.ndtr(z)


def _ratio(m: Tensor, v: Tensor) -> Tensor:
    """Return m / sqrt(v), with its limit where the variance is zero."""
    exact = m.sign() * torch.inf
    return torch.where(v > 0, m / v.clamp(min=torch.finfo(v.dtype).tiny).sqrt(), exact.nan_to_num())


def _correlation(c: Tensor, v: Tensor) -> Tensor:
    return (c / v.clamp(min=torch.finfo(v.dtype).tiny)).clamp(-1, 1)


def _plackett(h: Tensor, r: Tensor, factor: Callable[[Tensor], Tensor]) -> Tensor:
    """Return int_0^r factor(s) exp(-h^2 / (1 + s)) / (2 pi sqrt(1 - s^2)) ds, with s = sin t."""
    nodes, weights = map(torch.as_tensor, np.polynomial.legendre.leggauss(64))
    top = r.asin().unsqueeze(-1)
    sine = (top * (nodes + 1).to(top) / 2).sin()
    value = factor(sine) * torch.exp(-h.square().unsqueeze(-1) / (1 + sine))
    return (value * weights.to(top)).sum(-1) * top.squeeze(-1) / (4 * math.pi)
