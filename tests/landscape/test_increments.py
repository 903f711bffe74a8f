"""Flows from orbits: linear ones against what their propagators say, wells, refusals, warnings."""

import math
import warnings

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import AccuracyWarning
from sntorch.landscape import Grid, epr_loss, estimate_flow, fokker_planck, linear_flow

TURNING = torch.tensor([[-1.0, -2.0], [2.0, -1.0]], dtype=torch.float64)
MIXED = torch.tensor([[0.6, 0.2], [0.2, 0.3]], dtype=torch.float64)
DT = 0.1
EYE = torch.eye(2, dtype=torch.float64)


def propagated(A, D, dt, rows, steps, seed=0):
    """Return an orbit of du = A u dt + sqrt(2 D) dW from its exact law over dt."""
    M, C = torch.linalg.matrix_exp(A * dt), linear_flow(A, D).covariance
    draw = random_generator(seed)
    f = snt.as_dynamics(lambda u: u @ M.T, noise=torch.linalg.cholesky(C - M @ C @ M.T))
    u = torch.randn(rows, len(A), generator=draw, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    return snt.rollout(f, u, steps, generator=draw)


def lagged(A, D, dt):
    """Return the drift matrix and the diffusion that increments over dt show."""
    M, C = torch.linalg.matrix_exp(A * dt), linear_flow(A, D).covariance
    return (M - torch.eye(len(A)).double()) / dt, (C - M @ C @ M.T) / (2 * dt)


def more_by_order_2(dt):
    """Return the variance of 2 F_dt - F_2dt over that of F_dt for functions of memory exp(-dt)."""
    return (5 - 3 * math.exp(-dt)) / 2


def euler(flow, dt, u, steps, seed=0):
    return snt.rollout(snt.EulerMaruyama(flow, dt), u, steps, generator=random_generator(seed))


@pytest.fixture(scope="module")
def orbit():
    return propagated(TURNING, MIXED, DT, 400, 300)


@pytest.mark.parametrize("order", [1, 2])
def test_bias_of_the_step(orbit, order):
    """What is estimated at a finite dt is known exactly, and so is how much better order 2 is."""
    found = estimate_flow(orbit, dt=DT, order=order, diffusion="matrix")
    (F1, D1), (F2, D2) = lagged(TURNING, MIXED, DT), lagged(TURNING, MIXED, 2 * DT)
    F, D = (2 * F1 - F2, 2 * D1 - D2) if order == 2 else (F1, D1)
    flow, zero = found.flow, torch.zeros(2).double()
    error = (
        found.drift.basis.features(EYE) - found.drift.basis.features(zero)
    ) @ found.drift.deviations
    error = (error.square().sum(0) * 20 / 19).sqrt().T
    assert bool((error < 0.03).all())
    assert bool(((flow.jacobian(zero) - F).abs() < 4 * error).all())
    assert bool((flow.drift(zero).abs() < 4 * found.stderr_at(zero)).all())
    assert bool(((found.diffusion - D).abs() < 4 * found.diffusion_stderr).all())
    assert float(found.diffusion_stderr.max()) < 0.006
    truth = float((F1 - F2).norm() / F.norm())  # isotropic enough for 15 percent
    assert float(found.step_bias) == pytest.approx(truth, rel=0.15)
    wrong = {1: (0.25, 0.12), 2: (0.06, 0.02)}[order]  # |dt A^2 / 2| = 0.25: order 1 is far off
    assert float((F - TURNING).abs().max()) < wrong[0]
    assert float((D - MIXED).abs().max()) < wrong[1]
    assert found.samples == 400 * 298


def test_standard_errors_and_scatter_hold():
    """Over many short orbits, errors are as large as said, and so is what they add."""
    at = torch.tensor([[0.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
    (F1, D1), (F2, D2) = lagged(TURNING, EYE, DT), lagged(TURNING, EYE, 2 * DT)
    off, errors, scatter, offD, errorsD = [], [], [], [], []
    for seed in range(40):
        found = estimate_flow(propagated(TURNING, EYE, DT, 40, 50, seed), dt=DT)
        off.append(found.flow.drift(at) - at @ (2 * F1 - F2).T)
        errors.append(found.stderr_at(at))
        scatter.append(found.scatter)
        offD.append((found.diffusion - 2 * D1 + D2).diagonal())
        errorsD.append(found.diffusion_stderr.diagonal())
    for values, said in ((off, errors), (offD, errorsD)):
        spread = torch.stack(values).square().mean(0).sqrt()
        typical = torch.stack(said).square().mean(0).sqrt()
        assert_close(typical / spread, torch.ones_like(spread), rtol=0, atol=0.35)
    expected = 2 * 2 * 3 / (40 * 48 * DT) * more_by_order_2(DT)  # 2 N K / (n dt)
    assert float(torch.stack(scatter).mean()) == pytest.approx(expected, rel=0.25)


def test_entropy_production_from_data_alone(orbit):
    """The EPR loss of the right potential, with the estimated flow, is the entropy production."""
    orbit = propagated(TURNING, EYE, 0.05, 400, 300)
    found = estimate_flow(orbit, dt=0.05, diffusion="scalar")
    V = lambda u: u.square().sum(-1) / 2  # noqa: E731
    loss = float(epr_loss(found.flow, V, orbit[::10]).detach())
    assert loss == pytest.approx(8.0, rel=0.02)  # 2 w^2 / k
    rough = float(epr_loss(estimate_flow(orbit, dt=0.05, order=1).flow, V, orbit[::10]).detach())
    F1, D1 = lagged(TURNING, EYE, 0.05)
    expected = float((F1 + EYE).square().sum() / D1[0, 0])  # 7.6
    assert rough == pytest.approx(expected, rel=0.025)
    assert torch.as_tensor(found.flow.diffusion).ndim == 0


@pytest.fixture(scope="module")
def well():
    flow = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.25)
    start = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64).repeat(300, 1)
    states = euler(flow, 0.02, start, 200)[-1]
    return flow, euler(flow, 0.02, states, 500, seed=1)


@pytest.mark.slow
def test_double_well_by_splines(well):
    flow, orbit = well
    found = estimate_flow(orbit, dt=0.02, order=1, basis="splines")
    u = orbit[::100, ::10].reshape(-1, 2)
    z = (found.flow.drift(u) - flow.drift(u)) / found.stderr_at(u)
    assert float(z.abs().max()) < 5
    assert 0.7 < float(z.square().mean()) < 1.5
    assert_close(found.diffusion.diagonal(), torch.full((2,), 0.25).double(), rtol=0.01, atol=0)
    local = (found.diffusion_at(u) - 0.25) / found.local.stderr_at(u)
    assert 0.6 < float(local.square().mean()) < 1.6
    exact = fokker_planck(flow, Grid([-2.2, -2.5], [2.2, 2.5], 60), modes=0)
    density = fokker_planck(found.flow, found.grid(60), modes=0)
    produced, truth = float(density.entropy_production), float(exact.entropy_production)
    assert truth - 0.15 < produced < truth + float(found.scatter) + 0.15
    top = density.potential_at(torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
    assert float(top[0] - top[1]) == pytest.approx(4, abs=0.7)  # h / D, within 3 s.e.


def test_noise_that_depends_on_the_state():
    draw = random_generator(3)
    u = torch.randn(2000, 1, generator=draw, dtype=torch.float64)
    states = [u := 0.6 * u]
    for _ in range(160):
        B = torch.randn(u.shape, generator=draw, dtype=torch.float64)
        u = u - 0.02 * u + (2 * (0.3 + 0.2 * u.square()) * 0.02).sqrt() * B
        states.append(u)
    found = estimate_flow(torch.stack(states[100:]), dt=0.02, order=1, basis=2)
    at = torch.linspace(-1, 1, 9, dtype=torch.float64).reshape(-1, 1)
    off = found.diffusion_at(at) - 0.3 - 0.2 * at.square()
    assert bool((off.abs() < 4 * found.local.stderr_at(at)).all())
    assert float(found.local.stderr_at(at).max()) < 0.03
    assert bool((found.diffusion_at(1e6 * at) > 0).all())


def test_large_linear_networks():
    draw = random_generator(5)
    A = 0.5 * torch.randn(32, 32, generator=draw, dtype=torch.float64) / 32**0.5
    A -= torch.eye(32).double()
    orbit = propagated(A, 1.0, DT, 100, 400)
    found = estimate_flow(orbit, dt=DT)
    error = found.flow.jacobian(torch.zeros(32).double()) - A
    # 2 D / (n dt C_jj) for each entry, and the bias of second order
    assert float(error.square().mean().sqrt()) == pytest.approx((2 / 4000 / 1.15) ** 0.5, rel=0.2)
    expected = 2 * 32 * 33 / (found.samples * DT) * more_by_order_2(DT)
    assert float(found.scatter) == pytest.approx(expected, rel=0.1)


def test_correlated_noise_is_said(orbit):
    with pytest.warns(AccuracyWarning, match="correlated"):
        assert torch.as_tensor(estimate_flow(orbit, dt=DT).flow.diffusion).shape == (2,)


def test_a_direction_without_noise():
    kicked = lambda u: torch.stack([u[..., 1], -u[..., 0] - u[..., 1]], -1)  # noqa: E731
    flow = snt.flows.as_flow(kicked, diffusion=torch.tensor([0.0, 1.0], dtype=torch.float64))
    u = torch.randn(200, 2, generator=random_generator(), dtype=torch.float64)
    fine = euler(flow, 0.01, u, 4000)
    for orbit, dt in ((fine[::10], 0.1), (fine[:400], 0.01)):
        for kind in ("diagonal", "matrix"):
            with pytest.warns(AccuracyWarning, match="no noise"):
                found = estimate_flow(orbit, dt=dt, diffusion=kind)
            assert float(found.diffusion[1, 1]) == pytest.approx(1, abs=0.05)
            assert math.isnan(float(found.scatter))
            with pytest.raises(ValueError, match="noise in every direction"):
                epr_loss(found.flow, lambda u: u.square().sum(-1) / 2, orbit)


def test_noise_of_measurement_is_said(orbit):
    seen = orbit + torch.randn(orbit.shape, generator=random_generator(7), dtype=orbit.dtype)
    with pytest.warns(AccuracyWarning, match="noise of measurement"):
        found = estimate_flow(seen, dt=DT, diffusion="matrix")
    assert float(found.scaling.max()) < 0.5


@pytest.mark.parametrize("rows", [1, 50])
def test_orbits_that_are_not_stationary(rows):
    trap = snt.systems.OrnsteinUhlenbeck(TURNING)
    steps = 20_000 // rows
    steady = propagated(TURNING, EYE, 0.05, rows, steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate_flow(steady, dt=0.05).steady > 0.01
    falling = steady + 6 * torch.linspace(1, 0, steps).double().reshape(-1, 1, 1)
    with pytest.warns(AccuracyWarning, match="not stationary"):
        assert estimate_flow(falling, dt=0.05).steady < 1e-4
    assert trap.size == 2


def test_records_move_and_flows_follow(orbit):
    found = estimate_flow(orbit.float(), dt=DT, basis="splines", cells=4, diffusion="matrix")
    flow, u = found.flow, torch.ones(3, 2)
    assert flow.drift(u).dtype == torch.float32 == found.scatter.dtype
    wide = flow.double()
    assert_close(wide.drift(u.double()).float(), found.flow.drift(u), rtol=1e-4, atol=1e-4)
    assert found.map(torch.Tensor.double).flow.drift(u.double()).dtype == torch.float64
    numerical = torch.autograd.functional.jacobian(wide.drift, u[0].double())
    assert_close(wide.jacobian(u[0].double()), numerical)
    with pytest.raises(ValueError, match="no drive"):
        flow.drift(u, u)
    again = estimate_flow(orbit.float(), dt=DT, basis="splines", cells=3, diffusion="matrix").flow
    with pytest.raises(RuntimeError):
        again.load_state_dict(flow.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": 0.0}, "dt: expected a finite number > 0"),
        ({"dt": -0.1}, "dt: expected a finite number > 0"),
        ({"dt": math.nan}, "dt: expected"),
        ({"order": 3}, "order: expected"),
        ({"basis": "waves"}, "basis: expected one of splines"),
        ({"basis": 0}, "basis: expected a whole number"),
        ({"cells": 9}, "cells: expected None"),
        ({"diffusion": "full"}, "diffusion: expected one of scalar, diagonal, matrix"),
        ({"smoothing": 0.0}, "smoothing: expected"),
    ],
)
def test_refused_arguments(orbit, change, message):
    with pytest.raises(ValueError, match=message):
        estimate_flow(orbit, **({"dt": DT} | change))


def test_refused_orbits(orbit):
    with pytest.raises(ValueError, match="at least 5 steps for each of 3 functions, got 2"):
        estimate_flow(orbit[:5, :2], dt=DT)
    with pytest.raises(ValueError, match="len\\(trajectory\\)"):
        estimate_flow(orbit[:2], dt=DT)
    broken = orbit.clone()
    broken[3, 4, 1] = torch.nan
    with pytest.raises(ValueError, match=r"finite numbers, got nan at \(3, 4, 1\)"):
        estimate_flow(broken, dt=DT)
    with pytest.raises(ValueError, match="span the space"):
        estimate_flow(orbit @ torch.ones(2, 2).double(), dt=DT)
    with pytest.raises(ValueError, match="trajectory"):
        estimate_flow(orbit[0, 0], dt=DT)
    with pytest.raises(ValueError, match="have a box, got polynomials"):
        estimate_flow(orbit, dt=DT, diffusion="matrix").grid()
