"""Growth rates against tridiagonal eigenvalues, brute-force averages and linear networks."""

import math

import numpy as np
import pytest
import scipy
import torch
from references import gaussian_pair

from sntorch.meanfield.dynamic import Ring
from sntorch.meanfield.growth import collective, constant_root, largest_root, slope_pairs
from sntorch.meanfield.tables import read
from sntorch.transfer import as_transfer


def one(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_constant_weights():
    assert float(constant_root(one([0.4]), one([[0.81]]))) == pytest.approx(1.3, rel=1e-12)
    leak, W = one([0.4, 0.2]), one([[0.5, 0.3], [0.7, 0.1]])
    z = float(constant_root(leak, W))
    # (z - gamma)^2 x = W x has a positive solution: it is the largest root (Perron and Frobenius).
    pencil = np.diag((z - leak[0].numpy()) ** 2) - W[0].numpy()
    x = np.linalg.svd(pencil)[2][-1]
    assert np.abs(pencil @ x).max() < 1e-10
    assert x.min() * x.max() > 0


def test_largest_root_is_the_top_of_a_tridiagonal_matrix():
    gamma, far, lags = 0.5, 0.3, np.arange(-300, 301)
    bump = far + 0.6 * np.exp(-np.abs(lags) / 4)

    def miss(z):
        side = np.full(len(lags) - 1, gamma * z)
        last = (len(lags) - 1,) * 2
        top = scipy.linalg.eigvalsh_tridiagonal(bump, side, select="i", select_range=last)
        return z**2 + gamma**2 - top[0]

    expected = scipy.optimize.brentq(miss, gamma, gamma + 1, xtol=1e-13)
    W = torch.from_numpy(bump[300:360]).reshape(1, 1, 1, -1)
    assert float(largest_root(one([gamma]), W, one([[far]]))) == pytest.approx(expected, abs=1e-9)
    # Without a leak lags do not mix: the largest weight decides.
    assert float(largest_root(one([0.0]), W, one([[far]]))) == pytest.approx(0.9**0.5, rel=1e-10)


def test_slope_pairs_in_slow_sums():
    tables, _ = read(as_transfer("tanh"), std=[[1.0]], mean=0.0, gain=1.5, threshold=0.0,
                     threshold_std=0.0, noise=0.0, leak=0.5)  # fmt: skip
    D = one(0.8, 0.5, 0.1, -0.3)
    found = slope_pairs(tables, Ring(one([0.2]), D.reshape(1, 1, -1), one(0.0)))

    def slope(u):
        return 1.5 / np.cosh(1.5 * u) ** 2

    expected = [gaussian_pair(slope, (0.2, 0.2), (0.8, 0.8), c) for c in D.tolist()]
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-8)


@pytest.mark.parametrize(("mean", "expected"), [(1.0, 0.7), (-1.6, 0.6), (0.02, None)])
def test_linear_mean_fields_grow_by_their_slope(mean, expected):
    gain, std, leak = 0.5, 0.3, 0.2
    tables, _ = read(as_transfer("linear"), std=[[std]], mean=mean, gain=gain, threshold=0.0,
                     threshold_std=0.0, noise=0.3, leak=leak)  # fmt: skip
    D = (0.1 * 0.3 ** torch.arange(33, dtype=torch.float64)).reshape(1, 1, -1)
    found = float(collective(tables, Ring(one([0.0]), D, one(0.0)), one([gain**2])))
    # Covariances of quenched couplings fade by leak + (S g)^2 / (1 - leak) at least.
    edge = leak + (std * gain) ** 2 / (1 - leak)
    assert found == pytest.approx(math.log(expected or edge), abs=1e-6)
