r"""The spectrum of the Jacobian DF along an orbit: which directions grow in one step, and how fast.

Eigenvalues inside the unit circle contract, outside expand; at a fixed point the largest modulus,
the spectral radius, tells stability.  Singular values say what one step does to lengths.  For large
random couplings DF = leak 1 + J diag(f') has its eigenvalues in a disk (Girko 1985) with

.. math:: \text{centre } c = \mathrm{tr}\,DF / N, \qquad
          \text{radius } r = \|DF - c\|_F / \sqrt N \approx s \sqrt{\langle f'^2 \rangle},

where s is the standard deviation of the couplings; what lies outside is structure: a mean coupling,
reciprocal or learned connections.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.dynamics import enter, observing
from sntorch.results import Result

__all__ = ["JacobianSpectrum", "jacobian_spectrum"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class JacobianSpectrum(Result):
    """Eigenvalues and singular values of DF at every state, per step."""

    eigenvalues: Tensor
    """(..., N) complex, largest modulus first."""
    singular_values: Tensor
    """(..., N), largest first."""
    disk_centre: Tensor
    """(...), centre of the circular law with the moments of DF: the mean of the eigenvalues."""
    disk_radius: Tensor
    """(...), radius of the circular law with the moments of DF."""

    @property
    def radius(self) -> Tensor:
        """Spectral radius (...)."""
        return self.eigenvalues[..., 0].abs()

    @property
    def circular_law(self) -> Tensor:
        """Spectral radius (...) that the circular law with the moments of DF gives."""
        return self.disk_centre.abs() + self.disk_radius

    @property
    def norm(self) -> Tensor:
        """Largest singular value (...), the growth of one step at most."""
        return self.singular_values[..., 0]

    def scalars(self) -> dict[str, float]:
        """Return spectral radius, the circular law's value for it, and largest singular value."""
        return {
            "radius": float(self.radius.mean()),
            "circular_law": float(self.circular_law.mean()),
            "norm": float(self.norm.mean()),
        }


def jacobian_spectrum(f: object, u: Tensor, x: Tensor | None = None) -> JacobianSpectrum:
    """Return eigenvalues and singular values of DF at the states u.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        States (..., N), for instance a whole orbit from `rollout`.
    x
        Drive (..., I) at these states.

    Raises
    ------
    ValueError
        On wrong arguments, and if DF is not finite somewhere.

    References
    ----------
    V. L. Girko, Theory Probab. Appl. 29 (1985) 694.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.0, -0.5], [0.5, 0.0]])
    >>> snt.analysis.jacobian_spectrum(lambda u: u @ M.T, torch.zeros(2)).radius
    tensor(0.5000)
    """
    f, x = enter(f, u, x=x)
    with observing(f, u):
        return _spectrum(f.jacobian(u, x))


def _spectrum(DF: Tensor) -> JacobianSpectrum:
    if not bool(torch.isfinite(DF).all()):
        raise ValueError("f: expected a finite Jacobian, got numbers that are not finite")
    eigenvalues = torch.linalg.eigvals(DF)
    order = eigenvalues.abs().argsort(-1, descending=True)
    diagonal = DF.diagonal(dim1=-2, dim2=-1)
    centre = diagonal.mean(-1)
    rest = DF.square().sum((-2, -1)) - DF.shape[-1] * centre.square()
    return JacobianSpectrum(
        eigenvalues=eigenvalues.gather(-1, order),
        singular_values=torch.linalg.svdvals(DF),
        disk_centre=centre,
        disk_radius=(rest.clamp(min=0) / DF.shape[-1]).sqrt(),
    )
