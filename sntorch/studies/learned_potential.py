r"""Which loss learns a potential best, and how fast, where the potential is known.

Six losses on all systems of the library whose landscape has a closed form:

==============  ==========================================================================
system          potential
==============  ==========================================================================
double well     (u_1^2 - 1)^2 + u_2^2 / 2, with a flux of c = 0.5, D = 0.2
ring            (|u|^2 - 1)^2 / 4, with a flux, D = 0.1
linear          u . C^-1 u D / 2 of four neurons, D = 0.5
Hopfield        the energy over T = 0.2 of four neurons with the noise that matches it
==============  ==========================================================================

Every fit is one of its own: a budget of gradient steps of Adam, whose rate falls to 0, from the
Gaussian start.  Losses that need states of the steady state get them from walkers that move on
while the potential learns; the decomposition is given states that fill the box.  The cost is the
CPU time of all of it, walkers and their burn-in included.

The error is that of V, a constant left out, relative to the spread of the known one,

.. math:: \epsilon = \frac{\mathrm{std}(V - V^*)}{\mathrm{std}(V^*)},

over states of the steady state of other walkers, and over states that fill the box up to 20 nats
above the lowest.

Losses that need states of the steady state know V where there are states.  Unless the flux is 0
theirs is a mean of numbers that scatter even for the true V, so that the error falls like one over
the root of the states seen, and how high one well is above another rests on the few states between
them.  The decomposition is 0 for the true V at every state and has no such floor.  Denoising learns
a density smoothed by 0.15 standard deviations.  Walls, where P does not fall to 0, forbid score
matching unless its weights vanish there, which they are made to do, and forbid denoising in the box
of the Hopfield network, whose diffusion depends on the state besides: EPR and score matching alone
know such a one.  Walkers of a flow sample P with an error O(dt^2), those of the Hopfield network,
whose noise depends on the state, with one O(dt), and the discrete-time loss learns the density of a
Runge-Kutta step with noise at its end.

A barrier is the hardest number.  Of the double well with D = 0.1, whose saddle is 10 nats up, 3000
steps of the EPR loss on 1024 exact states each give 0.97 to 0.99 of it (two seeds, both sides),
with the likelihood beside it 0.98 to 1.01; 8000 steps give 0.996 to 1.004 in 30 seconds of CPU
time, as long as the states are new ones.  From 32768 walkers, ``experiment=potential/double_well``,
it is 0.98 on one side and 1.00 on the other, for few of them are near the saddle at a time; by the
decomposition, ``experiment=potential/decomposition``, 1.001 on both.

The default takes about 25 seconds of CPU time; the full setting is ``budgets: [100, 300, 1000,
3000, 10000], walkers: 16384``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape import NeuralPotential
from sntorch.streams import seeded
from sntorch.studies.potential_contest import LearnedPotentials
from sntorch.studies.solvable import LOSSES, SYSTEMS, Solvable, objective, solvable
from sntorch.training.lowering import lower
from sntorch.training.walkers import Walkers

__all__ = ["run"]

_REFRESH = 25  # gradient steps between two moves of the walkers
_MOVES = 10  # steps of such a move
_FILLED = 2**13  # states that fill the box
_DEEP = 20.0  # nats above the lowest state, up to which states of the box count


def run(
    *,
    systems: Sequence[str] = SYSTEMS,
    losses: Sequence[str] = LOSSES,
    budgets: Sequence[int] = (20, 60, 160),
    walkers: int = 2048,
    batch: int = 1024,
    hidden: Sequence[int] = (24, 24),
    lr: float = 0.02,
    seed: int = 0,
) -> Iterator[LearnedPotentials]:
    """Yield the study with one fit more each time.

    Parameters
    ----------
    systems, losses
        Names from `SYSTEMS` and `LOSSES`.
    budgets
        Gradient steps of the fits.
    walkers
        To learn from, and as many for the test.
    batch
        States of a gradient step.
    hidden
        Widths of the potential's layers.
    lr
        Adam's rate at the start.
    seed
        Of couplings, walkers and weights.

    Raises
    ------
    ValueError
        On wrong arguments, before the first fit.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052; B. Lin, Q. Li, W. Ren,
    arXiv:2012.09111; N. M. Boffi, E. Vanden-Eijnden, PNAS 121 (2024).

    Examples
    --------
    >>> *_, found = run(systems=["linear"], losses=["EPR"], budgets=[20], walkers=2048)
    >>> bool(found.error < 0.2)
    True
    """
    for name, values, known in (("systems", systems, SYSTEMS), ("losses", losses, LOSSES)):
        if not values:
            raise ValueError(f"{name}: expected at least one, got none")
        for value in values:
            checks.one_of(name, value, known)
    if not budgets:
        raise ValueError("budgets: expected at least one, got none")
    for budget in budgets:
        checks.count("budgets", budget)
    checks.count("walkers", walkers, low=64)
    checks.count("batch", batch)
    widths = [checks.count("hidden", width) for width in hidden]
    checks.positive("lr", lr)
    checks.count("seed", seed, low=0, high=999)
    rows: list[tuple[str, str, int, float, float, float]] = []
    plan = [(s, l) for s in systems for l in losses if _applies(l, solvable(s, seed))]
    begun: dict[str, tuple[Solvable, dict[str, Any], float, Tensor]] = {}
    for name, loss in plan:
        if name not in begun:
            begun[name] = _begun(solvable(name, seed), walkers, seed)
        system, saved, cost, tested = begun[name]
        for budget in budgets:
            walking = system.walkers(walkers, 2 * seed)
            walking.load_state_dict(saved)
            V, seconds, sampled = _fitted(
                system, loss, walking, budget, batch, widths, lr, seeded(seed)
            )
            errors = _errors(V, system, tested)
            rows.append((name, loss, budget, seconds + (cost if sampled else 0.0), *errors))
            numbers = torch.tensor([row[3:] for row in rows], dtype=torch.float64)
            yield LearnedPotentials(
                systems=tuple(row[0] for row in rows),
                losses=tuple(row[1] for row in rows),
                budgets=torch.tensor([row[2] for row in rows]),
                seconds=numbers[:, 0],
                error=numbers[:, 1],
                region=numbers[:, 2],
                batch=batch,
                planned=len(plan) * len(budgets),
            )


def _applies(loss: str, system: Solvable) -> bool:
    return objective(loss, system, torch.zeros(2, len(system.half)), seeded(0)) is not None


def _begun(
    system: Solvable, count: int, seed: int
) -> tuple[Solvable, dict[str, Any], float, Tensor]:
    """Return walkers after their burn-in, what that cost, and the states of others."""
    steps = round(system.burn_in / system.dt)
    walking, others = (system.walkers(count, 2 * seed + i) for i in (0, 1))
    began = time.process_time()
    walking.advance(steps)
    cost = time.process_time() - began
    others.advance(steps)
    return system, walking.state_dict(), cost, others.states


def _fitted(
    system: Solvable, name: str, walking: Walkers, steps: int, batch: int, hidden: list[int],
    lr: float, stream: torch.Generator,
) -> tuple[Any, float, bool]:  # fmt: skip
    """Return a potential, the CPU seconds it took, and whether it needed the walkers."""
    began = time.process_time()
    V = system.potential(hidden, stream)
    made = objective(name, system, walking.states, stream)
    if made is None:
        raise ValueError(f"losses: expected one that applies, got {name!r}")
    loss, sampled, more = made

    def drawn(size: int) -> Tensor:
        return walking.batch(size) if sampled else system.filled(size, stream)

    if isinstance(V, NeuralPotential):
        V.start(system.flow, walking.states if sampled else drawn(4 * batch))
    for i in lower(
        lambda: loss(V, drawn(batch)), [*V.parameters(), *more], steps, lr * system.haste
    ):
        if sampled and i % _REFRESH == _REFRESH - 1:
            walking.advance(_MOVES)
    return V, time.process_time() - began, sampled


@torch.no_grad()
def _errors(V: Any, system: Solvable, tested: Tensor) -> tuple[float, float]:
    """Return the relative error of V where P is, and over the box."""
    filled = system.filled(_FILLED, seeded(0))
    known = system.truth(filled)
    lowest = min(float(known.min()), float(system.truth(tested).min()))
    near = filled[known - lowest < _DEEP * system.scale]
    found = []
    for u in (tested, near):
        truth = system.truth(u)
        found.append(float((V.energy(u) - truth).std() / truth.std()))
    return found[0], found[1]
