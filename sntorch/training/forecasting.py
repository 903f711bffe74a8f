"""Chaotic series to forecast: at every step the network says what comes `horizon` steps later.

Sequences are orbits of their own, each from a random start and after a transient: they are on the
attractor, and no sequence goes on in another.  Numbers are standardised by the training part, so
that predicting the mean has a mean squared error of about 1, which is chance.
"""

from __future__ import annotations

import abc

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from sntorch import checks
from sntorch.dynamics import rollout
from sntorch.flows import RungeKutta4
from sntorch.systems import Lorenz
from sntorch.training.tasks import Task

__all__ = ["Forecasting", "LorenzTask", "MackeyGlassTask"]

_TRANSIENT = 300  # samples that are left out, until an orbit is on the attractor


class Forecasting(Task):
    """A task of chaotic series: subclasses say how they are made in `series`."""

    kind, when = "regression", "every"
    chance = 1.0

    def __init__(
        self,
        horizon: int,
        steps: int,
        sequences: int,
        held_out: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(batch_size, seed)
        self.horizon = checks.count("horizon", horizon)
        self.steps = checks.count("steps", steps)
        checks.count("sequences", sequences)
        checks.count("held_out", held_out)
        self.sizes = {"train": sequences, "val": held_out, "test": held_out}

    @abc.abstractmethod
    def series(self, size: int, length: int, rng: np.random.Generator) -> NDArray:
        """Return `size` series (size, length, I), on the attractor from the start."""

    def setup(self, stage: str) -> None:
        """Make all series once."""
        if self.parts:
            return
        length, total = self.steps + self.horizon, sum(self.sizes.values())
        values = self.series(total, length, np.random.default_rng(self.seed))
        known = values[: self.sizes["train"]]
        values = (values - known.mean((0, 1))) / known.std((0, 1))
        dtype, start = torch.get_default_dtype(), 0
        for name, size in self.sizes.items():
            part = torch.as_tensor(values[start : start + size], dtype=dtype)
            self.parts[name] = TensorDataset(part[:, : self.steps], part[:, self.horizon :])
            start += size


class MackeyGlassTask(Forecasting):
    r"""The Mackey-Glass series: production that answers to a past concentration.

    .. math:: \dot c(t) = \frac{0.2\, c(t - \tau)}{1 + c(t - \tau)^{10}} - 0.1\, c(t),

    sampled once per unit of time (Heun's method, steps of 0.1), chaotic for tau = 17.  At horizon 6
    0.06 is good: a GRU of 128 units comes to 0.053 in 40 epochs.

    Parameters
    ----------
    tau
        The delay, a multiple of 0.1.
    horizon
        Samples ahead.
    steps
        T.
    sequences, held_out
        Sequences of training, and of validation and test each.
    batch_size
        Sequences per batch.
    seed
        Chooses where the series starts, and the order of the batches.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    M. C. Mackey, L. Glass, Science 197 (1977) 287.

    Examples
    --------
    >>> task = MackeyGlassTask(steps=50, sequences=64, held_out=16)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(16, 50, 1), (16, 50, 1)]
    """

    input_size = output_size = 1
    good = 0.06

    def __init__(
        self,
        *,
        tau: float = 17.0,
        horizon: int = 6,
        steps: int = 60,
        sequences: int = 256,
        held_out: int = 64,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(horizon, steps, sequences, held_out, batch_size, seed)
        self.tau = checks.number("tau", tau, 0.1, 1000)
        if abs(10 * tau - round(10 * tau)) > 1e-9:
            raise ValueError(f"tau: expected a multiple of 0.1, got {tau}")

    def series(self, size: int, length: int, rng: np.random.Generator) -> NDArray:
        """Return concentrations (size, length, 1)."""
        lag, steps = round(10 * self.tau), 10 * (length + _TRANSIENT)
        c = np.empty((lag + 1 + steps, size))
        c[: lag + 1] = 1.2 + 0.2 * rng.uniform(-1, 1, size)
        made = 0.2 * c[0] / (1 + c[0] ** 10)
        for n in range(lag, lag + steps):
            past = c[n - lag + 1]
            soon = 0.2 * past / (1 + past**10)
            first = made - 0.1 * c[n]
            second = soon - 0.1 * (c[n] + 0.1 * first)
            c[n + 1], made = c[n] + 0.05 * (first + second), soon
        return c[-10 * length :: 10].T[..., None]


class LorenzTask(Forecasting):
    """The three variables of the Lorenz attractor, sampled every `dt`.

    At horizon 4 an error of 0.05 is good: a GRU of 128 units comes to 0.021 in 100 epochs.

    Parameters
    ----------
    dt
        Time between samples, at most 0.1; each is four steps of `RungeKutta4`.
    horizon, steps, sequences, held_out, batch_size, seed
        As in `MackeyGlassTask`.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    E. N. Lorenz, J. Atmos. Sci. 20 (1963) 130.

    Examples
    --------
    >>> task = LorenzTask(steps=25, sequences=16, held_out=8)
    >>> task.setup("fit")
    >>> [tuple(part.shape) for part in next(iter(task.val_dataloader()))]
    [(8, 25, 3), (8, 25, 3)]
    """

    input_size = output_size = 3
    good = 0.05

    def __init__(
        self,
        *,
        dt: float = 0.05,
        horizon: int = 4,
        steps: int = 50,
        sequences: int = 128,
        held_out: int = 32,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(horizon, steps, sequences, held_out, batch_size, seed)
        self.dt = checks.number("dt", dt, 0.001, 0.1)

    def series(self, size: int, length: int, rng: np.random.Generator) -> NDArray:
        """Return states (size, length, 3)."""
        u = torch.from_numpy(rng.standard_normal((size, 3)) * 5 + np.array([0.0, 0.0, 25.0]))
        flow = RungeKutta4(Lorenz(), dt=self.dt / 4)
        with torch.no_grad():
            orbit = rollout(flow, u, 4 * (length + _TRANSIENT), every=4)
        return orbit[_TRANSIENT:].transpose(0, 1).numpy()
