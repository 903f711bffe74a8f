"""Planes and loops: the ring whose density and flux are known, kernels, shares."""

import math
from typing import Any, cast

import pytest
import torch
from references import NoisyRotation, random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import entropy_production, flux_field, loop_flux, plane_share

PLANE = torch.eye(2, dtype=torch.float64)
D, DT = 0.05, 0.02


def drift(u):
    turned = torch.stack([-u[..., 1], u[..., 0]], -1)
    return -(u.square().sum(-1, keepdim=True) - 1) * u + turned


def circle(points=200):
    angle = 2 * math.pi * torch.arange(points, dtype=torch.float64) / points
    return torch.stack([angle.cos(), angle.sin()], -1)


def ring_density(y):
    """Return exp(-(r^2 - 1)^2 / 4D), normalised: s = r^2 is a truncated Gaussian of variance 2D."""
    s0 = math.sqrt(2 * D)
    mass = math.pi * s0 * math.sqrt(2 * math.pi) * 0.5 * math.erfc(-1 / s0 / math.sqrt(2))
    return torch.exp(-((y.square().sum(-1) - 1) ** 2) / (4 * D)) / mass


@pytest.fixture(scope="module")
def ring():
    """Return an orbit on a noisy ring."""
    f = snt.EulerMaruyama(snt.flows.as_flow(drift, diffusion=D), DT)
    u = circle(300)
    return snt.rollout(f, u, 1000, generator=random_generator())[300:]


@pytest.fixture(scope="module")
def field(ring):
    return flux_field(ring, PLANE, dt=DT)


def test_a_limit_cycle_fills_the_grid(field):
    assert field.flux.shape[0] == 36  # 1.7 x 210000^(1/4)
    seen = field.density > 0.01 * field.density.max()
    assert seen.any(1).double().mean() > 0.8
    width = float(field.edges[0, 1] - field.edges[0, 0])
    assert width < 0.12  # the ring is 0.16 wide, one standard deviation
    assert field.outside < 5e-3


def test_density_and_potential_of_the_ring(field):
    middle = (field.edges[:, 1:] + field.edges[:, :-1]) / 2
    y = torch.stack(torch.meshgrid(*middle, indexing="ij"), -1)
    exact = ring_density(y)
    seen = exact > 0.3 * exact.max()
    ratio = field.density[seen] / exact[seen]
    assert abs(float(ratio.mean()) - 1) < 0.03
    assert float(ratio.std()) < 0.2
    U = field.potential
    assert_close(U[seen], -field.density[seen].log())
    assert U.isinf().any()
    assert not U.isnan().any()


def test_loop_flux_of_the_ring(ring, field):
    # J = w P (-y, x): round the circle 2 pi P(1); cells of 0.08 blur a ring of 0.16.
    exact = 2 * math.pi * float(ring_density(torch.tensor([[1.0, 0.0]]).double()))
    found = loop_flux(field, circle())
    blur = (float(field.edges[0, 1] - field.edges[0, 0]) ** 2) * (1 / 12 + 1 / 6) / (2 * D / 2)
    assert abs(float(found.integral) - exact) < 4 * float(found.stderr) + blur * exact
    assert float(found.stderr) < 0.02 * exact
    assert float(found.length) == pytest.approx(2 * math.pi, rel=1e-3)
    assert float(found.average) == pytest.approx(float(found.integral / found.length))
    back = loop_flux(field, circle().flip(0))
    assert_close(back.integral, -found.integral)
    side = loop_flux(field, 0.05 * circle())
    assert abs(float(side.integral)) < 0.05 * exact  # nothing turns in the hole


def test_loop_flux_of_a_function():
    def flux(y):
        return ring_density(y).unsqueeze(-1) * torch.stack([-y[:, 1], y[:, 0]], -1)

    exact = 2 * math.pi * float(ring_density(torch.tensor([[1.0, 0.0]]).double()))
    found = loop_flux(flux, circle(2000))
    assert float(found.integral) == pytest.approx(exact, rel=1e-5)
    assert found.stderr.isnan()
    assert_close(found.along, torch.full((2000,), exact / 2 / math.pi).double(), rtol=1e-6, atol=0)
    gradient = loop_flux(lambda y: 2 * y, circle() + 3)
    assert float(gradient.integral) == pytest.approx(0, abs=1e-12)
    assert set(found.scalars()) == {
        "loop_flux", "loop_flux_stderr", "average_flux", "average_flux_stderr"
    }  # fmt: skip


def test_kernel_smooths_and_keeps_the_mass(ring):
    plain = flux_field(ring, PLANE, bins=60, dt=DT)
    smooth = flux_field(ring, PLANE, bins=60, bandwidth=0.1, dt=DT)
    area = float((plain.edges[:, 1] - plain.edges[:, 0]).prod())
    assert float(smooth.density.sum()) * area == pytest.approx(
        float(plain.density.sum()) * area, abs=2e-3
    )
    assert float(smooth.stderr.square().mean()) < 0.1 * float(plain.stderr.square().mean())
    exact = 2 * math.pi * float(ring_density(torch.tensor([[1.0, 0.0]]).double()))
    assert float(loop_flux(smooth, circle()).integral) == pytest.approx(exact, rel=0.12)
    tiny = flux_field(ring, PLANE, bins=60, bandwidth=1e-6, dt=DT)
    assert_close(tiny.flux, plain.flux, rtol=1e-9, atol=1e-12)


def test_kernel_density_of_a_gaussian():
    # Variances add up: kernel, cells, and the law itself.
    y = torch.randn(500, 200, 2, generator=random_generator(), dtype=torch.float64)
    found = flux_field(y, PLANE, bins=80, bandwidth=0.5)
    middle = (found.edges[:, 1:] + found.edges[:, :-1]) / 2
    mass = found.density / found.density.sum()
    variance = float((mass.sum(1) * middle[0].square()).sum())
    assert variance == pytest.approx(1.25, rel=0.02)


def test_share_of_a_plane():
    # Two rotations that do not know of each other: each shows its own part.
    fast, slow = NoisyRotation(0.95, 0.1).M, NoisyRotation(0.95, 0.05).M
    M = torch.block_diag(fast, slow)
    f = snt.as_dynamics(lambda u: u @ M.T, noise=1.0)
    u = torch.zeros(300, 4, dtype=torch.float64)
    orbit = snt.rollout(f, u, 700, generator=random_generator())[100:]
    whole = entropy_production(f, orbit)
    exact = [float(snt.landscape.linear_map(each).entropy_production) for each in (fast, slow)]
    for plane, part in ((torch.eye(4)[:2], exact[0]), (torch.eye(4)[2:], exact[1])):
        share, error = plane_share(whole, orbit, plane.double())
        assert 0.75 * part / sum(exact) < share < part / sum(exact) + 4 * error
        assert error < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: loop_flux(f, circle(2)), r"curve: expected at least 3 corners"),
        (lambda f: loop_flux(f, 9 * circle()), r"curve: expected corners within the cells"),
        (lambda f: loop_flux(f, circle().float()), r"curve: expected torch.float64"),
        (lambda f: loop_flux(f, torch.zeros(4, 3).double()), r"curve: expected corners \(P, 2\)"),
        (lambda f: loop_flux(lambda y: y[:, 0], circle()), r"flux: expected a function to"),
        (
            lambda f: loop_flux(cast("Any", lambda y: 1.0), circle()),
            r"flux: expected a function to .*, got flo",
        ),
    ],
)
def test_wrong_arguments(field, call, message):
    with pytest.raises(ValueError, match=message):
        call(field)


def test_wrong_bandwidth(ring):
    with pytest.raises(ValueError, match=r"bandwidth: expected"):
        flux_field(ring[:10], bandwidth=-1.0)
