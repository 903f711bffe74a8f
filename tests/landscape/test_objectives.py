"""Losses of potentials: values in closed form, minima where they belong, bad input."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    HopfieldEnergy,
    MatchedNetwork,
    NetworkPotential,
    denoising_loss,
    epr_loss,
    flux_velocity,
    hjb_loss,
    map_loss,
    quasipotential_loss,
    score_matching_loss,
    teacher_loss,
)
from sntorch.landscape.objectives import divergence, hjb_residual

A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]], dtype=torch.float64)
FULL = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
NOISES = {"isotropic": 0.4, "diagonal": torch.tensor([0.3, 0.7]).double(), "general": FULL}
every_noise = pytest.mark.parametrize("noise", NOISES)


def linear(noise):
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=NOISES[noise])
    D = torch.as_tensor(flow.diffusion, dtype=torch.float64)
    scale = float(D.diagonal().mean() if D.ndim == 2 else D.mean())
    return flow, exact_states(flow.covariance), scale * torch.linalg.inv(flow.covariance)


def exact_states(C):
    """Return four states whose mean is 0 and whose covariance is C, to rounding."""
    root = torch.linalg.cholesky(C).T * len(C) ** 0.5
    return torch.cat([root, -root])


def quadratic(K):
    return lambda u: (u @ K * u).sum(-1) / 2


def symmetric(seed):
    S = torch.randn(2, 2, dtype=torch.float64)
    return (S + S.T) / 2


def slope_at(loss, K):
    """Return the derivative of a loss of quadratics in K, by symmetric directions (3,)."""
    directions = [torch.tensor(d).double() for d in ([[1, 0], [0, 0]], [[0, 1], [1, 0]],
                                                     [[0, 0], [0, 1]])]  # fmt: skip
    step = 1e-4
    pairs = [(loss(K + step * d), loss(K - step * d)) for d in directions]
    return torch.stack([(a - b) / (2 * step) for a, b in pairs]).detach()


@every_noise
def test_epr_loss_is_least_at_the_truth_and_is_the_entropy_production_there(noise):
    flow, u, K = linear(noise)
    exact = snt.landscape.linear_flow(A, NOISES[noise]).entropy_production
    assert_close(epr_loss(flow, quadratic(K), u).detach(), exact)
    assert_close(slope_at(lambda k: epr_loss(flow, quadratic(k), u), K), torch.zeros(3).double(),
                 atol=1e-9, rtol=0)  # fmt: skip
    # Pythagoras: the excess is |G (W - K) u|^2 in D^-1
    W = K + 0.1 * symmetric(0)
    D = torch.as_tensor(NOISES[noise]).double()
    D = D if D.ndim == 2 else torch.diag(D.expand(2))
    push = D / D.diagonal().mean() @ (W - K)
    excess = torch.trace(push.T @ torch.linalg.inv(D) @ push @ flow.covariance)
    assert_close(epr_loss(flow, quadratic(W), u).detach(), exact + excess)


def test_epr_loss_takes_noise_that_depends_on_the_state():
    """A symmetric network with matching noise is in equilibrium, and its energy says so."""
    J = snt.couplings.gaussian(4, std=1.5, symmetry=1.0, dtype=torch.float64)
    noisy = MatchedNetwork(snt.systems.AmariWilsonCowan(J, threshold=0.2), temperature=0.3)
    energy = HopfieldEnergy(noisy.network)
    u = torch.randn(200, 4, dtype=torch.float64)
    loss = epr_loss(noisy, lambda v: energy(v) / 0.3, u, diffusion=noisy.diffusion_at)
    assert float(loss.detach()) < 1e-24
    additive = snt.systems.AmariWilsonCowan(J, threshold=0.2, diffusion=0.3)
    assert float(epr_loss(additive, energy, u).detach()) > 0.1  # additive noise has a flux


@every_noise
def test_stationary_equation_holds_for_the_truth_alone(noise):
    flow, _, K = linear(noise)
    u = torch.randn(30, 2, dtype=torch.float64)
    assert float(hjb_residual(flow, quadratic(K), u).detach().abs().max()) < 1e-12
    wrong = hjb_residual(flow, quadratic(1.2 * K), u).detach()
    assert float(wrong.abs().mean()) > 0.05
    many = u.repeat(900, 1, 1)
    probed = hjb_residual(flow, quadratic(1.2 * K), many, probes=1).detach()
    error = probed.std(0) / 30
    assert bool(((probed.mean(0) - wrong).abs() <= 5 * error + 1e-9).all())


def test_hjb_loss_adds_the_squared_residual_of_broader_states():
    well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    u = torch.randn(400, 2, dtype=torch.float64)
    plain = epr_loss(well, well.potential, u)
    assert_close(hjb_loss(well, well.potential, u, weight=5.0), plain)
    V = lambda v: 1.1 * well.potential(v)  # noqa: E731
    at = hjb_residual(well, V, u).square().mean() / 0.01
    assert_close(hjb_loss(well, V, u, weight=2.0, spread=0.0), epr_loss(well, V, u) + 2 * at)
    # at states of the well the scatter of random directions would show in a squared residual
    u = 0.3 * u + torch.tensor([1.0, 0.0])
    at = hjb_residual(well, V, u).square().mean() / 0.01
    many = u.repeat(100, 1)
    found = hjb_loss(well, V, many, weight=2.0, spread=0.0, probes=1).detach()
    expected = (epr_loss(well, V, u) + 2 * at).detach()
    single = hjb_residual(well, V, many, probes=1).square().mean().detach() / 0.01
    assert abs(float(found - expected)) < 0.2 * float(2 * (single - at.detach()))


@pytest.mark.parametrize("probes", [None, 4])
def test_score_matching_is_least_at_the_score_of_the_states(probes):
    flow, u, K = linear("general")
    K = FULL.diagonal().mean() * torch.linalg.inv(flow.covariance)
    fisher = torch.trace(FULL @ torch.linalg.inv(flow.covariance))
    loss = lambda k: score_matching_loss(  # noqa: E731
        flow, quadratic(k), u, probes=probes, generator=torch.Generator())  # fmt: skip
    if probes is None:
        assert_close(loss(K).detach(), -fisher)
        assert_close(slope_at(loss, K), torch.zeros(3).double(), atol=1e-8, rtol=0)
    else:
        many = score_matching_loss(flow, quadratic(K), u.repeat(20000, 1), probes=4).detach()
        assert_close(many, -fisher, rtol=0.01, atol=0)


def trap(k=1.0, w=2.0, D=0.3):
    drift = torch.tensor([[-k, -w], [w, -k]], dtype=torch.float64)
    return snt.systems.OrnsteinUhlenbeck(drift, diffusion=D)


def test_denoising_is_least_at_the_smoothed_density_and_its_bias_is_of_fourth_order():
    flow, C, D = trap(), 0.3, 0.3
    u = torch.randn(40000, 2, dtype=torch.float64) * C**0.5
    width = 0.4

    def loss(k):
        return denoising_loss(
            flow, lambda v: k * v.square().sum(-1) / 2, u, width=width, generator=torch.Generator()
        ).detach()

    ks = [D / (C + width**2) * factor for factor in (0.9, 1.0, 1.1)]
    values = torch.stack([loss(k) for k in ks])
    best = 1 + 0.1 * (values[0] - values[2]) / (2 * (values[0] - 2 * values[1] + values[2]))
    assert abs(float(best) - 1) < 0.02
    assert_close(values[1], torch.tensor(-2 * D / (C + width**2)).double(), rtol=0.03, atol=0)
    # the velocity with that potential, in closed form: EPR + 2 (k - K)^2 C / D, K - k = O(width^2)
    exact_u = exact_states(flow.covariance)
    exact = 2 * 2.0**2 / 1.0
    errors, forces = [], []
    for w in (0.05, 0.1):
        k = D / (C + w**2)
        v = flux_velocity(flow, lambda s, k=k: k * s.square().sum(-1) / 2, exact_u).detach()
        errors.append(float(v.square().sum(-1).mean() / D) - exact)
        F = flow.drift(exact_u)
        forces.append(abs(float((F * v).sum(-1).mean() / D) - exact))
    assert math.log2(errors[1] / errors[0]) == pytest.approx(4, abs=0.1)
    assert math.log2(forces[1] / forces[0]) == pytest.approx(2, abs=0.1)


def test_quasipotential_vanishes_for_the_intrinsic_potential_alone():
    well = snt.systems.DoubleWell(2, circulation=0.5)  # without noise
    u = 2 * torch.rand(500, 2, dtype=torch.float64) - 1

    def rotation(v):
        return well.drift(v) + snt.landscape.as_potential(well.potential).gradient(v)

    for l in (None, rotation):
        assert float(quasipotential_loss(well, well.potential, u, rotation=l).detach()) < 1e-24
    for factor in (0.8, 1.25):
        V = lambda v, f=factor: f * well.potential(v)  # noqa: E731
        assert float(quasipotential_loss(well, V, u).detach()) > 1e-3
    flow, states, K = linear("general")
    assert float(quasipotential_loss(flow, quadratic(K), states).detach()) < 1e-20


def test_map_loss_is_least_at_the_score_of_the_map_itself():
    """Far from any flow: half of the state is lost in one step, and the noise is correlated."""
    M = torch.tensor([[0.3, 0.6], [-0.5, 0.2]], dtype=torch.float64)
    sigma = torch.linalg.cholesky(FULL)
    f = snt.as_dynamics(lambda u: u @ M.T, size=2, noise=sigma)
    C = snt.landscape.linear_map(M, sigma).covariance
    u = torch.randn(100000, 2, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    scale = float(FULL.diagonal().mean()) / 2
    K = scale * torch.linalg.inv(C)

    def loss(k):
        return map_loss(f, quadratic(k), u, generator=torch.Generator()).detach()

    assert_close(loss(K), -torch.trace(FULL @ torch.linalg.inv(C)), rtol=0.02, atol=0)
    slopes, scales = slope_at(loss, K), slope_at(loss, 1.1 * K).abs()
    assert bool((slopes.abs() < 0.1 * scales.max()).all())


def test_teacher_is_copied_up_to_a_constant():
    cell = snt.SNTCell(snt.couplings.gaussian(3, dtype=torch.float64), leak=0.3)
    speed = snt.landscape.SpeedPotential(cell)
    u = torch.randn(20, 3, dtype=torch.float64)
    assert float(teacher_loss(cell, lambda v: speed(v) + 7, u).detach()) < 1e-28
    assert_close(teacher_loss(cell, lambda v: 2 * speed(v), u).detach(),
                 speed.gradient(u).square().mean().detach())  # fmt: skip
    assert_close(teacher_loss(cell, lambda v: v.square().sum(-1), u, teacher=speed).detach(),
                 (2 * u - speed.gradient(u)).square().mean().detach())  # fmt: skip


def test_divergence_is_the_trace_of_the_jacobian():
    flow = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(12, std=2.0, dtype=torch.float64))
    u = torch.randn(5, 12, dtype=torch.float64)
    trace = flow.jacobian(u).diagonal(dim1=-2, dim2=-1).sum(-1)
    every = divergence(flow, u.repeat(3000, 1, 1))
    assert bool(((every.mean(0) - trace).abs() < 5 * every.std(0) / 3000**0.5).all())
    assert_close(divergence(flow, u[:, :]).shape, trace.shape)


def test_gradients_reach_the_parameters_of_every_loss():
    flow = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    f = snt.EulerMaruyama(flow, dt=0.1)
    u = torch.randn(16, 2)
    V = snt.landscape.NeuralPotential(2, (6,))
    torch.nn.init.normal_(V.readout)
    losses = [
        epr_loss(flow, V, u), hjb_loss(flow, V, u), score_matching_loss(flow, V, u),
        denoising_loss(flow, V, u, width=0.2), quasipotential_loss(flow, V, u),
        map_loss(f, V, u), teacher_loss(f, V, u),
    ]  # fmt: skip
    for loss in losses:
        assert loss.shape == ()
        grads = torch.autograd.grad(loss, list(V.parameters()), allow_unused=True)
        assert sum(g is not None and bool((g != 0).any()) for g in grads) >= 5


WELL = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
U = torch.randn(8, 2)
BOWL = lambda u: u.square().sum(-1)  # noqa: E731


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epr_loss(snt.systems.DoubleWell(2), BOWL, U), "expected noise, without which"),
        (lambda: epr_loss(lambda u: -u, BOWL, U), "expected noise, without which"),
        (lambda: score_matching_loss(lambda u: -u, BOWL, U), "expected noise, without which"),
        (lambda: map_loss(lambda u: u / 2, BOWL, U), "noise: expected noise"),
        (lambda: map_loss(snt.as_dynamics(lambda u: u / 2, noise=torch.tensor([1.0, 0.0])), BOWL,
                          U), "noise in every direction"),
        (lambda: epr_loss(snt.systems.DoubleWell(2, diffusion=torch.tensor([1.0, 0.0])), BOWL, U),
         "positive definite"),
        (lambda: epr_loss(snt.systems.DoubleWell(2, diffusion=torch.ones(2, 2)), BOWL, U),
         "positive definite"),
        (lambda: epr_loss(WELL, BOWL, U, diffusion=lambda u: -u.square()), "numbers > 0"),
        (lambda: epr_loss(WELL, BOWL, U, diffusion=lambda u: u[:, 0]), "diffusion: expected num"),
        (lambda: epr_loss(WELL, BOWL, U[0]), "states: expected several"),
        (lambda: epr_loss(WELL, BOWL, U / 0), "states: expected finite"),
        (lambda: epr_loss(WELL, lambda u: u, U), "one number per row"),
        (lambda: epr_loss(snt.EulerMaruyama(WELL, 0.1), BOWL, U), "flow: expected"),
        (lambda: quasipotential_loss(WELL, lambda u: -BOWL(u), U), "expected one that grows"),
        (lambda: quasipotential_loss(WELL, NetworkPotential(2), U), "expected one that grows"),
        (lambda: quasipotential_loss(WELL, BOWL, U, rotation=BOWL), "rotation: expected"),
        (lambda: denoising_loss(WELL, BOWL, U, width=0.0), "width: expected"),
        (lambda: hjb_loss(WELL, BOWL, U, probes=0), "probes: expected"),
        (lambda: hjb_loss(WELL, BOWL, U, weight=-1.0), "weight: expected"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_bounded_potential_is_taken_in_a_box():
    assert float(quasipotential_loss(WELL, NetworkPotential(2), U, bounded=True).detach()) > 0
