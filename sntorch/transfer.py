r"""Transfer functions phi: from the state of a neuron to its rate, f(u) = phi(gain * u).

=========  ================  =====================  ====
name       phi(z)            sup phi'               odd
=========  ================  =====================  ====
``tanh``   tanh z            1                      yes
``erf``    erf z             2 / sqrt(pi)           yes
=========  ================  =====================  ====

The gain is outside: f'(u) = gain * phi'(gain * u).  Names are exact: erf(z) is not the Gaussian
distribution function.  A function of one's own is a subclass of `Transfer` with three members.
"""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor

__all__ = ["TRANSFERS", "Erf", "Tanh", "Transfer", "as_transfer"]


class Transfer(abc.ABC):
    """A scalar function applied to every neuron, with its derivative.

    ``transfer(z)`` is phi(z) and keeps the shape (...) of z; `supremum` is the largest |phi'|,
    which bounds contraction (Cessac 2020, SNT slides, contraction theorem).
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

    def __repr__(self) -> str:
        return type(self).__name__.lower()


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


class Erf(Transfer):
    """phi(z) = erf z, the function for which mean-field averages have closed forms."""

    supremum = 2 / math.sqrt(math.pi)

    def __call__(self, z: Tensor) -> Tensor:
        """Return erf z."""
        return torch.erf(z)

    def derivative(self, z: Tensor) -> Tensor:
        """Return (2 / sqrt(pi)) exp(-z^2)."""
        return self.supremum * torch.exp(-z.square())


TRANSFERS: dict[str, Transfer] = {"tanh": Tanh(), "erf": Erf()}
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
