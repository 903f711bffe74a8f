r"""The gradient of an orbit of an SNT network, by one loop backwards.

With the symbols of `orbits`, :math:`\delta_t = \partial L / \partial u(t)` and z = g u,

.. math:: \delta_t = G_t + \gamma \delta_{t+1} + g \phi'(z_t) \, J^T \delta_{t+1},

where G is the gradient of the loss with respect to the stored states; then the gradient of J is one
product over all steps and rows, :math:`\sum_t \delta_{t+1} \phi(z_t)^T`, in the place of T updates
of a matrix.  Second derivatives, forward mode and torch's transforms take the plain loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sntorch.couplings.matrices import Matrix
from sntorch.differentiable import transformed
from sntorch.transfer import Transfer

__all__ = ["plain", "recorded"]


def plain(
    u: Tensor,
    drive: Tensor,
    J: Matrix,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> Tensor:
    """Return the orbit (T, ..., N) under d of that shape, by operations torch can transform."""
    states: list[Tensor] = []
    for d in drive.unbind():
        f = phi(u if gain is None else gain * u)
        u = J.rows(f) + (d if leak is None else torch.addcmul(d, leak, u))
        states.append(u)
    return torch.stack(states)


def recorded(
    u: Tensor,
    drive: Tensor,
    read: tuple[Tensor, Tensor] | None,
    J: Matrix,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> Tensor:
    """Return `plain` for states (..., N), with a fast reverse pass.

    The drive is d (T, ..., N), or one (N,) for all; where inputs x (T, ..., I) are `read` by W
    (N, I), as the pair says, W x comes to it.
    """
    x, W = (None, None) if read is None else read
    rows = drive if drive.ndim == 1 else drive.reshape(len(drive), -1, drive.shape[-1])
    x = x if x is None else x.reshape(len(x), -1, x.shape[-1])
    flat = u.reshape(-1, u.shape[-1])
    states: Any = _Recorded.apply(flat, rows, x, W, J.entries, gain, leak, phi, J.pattern)
    return states.view(-1, *u.shape)


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        drive: Tensor,
        x: Tensor | None,
        W: Tensor | None,
        entries: Tensor,
        gain: Tensor | None,
        leak: Tensor | None,
        phi: Transfer,
        pattern: Any,
    ) -> Tensor:
        J = Matrix(entries, pattern)
        inputs = u, drive, x, W, entries, gain, leak
        u = J.inside(u)
        gain, leak = (q if q is None else J.inside(q) for q in (gain, leak))
        states = _driven(J, drive, x, W)
        rates, add = torch.empty_like(states), J.adder(alone=False)
        for place, f in zip(states.unbind(), rates.unbind(), strict=True):
            phi.into(f, u if gain is None else gain * u)
            add(place if leak is None else place.addcmul_(leak, u), f, place)
            u = place
        ctx.save_for_backward(*inputs, states)
        ctx.phi, ctx.pattern, ctx.rates = phi, pattern, rates
        return J.inside(states)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, states = ctx.saved_tensors
        if torch.is_grad_enabled() or transformed():  # for second derivatives, or under vmap
            return (*_plain_pull(inputs, grads[0], ctx.phi, ctx.pattern), None, None)
        pulled = _pull(inputs, states, ctx, grads[0])
        return (*pulled, None, None)


def _driven(J: Matrix, drive: Tensor, x: Tensor | None, W: Tensor | None) -> Tensor:
    """Return d + W x of every step in new memory, in which the orbit is then made."""
    if x is None or W is None:
        return J.inside(drive).clone(memory_format=torch.contiguous_format)
    start = drive if drive.ndim == 1 else drive.flatten(0, -2)
    read = torch.addmm(start, x.flatten(0, -2), W.T).view(*x.shape[:-1], len(W))
    return J.inside(read).contiguous()


def _pull(inputs: Any, states: Tensor, ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of `inputs`, those that are asked for."""
    u, drive, x, W, entries, gain, leak = inputs
    for_u, for_drive, for_x, for_W, for_J, *for_numbers = ctx.needs_input_grad[: len(inputs)]
    J = Matrix(entries, ctx.pattern)
    wanted = for_u, *for_numbers
    delta, to_u, *to_numbers = _backwards(J, u, states, ctx, gain, leak, J.inside(G), wanted)
    rows = J.inside(delta)
    return (
        None if to_u is None else J.inside(to_u),
        rows.sum_to_size(drive.shape) if for_drive else None,
        rows @ W if for_x else None,
        # The product the other way round takes six times as long where x is thin.
        (x.flatten(0, -2).T @ rows.flatten(0, -2)).T if for_W else None,
        J.outer(delta, ctx.rates) if for_J else None,
        *(t if t is None else t.view_as(q) for t, q in zip(to_numbers, (gain, leak), strict=True)),
    )


def _backwards(
    J: Matrix,
    u: Tensor,
    states: Tensor,
    ctx: Any,
    gain: Tensor | None,
    leak: Tensor | None,
    G: Tensor,
    wanted: tuple[bool, ...],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return delta and the gradients of u, gain and leak, all as they lie inside."""
    for_u, for_gain, for_leak = wanted
    gain, leak = (q if q is None else J.inside(q) for q in (gain, leak))
    before, rates, phi = (J.inside(u), *states.unbind()), ctx.rates, ctx.phi
    delta = torch.empty_like(states)
    D, adjoint = delta.unbind(), J.adjoint()
    D[-1].copy_(G[-1])
    to_u = torch.empty_like(D[0]) if for_u else None
    to_gain = None if gain is None or not for_gain else torch.zeros_like(gain)
    to_leak = None if leak is None or not for_leak else torch.zeros_like(leak)
    for t in range(len(D) - 1, -1, -1):
        z = before[t] if gain is None else gain * before[t]
        pulled = J.pull(adjoint, D[t]).mul_(phi.derivative_from(z, rates[t]))
        if to_gain is not None:
            to_gain += (pulled * before[t]).sum_to_size(to_gain.shape)
        if to_leak is not None:
            to_leak += (D[t] * before[t]).sum_to_size(to_leak.shape)
        place = D[t - 1] if t else to_u
        if place is None:
            break
        pulled = pulled if gain is None else pulled.mul_(gain)
        torch.add(G[t - 1], pulled, out=place) if t else place.copy_(pulled)
        if leak is not None:
            place.addcmul_(leak, D[t])
    return delta, to_u, to_gain, to_leak


def _plain_pull(inputs: Any, G: Tensor, phi: Transfer, pattern: Any) -> list[Tensor | None]:
    """Return the same gradients by `plain`, so that they have gradients themselves."""
    given = [i for i, value in enumerate(inputs) if value is not None]

    def states(*tensors: Tensor) -> Tensor:
        filled: list[Any] = [None] * len(inputs)
        for i, tensor in zip(given, tensors, strict=True):
            filled[i] = tensor
        u, drive, x, W, entries, gain, leak = filled
        d = drive if x is None else nn.functional.linear(x, W) + drive
        return plain(u, d, Matrix(entries, pattern), gain, leak, phi)

    pulled: Any = torch.func.vjp(states, *(inputs[i] for i in given))
    gradients = dict(zip(given, pulled[1](G), strict=True))
    return [gradients.get(i) for i in range(len(inputs))]
