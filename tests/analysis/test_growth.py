"""Growth rates as a loss: gradients against differences, and against the wrong one."""

import math

import pytest
import torch
from references import Henon, LinearMap, random_generator
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import growth_rates, lyapunov_spectrum

ALL = ("coupling", "input_weight", "gain", "threshold")


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def cell(**settings):
    J = 1.5 * states(6, 6, seed=2) / 6**0.5
    return snt.SNTCell(J, gain=1.3, leak=0.2, threshold=0.1, trainable=ALL, **settings)


def perceptron():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))


CASES = {
    "snt": (lambda: cell(input_size=3), 6, 3),
    "snt-noisy": (lambda: cell(input_size=3, noise=0.3), 6, 3),
    "rnn": (lambda: nn.RNN(3, 5), 5, 3),
    "gru-stack": (lambda: nn.GRU(3, 3, num_layers=2), 6, 3),
    "lstm": (lambda: nn.LSTM(3, 3), 6, 3),
    "function": (perceptron, 4, 0),
}


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_finite_differences(name, interval):
    factory, size, inputs = CASES[name]
    f = factory().double()
    u, x = states(2, size, seed=3), states(9, 2, inputs, seed=4) if inputs else None
    leaves = [leaf for leaf in (u, x, *f.parameters()) if leaf is not None]
    directions = [torch.randn_like(leaf) for leaf in leaves]

    def loss(step):
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf += step * direction
        g = random_generator(5)
        rates = growth_rates(f, u, 6, k=3, transient=3, x=x, interval=interval, generator=g)
        return (rates * torch.tensor([1.0, -0.5, 0.3])).sum()

    h = 1e-4  # five points, error of order h^4
    with torch.no_grad():
        near, far = [loss(h), loss(-2 * h)], [loss(3 * h), loss(-4 * h)]
        slope = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * h)
    for leaf in leaves:
        leaf.requires_grad_()
    gradients = torch.autograd.grad(loss(2 * h), leaves)
    found = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    assert abs(slope) > 1e-3
    assert found == pytest.approx(float(slope), rel=1e-6, abs=1e-8)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def detached_rates(f, u, steps, k):
    """Return the rates with every Q cut out of the graph, which is the tempting mistake."""
    stream = torch.Generator()
    V = torch.linalg.qr(torch.randn(*u.shape, k, dtype=u.dtype, generator=stream)).Q
    total = torch.zeros(k, dtype=u.dtype)
    for _ in range(steps):
        u, V = f.jvp(u, V)
        V, R = torch.linalg.qr(V)
        total, V = total + R.diagonal(dim1=-2, dim2=-1).abs().log(), V.detach()
    return total / steps


def test_the_frame_belongs_to_the_graph():
    f, u = cell(), states(6)
    right, wrong = growth_rates(f, u, 12, k=2), detached_rates(f, u, 12, 2)
    assert_close(right, wrong)  # the same numbers
    good, bad = (torch.autograd.grad(r.sum(), f.coupling)[0] for r in (right, wrong))
    assert (good - bad).norm() > 0.2 * good.norm()


def test_rates_are_the_exponents_of_the_window():
    f, u = cell(noise=0.2), states(3, 6)
    rates = growth_rates(f, u, 40, k=6, transient=60, generator=random_generator(7))
    spectrum = lyapunov_spectrum(f, u, 40, transient=60, generator=random_generator(7))
    assert_close(rates.sort(descending=True).values, spectrum.exponents, rtol=0, atol=1e-8)


def test_gradient_of_a_linear_map():
    # d/da of ln a is 1/a: the closed form, per unit of time.
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    f = snt.as_dynamics(lambda u: a * u, dt=0.5)
    rates = growth_rates(f, torch.ones(3).double(), 10, k=3)
    assert_close(rates, torch.full((3,), 2 * math.log(0.7)).double())
    assert_close(torch.autograd.grad(rates.sum(), a)[0], torch.tensor(6 / 0.7).double())


def test_a_loss_brings_a_network_to_the_edge_of_chaos():
    f = cell()
    f.coupling.data *= 2
    optimiser = torch.optim.Adam(f.parameters(), lr=0.003)
    losses = []
    for _ in range(45):
        u = snt.rollout(f, states(4, 6), 20)[-1].detach()
        loss = growth_rates(f, u, 15, transient=10, k=1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5]), losses[::5]


def test_modes_and_random_streams_stay():
    f = nn.Sequential(nn.Linear(4, 4), nn.Tanh()).double().train()
    before = torch.get_rng_state()
    noisy = snt.as_dynamics(f, noise=0.3)
    first, second = (growth_rates(noisy, states(4), 5) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(first, second, rtol=0, atol=0)
    assert f.training
    assert all(p.requires_grad and p.grad is None for p in f.parameters())
    g = random_generator(1)
    assert not torch.equal(growth_rates(noisy, states(4), 5, generator=g), first)
    with torch.no_grad():
        assert not growth_rates(noisy, states(4), 5).requires_grad
    with torch.inference_mode():
        assert_close(growth_rates(noisy, states(4), 5), first.detach())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 3}, r"k: expected .* 1 <= k <= 2, got 3"),
        ({"k": 0}, r"k: expected .*, got 0"),
        ({"steps": 0}, r"steps: expected .*, got 0"),
        ({"transient": -1}, r"transient: expected .*, got -1"),
        ({"interval": 0}, r"interval: expected .*, got 0"),
        ({"u": torch.tensor([0.0, math.nan])}, r"u: expected finite numbers, got nan at \(1,\)"),
        ({"x": torch.zeros(10, 2)}, r"x: expected \(I,\) or \(15, \.\.\., I\)"),
        ({"generator": 1}, r"generator: expected a torch.Generator, got int"),
        ({"f": lambda u, x: u * x}, r"x: expected a drive"),
        ({"f": lambda u: 1e30 * u**3, "u": torch.ones(2)}, r"u: .* not finite by step \d"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"f": lambda u, x=None: 0.5 * u, "u": torch.zeros(2), "steps": 10, "transient": 5}
    given |= change
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        growth_rates(f, u, steps, **given)


def test_shapes():
    assert growth_rates(Henon(), 0.1 * states(2, 3, 2), 4).shape == (2, 3, 1)
    assert growth_rates(LinearMap(torch.eye(3)), torch.zeros(3), 4, k=2).shape == (2,)
