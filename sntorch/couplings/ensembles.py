r"""Random couplings J: who acts on whom, and how strongly.

``J[i, j]`` is the strength from neuron j (presynaptic) to neuron i (postsynaptic).  Entries scale
with the number N of neurons such that the input of a neuron stays of order one as N grows:

.. math:: E J_{ij} = \bar J / N, \quad \mathrm{Var} J_{ij} = s^2 / N, \quad
          \mathrm{corr}(J_{ij}, J_{ji}) = \gamma

with ``mean`` for J-bar, ``std`` for s and ``symmetry`` for gamma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.normals import square

__all__ = ["dale", "gaussian", "populations", "thresholds"]

Table = Tensor | Sequence[float] | Sequence[Sequence[float]]


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
        If n < 1, std < 0, symmetry is outside [-1, 1], or the couplings do not fit the memory.

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
    A = square(n, generator, dtype, device, arrays=2 if symmetry else 1)
    if not symmetry:
        return A.mul_(std / math.sqrt(n)).add_(mean / n)
    # a A + b A^T has the variance and correlation asked for if a^2 + b^2 = 1 and 2ab = symmetry.
    a = (math.sqrt(1 + symmetry) + math.sqrt(1 - symmetry)) / 2
    b = (math.sqrt(1 + symmetry) - math.sqrt(1 - symmetry)) / 2
    own, partners = A.diagonal().clone(), b * A.T
    A.mul_(a).add_(partners)
    A.diagonal().copy_(own)  # a diagonal entry is its own partner: keep its variance
    return A.mul_(std / math.sqrt(n)).add_(mean / n)


def populations(
    sizes: Sequence[int],
    *,
    mean: Table,
    std: Table,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return Gaussian couplings (N, N) between P populations, N = sum of sizes.

    As the populations grow, the eigenvalues fill a disk of radius :math:`\sqrt{\rho(M)}` with
    :math:`M_{ab} = \mathtt{std}_{ab}^2` and :math:`\rho` the largest eigenvalue (Aljadeff, Stern,
    Sharpee 2015).  The sizes drop out: n_b inputs of variance std_ab^2 / n_b each.  Eigenvalues of
    the table ``mean`` outside the disk are eigenvalues of J as well.

    Parameters
    ----------
    sizes
        Number of neurons n_b in each population; the neurons of a population are neighbours.
    mean, std
        Tables (P, P), ``[a, b]`` to a from b: couplings to a neuron of a from a neuron of b have
        mean ``mean[a, b] / n_b`` and variance ``std[a, b]**2 / n_b``.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If a size is below 1, a table is not (P, P) or not finite, an entry of std is negative, or
        the couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.populations([80, 20], mean=[[2, -2], [2, -2]], std=[[1, 1], [1, 1]])
    >>> J.shape, bool(J[:, :80].mean() > 0), bool(J[:, 80:].mean() < 0)
    (torch.Size([100, 100]), True, True)
    """
    sizes = _sizes(sizes)
    shape = (len(sizes), len(sizes))
    means, stds = checks.table("mean", mean, shape), checks.table("std", std, shape, low=0)
    J = square(sum(sizes), generator, dtype, device)
    for a, rows in enumerate(J.split(sizes)):
        for b, block in enumerate(rows.split(sizes, dim=1)):
            block.mul_(float(stds[a, b]) / math.sqrt(sizes[b])).add_(float(means[a, b]) / sizes[b])
    return J


def dale(
    n: int,
    *,
    excitatory: float = 0.8,
    std: float = 1.0,
    balanced: bool = True,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return couplings (n, n) that obey Dale's law: each neuron excites or inhibits, never both.

    Magnitudes are half-normal, :math:`|J_{ij}| = s_j |z_{ij}| / \sqrt n` with z standard normal.
    With f the fraction of excitatory neurons, ``balanced`` sets :math:`s_E = s \sqrt{(1-f)/f}` and
    :math:`s_I = s \sqrt{f/(1-f)}`, where s is ``std``: the expected sum of a row is 0 (the sum of
    one row is not) and the variance over all entries is ``std**2 / n``.  Otherwise
    :math:`s_E = s_I = s`, and ``std**2 / n`` is their mean square.

    As n grows, the eigenvalues fill a disk of radius :math:`s \sqrt{1 - 2/\pi}`, because the means
    of the columns do not count: uniformly if :math:`s_E = s_I`, else more densely in the middle.
    Not balanced, one real eigenvalue lies near :math:`(2f - 1) s \sqrt{2n/\pi}`.  Balanced, it
    vanishes, but a few eigenvalues still leave the disk, elsewhere in each matrix, since the sums
    of single rows are not 0 (Rajan, Abbott 2006).

    Parameters
    ----------
    n
        Number of neurons.
    excitatory
        Fraction of excitatory neurons: the first ``round(excitatory * n)`` columns are >= 0, the
        others <= 0.
    std
        Square root of n times the mean square of the entries.
    balanced
        Whether the two kinds of neurons differ in strength such that they cancel on average.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1, std < 0, excitatory is outside [0, 1], balanced is asked for although all neurons
        are of one kind, or the couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.dale(10, excitatory=0.7)
    >>> bool((J[:, :7] >= 0).all() and (J[:, 7:] <= 0).all())
    True
    """
    checks.count("n", n)
    checks.number("excitatory", excitatory, low=0, high=1)
    checks.number("std", std, low=0)
    first = round(excitatory * n)
    if balanced and first in (0, n):
        raise ValueError(
            f"excitatory: expected neurons of both kinds to balance, got {first} of {n} excitatory"
        )
    ratio = math.sqrt((n - first) / first) if balanced else 1.0
    J = square(n, generator, dtype, device).abs_()
    J[:, :first] *= std / math.sqrt(n) * ratio
    J[:, first:] *= -std / math.sqrt(n) / ratio
    return J


def thresholds(
    sizes: int | Sequence[int],
    *,
    mean: float | Table = 0.0,
    std: float | Table = 0.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return Gaussian thresholds (N,), independent between neurons.

    Parameters
    ----------
    sizes
        Number of neurons, or the number in each of P populations.
    mean, std
        Of the thresholds, not scaled with N: one number, or P of them, one per population.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If a size is below 1, the lists are not of length P or not finite, or a std is negative.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.couplings.thresholds([2, 1], mean=[0.5, -1.0])
    tensor([ 0.5000,  0.5000, -1.0000])
    """
    sizes = [checks.count("sizes", sizes)] if isinstance(sizes, int) else _sizes(sizes)
    means = checks.table("mean", mean, (len(sizes),))
    stds = checks.table("std", std, (len(sizes),), low=0)
    checks.generator(generator, device)
    theta = torch.randn(sum(sizes), generator=generator, dtype=dtype, device=device)
    for a, block in enumerate(theta.split(sizes)):
        block.mul_(float(stds[a])).add_(float(means[a]))
    return theta


def _sizes(sizes: Sequence[int]) -> list[int]:
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not sizes:
        raise ValueError(f"sizes: expected a list of whole numbers, got {sizes!r}")
    return [checks.count(f"sizes[{a}]", size) for a, size in enumerate(sizes)]
