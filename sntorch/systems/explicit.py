"""What known systems share: a Jacobian written out, and no drive."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from sntorch.differentiable import Differentiable

__all__ = ["Explicit", "autonomous", "matrix"]


class Explicit(Differentiable):
    """A system that knows its Jacobian, which for few variables is faster than ``torch.func``."""

    @abc.abstractmethod
    def _derivative(self, u: Tensor) -> Tensor:
        """Return DF at u: (..., N, N), or (N, N) where it is constant."""

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V."""
        self.check_frame("V", u, V)
        return self._value(u, x), self._derivative(u) @ V

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF^T W."""
        self.check_frame("W", u, W)
        return self._value(u, x), self._derivative(u).mT @ W


def autonomous(x: Tensor | None) -> None:
    """Refuse a drive."""
    if x is not None:
        raise ValueError("x: expected None, since the system is autonomous; got a drive")


def matrix(u: Tensor, *rows: tuple[float | Tensor, ...]) -> Tensor:
    """Return the matrices (..., N, N) at u of entries that are numbers or (...)."""
    ones = torch.ones_like(u[..., 0])
    return torch.stack([torch.stack([ones * entry for entry in row], -1) for row in rows], -2)
