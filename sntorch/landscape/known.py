"""Systems whose potential is known in closed form for any noise: what learned ones are held to.

Their entropy production is known, too: that of a linear flow from the Lyapunov equation; of the
double well c^2 <d_1^2 V + d_2^2 V> = c^2 (h (12 <u_1^2> - 4) + 1), of the ring omega^2 <r^2> / D,
with averages that are integrals in one dimension.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from sntorch.landscape.hopfield import MatchedNetwork
from sntorch.landscape.linear import linear_flow
from sntorch.systems import DoubleWell, OrnsteinUhlenbeck, StuartLandau

__all__ = ["known_potential", "known_production"]

_POINTS = 20_001  # of an integral


def known_potential(f: object) -> Any:
    """Return V with P = exp(-V / Db) as a function, where it is known for all states, else None.

    Known are those of `OrnsteinUhlenbeck` with any D, of `DoubleWell` and `StuartLandau` with a
    scalar D, and of `MatchedNetwork`, whose Db is 1.

    Parameters
    ----------
    f
        Anything.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.StuartLandau(diffusion=0.1)
    >>> float(snt.landscape.known_potential(ring)(torch.zeros(2)))
    0.25
    >>> snt.landscape.known_potential(snt.systems.Lorenz()) is None
    True
    """
    if isinstance(f, MatchedNetwork):
        return lambda u: f.energy(u) / f.temperature
    if isinstance(f, OrnsteinUhlenbeck):
        D = torch.as_tensor(f.diffusion, dtype=f.A.dtype)
        scale = D.diagonal().mean() if D.ndim == 2 else D.mean()
        K = scale * torch.linalg.inv(f.covariance)
        return lambda u: (u @ K.to(u) * u).sum(-1) / 2
    alike = isinstance(f, DoubleWell | StuartLandau) and torch.as_tensor(f.diffusion).ndim == 0
    return f.potential if isinstance(f, DoubleWell | StuartLandau) and alike else None


def known_production(f: object) -> float | None:
    """Return the entropy production, nats per unit of time, where `known_potential` knows V.

    None where it does not, and without noise.

    Parameters
    ----------
    f
        Anything.

    Examples
    --------
    >>> import sntorch as snt
    >>> print(f"{known_production(snt.systems.StuartLandau(diffusion=0.1)):.6f}")
    10.148330
    """
    if known_potential(f) is None:
        return None
    if isinstance(f, MatchedNetwork):
        return 0.0
    if isinstance(f, OrnsteinUhlenbeck):
        D = torch.as_tensor(f.diffusion, dtype=torch.float64)
        value = float(linear_flow(f.A.double(), D).entropy_production)
        return None if math.isnan(value) else value
    if not isinstance(f, DoubleWell | StuartLandau) or float(f.diffusion) == 0:
        return None
    D = float(f.diffusion)
    if isinstance(f, DoubleWell):
        width = 1 + 3 * (D / f.barrier) ** 0.25 + 3 * (D / f.barrier) ** 0.5
        square = _mean(lambda u: u.square(), lambda u: f.barrier * (u.square() - 1).square() / D,
                       -width, width)  # fmt: skip
        return f.circulation**2 * (f.barrier * (12 * square - 4) + 1)
    square = _mean(lambda s: s, lambda s: f.alpha * (s - 1).square() / (4 * D), 0.0,
                   2 + 9 * math.sqrt(2 * D / f.alpha))  # fmt: skip
    return f.omega**2 * square / D


def _mean(value: Any, energy: Any, low: float, high: float) -> float:
    """Return the mean of a value of one variable with the weight exp(-energy)."""
    at = torch.linspace(low, high, _POINTS, dtype=torch.float64)
    weight = torch.exp(-energy(at))
    return float(torch.trapezoid(value(at) * weight, at) / torch.trapezoid(weight, at))
