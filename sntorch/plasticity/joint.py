"""Neurons and the trace upon their couplings as one state: its parts, and the network in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings.layers import Coupling, Dense
from sntorch.dynamics import Dynamics
from sntorch.plasticity.traces import square

__all__ = ["JointState", "couplings_of", "rate_of", "share_of"]


class JointState(Dynamics):
    """A dynamics of the state (u, H), N + N^2 numbers: subclass it with `map`."""

    cell: SNTCell
    """The neurons and their slow couplings J."""
    neurons: int
    """N."""
    alpha: Tensor
    """Share of the trace in the coupling, () or (N, N)."""

    @property
    def noise(self) -> float | Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Standard deviation of the noise: that of the cell for neurons, 0 for synapses."""
        sigma = self.cell.noise
        if not sigma.requires_grad and not bool((sigma != 0).any()):
            return 0.0
        return torch.cat([sigma.expand(self.neurons), sigma.new_zeros(self.neurons**2)])

    def join(self, u: Tensor, H: Tensor | None = None) -> Tensor:
        """Return the state (..., N + N^2) of neurons u (..., N) and trace H (..., N, N) or zero.

        Raises
        ------
        ValueError
            If the shapes or kinds do not fit.
        """
        n = self.neurons
        self.cell.check(u)
        if H is None:
            return torch.cat([u, u.new_zeros(*u.shape[:-1], n * n)], -1)
        checks.same_kind("H", checks.floating("H", H), u, "u")
        if H.shape != (*u.shape, n):
            raise ValueError(f"H: expected {(*u.shape, n)}, got {tuple(H.shape)}")
        return torch.cat([u, H.flatten(-2)], -1)

    def split(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (..., N) and H (..., N, N), views of the state (..., N + N^2)."""
        self.check(s)
        n = self.neurons
        return s[..., :n], square(s, n)

    def couplings(self, s: Tensor) -> Tensor:
        """Return J + alpha H (..., N, N), how the neurons are coupled in this state."""
        J = self.cell.coupling
        return (J.weight if isinstance(J, Dense) else J) + self.alpha * self.split(s)[1]

    def frozen(self, s: Tensor) -> SNTCell:
        """Return the network with its synapses as they are in the state s (N + N^2,): an `SNTCell`.

        Raises
        ------
        ValueError
            If s has batch axes: every row has synapses of its own.
        """
        if s.ndim != 1:
            raise ValueError(f"s: expected one state ({self.size},), got {tuple(s.shape)}")
        held = copy.deepcopy(self.cell)
        entries = held.coupling.weight if isinstance(held.coupling, Dense) else held.coupling
        with torch.no_grad():
            entries.copy_(self.couplings(s))
        return held

    def _numbers(self) -> Iterator[Tensor]:
        yield self.alpha  # all are of one kind; it is read at every step

    def check_entry(self, name: str, values: Tensor) -> Tensor:
        """Return `values` if they are in the domain of the quantity `name`."""
        inner = name.removeprefix("cell.")
        return values if inner == name else self.cell.check_entry(inner, values)


def couplings_of(cell: object) -> Tensor:
    """Return the matrix of a cell that a trace may lie upon."""
    if not isinstance(cell, SNTCell):
        raise ValueError(f"cell: expected an SNTCell, got {type(cell).__name__}")
    J = cell.coupling
    if isinstance(J, Coupling) and not isinstance(J, Dense):
        raise ValueError(
            f"cell: expected dense couplings, got {type(J).__name__}, in which the trace would "
            "create synapses"
        )
    return (J.weight if isinstance(J, Dense) else J).detach()


def share_of(value: float | Tensor, n: int, like: Tensor) -> Tensor:
    """Return alpha, () or (n, n), of the kind of the couplings."""
    if not isinstance(value, Tensor):
        return like.new_tensor(checks.number("alpha", value))
    if value.shape not in ((), (n, n)):
        raise ValueError(f"alpha: expected a number or ({n}, {n}), got {tuple(value.shape)}")
    return checks.finite("alpha", value.detach().to(like)).clone()


def rate_of(value: object) -> float:
    """Return eta if it is in [0, 1)."""
    rate = checks.number("rate", value, 0, 1)
    if rate == 1:
        raise ValueError("rate: expected a number in [0, 1), got 1.0")
    return rate
