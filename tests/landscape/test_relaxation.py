"""Relaxation on a grid: moments of linear flows, free energies that fall, the gap at the end."""

import math
from typing import Any

import pytest
import torch
from scipy.sparse.linalg import expm_multiply
from torch.testing import assert_close

from sntorch.landscape import Grid, fokker_planck, relax
from sntorch.landscape.discretisation import process
from sntorch.systems import OrnsteinUhlenbeck, StuartLandau


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


A = matrix([[-1.0, 2.0], [-0.5, -1.0]])
FLOW = OrnsteinUhlenbeck(A, diffusion=0.1)
GRID = Grid([-2.5, -2.0], [2.5, 2.0], (60, 60))


def test_mean_of_a_linear_flow():
    start = matrix([1.0, -0.5])
    found = relax(FLOW, GRID, start, [0.3, 1.0, 2.0])
    assert found.times.tolist() == [0, 0.3, 1, 2]
    first = found.mean[0]
    assert_close(first, start, rtol=0, atol=0.05)  # the centre of its cell
    for t, mean in zip(found.times, found.mean, strict=True):
        assert_close(mean, torch.linalg.matrix_exp(A * t) @ first, rtol=0, atol=0.01)
    assert_close(found.density.sum((1, 2)) * GRID.volume, torch.ones(4).double())


def test_exact_in_time():
    start = torch.zeros(60, 60).double()
    start[40, 20:30] = 1
    found = relax(FLOW, GRID, start, [0.7, 1.1])
    L = process(FLOW, GRID, x=None, diffusion=None)[0].matrix
    for row, time in ((1, 0.7), (2, 1.1)):
        expected = expm_multiply(L * time, start.reshape(-1).numpy() / float(start.sum()))
        density = torch.from_numpy(expected).reshape(60, 60) / GRID.volume
        assert_close(found.density[row], density, rtol=0, atol=1e-11)
    assert float(found.density.min()) >= 0


@pytest.mark.parametrize("flow", [FLOW, StuartLandau(omega=2.0, diffusion=0.3)])
def test_the_free_energy_falls_and_nothing_else(flow):
    grid = Grid([-2.5, -2.5], [2.5, 2.5], 50)
    times = torch.linspace(0.05, 3, 30)
    found = relax(flow, grid, matrix([1.0, 0.2]), times)
    assert bool((found.free_energy.diff() < 0).all())
    density = fokker_planck(flow, grid, modes=0).density
    assert_close(found.stationary, density, rtol=1e-9, atol=1e-12)
    P = found.density[5]
    expected = torch.where(P > 0, P * (P / density).log(), 0).sum() * grid.volume
    assert float(found.free_energy[5]) == pytest.approx(float(expected), rel=1e-9)
    still = relax(flow, grid, density, [1.0])
    assert float(still.free_energy.max()) < 1e-10


def test_at_the_end_it_falls_at_twice_the_gap():
    trap = OrnsteinUhlenbeck(matrix([[-1.0]]), diffusion=0.5)
    grid = Grid([-5.0], [5.0], 150)
    found = relax(trap, grid, matrix([1.0]), [3.0, 4.0])
    gap = float(fokker_planck(trap, grid).gap)
    assert gap == pytest.approx(1, rel=2e-3)
    assert float(found.rate[-1]) == pytest.approx(2 * gap, rel=0.01)
    assert set(found.scalars()) == {"free_energy/start", "free_energy/end"}


BAD: dict[str, Any] = {
    "outside": (matrix([9.0, 0.0]), [1.0], "start: expected a state in the box"),
    "shape": (torch.ones(3, 3).double(), [1.0], r"start: expected \(60, 60\) or \(2,\)"),
    "negative": (-torch.ones(60, 60).double(), [1.0], "start: expected a density >= 0"),
    "nan": (matrix([math.nan, 0.0]), [1.0], "start: expected finite"),
    "zero": (matrix([0.0, 0.0]), [0.0, 1.0], "times: expected > 0, ascending"),
    "order": (matrix([0.0, 0.0]), [2.0, 1.0], "times: expected > 0, ascending"),
    "none": (matrix([0.0, 0.0]), [], "times: expected at least one"),
}


@pytest.mark.parametrize(("start", "times", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(start, times, message):
    with pytest.raises(ValueError, match=message):
        relax(FLOW, GRID, start, times)
