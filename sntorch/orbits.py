r"""How the orbit of an SNT network is computed: many steps at once, close to the bare products.

.. math:: u(t+1) = \gamma u(t) + J \phi(g u(t)) + d(t), \qquad d = W x - \theta + \sigma B,

with the symbols of `sntorch.cells`.  States are rows inside too, (B, N), and every step writes into
the place where its result stays.

Gradients.  With :math:`\delta_t = \partial L / \partial u(t)` and z = g u, one loop runs backwards,

.. math:: \delta_t = G_t + \gamma \delta_{t+1} + g \phi'(z_t) \, J^T \delta_{t+1},

where G is the gradient of the loss with respect to the stored states; then the gradient of J is one
product over all steps and rows, :math:`\sum_t \delta_{t+1} \phi(z_t)^T`, in the place of T updates
of an N x N matrix.  Second derivatives, forward mode and torch's transforms take the plain loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sntorch.differentiable import transformed
from sntorch.transfer import Transfer

__all__ = ["Network", "orbit", "plus_product"]

_BLOCK = 16  # steps whose drives are made in one product


class Network(NamedTuple):
    """An SNT network with dense couplings; None for a gain of 1 or a leak of 0 saves its work."""

    coupling: Tensor
    gain: Tensor | None
    leak: Tensor | None
    threshold: Tensor
    input_weight: Tensor | None
    transfer: Transfer


def orbit(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    every: int,
) -> tuple[Tensor, Tensor]:
    """Return u(every), u(2 every), ... (T, ..., N) and the last state; see `Dynamics.orbit`."""
    tensors = [t for t in (u, x, sigma, *network) if isinstance(t, Tensor)]
    recording = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if not recording and not transformed(*tensors):
        return _stepped(network, u, steps, x, sigma, generator, every)
    drive = _drive(network, x, u).expand(steps, *u.shape)
    if sigma is not None:
        drive = drive + sigma * torch.stack([_draw(u, generator) for _ in range(steps)])
    J, gain, leak, *_, phi = network
    if transformed(*tensors):
        states = _plain(u, drive, J, gain, leak, phi)
    else:
        n = u.shape[-1]
        rows = u.reshape(-1, n), drive.reshape(steps, -1, n)
        flat: Any = _Recorded.apply(*rows, J, gain, leak, phi)
        states = flat.view(drive.shape)
    return states if every == 1 else states[every - 1 :: every], states[-1]


def plus_product(rest: Tensor, J: Tensor, f: Tensor) -> Tensor:
    """Return rest + J f (..., N) for f (..., N), rounded as in an orbit."""
    if rest.shape != f.shape:
        return rest + nn.functional.linear(f, J)
    if f.ndim == 1:
        return torch.addmv(rest, J, f)
    if f.ndim == 2:
        return torch.addmm(rest, f, J.T)
    return torch.addmm(rest.flatten(0, -2), f.flatten(0, -2), J.T).view(f.shape)


def _stepped(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    every: int,
) -> tuple[Tensor, Tensor]:
    """Do without gradients, in the memory of what is stored."""
    # A product with a vector is faster than with a matrix of one row.
    shape = u.shape[-1:] if u.numel() == u.shape[-1] else (-1, u.shape[-1])
    rows = u.reshape(shape)
    stored = u.new_empty(steps // every, *u.shape)
    places = stored.view(len(stored), *rows.shape).unbind()
    spare = (torch.empty_like(rows), torch.empty_like(rows))
    where = (spare[t % 2] if (t + 1) % every else places[t // every] for t in range(steps))
    kicks = itertools.repeat(None, steps) if sigma is None else _kicks(u, sigma, generator, steps)
    drives = _drives(network, x, u, steps)
    J, gain, leak, *_, phi = network
    last, columns = rows, J.T
    for drive, kick, place in zip(drives, kicks, where, strict=True):
        f = phi(last if gain is None else gain * last)
        rest = drive.reshape(shape) if drive.ndim > 1 else drive
        rest = rest if leak is None else torch.addcmul(rest, leak, last, out=place)
        if f.ndim == 1:
            last = torch.addmv(rest, J, f, out=place)
        else:
            last = torch.addmm(rest, f, columns, out=place)
        if kick is not None:
            last += kick.view(shape)
    return stored, last.view(u.shape)


def _kicks(
    u: Tensor, sigma: Tensor, generator: torch.Generator | None, steps: int
) -> Iterator[Tensor]:
    """Yield sigma B of every step."""
    for _ in range(steps):
        yield sigma * _draw(u, generator)


def _drive(network: Network, x: Tensor | None, u: Tensor) -> Tensor:
    """Return W x - theta, of a shape that broadcasts to (T, *u.shape)."""
    if x is None or network.input_weight is None:
        return -network.threshold
    bias = -network.threshold.expand(len(network.input_weight))
    read = nn.functional.linear(x, network.input_weight, bias)
    if x.ndim == 1:
        return read
    axes = [1] * (u.ndim + 1 - x.ndim)  # those of the state that the drive does not have
    return read.view(len(x), *axes, *read.shape[1:])


def _drives(network: Network, x: Tensor | None, u: Tensor, steps: int) -> Iterator[Tensor]:
    """Yield W x - theta step by step, in blocks, so that long drives need little memory."""
    if x is None or x.ndim == 1:
        yield from itertools.repeat(_drive(network, x, u), steps)
        return
    for block in x.split(_BLOCK):
        yield from _drive(network, block, u).expand(len(block), *u.shape).unbind()


def _draw(u: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)


def _plain(
    u: Tensor,
    drive: Tensor,
    J: Tensor,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> Tensor:
    """Return the orbit (T, ..., N) under d of that shape, by operations torch can transform."""
    states: list[Tensor] = []
    for d in drive.unbind():
        f = phi(u if gain is None else gain * u)
        u = nn.functional.linear(f, J) + (d if leak is None else torch.addcmul(d, leak, u))
        states.append(u)
    return torch.stack(states)


class _Recorded(torch.autograd.Function):
    """`_plain` with states that are (B, N), and a fast reverse pass."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        drive: Tensor,
        J: Tensor,
        gain: Tensor | None,
        leak: Tensor | None,
        phi: Transfer,
    ) -> Tensor:
        states, rates = drive.new_empty(2, *drive.shape)
        ctx.save_for_backward(u, drive, J, gain, leak, states)
        ctx.phi, ctx.rates, columns = phi, rates, J.T
        for d, place, f in zip(drive.unbind(), states.unbind(), rates.unbind(), strict=True):
            f.copy_(phi(u if gain is None else gain * u))
            rest = d if leak is None else torch.addcmul(d, leak, u, out=place)
            u = torch.addmm(rest, f, columns, out=place)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, states = ctx.saved_tensors
        if torch.is_grad_enabled() or transformed():  # for second derivatives, or under vmap
            return (*_plain_pull(inputs, grads[0], ctx.phi), None)
        return (*_pull(inputs, states, ctx.rates, grads[0], ctx.phi, ctx.needs_input_grad), None)


def _pull(
    inputs: Any, states: Tensor, rates: Tensor, G: Tensor, phi: Transfer, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of u, d, J, gain and leak, those that are `wanted`."""
    u, _, J, gain, leak = inputs
    for_u, for_drive, for_J, for_gain, for_leak, _ = wanted
    before = (u, *states.unbind())
    delta = torch.empty_like(states)
    D = delta.unbind()
    D[-1].copy_(G[-1])
    to_u = torch.empty_like(u) if for_u else None
    to_gain = torch.zeros_like(gain) if for_gain else None
    to_leak = torch.zeros_like(leak) if for_leak else None
    for t in range(len(D) - 1, -1, -1):
        z = before[t] if gain is None else gain * before[t]
        pulled = (D[t] @ J).mul_(phi.derivative_from(z, rates[t]))
        if to_gain is not None:
            to_gain += (pulled * before[t]).sum_to_size(to_gain.shape)
        if to_leak is not None:
            to_leak += (D[t] * before[t]).sum_to_size(to_leak.shape)
        place = D[t - 1] if t else to_u
        if place is None:
            break
        pulled = pulled if gain is None else pulled.mul_(gain)
        G_t = G[t - 1] if t else torch.zeros_like(u)
        torch.add(G_t, pulled, out=place)
        if leak is not None:
            place.addcmul_(leak, D[t])
    to_J = delta.flatten(0, 1).T @ rates.flatten(0, 1) if for_J else None
    return to_u, delta if for_drive else None, to_J, to_gain, to_leak


def _plain_pull(inputs: Any, G: Tensor, phi: Transfer) -> list[Tensor | None]:
    """Return the same gradients by `_plain`, so that they have gradients themselves."""
    given = [i for i, value in enumerate(inputs) if value is not None]

    def states(*tensors: Tensor) -> Tensor:
        filled: list[Any] = [None] * len(inputs)
        for i, tensor in zip(given, tensors, strict=True):
            filled[i] = tensor
        u, drive, J, gain, leak = filled
        return _plain(u, drive, J, gain, leak, phi)

    pulled: Any = torch.func.vjp(states, *(inputs[i] for i in given))
    gradients = dict(zip(given, pulled[1](G), strict=True))
    return [gradients.get(i) for i in range(len(inputs))]
