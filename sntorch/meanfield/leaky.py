"""Populations with leak: one stationary mean field, and whether it stays."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield.dynamic import Ring, fluctuating
from sntorch.meanfield.growth import collective, constant_root, largest_root, slope_pairs
from sntorch.meanfield.orbits import arrive, static_overlap
from sntorch.meanfield.tables import Tables

__all__ = ["joined", "stand"]

_LAGS = 64  # on which a fixed point is perturbed
_REST = 1e-10
_SHARES = (1.0, 0.2, 0.04)
_SOLVED = 1e-8  # of 1 + v: the residual


def stand(t: Tables, mu: Tensor, v: Tensor, steps: int) -> dict[str, Tensor]:
    """Return the mean field that is reached from mean and variance (B, P), by name.

    The period is 1 where it is stable, and 0 where it is not.
    """
    scaled = t.rescaled()
    mu, v = arrive(scaled, *_relaxed(scaled, t.leak, mu, v, steps))
    at = scaled.at(mu, v)
    miss = torch.cat(scaled.image(at), -1) - torch.cat([mu, v], -1)
    q, pair = static_overlap(scaled, mu, v)
    W = t.power * at.slope_sq[:, None]
    calm = (constant_root(t.leak, W) <= 1) | (v == 0).all(-1)
    still = (t.noise == 0).all(-1) & calm
    q, pair = torch.where(still[:, None], v, q), torch.where(still[:, None], at.slope_sq, pair)
    parts: list[tuple[Tensor, dict[str, Tensor]]] = []
    for rows in (still.nonzero().squeeze(-1), (~still).nonzero().squeeze(-1)):
        if not len(rows):
            continue
        part, law = t.take(rows), (mu[rows], v[rows])
        if bool(still[rows[0]]):
            flat = law[1].unsqueeze(-1).expand(-1, -1, _LAGS + 1)
            ring = Ring(law[0], flat, miss[rows].abs().amax(-1))
            parts.append((rows, _described(part, ring, q[rows], pair[rows])))
        else:
            ring = fluctuating(part, *law, q[rows], pair[rows])
            law = ring.mu, ring.covariance[..., 0]
            parts.append((rows, _described(part, ring, *static_overlap(part.rescaled(), *law))))
    found = joined(parts)
    stays = found["residual"] <= _SOLVED * (1 + found["variance"].amax(-1))
    return found | {"period": (stays & (found["macroscopic"] <= 0)).to(torch.int64)}


def joined(parts: list[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Return what was found of several sets of rows in the order of all rows.

    Populations are the last axis of orbits and the first after the rows of all else.
    """
    width = max(found["covariances"].shape[-1] for _, found in parts)
    for _, found in parts:
        known, q = found["covariances"], found["overlap"].unsqueeze(-1)
        found["covariances"] = torch.cat([known, q.expand(-1, -1, width - known.shape[-1])], -1)
    order = torch.cat([rows for rows, _ in parts]).argsort()

    def merged(name: str) -> Tensor:
        axis = 1 if name in ("means", "variances") else 0
        return torch.cat([found[name] for _, found in parts], axis).index_select(axis, order)

    return {name: merged(name) for name in parts[0][1]}


def _relaxed(
    scaled: Tables, leak: Tensor, mu: Tensor, v: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Return mean and variance at rest, or after as many steps with leak, and with more of it.

    Where the mean field oscillates, more leak leads to the fixed point in the middle.
    """
    for share in _SHARES:
        pace = share * (1 - leak)
        for _ in range(steps):
            mean, variance = scaled.step(mu, v)
            step = torch.stack([pace * (mean - mu), pace * (variance - v)])
            mu, v = mu + step[0], v + step[1]
            if bool(step.abs().max() <= share * _REST * (1 + v.abs().max())):
                return mu, v
    return mu, v


def _described(t: Tables, ring: Ring, q: Tensor, pair: Tensor) -> dict[str, Tensor]:
    """Return what a ring, its static overlap, and E f' f' at that say."""
    weight = t.power.unsqueeze(-1)
    W = weight * slope_pairs(t, ring).unsqueeze(1)
    law = ring.mu, ring.covariance[..., 0]
    return {
        "mean": law[0],
        "variance": law[1],
        "slope_sq": t.at(*law).slope_sq,
        "overlap": q,
        "microscopic": largest_root(t.leak, W, t.power * pair.unsqueeze(1)).log(),
        "macroscopic": collective(t, ring, pair),
        "residual": ring.residual,
        "covariances": ring.covariance,
    }
