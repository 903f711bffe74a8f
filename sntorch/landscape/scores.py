"""Losses whose least is the score of the states, - grad V / Db: what moves them is not asked."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import as_dynamics
from sntorch.landscape.metric import DiffusionField, map_noise, metric_of
from sntorch.landscape.objectives import enter
from sntorch.landscape.potentials import as_potential
from sntorch.landscape.velocity import second_directions
from sntorch.noise import add_noise

__all__ = ["denoising_loss", "map_loss", "score_matching_loss"]


def score_matching_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    diffusion: DiffusionField | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle s \cdot D s + 2\, \nabla \cdot (D s) \rangle` (), s = -grad V / Db.

    It is least where s is the score grad ln P of the states, whatever moves them, and there it is
    -<s . D s>: of the flow only its diffusion is asked.

    Parameters
    ----------
    flow, potential, states, diffusion
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
    f, V, u = enter(flow, potential, states)
    metric = metric_of(f, u, diffusion)
    slope = V.value_and_gradient(u)[1]
    spreading = V.curvature(u, second_directions(metric, u, probes, generator))
    spreading = spreading + (metric.divergence * slope).sum(-1)
    return ((slope * metric.push(slope)).sum(-1) / metric.scale - 2 * spreading).mean()


def denoising_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    width: float,
    diffusion: DiffusionField | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle s_\pm \cdot D s_\pm \pm 2\, s_\pm \cdot D z / w \rangle` ().

    s = -grad V / Db is taken at u +- w z, with normal z and both signs for each.  Least, at -<s . D
    s>, where s is the score of the density smoothed by the width w; first derivatives only.  The
    velocity v = F + G grad V is then wrong by O(w^2), and the entropy production <v . D^-1 v> by
    O(w^4), where <F . D^-1 v> is wrong by O(w^2): use the first.

    Parameters
    ----------
    flow, potential, states, diffusion
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
    f, V, u = enter(flow, potential, states)
    width = checks.positive("width", width)
    z = torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    around = torch.stack([u + width * z, u - width * z])
    metric = metric_of(f, around, diffusion)
    slope = V.value_and_gradient(around)[1]
    moved = metric.push(slope)
    against = (moved * torch.stack([z, -z])).sum(-1)
    return ((slope * moved).sum(-1) / metric.scale - 2 * against / width).mean()


def map_loss(
    f: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    axes: Tensor | None = None,
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
    axes
        (d, N): V is then a potential of the d coordinates y = axes u alone, and learns their
        marginal density, exactly so, however the others move.
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
    V.check(u if axes is None else u @ _axes(axes, u).T)
    sigma, scale = map_noise(f, u)
    with torch.no_grad():
        B = add_noise(torch.zeros_like(u), sigma, generator)
        ahead = f.map(u, x)
    seen = torch.stack([ahead + B, ahead - B])
    s = V.value_and_gradient(seen if axes is None else seen @ axes.T)[1] / -scale
    s = s if axes is None else s @ axes
    pushed = s @ sigma if sigma.ndim == 2 else s * sigma  # s . S s = |sigma^T s|^2
    return (pushed.square().sum(-1) + 2 * (s * torch.stack([B, -B])).sum(-1)).mean()


def _axes(axes: Tensor, u: Tensor) -> Tensor:
    checks.same_kind("axes", checks.floating("axes", axes), u, "the states")
    if axes.ndim != 2 or axes.shape[1] != u.shape[-1]:
        raise ValueError(f"axes: expected (d, {u.shape[-1]}), got {tuple(axes.shape)}")
    return checks.finite("axes", axes)
