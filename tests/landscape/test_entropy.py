"""Entropy production: closed forms of linear networks, the log ratio step by step, no noise."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from references import Henon, LinearMap, NoisyRotation, push, random_generator
from scipy.linalg import solve_discrete_lyapunov
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    EntropyProduction,
    entropy_production,
    linear_map,
    simulate_entropy_production,
)

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def states(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=random_generator(seed), dtype=dtype)


def network(n=5, std=1.5, seed=3, dtype=torch.float64, **settings):
    J = snt.couplings.gaussian(n, std=std, generator=random_generator(seed), dtype=dtype)
    return snt.SNTCell(J, **settings)


def linear(M, sigma: Any):
    """Return u' = M u + sigma B with noise per neuron."""
    return snt.as_dynamics(lambda u: u @ M.T, size=len(M), noise=sigma)


def steady(f, n, *, rows=64, steps=500, transient=60, seed=0, x=None, dtype=torch.float64):
    """Return an orbit (steps, rows, n) of the steady state."""
    u = torch.zeros(rows, n, dtype=dtype)
    with torch.no_grad():
        orbit = snt.rollout(f, u, transient + steps, x=x, generator=random_generator(seed))
    return orbit[transient:]


def measured(f, orbit, **settings):
    """Return the entropy production over all rows and its standard error."""
    scalars = entropy_production(f, orbit, **settings).scalars()
    return scalars["entropy_production"], scalars["entropy_production_stderr"]


def within_four(found, expected, precision=0.05):
    """Say whether `expected` is within four standard errors, which must be small to mean much."""
    value, error = found
    assert error < precision * max(abs(expected), 1)
    return abs(value - expected) < 4 * error


def linear_entropy(M, sigma):
    """Return tr[S^-1 (M C M^T - M^2 C)] of u' = M u + sigma B, C from the Lyapunov equation."""
    M = np.asarray(M)
    S = np.diag(np.broadcast_to(np.asarray(sigma, dtype=float), len(M)) ** 2)
    C = solve_discrete_lyapunov(M, S)
    return float(np.trace(np.linalg.inv(S) @ (M @ C @ M.T - M @ M @ C)))


def slow_log_ratio(f, orbit, x=None):
    """Return the mean log density of a step over its reverse, one row, one step at a time."""
    ratios = []
    for now, after in itertools.pairwise(orbit):
        forward = torch.distributions.Normal(f.map(now, x), f.noise).log_prob(after).sum()
        backward = torch.distributions.Normal(f.map(after, x), f.noise).log_prob(now).sum()
        ratios.append((forward - backward).detach())
    return torch.stack(ratios)


# Closed forms


@pytest.mark.parametrize(
    ("r", "angle", "sigma"),
    [(0.9, 0.3, 1.0), (0.9, 0.3, 0.05), (0.5, 1.2, 0.3), (0.7, -0.8, 2.0), (0.95, 3.0, 1.0)],
)
def test_noisy_rotation(r, angle, sigma):
    expected = 4 * r**2 * math.sin(angle) ** 2 / (1 - r**2)
    f = NoisyRotation(r, angle, sigma)
    assert within_four(measured(f, steady(f, 2)), expected)
    assert linear_entropy(f.M, sigma) == pytest.approx(expected)


def test_reference_value_of_the_rotation():
    f = NoisyRotation(0.9, 0.3, 1.0)
    assert linear_entropy(f.M, 1.0) == pytest.approx(1.4892437, abs=1e-7)
    assert within_four(measured(f, steady(f, 2, rows=512)), 1.4892437, precision=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_linear_map_with_noise_per_neuron(seed):
    M, sigma = 0.3 * states(4, 4, seed=seed), matrix([0.2, 0.5, 1.0, 2.0])
    f = linear(M, sigma)
    expected = linear_entropy(M, sigma)
    assert expected > 0.5  # far from equilibrium, or the test would not see much
    assert within_four(measured(f, steady(f, 4)), expected)


def test_linear_map_with_correlated_noise():
    M = 0.3 * states(3, 3, seed=1)
    L = matrix([[0.6, 0.0, 0.0], [-0.5, 0.3, 0.0], [0.2, 0.4, 0.5]])
    f = linear(M, L)
    inverse = torch.linalg.inv(L)  # in the coordinates L^-1 u the noise is 1 on every neuron
    expected = linear_entropy(inverse @ M @ L, 1.0)
    assert expected > 0.2
    orbit = steady(f, 3)
    assert within_four(measured(f, orbit), expected)
    variances = (L @ L.T).diagonal()
    assert entropy_production(f, orbit).noise == pytest.approx(float(variances.mean().sqrt()))


def test_noise_of_a_singular_matrix_has_no_entropy_production():
    f = linear(0.3 * states(2, 2), matrix([[1.0, 0.0], [1.0, 0.0]]))
    assert entropy_production(f, steady(f, 2, rows=2, steps=10)).value.isnan().all()


def test_constant_drive_moves_the_centre_only():
    f, x = NoisyRotation(0.9, 0.3, 1.0), matrix([2.0, -1.0])
    assert within_four(measured(f, steady(f, 2, x=x), x=x), 1.4892437)


@pytest.mark.parametrize("n", [1, 6])
def test_symmetric_network_is_in_equilibrium(n):
    A = states(n, n)
    f = LinearMap(0.4 * (A + A.T) / n**0.5, 0.7)
    value, error = measured(f, steady(f, n))
    assert abs(value) < 4 * error
    assert error < 0.02


@pytest.mark.parametrize("g", [0.5, 0.8])
def test_random_linear_network(g):
    # N = 400, one matrix: two standard deviations of the trace are about 4 g^4 / N per neuron.
    n = 400
    f = LinearMap(g * snt.couplings.gaussian(n, generator=random_generator(3)).double(), 0.7)
    orbit = steady(f, n, rows=16, steps=150)
    value = entropy_production(f, orbit).per_neuron.mean()
    assert float(value) == pytest.approx(g**2 / (1 - g**2), rel=0.05)
    assert within_four(measured(f, orbit), linear_entropy(f.M, 0.7))


@pytest.mark.parametrize("g", [1.0, 1.5])
def test_random_tanh_network(g):
    # EP/N = g^2 [C(0) - C(2)] / sigma^2 with C the autocorrelation of tanh u, to 3 % at N = 300.
    n, sigma = 300, 0.5
    f = network(n, std=g, noise=sigma)
    orbit = steady(f, n, rows=16, steps=400)
    rate = torch.tanh(orbit)
    C0, C2 = rate.square().mean(), (rate[2:] * rate[:-2]).mean()
    expected = float(g**2 * (C0 - C2) / sigma**2)
    value, error = measured(f, orbit)
    assert value / n == pytest.approx(expected, rel=0.03)
    assert error < 0.01 * value


def test_euler_map_of_a_rotating_trap():
    k, w, D, dt = 1.0, 2.0, 0.5, 0.02
    A = matrix([[-k, -w], [w, -k]])
    f = snt.as_dynamics(lambda u: u + dt * u @ A.T, noise=math.sqrt(2 * D * dt), dt=dt)
    result = entropy_production(f, steady(f, 2, rows=256, steps=1500, transient=300))
    scalars = result.scalars()
    found = scalars["entropy_production"], scalars["entropy_production_stderr"]
    exact = linear_entropy(torch.eye(2) + dt * A, math.sqrt(2 * D * dt)) / dt
    assert exact == pytest.approx(2 * w**2 / k, rel=0.06)  # the flow's, up to order dt
    assert within_four(found, exact)
    assert result.unit == "nats per unit of time"
    assert result.dt == dt


def test_rates_and_errors_are_per_unit_of_time():
    one, other = (
        entropy_production(snt.as_dynamics(torch.tanh, noise=0.5, dt=dt), states(30, 3, 2))
        for dt in (1.0, 0.1)
    )
    assert_close(other.value, 10 * one.value, **EXACT)
    assert_close(other.stderr, 10 * one.stderr, **EXACT)


# Step by step


@pytest.mark.parametrize(
    "noise", [0.4, matrix([0.2, 0.9, 0.5, 0.3, 0.6])], ids=["scalar", "neurons"]
)
def test_log_ratio_of_every_step(noise):
    f = network(leak=0.3, threshold=0.2, gain=1.3, noise=noise)
    orbit = steady(f, 5, rows=3, steps=50)
    result = entropy_production(f, orbit)
    for row in range(3):
        ratio = slow_log_ratio(f, orbit[:, row])
        assert_close(result.value[row], ratio.mean(), **EXACT)
        lengths = torch.tensor([3] * 9 + [2] * 11)  # 49 transitions in 20 blocks
        means = torch.stack([part.mean() for part in ratio.split(lengths.tolist())])
        variance = (lengths.double() / 49 * (means - ratio.mean()) ** 2).sum() / 19
        assert_close(result.stderr[row], variance.sqrt(), **EXACT)


def test_drive_enters_both_directions():
    f, x = snt.as_dynamics(lambda u, x: torch.tanh(push(u, x)), noise=0.5), matrix([0.8])
    orbit = steady(f, 3, rows=2, steps=30, x=x)
    result = entropy_production(f, orbit, x=x)
    assert_close(result.value[1], slow_log_ratio(f, orbit[:, 1], x).mean(), **EXACT)


@pytest.mark.parametrize("rows", [(), (3,), (2, 3)], ids=["0-axes", "1-axis", "2-axes"])
def test_shapes(rows):
    f = network(noise=0.4)
    orbit = snt.rollout(f, states(*rows, 5), 30).detach()
    result = entropy_production(f, orbit)
    for field in (result.value, result.stderr, result.contraction, result.contraction_stderr):
        assert field.shape == rows
    assert_close(result.per_neuron, result.value / 5, **EXACT)
    for row in np.ndindex(*rows):
        alone = entropy_production(f, orbit[(slice(None), *row)])
        assert_close(result.value[row], alone.value, **EXACT)


def test_two_states_are_enough():
    f = network(noise=0.4)
    orbit = states(2, 5)
    result = entropy_production(f, orbit)
    assert_close(result.value, slow_log_ratio(f, orbit)[0], **EXACT)
    assert result.stderr.isnan()


def test_long_orbits_are_mapped_in_parts():
    # More numbers than are mapped at a time: nothing may be lost where the parts meet.
    f, orbit = LinearMap(matrix([[0.5]]), 0.7), states(1101, 4000, 1)
    ratio = (orbit[:-1] - orbit[1:] / 2).square() - (orbit[1:] - orbit[:-1] / 2).square()
    expected = ratio.squeeze(-1).mean(0) / (2 * 0.7**2)
    assert_close(entropy_production(f, orbit).value, expected, **EXACT)


def test_standard_error_is_calibrated():
    # 200 rows: the spread is known to 5 %; the memory of 1/(1 - .8) = 5 steps is within a block.
    f = NoisyRotation(0.8, 0.5, 1.0)
    result = entropy_production(f, steady(f, 2, rows=200, steps=800))
    ratio = float(result.value.std() / result.stderr.square().mean().sqrt())
    assert 0.8 < ratio < 1.25


# Without noise


def test_error_of_the_contraction_is_per_unit_of_time():
    one, other = (
        entropy_production(snt.as_dynamics(torch.tanh, dt=dt), states(30, 3, 2))
        for dt in (1.0, 0.1)
    )
    assert_close(other.contraction, 10 * one.contraction, **EXACT)
    assert_close(other.contraction_stderr, 10 * one.contraction_stderr, **EXACT)


@pytest.mark.parametrize("dt", [1.0, 0.1])
def test_without_noise_there_is_contraction_only(dt):
    M = 0.5 * states(4, 4)
    f = snt.as_dynamics(lambda u: u @ M.T, dt=dt)
    result = entropy_production(f, states(50, 3, 4))
    volume = float(torch.linalg.slogdet(M).logabsdet) / dt
    assert result.value.isnan().all()
    assert result.stderr.isnan().all()
    assert_close(result.contraction, torch.full((3,), -volume, dtype=torch.float64), **EXACT)
    assert_close(result.contraction_stderr, torch.zeros(3).double(), rtol=0, atol=1e-9)
    assert result.noise == 0
    assert result.scalars()["contraction_rate"] == pytest.approx(-volume)


def test_contraction_is_minus_the_sum_of_the_exponents():
    f = network(6, std=4.0)
    orbit = snt.rollout(f, states(16, 6), 400).detach()[100:]
    result = entropy_production(f, orbit)
    spectrum = snt.analysis.lyapunov_spectrum(f, orbit[0], 300)
    gap = result.contraction.mean() + spectrum.exponents.sum(-1).mean()
    assert abs(float(gap)) < 4 * float(result.contraction.std() / 4)


def test_contraction_of_henon_is_that_of_area():
    orbit = snt.rollout(Henon(), 0.1 * torch.ones(8, 2).double(), 20)
    found = entropy_production(Henon(), orbit).contraction
    assert_close(found, torch.full((8,), -math.log(0.3), dtype=torch.float64), **EXACT)


def test_contraction_is_probed_all_along_the_orbit():
    # log exp' = u grows along the orbit: 64 of the 1001 states know its mean to their spacing.
    f = snt.as_dynamics(torch.exp)
    orbit = torch.linspace(0, 3, 1001, dtype=torch.float64).reshape(-1, 1)
    result = entropy_production(f, orbit)
    assert float(result.contraction) == pytest.approx(-1.5, abs=5e-3)
    assert 0.05 < float(result.contraction_stderr) < 0.2  # sd .87 over 64 states


def test_contraction_reads_the_drive():
    f = snt.as_dynamics(lambda u, x: u * torch.exp(x))
    result = entropy_production(f, states(10, 3), x=matrix([0.5]))
    assert float(result.contraction) == pytest.approx(-1.5)


def test_noise_on_some_neurons_has_neither():
    f = linear(0.5 * torch.eye(3).double(), matrix([1.0, 0.0, 1.0]))
    result = entropy_production(f, steady(f, 3, rows=2))
    for field in (result.value, result.stderr, result.contraction):
        assert field.isnan().all()


def test_noisy_networks_have_no_contraction_rate():
    f = NoisyRotation(0.9, 0.3, 1.0)
    result = entropy_production(f, steady(f, 2, rows=3))
    assert result.contraction.isnan().all()
    assert result.contraction_stderr.isnan().all()


# The record


def record(value, stderr, size=4, **fields):
    nothing = torch.full_like(torch.as_tensor(value, dtype=torch.float64), math.nan)
    settings = {"contraction": nothing, "contraction_stderr": nothing, "noise": 0.5, "dt": 1.0}
    settings |= {"neurons": matrix(value).unsqueeze(-1).expand(-1, size) / size}
    settings |= {"neurons_stderr": settings["neurons"]}
    return EntropyProduction(
        value=matrix(value), stderr=matrix(stderr), size=size, **(settings | fields)
    )


def test_scalars():
    expected = {
        "entropy_production": 2.0,
        "entropy_production_stderr": 0.25,
        "entropy_production_per_neuron": 0.5,
        "entropy_production_per_neuron_stderr": 0.0625,
        "contraction_rate": math.nan,
        "noise": 0.5,
        "dt": 1.0,
    }
    assert record([1.0, 3.0], [0.3, 0.4]).scalars() == pytest.approx(expected, nan_ok=True)


def test_scalars_take_the_spread_of_many_rows():
    result = record(list(range(9)), [100.0] * 9)
    assert result.scalars()["entropy_production"] == 4
    assert result.scalars()["entropy_production_stderr"] == pytest.approx(math.sqrt(7.5) / 3)


def test_units():
    assert record([1.0], [1.0]).unit == "nats per step"
    assert record([1.0], [1.0], dt=0.5).unit == "nats per unit of time"


def test_noise_of_the_record_is_the_root_mean_square():
    f = linear(torch.zeros(2, 2).double(), matrix([3.0, 4.0]))
    assert entropy_production(f, states(9, 2)).noise == pytest.approx(math.sqrt(12.5))


def test_record_maps_its_tensors():
    result = entropy_production(network(noise=0.3), states(9, 5)).map(lambda t: t.float())
    assert result.value.dtype == result.contraction.dtype == torch.float32
    assert result.size == 5


# The parts of the neurons


@pytest.mark.parametrize("seed", [1, 2])
def test_parts_of_linear_networks(seed):
    M, sigma = 0.3 * states(4, 4, seed=seed), matrix([0.2, 0.5, 1.0, 2.0])
    exact = linear_map(M, sigma)
    f = linear(M, sigma)
    found = entropy_production(f, steady(f, 4))
    assert_close(found.neurons.sum(-1), found.value, **EXACT)
    mean, error = found.neurons.mean(0), found.neurons.std(0) / 8
    assert ((mean - exact.neurons).abs() < 4 * error).all()
    assert (exact.neurons.abs() > 10 * error).sum() >= 3
    assert float(exact.entropy_production) == pytest.approx(linear_entropy(M, sigma), rel=1e-10)


def test_parts_with_correlated_noise():
    M = 0.3 * states(3, 3, seed=1)
    L = matrix([[0.6, 0.0, 0.0], [-0.5, 0.3, 0.0], [0.2, 0.4, 0.5]])
    found = entropy_production(linear(M, L), steady(linear(M, L), 3))
    assert_close(found.neurons.sum(-1), found.value, **EXACT)
    mean, error = found.neurons.mean(0), found.neurons.std(0) / 8
    assert ((mean - linear_map(M, L).neurons).abs() < 4 * error).all()


def test_a_neuron_may_take_up_what_another_delivers():
    # Heat flows from the hot bead to the cold one: (hot - cold) / 4 per unit of time.
    A, T, dt = matrix([[-2.0, 1.0], [1.0, -2.0]]), matrix([3.0, 1.0]), 0.01
    f = snt.EulerMaruyama(snt.systems.OrnsteinUhlenbeck(A, diffusion=T), dt)
    found = simulate_entropy_production(
        f, torch.zeros(400, 2).double(), 800, transient=300, generator=random_generator()
    )
    mean, error = found.neurons.mean(0), found.neurons.std(0) / 20
    assert ((mean - matrix([-1 / 6, 1 / 2])).abs() < 4 * error + 0.01).all()
    assert float(mean[0]) < -4 * float(error[0])


# Orbits that are not kept


class Counted(LinearMap):
    """A linear map that counts the states it is asked about."""

    asked = 0

    def map(self, u, x=None):
        self.asked += u.numel() // u.shape[-1]
        return super().map(u, x)


@pytest.mark.parametrize("noise", [0.0, 0.7])
@pytest.mark.parametrize("part", [1, 50, 10**6])
def test_simulated_orbit_gives_the_same(noise, part, monkeypatch):
    monkeypatch.setattr("sntorch.landscape.entropy._CHUNK", part)
    f = network(noise=noise)
    u = states(3, 5)
    with torch.no_grad():
        orbit = snt.rollout(f, u, 47, generator=random_generator())[7:]
    expected = entropy_production(f, orbit)
    found = simulate_entropy_production(f, u, 40, transient=7, generator=random_generator())
    for name in ("value", "stderr", "neurons", "neurons_stderr", "contraction"):
        assert_close(getattr(found, name), getattr(expected, name), equal_nan=True, **EXACT)


def test_one_evaluation_per_state():
    f, orbit = Counted(0.5 * states(2, 2), 0.3), states(101, 3, 2)
    entropy_production(f, orbit)
    assert f.asked == 303
    f.asked = 0
    simulate_entropy_production(f, orbit[0], 101)
    assert f.asked == 3 * 102


def test_simulation_reaches_the_closed_form():
    f = NoisyRotation(0.9, 0.3, 1.0)
    u = torch.zeros(256, 2).double()
    found = simulate_entropy_production(
        f, u, 1000, transient=60, generator=random_generator()
    ).scalars()
    pair = found["entropy_production"], found["entropy_production_stderr"]
    assert within_four(pair, 1.4892437, precision=0.01)


def test_simulation_refuses_and_leaves_the_global_stream():
    f, before = network(noise=0.3), torch.get_rng_state()
    simulate_entropy_production(f, states(5), 10)
    assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"steps: expected"):
        simulate_entropy_production(f, states(5), 1)
    with pytest.raises(ValueError, match=r"transient: expected"):
        simulate_entropy_production(f, states(5), 10, transient=-1)
    grown = snt.as_dynamics(lambda u: 1e200 * u, noise=1.0)
    with pytest.raises(ValueError, match=r"u: expected a bounded orbit"):
        simulate_entropy_production(grown, states(2), 10)


# Precision, modes, traces


def test_single_precision():
    f = NoisyRotation(0.9, 0.3, 1.0, dtype=torch.float32)
    orbit = steady(f, 2, dtype=torch.float32)
    single = entropy_production(f, orbit)
    double = entropy_production(NoisyRotation(0.9, 0.3, 1.0), orbit.double())
    assert single.value.dtype == single.stderr.dtype == torch.float32
    assert_close(single.value.double(), double.value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_same_numbers_in_every_grad_mode(mode, noise):
    f = network(noise=noise)
    expected = entropy_production(f, states(20, 5))
    with mode():
        found = entropy_production(f, states(20, 5))
    for name in ("value", "stderr", "contraction", "contraction_stderr"):
        assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True)
        assert not getattr(found, name).requires_grad


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_same_numbers_in_train_mode_and_no_trace(noise):
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Tanh()).double()
    module[0].bias.requires_grad_(False)
    f, orbit = snt.as_dynamics(module, noise=noise), states(20, 4)

    def everything():
        numbers = [t.detach().clone() for t in [*module.state_dict().values(), orbit]]
        flags = [p.requires_grad for p in module.parameters()]
        flags += [p.training for p in module.modules()]
        return numbers, flags, [p.grad for p in module.parameters()], torch.get_rng_state()

    before = everything()
    trained = entropy_production(f, orbit)
    assert_close(everything(), before, rtol=0, atol=0)
    module.eval()
    evaluated = entropy_production(f, orbit)
    assert_close(trained.value, evaluated.value, rtol=0, atol=0, equal_nan=True)
    assert_close(trained.contraction, evaluated.contraction, rtol=0, atol=0, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_cuda(noise):
    f, orbit = network(noise=noise), states(40, 3, 5)
    expected = entropy_production(f, orbit)
    found = entropy_production(f.cuda(), orbit.cuda())
    assert found.value.is_cuda
    assert_close(found.value.cpu(), expected.value, equal_nan=True, **EXACT)
    assert_close(found.contraction.cpu(), expected.contraction, equal_nan=True, **EXACT)


# Wrong arguments


@pytest.mark.parametrize(
    ("trajectory", "x", "message"),
    [
        (states(1, 2), None, r"len\(trajectory\): expected .* >= 2, got 1"),
        (states(2), None, r"trajectory: expected at least 2 axes"),
        (torch.ones(4, 2, dtype=torch.long), None, r"trajectory: expected a floating dtype"),
        ([[0.0, 0.0]], None, r"trajectory: expected a torch.Tensor, got list"),
        (states(4, 3), None, r"expected 2 on the last axis, got \(4, 3\)"),
        (states(4, 2).float(), None, r"expected torch.float64"),
        (torch.full((4, 2), math.nan).double(), None, r"expected finite numbers, got nan at"),
        (states(4, 2), states(4, 2), r"x: expected a constant drive \(I,\), got \(4, 2\)"),
        (states(4, 2), states(3, 2), r"x: expected a constant drive \(I,\), got \(3, 2\)"),
        (states(4, 2), matrix([math.inf, 0.0]), r"x: expected finite numbers"),
    ],
)
def test_wrong_arguments(trajectory, x, message):
    with pytest.raises(ValueError, match=message):
        entropy_production(NoisyRotation(0.9, 0.3, 1.0), trajectory, x=x)


@pytest.mark.parametrize("noise", [-0.1, math.nan, torch.ones(3)])
def test_wrong_noise(noise):
    f = snt.as_dynamics(lambda u: 0.5 * u, noise=noise)
    with pytest.raises(ValueError, match="noise: expected"):
        entropy_production(f, states(4, 2))
