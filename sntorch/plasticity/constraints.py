"""Constraints on rules of couplings: each takes a rule and is one, so that they compose.

======================  ==========================================================================
constraint              what it keeps
======================  ==========================================================================
`Masked`                synapses that do not exist stay away
`SignPreserving`        no coupling changes its sign, none is created: Dale's law survives
`Normalised`            the couplings onto every neuron keep their norm
======================  ==========================================================================

The outermost constraint holds exactly, and `Normalised` multiplies by positive numbers, so that it
breaks neither of the others inside it.  `hebbian.SynapticScaling` is a rule to be added.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Self

import torch
from torch import Tensor

from sntorch import checks
from sntorch.plasticity.rules import CouplingRule
from sntorch.plasticity.synapses import Synapses

__all__ = ["Masked", "Normalised", "SignPreserving"]


@dataclasses.dataclass(frozen=True)
class _Constraint(CouplingRule):
    rule: CouplingRule

    def __post_init__(self) -> None:
        if not isinstance(self.rule, CouplingRule):
            raise ValueError(f"rule: expected a CouplingRule, got {type(self.rule).__name__}")

    @abc.abstractmethod
    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return dJ, a new tensor."""

    def entries(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return what `change` does."""
        return self.change(J, pre, post)

    def at(self, epoch: int) -> Self:
        """Return the constraint on the rule of an epoch."""
        return dataclasses.replace(self, rule=self.rule.at(epoch))


@dataclasses.dataclass(frozen=True, eq=False)
class Masked(_Constraint):
    """Change some synapses of a dense matrix only: those that exist, or those of a mask.

    Couplings in a `couplings.Sparse` layer need no mask: entries that are not stored cannot change.

    Parameters
    ----------
    rule
        The rule.
    mask
        True where a synapse may change, in the shape of dJ; None is where J is not zero, so that a
        coupling that becomes zero is gone.

    Raises
    ------
    ValueError
        If the mask is no boolean tensor, or does not fit J.

    Examples
    --------
    >>> from sntorch.plasticity import Covariance, Masked
    >>> J = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> Masked(Covariance(rate=2.0))(J, torch.eye(2), torch.eye(2))
    tensor([[ 0.0000, -0.2500],
            [-0.2500,  0.0000]])
    """

    mask: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask is None:
            return
        if not isinstance(self.mask, Tensor) or self.mask.dtype != torch.bool:
            raise ValueError(f"mask: expected a boolean tensor or None, got {self.mask!r}")

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return dJ, zero outside the mask."""
        change = self.rule.entries(J, pre, post)
        if self.mask is None:  # numbers 1 and 0: to multiply by them is faster than to fill by them
            return change.mul_(torch.sign(J.values, out=J.room()).abs_())
        if self.mask.shape != change.shape:
            expected, got = tuple(change.shape), tuple(self.mask.shape)
            raise ValueError(f"mask: expected {expected}, the shape of the synapses, got {got}")
        return change.mul_(self.mask)


@dataclasses.dataclass(frozen=True)
class SignPreserving(_Constraint):
    """Stop every coupling at zero: one that arrives there is gone, one that is zero stays zero.

    Examples
    --------
    >>> from sntorch.plasticity import AntiHebbian
    >>> J, one = torch.tensor([[0.2, 0.0], [0.0, -0.2]]), torch.ones(2)
    >>> J + SignPreserving(AntiHebbian(rate=1.0))(J, one, one)  # 0.2 would have become -0.3
    tensor([[ 0.0000,  0.0000],
            [ 0.0000, -0.7000]])
    """

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return dJ with J (J + dJ) >= 0, and 0 where J = 0."""
        change = self.rule.entries(J, pre, post)
        new, old = torch.add(J.values, change, out=J.room()), torch.sign(J.values, out=J.room())
        kept = new.sign_().mul_(old).relu_()  # 1 or 0
        gone = torch.neg(J.values, out=J.room())
        return torch.lerp(gone, change, kept, out=J.room())  # one of them to the last bit


@dataclasses.dataclass(frozen=True)
class Normalised(_Constraint):
    r"""Multiply the couplings onto every neuron so that their norm stays what it is.

    .. math:: J_{ij} + \Delta J_{ij} = s_i (J_{ij} + \Delta' J_{ij}), \qquad
              \sum_j |J_{ij} + \Delta J_{ij}|^p = \mathrm{const}

    Parameters
    ----------
    rule
        The rule that makes the change Delta'.
    order
        p >= 1: 1 keeps the sum of strengths, 2 the length.
    norm
        The norm to be kept; None is that of J before the change.

    Examples
    --------
    >>> from sntorch.plasticity import AntiHebbian
    >>> J = torch.tensor([[3.0, 4.0]])
    >>> rule = Normalised(AntiHebbian(rate=2.0))
    >>> (J + rule(J, torch.tensor([1.0, 0.0]), torch.ones(1))).norm()
    tensor(5.)
    """

    order: float = 2.0
    norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("order", self.order, low=1)
        if self.norm is not None:
            checks.positive("norm", self.norm)

    def change(self, J: Synapses, pre: Tensor, post: Tensor) -> Tensor:
        """Return dJ; a neuron on which all couplings vanish is left alone."""
        new = self.rule.entries(J, pre, post).add_(J.values)
        kept = self._norm(J, J.values) if self.norm is None else self.norm
        found = self._norm(J, new)
        factor = torch.where(found > 0, kept / found, 1.0)
        return torch.mul(new, J.of_post(factor), out=J.room()).sub_(J.values)

    def _norm(self, J: Synapses, entries: Tensor) -> Tensor:
        if J.pattern is None:
            return torch.linalg.vector_norm(entries, self.order, dim=1)
        return J.onto_post(entries.abs().pow(self.order)).pow(1 / self.order)
