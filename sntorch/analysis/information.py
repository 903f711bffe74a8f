r"""Information processing capacity: which functions of its past input a network has computed.

A network reads independent numbers x(t), uniform in [-1, 1] times an amplitude.  Products of
Legendre polynomials of past inputs,

.. math:: y_d(t) = \prod_k P_{d_k}(x(t - k)), \qquad |d| = \sum_k d_k,

are uncorrelated with each other, and the capacity of each is that of `sntorch.analysis.memory`.
Degree 1 is the memory capacity.  The capacities of all products add up to the number of directions
that the activity fills, if the network forgets and has no noise (Dambre et al. 2012): what is
missing in the sum is of products that were not asked for, or lost to noise or chaos.

Errors.  What a product seems to have by chance, its shifts in time have too, since the activity
moves on with them: their standard errors are added, and those of unlike products in squares.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.memory import capacities, cutoff, hear
from sntorch.results import Result, over_rows

__all__ = ["InformationCapacity", "information_capacity"]

_MOST = 20_000  # products: more than any readout can tell apart


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class InformationCapacity(Result):
    """How many functions of each degree a linear readout reconstructs, for every row."""

    capacity: Tensor
    """(..., D), sum over the products of degree 1, 2, ... D."""
    stderr: Tensor
    """(..., D), an upper bound: products that are shifts of each other err together."""
    products: tuple[int, ...]
    """How many products of each degree were asked for."""
    rank: Tensor
    """(...), directions that the activity fills: an upper bound of the sum."""
    size: int
    """N, numbers that are read."""
    steps: int
    """T, samples."""

    @property
    def total(self) -> Tensor:
        """The sum over degrees (...)."""
        return self.capacity.sum(-1)

    @property
    def total_stderr(self) -> Tensor:
        """Standard error of the sum (...)."""
        return self.stderr.square().sum(-1).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return total, its standard error and share of N, and the capacity of every degree."""
        total, error = over_rows(self.total, self.total_stderr)
        named = {
            "information": float(total),
            "information_stderr": float(error),
            "information_share": float(total) / self.size,
        }
        for i, (value, own) in enumerate(
            zip(self.capacity.unbind(-1), self.stderr.unbind(-1), strict=True), 1
        ):
            named[f"degree_{i}"] = float(over_rows(value, own)[0])
        return named


def information_capacity(
    f: object,
    u: Tensor,
    steps: int,
    *,
    delays: Sequence[int] = (50, 15, 6),
    transient: int = 200,
    amplitude: float = 1.0,
    direction: Tensor | None = None,
    tolerance: float | None = None,
    generator: torch.Generator | None = None,
) -> InformationCapacity:
    """Return how much of the functions of its past input, by degree, a network has computed.

    Cost: an orbit, a singular value decomposition of (T, N), and a product of (N, T) with (T, P),
    for P products in all; degree d with K delays has K (K + 1) ... (K + d - 1) / d! of them.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, as in `memory_capacity`.
    u
        Initial states (..., N); every row reads an input of its own.
    steps
        Samples, T, more than N + 2 and than the delays.
    delays
        How many delays, from 0 on, enter the products of degree 1, 2 and so on; none of a degree
        by 0.
    transient, amplitude, direction, tolerance, generator
        As in `memory_capacity`.

    Raises
    ------
    ValueError
        On wrong arguments, more than 20,000 products among them, and when an orbit leaves the
        finite numbers.

    References
    ----------
    J. Dambre, D. Verstraeten, B. Schrauwen, S. Massar, Sci. Rep. 2 (2012) 514.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.as_dynamics(lambda u, x: torch.cat([x, x * u[..., :1]], -1))  # x(t), x(t) x(t-1)
    >>> u = torch.zeros(2).double()
    >>> found = snt.analysis.information_capacity(f, u, 500, delays=[3, 3])
    >>> [round(value) for value in found.capacity.tolist()]
    [1, 1]
    """
    if not isinstance(delays, Iterable):
        raise ValueError(f"delays: expected one number for each degree, got {delays!r}")
    counts = [checks.count("delays", count, low=0) for count in delays]
    if not counts or not any(counts):
        raise ValueError(f"delays: expected one number or more, not all 0, got {list(delays)}")
    made = [_size(count, degree) for degree, count in enumerate(counts, 1)]
    if sum(made) > _MOST:
        raise ValueError(f"delays: expected at most {_MOST} products, got {sum(made)}")
    heard = hear(f, u, steps, max(counts), transient, amplitude, direction, generator)
    powers = _legendre(heard.past / amplitude, len(counts))
    wanted = torch.cat([_products(powers, n, d) for d, n in enumerate(counts, 1) if n], -1)
    capacity, error, rank = capacities(heard.activity, wanted, cutoff(u, steps, tolerance))
    parts = zip(capacity.split(made, -1), error.split(made, -1), counts, strict=True)
    sums = [_summed(value, own, n, d) for d, (value, own, n) in enumerate(parts, 1)]
    return InformationCapacity(
        capacity=torch.stack([value for value, _ in sums], -1),
        stderr=torch.stack([own for _, own in sums], -1),
        products=tuple(made),
        rank=rank,
        size=heard.activity.shape[-1],
        steps=steps,
    )


def _size(delays: int, degree: int) -> int:
    """Return how many products there are: ways to choose `degree` of them, with repetition."""
    found = 1
    for i in range(degree):
        found = found * (delays + i) // (i + 1)
    return found


def _legendre(x: Tensor, degree: int) -> list[Tensor]:
    """Return P_0 to P_degree of x."""
    found = [torch.ones_like(x), x]
    for n in range(1, degree):
        found.append(((2 * n + 1) * x * found[n] - n * found[n - 1]) / (n + 1))
    return found


def _products(powers: list[Tensor], delays: int, degree: int) -> Tensor:
    """Return the products of one degree (..., T, P)."""
    columns: list[Tensor] = []
    for chosen in _chosen(delays, degree):
        column = torch.ones_like(powers[0][..., 0])
        for delay, repeats in itertools.groupby(chosen):
            column = column * powers[len(list(repeats))][..., delay]
        columns.append(column)
    return torch.stack(columns, -1)


def _chosen(delays: int, degree: int) -> Iterator[tuple[int, ...]]:
    """Yield the delays in each product."""
    return itertools.combinations_with_replacement(range(delays), degree)


def _summed(values: Tensor, errors: Tensor, delays: int, degree: int) -> tuple[Tensor, Tensor]:
    """Return the sum over the products of a degree, and its error: shifts linearly."""
    known: dict[tuple[int, ...], int] = {}
    patterns = [tuple(k - each[0] for k in each) for each in _chosen(delays, degree)]
    family = torch.tensor([known.setdefault(p, len(known)) for p in patterns], dtype=torch.long)
    together = errors.new_zeros(*errors.shape[:-1], len(known))
    together.index_add_(-1, family.to(errors.device), errors)
    return values.sum(-1), together.square().sum(-1).sqrt()
