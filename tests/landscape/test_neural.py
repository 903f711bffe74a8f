"""Potentials that learn: derivatives against autograd, growth, starts in closed form."""

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import HopfieldEnergy, NetworkPotential, NeuralPotential, as_potential
from sntorch.landscape.starts import gaussian_start

N = 3


def shaken(potential):
    with torch.no_grad():
        for p in potential.parameters():
            p += 0.5 * torch.randn_like(p)
    return potential


POTENTIALS = {
    "neural": lambda: shaken(NeuralPotential(N, (7, 5), dtype=torch.float64)),
    "network": lambda: shaken(NetworkPotential(N, transfer="erf", dtype=torch.float64)),
}
every_potential = pytest.mark.parametrize("name", POTENTIALS)


def states(*shape):
    return torch.randn(*shape, N, dtype=torch.float64)


def hessian(potential, u):
    """Return the Hessians (R, N, N), one backward pass per row of them."""
    u = u.clone().requires_grad_()
    (slope,) = torch.autograd.grad(potential.energy(u).sum(), u, create_graph=True)
    rows = [torch.autograd.grad(part.sum(), u, retain_graph=True)[0] for part in slope.unbind(-1)]
    return torch.stack(rows, -2)


@every_potential
def test_gradient_and_curvature_equal_autograd(name):
    potential, u = POTENTIALS[name](), states(4)
    value, gradient = potential.value_and_gradient(u)
    by_autograd = as_potential(potential.energy).value_and_gradient(u)
    assert_close(value.detach(), by_autograd[0].detach())
    assert_close(gradient.detach(), by_autograd[1].detach(), rtol=1e-11, atol=1e-12)
    H, eye = hessian(potential, u), torch.eye(N, dtype=torch.float64)
    laplacian = potential.curvature(u, eye).detach()
    assert_close(laplacian, H.diagonal(dim1=-2, dim2=-1).sum(-1), rtol=1e-10, atol=1e-11)
    d = states(2, 4)
    expected = torch.einsum("kri,rij,krj->r", d, H, d)
    assert_close(potential.curvature(u, d).detach(), expected, rtol=1e-10, atol=1e-11)


@every_potential
def test_a_loss_of_the_gradient_is_differentiated_like_any_other(name):
    potential, u = POTENTIALS[name](), states(6)
    parameters = list(potential.parameters())

    def slopes(V):
        loss = V.value_and_gradient(u)[1].square().sum()
        loss = loss + V.curvature(u, torch.eye(N, dtype=torch.float64)).sum()
        return torch.autograd.grad(loss, parameters, allow_unused=True)

    class Plain(snt.landscape.Potential):
        size = N

        def energy(self, u):
            return potential.energy(u)

    u.requires_grad_()
    for ours, plain in zip(slopes(potential), slopes(Plain()), strict=True):
        assert (ours is None) == (plain is None)
        if ours is not None:
            assert_close(ours, plain, rtol=1e-9, atol=1e-10)


def test_a_neural_potential_grows_whatever_its_parameters():
    potential = NeuralPotential(N, (16,), dtype=torch.float64)
    with torch.no_grad():
        for p in potential.parameters():
            p.copy_(3 * torch.randn_like(p))
    far = 1e4 * torch.nn.functional.normalize(states(500), dim=-1)
    assert bool((potential(far) > potential(states(500)).max()).all())


def test_the_start_is_exact_for_a_linear_flow_and_correlated_noise():
    A = torch.tensor([[-1.0, 2.0, 0.0], [-0.5, -1.0, 0.3], [0.0, 0.4, -2.0]]).double()
    D = torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.6, 0.1], [0.0, 0.1, 0.8]]).double()
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=D)
    C = flow.covariance
    root = torch.linalg.cholesky(C)
    u = torch.cat([root.T, -root.T]) * N**0.5  # six states whose covariance is C exactly
    mean, covariance, K, _ = gaussian_start(flow, u + 1.5)
    assert_close(covariance, C)
    scale = D.diagonal().mean()
    assert_close(K, scale * torch.linalg.inv(C), rtol=1e-9, atol=1e-9)
    assert_close(mean, torch.full((N,), 1.5).double())
    potential = NeuralPotential(N, (8,), dtype=torch.float64).start(flow, u)
    assert_close(potential.gradient(u).detach(), u @ K, rtol=1e-8, atol=1e-9)
    assert_close(torch.cov((u @ potential.frame.T).T, correction=0), torch.eye(N).double())


def test_the_start_of_a_map_is_the_gaussian_of_its_states():
    f = snt.as_dynamics(lambda u: 0.5 * u, size=2, noise=0.4)
    u = torch.randn(50, 2, dtype=torch.float64) @ torch.tensor([[2.0, 0.3], [0.0, 1.0]]).double()
    K = gaussian_start(f, u)[2]
    expected = 0.08 * torch.linalg.inv(torch.cov(u.T, correction=0))
    assert_close(K, expected)
    assert_close(gaussian_start(lambda u: -u, u)[2], expected / 0.08)


def test_an_indefinite_quadratic_is_raised():
    flow = snt.flows.as_flow(lambda u: u, diffusion=0.1)  # pushes away: no Gaussian
    potential = NeuralPotential(2, (4,), dtype=torch.float64)
    potential.start(flow, torch.randn(30, 2, dtype=torch.float64))
    assert bool((torch.linalg.eigvalsh(potential.factor @ potential.factor.T) > 0).all())


@pytest.mark.parametrize("transfer", ["tanh", "erf"])
def test_the_hopfield_energy_is_a_network_potential(transfer):
    J = snt.couplings.gaussian(N, std=1.5, symmetry=1.0, dtype=torch.float64)
    flow = snt.systems.AmariWilsonCowan(J, tau=2.0, threshold=0.3, gain=1.4, transfer=transfer)
    energy = HopfieldEnergy(flow)
    potential = NetworkPotential(N, gain=1.4, transfer=transfer, dtype=torch.float64)
    with torch.no_grad():
        potential.coupling.copy_(J)
        potential.bias.fill_(0.3)
        potential.log_decay.fill_(-torch.tensor(2.0).log())
    u = states(20)
    assert_close(potential(u), energy(u))
    assert_close(potential.gradient(u), energy.gradient(u))
    assert_close(potential.rate(u), energy.rate(u))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NeuralPotential(0), "size: expected"),
        (lambda: NeuralPotential(2, ()), "hidden: expected at least one"),
        (lambda: NeuralPotential(2, (0,)), "hidden: expected"),
        (lambda: NetworkPotential(2, gain=-1.0), "gain: expected"),
        (lambda: NetworkPotential(2, transfer="step"), "transfer: expected"),
        (lambda: NeuralPotential(2).start(lambda u: -u, torch.randn(3, 2)), "at least N"),
        (lambda: NeuralPotential(2).start(lambda u: -u, torch.randn(9, 3)), "u: expected 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_potential_is_carried_along_with_its_states():
    u = torch.randn(500, 2, dtype=torch.float64)
    V = NeuralPotential(2, (8,), dtype=torch.float64).start_gaussian(u, 0.3)
    d = u - u.mean(0)
    C = d.T @ d / len(u)
    assert_close(V.energy(u), 0.15 * (d @ torch.linalg.inv(C) * d).sum(-1))
    with torch.no_grad():
        V.readout.normal_()
        V.log_diagonal.add_(0.1)  # no longer that of the states
    before = V.energy(u).detach()
    V.carry(2 * u + 3, factor=0.5)
    assert_close(V.energy(2 * u + 3).detach(), before / 2)
    assert float((V.readout != 0).sum()) == 8
    with pytest.raises(ValueError, match="at least N"):
        V.carry(u[:3])
