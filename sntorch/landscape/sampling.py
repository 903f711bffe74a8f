r"""Langevin sampling of a potential: the canonical measure exp(-E/T), one chain per row.

.. math:: du = -\nabla E\, dt + \sqrt{2T}\, dW

*Unadjusted* steps are those of Leimkuhler and Matthews (2013),

.. math:: u \leftarrow u - h \nabla E(u) + \sqrt{2 T h}\; \tfrac12 (z_t + z_{t+1}),

whose stationary law is exact where E is quadratic and else wrong at order h^2 only.
*Metropolis-adjusted* steps propose u - h grad E + sqrt(2Th) z and accept with the probability that
makes exp(-E/T) exact at every h; the step must shrink like N^(-1/3) to be accepted.

Where E curves by more than 2/h unadjusted steps grow without bound: that is detected, and the
message says which step would have been stable.  One must be patient rather than careful: where the
landscape is rough, as above the critical gain of a random network at low temperature, chains from
random starts take hundreds to thousands of units of time; `planted` starts are in equilibrium from
the first step.  Errors come from the autocorrelation of each chain and know nothing about states
that no chain has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.chains import Chains, chains_from, entered, stable_step, stepping
from sntorch.landscape.samples import Samples, Tempered
from sntorch.landscape.speed import SpeedPotential
from sntorch.observing import observing

__all__ = ["langevin", "parallel_tempering"]

Kind = TypeVar("Kind", bound=Samples)


def langevin(
    potential: object,
    u: Tensor,
    steps: int,
    *,
    temperature: float,
    step_size: float | None = None,
    method: str = "unadjusted",
    transient: int = 0,
    every: int = 5,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Samples:
    """Return what chains show that sample exp(-E/T), one per row of u.

    An interruption from the keyboard ends the run with what was measured; `Samples.stopped` says
    so, and ``langevin(potential, samples.states, ...)`` goes on.

    Parameters
    ----------
    potential
        A `Potential`, such as `SpeedPotential`, or a callable u -> E.
    u
        Starts (..., N); rows are independent chains, replicas of one another.
    steps
        Steps after the transient.
    temperature
        T > 0, in units of E.
    step_size
        h > 0; by default 0.3 of the largest stable step at the starts, and for adjusted steps what
        the transient adapts that to.
    method
        ``unadjusted`` (Leimkuhler-Matthews), or ``metropolis``, exact at every h.
    transient
        Steps before the first measurement.
    every
        Steps between two measurements.
    generator
        Source of the noise; None is torch's global generator, left as it was found.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        On wrong arguments, and for a step at which energies diverge, with the largest stable one.

    References
    ----------
    B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34; G. O. Roberts, J. S. Rosenthal,
    J. R. Stat. Soc. B 60 (1998) 255.

    Examples
    --------
    >>> import sntorch as snt
    >>> bowl = lambda u: u.square().sum(-1) / 2
    >>> start = torch.zeros(200, 3)
    >>> found = snt.landscape.langevin(bowl, start, 500, temperature=2.0, transient=50)
    >>> bool((found.energy.mean() - 1.0).abs() < 0.05)  # T / 2 per neuron
    True
    """
    potential, T = entered(potential, u, temperature)
    steps, every = checks.count("steps", steps), checks.count("every", every)
    checks.count("transient", transient, low=0)
    with observing(potential, u):
        chains = chains_from(potential, u, T, step_size, method, generator)
        seen, stopped = _walk(chains, steps, transient, every, progress, "langevin")
        return _samples(Samples, chains, seen, every, method, stopped)


def parallel_tempering(
    potential: object,
    u: Tensor,
    steps: int,
    *,
    temperatures: Sequence[float] | Tensor,
    step_size: float | None = None,
    method: str = "unadjusted",
    transient: int = 0,
    every: int = 5,
    swap_every: int = 5,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> Tempered:
    """Return what chains at several temperatures show that exchange states, so that cold ones move.

    Neighbouring temperatures exchange with probability min(1, exp((1/T - 1/T')(E - E'))), which
    leaves the product of their canonical measures as it is.  Energies of N neurons fluctuate by
    T sqrt(N / 2): temperatures must be as close as 1 + sqrt(2 / N) to exchange.

    Parameters
    ----------
    temperatures
        K of them, all > 0, ascending.
    swap_every
        Steps between two exchanges.
    potential, u, steps, step_size, method, transient, every, generator, progress
        As for `langevin`; every row of u starts at all temperatures.

    Raises
    ------
    ValueError
        As for `langevin`.

    References
    ----------
    K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 65 (1996) 1604.

    Examples
    --------
    >>> import sntorch as snt
    >>> double_well = lambda u: (4 * (u.square() - 1).square()).sum(-1)
    >>> found = snt.landscape.parallel_tempering(
    ...     double_well, torch.ones(8, 1), 400, temperatures=[0.3, 0.6, 1.2]
    ... )
    >>> found.energy.shape, found.swaps.shape
    (torch.Size([3, 8]), torch.Size([2, 8]))
    """
    given = temperatures.tolist() if isinstance(temperatures, Tensor) else temperatures
    several = isinstance(given, Sequence) and not isinstance(given, str)
    Ts = [checks.positive("temperatures", T) for T in given] if several else []
    if len(Ts) < 2 or sorted(set(Ts)) != Ts:
        raise ValueError(f"temperatures: expected two or more, ascending, got {given}")
    potential, one = entered(potential, u, Ts[0])
    steps, every = checks.count("steps", steps), checks.count("every", every)
    checks.count("transient", transient, low=0)
    between = checks.count("swap_every", swap_every)
    T = torch.stack([torch.full_like(one, each) for each in Ts])
    swapped = torch.zeros_like(T[1:])
    tried = torch.zeros_like(T[1:])
    turn = 0

    def exchange(chains: Chains) -> None:
        nonlocal turn
        if chains.steps % between == 0:
            swapped[turn::2] += chains.exchange(turn)
            tried[turn::2] += 1
            turn = 1 - turn if len(Ts) > 2 else 0

    with observing(potential, u):
        rows = u.expand(len(Ts), *u.shape)
        chains = chains_from(potential, rows, T, step_size, method, generator)
        seen, stopped = _walk(chains, steps, transient, every, progress, "tempering", exchange)
        share = swapped / tried.clamp(min=1)
        return _samples(Tempered, chains, seen, every, method, stopped, swaps=share)


class _Seen:
    """What was measured on the way."""

    def __init__(self, chains: Chains) -> None:
        self.first = chains.potential.rate(chains.start)
        self.rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.total = torch.zeros_like(self.first)

    def add(self, chains: Chains) -> None:
        """Measure energy, self-overlap, overlap with the start, and response."""
        rate, n = chains.potential.rate(chains.u), chains.u.shape[-1]
        if isinstance(chains.potential, SpeedPotential):
            r = chains.potential.residual(chains.u)
            response = -torch.linalg.vecdot(rate, r) / (n * chains.T)
        else:
            response = torch.full_like(chains.energy, torch.nan)
        overlap, memory = (torch.linalg.vecdot(rate, other) / n for other in (rate, self.first))
        self.rows.append((chains.energy / n, overlap, memory, response))
        self.total += rate


def _walk(
    chains: Chains,
    steps: int,
    transient: int,
    every: int,
    progress: bool,
    name: str,
    between: Callable[[Chains], None] | None = None,
) -> tuple[_Seen, str]:
    """Walk and measure; return what was seen and why the walk ended early, if so."""
    seen = _Seen(chains)
    t = 0
    try:
        for t in stepping(transient + steps, name, progress):
            if t == transient:
                chains.forget()
            chains.step()
            if t < transient:
                chains.adapt()
            elif (t - transient) % every == 0:
                seen.add(chains)
            if between is not None:
                between(chains)
    except KeyboardInterrupt:
        return seen, f"interrupted at step {t} of {transient + steps}"
    return seen, ""


def _samples(
    kind: type[Kind],
    chains: Chains,
    seen: _Seen,
    every: int,
    method: str,
    stopped: str,
    **more: Tensor,
) -> Kind:
    names = ("energies", "overlaps", "memories", "responses")
    empty = chains.energy.new_zeros(0, *chains.energy.shape)
    series = [torch.stack(column) for column in zip(*seen.rows, strict=True)] or [empty] * 4
    return kind(
        **dict(zip(names, series, strict=True)),
        states=chains.u,
        means=seen.total / max(1, len(seen.rows)),
        acceptance=chains.acceptance,
        temperature=chains.T,
        step_size=chains.h,
        stable_step=stable_step(chains.potential, chains.u),
        every=every,
        method=method,
        stopped=stopped,
        **more,
    )
