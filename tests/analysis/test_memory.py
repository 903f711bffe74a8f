"""Memory capacity: theory of linear networks, a textbook regression, and its errors."""

import math

import numpy as np
import pytest
import torch
from references import random_generator
from sklearn.linear_model import LinearRegression
from torch import nn

import sntorch as snt
from sntorch.analysis import memory_capacity


def linear(J, noise=0.0):
    torch.manual_seed(0)
    return snt.SNTCell(J, transfer="linear", input_size=1, noise=noise)


def orthogonal(n, std, seed=0):
    return snt.couplings.orthogonal(
        n, std=std, generator=random_generator(seed), dtype=torch.float64
    )


@pytest.mark.parametrize(("n", "std"), [(10, 0.8), (50, 0.95)])
def test_a_linear_orthogonal_network_remembers_as_many_steps_as_it_has_neurons(n, std):
    cell = linear(orthogonal(n, std))
    found = memory_capacity(
        cell, torch.zeros(n).double(), 2000, delays=4 * n, generator=random_generator(1)
    )
    assert found.total.item() == pytest.approx(n, rel=0.02)  # Jaeger 2001
    assert found.rank.item() == n


def test_a_delay_line_remembers_exactly_its_length():
    J = torch.diag(torch.ones(7), -1).double()  # neuron i + 1 repeats neuron i
    cell = linear(J)
    cell.input_weight = nn.Parameter(torch.eye(8, 1).double())
    found = memory_capacity(cell, torch.zeros(3, 8).double(), 400, delays=12)
    torch.testing.assert_close(found.capacity[:, :8], torch.ones(3, 8).double())
    beyond = found.capacity[:, 8:]
    assert (beyond.abs() < 5 * found.stderr[:, 8:]).all()
    assert found.capacity.shape == found.stderr.shape == (3, 12)


def test_a_leaky_neuron_has_a_geometric_memory():
    # r(t) = sum a^k x(t - k): M_k = (1 - a^2) a^(2 k), of total 1.
    a = 0.7
    f = snt.as_dynamics(lambda u, x: a * u + x)
    u = torch.zeros(20, 1).double()
    found = memory_capacity(f, u, 1500, delays=6, generator=random_generator(2))
    theory = (1 - a**2) * a ** (2 * torch.arange(6).double())
    mean, spread = found.capacity.mean(0), found.capacity.std(0)
    assert ((mean - theory).abs() < 4 * spread / math.sqrt(20)).all()
    ratio = spread / found.stderr.mean(0)
    assert (ratio < 2).all()  # the stated error is that of the rows, delay 0 is known better
    assert (ratio[1:] > 0.5).all()


def test_noise_takes_memory_away():
    J, u = orthogonal(10, 0.8), torch.zeros(10).double()
    clean, noisy = (
        memory_capacity(linear(J, s), u, 1000, delays=40, generator=random_generator(1)).total
        for s in (0.0, 0.3)
    )
    assert noisy < 0.8 * clean


def test_it_is_the_regression_of_a_textbook():
    J = snt.couplings.gaussian(8, generator=random_generator(3), dtype=torch.float64)
    torch.manual_seed(0)
    cell, u = snt.SNTCell(J, gain=0.9, input_size=1), torch.zeros(8).double()
    found = memory_capacity(
        cell, u, 200, delays=5, transient=10, amplitude=0.5, generator=random_generator(4)
    )
    draw = torch.rand(214, 1, generator=random_generator(4), dtype=torch.float64)
    x = draw - 0.5
    r = cell.rate(snt.rollout(cell, u, 214, x=x))[-200:].detach().numpy()
    for k in range(5):
        y = x[14 - k : 214 - k, 0].numpy()
        share = LinearRegression().fit(r, y).score(r, y)
        adjusted = 1 - (1 - share) * 199 / (199 - 8)
        assert found.capacity[k].item() == pytest.approx(adjusted, abs=1e-10)


def test_random_streams_stay_and_a_torch_layer_is_a_network_too():
    before = torch.get_rng_state()
    gru = nn.GRU(1, 4).double()
    after = torch.get_rng_state()
    found = memory_capacity(gru, torch.zeros(4).double(), 100, delays=5)
    assert torch.equal(torch.get_rng_state(), after)
    assert not torch.equal(before, after)
    assert found.scalars()["memory_share"] == pytest.approx(found.total.item() / 4)
    assert np.isfinite(found.scalars()["memory_stderr"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delays": 0}, "delays: expected"),
        ({"steps": 6}, "steps: expected a whole number with steps >= 7, got 6"),
        ({"delays": 50, "steps": 50}, "steps: expected a whole number with steps >= 51"),
        ({"transient": -1}, "transient: expected"),
        ({"amplitude": 0.0}, "amplitude: expected"),
        ({"tolerance": 2.0}, "tolerance: expected"),
        ({"generator": 3}, "generator: expected"),
        ({"u": torch.zeros(5)}, "u: expected 4"),
        ({"f": nn.GRUCell(2, 4)}, "x: expected 2 on the last axis"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    given = {"f": nn.GRUCell(1, 4), "u": torch.zeros(4), "steps": 60, "delays": 5} | settings
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        memory_capacity(f, u, steps, **given)
