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
from torch import Tensor

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
    J: Matrix,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> Tensor:
    """Return `plain` for states (B, N), with a fast reverse pass."""
    states: Any = _Recorded.apply(u, drive, J.entries, gain, leak, phi, J.pattern)
    return states


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        drive: Tensor,
        entries: Tensor,
        gain: Tensor | None,
        leak: Tensor | None,
        phi: Transfer,
        pattern: Any,
    ) -> Tensor:
        J = Matrix(entries, pattern)
        inputs = u, drive, entries, gain, leak
        u, drive = J.inside(u), J.inside(drive)
        gain, leak = (q if q is None else J.inside(q) for q in (gain, leak))
        states = torch.empty(drive.shape, dtype=u.dtype, device=u.device)
        rates, operand = torch.empty_like(states), J.operand()
        for d, place, f in zip(drive.unbind(), states.unbind(), rates.unbind(), strict=True):
            f.copy_(phi(u if gain is None else gain * u))
            rest = d if leak is None else torch.addcmul(d, leak, u, out=place)
            J.add(operand, rest, f, place)
            u = place
        ctx.save_for_backward(*inputs, states)
        ctx.phi, ctx.pattern, ctx.rates = phi, pattern, rates
        return J.inside(states)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, states = ctx.saved_tensors
        if torch.is_grad_enabled() or transformed():  # for second derivatives, or under vmap
            return (*_plain_pull(inputs, grads[0], ctx.phi, ctx.pattern), None, None)
        J, wanted = Matrix(inputs[2], ctx.pattern), ctx.needs_input_grad
        pulled = _pull(inputs, J, states, ctx.rates, J.inside(grads[0]), ctx.phi, wanted)
        return (*pulled, None, None)


def _pull(
    inputs: Any,
    J: Matrix,
    states: Tensor,
    rates: Tensor,
    G: Tensor,
    phi: Transfer,
    wanted: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Return the gradients of u, d, J, gain and leak, those that are `wanted`."""
    for_u, for_drive, for_J, for_gain, for_leak, *_ = wanted
    gain, leak = (q if q is None else J.inside(q) for q in inputs[3:])
    u = J.inside(inputs[0])
    before = (u, *states.unbind())
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
    return (
        to_u if to_u is None else J.inside(to_u),
        J.inside(delta) if for_drive else None,
        J.outer(delta, rates) if for_J else None,
        to_gain if to_gain is None else to_gain.view_as(inputs[3]),
        to_leak if to_leak is None else to_leak.view_as(inputs[4]),
    )


def _plain_pull(inputs: Any, G: Tensor, phi: Transfer, pattern: Any) -> list[Tensor | None]:
    """Return the same gradients by `plain`, so that they have gradients themselves."""
    given = [i for i, value in enumerate(inputs) if value is not None]

    def states(*tensors: Tensor) -> Tensor:
        filled: list[Any] = [None] * len(inputs)
        for i, tensor in zip(given, tensors, strict=True):
            filled[i] = tensor
        u, drive, entries, gain, leak = filled
        return plain(u, drive, Matrix(entries, pattern), gain, leak, phi)

    pulled: Any = torch.func.vjp(states, *(inputs[i] for i in given))
    gradients = dict(zip(given, pulled[1](G), strict=True))
    return [gradients.get(i) for i in range(len(inputs))]
