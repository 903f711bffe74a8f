"""Signal transmission: linear networks exactly, and the net of nine neurons within its noise."""

import cmath
import math
from typing import Any

import pytest
import torch
from references import LinearMap, NoisyRotation, nine_neurons, settled
from torch.testing import assert_close

from sntorch.analysis import linear_response, transmit


def test_linear_network():
    f = NoisyRotation(0.8, 0.9, sigma=1.0)
    u = settled(f, 6)
    response = linear_response(f, u, lags=150, samples=6, method="tangent")
    sent = transmit(
        f, u, source=1, carrier=1.3, modulation=0.05, steps=600, amplitude=0.7, response=response
    )
    assert_close(sent.received, sent.predicted, rtol=0, atol=1e-10)
    assert_close(sent.signal[3], torch.tensor(math.cos(0.15) * math.sin(3.9), dtype=torch.float64))
    upper, lower = response.susceptibility(torch.tensor([1.35, 1.25], dtype=torch.float64))[..., 1]
    assert_close(sent.sidebands, torch.stack([upper, lower]), rtol=0, atol=1e-8)
    assert_close(sent.gain, (upper.abs() + lower.abs()) / 2, rtol=0, atol=1e-8)
    assert_close(sent.predicted_gain, response.susceptibility(1.3)[:, 1].abs())
    assert float((sent.gain / sent.predicted_gain - 1).abs().max()) < 0.02


def test_delay_of_the_envelope():
    """A line of delays: neuron k hears the signal k steps after neuron 0, undiminished."""
    n = 5
    f = LinearMap(torch.diag(torch.ones(n - 1, dtype=torch.float64), -1))
    sent = transmit(f, torch.zeros(3, n).double(), source=0, carrier=1.0, modulation=0.1)
    assert_close(sent.delay, torch.arange(n).double(), rtol=0, atol=1e-8)
    assert_close(sent.gain, torch.ones(n).double(), rtol=0, atol=1e-8)
    assert cmath.isclose(complex(sent.sidebands[0, 3]), cmath.exp(-3.3j), abs_tol=1e-8)


@pytest.fixture(scope="module")
def sent():
    f = nine_neurons(noise=0.15)
    u = settled(f, 1024)
    response = linear_response(f, u, lags=100, samples=300_000, method="noise")
    return transmit(
        f, u, source=6, carrier=1.0, modulation=0.03, steps=700, amplitude=0.02, response=response
    )


@pytest.mark.slow
def test_residual_is_statistical_noise(sent):
    assert float(sent.residual.max()) < 1.3
    assert float(sent.residual.min()) > 0.7


def test_gain_is_the_susceptibility(sent):
    z = (sent.gain - sent.predicted_gain) / sent.gain_stderr
    assert float(z.abs().max()) < 4
    assert float((sent.gain / sent.predicted_gain - 1).abs().max()) < 0.15
    assert float(sent.signal_to_noise.min()) > 5
    assert sent.rows == 1024
    assert set(sent.scalars()) == {"gain", "signal_to_noise", "residual"}


def test_noise_drops_out_of_pairs():
    """Not common to the pair, it would leave sigma_u / (amplitude sqrt(2 rows)) in the mean."""
    f = NoisyRotation(0.8, 0.9, sigma=1.0)
    u = settled(f, 50)
    found = transmit(f, u, source=0, carrier=1.0, modulation=0.05, steps=300, amplitude=0.01)
    assert float(found.stderr.max()) < 1e-8
    assert bool(found.predicted.isnan().all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": 2}, "source: expected"),
        ({"carrier": 0.04}, "carrier: expected"),
        ({"carrier": 3.12}, "carrier: expected"),
        ({"modulation": 0.0}, "modulation: expected"),
        ({"steps": 100}, "steps: expected"),
        ({"amplitude": 0.0}, "amplitude: expected"),
        ({"x": torch.zeros(9, 2).double()}, "x: expected a constant drive"),
    ],
)
def test_bad_input(settings, message):
    complete: dict[str, Any] = {"source": 0, "carrier": 1.0, "modulation": 0.05, **settings}
    with pytest.raises(ValueError, match=message):
        transmit(NoisyRotation(0.8, 0.9), torch.zeros(4, 2).double(), **complete)


def test_response_of_another_size():
    f = NoisyRotation(0.8, 0.9)
    u = torch.zeros(4, 2, dtype=torch.float64)
    other = linear_response(
        LinearMap(torch.eye(3).double() / 2), torch.zeros(2, 3).double(), lags=2, samples=4
    )
    with pytest.raises(ValueError, match="response: expected 2 neurons, got 3"):
        transmit(f, u, source=0, carrier=1.0, modulation=0.05, response=other)
