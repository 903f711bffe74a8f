r"""The spectrum of the Jacobian DF along an orbit: which directions grow in one step, and how fast.

Eigenvalues inside the unit circle contract, outside expand; at a fixed point the largest modulus,
the spectral radius, tells stability.  Singular values say what one step does to lengths.  For large
random couplings DF = leak 1 + J diag(f') has its eigenvalues in a disk (Girko 1985), or, where
J_ij and J_ji are correlated, in an ellipse (Sommers et al. 1988).  With A = DF - c 1,

.. math:: \text{centre } c = \mathrm{tr}\,DF / N, \qquad
          r = \|A\|_F / \sqrt N \approx s \sqrt{\langle f'^2 \rangle}, \qquad
          \tau = \mathrm{tr}\,A^2 / \|A\|_F^2, \qquad
          \text{semi-axes } r (1 \pm \tau),

where s is the standard deviation of the couplings.  The ellipse is exact for equal slopes f' and
large N; at finite N eigenvalues stray by a few per cent.  What lies far outside is structure: a
mean coupling puts one eigenvalue at leak + mean <f'>, learned connections put others.

DF is normal if its eigenvectors are orthogonal; then the moduli of eigenvalues are the singular
values.  How far it is from that, and what it can amplify before it decays:

.. math:: \text{Henrici } h = \frac{\sqrt{\|DF\|_F^2 - \sum |\lambda_i|^2}}{\|DF\|_F} \in [0, 1),
          \qquad \text{numerical abscissa } \omega = \lambda_{\max}\big((DF + DF^\top)/2\big).

omega >= Re lambda bounds the projection of a step on its own start, v . DF v <= omega |v|^2; the
two are equal for normal DF (Trefethen and Embree 2005).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.arnoldi import Products, leading_eigenvalues, leading_singular_values
from sntorch.dynamics import enter
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["JacobianSpectrum", "jacobian_spectrum"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class JacobianSpectrum(Result):
    """Eigenvalues and singular values of DF at every state, per step."""

    eigenvalues: Tensor
    """(..., k) complex, largest modulus first; k = N unless fewer were asked for."""
    singular_values: Tensor
    """(..., k), largest first."""
    disk_centre: Tensor
    """(...), centre of the circular law with the moments of DF: the mean of the eigenvalues."""
    disk_radius: Tensor
    """(...), radius of the circular law with the moments of DF."""
    symmetry: Tensor
    """(...), tau: correlation of the entries ij and ji of DF without its mean diagonal."""
    abscissa: Tensor
    """(...), numerical abscissa omega."""
    size: int
    """N."""

    @property
    def radius(self) -> Tensor:
        """Spectral radius (...)."""
        return self.eigenvalues[..., 0].abs()

    @property
    def circular_law(self) -> Tensor:
        """Spectral radius (...) that the circular law with the moments of DF gives."""
        return self.disk_centre.abs() + self.disk_radius

    @property
    def semi_axes(self) -> Tensor:
        """Semi-axes (..., 2) of the elliptic law, along the real and the imaginary axis."""
        signs = torch.tensor([1.0, -1.0], dtype=self.symmetry.dtype, device=self.symmetry.device)
        return self.disk_radius.unsqueeze(-1) * (1 + self.symmetry.unsqueeze(-1) * signs)

    @property
    def norm(self) -> Tensor:
        """Largest singular value (...), the growth of one step at most."""
        return self.singular_values[..., 0]

    @property
    def henrici(self) -> Tensor:
        """Departure from normality h (...) in [0, 1); NaN where k < N eigenvalues are known."""
        if self.eigenvalues.shape[-1] < self.size:
            return torch.full_like(self.disk_radius, math.nan)
        total = self.size * (self.disk_centre.square() + self.disk_radius.square())
        seen = self.eigenvalues.abs().square().sum(-1)
        return ((total - seen).clamp(min=0) / total.clamp(min=torch.finfo(total.dtype).tiny)).sqrt()

    def outliers(self, margin: float = 0.2) -> Tensor:
        """Return which eigenvalues (..., k) lie outside the ellipse made larger by `margin`.

        Finite networks stray over the edge by about 1 / sqrt(N): choose the margin beyond that.
        """
        checks.number("margin", margin, low=0)
        axes = (1 + margin) * self.semi_axes.clamp(min=torch.finfo(self.symmetry.dtype).tiny)
        shifted = self.eigenvalues - self.disk_centre.unsqueeze(-1)
        across = shifted.real / axes[..., :1], shifted.imag / axes[..., 1:]
        return across[0].square() + across[1].square() > 1

    def scalars(self) -> dict[str, float]:
        """Return spectral radius, the circular law's value, norm, Henrici, abscissa, symmetry."""
        named = {
            "radius": self.radius,
            "circular_law": self.circular_law,
            "norm": self.norm,
            "henrici": self.henrici,
            "abscissa": self.abscissa,
            "symmetry": self.symmetry,
        }
        return {name: float(value.mean()) for name, value in named.items()}


def jacobian_spectrum(
    f: object, u: Tensor, x: Tensor | None = None, *, k: int | None = None
) -> JacobianSpectrum:
    """Return eigenvalues and singular values of DF at the states u.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        States (..., N), for instance a whole orbit from `rollout`.
    x
        Drive (..., I) at these states.
    k
        How many eigenvalues and singular values, the largest; all by default.  With k Arnoldi
        iterations find them, for more than 512 neurons through `jvp` and `vjp` without forming the
        Jacobian, also for 1e5 neurons with sparse couplings, and `disk_centre`, `disk_radius` and
        `symmetry` are estimated from random vectors, to about 1 / sqrt(8 N).  What did not
        converge is NaN.

    Raises
    ------
    ValueError
        On wrong arguments, and if DF is not finite somewhere.

    References
    ----------
    V. L. Girko, Theory Probab. Appl. 29 (1985) 694.  H. J. Sommers, A. Crisanti, H. Sompolinsky,
    Y. Stein, Phys. Rev. Lett. 60 (1988) 1895.  L. N. Trefethen, M. Embree, Spectra and
    Pseudospectra, Princeton 2005.  P. Henrici, Numer. Math. 4 (1962) 24.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.0, -0.5], [0.5, 0.0]])
    >>> snt.analysis.jacobian_spectrum(lambda u: u @ M.T, torch.zeros(2)).radius
    tensor(0.5000)
    """
    f, x = enter(f, u, x=x)
    if k is not None:
        checks.count("k", k, high=u.shape[-1])
    with observing(f, u):
        if k is None:
            return _whole(f.jacobian(u, x))
        drive = None if x is None else x.expand(*u.shape[:-1], -1).reshape(-1, x.shape[-1])
        states = u.reshape(-1, u.shape[-1])
        rows = [
            _leading(Products(f, state, None if drive is None else drive[i]), k)
            for i, state in enumerate(states)
        ]
        fields = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        shaped = {n: v.reshape(u.shape[:-1] + v.shape[1:]) for n, v in fields.items()}
        return JacobianSpectrum(**shaped, size=u.shape[-1])


def _whole(DF: Tensor) -> JacobianSpectrum:
    _check_finite(DF)
    eigenvalues = torch.linalg.eigvals(DF)
    order = eigenvalues.abs().argsort(-1, descending=True)
    trace = DF.diagonal(dim1=-2, dim2=-1).sum(-1)
    return JacobianSpectrum(
        eigenvalues=eigenvalues.gather(-1, order),
        singular_values=torch.linalg.svdvals(DF),
        **_law(trace, DF.square().sum((-2, -1)), (DF * DF.mT).sum((-2, -1)), DF.shape[-1]),
        abscissa=torch.linalg.eigvalsh((DF + DF.mT) / 2)[..., -1],
        size=DF.shape[-1],
    )


def _leading(DF: Products, k: int) -> dict[str, Tensor]:
    V = DF.probes()
    once, back = DF.push(V), DF.pull(V)
    _check_finite(once)
    trace, square, reciprocal = (
        (a * b).sum(-2).mean(-1) for a, b in ((V, once), (once, once), (back, once))
    )
    return {
        "eigenvalues": leading_eigenvalues(DF, k),
        "singular_values": leading_singular_values(DF, k),
        **_law(trace, square, reciprocal, DF.size),
        "abscissa": leading_eigenvalues(DF, 1, symmetric=True).real[0],
    }


def _law(trace: Tensor, square: Tensor, reciprocal: Tensor, size: int) -> dict[str, Tensor]:
    """Return centre, radius and symmetry from tr DF, ||DF||_F^2 and tr DF^2."""
    centre = trace / size
    rest = (square - size * centre.square()).clamp(min=0)
    tiny = torch.finfo(rest.dtype).tiny
    symmetry = (reciprocal - size * centre.square()) / rest.clamp(min=tiny)
    # A multiple of the identity has no entries beside its diagonal to be correlated.
    known = rest > torch.finfo(rest.dtype).eps * square
    return {
        "disk_centre": centre,
        "disk_radius": (rest / size).sqrt(),
        "symmetry": torch.where(known, symmetry.clamp(-1, 1), 0.0),
    }


def _check_finite(DF: Tensor) -> None:
    if not bool(torch.isfinite(DF).all()):
        raise ValueError("f: expected a finite Jacobian, got numbers that are not finite")
