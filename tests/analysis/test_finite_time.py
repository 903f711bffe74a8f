"""Finite-time exponents: random matrices, whose fluctuations are known in closed form."""

import math

import pytest
import torch
from references import LinearMap, Logistic, ginibre, ginibre_exponents, random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import FiniteTimeExponents, finite_time_exponents, lyapunov_spectrum


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def network(**settings):
    J = snt.couplings.gaussian(8, std=2.0, generator=random_generator(3), dtype=torch.float64)
    return snt.SNTCell(J, **settings)


@pytest.mark.slow
def test_products_of_gaussian_matrices():
    steps = 6000
    f, u, x = ginibre(4, steps)
    found = finite_time_exponents(f, u, steps, window=5, k=4, x=x)
    mean, variance = ginibre_exponents(4)
    assert found.values.shape == (1200, 4)
    assert ((found.mean - mean).abs() < 4 * (variance / steps).sqrt()).all()
    # Successive logarithms are independent: D is the variance of one, whatever the window.
    assert ((found.diffusion - variance).abs() < 4 * variance * (2 / 1200) ** 0.5).all()
    assert_close(found.diffusion_stderr, found.diffusion * (2 / 1199) ** 0.5)
    assert_close(found.stderr, (variance / steps).sqrt(), rtol=0.7, atol=0)
    wide = FiniteTimeExponents(values=found.values.unflatten(0, (-1, 4)).mean(1), window=20)
    assert ((wide.diffusion - variance).abs() < 4 * variance * (2 / 300) ** 0.5).all()


def test_windows_are_means_of_the_growth():
    u = torch.tensor([0.3], dtype=torch.float64)
    orbit = torch.cat([u[None], snt.rollout(Logistic(), u, 57)])
    growth = (4 - 8 * orbit[7:57, 0]).abs().log()
    found = finite_time_exponents(Logistic(), u, 53, window=10, transient=7)
    assert_close(found.values[:, 0], growth.reshape(5, 10).mean(1), rtol=0, atol=1e-10)
    assert_close(found.mean, growth.mean(0, keepdim=True), rtol=0, atol=1e-10)
    assert_close(found.variance, found.values.var(0))


def test_mean_is_the_spectrum():
    f, u = network(noise=0.2), states(3, 8)
    found = finite_time_exponents(
        f, u, 120, window=30, k=3, transient=60, generator=random_generator(7)
    )
    whole = lyapunov_spectrum(f, u, 120, k=3, transient=60, generator=random_generator(7))
    assert found.values.shape == (4, 3, 3)
    assert_close(found.mean, whole.exponents, rtol=0, atol=1e-8)
    assert (found.mean.diff(dim=-1) <= 0).all()
    scalars = found.scalars()
    assert scalars["max"] == pytest.approx(float(found.mean[:, 0].mean()))
    assert scalars["diffusion"] == pytest.approx(float(found.diffusion[:, 0].mean()))


def test_rates_are_per_unit_of_time():
    u = torch.tensor([0.3], dtype=torch.float64)
    fast, slow = (
        finite_time_exponents(snt.as_dynamics(Logistic().map, dt=dt), u, 100, window=10)
        for dt in (0.5, 1.0)
    )
    assert_close(fast.values, 2 * slow.values)
    assert_close(fast.diffusion, 2 * slow.diffusion)  # squared rates times time


def test_nothing_fluctuates_in_a_linear_map():
    f = LinearMap(torch.diag(torch.tensor([0.9, 0.4])).double())
    found = finite_time_exponents(f, torch.zeros(2).double(), 40, window=8, k=2, transient=100)
    assert_close(found.mean, torch.tensor([0.9, 0.4]).double().log(), rtol=1e-6, atol=1e-7)
    assert found.diffusion.max() < 1e-15


def test_one_window_has_no_spread():
    found = finite_time_exponents(network(), states(2, 8), 10, window=10)
    assert found.variance.isnan().all()
    assert found.diffusion_stderr.isnan().all()
    assert found.stderr.isnan().all()
    assert not found.mean.isnan().any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, r"window: expected .* 1 <= window <= 10, got 0"),
        ({"window": 11}, r"window: expected .*, got 11"),
        ({"k": 3}, r"k: expected .*, got 3"),
        ({"steps": 0}, r"steps: expected .*, got 0"),
        ({"transient": -1}, r"transient: expected"),
        ({"u": torch.tensor([0.0, math.nan])}, r"u: expected finite numbers"),
        ({"x": torch.zeros(10, 2)}, r"x: expected \(I,\) or \(15, \.\.\., I\)"),
        ({"f": lambda u: 1e30 * u**3, "u": torch.ones(2)}, r"u: .* not finite by step \d"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"f": lambda u, x=None: 0.5 * u, "u": torch.zeros(2), "steps": 10, "transient": 5}
    given |= {"window": 5} | change
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        finite_time_exponents(f, u, steps, **given)
