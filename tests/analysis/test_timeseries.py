"""Mean activity, returns and sections of series that are known."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import delay_map, mean_activity, poincare_section
from tests.references import snt_step

TURN = 2 * math.pi


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
