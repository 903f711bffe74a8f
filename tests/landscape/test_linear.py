"""Linear steady states: closed forms of small systems, random matrices, and refusals."""

import math

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import linear_flow, linear_map


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def rotation(r, angle):
    c, s = r * math.cos(angle), r * math.sin(angle)
    return matrix([[c, -s], [s, c]])


def stable(n, seed=1):
    """Return a drift matrix whose symmetric part is negative."""
    return 0.8 * states(n, n, seed=seed) / n**0.5 - 2 * torch.eye(n).double()


def positive(n, seed=2):
    A = states(n, n, seed=seed)
    return A @ A.T / n + 0.3 * torch.eye(n).double()


@pytest.mark.parametrize(("a", "b", "D"), [(2.0, -0.5, 1.0), (2.0, -0.5, 0.07), (-0.3, 1.1, 2.0)])
def test_two_neurons(a, b, D):
    found = linear_flow(matrix([[-1.0, a], [b, -1.0]]), D)
    corner = D * (a + b) / (2 * (1 - a * b))
    expected = matrix([[D + a * corner, corner], [corner, D + b * corner]])
    assert_close(found.covariance, expected, rtol=1e-10, atol=1e-12)
    assert float(found.entropy_production) == pytest.approx((a - b) ** 2 / 2, rel=1e-10)
    assert float(found.areas[0, 1]) == pytest.approx(-D * (a - b) / 2, rel=1e-10)
    # each synapse: A_ij K_ij with K_12 = (a - b) / 2
    assert_close(found.synapses, matrix([[0, a], [-b, 0]]) * (a - b) / 2, rtol=1e-10, atol=1e-12)
    assert found.unit == "nats per unit of time"


@pytest.mark.parametrize(("k", "w", "D"), [(1.0, 2.0, 0.5), (0.3, -1.0, 0.1)])
def test_rotating_trap(k, w, D):
    found = linear_flow(matrix([[-k, -w], [w, -k]]), D)
    assert float(found.entropy_production) == pytest.approx(2 * w**2 / k, rel=1e-10)
    assert float(found.areas[0, 1]) == pytest.approx(w * D / k, rel=1e-10)
    assert_close(found.velocity, matrix([[0, -w], [w, 0]]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("hot", "cold"), [(3.0, 1.0), (10.0, 0.1), (2.0, 2.0)])
def test_two_beads_at_two_temperatures(hot, cold):
    found = linear_flow(matrix([[-2.0, 1.0], [1.0, -2.0]]), matrix([hot, cold]))
    rate = (hot - cold) ** 2 / (4 * hot * cold)
    corner = (hot + cold) / 6
    S = matrix([[(7 * hot + cold) / 12, corner], [corner, (hot + 7 * cold) / 12]])
    assert_close(found.covariance, S, rtol=1e-10, atol=1e-12)
    assert float(found.entropy_production) == pytest.approx(rate, rel=1e-10, abs=1e-12)
    # the flow of heat (hot - cold) / 4 leaves the one bath and enters the other
    heat = (hot - cold) / 4
    assert_close(found.neurons, matrix([-heat / hot, heat / cold]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("r", "angle", "sigma"), [(0.9, 0.3, 1.0), (0.6, 2.0, 0.2)])
def test_noisy_rotation(r, angle, sigma):
    found = linear_map(rotation(r, angle), sigma)
    expected = 4 * r**2 * math.sin(angle) ** 2 / (1 - r**2)
    assert float(found.entropy_production) == pytest.approx(expected, rel=1e-10)
    area = r * math.sin(angle) * sigma**2 / (1 - r**2)
    assert float(found.areas[0, 1]) == pytest.approx(area, rel=1e-10)
    assert found.unit == "nats per step"
    faster = linear_map(rotation(r, angle), sigma, dt=0.1)
    assert float(faster.entropy_production) == pytest.approx(10 * expected, rel=1e-10)
    assert float(faster.areas[0, 1]) == pytest.approx(10 * area, rel=1e-10)


def test_reference_value_of_the_rotation():
    assert float(linear_map(rotation(0.9, 0.3)).entropy_production) == pytest.approx(
        1.4892437, abs=5e-8
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_flow_with_correlated_noise(seed):
    A, D = stable(5, seed), positive(5)
    found = linear_flow(A, D)
    C = found.covariance
    assert_close(A @ C + C @ A.T, -2 * D, rtol=1e-10, atol=1e-12)
    trace = torch.trace(D.inverse() @ A @ C @ A.T) + torch.trace(A)  # a formula of its own
    assert float(found.entropy_production) == pytest.approx(float(trace), rel=1e-10)
    assert_close(found.synapses.sum(), found.entropy_production, rtol=1e-12, atol=0)
    # no divergence: velocity @ C is antisymmetric
    flux = found.velocity @ C
    assert_close(flux, -flux.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_map_with_correlated_noise(seed):
    M, L = 0.3 * states(5, 5, seed=seed), positive(5)
    S = L @ L.T
    found = linear_map(M, L)
    C = found.covariance
    assert_close(M @ C @ M.T + S, C, rtol=1e-10, atol=1e-12)
    trace = torch.trace(S.inverse() @ (M @ C @ M.T - M @ M @ C))
    assert float(found.entropy_production) == pytest.approx(float(trace), rel=1e-10)
    assert float(found.entropy_production) > 0.1


@pytest.mark.parametrize("n", [64, 65, 129, 150, 200])
def test_covariances_of_many_neurons_are_found_in_blocks(n):
    A, D = stable(n), positive(n)
    C = linear_flow(A, D).covariance
    assert_close(A @ C + C @ A.T, -2 * D, rtol=0, atol=1e-11 * float(D.abs().max()))
    M = torch.eye(n).double() + A / 4  # its eigenvalues are complex: no cut may part a pair
    C = linear_map(M, D).covariance
    S = D @ D.T
    assert_close(M @ C @ M.T + S, C, rtol=0, atol=1e-11 * float(C.abs().max()))


def test_a_fine_map_is_the_flow():
    A, D, dt = stable(4), positive(4), 1e-4
    values, vectors = torch.linalg.eigh(2 * D * dt)
    root = (vectors * values.sqrt()) @ vectors.T
    flow, fine = linear_flow(A, D), linear_map(torch.eye(4) + dt * A, root, dt=dt)
    for name in ("covariance", "areas", "velocity", "entropy_production", "synapses", "neurons"):
        assert_close(getattr(fine, name), getattr(flow, name), rtol=2e-3, atol=2e-4)


def test_watching_at_intervals_hides_entropy_production():
    A, dt = matrix([[-1.0, 2.0], [-0.5, -1.0]]), 0.3
    C = linear_flow(A).covariance
    M = torch.linalg.matrix_exp(A * dt)
    seen = linear_map(M, torch.linalg.cholesky(C - M @ C @ M.T), dt=dt)
    euler = linear_map(torch.eye(2) + dt * A, math.sqrt(2 * dt), dt=dt)
    assert float(seen.entropy_production) < 3.125 < float(euler.entropy_production)
    assert_close(seen.covariance, C, rtol=1e-10, atol=1e-12)


def test_symmetric_matrices_are_in_equilibrium():
    A = states(4, 4)
    A = A + A.T
    flow = linear_flow(A - 9 * torch.eye(4), 0.5)
    assert float(flow.entropy_production) == pytest.approx(0, abs=1e-12)
    assert float(flow.areas.abs().max()) < 1e-14
    assert float(linear_map(0.1 * A).entropy_production) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("g", [0.5, 0.8])
def test_random_networks(g):
    # One matrix of 400 neurons: a few percent of the limit.
    J = g * states(400, 400) / 20
    flow, step = linear_flow(J - torch.eye(400), 0.3), linear_map(J, 0.3)
    assert float(flow.per_neuron) == pytest.approx(1 - math.sqrt(1 - g**2), rel=0.03)
    assert float(flow.covariance.trace()) / 120 == pytest.approx((1 - g**2) ** -0.5, rel=0.03)
    assert float(step.per_neuron) == pytest.approx(g**2 / (1 - g**2), rel=0.06)


def test_agrees_with_the_system():
    flow = snt.systems.OrnsteinUhlenbeck(stable(4), diffusion=positive(4))
    assert_close(linear_flow(flow.A, flow.diffusion).covariance, flow.covariance)


def test_degenerate_noise_has_a_covariance_but_no_entropy_production():
    A, D = matrix([[-1.0, 0.5], [1.0, -1.0]]), matrix([1.0, 0.0])
    found = linear_flow(A, D)
    assert found.entropy_production.isnan()
    assert_close(A @ found.covariance + found.covariance @ A.T, -2 * torch.diag(D))
    assert linear_map(0.5 * A, D).entropy_production.isnan()


def test_kind_and_scalars():
    A = stable(3).float()
    found = linear_flow(A.requires_grad_(), 0.5)
    assert {t.dtype for t in vars(found).values() if isinstance(t, torch.Tensor)} == {torch.float32}
    assert not found.covariance.requires_grad
    assert set(found.scalars()) == {
        "entropy_production", "entropy_production_per_neuron", "variance", "area_norm"
    }  # fmt: skip
    assert float(found.per_neuron) == pytest.approx(float(found.entropy_production) / 3)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: linear_flow(torch.eye(2)), r"A: expected eigenvalues with real parts < 0, got 1"),
        (lambda: linear_flow(states(2, 3)), r"A: expected a square matrix"),
        (lambda: linear_flow(torch.full((2, 2), math.nan)), r"A: expected finite numbers"),
        (lambda: linear_flow(-torch.eye(2), 0.0), r"diffusion: expected noise"),
        (lambda: linear_flow(-torch.eye(2), -1.0), r"diffusion: expected"),
        (lambda: linear_flow(-torch.eye(2), torch.ones(3)), r"diffusion: expected"),
        (lambda: linear_map(torch.eye(2)), r"M: expected eigenvalues inside the unit circle"),
        (lambda: linear_map(-torch.eye(2)), r"M: expected eigenvalues inside the unit circle"),
        (lambda: linear_map(torch.zeros(2, 2), 0.0), r"noise: expected noise"),
        (lambda: linear_map(torch.zeros(2, 2), torch.ones(3)), r"noise: expected a number, \(2,\)"),
        (lambda: linear_map(torch.zeros(2, 2), dt=0.0), r"dt: expected"),
    ],
)
def test_wrong_arguments(question, message):
    with pytest.raises(ValueError, match=message):
        question()
