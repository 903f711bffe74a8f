"""The two-time mean field against the recursion in slow sums, limits, and the stationary theory."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import gaussian_mean, gaussian_pair
from torch.testing import assert_close

import sntorch as snt
from sntorch.meanfield import evolve, solve


def slow(f, steps, J, Jbar, theta, s_th, sigma, leak, mu0, v0):
    """Return means and covariances by the four recursions of the reference, X for all pairs."""
    mu, D = np.zeros(steps + 1), np.zeros((steps + 1, steps + 1))
    C, X = np.zeros((steps + 1, steps + 1)), np.zeros((steps + 1, steps + 1))
    mu[0], D[0, 0] = mu0, v0
    for t in range(steps):
        for s in range(t + 1):
            pair = gaussian_pair(f, (mu[t], mu[s]), (D[t, t], D[s, s]), D[t, s])
            C[t, s] = C[s, t] = J**2 * pair + s_th**2 + (sigma**2 if s == t else 0)
        for s in range(t + 1):  # Cov(u_t, field_s) and Cov(u_s, field_t) from the fields before
            X[t, s] = sum(leak ** (t - 1 - r) * C[r, s] for r in range(t))
            X[s, t] = sum(leak ** (s - 1 - r) * C[r, t] for r in range(s))
        for s in range(t + 1):
            new = leak**2 * D[t, s] + leak * (X[t, s] + X[s, t]) + C[t, s]
            D[t + 1, s + 1] = D[s + 1, t + 1] = new
        D[t + 1, 0] = D[0, t + 1] = leak ** (t + 1) * v0
        mu[t + 1] = leak * mu[t] + Jbar * gaussian_mean(f, mu[t], D[t, t]) - theta
    return mu, D


@pytest.mark.parametrize("leak", [0.0, 0.4])
def test_recursion_in_slow_sums(leak):
    numbers: dict[str, Any] = {"threshold": 0.2, "threshold_std": 0.3, "noise": 0.25, "leak": leak}
    two = evolve(5, gain=1.8, std=1.3, mean=0.6, **numbers, initial_mean=0.5, initial_variance=0.7)
    mu, D = slow(lambda u: np.tanh(1.8 * u), 5, 1.3, 0.6, 0.2, 0.3, 0.25, leak, 0.5, 0.7)
    assert_close(two.mean.numpy(), mu, rtol=0, atol=1e-8)
    assert_close(two.covariance.numpy(), D, rtol=0, atol=1e-7)
    assert bool(two.converged)


@pytest.mark.parametrize("transfer", ["tanh01", "erf", "softplus"])
def test_other_functions(transfer):
    phi = snt.transfer.as_transfer(transfer)
    two = evolve(3, gain=1.2, leak=0.3, transfer=transfer, std=0.7)

    def f(u):
        return phi(torch.as_tensor(1.2 * u)).numpy()

    _, D = slow(f, 3, 0.7, 0, 0, 0, 0, 0.3, 0, 1.0)
    assert_close(two.covariance.numpy(), D, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "numbers",
    [
        {"gain": 2.0, "leak": 0.5},
        {"gain": 1.5, "leak": 0.3, "noise": 0.3, "threshold_std": 0.2, "mean": 0.5},
        {"gain": 1.5, "noise": 0.4, "threshold_std": 0.2},
    ],
)
def test_relaxes_to_the_stationary_theory(numbers):
    # Two independent ways to the same covariance: a recursion in time, a ring of lags.
    two, field = evolve(220, **numbers), solve(**numbers)
    lags = torch.tensor([0, 1, 2, 5, 10])
    assert_close(two.covariance[-1, -1 - lags], field.covariance(lags), rtol=0, atol=1e-6)
    assert float(two.mean[-1]) == pytest.approx(float(field.mean), abs=1e-6)


def test_linear_network():
    # u(0) decays like leak^t; v of the rest is a geometric sum at leak 0.
    two = evolve(6, gain=0.5, transfer="linear", initial_variance=2.0)
    expected = 2.0 * 0.25 ** torch.arange(7).double()
    assert_close(two.variance, expected)
    assert_close(two.covariance, torch.diag(expected))
    leaky = evolve(4, gain=1.0, std=0.0, leak=0.5, noise=1.0, initial_variance=0.0)
    assert_close(leaky.variance, (1 - 0.25 ** torch.arange(5).double()) / 0.75)


def test_starts_without_any_variance():
    two = evolve(60, gain=2.0, noise=0.1, initial_variance=0.0)
    assert float(two.variance[0]) == 0
    assert float(two.variance[1]) == pytest.approx(0.01)
    assert float(two.variance[-1]) == pytest.approx(float(solve(gain=2.0, noise=0.1).variance))


def test_more_terms_change_what_the_error_says():
    # gain sqrt(v) near 3: 63 terms are right to 1e-5, and the record knows.
    few, many = evolve(40, gain=4.0, leak=0.2, terms=16), evolve(40, gain=4.0, leak=0.2)
    assert many.terms > 16
    assert bool(many.converged)
    assert not bool(few.converged)
    change = float((few.covariance - many.covariance).abs().max())
    assert 1e-6 < change < 100 * float(few.error)
    assert float(many.error) < 1e-7


def test_arrays():
    two = evolve(8, gain=[1.0, 2.0], leak=[[0.0], [0.3], [0.5]], initial_variance=0.5)
    assert two.covariance.shape == (3, 2, 9, 9)
    assert two.mean.shape == two.variance.shape == (3, 2, 9)
    assert two.error.shape == two.converged.shape == (3, 2)
    one = evolve(8, gain=2.0, leak=0.3, initial_variance=0.5)
    assert_close(two.covariance[1, 1], one.covariance, rtol=1e-9, atol=1e-9)
    assert_close(two.covariance, two.covariance.mT)
    starts = evolve(3, gain=1.0, initial_variance=[0.1, 0.2])
    assert starts.variance[:, 0].tolist() == [0.1, 0.2]
    assert set(starts.scalars()) == {"mean", "variance", "error"}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"steps": 0, "gain": 1.0}, "steps: expected a whole number"),
        ({"steps": 3, "gain": 1.0, "initial_variance": -1.0}, "initial_variance: expected numbers"),
        ({"steps": 3, "gain": 1.0, "initial_mean": math.nan}, "initial_mean: expected finite"),
        ({"steps": 3, "gain": 1.0, "leak": 1.0}, "leak: expected numbers"),
        ({"steps": 3, "gain": 1.0, "terms": 1}, "terms: expected a whole number"),
        ({"steps": 3, "gain": 1.0, "transfer": "sign"}, "transfer: expected one of"),
    ],
)
def test_wrong_arguments(numbers, message):
    with pytest.raises(ValueError, match=message):
        evolve(**numbers)
