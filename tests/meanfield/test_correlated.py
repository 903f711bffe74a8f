"""Correlated couplings: published values, independence, the separable exponent, wrong tables."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import gaussian_pair
from torch.testing import assert_close

import sntorch as snt
from sntorch.meanfield import correlated, solve


def ring(M, length=0.7, strength=0.7):
    n = torch.arange(M, dtype=torch.float64)
    A = torch.exp(-torch.minimum(n, M - n) / length)
    return strength * A[:, None] * A


def test_published_values():
    field = correlated(gain=3.0, covariance=ring(24))
    assert float(field.variance) == pytest.approx(0.504685, abs=6e-7)
    assert float(field.correlation[1]) == pytest.approx(0.239651, abs=6e-7)
    assert float(field.lyapunov) == pytest.approx(0.239175, abs=6e-6)
    assert bool(field.chaotic)
    assert_close(field.overlaps, torch.zeros(24).double(), rtol=0, atol=1e-20)
    wider = correlated(gain=3.0, covariance=ring(40))
    assert_close(wider.lyapunov, field.lyapunov, rtol=0, atol=1e-9)


def test_equations_in_slow_sums():
    L = ring(12)
    field = correlated(
        gain=2.0, covariance=L, threshold=0.2, threshold_std=0.1, noise=0.3, mean=0.4
    )
    m, v = float(field.mean), float(field.variance)
    D, q = field.covariances.tolist(), field.overlaps.tolist()

    def f(u):
        return np.tanh(2 * u)

    for C, own in ((D, 0.01 + 0.09), (q, 0.01)):
        pairs = np.array([gaussian_pair(f, (m, m), (v, v), c) for c in C])
        expected = L.numpy() @ pairs
        expected[0] += own
        assert_close(np.array(C), expected, rtol=0, atol=1e-8)

    def slope(u):
        return 2 / np.cosh(2 * u) ** 2

    # L = A(n) B(m) with A(0) = 1: half the logarithm of one sum.
    slopes = [gaussian_pair(slope, (m, m), (v, v), c) for c in D]
    A, B = L[:, 0].numpy() / float(L[0, 0]), L[0].numpy()
    assert float(field.lyapunov) == pytest.approx(0.5 * math.log(float(A * B @ slopes)), abs=1e-7)
    assert float(field.residual) < 1e-10


def test_independent_couplings():
    L = torch.zeros(6, 6, dtype=torch.float64)
    L[0, 0] = 1.44
    field = correlated(gain=2.0, covariance=L, noise=0.3, threshold_std=0.4)
    one = solve(gain=2.0, std=1.2, noise=0.3, threshold_std=0.4)
    assert_close(field.variance, one.variance, rtol=1e-10, atol=0)
    assert_close(field.overlaps[0], one.overlap, rtol=1e-7, atol=0)
    assert_close(field.lyapunov, one.lyapunov, rtol=0, atol=1e-9)
    assert_close(field.covariances[1:], torch.zeros(5).double())
    assert set(field.scalars()) == {"variance", "neighbours", "lyapunov"}


def test_quiet():
    field = correlated(gain=0.3, covariance=ring(8))
    assert not bool(field.chaotic)
    assert float(field.variance) < 1e-12


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"covariance": torch.ones(3)}, r"covariance: expected a square table \(M, M\), got \(3,"),
        ({"covariance": torch.ones(3, 4)}, "covariance: expected a square table"),
        ({"covariance": torch.arange(9.0).reshape(3, 3)}, "covariance: expected L"),
        ({"covariance": torch.full((2, 2), math.nan)}, "covariance: expected finite"),
        ({"covariance": torch.ones(2, 2), "noise": -1.0}, "noise: expected a finite number"),
    ],
)
def test_wrong_arguments(numbers, message):
    with pytest.raises(ValueError, match=message):
        correlated(gain=1.0, **numbers)


def test_networks():
    n = 600
    numbers: Any = {"gain": 3.0, "noise": 0.2}
    found = []
    for seed in range(6):
        g = torch.Generator().manual_seed(seed)
        J = snt.couplings.correlated(
            n, covariance=ring(n), mean=0.3, generator=g, dtype=torch.float64
        )
        cell = snt.SNTCell(J, threshold=0.1, trainable=(), **numbers)
        u = torch.randn(n, generator=g, dtype=torch.float64)
        orbit = snt.rollout(cell, u, 200, generator=g)[50:]
        du = orbit - orbit.mean()
        pairs = [(du * du.roll(distance, -1)).mean() for distance in (0, 1, 2)]
        rate = snt.analysis.max_lyapunov(cell, orbit[-1], 200, transient=30, generator=g)
        found.append(torch.stack([orbit.mean(), *pairs, rate.exponents[0]]))
    table = torch.stack(found)
    measured, error = table.mean(0), table.std(0) / math.sqrt(len(table))
    field = correlated(covariance=ring(24), mean=0.3, threshold=0.1, **numbers)
    theory = torch.stack([field.mean, *field.covariances[:3], field.lyapunov])
    allowed = 3 * error + torch.tensor([6, 6, 6, 6, 8]) / n  # finite size, as for independent ones
    assert ((measured - theory).abs() <= allowed).all(), (measured, theory, error)
    # Without correlations the variance would be another.
    independent = solve(std=0.7**0.5, mean=0.3, threshold=0.1, **numbers)
    assert (measured[1] - independent.variance).abs() > 2 * allowed[1]
    assert measured[2] > 10 * error[2]
