r"""What a transfer function is: phi, its derivative, its integral, and its Gaussian averages.

A function of one's own is a subclass with three members; everything else follows from them, by
quadrature where no closed form overrides it.
"""

from __future__ import annotations

import abc
import functools

import numpy as np
import torch
from torch import Tensor

from sntorch.gaussian import Moments, average, average_pair, moments

__all__ = ["Transfer"]


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

    def into(self, out: Tensor, z: Tensor) -> Tensor:
        """Return phi(z), written into `out`; override where that saves a copy."""
        return out.copy_(self(z))

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (phi(z), phi'(z)); override where the derivative is cheap given the value."""
        return self(z), self.derivative(z)

    def derivative_from(self, z: Tensor, value: Tensor) -> Tensor:
        """Return phi'(z), given the value phi(z); override where it tells."""
        return self.derivative(z)

    def times_slope_(self, delta: Tensor, z: Tensor, value: Tensor) -> Tensor:
        """Multiply delta by phi'(z) in its place, given the value phi(z)."""
        return delta.mul_(self.derivative_from(z, value))

    def primitive(self, z: Tensor) -> Tensor:
        """Return the integral of phi from 0 to z, by Gauss-Legendre rules on 64 panels.

        That is exact to rounding for |z| up to about 50; override it where it is a closed form.
        """
        nodes, weights = _panels(z)
        return z * (self(z.unsqueeze(-1) * nodes) @ weights)

    def mean(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi(z), z ~ N(mean, variance)."""
        return average(self, *moments(mean, variance))

    def second_moment(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi(z)^2."""
        return average(lambda z: self(z).square(), *moments(mean, variance))

    def slope(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi'(z)."""
        return average(self.derivative, *moments(mean, variance))

    def slope_sq(self, mean: Moments, variance: Moments) -> Tensor:
        """Return E phi'(z)^2."""
        return average(lambda z: self.derivative(z).square(), *moments(mean, variance))

    def product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return E phi(z1) phi(z2) for z1, z2 ~ N(mean, variance) with the given covariance."""
        m, v, c = moments(mean, variance, covariance)
        return average_pair(self, m, v, c)

    def slope_product(self, mean: Moments, variance: Moments, covariance: Moments) -> Tensor:
        """Return E phi'(z1) phi'(z2), the derivative of `product` in the covariance (Price)."""
        m, v, c = moments(mean, variance, covariance)
        return average_pair(self.derivative, m, v, c)

    def __repr__(self) -> str:
        return type(self).__name__.lower()


@functools.cache
def _rule() -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(16)
    panels = (np.arange(64)[:, None] + (nodes + 1) / 2).ravel() / 64
    return torch.from_numpy(panels), torch.from_numpy(np.tile(weights, 64) / 128)


def _panels(like: Tensor) -> tuple[Tensor, Tensor]:
    nodes, weights = _rule()
    return nodes.to(like), weights.to(like)
