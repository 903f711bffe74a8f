r"""Random couplings that are correlated with each other, by a law that the user gives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.normals import square

__all__ = ["correlated"]

_LARGEST = 32  # n for which an (n^2, n^2) covariance is accepted
_ROUNDING = 1e-10  # negative eigenvalues this small, relative to the largest, count as 0


def correlated(
    n: int,
    *,
    mean: float = 0.0,
    covariance: Tensor | tuple[Tensor, Tensor],
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return Gaussian couplings (n, n) with a given covariance between any two of them.

    .. math:: E J_{ij} = \bar J / n, \quad \mathrm{Cov}(J_{ij}, J_{kl}) = C_{ij,kl} / n

    While correlations reach much less far than n, the eigenvalues fill a disk.  On the ring its
    radius is :math:`\sqrt{\rho(L)}`, the square root of the largest eigenvalue modulus of the table
    L read as a matrix; if L[a, b] = A[a] B[b] that is :math:`\sqrt{\sum_a A_a B_a}`, and
    :math:`\sqrt{\mathrm{tr}(AB)/n}` for a pair (A, B).  A mean above the radius adds one real
    eigenvalue near ``mean``.

    Parameters
    ----------
    n
        Number of neurons.
    mean
        J-bar: n times the mean of each entry.
    covariance
        One of

        - a tensor L (n, n), stationary on the ring: C_{ij,kl} = L[k - i, l - j] with indices
          modulo n.  It must be even, L[-a, -b] = L[a, b], with a Fourier transform >= 0.  Draws
          by fast Fourier transform, O(n^2 log n);
        - a pair (A, B) of symmetric positive semidefinite tensors (n, n), separable:
          C_{ij,kl} = A[i, k] B[j, l].  Draws by their square roots, O(n^3);
        - for n <= 32, the whole symmetric positive semidefinite matrix (n^2, n^2) with rows
          ``i * n + j`` and columns ``k * n + l``.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1, mean is not finite, or covariance has another shape, is not finite, not symmetric
        or not positive, or the couplings do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> import torch
    >>> L = torch.zeros(100, 100)
    >>> L[0, [-1, 0, 1]] = torch.tensor([0.5, 1.0, 0.5])  # inputs from neighbours are alike
    >>> J = snt.couplings.correlated(100, covariance=L)
    >>> bool((J * J.roll(1, 1)).mean() > 0.3 / 100)
    True
    """
    checks.count("n", n)
    checks.number("mean", mean)
    C = _tensors(covariance)
    shapes = [tuple(c.shape) for c in C]
    Z = square(n, generator, dtype, device, arrays=3)  # it, its transform or half product, J
    if shapes == [(n, n), (n, n)]:
        left, right = (_root(c).to(Z) for c in C)
        J = left @ Z @ right.mT
    elif shapes == [(n, n)]:
        J = torch.fft.irfft2(_filter(C[0]).to(Z) * torch.fft.rfft2(Z), s=(n, n))
    elif shapes == [(n * n, n * n)] and n <= _LARGEST:
        J = (_root(C[0]).to(Z) @ Z.flatten()).reshape(n, n)
    else:
        raise ValueError(
            f"covariance: expected a tensor ({n}, {n}), two of them, or ({n**2}, {n**2}) with "
            f"n <= {_LARGEST}, got {shapes}"
        )
    return J.mul_(1 / math.sqrt(n)).add_(mean / n)


def _tensors(covariance: Tensor | tuple[Tensor, Tensor]) -> list[Tensor]:
    parts = covariance if isinstance(covariance, tuple | list) else (covariance,)
    return [checks.finite("covariance", checks.floating("covariance", c, ndim=2)) for c in parts]


def _slack(c: Tensor) -> float:
    return max(_ROUNDING, 8 * torch.finfo(c.dtype).eps)


def _filter(L: Tensor) -> Tensor:
    """Return the real transfer function, as rfft2 orders it, whose square is that of L."""
    spectrum = torch.fft.fft2(L.detach().double())
    slack = _slack(L) * float(spectrum.abs().max())
    if float(spectrum.imag.abs().max()) > slack:
        raise ValueError("covariance: expected L[-a, -b] = L[a, b], got a table that is not even")
    lowest = float(spectrum.real.min())
    if lowest < -slack:
        raise ValueError(f"covariance: expected a Fourier transform >= 0, got {lowest:.3g}")
    return spectrum.real[:, : L.shape[1] // 2 + 1].clamp(min=0).sqrt()


def _root(C: Tensor) -> Tensor:
    """Return R with R R^T = C."""
    c = C.detach().double()
    if float((c - c.mT).abs().max()) > _slack(C) * float(c.abs().max()):
        raise ValueError("covariance: expected a symmetric matrix, got one that is not")
    values, vectors = torch.linalg.eigh(c)
    lowest = float(values[0])
    if lowest < -_slack(C) * float(values.abs().max()):
        raise ValueError(f"covariance: expected eigenvalues >= 0, got {lowest:.3g}")
    return vectors * values.clamp(min=0).sqrt()
