"""Reduced coordinates: linear networks in closed form, a nonlinear one against its own samples."""

import math
import warnings

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import AccuracyWarning
from sntorch.landscape import estimate_flow, fokker_planck, linear_flow, reduce_flow

N, DT = 6, 0.1
NOISE = torch.linspace(0.5, 1.5, N, dtype=torch.float64)


def drift_matrix():
    J = torch.randn(N, N, generator=random_generator(2), dtype=torch.float64)
    return 1.2 * J / N**0.5 - 2 * torch.eye(N).double()


def axes(d=2, seed=3):
    return torch.randn(d, N, generator=random_generator(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def linear():
    """Return a linear flow, an orbit by its exact law over DT, and its steady state."""
    A, steady = drift_matrix(), linear_flow(drift_matrix(), NOISE)
    M, C = torch.linalg.matrix_exp(A * DT), steady.covariance
    draw = random_generator()
    f = snt.as_dynamics(lambda u: u @ M.T, noise=torch.linalg.cholesky(C - M @ C @ M.T))
    u = torch.randn(200, N, generator=draw, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=NOISE)
    return flow, snt.rollout(f, u, 300, generator=draw), steady


def test_conditional_mean_force_of_a_linear_network(linear):
    flow, orbit, steady = linear
    W, A, C = axes(), flow.A, steady.covariance
    found = reduce_flow(flow, orbit, W, dt=DT, basis=1)
    inner = W @ C @ W.T
    f = W @ A @ C @ W.T @ torch.linalg.inv(inner)
    assert_close(found.diffusion, W @ torch.diag(NOISE) @ W.T)
    at = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 2.0]], dtype=torch.float64)
    off, error = found.flow.drift(at) - at @ f.T, found.stderr_at(at)
    assert bool((off.abs() < 4 * error).all())
    assert float(error.max()) < 0.1
    # what the projection leaves of a Gaussian process has its covariance and its flux, exactly
    reduced = linear_flow(f, found.diffusion)
    assert_close(reduced.covariance, inner)
    assert_close(reduced.areas, W @ steady.areas @ W.T)
    assert float(reduced.entropy_production) < float(steady.entropy_production)
    # and the force at given y has the variance of what y does not determine
    force = W @ A @ C @ A.T @ W.T
    share = (force - f @ inner @ f.T).diagonal() / force.diagonal()
    z = (found.unresolved - share) / found.unresolved_stderr
    assert float(z.abs().max()) < 4
    assert float(found.unresolved_stderr.max()) < 0.03


def test_memory_of_a_hidden_neuron():
    """A hidden neuron that forgets slowly, and on which the seen one does not act back."""
    a, slow = 0.5, 4.0
    A = torch.tensor([[-1.0, a], [0.0, -1 / slow]], dtype=torch.float64)
    C, M = linear_flow(A, 1.0).covariance, torch.linalg.matrix_exp(A * DT)
    draw = random_generator()
    f = snt.as_dynamics(lambda u: u @ M.T, noise=torch.linalg.cholesky(C - M @ C @ M.T))
    u = torch.randn(40, 2, generator=draw, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    orbit = snt.rollout(f, u, 4000, generator=draw)
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = reduce_flow(snt.systems.OrnsteinUhlenbeck(A), orbit, one, dt=DT, basis=1)
    # at given y the force is a (u2 - k u1), whose covariance in time is known
    row = torch.tensor([-C[0, 1] / C[0, 0], 1.0], dtype=torch.float64) * a
    variance = row @ C @ row
    integral = row @ -torch.linalg.inv(A) @ C @ row
    assert float(found.memory_time) == pytest.approx(float(integral / variance), rel=0.1)
    assert float(found.memory) == pytest.approx(float(integral), rel=0.1)
    assert float((found.memory - integral).abs()) < 4 * float(found.memory_stderr)


@pytest.fixture(scope="module")
def network():
    """Return a network with two wells along a pattern, and an orbit."""
    draw = random_generator(4)
    pattern = torch.randn(24, generator=draw, dtype=torch.float64).sign() / 24**0.5
    J = 0.5 * torch.randn(24, 24, generator=draw, dtype=torch.float64) / 24**0.5
    J += 1.5 * torch.outer(pattern, pattern)
    flow = snt.systems.AmariWilsonCowan(J, diffusion=0.6, trainable=())
    f = snt.EulerMaruyama(flow, 0.04)
    u = 3 * pattern * torch.randn(400, 1, generator=draw, dtype=torch.float64)
    u = snt.rollout(f, u, 500, generator=draw, every=500)[-1]
    return flow, f, pattern, snt.rollout(f, u, 1500, generator=draw, every=5)


@pytest.mark.slow
def test_density_of_an_overlap_is_that_of_the_samples(network):
    flow, _, pattern, orbit = network
    found = reduce_flow(flow, orbit, pattern.reshape(1, -1), dt=0.2)
    density = fokker_planck(found.flow, found.grid(200), modes=0)
    y = found.project(orbit)[..., 0]
    edges = torch.linspace(-6, 6, 13, dtype=torch.float64)
    cells = torch.bucketize(y, edges)
    shares = torch.stack([(cells == k).double().mean(0) for k in range(1, 13)])
    mean, error = shares.mean(-1), shares.std(-1) / y.shape[1] ** 0.5
    point = density.grid.points[..., 0]
    weight = density.density * density.grid.volume
    exact = torch.stack([weight[torch.bucketize(point, edges) == k].sum() for k in range(1, 13)])
    assert float(mean.max() / mean[5:7].mean()) > 3  # two wells
    assert bool(((mean - exact).abs() < 4 * error + 0.003).all())


@pytest.mark.slow
def test_principal_plane_and_its_entropy_production(network):
    flow, f, _, orbit = network
    found = reduce_flow(flow, orbit, 2, dt=0.2, cells=8)
    W = found.coordinates
    assert_close(W @ W.T, torch.eye(2).double())
    y = found.project(orbit).reshape(-1, 2)
    total = torch.cov(orbit.reshape(-1, 24).T)
    assert_close(torch.cov(y.T).trace(), torch.linalg.eigvalsh(total)[-2:].sum())
    density = fokker_planck(found.flow, found.grid(60), modes=0)
    P = density.grid.points
    mean = density.mean(P)
    spread = density.mean((P - mean).unsqueeze(-1) * (P - mean).unsqueeze(-2)).diagonal()
    assert_close(spread, y.var(0), rtol=0.08, atol=0)
    draw = random_generator(1)
    whole = snt.landscape.simulate_entropy_production(f, orbit[-1], 50, generator=draw).value
    assert float(density.entropy_production) < float(whole.mean())
    # increments alone tell the same force, with more scatter
    fine = snt.rollout(f, orbit[-1], 300, generator=draw)
    blind = estimate_flow(found.project(fine), dt=f.dt, order=1, basis="splines", cells=8)
    some = y[:: len(y) // 400]
    z = (blind.flow.drift(some) - found.flow.drift(some)) / blind.stderr_at(some)
    assert float(z.square().mean()) < 3
    assert float(blind.scatter) > 3 * float(found.scatter)


def test_coordinates_with_independent_noise(linear):
    flow, orbit, _ = linear
    found = reduce_flow(flow, orbit, 3, dt=DT, basis=1)
    assert found.kind == "diagonal"
    assert torch.as_tensor(found.flow.diffusion).shape == (3,)
    u = orbit.reshape(-1, N)
    leading = torch.linalg.eigh(torch.cov(u.T)).eigenvectors[:, -3:]
    W = found.coordinates
    assert_close(W.T @ W, leading @ leading.T)  # the same space
    full = reduce_flow(flow, orbit, axes(), dt=DT)
    assert full.kind == "matrix"
    with pytest.raises(ValueError, match="rotate the coordinates"):
        fokker_planck(full.flow, full.grid(20))


def test_one_row_and_single_precision(linear):
    flow, orbit, _ = linear
    row = orbit[:, :20].permute(1, 0, 2).reshape(-1, N).float()
    found = reduce_flow(flow.float(), row, axes().float(), dt=DT, basis=1)
    flow.double()
    assert found.flow.drift(torch.zeros(2)).dtype == torch.float32
    assert found.memory.shape == (2,)
    assert bool(found.memory_stderr.isnan().all())  # one row has no spread


def test_refusals(linear):
    flow, orbit, _ = linear
    for bad, message in (
        (4, "1 <= coordinates <= 3"),
        (axes()[:, :4], r"coordinates: expected \(d, 6\), d <= 3, got \(2, 4\)"),
        (axes(4), r"coordinates: expected \(d, 6\)"),
        (axes().float(), "coordinates: expected torch.float64"),
        (torch.cat([axes(1), 2 * axes(1)]), "independent rows"),
        (axes() * math.nan, "coordinates: expected finite"),
    ):
        with pytest.raises(ValueError, match=message):
            reduce_flow(flow, orbit, bad, dt=DT)
    with pytest.raises(ValueError, match="dt: expected"):
        reduce_flow(flow, orbit, dt=0.0)
    with pytest.raises(ValueError, match="u: expected 6"):
        reduce_flow(flow, orbit[..., :3], dt=DT)
    with pytest.raises(ValueError, match="no map"):
        reduce_flow(snt.EulerMaruyama(flow, DT), orbit, dt=DT)
    nowhere = snt.flows.as_flow(lambda u: u / 0.0, diffusion=1.0)
    with pytest.raises(ValueError, match="flow: expected finite"):
        reduce_flow(nowhere, orbit, dt=DT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reduce_flow(flow, orbit, dt=DT, basis=1)
    falling = orbit + 4 * torch.linspace(1, 0, len(orbit)).double().reshape(-1, 1, 1)
    with pytest.warns(AccuracyWarning, match="not stationary"):
        reduce_flow(flow, falling, dt=DT, basis=1)
