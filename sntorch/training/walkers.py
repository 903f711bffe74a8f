r"""Walkers: many copies of a noisy dynamics, from which a potential draws its states.

They start, forget their start in a burn-in, and from then on are moved on between epochs.  In a box
they are reflected at its walls; without one those that are lost, because their state is not finite
or larger than `limit`, go on from the place of another one, and are counted.

Walkers of a map take its steps.  Walkers of a flow take steps of Heun's method, with the same noise
B in the predictor and in the corrector,

.. math:: u^* = u + F(u)\, dt + L B, \qquad
          u' = u + \tfrac12 \left(F(u) + F(u^*)\right) dt + L B, \qquad L L^T = 2 D\, dt,

which for noise that is additive has weak order 2: where V has the curvature k, their variance is
D / k times

.. math:: \frac{1 - h + h^2/4}{1 - h + h^2/2 - h^3/8} = 1 - \frac{h^2}{4} + O(h^3),
          \qquad h = k\, dt,

while Euler and Runge-Kutta steps, whose noise comes at their end, make it too large by h/2 and h.
A diffusion D_i(u) that depends on the state goes with Euler's steps, of weak order 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, step
from sntorch.flows import EulerMaruyama, Flow
from sntorch.landscape.metric import DiffusionField
from sntorch.noise import add_noise, noise_of
from sntorch.observing import observing
from sntorch.streams import seeded

__all__ = ["Box", "Walkers"]

Box = tuple[Tensor, Tensor]
"""Lowest and highest corner, (N,) each."""


class Walkers:
    """States (M, N) that follow a noisy map.

    Parameters
    ----------
    f
        A map, or a `Flow`.
    states
        Where they start (M, N).
    dt
        Time of a step of a flow; a map has its own.
    x
        Constant drive (I,).
    box
        Walls that reflect; None is unbounded space.
    limit
        Size of a neuron's state from which on a walker is lost.
    diffusion
        A function D_i(u) of states, in place of the flow's own D.
    seed
        Of their noise, up to 9999.

    Raises
    ------
    ValueError
        On wrong arguments; while they walk, if all are lost.
    """

    def __init__(
        self,
        f: Dynamics | Flow,
        states: Tensor,
        *,
        dt: float = 0.01,
        x: Tensor | None = None,
        box: Box | None = None,
        limit: float = 1e3,
        diffusion: DiffusionField | None = None,
        seed: int = 0,
    ) -> None:
        self.flow = f if isinstance(f, Flow) else None
        self.f = EulerMaruyama(f, dt) if isinstance(f, Flow) else f
        if diffusion is not None and self.flow is None:
            raise ValueError("diffusion: expected None for a map, which has a noise of its own")
        self.x, self.box, self.diffusion = x, box, diffusion
        self.states = checks.finite("states", f.check(states)).detach().clone()
        self.limit = checks.positive("limit", limit)
        self.stream = seeded(seed, states.device)
        self.escapes = 0
        """How often a walker was lost so far."""
        self.steps = 0
        """Steps so far."""

    @property
    def escape_rate(self) -> float:
        """Share of the walkers that is lost per unit of time."""
        return self.escapes / max(self.steps * self.f.dt * len(self.states), 1e-300)

    def advance(self, steps: int) -> None:
        """Move on by some steps."""
        with observing(self.f, self.states):
            sigma = noise_of(self.f, self.states)
            for _ in range(steps):
                self.states = self._confined(self._moved(sigma))
        self.steps += steps

    def batch(self, size: int, spread: float = 0.0) -> Tensor:
        """Return some of the states (size, N), with noise of `spread` standard deviations."""
        options: dict[str, Any] = {"generator": self.stream, "device": self.states.device}
        drawn = self.states[torch.randint(len(self.states), (size,), **options)]
        if spread:
            noise = torch.randn(drawn.shape, dtype=drawn.dtype, **options)
            drawn = drawn + spread * self.states.std(0) * noise
        return drawn

    def uniform(self, size: int) -> Tensor:
        """Return states (size, N) drawn evenly from the box.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.box is None:
            raise ValueError("box: expected a box from which to draw states, got None")
        low, high = self.box
        kind: dict[str, Any] = {"dtype": low.dtype, "device": low.device}
        return low + (high - low) * torch.rand(size, len(low), generator=self.stream, **kind)

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides how they go on."""
        return {"states": self.states, "stream": self.stream.get_state(),
                "escapes": self.escapes, "steps": self.steps}  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on where `saved` was made."""
        self.states = saved["states"].to(self.states)
        self.stream.set_state(saved["stream"].cpu())
        self.escapes, self.steps = saved["escapes"], saved["steps"]

    def _moved(self, sigma: Tensor | None) -> Tensor:
        u = self.states
        if self.flow is None:
            return step(self.f, u, self.x, sigma, self.stream)
        if self.diffusion is not None:
            B = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=self.stream)
            return self.f.map(u, self.x) + (2 * self.f.dt * self.diffusion(u)).sqrt() * B
        kick = add_noise(torch.zeros_like(u), sigma, self.stream)
        first = self.flow.drift(u, self.x)
        second = self.flow.drift(u + self.f.dt * first + kick, self.x)
        return u + self.f.dt / 2 * (first + second) + kick

    def _confined(self, u: Tensor) -> Tensor:
        if self.box is not None:
            low, high = self.box
            width = high - low
            u = high - (torch.remainder(u - low, 2 * width) - width).abs()
        lost = ~(u.abs() <= self.limit).all(-1)  # also where it is no number
        count = int(lost.sum())
        if not count:
            return u
        if count == len(u):
            raise ValueError(
                f"dynamics: expected walkers that stay below limit = {self.limit:g}, got none "
                f"after {self.steps} steps; give them a box, a smaller dt, or a start nearer home"
            )
        self.escapes += count
        kept = u[~lost]
        draw = torch.randint(len(kept), (count,), generator=self.stream, device=u.device)
        return u.index_copy(0, lost.nonzero().squeeze(-1), kept[draw])
