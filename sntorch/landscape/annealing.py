"""Minima of a potential: chains that are cooled, and a descent that ends them at T = 0.

Steps are those of `sntorch.landscape.sampling`, unadjusted; T falls by the same factor at each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.chains import Chains, chains_from, entered, stepping
from sntorch.landscape.potentials import Potential
from sntorch.landscape.samples import Annealed
from sntorch.observing import observing

__all__ = ["anneal"]

_COOLING_SEEN = 60  # times at which cooling is measured


def anneal(
    potential: object,
    u: Tensor,
    steps: int,
    *,
    temperature: float = 1.0,
    final: float | None = None,
    step_size: float | None = None,
    descent: int = 2000,
    tol: float | None = None,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Annealed:
    """Return minima of the potential to which chains are cooled, one per row of u.

    The temperature falls geometrically from `temperature` to `final`; then gradient descent with
    steps of Barzilai and Borwein ends at T = 0.  Minima of a `SpeedPotential` with energy zero are
    fixed points, which ``find_fixed_points(f, annealed.states)`` polishes; others are slow points.

    Parameters
    ----------
    temperature, final
        T at the start and at the end of cooling, which is no higher; `final` is 1e-6 of the start
        by default.
    descent
        Steps of descent at most.
    tol
        A chain has converged if no component of the gradient exceeds this; sqrt(eps) by default.
    potential, u, steps, step_size, generator, progress
        As for `langevin`, with unadjusted steps.

    Raises
    ------
    ValueError
        As for `langevin`.

    References
    ----------
    J. Barzilai, J. M. Borwein, IMA J. Numer. Anal. 8 (1988) 141.

    Examples
    --------
    >>> import sntorch as snt
    >>> tilted = lambda u: ((u.square() - 1).square() + 0.3 * u).sum(-1)
    >>> found = snt.landscape.anneal(tilted, torch.ones(20, 1), 2000, generator=torch.Generator())
    >>> bool((found.states < 0).double().mean() > 0.7)  # the deeper of the two wells
    True
    """
    potential, T = entered(potential, u, temperature)
    last = 1e-6 * temperature if final is None else checks.positive("final", final)
    if last > float(T.max()):
        raise ValueError(f"final: expected at most temperature = {temperature:g}, got {last:g}")
    steps, descent = checks.count("steps", steps), checks.count("descent", descent, low=0)
    limit = float(torch.finfo(u.dtype).eps ** 0.5) if tol is None else checks.positive("tol", tol)
    stopped, Ts, energies = "", [], []
    with observing(potential, u):
        chains = chains_from(potential, u, T, step_size, "unadjusted", generator)
        try:
            for t in stepping(steps, "annealing", progress):
                now = temperature * (last / temperature) ** (t / max(1, steps - 1))
                chains.T = torch.full_like(T, now)
                chains.step()
                if t % max(1, steps // _COOLING_SEEN) == 0:
                    Ts.append(now)
                    energies.append(chains.energy / u.shape[-1])
        except KeyboardInterrupt:
            stopped = f"interrupted at step {chains.steps} of {steps}"
        states, energy, slope = _descend(potential, chains, 0 if stopped else descent, limit)
    return Annealed(
        states=states,
        energy=energy,
        gradient=slope,
        converged=slope <= limit,
        temperatures=torch.tensor(Ts, dtype=torch.float64),
        energies=torch.stack(energies) if energies else energy.new_zeros(0, *energy.shape),
        stopped=stopped,
    )


def _descend(
    potential: Potential, chains: Chains, steps: int, limit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return states, energies and largest components of the gradient after descent."""
    u, (energy, g) = chains.u, potential.value_and_gradient(chains.u)
    rate = torch.full_like(energy, chains.h)
    best, lowest, slope = u, energy, g.abs().amax(-1)
    for _ in range(steps):
        if bool((slope <= limit).all()):
            break
        step = -rate.unsqueeze(-1) * g
        u = u + step
        energy, new = potential.value_and_gradient(u)
        change = torch.linalg.vecdot(step, new - g)
        length = step.square().sum(-1) / change
        rate = torch.where(
            (change > 0) & length.isfinite(), length, torch.full_like(rate, chains.h)
        )
        g, size = new, new.abs().amax(-1)
        better = (size < slope) & (energy <= lowest + 1e-12 * (1 + lowest.abs()))
        best = torch.where(better.unsqueeze(-1), u, best)
        lowest, slope = torch.where(better, energy, lowest), torch.where(better, size, slope)
    return best, lowest, slope
