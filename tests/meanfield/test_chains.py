"""Chains over lags against dense matrices, an endless end against a long chain and a root."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sntorch.meanfield.chains import beyond, solve


def dense(leak, z, W, far=None):
    """Return the matrix (n P, n P) of one network, written out block by block."""
    P, _, n = W.shape
    A = np.zeros((n, P, n, P))
    side = np.diag(leak * z)
    for k in range(n):
        A[k, :, k] += np.diag(z**2 + leak**2) - W[:, :, k]
        for neighbour in (k - 1, k + 1):
            if neighbour < n or far is None:  # even at lag 0; a mirror at the far end
                at = abs(neighbour) if neighbour < n else n - 2
                A[k, :, at] -= side
    if far is not None:
        A[-1, :, -1] -= far
    return A.reshape(n * P, n * P)


@pytest.fixture
def chain():
    g = torch.Generator().manual_seed(0)
    leak = torch.tensor([[0.5, 0.3], [0.1, 0.0], [0.7, 0.2]], dtype=torch.float64)
    z = torch.tensor([1.2, 0.9, 1.5], dtype=torch.float64)
    W = torch.rand(3, 2, 2, 7, generator=g, dtype=torch.float64) / 5
    right = torch.randn(3, 2, 4, 7, generator=g, dtype=torch.float64)
    return leak, z, W, right


@pytest.mark.parametrize("end", ["mirror", "far"])
def test_solutions_are_those_of_the_dense_matrix(chain, end):
    leak, z, W, right = chain
    far = None if end == "mirror" else 0.3 * W[..., 0]
    found = solve(leak, z, W, right, far)
    for b in range(3):
        A = dense(
            leak[b].numpy(), float(z[b]), W[b].numpy(), None if far is None else far[b].numpy()
        )
        for r in range(4):
            expected = np.linalg.solve(A, right[b, :, r].T.reshape(-1)).reshape(7, 2).T
            np.testing.assert_allclose(found[b, :, r], expected, rtol=1e-11, atol=1e-12)


def test_a_row_that_is_not_finite_is_nan_and_leaves_the_others_alone(chain):
    leak, z, W, right = chain
    broken = W.clone()
    broken[1, 0, 0, 3] = torch.inf
    found = solve(leak, z, broken, right)
    assert found[1].isnan().all()
    assert_close(found[[0, 2]], solve(leak, z, W, right)[[0, 2]], rtol=1e-13, atol=0)


def test_beyond_is_a_root_for_one_population():
    leak, z, W = (torch.tensor(x, dtype=torch.float64) for x in ([[0.5]], [1.3], [[[0.4]]]))
    b, s = 1.3**2 + 0.5**2 - 0.4, 0.5 * 1.3
    # x = s^2 / (b - x): what every end subtracts from the next.
    assert float(beyond(leak, z, W)) == pytest.approx((b - np.sqrt(b**2 - 4 * s**2)) / 2, rel=1e-13)


def test_beyond_stands_for_a_chain_without_end(chain):
    leak, z, W, right = chain
    flat = W[..., -1:]
    long = torch.cat([W, flat.expand(-1, -1, -1, 150)], -1)
    rest = torch.cat([right, torch.zeros(3, 2, 4, 150, dtype=torch.float64)], -1)
    end = beyond(leak, z, flat.squeeze(-1))
    assert_close(solve(leak, z, W, right, end), solve(leak, z, long, rest)[..., :7])
