"""Means over blocks and their errors, one block at a time, so that memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from sntorch.results import BLOCKS

__all__ = ["Blocks", "Moments", "cut", "jackknife", "moved"]


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


class Blocks:
    """Some 10 to 20 weighted means of blocks; neighbours become one where there are more."""

    def __init__(self, items: list[tuple[float, Tensor]] | None = None) -> None:
        self.items = [] if items is None else list(items)

    def add(self, value: Tensor, weight: float) -> None:
        """Add a block."""
        self.items.append((weight, value))
        if len(self.items) > BLOCKS:
            pairs = zip(self.items[::2], self.items[1::2], strict=False)
            rest = self.items[len(self.items) // 2 * 2 :]
            self.items = [(v + w, (v * a + w * b) / (v + w)) for (v, a), (w, b) in pairs] + rest

    def mean(self) -> Tensor:
        """Return the mean of all."""
        total = sum((w * value for w, value in self.items), torch.zeros_like(self.items[0][1]))
        return total / sum(weight for weight, _ in self.items)

    def left_out(self) -> Iterator[Tensor]:
        """Yield the mean without one block after the other; nothing for a single one."""
        if len(self.items) < 2:
            return
        mean, whole = self.mean(), sum(weight for weight, _ in self.items)
        for weight, value in self.items:
            yield mean + (weight / (whole - weight)) * (mean - value)


def jackknife(value: Tensor, left_out: Iterable[Tensor]) -> Tensor:
    """Return the standard error of `value` from the values without one block after the other.

    One block or none says nothing about spread: NaN.

    References
    ----------
    B. Efron, C. Stein, Ann. Stat. 9 (1981) 586.
    """
    count, square = 0, torch.zeros_like(value)
    for each in left_out:
        count, square = count + 1, square + (each - value).square()
    return (square * ((count - 1) / count)).sqrt() if count > 1 else square + math.nan


def cut(length: int, longest: int) -> list[int]:
    """Return nearly equal parts of `length`, none above `longest`."""
    parts = -(-length // longest)
    short, longer = divmod(length, parts)
    return [short + 1] * longer + [short] * (parts - longer)


def moved(early: Tensor, late: Tensor, floor: Tensor) -> float:
    """Return the rms over neurons of the change of the mean, in standard errors."""
    error = late.var(0) / len(late)
    error = error + (early.var(0) if len(early) > 1 else late.var(0)) / len(early)
    change = (early.mean(0) - late.mean(0)) / (error.sqrt() + floor)
    return float(change.square().mean().sqrt())
