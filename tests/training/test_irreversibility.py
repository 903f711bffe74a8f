"""The entropy-production regulariser: closed forms of linear networks, and their derivative."""

from typing import Any

import pytest
import torch
from references import random_generator
from scenes import IN, snt_model
from torch import nn

import sntorch as snt
from sntorch.training import entropy_production_regularizer

SIZE = 3


def turning(turn: Any = 0.5):
    """Return a stable matrix that turns in one plane the more the larger `turn` is."""
    M = torch.tensor([[0.5, -1.0, 0.1], [1.0, 0.3, 0.0], [0.2, 0.0, 0.4]], dtype=torch.float64)
    scale = torch.ones(3, 3, dtype=torch.float64)
    scale[0, 1] = scale[1, 0] = 0.0
    part = torch.zeros(3, 3, dtype=torch.float64)
    part[0, 1], part[1, 0] = -1.0, 1.0
    return M * scale + turn * part


def linear(turn: Any):
    return snt.as_dynamics(lambda u: u @ turning(turn).T, noise=0.4)


def exact(turn):
    return float(snt.landscape.linear_map(turning(turn), 0.4).entropy_production) / SIZE


def estimate(f, rows, seed=0, **settings):
    u = torch.randn(rows, SIZE, generator=random_generator(seed), dtype=torch.float64) * 0.5
    options: dict[str, Any] = {"transient": 15, "generator": random_generator(seed + 1)}
    return entropy_production_regularizer(f, u, 15, **options | settings)


def test_it_is_the_closed_form_of_a_linear_network():
    # sqrt of the loss with target 0 is the estimate; 20 batches give its standard error
    found = torch.stack([estimate(linear(0.5), 300, seed=2 * i).sqrt() for i in range(20)])
    assert (found.mean() - exact(0.5)).abs() < 4 * found.std() / 20**0.5
    assert found.std() / 20**0.5 < 0.01 * exact(0.5)
    off = estimate(linear(0.5), 3000, target=0.3).sqrt()
    assert float(off) == pytest.approx(exact(0.5) - 0.3, abs=0.05 * exact(0.5))


def test_its_gradient_is_that_of_the_closed_form():
    slope = (exact(0.501) - exact(0.499)) / 0.002
    found = []
    for i in range(20):
        turn = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        estimate(linear(turn), 300, seed=2 * i).sqrt().backward()
        found.append(turn.grad)
    values: Any = torch.stack(found)  # pyright: ignore[reportArgumentType]
    assert (values.mean() - slope).abs() < 4 * values.std() / 20**0.5
    assert values.std() / 20**0.5 < 0.03 * abs(slope)


def test_detailed_balance_has_none():
    M = torch.tensor([[0.5, 0.2, 0.0], [0.2, 0.1, 0.1], [0.0, 0.1, -0.3]], dtype=torch.float64)
    reversible = snt.as_dynamics(lambda u: u @ M, noise=0.4)
    assert float(estimate(reversible, 3000)) < (0.02 * exact(0.5)) ** 2


@pytest.mark.parametrize("kind", ["snt", "RNN", "GRU", "LSTM"])
def test_a_network_comes_to_the_target(kind):
    torch.manual_seed(0)
    f = snt_model(noise=0.3).recurrent if kind == "snt" else getattr(nn, kind)(IN, 6)
    size, noise = snt.as_dynamics(f).size, None if kind == "snt" else 0.3
    u = torch.zeros(256, size)

    def loss():
        options: dict[str, Any] = {"noise": noise, "transient": 4, "target": 1.0}
        return entropy_production_regularizer(f, u, 6, **options)

    before = float(loss().detach())
    optimizer = torch.optim.Adam(f.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    assert before > 0.05
    assert float(loss().detach()) < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": -0.1}, "target: expected"),
        ({"steps": 0}, "steps: expected"),
        ({"steps": 150, "transient": 60}, "steps: expected .* 140"),
        ({"noise": None}, "noise: expected noise on every neuron, got none"),
        ({"noise": torch.tensor([0.1, 0, 0, 0])}, "noise: expected noise on every neuron"),
        ({"noise": -1.0}, "noise: expected >= 0"),
        ({"f": snt.SNTCell(torch.eye(4), noise=0.1)}, "noise: expected None for a network with"),
        ({"x": torch.zeros(5, 2)}, r"x: expected"),
        ({"f": snt.as_dynamics(lambda u: 1e30 * u), "noise": 1.0}, "u: expected a bounded orbit"),
    ],
)
def test_wrong_arguments_are_named(settings, message):
    given: dict[str, Any] = {"f": nn.GRU(2, 4), "u": torch.zeros(7, 4), "steps": 5, "noise": 0.1}
    given |= settings
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        entropy_production_regularizer(f, u, steps, **given)
