r"""Fluctuation and dissipation: how far spontaneous fluctuations tell what a network answers.

In linear networks, and in large chaotic ones nearly, spontaneous fluctuations decay as a response
does (quasi-Gaussian relation):

.. math:: C(\tau) = K(\tau)\, C(0), \qquad C(\tau) = E[\delta u(t+\tau)\, \delta u(t)^\top].

C(0) may be nearly singular: the two sides are compared as they stand, and nothing is inverted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.blocks import Moments
from sntorch.analysis.kernels import LinearResponse
from sntorch.results import Result, block_lengths

__all__ = ["FluctuationDissipation", "fluctuation_dissipation"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FluctuationDissipation(Result):
    """How far the response is from what spontaneous fluctuations tell, lag by lag."""

    correlation: Tensor
    """(lags + 1, N, N), C(tau)."""
    difference: Tensor
    """(lags + 1, N, N), C(tau) - K(tau) C(0); zero at lag 0."""
    stderr: Tensor
    """(lags + 1, N, N), of the difference, with the errors of orbit and kernel."""

    @property
    def violation(self) -> Tensor:
        """Norm of the difference over that of C(tau) (lags + 1,), its errors taken out."""
        square = (self.difference.square() - self.stderr.square()).sum((-2, -1)).clamp(min=0)
        return (square / self.correlation.square().sum((-2, -1))).sqrt()

    @property
    def floor(self) -> Tensor:
        """Norm of the errors over that of C(tau) (lags + 1,): no smaller violation is seen."""
        noise = self.stderr.square().sum((-2, -1))
        return (noise / self.correlation.square().sum((-2, -1))).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the violation at lag 1, the largest one, and the floor at lag 1."""
        return {
            "violation": float(self.violation[1]),
            "violation_max": float(self.violation.max()),
            "floor": float(self.floor[1]),
        }


def fluctuation_dissipation(response: LinearResponse, orbit: Tensor) -> FluctuationDissipation:
    """Return how far K(tau) is from C(tau) C(0)^-1, without inverting anything.

    Parameters
    ----------
    response
        The kernel, from `linear_response`.
    orbit
        Stationary states (T, ..., N) of the same dynamics without a signal, from `rollout`.

    Raises
    ------
    ValueError
        If the orbit is shorter than 40 times the lags, not finite, or of another N.

    References
    ----------
    R. Kubo, Rep. Prog. Phys. 29 (1966) 255.  B. Cessac, J.-A. Sepulchre, Physica D 225 (2007) 13.

    Examples
    --------
    >>> import sntorch as snt
    >>> ou = snt.as_dynamics(lambda u: 0.5 * u, noise=1.0)
    >>> found = snt.analysis.linear_response(ou, torch.zeros(2), lags=3, samples=40)
    >>> test = fluctuation_dissipation(found, snt.rollout(ou, torch.zeros(50, 2), 500))
    >>> bool(test.violation[1] < 0.05)
    True
    """
    checks.instance("response", response, LinearResponse)
    kernel, lags = response.kernel, len(response.kernel) - 1
    checks.finite("orbit", checks.floating("orbit", orbit, ndim=2))
    checks.same_kind("orbit", orbit, kernel, "the response")
    if orbit.shape[-1] != kernel.shape[-1] or len(orbit) < 40 * lags:
        raise ValueError(
            f"orbit: expected (T, ..., {kernel.shape[-1]}), T >= {40 * lags}, "
            f"got {tuple(orbit.shape)}"
        )
    states = orbit.reshape(len(orbit), -1, orbit.shape[-1])
    states = states - states.mean((0, 1))
    differences, correlation = Moments(), torch.zeros_like(kernel)
    total = len(orbit) - lags
    for start, length in _spans(block_lengths(total)):
        found = _correlations(states, start, length, lags)
        correlation.add_(found, alpha=length / total)
        differences.add(found.sub_(kernel @ found[0]), length)
    difference, error = differences.result()
    through_kernel = response.stderr.square() @ correlation[0].square()
    stderr = (error.square() + through_kernel).sqrt()
    return FluctuationDissipation(correlation=correlation, difference=difference, stderr=stderr)


def _spans(lengths: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for length in lengths:
        yield start, length
        start += length


def _correlations(states: Tensor, start: int, length: int, lags: int) -> Tensor:
    """Return C(tau) (lags + 1, N, N) over `length` steps from `start`, all rows together."""
    size = states.shape[-1]
    now = states[start : start + length].reshape(-1, size)
    later = (states[start + lag : start + lag + length] for lag in range(lags + 1))
    return torch.stack([part.reshape(-1, size).T @ now / len(now) for part in later])
