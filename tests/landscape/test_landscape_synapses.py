"""Entropy production per synapse: exact sums, closed forms of linear networks, refusals."""

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import entropy_production, linear_map, synaptic_entropy


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def steady(f, n, *, rows=100, steps=600, transient=60, x=None):
    u = torch.zeros(rows, n, dtype=torch.float64)
    orbit = snt.rollout(f, u, transient + steps, x=x, generator=random_generator())
    return orbit[transient:].detach()


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_linear_network(leak):
    J, sigma = 0.3 * states(4, 4), torch.tensor([0.3, 0.5, 1.0, 2.0]).double()
    f = snt.SNTCell(J, leak=leak, noise=sigma, transfer="linear", threshold=0.2, trainable=())
    exact = linear_map(J + leak * torch.eye(4), sigma)
    found = synaptic_entropy(f, steady(f, 4))
    off = ~torch.eye(4, dtype=torch.bool)
    z = ((found.value - exact.synapses) / found.stderr)[off]
    assert z.abs().max() < 4
    assert float((exact.synapses / found.stderr)[off].abs().max()) > 20
    assert ((found.neurons - exact.neurons).abs() < 4 * found.stderr.norm(dim=-1) + 0.01).all()


@pytest.mark.parametrize("settings", [{}, {"leak": 0.5, "gain": 1.4, "transfer": "erf"}])
def test_synapses_add_up_to_the_entropy_production(settings):
    J = snt.couplings.gaussian(12, std=1.5, generator=random_generator(3), dtype=torch.float64)
    J[:, 3] = 0
    f = snt.SNTCell(J, noise=0.4, **settings)
    orbit = steady(f, 12)
    found, whole = synaptic_entropy(f, orbit), entropy_production(f, orbit)
    # Both are means over the same steps; they differ by what one step at each end is worth.
    assert float(found.total) == pytest.approx(float(whole.value.mean()), rel=5e-3)
    assert (found.value[:, 3] == 0).all()
    assert (found.rest.abs() < 5 * found.rest_stderr).all()
    assert not found.value.requires_grad
    assert found.scalars()["entropy_production"] == pytest.approx(float(found.total))
    assert 0.1 < found.scalars()["largest_tenth"] < 1


def test_flow_and_sparse_couplings():
    J = 0.3 * states(4, 4)
    flow = snt.systems.AmariWilsonCowan(
        snt.couplings.Sparse(J.to_sparse_csr()), transfer="linear", diffusion=0.5, trainable=()
    )
    f = snt.EulerMaruyama(flow, 0.02)
    found = synaptic_entropy(f, steady(f, 4, rows=400, steps=800, transient=400))
    step = (1 - 0.02) * torch.eye(4).double() + 0.02 * J
    exact = linear_map(step, 0.02**0.5, dt=0.02)
    off = ~torch.eye(4, dtype=torch.bool)
    assert ((found.value - exact.synapses).abs() < 4 * found.stderr)[off].all()
    assert float((exact.synapses / found.stderr)[off].abs().max()) > 8
    assert found.unit == "nats per unit of time"


def test_correlated_noise_with_equal_leaks():
    L = torch.tensor([[0.6, 0.0, 0.0], [-0.5, 0.3, 0.0], [0.2, 0.4, 0.5]]).double()
    flow = snt.systems.AmariWilsonCowan(0.5 * states(3, 3), diffusion=L @ L.T, trainable=())
    f = snt.EulerMaruyama(flow, 0.05)
    orbit = steady(f, 3, rows=200)
    found, whole = synaptic_entropy(f, orbit), entropy_production(f, orbit)
    error = float(whole.value.std()) / 200**0.5
    assert float(found.total) == pytest.approx(float(whole.value.mean()), abs=error)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda: snt.SNTCell(states(3, 3)), r"noise: expected > 0 on every neuron"),
        (lambda: snt.as_dynamics(torch.tanh, noise=0.1), r"f: expected an SNT network"),
        (
            lambda: snt.RungeKutta4(snt.systems.AmariWilsonCowan(states(3, 3)), 0.1),
            r"f: expected an SNT network or EulerMaruyama of AmariWilsonCowan, got RungeKutta4",
        ),
    ],
)
def test_refusals(f, message):
    with pytest.raises(ValueError, match=message):
        synaptic_entropy(f(), states(20, 3))


def test_wrong_orbits():
    f = snt.SNTCell(states(3, 3), noise=0.1)
    with pytest.raises(ValueError, match=r"len\(trajectory\): expected"):
        synaptic_entropy(f, states(3, 3))
    with pytest.raises(ValueError, match=r"x: expected a constant drive"):
        synaptic_entropy(f, states(5, 3), x=states(5, 1))
    assert_close(synaptic_entropy(f, states(5, 2, 3)).value.isfinite().all(), torch.tensor(True))
