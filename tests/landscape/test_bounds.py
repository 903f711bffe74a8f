"""Entropy production from orbits alone: closed forms of Gaussian processes, bias, bounds."""

import math

import pytest
import torch
from references import LinearMap, NoisyRotation, random_generator

import sntorch as snt
from sntorch.landscape import lagged_entropy, linear_flow, linear_map, uncertainty_bound


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def steady(M, sigma=1.0, *, rows=100, steps=800, transient=60, seed=0):
    f, u = LinearMap(M, sigma), torch.zeros(rows, len(M), dtype=torch.float64)
    return snt.rollout(f, u, transient + steps, generator=random_generator(seed))[transient:]


def exact_currents(M):
    """Return r^2 of the currents m_a d_b of u' = M u + B by Wick's theorem."""
    C = linear_map(M).covariance
    C1 = M @ C
    mm, dd, md = (2 * C + C1 + C1.T) / 4, 2 * C - C1 - C1.T, (C1.T - C1) / 2
    # <m d^T> = <(u + u')(u' - u)^T> / 2, antisymmetric in the steady state
    n = len(M)
    mean = md.flatten()
    square = torch.empty(n, n, n, n, dtype=torch.float64)
    for a, b, c, d in torch.cartesian_prod(*[torch.arange(n)] * 4).tolist():
        square[a, b, c, d] = md[a, b] * md[c, d] + mm[a, c] * dd[b, d] + md[a, d] * md[c, b]
    return float(mean @ torch.linalg.pinv(square.reshape(n * n, n * n), hermitian=True) @ mean)


ROTATIONS = [(0.9, 0.3), (0.7, 1.5), (0.95, 0.05)]


@pytest.mark.parametrize(("r", "angle"), ROTATIONS)
def test_rotations(r, angle):
    M = NoisyRotation(r, angle).M
    orbit, exact = steady(M) + 3, float(linear_map(M).entropy_production)
    found = lagged_entropy(orbit)
    assert abs(float(found.value) - exact) < 4 * float(found.stderr) < 0.2 * exact
    assert not found.bound
    bound = uncertainty_bound(orbit)
    r = math.sqrt(exact_currents(M))
    expected = 2 * r * math.atanh(r)
    assert abs(float(bound.value) - expected) < 4 * float(bound.stderr) < 0.2 * expected
    assert expected < exact
    assert bound.bound
    relation = 2 * r**2 / (1 - r**2)
    assert float(bound.uncertainty_relation) == pytest.approx(relation, rel=0.15)
    assert found.uncertainty_relation.isnan()


@pytest.mark.parametrize("seed", [1, 2])
def test_random_maps(seed):
    M = 0.35 * states(4, 4, seed=seed)
    orbit = steady(M, rows=200, steps=500)
    found, exact = lagged_entropy(orbit), float(linear_map(M).entropy_production)
    assert abs(float(found.value) - exact) < 4 * float(found.stderr) < 0.1 * exact
    r = math.sqrt(exact_currents(M))
    bound = uncertainty_bound(orbit)
    assert abs(float(bound.value) - 2 * r * math.atanh(r)) < 4 * float(bound.stderr)


def test_short_steps_of_a_flow_saturate_the_relation():
    # Two beads at two temperatures: the bound is the entropy production, up to the order of dt.
    A, T, dt = torch.tensor([[-2.0, 1.0], [1.0, -2.0]]).double(), torch.tensor([5.0, 1.0]), 0.01
    T = T.double()
    f = snt.EulerMaruyama(snt.systems.OrnsteinUhlenbeck(A, diffusion=T), dt)
    u = torch.zeros(2000, 2, dtype=torch.float64)
    orbit = snt.rollout(f, u, 900, generator=random_generator())[300:]
    exact = float(linear_flow(A, T).entropy_production)
    found = uncertainty_bound(orbit, dt=dt)
    assert abs(float(found.value) - exact) < 4 * float(found.stderr) + 0.02 * exact
    assert float(found.stderr) < 0.05 * exact
    assert found.unit == "nats per unit of time"


@pytest.mark.parametrize("question", [lagged_entropy, uncertainty_bound])
def test_bias_of_a_reversible_process_is_removed(question):
    # 30 repetitions of few samples: plain estimates are far from zero, corrected ones are not.
    A = states(5, 5)
    M = 0.15 * (A + A.T) / torch.linalg.matrix_norm(A + A.T, 2) * 5
    found = [question(orbit) for orbit in steady(M, rows=600, steps=60).split(20, 1)]
    values = torch.stack([each.value for each in found])
    plain = torch.stack([each.plain for each in found])
    error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean())) < 4 * error
    assert float(plain.mean()) > 8 * error
    assert 0.6 < float(values.std()) / float(torch.stack([e.stderr for e in found]).mean()) < 1.6


def test_size_of_the_bias_of_lagged_covariances():
    # N (N - 1) / n per step (see the note on estimators), here 20 / 1180.
    A = states(5, 5)
    M = 0.1 * (A + A.T)
    plain = [lagged_entropy(o).plain for o in steady(M, rows=2000, steps=60).split(20, 1)]
    assert float(torch.stack(plain).mean()) == pytest.approx(20 / 1180, rel=0.2)


def test_a_nonlinear_network_produces_more_than_its_currents_say():
    J = snt.couplings.gaussian(8, std=2.0, generator=random_generator(2), dtype=torch.float64)
    f = snt.SNTCell(J, noise=0.3, trainable=())
    u = torch.zeros(200, 8, dtype=torch.float64)
    orbit = snt.rollout(f, u, 500, generator=random_generator())[100:]
    exact = snt.landscape.entropy_production(f, orbit).scalars()["entropy_production"]
    bound = uncertainty_bound(orbit)
    assert 10 * float(bound.stderr) < float(bound.value) < exact
    plane = snt.landscape.leading_plane(orbit)
    part = uncertainty_bound(orbit, plane)
    assert 0 < float(part.value) < float(bound.value)
    assert (part.axes, bound.axes) == (2, 8)
    assert part.samples == 200 * 399


def test_long_orbits_in_parts(monkeypatch):
    orbit = steady(NoisyRotation(0.9, 0.3).M, rows=10, steps=50)
    expected = uncertainty_bound(orbit)
    monkeypatch.setattr("sntorch.landscape.bounds._CHUNK", 12)
    assert float(uncertainty_bound(orbit).value) == pytest.approx(float(expected.value), rel=1e-10)


def test_precision_and_time():
    orbit = steady(NoisyRotation(0.9, 0.3).M, rows=10, steps=100)
    for question in (lagged_entropy, uncertainty_bound):
        double, single = question(orbit), question(orbit.float())
        assert single.value.dtype == torch.float32
        assert float(single.value) == pytest.approx(float(double.value), rel=1e-3)
        assert float(question(orbit, dt=0.1).value) == pytest.approx(10 * float(double.value))
        assert set(double.scalars()) == {"value", "stderr", "plain"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lagged_entropy(states(30, 2), dt=0.0), r"dt: expected"),
        (lambda: lagged_entropy(states(3, 2)), r"trajectory: expected \(T, \.\.\., N\)"),
        (lambda: lagged_entropy(states(6, 20)), r"trajectory: expected more than 40 steps"),
        (lambda: lagged_entropy(states(9)), r"trajectory: expected at least 2 axes"),
        (lambda: uncertainty_bound(states(30, 17)), r"axes: expected at most 16"),
        (lambda: uncertainty_bound(states(30, 4)), r"trajectory: expected more than 32 steps"),
        (
            lambda: uncertainty_bound(states(30, 4), torch.eye(2, 4)),
            r"axes: expected torch.float64",
        ),
        (lambda: uncertainty_bound(states(30, 4), torch.eye(2).double()), r"axes: expected \(p, 4"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
