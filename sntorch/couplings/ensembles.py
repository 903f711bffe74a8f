r"""Random couplings J: who acts on whom, and how strongly.

``J[i, j]`` is the strength from neuron j (presynaptic) to neuron i (postsynaptic).  Entries scale
with the number N of neurons such that the input of a neuron stays of order one as N grows:

.. math:: E J_{ij} = \bar J / N, \quad \mathrm{Var} J_{ij} = s^2 / N, \quad
          \mathrm{corr}(J_{ij}, J_{ji}) = \gamma

with ``mean`` for J-bar, ``std`` for s and ``symmetry`` for gamma.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch import checks

__all__ = ["gaussian"]


def gaussian(
    n: int,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    symmetry: float = 0.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return Gaussian couplings (n, n) with partial symmetry.

    As n grows, the eigenvalues fill the ellipse with half axes ``std * (1 + symmetry)`` (real) and
    ``std * (1 - symmetry)`` (imaginary) uniformly: the circular law for symmetry 0 (Girko 1985),
    the elliptic law otherwise (Sommers, Crisanti, Sompolinsky, Stein 1988).  A mean above std adds
    one real eigenvalue near ``mean``.

    Parameters
    ----------
    n
        Number of neurons.
    mean, std
        Entries have mean ``mean / n`` and variance ``std**2 / n``, self-couplings included.
    symmetry
        Correlation of J_ij with J_ji for i != j: 1 symmetric, 0 independent, -1 antisymmetric (up
        to the mean and the diagonal).
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1, std < 0, or symmetry is outside [-1, 1].

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.gaussian(200, std=1.5, generator=torch.Generator())
    >>> bool((torch.linalg.eigvals(J).abs().max() - 1.5).abs() < 0.2)
    True
    """
    checks.count("n", n)
    checks.number("mean", mean)
    checks.number("std", std, low=0)
    checks.number("symmetry", symmetry, low=-1, high=1)
    A = torch.randn(n, n, generator=generator, dtype=dtype, device=device)
    # a A + b A^T has the variance and correlation asked for if a^2 + b^2 = 1 and 2ab = symmetry.
    a = (math.sqrt(1 + symmetry) + math.sqrt(1 - symmetry)) / 2
    b = (math.sqrt(1 + symmetry) - math.sqrt(1 - symmetry)) / 2
    mixed = a * A + b * A.T
    mixed.diagonal().copy_(A.diagonal())  # a diagonal entry is its own partner: keep its variance
    return mixed.mul_(std / math.sqrt(n)).add_(mean / n)
