r"""How noise measures states: D = Db G with tr G = N, and what follows from it at given states.

Learned potentials are stated for P = exp(-V / Db), so that V has the unit of D, and the flux
velocity is :math:`v = F + G \nabla V`.  A diffusion that depends on the state is a diagonal
D_i(u); with it Db = 1, V = U, and the drift that counts is F_i - d_i D_i (Ito).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.differentiable import recording
from sntorch.dynamics import Dynamics
from sntorch.flows import Diffusion, Flow
from sntorch.noise import noise_of

__all__ = ["DiffusionField", "Metric", "map_noise", "metric_of"]

DiffusionField = Callable[[Tensor], Tensor]
"""D_i(u): states (..., N) to (..., N), all positive."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Metric:
    """The diffusion at states (..., N)."""

    D: Tensor
    """(), (N,), (N, N), or (..., N) where it depends on the state."""
    scale: float
    """Db, mean of the diagonal; 1 where D depends on the state."""
    full: bool = False
    """Whether D is a matrix."""
    local: bool = False
    """Whether D depends on the state."""
    divergence: Tensor | float = 0.0
    """d_i D_i (..., N)."""

    def push(self, v: Tensor) -> Tensor:
        """Return G v (..., N)."""
        return v @ (self.D / self.scale) if self.full else v * (self.D / self.scale)

    def square(self, v: Tensor) -> Tensor:
        """Return v . D^-1 v (...)."""
        return self.dot(v, v)

    def dot(self, v: Tensor, w: Tensor) -> Tensor:
        """Return v . D^-1 w (...)."""
        if not self.full:
            return (v * w / self.D).sum(-1)
        return (v * torch.linalg.solve(self.D, w.unsqueeze(-1)).squeeze(-1)).sum(-1)

    def whiten(self, v: Tensor) -> Tensor:
        """Return w (..., N) with |w|^2 = v . D^-1 v."""
        if not self.full:
            return v / torch.sqrt(self.D)
        factor = torch.linalg.cholesky(self.D)
        flat = v.reshape(-1, v.shape[-1]).T
        return torch.linalg.solve_triangular(factor, flat, upper=False).T.reshape(v.shape)

    def directions(self, u: Tensor) -> Tensor:
        """Return vectors d_k, (K, N) or (K, ..., N), with sum_k d_k d_k^T = G at states u."""
        n = u.shape[-1]
        eye = torch.eye(n, dtype=u.dtype, device=u.device)
        if self.full:
            return torch.linalg.cholesky(self.D / self.scale).mT
        root = torch.sqrt(self.D / self.scale)
        return eye * root if root.ndim < 2 else eye.reshape(n, *[1] * (u.ndim - 1), n) * root

    def probes(self, u: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        """Return random d_k (K, ..., N) with the mean sum_k d_k d_k^T = G: Hutchinson's."""
        signs = torch.randint(0, 2, (count, *u.shape), generator=generator, device=u.device)
        signs = (2 * signs - 1).to(u) / count**0.5
        if self.full:
            return signs @ torch.linalg.cholesky(self.D / self.scale).mT
        return signs * torch.sqrt(self.D / self.scale)


def metric_of(flow: Flow, u: Tensor, diffusion: DiffusionField | None = None) -> Metric:
    """Return the metric of a flow at states u (..., N), or that of a diffusion D_i(u).

    Raises
    ------
    ValueError
        If there is no noise, or not in every direction.
    """
    if diffusion is not None:
        return _local(diffusion, u)
    given: Diffusion = flow.diffusion
    D = torch.as_tensor(given, dtype=u.dtype, device=u.device).detach()
    n = u.shape[-1]
    if D.shape not in ((), (n,), (n, n)):
        raise ValueError(f"diffusion: expected a number, ({n},) or ({n}, {n}), got {(*D.shape,)}")
    if not bool((D != 0).any()):
        raise ValueError("diffusion: expected noise, without which there is no density; got 0")
    checks.finite("diffusion", D)
    good = torch.linalg.cholesky_ex(D).info == 0 if D.ndim == 2 else (D > 0).all()
    if not bool(good):
        raise ValueError(
            "diffusion: expected noise in every direction, a positive definite D, got one that is "
            "not"
        )
    mean = D.diagonal().mean() if D.ndim == 2 else D.mean()
    return Metric(D=D, scale=float(mean), full=D.ndim == 2)


def map_noise(f: Dynamics, u: Tensor) -> tuple[Tensor, float]:
    """Return sigma, scalar, (N,) or (N, N), and Db = tr S / (2 N dt).

    Raises
    ------
    ValueError
        Without noise, or not in every direction.
    """
    sigma = noise_of(f, u)
    if sigma is None:
        raise ValueError("noise: expected noise, without which there is no density; got 0")
    sigma = sigma.detach()
    reached = (sigma > 0).all() if sigma.ndim < 2 else torch.linalg.matrix_rank(sigma) == len(sigma)
    if not bool(reached):
        raise ValueError("noise: expected noise in every direction, got none in some")
    variance = sigma.square().sum() / len(sigma) if sigma.ndim == 2 else sigma.square().mean()
    return sigma, float(variance) / (2 * f.dt)


def _local(diffusion: DiffusionField, u: Tensor) -> Metric:
    if not callable(diffusion):
        kind = type(diffusion).__name__
        raise ValueError(
            f"diffusion: expected a function of states, got {kind}; a flow has its own"
        )
    with recording(), torch.no_grad():
        D: Any = diffusion(u)
        if not isinstance(D, Tensor) or D.shape != u.shape:
            got = tuple(D.shape) if isinstance(D, Tensor) else type(D).__name__
            raise ValueError(f"diffusion: expected numbers {tuple(u.shape)}, got {got}")
        if not bool((checks.finite("diffusion", D) > 0).all()):
            raise ValueError(f"diffusion: expected numbers > 0, got {float(D.min()):.4g}")
        eye = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        slopes = torch.vmap(lambda e: torch.func.jvp(diffusion, (u,), (e.expand_as(u),))[1])(eye)
    divergence = slopes.diagonal(dim1=0, dim2=-1)
    return Metric(D=D, scale=1.0, local=True, divergence=divergence)
