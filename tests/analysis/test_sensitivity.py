"""Sensitivity to a pattern against closed forms at rest, and its floor in chaos."""

import math

import pytest
import torch
from references import random_coupling, random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import compare_slopes, pattern_sensitivity
from sntorch.plasticity import PlasticSNTCell


def receiving(J, pattern, **settings):
    """Return a cell whose one input is the pattern."""
    cell = snt.SNTCell(J, input_size=1, **settings)
    with torch.no_grad():
        cell.input_weight.copy_(pattern.unsqueeze(-1))  # pyright: ignore[reportOptionalMemberAccess]
    return cell


ON = torch.ones(1, dtype=torch.float64)


def test_at_rest_it_is_the_shift_of_the_fixed_point():
    # u = (I - J)^-1 xi to first order, f' = g (1 - tanh^2): here exactly, neuron by neuron.
    J = 0.1 * random_coupling(n=6)
    pattern = torch.linspace(-0.4, 0.6, 6).double()
    cell = receiving(J, pattern, gain=1.5, threshold=-0.2)
    found = pattern_sensitivity(cell, torch.zeros(6).double(), 10, x=ON, transient=200)
    slopes = []
    for drive in (0.2 + pattern, torch.full((6,), 0.2).double()):
        u = torch.zeros(6).double()
        for _ in range(300):
            u = J @ torch.tanh(1.5 * u) + drive
        slopes.append(1.5 / torch.cosh(1.5 * u) ** 2)
    assert_close(found.slopes, slopes[1])
    assert_close(found.change, slopes[0] - slopes[1])
    assert found.floor.max() < 1e-12
    expected = (slopes[0] - slopes[1]).abs().sum() / slopes[1].sum()
    assert_close(found.relative, expected)
    assert_close(found.absolute, (slopes[0] - slopes[1]).abs().mean())
    assert float(found) == pytest.approx(found.scalars()["relative"])


def chaotic(pattern_size, seed=0, n=60):
    g = random_generator(seed)
    pattern = pattern_size * torch.randn(n, generator=g, dtype=torch.float64)
    J = torch.randn(n, n, generator=g, dtype=torch.float64) / n**0.5
    return receiving(J, pattern, gain=3.0), torch.randn(8, n, generator=g, dtype=torch.float64)


def test_in_chaos_nothing_is_left_of_a_pattern_too_small_to_matter():
    cell, u = chaotic(1e-9)
    found = pattern_sensitivity(cell, u, 400, x=ON, transient=50)
    assert (found.absolute > 0.02).all()  # means of chaotic orbits differ all the same
    mean, error = found.relative.mean(), found.relative.std() / 8**0.5
    assert abs(float(mean)) < 4 * float(error)
    assert float(mean.abs()) < 0.1 * float((found.absolute / found.slopes.mean(-1)).mean())


def test_the_floor_falls_with_the_root_of_the_steps():
    cell, u = chaotic(1e-9)
    short, long = (pattern_sensitivity(cell, u, n, x=ON, transient=50) for n in (100, 1600))
    ratio = float(short.floor.mean() / long.floor.mean())
    assert ratio == pytest.approx(4, rel=0.25)
    strong, u = chaotic(1.0)
    assert float(pattern_sensitivity(strong, u, 400, x=ON).relative.mean()) > 0.1


def test_noise_is_the_same_with_and_without():
    cell = receiving(torch.zeros(3, 3).double(), torch.zeros(3).double(), noise=0.5)
    before = torch.get_rng_state()
    for stream in (None, random_generator(3)):
        found = pattern_sensitivity(cell, torch.zeros(3).double(), 50, x=ON, generator=stream)
        assert found.change.abs().max() == 0
        assert (found.floor > 0).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_are_independent_and_plastic_cells_have_neurons():
    cell, u = chaotic(0.3)
    both = pattern_sensitivity(cell, u[:2], 20, x=ON)
    assert_close(both.change[1], pattern_sensitivity(cell, u[1], 20, x=ON).change)
    still = PlasticSNTCell(cell, alpha=0.0, rate=0.1)
    assert_close(pattern_sensitivity(still, still.join(u[:2]), 20, x=ON).change, both.change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": torch.nn.RNNCell(2, 60)}, "f: expected an SNTCell or PlasticSNTCell, got RNNCell"),
        ({"steps": 1}, "steps: expected"),
        ({"x": None}, "x: expected a pattern to take away, got None"),
        ({"x": torch.zeros(3, 1).double()}, r"x: expected \(I,\) or \(9,"),
        ({"u": torch.zeros(60).double() * math.nan}, "u: expected finite"),
        ({"transient": -1}, "transient: expected"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    cell, u = chaotic(0.3)
    given = {"f": cell, "u": u[0], "steps": 9, "x": ON} | change
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        pattern_sensitivity(f, u, steps, **given)


def test_slopes_of_any_network_are_compared():
    present = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    absent = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    found = compare_slopes(present, absent)
    assert_close(found.change, torch.tensor([1.0, 0.5]))
    assert_close(found.floor, torch.tensor([2.0, 1.0]) / 8**0.5)
    assert_close(found.relative, (1.5 - 3 / 8**0.5) / torch.tensor(2.5))
    for wrong in (absent[:1], absent[:, :1]):
        with pytest.raises(ValueError, match=r"absent: expected \(2, 2\) with two steps"):
            compare_slopes(present, wrong)
    with pytest.raises(ValueError, match="present: expected finite"):
        compare_slopes(present * math.nan, absent)
