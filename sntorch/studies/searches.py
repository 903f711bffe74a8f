"""Searches for slow points of one network: directly, and down a potential.

A point counts if E <= 1e-6 there, a speed of 1.4e-3 per step, near the states that are visited, and
if it is further than a tenth of their spread from any slower one that counts; so a slow region
counts once.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch.analysis import find_fixed_points
from sntorch.dynamics import Dynamics, rollout
from sntorch.landscape import NeuralPotential, Potential, SpeedPotential, anneal, teacher_loss
from sntorch.studies.ensembles import seeded
from sntorch.training import FlipFlopTask, PotentialLearner, trained_gru
from sntorch.training.trial import fit

__all__ = ["BITS", "CONTENDERS", "Visited", "compare"]

CONTENDERS = ("direct", "speed potential", "learned potential")

BITS = 3
_SLOW = 1e-6  # E of a point that counts
_APART = 0.1  # of the spread of visited states: nearer points are one
_MERGED = 0.05  # nearer ends of descent are one
_NEAR = 1.2  # of the distance from the mean that states visit: beyond it points do not count
_SETTLE = 10  # steps of the task that are left out
_COLD = 1e-14  # a temperature at which chains stand still
_DRAWN = 8192  # states from which the potential learns
_NOISE = (0.02, 0.3)  # of the spread, upon them
_BATCH = 512


@dataclasses.dataclass(frozen=True)
class Visited:
    """States that a network visits, and what counts as a point among them."""

    f: Dynamics
    states: Tensor
    """(M, N)."""

    @functools.cached_property
    def spread(self) -> float:
        """Root mean square distance from the mean."""
        return float((self.states - self.states.mean(0)).square().sum(-1).mean().sqrt())

    def averages(self, count: int, stream: torch.Generator) -> Tensor:
        """Return random averages of four states (count, N)."""
        weight = -torch.rand(count, 4, generator=stream, dtype=self.states.dtype).log()
        weight = weight / weight.sum(-1, keepdim=True)
        chosen = self.states[torch.randint(len(self.states), (count, 4), generator=stream)]
        return (weight.unsqueeze(-1) * chosen).sum(1)

    def slow(self, u: Tensor) -> Tensor:
        """Return |F(u) - u| at the points that count among ends (M, N), the slowest first."""
        mean = self.states.mean(0)
        reach = _NEAR * (self.states - mean).norm(dim=-1).max()
        energy = SpeedPotential(self.f)(u)
        counts = (energy <= _SLOW) & ((u - mean).norm(dim=-1) <= reach)
        u, energy = u[counts], energy[counts]
        order = energy.argsort()
        return (2 * energy[order][_representatives(u[order], _APART * self.spread)]).sqrt()


def compare(
    size: int, starts: list[int], descent: int, trained: int, seed: int, **learning: Any
) -> dict[str, Tensor]:
    """Return what the contenders find in one network, from every number of starts.

    These are points, median speed and seconds, each (3, S), the median E at which the final polish
    begins (3,), seconds of training () and the error of grad V ().
    """
    stream = seeded(seed)
    visited = _states(trained_gru(size, trained, bits=BITS, seed=seed), seed)
    V, training = _learned(visited, seed, stream, **learning)
    fresh = visited.averages(max(starts), stream)
    E = SpeedPotential(visited.f)
    asked = E.gradient(fresh)
    error = (V.gradient(fresh).detach() - asked).square().sum() / asked.square().sum()
    u = visited.averages(max(starts), stream)
    down = functools.partial(_descended, visited=visited, steps=descent)
    searches: list[Callable[[Tensor], Tensor]] = [
        lambda u: u,
        functools.partial(down, E),
        functools.partial(down, V),
    ]
    for guide in searches:  # what torch does on its first use is not measured
        find_fixed_points(visited.f, guide(u[:2]))
    points, speed, seconds = torch.zeros(3, 3, len(starts), dtype=torch.float64).unbind(0)
    begun = torch.zeros(3, dtype=torch.float64)
    for s, count in enumerate(starts):
        for c, guide in enumerate(searches):
            began = time.process_time()
            guided = guide(u[:count])
            ends = find_fixed_points(visited.f, guided).states
            seconds[c, s] = time.process_time() - began
            found = visited.slow(ends)
            points[c, s] = len(found)
            speed[c, s] = found.median() if len(found) else math.nan
            begun[c] = E(guided).median()
    return {
        "points": points, "speed": speed, "seconds": seconds, "begun": begun,
        "training": torch.tensor(training, dtype=torch.float64), "error": error,
    }  # fmt: skip


def _states(f: Dynamics, seed: int) -> Visited:
    """Return the states of the task's test sequences, in double precision."""
    f = f.double()
    task = FlipFlopTask(bits=BITS, seed=seed)
    task.setup("fit")
    x = task.parts["test"].tensors[0].double().transpose(0, 1)
    with torch.no_grad():
        orbit = rollout(f, x.new_zeros(x.shape[1], f.size), len(x), x=x)
    return Visited(f, orbit[_SETTLE:].reshape(-1, f.size))


def _learned(
    visited: Visited, seed: int, stream: torch.Generator, hidden: Sequence[int], epochs: int,
    lr: float,
) -> tuple[Potential, float]:  # fmt: skip
    """Return V, which has learned grad E near averages of visited states, and its CPU seconds."""
    began = time.process_time()
    n = visited.f.size
    u = visited.averages(_DRAWN, stream)
    low, high = _NOISE
    part = low * (high / low) ** torch.rand(_DRAWN, 1, generator=stream, dtype=u.dtype)
    noise = torch.randn(u.shape, generator=stream, dtype=u.dtype)
    u = (u + part * visited.spread / math.sqrt(n) * noise).float()
    V = NeuralPotential(n, hidden, generator=stream)
    with torch.no_grad():  # E is about as steep as a shallow bowl, no Gaussian of the states
        V.centre.copy_(u.mean(0))
        V.log_diagonal.fill_(-1.0)
    learner = PotentialLearner(
        copy.deepcopy(visited.f).float(), V, loss=teacher_loss, walkers=_DRAWN, start=u, burn_in=0,
        refresh=0, batch_size=_BATCH, batches=100, initialise=False, figures=0, seed=seed,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=lr),
        scheduler=lambda made: torch.optim.lr_scheduler.CosineAnnealingLR(made, epochs),
    )  # fmt: skip
    with torch.random.fork_rng():
        fit(learner, epochs)
    return V.double().requires_grad_(False), time.process_time() - began


def _descended(potential: Potential, u: Tensor, *, visited: Visited, steps: int) -> Tensor:
    """Return where descent leads, one state for all that lie together."""
    cold: dict[str, Any] = {"temperature": _COLD, "final": _COLD, "descent": steps}
    ends = anneal(potential, u, 1, generator=torch.Generator(), **cold)
    order = ends.energy.argsort()
    u = ends.states[order]
    return u[_representatives(u, _MERGED * visited.spread)]


def _representatives(u: Tensor, apart: float) -> Tensor:
    """Return which of the states (M, N) are further than `apart` from all kept before them."""
    left, kept = torch.arange(len(u)), []
    while len(left):
        kept.append(int(left[0]))
        left = left[(u[left] - u[left[0]]).norm(dim=-1) > apart]
    return torch.tensor(kept, dtype=torch.long)
