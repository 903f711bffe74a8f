"""The stationary mean field: published values, closed forms, slow oracles, arrays, wrong input."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import gaussian_mean, gaussian_pair
from torch.testing import assert_close

import sntorch as snt
from sntorch.meanfield import solve
from sntorch.meanfield.growth import largest_root
from sntorch.transfer import TRANSFERS


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# Without leak: values of the reference, to their last digit


def test_tanh():
    field = solve(gain=[0.9, 1.5, 3, 2], noise=[0, 0, 0, 0.5])
    assert_close(field.variance, tensor(0, 0.35260180, 0.70059905, 0.86201727), rtol=0, atol=6e-9)
    slopes = tensor(0.9, 0.97109730, 0.89820284, 0.77596545)
    assert_close(field.slope, slopes, rtol=0, atol=6e-9)
    squares = tensor(0.81, 1.13932322, 1.85985519, 1.09631010)
    assert_close(field.slope_sq, squares, rtol=0, atol=6e-9)
    exponents = tensor(-0.10536052, 0.06521721, 0.31024932, 0.04597504)
    assert_close(field.lyapunov, exponents, rtol=0, atol=6e-9)
    assert field.chaotic.tolist() == [False, True, True, True]
    assert bool(field.converged.all())
    assert bool(field.stationary.all())
    assert_close(field.overlap, torch.zeros(4).double())


def test_random_thresholds():
    field = solve(gain=2, threshold_std=0.4)
    found = (field.mean, field.variance, field.overlap, field.slope_sq, field.lyapunov)
    expected = (0.0, 0.74928102, 0.60027084, 1.16857572, 0.07789283)
    assert [float(x) for x in found] == pytest.approx(expected, abs=6e-9)


def test_noise_induces_chaos_where_thresholds_keep_neurons_quiet():
    field = solve(gain=6, threshold=0.4, noise=[0, 0.2], transfer="tanh01")
    assert field.lyapunov.tolist() == pytest.approx([-2.3, 0.093], abs=0.03)
    assert float(field.lyapunov[1]) == pytest.approx(0.093, abs=5e-4)
    assert float(field.overlap[0]) == float(field.variance[0])


# Closed forms


@pytest.mark.parametrize("gain", [0.7, 1.5, 4.0])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_erf(gain, noise):
    field = solve(gain=gain, noise=noise, std=1.2, threshold_std=0.2, transfer="erf")
    v, s2 = float(field.variance), noise**2 + 0.04
    sine = 2 * gain**2 * v / (1 + 2 * gain**2 * v)
    assert v == pytest.approx(1.44 * 2 / math.pi * math.asin(sine) + s2, abs=1e-13)
    slope_sq = 4 * gain**2 / math.pi / math.sqrt(1 + 4 * gain**2 * v)
    assert float(field.slope_sq) == pytest.approx(slope_sq, rel=1e-12)
    q = float(field.overlap)
    common = math.asin(2 * gain**2 * q / (1 + 2 * gain**2 * v))
    assert q == pytest.approx(1.44 * 2 / math.pi * common + 0.04, abs=1e-10)


def test_erf_value():
    field = solve(gain=1.5, transfer="erf")
    found = (field.variance, field.slope_sq, field.lyapunov)
    expected = (0.4785565006, 1.2435628655, 0.1089902691)
    assert [float(x) for x in found] == pytest.approx(expected, abs=6e-11)


def test_gaussian_cdf():
    # With threshold Jbar / 2 the mean is zero, where the averages are arcsines.
    g, J, s2 = 2.5, 1.3, 0.05
    field = solve(
        gain=g, std=J, mean=0.8, threshold=0.4, noise=math.sqrt(s2), transfer="normal_cdf"
    )
    v = float(field.variance)
    assert float(field.mean) == pytest.approx(0, abs=1e-13)
    arc = math.asin(g**2 * v / (1 + g**2 * v)) / (2 * math.pi)
    assert v == pytest.approx(J**2 * (0.25 + arc) + s2, abs=1e-13)
    slope_sq = g**2 / (2 * math.pi) / math.sqrt(1 + 2 * g**2 * v)
    assert float(field.slope_sq) == pytest.approx(slope_sq, rel=1e-12)


def test_linear():
    field = solve(gain=0.5, noise=1.0, threshold_std=0.3, transfer="linear")
    assert float(field.variance) == pytest.approx(1.09 / 0.75, rel=1e-13)
    assert float(field.overlap) == pytest.approx(0.09 / 0.75, rel=1e-10)
    assert float(field.lyapunov) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("name", TRANSFERS)
def test_equations_hold_in_slow_sums(name):
    phi = TRANSFERS[name]
    numbers: dict[str, Any] = {"gain": 0.9, "std": 0.8, "mean": 0.6, "threshold": 0.1}
    field = solve(**numbers, threshold_std=0.2, noise=0.3, transfer=name)
    m, v, q = (float(x) for x in (field.mean, field.variance, field.overlap))

    def f(u):
        return phi(torch.as_tensor(0.9 * u)).numpy()

    assert m == pytest.approx(0.6 * gaussian_mean(f, m, v, 40001) - 0.1, abs=1e-7)
    square = gaussian_mean(lambda u: f(u) ** 2, m, v, 40001)
    assert v == pytest.approx(0.64 * square + 0.04 + 0.09, abs=1e-7)
    assert q == pytest.approx(0.64 * gaussian_pair(f, (m, m), (v, v), q) + 0.04, abs=2e-6)
    assert 0.04 < q < v
    assert bool(field.converged)


@pytest.mark.parametrize("gain", [10.0, 50.0])
def test_steep_functions(gain):
    field = solve(gain=gain)
    v = float(field.variance)

    def square(u):
        return np.tanh(gain * u) ** 2

    assert v == pytest.approx(gaussian_mean(square, 0, v, 200001), abs=1e-10)
    slope_sq = gaussian_mean(lambda u: (gain * (1 - square(u))) ** 2, 0, v, 200001)
    assert float(field.lyapunov) == pytest.approx(0.5 * math.log(slope_sq), abs=1e-10)


def test_half_tanh_is_tanh_in_other_variables():
    g, J, s_th, sigma = 5.0, 1.4, 0.3, 0.2
    # With Jbar = 0 and theta = 0: u = (J / 2) u', g' = g J / 2, s'^2 = 1 + (2 s / J)^2.
    half = solve(gain=g, std=J, threshold_std=s_th, noise=sigma, transfer="tanh01")
    full = solve(
        gain=g * J / 2, threshold_std=math.sqrt(1 + (2 * s_th / J) ** 2), noise=2 * sigma / J
    )
    assert float(half.variance) == pytest.approx(float(full.variance) * J**2 / 4, rel=1e-12)
    assert float(half.overlap) == pytest.approx(float(full.overlap) * J**2 / 4, rel=1e-8)
    assert float(half.lyapunov) == pytest.approx(float(full.lyapunov), abs=1e-12)


# Stability of the mean


def test_mean_coupling_has_its_own_exponent():
    field = solve(gain=0.8, mean=0.9, noise=0.4)
    assert float(field.mean) == pytest.approx(0, abs=1e-12)
    slope = gaussian_mean(lambda u: 0.8 / np.cosh(0.8 * u) ** 2, 0, float(field.variance))
    assert float(field.outlier) == pytest.approx(0.9 * slope, rel=1e-12)
    assert float(field.macroscopic) == pytest.approx(math.log(0.9 * slope), abs=1e-9)
    assert float(field.lyapunov) == max(float(field.microscopic), float(field.macroscopic))


def test_magnetised_state_is_positive_and_stable():
    field = solve(gain=1.5, mean=2.0)
    m, v = float(field.mean), float(field.variance)
    assert m > 1
    assert m == pytest.approx(2 * gaussian_mean(lambda u: np.tanh(1.5 * u), m, v), abs=1e-12)
    assert bool(field.stationary)
    assert not bool(field.chaotic)
    assert float(field.overlap) == v


def test_oscillating_mean_is_not_stationary():
    field = solve(gain=1.5, mean=[-0.5, -3.0])
    assert field.stationary.tolist() == [True, False]
    assert bool(field.converged.all())  # the fixed point exists; no network stays there
    assert float(field.macroscopic[1]) == pytest.approx(math.log(3 * float(field.slope[1])))


def test_no_bounded_solution():
    field = solve(gain=2.0, transfer="linear", noise=[0.1, 0.0])
    assert field.converged.tolist()[0] is False or not bool(field.stationary[0])
    assert not bool(field.stationary.any())


def test_at_a_transition_it_says_so_and_answers():
    field = solve(gain=[0.5, 1.0, 1.0001, 2.0])
    assert field.at_transition.tolist() == [False, True, True, False]
    assert float(field.variance[1]) == pytest.approx(0, abs=1e-6)
    # v ~ g - 1, lambda ~ (2/3) (g - 1)^2
    assert float(field.variance[2]) == pytest.approx(1e-4, rel=1e-3)
    assert float(field.lyapunov[2]) == pytest.approx(2 / 3 * 1e-8, rel=1e-2)


# With leak: values of the reference


@pytest.mark.parametrize(
    ("gain", "noise", "lags", "slopes", "exponent"),
    [
        (
            2,
            0,
            (2.6131780, 2.5042684, 2.2467814, 1.3419726, 0.4716072),
            (0.4755919, 0.6482238),
            0.1517464,
        ),
        (
            1,
            0.3,
            (1.9367380, 1.8166460, 1.6582027, 1.1357393, 0.5212245),
            (0.4857235, 0.3543943),
            0.0390923,
        ),
    ],
)
def test_leak(gain, noise, lags, slopes, exponent):
    field = solve(gain=gain, noise=noise, leak=0.5)
    found = field.covariance(torch.tensor([0, 1, 2, 5, 10]))
    assert_close(found, tensor(*lags), rtol=0, atol=2e-7)
    assert float(field.variance) == float(found[0])
    assert float(field.slope) == pytest.approx(slopes[0], abs=1e-7)
    assert float(field.slope_sq) == pytest.approx(slopes[1], abs=1e-7)
    assert float(field.lyapunov) == pytest.approx(exponent, abs=1e-7)
    assert bool(field.converged)
    assert float(field.overlap) == pytest.approx(0, abs=1e-12)


def test_leaky_fixed_point():
    # Below g = (1 - leak) / J nothing moves; with thresholds everything is static.
    field = solve(gain=[0.4, 0.3], leak=0.5, threshold_std=[0.0, 0.3])
    assert float(field.lyapunov[0]) == pytest.approx(math.log(0.9))
    assert float(field.variance[0]) == 0
    v = float(field.variance[1])
    square = gaussian_mean(lambda u: np.tanh(0.3 * u) ** 2, 0, v)
    assert v == pytest.approx((square + 0.09) / 0.25, rel=1e-12)
    assert float(field.overlap[1]) == v
    slope_sq = gaussian_mean(lambda u: (0.3 / np.cosh(0.3 * u) ** 2) ** 2, 0, v)
    assert float(field.lyapunov[1]) == pytest.approx(math.log(0.5 + math.sqrt(slope_sq)), abs=1e-12)
    assert_close(field.covariance(7)[1], field.variance[1])


def test_linear_network_with_leak():
    # S_u = sigma^2 / (|e^{iw} - leak|^2 - s^2): a sum over frequencies; exponent ln(leak + s).
    leak, s, sigma = 0.6, 0.3, 0.7
    field = solve(gain=1, std=s, leak=leak, noise=sigma, transfer="linear")
    w = 2 * np.pi * np.arange(4096) / 4096
    power = sigma**2 / (np.abs(np.exp(1j * w) - leak) ** 2 - s**2)
    for k in (0, 1, 5):
        expected = float(np.mean(power * np.cos(k * w)))
        assert float(field.covariance(k)) == pytest.approx(expected, abs=1e-8)
    assert float(field.lyapunov) == pytest.approx(math.log(leak + s), abs=1e-10)


def test_leak_with_thresholds_and_mean_obeys_the_spectral_equation():
    numbers: dict[str, Any] = {"gain": 2.0, "std": 1.1, "mean": 0.7, "leak": 0.4}
    field = solve(**numbers, threshold=0.2, threshold_std=0.3, noise=0.2, transfer="tanh01")
    m, v, q = (float(x) for x in (field.mean, field.variance, field.overlap))

    def f(u):
        return (1 + np.tanh(2 * u)) / 2

    assert 0.6 * m == pytest.approx(0.7 * gaussian_mean(f, m, v) - 0.2, abs=1e-8)
    lag = [float(field.covariance(k)) for k in range(5)]
    for k in range(1, 4):
        product = gaussian_pair(f, (m, m), (v, v), lag[k])
        left = 1.16 * lag[k] - 0.4 * (lag[k + 1] + lag[k - 1])
        assert left == pytest.approx(1.21 * product + 0.09, abs=1e-7)
    left = 1.16 * v - 0.8 * lag[1]
    assert left == pytest.approx(1.21 * gaussian_pair(f, (m, m), (v, v), v) + 0.13, abs=1e-7)
    assert 0.36 * q == pytest.approx(1.21 * gaussian_pair(f, (m, m), (v, v), q) + 0.09, abs=1e-9)
    assert float(field.covariance(field.covariances.shape[-1] - 1)) == pytest.approx(q, abs=1e-7)


def test_small_leak_is_continuous():
    field = solve(gain=1.5, leak=[0.0, 1e-4], noise=0.3)
    assert float(field.variance.diff()) == pytest.approx(0, abs=1e-3)
    assert float(field.lyapunov.diff()) == pytest.approx(0, abs=1e-3)


def test_largest_root_is_the_top_of_a_matrix():
    leak, power = tensor(0.5), 0.3 + 0.6 * torch.exp(-torch.arange(41).double() / 3)
    z = float(largest_root(leak[None], power[None, None, None], power[-1:, None, None]))
    wide = torch.cat([power, power[-1].expand(400)])
    k = torch.arange(-len(wide) + 1, len(wide)).abs()
    matrix = torch.diag(wide[k])
    side = torch.full((len(k) - 1,), 0.5 * z, dtype=torch.float64)
    matrix += torch.diag(side, 1) + torch.diag(side, -1)
    assert float(torch.linalg.eigvalsh(matrix)[-1]) == pytest.approx(z**2 + 0.25, abs=1e-9)
    flat = torch.full((1, 9), 0.49, dtype=torch.float64)
    far = flat[:, :1, None]
    assert float(largest_root(leak[None], flat[:, None, None], far)) == pytest.approx(
        1.2, abs=1e-12
    )


def test_onset_with_leak():
    # Near the onset the correlation time grows; v and the exponent vanish together.
    field = solve(gain=[0.53, 0.56], leak=0.5)
    assert bool(field.converged.all())
    assert bool((field.lyapunov > 0).all())
    assert float(field.variance[1]) > 1.5 * float(field.variance[0]) > 0.1
    assert float(field.lyapunov[1]) > 3 * float(field.lyapunov[0])


# Arrays


def test_everything_broadcasts():
    field = solve(gain=torch.linspace(0.5, 3, 4)[:, None], noise=np.array([0.0, 0.3, 1.0]))
    assert field.variance.shape == field.lyapunov.shape == field.chaotic.shape == (4, 3)
    assert field.covariance(3).shape == (4, 3)
    assert field.covariance(torch.arange(6).reshape(2, 3)).shape == (4, 3, 2, 3)
    for i, j in ((0, 0), (3, 1), (2, 2)):
        one = solve(gain=float(field.arguments["gain"][i, j]), noise=[0.0, 0.3, 1.0][j])
        assert_close(one.variance, field.variance[i, j], rtol=1e-12, atol=1e-12)
        assert_close(one.lyapunov, field.lyapunov[i, j], rtol=1e-11, atol=1e-11)


def test_leaks_mix_in_one_call():
    field = solve(gain=2.0, leak=[0.0, 0.5, 0.2])
    assert field.variance.shape == (3,)
    for i, leak in enumerate((0.0, 0.5, 0.2)):
        one = solve(gain=2.0, leak=leak)
        assert_close(field.variance[i], one.variance, rtol=1e-7, atol=1e-8)
        assert_close(field.lyapunov[i], one.lyapunov, rtol=1e-6, atol=1e-7)
        assert_close(field.covariance(2)[i], one.covariance(2), rtol=1e-6, atol=1e-7)


def test_correlations_and_single_precision_input():
    field = solve(gain=torch.tensor(2.0), threshold_std=0.4)
    assert field.variance.dtype == torch.float64
    assert float(field.correlation(0)) == 1
    assert float(field.correlation(4)) == pytest.approx(0.60027084 / 0.74928102, abs=1e-8)
    assert float(field.covariance(-3)) == float(field.covariance(3))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_in_every_grad_mode(mode):
    expected = solve(gain=1.7, leak=0.3, noise=0.1)
    gain = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    with mode():
        found = solve(gain=gain, leak=0.3, noise=0.1)
    assert_close(found.lyapunov, expected.lyapunov, rtol=0, atol=0)
    assert not found.variance.requires_grad


def test_a_function_of_ones_own():
    class Cube(snt.Transfer):
        supremum = 1.0

        def __call__(self, z):
            return z / (1 + z**2).sqrt()

        def derivative(self, z):
            return (1 + z**2) ** -1.5

    field = solve(gain=2.0, transfer=Cube())
    v = float(field.variance)
    square = gaussian_mean(lambda u: 4 * u**2 / (1 + 4 * u**2), 0, v)
    assert v == pytest.approx(square, abs=1e-12)
    assert field.transfer == "cube"


# Predictions


def test_radius_and_outlier():
    field = solve(gain=1.5, std=0.7, mean=0.4, noise=0.5, leak=[0.0, 0.3])
    radius = tensor(0.0, 0.3) + 0.7 * field.slope_sq.sqrt()
    assert_close(field.radius, radius)
    assert_close(field.outlier, tensor(0.0, 0.3) + 0.4 * field.slope)


def test_response_power_is_that_of_a_random_resolvent():
    n, leak, s = 400, 0.3, 0.5
    field = solve(gain=1.0, std=s, leak=leak, noise=0.1, transfer="linear")
    J = snt.couplings.gaussian(n, std=s, generator=torch.Generator().manual_seed(1)).double()
    for omega in (0.0, 1.0, 3.0):
        A = (leak * torch.eye(n) + J).to(torch.complex128)
        inverse = torch.linalg.inv(torch.eye(n) - np.exp(-1j * omega) * A)
        power = float(inverse.abs().square().sum(-1).mean())
        assert float(field.response_power(omega)) == pytest.approx(power, rel=0.06)
    assert field.response_power(torch.zeros(2, 3)).shape == (2, 3)


def test_entropy_production_of_linear_networks():
    # Independent neurons are in equilibrium; random couplings cost g^2 / (1 - g^2) per neuron.
    idle = solve(gain=1.0, std=0.0, leak=0.6, noise=0.3)
    assert float(idle.entropy_production) == pytest.approx(0, abs=1e-8)
    field = solve(gain=0.5, noise=0.3, transfer="linear")
    assert float(field.entropy_production) == pytest.approx(0.25 / 0.75, rel=1e-10)
    assert math.isnan(float(solve(gain=2.0).entropy_production))


def test_finite_size_band_narrows():
    field = solve(gain=2.0)
    low, high = field.finite_size(100)
    lower, higher = field.finite_size(1000)
    assert float(low) < float(lower) < float(field.lyapunov) < float(higher) < float(high)
    assert float((field.lyapunov - low) / (field.lyapunov - lower)) == pytest.approx(10)


def test_record():
    field = solve(gain=[0.9, 1.5])
    assert set(field.scalars()) == {"mean", "variance", "overlap", "lyapunov", "radius"}
    assert field.scalars()["lyapunov"] == pytest.approx(float(field.lyapunov.mean()))
    assert field.map(lambda t: t.clone()).arguments["gain"].tolist() == [0.9, 1.5]
    assert "lyapunov=[-0.1054" in repr(field)


# Wrong input


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"gain": 1.0, "std": -0.1}, r"std: expected numbers in \[0.0, inf\), got -0.1"),
        ({"gain": 1.0, "noise": [0.1, -2.0]}, r"noise: expected numbers in \[0.0, inf\), got -2.0"),
        ({"gain": 1.0, "threshold_std": -1}, "threshold_std: expected numbers"),
        ({"gain": 1.0, "leak": 1.0}, r"leak: expected numbers in \[0.0, 1.0\), got 1.0"),
        ({"gain": 1.0, "leak": -0.1}, r"leak: expected numbers in \[0.0, 1.0\), got -0.1"),
        ({"gain": math.nan}, "gain: expected finite numbers, got nan"),
        ({"gain": [1.0, math.inf]}, r"gain: expected finite numbers, got inf at \(1,\)"),
        ({"gain": "1"}, "gain: expected a number or an array of numbers, got str"),
        ({"gain": None}, "gain: expected a number or an array of numbers, got NoneType"),
        ({"gain": []}, r"gain: expected at least one number, got shape \(0,\)"),
        (
            {"gain": [1.0, 2.0], "noise": [0.1, 0.2, 0.3]},
            r"arguments: expected shapes that broadcast, got gain \(2,\), noise \(3,\)",
        ),
        ({"gain": 1.0, "transfer": "step"}, "transfer: expected one of tanh"),
    ],
)
def test_wrong_arguments(numbers, message):
    with pytest.raises(ValueError, match=message):
        solve(**numbers)


def test_wrong_lags_and_sizes():
    field = solve(gain=1.5)
    with pytest.raises(ValueError, match=r"lag: expected whole numbers, got torch\.float32"):
        field.covariance(torch.tensor(0.5))
    with pytest.raises(ValueError, match="n: expected a whole number"):
        field.finite_size(0)
