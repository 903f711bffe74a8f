r"""How the orbit of an SNT network is computed: many steps at once, close to the bare products.

States lie inside as the product with J likes them (`couplings.matrices`), and every step writes
into the place where its result stays; a gain of one, a leak or threshold of zero cost nothing.
Without gradients it is made by `forward`, with them by `reverse`, and for torch's transforms by
plain operations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sntorch import forward, memory, reverse
from sntorch.couplings.layers import Coupling
from sntorch.couplings.matrices import matrix
from sntorch.differentiable import transformed
from sntorch.forward import Network

__all__ = ["Network", "orbit", "plus_product", "rated"]

_RECORDED = 3  # arrays as large as the orbit: states, rates, and the gradient that comes


def orbit(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    every: int,
) -> tuple[Tensor, Tensor] | None:
    """Return u(every), u(2 every), ... (T, ..., N) and the last state; see `Dynamics.orbit`.

    None where step by step is the best that is known: gradients and transforms of couplings that
    are neither a matrix nor sparse.

    Raises
    ------
    ValueError
        If a gradient is asked for, and what it needs does not fit the memory.
    """
    recording, mapped = _asked(network, u, x, sigma)
    if not recording and not mapped:
        return forward.stepped(network, u, steps, x, sigma, generator, every)
    found = _differentiable(network, u, steps, x, sigma, generator, mapped)
    if found is None:
        return None
    states = found[0]
    return states if every == 1 else states[every - 1 :: every], states[-1]


def rated(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor] | None:
    """Return u(1), u(2), ... and their activity f(u), (T, ..., N) each, made in one go.

    None where nothing is saved by that: where no gradient is asked for, and where `orbit` is None.

    Raises
    ------
    ValueError
        As `orbit`.
    """
    recording, mapped = _asked(network, u, x, sigma)
    if not recording or mapped:
        return None
    return _differentiable(network, u, steps, x, sigma, generator, mapped)


def _asked(
    network: Network, u: Tensor, x: Tensor | None, sigma: Tensor | None
) -> tuple[bool, bool]:
    """Return whether a gradient is asked for, and whether torch transforms any of these."""
    J = network.coupling
    entries = J.parameters() if isinstance(J, Coupling) else (J,)
    tensors = [t for t in (u, x, sigma, *network[1:], *entries) if isinstance(t, Tensor)]
    recording = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return recording, transformed(*tensors)


def _differentiable(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    mapped: bool,
) -> tuple[Tensor, Tensor] | None:
    """Return the orbit and its activity (T, ..., N) with gradients, or for torch's transforms."""
    J, gain, leak, *_, phi = network
    known = matrix(J)
    if known is None:
        return None
    if not mapped:
        arrays = _RECORDED + (sigma is not None)  # the noise is kept for second derivatives
        needed = arrays * memory.size_of(steps, *u.shape, dtype=u.dtype)
        memory.afford("steps", needed, u.device, "take gradients through fewer steps at a time")
    read = None if mapped else forward.read(network, x, (steps, *u.shape[:-1]))
    drive = forward.drive(network, x if read is None else None, u)
    if sigma is not None:
        B = u.new_empty(steps, *u.shape)
        for b in B.unbind():  # a draw for each step, whether or not a gradient is asked for
            b.normal_(generator=generator)
        drive = drive + sigma * B
    elif read is None:
        drive = drive.expand(steps, *u.shape)
    if mapped:
        return reverse.plain(u, drive, known, gain, leak, phi)
    return reverse.recorded(u, drive, read, known, gain, leak, phi)


def plus_product(rest: Tensor, J: Tensor, f: Tensor) -> Tensor:
    """Return rest + J f (..., N) for f (..., N), rounded as in an orbit."""
    if rest.shape != f.shape:
        return rest + nn.functional.linear(f, J)
    if f.ndim == 1:
        return torch.addmv(rest, J, f)
    if f.ndim == 2:
        return torch.addmm(rest, f, J.T)
    return torch.addmm(rest.flatten(0, -2), f.flatten(0, -2), J.T).view(f.shape)
