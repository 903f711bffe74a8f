"""Coexisting solutions: published values, their stability, with and without leak."""

import math
from typing import Any

import pytest

from sntorch.meanfield import evolve, solutions, solve


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


# With leak


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_three_solutions_with_leak(noise):
    # Fixed points are those without leak of std / (1 - leak) and threshold / (1 - leak).
    numbers: dict[str, Any] = {"gain": 6.0, "std": 0.5, "threshold": 0.15, "leak": 0.5}
    found = solutions(**numbers, noise=noise, transfer="tanh01")
    assert found.stationary.tolist() == [True, False, True]
    assert found.chaotic.tolist()[0] is False
    assert found.chaotic.tolist()[2] is True
    large = solve(**numbers, noise=noise, transfer="tanh01")
    assert float(large.variance) == pytest.approx(float(found.variance[2]), abs=1e-9)
    assert float(large.microscopic) == pytest.approx(float(found.microscopic[2]), abs=1e-9)
    if not noise:
        assert float(found.variance[0]) == pytest.approx(0.000898, abs=6e-7)
        assert float(found.overlap[0]) == float(found.variance[0])
        slope_sq = float(found.slope_sq[0])
        assert float(found.lyapunov[0]) == pytest.approx(math.log(0.5 + 0.5 * slope_sq**0.5))
    assert bool(found.converged.all())


@pytest.mark.slow
def test_the_two_time_mean_field_ends_at_either_stable_solution():
    numbers: dict[str, Any] = {"gain": 6.0, "std": 0.5, "threshold": 0.15, "leak": 0.5}
    numbers |= {"noise": 0.01, "transfer": "tanh01"}
    found = solutions(**numbers)
    ends = []
    for v in (0.02, 0.2):
        two = evolve(80, **numbers, initial_mean=float(found.mean[1]), initial_variance=v)
        ends.append(float(two.variance[-1]))
    assert ends == pytest.approx([float(found.variance[0]), float(found.variance[2])], rel=0.02)


def test_magnetised_states_with_leak():
    found = solutions(gain=1.5, mean=1.0, std=0.5, leak=0.5)
    assert found.stationary.tolist() == [False, False, True, True]
    assert sorted(found.mean[2:].tolist()) == pytest.approx([-1.784509811, 1.784509811], abs=1e-8)
    # At rest a mean grows by leak + mean f'(0), neurons by leak + std f'(0).
    assert float(found.macroscopic[0]) == pytest.approx(math.log(0.5 + 1.5))
    assert float(found.microscopic[0]) == pytest.approx(math.log(0.5 + 0.75))
    assert not bool(found.chaotic[0])
    # Moving without a mean, the mean's own direction decides: f is odd.
    assert float(found.macroscopic[1]) == pytest.approx(math.log(0.5 + float(found.slope[1])))


def test_the_exponent_of_mean_and_covariance_without_leak_is_that_of_mean_and_variance():
    numbers: dict[str, Any] = {"gain": 6.0, "threshold": 0.3, "mean": 0.1, "transfer": "tanh01"}
    without, tiny = solutions(**numbers), solutions(**numbers, leak=1e-8)
    # The second of three: mean and variance leave it together.
    assert float(without.macroscopic[1]) > 0.1
    assert float(tiny.macroscopic[1]) == pytest.approx(float(without.macroscopic[1]), abs=1e-6)
    assert tiny.variance.tolist() == pytest.approx(without.variance.tolist(), rel=1e-5)
