"""One gradient step of a loss over the potential's own value and gradient step, in CPU time.

64 neurons, 4096 states, two hidden layers of 64; the figures are medians over rounds.

    python scripts/bench/potentials.py [--rounds 15]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from measure import Line, Sections, table
from torch import Tensor

import sntorch as snt
from sntorch.landscape import NeuralPotential, denoising_loss, epr_loss, score_matching_loss

SIZE, STATES = 64, 4096


def losses() -> Iterator[Line]:
    """Compare every loss with V itself."""
    flow = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(SIZE, std=1.5), diffusion=0.5)
    u, V = torch.randn(STATES, SIZE), NeuralPotential(SIZE, (64, 64))
    torch.nn.init.normal_(V.readout)
    parameters = list(V.parameters())

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def work() -> None:
            torch.autograd.grad(loss(), parameters)

        return work

    own = step(lambda: V.energy(u).sum())
    ours = {
        "EPR loss": (lambda: epr_loss(flow, V, u), "<= 6"),
        "denoising, both signs": (lambda: denoising_loss(flow, V, u, width=0.1), "<= 12"),
        "score matching, one direction": (lambda: score_matching_loss(flow, V, u), "<= 12"),
    }
    for name, (loss, bound) in ours.items():
        yield Line(f"{name}, over V and its gradient", step(loss), own, bound)


SECTIONS: Sections = {"losses": losses}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=15)
