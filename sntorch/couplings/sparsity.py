r"""Sparse random couplings: few inputs per neuron, in dense or compressed (CSR) layout.

Neither layout needs the N x N matrix to be drawn: work and memory grow with the number of
couplings, but for the dense result itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch import checks, memory
from sntorch.couplings.normals import fits
from sntorch.couplings.products import csr

__all__ = ["sparse"]

_MOST = 2**31 - 1  # couplings that int32 indices can count
_BLOCK = 2**18  # couplings whose neurons are chosen at a time


def sparse(
    n: int,
    *,
    degree: int | None = None,
    density: float | None = None,
    mean: float = 0.0,
    std: float = 1.0,
    layout: str = "dense",
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Return sparse Gaussian couplings (n, n), self-couplings included.

    With K inputs per neuron (K = ``degree``, or ``density * n`` on average), the couplings that
    exist have mean ``mean / K`` and variance ``std**2 / K``: the sum of a row has mean ``mean`` and
    variance ``std**2``, plus ``mean**2 * (1 - K / n) / K`` if the number of inputs is random.

    As n grows with K large, the eigenvalues fill a disk of radius
    :math:`\sqrt{s^2 + \bar J^2 (1 - K/n) / K}` with s = ``std`` and J-bar = ``mean`` (who is
    connected to whom is disorder too), and a mean above that adds one real eigenvalue near
    ``mean``.  At K below about 10 a few eigenvalues lie well outside.

    Parameters
    ----------
    n
        Number of neurons.
    degree
        Number of inputs of each neuron, chosen without replacement among all n.
    density
        Probability of each of the n^2 couplings, independently.  Exactly one of degree and density
        must be given.
    mean, std
        Mean and standard deviation of K inputs together, see above.
    layout
        ``"dense"``, or ``"csr"`` for a ``torch.sparse_csr`` tensor with int32 indices, columns
        ascending in each row.  The same generator gives the same couplings in both.  `SNTCell`
        takes either; of the second it stores and trains the existing couplings alone.
    generator, dtype, device
        As in ``torch.randn``.

    Raises
    ------
    ValueError
        If n < 1, std < 0, degree is outside [1, n], density is outside (0, 1], both or none of them
        are given, a csr tensor may hold 2^31 couplings or more, or they do not fit the memory.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.sparse(1000, degree=10, layout="csr")
    >>> J.values().shape, J.crow_indices()[:3].tolist()
    (torch.Size([10000]), [0, 10, 20])
    """
    checks.count("n", n)
    checks.number("mean", mean)
    checks.number("std", std, low=0)
    checks.one_of("layout", layout, ["dense", "csr"])
    checks.generator(generator, device)
    K = _inputs(n, degree, density)
    if layout == "csr" and n * K + 6 * math.sqrt(n * K) > _MOST:
        raise ValueError(f"n: expected fewer than 2^31 couplings, got {n} x {K:g}")
    if layout == "dense":
        fits("n", (n, n), dtype, device)
    # Drawn by density, an index is made from several numbers of 8 bytes.
    each = memory.size_of(dtype=dtype) + (8 if degree is not None else 40)
    memory.afford("n", int(n * K) * each, device, "use fewer couplings per neuron")
    if degree is not None:
        columns = _choose(n, degree, generator, device).flatten()
        starts = torch.arange(n + 1, device=device) * degree
    else:
        places = _bernoulli(n * n, K / n, generator, device)
        columns = places % n
        starts = torch.searchsorted(places, torch.arange(n + 1, device=device) * n)
    values = torch.randn(len(columns), generator=generator, dtype=dtype, device=device)
    values.mul_(std / math.sqrt(K)).add_(mean / K)
    if layout == "dense":
        rows = torch.arange(n, device=device).repeat_interleave(starts.diff())
        return values.new_zeros(n, n).index_put_((rows, columns.long()), values)
    return csr(starts.int(), columns.int(), values, (n, n))


def _inputs(n: int, degree: int | None, density: float | None) -> float:
    """Return the (mean) number of inputs per neuron."""
    if (degree is None) == (density is None):
        raise ValueError(
            f"degree, density: expected exactly one of them, got {degree!r} and {density!r}"
        )
    if degree is not None:
        K = float(checks.count("degree", degree, low=1, high=n))
    else:
        share = checks.number("density", density, low=0, high=1)
        if share == 0:
            raise ValueError(f"density: expected a number in (0, 1], got {density!r}")
        K = share * n
    return K


def _choose(
    n: int, k: int, generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
    """Return (n, k): k different numbers below n in each row, ascending, every set as likely."""
    if 2 * k > n:  # the result is about as large as a dense matrix: shuffle
        order = torch.rand(n, n, generator=generator, dtype=torch.float64, device=device).argsort(1)
        return order[:, :k].sort(1).values
    # Redraw repeated numbers until there are none.  No number is treated unlike another, so no
    # set is either.
    shape = (n, k)
    chosen = torch.randint(n, shape, generator=generator, dtype=torch.int32, device=device)
    for block in chosen.split(max(1, _BLOCK // k)):
        _separate(block, n, generator)
    return chosen


def _separate(chosen: Tensor, n: int, generator: torch.Generator | None) -> None:
    """Put different numbers below n, ascending, into every row of `chosen`."""
    todo = torch.arange(len(chosen), device=chosen.device)
    while len(todo):
        rows = chosen[todo].sort(1).values
        again = torch.zeros_like(rows, dtype=torch.bool)
        again[:, 1:] = rows[:, 1:] == rows[:, :-1]
        count = (int(again.sum()),)
        rows[again] = torch.randint(
            n, count, generator=generator, dtype=torch.int32, device=chosen.device
        )
        chosen[todo] = rows
        todo = todo[again.any(1)]


def _bernoulli(
    trials: int, p: float, generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
    """Return which of a number of independent trials of probability p succeed, ascending."""
    if p >= 1:
        return torch.arange(trials, device=device)
    batch = int(trials * p + 4 * math.sqrt(trials * p)) + 8
    places = torch.empty(0, dtype=torch.int64, device=device)
    last = -1
    while last < trials:  # the gaps between successes are geometric
        gaps = torch.empty(batch, dtype=torch.float64, device=device)
        gaps = gaps.geometric_(p, generator=generator).clamp_(1, trials + 1).long()
        places = torch.cat([places, last + gaps.cumsum(0)])
        last = int(places[-1])
    return places[places < trials]
