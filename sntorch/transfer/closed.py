r"""Transfer functions whose Gaussian averages are closed forms: lines and error functions."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sntorch.gaussian import Moments, cdf, correlation, moments, normal, plackett, ratio
from sntorch.transfer.base import Transfer

__all__ = ["Erf", "Linear", "NormalCdf", "Relu"]


@final
class Linear(Transfer):
    """phi(z) = z.

    Examples
    --------
    >>> phi, z = Linear(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0., 1.]), tensor([1., 1.]))
    """

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return z."""
        return z

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(z)

    def primitive(self, z: Tensor) -> Tensor:
        """Return z^2 / 2."""
        return z.square() / 2

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m."""
        return moments(mean, variance)[0]

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m^2 + v."""
        m, v = moments(mean, variance)
        return m.square() + v

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 1."""
        return torch.ones_like(moments(mean, variance)[0])

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 1."""
        return self.slope(mean, variance)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return m^2 + c."""
        m, _, c = moments(mean, variance, covariance)
        return m.square() + c

    def slope_product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return 1."""
        return torch.ones_like(moments(mean, variance, covariance)[0])


@final
class Relu(Transfer):
    """phi(z) = max(z, 0); its derivative at 0 is 0, as in torch.

    Examples
    --------
    >>> phi, z = Relu(), torch.tensor([-1.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0., 1.]), tensor([0., 1.]))
    """

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return max(z, 0)."""
        return torch.relu(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1 where z > 0, else 0."""
        return (z > 0).to(z.dtype)

    def primitive(self, z: Tensor) -> Tensor:
        """Return phi^2 / 2."""
        return torch.relu(z).square() / 2

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return m Phi(a) + s N(a) with s = sqrt(v), a = m / s."""
        m, v = moments(mean, variance)
        a = ratio(m, v)
        return m * cdf(a) + v.sqrt() * normal(a)

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return (m^2 + v) Phi(a) + m s N(a)."""
        m, v = moments(mean, variance)
        a = ratio(m, v)
        # The terms cancel where m is far below zero.
        return ((m.square() + v) * cdf(a) + m * v.sqrt() * normal(a)).clamp(min=0)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(a), the probability of z > 0."""
        return cdf(ratio(*moments(mean, variance)))

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(a)."""
        return self.slope(mean, variance)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return (E phi)^2 plus the integral over covariances of P(z1 > 0, z2 > 0).

        By Price's theorem d/dc E phi phi = E phi' phi'; the orthant probability is Plackett's.
        For m = 0 it is the arc-cosine kernel (Cho and Saul 2009).
        """
        m, v, c = moments(mean, variance, covariance)
        a, rho = ratio(m, v), correlation(c, v)
        inner = plackett(a, rho, lambda sine: rho.unsqueeze(-1) - sine)
        return self.mean(m, v).square() + v * (inner + rho * cdf(a).square())

    def slope_product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return the probability of z1 > 0 and z2 > 0 (Plackett 1954)."""
        m, v, c = moments(mean, variance, covariance)
        a = ratio(m, v)
        return cdf(a).square() + plackett(a, correlation(c, v), torch.ones_like)


@final
class NormalCdf(Transfer):
    """phi(z) = (1 + erf(z / sqrt 2)) / 2, the Gaussian distribution function.

    Examples
    --------
    >>> phi, z = NormalCdf(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.5000, 0.8413]), tensor([0.3989, 0.2420]))
    """

    supremum = 1 / math.sqrt(2 * math.pi)

    def __call__(self, z: Tensor) -> Tensor:
        """Return the probability of a standard normal variable below z."""
        return torch.special.ndtr(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return the standard normal density at z."""
        return normal(z)

    def primitive(self, z: Tensor) -> Tensor:
        """Return z Phi(z) plus the standard normal density at z, less that at 0."""
        return z * cdf(z) + torch.expm1(-z.square() / 2) / math.sqrt(2 * math.pi)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return Phi(m / sqrt(1 + v))."""
        m, v = moments(mean, variance)
        return cdf(m / (1 + v).sqrt())

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the pair average at c = v."""
        m, v = moments(mean, variance)
        return self.product(m, v, v)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the density of N(0, 1 + v) at m."""
        m, v = moments(mean, variance)
        width = (1 + v).sqrt()
        return normal(m / width) / width

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the density of N(0, v + 1/2) at m over 2 sqrt(pi)."""
        m, v = moments(mean, variance)
        width = (v + 0.5).sqrt()
        return normal(m / width) / width / (2 * math.sqrt(math.pi))

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return Phi(h)^2 + int_0^r N2, h = m / sqrt(1 + v), r = c / (1 + v) (Plackett 1954)."""
        m, v, c = moments(mean, variance, covariance)
        h, r = m / (1 + v).sqrt(), c / (1 + v)
        return cdf(h).square() + plackett(h, r, torch.ones_like)

    def slope_product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return the normal density of (z1 + y1, z2 + y2) at 0, y1 and y2 independent N(0, 1)."""
        return _pair_density(*moments(mean, variance, covariance))


@final
class Erf(Transfer):
    """phi(z) = erf z = 2 Phi(sqrt(2) z) - 1; its averages follow from those of `NormalCdf`.

    Examples
    --------
    >>> phi, z = Erf(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.0000, 0.8427]), tensor([1.1284, 0.4151]))
    """

    supremum = 2 / math.sqrt(math.pi)

    def __call__(self, z: Tensor) -> Tensor:
        """Return erf z."""
        return torch.erf(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return (2 / sqrt(pi)) exp(-z^2)."""
        return self.supremum * torch.exp(-z.square())

    def primitive(self, z: Tensor) -> Tensor:
        """Return z erf z + (exp(-z^2) - 1) / sqrt(pi)."""
        return z * torch.erf(z) + torch.expm1(-z.square()) / math.sqrt(math.pi)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return erf(m / sqrt(1 + 2v))."""
        m, v = moments(mean, variance)
        return torch.erf(m / (1 + 2 * v).sqrt())

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return the pair average at c = v."""
        m, v = moments(mean, variance)
        return self.product(m, v, v)

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 2 sqrt(2) E Phi' at sqrt(2) z."""
        m, v = moments(mean, variance)
        return math.sqrt(8) * _PHI.slope(math.sqrt(2) * m, 2 * v)

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return 8 E Phi'^2 at sqrt(2) z."""
        m, v = moments(mean, variance)
        return 8 * _PHI.slope_sq(math.sqrt(2) * m, 2 * v)

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return (E phi)^2 plus four times Plackett's integral; for m = 0 (2/pi) arcsin."""
        m, v, c = moments(mean, variance, covariance)
        width = 1 + 2 * v
        h = m / width.sqrt()
        return torch.erf(h).square() + 4 * plackett(
            math.sqrt(2) * h, 2 * c / width, torch.ones_like
        )

    def slope_product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return 8 E Phi'(z1) Phi'(z2) at sqrt(2) z."""
        m, v, c = moments(mean, variance, covariance)
        return 8 * _pair_density(math.sqrt(2) * m, 2 * v, 2 * c)


_PHI = NormalCdf()


def _pair_density(m: Tensor, v: Tensor, c: Tensor) -> Tensor:
    wide, narrow = 1 + v + c, 1 + v - c
    return torch.exp(-m.square() / wide) / (wide * narrow).sqrt() / (2 * math.pi)
