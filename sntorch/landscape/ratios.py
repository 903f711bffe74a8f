"""Forward over backward probability of the steps of a noisy map, with gradients where wanted."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["log_ratios", "reaches_everywhere", "weighted"]


def log_ratios(states: Tensor, mapped: Tensor, sigma: Tensor) -> Tensor:
    """Return the logarithm of that ratio for every step and neuron, in nats.

    Parameters
    ----------
    states
        Successive states (T, ..., N).
    mapped
        F at these states.
    sigma
        The noise, as `noise_of` gives it, which reaches every neuron.

    Returns
    -------
    Tensor
        (T - 1, ..., N); the parts of the neurons are those of `sntorch.landscape.entropy`.
    """
    drift, step = mapped - states, states.diff(dim=0)
    own = drift * weighted(drift, sigma) / 2
    return weighted(step, sigma) * (drift[:-1] + drift[1:]) + own.diff(dim=0)


def weighted(difference: Tensor, sigma: Tensor) -> Tensor:
    """Return S^-1 applied to differences (..., N) of states, for a noise as `noise_of` gives it."""
    if sigma.ndim < 2:
        return difference / sigma.square()
    return difference @ torch.cholesky_inverse(torch.linalg.cholesky(sigma @ sigma.mT))


def reaches_everywhere(sigma: Tensor) -> bool:
    """Tell whether noise drives every direction of the state."""
    if sigma.ndim < 2:
        return bool((sigma > 0).all())
    return int(torch.linalg.matrix_rank(sigma)) == len(sigma)
