"""The orthogonal decomposition as a loss with a network of its own for the rotation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from sntorch import checks
from sntorch.landscape import quasipotential_loss

__all__ = ["OrthogonalDecomposition"]


class OrthogonalDecomposition(nn.Module):
    """`quasipotential_loss` with a network for the rotation, which is trained with the potential.

    Parameters
    ----------
    size
        N.
    hidden
        Width of every hidden layer of the rotation.
    weight
        Of the orthogonality.
    bounded
        As for `quasipotential_loss`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import torch
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    >>> loss = OrthogonalDecomposition(2)
    >>> bool(loss(well, well.potential, torch.randn(64, 2)) > 0)  # the rotation is still to learn
    True
    """

    def __init__(
        self, size: int, *, hidden: Sequence[int] = (32, 32), weight: float = 1.0,
        bounded: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = [checks.count("size", size), *(checks.count("hidden", w) for w in hidden)]
        layers: list[nn.Module] = []
        for n, m in itertools.pairwise(widths):
            layers += [nn.Linear(n, m), nn.Tanh()]
        self.rotation = nn.Sequential(*layers, nn.Linear(widths[-1], size))
        self.weight, self.bounded = checks.positive("weight", weight), bounded

    def forward(self, flow: Any, potential: Any, states: Tensor) -> Tensor:
        """Return the loss ()."""
        return quasipotential_loss(
            flow, potential, states, rotation=self.rotation, weight=self.weight,
            bounded=self.bounded,
        )  # fmt: skip
