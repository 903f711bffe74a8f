"""Weighted averages and rotation numbers against known rotations."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import delay_map, mean_activity, rotation_number, weighted_mean
from tests.references import random_generator

GOLDEN = (5**0.5 - 1) / 2
TURN = 2 * math.pi


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
