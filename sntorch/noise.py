r"""Additive noise: the one place where it is read from a dynamics, and where it is added.

.. math:: u(t+1) = F(u(t), x(t)) + \sigma B(t), \qquad B_i(t) \sim N(0, 1) \text{ independent,}

with sigma a number, (N,), or a matrix (N, N) for noise of covariance sigma sigma^T.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sntorch import checks

__all__ = ["add_noise", "draw_noise", "noise_of"]


class _Noisy(Protocol):
    @property
    def noise(self) -> float | Tensor: ...


def add_noise(u: Tensor, sigma: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Return u + sigma B with one contiguous draw of B in the shape of u."""
    if sigma is None:
        return u
    B = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    return u + (B @ sigma.mT if sigma.ndim == 2 else sigma * B)


def draw_noise(place: Tensor, sigma: Tensor | None, generator: torch.Generator | None) -> None:
    """Write sigma B into a contiguous place (..., N): the numbers that `add_noise` would add."""
    if sigma is None:
        place.zero_()
        return
    place.normal_(generator=generator)
    place.copy_(place @ sigma.mT) if sigma.ndim == 2 else place.mul_(sigma)


def noise_of(f: _Noisy, u: Tensor) -> Tensor | None:
    """Return the noise of f as a tensor like u: scalar, (N,) or (N, N); None where it is all zero.

    Raises
    ------
    ValueError
        If the noise is of another shape, not finite, or negative where it is no matrix.
    """
    sigma = torch.as_tensor(f.noise, dtype=u.dtype, device=u.device)
    n = u.shape[-1]
    if sigma.shape not in ((), (n,), (n, n)):
        raise ValueError(
            f"noise: expected a number, ({n},) or ({n}, {n}), got {tuple(sigma.shape)}"
        )
    checks.finite("noise", sigma)
    if sigma.ndim < 2 and bool((sigma < 0).any()):
        raise ValueError(f"noise: expected >= 0, got {float(sigma.min())}")
    return sigma if sigma.requires_grad or bool((sigma != 0).any()) else None
