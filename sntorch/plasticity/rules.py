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
are added and multiplied by numbers, ``HebbianForgetting() + 0.1 * Oja()``, and the constraints of
`constraints` take a rule and are one.

Rules act on the synapses that exist: all entries of a dense matrix, the stored entries of a
`couplings.Sparse` layer.  Other layouts are refused, since a rule would create synapses there.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import ClassVar, Self

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings.layers import Coupling, Dense, Sparse
from sntorch.couplings.products import sampled_product

__all__ = ["CouplingRule", "Rule", "Synapses", "series"]


class Rule(abc.ABC):
    """A change of one quantity of a network: subclass with `target` and `__call__`.

    Examples
    --------
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


class CouplingRule(Rule):
    """A change of couplings: subclass with `change`, written for the synapses that exist.

    Examples
    --------
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
        synapses = Synapses(J)
        m, n = synapses.shape
        pre, post = series("pre", pre, n, synapses.values), series("post", post, m, synapses.values)
        if pre.shape[:-1] != post.shape[:-1]:
            raise ValueError(
                f"post: expected time and rows {tuple(pre.shape[:-1])} of pre, "
                f"got {tuple(post.shape[:-1])}"
            )
        return self.change(synapses, pre.reshape(len(pre), -1, n), post.reshape(len(post), -1, m))

    @abc.abstractmethod
    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return dJ in the shape of ``J.values`` for pre (T, R, n) and post (T, R, m)."""

    def __add__(self, other: CouplingRule) -> CouplingRule:
        """Return the rule that makes both changes."""
        return _Sum(self, other) if isinstance(other, CouplingRule) else NotImplemented

    def __mul__(self, factor: float) -> CouplingRule:
        """Return the rule times a number."""
        return _Scaled(self, checks.number("factor", factor))

    __rmul__ = __mul__


class Synapses:
    """The synapses of couplings J, with the few sums that rules are written in.

    `values` are (m, n) for a matrix and (E,) for the stored entries of a `Sparse` layer.
    """

    def __init__(self, J: Tensor | Coupling) -> None:
        if isinstance(J, Sparse):
            self.values, self.pattern = J.values, J.pattern
        elif isinstance(J, Coupling) and not isinstance(J, Dense):
            raise ValueError(
                "J: expected a matrix, couplings.Dense or couplings.Sparse, got "
                f"{type(J).__name__}, in which a rule would create synapses"
            )
        else:
            self.values = _matrix(J.weight if isinstance(J, Dense) else J)
            self.pattern = None
        self.shape: tuple[int, int] = (J.shape[0], J.shape[1])

    def outer(self, post: Tensor, pre: Tensor, kept: float = 0.0) -> Tensor:
        """Return kept J_ij + sum_s post_si pre_sj at every synapse, post (..., m), pre (..., n)."""
        a, b = post.reshape(-1, self.shape[0]), pre.reshape(-1, self.shape[1])
        if self.pattern is not None:
            entries = sampled_product(a.T, b.T, self.pattern)
            return entries.add_(self.values, alpha=kept) if kept else entries
        if not kept:
            return torch.outer(a[0], b[0]) if len(a) == 1 else a.T @ b
        # One pass of memory: on line it is what a step costs.
        if len(a) == 1:
            return torch.addr(self.values, a[0], b[0], beta=kept)
        return torch.addmm(self.values, a.T, b, beta=kept)

    def of_post(self, numbers: Tensor) -> Tensor:
        """Return the numbers (m,) of the receivers at every synapse, to be broadcast."""
        if self.pattern is None:
            return numbers.unsqueeze(-1)
        return numbers.index_select(0, self.pattern.rows())

    def onto_post(self, entries: Tensor) -> Tensor:
        """Return the sum (m,) of entries over the synapses of every receiver."""
        if self.pattern is None:
            return entries.sum(1)
        return entries.new_zeros(self.shape[0]).index_add(0, self.pattern.rows(), entries)


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

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        return self.first.change(J, pre, post) + self.second.change(J, pre, post)

    def at(self, epoch: int) -> Self:
        return dataclasses.replace(self, first=self.first.at(epoch), second=self.second.at(epoch))


@dataclasses.dataclass(frozen=True)
class _Scaled(CouplingRule):
    rule: CouplingRule
    factor: float

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        return self.factor * self.rule.change(J, pre, post)

    def at(self, epoch: int) -> Self:
        return dataclasses.replace(self, rule=self.rule.at(epoch))


def _matrix(J: Tensor) -> Tensor:
    if isinstance(J, Tensor) and J.layout != torch.strided:
        raise ValueError(
            f"J: expected a dense tensor or couplings.Sparse, got layout {J.layout}, in which a "
            "rule would create synapses"
        )
    checks.floating("J", J)
    if J.ndim != 2:
        raise ValueError(f"J: expected a matrix, got {tuple(J.shape)}")
    # One pass without a temporary: on line the check would cost more than the rule.
    return J if math.isfinite(float(J.detach().sum())) else checks.finite("J", J)
