"""Means over blocks and their errors, one block at a time, so that memory does not grow."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Moments", "cut"]


class Moments:
    """Weighted mean of blocks and its standard error, one block at a time (West 1979)."""

    def __init__(
        self,
        count: int = 0,
        weight: float = 0.0,
        mean: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> None:
        self.count, self.weight, self.mean, self.spread = count, weight, mean, spread

    def add(self, value: Tensor, weight: float) -> None:
        """Add a block; `value` is used up."""
        self.count += 1
        self.weight += weight
        if self.mean is None or self.spread is None:
            self.mean, self.spread = value.clone(), torch.zeros_like(value)
            return
        # Lag by lag and in place: a whole kernel does not fit into a cache.
        for mean, spread, new in zip(self.mean, self.spread, value, strict=True):
            delta = new - mean
            mean.add_(delta, alpha=weight / self.weight)
            spread.addcmul_(delta, new.sub_(mean), value=weight)

    def state(self) -> tuple[int, float, Tensor | None, Tensor | None]:
        """Return the arguments that make another one with the same content."""
        if self.mean is None or self.spread is None:
            return 0, 0.0, None, None
        return self.count, self.weight, self.mean.clone(), self.spread.clone()

    def result(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard error; NaN for the error of one block."""
        if self.mean is None or self.spread is None:
            raise ValueError("samples: expected some, got none")
        if self.count < 2:
            return self.mean, torch.full_like(self.mean, math.nan)
        return self.mean, (self.spread / ((self.count - 1) * self.weight)).sqrt()


def cut(length: int, longest: int) -> list[int]:
    """Return nearly equal parts of `length`, none above `longest`."""
    parts = -(-length // longest)
    short, longer = divmod(length, parts)
    return [short + 1] * longer + [short] * (parts - longer)
