r"""Losses from which a potential is learned: functions of a dynamics, a potential and states.

.. math:: du = F(u)\,dt + \sqrt{2D}\,dW, \quad P = e^{-V/D_b}, \quad D = D_b G, \quad
          \mathrm{tr}\,G = N, \quad v = F + G \nabla V.

A potential is right where the flux velocity v = J / P makes no sources, div v = v . grad V / Db.

======================  =============================================  ==========================
loss                    minimised by                                   value there
======================  =============================================  ==========================
`epr_loss`              V, on states drawn from P                      entropy production
`hjb_loss`              V, on any states                               0
`quasipotential_loss`   V for Db -> 0, on any states                   0
`score_matching_loss`   V, on states drawn from P                      - <grad U . D . grad U>
`denoising_loss`        V of the density smoothed by a width           the same, smoothed
`map_loss`              V of a noisy map, on states drawn from P       - <grad U . S grad U>
`teacher_loss`          a given potential, up to a constant            0
======================  =============================================  ==========================

(U = V / Db.)  Reason of the first: <v . grad W> = 0 for every W, as J = P v has no divergence, so
that <|F + G grad W|^2> = <|v|^2> + <|G grad (W - V)|^2>, all weighed by D^-1.  On test states it is
therefore an upper bound of the entropy production; on the states that it was trained on it comes
out low, and the two bracket it.

What needs states of P cannot know if they are: ask `stationarity`.  The losses at finite noise
refuse a flow without noise; quasipotentials want a potential that grows, since V = 0 solves their
equation too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import add_noise, as_dynamics
from sntorch.flows import Flow, as_flow
from sntorch.landscape.metric import DiffusionField, Metric, map_noise, metric_of
from sntorch.landscape.potentials import Potential, as_potential
from sntorch.landscape.speed import SpeedPotential

__all__ = [
    "denoising_loss",
    "divergence",
    "epr_loss",
    "flux_velocity",
    "hjb_loss",
    "hjb_residual",
    "map_loss",
    "quasipotential_loss",
    "score_matching_loss",
    "second_directions",
    "teacher_loss",
]

_EXACT = 8  # neurons up to which second derivatives are exact by default
_STILL = 3e-3  # of the mean |F|^2, below which a state counts as critical
_FAR = 30.0  # spreads from the mean, where a potential that grows is higher than anywhere near
_STEADY = 0.1  # of the growth until there, which must come again over the same distance
_LOOKED_AT = 32  # states there


def epr_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
) -> Tensor:
    r"""Return :math:`\langle |F + G \nabla V|^2_{D^{-1}} \rangle` (), nats per unit of time.

    Its least value over all potentials is the entropy production, reached by V = -Db ln P; in
    between it is an upper bound.  One gradient of V, differentiated once by training.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts, with noise in every direction.
    potential
        Anything `as_potential` accepts.
    states
        Drawn from the stationary density (..., N).
    x
        Constant drive (I,).
    diffusion
        A function of states that returns D_i(u) (..., N), in place of the flow's D: then V = U, and
        F is the Ito drift.

    Raises
    ------
    ValueError
        On wrong arguments; if D is not positive definite.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # <u u^T> = 1
    >>> epr_loss(trap, lambda u: u.square().sum(-1) / 2, u).detach()  # 2 w^2 / k
    tensor(8.)
    """
    f, V, u = _enter(flow, potential, states)
    metric = metric_of(f, u, diffusion)
    return metric.square(flux_velocity(f, V, u, x=x, metric=metric)).mean()


def hjb_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    weight: float = 0.1,
    spread: float = 1.0,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return the EPR loss with the squared residual of the stationary equation beside it ().

    .. math:: \langle |F + G \nabla V|^2_{D^{-1}} \rangle + w\, \langle R^2 \rangle_{near} / D_b^2,
              \qquad R = v \cdot \nabla V - D_b\, \nabla \cdot v.

    Both are least at V = -Db ln P, the second where the states of the first are few: its states are
    the given ones with normal noise of `spread` standard deviations of each neuron.  The least
    value is the entropy production.

    Parameters
    ----------
    flow, potential, states, x
        As for `epr_loss`.
    weight
        w >= 0, in units of time.
    spread
        Width of the added noise, in standard deviations of the states.
    probes
        Random directions of the Laplacian and of div F; None is exact up to 8 neurons, else one.
        Two independent sets are multiplied, so that their scatter does not add to the square.
    generator
        Source of noise and directions.

    Raises
    ------
    ValueError
        As `epr_loss`.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052, for the sum of the two.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # <u u^T> = 1
    >>> hjb_loss(trap, lambda u: u.square().sum(-1) / 2, u).detach().round()  # 2 w^2 / k
    tensor(8.)
    """
    f, V, u = _enter(flow, potential, states)
    weight, spread = checks.number("weight", weight, low=0), checks.number("spread", spread, low=0)
    metric = metric_of(f, u)
    loss = metric.square(flux_velocity(f, V, u, x=x, metric=metric)).mean()
    with torch.no_grad():
        width = spread * u.reshape(-1, u.shape[-1]).std(0)
        near = u + width * torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    options = {"x": x, "metric": metric, "probes": probes, "generator": generator}
    first = hjb_residual(f, V, near, **options)
    exact = _count(probes, u.shape[-1]) is None
    second = first if exact else hjb_residual(f, V, near, **options)
    return loss + weight * (first * second).mean() / metric.scale**2


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
    f, V, u = _enter(flow, potential, states)
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


def score_matching_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle s \cdot D s + 2\, \nabla \cdot (D s) \rangle` (), s = -grad V / Db.

    It is least where s is the score grad ln P of the states, whatever moves them, and there it is
    -<s . D s>: of the flow only its diffusion is asked.

    Parameters
    ----------
    flow, potential, states
        As for `epr_loss`.
    probes, generator
        As for `hjb_loss`.

    Raises
    ------
    ValueError
        As `epr_loss`.

    References
    ----------
    A. Hyvarinen, J. Mach. Learn. Res. 6 (2005) 695; M. F. Hutchinson, Commun. Stat. 18 (1989) 1059.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # <u u^T> = 1
    >>> score_matching_loss(trap, lambda u: u.square().sum(-1) / 2, u).detach()  # - <|u|^2>
    tensor(-2.)
    """
    f, V, u = _enter(flow, potential, states)
    metric = metric_of(f, u)
    slope = V.value_and_gradient(u)[1]
    curved = V.curvature(u, second_directions(metric, u, probes, generator))
    return ((slope * metric.push(slope)).sum(-1) / metric.scale - 2 * curved).mean()


def denoising_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    width: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle s_\pm \cdot D s_\pm \pm 2\, s_\pm \cdot D z / w \rangle` ().

    s = -grad V / Db is taken at u +- w z, with normal z and both signs for each.  Least, at -<s . D
    s>, where s is the score of the density smoothed by the width w; first derivatives only.  The
    velocity v = F + G grad V is then wrong by O(w^2), and the entropy production <v . D^-1 v> by
    O(w^4), where <F . D^-1 v> is wrong by O(w^2): use the first.

    Parameters
    ----------
    flow, potential, states
        As for `epr_loss`.
    width
        w > 0, in the units of the states.
    generator
        Source of z.

    Raises
    ------
    ValueError
        As `epr_loss`; if the width is not positive.

    References
    ----------
    P. Vincent, Neural Comput. 23 (2011) 1661; N. M. Boffi, E. Vanden-Eijnden, PNAS 121 (2024), for
    the velocity.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> u = torch.randn(9000, 2, generator=torch.Generator())
    >>> bowls = [lambda u, k=k: k * u.square().sum(-1) / 2 for k in (0.5, 1.0, 2.0)]
    >>> losses = [denoising_loss(trap, V, u, width=0.1).item() for V in bowls]
    >>> losses.index(min(losses))  # the states are those of k = 1
    1
    """
    f, V, u = _enter(flow, potential, states)
    width = checks.positive("width", width)
    metric = metric_of(f, u)
    z = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    slope = V.value_and_gradient(torch.stack([u + width * z, u - width * z]))[1]
    moved = metric.push(slope)
    against = (moved * torch.stack([z, -z])).sum(-1)
    return ((slope * moved).sum(-1) / metric.scale - 2 * against / width).mean()


def map_loss(
    f: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle s \cdot S s + 2\, s \cdot \sigma B \rangle` (), s at F(u) + sigma B.

    The noise of one step is the noise of denoising: grad ln P(u') is the mean of -S^-1 sigma B over
    the steps that lead to u', S = sigma sigma^T.  So the loss is least, at -<s . S s>, where
    s = -grad U is the score of the stationary density itself, for steps of any size, nonlinear maps
    and large entropy production; nothing is smoothed.  Both signs of B are used for each state.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, with noise in every direction.
    potential
        Anything `as_potential` accepts, V = Db U with Db = tr S / (2 N dt).
    states
        Drawn from the stationary density (..., N).
    x
        Constant drive (I,).
    generator
        Source of B.

    Raises
    ------
    ValueError
        On wrong arguments; without noise.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.as_dynamics(lambda u: 0.6 * u, noise=0.8)  # variance 1, Db = 0.32
    >>> u = torch.randn(9000, 1, generator=torch.Generator())
    >>> wells = [lambda u, k=k: k * u.square().sum(-1) / 2 for k in (0.2, 0.32, 0.5)]
    >>> values = [map_loss(f, well, u) for well in wells]
    >>> int(torch.stack(values).argmin())
    1
    """
    f = as_dynamics(f)
    V, u = as_potential(potential), checks.finite("states", f.check(states))
    sigma, scale = map_noise(f, u)
    with torch.no_grad():
        B = add_noise(torch.zeros_like(u), sigma, generator)
        ahead = f.map(u, x)
    s = V.value_and_gradient(torch.stack([ahead + B, ahead - B]))[1] / -scale
    pushed = s @ sigma if sigma.ndim == 2 else s * sigma  # s . S s = |sigma^T s|^2
    return (pushed.square().sum(-1) + 2 * (s * torch.stack([B, -B])).sum(-1)).mean()


def teacher_loss(
    f: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    teacher: object | None = None,
) -> Tensor:
    """Return the mean of |grad V - grad T|^2 / N (), T the teacher's potential.

    Least, at 0, where V is T up to a constant.  With the speed potential of f, the teacher by
    default, V learns where the network is slow.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, or a `Flow`.
    potential, teacher
        Anything `as_potential` accepts; None is ``SpeedPotential(f, x=x)``.
    states
        Where they are to agree (..., N).
    x
        Constant drive (I,) of the speed potential.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> slow = snt.landscape.SpeedPotential(lambda u: u / 2)
    >>> teacher_loss(None, slow, torch.ones(4, 2), teacher=slow)
    tensor(0.)
    """
    V = as_potential(potential)
    u = checks.finite("states", V.check(states))
    T = SpeedPotential(f, x=x) if teacher is None else as_potential(teacher)
    with torch.no_grad():
        target = T.gradient(u)
    return (V.value_and_gradient(u)[1] - target).square().mean()


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
    count = _count(probes, u.shape[-1])
    with torch.no_grad():
        if count is None:
            return flow.jacobian(u, x).diagonal(dim1=-2, dim2=-1).sum(-1)
        shape = (*u.shape, count)
        signs = torch.randint(0, 2, shape, generator=generator, device=u.device)
        signs = (2 * signs - 1).to(u)
        return (signs * flow.jvp(u, signs, x)[1]).sum((-2, -1)) / count


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


def _enter(flow: object, potential: object, states: Tensor) -> tuple[Flow, Potential, Tensor]:
    f, V = as_flow(flow), as_potential(potential)
    u = checks.finite("states", V.check(f.check(states)))
    if u.shape[:-1].numel() == 0 or u.ndim < 2:
        raise ValueError(f"states: expected several of them (..., N), got {tuple(u.shape)}")
    return f, V, u


def _count(probes: int | None, n: int) -> int | None:
    """Return the number of random directions, None for all unit vectors."""
    if probes is not None:
        return checks.count("probes", probes)
    return None if n <= _EXACT else 1


def second_directions(
    metric: Metric, u: Tensor, probes: int | None, generator: torch.Generator | None
) -> Tensor:
    """Return d_k (K, ..., N) with sum_k d_k d_k^T = G: all of them, or random ones."""
    count = _count(probes, u.shape[-1])
    return metric.directions(u) if count is None else metric.probes(u, count, generator)
