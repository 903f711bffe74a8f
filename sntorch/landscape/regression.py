r"""Fields from scattered values: least squares in a basis, with errors from independent groups.

For targets y_t at the states u_t, t in groups g (rows, or blocks in time), and H = B^T B + s R,

.. math:: \theta = H^{-1} B^T y, \qquad \delta_g = H^{-1} \big(S_g - \bar S\big), \qquad
          S_g = B_g^T (y_g - B_g \theta),

and the standard error of f(u) = b(u) . theta is the root of G / (G - 1) sum_g (b(u) . delta_g)^2:
correct whatever the spread of y, its dependence on u and its memory within a group are.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from sntorch.landscape.bases import Basis
from sntorch.results import Result

__all__ = ["Regression", "regress"]

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


def regress(
    basis: Basis, states: list[Tensor], targets: list[Tensor], smoothing: float = 0.0
) -> Regression:
    """Return the fit to targets (n_g, M) at states (n_g, N), one of each per group.

    Parameters
    ----------
    basis
        K functions.
    states, targets
        Of at least two groups.
    smoothing
        s, weight of the roughness, in values: cells with more than s of them decide themselves.

    Raises
    ------
    ValueError
        If there are fewer than 5 values per function and nothing smooths, or too few groups.
    """
    rough, count = basis.roughness(), sum(map(len, states))
    if count < _ENOUGH * basis.count and (rough is None or smoothing == 0):
        raise ValueError(
            f"trajectory: expected at least {_ENOUGH} steps for each of {basis.count} functions, "
            f"got {count} steps"
        )
    if len(states) < 2:
        raise ValueError("trajectory: expected at least two rows or blocks, got one")
    gram = np.zeros((basis.count, basis.count))
    moment = np.zeros((basis.count, targets[0].shape[-1]))
    for B, y in _designs(basis, states, targets):
        gram += _dense(B.T @ B)
        moment += B.T @ y
    H = gram if rough is None else gram + smoothing * rough
    solve = _solver(H)
    theta = solve(moment)
    scores = np.zeros((len(states), *theta.shape))
    for g, pair in enumerate(zip(states, targets, strict=True)):
        for B, y in _designs(basis, *([part] for part in pair)):
            scores[g] += B.T @ (y - B @ theta)
    scores -= scores.mean(0)
    deviations = np.stack([solve(score) for score in scores])
    like = states[0]
    return Regression(
        basis=basis,
        coefficients=torch.from_numpy(theta).to(like),
        deviations=torch.from_numpy(deviations).to(like),
    )


def _designs(basis: Basis, states: list[Tensor], targets: list[Tensor]) -> Any:
    """Yield designs (n, K) with their targets (n, M), in pieces that fit the memory."""
    rows = max(1, _CHUNK // basis.count)
    for u, y in zip(states, targets, strict=True):
        for part, value in zip(u.split(rows), y.split(rows), strict=True):
            yield basis.design(part), value.numpy()


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
