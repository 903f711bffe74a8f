r"""A potential that learns and has the form of the energy of a symmetric network.

The form is that of the energy of a graded network, without a quadratic,

.. math:: V(u) = -\tfrac12 f^\top S f + \sum_i a_i \Big(u_i f_i - \int_0^{u_i} f\Big) + b \cdot f,
          \qquad f = \phi(g u),

with S symmetric and a > 0: the Hopfield energy is one of its values.  For a bounded phi it is
bounded too: it does not confine.
"""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.landscape.potentials import Potential
from sntorch.transfer import Transfer, as_transfer

__all__ = ["NetworkPotential"]


@final
class NetworkPotential(Potential):
    """A potential of the form of a graded network's energy; the Hopfield energy is one of them.

    It starts at S = 0, b = 0 and a = 1: the energy of neurons that are not coupled.

    Parameters
    ----------
    size
        N.
    gain
        g > 0, learned too.
    transfer
        phi, a name or a `Transfer`, with a primitive.
    dtype, device
        Of the parameters.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> potential = snt.landscape.NetworkPotential(3)
    >>> potential.gradient(torch.zeros(3)).detach()
    tensor([0., 0., 0.])
    """

    def __init__(
        self,
        size: int,
        *,
        gain: float = 1.0,
        transfer: str | Transfer = "tanh",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.size = checks.count("size", size)
        self.transfer = as_transfer(transfer)
        kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.coupling = nn.Parameter(torch.zeros(size, size, **kind))
        self.bias = nn.Parameter(torch.zeros(size, **kind))
        self.log_decay = nn.Parameter(torch.zeros(size, **kind))
        log_gain = math.log(checks.positive("gain", gain))
        self.log_gain = nn.Parameter(torch.full((), log_gain, **kind))

    @property
    def symmetric(self) -> Tensor:
        """S (N, N)."""
        return (self.coupling + self.coupling.mT) / 2

    def energy(self, u: Tensor) -> Tensor:
        """Return V (...) at u (..., N)."""
        return self.value_and_gradient(u)[0]

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return V (...) and grad V (..., N), both differentiable once more."""
        gain, decay = self.log_gain.exp(), self.log_decay.exp()
        f = self.transfer(gain * u)
        pull = f @ self.symmetric
        local = decay * (u * f - self.transfer.primitive(gain * u) / gain) + self.bias * f
        slope = gain * self.transfer.derivative(gain * u)
        return (local - f * pull / 2).sum(-1), slope * (decay * u - pull + self.bias)

    def rate(self, u: Tensor) -> Tensor:
        """Return f(u) (..., N)."""
        return self.transfer(self.log_gain.exp() * u)

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"size={self.size}, transfer={self.transfer}"
