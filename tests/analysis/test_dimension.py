"""Participation ratio: known covariances, and honest errors."""

import math

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

from sntorch.analysis import participation_ratio


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def test_value_is_that_of_the_covariance():
    trajectory = normal(50, 3, 6) @ normal(6, 6, seed=2)
    found = participation_ratio(trajectory)
    for row in range(3):
        values = torch.linalg.eigvalsh(trajectory[:, row].T.cov(correction=0))
        assert_close(found.value[row], values.sum() ** 2 / values.square().sum())
        assert_close(found.variances[row], values.flip(0))


@pytest.mark.parametrize("variances", [[1.0] * 5, [4.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
def test_known_laws(variances):
    c = torch.tensor(variances, dtype=torch.float64)
    rows = normal(2000, 40, len(c)) * c.sqrt() + 3
    exact = float(c.sum() ** 2 / c.square().sum())
    found = participation_ratio(rows)
    spread = found.value.std()
    corrected = found.value - found.bias
    error = max(4 * float(spread) / 40**0.5, 1e-9)
    assert float(corrected.mean()) == pytest.approx(exact, abs=error)
    if exact > 1:
        assert 0.7 < float(found.stderr.mean() / spread) < 1.4
    assert found.scalars()["value"] == pytest.approx(float(found.value.mean()))


def test_bias_is_that_of_few_samples():
    # 1/PR is too large by about 1/n: from 100 states of 10 equal variances PR is about 9.1.
    found = participation_ratio(normal(100, 400, 10))
    mean, error = float(found.value.mean()), float(found.value.std()) / 20
    assert mean == pytest.approx(1 / (1 / 10 + 1 / 100), abs=0.1 + 4 * error)
    assert float(found.bias.mean()) == pytest.approx(mean - 10, abs=0.15)


def test_an_orbit_on_a_circle_has_two_dimensions():
    t = torch.arange(400).double() * (2 * math.pi / 100)
    plane = torch.linalg.qr(normal(7, 2)).Q
    circle = torch.stack([t.cos(), t.sin()], -1) @ plane.T
    assert float(participation_ratio(circle)) == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("T", [2, 3])
def test_few_states_have_no_error(T):
    found = participation_ratio(normal(T, 4))
    assert math.isfinite(float(found))
    assert found.stderr.isnan()
    assert found.bias.isnan()


def test_what_rests_has_no_dimension():
    assert participation_ratio(torch.ones(10, 2, 3)).value.isnan().all()


def test_precision_and_modes():
    trajectory = normal(30, 4).float()
    with torch.inference_mode():
        found = participation_ratio(trajectory)
    assert {found.value.dtype, found.stderr.dtype, found.variances.dtype} == {torch.float32}
    assert not found.value.is_inference()
    assert not participation_ratio(trajectory.requires_grad_()).value.requires_grad


@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (torch.zeros(5), "trajectory: expected at least 2 axes"),
        (torch.zeros(1, 5), "trajectory: expected at least 2 states, got 1"),
        (torch.zeros(5, 2, dtype=torch.int64), "trajectory: expected a floating dtype"),
        (torch.tensor([[0.0], [math.nan]]), r"trajectory: expected finite numbers, .* \(1, 0\)"),
        ([[1.0]], "trajectory: expected a torch.Tensor, got list"),
    ],
)
def test_wrong_arguments(trajectory, message):
    with pytest.raises(ValueError, match=message):
        participation_ratio(trajectory)
