"""Linear response: paths one by one, linear networks, and a chaotic net of nine neurons."""

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from references import LinearMap, nine_neurons, random_generator, settled
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import (
    ResponseAccumulator,
    ResponseWarning,
    linear_response,
    lyapunov_spectrum,
)

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
METHODS = ("tangent", "noise", "finite_difference", "mean_field")
MIXED = torch.tensor([[0.5, 0.2, 0.0], [-0.3, 0.6, 0.1], [0.0, 0.2, 0.7]], dtype=torch.float64)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def network(n=4, std=1.5, seed=3, **settings):
    J = snt.couplings.gaussian(n, std=std, generator=random_generator(seed), dtype=torch.float64)
    return snt.SNTCell(J, trainable=(), **settings)


def stable_map(n=3, noise: Any = 0.7):
    M = states(n, n, seed=5)
    return LinearMap(0.8 * M / torch.linalg.eigvals(M).abs().max(), noise=noise)


def deviation(a, b):
    """Return the differences of two kernels at lags >= 1 in standard errors, as a vector."""
    error = (a.stderr.square() + b.stderr.square()).sqrt()[1:]
    # Entries without a path are exactly zero in both.
    return ((a.kernel - b.kernel)[1:][error > 0] / error[error > 0]).flatten()


# Exact laws


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_sum_over_paths(leak):
    """K_ij(t) is the sum over paths from j to i of the products of synapses and slopes."""
    f, u, t = network(leak=leak, gain=2.0), states(4), 5
    orbit = torch.cat([u[None], snt.rollout(f, u, t - 1)]).numpy()
    slope, J = 2 / np.cosh(2 * orbit) ** 2, f.coupling.numpy()
    expected = np.zeros((4, 4))
    for path in itertools.product(range(4), repeat=t + 1):
        weight = 1.0
        for step, (j, i) in enumerate(itertools.pairwise(path)):
            weight *= J[i, j] * slope[step, j] + leak * (i == j)
        expected[path[-1], path[0]] += weight
    part = ResponseAccumulator(f, u, lags=t).update(1).result()
    assert_close(part.kernel[t].numpy(), expected, **EXACT)
    assert bool(part.stderr.isnan().all())  # one block says nothing about spread


def test_first_lags():
    f, u = network(gain=3.0, leak=0.2, noise=0.3), states(30, 4)
    eye = torch.eye(4, dtype=torch.float64)
    # Lag 1 is that of the states from which the tangents start.
    slope = (3 / torch.cosh(3 * u).square()).mean(0)
    for method in ("tangent", "finite_difference", "mean_field"):
        found = linear_response(f, u, lags=3, samples=30, method=method)
        assert_close(found.kernel[0], eye, rtol=0, atol=0)
        assert_close(found.stderr[0], 0 * eye, rtol=0, atol=0)
        near = {"rtol": 0, "atol": 1e-8} if method == "finite_difference" else EXACT
        assert_close(found.kernel[1], 0.2 * eye + f.coupling * slope, **near)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noise", [0.7, torch.tensor([0.3, 0.7, 1.5]), MIXED])
def test_linear_network(method, noise):
    """K(tau) = M^tau whatever the noise, correlated between neurons or not."""
    f = stable_map(noise=noise)
    samples = 20000 if method == "noise" else 40
    found = linear_response(f, settled(f, 10), lags=6, samples=samples, method=method)
    expected = torch.stack([torch.linalg.matrix_power(f.M, lag) for lag in range(7)])
    if method == "noise":
        z = (found.kernel - expected)[1:] / found.stderr[1:]
        assert float(z.abs().max()) < 4.5
        assert 0.7 < float(z.square().mean().sqrt()) < 1.4
    else:
        assert_close(found.kernel, expected, rtol=1e-9, atol=1e-9)
        assert float(found.stderr.max()) < 1e-9


def test_susceptibility_of_a_linear_network_is_the_resolvent():
    f = stable_map()
    found = linear_response(f, settled(f, 2), lags=200, samples=4, method="tangent")
    omega = torch.tensor([[0.0, 0.4], [1.7, math.pi]], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    expected = torch.linalg.inv(eye - torch.exp(-1j * omega)[..., None, None] * f.M)
    assert_close(found.susceptibility(omega), expected, rtol=0, atol=1e-10)
    assert found.susceptibility(0.4).shape == (3, 3)


def test_prediction_is_the_response_to_a_signal():
    f, signal = stable_map(noise=0.0), states(30, seed=9)
    found = linear_response(f, states(2, 3), lags=30, samples=4, method="tangent")
    u, expected = torch.zeros(3, dtype=torch.float64), []
    for value in signal:
        u = f.map(u)
        u[1] += value
        expected.append(u.clone())
    assert_close(found.predict(signal, 1), torch.stack(expected), **EXACT)


# Statistics


@pytest.fixture(scope="module")
def nine():
    """Return the reference network with noise, and its kernel by three methods."""
    f = nine_neurons(noise=0.15)
    u = settled(f, 256)
    sizes = {"tangent": 100_000, "noise": 500_000, "finite_difference": 20_000}
    found = {
        method: linear_response(
            f, u, lags=6, samples=samples, method=method, generator=random_generator(seed)
        )
        for seed, (method, samples) in enumerate(sizes.items())
    }
    return f, u, found


def test_draw_of_the_reference_network():
    f = nine_neurons()
    row = torch.tensor([-0.360834, 0.637296, 0.434673, 0, -0.310455, 0, 0, 0, 0]).double()
    assert_close(f.coupling[0], row, rtol=0, atol=1e-6)
    assert_close(
        f.threshold[:3], torch.tensor([0.083172, 0.189256, -0.239010]).double(), rtol=0, atol=1e-6
    )


def test_exponents_of_the_reference_network(nine):
    noisy, u, _ = nine
    found = lyapunov_spectrum(noisy, u, 300, k=1, transient=50, generator=random_generator(1))
    mean, error = float(found.exponents.mean()), float(found.exponents.std() / 16)
    assert abs(mean + 0.0853) < 4 * math.hypot(error, 0.0004)
    quiet = nine_neurons()
    found = lyapunov_spectrum(quiet, settled(quiet, 64), 1000, k=3, transient=100)
    mean, error = found.exponents.mean(0), found.exponents.std(0) / 8
    given = torch.tensor([0.065, -0.199, -0.534], dtype=torch.float64)
    assert bool(((mean - given).abs() < 4 * (error.square() + 1e-6).sqrt()).all())


@pytest.mark.parametrize(
    ("a", "b"),
    [("tangent", "noise"), ("tangent", "finite_difference"), ("noise", "finite_difference")],
)
def test_methods_agree(nine, a, b):
    found = nine[2]
    z = deviation(found[a], found[b])
    # 486 entries, of which errors are known from 20 blocks: the largest is about 3.4 standard
    # errors, and the tails of finite differences in chaos are heavy.
    assert float(z.abs().max()) < 4.5
    assert 0.3 < float(z.square().mean().sqrt()) < 1.3


@pytest.mark.parametrize("method", ["tangent", "noise", "finite_difference"])
def test_value_of_the_reference_network(nine, method):
    found = nine[2][method]
    value, error = float(found.kernel[2][1, 6]), float(found.stderr[2][1, 6])
    assert error < 0.02
    assert abs(value - 1.354) < 4 * math.hypot(error, 0.001)


def test_mean_field_is_poor_in_small_networks(nine):
    f, u, found = nine
    field = linear_response(f, u, lags=6, samples=20_000, method="mean_field")
    assert float(deviation(field, found["tangent"]).abs().max()) > 10


def test_mean_field_of_a_large_network():
    """Beyond the noise of both, the two kernels differ by some per cent at N = 200."""
    f = network(200, std=1.0, gain=2.0, noise=0.2)
    u = settled(f, 8, steps=60)
    tangent = linear_response(f, u, lags=3, samples=200, method="tangent")
    field = linear_response(f, u, lags=3, samples=200, method="mean_field")
    for lag in (2, 3):
        size = tangent.signal[lag].square()
        noise = tangent.error[lag].square() + field.error[lag].square()
        apart = (field.kernel[lag] - tangent.kernel[lag]).square().mean() - noise
        assert float(apart.abs() / size) < 0.15**2


def test_error_of_the_noise_method_does_not_grow(nine):
    f, u, _ = nine
    found = linear_response(f, u, lags=30, samples=100_000, method="noise")
    error = found.error[1:]
    assert float(error.max() / error.min()) < 1.15
    spread = snt.rollout(f, u, 40).std((0, 1))
    expected = (spread.square().mean() / 0.15**2 / found.samples).sqrt()
    assert 0.85 < float(error.mean() / expected) < 1.1
    # That of tangents does.
    quiet = nine_neurons()
    tangent = linear_response(quiet, settled(quiet, 64), lags=12, samples=3000, method="tangent")
    assert float(tangent.error[12] / tangent.error[2]) > 2


@pytest.mark.slow
@pytest.mark.parametrize(("method", "samples"), [("tangent", 640), ("noise", 6400)])
def test_standard_errors_are_those_of_repeated_measurements(method, samples):
    f = nine_neurons(noise=0.15)
    found = []
    for seed in range(24):
        g = random_generator(seed)
        u = snt.rollout(f, settled(f, 32, seed=seed), 20, generator=g)[-1]
        found.append(linear_response(f, u, lags=3, samples=samples, method=method, generator=g))
    spread = torch.stack([one.kernel[1:] for one in found]).var(0)
    claimed = torch.stack([one.stderr[1:].square() for one in found]).mean(0)
    assert 0.8 < float((spread.sum() / claimed.sum()).sqrt()) < 1.25


def test_resolution():
    f = nine_neurons(noise=0.15)
    found = linear_response(f, settled(f, 64), lags=4, samples=6400, method="noise")
    again = linear_response(f, settled(f, 64), lags=4, samples=64_000, method="noise")
    missing = f.coupling == 0
    # Entries that are zero at lag 1 are those without a synapse.
    assert float(found.resolved[1][missing].double().mean()) < 0.06
    assert float(again.resolved[1][~missing].double().mean()) > 0.8
    # As many samples as are said to be needed bring noise and signal to the same size.
    ratio = found.needed[1:] / again.needed[1:]
    assert float(ratio.min()) > 0.5
    assert float(ratio.max()) < 2
    assert found.scalars()["resolved_lags"] == 4


# Choosing


@pytest.mark.slow
def test_auto_takes_the_smaller_error():
    quiet, noisy = nine_neurons(), nine_neurons(noise=0.15)
    u = settled(noisy, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResponseWarning)
        assert linear_response(quiet, settled(quiet, 64), lags=3, samples=64).method == "tangent"
        assert linear_response(noisy, u, lags=2, samples=64).method == "tangent"
        # Strong noise beside a chaos that is fast.
        wild = network(30, std=1.0, gain=8.0, noise=1.0)
        start = settled(wild, 64)
        chosen = linear_response(wild, start, lags=12, samples=6400).method
        assert chosen == "noise"
        large = network(120, std=1.0, gain=6.0)
        assert linear_response(large, settled(large, 8), lags=12, samples=40).method == "mean_field"


@pytest.mark.slow
def test_rows_may_be_many_or_few():
    f = nine_neurons(noise=0.15)
    few = linear_response(f, settled(f, 1), lags=2, samples=3000, method="tangent")
    many = linear_response(f, settled(f, 3000, steps=50), lags=2, samples=3000, method="tangent")
    assert few.samples == many.samples == 3000
    assert float(deviation(few, many).square().mean().sqrt()) < 1.5
    assert 0.5 < float(few.error[2] / many.error[2]) < 2


def test_leaves_no_trace_and_repeats():
    f = nine_neurons(noise=0.15)
    u = settled(f, 8)
    before, kept = torch.get_rng_state(), u.clone()
    with torch.inference_mode():
        first = linear_response(f, u, lags=3, samples=400, method="noise")
    second = linear_response(f, u, lags=3, samples=400, method="noise")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(u, kept)
    assert torch.equal(first.kernel, second.kernel)


def test_progress_bar(capsys):
    f = stable_map()
    linear_response(f, states(2, 3), lags=2, samples=100, method="tangent", progress=True)
    assert "linear response: 100%" in capsys.readouterr().err
    linear_response(f, states(2, 3), lags=2, samples=100, method="tangent")
    assert not capsys.readouterr().err


def test_torch_network_and_single_precision():
    gru = torch.nn.GRU(2, 5)
    x = torch.tensor([0.3, -0.2])
    u = snt.rollout(gru, torch.zeros(5), 200, x=x)[-1]
    found = linear_response(gru, u, lags=4, samples=4, method="tangent", x=x)
    DF = snt.as_dynamics(gru).jacobian(u, x)
    assert_close(found.kernel[3], torch.linalg.matrix_power(DF, 3), rtol=1e-4, atol=1e-5)
    kicked = linear_response(gru, u, lags=4, samples=4, method="finite_difference", x=x)
    assert found.kernel.dtype == kicked.kernel.dtype == torch.float32
    assert_close(kicked.kernel, found.kernel, rtol=0, atol=5e-4)


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lags": 0}, "lags: expected"),
        ({"samples": 1}, "samples: expected"),
        ({"method": "guess"}, "method: expected one of"),
        ({"method": "noise"}, "noise: expected > 0 on every neuron"),
        ({"transient": -1}, "transient: expected"),
        ({"amplitude": 0.0}, "amplitude: expected"),
        ({"x": torch.zeros(10, 2).double()}, "x: expected a constant drive"),
        ({"generator": 3}, "generator: expected"),
    ],
)
def test_bad_input(settings, message):
    f = network(input_size=2)
    complete = {"lags": 2, "samples": 10, "method": "tangent", **settings}
    with pytest.raises(ValueError, match=message):
        linear_response(f, states(4), **complete)


@pytest.mark.parametrize("lags", [0, -1, 2.0])
def test_bad_lags_are_named_also_where_the_method_is_chosen(lags):
    noisy = network(input_size=2, noise=0.1)
    with pytest.raises(ValueError, match="lags: expected a whole number with lags >= 1, got"):
        linear_response(noisy, states(4), lags=lags, samples=50)


def test_noise_that_leaves_neurons_out():
    f = stable_map(noise=torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="noise: expected > 0 on every neuron"):
        linear_response(f, states(3), lags=2, samples=10, method="noise")
    f = stable_map(noise=torch.ones(3, 3))
    with pytest.raises(ValueError, match="noise: expected a matrix of full rank"):
        linear_response(f, states(3), lags=2, samples=10, method="noise")


@pytest.mark.parametrize("omega", [-0.1, 3.2, math.nan, torch.tensor([0.1, 4.0])])
def test_frequencies_outside(omega):
    found = linear_response(stable_map(), states(3), lags=2, samples=10, method="tangent")
    with pytest.raises(ValueError, match=r"omega: expected frequencies in \[0, pi\]"):
        found.susceptibility(omega)


def test_too_few_samples_say_how_many():
    f = nine_neurons(noise=0.15)
    u = settled(f, 4)
    with pytest.warns(ResponseWarning, match=r"about \de\+\d+ are needed") as caught:
        found = linear_response(f, u, lags=10, samples=40, method="noise")
    said = float(str(caught[0].message).split("about ")[1].split()[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_response(f, u, lags=10, samples=int(40 * said), method="noise")
    assert found.samples == 40


def test_states_that_drift():
    slow = LinearMap(0.999 * torch.eye(2, dtype=torch.float64), noise=0.001)
    start = torch.full((8, 2), 5.0, dtype=torch.float64)
    with pytest.warns(ResponseWarning, match="mean drifts"):
        linear_response(slow, start, lags=2, samples=1600, method="tangent")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_response(slow, start, lags=2, samples=1600, method="tangent", transient=20_000)


def test_orbits_that_leave():
    with pytest.raises(ValueError, match="u: expected bounded orbits"):
        linear_response(lambda u: u**2, torch.full((2,), 3.0), lags=20, samples=10)
