"""The flux velocity v = F + G grad V of a potential, its divergence, and what both must satisfy."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.metric import Metric, metric_of
from sntorch.landscape.potentials import as_potential

__all__ = ["divergence", "flux_velocity", "hjb_residual", "random_count", "second_directions"]

_EXACT = 8  # neurons up to which second derivatives are exact by default


def flux_velocity(
    flow: object,
    potential: object,
    u: Tensor,
    *,
    x: Tensor | None = None,
    metric: Metric | None = None,
) -> Tensor:
    """Return v = F + G grad V (..., N): the velocity J / P of probability, if V is right.

    With a metric whose D depends on the state v = F - div D + D grad U.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.tensor([[1.0, 0.0]])
    >>> flux_velocity(trap, lambda u: u.square().sum(-1) / 2, u).detach()  # it turns
    tensor([[0., 2.]])
    """
    f, V = as_flow(flow), as_potential(potential)
    metric = metric_of(f, u) if metric is None else metric
    return f.drift(u, x) - metric.divergence + metric.push(V.value_and_gradient(u)[1])


def hjb_residual(
    flow: object,
    potential: object,
    u: Tensor,
    *,
    x: Tensor | None = None,
    metric: Metric | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return v . grad V - Db div v (...), 0 where exp(-V / Db) is stationary.

    `probes` and `generator` are those of `hjb_loss`.
    """
    f, V = as_flow(flow), as_potential(potential)
    metric = metric_of(f, u) if metric is None else metric
    slope = V.value_and_gradient(u)[1]
    v = f.drift(u, x) + metric.push(slope)
    curved = V.curvature(u, second_directions(metric, u, probes, generator))
    spreading = divergence(f, u, x=x, probes=probes, generator=generator) + curved
    return (v * slope).sum(-1) - metric.scale * spreading


def divergence(
    flow: Flow,
    u: Tensor,
    *,
    x: Tensor | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return div F (...) at u (..., N), without gradients; probes as for `hjb_loss`."""
    count = random_count(probes, u.shape[-1])
    with torch.no_grad():
        if count is None:
            return flow.jacobian(u, x).diagonal(dim1=-2, dim2=-1).sum(-1)
        shape = (*u.shape, count)
        signs = torch.randint(0, 2, shape, generator=generator, device=u.device)
        signs = (2 * signs - 1).to(u)
        return (signs * flow.jvp(u, signs, x)[1]).sum((-2, -1)) / count


def second_directions(
    metric: Metric, u: Tensor, probes: int | None, generator: torch.Generator | None
) -> Tensor:
    """Return d_k (K, ..., N) with sum_k d_k d_k^T = G: all of them, or random ones."""
    count = random_count(probes, u.shape[-1])
    return metric.directions(u) if count is None else metric.probes(u, count, generator)


def random_count(probes: int | None, n: int) -> int | None:
    """Return the number of random directions, None for all unit vectors."""
    if probes is not None:
        return checks.count("probes", probes)
    return None if n <= _EXACT else 1
