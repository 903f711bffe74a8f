"""Tasks: data modules that a sequence model learns, shipped in a package or generated, no download.

Every task states its sizes, chance and what counts as good.  The order of training batches is a
function of seed and epoch alone, so that a run that is interrupted and resumed sees the same data
as one that is not.  `Task` is what all of them share; tasks whose data are made are in
`sntorch.training.synthetic` and `sntorch.training.forecasting`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, distributed
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from sntorch import checks

__all__ = ["IGNORED", "BlockSampler", "DigitsTask", "EpochSampler", "Task"]

IGNORED = -100
"""Class of steps that do not count, the one that torch's cross entropy leaves out."""


class EpochSampler(DistributedSampler[int]):
    """A random order of `size` samples that depends on `seed` and the current epoch alone.

    Of several processes each gets every n-th sample of that order, so that batches of B samples in
    each of n processes are together the batches of n B samples of one process; where `size` is no
    multiple of n the first samples of the order come a second time.

    Parameters
    ----------
    size
        Number of samples.
    seed
        Chooses the sequence of orders.
    epoch
        Tells the epoch when an order is needed.
    rank, processes
        Which of how many processes this is; by default as torch.distributed has it.
    """

    # Torch's class in name, since Lightning shares out samplers of any other class a second time.

    def __init__(
        self,
        size: int,
        seed: int,
        epoch: Callable[[], int],
        *,
        rank: int | None = None,
        processes: int | None = None,
    ) -> None:
        here, all_of_them = processes_of_the_run()
        processes = all_of_them if processes is None else processes
        rank = here if rank is None else rank
        super().__init__(range(size), processes, rank, seed=seed)  # pyright: ignore[reportArgumentType]
        self.size, self.now = size, epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.now()]).permutation(self.size)
        order = np.resize(order, self.total_size)  # begins anew at the end
        return iter(order[self.rank :: self.num_replicas].tolist())


class BlockSampler(DistributedSampler[int]):
    """One of `processes` blocks of `size` samples in their order, none of them twice."""

    def __init__(self, size: int, *, rank: int, processes: int) -> None:
        super().__init__(range(size), processes, rank)  # pyright: ignore[reportArgumentType]
        self.block = np.array_split(np.arange(size), processes)[rank].tolist()

    def __len__(self) -> int:
        return len(self.block)

    def __iter__(self) -> Iterator[int]:
        return iter(self.block)


def processes_of_the_run() -> tuple[int, int]:
    """Return which of how many processes this is, as torch.distributed has it."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class Task(pl.LightningDataModule, abc.ABC):
    """Sequences x (B, T, I) with targets y in three parts: ``train``, ``val`` and ``test``.

    Of classification y are classes, (B,) or (B, T) where every step is read; steps with class -100
    count neither in the loss nor in the accuracy.  Of regression y is (B, O) or (B, T, O).

    Examples
    --------
    >>> class Sign(Task):  # the sign of the sum of a sequence
    ...     input_size, output_size, chance, good = 1, 2, 0.5, 0.95
    ...     def setup(self, stage):
    ...         x = torch.randn(60, 10, 1)
    ...         whole = TensorDataset(x, (x.sum((1, 2)) > 0).long())
    ...         self.parts = dict.fromkeys(("train", "val", "test"), whole)
    >>> task = Sign(batch_size=8, seed=0)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.train_dataloader()))]
    [(8, 10, 1), (8,)]
    """

    kind: str = "classification"
    """``"classification"`` or ``"regression"``, as `SequenceModel` calls it."""
    when: str = "last"
    """``"last"`` or ``"every"``: which steps have a target."""
    input_size: int
    """I."""
    output_size: int
    """Classes, or numbers to predict."""
    chance: float
    """Accuracy, or mean squared error, of the best answer that does not look at x."""
    good: float
    """Accuracy, or mean squared error, that a well trained network reaches."""

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        self.batch_size = checks.count("batch_size", batch_size)
        self.seed = checks.count("seed", seed, low=0)
        self.parts: dict[str, TensorDataset] = {}

    @abc.abstractmethod
    def setup(self, stage: str) -> None:
        """Fill ``parts`` once."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the training batches, in an order of their own every epoch."""
        size, (rank, processes) = len(self.parts["train"]), self._place()
        order = EpochSampler(size, self.seed, self._epoch, rank=rank, processes=processes)
        return self._loader("train", sampler=order)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the validation batches, always in the same order."""
        return self._loader("val", sampler=self._in_order("val"))

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the test batches, always in the same order."""
        return self._loader("test", sampler=self._in_order("test"))

    def _epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch

    def _place(self) -> tuple[int, int]:
        """Return which of how many shares of the data is wanted here."""
        # Not those of torch.distributed: processes that share the rows of J all see the same data.
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _in_order(self, part: str) -> BlockSampler | None:
        rank, processes = self._place()
        size = len(self.parts[part])
        return BlockSampler(size, rank=rank, processes=processes) if processes > 1 else None

    def _loader(self, part: str, **options: Any) -> DataLoader[tuple[Tensor, ...]]:
        # A generator of its own: otherwise each pass over the data would draw from the global one.
        return DataLoader(self.parts[part], self.batch_size, generator=torch.Generator(), **options)


class DigitsTask(Task):
    """Handwritten digits as sequences: 1,797 real images of 8 x 8 pixels, shipped in scikit-learn.

    Chance is 0.1.  A linear readout of all pixels at once reaches about 0.95; reading row by row,
    0.97 is good; pixel by pixel, one number at a time over 64 steps, 0.9 is good.

    Parameters
    ----------
    order
        ``"rows"``: 8 steps of 8 inputs; ``"pixels"``: 64 steps of 1 input.
    batch_size
        Sequences per batch.
    validation, test
        Shares of the 1,797 images, classes in equal proportion.
    seed
        Chooses the split and the order of the batches.

    Raises
    ------
    ValueError
        If the order is unknown, a share is outside (0, 0.5) or the batch size is not positive.

    Examples
    --------
    >>> task = DigitsTask("rows", batch_size=32)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(32, 8, 8), (32,)]
    """

    output_size = 10
    chance = 0.1
    good = 0.9

    def __init__(
        self,
        order: str = "pixels",
        *,
        batch_size: int = 64,
        validation: float = 0.1,
        test: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.order = checks.one_of("order", order, ("rows", "pixels"))
        self.shares = {
            "val": checks.number("validation", validation, 0.01, 0.5),
            "test": checks.number("test", test, 0.01, 0.5),
        }
        self.input_size = 8 if order == "rows" else 1

    def setup(self, stage: str) -> None:
        """Load and split the images once."""
        if self.parts:
            return
        images, labels = load_digits(return_X_y=True)
        rest, test = self._split(images, labels, self.shares["test"])
        share = self.shares["val"] / (1 - self.shares["test"])
        train, val = self._split(*rest, share)
        mean, std = train[0].mean(), train[0].std()
        for name, (x, y) in {"train": train, "val": val, "test": test}.items():
            x = torch.as_tensor((x - mean) / std, dtype=torch.get_default_dtype())
            x = x.reshape(len(x), -1, self.input_size)
            self.parts[name] = TensorDataset(x, torch.as_tensor(y, dtype=torch.long))

    def _split(self, x: Any, y: Any, share: float) -> list[tuple[Any, Any]]:
        parts = train_test_split(x, y, test_size=share, random_state=self.seed, stratify=y)
        return [(parts[0], parts[2]), (parts[1], parts[3])]
