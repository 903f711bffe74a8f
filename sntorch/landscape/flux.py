r"""Probability flux: the circulation that a landscape cannot explain.

In equilibrium every transition is as frequent as its reverse.  Out of equilibrium orbits enclose
area at a steady rate,

.. math:: A_{ij} = \frac{\langle y_i\, dy_j - y_j\, dy_i \rangle}{2\,dt}
          = \frac{C_1[j, i] - C_1[i, j]}{2\,dt}, \qquad C_1 = \langle y(t+1)\, y(t)^T \rangle,

in the plane of the coordinates (y_i, y_j), here projections of the state minus its mean.  A is zero
under detailed balance.  Where in a plane probability flows is the question of
`sntorch.landscape.planes`.

A norm of an estimated A is never zero: noise adds its own squares.  They are known from the
standard errors and subtracted.  Rows are pooled, as samples of one steady state.  Leading
components carry variance, not current, and so `leading_plane` looks for the current in them.
"""

from __future__ import annotations

import dataclasses

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.landscape.groups import check_orbit, groups, mean_and_error, mean_state
from sntorch.results import Result

__all__ = ["AreaRates", "area_rates", "leading_plane"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AreaRates(Result):
    """Areas enclosed per unit of time in the planes of p projections."""

    matrix: Tensor
    """(p, p), antisymmetric; [i, j] > 0 turns from axis i to axis j."""
    stderr: Tensor
    """(p, p), from the spread over rows and blocks."""
    projection: Tensor
    """(p, N), orthonormal rows: y = projection @ (u - mean)."""
    irreversibility: Tensor
    """(), |C1 - C1^T| / |C1 + C1^T| in Frobenius norms, without sampling bias; 0 in equilibrium."""
    irreversibility_stderr: Tensor
    """(), by the jackknife over rows and blocks."""
    dt: float = 1.0
    """Time per step."""

    @property
    def norm(self) -> Tensor:
        """Frobenius norm () of the matrix with the sampling bias subtracted, at least 0."""
        return (self.matrix.square() - self.stderr.square()).sum().clamp(min=0).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the norm of the area matrix and the irreversibility with its stderr."""
        return {
            "area_norm": float(self.norm),
            "irreversibility": float(self.irreversibility),
            "irreversibility_stderr": float(self.irreversibility_stderr),
        }


@torch.no_grad()
def area_rates(
    trajectory: Tensor | NDArray, *, projections: int = 16, dt: float = 1.0
) -> AreaRates:
    """Return the area rates of an orbit in the planes of at most `projections` fixed random axes.

    Parameters
    ----------
    trajectory
        Successive states (T, ..., N) in a steady state, T >= 2, with every=1.
    projections
        p: at most this many axes; with N <= p the neurons themselves are the axes.
    dt
        Time per step.

    Raises
    ------
    ValueError
        On wrong arguments, and with fewer than two rows or blocks, which show no spread.

    References
    ----------
    K. Tomita and H. Tomita, Prog. Theor. Phys. 51 (1974) 1731, for the area rate.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = 0.9 * torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # a quarter turn from axis 0 to axis 1
    >>> f = snt.as_dynamics(lambda u: u @ M.T, noise=1.0)
    >>> orbit = snt.rollout(f, torch.zeros(50, 2), 300, generator=torch.Generator())
    >>> bool(snt.landscape.area_rates(orbit[100:]).matrix[0, 1] > 4)  # 0.9 / (1 - 0.81) = 4.7
    True
    """
    trajectory = check_orbit(trajectory, dt)
    checks.count("projections", projections)
    P = _projection(trajectory, projections)
    y = trajectory @ P.T - mean_state(trajectory) @ P.T
    C1 = _grouped_lag_products(y)
    antisymmetric = (C1.mT - C1) / (2 * dt)
    matrix, stderr = mean_and_error(antisymmetric)
    ratio, ratio_error = _irreversibility(C1)
    return AreaRates(
        matrix=matrix,
        stderr=stderr,
        projection=P,
        irreversibility=ratio,
        irreversibility_stderr=ratio_error,
        dt=dt,
    )


@torch.no_grad()
def leading_plane(trajectory: Tensor | NDArray, *, components: int = 8) -> Tensor:
    """Return the plane (2, N) of strongest circulation among the leading principal components.

    Raises
    ------
    ValueError
        If the trajectory is no orbit (T, ..., N) with N >= 2.

    Examples
    --------
    >>> turn = torch.arange(100) * 0.1
    >>> orbit = torch.stack([0 * turn, turn.cos(), turn.sin()], -1)
    >>> plane = leading_plane(orbit)  # that of the second and the third axis
    >>> (plane.T @ plane).diagonal().round().abs()
    tensor([0., 1., 1.])
    """
    trajectory = check_orbit(trajectory, 1.0)
    checks.count("trajectory.shape[-1]", trajectory.shape[-1], low=2)
    checks.count("components", components, low=2)
    y = trajectory - mean_state(trajectory)
    flat = y.reshape(-1, y.shape[-1])
    basis = torch.linalg.eigh(flat.T @ flat).eigenvectors[:, -components:].T
    C1 = _grouped_lag_products(y @ basis.T).mean(0)
    # i times an antisymmetric matrix is Hermitian; its leading eigenvector a + ib spans the plane.
    top = torch.linalg.eigh(1j * (C1.T - C1)).eigenvectors[:, -1]
    axes = torch.linalg.qr(torch.stack([top.real, top.imag], -1)).Q
    return axes.T @ basis


def _projection(trajectory: Tensor, p: int) -> Tensor:
    size = trajectory.shape[-1]
    kind = {"dtype": trajectory.dtype, "device": trajectory.device}
    if size <= p:
        return torch.eye(size, **kind)
    stream = torch.Generator(trajectory.device)  # always the same axes: curves stay comparable
    return torch.linalg.qr(torch.randn(size, p, generator=stream, **kind)).Q.T.contiguous()


def _grouped_lag_products(y: Tensor) -> Tensor:
    """Return C1 = <y(t+1) y(t)^T> of every group (G, p, p)."""
    return torch.stack([g[1:].T @ g[:-1] / (len(g) - 1) for g in groups(y)])


def _irreversibility(C1: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ratio of norms and its error by leaving out one group at a time."""
    others = (C1.sum(0) - C1) / (len(C1) - 1)
    noise = [C1.sub(sign * C1.mT).var(0).sum() / len(C1) for sign in (1, -1)]
    ratio = _norm_ratio(C1.mean(0), *noise)
    left_out = _norm_ratio(others, *noise)
    spread = (left_out - left_out.mean()).square().sum() * (len(C1) - 1) / len(C1)
    return ratio, spread.sqrt()


def _norm_ratio(C1: Tensor, odd_noise: Tensor, even_noise: Tensor) -> Tensor:
    odd = (C1 - C1.mT).square().sum((-2, -1)) - odd_noise
    even = (C1 + C1.mT).square().sum((-2, -1)) - even_noise
    return (odd.clamp(min=0) / even.clamp(min=torch.finfo(C1.dtype).tiny)).sqrt()
