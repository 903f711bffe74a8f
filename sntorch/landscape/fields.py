"""The response of slow states to a weak field, by applying one.

By fluctuations, without a field, it is `Samples.response` of `sntorch.landscape.sampling`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.chains import chains_from, entered, stepping
from sntorch.landscape.samples import FieldResponse
from sntorch.landscape.speed import SpeedPotential
from sntorch.observing import observing

__all__ = ["field_response"]


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

    Examples
    --------
    >>> import sntorch as snt
    >>> potential = snt.landscape.SpeedPotential(lambda u: 0.5 * u)
    >>> found = field_response(potential, torch.zeros(50, 4), 100, temperature=0.1, transient=50)
    >>> found.response.shape
    torch.Size([50])
    """
    if not isinstance(potential, SpeedPotential) or potential.field is not None:
        kind = type(potential).__name__
        raise ValueError(f"potential: expected a SpeedPotential without field, got {kind}")
    _, T = entered(potential, u, temperature)
    steps, every = checks.count("steps", steps), checks.count("every", every)
    checks.count("transient", transient, low=0)
    h = 0.1 * temperature**0.5 if strength is None else checks.positive("strength", strength)
    checks.generator(generator, u.device)
    with observing(potential, u):
        signs = 2.0 * torch.randint(2, u.shape, generator=generator, device=u.device).to(u) - 1
        both = potential.with_field(torch.stack([h * signs, -h * signs]))
        pair, T = u.expand(2, *u.shape), T.expand(2, *T.shape)
        chains = chains_from(both, pair, T, step_size, "unadjusted", generator, common=True)
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
