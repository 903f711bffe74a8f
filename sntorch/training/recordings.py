"""A recording to forecast: a real series that a package ships, no download.

The parts of the task are stretches of time, the first to learn from, the last to be tested on; no
window reaches from one into another.  Numbers are standardised by the first stretch.
"""

from __future__ import annotations

import importlib.util
import pathlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from sntorch import checks
from sntorch.training.tasks import Task

__all__ = ["LaserTask"]

_FILE = pathlib.Path("datasets") / "santafe_laser.npy"
_SHARES = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}


class LaserTask(Task):
    """The intensity of a far-infrared laser in chaos: data set A of the Santa Fe competition.

    10,093 real samples of 8 bits, shipped in reservoirpy (extra ``sntorch[data]``): at every step
    the network says what comes `horizon` samples later.  The first 70 % of the recording are to
    learn from, 15 % to validate, and the last 15 % to test.  These are quieter than the first, so
    that the best constant has a mean squared error of 0.85 there, which is chance.  One sample
    ahead the last value scores 0.79, the best linear prediction from 50 values 0.18, and 0.02 is
    good: in 80 epochs a GRU of 128 units comes to 0.0137 +- 0.0002 and an SNT network to 0.0177 +-
    0.0004, over 3 seeds.

    Parameters
    ----------
    horizon
        Samples ahead.
    steps
        T, samples of a window.
    stride
        Samples between the starts of two windows to learn from; others do not overlap.
    batch_size
        Windows per batch.
    seed
        Chooses the order of the batches.

    Raises
    ------
    ValueError
        On wrong arguments; windows that the shortest stretch, of 1514 samples, is too short for
        are named.
    ImportError
        If reservoirpy is not installed.

    References
    ----------
    U. Huebner, N. B. Abraham, C. O. Weiss, Phys. Rev. A 40 (1989) 6354; A. S. Weigend, N. A.
    Gershenfeld (eds.), Time Series Prediction, Addison-Wesley 1994.

    Examples
    --------
    >>> LaserTask(steps=3000)
    Traceback (most recent call last):
    ValueError: steps: expected a whole number with 1 <= steps <= 1513, got 3000
    """

    kind, when = "regression", "every"
    input_size = output_size = 1
    chance, good = 0.85, 0.02

    def __init__(
        self,
        *,
        horizon: int = 1,
        steps: int = 100,
        stride: int = 10,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.horizon = checks.count("horizon", horizon, high=1000)
        self.steps = checks.count("steps", steps, high=1514 - horizon)
        self.stride = checks.count("stride", stride)
        self.file = _shipped()

    def setup(self, stage: str) -> None:
        """Cut the recording into windows once."""
        if self.parts:
            return
        recorded: NDArray = np.load(self.file, allow_pickle=False).astype(float).reshape(-1, 1)
        size = len(recorded)
        bounds = {name: (int(a * size), int(b * size)) for name, (a, b) in _SHARES.items()}
        known = recorded[slice(*bounds["train"])]
        values = (recorded - known.mean()) / known.std()
        for name, (start, end) in bounds.items():
            stretch = torch.as_tensor(values[start:end], dtype=torch.get_default_dtype())
            self.parts[name] = self._windows(stretch, self.stride if name == "train" else 0)

    def _windows(self, stretch: Tensor, stride: int) -> TensorDataset:
        """Return windows of a stretch (S, 1) and what comes later, each (B, T, 1)."""
        cut = stretch[:, 0].unfold(0, self.steps + self.horizon, stride or self.steps)
        return TensorDataset(
            cut[:, : self.steps, None].clone(), cut[:, self.horizon :, None].clone()
        )


def _shipped() -> pathlib.Path:
    """Return the file of the recording; the package, which takes seconds to load, is not."""
    found = importlib.util.find_spec("reservoirpy")
    places = [] if found is None else found.submodule_search_locations or []
    files = [pathlib.Path(place) / _FILE for place in places]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ImportError(
            "reservoirpy: expected to be installed with its recording: pip install sntorch[data]"
        )
    return file
