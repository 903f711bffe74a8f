"""Two flocks of walkers: one from which a potential learns, and one on which it is tested.

They start alike and differ in their noise.  Both are made, and forget where they started, when they
are first needed, on the device where the potential is by then.  While the potential learns, the
first move on between epochs, and the others stand still: what changes on them is the potential.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics
from sntorch.flows import Flow
from sntorch.landscape.metric import DiffusionField
from sntorch.training.walkers import Box, Walkers

__all__ = ["Corners", "Flocks"]

Corners = tuple[Sequence[float], Sequence[float]]
"""Lowest and highest corner of a box."""


class Flocks:
    """Walkers to learn from and walkers to be tested on.

    Parameters
    ----------
    f
        A map, or a flow, of which they take steps.
    size
        N.
    walkers, start, burn_in, refresh, dt, box, limit, states, spread, diffusion, seed
        As for `PotentialLearner`.

    Raises
    ------
    ValueError
        On wrong arguments; while they walk, if all are lost.
    """

    def __init__(
        self,
        f: Dynamics | Flow,
        size: int,
        *,
        walkers: int,
        start: Tensor | float,
        burn_in: int,
        refresh: int,
        dt: float,
        box: Corners | None,
        limit: float,
        states: str,
        spread: float,
        diffusion: DiffusionField | None,
        seed: int,
    ) -> None:
        self.f, self.size, self.diffusion = f, size, diffusion
        self.dt = checks.positive("dt", dt)
        self.number = checks.count("walkers", walkers, low=8)
        self.begin = start if isinstance(start, Tensor) else checks.positive("start", start)
        self.burn_in = checks.count("burn_in", burn_in, low=0)
        self.refresh = checks.count("refresh", refresh, low=0)
        self.limit = checks.positive("limit", limit)
        self.box = None if box is None else _corners(box, size)
        self.source = checks.one_of("states", states, ("walkers", "box"))
        if self.source == "box" and self.box is None:
            raise ValueError("states: expected walkers where there is no box, got 'box'")
        self.spread = checks.number("spread", spread, low=0)
        self.seed = checks.count("seed", seed, low=0, high=4999)
        self.saved: dict[str, Any] | None = None
        """What a checkpoint knew, until they are made."""
        self.epoch = -1  # in which they have moved on
        self._made: tuple[Walkers, Walkers] | None = None

    def ready(self, like: Tensor, x: Tensor | None) -> None:
        """Make them, unless they are, and let them go on where a checkpoint says."""
        new = self._made is None
        if self._made is None:
            first, second = (self._flock(2 * self.seed + i, like, x) for i in (0, 1))
            self._made = first, second
        if self.saved is not None:
            for flock, name in zip(self._made, ("train", "test"), strict=True):
                flock.load_state_dict(self.saved[name])
            self.epoch, self.saved = self.saved["epoch"], None
        elif new:
            for flock in self._made:
                flock.advance(self.burn_in)

    @property
    def train(self) -> Walkers:
        """Those to learn from."""
        return self._both()[0]

    @property
    def test(self) -> Walkers:
        """Those to be tested on."""
        return self._both()[1]

    @property
    def escape_rate(self) -> float:
        """Share of the walkers that is lost per unit of time."""
        return (self.train.escape_rate + self.test.escape_rate) / 2

    def advance(self, epoch: int) -> None:
        """Move those to learn from on before an epoch other than the first, once."""
        if self.epoch < epoch:
            if epoch:
                self.train.advance(self.refresh)
            self.epoch = epoch

    def batch(self, size: int, *, test: bool = False) -> Tensor:
        """Return states (size, N) to learn from, or of the same kind for the test."""
        flock = self.test if test else self.train
        return flock.uniform(size) if self.source == "box" else flock.batch(size, self.spread)

    def moved(self) -> Tensor:
        """Return the states of the test walkers, after they have moved on."""
        self.test.advance(self.refresh)
        return self.test.states

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides how they go on."""
        train, test = self.train.state_dict(), self.test.state_dict()
        return {"train": train, "test": test, "epoch": self.epoch}

    def _both(self) -> tuple[Walkers, Walkers]:
        if self._made is None:
            raise ValueError("trainer: expected a fit or test that has started, got none")
        return self._made

    def _flock(self, seed: int, like: Tensor, x: Tensor | None) -> Walkers:
        kind: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        box: Box | None = None
        if self.box is not None:
            box = (self.box[0].to(like), self.box[1].to(like))
        zeros = torch.zeros(self.number, self.size, **kind)
        made = Walkers(
            self.f, zeros, dt=self.dt, x=x, box=box, limit=self.limit, diffusion=self.diffusion,
            seed=seed,
        )  # fmt: skip
        if isinstance(self.begin, Tensor):
            places = self.begin.reshape(-1, self.size).to(like)
            made.states = places[torch.arange(self.number) % len(places)].clone()
        elif box is not None:
            made.states = made.uniform(self.number)
        else:
            made.states = self.begin * torch.randn(zeros.shape, generator=made.stream, **kind)
        return made


def _corners(box: Corners, size: int) -> Box:
    low, high = (checks.table("box", list(corner), (size,)) for corner in box)
    if not bool((low < high).all()):
        raise ValueError(f"box: expected lower walls below upper ones, got {low} and {high}")
    return low, high
