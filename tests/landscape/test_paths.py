"""Paths of minimum action, escape rates, tests of potentials: closed forms."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    Grid,
    descent,
    escape_rate,
    fokker_planck,
    gradient_path,
    hamilton_jacobi,
    minimum_action_path,
)
from sntorch.landscape.action import Action
from sntorch.systems import AmariWilsonCowan, DoubleWell, OrnsteinUhlenbeck, StuartLandau, TanhRing


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


LEFT, TOP, RIGHT = matrix([-1.0, 0.0]), matrix([0.0, 0.0]), matrix([1.0, 0.0])


@pytest.fixture(scope="module")
def turning():
    return DoubleWell(2, circulation=0.5, diffusion=0.1)


@pytest.fixture(scope="module")
def uphill(turning):
    return minimum_action_path(turning, LEFT, TOP)


def test_the_action_is_twice_the_barrier(uphill):
    assert uphill.converged
    assert float(uphill.action) == pytest.approx(2.0002, abs=5e-4)
    assert float(uphill.exponent) == pytest.approx(10, rel=1e-3)
    assert float(uphill.straight) > 2.1
    lengths = uphill.points.diff(dim=0).norm(dim=-1)
    assert float(lengths.std() / lengths.mean()) < 0.01
    assert bool((uphill.pieces >= 0).all())


def test_the_height_along_the_path_is_the_potential(uphill, turning):
    V = turning.potential(uphill.points)
    assert_close(uphill.climbed, V, rtol=0, atol=2e-3)


@pytest.mark.slow
def test_from_well_to_well_the_way_down_is_free(turning):
    path = minimum_action_path(turning, LEFT, RIGHT)
    assert float(path.action) == pytest.approx(2.0002, abs=5e-4)
    assert float(torch.cdist(path.points, TOP[None]).min()) < 0.02
    assert float(path.pieces[-45:].sum()) < 2e-3


def test_flux_bends_the_path_off_the_gradient(uphill, turning):
    plain = gradient_path(turning.potential, LEFT, TOP)
    assert float(plain.action) == pytest.approx(2, abs=1e-3)
    assert float(plain.points[:, 1].abs().max()) < 1e-3
    assert float(uphill.distance(plain)) > 0.15
    still = minimum_action_path(DoubleWell(2), LEFT, TOP)
    assert float(still.distance(plain)) < 1e-3
    assert math.isinf(float(still.exponent))


def test_the_error_falls_with_the_square_of_the_images(turning):
    errors = [float(minimum_action_path(turning, LEFT, TOP, images=n).action) - 2 for n in (25, 50)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_one_dimension():
    path = minimum_action_path(DoubleWell(barrier=3.0), matrix([-1.0]), matrix([0.0]))
    assert float(path.action) == pytest.approx(6, rel=1e-3)


def test_noise_of_another_shape_is_a_change_of_coordinates():
    # u = L y, D = Db L L^T: the flow of y has unit noise, and the actions agree.
    L = matrix([[1.0, 0.0], [0.5, 0.8]])
    D = L @ L.T
    mean = float(D.diagonal().mean())
    A = matrix([[-1.0, 0.7], [-0.2, -0.5]])
    end = matrix([0.6, 0.4])
    zero = torch.zeros(2).double()
    skew = minimum_action_path(OrnsteinUhlenbeck(A, diffusion=0.05 * D), zero, end)
    inverse = torch.linalg.inv(L)
    round_ = minimum_action_path(OrnsteinUhlenbeck(inverse @ A @ L, diffusion=0.05), zero,
                                 inverse @ end)  # fmt: skip
    assert float(skew.exponent) == pytest.approx(float(round_.exponent), rel=1e-3)
    assert skew.noise == pytest.approx(0.05 * mean)
    # For a linear flow the exponent is U = u^T C^-1 u / 2, with or without detailed balance.
    C = OrnsteinUhlenbeck(A, diffusion=0.05 * D).covariance
    U = float(end @ torch.linalg.solve(C, end)) / 2
    assert float(skew.exponent) == pytest.approx(U, rel=2e-3)


def test_the_gradient_of_the_action():
    action = Action(TanhRing(), None, matrix([[1.2, 0.3], [0.3, 0.7]]), {"dtype": torch.float64})
    line = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double().numpy()
    slope = action.pieces(line)[1]()
    for i, j in ((0, 1), (2, 0), (5, 1)):
        ends = []
        for sign in (1, -1):
            moved = line.copy()
            moved[i, j] += sign * 1e-6
            ends.append(action.pieces(moved)[0].sum())
        assert slope[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_an_initial_path_chooses_the_side():
    flow, ends = StuartLandau(omega=0.0), (LEFT, RIGHT)
    for side in (1.0, -1.0):
        guess = matrix([[0.0, side]])
        path = minimum_action_path(flow, *ends, initial=guess, images=16)
        assert float(path.points[8, 1]) == pytest.approx(side, abs=0.05)
        assert float(path.action) < 0.01


def test_a_single_precision_network():
    flow = AmariWilsonCowan(torch.tensor([[0.0, 1.5], [1.5, 0.0]]), diffusion=0.1)
    up = matrix([[1.0, 1.0]])
    for _ in range(60):
        up = 1.5 * torch.tanh(up)
    path = minimum_action_path(flow, up[0], torch.zeros(2).double(), images=40)
    assert path.points.dtype == torch.float64
    assert path.converged
    assert all(p.grad is None for p in flow.parameters())


# Escape


def test_rates_with_and_without_flux(uphill, turning):
    plain = DoubleWell(2, diffusion=0.1)
    found = escape_rate(plain, minimum_action_path(plain, LEFT, TOP), plain.potential)
    assert found.law == "Eyring-Kramers"
    assert float(found.prefactor) == pytest.approx(math.sqrt(32) / (2 * math.pi), rel=1e-6)
    flux = escape_rate(turning, uphill, turning.potential)
    lam = (3 + math.sqrt(25 + 16 * 0.25)) / 2
    assert flux.law == "Bouchet-Reygner"
    assert float(flux.unstable) == pytest.approx(lam)
    assert float(flux.correction) == pytest.approx(0, abs=1e-9)
    assert float(flux.rate) == pytest.approx(
        lam / (2 * math.pi) * math.sqrt(2) * math.exp(-10), rel=1e-6
    )
    assert float(flux.rate) > float(found.rate)


def test_the_correction_of_a_flux_with_divergence():
    # l = s(V) R grad V has the divergence s'(V) grad V . R grad V = 0, but l = R grad V with
    # R = c(u_2) times a quarter turn has c'(u_2) d_1 V: its integral is not zero.
    plain = DoubleWell(2)

    def flow(u):
        slope = torch.stack([4 * u[..., 0] * (u[..., 0].square() - 1), u[..., 1]], -1)
        turned = torch.stack([-slope[..., 1], slope[..., 0]], -1)
        return -slope + (0.5 + 0.8 * u[..., 1:]) * turned

    noisy = snt.flows.as_flow(flow, size=2, diffusion=0.1)
    path = minimum_action_path(noisy, LEFT, TOP)
    found = escape_rate(noisy, path, plain.potential)
    # dt = du_1 / (du_1/dt) along the path, integrated by hand.
    u, step = (path.points[1:] + path.points[:-1]) / 2, path.points.diff(dim=0)
    slope = 4 * u[:, 0] * (u[:, 0].square() - 1)
    dt = step.norm(dim=-1) / flow(u).norm(dim=-1)
    assert float(found.correction) == pytest.approx(float((0.8 * slope * dt).sum()), rel=1e-6)
    assert abs(float(found.correction)) > 0.05
    assert float(found.residual) < 1e-12


def test_the_rate_is_half_the_gap(turning):
    path = minimum_action_path(turning, LEFT, TOP)
    gap = fokker_planck(turning, Grid([-1.9, -1.7], [1.9, 1.7], 140), modes=2).gap
    rate = escape_rate(turning, path, turning.potential).rate
    assert float(2 * rate / gap) == pytest.approx(1, abs=0.1)  # 1 + O(D)


def test_without_a_potential_there_is_no_prefactor(uphill, turning):
    found = escape_rate(turning, uphill)
    assert math.isnan(float(found.prefactor))
    assert float(found.exponent) == pytest.approx(10, rel=1e-3)
    wrong = escape_rate(turning, uphill, lambda u: 2 * turning.potential(u))
    assert math.isnan(float(wrong.prefactor))
    assert wrong.law.startswith("none: the potential misses the Hamilton-Jacobi equation")


# Potentials


def test_hamilton_jacobi_of_closed_forms():
    u = torch.randn(40, 2, generator=torch.Generator().manual_seed(1)).double()
    for flow in (DoubleWell(2, circulation=0.7), StuartLandau(omega=3.0, diffusion=0.2)):
        found = hamilton_jacobi(flow, flow.potential, u)
        assert float(found.rms) < 1e-13
        double = hamilton_jacobi(flow, lambda u, flow=flow: 2 * flow.potential(u), u)
        assert_close(double.relative, torch.full_like(double.relative, 1 / 3))
        assert_close(double.residual, 2 * found.dissipation)


def test_hamilton_jacobi_with_a_matrix_of_noise():
    # U = u^T C^-1 u / 2 solves F . grad U + grad U . D grad U = 0; V = Db U with G = D / Db.
    A, D = matrix([[-1.0, 0.7], [-0.2, -0.5]]), matrix([[0.3, 0.1], [0.1, 0.2]])
    flow = OrnsteinUhlenbeck(A, diffusion=D)
    K = 0.25 * torch.linalg.inv(flow.covariance)
    u = torch.randn(20, 2, generator=torch.Generator().manual_seed(1)).double()
    found = hamilton_jacobi(flow, lambda s: (s * (s @ K)).sum(-1) / 2, u)
    assert float(found.rms) < 1e-12
    assert float((found.flux_force * (u @ K)).sum(-1).abs().max()) < 1e-12
    assert set(found.scalars()) == {"rms", "mean", "largest"}


def test_a_grid_gives_the_intrinsic_potential_up_to_the_noise():
    flow = TanhRing(diffusion=0.05)
    density = fokker_planck(flow, Grid([-3.0, -3.0], [3.0, 3.0], 120), modes=0)
    angle = torch.linspace(0, 6, 50).double()
    u = 0.8 * torch.stack([angle.cos(), angle.sin()], -1)
    right = hamilton_jacobi(flow, lambda s: 0.05 * density.potential_at(s), u)
    wrong = hamilton_jacobi(flow, lambda s: -0.05 * density.potential_at(s), u)
    assert float(right.rms) < 0.5 * float(wrong.rms)


def ring_energy(u):
    """Return Hopfield's energy with the couplings of the tanh ring, which are not symmetric."""
    V, T = torch.tanh(u), matrix([[1.5, -1.0], [1.0, 1.5]])
    return -((V @ T.T) * V).sum(-1) / 2 + (u * V - torch.cosh(u).log()).sum(-1)


def test_descent():
    u = torch.randn(9, 2, generator=torch.Generator().manual_seed(1)).double()
    well = DoubleWell(2, circulation=0.7)
    found = descent(well, well.potential, u, 120)
    assert bool(found.monotone.all())
    assert found.climb.max() == 0
    slope = hamilton_jacobi(well, well.potential, u)
    assert_close(found.rate[0], -slope.dissipation)
    # On the ring the energy of a symmetric network rises more than half of the time.
    start = matrix([-1.0, 0.5])
    start = snt.rollout(snt.RungeKutta4(TanhRing(), 0.05), start, 400)[-1]
    turning = descent(TanhRing(), ring_energy, start, 198, dt=9.883176 / 198)
    assert not bool(turning.monotone)
    assert 0.5 < float(turning.rising) < 0.65
    assert float(turning.climb) > 0.01


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum_action_path(TanhRing(), LEFT, LEFT), "end: expected another state"),
        (lambda: minimum_action_path(TanhRing(), LEFT, matrix([1.0])), "u: expected 2 on"),
        (lambda: minimum_action_path(TanhRing(), LEFT[None], TOP), "start: expected one state"),
        (lambda: minimum_action_path(TanhRing(), LEFT, TOP, images=2), "images: expected"),
        (lambda: minimum_action_path(TanhRing(), LEFT, TOP, tol=0.0), "tol: expected"),
        (
            lambda: minimum_action_path(TanhRing(diffusion=matrix([1.0, 0.0])), LEFT, TOP),
            "diffusion: expected noise in all directions or none",
        ),
        (
            lambda: minimum_action_path(TanhRing(), LEFT, TOP, initial=matrix([[1.0]])),
            r"initial: expected \(any, 2\)",
        ),
        (
            lambda: hamilton_jacobi(TanhRing(), lambda u: u, torch.ones(3, 2)),
            r"potential: expected numbers \(3,\), got \(3, 2\)",
        ),
        (
            lambda: hamilton_jacobi(TanhRing(), lambda u: 1.0, torch.ones(3, 2)),  # pyright: ignore[reportArgumentType]
            "potential: expected numbers .* got float",
        ),
        (
            lambda: escape_rate(
                DoubleWell(2, diffusion=0.1), gradient_path(DoubleWell(2).potential, LEFT, TOP)
            ),
            "diffusion: expected one number > 0",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_path_that_does_not_end_in_a_saddle(turning):
    path = minimum_action_path(turning, LEFT, matrix([-0.3, 0.0]), images=20)
    with pytest.raises(ValueError, match="path: expected one between fixed points"):
        escape_rate(turning, path)
    path = minimum_action_path(turning, LEFT, RIGHT, images=20, rounds=2)
    with pytest.raises(ValueError, match="got 0 and 0 unstable ones"):
        escape_rate(turning, path)
