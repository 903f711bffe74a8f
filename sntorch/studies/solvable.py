"""Systems whose potential is known, and the losses that can learn it: contestants of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sntorch.couplings import gaussian
from sntorch.flows import Flow, RungeKutta4
from sntorch.landscape import (
    MatchedNetwork,
    NetworkPotential,
    NeuralPotential,
    denoising_loss,
    epr_loss,
    hjb_loss,
    known_potential,
    map_loss,
    score_matching_loss,
)
from sntorch.landscape.metric import DiffusionField
from sntorch.streams import seeded
from sntorch.systems import AmariWilsonCowan, DoubleWell, OrnsteinUhlenbeck, StuartLandau
from sntorch.training import OrthogonalDecomposition
from sntorch.training.walkers import Walkers

__all__ = ["LOSSES", "SYSTEMS", "Solvable", "objective", "solvable"]

SYSTEMS = ("double well", "ring", "linear", "Hopfield")
LOSSES = (
    "EPR", "EPR + HJB", "decomposition", "score matching", "denoising", "discrete time",
)  # fmt: skip
_NEURONS = 4  # of the linear and of the Hopfield network
_WIDTH = 0.15  # of denoising, in standard deviations of the states

Loss = Callable[[nn.Module, Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solvable:
    """A flow with walls, the time step of its walkers, and its potential."""

    flow: Flow
    half: tuple[float, ...]
    """The box reaches from -half to half."""
    walled: bool
    """Whether walkers are reflected there."""
    dt: float
    burn_in: float
    """Time that walkers take to forget their start."""
    diffusion: DiffusionField | None = None
    """D_i(u), where it depends on the state."""
    haste: float = 1.0
    """Factor of Adam's rate."""

    @property
    def truth(self) -> Any:
        """V, up to a constant."""
        return known_potential(self.flow)

    @property
    def scale(self) -> float:
        """Db."""
        return 1.0 if self.diffusion else float(torch.as_tensor(self.flow.diffusion))

    def walkers(self, count: int, seed: int) -> Walkers:
        """Return walkers that start evenly in the box."""
        high = torch.tensor(self.half)
        made = Walkers(
            self.flow, torch.zeros(count, len(high)), dt=self.dt, diffusion=self.diffusion,
            box=(-high, high), seed=seed,
        )  # fmt: skip
        made.states = made.uniform(count)
        if not self.walled:
            made.box = None
        return made

    def filled(self, count: int, stream: torch.Generator) -> Tensor:
        """Return states (count, N) that fill the box."""
        high = torch.tensor(self.half)
        return high * (2 * torch.rand(count, len(high), generator=stream) - 1)

    def potential(self, hidden: list[int], stream: torch.Generator) -> nn.Module:
        """Return what learns; of the Hopfield network it has the form of an energy."""
        if isinstance(self.flow, MatchedNetwork):
            return NetworkPotential(len(self.half))
        return NeuralPotential(len(self.half), hidden, generator=stream)


def solvable(name: str, seed: int) -> Solvable:
    """Return the system of a name in `SYSTEMS`."""
    stream = seeded(seed)
    if name == "double well":
        flow: Flow = DoubleWell(2, circulation=0.5, diffusion=0.2)
        return Solvable(flow=flow, half=(2.0, 2.2), walled=True, dt=0.01, burn_in=6.0)
    if name == "ring":
        flow = StuartLandau(diffusion=0.1)
        return Solvable(flow=flow, half=(2.0, 2.0), walled=True, dt=0.02, burn_in=8.0)
    box = (3.0 if name == "linear" else 2.0,) * _NEURONS
    if name == "linear":
        A = gaussian(_NEURONS, std=0.8, generator=stream) - torch.eye(_NEURONS)
        flow = OrnsteinUhlenbeck(A, diffusion=0.5)
        return Solvable(flow=flow, half=box, walled=False, dt=0.02, burn_in=8.0)
    J = gaussian(_NEURONS, std=1.5, symmetry=1.0, generator=stream)
    matched = MatchedNetwork(AmariWilsonCowan(J, trainable=()), temperature=0.2)
    return Solvable(
        flow=matched,
        half=box,
        walled=True,
        dt=0.005,
        burn_in=2.0,
        haste=5.0,
        diffusion=matched.diffusion_at,
    )


def objective(
    name: str, system: Solvable, states: Tensor, stream: torch.Generator
) -> tuple[Loss, bool, list[nn.Parameter]] | None:
    """Return a loss of `LOSSES`, whether it needs states of the steady state, and its parameters.

    None where the loss does not know diffusion that depends on the state.
    """
    f, field = system.flow, system.diffusion
    own: dict[str, Any] = {"diffusion": field}
    if field is not None and name not in ("EPR", "score matching"):
        return None
    if name == "EPR":
        return lambda V, u: epr_loss(f, V, u, **own), True, []
    if name == "EPR + HJB":
        return lambda V, u: hjb_loss(f, V, u, generator=stream), True, []
    if name == "decomposition":
        with torch.random.fork_rng():
            torch.random.set_rng_state(stream.get_state())
            loss = OrthogonalDecomposition(len(system.half), hidden=[24, 24], bounded=True)
        return lambda V, u: loss(f, V, u), False, list(loss.parameters())
    if name == "score matching":
        if field is not None:  # any positive weights serve as D(u): these vanish at the walls
            high = torch.tensor(system.half)
            own = {"diffusion": lambda u: (1 - (u / high).square()).clamp(min=1e-6)}
        return lambda V, u: score_matching_loss(f, V, u, generator=stream, **own), True, []
    if name == "denoising":
        width = _WIDTH * float(states.std(0).mean())
        return (
            lambda V, u: denoising_loss(f, V, u, width=width, generator=stream), True, [],
        )  # fmt: skip
    step = RungeKutta4(f, system.dt)
    return lambda V, u: map_loss(step, V, u, generator=stream), True, []
