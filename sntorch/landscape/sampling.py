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
from sntorch.dynamics import observing
from sntorch.landscape.chains import METHODS, Chains, stable_step, stepping
from sntorch.landscape.potentials import Potential, as_potential
from sntorch.landscape.samples import Annealed, FieldResponse, Samples, Tempered
from sntorch.landscape.speed import SpeedPotential

__all__ = ["anneal", "field_response", "langevin", "parallel_tempering"]

Kind = TypeVar("Kind", bound=Samples)

_COOLING_SEEN = 60  # times at which cooling is measured


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
    potential, T = _enter(potential, u, temperature)
    steps, every = checks.count("steps", steps), checks.count("every", every)
    checks.count("transient", transient, low=0)
    with observing(potential, u):
        chains = _chains(potential, u, T, step_size, method, generator)
        seen, stopped = _walk(chains, steps, transient, every, progress, "langevin")
        return _samples(Samples, chains, seen, every, method, stopped)


def parallel_tempering(
    potential: object,
    u: Tensor,
    steps: int,
    *,
    temperatures: Sequence[float],
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
    ...     double_well, torch.ones(8, 1), 400, temperatures=[0.3, 1.0, 3.0]
    ... )
    >>> found.energy.shape, found.swaps.shape
    (torch.Size([3, 8]), torch.Size([2, 8]))
    """
    Ts = [checks.positive("temperatures", T) for T in temperatures]
    if len(Ts) < 2 or sorted(set(Ts)) != Ts:
        raise ValueError(f"temperatures: expected two or more, ascending, got {list(temperatures)}")
    potential, one = _enter(potential, u, Ts[0])
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
        chains = _chains(potential, rows, T, step_size, method, generator)
        seen, stopped = _walk(chains, steps, transient, every, progress, "tempering", exchange)
        share = swapped / tried.clamp(min=1)
        return _samples(Tempered, chains, seen, every, method, stopped, swaps=share)


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
        T at the start and at the end of cooling; `final` is 1e-6 of the start by default.
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
    >>> bool((found.states < 0).double().mean() > 0.8)  # the deeper of the two wells
    True
    """
    potential, T = _enter(potential, u, temperature)
    last = 1e-6 * temperature if final is None else checks.positive("final", final)
    steps, descent = checks.count("steps", steps), checks.count("descent", descent, low=0)
    limit = float(torch.finfo(u.dtype).eps ** 0.5) if tol is None else checks.positive("tol", tol)
    stopped, Ts, energies = "", [], []
    with observing(potential, u):
        chains = _chains(potential, u, T, step_size, "unadjusted", generator)
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


def field_response(
    potential: SpeedPotential,
    u: Tensor,
    steps: int,
    *,
    temperature: float,
    strength: float | None = None,
    step_size: float | None = None,
    transient: int = 0,
    every: int = 5,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> FieldResponse:
    """Return the response of the rates to a weak field in the speed, by applying one.

    Two chains per row, with fields +h s and -h s of random signs s, see the same noise; the
    difference of their rates along s is the response, to compare with `Samples.response`.  One draw
    of signs also sees other neurons, by about g / sqrt(N); every row has its own.

    Parameters
    ----------
    strength
        h > 0, 0.1 sqrt(T) by default: what weak means is that halving it changes nothing.
    potential, u, steps, temperature, step_size, transient, every, generator, progress
        As for `langevin`, with unadjusted steps.

    Raises
    ------
    ValueError
        As for `langevin`, and for any other potential.
    """
    if not isinstance(potential, SpeedPotential) or potential.field is not None:
        kind = type(potential).__name__
        raise ValueError(f"potential: expected a SpeedPotential without field, got {kind}")
    _, T = _enter(potential, u, temperature)
    steps, every = checks.count("steps", steps), checks.count("every", every)
    checks.count("transient", transient, low=0)
    h = 0.1 * temperature**0.5 if strength is None else checks.positive("strength", strength)
    checks.generator(generator, u.device)
    with observing(potential, u):
        signs = 2.0 * torch.randint(2, u.shape, generator=generator, device=u.device).to(u) - 1
        both = potential.with_field(torch.stack([h * signs, -h * signs]))
        pair, T = u.expand(2, *u.shape), T.expand(2, *T.shape)
        chains = _chains(both, pair, T, step_size, "unadjusted", generator, common=True)
        found: list[Tensor] = []
        stopped = ""
        try:
            for t in stepping(transient + steps, "field response", progress):
                chains.step()
                if t >= transient and (t - transient) % every == 0:
                    rates = potential.rate(chains.u)
                    difference = torch.linalg.vecdot(rates[0] - rates[1], signs)
                    found.append(difference / (2 * h * u.shape[-1]))
        except KeyboardInterrupt:
            stopped = f"interrupted at step {chains.steps} of {transient + steps}"
    series = torch.stack(found) if found else T[0].new_zeros(0, *T.shape[1:])
    return FieldResponse(responses=series, strength=h, stopped=stopped)


def _enter(potential: object, u: Tensor, temperature: float) -> tuple[Potential, Tensor]:
    """Return potential and temperatures (...), checked."""
    found = as_potential(potential)
    checks.finite("u", found.check(checks.floating("u", u, ndim=1)))
    T = checks.positive("temperature", temperature)
    return found, torch.full(u.shape[:-1], T, dtype=u.dtype, device=u.device)


def _chains(
    potential: Potential,
    u: Tensor,
    T: Tensor,
    step_size: float | None,
    method: str,
    generator: torch.Generator | None,
    common: bool = False,
) -> Chains:
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
