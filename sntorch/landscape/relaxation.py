r"""How a density relaxes: the Fokker-Planck equation in time, and the free energy that falls.

.. math:: \dot p = L p, \qquad p(t) = \sum_k e^{-\Lambda t} \frac{(\Lambda t)^k}{k!}
          \Big(1 + \frac{L}{\Lambda}\Big)^k p(0), \qquad
          G(t) = \int P \ln \frac{P}{P_\infty}

with L the generator of `generator` and Lambda its largest rate: uniformisation, exact in time, a
mixture of Markov steps that keeps p >= 0 and its sum 1.  Each step leaves P_infinity as it is, so
the relative entropy G (nats; times D, a free energy above that of the steady state) cannot rise,
with or without detailed balance.

A. Jensen, Skand. Aktuarietidskr. 36 (1953) 87, for uniformisation.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.landscape.discretisation import DiffusionField, process
from sntorch.landscape.generator import solver_for, stationary
from sntorch.landscape.grid import Grid
from sntorch.results import Result

__all__ = ["Relaxation", "relax"]

_CUT = 1e-16  # weight of the Markov steps left out


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Relaxation(Result):
    """A density at T times on its way to the stationary one."""

    grid: Grid
    """Where it lives."""
    times: Tensor
    """(T,), ascending, from the start at 0 on."""
    density: Tensor
    """(T, *cells)."""
    stationary: Tensor
    """(*cells,)."""
    free_energy: Tensor
    """(T,), relative entropy G above the steady state, nats; it never rises."""

    @property
    def mean(self) -> Tensor:
        """Mean state (T, d) at every time."""
        weight = (self.density * self.grid.volume).reshape(len(self.times), -1)
        return weight @ self.grid.points.reshape(-1, self.grid.dimension)

    @property
    def rate(self) -> Tensor:
        """Rate (T - 1,) at which ln G falls, per unit of time: at the end twice the gap or more."""
        return -self.free_energy.log().diff() / self.times.diff()

    def scalars(self) -> dict[str, float]:
        """Return the free energy at the start and at the end."""
        return {"free_energy/start": float(self.free_energy[0]),
                "free_energy/end": float(self.free_energy[-1])}  # fmt: skip


def relax(
    flow: object,
    grid: Grid,
    start: Tensor,
    times: Sequence[float] | Tensor,
    *,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
) -> Relaxation:
    """Return how the density of a flow with noise relaxes on a grid.

    The work grows like the time times the largest rate, about 4 D d / h^2 with cells of width h.

    Parameters
    ----------
    flow, grid, x, diffusion
        As for `fokker_planck`.
    start
        Initial density (*cells,), >= 0, which is normalised; or one state (d,), whose cell has all
        the probability.
    times
        Times > 0, ascending; the result begins at time 0.

    Raises
    ------
    ValueError
        As `fokker_planck`, and if the start is no density or a state outside the box.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.flows.as_flow(lambda u: -u, diffusion=0.5)
    >>> grid = snt.landscape.Grid([-5.0], [5.0], 200)
    >>> found = snt.landscape.relax(trap, grid, torch.tensor([2.075]), [1.0])
    >>> round(float(found.mean[1]), 2)  # 2.075 exp(-1)
    0.76
    """
    jump, _ = process(flow, grid, x=x, diffusion=diffusion)
    p = _distribution(grid, start)
    moments = _moments(times)
    L = jump.matrix
    rest, *_ = stationary(L, solver_for(grid))
    largest = float(-L.diagonal().min()) or 1.0
    step = scipy.sparse.csr_matrix(scipy.sparse.identity(len(p), format="csr") + L / largest)
    course = [p]
    for early, late in itertools.pairwise([0.0, *moments]):
        course.append(_advance(step, course[-1], largest * (late - early)))
    density = torch.from_numpy(np.stack(course))
    return Relaxation(
        grid=grid,
        times=torch.tensor([0.0, *moments], dtype=torch.float64),
        density=density.reshape(-1, *grid.cells) / grid.volume,
        stationary=torch.from_numpy(rest).reshape(grid.cells) / grid.volume,
        free_energy=_relative_entropy(density, torch.from_numpy(rest)),
    )


def _advance(step: scipy.sparse.csr_matrix, p: NDArray[Any], events: float) -> NDArray[Any]:
    """Return p after a Poisson number of Markov steps with mean `events`."""
    first, last = (int(scipy.stats.poisson.ppf(q, events)) for q in (_CUT, 1 - _CUT))
    last = max(last, first) + 2
    weights = scipy.stats.poisson.pmf(np.arange(last + 1), events)
    weights[:first] = 0
    total = np.zeros_like(p)
    for weight in weights / weights.sum():
        total += weight * p
        p = step @ p
    return total


def _relative_entropy(p: Tensor, rest: Tensor) -> Tensor:
    tiny = torch.finfo(p.dtype).tiny
    ratio = p.clamp(min=tiny).log() - rest.clamp(min=tiny).log()
    return torch.where(p > tiny, p * ratio, 0).sum(-1).clamp(min=0)


def _distribution(grid: Grid, start: Tensor) -> NDArray[Any]:
    value = checks.finite("start", checks.floating("start", start)).detach().double().cpu()
    if value.shape == (grid.dimension,) and value.shape != grid.cells:
        if not bool(grid.inside(value)):
            raise ValueError(f"start: expected a state in the box, got {value.tolist()}")
        p = np.zeros(grid.cells)
        place = (value.numpy() - grid.low) / grid.spacing
        p[tuple(np.minimum(place.astype(int), np.subtract(grid.cells, 1)))] = 1
        return p.reshape(-1)
    if value.shape != grid.cells:
        shape = tuple(value.shape)
        raise ValueError(f"start: expected {grid.cells} or ({grid.dimension},), got {shape}")
    if float(value.min()) < 0 or float(value.sum()) <= 0:
        raise ValueError(f"start: expected a density >= 0, got {float(value.min()):.4g}")
    return (value / value.sum()).reshape(-1).numpy()


def _moments(times: Sequence[float] | Tensor) -> list[float]:
    values = torch.as_tensor(times, dtype=torch.float64).reshape(-1)
    if not len(values):
        raise ValueError("times: expected at least one, got none")
    checks.finite("times", values)
    if float(values[0]) <= 0 or bool((values.diff() <= 0).any()):
        raise ValueError(f"times: expected > 0, ascending, got {values.tolist()}")
    return values.tolist()
