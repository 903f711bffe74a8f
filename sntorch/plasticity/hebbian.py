r"""Rules that change couplings by what the two neurons of a synapse do.

Symbols are those of `rules`: x_j = pre, y_i = post, N the number n of senders, and
:math:`[z]_+ = \max(z, 0)`.  lambda is ``forgetting``, alpha ``rate``, d ``activity``.

====================  ===========================================================================
rule                  :math:`\Delta J_{ij}`
====================  ===========================================================================
`HebbianForgetting`   :math:`(\lambda - 1) J_{ij} + \frac\alpha N <y_i - d> [<x_j> - d]_+`
`Dauce`               :math:`\frac\alpha N \sum_t (y_i - d) [x_j - d]_+`
`Covariance`          :math:`\frac\alpha N (<y_i x_j> - <y_i><x_j>)`
`AntiHebbian`         :math:`-\frac\alpha N <(y_i - d)(x_j - d)>`
`Oja`                 :math:`\alpha <y_i (x_j - y_i J_{ij})>`
`BCM`                 :math:`\alpha <y_i (y_i - \theta_i) x_j>,\ \theta_i = <y_i^2>`
`RateSTDP`            :math:`\frac1N \sum_{l} K(l) <y_i(t + l) x_j(t)>`
`SynapticScaling`     :math:`\alpha (d - <y_i>) J_{ij}`
====================  ===========================================================================

Forgetting with lambda < 1 bounds the couplings: with C the largest :math:`|m||m^+|` of all epochs,

.. math:: ||J(T)|| \le \lambda^T ||J(0)|| + \frac\alpha N C \frac{1 - \lambda^T}{1 - \lambda},
   \qquad \lambda_1(T) \le \ln ||J(T)||_2 + <\ln \max_i f'(u_i)>,

and without the Hebbian term the spectral radius is exactly :math:`\lambda^T \rho(0)`.  The other
rules have no bound of their own, except `Oja`, which tends to unit vectors.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.plasticity.rules import CouplingRule
from sntorch.plasticity.synapses import Outer, Synapses

__all__ = [
    "BCM",
    "AntiHebbian",
    "Covariance",
    "Dauce",
    "HebbianForgetting",
    "Oja",
    "RateSTDP",
    "SynapticScaling",
]


@dataclasses.dataclass(frozen=True)
class HebbianForgetting(CouplingRule):
    """Hebbian learning with passive forgetting (Siri et al. 2008), on means over an epoch.

    A sender at or below the activity d adds nothing; with an active sender, an inactive receiver is
    depressed.  ``HebbianForgetting(rate=0)`` forgets only: the control of every such run.

    The rule and its numbers are as the project remembers them: the paper itself was not at hand.

    Parameters
    ----------
    forgetting
        lambda in [0, 1]; 1 forgets nothing.
    rate
        alpha >= 0.
    activity
        d, the activity that separates active from inactive.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    B. Siri, H. Berry, B. Cessac, B. Delord, M. Quoy, Neural Computation 20 (2008) 2937.

    Examples
    --------
    >>> rule = HebbianForgetting(forgetting=0.5, rate=2.0, activity=0.0)
    >>> rule(torch.eye(2), torch.tensor([1.0, -1.0]), torch.tensor([1.0, 1.0]))
    tensor([[ 0.5000,  0.0000],
            [ 1.0000, -0.5000]])
    """

    forgetting: float = 0.9
    rate: float = 5e-3
    activity: float = 0.1

    def __post_init__(self) -> None:
        checks.number("forgetting", self.forgetting, 0, 1)
        _check(self.rate, self.activity)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ from the means of every row over the epoch."""
        m_pre, m_post = _over_time(pre) - self.activity, _over_time(post) - self.activity
        size = self.rate / (J.shape[1] * len(m_pre))
        return J.outer(size * m_post, m_pre.relu(), kept=self.forgetting - 1)


@dataclasses.dataclass(frozen=True)
class Dauce(CouplingRule):
    """Hebbian learning of a pattern while it is seen (Dauce et al. 1998), summed over the steps.

    On line it is used with epochs of one step.  Remembered with low confidence, as
    `HebbianForgetting` is; it forgets nothing.

    References
    ----------
    E. Dauce, M. Quoy, B. Cessac, B. Doyon, M. Samuelides, Neural Networks 11 (1998) 521.

    Examples
    --------
    >>> rule = Dauce(rate=1.0, activity=0.5)
    >>> rule(torch.zeros(2, 2), torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]))
    tensor([[ 0.1250,  0.0000],
            [-0.1250, -0.0000]])
    """

    rate: float = 0.1
    activity: float = 0.5

    def __post_init__(self) -> None:
        _check(self.rate, self.activity)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ: the sum over time, the mean over rows."""
        size = self.rate / (J.shape[1] * pre.shape[1])
        return J.outer(size * (post - self.activity), (pre - self.activity).relu())


@dataclasses.dataclass(frozen=True)
class Covariance(CouplingRule):
    """The covariance of sender and receiver over an epoch (Sejnowski 1977).

    References
    ----------
    T. J. Sejnowski, Journal of Mathematical Biology 4 (1977) 303.

    Examples
    --------
    >>> pre = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # two steps of two senders in turn
    >>> Covariance(rate=1.0)(torch.zeros(1, 2), pre, torch.tensor([[0.0], [1.0]]))
    tensor([[ 0.1250, -0.1250]])
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        _check(self.rate)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ; the means are those of every row."""
        size = self.rate / (J.shape[1] * _samples(pre))
        return J.outer(size * (post - post.mean(0)), pre)


@dataclasses.dataclass(frozen=True)
class AntiHebbian(CouplingRule):
    """Weaken what fires together: decorrelates neurons that inhibit each other (Foldiak 1990).

    References
    ----------
    P. Foldiak, Biological Cybernetics 64 (1990) 165.

    Examples
    --------
    >>> AntiHebbian(rate=1.0)(torch.zeros(1, 2), torch.tensor([1.0, 0.0]), torch.tensor([1.0]))
    tensor([[-0.5000, -0.0000]])
    """

    rate: float = 0.1
    activity: float = 0.0

    def __post_init__(self) -> None:
        _check(self.rate, self.activity)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ."""
        size = -self.rate / (J.shape[1] * _samples(pre))
        return J.outer(size * (post - self.activity), pre - self.activity)


@dataclasses.dataclass(frozen=True)
class Oja(CouplingRule):
    """Hebbian learning that normalises itself (Oja 1982), every receiver on its own.

    For a linear neuron y = J x the couplings turn into the leading eigenvector of <x x^T>, of unit
    length, if rate times the leading eigenvalue is well below 1.

    References
    ----------
    E. Oja, Journal of Mathematical Biology 15 (1982) 267.

    Examples
    --------
    >>> x = torch.tensor([[2.0, 2.0], [-2.0, -2.0]])  # samples along the diagonal
    >>> J = torch.tensor([[1.0, 0.0]])
    >>> for _ in range(100):
    ...     J = J + Oja(rate=0.05)(J, x, x @ J.T)
    >>> J  # the leading direction, of unit length
    tensor([[0.7071, 0.7071]])
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        _check(self.rate)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ."""
        power = post.square().mean((0, 1))
        return J.outer(self.rate / _samples(pre) * post, pre, kept=-self.rate * power)


@dataclasses.dataclass(frozen=True)
class BCM(CouplingRule):
    """Learning with a sliding threshold (Bienenstock, Cooper, Munro 1982).

    The threshold is the mean square of the receiver over all steps and rows (Intrator and Cooper
    1992), so an epoch has to show what the neuron should tell apart.  A linear neuron that sees K
    independent patterns equally often ends with the response K to one of them and 0 to the others.

    References
    ----------
    E. L. Bienenstock, L. N. Cooper, P. W. Munro, Journal of Neuroscience 2 (1982) 32.
    N. Intrator, L. N. Cooper, Neural Networks 5 (1992) 3.

    Examples
    --------
    >>> patterns = torch.eye(2)  # seen in turn
    >>> J = torch.tensor([[0.6, 0.5]])
    >>> for _ in range(600):
    ...     J = J + BCM(rate=0.1)(J, patterns, patterns @ J.T)
    >>> J.round(decimals=3) + 0  # selective: K = 2 for one pattern, 0 for the other
    tensor([[2., 0.]])
    """

    rate: float = 0.01

    def __post_init__(self) -> None:
        _check(self.rate)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ."""
        sliding = post.square().mean((0, 1))
        return J.outer(self.rate / _samples(pre) * post * (post - sliding), pre)


@dataclasses.dataclass(frozen=True)
class RateSTDP(CouplingRule):
    r"""Spike-timing dependent plasticity of rates: the window weighs lags between two activities.

    .. math:: K(l) = A_+ e^{-l / \tau_+}\ (l > 0), \qquad K(l) = -A_- e^{l / \tau_-}\ (l < 0),

    K(0) = 0, and l is the time from the sender's activity to the receiver's: post[t] is one step
    after pre[t].  Lags of any length within the epoch count.  A sender that comes before is
    strengthened, one that comes after is weakened (Song, Miller, Abbott 2000).

    Parameters
    ----------
    potentiation, depression
        A_+ and A_-, both >= 0.
    tau_potentiation, tau_depression
        Time constants in steps, > 0.

    References
    ----------
    S. Song, K. D. Miller, L. F. Abbott, Nature Neuroscience 3 (2000) 919.

    Examples
    --------
    >>> early, late = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[0.0], [1.0], [0.0]])
    >>> rule, J = RateSTDP(), torch.zeros(1, 1)
    >>> bool(rule(J, early, late) > 0), bool(rule(J, late, early) > 0)  # who comes first
    (True, False)
    """

    potentiation: float = 0.1
    depression: float = 0.1
    tau_potentiation: float = 5.0
    tau_depression: float = 5.0

    def __post_init__(self) -> None:
        for name in ("potentiation", "depression"):
            checks.number(name, getattr(self, name), low=0)
        for name in ("tau_potentiation", "tau_depression"):
            checks.positive(name, getattr(self, name))

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ, from a fading trace of each side."""
        size = 1 / (J.shape[1] * _samples(pre))
        before = _trace(pre, self.tau_potentiation)
        up = J.outer(self.potentiation * size * post, before)
        if len(pre) < 3:  # no sender comes after a receiver yet
            return up
        after = _trace(post[:-2], self.tau_depression)
        return up + J.outer(-self.depression * size * after, pre[2:])


@dataclasses.dataclass(frozen=True)
class SynapticScaling(CouplingRule):
    """All couplings onto a neuron shrink or grow by one factor until its mean activity is d.

    References
    ----------
    G. G. Turrigiano, K. R. Leslie, N. S. Desai, L. C. Rutherford, S. B. Nelson, Nature 391 (1998)
    892; the linear form is van Rossum, Bi, Turrigiano, Journal of Neuroscience 20 (2000) 8812.

    Examples
    --------
    >>> rule = SynapticScaling(rate=1.0, activity=0.5)
    >>> rule(torch.tensor([[1.0, 2.0]]), torch.zeros(2), torch.tensor([0.3]))  # a fifth more
    tensor([[0.2000, 0.4000]])
    """

    rate: float = 0.1
    activity: float = 0.1

    def __post_init__(self) -> None:
        _check(self.rate, self.activity)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Outer:
        """Return dJ."""
        return J.scaled(self.rate * (self.activity - post.mean((0, 1))))


def _check(rate: float, activity: float = 0.0) -> None:
    checks.number("rate", rate, low=0)
    checks.number("activity", activity)


def _samples(pre: Tensor) -> int:
    """Return how many steps and rows there are."""
    return pre.shape[0] * pre.shape[1]


def _over_time(activity: Tensor) -> Tensor:
    """Return the mean (R, n) over the steps; on line there is one, and nothing to be done."""
    return activity[0] if len(activity) == 1 else activity.mean(0)


def _trace(activity: Tensor, tau: float) -> Tensor:
    """Return sum over s <= t of exp(-(t - s + 1) / tau) activity(s), for every t."""
    fading, trace, traces = math.exp(-1 / tau), torch.zeros_like(activity[0]), []
    for now in activity:
        trace = fading * (trace + now)
        traces.append(trace)
    return torch.stack(traces)
