"""Series against closed forms: linear noisy systems, known rotations, known frequencies."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import welch
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import (
    delay_map,
    mean_activity,
    poincare_section,
    power_spectrum,
    rotation_number,
    spectral_lines,
    weighted_mean,
)
from tests.references import LinearMap, NoisyRotation, random_generator, snt_step

GOLDEN = (5**0.5 - 1) / 2
TURN = 2 * math.pi


def linear_spectrum(A, sigma, frequencies, dt):
    """Return the mean over components (F,) of 2 dt diag H H^*, H = (1 - A e^-iw)^-1 sigma."""
    A, n = np.asarray(A), len(A)
    shift = np.exp(-2j * np.pi * np.asarray(frequencies) * dt)
    H = np.linalg.inv(np.eye(n) - shift[:, None, None] * A) * sigma
    return 2 * dt * (np.abs(H) ** 2).sum((1, 2)) / n


def angles(increments, start=0.2):
    """Return points (T, 2) on the circle whose angle grows by the increments (T,), in turns."""
    angle = TURN * torch.cumsum(torch.as_tensor(increments).double(), 0) + start
    return torch.stack([angle.cos(), angle.sin()], -1)


def lifted(omega, K, steps):
    """Return the angles (steps,), in turns and not folded, of the sine circle map."""
    angle, found = 0.1, []
    for _ in range(steps):
        angle += omega + K / TURN * math.sin(TURN * angle)
        found.append(angle)
    return torch.tensor(found, dtype=torch.float64)


# Power spectra


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


# Mean activity, returns and sections


def test_mean_activity_is_that_of_the_rates():
    J = torch.randn(5, 5, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=1.7, transfer="sigmoid")
    u = torch.randn(3, 2, 5, dtype=torch.float64)
    eye = torch.eye(5, dtype=torch.float64)  # couplings that return the rates themselves
    rates = snt_step(u[1, 0], None, eye, gain=1.7, phi=torch.sigmoid)
    assert_close(mean_activity(u, cell)[1, 0], rates.mean())
    assert_close(mean_activity(u), u.mean(-1))
    assert not mean_activity(u, cell).requires_grad
    with pytest.raises(ValueError, match="5"):
        mean_activity(u[..., :4], cell)


def test_delay_vectors():
    series = torch.arange(14.0).reshape(7, 2)
    found = delay_map(series, lag=2, dimension=3)
    assert found.shape == (3, 2, 3)
    for t in range(3):
        for i in range(3):
            assert_close(found[t, :, i], series[t + 2 * i])
    with pytest.raises(ValueError, match="series: expected more than 6 steps, got 6"):
        delay_map(series[:6], lag=3, dimension=3)


def test_section_of_a_spiral():
    t = 0.01 * torch.arange(4000, dtype=torch.float64)
    r = torch.exp(-0.05 * t)
    orbit = torch.stack([r * torch.cos(t), r * torch.sin(t), t], -1)
    normal = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    states, times = poincare_section(orbit, normal, dt=0.01)
    turns = TURN * torch.arange(1, 7, dtype=torch.float64)
    assert_close(times, turns, atol=1e-4, rtol=0)
    assert_close(states[:, 0], torch.exp(-0.05 * turns), atol=1e-4, rtol=0)
    assert_close(states[:, 1], torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)
    downwards, _ = poincare_section(orbit, -normal)
    assert (downwards[:, 0] < 0).all()
    assert poincare_section(orbit, normal, 2.0)[0].shape == (0, 3)
    with pytest.raises(ValueError, match=r"normal: expected \(3,\)"):
        poincare_section(orbit, normal[:2])
    with pytest.raises(ValueError, match="trajectory: expected one orbit"):
        poincare_section(orbit.unsqueeze(1), normal)


# Weighted averages and rotation numbers


@pytest.mark.parametrize("power", [1, 2, 3])
def test_weighted_average_on_a_torus(power):
    t = torch.arange(3000, dtype=torch.float64)
    values = (torch.cos(TURN * GOLDEN * t + 0.3) ** power).unsqueeze(-1)
    mean, error = weighted_mean(values)
    assert mean.shape == (1,)
    expected = 0.5 if power == 2 else 0.0
    assert abs(float(mean) - expected) < 1e-11
    assert float(error) < 1e-8
    plain = abs(float(values.mean()) - expected)
    assert plain > 1e-5  # what the weights are for


def test_weighted_average_of_noise_is_an_average_with_an_error():
    values = torch.randn(1000, 400, dtype=torch.float64, generator=random_generator(3))
    mean, error = weighted_mean(values)
    # The bump has an effective length of T / 1.86.
    assert float(mean.square().mean().sqrt()) == pytest.approx((1.86 / 1000) ** 0.5, rel=0.12)
    assert float(error.square().mean().sqrt()) == pytest.approx((4 * 1.86 / 1000) ** 0.5, rel=0.12)


@pytest.mark.parametrize("omega", [GOLDEN, -0.123456789, 0.499, 1e-3, 2**0.5])
@pytest.mark.parametrize("dt", [1.0, 0.01])
def test_rotation_number_of_a_rigid_rotation(omega, dt):
    orbit = angles(torch.full((1000,), omega, dtype=torch.float64))
    found, error = rotation_number(orbit, centre=torch.zeros(2).double(), dt=dt)
    folded = (omega + 0.5) % 1 - 0.5
    assert abs(float(found) * dt - folded) < 1e-6
    assert float(error) * dt < 1e-6


@pytest.mark.parametrize("squeeze", [1.0, 0.3])
def test_rotation_number_of_circle_maps(squeeze):
    lift = lifted(GOLDEN, 0.8, 400_000)
    slow = float(lift[-1] - lift[0]) / (len(lift) - 1)
    orbit = torch.stack([squeeze * (TURN * lift).cos(), (TURN * lift).sin()], -1)[:4000]
    found, error = rotation_number(orbit)  # about the mean, off the centre
    assert abs(float(found) - (slow - 1)) < 1e-5
    assert float(error) < 1e-6


def test_rotation_number_of_a_locked_map_and_of_rows():
    orbit = torch.stack([angles(lifted(0.5, 0.9, 500).diff()), angles(torch.full((499,), 0.1))], 1)
    found, _ = rotation_number(orbit, centre=torch.zeros(2).double())
    assert_close(found.abs(), torch.tensor([0.5, 0.1], dtype=torch.float64), atol=1e-6, rtol=0)


def test_no_rotation_number_where_steps_turn_by_every_angle():
    orbit = torch.randn(2000, 2, dtype=torch.float64, generator=random_generator(4))
    assert rotation_number(orbit)[0].isnan()


def test_rotation_number_at_the_birth_of_the_curve():
    # The reference network's fixed point turns into a curve of rotation number 0.256908.
    cell = snt.studies.route_to_chaos.network(1.0185)
    start = torch.full((100,), 0.02, dtype=torch.float64)
    orbit = snt.rollout(cell, start, 9000)[5000:]
    m = mean_activity(orbit, cell)
    found, _ = rotation_number(delay_map(m))
    assert abs(abs(float(found)) - 0.256908) < 2e-5


@pytest.mark.parametrize(
    ("orbit", "settings", "message"),
    [
        (torch.ones(100, 3), {}, r"expected \(T, ..., 2\)"),
        (torch.ones(16, 2), {}, r"T > 16"),
        (torch.ones(100, 2), {}, "centre: expected a point off the orbit"),
        (torch.full((100, 2), torch.inf), {}, "trajectory: expected finite"),
        (angles([0.1] * 100), {"dt": 0.0}, "dt: expected"),
        (angles([0.1] * 100), {"centre": torch.full((2,), torch.nan)}, "centre: expected finite"),
    ],
)
def test_bad_rotations_are_refused(orbit, settings, message):
    with pytest.raises(ValueError, match=message):
        rotation_number(orbit, **settings)


# Lines


def cosines(*frequencies, steps=4000):
    t = torch.arange(steps, dtype=torch.float64)
    return torch.stack([torch.cos(TURN * nu * t + i) for i, nu in enumerate(frequencies)])


@pytest.mark.parametrize(
    ("series", "expected", "pieces"),
    [
        (cosines(0.1103)[0], [0.1103], 1),
        (torch.exp(cosines(0.1103)[0]), [0.1103], 1),
        (cosines(0.2206)[0] + 0.5 * cosines(0.3309)[0], [0.1103], 1),  # no line at the base itself
        (torch.exp(cosines(GOLDEN / 2, 2**0.5 / 10).sum(0)), [2**0.5 / 10, GOLDEN / 2], 1),
        (cosines(0.2).sum(0) + cosines(0.4)[0], [], 5),
        (cosines(0.5)[0] * (1.3 + torch.exp(cosines(0.0701)[0])), [0.4299], 2),
    ],
)
def test_base_frequencies(series, expected, pieces):
    found = spectral_lines(series, dt=0.5)
    assert found.explained
    assert found.pieces == pieces
    assert sorted((0.5 * found.base).tolist()) == pytest.approx(expected, abs=2e-6)


def test_three_base_frequencies():
    series = torch.exp(cosines(GOLDEN / 2, 2**0.5 / 10, math.pi / 70).sum(0) * 0.5)
    found = spectral_lines(series)
    assert found.explained
    assert len(found.base) == 3
    assert set(found.scalars()) == {"explained", "1", "2", "3"}


def test_frequencies_are_sharper_than_bins():
    t = torch.arange(1000, dtype=torch.float64)
    for nu in np.linspace(0.1, 0.101, 7):
        found = spectral_lines(torch.cos(TURN * nu * t + 1))
        assert abs(float(found.frequencies[0]) - nu) < 2e-7
        assert float(found.amplitudes[0]) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("seed", range(8))
def test_noise_has_no_base(seed):
    found = spectral_lines(torch.randn(3000, generator=random_generator(seed)))
    assert not found.explained
    assert len(found.base) == 0


def test_a_constant_has_no_lines():
    found = spectral_lines(torch.full((200,), 0.7, dtype=torch.float64))
    assert len(found.frequencies) == 0
    with pytest.raises(ValueError, match="T >= 64"):
        spectral_lines(torch.ones(63))
