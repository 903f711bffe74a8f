"""Changes of couplings as products of activities: multiplied out, added, bounded."""

import pytest
import torch
from references import random_generator, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity.synapses import Synapses, peak

M, N = 3, 4


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def couplings(sparse, seed=3):
    """Return couplings to be changed, the same as a matrix, and where they exist."""
    J = thinned(numbers(M, N, seed=seed)) if sparse else numbers(M, N, seed=seed)
    exists = J != 0
    return Synapses(snt.couplings.Sparse(J) if sparse else J.clone()), J, exists


def spread(entries, exists):
    """Return entries of synapses as a matrix."""
    if entries.ndim == 2:
        return entries
    matrix = torch.zeros(M, N, dtype=torch.float64)
    matrix[exists] = entries.detach()
    return matrix


KEPT = [0.0, -0.3, numbers(M, seed=5)]
changes = pytest.mark.parametrize("kept", KEPT, ids=["none", "number", "rows"])
layouts = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])


def both(sparse, kept, products):
    """Return the synapses, a change of them, and dJ the slow way."""
    synapses, J, exists = couplings(sparse)
    post, pre = numbers(products, M, seed=1), numbers(products, N, seed=2)
    rows = torch.as_tensor(kept, dtype=torch.float64).expand(M)
    slow = rows.diag() @ J + sum(
        (torch.outer(a, b) for a, b in zip(post, pre, strict=True)), torch.zeros_like(J)
    )
    return synapses, synapses.outer(post, pre, kept=kept), torch.where(exists, slow, 0.0), J, exists


@layouts
@changes
@pytest.mark.parametrize("products", [0, 1, 5])
def test_a_change_is_its_formula_multiplied_out_or_applied(sparse, kept, products):
    synapses, change, slow, J, exists = both(sparse, kept, products)
    with torch.no_grad():
        assert_close(spread(change.entries(), exists), slow)
        change.apply()
    assert_close(spread(synapses.values, exists), J + slow)


@layouts
@changes
def test_sums_and_multiples_are_changes(sparse, kept):
    synapses, change, slow, _, exists = both(sparse, kept, 2)
    more = synapses.scaled(torch.ones(M, dtype=torch.float64))
    with torch.no_grad():
        found = (change + 0.5 * more) * 2
        assert_close(spread(found.entries(), exists), 2 * slow + spread(synapses.values, exists))
        dJ = change.entries()
        for mixed in (change + dJ, dJ + change):
            assert isinstance(mixed, torch.Tensor)
            assert_close(mixed, 2 * dJ)


@layouts
@changes
@pytest.mark.parametrize("products", [0, 1, 5])
def test_what_a_change_reaches_is_bounded(sparse, kept, products):
    for scale in (1e-3, 1.0, 30.0):
        synapses, change, *_ = both(sparse, kept, products)
        change = change * scale
        with torch.no_grad():
            bound = change.reach(peak(synapses.values))
            assert peak(synapses.values + change.entries()) <= bound * (1 + 1e-12)
        assert bound <= 40 * (1 + scale) ** 2  # not just infinity


def test_numbers_that_are_not_finite_have_no_bound():
    synapses, *_ = couplings(False)
    change = synapses.outer(torch.full((M,), torch.nan).double(), numbers(N))
    assert not change.reach(1.0) < 1e300
    assert not peak(torch.tensor([1.0, torch.nan, torch.inf])) < 1e300
    assert peak(torch.tensor([-3.0, 2.0])) == 3
    assert peak(torch.empty(0)) == 0


def place(room):
    assert room is not None
    return room.data_ptr()


def test_memory_is_lent_anew_and_never_twice_at_a_time():
    rooms = []
    J = numbers(M, N)
    first = Synapses(J).borrow(rooms)
    taken = {place(first.room()) for _ in range(3)}
    assert len(taken) == len(rooms) == 3
    second = Synapses(J).borrow(rooms)
    again = {place(second.room()) for _ in range(4)}
    assert taken < again
    assert Synapses(J).room() is None
