"""Products with sparse matrices against dense ones, derivatives of every kind included."""

import pytest
import torch
from references import random_coupling, thinned
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from sntorch.couplings.products import Pattern, compress, sampled_product, sparse_product

DENSE = thinned(random_coupling(n=6))[:, 1:]  # (6, 5), with an empty row
TURNED = pytest.mark.parametrize("transposed", [False, True])


def stored():
    """Return values and pattern of the matrix."""
    crow, columns, values = compress("J", DENSE)
    return values.requires_grad_(), Pattern(crow, columns, (6, 5))


def columns(rows, k=3):
    return torch.randn(rows, k, dtype=torch.float64).requires_grad_()


@TURNED
def test_product_is_the_dense_one(transposed):
    values, pattern = stored()
    J = DENSE.T if transposed else DENSE
    X = columns(J.shape[1])
    assert_close(sparse_product(values, X, pattern, transposed), J @ X)


def test_sampled_product_is_the_outer_product_at_the_places():
    values, pattern = stored()
    A, B = columns(6), columns(5)
    expected = (A @ B.T)[pattern.rows().long(), pattern.columns.long()]
    assert_close(sampled_product(A, B, pattern), expected)
    assert sampled_product(A, B, pattern).shape == values.shape == (int((DENSE != 0).sum()),)


@TURNED
def test_all_derivatives(transposed):
    values, pattern = stored()
    inputs = values, columns(6 if transposed else 5)

    def product(values, X):
        return sparse_product(values, X, pattern, transposed)

    assert gradcheck(product, inputs, check_forward_ad=True)
    assert gradgradcheck(product, inputs, check_fwd_over_rev=True, check_rev_over_rev=True)
    factors = columns(6), columns(5)
    assert gradcheck(lambda A, B: sampled_product(A, B, pattern), factors, check_forward_ad=True)


@TURNED
def test_transforms(transposed):
    values, pattern = stored()
    values = values.detach()
    J = DENSE.T if transposed else DENSE
    X, V = columns(J.shape[1]).detach(), torch.randn(J.shape[1], 3, 7, dtype=torch.float64)

    def product(values, X):
        return sparse_product(values, X, pattern, transposed)

    def push(V):
        return torch.func.jvp(lambda X: product(values, X), (X,), (V,))[1]

    pushed = torch.vmap(push, in_dims=-1, out_dims=-1)(V)
    assert_close(pushed, torch.einsum("ij,jmk->imk", J, V))
    many = torch.stack([values, 2 * values])
    assert_close(torch.vmap(lambda v: product(v, X))(many), torch.stack([J @ X, 2 * J @ X]))
    by_values = torch.func.jacrev(lambda v: product(v, X))(values)
    assert_close(by_values, torch.func.jacfwd(lambda v: product(v, X))(values))


def test_the_gradient_is_the_dense_one_where_entries_are():
    values, pattern = stored()
    X, weight = columns(5), torch.randn(6, 3, dtype=torch.float64)
    dense = DENSE.clone().requires_grad_()
    (expected,) = torch.autograd.grad((torch.tanh(dense @ X) * weight).sum(), dense)
    loss = (torch.tanh(sparse_product(values, X, pattern)) * weight).sum()
    (found,) = torch.autograd.grad(loss, values)
    assert_close(found, expected[pattern.rows().long(), pattern.columns.long()])


def test_order_made_in_inference_mode_serves_later_gradients():
    values, pattern = stored()
    with torch.inference_mode():
        sparse_product(values, columns(6), pattern, transposed=True)
    X = columns(5)
    sparse_product(values, X, pattern).sum().backward()
    assert_close(X.grad, DENSE.sum(0).unsqueeze(-1).expand(5, 3))


@pytest.mark.parametrize(
    "convert",
    [
        lambda J: J,
        torch.Tensor.to_sparse_coo,
        torch.Tensor.to_sparse_csr,
        torch.Tensor.to_sparse_csc,
        lambda J: J.to_sparse_bsr((2, 1)),
        lambda J: J.to_sparse_bsc((3, 5)),
    ],
    ids=["dense", "coo", "csr", "csc", "bsr", "bsc"],
)
def test_every_layout_is_compressed(convert):
    crow, columns, values = compress("J", convert(DENSE))
    assert crow.dtype == columns.dtype == torch.int32
    assert_close(Pattern(crow, columns, (6, 5)).tensor(values).to_dense(), DENSE)


def test_repeated_entries_add_up():
    index = torch.tensor([[0, 0, 1], [1, 1, 0]])
    J = torch.sparse_coo_tensor(index, torch.tensor([1.0, 2.0, 4.0]), (2, 2), check_invariants=True)
    assert compress("J", J)[2].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "columns", [[0, 5, 1], [1, 0, 1], [1, 1, 0]], ids=["far", "order", "twice"]
)
def test_indices_that_would_crash_are_refused(columns):
    crow = torch.tensor([0, 2, 3])
    J = torch.sparse_csr_tensor(
        crow, torch.tensor(columns), torch.ones(3), (2, 2), check_invariants=False
    )
    with pytest.raises(ValueError, match="J: expected a valid sparse matrix, got"):
        compress("J", J)
