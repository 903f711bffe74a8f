"""Functions of states and their derivatives: what maps and the drifts of flows have in common.

F(u, x) takes states u (..., N), whose axes before the last are independent rows, and a drive x.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sntorch import checks, memory

__all__ = ["Differentiable", "brief", "plain", "push", "recording", "transformed"]

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)


class Differentiable(nn.Module, abc.ABC):
    """A function F(u, x) of states with its derivatives: what a map and the drift of a flow share.

    `jvp` and `vjp` work for every F by ``torch.func``; a subclass that knows its own tangent
    overrides `jvp`, and `pullback` or `vjp`, each of which gives the other; one that knows DF
    without a product also `linearise`.  `size` is N; -1 means that the state tells.
    """

    size: int

    @abc.abstractmethod
    def _value(self, u: Tensor, x: Tensor | None) -> Tensor:
        """Return F(u, x) (..., N)."""

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F(u, x) (..., N) and DF V (..., N, k) for V (..., N, k), by forward mode."""
        u, V, x = plain(self.check_frame("V", u, V)), plain(V), plain(x)
        with recording():
            try:
                return push(self._value, u, V, x)
            except RuntimeError as error:
                self._value(u, x)  # a mistake in the map itself shows here, as it is
                if "random operation" in str(error):
                    raise ValueError(
                        "f: expected a map without randomness, got one that draws; dropout in a "
                        "function needs eval(), noise is added by as_dynamics(f, noise=)"
                    ) from error
                raise ValueError(
                    "f: expected a map that torch can differentiate in forward mode, got "
                    f"{brief(error)!r}; use plain operations, or override jvp"
                ) from error

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F(u, x) (..., N) and DF^T W (..., N, k) for W (..., N, k), by reverse mode."""
        self.check_frame("W", u, W)
        value, pull = self.pullback(u, x)
        return value, pull(W)

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return F(u, x) and the function W -> DF^T W, for frames W that depend on F.

        F is evaluated once, where a subclass that overrides `vjp` alone evaluates it twice.
        """
        self.check(u)
        if type(self).vjp is Differentiable.vjp:
            return self._recorded(u, x)
        return self._value(u, x), lambda W: self.vjp(u, W, x)[1]

    def linearise(self, u: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F(u, x) (..., N) and DF (..., N, N): entry [i, j] is dF_i / du_j."""
        eye = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        return self.jvp(u, eye.expand(*u.shape, u.shape[-1]), x)

    @final
    def jacobian(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return DF (..., N, N) at u (..., N): entry [i, j] is dF_i / du_j."""
        self.check(u)
        needed = memory.size_of(*u.shape, u.shape[-1], dtype=u.dtype)
        memory.afford("u", needed, u.device, "push a frame of fewer columns by jvp")
        return self.linearise(u, x)[1]

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state: floating, last axis N, kind of the parameters.

        Raises
        ------
        ValueError
            If it cannot, with what was expected and what came.
        """
        checks.floating("u", u, ndim=1)
        if self.size not in (-1, u.shape[-1]):
            raise ValueError(f"u: expected {self.size} on the last axis, got {tuple(u.shape)}")
        like = next(self._numbers(), None)
        return u if like is None else checks.same_kind("u", u, like, "the parameters")

    def check_frame(self, name: str, u: Tensor, V: Tensor) -> Tensor:
        """Return `u` if it can be a state and `V` a frame (..., N, k) of vectors at it.

        Raises
        ------
        ValueError
            If not; the frame is called `name`.
        """
        self.check(u)
        if V.ndim != u.ndim + 1 or V.shape[:-1] != u.shape:
            raise ValueError(f"{name}: expected (*{tuple(u.shape)}, k), got {tuple(V.shape)}")
        return u

    def _recorded(self, u: Tensor, x: Tensor | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return F and its pullback by reverse mode."""
        u, x = plain(u), plain(x)
        # Inside inference mode nothing is recorded for a reverse pass.
        with recording():
            pullback: Any = torch.func.vjp(lambda s: self._value(s, x), u)
        value, backward = pullback

        def pull(W: Tensor) -> Tensor:
            W = plain(W)
            with recording():
                if W.shape[-1] == 1:  # without vmap, half the time of one vector
                    return backward(W.squeeze(-1))[0].unsqueeze(-1)
                return torch.vmap(lambda w: backward(w)[0], in_dims=-1, out_dims=-1)(W)

        return value, pull

    def _numbers(self) -> Iterator[Tensor]:
        yield from (p for p in self.parameters() if p.is_floating_point())
        yield from (b for b in self.buffers() if b.is_floating_point())


def transformed(*values: object) -> bool:
    """Whether a transform of torch is at work, vmap or forward mode: write into nothing then."""
    # What torch asks itself before it calls an autograd function; it has no public name.
    if torch._C._are_functorch_transforms_active():
        return True
    # Outside forward mode no tensor has a tangent, and to ask each costs more than a small step.
    return forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(value).tangent is not None
        for value in values
        if isinstance(value, Tensor)
    )


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Leave inference mode, in which derivatives would be zero, and nothing else.

    Torch switches gradients on when it leaves inference mode, also inside ``no_grad``.
    """
    wanted = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(wanted):
        yield


def push(
    value: Callable[[Tensor, Tensor | None], Tensor], u: Tensor, V: Tensor, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return F(u, x) and DF V, one forward derivative per column."""

    def one(v: Tensor) -> Any:
        return torch.func.jvp(lambda s: value(s, x), (u,), (v,))

    columns: Any = (None, -1)  # F does not depend on the column
    F, pushed = torch.vmap(one, in_dims=-1, out_dims=columns)(V)
    # Inside vmap, numbers taken from a single state promote to the default of Python's floats.
    return F, pushed.to(V.dtype)


def brief(error: Exception) -> str:
    """Return the first two lines, the second of which names the cause where torch wraps it."""
    return " ".join(str(error).strip().splitlines()[:2]) or type(error).__name__


def plain(value: MaybeTensor) -> MaybeTensor:
    """Clone a tensor born in inference mode, which derivatives could not use outside it."""
    if value is None or not value.is_inference():
        return value
    with torch.inference_mode(False):
        return value.clone()
