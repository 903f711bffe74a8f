r"""The gradient of an orbit of an SNT network, by one loop backwards.

With the symbols of `orbits`, :math:`\delta_t = \partial L / \partial u(t)` and z = g u,

.. math:: \delta_t = G_t + \gamma \delta_{t+1} + g \phi'(z_t) \, J^T \delta_{t+1},

where G is the gradient of the loss with respect to the stored states, and that with respect to
their activity f(u(t)) comes to J^T delta; then the gradient of J is
:math:`\sum_t \delta_{t+1} \phi(z_t)^T`, a few products over many steps and rows in the place of T
updates of a matrix.  Second derivatives, forward mode and torch's transforms take the plain loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sntorch.couplings.matrices import Matrix
from sntorch.differentiable import transformed
from sntorch.transfer import Transfer

__all__ = ["plain", "recorded"]

_ROWS = 1024  # states of one product for the gradient of J; more of them leave the cache


def plain(
    u: Tensor,
    drive: Tensor,
    J: Matrix,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> tuple[Tensor, Tensor]:
    """Return the orbit (T, ..., N) under d of that shape, and its activity f(u) likewise.

    By operations that torch can transform.
    """
    states: list[Tensor] = []
    rates: list[Tensor] = []
    f = phi(u if gain is None else gain * u)
    for d in drive.unbind():
        u = J.rows(f) + (d if leak is None else torch.addcmul(d, leak, u))
        f = phi(u if gain is None else gain * u)
        states.append(u)
        rates.append(f)
    return torch.stack(states), torch.stack(rates)


def recorded(
    u: Tensor,
    drive: Tensor,
    read: tuple[Tensor, Tensor] | None,
    J: Matrix,
    gain: Tensor | None,
    leak: Tensor | None,
    phi: Transfer,
) -> tuple[Tensor, Tensor]:
    """Return `plain` for states (..., N), with a fast reverse pass.

    The drive is d (T, ..., N), or one (N,) for all; where inputs x (T, ..., I) are `read` by W
    (N, I), as the pair says, W x comes to it.
    """
    x, W = (None, None) if read is None else read
    rows = drive if drive.ndim == 1 else drive.reshape(len(drive), -1, drive.shape[-1])
    x = x if x is None else x.reshape(len(x), -1, x.shape[-1])
    flat = u.reshape(-1, u.shape[-1])
    found: Any = _Recorded.apply(flat, rows, x, W, J.entries, gain, leak, phi, J.pattern)
    states, activity = (orbit.view(-1, *u.shape) for orbit in found)
    return states, activity


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
    ) -> tuple[Tensor, Tensor]:
        J = Matrix(entries, pattern)
        inputs = u, drive, x, W, entries, gain, leak
        u = J.inside(u)
        gain, leak = (q if q is None else J.inside(q) for q in (gain, leak))
        states = _driven(J, drive, x, W)
        rates, add = states.new_empty(len(states) + 1, *states.shape[1:]), J.adder(alone=False)
        first, *others = rates.unbind()
        f = phi.into(first, u if gain is None else torch.mul(gain, u, out=first))
        for place, following in zip(states.unbind(), others, strict=True):
            add(place if leak is None else place.addcmul_(leak, u), f, place)
            u, f = place, following
            phi.into(f, u if gain is None else torch.mul(gain, u, out=f))
        found = J.inside(states), J.inside(rates[1:])
        ctx.save_for_backward(*inputs, *found)
        ctx.phi, ctx.pattern, ctx.rates = phi, pattern, rates
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, states, _ = ctx.saved_tensors  # which sees that nobody has written into them
        if torch.is_grad_enabled() or transformed():  # for second derivatives, or under vmap
            return (*_plain_pull(inputs, grads, ctx.phi, ctx.pattern), None, None)
        return (*_pull(inputs, states, ctx, *grads), None, None)


def _driven(J: Matrix, drive: Tensor, x: Tensor | None, W: Tensor | None) -> Tensor:
    """Return d + W x of every step in new memory, in which the orbit is then made."""
    if x is None or W is None:
        return J.inside(drive).clone(memory_format=torch.contiguous_format)
    start = drive if drive.ndim == 1 else drive.flatten(0, -2)
    read = torch.addmm(start, x.flatten(0, -2), W.T).view(*x.shape[:-1], len(W))
    return J.inside(read).contiguous()


def _pull(
    inputs: Any, states: Tensor, ctx: Any, G: Tensor | None, H: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `inputs` that are asked for, given those of states and activity."""
    u, *_, entries, gain, leak = inputs
    wanted, J = ctx.needs_input_grad, Matrix(entries, ctx.pattern)
    for_u, for_gain = wanted[0], wanted[5]
    gain, leak = (q if q is None else J.inside(q) for q in (gain, leak))
    visited, rates, phi = (J.inside(u), *J.inside(states).unbind()), ctx.rates, ctx.phi
    G, H = (None if each is None else J.inside(each) for each in (G, H))
    adjoint, sums, steps = J.adjoint(), _Sums(inputs, J, wanted), len(states)
    length = min(steps, max(1, _ROWS // len(u)))
    room = rates.new_empty(length, *rates.shape[1:])

    def through_activity(pulled: Tensor, t: int) -> Tensor:
        """Return what comes to u(t), given what comes to f(u(t))."""
        phi.times_slope_(pulled, visited[t] if gain is None else gain * visited[t], rates[t])
        sums.add_gain(visited[t], pulled)
        return pulled if gain is None else pulled.mul_(gain)

    pulled = None if H is None else through_activity(H[-1].clone(), steps)
    for end in range(steps, 0, -length):
        part = slice(max(0, end - length), end)
        delta = room[: end - part.start]
        for t in reversed(range(part.start, end)):
            d = _sum(None if G is None else G[t], pulled, delta[t - part.start])
            sums.add_leak(visited[t], d)
            if t == 0 and not for_u and not for_gain:
                break
            pulled = torch.empty_like(d) if pulled is None else pulled
            J.pull(adjoint, None if H is None or t == 0 else H[t - 1], d, pulled)
            pulled = through_activity(pulled, t)
            pulled = pulled if leak is None else pulled.addcmul_(leak, d)
        sums.add(part, delta, rates[part])
    return J.inside(pulled) if for_u and pulled is not None else None, *sums.totals


def _sum(a: Tensor | None, b: Tensor | None, out: Tensor) -> Tensor:
    if a is None or b is None:
        given = b if a is None else a
        return out.zero_() if given is None else out.copy_(given)
    return torch.add(a, b, out=out)


class _Sums:
    """The gradients of everything but u, which are sums over steps; those that are wanted."""

    def __init__(self, inputs: Any, J: Matrix, wanted: tuple[bool, ...]) -> None:
        _, self.drive, self.x, self.W, entries, gain, leak = inputs
        self.J = J
        tensors = self.drive, self.x, self.W, entries, gain, leak
        self.totals = [
            torch.zeros_like(t, memory_format=torch.contiguous_format) if want else None
            for t, want in zip(tensors, wanted[1:7], strict=True)
        ]

    def add_gain(self, u: Tensor, pulled: Tensor) -> None:
        """Add what a step from u gives to the gradient of the gain."""
        self._add_product(self.totals[4], u, pulled)

    def add_leak(self, u: Tensor, delta: Tensor) -> None:
        """Add what a step from u gives to the gradient of the leak."""
        self._add_product(self.totals[5], u, delta)

    def _add_product(self, total: Tensor | None, u: Tensor, other: Tensor) -> None:
        if total is not None:
            total += self.J.inside(u * other).sum_to_size(total.shape)

    def add(self, part: slice, delta: Tensor, rates: Tensor) -> None:
        """Add what a part of the steps gives to the gradients of d, x, W and J."""
        to_drive, to_x, to_W, to_J, *_ = self.totals
        rows = self.J.inside(delta)
        if to_drive is not None and to_drive.ndim == 1:
            to_drive += rows.sum((0, 1))
        elif to_drive is not None:
            to_drive[part] = rows
        if to_x is not None:
            torch.matmul(rows, self.W, out=to_x[part])
        if to_W is not None:
            # The product the other way round takes six times as long where x is thin.
            to_W += (self.x[part].flatten(0, -2).T @ rows.flatten(0, -2)).T
        if to_J is not None:
            self.J.add_outer(to_J, delta, rates)


def _plain_pull(inputs: Any, grads: Any, phi: Transfer, pattern: Any) -> list[Tensor | None]:
    """Return the same gradients by `plain`, so that they have gradients themselves."""
    given = [i for i, value in enumerate(inputs) if value is not None]

    def orbit(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        filled: list[Any] = [None] * len(inputs)
        for i, tensor in zip(given, tensors, strict=True):
            filled[i] = tensor
        u, drive, x, W, entries, gain, leak = filled
        d = drive if x is None else nn.functional.linear(x, W) + drive
        return plain(u, d, Matrix(entries, pattern), gain, leak, phi)

    taped: Any = torch.func.vjp(orbit, *(inputs[i] for i in given))
    found, pull = taped
    known = tuple(
        torch.zeros_like(f) if g is None else g for f, g in zip(found, grads, strict=True)
    )
    gradients = dict(zip(given, pull(known), strict=True))
    return [gradients.get(i) for i in range(len(inputs))]
