r"""The loss of a potential of few dimensions, whose integral can be taken.

Losses of the gradient do not see how high one well is above another where no states lie between
them.  The likelihood does, at the price of an integral over a box.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.potentials import as_potential

__all__ = ["likelihood_loss"]

_MOST = 3  # dimensions of a grid
_MARGIN = 0.25  # of the span of the states, added at each end


def likelihood_loss(
    potential: object,
    states: Tensor,
    *,
    scale: float = 1.0,
    cells: int = 40,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return :math:`\langle V / D_b \rangle + \ln \int e^{-V / D_b}` (), nats.

    Least where exp(-V / Db) is the density of the states, and there its differential entropy.  The
    integral is a sum over a grid of the box of the states and a quarter of it on every side,
    shifted at random by a part of a cell, so that narrow wells are seen as well.

    Parameters
    ----------
    potential
        Anything `as_potential` accepts.
    states
        Drawn from the density (..., N), N <= 3.
    scale
        Db.
    cells
        Of the grid, along each axis.
    generator
        Source of the shift.

    Raises
    ------
    ValueError
        On wrong arguments; for N > 3; if the states have no extent along an axis.

    Examples
    --------
    >>> import sntorch as snt
    >>> u = torch.randn(9000, 1, generator=torch.Generator())
    >>> wells = [lambda u, k=k: k * u.square().sum(-1) / 2 for k in (0.8, 1.0, 1.2)]
    >>> values = [snt.landscape.likelihood_loss(well, u) for well in wells]
    >>> int(torch.stack(values).argmin())
    1
    """
    V = as_potential(potential)
    u = checks.finite("states", V.check(states)).reshape(-1, states.shape[-1])
    n = checks.count("N", u.shape[-1], high=_MOST)
    scale, cells = checks.positive("scale", scale), checks.count("cells", cells, low=2)
    with torch.no_grad():
        low, high = u.amin(0), u.amax(0)
        if not bool((high > low).all()):
            raise ValueError("states: expected some extent along every axis, got none")
        margin = _MARGIN * (high - low)
        width = (high - low + 2 * margin) / cells
        kind = {"dtype": u.dtype, "device": u.device}
        shift = torch.rand(n, generator=generator, **kind)
        steps = torch.arange(cells, **kind)
        axes = [a + (steps + s) * w for a, s, w in zip(low - margin, shift, width, strict=True)]
        at = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, n)
        volume = float(width.double().log().sum())
    mass = torch.logsumexp(-V.energy(at) / scale, 0) + volume
    return V.energy(u).mean() / scale + mass
