"""Landscapes on a grid against closed forms: densities, fluxes, forces, costs, slow modes."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import AccuracyWarning
from sntorch.landscape import Grid, fokker_planck, limit_cycle
from sntorch.landscape.discretisation import process
from sntorch.landscape.generator import factors, slow_modes, stationary
from sntorch.landscape.interpolation import interpolate
from sntorch.systems import (
    AmariWilsonCowan,
    DoubleWell,
    OrnsteinUhlenbeck,
    StuartLandau,
    TanhRing,
)


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def square(half, cells, d=2):
    return Grid([-half] * d, [half] * d, cells)


def line(half, cells):
    return square(half, cells, 1)


@pytest.fixture(scope="module")
def ring():
    return fokker_planck(StuartLandau(diffusion=0.1), square(2.0, 150))


@pytest.fixture(scope="module")
def well():
    flow = DoubleWell(2, circulation=0.5, diffusion=0.1)
    return fokker_planck(flow, Grid([-2.0, -1.8], [2.0, 1.8], (160, 140)))


# Exact where the flow is linear and in equilibrium


@pytest.mark.parametrize(
    ("A", "cells"),
    [
        ([[-1.0]], 40),
        ([[-1.0, 0.4], [0.4, -0.7]], 24),
        ([[-1.0, 0.3, 0.0], [0.3, -1.5, -0.2], [0.0, -0.2, -1.2]], 14),
    ],
    ids=["1-d", "2-d", "3-d"],
)
def test_linear_equilibrium_is_exact(A, cells):
    A, D = matrix(A), 0.3
    grid = square(3.0, cells, len(A))
    found = fokker_planck(OrnsteinUhlenbeck(A, diffusion=D), grid)
    u = grid.points
    U = -(u * (u @ A.T)).sum(-1) / (2 * D)
    seen = U < 25
    middle = tuple(n // 2 for n in grid.cells)
    assert_close((found.potential - found.potential[middle])[seen], (U - U[middle])[seen],
                 rtol=0, atol=1e-10)  # fmt: skip
    assert abs(float(found.entropy_production)) < 1e-10
    assert float(found.flux.abs().max()) < 1e-12
    assert found.converged


def test_one_dimension_by_quadrature():
    D = 0.2
    found = fokker_planck(DoubleWell(diffusion=D), line(2.2, 400))
    norm = quad(lambda v: math.exp(-((v * v - 1) ** 2) / D), -2.2, 2.2, points=[-1, 0, 1])[0]
    u = found.grid.points[:, 0]
    assert_close(found.density, (-(u.square() - 1).square() / D).exp() / norm, rtol=2e-3, atol=1e-9)


# Linear flows out of equilibrium


def test_linear_flow_with_flux():
    A = matrix([[-1.0, 2.0], [-0.5, -1.0]])
    flow = OrnsteinUhlenbeck(A, diffusion=0.1)
    found = fokker_planck(flow, square(2.4, 150))
    assert float(found.entropy_production) == pytest.approx(3.125, rel=2e-3)
    u, C = found.grid.points, flow.covariance
    covariance = found.mean(u.unsqueeze(-1) * u.unsqueeze(-2))
    assert_close(covariance, C, rtol=0.01, atol=1e-5)
    circulation = (A @ C - C @ A.T) / 2
    v = u @ (circulation @ torch.linalg.inv(C)).T
    seen = found.density > 1e-3
    assert_close(found.flux_force[seen], v[seen], rtol=0, atol=0.02 * float(v[seen].abs().max()))
    # The slow modes are the exponents of A and their sums.
    assert_close(found.modes[:2].real, matrix([-1.0, -1.0]), rtol=5e-3, atol=0)
    assert_close(found.modes[:2].imag.abs(), matrix([1.0, 1.0]), rtol=5e-3, atol=0)
    assert float(found.gap) == pytest.approx(1, rel=5e-3)
    assert float(found.coherence) == pytest.approx(1, rel=5e-3)


def test_two_beads_at_two_temperatures():
    # k = gamma = 1: the entropy production is (T1 - T2)^2 / (4 T1 T2).
    A, T = matrix([[-2.0, 1.0], [1.0, -2.0]]), matrix([0.3, 0.1])
    flow = OrnsteinUhlenbeck(A, diffusion=T)
    found = fokker_planck(flow, Grid([-2.4, -1.8], [2.4, 1.8], 140))
    assert float(found.entropy_production) == pytest.approx(0.04 / 0.12, rel=2e-3)
    u = found.grid.points
    wanted = [[(7 * 0.3 + 0.1) / 12, 0.4 / 6], [0.4 / 6, (0.3 + 0.7) / 12]]
    assert_close(found.mean(u.unsqueeze(-1) * u.unsqueeze(-2)), matrix(wanted), rtol=0.01, atol=0)


def test_errors_fall_with_the_square_of_the_cells():
    flow = OrnsteinUhlenbeck(matrix([[-1.0, 2.0], [-0.5, -1.0]]), diffusion=0.1)
    errors = [
        3.125 - float(fokker_planck(flow, square(2.4, n), modes=0).entropy_production)
        for n in (40, 80)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


# Nonlinear flows with a known density


def test_ring(ring):
    s0 = math.sqrt(0.2)
    pdf, cdf = math.exp(-0.5 / s0**2) / math.sqrt(2 * math.pi), (1 + math.erf(1 / s0 / 2**0.5)) / 2
    radius = 1 + s0 * pdf / cdf
    assert radius == pytest.approx(1.0148330, abs=1e-7)
    assert float(ring.entropy_production) == pytest.approx(radius / 0.1, rel=5e-3)
    assert float(ring.mean(ring.grid.points.square().sum(-1))) == pytest.approx(radius, rel=5e-3)
    V = StuartLandau().potential(ring.grid.points) / 0.1
    seen = V < 8
    shift = (ring.potential - V)[seen]
    assert float(shift.max() - shift.min()) < 0.06
    angle = torch.linspace(0, 2 * math.pi, 101, dtype=torch.float64)[:-1]
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    total, length = ring.loop_flux(circle)
    assert float(length) == pytest.approx(2 * math.pi, rel=1e-3)
    assert float(total) == pytest.approx(2 / (math.sqrt(2 * math.pi) * s0 * cdf), rel=5e-3)
    centre = ring.potential_at(torch.zeros(2).double())
    assert float((centre - ring.potential_at(circle)).mean()) == pytest.approx(2.5, rel=5e-3)


def test_double_well_with_circulation(well):
    assert float(well.entropy_production) == pytest.approx(2.1675683, rel=5e-3)
    V = DoubleWell(2).potential(well.grid.points) / 0.1
    seen = V < 12
    shift = (well.potential - V)[seen]
    assert float(shift.max() - shift.min()) < 0.08
    lam = (3 + math.sqrt(29)) / 2
    rate = lam / (2 * math.pi) * math.sqrt(2) * math.exp(-10)
    assert float(well.gap) == pytest.approx(2 * rate, rel=0.1)  # up to 1 + O(D)


def test_tanh_ring():
    flow = TanhRing(1.5, 1.0, diffusion=0.05)
    found = fokker_planck(flow, square(3.0, 200), modes=0)
    assert float(found.entropy_production) == pytest.approx(19.701, rel=5e-3)
    cycle = limit_cycle(flow, matrix([1.0, 0.0]), points=100).points
    U = found.potential_at(cycle)
    assert float(found.potential_at(matrix([0.0, 0.0])) - U.mean()) == pytest.approx(
        4.811, rel=5e-3
    )
    assert float(U.max() - U.min()) == pytest.approx(0.2635, rel=0.01)
    total, length = found.loop_flux(cycle)
    assert float(length) == pytest.approx(9.7641, rel=1e-3)
    assert float(total / length) == pytest.approx(0.1368, rel=0.01)


def test_a_symmetric_pair_of_graded_neurons_is_not_in_equilibrium():
    flow = AmariWilsonCowan(matrix([[0, 1.5], [1.5, 0]]), diffusion=0.2)
    coarse, fine = (
        float(fokker_planck(flow, square(3.5, n), modes=0).entropy_production) for n in (80, 160)
    )
    assert coarse == pytest.approx(fine, rel=0.01)
    assert fine == pytest.approx(0.03651, rel=0.005)


def test_noise_that_restores_detailed_balance():
    # D_i = D / phi'(u_i) with the Ito drift d D_i added: P ~ exp(-E / D), no flux.
    w, D = 1.2, 0.3

    def slope(u):
        return 1 - torch.tanh(u).square()

    def drift(u):
        V = torch.tanh(u)
        return -u + w * V.flip(-1) + D * 2 * V / slope(u)

    grid = square(2.0, 120)
    with pytest.warns(AccuracyWarning, match="lies along a wall"):
        found = fokker_planck(drift, grid, diffusion=lambda u: D / slope(u), modes=0)
    V = torch.tanh(grid.points)
    E = -w * V.prod(-1) + (grid.points * V - torch.cosh(grid.points).log()).sum(-1)
    shift = found.potential - E / D
    assert float(shift.max() - shift.min()) < 0.01
    with pytest.warns(AccuracyWarning, match="lies along a wall"):
        plain = fokker_planck(lambda u: -u + w * torch.tanh(u).flip(-1), grid,
                              diffusion=lambda u: torch.full_like(u, D), modes=0)  # fmt: skip
    assert float(found.entropy_production) < 0.01 * float(plain.entropy_production)


# Structure


def test_the_parts_of_the_force_add_up(ring, well):
    for found in (ring, well):
        parts = found.gradient_force + found.flux_force + found.divergence
        seen = found.density > 1e-3
        error = (parts - found.drift)[seen]
        assert float(error.abs().max()) < 0.02 * float(found.drift[seen].abs().max())


def test_the_parts_add_up_where_the_noise_depends_on_the_state():
    found = fokker_planck(lambda u: -u, line(3.0, 300), diffusion=lambda u: 0.2 + 0.1 * u**2,
                          modes=0)  # fmt: skip
    # d(D P) = F P: P ~ D^-1 exp(int F / D) = D^-1 (0.2 + 0.1 u^2)^-5.
    u = found.grid.points[:, 0]
    shift = found.potential - 6 * (0.2 + 0.1 * u**2).log()
    assert float(shift.max() - shift.min()) < 2e-3
    assert_close(found.divergence[1:-1, 0], 0.2 * u[1:-1], rtol=0, atol=1e-9)
    parts = found.gradient_force + found.flux_force + found.divergence
    assert_close(parts[2:-2], found.drift[2:-2], rtol=0, atol=3e-3)


def test_probability_is_conserved(well):
    across = [np.pad(J.numpy(), [(int(a == b),) * 2 for b in range(2)])
              for a, J in enumerate(well.face_flux)]  # fmt: skip
    out = sum(np.diff(J, axis=a) / well.grid.spacing[a] for a, J in enumerate(across))
    scale = float(well.face_flux[0].abs().max()) / well.grid.spacing[0]
    assert np.abs(out).max() < 1e-9 * scale
    assert float(well.density.sum() * well.grid.volume) == pytest.approx(1, abs=1e-12)
    assert float(well.density.min()) >= 0


def test_by_iteration_as_by_factors():
    jump = process(
        OrnsteinUhlenbeck(matrix([[-1.0, 2.0, 0], [-0.5, -1, 0], [0, 0, -2]]), diffusion=0.1),
        square(1.8, 12, 3), x=None, diffusion=None,
    )[0]  # fmt: skip
    L = jump.matrix
    assert abs(np.asarray(L.sum(0))).max() < 1e-11
    found = {}
    for solver in ("direct", "iterative"):
        p, settled, shift, solve = stationary(L, solver)
        found[solver] = p, slow_modes(p, shift, solve, 3)
        assert settled
        b = np.cos(np.arange(len(p)))
        x = factors(L, 0.1, solver)(b)
        assert np.abs(0.1 * x - L @ x - b).max() < 1e-8
    np.testing.assert_allclose(found["direct"][0], found["iterative"][0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found["direct"][1].real, found["iterative"][1].real, rtol=1e-6)


def test_modes_that_turn_fast_are_found_near_their_frequency():
    flow, grid = StuartLandau(alpha=4.0, omega=40.0, diffusion=0.5), square(2.0, 100)
    with pytest.warns(AccuracyWarning, match="too coarse for the drift"):
        found = fokker_planck(flow, grid, frequency=40.0, modes=4)
    turning = found.modes[found.modes.imag.abs() > 20]
    assert len(turning) >= 2
    assert float(turning[0].imag.abs()) == pytest.approx(40, rel=0.03)
    assert float(found.gap) == pytest.approx(-float(turning[0].real))


def test_interpolation():
    grid = Grid([-1.0, 0.0], [1.0, 3.0], (20, 30))
    quadratic = grid.points[..., 0] ** 2 - 2 * grid.points.prod(-1) + 0.5 * grid.points[..., 1] ** 2
    u = matrix([[0.13, 1.01], [-0.5, 2.2], [0.77, 0.4]]).requires_grad_()
    found = interpolate(grid, quadratic, u)
    expected = u[:, 0] ** 2 - 2 * u.prod(-1) + 0.5 * u[:, 1] ** 2
    assert_close(found, expected)
    (slope,) = torch.autograd.grad(found.sum(), u)
    assert_close(slope, torch.stack([2 * u[:, 0] - 2 * u[:, 1], u[:, 1] - 2 * u[:, 0]], -1))
    assert interpolate(grid, quadratic, matrix([[1.2, 1.0]])).isnan().all()
    with pytest.raises(ValueError, match="u: expected 2 on the last axis"):
        interpolate(grid, quadratic, matrix([1.0]))


def test_a_drive_and_single_precision():
    network = AmariWilsonCowan(torch.tensor([[0.5]]), input_size=1, diffusion=0.1)
    assert network.cell.input_weight is not None
    with torch.no_grad():
        network.cell.input_weight.fill_(1.0)
    x = torch.tensor([0.4])
    driven = fokker_planck(network, line(3, 200), x=x, modes=0)
    same = fokker_planck(lambda u: -u + 0.5 * torch.tanh(u) + 0.4, line(3, 200), modes=0,
                         diffusion=lambda u: torch.full_like(u, 0.1))  # fmt: skip
    assert_close(driven.density, same.density, rtol=1e-4, atol=1e-6)
    assert driven.density.dtype == torch.float64


def test_no_trace():
    network = AmariWilsonCowan(torch.eye(1), diffusion=0.1).train()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with torch.inference_mode():
        fokker_planck(network, line(3, 30))
    assert torch.equal(before, torch.get_rng_state())
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.cell.parameters())


def test_scalars(ring):
    assert set(ring.scalars()) == {"entropy_production", "gap", "wall", "peclet"}
    assert ring.scalars()["wall"] < 1e-10


# Bad input


def test_probability_at_the_wall_is_measured():
    with pytest.warns(AccuracyWarning, match="lies along a wall: make the box larger"):
        found = fokker_planck(OrnsteinUhlenbeck(matrix([[-1.0]])), line(1.0, 50), modes=0)
    edge = math.exp(-(0.98**2) / 2) / (math.sqrt(2 * math.pi) * math.erf(1 / math.sqrt(2)))
    assert_close(found.wall[0], matrix([edge, edge]) * 0.04, rtol=1e-3, atol=0)


def test_basins_that_do_not_exchange():
    with pytest.warns(AccuracyWarning, match="weights are not determined"):
        found = fokker_planck(DoubleWell(barrier=3.0, diffusion=0.05), line(1.6, 120), modes=0)
    assert not found.converged


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid([0.0] * 4, [1.0] * 4, 5), "grid: expected 1 to 3 dimensions, got 4; in more"),
        (lambda: Grid([], [], 5), "expected 1 to 3 dimensions, got 0"),
        (lambda: Grid([0.0], [0.0], 5), "high: expected more than low = 0"),
        (lambda: Grid([0.0], [1.0, 2.0], 5), "high: expected 1 numbers"),
        (lambda: Grid([math.nan], [1.0], 5), "low: expected finite numbers"),
        (lambda: Grid([0.0], [1.0], 2), "cells: expected a whole number with cells >= 3"),
        (lambda: Grid([0.0], [1.0], (4, 4)), "cells: expected one number or 1, got 2"),
        (lambda: Grid([0.0] * 3, [1.0] * 3, 300), "cells: expected at most 4000000 in all"),
    ],
)
def test_bad_grids_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


FULL = matrix([[0.2, 0.1], [0.1, 0.2]])


@pytest.mark.parametrize(
    ("flow", "settings", "message"),
    [
        (TanhRing(), {}, "diffusion: expected > 0 along every axis, got 0; without noise"),
        (TanhRing(diffusion=matrix([0.1, 0.0])), {}, "diffusion: expected > 0 along every axis"),
        (TanhRing(diffusion=FULL), {}, "diffusion: expected a number, .* got a full one; rotate"),
        (OrnsteinUhlenbeck(matrix([[-1.0]])), {}, "grid: expected 1 dimensions, those of the flow"),
        (lambda u: u.log(), {"diffusion": torch.ones_like}, "flow: expected a finite drift in the"),
        (TanhRing(), {"diffusion": lambda u: u}, "diffusion: expected > 0"),
        (TanhRing(), {"diffusion": lambda u: u[:, :1]}, "diffusion: expected"),
        (TanhRing(diffusion=0.1), {"modes": -1}, "modes: expected"),
        (TanhRing(diffusion=0.1), {"frequency": -1.0}, "frequency: expected"),
        (snt.SNTCell(torch.eye(2)), {}, "flow: expected a Flow or a callable"),
    ],
)
def test_bad_flows_are_named(flow, settings, message):
    with pytest.raises(ValueError, match=message):
        fokker_planck(flow, square(2.0, 20), **settings)


def test_what_is_no_grid_is_named():
    with pytest.raises(ValueError, match="grid: expected a Grid, got int"):
        fokker_planck(TanhRing(diffusion=0.1), 20)  # pyright: ignore[reportArgumentType]
