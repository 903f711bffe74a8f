"""Stability of fixed points of a map, as their multipliers tell it: the eigenvalues of DF."""

from __future__ import annotations

from torch import Tensor

__all__ = ["Stability"]


class Stability:
    """What a record of fixed points knows from its multipliers."""

    eigenvalues: Tensor
    """(M, N) complex, multipliers of M fixed points per step."""

    @property
    def unstable(self) -> Tensor:
        """Number of unstable directions (M,): multipliers with modulus above 1."""
        return (self.eigenvalues.abs() > 1).sum(-1)

    @property
    def stable(self) -> Tensor:
        """Whether all multipliers are inside the unit circle (M,)."""
        return (self.eigenvalues.abs() < 1).all(-1)
