"""Systems whose potential is known in closed form for any noise: what learned ones are held to."""

from __future__ import annotations

from typing import Any

import torch

from sntorch.landscape.hopfield import MatchedNetwork
from sntorch.systems import DoubleWell, OrnsteinUhlenbeck, StuartLandau

__all__ = ["known_potential"]


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
