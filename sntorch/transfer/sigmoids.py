r"""Sigmoids and softplus: transfer functions whose Gaussian averages are made by quadrature."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.transfer.base import Transfer

__all__ = ["Hill", "Sigmoid", "Softplus", "Tanh", "Tanh01"]


@final
class Tanh(Transfer):
    """phi(z) = tanh z.

    Examples
    --------
    >>> phi, z = Tanh(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.0000, 0.7616]), tensor([1.0000, 0.4200]))
    """

    supremum = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """Return tanh z."""
        return torch.tanh(z)

    def into(self, out: Tensor, z: Tensor) -> Tensor:
        """Return tanh z in `out`."""
        return torch.tanh(z, out=out)

    def derivative(self, z: Tensor) -> Tensor:
        """Return 1 - tanh^2 z."""
        return self.with_derivative(z)[1]

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (tanh z, 1 - tanh^2 z) at the price of one tanh."""
        value = torch.tanh(z)
        return value, self.derivative_from(z, value)

    def derivative_from(self, z: Tensor, value: Tensor) -> Tensor:
        """Return 1 - value^2."""
        # One pass; a Python number in the place of the tensor would cost as much as the tanh.
        return torch.addcmul(value.new_ones(()), value, value, value=-1)

    def times_slope_(self, delta: Tensor, z: Tensor, value: Tensor) -> Tensor:
        """Multiply delta by 1 - value^2 in its place."""
        return torch.ops.aten.tanh_backward(delta, value, grad_input=delta)

    def primitive(self, z: Tensor) -> Tensor:
        """Return ln cosh z."""
        return _log_cosh(z)


@final
class Sigmoid(Transfer):
    """phi(z) = 1 / (1 + exp(-z)), the logistic function.

    Examples
    --------
    >>> phi, z = Sigmoid(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.5000, 0.7311]), tensor([0.2500, 0.1966]))
    """

    supremum = 0.25

    def __call__(self, z: Tensor) -> Tensor:
        """Return the logistic function of z."""
        return torch.sigmoid(z)

    def into(self, out: Tensor, z: Tensor) -> Tensor:
        """Return the logistic function of z in `out`."""
        return torch.sigmoid(z, out=out)

    def derivative(self, z: Tensor) -> Tensor:
        """Return phi (1 - phi)."""
        return self.with_derivative(z)[1]

    def with_derivative(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return (phi, phi (1 - phi)) at the price of one exponential."""
        value = torch.sigmoid(z)
        return value, value * torch.sigmoid(-z)

    def primitive(self, z: Tensor) -> Tensor:
        """Return ln(1 + exp z) - ln 2."""
        return (z + _log_cosh(z / 2) * 2) / 2


@final
class Tanh01(Transfer):
    """phi(z) = (1 + tanh z) / 2 = sigmoid(2z).

    Examples
    --------
    >>> phi, z = Tanh01(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.5000, 0.8808]), tensor([0.5000, 0.2100]))
    """

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

    def primitive(self, z: Tensor) -> Tensor:
        """Return (z + ln cosh z) / 2."""
        return (z + _log_cosh(z)) / 2


@final
class Softplus(Transfer):
    """phi(z) = ln(1 + exp z).

    Examples
    --------
    >>> phi, z = Softplus(), torch.tensor([0.0, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.6931, 1.3133]), tensor([0.5000, 0.7311]))
    """

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

    Examples
    --------
    >>> phi, z = Hill(), torch.tensor([-1.0, 0.5, 1.0])
    >>> phi(z), phi.derivative(z)
    (tensor([0.0000, 0.5000, 0.9412]), tensor([0.0000, 2.0000, 0.2215]))
    """

    def __init__(self, n: int = 4, half: float = 0.5) -> None:
        self.n = checks.count("n", n, low=2)
        self.half = checks.number("half", half, low=torch.finfo(torch.float64).tiny)
        top = ((n - 1) / (n + 1)) ** (1 / n)  # where the slope is largest, in units of half
        self.supremum = n * top ** (n - 1) / (1 + top**n) ** 2 / self.half

    def __call__(self, z: Tensor) -> Tensor:
        """Return the Hill function of z."""
        power = _power(z.clamp(min=0) / self.half, self.n)
        return torch.where(power.isinf(), 1.0, power / (1 + power))

    def derivative(self, z: Tensor) -> Tensor:
        """Return n phi (1 - phi) / z, continued to 0."""
        ratio = z.clamp(min=0) / self.half
        below = _power(ratio, self.n - 1)
        slope = (self.n / self.half) * below / (1 + below * ratio).square()
        return torch.where(slope.isfinite(), slope, 0.0)


def _power(z: Tensor, n: int) -> Tensor:
    """Return z^n by squaring, which takes a tenth of the time of a general power."""
    result = z if n % 2 else None
    while n := n // 2:
        z = z.square()
        if n % 2:
            result = z if result is None else result * z
    return torch.ones_like(z) if result is None else result


def _log_cosh(z: Tensor) -> Tensor:
    """Return ln cosh z, without overflow and with all its digits where z is small."""
    near = torch.log1p(2 * torch.sinh(z.clamp(-1, 1) / 2).square())
    far = z.abs() + torch.log1p(torch.exp(-2 * z.abs())) - math.log(2)
    return torch.where(z.abs() < 1, near, far)
