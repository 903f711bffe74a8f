"""Information processing capacity: functions that are computed exactly, and sums that are known."""

import math
from typing import Any

import pytest
import torch
from references import random_generator
from torch import nn

import sntorch as snt
from sntorch.analysis import information_capacity, memory_capacity


def known(u, x):
    """Return a line of three delays, P2 of x(t - 1), and x(t) x(t - 1) x(t - 2)."""
    line = torch.cat([x, u[..., :2]], -1)
    a, b, c = line.unbind(-1)
    return torch.cat([line, torch.stack([1.5 * b * b - 0.5, a * b * c], -1)], -1)


def test_capacities_of_functions_that_are_the_state():
    f = snt.as_dynamics(lambda u, x: known(u[..., :3], x))
    u = torch.zeros(4, 5).double()
    found = information_capacity(f, u, 400, delays=[6, 4, 4], generator=random_generator(0))
    assert found.products == (6, 10, 20)
    assert (found.rank == 5).all()
    expected = torch.tensor([3.0, 1.0, 1.0]).double().expand(4, 3)
    assert ((found.capacity - expected).abs() < 4 * found.stderr + 1e-9).all()
    assert found.scalars()["degree_3"] == pytest.approx(1, abs=0.1)


def test_degree_one_is_the_memory_capacity():
    cell = snt.SNTCell(
        snt.couplings.gaussian(10, generator=random_generator(1), dtype=torch.float64),
        gain=0.9,
        input_size=1,
    )
    u = torch.zeros(3, 10).double()
    one = memory_capacity(cell, u, 300, delays=9, amplitude=0.7, generator=random_generator(2))
    two = information_capacity(
        cell, u, 300, delays=[9], amplitude=0.7, generator=random_generator(2)
    )
    torch.testing.assert_close(two.total, one.total)
    assert (two.total_stderr > one.total_stderr).all()  # an upper bound


def test_a_linear_network_computes_nothing_but_its_past():
    J = snt.couplings.orthogonal(12, std=0.7, generator=random_generator(3), dtype=torch.float64)
    torch.manual_seed(0)
    cell = snt.SNTCell(J, transfer="linear", input_size=1)
    found = information_capacity(
        cell, torch.zeros(5, 12).double(), 1500, delays=[60, 12, 5], generator=random_generator(4)
    )
    linear, *others = found.capacity.unbind(-1)
    assert linear.mean().item() == pytest.approx(12, rel=0.02)
    for value, error in zip(others, found.stderr.unbind(-1)[1:], strict=True):
        assert abs(value.mean()) < 4 * error.mean() / math.sqrt(5)
        assert value.std() < 2 * error.mean()


def test_the_sum_over_degrees_fills_the_directions_of_a_nonlinear_network():
    # Dambre et al. 2012: fading memory without noise; a fast one, so that few delays matter
    draw = random_generator(5)
    J = snt.couplings.gaussian(8, std=0.4, generator=draw, dtype=torch.float64)
    threshold = torch.randn(8, generator=draw, dtype=torch.float64)
    torch.manual_seed(0)
    cell = snt.SNTCell(J, threshold=threshold, input_size=1, input_std=0.7)
    found = information_capacity(
        cell, torch.zeros(8).double(), 6000, delays=[12, 7, 6, 4, 4], generator=random_generator(6)
    )
    assert found.capacity[1] > 0.5  # thresholds break the symmetry of tanh
    assert found.total.item() == pytest.approx(8, rel=0.05)
    assert found.total < 8 + 4 * found.total_stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delays": []}, "delays: expected one number or more"),
        ({"delays": [0, 0]}, "delays: expected one number or more"),
        ({"delays": [-1]}, "delays: expected"),
        ({"delays": 5}, "delays: expected one number for each degree, got 5"),
        ({"delays": [1, 300]}, "delays: expected at most 20000 products, got 45151"),
        ({"delays": [90]}, "steps: expected a whole number with steps >= 91"),
        ({"direction": torch.ones(2, 1)}, r"direction: expected \(I,\)"),
        ({"direction": torch.ones(2)}, "x: expected 1"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    given: dict[str, Any] = {"delays": [3]} | settings
    with pytest.raises(ValueError, match=message):
        information_capacity(nn.GRUCell(1, 4), torch.zeros(4), 60, **given)


def test_a_number_may_enter_several_inputs():
    cell = nn.GRUCell(2, 4).double()
    one = nn.GRUCell(1, 4).double()
    way = torch.tensor([0.6, -0.8]).double()
    with torch.no_grad():
        one.weight_ih.copy_(cell.weight_ih @ way.unsqueeze(1))
        for name in ("weight_hh", "bias_ih", "bias_hh"):
            getattr(one, name).copy_(getattr(cell, name))
    u = torch.zeros(4).double()
    options: dict[str, Any] = {"delays": 4, "generator": random_generator(7)}
    found = memory_capacity(cell, u, 60, direction=way, **options)
    options["generator"] = random_generator(7)
    torch.testing.assert_close(found.capacity, memory_capacity(one, u, 60, **options).capacity)
