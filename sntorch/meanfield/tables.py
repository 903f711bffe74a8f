r"""Flat tables of B networks of P populations, as the equations consume them.

The law of a neuron in population a is given by its mean and covariance, which follow from

.. math:: \mu_a(t+1) &= \gamma_a \mu_a(t) + \sum_b \bar J_{ab} E f_b - \theta_a, \\
          C_a(t,s) &= \sum_b S_{ab}^2 E[f_b(t) f_b(s)] + s_{\theta,a}^2 + \sigma_a^2 \delta_{ts},

C the covariance of the field that a neuron adds to gamma u.  At a fixed point of the network
u (1 - gamma) is the field: without leak, the same network with all of this divided by 1 - gamma has
the same fixed points (`Tables.rescaled`).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from sntorch.meanfield.averages import AVERAGES, Moments, intervals, levels, moments
from sntorch.meanfield.record import Number, Parameters, domain, real
from sntorch.transfer import Transfer

__all__ = ["Tables", "read"]


@dataclasses.dataclass(frozen=True)
class Tables:
    """Numbers (B, P) of populations and weights (B, P, P), to the first from the second."""

    phi: Transfer
    gain: Tensor
    mean: Tensor
    """Jbar."""
    power: Tensor
    """S^2."""
    threshold: Tensor
    static: Tensor
    """s_th^2."""
    noise: Tensor
    """sigma^2."""
    leak: Tensor
    fine: int = 0
    """How much finer than usual the meshes are, see `fineness`."""

    @classmethod
    def of(cls, phi: Transfer, p: Parameters) -> Tables:
        """Return ensembles of one population."""
        return cls(
            phi=phi,
            gain=p.gain[:, None],
            mean=p.mean[:, None, None],
            power=p.std.square()[:, None, None],
            threshold=p.threshold[:, None],
            static=p.static[:, None],
            noise=p.noise.square()[:, None],
            leak=p.leak[:, None],
        )

    def take(self, rows: Tensor) -> Tables:
        """Return the networks at an index or mask."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        part = {name: value[rows] for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **part)

    def rescaled(self) -> Tables:
        """Return the networks without leak that have the same fixed points."""
        keep = 1 - self.leak
        return dataclasses.replace(
            self,
            mean=self.mean / keep.unsqueeze(-1),
            power=self.power / keep.square().unsqueeze(-1),
            threshold=self.threshold / keep,
            static=self.static / keep.square(),
            noise=self.noise / (keep * (1 + self.leak)),
            leak=torch.zeros_like(self.leak),
        )

    def at(self, mu: Tensor, v: Tensor) -> Moments:
        """Return the averages (B, P)."""
        flat = moments(self.phi, *self._laws(mu, v))
        return Moments(**{name: getattr(flat, name).reshape(v.shape) for name in AVERAGES})

    def step(self, mu: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance (B, P) one step later, without leak."""
        mean, square = levels(self.phi, *self._laws(mu, v))
        return self._onward(mean.reshape(v.shape), square.reshape(v.shape))

    def drive(self, mean: Tensor) -> Tensor:
        """Return the mean (B, P) of the field where f has the mean (B, P)."""
        return (self.mean @ mean.unsqueeze(-1)).squeeze(-1) - self.threshold

    def field(self, products: Tensor) -> Tensor:
        """Return the covariance (B, P, L) of the field, without noise, for E f f (B, P, L)."""
        return self.power @ products + self.static.unsqueeze(-1)

    def image(self, at: Moments) -> tuple[Tensor, Tensor]:
        """Return the same from averages that are known."""
        return self._onward(at.mean, at.square)

    def jacobian(self, at: Moments) -> Tensor:
        """Return the derivative (B, 2P, 2P) of the map of (mu, v)."""
        upper = torch.cat([self.mean * at.slope[:, None], self.mean * at.mean_v[:, None]], -1)
        lower = [self.power * at.square_mu[:, None], self.power * at.square_v[:, None]]
        return torch.cat([upper, torch.cat(lower, -1)], -2)

    def _laws(self, mu: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """Return gain, mean and variance (B P,), and a mesh for all of them."""
        gain, wide = self.gain.flatten(), v.flatten()
        return gain, mu.flatten(), wide, int(intervals(gain, wide, self.fine).max())

    def _onward(self, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
        return self.drive(mean), self.field(square.unsqueeze(-1)).squeeze(-1) + self.noise


def read(
    phi: Transfer, std: Number, mean: Number, **vectors: Number
) -> tuple[Tables, tuple[int, ...]]:
    """Return checked flat tables and the batch axes of the arguments.

    `vectors` are gain, threshold, threshold_std, noise and leak, a number or (..., P) each.

    Raises
    ------
    ValueError
        On wrong numbers, and tables that do not match.
    """
    S = real("std", std, low=0.0)
    if S.ndim < 2 or S.shape[-1] != S.shape[-2]:
        raise ValueError(f"std: expected a square table (..., P, P), got {tuple(S.shape)}")
    P = S.shape[-1]
    Jbar = real("mean", mean)
    if Jbar.ndim and Jbar.shape[-2:] != (P, P):
        raise ValueError(f"mean: expected a number or (..., {P}, {P}), got {tuple(Jbar.shape)}")
    numbers = {name: domain(name, value) for name, value in vectors.items()}
    for name, value in numbers.items():
        if value.ndim and value.shape[-1] not in (1, P):
            raise ValueError(f"{name}: expected a number or (..., {P}), got {tuple(value.shape)}")
    shapes = [t.shape[:-2] for t in (S, Jbar)] + [t.shape[:-1] for t in numbers.values()]
    try:
        batch = np.broadcast_shapes(*map(tuple, shapes))
    except ValueError:
        raise ValueError(
            f"arguments: expected batch axes that broadcast, got {list(map(tuple, shapes))}"
        ) from None
    wide = {name: t.expand(*batch, P).reshape(-1, P) for name, t in numbers.items()}
    tables = Tables(
        phi=phi,
        gain=wide["gain"],
        mean=Jbar.expand(*batch, P, P).reshape(-1, P, P),
        power=S.square().expand(*batch, P, P).reshape(-1, P, P),
        threshold=wide["threshold"],
        static=wide["threshold_std"].square(),
        noise=wide["noise"].square(),
        leak=wide["leak"],
    )
    return tables, batch
