r"""The exact landscape in one to three dimensions: stationary density, flux, cost, slow modes.

.. math:: \partial_t P = -\nabla \cdot J, \qquad J = F P - \nabla \cdot (D P), \qquad
          F = -D\,\nabla U + J/P + \nabla \cdot D, \qquad U = -\ln P.

============  ====================================================  =================
symbol        meaning                                               shape
============  ====================================================  =================
``P``         stationary density of the flow in the box             (\*cells,)
``U``         landscape, -ln P                                      (\*cells,)
``J``         probability flux, per area and unit of time           (\*cells, d)
``e``         entropy production, <J D^-1 J / P^2>, nats per time   ()
``lambda``    eigenvalues of the Fokker-Planck operator             (modes,)
============  ====================================================  =================

The gradient of U draws the state to the valleys, J/P drives it along them and vanishes in
equilibrium, where e = 0.  D is diagonal and may depend on the state, in the sense of Ito.  The
density is found by finite volumes (`generator`) with reflecting walls; it is of second order in the
width of a cell, and the ratios of P are exact where the flow is linear and in equilibrium.

What a grid cannot do is measured: the probability of the cells at the `wall`, which should be
nothing, and the `peclet` number |F| h / D, root mean square over P, which should stay below 1.

J. Wang, L. Xu, E. Wang, PNAS 105 (2008) 12271, for landscape and flux.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.analysis import AccuracyWarning
from sntorch.landscape.discretisation import DiffusionField, process
from sntorch.landscape.generator import factors, slow_modes, solver_for, stationary
from sntorch.landscape.grid import Grid
from sntorch.landscape.interpolation import interpolate
from sntorch.results import Result

__all__ = ["Density", "fokker_planck"]

_WALL = 1e-4  # probability at the wall from which on the box shapes the answer
_MODES = 6


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Density(Result):
    """The stationary density of a flow in a box, and what follows from it; float64 on the CPU."""

    grid: Grid
    """Where the numbers below live."""
    density: Tensor
    """(*cells,), P at the centres; its integral is 1."""
    flux: Tensor
    """(*cells, d), J at the centres, per unit of time."""
    drift: Tensor
    """(*cells, d), F at the centres."""
    diffusion: Tensor
    """(*cells, d), diagonal of D at the centres."""
    modes: Tensor
    """(modes,), complex eigenvalues lambda other than 0, slowest decay first; NaN if not found."""
    entropy_production: Tensor
    """(), nats per unit of time."""
    face_flux: tuple[Tensor, ...]
    """Per axis, J across the inner faces, one fewer than cells along it: without divergence."""
    wall: Tensor
    """(d, 2), probability of the cells along the lower and the upper wall of every axis."""
    peclet: Tensor
    """(), root mean square of |F_a| h_a / D_a over P, the largest of all axes a."""
    converged: bool
    """Whether the weights of all basins have settled."""

    @property
    def potential(self) -> Tensor:
        """U (*cells,), NaN where P is too small to be represented."""
        tiny = torch.finfo(self.density.dtype).tiny
        return -torch.where(self.density > tiny, self.density, torch.nan).log()

    @property
    def gap(self) -> Tensor:
        """Spectral gap (): the rate at which the slowest mode decays, per unit of time."""
        return -self.modes.real.max()

    @property
    def coherence(self) -> Tensor:
        """|Im lambda| / |Re lambda| () of the slowest mode that turns; 0 if none does.

        2 pi times the number of turns in the time in which the phase is forgotten.
        """
        ratio = self.modes.imag.abs() / self.modes.real.abs()
        turning = ratio[ratio > 1e-6]  # descending order: the first one decays most slowly
        return turning[0] if len(turning) else ratio.new_zeros(())

    @property
    def gradient_force(self) -> Tensor:
        """-D grad U (*cells, d): what draws to the valleys; NaN where U is."""
        return -self.diffusion * _gradient(self.potential, self.grid)

    @property
    def flux_force(self) -> Tensor:
        """J / P (*cells, d): what drives along the valleys; NaN where U is."""
        tiny = torch.finfo(self.density.dtype).tiny
        return self.flux / torch.where(self.density > tiny, self.density, torch.nan).unsqueeze(-1)

    @property
    def divergence(self) -> Tensor:
        """Div D (*cells, d), 0 where D is constant."""
        slopes = [_gradient(D, self.grid)[..., a] for a, D in enumerate(self.diffusion.unbind(-1))]
        return torch.stack(slopes, -1)

    def mean(self, values: Tensor) -> Tensor:
        """Return the average over P of `values` (*cells, ...), such as ``grid.points``."""
        weight = self.density * self.grid.volume
        return (weight.reshape(*weight.shape, *[1] * (values.ndim - weight.ndim)) * values).sum(
            tuple(range(weight.ndim))
        )

    def potential_at(self, u: Tensor) -> Tensor:
        """Return U (...) at the states u (..., d), interpolated smoothly; NaN outside the box.

        Differentiable with respect to u, so that it may serve as a potential elsewhere.
        """
        return interpolate(self.grid, self.potential, u)

    def flux_at(self, u: Tensor) -> Tensor:
        """Return J (..., d) at the states u (..., d), interpolated; NaN outside the box."""
        return torch.stack([interpolate(self.grid, J, u) for J in self.flux.unbind(-1)], -1)

    def loop_flux(self, cycle: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the integral of J dl along a closed line through `cycle` (M, d), and its length.

        Their quotient is the average flux along the loop.
        """
        step = cycle.roll(-1, 0) - cycle
        J = self.flux_at(cycle)
        return ((J + J.roll(-1, 0)) / 2 * step).sum(), step.norm(dim=-1).sum()

    def scalars(self) -> dict[str, float]:
        """Return entropy production, spectral gap, probability at the walls and Peclet number."""
        return {
            "entropy_production": float(self.entropy_production),
            "gap": float(self.gap),
            "wall": float(self.wall.max()),
            "peclet": float(self.peclet),
        }


def fokker_planck(
    flow: object,
    grid: Grid,
    *,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
    frequency: float = 0.0,
    modes: int = _MODES,
) -> Density:
    """Return the stationary density of a flow with noise in a box, its flux and its slow modes.

    200 x 200 cells take about a second; in three dimensions about 40 cells per axis are practical.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts, with a diffusion that is no full matrix.
    grid
        The box: large enough that nothing reaches its walls, fine enough for the valleys.
    x
        Constant drive (I,).
    diffusion
        A function of states (..., d) that returns D, (...) or (..., d), where it depends on the
        state; by default D is that of the flow.
    frequency
        Modes are looked for nearest to 0, and if this is > 0 also nearest to i `frequency` (rad per
        unit of time): needed where the system turns faster than it relaxes.
    modes
        Eigenvalues to look for; 0 leaves them out.

    Raises
    ------
    ValueError
        If the flow has no noise along some axis, D is a full matrix or the drift not finite in the
        box, or the grid has other dimensions than the flow.

    Warns
    -----
    AccuracyWarning
        If probability reaches the wall, cells are too coarse for the drift, or the weights of
        basins did not settle because hardly anything passes between them.

    References
    ----------
    D. L. Scharfetter, H. K. Gummel, IEEE Trans. Electron Devices 16 (1969) 64.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.flows.as_flow(lambda u: -u, diffusion=0.5)
    >>> found = snt.landscape.fokker_planck(trap, snt.landscape.Grid([-5.0], [5.0], 100))
    >>> round(float(found.potential[75] - found.potential[50]), 3)  # 2.55^2 - 0.05^2, as 2 D = 1
    6.5
    """
    checks.number("frequency", frequency, low=0)
    jump, drift = process(flow, grid, x=x, diffusion=diffusion)
    cells = int(np.prod(grid.cells))
    checks.count("modes", modes, low=0, high=cells - 3)
    L, solver = jump.matrix, solver_for(grid)
    p, settled, shift, solve = stationary(L, solver)
    found = [slow_modes(p, shift, solve, modes)] if modes else []
    if frequency and modes:
        turned = shift + 1j * frequency
        found.append(slow_modes(p, turned, factors(L, turned, solver), modes))
    P = p.reshape(grid.cells) / grid.volume
    faces = jump.currents(P)
    result = Density(
        grid=grid,
        density=torch.from_numpy(P),
        flux=torch.from_numpy(_centred(faces)),
        drift=drift,
        diffusion=torch.from_numpy(jump.diffusion),
        modes=_distinct(found),
        entropy_production=torch.tensor(jump.entropy_production(P), dtype=torch.float64),
        face_flux=tuple(torch.from_numpy(J) for J in faces),
        wall=torch.from_numpy(_at_walls(P * grid.volume)),
        peclet=_peclet(grid, P, drift.numpy(), jump.diffusion),
        converged=settled,
    )
    _warn(result)
    return result


def _gradient(values: Tensor, grid: Grid) -> Tensor:
    slopes = np.gradient(values.numpy(), *grid.spacing)
    slopes = slopes if isinstance(slopes, list | tuple) else [slopes]
    return torch.from_numpy(np.stack(slopes, -1))


def _centred(faces: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """Return the mean of the two faces of every cell along every axis; walls carry nothing."""
    found = []
    for axis, J in enumerate(faces):
        borders = [(1, 1) if a == axis else (0, 0) for a in range(J.ndim)]
        full = np.pad(J, borders)
        n = full.shape[axis]
        found.append((full.take(range(n - 1), axis) + full.take(range(1, n), axis)) / 2)
    return np.stack(found, -1)


def _at_walls(p: NDArray[Any]) -> NDArray[Any]:
    return np.array([[p.take(side, axis).sum() for side in (0, -1)] for axis in range(p.ndim)])


def _peclet(grid: Grid, P: NDArray[Any], F: NDArray[Any], D: NDArray[Any]) -> Tensor:
    squares = (F * np.array(grid.spacing) / D) ** 2 * P[..., None] * grid.volume
    return torch.tensor(squares.reshape(-1, grid.dimension).sum(0).max() ** 0.5)


def _distinct(found: list[NDArray[Any]]) -> Tensor:
    """Return all eigenvalues once, slowest decay first, each with its conjugate."""
    values: Any = np.concatenate(found) if found else np.empty(0, dtype=complex)
    if len(found) > 1:  # those near i omega come without their conjugates, some for the second time
        values = np.concatenate([values, found[1].conj()])
        digits = np.round(values / (np.abs(values).max() or 1.0), 7)
        values = values[np.unique(digits, return_index=True)[1]]
    return torch.from_numpy(values[np.argsort(-values.real, kind="stable")])


def _warn(result: Density) -> None:
    remarks = []
    if float(result.wall.max()) > _WALL:
        remarks.append(
            f"{float(result.wall.max()):.2g} of the probability lies along a wall: make the box "
            "larger, unless the flow ends there"
        )
    if float(result.peclet) > 1:
        remarks.append(
            f"the grid is too coarse for the drift (Peclet number {float(result.peclet):.2g} > 1): "
            "take more cells or more noise"
        )
    if not result.converged:
        remarks.append("hardly anything passes between basins: their weights are not determined")
    for remark in remarks:
        warnings.warn(remark, AccuracyWarning, stacklevel=3)
