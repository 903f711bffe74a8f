r"""How far eigenvalues can be moved by a small change, and what that says about transients.

The pseudospectrum of DF is where eigenvalues can go under perturbations of norm epsilon; its radius

.. math:: \rho_\epsilon = \max \{ |z| : \sigma_{\min}(z - DF) \le \epsilon \}
          = \max_{\|E\| \le \epsilon} \rho(DF + E) \ge \rho + \epsilon

equals rho + epsilon for normal matrices, much more for others: then DF^t grows before it decays, by
at least the factor (rho_eps - 1) / epsilon for every epsilon, of which the supremum is the Kreiss
constant (Kreiss 1962; Trefethen and Embree 2005, eq. 14.8).

The maximiser E has rank one.  Starting with an eigenvalue z, its right eigenvector v and left
eigenvector w, the iteration E = epsilon (z/|z|) w v^* climbs from there to a maximum, which is the
largest of all in practice though not by proof (Guglielmi and Overton 2011); several eigenvalues
serve as starts.  In between a single eigenvalue is followed, by inverse iteration; at the end all
are looked at, and if another one is further out the search goes on from there.  `residual` is
|sigma_min(z - DF) - epsilon| at the point found: where it is small rho_eps is at least the value
given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import enter
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["PseudospectralRadius", "pseudospectral_radius"]

_STARTS = 3  # eigenvalues of largest modulus from which the search climbs
_LOOKS = 10  # at all eigenvalues, which cost as much as some ten rounds with one
_ROUNDS = 200  # of the search with one eigenvalue
_STEPS = 2  # of Rayleigh's iteration in a round


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PseudospectralRadius(Result):
    """The pseudospectral radius of DF at every state, for every size of perturbation."""

    epsilon: Tensor
    """(E,), sizes of the perturbation, in the 2-norm."""
    radius: Tensor
    """(..., E)."""
    point: Tensor
    """(..., E) complex, where the radius is reached."""
    residual: Tensor
    """(..., E), ``|sigma_min(point - DF) - epsilon|``, zero but for rounding where it converged."""
    spectral_radius: Tensor
    """(...), the largest modulus of an eigenvalue: epsilon = 0."""

    @property
    def kreiss(self) -> Tensor:
        """Lower bound (...) of the Kreiss constant, and of max over t of ||DF^t||, at least 1.

        Infinite where an eigenvalue lies outside the unit circle: then powers grow for ever.
        """
        bound = ((self.radius - 1) / self.epsilon).amax(-1).clamp(min=1)
        return torch.where(self.spectral_radius > 1, torch.inf, bound)

    def scalars(self) -> dict[str, float]:
        """Return the Kreiss bound, and the radius at the smallest and largest epsilon."""
        return {
            "kreiss": float(self.kreiss.mean()),
            "smallest": float(self.radius[..., 0].mean()),
            "largest": float(self.radius[..., -1].mean()),
        }


def pseudospectral_radius(
    f: object,
    u: Tensor,
    x: Tensor | None = None,
    *,
    epsilon: float | Sequence[float] | Tensor = (0.001, 0.01, 0.1),
) -> PseudospectralRadius:
    """Return how far eigenvalues of DF at the states u reach under perturbations of norm epsilon.

    Dense: some three times the eigenvectors, some twenty times an LU of an N x N matrix per state,
    start and epsilon.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        States (..., N).
    x
        Drive (..., I) at these states.
    epsilon
        Sizes of the perturbation, > 0, ascending.

    Raises
    ------
    ValueError
        On wrong arguments, and if DF is not finite somewhere.

    References
    ----------
    N. Guglielmi, M. L. Overton, SIAM J. Matrix Anal. Appl. 32 (2011) 1166.  L. N. Trefethen,
    M. Embree, Spectra and Pseudospectra, Princeton 2005.

    Examples
    --------
    >>> import sntorch as snt
    >>> shear = torch.tensor([[0.5, 2.0], [0.0, 0.5]], dtype=torch.float64)
    >>> found = snt.analysis.pseudospectral_radius(
    ...     lambda u: u @ shear.T, torch.zeros(2, dtype=torch.float64), epsilon=0.1
    ... )
    >>> round(float(found.radius), 4)  # |z - 1/2| of a Jordan block: sqrt(eps (eps + 2))
    0.9583
    """
    f, x = enter(f, u, x=x)
    sizes = _sizes(epsilon).to(u)
    with observing(f, u):
        DF = f.jacobian(u, x)
        if not bool(torch.isfinite(DF).all()):
            raise ValueError("f: expected a finite Jacobian, got numbers that are not finite")
        points = torch.stack([_climb(DF, float(size)) for size in sizes], -1)
        distance = torch.stack([_distance(DF, z) for z in points.unbind(-1)], -1)
        return PseudospectralRadius(
            epsilon=sizes,
            radius=points.abs(),
            point=points,
            residual=(distance - sizes).abs(),
            spectral_radius=torch.linalg.eigvals(DF).abs().amax(-1),
        )


def _sizes(epsilon: float | Sequence[float] | Tensor) -> Tensor:
    given = [epsilon] if isinstance(epsilon, int | float) else epsilon
    sizes = checks.table("epsilon", given, (len(given),), low=0)
    if not len(sizes) or bool((sizes <= 0).any()) or bool((sizes.diff() <= 0).any()):
        raise ValueError(f"epsilon: expected numbers > 0, ascending, got {sizes.tolist()}")
    return sizes


def _climb(DF: Tensor, epsilon: float) -> Tensor:
    """Return the point (...) of largest modulus that the starts reach."""
    starts = min(_STARTS, DF.shape[-1])
    A = DF.unsqueeze(-3).expand(*DF.shape[:-2], starts, *DF.shape[-2:])
    A = A.to(torch.complex64 if DF.dtype == torch.float32 else torch.complex128)
    # Beside an eigenvalue, where the matrix is singular, by a little more than rounding.
    off = 10 * torch.finfo(DF.dtype).eps * (torch.linalg.matrix_norm(A) + epsilon)
    # The modulus is stationary where the search ends: half of the digits of z are all of its own.
    further = 1 + torch.finfo(DF.dtype).eps ** 0.75
    z, v = _outermost(A, torch.arange(starts, device=DF.device).expand(A.shape[:-2]))
    moved, best = A, z
    for _ in range(_LOOKS):
        for _ in range(_ROUNDS):  # one eigenvalue is followed as long as it goes outward
            moved = A + epsilon * _outward(moved, z, v, off)
            last, (z, v) = z, _nearest(moved, z, v, off)
            if not bool((z.abs() > last.abs() * further).any()):
                break
        last, (z, v) = z, _outermost(moved, torch.zeros_like(z, dtype=torch.long))
        best = torch.where(z.abs() > best.abs(), z, best)
        if not bool((z.abs() > last.abs() * further).any()):  # no other one had gone beyond it
            break
    place = best.abs().argmax(-1, keepdim=True)
    return best.gather(-1, place).squeeze(-1)


def _outermost(A: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return an eigenvalue (...) of A, by its place in order of modulus, and its vector."""
    values, right = torch.linalg.eig(A)
    index = values.abs().argsort(-1, descending=True).gather(-1, place.unsqueeze(-1))
    return values.gather(-1, index).squeeze(-1), _column(right, index)


def _nearest(A: Tensor, z: Tensor, v: Tensor, off: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalue (...) of A near z and its vector (..., N), by Rayleigh's iteration."""
    for _ in range(_STEPS):
        v = _inverse_iteration(A, z + off, v)
        z = (v.conj() * (A @ v.unsqueeze(-1)).squeeze(-1)).sum(-1)
    return z, v


def _outward(A: Tensor, z: Tensor, v: Tensor, off: Tensor) -> Tensor:
    """Return the matrix (..., N, N) of norm 1 that moves the eigenvalue z of A outward."""
    w = _inverse_iteration(A.mH, z.conj() + off, v)  # the left eigenvector
    turn = _phase((w.conj() * v).sum(-1)) * _phase(z)
    return turn[..., None, None] * w.unsqueeze(-1) * v.conj().unsqueeze(-2)


def _inverse_iteration(A: Tensor, z: Tensor, start: Tensor) -> Tensor:
    """Return the eigenvector (..., N) of length one of the eigenvalue beside z."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    factors = torch.linalg.lu_factor(A - z[..., None, None] * eye)
    v = start.unsqueeze(-1)
    for _ in range(2):
        v = torch.linalg.lu_solve(*factors, v)
        v = v / torch.linalg.vector_norm(v, dim=-2, keepdim=True)
    return v.squeeze(-1)


def _column(vectors: Tensor, index: Tensor) -> Tensor:
    """Return the column (..., N) of that index, of length one."""
    chosen = index.unsqueeze(-2).expand(*vectors.shape[:-1], 1)
    column = vectors.gather(-1, chosen).squeeze(-1)
    return column / torch.linalg.vector_norm(column, dim=-1, keepdim=True)


def _phase(z: Tensor) -> Tensor:
    return torch.where(z.abs() > 0, z / z.abs(), torch.ones_like(z))


def _distance(DF: Tensor, z: Tensor) -> Tensor:
    """Return the smallest singular value (...) of z - DF."""
    eye = torch.eye(DF.shape[-1], dtype=z.dtype, device=z.device)
    return torch.linalg.svdvals(z[..., None, None] * eye - DF)[..., -1]
