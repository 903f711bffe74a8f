r"""Functions of states that a field is written in: polynomials for any N, splines for N <= 3.

.. math:: f(u) = \sum_{k=1}^K b_k(u)\, \theta_k

Polynomials are of the standardised state (u - centre) / scale, all terms up to a degree: N + 1 of
them for degree 1.  Splines are cubic, products over the axes of the bumps of equally spaced knots,
cells + 3 along an axis; beyond their box they stay what they are at its wall.  The roughness of a
spline is the sum of squared second differences of its coefficients: a fit that is penalised for it
continues straight where no state was seen.

C. de Boor, A Practical Guide to Splines, Springer 1978; P. H. C. Eilers, B. D. Marx, Stat. Sci. 11
(1996) 89, for the penalty.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.results import Result

__all__ = ["Basis", "Polynomial", "Splines", "polynomial", "splines"]

_MOST = 5000  # functions: their normal equations fill 200 MB
_MARGIN = 0.1  # of the span of the states, added to the box at each end
_CELLS = (12, 12, 8)  # along an axis in 1, 2, 3 dimensions


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Basis(Result, abc.ABC):
    """K functions of states, differentiable."""

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """K."""

    @property
    def entries(self) -> int:
        """How many of them are other than 0 at a state, at most."""
        return self.count

    @abc.abstractmethod
    def features(self, u: Tensor) -> Tensor:
        """Return b (..., K) at the states u (..., N)."""

    def combine(self, u: Tensor, theta: Tensor) -> Tensor:
        """Return b . theta (..., M) at u (..., N) for coefficients (K, M)."""
        return self.features(u) @ theta

    def design(self, u: Tensor) -> Any:
        """Return b (n, K) at n states as an array, dense or sparse."""
        return self.features(u).numpy()

    def roughness(self) -> NDArray[Any] | None:
        """Return R (K, K), theta . R theta what a fit is penalised for; None for nothing."""
        return None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Polynomial(Basis):
    """All monomials of the standardised state up to a degree."""

    centre: Tensor
    """(N,)."""
    scale: Tensor
    """(N,)."""
    degree: int
    """Highest degree, at least 1."""

    @property
    def count(self) -> int:
        """(N + degree)! / (N! degree!)."""
        return math.comb(len(self.centre) + self.degree, self.degree)

    def features(self, u: Tensor) -> Tensor:
        """Return the monomials (..., K), 1 first."""
        z = (u - self.centre) / self.scale
        found = [torch.ones_like(z[..., :1]), z]
        for terms in _terms(len(self.centre), self.degree):
            product = z[..., terms[0]]
            for factor in terms[1:]:
                product = product * z[..., factor]
            found.append(product)
        return torch.cat(found, -1)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Splines(Basis):
    """Cubic splines on a box of one to three dimensions."""

    low: Tensor
    """(N,), lower corner of the box."""
    width: Tensor
    """(N,), of a cell along every axis."""
    cells: tuple[int, ...]
    """Along every axis."""

    @property
    def count(self) -> int:
        """Product of cells + 3 over the axes."""
        return math.prod(n + 3 for n in self.cells)

    @property
    def entries(self) -> int:
        """4^N."""
        return 4 ** len(self.cells)

    @property
    def high(self) -> Tensor:
        """Upper corner of the box (N,)."""
        return self.low + self.width * self.low.new_tensor(self.cells)

    def features(self, u: Tensor) -> Tensor:
        """Return the products of bumps (..., K)."""
        first, *rest = self._along(u)
        for bumps in rest:
            first = (first.unsqueeze(-1) * bumps.unsqueeze(-2)).flatten(-2)
        return first

    def combine(self, u: Tensor, theta: Tensor) -> Tensor:
        """Return b . theta (..., M), axis by axis."""
        first, *rest = self._along(u)
        value = first @ theta.reshape(first.shape[-1], -1)
        for bumps in rest:
            inner = value.reshape(*value.shape[:-1], bumps.shape[-1], -1)
            value = (bumps.unsqueeze(-1) * inner).sum(-2)
        return value

    def design(self, u: Tensor) -> Any:
        """Return b (n, K) as a sparse array with 4^N entries in a row."""
        s = ((u - self.low) / self.width).double().numpy()
        columns, weights = np.zeros((len(s), 1), dtype=np.int64), np.ones((len(s), 1))
        for a, n in enumerate(self.cells):
            cell = np.clip(np.floor(s[:, a]), 0, n - 1)
            t = np.clip(s[:, a] - cell, 0, 1)
            near = _near(t)
            index = cell.astype(np.int64)[:, None] + np.arange(4)
            columns = (columns[:, :, None] * (n + 3) + index[:, None, :]).reshape(len(s), -1)
            weights = (weights[:, :, None] * near[:, None, :]).reshape(len(s), -1)
        rows = np.arange(len(s) + 1) * columns.shape[1]
        shape = (len(s), self.count)
        return scipy.sparse.csr_array((weights.ravel(), columns.ravel(), rows), shape=shape)

    def roughness(self) -> NDArray[Any]:
        """Return R (K, K) of the second differences along all axes."""
        total = np.zeros((self.count, self.count))
        for a, n in enumerate(self.cells):
            second = np.diff(np.eye(n + 3), 2, axis=0)
            parts = [np.eye(m + 3) for m in self.cells]
            parts[a] = second.T @ second
            total += functools.reduce(np.kron, parts)
        return total

    def _along(self, u: Tensor) -> list[Tensor]:
        """Return the bumps (..., cells + 3) of every axis."""
        s = (u - self.low) / self.width
        found = []
        for a, n in enumerate(self.cells):
            knots = torch.arange(-1, n + 2, dtype=u.dtype, device=u.device)
            away = (s[..., a].clamp(0, n).unsqueeze(-1) - knots).abs()
            found.append(((2 - away).clamp(min=0) ** 3 - 4 * (1 - away).clamp(min=0) ** 3) / 6)
        return found


def polynomial(states: Tensor, degree: int) -> Polynomial:
    """Return the polynomials for states (n, N).

    Raises
    ------
    ValueError
        If there are more than 5000 of them, or a neuron does not move.
    """
    degree = checks.count("basis", degree)
    n = states.shape[-1]
    count = math.comb(n + degree, degree)
    if count > _MOST:
        raise ValueError(
            f"basis: expected at most {_MOST} functions, got {count}: lower the degree, or reduce "
            "the coordinates"
        )
    scale = states.std(0)
    if not bool((scale > 0).all()):
        still = int((scale <= 0).nonzero()[0])
        raise ValueError(f"trajectory: expected states that move, got neuron {still} at rest")
    return Polynomial(centre=states.mean(0), scale=scale, degree=degree)


def splines(states: Tensor, cells: int | None = None) -> Splines:
    """Return splines on a box that holds all states (n, N), with a margin of a tenth.

    Raises
    ------
    ValueError
        If N > 3, there are more than 5000 of them, or a neuron does not move.
    """
    n = states.shape[-1]
    if n > 3:
        raise ValueError(f"basis: expected at most 3 neurons for splines, got {n}; use a degree")
    number = _CELLS[n - 1] if cells is None else checks.count("cells", cells, low=2)
    if (number + 3) ** n > _MOST:
        raise ValueError(f"cells: expected at most {_MOST} splines, got {(number + 3) ** n}")
    low, high = states.amin(0), states.amax(0)
    if not bool((high > low).all()):
        still = int((high <= low).nonzero()[0])
        raise ValueError(f"trajectory: expected states that move, got neuron {still} at rest")
    margin = _MARGIN * (high - low)
    width = (high - low + 2 * margin) / number
    return Splines(low=low - margin, width=width, cells=(number,) * n)


@functools.lru_cache(maxsize=16)
def _terms(n: int, degree: int) -> tuple[tuple[list[int], ...], ...]:
    """Return for every degree from 2 on the factors of its monomials, one list per factor."""
    found = []
    for d in range(2, degree + 1):
        factors = list(itertools.combinations_with_replacement(range(n), d))
        found.append(tuple(list(column) for column in zip(*factors, strict=True)))
    return tuple(found)


def _near(t: NDArray[Any]) -> NDArray[Any]:
    """Return the four bumps (n, 4) that are not 0 at the place t in [0, 1] of a cell."""
    first, last = (1 - t) ** 3 / 6, t**3 / 6
    second = 2 / 3 - t * t * (1 - t / 2)
    return np.stack([first, second, 1 - first - second - last, last], -1)
