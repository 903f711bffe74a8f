"""The door of the theory of states: arguments of measures on states, and odd transfer functions."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield.record import Number, real
from sntorch.transfer import Transfer, as_transfer

__all__ = ["entered", "odd"]


def entered(
    arguments: dict[str, Number], transfer: str | Transfer
) -> tuple[dict[str, Tensor], Transfer]:
    """Return checked arguments of one shape and the transfer function.

    Raises
    ------
    ValueError
        For numbers outside their domain, shapes that do not broadcast, and phi that is not odd.
    """
    given = {name: real(name, value) for name, value in arguments.items()}
    try:
        full = torch.broadcast_tensors(*given.values())
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in given.items() if t.ndim)
        raise ValueError(f"arguments: expected shapes that broadcast, got {shapes}") from None
    named = {name: value.clone() for name, value in zip(given, full, strict=True)}
    for name, value in named.items():
        _check_domain(name, value)
    return named, odd(transfer)


def odd(transfer: str | Transfer) -> Transfer:
    """Return a transfer function that is odd.

    Raises
    ------
    ValueError
        If it is not: then states share a mean, which these equations do not know.
    """
    phi = as_transfer(transfer)
    z = torch.linspace(0, 3, 7, dtype=torch.float64)
    if not torch.allclose(phi(z), -phi(-z), atol=1e-12):
        raise ValueError(f"transfer: expected an odd function, such as tanh, got {phi!r}")
    return phi


def _check_domain(name: str, value: Tensor) -> None:
    domains = {
        "gain": ("> 0", value > 0),
        "temperature": (">= 0", value >= 0),
        "symmetry": ("in (-1, 1]", (value > -1) & (value <= 1)),
        "confinement": (">= 0", value >= 0),
    }
    words, good = domains[name]
    if not bool(good.all()):
        raise ValueError(f"{name}: expected numbers {words}, got {float(value[~good][0])}")
