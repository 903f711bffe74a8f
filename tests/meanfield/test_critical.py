"""Critical lines against closed forms and asymptotics."""

import math

import pytest
import torch
from torch.testing import assert_close

from sntorch.meanfield import critical, solve

# Critical lines


@pytest.mark.slow
def test_critical_gain():
    # tanh: gJ = 1 - leak; erf: sqrt(pi) / (2J).  The exponent touches zero quadratically above.
    found = critical("gain", 0.3, 3.0, std=[0.5, 1.0, 2.0], tolerance=1e-8)
    assert_close(found.value, torch.tensor([2, 1, 0.5]).double(), rtol=2e-7, atol=0)
    assert bool(found.found.all())
    assert bool(found.continuous.all())
    erf = critical("gain", 0.3, 3.0, std=2.0, transfer="erf", tolerance=1e-8)
    assert float(erf.value) == pytest.approx(math.sqrt(math.pi) / 4, rel=2e-7)
    leaky = critical("gain", 0.1, 2.0, leak=[0.5, 0.8], tolerance=1e-8)
    assert leaky.value.tolist() == pytest.approx([0.5, 0.2], rel=2e-6)


def test_critical_noise():
    found = critical("noise", 0.1, 2.0, gain=2.0)
    assert float(found.value) == pytest.approx(0.63952272, abs=6e-9)
    assert float(solve(gain=2.0, noise=found.value).lyapunov) == pytest.approx(0, abs=1e-9)
    # With odd f and no noise the critical spread of thresholds is the critical noise.
    spread = critical("threshold_std", 0.1, 2.0, gain=2.0)
    assert float(spread.value) == pytest.approx(float(found.value), abs=1e-9)
    # sigma_c^2 ~ (4/3) (g - 1)^3 near onset, and ~ 8 g^2 / (9 pi) - 1 for steep functions.
    near = critical("noise", 1e-5, 0.1, gain=1.01)
    assert float(near.value) ** 2 == pytest.approx(4 / 3 * 1e-6, rel=0.03)
    far = critical("noise", 1.0, 100.0, gain=40.0)
    assert float(far.value) ** 2 == pytest.approx(8 * 1600 / (9 * math.pi) - 1, rel=2e-3)


def test_critical_noise_of_erf_in_closed_form():
    # At lambda = 0: v* = ((4 g^2 J^2 / pi)^2 - 1) / (4 g^2), and sigma^2 = v* - J^2 E f^2.
    g, J = 1.8, 1.1
    v = ((4 * g**2 * J**2 / math.pi) ** 2 - 1) / (4 * g**2)
    sigma2 = v - J**2 * 2 / math.pi * math.asin(2 * g**2 * v / (1 + 2 * g**2 * v))
    found = critical("noise", 0.01, 3.0, gain=g, std=J, transfer="erf")
    assert float(found.value) == pytest.approx(math.sqrt(sigma2), abs=1e-9)


def test_lines_broadcast_and_miss():
    found = critical("noise", 0.01, [[1.0], [5.0]], gain=[0.5, 2.0, 4.0])
    assert found.value.shape == (2, 3)
    assert found.found.tolist() == [[False, True, False], [False, True, True]]
    assert found.value.isnan().tolist() == [[True, False, True], [True, False, False]]
    assert float(found.value[0, 1]) == pytest.approx(float(found.value[1, 1]), abs=1e-8)
    assert found.scalars()["critical_noise"] > 0


@pytest.mark.slow
def test_a_solution_that_gives_way_is_a_jump():
    found = critical("threshold", 0.3, 0.5, gain=6.0, transfer="tanh01", tolerance=1e-6)
    assert bool(found.found)
    assert not bool(found.continuous)
    assert float(found.below) > 0.1
    assert float(found.above) < -1
    either = [float(found.value) + d for d in (-1e-3, 1e-3)]
    assert solve(gain=6.0, threshold=either, transfer="tanh01").chaotic.tolist() == [True, False]


def test_critical_gain_with_leak_and_noise():
    found = critical("gain", 0.5, 1.0, leak=0.5, noise=0.3, tolerance=1e-3)
    field = solve(gain=found.value, leak=0.5, noise=0.3)
    assert float(field.lyapunov) == pytest.approx(0, abs=1e-3)
    assert 0.5 < float(found.value) < 1


@pytest.mark.parametrize(
    ("arguments", "numbers", "message"),
    [
        (("gains", 0.1, 1.0), {"gain": 1.0}, "parameter: expected one of gain, std"),
        (("noise", 0.1, 1.0), {}, "gain: expected a number or an array, got None"),
        (("noise", 1.0, 0.5), {"gain": 1.0}, "high: expected values above low"),
        (("noise", -1.0, 0.5), {"gain": 1.0}, "noise: expected numbers in"),
        (("leak", 0.0, 1.5), {"gain": 1.0}, "leak: expected numbers in"),
        (("noise", 0.1, 0.5), {"gain": 1.0, "tolerance": 0.0}, "tolerance: expected a finite"),
    ],
)
def test_wrong_lines(arguments, numbers, message):
    with pytest.raises(ValueError, match=message):
        critical(*arguments, **numbers)
