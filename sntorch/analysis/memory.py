r"""Memory capacity: how much of its past input a network still shows to a linear readout.

The network reads independent random numbers x(t), one at a time.  For every delay k the best linear
readout of its state (least squares, with a constant) reconstructs x(t - k), and

.. math:: M_k = \max_w \frac{\mathrm{cov}^2(w \cdot r(t), x(t - k))}
                            {\mathrm{var}(w \cdot r(t))\, \mathrm{var}(x(t - k))}, \qquad
          M = \sum_{k \ge 0} M_k \le N,

where r(t) is the activity after x(t) has been read: delay 0 counts.  A linear network without noise
whose states span all directions has M = N (Jaeger 2001).

With r readout weights and T samples even noise is fitted to the share r / T: the estimate takes it
off, :math:`M_k = 1 - (1 - R^2)(T - 1)/(T - 1 - r)`, so that it is unbiased and may be below zero
at long delays.  Its standard error is that of a coefficient of determination of independent
samples, :math:`\mathrm{var}\, M_k \approx (1 - M_k)^2 (4 M_k / T + 2 r / T^2)`; short delays of a
linear network are known better, since its capacities add up to r.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, enter, rollout
from sntorch.observing import observing
from sntorch.plasticity import PlasticSNTCell
from sntorch.results import Result, over_rows

__all__ = ["MemoryCapacity", "capacities", "cutoff", "hear", "memory_capacity"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MemoryCapacity(Result):
    """How well a linear readout reconstructs past inputs, for every row."""

    capacity: Tensor
    """(..., K), M_k at delays 0, 1, ... K - 1 steps: 1 is all, 0 nothing."""
    stderr: Tensor
    """(..., K)."""
    rank: Tensor
    """(...), directions that the activity fills: an upper bound of the sum."""
    size: int
    """N, numbers that are read."""
    steps: int
    """T, samples."""

    @property
    def total(self) -> Tensor:
        """M (...), the sum over the delays that were asked for."""
        return self.capacity.sum(-1)

    @property
    def total_stderr(self) -> Tensor:
        """Standard error of the sum (...), delays taken as independent."""
        return self.stderr.square().sum(-1).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the total, its standard error, and it as a share of N."""
        total, error = over_rows(self.total, self.total_stderr)
        return {
            "memory": float(total),
            "memory_stderr": float(error),
            "memory_share": float(total) / self.size,
        }


def memory_capacity(
    f: object,
    u: Tensor,
    steps: int,
    *,
    delays: int,
    transient: int = 200,
    amplitude: float = 1.0,
    direction: Tensor | None = None,
    tolerance: float | None = None,
    generator: torch.Generator | None = None,
) -> MemoryCapacity:
    """Return how much of a random input of one number a step the network remembers.

    Use float64: what is far in the past is small.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, with an input.  Of an `SNTCell` or a `PlasticSNTCell` the
        rates f(u) of the neurons are read, of others the state; its noise acts.
    u
        Initial states (..., N); every row reads an input of its own.
    steps
        Samples, T, more than N + 2 and than the delays.
    delays
        How many, K: delays 0 to K - 1.
    transient
        Steps before the first sample, in which past inputs are read already.
    amplitude
        Inputs are uniform in [-amplitude, amplitude].
    direction
        How the number enters the inputs, (I,); networks with one input need none.
    tolerance
        Singular values of the activity below this share of the largest do not count; that of
        rounding by default.
    generator
        Source of the input and of the noise; None is torch's global state, which is left as found.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers.

    References
    ----------
    H. Jaeger, "Short term memory in echo state networks", GMD Report 152 (2001).

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.orthogonal(10, std=0.9, dtype=torch.float64)
    >>> cell = snt.SNTCell(J, transfer="linear", input_size=1)
    >>> found = snt.analysis.memory_capacity(cell, torch.zeros(10).double(), 1000, delays=100)
    >>> round(found.total.item())
    10
    """
    heard = hear(f, u, steps, delays, transient, amplitude, direction, generator)
    capacity, error, rank = capacities(heard.activity, heard.past, cutoff(u, steps, tolerance))
    size = heard.activity.shape[-1]
    return MemoryCapacity(capacity=capacity, stderr=error, rank=rank, size=size, steps=steps)


class Heard(NamedTuple):
    """What a network that reads random numbers shows, and what it has read."""

    activity: Tensor
    """(..., T, N)."""
    past: Tensor
    """(..., T, K), the number that was read k steps before each sample, k from 0 on."""


def hear(
    f: object,
    u: Tensor,
    steps: int,
    delays: int,
    transient: int,
    amplitude: float,
    direction: Tensor | None,
    generator: torch.Generator | None,
) -> Heard:
    """Return `steps` samples of a network that reads numbers; see `memory_capacity`."""
    checks.floating("u", u, ndim=1)
    checks.count("delays", delays)
    transient = checks.count("transient", transient, low=0)
    amplitude = checks.positive("amplitude", amplitude)
    if direction is not None:
        checks.finite("direction", checks.same_kind("direction", direction, u, "u"))
        if direction.ndim != 1:
            raise ValueError(f"direction: expected (I,), got {tuple(direction.shape)}")
    f, _ = enter(f, u)
    n = f.neurons if isinstance(f, PlasticSNTCell) else u.shape[-1]
    checks.count("steps", steps, low=max(n + 3, delays + 1))
    checks.generator(generator, u.device)
    with observing(f, u):
        shape = (transient + delays - 1 + steps, *u.shape[:-1], 1)
        x = torch.rand(shape, dtype=u.dtype, device=u.device, generator=generator)
        x = amplitude * (2 * x - 1)
        read = x if direction is None else x * direction
        orbit = rollout(f, u, len(x), x=read, generator=generator)[-steps:]
        past = x.squeeze(-1).movedim(0, -1)[..., transient:]
        return Heard(_read(f, orbit).movedim(0, -2), past.unfold(-1, delays, 1).flip(-1))


def cutoff(u: Tensor, steps: int, tolerance: float | None) -> float:
    """Return which share of the largest singular value counts."""
    if tolerance is None:
        return torch.finfo(u.dtype).eps * steps
    return checks.number("tolerance", tolerance, 0, 1)


def capacities(activity: Tensor, wanted: Tensor, cut: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return capacities (..., K) for `wanted` (..., T, K), their errors, and the rank (...)."""
    steps = activity.shape[-2]
    with torch.no_grad():
        share, rank = _explained(activity, wanted, cut)
    capacity = 1 - (1 - share) * (steps - 1) / (steps - 1 - rank.unsqueeze(-1))
    known = capacity.clamp(0, 1)
    noise = 2 * rank.unsqueeze(-1) / steps**2
    return capacity, ((1 - known).square() * (4 * known / steps + noise)).sqrt(), rank


def _read(f: Dynamics, orbit: Tensor) -> Tensor:
    """Return what a linear readout sees of the states."""
    if isinstance(f, PlasticSNTCell):
        return f.cell.rate(f.split(orbit)[0])
    return f.rate(orbit) if isinstance(f, SNTCell) else orbit


def _explained(activity: Tensor, wanted: Tensor, cut: float) -> tuple[Tensor, Tensor]:
    """Return R^2 (..., K) of least squares of `wanted` (..., T, K) on `activity`, and its rank."""
    centred, wanted = activity - activity.mean(-2, True), wanted - wanted.mean(-2, True)
    U, s, _ = torch.linalg.svd(centred, full_matrices=False)
    used = s > cut * s[..., :1]
    parts = (U * used.unsqueeze(-2)).mT @ wanted
    share = parts.square().sum(-2) / wanted.square().sum(-2)
    return share, used.sum(-1)
