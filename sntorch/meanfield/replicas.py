r"""Whether replicas come together: two networks with the same couplings and thresholds.

Without leak their covariance obeys

.. math:: q_{12} = J^2 E[f f]_{q_{12}} + s_\theta^2 + \sigma^2 \quad \text{(common noise)}, \qquad
          q_{12} = J^2 E[f f]_{q_{12}} + s_\theta^2 \quad \text{(independent noise)};

the second is the static overlap, the first reaches v, replicas come together, exactly where the
largest exponent is negative.  With leak the same holds of covariance functions.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.meanfield.dynamic import common_noise
from sntorch.meanfield.record import NAMES, MeanField, Number, enter
from sntorch.meanfield.static import overlap, relax
from sntorch.meanfield.stationary import answer, rescaled, settled, start
from sntorch.meanfield.tables import Tables
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["Replicas", "replicas"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Replicas(Result):
    """What two networks with the same couplings have in common, per neuron."""

    field: MeanField
    """The mean field of one of them."""
    common: Tensor
    """(...), covariance of replicas with the same noise."""
    independent: Tensor
    """(...), covariance of replicas with noise of their own: the static overlap."""

    @property
    def distance_common(self) -> Tensor:
        """Mean square distance per neuron (...), 2 (v - q), with common noise."""
        return 2 * (self.field.variance - self.common)

    @property
    def distance_independent(self) -> Tensor:
        """Mean square distance per neuron (...) with independent noise."""
        return 2 * (self.field.variance - self.independent)

    @property
    def synchronised(self) -> Tensor:
        """Bool (...): replicas with common noise come together, and keep moving together."""
        return self.field.lyapunov < 0

    def scalars(self) -> dict[str, float]:
        """Return both distances, averaged over the ensembles."""
        return {
            "distance_common": float(self.distance_common.mean()),
            "distance_independent": float(self.distance_independent.mean()),
        }


def replicas(
    *,
    gain: Number,
    std: Number = 1.0,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
) -> Replicas:
    """Return the covariances of two replicas with common and with independent noise.

    Noise that suppresses chaos does not stop the network: replicas under the same noise converge to
    one another, and go on moving.

    Parameters
    ----------
    gain, std, mean, threshold, threshold_std, noise, leak, transfer
        As in `solve`; arrays broadcast.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> pair = snt.meanfield.replicas(gain=2.0, noise=[0.3, 1.0])
    >>> pair.distance_common > 0
    tensor([ True, False])
    """
    values = (gain, std, mean, threshold, threshold_std, noise, leak)
    p, shape, arguments, phi = enter(dict(zip(NAMES, values, strict=True)), transfer)
    scaled = rescaled(p)
    s = settled(phi, scaled, relax(phi, scaled, *start(scaled)))
    field = answer(phi, p, s, shape, arguments)
    common = field.variance.reshape(-1).clone()
    calm = (field.lyapunov < 0).reshape(-1)
    instant = (~calm & (p.leak == 0)).nonzero().squeeze(-1)
    if len(instant):
        part, some = p.take(instant), s.take(instant)
        none = torch.zeros(len(instant), dtype=torch.bool, device=common.device)
        common[instant] = overlap(phi, part, some, part.independent, none)[0]
    slow = (~calm & (p.leak > 0)).nonzero().squeeze(-1)
    if len(slow):
        law = (field.mean, common, field.overlap)
        mu, v, q = (each.reshape(-1)[slow].unsqueeze(-1) for each in law)
        lags = field.covariances.shape[-1] - 1
        common[slow] = common_noise(Tables.of(phi, p.take(slow)), mu, v, q, lags).squeeze(-1)
    return Replicas(field=field, common=common.reshape(shape), independent=field.overlap)
