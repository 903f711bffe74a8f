"""A potential on a plane, with the flux that goes with it: what a picture of it shows.

In two dimensions the plane is the space itself.  In more it is a slice through the mean of the
states, spanned by their two leading principal axes or by axes of one's own: V and the components of
v on that slice, no marginal density and no marginal flux.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.metric import DiffusionField, metric_of
from sntorch.landscape.objectives import enter
from sntorch.landscape.planes import flux_field
from sntorch.landscape.potentials import as_potential
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["PotentialMap", "orbit_map", "potential_map", "slice_map"]

_KERNEL = 0.15  # standard deviations, of the flux that is counted
_SURE = 3.0  # standard errors, from which on flux that was counted is shown
_MARGIN = 0.25  # of the span of the states, added at each end


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PotentialMap(Result):
    """V and v on a grid of a plane."""

    axes: Tensor
    """(2, cells), coordinates along the two axes of the plane."""
    potential: Tensor
    """(cells, cells), V from its lowest value; [a, b] belongs to a on axis 0 and b on axis 1."""
    velocity: Tensor
    """(cells, cells, 2), components of v = F + G grad V in the plane, per unit of time."""
    scale: float
    """Db: V / scale is in nats; NaN of a potential that belongs to no noise."""
    states: Tensor
    """(S, 2), some of the states in the plane."""
    plane: Tensor
    """(2, N), orthonormal rows."""
    sliced: bool
    """Whether the plane is a slice of a larger space."""
    marginal: bool = False
    """Whether V and v are those of the two coordinates alone, whatever the others are."""

    @property
    def flux(self) -> Tensor:
        """P v (cells, cells, 2) up to a constant factor; NaN where no v is known."""
        return self.velocity * torch.exp(-self.potential / self.scale).unsqueeze(-1)


def potential_map(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    plane: Tensor | None = None,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
    box: tuple[Tensor, Tensor] | None = None,
    cells: int = 60,
    shown: int = 300,
) -> PotentialMap:
    """Return potential and flux velocity on a plane through the mean of the states.

    Parameters
    ----------
    flow, potential, states, x, diffusion
        As for `epr_loss`, with N >= 2.
    plane
        Two orthonormal axes (2, N); by default the space itself for N = 2, else the two leading
        principal axes of the states.
    box
        Lowest and highest corner (N,) of walls, beyond which V is infinite.
    cells
        Points along each axis.
    shown
        States that are kept for the picture.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.StuartLandau(diffusion=0.1)
    >>> found = potential_map(ring, ring.potential, torch.randn(200, 2))
    >>> found.potential.shape, found.sliced
    (torch.Size([60, 60]), False)
    """
    f, V, u = enter(flow, potential, states)
    u = u.detach().reshape(-1, u.shape[-1])
    n = u.shape[-1]
    checks.count("N", n, low=2)
    plane = _plane(u, plane)
    with observing(V, u):
        axes, at, seen = _grid(u, plane, cells, shown)
        metric = metric_of(f, at, diffusion)
        value, slope = V.value_and_gradient(at)
        v = f.drift(at, x) - metric.divergence + metric.push(slope.detach())
        value = _walled(value.detach(), at, box)
        return PotentialMap(
            axes=axes,
            potential=value - value.min(),
            velocity=v @ plane.T,
            scale=metric.scale,
            states=seen,
            plane=plane,
            sliced=n > 2,
        )


def slice_map(
    potential: object, states: Tensor, *, scale: float = torch.nan, plane: Tensor | None = None,
    box: tuple[Tensor, Tensor] | None = None, cells: int = 60, shown: int = 300,
) -> PotentialMap:  # fmt: skip
    """Return a potential alone on a plane through the mean of the states; v is NaN.

    For potentials of maps, whose flux is no field of v, and for those that belong to no noise.

    Parameters
    ----------
    potential
        Anything `as_potential` accepts.
    states
        (..., N), N >= 2.
    scale
        Db; NaN if the potential belongs to no noise.
    plane, box, cells, shown
        As for `potential_map`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> found = slice_map(lambda u: u.square().sum(-1), torch.randn(200, 5))
    >>> found.potential.shape, found.sliced
    (torch.Size([60, 60]), True)
    """
    V = as_potential(potential)
    u = checks.finite("states", V.check(states)).detach().reshape(-1, states.shape[-1])
    checks.count("N", u.shape[-1], low=2)
    plane = _plane(u, plane)
    with observing(V, u):
        axes, at, seen = _grid(u, plane, cells, shown)
        value = _walled(V.energy(at).detach(), at, box)
        return PotentialMap(
            axes=axes,
            potential=value - value.min(),
            velocity=torch.full((*value.shape, 2), torch.nan).to(u),
            scale=scale,
            states=seen,
            plane=plane,
            sliced=u.shape[-1] > 2,
        )


def orbit_map(
    potential: object, orbit: Tensor, axes: Tensor, *, scale: float, dt: float = 1.0,
    cells: int = 40, shown: int = 300,
) -> PotentialMap:  # fmt: skip
    """Return a potential of two coordinates y = axes u, with their flux as it is counted.

    The flux is that of `flux_field`, smoothed, so that maps have one too, and v is J / P; where J
    is less than three of its standard errors it is 0.

    Parameters
    ----------
    potential
        V of y (..., 2), as `map_loss` with the same axes learns it.
    orbit
        Successive states (T, ..., N) in a steady state.
    axes
        Orthonormal rows (2, N).
    scale
        Db.
    dt
        Time per step.
    cells, shown
        As for `potential_map`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> orbit = snt.rollout(lambda u: u.flip(-1) * torch.tensor([-1.0, 1.0]), torch.ones(9, 2), 40)
    >>> bowl = lambda y: y.square().sum(-1) / 2
    >>> snt.landscape.orbit_map(bowl, orbit, torch.eye(2), scale=1.0).marginal
    True
    """
    V, scale = as_potential(potential), checks.positive("scale", scale)
    field = flux_field(orbit, axes, bins=cells, bandwidth=_KERNEL, dt=dt)
    u = orbit.detach().reshape(-1, orbit.shape[-1])
    with observing(V, u):
        middle = (field.edges[:, 1:] + field.edges[:, :-1]) / 2
        centre = u.mean(0) @ axes.T
        at = centre + torch.stack(torch.meshgrid(*middle, indexing="ij"), -1)
        value = V.energy(at).detach()
        sure = field.flux.norm(dim=-1) > _SURE * field.stderr.norm(dim=-1)
        stream = torch.Generator(u.device)
        some = torch.randint(
            len(u), (checks.count("shown", shown),), generator=stream, device=u.device
        )
        density = field.density.clamp(min=torch.finfo(u.dtype).tiny)
        return PotentialMap(
            axes=middle,
            potential=value - value.min(),
            velocity=field.flux * (sure / density).unsqueeze(-1),
            scale=scale,
            states=u[some] @ axes.T - centre,
            plane=axes,
            sliced=False,
            marginal=True,
        )


def _grid(u: Tensor, plane: Tensor, cells: int, shown: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the axes of a grid (2, cells), its states (cells, cells, N), and some of u in it."""
    mean = u.mean(0) if u.shape[-1] > 2 else torch.zeros_like(u[0])
    seen = (u - mean) @ plane.T
    low, high = seen.amin(0), seen.amax(0)
    reach = _MARGIN * (high - low)
    unit = torch.linspace(0, 1, checks.count("cells", cells, low=2)).to(u)
    ends = zip(low - reach, high + reach, strict=True)
    axes = torch.stack([a + (b - a) * unit for a, b in ends])
    at = mean + torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ plane
    return axes, at, seen[:: max(1, len(u) // checks.count("shown", shown))]


def _walled(value: Tensor, at: Tensor, box: tuple[Tensor, Tensor] | None) -> Tensor:
    if box is None:
        return value
    low, high = (corner.to(at) for corner in box)
    inside = ((at >= low) & (at <= high)).all(-1)
    return torch.where(inside, value, torch.inf)


def _plane(u: Tensor, plane: Tensor | None) -> Tensor:
    n = u.shape[-1]
    if plane is None:
        if n == 2:
            return torch.eye(2, dtype=u.dtype, device=u.device)
        return torch.linalg.eigh(torch.cov(u.T)).eigenvectors[:, -2:].T.flip(0)
    checks.same_kind("plane", checks.matrix("plane", plane), u, "the states")
    eye = torch.eye(2, dtype=u.dtype, device=u.device)
    if plane.shape != (2, n) or not torch.allclose(plane @ plane.T, eye, atol=1e-4):
        raise ValueError(f"plane: expected orthonormal axes (2, {n}), got {tuple(plane.shape)}")
    return plane
