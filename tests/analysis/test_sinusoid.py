"""The weak sinusoid: against transforms, and where there is no linear response."""

from typing import Any

import pytest
import torch
from references import nine_neurons, settled

import sntorch as snt
from sntorch.analysis import (
    ResponseWarning,
    susceptibility,
)


def deviation(a, b, sources):
    """Return rms and largest difference of chi in standard errors of a complex number."""
    error = (a.stderr[..., sources].square() + b.stderr.square()).sqrt()
    z = (a.chi[..., sources] - b.chi).abs() / (2**0.5 * error)
    return float(z.square().mean().sqrt()), float(z.max())


@pytest.mark.slow
def test_sinusoid_and_transform_agree():
    f, sources = nine_neurons(noise=0.15), [6, 1]
    u = settled(f, 256)
    omega = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    a = susceptibility(f, u, omega, lags=100, samples=200_000, method="noise")
    b = susceptibility(
        f, u, omega, lags=60, samples=25_600, method="sinusoid", amplitude=0.03, sources=sources
    )
    rms, largest = deviation(a, b, sources)
    assert 0.6 < rms < 1.4
    assert largest < 4
    assert float(b.stderr.mean() / b.modulus.mean()) < 0.2
    assert b.chi.shape == (3, 9, 2)
    assert b.sources.tolist() == sources
    # Halving goes on where noise looks like a change, by chance once or twice.
    assert bool(b.linear.all())
    assert float(b.amplitude.min()) >= 0.03 / 4


def test_amplitude_is_halved_until_it_is_linear():
    f = snt.as_dynamics(lambda u: 0.5 * u - 0.3 * u**3, noise=0.01)
    u = torch.zeros(16, 1, dtype=torch.float64)
    found = susceptibility(
        f, u, 0.5, lags=40, samples=3200, method="sinusoid", amplitude=0.8, transient=20
    )
    expected = 1 / (1 - 0.5 * torch.exp(torch.tensor(-0.5j)))
    assert bool(found.linear)
    assert float(found.amplitude) < 0.5
    assert float((found.chi - expected).abs() / expected.abs()) < 0.08
    # Twice that amplitude was not linear.
    raw = susceptibility(
        f, u, 0.5, lags=40, samples=3200, method="sinusoid", amplitude=2 * float(found.amplitude)
    )
    assert float(raw.amplitude) == float(found.amplitude)


def test_never_linear():
    """A step has no derivative at any amplitude: chi is left as it is, and said to be so."""
    f = snt.as_dynamics(lambda u: torch.stack([0 * u[..., 0], u[..., 0].sign()], dim=-1))
    u = torch.zeros(8, 2, dtype=torch.float64)
    settings: dict[str, Any] = {"lags": 10, "samples": 800, "amplitude": 1.0, "sources": [0]}
    with pytest.warns(ResponseWarning, match="not linear at any amplitude tried at 1 of 1"):
        found = susceptibility(f, u, 1.0, method="sinusoid", **settings)
    assert not bool(found.linear)
    assert float(found.change) > 0.5
    assert float(found.amplitude) == 2.0**-7
