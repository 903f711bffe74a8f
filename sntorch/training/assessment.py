"""What a learned potential says at the states of its walkers, as numbers for a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sntorch.dynamics import Dynamics, rollout
from sntorch.flows import Flow
from sntorch.landscape import Potential, entropy_production, epr_loss, examine, map_loss
from sntorch.landscape.known import known_production
from sntorch.landscape.learned import relative_error
from sntorch.landscape.metric import DiffusionField, map_noise, metric_of
from sntorch.landscape.production import local_production
from sntorch.streams import seeded
from sntorch.training.walkers import Box

__all__ = ["assess_flow", "assess_map", "same_noise"]

_EXACT, _PROBES = 16, 4  # neurons up to which second derivatives are exact, else directions
_FILLED = 2**14  # states that fill the box


def assess_flow(
    f: Flow,
    V: Potential,
    seen: Tensor,
    u: Tensor,
    *,
    x: Tensor | None,
    diffusion: DiffusionField | None,
    truth: Any,
    box: Box | None,
) -> tuple[dict[str, float], Tensor]:
    """Return numbers about V at test states u (M, N), and the entropy production at each (M,).

    `seen` are states that V was trained on, for the bracket; `truth` is a known potential or None,
    with which V is compared in the box if there is one.
    """
    options: dict[str, Any] = {"x": x, "diffusion": diffusion}
    probes = None if u.shape[-1] <= _EXACT else _PROBES
    found = examine(
        f, V, u, truth=truth, probes=probes, generator=torch.Generator(u.device), **options
    ).scalars()
    low = float(epr_loss(f, V, seen, **options).detach())
    found["gap"] = found["entropy_production"] - low
    found["entropy_production_train"] = low
    if truth is not None:
        found["entropy_production_known"] = float(epr_loss(f, truth, u, **options).detach())
        exact = known_production(f)
        if exact is not None:
            found["entropy_production_exact"] = exact
        if box is not None:
            found["error"] = _box_error(V, truth, box, metric_of(f, u, diffusion).scale, u)
    return found, local_production(f, V, u, **options).detach()


def assess_map(
    f: Dynamics, V: Potential, seen: Tensor, u: Tensor, *, x: Tensor | None
) -> tuple[dict[str, float], Tensor]:
    """Return the same of a map, whose entropy production is that of one step from each state.

    The information -`map_loss` is <s . S s> of the true score s; of a learned one it comes out high
    on states of training and low on others.
    """
    ahead = rollout(f, u, 1, x=x, generator=torch.Generator(u.device))
    produced = entropy_production(f, torch.cat([u[None], ahead]), x=x).value
    slope = V.gradient(u)
    virial = ((u - u.mean(0)) * slope).sum(-1).mean() / (u.shape[-1] * map_noise(f, u)[1])
    found = {"entropy_production": float(produced.mean()), "virial": float(virial)}
    for name, states in (("information", u), ("information_train", seen)):
        stream = torch.Generator(u.device)
        found[name] = -float(map_loss(f, V, states, x=x, generator=stream).detach())
    return found, produced


def same_noise(loss: Callable[[], Tensor]) -> float:
    """Return a loss that may draw from the global stream, with the same noise every time."""
    with torch.random.fork_rng():
        torch.random.set_rng_state(seeded(0).get_state())
        return float(loss())


def _box_error(V: Potential, truth: Any, box: Box, scale: float, like: Tensor) -> float:
    """Return the error over states that fill the box, always the same."""
    low, high = (corner.to(like) for corner in box)
    stream = torch.Generator(like.device)
    unit = torch.rand(_FILLED, len(low), dtype=like.dtype, device=like.device, generator=stream)
    at = low + (high - low) * unit
    return float(relative_error(V.energy(at), truth(at), scale))
