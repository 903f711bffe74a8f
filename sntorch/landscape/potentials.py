"""Potentials: scalar functions E(u) of states, with their gradients.

A potential is a module that takes states u (..., N), whose axes before the last are independent
rows, and returns E (...).  Samplers ask it for `value_and_gradient`, and for `rate`, the activity
of which overlaps are taken.  Potentials are defined up to a constant.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.differentiable import Differentiable, plain

__all__ = ["FunctionPotential", "Potential", "as_potential"]


class Potential(nn.Module, abc.ABC):
    """A scalar function of states: subclass it with `size` and `energy`.

    A subclass that knows its derivatives overrides `value_and_gradient` and `curvature`.  `size` is
    N; -1 means that the state tells.

    Examples
    --------
    >>> import sntorch as snt
    >>> class Bowl(snt.landscape.Potential):
    ...     size = 2
    ...
    ...     def energy(self, u):
    ...         return u.square().sum(-1) / 2
    >>> Bowl().gradient(torch.tensor([1.0, -2.0])).detach()
    tensor([ 1., -2.])
    """

    size: int

    @abc.abstractmethod
    def energy(self, u: Tensor) -> Tensor:
        """Return E (...) at u (..., N), differentiable."""

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return E (...) and its gradient (..., N), by reverse mode.

        Both are differentiable, in parameters and u, where gradients are switched on.
        """
        further = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            u = plain(u)
            u = u if further and u.requires_grad else u.detach().requires_grad_()
            value = self.energy(u)
            (gradient,) = torch.autograd.grad(value.sum(), u, create_graph=further)
        return (value, gradient) if further else (value.detach(), gradient)

    def curvature(self, u: Tensor, directions: Tensor) -> Tensor:
        """Return the sum over k of d_k . grad grad E d_k (...), differentiable in parameters and u.

        Parameters
        ----------
        u
            States (..., N).
        directions
            d_k, (K, N) for all states, or (K, ..., N).  The unit vectors give the Laplacian.
        """
        further = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        if directions.ndim == 2:
            directions = directions.reshape(-1, *[1] * (u.ndim - 1), u.shape[-1])
        with torch.inference_mode(False), torch.enable_grad():
            u = plain(u)
            u = u if further and u.requires_grad else u.detach().requires_grad_()
            slope = self.value_and_gradient(u)[1]
            total = torch.zeros_like(slope[..., 0])
            if not slope.requires_grad:
                return total
            for d in plain(directions):
                (bent,) = torch.autograd.grad(
                    (slope * d).sum(), u, create_graph=further, retain_graph=True,
                    materialize_grads=True,
                )  # fmt: skip
                total = total + (bent * d).sum(-1)
        return total if further else total.detach()

    def rate(self, u: Tensor) -> Tensor:
        """Return the activity (..., N) of which overlaps are taken: here the state itself."""
        return u

    @final
    def gradient(self, u: Tensor) -> Tensor:
        """Return the gradient of E (..., N) at u (..., N)."""
        return self.value_and_gradient(self.check(u))[1]

    @final
    def forward(self, u: Tensor) -> Tensor:
        """Return E (...) at u (..., N)."""
        return self.energy(self.check(u))

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state.

        Raises
        ------
        ValueError
            If it is no floating tensor whose last axis is N, of the kind of the parameters.
        """
        checks.floating("u", u, ndim=1)
        if self.size not in (-1, u.shape[-1]):
            raise ValueError(f"u: expected {self.size} on the last axis, got {tuple(u.shape)}")
        numbers = (p for p in (*self.parameters(), *self.buffers()) if p.is_floating_point())
        like = next(numbers, None)
        return u if like is None else checks.same_kind("u", u, like, "the parameters")


@final
class FunctionPotential(Potential):
    """A callable u -> E, (..., N) -> (...), as a potential; made by `as_potential`."""

    def __init__(self, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fn, self.size = fn, -1

    def energy(self, u: Tensor) -> Tensor:
        """Return fn(u), checked to be one number per row."""
        value = self.fn(u)
        if not isinstance(value, Tensor) or value.shape != u.shape[:-1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"potential: expected one number per row, {tuple(u.shape[:-1])}, got {got}"
            )
        return value


def as_potential(obj: object) -> Potential:
    """Return `obj` as a `Potential`: the door through which every potential enters a sampler.

    Accepts a `Potential` (returned as it is) and any callable ``u -> E``.

    Raises
    ------
    ValueError
        If `obj` is neither, or a network, which has no energy of its own.

    Examples
    --------
    >>> import sntorch as snt
    >>> bowl = snt.landscape.as_potential(lambda u: u.square().sum(-1) / 2)
    >>> bowl(torch.ones(3, 2))
    tensor([1., 1., 1.])
    """
    if isinstance(obj, Potential):
        return obj
    if isinstance(obj, Differentiable | nn.RNNBase | nn.RNNCellBase):
        kind = type(obj).__name__
        raise ValueError(
            f"potential: expected a Potential or a callable u -> E, got a dynamics, {kind}; its "
            "speed is a potential, SpeedPotential(f)"
        )
    if not callable(obj):
        kind = type(obj).__name__
        raise ValueError(f"potential: expected a Potential or a callable u -> E, got {kind}")
    fn: Any = obj
    return FunctionPotential(fn)
