"""Averages over an even weight of one site, on a mesh that follows the weight.

The weights of the equilibrium theories are exp(S(x)) with S even, one per problem; where they live
depends on parameters that vary by decades.  A coarse logarithmic grid finds the edge, trapezoid
sums over the half line inside it converge geometrically.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Sites", "sites"]

_NODES = 768
_CUT = 60.0  # logarithm of the weight that is left out


@dataclasses.dataclass(frozen=True)
class Sites:
    """Nodes and normalised weights of P problems."""

    x: Tensor
    """(P, n), from 0 to the edge."""
    weight: Tensor
    """(P, n), of both halves, adding up to 1."""
    log_norm: Tensor
    """(P,), ln of the integral of the weight over the whole line."""

    def mean(self, value: Tensor) -> Tensor:
        """Return the average (P,) of an even function given at the nodes (P, n)."""
        return (self.weight * value).sum(-1)


def sites(exponent: Callable[[Tensor], Tensor], reach: Tensor) -> Sites:
    """Return the mesh for exp(S): `exponent` is S (P, n) at nodes (P, n), `reach` (P,) a width.

    The edge must be between `reach` / 100 and 60 `reach`.
    """
    grid = torch.logspace(-2, 1.8, 240, dtype=reach.dtype, device=reach.device)
    grid = grid * reach.unsqueeze(-1)
    S = exponent(grid)
    counts = S.amax(-1, keepdim=True) - _CUT < S
    edge = torch.where(counts, grid, 0.0).amax(-1, keepdim=True) * 1.05
    x = edge * torch.linspace(0, 1, _NODES + 1, dtype=reach.dtype, device=reach.device)
    S = exponent(x)
    top = S.amax(-1, keepdim=True)
    weight = torch.exp(S - top)
    weight[:, 0] /= 2
    total = weight.sum(-1, keepdim=True)
    log_norm = top + (2 * total * edge / _NODES).log()
    return Sites(x=x, weight=weight / total, log_norm=log_norm.squeeze(-1))
