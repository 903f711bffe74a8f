r"""The quantities of a neuron: in which domain each lies, and how it is trained inside of it.

An optimiser takes steps of any size.  What may not leave a bounded domain is therefore made from
another parameter that may take any value: a leak by the logistic function, a noise by softplus.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sntorch import checks

__all__ = ["DOMAIN", "FREE", "checked", "in_domain", "inside"]

DOMAIN = {
    "gain": (-torch.inf, torch.inf),
    "leak": (0.0, 1.0),
    "threshold": (-torch.inf, torch.inf),
    "noise": (0.0, torch.inf),
}
"""Quantities of a neuron and their domains [low, high)."""

FREE: dict[str, tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "leak": ("raw_leak", torch.logit, lambda free: _below_one(torch.sigmoid(free))),
    "noise": (
        "raw_noise",
        lambda value: value + (-torch.expm1(-value)).log(),
        nn.functional.softplus,
    ),
}
"""Quantities that are trained through another parameter, which may take any value, so that their
domain cannot be left: its name, the way there, and the way back."""


def checked(name: str, value: object, like: Tensor, size: int) -> Tensor:
    """Return a number or one per neuron (N,) as a tensor of its own, in the domain of `name`.

    Raises
    ------
    ValueError
        If it is neither, not finite, or outside.
    """
    try:
        new = torch.as_tensor(value, dtype=like.dtype, device=like.device).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected a number or a tensor, got {value!r}") from error
    if new.shape not in (torch.Size(()), torch.Size((size,))):
        raise ValueError(f"{name}: expected a number or ({size},), got {tuple(new.shape)}")
    return in_domain(name, checks.finite(name, new))


def in_domain(name: str, values: Tensor) -> Tensor:
    """Return `values` if all are in the domain of the quantity `name`."""
    low, high = DOMAIN[name]
    outside = values[(values < low) | (values >= high)]
    if outside.numel():
        raise ValueError(f"{name}: expected numbers in [{low}, {high}), got {outside[0].item()}")
    return values


def inside(name: str, value: Tensor) -> Tensor:
    """Return `value` if it is inside its domain: no free parameter reaches the boundary."""
    if bool((value <= 0).any()):
        raise ValueError(
            f"{name}: expected numbers in (0, {DOMAIN[name][1]}), since {name} is trainable, "
            f"got {value.min().item()}"
        )
    return value


def _below_one(value: Tensor) -> Tensor:
    # In float32 a sigmoid rounds to 1 beyond 17.
    return value.clamp(max=1 - torch.finfo(value.dtype).eps)
