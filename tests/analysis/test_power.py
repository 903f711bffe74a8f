"""Power spectra against closed forms of linear noisy systems, and scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import welch
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import power_spectrum
from tests.references import LinearMap, NoisyRotation, random_generator

TURN = 2 * math.pi


def linear_spectrum(A, sigma, frequencies, dt):
    """Return the mean over components (F,) of 2 dt diag H H^*, H = (1 - A e^-iw)^-1 sigma."""
    A, n = np.asarray(A), len(A)
    shift = np.exp(-2j * np.pi * np.asarray(frequencies) * dt)
    H = np.linalg.inv(np.eye(n) - shift[:, None, None] * A) * sigma
    return 2 * dt * (np.abs(H) ** 2).sum((1, 2)) / n


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("dt", [1.0, 0.25])
def test_spectrum_of_a_linear_noisy_network(rows, dt):
    f = NoisyRotation(0.8, TURN * 0.12, sigma=0.3)
    g = random_generator(1)
    u = torch.zeros(rows, 2, dtype=torch.float64)
    orbit = snt.rollout(f, u, 100 + 48000 // rows, generator=g)[100:]
    found = power_spectrum(orbit, dt=dt, resolution=1 / (128 * dt))
    assert found.resolution == pytest.approx(1 / (128 * dt))
    assert float(found.frequencies[-1]) == 1 / (2 * dt)
    expected = torch.from_numpy(linear_spectrum(f.M, 0.3, found.frequencies, dt))
    z = ((found.mean - expected) / found.mean_stderr)[1:-1]  # without those the mean has touched
    assert 0.7 < float(z.square().mean().sqrt()) < 1.35
    assert float(z.abs().max()) < 4.5


def test_spectrum_of_a_random_matrix_integrates_to_its_variance():
    g = random_generator(2)
    A = 0.7 * snt.couplings.gaussian(8, generator=g, dtype=torch.float64)
    f = LinearMap(A, noise=0.5)
    orbit = snt.rollout(f, torch.zeros(16, 8, dtype=torch.float64), 2000, generator=g)[50:]
    found = power_spectrum(orbit, resolution=1 / 128)
    assert_close(found.variance, orbit.var(0).mean(-1), rtol=0.05, atol=0)
    expected = torch.from_numpy(linear_spectrum(A, 0.5, found.frequencies, 1.0))
    z = ((found.mean - expected) / found.mean_stderr)[2:-1]
    assert 0.7 < float(z.square().mean().sqrt()) < 1.5  # 16 rows: Student's t with 15 degrees


def test_spectrum_is_scipys():
    series = torch.randn(999, 2, 3, dtype=torch.float64)
    found = power_spectrum(series, dt=0.5, resolution=1 / 32)
    centred = (series - series.mean(0)).numpy()
    frequencies, density = welch(centred, 2.0, "hann", 64, detrend=False, axis=0)  # pyright: ignore
    assert_close(found.frequencies, torch.from_numpy(frequencies))
    assert_close(found.density, torch.from_numpy(density.mean(-1)).T)


@pytest.mark.parametrize("length", [64, 65])
def test_one_segment_has_no_error_and_keeps_the_power(length):
    series = torch.randn(length, 1, dtype=torch.float64)
    found = power_spectrum(series, resolution=1 / length)
    assert found.segments == 1
    assert found.stderr.isnan().all()
    window = torch.hann_window(length, dtype=torch.float64).square()
    power = ((series - series.mean(0)).squeeze(-1).square() * window).sum() / window.sum()
    assert_close(found.variance, power)


def test_a_lonely_line_and_its_scalars():
    wave = 3 * torch.sin(TURN * 0.125 * torch.arange(4096.0)).reshape(-1, 1, 1)
    found = power_spectrum(wave, dt=2.0)
    assert found.scalars()["peak"] == pytest.approx(0.125 / 2)
    assert found.scalars()["variance"] == pytest.approx(4.5, rel=1e-3)


@pytest.mark.parametrize(
    ("series", "settings", "message"),
    [
        (torch.ones(5), {}, "trajectory: expected at least 2 axes"),
        (torch.ones(7, 1), {}, "at least 8 steps for the resolution 0.125, got 7"),
        (torch.ones(100, 1), {"resolution": 0.004}, "at least 250 steps .* 0.004, got 100"),
        (torch.ones(100, 1), {"resolution": 0.0}, "resolution: expected"),
        (torch.ones(100, 1), {"dt": -1.0}, "dt: expected"),
        (torch.full((100, 1), torch.nan), {}, r"trajectory: expected finite .* at \(0, 0\)"),
        (torch.ones(100, 1, dtype=torch.int64), {}, "trajectory: expected a floating dtype"),
    ],
)
def test_bad_series_are_refused(series, settings, message):
    with pytest.raises(ValueError, match=message):
        power_spectrum(series, **settings)
