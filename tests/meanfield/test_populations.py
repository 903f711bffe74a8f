"""Several populations: published values, one population, cycles, wrong tables."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import gaussian_mean, gaussian_pair
from torch.testing import assert_close

from sntorch.meanfield import evolve, populations, solve


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def reference():
    return populations(
        gain=vector(2, 3),
        mean=table([0.4, -0.5], [0.6, -0.3]),
        std=table([1, 0.8], [0.7, 1.2]),
        threshold=vector(0.1, -0.2),
        threshold_std=vector(0.2, 0.1),
        noise=vector(0.1, 0.2),
    )


def test_two_populations():
    field = reference()
    assert_close(field.mean, vector(-0.18217978, 0.10700160), rtol=0, atol=6e-9)
    assert_close(field.variance, vector(1.22570970, 1.51701089), rtol=0, atol=6e-9)
    assert float(field.lyapunov) == pytest.approx(0.38014856, abs=6e-9)
    assert int(field.period) == 1
    assert bool(field.chaotic)
    assert float(field.macroscopic) < 0


def test_static_overlap_of_two_populations():
    field = reference()
    S2 = np.array([[1, 0.64], [0.49, 1.44]])
    products = [
        gaussian_pair(
            lambda u, g=g: np.tanh(g * u),
            (float(field.mean[b]),) * 2,
            (float(field.variance[b]),) * 2,
            float(field.overlap[b]),
        )
        for b, g in enumerate((2, 3))
    ]
    assert_close(field.overlap.numpy(), S2 @ products + [0.04, 0.01], rtol=0, atol=1e-6)


@pytest.mark.parametrize("transfer", ["tanh", "tanh01", "erf"])
def test_one_population_is_solve(transfer):
    numbers: dict[str, Any] = {
        "gain": 2.0,
        "mean": 0.5,
        "threshold": 0.1,
        "threshold_std": 0.2,
        "noise": 0.1,
    }
    one = solve(**numbers, std=1.3, transfer=transfer)
    field = populations(**numbers, std=table([1.3]), transfer=transfer)
    for name in ("mean", "variance", "overlap", "slope_sq"):
        found = getattr(field, name)[0]
        assert_close(found, getattr(one, name), rtol=1e-8, atol=1e-9)
    assert_close(field.microscopic, one.microscopic, rtol=0, atol=1e-10)
    assert_close(field.macroscopic, one.macroscopic, rtol=0, atol=1e-7)


def test_equal_populations_are_one():
    one = solve(gain=1.5, std=1.2, mean=0.8, noise=0.3)
    half = table([0.5, 0.5], [0.5, 0.5])
    field = populations(gain=1.5, std=1.2 * half.sqrt(), mean=0.8 * half, noise=0.3)
    assert_close(field.variance, one.variance.expand(2), rtol=1e-10, atol=1e-11)
    assert_close(field.lyapunov, one.lyapunov, rtol=0, atol=1e-9)


def test_cycle():
    field = populations(gain=1.5, std=table([1.0]), mean=-3.0)
    assert int(field.period) == 2
    assert not bool(field.stationary)
    m, v = float(field.means[-1, 0]), float(field.variances[-1, 0])
    # The mean changes sign every step, the variance stays.
    assert m == pytest.approx(3 * gaussian_mean(lambda u: np.tanh(1.5 * u), m, v), abs=1e-9)
    assert v == pytest.approx(gaussian_mean(lambda u: np.tanh(1.5 * u) ** 2, m, v), abs=1e-9)
    assert float(field.mean) == pytest.approx(0, abs=1e-9)
    slope_sq = gaussian_mean(lambda u: (1.5 / np.cosh(1.5 * u) ** 2) ** 2, m, v)
    assert float(field.microscopic) == pytest.approx(0.5 * math.log(slope_sq), abs=1e-9)
    assert float(field.macroscopic) < 0
    assert bool(field.overlap.isnan().all())


def test_closed_curve_has_a_zero_macroscopic_exponent():
    rotation = table([1.2, -1.6], [1.6, 1.2])  # eigenvalues 2 exp(+-0.93i)
    field = populations(gain=1.0, std=0.1 * torch.ones(2, 2), mean=rotation, noise=0.2)
    assert int(field.period) == 0
    assert float(field.macroscopic) == pytest.approx(0, abs=0.02)
    assert not bool(field.chaotic)
    assert float(field.means.std(0).min()) > 0.1


def test_batches_are_independent():
    std = torch.stack([table([1, 0.2], [0.3, 1]), table([0.4, 0.2], [0.3, 0.4])])
    field = populations(gain=vector(1.5, 0.8)[:, None, None], std=std, noise=0.1)
    assert field.mean.shape == (2, 2, 2)
    assert field.lyapunov.shape == (2, 2)
    one = populations(gain=0.8, std=std[0], noise=0.1)
    assert_close(field.variance[1, 0], one.variance, rtol=1e-9, atol=1e-10)
    assert set(one.scalars()) == {"lyapunov", "microscopic", "macroscopic", "stationary"}


def test_nothing_moves():
    field = populations(gain=0.5, std=table([1.0]))
    assert float(field.variance) == 0
    assert float(field.lyapunov) == pytest.approx(math.log(0.5), abs=1e-6)
    assert not bool(field.chaotic)


# With leak


@pytest.mark.parametrize(
    "numbers",
    [
        {"gain": 2.0, "leak": 0.5},
        {"gain": 0.4, "leak": 0.5, "threshold_std": 0.2},
        {
            "gain": 2.0, "mean": 0.7, "leak": 0.4, "threshold": 0.2, "threshold_std": 0.3,
            "noise": 0.2, "transfer": "tanh01",
        },
    ],
    ids=["chaos", "rest", "noise"],
)  # fmt: skip
def test_equal_populations_with_leak_are_one(numbers: dict[str, Any]):
    one = solve(**numbers)
    half = table([0.5, 0.5], [0.5, 0.5])
    field = populations(**numbers | {"mean": numbers.get("mean", 0) * half}, std=half.sqrt())
    for name in ("mean", "variance", "overlap", "slope_sq"):
        expected = getattr(one, name).expand(2)
        assert_close(getattr(field, name), expected, rtol=1e-8, atol=1e-9)
    assert_close(field.microscopic, one.microscopic, rtol=0, atol=1e-9)
    lags = torch.tensor([1, 2, 5, 10])
    assert_close(field.covariance(lags)[0], one.covariance(lags), rtol=1e-8, atol=1e-9)
    assert bool(field.stationary)
    assert bool(field.chaotic) == bool(one.chaotic)


def test_each_population_obeys_its_spectral_equation():
    gain, leak, s_th, sigma = (2, 3), (0.5, 0.3), (0.2, 0.1), (0.1, 0.2)
    Jbar, S = table([0.4, -0.5], [0.6, -0.3]), table([1, 0.8], [0.7, 1.2])
    field = populations(
        gain=vector(*gain), mean=Jbar, std=S, threshold=vector(0.1, -0.2), leak=vector(*leak),
        threshold_std=vector(*s_th), noise=vector(*sigma),
    )  # fmt: skip
    mu, v, lag = (
        t.tolist() for t in (field.mean, field.variance, field.covariance(torch.arange(4)))
    )
    functions = [lambda u, g=g: np.tanh(g * u) for g in gain]
    means = [gaussian_mean(f, m, s) for f, m, s in zip(functions, mu, v, strict=True)]
    for k in (0, 2):
        products = [
            gaussian_pair(f, (m, m), (s, s), D[k])
            for f, m, s, D in zip(functions, mu, v, lag, strict=True)
        ]
        for a in range(2):
            around = lag[a][k + 1] + lag[a][abs(k - 1)]
            left = (1 + leak[a] ** 2) * lag[a][k] - leak[a] * around
            power = sum(float(S[a, b]) ** 2 * products[b] for b in range(2)) + s_th[a] ** 2
            assert left == pytest.approx(power + (sigma[a] ** 2 if k == 0 else 0), abs=1e-7)
    for a, theta in enumerate((0.1, -0.2)):
        drive = sum(float(Jbar[a, b]) * means[b] for b in range(2)) - theta
        assert (1 - leak[a]) * mu[a] == pytest.approx(drive, abs=1e-9)
    assert bool(field.stationary)
    assert bool(field.chaotic)
    assert float(field.covariance(10**6)[0]) == float(field.overlap[0])


@pytest.mark.parametrize(("threshold", "within"), [(0.0, 1e-5), (-0.02, 2e-3)])
def test_macroscopic_exponent_with_leak_is_how_the_mean_relaxes(threshold, within):
    # Beside the two-time theory; without symmetry mean and covariance move together, and slowly.
    numbers: dict[str, Any] = {"gain": 1.5, "leak": 0.5, "noise": 0.5, "threshold": threshold}
    field = populations(**numbers, std=table([0.6]), mean=table([0.6]))
    start: dict[str, Any] = {
        "initial_mean": float(field.mean) + 0.05,
        "initial_variance": float(field.variance),
    }
    two = evolve(80, **numbers, std=0.6, mean=0.6, **start)
    gap = (two.mean - field.mean).abs()
    rate = float((gap[80] / gap[40]).log()) / 40
    assert rate == pytest.approx(float(field.macroscopic), abs=within)


def test_unstable_mean_field_with_leak_is_not_stationary():
    field = populations(gain=2.0, std=table([0.4]), mean=table([-4.0]), leak=0.5, noise=0.3)
    assert float(field.mean) == pytest.approx(0, abs=1e-9)
    assert int(field.period) == 0
    assert not bool(field.chaotic)
    assert float(field.macroscopic) > 1


def test_leaks_and_none_mix_in_one_call():
    std = table([1, 0.2], [0.3, 1])
    field = populations(gain=1.5, std=std, leak=vector(0.0, 0.5)[:, None], noise=0.1)
    for i, leak in enumerate((0.0, 0.5)):
        one = populations(gain=1.5, std=std, leak=leak, noise=0.1)
        assert_close(field.variance[i], one.variance, rtol=1e-9, atol=1e-10)
        assert_close(field.microscopic[i], one.microscopic, rtol=1e-8, atol=1e-10)
        assert_close(field.covariance(3)[i], one.covariance(3), rtol=1e-7, atol=1e-8)
    assert field.means.shape == (240, 2, 2)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"gain": 1.0, "std": torch.ones(2, 2), "leak": 1.0}, "leak: expected numbers in"),
        ({"gain": 1.0, "std": torch.ones(3)}, r"std: expected a square table .* got \(3,\)"),
        ({"gain": 1.0, "std": torch.ones(2, 3)}, r"std: expected a square table .* got \(2, 3\)"),
        ({"gain": 1.0, "std": -torch.ones(2, 2)}, "std: expected numbers in"),
        (
            {"gain": 1.0, "std": torch.ones(2, 2), "mean": torch.ones(3, 3)},
            r"mean: expected a number or \(..., 2, 2\), got \(3, 3\)",
        ),
        (
            {"gain": torch.ones(3), "std": torch.ones(2, 2)},
            r"gain: expected a number or \(..., 2\), got \(3,\)",
        ),
        (
            {"gain": torch.ones(3, 2), "std": torch.ones(2, 2, 2)},
            "arguments: expected batch axes that broadcast",
        ),
        ({"gain": 1.0, "std": torch.ones(2, 2), "noise": -0.1}, "noise: expected numbers in"),
        ({"gain": 1.0, "std": torch.ones(2, 2), "window": 2}, "window: expected a whole number"),
    ],
)
def test_wrong_tables(numbers, message):
    with pytest.raises(ValueError, match=message):
        populations(**numbers)
