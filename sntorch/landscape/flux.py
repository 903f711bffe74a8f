r"""Probability flux: the circulation that a landscape cannot explain.

In equilibrium every transition is as frequent as its reverse.  Out of equilibrium orbits enclose
area at a steady rate,

.. math:: A_{ij} = \frac{\langle y_i\, dy_j - y_j\, dy_i \rangle}{2\,dt}
          = \frac{C_1[j, i] - C_1[i, j]}{2\,dt}, \qquad C_1 = \langle y(t+1)\, y(t)^T \rangle,

in the plane of the coordinates (y_i, y_j), here projections of the state minus its mean.  A is zero
under detailed balance.  The flux itself is the mean displacement at a place,
J(y) = < dy/dt delta(y - midpoint of the step) >; steady, it has no divergence and turns.

A norm of an estimated A is never zero: noise adds its own squares.  They are known from the
standard errors and subtracted.  Rows are pooled, as samples of one steady state.  A plane shows the
flux of that plane only: leading components carry variance, not current.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.results import Result, block_lengths

__all__ = ["AreaRates", "FluxField", "area_rates", "flux_field", "leading_plane"]

_FEW_ROWS = 8  # with fewer rows, each is cut into blocks to see a spread


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


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FluxField(Result):
    """Density and probability flux in a plane, on a square grid of cells."""

    edges: Tensor
    """(2, bins + 1), borders of the cells along the two axes of the plane."""
    density: Tensor
    """(bins, bins), probability per area; [a, b] belongs to cell a of axis 0 and b of axis 1."""
    flux: Tensor
    """(bins, bins, 2), probability per length and unit of time."""
    stderr: Tensor
    """(bins, bins, 2), of the flux, from the spread over rows and blocks."""
    plane: Tensor
    """(2, N), orthonormal rows: y = plane @ (u - mean)."""
    outside: float
    """Share of the states that lie outside the grid."""
    dt: float = 1.0
    """Time per step."""


@torch.no_grad()
def area_rates(trajectory: Tensor, *, projections: int = 16, dt: float = 1.0) -> AreaRates:
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
    _check_orbit(trajectory, dt)
    checks.count("projections", projections)
    P = _projection(trajectory, projections)
    y = (trajectory - _mean(trajectory)) @ P.T
    C1 = _grouped_lag_products(y)
    antisymmetric = (C1.mT - C1) / (2 * dt)
    matrix, stderr = _mean_and_error(antisymmetric)
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
def leading_plane(trajectory: Tensor, *, components: int = 8) -> Tensor:
    """Return the plane (2, N) of strongest circulation among the leading principal components.

    Raises
    ------
    ValueError
        If the trajectory is no orbit (T, ..., N) with N >= 2.
    """
    _check_orbit(trajectory, 1.0)
    checks.count("trajectory.shape[-1]", trajectory.shape[-1], low=2)
    checks.count("components", components, low=2)
    y = (trajectory - _mean(trajectory)).reshape(-1, trajectory.shape[-1])
    basis = torch.linalg.eigh(y.T @ y).eigenvectors[:, -components:].T
    C1 = _grouped_lag_products((trajectory - _mean(trajectory)) @ basis.T).mean(0)
    # i times an antisymmetric matrix is Hermitian; its leading eigenvector a + ib spans the plane.
    top = torch.linalg.eigh(1j * (C1.T - C1)).eigenvectors[:, -1]
    axes = torch.linalg.qr(torch.stack([top.real, top.imag], -1)).Q
    return axes.T @ basis


@torch.no_grad()
def flux_field(
    trajectory: Tensor, plane: Tensor | None = None, *, bins: int = 16, dt: float = 1.0
) -> FluxField:
    """Return density and probability flux of an orbit in a plane.

    Parameters
    ----------
    trajectory
        Successive states (T, ..., N) in a steady state, T >= 2, with every=1.
    plane
        Two orthonormal axes (2, N); `leading_plane` by default.
    bins
        Cells per axis, over four standard deviations to each side.
    dt
        Time per step.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> orbit = snt.rollout(lambda u: u.flip(-1) * torch.tensor([-1.0, 1.0]), torch.ones(9, 2), 40)
    >>> snt.landscape.flux_field(orbit).flux.shape
    torch.Size([16, 16, 2])
    """
    _check_orbit(trajectory, dt)
    checks.count("bins", bins)
    plane = leading_plane(trajectory) if plane is None else _check_plane(plane, trajectory)
    y = (trajectory - _mean(trajectory)) @ plane.T
    # An orbit at rest still gets a grid, of the size of rounding.
    reach = 4 * y.reshape(-1, 2).std(0).clamp(min=torch.finfo(y.dtype).eps)
    unit = torch.linspace(-1, 1, bins + 1, dtype=y.dtype, device=y.device)
    edges = reach[:, None] * unit
    area = float((2 * reach / bins).prod())
    groups = _groups(y)
    visits = torch.stack([_histogram(g, torch.ones_like(g), edges) for g in groups])[..., 0]
    moves = [_histogram((g[1:] + g[:-1]) / 2, g[1:] - g[:-1], edges) for g in groups]
    flux, stderr = _mean_and_error(torch.stack(moves) / (area * dt))
    density = visits.mean(0)
    return FluxField(
        edges=edges,
        density=density / area,
        flux=flux,
        stderr=stderr,
        plane=plane,
        outside=1 - float(density.sum()),
        dt=dt,
    )


def _check_orbit(trajectory: Tensor, dt: float) -> None:
    checks.finite("trajectory", checks.floating("trajectory", trajectory, ndim=2))
    checks.number("dt", dt, low=torch.finfo(torch.float64).tiny)
    if trajectory[..., 0].numel() < 4 or len(trajectory) < 2:
        shape = tuple(trajectory.shape)
        raise ValueError(f"trajectory: expected (T, ..., N) with at least 4 states, got {shape}")


def _check_plane(plane: Tensor, trajectory: Tensor) -> Tensor:
    size = trajectory.shape[-1]
    checks.same_kind("plane", checks.floating("plane", plane), trajectory, "the trajectory")
    if plane.shape != (2, size):
        raise ValueError(f"plane: expected (2, {size}), got {tuple(plane.shape)}")
    if not torch.allclose(plane @ plane.T, torch.eye(2).to(plane), atol=1e-4):
        raise ValueError("plane: expected orthonormal rows, got others")
    return plane


def _mean(trajectory: Tensor) -> Tensor:
    return trajectory.reshape(-1, trajectory.shape[-1]).mean(0)


def _projection(trajectory: Tensor, p: int) -> Tensor:
    size = trajectory.shape[-1]
    kind = {"dtype": trajectory.dtype, "device": trajectory.device}
    if size <= p:
        return torch.eye(size, **kind)
    stream = torch.Generator(trajectory.device)  # always the same axes: curves stay comparable
    return torch.linalg.qr(torch.randn(size, p, generator=stream, **kind)).Q.T.contiguous()


def _groups(y: Tensor) -> list[Tensor]:
    """Cut (T, ..., p) into independent stretches (t, p): the rows, or blocks of few rows."""
    rows = y.reshape(len(y), -1, y.shape[-1]).unbind(1)
    if len(rows) >= _FEW_ROWS:
        return list(rows)
    lengths = block_lengths(len(y), shortest=2)
    return [part for row in rows for part in row.split(lengths)]


def _grouped_lag_products(y: Tensor) -> Tensor:
    """Return C1 = <y(t+1) y(t)^T> of every group (G, p, p)."""
    return torch.stack([g[1:].T @ g[:-1] / (len(g) - 1) for g in _groups(y)])


def _mean_and_error(groups: Tensor) -> tuple[Tensor, Tensor]:
    return groups.mean(0), groups.std(0) / len(groups) ** 0.5


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


def _histogram(y: Tensor, weight: Tensor, edges: Tensor) -> Tensor:
    """Return the mean weight (bins, bins, 2) that the points y (t, 2) put into each cell."""
    bins = edges.shape[1] - 1
    cell = torch.stack([torch.bucketize(y[:, a].contiguous(), edges[a]) - 1 for a in (0, 1)], -1)
    inside = ((cell >= 0) & (cell < bins)).all(-1)
    index = (cell[inside] * torch.tensor([bins, 1], device=y.device)).sum(-1)
    total = y.new_zeros(bins * bins, 2).index_add_(0, index, weight[inside])
    return total.reshape(bins, bins, 2) / len(y)
