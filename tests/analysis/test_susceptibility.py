"""Susceptibility: resolvents, sinusoids against transforms, resonances, fluctuation-dissipation."""

import math
from typing import Any

import pytest
import torch
from references import LinearMap, NoisyRotation, random_generator, settled
from torch.testing import assert_close

from sntorch.analysis import (
    Resonance,
    susceptibility,
)

OMEGA = torch.tensor([0.0, 0.3, 1.0, 2.5, math.pi], dtype=torch.float64)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def resolvent(M, omega):
    eye = torch.eye(len(M), dtype=torch.float64)
    return torch.linalg.inv(eye - torch.exp(-1j * omega)[:, None, None] * M)


@pytest.mark.parametrize("method", ["tangent", "sinusoid", "finite_difference"])
def test_linear_network(method):
    """Both ways give the resolvent to rounding, the frequencies 0 and pi included."""
    f = NoisyRotation(0.7, 0.9, sigma=1.0)
    samples = 800 if method == "sinusoid" else 16
    found = susceptibility(f, states(8, 2), OMEGA, lags=70, samples=samples, method=method)
    assert_close(found.chi, resolvent(f.M, OMEGA), rtol=0, atol=1e-8)
    assert float(found.stderr.max()) < 1e-8
    assert bool(found.linear.all())


def test_noise_method_on_a_linear_network():
    f = NoisyRotation(0.7, 0.9, sigma=1.0)
    found = susceptibility(
        f, states(20, 2), OMEGA, lags=30, samples=20_000, transient=50, method="noise"
    )
    z = (found.chi - resolvent(f.M, OMEGA)).abs() / (2**0.5 * found.stderr)
    assert float(z.max()) < 4
    assert 0.5 < float(z.square().mean().sqrt()) < 1.5


@pytest.mark.slow
def test_error_is_measured_where_the_spectrum_has_a_peak():
    """The noise method errs most at a resonance: independent lags would not tell."""
    f = NoisyRotation(0.95, 0.9, sigma=1.0)
    omega = torch.tensor([0.9, 2.5], dtype=torch.float64)
    chis, claimed = [], []
    for seed in range(24):
        found = susceptibility(
            f,
            settled(f, 8, steps=100, seed=seed),
            omega,
            lags=60,
            samples=12_800,
            method="noise",
            generator=random_generator(seed),
        )
        chis.append(found.chi)
        claimed.append(found.stderr.square().mean((1, 2)))
    chi = torch.stack(chis)
    spread = ((chi.real.var(0) + chi.imag.var(0)) / 2).mean((1, 2))
    ratio = (spread / torch.stack(claimed).mean(0)).sqrt()
    assert float(ratio.min()) > 0.75
    assert float(ratio.max()) < 1.35
    assert float(spread[0] / spread[1]) > 10


@pytest.mark.slow
def test_resonance():
    """A rotation by 0.9 that shrinks by r has a peak at 0.9 of half width about 1 - r."""
    r = 0.95
    f = NoisyRotation(r, 0.9, sigma=1.0)
    omega = torch.linspace(0, math.pi, 500, dtype=torch.float64)
    found = susceptibility(f, settled(f, 32), omega, lags=200, samples=64, method="tangent")
    (peak,) = found.resonances(0, 0)
    assert peak == Resonance(peak.omega, peak.height, peak.width)
    assert peak.omega == pytest.approx(0.9, abs=0.01)
    assert peak.width == pytest.approx(2 * (1 - r), rel=0.06)
    assert peak.height == pytest.approx(float(found.modulus[:, 0, 0].max()))
    # The phase is continuous and falls through the resonance.
    assert float((found.phase[1:] - found.phase[:-1]).abs().max()) < 0.3
    # The spectrum is that of the linear network, sigma^2 |chi|^2 summed over the sources.
    expected = found.modulus.square().sum(-1)
    away = (omega - 0.9).abs() > 0.1
    z = ((found.power - expected) / found.power_stderr)[away]
    assert float(z.square().mean().sqrt()) < 2
    assert float((found.power / expected)[away].mean()) == pytest.approx(1, abs=0.1)


def test_white_noise_has_a_flat_spectrum():
    f = LinearMap(torch.zeros(3, 3, dtype=torch.float64), noise=0.5)
    found = susceptibility(f, states(50, 3), OMEGA[1:4], lags=10, samples=50, method="tangent")
    assert float(((found.power - 0.25) / found.power_stderr).abs().max()) < 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"omega": -0.1}, "omega: expected frequencies in"),
        ({"omega": 3.5, "method": "sinusoid"}, "omega: expected frequencies in"),
        ({"method": "guess"}, "method: expected one of"),
        ({"sources": [3]}, "sources: expected neurons in"),
        ({"sources": []}, "sources: expected neurons in"),
        ({"method": "sinusoid", "samples": 8}, "samples: expected at least 32 for 8 rows"),
        ({"method": "sinusoid", "amplitude": -1.0}, "amplitude: expected"),
        ({"method": "sinusoid", "lags": 0}, "lags: expected"),
        ({"method": "noise"}, "noise: expected > 0"),
    ],
)
def test_bad_input(settings, message):
    f = NoisyRotation(0.7, 0.9)
    complete: dict[str, Any] = {"omega": 1.0, "lags": 10, "samples": 80, "method": "tangent"}
    complete |= settings
    with pytest.raises(ValueError, match=message):
        susceptibility(f, states(8, 2), complete.pop("omega"), **complete)
