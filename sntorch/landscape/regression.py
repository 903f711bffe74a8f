r"""Fields from scattered values: least squares in a basis, with errors from independent groups.

For targets y_t at the states u_t, t in groups g (rows, or blocks in time), and H = B^T B + s R,

.. math:: \theta = H^{-1} B^T y, \qquad \delta_g = H^{-1} \big(S_g - \bar S\big), \qquad
          S_g = B_g^T (y_g - B_g \theta),

and the standard error of f(u) = b(u) . theta is the root of G / (G - 1) sum_g (b(u) . delta_g)^2:
correct whatever the spread of y, its dependence on u and its memory within a group are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch.landscape.bases import Basis
from sntorch.results import Result

__all__ = ["Design", "Regression"]

_ENOUGH = 5  # values per function, below which a fit is refused
_CHUNK = 2**24  # numbers of a design held at a time


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Regression(Result):
    """A field in a basis, and how far it may be off."""

    basis: Basis
    """K functions."""
    coefficients: Tensor
    """(K, M)."""
    deviations: Tensor
    """(G, K, M), what each group adds to the coefficients."""

    def at(self, u: Tensor) -> Tensor:
        """Return the field (..., M) at the states u (..., N)."""
        return self.basis.combine(u, self.coefficients)

    def stderr_at(self, u: Tensor) -> Tensor:
        """Return its standard error (..., M) at u (..., N)."""
        count, _, fields = self.deviations.shape
        found = u.new_zeros(*u.shape[:-1], fields)
        for each in self.deviations:
            found += self.basis.combine(u, each).square()
        return (found * count / (count - 1)).sqrt()

    def mixed(self, weights: Tensor) -> Regression:
        """Return the field with M' components that are sums of these, weights (M, M')."""
        both = {
            "coefficients": self.coefficients @ weights,
            "deviations": self.deviations @ weights,
        }
        return dataclasses.replace(self, **both)


class Design:
    """The functions of a basis at the states of groups, whose normal equations are solved once.

    Parameters
    ----------
    basis
        K functions.
    states
        (n_g, N) of at least two groups.
    smoothing
        s, weight of the roughness, in values: cells with more than s of them decide themselves.

    Raises
    ------
    ValueError
        If there are fewer than 5 values per function and nothing smooths, or too few groups.
    """

    def __init__(self, basis: Basis, states: list[Tensor], smoothing: float = 0.0) -> None:
        rough, count = basis.roughness(), sum(map(len, states))
        if count < _ENOUGH * basis.count and (rough is None or smoothing == 0):
            raise ValueError(
                f"trajectory: expected at least {_ENOUGH} steps for each of {basis.count} "
                f"functions, got {count} steps"
            )
        if len(states) < 2:
            raise ValueError("trajectory: expected at least two rows or blocks, got one")
        self.basis, self.states = basis, states
        self._rows = max(1, _CHUNK // basis.entries)
        small = count <= self._rows
        self._kept = [list(self._made(u)) for u in states] if small else None
        gram = np.zeros((basis.count, basis.count))
        for g in range(len(states)):
            for B in self._designs(g):
                gram += _dense(B.T @ B)
        self._solve = _solver(gram if rough is None else gram + smoothing * rough)

    def fit(self, targets: list[Tensor]) -> Regression:
        """Return the fit to targets (n_g, M), one for every group."""
        moment = sum(B.T @ y for g in range(len(targets)) for B, y in self._pairs(g, targets[g]))
        theta = self._solve(moment)
        scores = np.stack([
            sum(B.T @ (y - B @ theta) for B, y in self._pairs(g, target))
            for g, target in enumerate(targets)
        ])  # fmt: skip
        scores -= scores.mean(0)
        deviations = np.stack([self._solve(score) for score in scores])
        like = self.states[0]
        return Regression(
            basis=self.basis,
            coefficients=torch.from_numpy(theta).to(like),
            deviations=torch.from_numpy(deviations).to(like),
        )

    def residuals(self, field: Regression, targets: list[Tensor]) -> list[Tensor]:
        """Return targets (n_g, M) less what the field is at the states."""
        theta = field.coefficients.double().numpy()
        return [
            torch.from_numpy(np.concatenate([y - B @ theta for B, y in self._pairs(g, target)]))
            for g, target in enumerate(targets)
        ]

    def _designs(self, g: int) -> Iterable[Any]:
        """Return the designs (n, K) of a group, in pieces that fit the memory."""
        return self._made(self.states[g]) if self._kept is None else self._kept[g]

    def _made(self, u: Tensor) -> Iterable[Any]:
        return map(self.basis.design, u.split(self._rows))

    def _pairs(self, g: int, target: Tensor) -> Iterable[tuple[Any, NDArray[Any]]]:
        """Return the designs of a group with their targets (n, M)."""
        parts = (part.numpy() for part in target.split(self._rows))
        return zip(self._designs(g), parts, strict=True)


def _dense(matrix: Any) -> Any:
    return matrix.toarray() if scipy.sparse.issparse(matrix) else matrix


def _solver(H: Any) -> Any:
    """Return the function that solves H x = b, H scaled to a unit diagonal."""
    scale = 1 / np.sqrt(np.maximum(np.diag(H), np.finfo(float).tiny))
    try:
        factor = scipy.linalg.cho_factor(H * scale[:, None] * scale)
    except np.linalg.LinAlgError:
        raise ValueError(
            "trajectory: expected states that span the space of the basis, got fewer directions"
        ) from None
    return lambda b: scale[:, None] * scipy.linalg.cho_solve(factor, scale[:, None] * b)
