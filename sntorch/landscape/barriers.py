r"""Heights in a landscape on a grid: wells and the passes between them, the hill inside a ring.

.. math:: \Delta U_{ij} = \min_{\text{paths } i \to j}\ \max_{u \in \text{path}} U(u) - U(u_i)

is the barrier from the well i towards the well j: passes are found by flooding the landscape cell
by cell, from the lowest up.  Two wells count as one where the shallower is less than `depth` deep.

Around a limit cycle two barriers are in use, which differ by the modulation of U along the cycle:

.. math:: \Delta_{min} = U(\text{top}) - \min_{\text{box}} U, \qquad
          \Delta_{mean} = U(\text{top}) - \langle U \rangle_{\text{cycle}},

the top being the highest point inside the cycle and the mean taken over the time of a turn.

C. Li, J. Wang, PLoS Comput. Biol. 9 (2013) e1003165, for barriers in landscapes of networks.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.density import Density
from sntorch.results import Result

__all__ = ["RingBarrier", "Wells", "barrier", "flood", "wells"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Wells(Result):
    """The k wells of a landscape, deepest first, and the passes between them."""

    minima: Tensor
    """(k, d), centres of the lowest cells."""
    floor: Tensor
    """(k,), U there."""
    passes: Tensor
    """(k, k), U at the pass between two wells; the diagonal is the floor."""
    saddles: Tensor
    """(k, k, d), centres of the cells of the passes."""
    weight: Tensor
    """(k,), probability of the cells that are flooded from each well; they add up to 1."""

    @property
    def barriers(self) -> Tensor:
        """Barrier (k, k) from well i towards well j; 0 on the diagonal."""
        return self.passes - self.floor.unsqueeze(-1)

    def scalars(self) -> dict[str, float]:
        """Return the number of wells and the lowest barrier, NaN with one well."""
        off = self.barriers[~torch.eye(len(self.floor), dtype=torch.bool)]
        lowest = float(off.min()) if len(off) else float("nan")
        return {"wells": float(len(self.floor)), "barrier": lowest}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RingBarrier(Result):
    """The height of the hill inside a limit cycle, by both definitions."""

    top: Tensor
    """(d,), the highest point inside."""
    height: Tensor
    """(), U there."""
    cycle: Tensor
    """(M, d), states at equal times along the cycle."""
    along: Tensor
    """(M,), U at these states."""
    lowest: Tensor
    """(), lowest U in the box."""

    @property
    def from_minimum(self) -> Tensor:
        """U(top) - min U ()."""
        return self.height - self.lowest

    @property
    def from_mean(self) -> Tensor:
        """U(top) - mean of U over the time of a turn ()."""
        return self.height - self.along.mean()

    @property
    def modulation(self) -> Tensor:
        """Highest minus lowest U along the cycle ()."""
        return self.along.max() - self.along.min()

    def scalars(self) -> dict[str, float]:
        """Return both barriers and the modulation."""
        return {
            "barrier/from_minimum": float(self.from_minimum),
            "barrier/from_mean": float(self.from_mean),
            "modulation": float(self.modulation),
        }


def barrier(density: Density, cycle: Tensor, top: Tensor | None = None) -> RingBarrier:
    """Return the height of the hill inside a limit cycle.

    Parameters
    ----------
    density
        A `Density`, of two dimensions unless the top is given.
    cycle
        States (M, d) at equal times along the cycle, such as those of `limit_cycle`.
    top
        State (d,) from which heights are counted; by default the highest cell inside the cycle.

    Raises
    ------
    ValueError
        If the cycle leaves the box or encloses no cell.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.StuartLandau(diffusion=0.1)
    >>> density = snt.landscape.fokker_planck(ring, snt.landscape.Grid([-2, -2], [2, 2], 80))
    >>> angle = torch.linspace(0, 6.2, 32, dtype=torch.float64)
    >>> found = snt.landscape.barrier(density, torch.stack([angle.cos(), angle.sin()], -1))
    >>> round(float(found.from_mean), 2)  # alpha / (4 D) = 2.5
    2.49
    """
    checks.instance("density", density, Density)
    cycle = _in_box("cycle", cycle, density, ndim=2)
    if top is None:
        top = _highest_inside(density, cycle)
    top = _in_box("top", top, density, ndim=1)
    U = density.potential
    return RingBarrier(
        top=top,
        height=density.potential_at(top),
        cycle=cycle,
        along=density.potential_at(cycle),
        lowest=U[U.isfinite()].min(),
    )


def wells(density: Density, *, depth: float = 0.5) -> Wells:
    """Return the wells of a landscape and the passes between them.

    Parameters
    ----------
    density
        A `Density`.
    depth
        Wells whose barrier is lower, in units of U, belong to their neighbour.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(diffusion=0.2)
    >>> density = snt.landscape.fokker_planck(well, snt.landscape.Grid([-2.0], [2.0], 201))
    >>> round(float(wells(density).barriers[0, 1]), 2)  # 1 / D
    5.0
    """
    checks.instance("density", density, Density)
    checks.number("depth", depth, low=0)
    U = density.potential.numpy().ravel()
    basins, meetings = flood(np.where(np.isfinite(U), U, np.inf), density.grid.cells, depth)
    order = sorted(basins, key=lambda root: U[root])
    place = {root: i for i, root in enumerate(order)}
    k = len(order)
    points = density.grid.points.reshape(-1, density.grid.dimension)
    through = torch.tensor(order, device="cpu").expand(k, k).clone()
    through.fill_diagonal_(0)
    groups = [{root} for root in order]
    for cell, one, other in meetings:
        first, second = (next(g for g in groups if root in g) for root in (one, other))
        for a in first:
            for b in second:
                through[place[a], place[b]] = through[place[b], place[a]] = cell
        groups.remove(second)
        first |= second
    through.diagonal().copy_(torch.tensor(order, device="cpu"))
    P = density.density.reshape(-1) * density.grid.volume
    return Wells(
        minima=points[order],
        floor=torch.from_numpy(U)[order],
        passes=torch.from_numpy(U)[through],
        saddles=points[through],
        weight=torch.stack([P[basins[root]].sum() for root in order]),
    )


def flood(
    U: np.ndarray, cells: tuple[int, ...], depth: float
) -> tuple[dict[int, list[int]], list[tuple[int, int, int]]]:
    """Return the cells of every well by its lowest cell, and (cell, well, well) where two meet."""
    # A rim of cells that are never flooded; lists, whose numbers are quicker to look at.
    wide = tuple(n + 2 for n in cells)
    steps = [sign * step for step in np.cumprod((1, *wide[:0:-1])).tolist() for sign in (1, -1)]
    places = np.ravel_multi_index(tuple(np.indices(cells) + 1), wide).ravel()
    height, root = U.tolist(), [-1] * math.prod(wide)  # a root is the lowest cell of its well
    members: dict[int, list[int]] = {}
    meetings: list[tuple[int, int, int]] = []
    united: dict[int, int] = {}  # wells that have met, each under the one it met first
    merged: dict[int, int] = {}  # shallow wells into their neighbours
    order = np.argsort(U, kind="stable")[: np.count_nonzero(np.isfinite(U))]
    for cell, place in zip(order.tolist(), places[order].tolist(), strict=True):
        near = {_find(merged, root[place + s]) for s in steps if root[place + s] >= 0}
        if not near:
            root[place], members[cell] = cell, [cell]
            continue
        lowest = min(near, key=height.__getitem__)
        root[place] = lowest
        members[lowest].append(cell)
        for other in near - {lowest}:
            if height[cell] - height[other] < depth:
                merged[other] = lowest
                members[lowest] += members.pop(other)
                continue
            one, two = _find(united, lowest), _find(united, other)
            if one != two:
                united[two] = one
                meetings.append((cell, lowest, other))
    return members, meetings


def _find(table: dict[int, int], key: int) -> int:
    while key in table:
        key = table[key]
    return key


def _highest_inside(density: Density, cycle: Tensor) -> Tensor:
    if density.grid.dimension != 2:
        raise ValueError("top: expected a state, since only in a plane a cycle has an inside")
    points = density.grid.points.reshape(-1, 2)
    U = torch.where(_inside(points, cycle), density.potential.reshape(-1), torch.nan)
    if not bool(U.isfinite().any()):
        raise ValueError("cycle: expected one that encloses cells of the grid, got none")
    return points[U.nan_to_num(-torch.inf).argmax()]


def _inside(points: Tensor, cycle: Tensor) -> Tensor:
    """Tell which points a ray from enters the closed line an odd number of times."""
    inside = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    x, y = points.unbind(-1)
    for (ax, ay), (bx, by) in zip(cycle.tolist(), cycle.roll(-1, 0).tolist(), strict=True):
        if ay != by:
            inside ^= ((y < ay) != (y < by)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return inside


def _in_box(name: str, u: Tensor, density: Density, ndim: int) -> Tensor:
    value = checks.finite(name, checks.floating(name, u, ndim=ndim)).detach().double().cpu()
    d = density.grid.dimension
    if value.ndim != ndim or value.shape[-1] != d:
        wanted = f"({d},)" if ndim == 1 else f"(M, {d})"
        raise ValueError(f"{name}: expected {wanted}, got {tuple(value.shape)}")
    if not bool(density.grid.inside(value).all()):
        raise ValueError(f"{name}: expected states in the box of the grid, got others")
    return value
