"""Critical lines against closed forms, coexisting solutions, replicas."""

import math

import numpy as np
import pytest
import torch
from references import gaussian_pair
from torch.testing import assert_close

from sntorch.meanfield import critical, evolve, replicas, solutions, solve

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


# Coexisting solutions


def test_quiet_fixed_point_beside_chaos():
    found = solutions(gain=6.0, threshold=0.3, transfer="tanh01")
    assert found.variance.tolist() == pytest.approx([0.000898, 0.023505, 0.210032], abs=6e-7)
    assert found.stationary.tolist() == [True, False, True]
    assert found.chaotic.tolist()[0] is False
    assert found.chaotic.tolist()[2] is True
    assert float(found.lyapunov[0]) == pytest.approx(-1.059, abs=6e-4)
    assert float(found.lyapunov[2]) == pytest.approx(0.1641, abs=6e-5)
    assert float(found.overlap[0]) == float(found.variance[0])
    large = solve(gain=6.0, threshold=0.3, transfer="tanh01")
    assert float(large.variance) == pytest.approx(float(found.variance[2]), abs=1e-12)


def test_both_magnetised_states_and_the_unstable_one():
    found = solutions(gain=1.5, mean=2.0)
    stable = found.mean[found.stationary]
    assert sorted(stable.tolist()) == pytest.approx([-1.784509811, 1.784509811], abs=1e-8)
    assert found.variance.shape[0] == 4  # at rest, and moving without a mean: both unstable
    assert bool(found.converged.all())


def test_single_solution():
    found = solutions(gain=0.9)
    assert found.variance.tolist() == [0]
    assert float(found.lyapunov[0]) == pytest.approx(math.log(0.9))
    with pytest.raises(ValueError, match="noise: expected numbers in"):
        solutions(gain=1.0, noise=-1.0)
    with pytest.raises(ValueError, match="gain: expected a finite number"):
        solutions(gain=math.nan)


# Replicas


def test_replicas_come_together_exactly_where_the_exponent_is_negative():
    pair = replicas(gain=2.0, noise=[0.3, 0.6, 0.7, 1.0])
    assert pair.synchronised.tolist() == [False, False, True, True]
    assert (pair.distance_common > 1e-3).tolist() == [True, True, False, False]
    assert bool((pair.distance_independent > pair.distance_common).all())
    v, q = float(pair.field.variance[0]), float(pair.common[0])
    product = gaussian_pair(lambda u: np.tanh(2 * u), (0, 0), (v, v), q)
    assert q == pytest.approx(product + 0.09, abs=1e-8)
    assert set(pair.scalars()) == {"distance_common", "distance_independent"}


def test_replicas_without_noise_are_what_is_frozen():
    pair = replicas(gain=[1.5, 2.0], threshold_std=[2.0, 0.4])
    assert float(pair.common[0]) == float(pair.field.variance[0])
    assert float(pair.common[1]) == pytest.approx(0.60027084, abs=1e-8)
    assert_close(pair.common, pair.independent, rtol=0, atol=1e-9)


def test_replicas_with_leak():
    calm, chaotic = replicas(gain=0.4, leak=0.5, noise=0.5), replicas(gain=2.0, leak=0.5, noise=0.3)
    assert float(calm.distance_common) == 0
    q = float(chaotic.common)
    # What the noise itself leaves in both, and less than all.
    assert 0.09 / 0.75 < q < float(chaotic.field.variance)
    assert float(chaotic.independent) < 1e-9


def test_two_replicas_are_two_times_of_one_network():
    # At leak 0 the covariance between times is that of replicas with independent noise.
    two = evolve(80, gain=1.5, noise=0.4, threshold_std=0.2)
    pair = replicas(gain=1.5, noise=0.4, threshold_std=0.2)
    assert float(two.covariance[-1, -20]) == pytest.approx(float(pair.independent), abs=1e-7)
