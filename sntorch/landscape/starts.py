"""Gaussian solutions with which learned potentials begin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch.dynamics import Dynamics
from sntorch.flows import Flow, as_flow
from sntorch.landscape.metric import map_noise, metric_of
from sntorch.noise import noise_of

__all__ = ["gaussian_start", "moments", "raised", "root"]

_SMALLEST = 1e-6  # of the largest, below which curvatures and variances are raised


def gaussian_start(
    f: object, states: Tensor, x: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return mean (N,) and covariance (N, N) of the states, K (N, N) > 0, and a height of V.

    For a flow with noise V = (u - mean) K (u - mean) / 2 has the least EPR loss of all quadratics
    about the mean: with the drift F and d = u - mean, G K C + C K G = -(<F d^T> + <d F^T>).  For a
    map K = Db C^-1, and without noise Db = 1.  Where scatter makes K indefinite its curvatures are
    raised to 1e-6 of the largest.  The height is the root mean square of F . d over sqrt(N), for a
    linear flow about Db sqrt(N).
    """
    g: Dynamics | Flow = f if isinstance(f, Dynamics) else as_flow(f)
    mean, C = moments(states)
    u = states.detach().reshape(-1, states.shape[-1])
    n, d = u.shape[-1], u - mean
    if isinstance(g, Dynamics) or not bool((torch.as_tensor(g.diffusion) != 0).any()):
        noisy = isinstance(g, Dynamics) and noise_of(g, u) is not None
        scale = map_noise(g, u)[1] if isinstance(g, Dynamics) and noisy else 1.0
        K, height = scale * torch.linalg.inv(raised(C)), scale * math.sqrt(n)
    else:
        metric, F = metric_of(g, u), g.drift(u, x)
        K = _least(
            C, F.mT @ d / len(u), root(metric.push(torch.eye(n, dtype=u.dtype, device=u.device)))
        )
        height = float((F * d).sum(-1).square().mean().sqrt()) / math.sqrt(n)
    return mean, C, raised(K), height


def moments(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (N,) and covariance (N, N) of at least N + 2 states (..., N)."""
    u = states.detach().reshape(-1, states.shape[-1])
    n = u.shape[-1]
    if len(u) < n + 2:
        raise ValueError(f"states: expected at least N + 2 = {n + 2} of them, got {len(u)}")
    d = u - u.mean(0)
    return u.mean(0), d.mT @ d / len(u)


def _least(C: Tensor, M: Tensor, wide: Tensor) -> Tensor:
    """Return K with G K C + C K G = -(M + M^T), G the square of `wide`."""
    inverse = torch.linalg.inv(wide)
    values, vectors = torch.linalg.eigh(inverse @ C @ inverse)
    turned = vectors.mT @ inverse @ -(M + M.mT) @ inverse @ vectors
    inner = turned / (values[:, None] + values).clamp(min=1e-12 * float(values.max()))
    return inverse @ vectors @ inner @ vectors.mT @ inverse


def raised(K: Tensor) -> Tensor:
    """Return a symmetric matrix with all eigenvalues at least 1e-6 of the largest, which is > 0."""
    values, vectors = torch.linalg.eigh((K + K.mT) / 2)
    floor = (_SMALLEST * values.max()).clamp(min=torch.finfo(K.dtype).tiny)
    return vectors @ torch.diag(torch.maximum(values, floor)) @ vectors.mT


def root(S: Tensor) -> Tensor:
    """Return the symmetric root of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh((S + S.mT) / 2)
    return vectors @ torch.diag(values.sqrt()) @ vectors.mT
