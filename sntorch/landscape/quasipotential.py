"""The loss of the quasipotential: a potential for noise that is weak or absent."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.metric import Metric, metric_of
from sntorch.landscape.objectives import enter
from sntorch.landscape.potentials import Potential

__all__ = ["check_growth", "quasipotential_loss"]

_STILL = 3e-3  # of the mean |F|^2, below which a state counts as critical
_FAR = 30.0  # spreads from the mean, where a potential that grows is higher than anywhere near
_STEADY = 0.1  # of the growth until there, which must come again over the same distance
_LOOKED_AT = 32  # states there


def quasipotential_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    rotation: Callable[[Tensor], Tensor] | None = None,
    weight: float = 1.0,
    bounded: bool = False,
) -> Tensor:
    r"""Return what keeps F from being -G grad V plus a rotation that is orthogonal to grad V ().

    .. math:: \Big\langle \frac{|F + G\nabla V - l|^2}{|F|^2} + w\,
              \frac{(\nabla V \cdot l)^2}{|F|^4} \Big\rangle

    with a learned l (`rotation`), a smooth field.  The least value is 0: then
    F . grad V + grad V . G grad V = 0, V is the intrinsic potential, and P ~ exp(-V / Db) for weak
    noise; V is half of the quasipotential that is the least action.  No states of P are needed: any
    that cover the region serve.  Relative to |F|, all of the region counts alike.

    Without a rotation l is F + G grad V, which leaves the second term: a measure of a given V, but
    no good teacher, since a V that is flat in a part of the region makes it small too.

    Parameters
    ----------
    flow, potential, x
        As for `epr_loss`; the flow may be without noise, then G = 1.
    states
        Where the equation is to hold (..., N).
    rotation
        l, states (..., N) to (..., N).
    weight
        w > 0.
    bounded
        Says that states live in a box, so that V need not grow beyond it.

    Raises
    ------
    ValueError
        On wrong arguments; unless bounded, if V does not grow: V = 0 with l = F is a solution, too.

    References
    ----------
    B. Lin, Q. Li, W. Ren, arXiv:2012.09111, for the decomposition as a loss; M. I. Freidlin,
    A. D. Wentzell, Random Perturbations of Dynamical Systems, Springer 1984.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # <u u^T> = 1
    >>> quasipotential_loss(trap, lambda u: u.square().sum(-1) / 2, u).detach()
    tensor(0.)
    """
    f, V, u = enter(flow, potential, states)
    weight = checks.positive("weight", weight)
    if not bounded:
        check_growth(V, u)
    quiet = not bool((torch.as_tensor(f.diffusion) != 0).any())
    metric = Metric(D=u.new_ones(()), scale=1.0) if quiet else metric_of(f, u)
    F, (_, slope) = f.drift(u, x), V.value_and_gradient(u)
    moved = metric.push(slope)
    force = F + moved
    turning = force if rotation is None else rotation(u)
    if turning.shape != u.shape:
        raise ValueError(f"rotation: expected {tuple(u.shape)}, got {tuple(turning.shape)}")
    speed = F.square().sum(-1)
    speed = speed + _STILL * speed.mean()  # critical points do not decide alone
    loss = weight * ((slope * turning).sum(-1) / speed).square().mean()
    return loss if rotation is None else loss + ((force - turning).square().sum(-1) / speed).mean()


def check_growth(potential: Potential, u: Tensor) -> None:
    """Refuse a potential that is bounded, or no higher far away than at the states.

    Raises
    ------
    ValueError
        If at 30 spreads from the mean, in the direction of some of the states, it has not grown, or
        hardly grows from there to twice the distance.
    """
    with torch.no_grad():
        rows = u.detach().reshape(-1, u.shape[-1])
        mean = rows.mean(0)
        some = rows[:: max(1, math.ceil(len(rows) / _LOOKED_AT))] - mean
        moved = some.norm(dim=-1) > 0
        reach = _FAR * some.norm(dim=-1).max()
        way = reach * some / some.norm(dim=-1, keepdim=True).clamp(min=1e-30)
        climbed = potential.energy(mean + way) - potential.energy(mean + some).max()
        beyond = potential.energy(mean + 2 * way) - potential.energy(mean + way)
        grown = (climbed > 0) & (beyond > _STEADY * climbed)  # twice as far, and still growing
    if not bool((grown | ~moved).all()):
        raise ValueError(
            "potential: expected one that grows, since V = 0 solves the equation too; got one that "
            "is bounded or no higher far away than at the states. Add a quadratic, or say "
            "bounded=True"
        )
