"""Memory capacity as a task: what was read in the past, all of it at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sntorch import checks
from sntorch.training.synthetic import Generated

__all__ = ["MemoryTask"]


class MemoryTask(Generated):
    r"""A stream of random numbers and its last D values, asked for together at every step.

    .. math:: y_d(t) = x(t - d), \qquad d = 1 \dots D,

    x uniform with variance 1, and 0 before the sequence.  Predicting 0 has a mean squared error of
    1 - (D + 1) / (2 T), which is chance; an error e is a memory of D (1 - e / chance) values, which
    `sntorch.analysis.memory_capacity` measures with a readout that is solved for.  0.01 is good: a
    GRU of 128 units comes to 0.0006 in 40 epochs, 9.99 of 10 values.

    Parameters
    ----------
    delays
        D, less than `steps`.
    steps
        T.
    sequences, held_out, batch_size, seed
        As in `FlipFlopTask`.

    Raises
    ------
    ValueError
        On wrong arguments; delays that the sequence is too short for are named.

    References
    ----------
    H. Jaeger, GMD Report 152 (2001).

    Examples
    --------
    >>> task = MemoryTask(delays=9, steps=50)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(64, 50, 1), (64, 50, 9)]
    >>> task.chance
    0.9
    """

    kind, when = "regression", "every"
    input_size, good = 1, 0.01

    def __init__(
        self,
        *,
        delays: int = 10,
        steps: int = 60,
        sequences: int = 1024,
        held_out: int = 256,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(sequences, held_out, batch_size, seed)
        self.steps = checks.count("steps", steps, low=2)
        self.output_size = checks.count("delays", delays, high=steps - 1)
        self.chance = 1 - (delays + 1) / (2 * steps)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return the stream and its past."""
        x = rng.uniform(-(3**0.5), 3**0.5, (size, self.steps))
        y = np.zeros((size, self.steps, self.output_size))
        for d in range(1, self.output_size + 1):
            y[:, d:, d - 1] = x[:, : self.steps - d]
        return x[..., None], y
