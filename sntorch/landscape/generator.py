r"""A flow with noise on a grid as a process of jumps between neighbouring cells.

Scharfetter and Gummel's finite volumes.  Across the face between the cells i and i + 1 at the
distance h, with the drift F and the diffusion D on the face, the current per area is that of the
one-dimensional stationary problem with constant F and D,

.. math:: J = \frac{1}{h} \big( B(-z)\, D_i P_i - B(z)\, D_{i+1} P_{i+1} \big), \qquad
          z = F h / D, \qquad B(z) = \frac{z}{e^z - 1},

in the sense of Ito where D depends on the state.  So L, dp/dt = L p for the probabilities p of the
cells, is the generator of a Markov process at every z: p stays positive, its sum 1.  Walls reflect.

==========  ==============================================  =======================
symbol      meaning                                         shape
==========  ==============================================  =======================
``P``       probability density at the centres of cells     (\*cells,)
``up``      rate of jumps from i to i + 1 along an axis     one fewer along it
``down``    rate of jumps from i + 1 to i                   one fewer along it
``L``       generator, columns add up to zero               sparse, (cells, cells)
==========  ==============================================  =======================

The stationary P solves L P = 0.  Inverse iteration with a shift far below the spectral gap finds it
in a few steps, and the same factors give the slow modes.

D. L. Scharfetter, H. K. Gummel, IEEE Trans. Electron Devices 16 (1969) 64; B for drift and
diffusion on a face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from sntorch.landscape.grid import Grid

__all__ = ["Jumps", "factors", "jumps", "slow_modes", "stationary"]

Array = NDArray[Any]
Matrix = Any  # sparse; scipy does not say what its members are
Solve = Callable[[Array], Array]


_DIRECT = (np.inf, 400_000, 20_000)  # cells up to which factors are cheap, in 1, 2, 3 dimensions
_SHIFT = {"direct": 1e-13, "iterative": 1e-6}  # of the largest rate
_ITERATIONS = 60
_SETTLED = 1e-11
_SOLVED = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Jumps:
    """Rates of jumps across the faces of every axis."""

    grid: Grid
    up: tuple[Array, ...]
    down: tuple[Array, ...]
    force: tuple[Array, ...]
    """z on the faces of every axis: what one jump up gains in -ln (D P)."""
    diffusion: Array
    """(*cells, d), at the centres."""

    @property
    def matrix(self) -> Matrix:
        """The generator L on the flattened cells."""
        index = np.arange(self.diffusion[..., 0].size).reshape(self.grid.cells)
        rows, columns, rates = [], [], []
        for axis, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            here, there = (part.ravel() for part in neighbours(index, axis))
            for source, target, rate in ((here, there, up), (there, here, down)):
                rows += [target, source]
                columns += [source, source]
                rates += [rate.ravel(), -rate.ravel()]
        entries = np.concatenate(rates), (np.concatenate(rows), np.concatenate(columns))
        return scipy.sparse.csc_matrix(entries, shape=(index.size, index.size))

    def currents(self, P: Array) -> tuple[Array, ...]:
        """Return the flux across the faces of every axis, per area and unit of time."""
        found = []
        for axis, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            here, there = neighbours(P, axis)
            found.append(self.grid.spacing[axis] * (up * here - down * there))
        return tuple(found)

    def entropy_production(self, P: Array) -> float:
        """Return the sum over faces of the current times the log ratio of its two directions."""
        total = 0.0
        for axis, (current, force) in enumerate(zip(self.currents(P), self.force, strict=True)):
            here, there = neighbours(P * self.diffusion[..., axis], axis)
            seen = (here > np.finfo(float).tiny) & (there > np.finfo(float).tiny)
            ratio = force[seen] + np.log(here[seen] / there[seen])
            total += float((current[seen] * ratio).sum()) / self.grid.spacing[axis]
        return total * self.grid.volume


def jumps(grid: Grid, drift: list[Array], centres: Array, faces: list[Array]) -> Jumps:
    """Return the rates from drift and diffusion.

    Parameters
    ----------
    grid
        The grid.
    drift, faces
        F and D of an axis on the faces across it.
    centres
        D (*cells, d) at the centres.
    """
    up, down, forces = [], [], []
    for axis, h in enumerate(grid.spacing):
        z = drift[axis] * h / faces[axis]
        here, there = neighbours(centres[..., axis], axis)
        up.append(here * bernoulli(-z) / h**2)
        down.append(there * bernoulli(z) / h**2)
        forces.append(z)
    return Jumps(grid, tuple(up), tuple(down), tuple(forces), centres)


def bernoulli(z: Array) -> Array:
    """Return z / (exp(z) - 1) without cancellation at 0 or overflow."""
    return 1 / scipy.special.exprel(z)


def neighbours(values: Array, axis: int) -> tuple[Array, Array]:
    """Return the values on the lower and on the upper side of the faces across an axis."""
    n = values.shape[axis]
    return values.take(range(n - 1), axis), values.take(range(1, n), axis)


def factors(L: Matrix, shift: complex, solver: str) -> Solve:
    """Return a function that solves (shift - L) x = b, by factors or by iteration."""
    eye = scipy.sparse.identity(L.shape[0], format="csc")
    M = (shift * eye - L).tocsc()
    # The columns are diagonally dominant: no pivoting, and x >= 0 for b >= 0.
    settings: Any = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    settings["permc_spec"] = "MMD_AT_PLUS_A"
    if solver == "direct":
        return scipy.sparse.linalg.splu(M, **settings).solve
    rough = scipy.sparse.linalg.spilu(M, drop_tol=0.01, fill_factor=5, **settings)
    inner = scipy.sparse.linalg.LinearOperator(M.shape, rough.solve, dtype=M.dtype)
    return lambda b: scipy.sparse.linalg.bicgstab(M, b, M=inner, rtol=_SOLVED, maxiter=500)[0]


def solver_for(grid: Grid) -> str:
    """Return whether factors of the generator are cheap enough."""
    cheap = np.prod(grid.cells) <= _DIRECT[grid.dimension - 1]
    return "direct" if cheap else "iterative"


def stationary(L: Matrix, solver: str) -> tuple[Array, bool, float, Solve]:
    """Return the stationary probabilities, whether they settled, the shift, and the solver at it.

    A basin that is left more rarely than once per 1 / shift keeps the weight it had at the start.
    """
    shift = _SHIFT[solver] * float(np.abs(L.diagonal()).max())
    solve = factors(L, shift, solver)
    p = np.full(L.shape[0], 1 / L.shape[0])
    settled = False
    for _ in range(_ITERATIONS):
        new = np.clip(solve(p), 0, None)
        new /= new.sum()
        settled = bool(np.abs(new - p).sum() < _SETTLED)
        p = new
        if settled:
            break
    return p, settled, shift, solve


def slow_modes(p: Array, shift: complex, solve: Solve, count: int) -> Array:
    """Return the `count` eigenvalues of L nearest to the shift but 0, NaN if they are not found.

    In descending order of their real parts.
    """
    kind = complex if isinstance(shift, complex) else float

    def deflated(b: Array) -> Array:
        x = solve((b - p * b.sum()).astype(kind))
        return x - p * x.sum()

    inverse = scipy.sparse.linalg.LinearOperator((len(p), len(p)), deflated, dtype=kind)
    start = np.cos(np.arange(len(p), dtype=float)).astype(kind)  # leaves every random stream alone
    try:
        found = scipy.sparse.linalg.eigs(
            inverse, k=count, v0=start, return_eigenvectors=False, tol=1e-9
        )
    except scipy.sparse.linalg.ArpackNoConvergence as error:
        known = np.full(count, np.nan, dtype=complex)
        known[: len(error.eigenvalues)] = error.eigenvalues
        found = known
    values = shift - 1 / found
    return values[np.argsort(-values.real)]
