"""Flows that were fitted to samples: the drift, its errors, and whether the samples are steady."""

from __future__ import annotations

import dataclasses
from typing import Any, final

import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow
from sntorch.landscape.bases import Basis, Splines, polynomial, splines
from sntorch.landscape.grid import Grid
from sntorch.landscape.groups import mean_and_error
from sntorch.landscape.regression import Regression
from sntorch.results import Result, block_lengths

__all__ = [
    "EstimatedFlow",
    "FittedFlow",
    "basis_for",
    "scatter_of",
    "steadiness",
    "unsteady",
]

_SHIFTED = 1e-3  # probability of a shift between the halves below which an orbit is not stationary
_FEW = 8  # rows, below which blocks in time are compared


@final
class EstimatedFlow(Flow):
    """A flow whose drift is a field in a basis; made by `FlowEstimate.flow`."""

    coefficients: Tensor

    def __init__(self, field: Regression, diffusion: Tensor) -> None:
        super().__init__()
        self.size = field.coefficients.shape[-1]
        self.basis = field.basis
        self.register_buffer("coefficients", field.coefficients)
        self.names = [f.name for f in dataclasses.fields(field.basis)
                      if isinstance(getattr(field.basis, f.name), Tensor)]  # fmt: skip
        for name in self.names:
            self.register_buffer(name, getattr(field.basis, name))
        self.diffusion = diffusion

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., N)."""
        if x is not None:
            raise ValueError("x: expected None, since the estimated flow has no drive; got one")
        moved: Any = {name: getattr(self, name) for name in self.names}
        return dataclasses.replace(self.basis, **moved).combine(u, self.coefficients)

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"size={self.size}, functions={len(self.coefficients)}"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FittedFlow(Result):
    """A drift that was fitted to samples, with a diffusion: the base of what is estimated."""

    drift: Regression
    """F, N fields in a basis of K functions."""
    diffusion: Tensor
    """(N, N), D."""
    kind: str
    """Which part of D the flow has: ``scalar``, ``diagonal`` or ``matrix``."""
    scatter: Tensor
    """(), <dF . D^-1 dF> for the standard errors dF of F: nats per unit of time, the most that they
    add to an entropy production; NaN without noise in every direction."""
    steady: float
    """Probability of a shift as large as that of means and variances from the first to the second
    half of the orbit, if it is stationary (Bonferroni)."""
    samples: int
    """n, states."""
    dt: float
    """Time between two states."""

    @property
    def size(self) -> int:
        """N."""
        return len(self.diffusion)

    @property
    def flow(self) -> EstimatedFlow:
        """The flow: drift and diffusion, for everything that takes one."""
        D = self.diffusion
        if self.kind == "scalar":
            D = D.diagonal().mean()
        elif self.kind == "diagonal":
            D = D.diagonal()
        return EstimatedFlow(self.drift, D)

    def stderr_at(self, u: Tensor) -> Tensor:
        """Return the standard error of the drift (..., N) at the states u (..., N)."""
        return self.drift.stderr_at(u)

    def grid(self, cells: int = 100) -> Grid:
        """Return the box of the splines with `cells` cells along every axis, for `fokker_planck`.

        Raises
        ------
        ValueError
            If the basis has no box.
        """
        basis = self.drift.basis
        if not isinstance(basis, Splines):
            raise ValueError("basis: expected splines, which have a box, got polynomials")
        return Grid(basis.low.tolist(), basis.high.tolist(), cells)

    def scalars(self) -> dict[str, float]:
        """Return the mean diffusion, the scatter and the stationarity."""
        return {
            "diffusion": float(self.diffusion.diagonal().mean()),
            "scatter": float(self.scatter),
            "steady": self.steady,
        }


def basis_for(states: Tensor, basis: int | str, cells: int | None) -> Basis:
    """Return the basis that `estimate_flow` is asked for, for states (n, N)."""
    if isinstance(basis, str):
        checks.one_of("basis", basis, ("splines",))
        return splines(states, cells)
    if cells is not None:
        raise ValueError(f"cells: expected None, since polynomials have none; got {cells}")
    return polynomial(states, basis)


def steadiness(u: Tensor) -> float:
    """Return the probability of the shift of means and variances between the halves of an orbit.

    Rows are compared with themselves; of fewer than 8 rows, blocks in time.
    """
    rows = u.reshape(len(u), -1, u.shape[-1])
    seen = torch.cat([rows, (rows - rows.mean((0, 1))).square()], -1)
    half = len(u) // 2
    if rows.shape[1] >= _FEW:
        shift = seen[-half:].mean(0) - seen[:half].mean(0)
        value, error = mean_and_error(shift)
        freedom = len(shift) - 1
    else:
        blocks = [part.mean((0, 1)) for part in seen.split(block_lengths(len(seen)))]
        middle = len(blocks) // 2
        sides = [torch.stack(side) for side in (blocks[:middle], blocks[-middle:])]
        value = sides[1].mean(0) - sides[0].mean(0)
        error = (sum(side.var(0) for side in sides) / middle) ** 0.5
        freedom = 2 * (middle - 1)
    t = (value.abs() / error.clamp(min=torch.finfo(u.dtype).tiny)).max()
    return min(1.0, float(2 * seen.shape[-1] * scipy.special.stdtr(freedom, -float(t))))


def unsteady(steady: float) -> str:
    """Return what to warn of an orbit whose halves differ so; nothing if they need not."""
    if steady >= _SHIFTED:
        return ""
    return (
        "the orbit is not stationary: its means or variances shift from the first to the second "
        f"half (p = {steady:.1g}); drift and diffusion may hold, averages over the states do not"
    )


def scatter_of(field: Regression, u: Tensor, D: Tensor) -> Tensor:
    """Return the mean of dF . D^-1 dF () over states u (n, N); NaN for a singular D (N, N)."""
    factor, info = torch.linalg.cholesky_ex(D)
    if int(info):
        return D.new_tensor(torch.nan)
    count, _, n = field.deviations.shape
    errors = field.basis.combine(u, field.deviations.permute(1, 0, 2).flatten(1))
    white = torch.linalg.solve_triangular(factor, errors.reshape(-1, n).T, upper=False)
    return white.square().sum() / len(u) * count / (count - 1)
