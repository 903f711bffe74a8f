"""Losses whose least value is the entropy production, and what a state adds to it."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.metric import DiffusionField, metric_of
from sntorch.landscape.objectives import enter
from sntorch.landscape.velocity import flux_velocity, hjb_residual, random_count

__all__ = ["epr_loss", "hjb_loss", "local_production"]

_STILL = 0.03  # of the mean |F|^2, below which a state counts as critical


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
    return local_production(flow, potential, states, x=x, diffusion=diffusion).mean()


def local_production(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
) -> Tensor:
    """Return v . D^-1 v (...) at states (..., N), the mean of which is `epr_loss`."""
    f, V, u = enter(flow, potential, states)
    metric = metric_of(f, u, diffusion)
    return metric.square(flux_velocity(f, V, u, x=x, metric=metric))


def hjb_loss(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    weight: float = 1.0,
    spread: float = 0.5,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return the EPR loss with the squared residual of the stationary equation beside it ().

    .. math:: \langle |F + G \nabla V|^2_{D^{-1}} \rangle + w\, \Big\langle
              \frac{R^2}{D_b^2\, |F|^4_{D^{-1}}} \Big\rangle_{near},
              \qquad R = v \cdot \nabla V - D_b\, \nabla \cdot v.

    Both are least at V = -Db ln P, the second where the states of the first are few: its states are
    the given ones with normal noise of `spread` standard deviations of each neuron.  The least
    value is the entropy production.

    The residual is relative to |F|^2, since R itself grows like the square of the slope: the states
    that noise throws far up would decide alone.  With R^2 / Db^2 as it stands, weights of 1e-4 to
    0.1 and spreads of 0.2 to 1 made V of the double well (c = 0.5, D = 0.1) three to nine times as
    wrong as without the term, and the entropy production 0.2 to 15 % too high (3000 steps on exact
    states).  Relative, V is as good as without the term, and the top of the ring, where states are
    few, came out at 0.99 of its height instead of 0.95 (2000 steps, one seed).  A step takes about
    three times as long as with `epr_loss`.

    Parameters
    ----------
    flow, potential, states, x
        As for `epr_loss`.
    weight
        w >= 0, per unit of time.
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
    f, V, u = enter(flow, potential, states)
    weight, spread = checks.number("weight", weight, low=0), checks.number("spread", spread, low=0)
    metric = metric_of(f, u)
    loss = metric.square(flux_velocity(f, V, u, x=x, metric=metric)).mean()
    with torch.no_grad():
        width = spread * u.reshape(-1, u.shape[-1]).std(0)
        near = u + width * torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)
    options = {"x": x, "metric": metric, "probes": probes, "generator": generator}
    first = hjb_residual(f, V, near, **options)
    exact = random_count(probes, u.shape[-1]) is None
    second = first if exact else hjb_residual(f, V, near, **options)
    size = metric.square(f.drift(near, x))
    size = metric.scale * (size + _STILL * size.mean())  # critical points do not decide alone
    return loss + weight * (first * second / size.square()).mean()
