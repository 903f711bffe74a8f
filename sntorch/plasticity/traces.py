r"""What a step does to the trace of a plastic network, and to the tangents of it.

Symbols are those of `differentiable`.  A step multiplies the rows of the trace and adds an outer
product,

.. math:: H_1 = k \circ H + l\,b^\top, \qquad l = \eta M a, \qquad k_i = \lambda - o\,l_i a_i,

one number k for all rows if o = 0.  N^2 numbers are read and as many written: memory sets the cost,
so that `advance` makes one pass of it where torch has one, and never two copies.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

__all__ = ["Step", "square"]


def square(s: Tensor, n: int) -> Tensor:
    """Return the trace (..., N, N), a view of joint states (..., N + N^2)."""
    return s[..., n:].view(*s.shape[:-1], n, n)


def squares(V: Tensor, n: int) -> Tensor:
    """Return the part (..., N, N, k) of a frame (..., N + N^2, k) that belongs to the trace."""
    return V[..., n:, :].unflatten(-2, (n, n))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """What one step knows; all (..., N) but the gate, (...) or (), and M (...)."""

    u1: Tensor
    x: Tensor
    x1: Tensor
    a: Tensor
    b: Tensor
    gate: Tensor
    """eta M, how much is learned."""
    learned: Tensor
    """l."""
    forgetting: Tensor
    """lambda, ()."""
    oja: bool
    rate: Tensor
    M: Tensor | None
    modulator: Tensor | None

    @property
    def kept(self) -> Tensor:
        """k, () or (..., N)."""
        return self.forgetting - self.learned * self.a if self.oja else self.forgetting

    def advance(self, s: Tensor) -> Tensor:
        """Return the next joint state."""
        return _Advance.apply(s, self.u1, self.learned, self.b, self.kept)  # pyright: ignore[reportReturnType]

    def advance_into(self, place: Tensor, s: Tensor) -> Tensor:
        """Write the next joint state to a place, which may be that of `s`, and return it."""
        return _advanced(s, self.u1, self.learned, self.b, self.kept, place)

    def faded(self, V: Tensor) -> Tensor:
        """Return a frame whose part for the trace is what V's becomes if nothing is learned."""
        faded = self.forgetting * V
        if self.oja:
            lost = (self.learned * self.a)[..., None, None]
            n = self.a.shape[-1]
            squares(faded, n).addcmul_(lost, squares(V, n), value=-1)
        return faded

    def push(self, H: Tensor, V: Tensor, db: Tensor, da: Tensor) -> Tensor:
        """Return a frame (..., N + N^2, k) with dH1 in the part for the trace."""
        a, gate = self.a.unsqueeze(-1), self.gate[..., None, None]
        dlearned, dkept = gate * da, -2 * gate * a * da
        if self.modulator is not None:
            dgate = self._opened() * (self.modulator @ da).unsqueeze(-2)
            dlearned, dkept = dlearned + dgate * a, dkept - dgate * a.square()
        pushed = self.faded(V)
        dH1 = squares(pushed, a.shape[-2])
        dH1.addcmul_(dlearned.unsqueeze(-2), self.b[..., None, :, None])
        dH1.addcmul_(self.learned[..., None, None], db.unsqueeze(-3))
        if self.oja:
            dH1.addcmul_(dkept.unsqueeze(-2), H.unsqueeze(-1))
        return pushed

    def pull(self, H: Tensor, G: Tensor) -> tuple[Tensor, Tensor]:
        """Return what G (..., N, N, k) at H1 says of x_1 and of b, both (..., N, k)."""
        a, gate = self.a.unsqueeze(-1), self.gate[..., None, None]
        at_learned = (self.b[..., None, None, :] @ G).squeeze(-2)
        at_a, at_gate = gate * at_learned, a * at_learned
        if self.oja:
            at_kept = (H.unsqueeze(-2) @ G).squeeze(-2)
            at_a, at_gate = at_a - 2 * gate * a * at_kept, at_gate - a.square() * at_kept
        if self.modulator is not None:
            opened = self._opened() * at_gate.sum(-2, keepdim=True)
            at_a = at_a + self.modulator.unsqueeze(-1) * opened
        at_b = (self.learned.unsqueeze(-2) @ G.flatten(-2)).squeeze(-2)
        return at_a, at_b.unflatten(-1, G.shape[-2:])

    def _opened(self) -> Tensor:
        """Return the derivative of the gate (..., 1, 1) with respect to what drives M."""
        opened = self.gate if self.M is None else self.rate * (1 - self.M.square())
        return opened[..., None, None]


class _Advance(torch.autograd.Function):
    """The next joint state (..., N + N^2): u_1, and k H + l b^T.

    A function with derivatives of its own, since torch's products write an outer product and the
    matrix it is added to in one pass only into memory that is given.
    """

    @staticmethod
    def forward(s: Tensor, u1: Tensor, learned: Tensor, b: Tensor, kept: Tensor) -> Tensor:
        return _advanced(s, u1, learned, b, kept, torch.empty_like(s))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        s, _, learned, b, kept = inputs
        ctx.save_for_backward(s, learned, b, kept)
        ctx.save_for_forward(s, learned, b, kept)

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        s, learned, b, kept = ctx.saved_tensors
        n = b.shape[-1]
        GH = square(G, n)
        into = torch.cat([torch.zeros_like(G[..., :n]), (_rows(kept) * GH).flatten(-2)], -1)
        at_learned = (GH @ b.unsqueeze(-1)).squeeze(-1)
        at_b = (learned.unsqueeze(-2) @ GH).squeeze(-2)
        at_kept = None
        if ctx.needs_input_grad[4]:
            at_kept = torch.linalg.vecdot(GH, square(s, n))
            at_kept = at_kept if kept.ndim else at_kept.sum()
        return into, G[..., :n], at_learned, at_b, at_kept

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        s, learned, b, kept = ctx.saved_tensors
        n, none = b.shape[-1], torch.zeros_like(b)
        ds, du1, dlearned, db, dkept = tangents
        dH1 = 0 if ds is None else _rows(kept) * square(ds, n)
        dH1 = dH1 + (none if dlearned is None else dlearned).unsqueeze(-1) * b.unsqueeze(-2)
        dH1 = dH1 + learned.unsqueeze(-1) * (none if db is None else db).unsqueeze(-2)
        if dkept is not None:
            dH1 = dH1 + _rows(dkept) * square(s, n)
        return torch.cat([none if du1 is None else du1, dH1.flatten(-2)], -1)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *given: Tensor) -> tuple[Tensor, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        pairs = zip(given, in_dims, strict=True)
        s, u1, learned, b, kept = (
            value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
            for value, dim in pairs
        )
        if kept.ndim == 1 and given[4].ndim == (in_dims[4] is not None):  # a number for each
            kept = kept.reshape(-1, *[1] * (u1.ndim - 1)).expand_as(u1)
        return _Advance.apply(s, u1, learned, b, kept), 0  # pyright: ignore[reportReturnType]


def _advanced(
    s: Tensor, u1: Tensor, learned: Tensor, b: Tensor, kept: Tensor, s1: Tensor
) -> Tensor:
    """Return u_1 and k H + l b^T, written to s1; no input but H may share its memory."""
    n = u1.shape[-1]
    H, H1 = square(s, n), square(s1, n)
    if s.ndim == 1 and kept.ndim == 0 and s.device.type == "cpu":
        torch.addr(H, learned, b, beta=float(kept), out=H1)
    else:
        torch.mul(H, _rows(kept), out=H1).addcmul_(learned.unsqueeze(-1), b.unsqueeze(-2))
    s1[..., :n] = u1
    return s1


def _rows(kept: Tensor) -> Tensor:
    """Return numbers of rows (..., N), or one number (), ready to multiply a trace."""
    return kept if kept.ndim == 0 else kept.unsqueeze(-1)
