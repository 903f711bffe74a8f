r"""What a rule is: a pure function of a quantity and of the activity before and after it.

.. math:: \Delta q = \mathrm{rule}(q, \mathrm{pre}, \mathrm{post})

==============  ======================================================  =====================
symbol          meaning                                                 shape
==============  ======================================================  =====================
:math:`q`       ``value``: couplings J, thresholds or gains             (m, n) or (E,); (m,)
``pre``         activity x_j(t) of the n senders, time first            (T, ..., n)
``post``        activity y_i(t) that they cause, one step later         (T, ..., m)
:math:`<.>`     mean over time; rows, the axes `...`, are averaged too
==============  ======================================================  =====================

In a network post[t] = f(u(t + 1)) belongs to pre[t] = f(u(t)).  Every row is a presentation of its
own, and the change is the mean of the changes that the rows ask for.  A single activity (n,) is a
series of one step.

A rule has no state and changes nothing; `learning.learn` adds what it returns.  Rules of couplings
are added, subtracted and multiplied by numbers, ``HebbianForgetting() + 0.1 * Oja()``, and the
constraints of `constraints` take a rule and are one.

Rules act on the synapses that exist: all entries of a dense matrix, the stored entries of a
`couplings.Sparse` layer.  Other layouts are refused, since a rule would create synapses there.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Self

from torch import Tensor

from sntorch import checks
from sntorch.couplings.layers import Coupling
from sntorch.plasticity.synapses import Outer, Synapses, multiplied_out

__all__ = ["TARGETS", "CouplingRule", "Rule", "series"]

TARGETS = ("coupling", "threshold", "gain")
"""What a rule may change of an `SNTCell`."""


class Rule(abc.ABC):
    """A change of one quantity of a network: subclass with `target` and `__call__`.

    Examples
    --------
    >>> import torch
    >>> class Fatigue(Rule):  # thresholds that grow with the activity
    ...     target = "threshold"
    ...     def __call__(self, value, pre, post, /):
    ...         return 0.1 * series("post", post, value.shape[-1], value).flatten(0, -2).mean(0)
    >>> Fatigue()(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, -1.0]))
    tensor([ 0.1000, -0.1000])
    """

    target: ClassVar[str]
    """Which quantity of an `SNTCell` changes: ``coupling``, ``threshold`` or ``gain``."""

    @abc.abstractmethod
    def __call__(self, value: Tensor, pre: Tensor, post: Tensor, /) -> Tensor:
        """Return the change, in the shape of the value."""

    def at(self, epoch: int) -> Self:
        """Return the rule of an epoch, counted from 0: itself unless its rate falls."""
        return self

    def proposed(self, value: Any, pre: Tensor, post: Tensor, /) -> Tensor | Outer:
        """Return the change that series (T, ..., n) make, multiplied out or not; for `learn`."""
        return self(value, pre, post)

    def _only_couplings(self, other: object) -> Any:
        if isinstance(self, CouplingRule) or not isinstance(other, Rule | int | float):
            return NotImplemented
        raise ValueError(
            "rule: expected rules of couplings to add or multiply, got one of "
            f"{self.target}s; learn(cell, [rule, other], ...) takes several"
        )

    __add__ = __radd__ = __mul__ = __rmul__ = _only_couplings


class CouplingRule(Rule):
    """A change of couplings: subclass with `change`, written for the synapses that exist.

    Examples
    --------
    >>> import torch
    >>> class Hebb(CouplingRule):
    ...     def change(self, J, pre, post):
    ...         return J.outer(0.1 * post, pre)
    >>> Hebb()(torch.zeros(1, 2), torch.tensor([1.0, 0.0]), torch.tensor([1.0]))
    tensor([[0.1000, 0.0000]])
    """

    target: ClassVar[str] = "coupling"

    def __call__(self, J: Tensor | Coupling, pre: Tensor, post: Tensor, /) -> Tensor:
        """Return dJ: (m, n) for a matrix, (E,) for the stored entries of a `Sparse` layer.

        Raises
        ------
        ValueError
            If J is of another layout, or the activities do not fit it or each other.
        """
        values = Synapses(J).values
        checks.finite("J", values.detach())
        m, n = J.shape
        pre, post = series("pre", pre, n, values), series("post", post, m, values)
        if pre.shape[:-1] != post.shape[:-1]:
            raise ValueError(
                f"post: expected time and rows {tuple(pre.shape[:-1])} of pre, "
                f"got {tuple(post.shape[:-1])}"
            )
        return multiplied_out(self.proposed(J, pre, post))

    def proposed(self, value: Any, pre: Tensor, post: Tensor, /) -> Tensor | Outer:
        """Return the change that checked arguments make; the value may be its `Synapses`."""
        J = value if isinstance(value, Synapses) else Synapses(value)
        m, n = J.shape
        return self.change(J, pre.reshape(len(pre), -1, n), post.reshape(len(post), -1, m))

    @abc.abstractmethod
    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor | Outer:
        """Return dJ for pre (T, R, n) and post (T, R, m).

        Either ``J.outer(a, b, kept=k)``, which is never multiplied out while a network learns, a
        sum or multiple of such changes, or a tensor in the shape of ``J.values``.
        """

    def entries(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return what `change` does as a new tensor in the shape of ``J.values``."""
        change = self.change(J, pre, post)
        return change.entries() if isinstance(change, Outer) else change.clone()

    def __add__(self, other: CouplingRule) -> CouplingRule:
        """Return the rule that makes both changes."""
        return _Sum(self, other) if isinstance(other, CouplingRule) else NotImplemented

    def __sub__(self, other: CouplingRule) -> CouplingRule:
        """Return the rule that makes one change and takes the other back."""
        return _Sum(self, -other) if isinstance(other, CouplingRule) else NotImplemented

    def __mul__(self, factor: float) -> CouplingRule:
        """Return the rule times a number."""
        return _Scaled(self, checks.number("factor", factor))

    __rmul__ = __mul__

    def __neg__(self) -> CouplingRule:
        """Return the rule that makes the opposite change."""
        return _Scaled(self, -1.0)


def series(name: str, value: Tensor, size: int, like: Tensor) -> Tensor:
    """Return activity as a series (T, ..., size) of the kind of `like`.

    Raises
    ------
    ValueError
        If it is no finite floating tensor (size,) or (T, ..., size) of that dtype and device.
    """
    checks.same_kind(name, checks.floating(name, value, ndim=1), like, "the rule's quantity")
    if value.shape[-1] != size:
        raise ValueError(f"{name}: expected {size} on the last axis, got {tuple(value.shape)}")
    return checks.finite(name, value.unsqueeze(0) if value.ndim == 1 else value)


@dataclasses.dataclass(frozen=True)
class _Sum(CouplingRule):
    first: CouplingRule
    second: CouplingRule

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor | Outer:
        return self.first.change(J, pre, post) + self.second.change(J, pre, post)

    def at(self, epoch: int) -> Self:
        return dataclasses.replace(self, first=self.first.at(epoch), second=self.second.at(epoch))


@dataclasses.dataclass(frozen=True)
class _Scaled(CouplingRule):
    rule: CouplingRule
    factor: float

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor | Outer:
        return self.factor * self.rule.change(J, pre, post)

    def at(self, epoch: int) -> Self:
        return dataclasses.replace(self, rule=self.rule.at(epoch))
