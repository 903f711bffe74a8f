r"""How a kick is carried along an orbit: tangents, and replicas under the same noise.

See `sntorch.analysis.response` for what is made of them.  `tangents` and `replicas` yield states
u(t+1), u(t+2), ... (R, N) with noise sigma from a stream, and what became of unit kicks on every
neuron, (R, N, N).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sntorch.cells import SNTCell
from sntorch.couplings.layers import Coupling
from sntorch.dynamics import Dynamics
from sntorch.noise import add_noise, noise_of

__all__ = [
    "from_slopes",
    "noise_precision",
    "paired_replicas",
    "replicas",
    "summed_jacobian",
    "tangents",
]


def tangents(
    f: Dynamics, u: Tensor, x: Tensor | None, sigma: Tensor | None, stream: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield states and tangents DF^tau of tau = 1, 2, ... steps."""
    if isinstance(f, SNTCell):
        # A product less: that with the identity.
        value, V = f.map(u, x), from_slopes(f, _slopes(f, u))
    else:
        value, V = f.jvp(u, _identity(u).expand(*u.shape, -1), x)
    while True:
        u = add_noise(value, sigma, stream)
        yield u, V
        value, V = f.jvp(u, V, x)


def replicas(
    f: Dynamics,
    u: Tensor,
    x: Tensor | None,
    sigma: Tensor | None,
    stream: torch.Generator,
    amplitude: float,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield states and differences of replicas kicked by +-amplitude on every neuron."""
    kick = amplitude * _identity(u)
    kicked = u[:, None] + torch.stack([kick, -kick])[:, None]  # (2, R, j, i)
    while True:
        value = f.map(u, x)
        u = add_noise(value, sigma, stream)
        kicked = f.map(kicked, x) + (u - value)[:, None]
        yield u, ((kicked[0] - kicked[1]) / (2 * amplitude)).mT


def summed_jacobian(f: Dynamics, u: Tensor, x: Tensor | None) -> Tensor:
    """Return the sum of DF over rows (N, N); of an SNT cell, that of the slopes f' (N,) alone."""
    return (_slopes(f, u) if isinstance(f, SNTCell) else f.jacobian(u, x)).sum(0)


def from_slopes(f: Dynamics, slopes: Tensor) -> Tensor:
    """Return DF (..., N, N) = leak + J f' for slopes (..., N); what is DF already is left alone."""
    if not isinstance(f, SNTCell):
        return slopes
    J = f.coupling
    J = J.to_dense() if isinstance(J, Coupling) else J
    return J * slopes.unsqueeze(-2) + f.leak.expand(slopes.shape[-1]).diag_embed()


def paired_replicas(
    f: Dynamics,
    u: Tensor,
    signals: Tensor,
    sources: Tensor,
    amplitude: float,
    x: Tensor | None,
    stream: torch.Generator,
) -> Iterator[Tensor]:
    """Yield (S, R, N), half the difference of replicas under +-epsilon signals, over epsilon.

    Item t is that of u(t+1), for u (R, N), the same `signals` (T,) on each of `sources` (S,), and
    one noise for all replicas of a row: noise and even powers of epsilon drop out.
    """
    sigma = noise_of(f, u)
    kick = u.new_zeros(len(sources), 1, u.shape[-1])
    kick[torch.arange(len(sources)), 0, sources] = amplitude
    kick = torch.stack([kick, -kick])
    pair = u.expand(2, len(sources), *u.shape)
    for value in signals:
        noise = add_noise(torch.zeros_like(u), sigma, stream)
        pair = f.map(pair, x) + noise + value * kick
        yield (pair[0] - pair[1]) / (2 * amplitude)


def _slopes(f: SNTCell, u: Tensor) -> Tensor:
    return f.gain * f.transfer.with_derivative(f.gain * u)[1]


def _identity(u: Tensor) -> Tensor:
    return torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)


def noise_precision(sigma: Tensor | None) -> Tensor:
    """Return the inverse of sigma sigma^T: () or (N,) where it is diagonal."""
    if sigma is None or (sigma.ndim < 2 and not bool((sigma > 0).all())):
        raise ValueError(
            "noise: expected > 0 on every neuron, since method 'noise' correlates with it; got 0"
        )
    if sigma.ndim < 2:
        return sigma.detach().square().reciprocal()
    inverse, failed = torch.linalg.inv_ex(sigma.detach() @ sigma.detach().mT)
    condition = float(torch.linalg.cond(sigma.detach()))
    if bool(failed) or condition > 0.1 / torch.finfo(sigma.dtype).eps ** 0.5:
        raise ValueError(f"noise: expected a matrix of full rank, got condition {condition:.1e}")
    return inverse
