"""Potentials: gradients against autograd and differences, Lyapunov functions, bad input."""

import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch import gates
from sntorch.landscape import HopfieldEnergy, SpeedPotential, as_potential

N = 12


def state(rows=5, size=N):
    return torch.randn(rows, size, dtype=torch.float64)


def couplings(symmetry=0.0, std=1.5):
    return snt.couplings.gaussian(N, std=std, symmetry=symmetry, dtype=torch.float64)


NETWORKS = {
    "snt": lambda: snt.SNTCell(
        couplings(), gain=1.3, leak=torch.linspace(0, 0.8, N), threshold=0.2, transfer="erf"
    ),
    "sparse": lambda: snt.SNTCell(couplings().to_sparse_csr(), gain=1.3, leak=0.2),
    "gru": lambda: snt.as_dynamics(nn.GRUCell(3, N).double()),
    "lstm": lambda: snt.as_dynamics(nn.LSTM(3, N // 2).double()),
    "function": lambda: snt.as_dynamics(lambda u: torch.sin(u) + u.roll(1, -1) * u),
    "iterated": lambda: snt.iterate(snt.SNTCell(couplings()), 3),
    "flow": lambda: snt.systems.AmariWilsonCowan(couplings(), tau=2.0, threshold=-0.1),
    "euler": lambda: snt.EulerMaruyama(snt.systems.AmariWilsonCowan(couplings()), dt=0.1),
    "runge-kutta": lambda: snt.RungeKutta4(snt.systems.AmariWilsonCowan(couplings()), dt=0.1),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
@pytest.mark.parametrize("confinement", [0.0, 0.3])
def test_gradient_equals_autograd(name, confinement):
    potential = SpeedPotential(NETWORKS[name](), confinement=confinement)
    u = state().requires_grad_()
    energy = potential(u)
    (expected,) = torch.autograd.grad(energy.sum(), u)
    value, gradient = potential.value_and_gradient(u.detach())
    assert_close(gradient, expected, rtol=0, atol=1e-10)
    assert_close(value, energy.detach(), rtol=1e-13, atol=0)
    with torch.inference_mode():
        assert_close(potential.gradient(u.detach().clone()), expected, rtol=0, atol=1e-10)


def test_gradient_equals_differences():
    cell = snt.SNTCell(couplings(), gain=1.3, leak=0.3, threshold=0.1, input_size=2)
    potential = SpeedPotential(cell, x=torch.randn(2).double(), confinement=0.2)
    u, step = state(2), 1e-5
    found = potential.gradient(u)
    for j in range(N):
        shift = torch.zeros(N).double()
        shift[j] = step
        difference = (potential(u + shift) - potential(u - shift)) / (2 * step)
        assert_close(found[:, j], difference, rtol=1e-8, atol=1e-8)


def test_an_euler_map_has_the_potential_of_its_flow():
    flow = NETWORKS["flow"]()
    u = state()
    of_map, of_flow = SpeedPotential(snt.EulerMaruyama(flow, dt=0.01)), SpeedPotential(flow)
    assert_close(of_map(u), of_flow(u))
    assert_close(of_map.gradient(u), of_flow.gradient(u))
    assert_close(of_map.rate(u), of_flow.rate(u))
    assert_close(of_flow(u), flow.drift(u).square().sum(-1) / 2)


@pytest.mark.parametrize("name", ["snt", "gru", "function"])
def test_the_map_is_evaluated_once_and_no_jacobian_is_formed(name, monkeypatch):
    calls = []
    f = NETWORKS[name]()
    kind = type(f)
    place, watched = {
        "snt": (kind, "proceed"),
        "gru": (gates, "_gru_gates"),
        "function": (kind, "map"),
    }[name]
    original = getattr(place, watched)
    monkeypatch.setattr(place, watched, lambda *a: calls.append(a) or original(*a))
    monkeypatch.setattr(kind, "jvp", lambda *a: pytest.fail("a Jacobian was formed"))
    SpeedPotential(f).gradient(state())
    assert len(calls) == 1


def test_pullback_is_vjp():
    for make in NETWORKS.values():
        f, u, W = make(), state(), torch.randn(5, N, 2).double()
        value, pull = f.pullback(u)
        expected, pulled = f.vjp(u, W)
        assert_close(value, expected)
        assert_close(pull(W), pulled)
        assert_close(pull(W[..., :1]), pulled[..., :1])


def test_fixed_points_are_the_zeros():
    cell = NETWORKS["snt"]()
    points = snt.analysis.find_fixed_points(cell, state())
    assert bool(points.converged.any())
    found = SpeedPotential(cell)(points.states)
    assert_close(found, points.speed, rtol=1e-6, atol=1e-24)


# The Hopfield energy


@pytest.mark.parametrize("transfer", ["tanh", "erf", "sigmoid", "tanh01", "normal_cdf", "softplus"])
def test_hopfield_energy_falls_along_the_flow_as_the_formula_says(transfer):
    J = couplings(symmetry=1.0)
    flow = snt.systems.AmariWilsonCowan(
        J, tau=1.5, gain=torch.linspace(0.5, 2, N), threshold=0.2, transfer=transfer, input_size=2
    )
    x = torch.tensor([0.3, -0.2]).double()
    energy, u = HopfieldEnergy(flow, x=x), state()
    value, gradient = energy.value_and_gradient(u)
    v = u.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy(v).sum(), v)
    assert_close(gradient, expected, rtol=0, atol=1e-10)
    drift = flow.drift(u, x)
    slope = flow.cell.gain * flow.cell.transfer.derivative(flow.cell.gain * u)
    assert_close((gradient * drift).sum(-1), -(slope * drift.square()).sum(-1))
    orbit = snt.rollout(snt.RungeKutta4(flow, dt=0.1), u, 300, x=x)
    assert bool((energy(orbit).diff(dim=0) <= 1e-12).all())
    assert bool((energy(orbit[-1]) < value - 0.01).all())


def test_the_integral_of_the_inverse():
    """For tanh, int_0^V atanh = u V - ln cosh u."""
    cell = snt.SNTCell(torch.zeros(1, 1).double())
    V = torch.linspace(0, 0.9, 90001).double()
    middle = (V[1:] + V[:-1]) / 2
    expected = (torch.atanh(middle) * V.diff()).sum()
    found = HopfieldEnergy(cell)(torch.atanh(V[-1:]))
    assert_close(found, expected, rtol=1e-8, atol=0)


def test_a_cell_has_the_energy_of_its_flow_and_lowers_it_if_the_couplings_allow():
    J = couplings(symmetry=1.0)
    J = J + (0.01 - torch.linalg.eigvalsh(J)[0]) * torch.eye(N)  # positive definite
    cell = snt.SNTCell(J, leak=0.4)
    flow = snt.systems.AmariWilsonCowan(J, tau=1 / 0.6)
    u = state()
    assert_close(HopfieldEnergy(cell)(u), HopfieldEnergy(flow)(u))
    assert bool((HopfieldEnergy(cell)(snt.rollout(cell, u, 50)).diff(dim=0) <= 1e-12).all())


def test_asymmetry_is_warned_of_and_the_energy_rises():
    ring = snt.systems.TanhRing(1.5, 1.0)
    J = torch.tensor([[1.5, -1.0], [1.0, 1.5]]).double()
    flow = snt.systems.AmariWilsonCowan(J)
    with pytest.warns(snt.landscape.AsymmetryWarning, match="no Lyapunov function"):
        energy = HopfieldEnergy(flow)
    assert float(energy.asymmetry) == pytest.approx(2 / 3)
    start = torch.tensor([0.5, 0.1]).double()
    orbit = snt.rollout(snt.RungeKutta4(flow, dt=0.05), start, 800)
    assert float((energy(orbit[400:]).diff() > 0).double().mean()) > 0.4
    assert ring.size == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HopfieldEnergy(snt.SNTCell(couplings(symmetry=1.0)))


# The door


def test_bad_arguments():
    with pytest.raises(ValueError, match="confinement"):
        SpeedPotential(NETWORKS["snt"](), confinement=-1.0)
    with pytest.raises(ValueError, match="x: expected a constant drive"):
        SpeedPotential(NETWORKS["snt"](), x=torch.zeros(3, 2))
    driven = snt.SNTCell(couplings(), input_size=2)
    with pytest.raises(ValueError, match=r"x: expected torch\.float64"):
        SpeedPotential(driven, x=torch.ones(2))
    with pytest.raises(ValueError, match=r"field: expected \(12,\), got \(3,\)"):
        SpeedPotential(driven, field=torch.ones(3).double())
    with pytest.raises(ValueError, match="f: expected"):
        SpeedPotential(3)
    with pytest.raises(ValueError, match="on the last axis"):
        SpeedPotential(NETWORKS["snt"]())(torch.zeros(3).double())
    with pytest.raises(ValueError, match="float64"):
        SpeedPotential(NETWORKS["snt"]()).gradient(torch.zeros(N).float())
    with pytest.raises(ValueError, match="network: expected"):
        HopfieldEnergy(nn.GRUCell(2, 2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="potential: expected a Potential"):
        as_potential(3)
    for network in (NETWORKS["snt"](), NETWORKS["flow"](), nn.GRUCell(2, 2)):
        with pytest.raises(ValueError, match=r"got a dynamics, .*SpeedPotential\(f\)"):
            as_potential(network)
    with pytest.raises(ValueError, match="one number per row"):
        as_potential(lambda u: u)(state())
