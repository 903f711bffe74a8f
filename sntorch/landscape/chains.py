"""The chains that all samplers walk: states, their energies, and steps that are kept or refused."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from sntorch import checks
from sntorch.landscape.potentials import Potential, as_potential

__all__ = ["METHODS", "Chains", "chains_from", "entered", "stable_step", "stepping"]

METHODS = ("unadjusted", "metropolis")

_CHECK = 16  # steps between two looks whether energies have run away
_FIRST, _SELDOM = 64, 1024  # steps at which the curvature is looked at
_RUNAWAY = 1e6  # times the energy to expect
_POWERS = 40  # iterations for the largest curvature
_ROWS = 8  # rows at which it is measured
_TARGET = 0.574  # acceptance at which adjusted steps explore fastest (Roberts, Rosenthal 1998)
_SAFE = 0.3  # of the largest stable step, by default


class Chains:
    """One chain per row of u (..., N) at temperatures T (...), advanced by `step`.

    Energy and gradient at u are always known, so that nothing is evaluated twice.
    """

    def __init__(
        self,
        potential: Potential,
        u: Tensor,
        temperature: Tensor,
        *,
        step_size: float | None,
        method: str,
        generator: torch.Generator | None,
        common: bool = False,
    ) -> None:
        self.potential, self.generator = potential, generator
        self.adjusted = method == "metropolis"
        self.start = self.good = self.u = u.detach().clone()
        self.T = temperature
        self.draws = u.shape[1:] if common else u.shape  # the first axis may share its noise
        self.energy, self.gradient = potential.value_and_gradient(self.u)
        self.steps = 0
        stable = stable_step(potential, self.u)
        self.h = _SAFE * min(stable, 1 / _SAFE) if step_size is None else step_size
        self._refuse_beyond(stable)
        self.expected = self.energy.abs().max() + u.shape[-1] * temperature.max() + 1e-12
        self.accepted = self.kept = torch.zeros_like(self.energy)
        self.z = self._draw()

    def step(self) -> None:
        """Advance all chains by one step."""
        self.steps += 1
        if self.adjusted:
            self._propose()
            return
        z = self._draw()
        scale = (self.T * (self.h / 2)).sqrt().unsqueeze(-1)
        self.u = torch.addcmul(self.u - self.h * self.gradient, scale, self.z + z)
        self.z = z
        self.energy, self.gradient = self.potential.value_and_gradient(self.u)
        if self.steps % _CHECK == 0:
            self._check()

    def adapt(self) -> None:
        """Move h towards the acceptance that explores fastest; only before measuring."""
        if self.adjusted:
            pace = 1 / (1 + self.steps / 20) ** 0.6
            self.h *= math.exp(pace * (float(self.accepted.mean()) - _TARGET))

    def forget(self) -> None:
        """Count acceptance from now on."""
        self.kept, self.steps = torch.zeros_like(self.energy), 0

    @property
    def acceptance(self) -> Tensor:
        """Share of accepted steps (...)."""
        if not self.adjusted:
            return torch.ones_like(self.energy)
        return self.kept / max(self.steps, 1)

    def exchange(self, first: int) -> Tensor:
        """Exchange states between temperatures first, first + 2, ... and the next; say which (...).

        Temperatures are the first axis.
        """
        low = torch.arange(first, len(self.u) - 1, 2, device=self.u.device)
        gap = 1 / self.T[low] - 1 / self.T[low + 1]
        odds = gap * (self.energy[low] - self.energy[low + 1])
        swap = self._uniform(odds).log() < odds
        order = torch.arange(len(self.u), device=self.u.device).reshape(
            -1, *[1] * (self.energy.ndim - 1)
        )
        order = order.expand(self.energy.shape).clone()
        order[low], order[low + 1] = (
            torch.where(swap, order[low + 1], order[low]),
            torch.where(swap, order[low], order[low + 1]),
        )
        self.energy = self.energy.gather(0, order)
        rows = order.unsqueeze(-1).expand(self.u.shape)
        self.u, self.gradient = self.u.gather(0, rows), self.gradient.gather(0, rows)
        self.z = self.z.gather(0, rows)
        return swap

    def _propose(self) -> None:
        spread = 4 * self.T * self.h
        drift = self.u - self.h * self.gradient
        new = torch.addcmul(drift, (spread / 2).sqrt().unsqueeze(-1), self._draw())
        energy, gradient = self.potential.value_and_gradient(new)
        forth = (new - drift).square().sum(-1)
        back = (self.u - new + self.h * gradient).square().sum(-1)
        odds = (self.energy - energy) / self.T + (forth - back) / spread
        # Where the proposal left the finite numbers the comparison is false: refused.
        self.accepted = (self._uniform(odds).log() < odds).to(odds)
        take = self.accepted.bool()
        rows = take.unsqueeze(-1)
        self.u, self.gradient = (
            torch.where(rows, new, self.u),
            torch.where(rows, gradient, self.gradient),
        )
        self.energy = torch.where(take, energy, self.energy)
        self.kept = self.kept + self.accepted

    def _check(self) -> None:
        """Raise where energies have run away or the curvature has outgrown the step."""
        if not bool((self.energy < _RUNAWAY * self.expected).all()):
            self._refuse_beyond(0.0)
        self._refuse_a_fall()
        if self.steps == _FIRST or self.steps % _SELDOM == 0:
            self._refuse_beyond(stable_step(self.potential, self.u))
        self.good = self.u

    def _refuse_beyond(self, stable: float) -> None:
        """Raise if unadjusted steps exceed the largest stable one by more than its own error."""
        if self.adjusted or self.h <= 1.05 * stable:
            return
        places = (self.start, self.good)
        stable = stable or min(stable_step(self.potential, u) for u in places)
        raise ValueError(
            f"step_size: expected at most about {stable:.3g}, the largest stable step where the "
            f"chains were, got {self.h:.3g}: chains diverge, seen at step {self.steps}"
        )

    def _refuse_a_fall(self) -> None:
        """Raise if energies fall without end: then there is no Boltzmann measure."""
        lowest = float(self.energy.min())
        if lowest < -_RUNAWAY * float(self.expected):
            raise ValueError(
                f"potential: expected one that is bounded below, got E = {lowest:.3g} at step "
                f"{self.steps}; confine the states, say by a quadratic"
            )

    def _draw(self) -> Tensor:
        like = {"dtype": self.u.dtype, "device": self.u.device, "generator": self.generator}
        return torch.randn(self.draws, **like).expand(self.u.shape)

    def _uniform(self, like: Tensor) -> Tensor:
        kind = {"dtype": like.dtype, "device": like.device, "generator": self.generator}
        return torch.rand(like.shape, **kind)


def stable_step(potential: Potential, u: Tensor) -> float:
    """Return 2 over the largest curvature of the potential at some of the states u (..., N).

    Power iteration on differences of the gradient; inf where the potential is flat.
    """
    rows = u.reshape(-1, u.shape[-1])
    rows = rows[:: max(1, len(rows) // _ROWS)] if u.ndim > 1 else rows
    shape = rows.shape if u.ndim < 3 else u.shape
    at = rows if u.ndim < 3 else u
    small = torch.finfo(u.dtype).eps ** (1 / 3) * (1 + at.square().mean(-1, keepdim=True).sqrt())
    # A fixed direction that no structure of couplings singles out.
    v = torch.sin(torch.arange(1, shape[-1] + 1, dtype=u.dtype, device=u.device).square())
    v = (v / v.norm()).expand(shape)
    size = v.new_zeros(shape[:-1])
    for _ in range(_POWERS):
        shift = small * v
        ahead = potential.value_and_gradient(at + shift)[1]
        change = (ahead - potential.value_and_gradient(at - shift)[1]) / (2 * small)
        size = change.norm(dim=-1)
        v = change / size.unsqueeze(-1).clamp(min=torch.finfo(u.dtype).tiny)
    largest = float(size.max())
    return 2 / largest if largest > 0 else math.inf


def stepping(steps: int, name: str, progress: bool) -> Iterator[int]:
    """Count steps with a progress bar."""
    yield from tqdm(range(steps), desc=name, disable=not progress)


def entered(potential: object, u: Tensor, temperature: float) -> tuple[Potential, Tensor]:
    """Return potential and temperatures (...), checked."""
    found = as_potential(potential)
    checks.finite("u", found.check(checks.floating("u", u, ndim=1)))
    T = checks.positive("temperature", temperature)
    return found, torch.full(u.shape[:-1], T, dtype=u.dtype, device=u.device)


def chains_from(
    potential: Potential,
    u: Tensor,
    T: Tensor,
    step_size: float | None,
    method: str,
    generator: torch.Generator | None,
    common: bool = False,
) -> Chains:
    """Return chains from u at temperatures T, with their settings checked."""
    checks.one_of("method", method, METHODS)
    checks.generator(generator, u.device)
    return Chains(
        potential,
        u,
        T,
        step_size=None if step_size is None else checks.positive("step_size", step_size),
        method=method,
        generator=generator,
        common=common,
    )
