r"""Couplings with a structure: orthogonal, low rank, stored patterns, rings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.normals import fits, square

__all__ = ["hopfield", "low_rank", "orthogonal", "ring"]

_NARROWEST = 1e-6  # width of a bump on the ring, in radians


def orthogonal(
    n: int,
    *,
    std: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return ``std`` times an orthogonal matrix (n, n), all of them equally likely (Haar).

    All eigenvalues lie on the circle of radius ``std``, uniformly, and all singular values are
    ``std``; entries have mean 0 and variance ``std**2 / n``.

    Parameters
    ----------
    n
        Number of neurons.
    std
        Length by which J multiplies every vector.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1 or std < 0, or the couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> import torch
    >>> J = snt.couplings.orthogonal(5, std=2.0)
    >>> torch.allclose(J @ J.T, 4 * torch.eye(5), atol=1e-5)
    True
    """
    checks.count("n", n)
    checks.number("std", std, low=0)
    return _frame(square(n, generator, dtype, device, arrays=3)).mul_(std)


def low_rank(
    n: int,
    *,
    rank: int,
    std: float = 1.0,
    overlaps: float | Sequence[float] | Tensor = 0.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return Gaussian couplings (n, n) plus a random part of low rank R.

    .. math:: J_{ij} = s\, z_{ij} / \sqrt n + \frac{1}{n} \sum_{r=1}^{R} m^r_i n^r_j

    with standard normal z and s = ``std``.  The vectors obey, in every draw,
    :math:`m^r \cdot m^q = n \delta_{rq}` and :math:`n^r \cdot m^q = n \omega_r \delta_{rq}` with
    omega = ``overlaps``: n^r is ``overlaps[r]`` times m^r plus a Gaussian vector of unit variance
    orthogonal to all m.  So the low-rank part has exactly the eigenvalues ``overlaps``.

    As n grows, the eigenvalues of J fill the disk of radius ``std``, and each of the overlaps
    outside it adds an eigenvalue near that overlap, at a distance of order n^(-1/2)
    (Mastrogiuseppe, Ostojic 2018).

    Parameters
    ----------
    n
        Number of neurons.
    rank
        R, number of pairs of vectors.
    std
        Of the Gaussian part: its entries have variance ``std**2 / n``.
    overlaps
        R numbers, or one for all.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1, rank is outside [1, n], std < 0, overlaps are not R finite numbers, or the
        couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> import torch
    >>> J = snt.couplings.low_rank(300, rank=2, std=0.5, overlaps=[2.0, -3.0])
    >>> values = torch.linalg.eigvals(J)
    >>> int((values.abs() > 1).sum())
    2
    """
    checks.count("n", n)
    checks.count("rank", rank, high=n)
    checks.number("std", std, low=0)
    omega = checks.table("overlaps", overlaps, (rank,))
    J = square(n, generator, dtype, device)
    checks.generator(generator, device)
    draws = torch.randn(2, n, rank, generator=generator, dtype=dtype, device=device)
    unit = _frame(draws[0])
    right = draws[1] - unit @ (unit.mT @ draws[1])
    right += math.sqrt(n) * omega.to(unit) * unit
    return J.mul_(std / math.sqrt(n)).addmm_(unit, right.mT, alpha=1 / math.sqrt(n))


def hopfield(
    patterns: Tensor,
    *,
    asymmetry: float = 0.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return couplings (N, N) that store patterns, as fixed points or as a cyclic sequence.

    .. math:: J_{ij} = \frac{1}{N} \sum_\mu
              [(1 - a)\, \xi^\mu_i + a\, \xi^{\mu+1}_i]\, \xi^\mu_j \quad (i \ne j)

    and J_ii = 0, with a = ``asymmetry``; after the last pattern comes the first.  Without it, this
    is the rule of Hopfield (1982); with it, that of Sompolinsky and Kanter (1986).

    P patterns of +-1 that are orthogonal to each other give, before the diagonal is removed, the
    eigenvalues :math:`1 - a + a e^{2\pi i k/P}` with k = 0 ... P - 1, and 0 otherwise.  For random
    patterns and a = 0 the P eigenvalues spread over
    :math:`[(1 - \sqrt\alpha)^2, (1 + \sqrt\alpha)^2]` with alpha = P / N (Marchenko, Pastur 1967);
    to remove the diagonal then subtracts alpha from all.

    Parameters
    ----------
    patterns
        (P, N), usually +-1 but any finite numbers.
    asymmetry
        Weight a of the sequence, from 0 (J symmetric) to 1.
    dtype, device
        Of the couplings; by default those of the patterns, the default dtype if they are integers.

    Raises
    ------
    ValueError
        If patterns are not a finite real tensor (P, N), asymmetry is outside [0, 1], or the
        couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> import torch
    >>> snt.couplings.hopfield(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    tensor([[ 0.0000, -0.2500,  0.2500, -0.2500],
            [-0.2500,  0.0000, -0.2500,  0.2500],
            [ 0.2500, -0.2500,  0.0000, -0.2500],
            [-0.2500,  0.2500, -0.2500,  0.0000]])
    """
    checks.number("asymmetry", asymmetry, low=0, high=1)
    if isinstance(patterns, Tensor) and not patterns.is_complex():
        kind = patterns.dtype if patterns.is_floating_point() else torch.get_default_dtype()
        patterns = patterns.to(device=device, dtype=dtype or kind)
    checks.finite("patterns", checks.floating("patterns", patterns, ndim=2))
    if patterns.ndim != 2:
        raise ValueError(f"patterns: expected 2 axes (P, N), got {tuple(patterns.shape)}")
    n = patterns.shape[1]
    fits("patterns", (n, n), patterns.dtype, patterns.device)
    target = (1 - asymmetry) * patterns + asymmetry * patterns.roll(-1, 0)
    return (target.T @ patterns).div_(n).fill_diagonal_(0)


def ring(
    n: int,
    *,
    excitation: float,
    inhibition: float,
    width: float,
    asymmetry: float = 0.0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return couplings (n, n) on a ring that depend on the angle between two neurons only.

    .. math:: J_{ij} = \frac{1}{n} [E\, b(x) - I + a\, b'(x)], \quad x = 2\pi (i - j) / n, \quad
              b(x) = e^{\kappa \cos x} / I_0(\kappa), \quad \kappa = 1 / \mathtt{width}^2

    with E, I, a for excitation, inhibition, asymmetry, and the Bessel functions :math:`I_k`: the
    bump b is nearly Gaussian of standard deviation ``width`` (radians) if that is small.  Its mean
    over the ring is 1.  J is circulant, so that its eigenvectors are the Fourier modes
    :math:`e^{2\pi i k j / n}`, with the eigenvalues

    .. math:: \lambda_k = (E + i k a)\, I_k(\kappa) / I_0(\kappa) - I\, \delta_{k0}, \quad |k| < n/2

    up to the Fourier coefficients of b beyond n/2, negligible if ``width`` is several 2 pi / n.
    An asymmetry a > 0 makes activity drift to smaller indices: E b(x) + a b'(x) is nearly
    E b(x + a / E).

    Parameters
    ----------
    n
        Number of neurons.
    excitation, inhibition
        Strengths E of the bump and I of the uniform inhibition.
    width
        Angular width of the bump in radians, at least 1e-6.
    asymmetry
        Strength a of the antisymmetric part.
    dtype, device
        As in ``torch.zeros``.

    Raises
    ------
    ValueError
        If n < 1, width < 1e-6, a strength is not finite, or the couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.ring(100, excitation=3.0, inhibition=4.0, width=0.5)
    >>> round(float(J.sum(1)[0]), 4)  # the mode k = 0
    -1.0
    """
    checks.count("n", n)
    checks.number("excitation", excitation)
    checks.number("inhibition", inhibition)
    checks.number("width", width, low=_NARROWEST)
    checks.number("asymmetry", asymmetry)
    kappa = 1 / width**2
    x = torch.arange(n, dtype=torch.float64, device=device) * (2 * math.pi / n)
    bump = torch.exp(-2 * kappa * torch.sin(x / 2) ** 2)
    bump /= bump.mean()
    row = (excitation - asymmetry * kappa * torch.sin(x)) * bump - inhibition
    kernel = (row / n).to(dtype or torch.get_default_dtype())
    fits("n", (n, n), dtype, device)
    twice = kernel.flip(0).repeat(2)  # row i of the result starts n - 1 - i places further on
    return twice.unfold(0, n, 1)[:n].flip(0)


def _frame(A: Tensor) -> Tensor:
    """Return the orthonormal columns Q of A = Q R with diagonal R > 0: Haar if A is Gaussian."""
    Q, R = torch.linalg.qr(A)
    return torch.where(R.diagonal() < 0, -Q, Q)
