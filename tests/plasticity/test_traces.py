"""A step of the trace: its value against the formula, its derivatives against differences."""

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

from sntorch.plasticity.traces import _Advance, square

N = 3


def arguments(*rows, per_row):
    g = random_generator(4)
    sizes = [(*rows, N + N * N), *[(*rows, N)] * 3, (*rows, N) if per_row else ()]
    return [torch.randn(size, generator=g, dtype=torch.float64) for size in sizes]


every_kind = pytest.mark.parametrize("per_row", [False, True], ids=["number", "rows"])
every_shape = pytest.mark.parametrize("rows", [(), (2,), (2, 1)], ids=str)


def plain(s, u1, learned, b, kept):
    """Return the next state, entry by entry of the formula."""
    H = square(s, N)
    H1 = (kept[..., None] if kept.ndim else kept) * H + learned[..., :, None] * b[..., None, :]
    return torch.cat([u1, H1.flatten(-2)], -1)


@every_kind
@every_shape
def test_a_step_is_its_formula(rows, per_row):
    given = arguments(*rows, per_row=per_row)
    kept = [each.clone() for each in given]
    assert_close(_Advance.apply(*given), plain(*given))
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))


@every_kind
@every_shape
def test_derivatives_are_those_of_differences(rows, per_row):
    given = [each.requires_grad_() for each in arguments(*rows, per_row=per_row)]
    assert torch.autograd.gradcheck(_Advance.apply, given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(_Advance.apply, given)


@every_kind
@pytest.mark.parametrize("which", range(5))
def test_one_argument_at_a_time(which, per_row):
    given = arguments(2, per_row=per_row)

    def at(value):
        return _Advance.apply(*given[:which], value, *given[which + 1 :])

    assert torch.autograd.gradcheck(at, given[which].requires_grad_(), check_forward_ad=True)


@every_kind
def test_transforms_of_torch_go_through(per_row):
    given = arguments(4, per_row=per_row)
    last = 0 if per_row else None
    mapped = torch.func.vmap(_Advance.apply, in_dims=(0, 0, 0, 0, last))(*given)
    assert_close(mapped, plain(*given))
    one = [each[0] if each.ndim else each for each in given]
    for transform in (torch.func.jacfwd, torch.func.jacrev):
        for i in range(5):
            assert_close(transform(_Advance.apply, i)(*one), transform(plain, i)(*one))


def test_a_number_for_every_mapped_row():
    s, u1, learned, b, _ = arguments(4, per_row=False)
    kept = torch.linspace(0, 1, 4).double()
    found = torch.func.vmap(_Advance.apply)(s, u1, learned, b, kept)
    assert_close(
        found, torch.stack([plain(s[i], u1[i], learned[i], b[i], kept[i]) for i in range(4)])
    )
