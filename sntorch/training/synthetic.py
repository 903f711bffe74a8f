"""Tasks of memory whose sequences are made: bits to hold, symbols to repeat, numbers to add.

Sequences are a function of the seed and of the part (training, validation, test) alone; they are
made in `setup`, on the CPU, in torch's default dtype.
"""

from __future__ import annotations

import abc

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from sntorch import checks
from sntorch.training.tasks import IGNORED, Task

__all__ = ["AddingTask", "CopyTask", "DelayedXorTask", "FlipFlopTask", "Generated"]


class Generated(Task):
    """A task whose sequences are drawn: subclasses say how in `draw`."""

    def __init__(self, sequences: int, held_out: int, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)
        checks.count("sequences", sequences)
        checks.count("held_out", held_out)
        self.sizes = {"train": sequences, "val": held_out, "test": held_out}

    @abc.abstractmethod
    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return `size` sequences x (B, T, I) and their targets y."""

    def setup(self, stage: str) -> None:
        """Draw all sequences once."""
        if self.parts:
            return
        for i, (name, size) in enumerate(self.sizes.items()):
            x, y = self.draw(size, np.random.default_rng([self.seed, i]))
            dtype = torch.get_default_dtype()
            target = torch.long if self.kind == "classification" else dtype
            self.parts[name] = TensorDataset(
                torch.as_tensor(x, dtype=dtype), torch.as_tensor(y, dtype=target)
            )


class FlipFlopTask(Generated):
    """Switches to hold: every channel remembers the sign of the last pulse that it read.

    Pulses of +1 or -1 come at random; every channel has one in the first step.  Predicting 0 has a
    mean squared error of 1, which is chance; 0.05 is good: a few steps to switch, and no slip.

    Parameters
    ----------
    bits
        Channels, I and O.
    steps
        T.
    rate
        Probability of a pulse per channel and step.
    sequences, held_out
        Sequences of training, and of validation and test each.
    batch_size
        Sequences per batch.
    seed
        Chooses the sequences and the order of the batches.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    D. Sussillo, O. Barak, Neural Comput. 25 (2013) 626.

    Examples
    --------
    >>> task = FlipFlopTask(steps=20)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 20, 3), (64, 20, 3)]
    """

    kind, when = "regression", "every"
    chance, good = 1.0, 0.05

    def __init__(
        self,
        *,
        bits: int = 3,
        steps: int = 60,
        rate: float = 0.1,
        sequences: int = 1024,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.input_size = self.output_size = checks.count("bits", bits)
        self.steps = checks.count("steps", steps)
        self.rate = checks.number("rate", rate, 0, 1)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return pulses and what they leave."""
        shape = (size, self.steps, self.input_size)
        pulses = rng.choice([-1.0, 1.0], shape)
        there = rng.random(shape) < self.rate
        there[:, 0] = True
        last = np.maximum.accumulate(np.where(there, np.arange(self.steps)[:, None], 0), axis=1)
        return np.where(there, pulses, 0.0), np.take_along_axis(pulses, last, axis=1)


class CopyTask(Generated):
    """Symbols to read, to keep over a delay, and to repeat in their order.

    A sequence is `length` symbols, `delay` blanks, the last of them with the cue, and `length`
    blanks more, during which the symbols are asked for; other steps do not count.  Symbols and the
    cue are one-hot.  Chance is 1 / symbols; 0.95 is good.

    Parameters
    ----------
    delay
        Blanks between the last symbol and the first answer, at least 1.
    length
        Symbols per sequence.
    symbols
        How many there are to choose from, at least 2.
    sequences, held_out, batch_size, seed
        As in `FlipFlopTask`.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, Neural Comput. 9 (1997) 1735; M. Arjovsky, A. Shah, Y. Bengio,
    ICML 2016.

    Examples
    --------
    >>> task = CopyTask(delay=10, length=5)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 20, 5), (64, 20)]
    """

    kind, when = "classification", "every"
    good = 0.95

    def __init__(
        self,
        *,
        delay: int = 10,
        length: int = 4,
        symbols: int = 4,
        sequences: int = 2048,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.delay = checks.count("delay", delay)
        self.length = checks.count("length", length)
        self.output_size = checks.count("symbols", symbols, low=2)
        self.input_size = symbols + 1
        self.steps = 2 * length + delay
        self.chance = 1 / symbols

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return one-hot sequences and the classes that are asked for."""
        read = rng.integers(self.output_size, size=(size, self.length))
        x = np.zeros((size, self.steps, self.input_size))
        x[:, : self.length] = np.eye(self.input_size)[read]
        x[:, self.length + self.delay - 1, -1] = 1
        y = np.full((size, self.steps), IGNORED)
        y[:, -self.length :] = read
        return x, y


class AddingTask(Generated):
    """Two numbers to find in a sequence and to add.

    The first input is uniform in (0, 1), the second marks with 1 one step of the first half and one
    of the second; the target is the sum of the marked numbers.  Predicting 1 has a mean squared
    error of 1/6, which is chance; 0.01 is good.

    Parameters
    ----------
    steps
        T, at least 2.
    sequences, held_out, batch_size, seed
        As in `FlipFlopTask`.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, Neural Comput. 9 (1997) 1735.

    Examples
    --------
    >>> task = AddingTask(steps=30)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 30, 2), (64, 1)]
    """

    kind, when = "regression", "last"
    input_size, output_size = 2, 1
    chance, good = 1 / 6, 0.01

    def __init__(
        self,
        *,
        steps: int = 30,
        sequences: int = 2048,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.steps = checks.count("steps", steps, low=2)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return numbers with marks and the sums."""
        values, marks = rng.random((size, self.steps)), np.zeros((size, self.steps))
        rows, half = np.arange(size), self.steps // 2
        for low, high in ((0, half), (half, self.steps)):
            marks[rows, rng.integers(low, high, size)] = 1
        return np.stack([values, marks], -1), (values * marks).sum(-1, keepdims=True)


class DelayedXorTask(Generated):
    r"""A stream of random bits and the exclusive or of two of its past: memory and nonlinearity.

    .. math:: y(t) = b(t - d/2) \oplus b(t - d), \qquad x(t) = 2 b(t) - 1,

    d even, at every step from t = d on; the steps before do not count.  Chance is 0.5; 0.95 is
    good.

    Parameters
    ----------
    delay
        d, even, less than `steps`.
    steps
        T.
    sequences, held_out, batch_size, seed
        As in `FlipFlopTask`.

    Raises
    ------
    ValueError
        On wrong arguments; a delay that the sequence is too short for is named.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).

    Examples
    --------
    >>> task = DelayedXorTask(delay=6, steps=30)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 30, 1), (64, 30)]
    """

    kind, when = "classification", "every"
    input_size, output_size = 1, 2
    chance, good = 0.5, 0.95

    def __init__(
        self,
        *,
        delay: int = 4,
        steps: int = 40,
        sequences: int = 1024,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.steps = checks.count("steps", steps, low=3)
        self.delay = checks.count("delay", delay, low=2, high=steps - 1)
        if delay % 2:
            raise ValueError(f"delay: expected an even number, got {delay}")

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return bits as -1 and 1, and their exclusive or."""
        bits, d = rng.integers(2, size=(size, self.steps)), self.delay
        y = np.full((size, self.steps), IGNORED)
        y[:, d:] = bits[:, : self.steps - d] ^ bits[:, d - d // 2 : self.steps - d // 2]
        return 2.0 * bits[..., None] - 1, y
