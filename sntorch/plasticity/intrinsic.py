r"""Homeostasis of single neurons: thresholds and gains that keep an activity.

.. math:: \theta_i \leftarrow \theta_i + \eta_n (<f(u_i)> - m_0), \qquad
          g_i \leftarrow g_i + \eta_n g_i (q_0 - <f(u_i)^2>), \qquad
          \eta_n = \frac{\eta}{1 + n / h}

A neuron that is too active raises its threshold; one that is too weak raises its gain.  n counts
epochs and h, the ``horizon``, is the epoch at which the rate has halved: a rate that falls averages
the noise of finite epochs away.

**Mean field** of large Gaussian couplings with Var J = std^2 / N and leak 0; h is N(0, 1) and sigma
the noise.  *Thresholds*: at rest E f = m_0 for every neuron, so all sit at the same static field z,
and the disorder of their inputs, quenched by the couplings, is gone:

.. math:: E f(z + \sqrt w h) = m_0, \qquad w = std^2 (E f^2 - m_0^2) + \sigma^2, \qquad
          \lambda_1 = \tfrac12 \ln(std^2 E f'(z + \sqrt w h)^2).

*Gains*, for odd f and thresholds 0 in chaos: all gains are alike, w = std^2 q_0 + sigma^2, and
E phi(g sqrt(w) h)^2 = q_0.

These are generic stand-ins for homeostasis, not the molecular kinetics of Naude, Cessac, Berry and
Delord (Journal of Neuroscience 33 (2013) 15032), which were not at hand.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

from torch import Tensor

from sntorch import checks
from sntorch.plasticity.rules import Rule, series

__all__ = ["GainHomeostasis", "IntrinsicHomeostasis"]


@dataclasses.dataclass(frozen=True)
class _Homeostasis(Rule):
    rate: float = 0.1
    horizon: float | None = None

    def __post_init__(self) -> None:
        checks.number("rate", self.rate, low=0)
        if self.horizon is not None:
            checks.positive("horizon", self.horizon)

    def at(self, epoch: int) -> Self:
        """Return the rule with the rate of an epoch."""
        if self.horizon is None:
            return self
        rate = self.rate / (1 + epoch / self.horizon)
        return dataclasses.replace(self, rate=rate, horizon=None)


@dataclasses.dataclass(frozen=True)
class IntrinsicHomeostasis(_Homeostasis):
    """Thresholds that keep the mean activity of every neuron.

    Parameters
    ----------
    rate
        eta >= 0.
    horizon
        h > 0, in epochs; None keeps the rate.
    activity
        m_0, the mean activity that every neuron should have.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import torch
    >>> rule = IntrinsicHomeostasis(rate=0.5, activity=0.0)
    >>> rule(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, -1.0]))
    tensor([ 0.5000, -0.5000])
    """

    target: ClassVar[str] = "threshold"
    activity: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("activity", self.activity)

    def __call__(self, threshold: Tensor, pre: Tensor, post: Tensor, /) -> Tensor:
        """Return the change (m,) of thresholds (m,); means over time and rows, pre is not read.

        Raises
        ------
        ValueError
            If the thresholds are no finite tensor, or post does not fit them.
        """
        return self.rate * (_mean(threshold, post) - self.activity)


@dataclasses.dataclass(frozen=True)
class GainHomeostasis(_Homeostasis):
    """Gains that keep the mean square activity of every neuron; no gain changes its sign.

    Parameters
    ----------
    rate
        eta >= 0; below 1 for activities up to 1.
    horizon
        h > 0, in epochs; None keeps the rate.
    power
        q_0 >= 0, the mean square activity that every neuron should have.

    Examples
    --------
    >>> import torch
    >>> rule = GainHomeostasis(rate=0.5, power=0.3)
    >>> rule(torch.ones(2), torch.zeros(2), torch.tensor([0.1, 0.9]))
    tensor([ 0.1450, -0.2550])
    """

    target: ClassVar[str] = "gain"
    power: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("power", self.power, low=0)

    def __call__(self, gain: Tensor, pre: Tensor, post: Tensor, /) -> Tensor:
        """Return the change (m,) of gains (m,); means over time and rows, pre is not read.

        Raises
        ------
        ValueError
            If the gains are no finite tensor, or post does not fit them.
        """
        lack = self.rate * (self.power - _mean(gain, post, power=2))
        return lack.clamp(min=-0.5) * gain


def _mean(value: Tensor, post: Tensor, power: int = 1) -> Tensor:
    checks.finite("value", checks.floating("value", value, ndim=1))
    return series("post", post, value.shape[-1], value).pow(power).flatten(0, -2).mean(0)
