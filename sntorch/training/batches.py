"""Batches that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

__all__ = ["loader"]


class Batches(Dataset[Tensor]):
    """A number of batches, each made when it is asked for."""

    def __init__(self, count: int, make: Callable[[], Tensor]) -> None:
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.make()


def loader(count: int, make: Callable[[], Tensor]) -> DataLoader[Tensor]:
    """Return the loader of `count` batches."""
    # A generator of its own: otherwise each pass over the data would draw from the global one.
    return DataLoader(Batches(count, make), batch_size=None, generator=torch.Generator())
