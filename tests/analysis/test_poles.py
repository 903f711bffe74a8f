"""Poles of the susceptibility: eigenvalues of linear networks, and those of the nine neurons."""

import math

import numpy as np
import pytest
import torch
from references import NoisyRotation, nine_neurons, random_generator, settled
from scipy.interpolate import AAA
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import linear_response, poles


def resting(n=6, radius=0.9, seed=5):
    """Return a linear network, as one at rest is, and its response."""
    M = torch.randn(n, n, generator=random_generator(seed), dtype=torch.float64)
    M = radius * M / torch.linalg.eigvals(M).abs().max()
    u = torch.zeros(4, n, dtype=torch.float64)
    return M, linear_response(snt.SNTCell(M, trainable=()), u, lags=40, samples=20)


@pytest.mark.parametrize("pair", [(None, None), (0, 3), (2, None)])
def test_poles_of_a_linear_network_are_its_eigenvalues(pair):
    M, response = resting()
    receiver, source = pair
    found = poles(response, receiver=receiver, source=source)
    values = torch.linalg.eigvals(M)
    values = values[values.imag >= 0]
    assert found.rank == 6
    assert_close(found.z, values[values.abs().argsort(descending=True)], rtol=0, atol=1e-8)
    assert float(found.modulus_stderr.max()) < 1e-8
    # A rational fit of chi on the circle finds the same, and nothing of the method is shared.
    if pair == (0, 3):
        omega = torch.linspace(0, math.pi, 200, dtype=torch.float64)
        circle = np.exp(1j * omega.numpy())
        chi = np.linalg.inv(np.eye(6) - M.numpy() / circle[:, None, None])[:, 0, 3]
        fit = AAA(np.r_[circle, circle.conj()], np.r_[chi, chi.conj()], rtol=1e-10)
        apart = np.abs(found.z.numpy()[:, None] - fit.poles()).min(1)
        assert apart.max() < 1e-5


def test_amplitudes_and_width():
    """K(tau) of a rotation is r^tau cos(0.9 tau) on the diagonal, -+ r^tau sin off it."""
    f = NoisyRotation(0.98, 0.9)
    response = linear_response(f, torch.zeros(4, 2).double(), lags=30, samples=8)
    found = poles(response, receiver=0, source=1)
    assert_close(found.modulus, torch.tensor([0.98]).double())
    assert_close(found.angle, torch.tensor([0.9]).double())
    assert float(found.strength) == pytest.approx(1.0)
    assert float(poles(response).strength) == pytest.approx(2.0)
    # As wide as the peak of |chi|^2 is.
    omega = torch.linspace(0.8, 1.0, 20001, dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    chi = torch.linalg.inv(eye - torch.exp(-1j * omega)[:, None, None] * f.M)[:, 0, 0].abs()
    above = omega[chi > chi.max() / 2**0.5]
    assert float(found.width) == pytest.approx(float(above[-1] - above[0]), rel=0.02)
    assert found.scalars() == {
        "poles": 1.0,
        "modulus": pytest.approx(0.98),
        "angle": pytest.approx(0.9),
    }


def test_errors_are_those_of_repeated_measurements():
    f = NoisyRotation(0.9, 0.9, sigma=1.0)
    moduli, angles, claimed = [], [], []
    for seed in range(24):
        g = random_generator(seed)
        u = settled(f, 32, steps=60, seed=seed)
        response = linear_response(f, u, lags=30, samples=6400, method="noise", generator=g)
        found = poles(response)
        assert found.rank == 2
        moduli.append(found.modulus[0])
        angles.append(found.angle[0])
        claimed.append(torch.stack([found.modulus_stderr[0], found.angle_stderr[0]]))
    values = torch.stack([torch.stack(moduli), torch.stack(angles)])
    error = torch.stack(claimed).square().mean(0).sqrt()
    z = (values.mean(1) - torch.tensor([0.9, 0.9]).double()) / (error / 24**0.5)
    assert float(z.abs().max()) < 4
    ratio = values.std(1) / error
    assert 0.65 < float(ratio.min()) <= float(ratio.max()) < 1.5


@pytest.fixture(scope="module")
def nine():
    f = nine_neurons(noise=0.15)
    u = settled(f, 256)
    return [
        linear_response(
            f, u, lags=60, samples=200_000, method="noise", generator=random_generator(seed)
        )
        for seed in (1, 2)
    ]


@pytest.mark.slow
def test_poles_of_the_reference_network_repeat(nine):
    """Independent samples agree on the slowest poles: a flip, and two turns."""
    first, second = (poles(response, rank=6) for response in nine)
    error = torch.hypot(first.modulus_stderr, second.modulus_stderr)
    z = (first.modulus - second.modulus) / error
    assert float(z[:3].abs().max()) < 4
    assert bool((error[:3] < 0.01).all())
    assert float(first.angle[0]) == math.pi
    assert float(first.angle_stderr[0]) == 0
    assert float(first.angle[1]) == pytest.approx(0.72, abs=0.02)
    assert float(first.angle[2]) == pytest.approx(1.81, abs=0.03)


def test_noise_is_not_taken_for_waves(nine):
    rank = poles(nine[0]).rank
    assert 3 <= rank <= 7
    # Of lags at which nothing is left there is nothing to fit.
    f = snt.SNTCell(torch.zeros(3, 3).double(), noise=1.0, trainable=())
    empty = linear_response(f, torch.zeros(20, 3).double(), lags=20, samples=400, method="tangent")
    assert poles(empty).rank == 0
    assert len(poles(empty).z) == 0
    assert math.isnan(poles(empty).scalars()["modulus"])


def test_blocks_that_are_left_out():
    """Their spread is the standard error, and a kernel of many numbers does without them."""
    f = NoisyRotation(0.9, 0.9, sigma=1.0)
    found = linear_response(f, settled(f, 16), lags=4, samples=3200, method="noise")
    assert found.left_out is not None
    count = len(found.left_out)
    assert 10 < count <= 20
    spread = ((found.left_out - found.kernel).square().sum(0) * (count - 1) / count).sqrt()
    assert_close(spread, found.stderr, rtol=0.1, atol=1e-12)
    large = snt.SNTCell(torch.zeros(100, 100).double(), trainable=())
    u = torch.zeros(2, 100, dtype=torch.float64)
    many = linear_response(large, u, lags=30, samples=4, method="mean_field")
    assert many.left_out is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"receiver": 2}, "receiver: expected"),
        ({"source": -1}, "source: expected"),
        ({"rank": 10}, "rank: expected"),
    ],
)
def test_bad_input(settings, message):
    f = NoisyRotation(0.9, 0.9)
    found = linear_response(f, torch.zeros(2, 2).double(), lags=20, samples=8)
    with pytest.raises(ValueError, match=message):
        poles(found, **settings)


def test_responses_that_tell_too_little():
    f, u = NoisyRotation(0.9, 0.9), torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="response: expected at least 4 lags"):
        poles(linear_response(f, u, lags=3, samples=8))
    single = snt.analysis.ResponseAccumulator(f, u[:1], lags=9).update(1).result()
    with pytest.raises(ValueError, match="response: expected two blocks"):
        poles(single)
