r"""Density and flux of probability in a plane, from an orbit of any dimension.

For the coordinates y of a plane, y = plane @ (u - mean), with steps dy and midpoints m,

.. math:: P(y) = \langle \delta(y_t - y) \rangle, \qquad
          J(y) = \frac{1}{dt} \langle dy\; \delta(m - y) \rangle, \qquad U = -\ln P,

counted in cells, or in cells smoothed by a Gaussian kernel, which changes both alike and so leaves
a field without divergence one.  Steady, the flux has no divergence and turns.  The grid spans the
states but for one in a thousand at each end, and has more cells the more states there are, as
n^(1/4), the rule of least squared error for histograms of two variables.

A plane shows the flux of that plane only.  Of the entropy production it shows at least what the
bound from its currents says, and `plane_share` is that relative to the whole.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.landscape.bounds import uncertainty_bound
from sntorch.landscape.entropy import EntropyProduction
from sntorch.landscape.flux import leading_plane
from sntorch.landscape.groups import check_orbit, groups, mean_and_error, mean_state
from sntorch.results import Result, over_rows

__all__ = ["FluxField", "flux_field", "plane_share"]

_TAIL = 1e-3  # share of the states that may lie beyond each end of an axis, before the margin
_MARGIN = 0.1  # of the span, added at each end
_FEWEST, _MOST = 16, 80  # cells per axis that are chosen by themselves


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FluxField(Result):
    """Density and probability flux in a plane, on a rectangular grid of cells."""

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
    bandwidth: float = 0.0
    """Width of the kernel, in standard deviations along each axis; 0 without a kernel."""
    share: float = float("nan")
    """Lower bound of the share of the entropy production that the plane shows, where known."""
    share_stderr: float = float("nan")
    """Its standard error."""
    dt: float = 1.0
    """Time per step."""

    @property
    def potential(self) -> Tensor:
        """U = -ln P (bins, bins); infinite where no state was seen."""
        return -self.density.clamp(min=0).log()

    def scalars(self) -> dict[str, float]:
        """Return the share of the entropy production that the plane shows, where known."""
        known = self.share == self.share
        return {"plane_share": self.share, "plane_share_stderr": self.share_stderr} if known else {}


@torch.no_grad()
def flux_field(
    trajectory: Tensor | NDArray,
    plane: Tensor | None = None,
    *,
    bins: int | None = None,
    bandwidth: float = 0.0,
    dt: float = 1.0,
) -> FluxField:
    """Return density and probability flux of an orbit in a plane.

    Parameters
    ----------
    trajectory
        Successive states (T, ..., N) in a steady state, T >= 2, with every=1.
    plane
        Two orthonormal axes (2, N); `leading_plane` by default.
    bins
        Cells per axis; by default between 16 and 80, growing as n^(1/4) with the n states.
    bandwidth
        Width of a Gaussian kernel, in standard deviations along each axis; 0 is the histogram.
        Scott's rule for a single hump is n^(-1/6); for a cycle take a part of the ring's width.
    dt
        Time per step.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    C. Battle et al., Science 352 (2016) 604, for flux from transitions; D. W. Scott, Multivariate
    Density Estimation, Wiley 1992, for cells and kernels.

    Examples
    --------
    >>> import sntorch as snt
    >>> orbit = snt.rollout(lambda u: u.flip(-1) * torch.tensor([-1.0, 1.0]), torch.ones(9, 2), 40)
    >>> snt.landscape.flux_field(orbit).flux.shape
    torch.Size([16, 16, 2])
    """
    trajectory = check_orbit(trajectory, dt)
    bandwidth = checks.number("bandwidth", bandwidth, low=0)
    plane = leading_plane(trajectory) if plane is None else _check_plane(plane, trajectory)
    y = trajectory @ plane.T - mean_state(trajectory) @ plane.T
    states = y[..., 0].numel()
    if bins is None:
        bins = int(min(max(1.7 * states**0.25, _FEWEST), _MOST))
    edges = _edges(y, checks.count("bins", bins))
    widths = edges[:, 1] - edges[:, 0]
    kernel = _kernels(y, edges, bandwidth)
    stretches = groups(y)
    density = _histogram(stretches, [torch.ones_like(g[:, :1]) for g in stretches], edges).mean(0)
    middles = [(g[1:] + g[:-1]) / 2 for g in stretches]
    moves = _histogram(middles, [g.diff(dim=0) for g in stretches], edges)
    area = float(widths.prod())
    flux, stderr = mean_and_error(_smoothed(moves, kernel) / (area * dt))
    outside = 1 - float(density.sum())
    return FluxField(
        edges=edges,
        density=_smoothed(density, kernel)[..., 0] / area,
        flux=flux,
        stderr=stderr,
        plane=plane,
        outside=outside,
        bandwidth=bandwidth,
        dt=dt,
    )


def plane_share(
    produced: EntropyProduction, trajectory: Tensor | NDArray, plane: Tensor
) -> tuple[float, float]:
    """Return at least which share of an entropy production a plane shows, and its error.

    Parameters
    ----------
    produced
        The entropy production of the whole, as `entropy_production` returns it for the orbit.
    trajectory
        The orbit (T, ..., N).
    plane
        Two orthonormal axes (2, N).

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.8, -0.3], [0.3, 0.8]], dtype=torch.float64)
    >>> f = snt.as_dynamics(lambda u: u @ M.T, noise=1.0)
    >>> u = torch.zeros(50, 2, dtype=torch.float64)
    >>> orbit = snt.rollout(f, u, 300, generator=torch.Generator())[50:]
    >>> whole = snt.landscape.entropy_production(f, orbit)
    >>> 0.4 < plane_share(whole, orbit, torch.eye(2, dtype=torch.float64))[0] < 1
    True
    """
    checks.instance("produced", produced, EntropyProduction)
    trajectory = check_orbit(trajectory, produced.dt)
    bound = uncertainty_bound(trajectory, _check_plane(plane, trajectory), dt=produced.dt)
    whole, error = (float(each) for each in over_rows(produced.value, produced.stderr))
    share = float(bound.value) / whole
    relative = (float(bound.stderr) / whole) ** 2 + (share * error / whole) ** 2
    return share, relative**0.5


def _check_plane(plane: Tensor, trajectory: Tensor) -> Tensor:
    size = trajectory.shape[-1]
    checks.same_kind("plane", checks.floating("plane", plane), trajectory, "the trajectory")
    if plane.shape != (2, size):
        raise ValueError(f"plane: expected (2, {size}), got {tuple(plane.shape)}")
    if not torch.allclose(plane @ plane.T, torch.eye(2).to(plane), atol=1e-4):
        raise ValueError("plane: expected orthonormal rows, got others")
    return plane


def _edges(y: Tensor, bins: int) -> Tensor:
    """Return the borders (2, bins + 1) of a grid that spans nearly all states."""
    flat = y.reshape(-1, 2).cpu().numpy()
    low, high = y.new_tensor(np.quantile(flat, (_TAIL, 1 - _TAIL), axis=0))
    # An orbit at rest still gets a grid, of the size of rounding.
    margin = (_MARGIN * (high - low)).clamp(min=torch.finfo(y.dtype).eps)
    unit = torch.linspace(0, 1, bins + 1, dtype=y.dtype, device=y.device)
    low, high = low - margin, high + margin
    return low[:, None] + (high - low)[:, None] * unit


def _kernels(y: Tensor, edges: Tensor, bandwidth: float) -> tuple[Tensor, Tensor] | None:
    """Return per axis what of a state in one cell (columns) counts in another (rows)."""
    if not bandwidth:
        return None
    width = bandwidth * y.reshape(-1, 2).std(0).clamp(min=torch.finfo(y.dtype).eps)
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    below = torch.special.ndtr((edges[:, :, None] - middle[:, None, :]) / width[:, None, None])
    return tuple(below.diff(dim=1).unbind(0))  # pyright: ignore[reportReturnType]


def _smoothed(field: Tensor, kernel: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return a field (..., bins, bins, d) spread by the kernel."""
    if kernel is None:
        return field
    first, second = kernel
    spread = torch.einsum("ia,...abd->...ibd", first, field)
    return torch.einsum("jb,...ibd->...ijd", second, spread)


def _histogram(points: list[Tensor], weights: list[Tensor], edges: Tensor) -> Tensor:
    """Return the mean weight (G, bins, bins, d) that the points (t, 2) of groups put into cells."""
    bins, y, weight = edges.shape[1] - 1, torch.cat(points), torch.cat(weights)
    cell = [torch.bucketize(y[:, a].contiguous(), edges[a]) - 1 for a in (0, 1)]
    inside = ((cell[0] >= 0) & (cell[0] < bins) & (cell[1] >= 0) & (cell[1] < bins)).nonzero()[:, 0]
    lengths = torch.tensor([len(each) for each in points], device=y.device)
    group = torch.repeat_interleave(lengths)
    index = ((group * bins + cell[0]) * bins + cell[1])[inside]
    total = y.new_zeros(len(points) * bins * bins, weight.shape[1])
    total.index_add_(0, index, weight[inside])
    return total.reshape(len(points), bins, bins, -1) / lengths[:, None, None, None]
