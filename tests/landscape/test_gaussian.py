"""Gaussian landscapes: exact where the flow is linear, right in width, labelled in barriers."""

import math

import pytest
import torch
from references import random_generator, spiral
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    Basin,
    covariance_at,
    cycle_covariance,
    find_cycle,
    gaussian_landscape,
    linear_flow,
)

ORIGIN = torch.zeros(2, dtype=torch.float64)


def starts(rows=8, n=2, seed=0):
    return torch.randn(rows, n, generator=random_generator(seed), dtype=torch.float64)


def ring(alpha=1.0, w=1.0, D=0.1):
    """Return a flow with P ~ exp(-alpha (r^2 - 1)^2 / 4D)."""

    def drift(u):
        turned = torch.stack([-u[..., 1], u[..., 0]], -1)
        return -alpha * (u.square().sum(-1, keepdim=True) - 1) * u + w * turned

    return snt.flows.as_flow(drift, diffusion=D)


def slow_normal_variance(flow, cycle, periods=6):
    """Return the variance across a planar cycle by Euler steps of d s = (2 a s + 2 D) dt.

    In the plane the rate a of the normal coordinate is div F minus that along the flow.
    """
    states, T, fine = cycle.states, cycle.period, 40
    h, s, found = T / len(states) / fine, 0.0, []
    DF, F = flow.jacobian(states), flow.drift(states)
    t = F / F.norm(dim=-1, keepdim=True)
    a = DF.diagonal(dim1=-2, dim2=-1).sum(-1) - torch.einsum("pi,pij,pj->p", t, DF, t)
    for _ in range(periods):
        found = []
        for k in range(len(states)):
            found.append(s)
            slope = (a.roll(-1)[k] - a[k]) / fine
            for j in range(fine):
                s = s + h * (2 * float(a[k] + j * slope) * s + 2 * flow.diffusion)
    return torch.tensor(found, dtype=torch.float64)


def test_linear_flow_is_exact():
    flow = spiral(torch.float64)
    found = gaussian_landscape(flow, starts(4))
    exact = linear_flow(flow.A, flow.diffusion)
    basin = found.basins[0]
    assert isinstance(basin, Basin)
    assert_close(basin.covariance[0], exact.covariance, rtol=1e-10, atol=1e-12)
    assert basin.entropy_production == pytest.approx(float(exact.entropy_production), rel=1e-10)
    assert basin.nonlinearity < 1e-12
    u = starts(20, seed=3)
    normal = torch.distributions.MultivariateNormal(ORIGIN, exact.covariance)
    assert_close(found.potential(u), -normal.log_prob(u), rtol=1e-8, atol=1e-8)
    assert (basin.weight, basin.weight_stderr, found.unassigned) == (1, 0, 0)


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize("D", [0.1, 0.01])
def test_width_of_the_ring(alpha, D):
    # exp(-alpha (r^2 - 1)^2 / 4D) is a Gaussian in r of variance D / 2 alpha to leading order
    found = gaussian_landscape(ring(alpha, D=D), starts(2), settle=20, dt=0.02)
    basin = found.basins[0]
    across = basin.attractor.states / basin.attractor.states.norm(dim=-1, keepdim=True)
    variance = torch.einsum("pi,pij,pj->p", across, basin.covariance, across)
    assert_close(variance / (D / (2 * alpha)), torch.ones(200).double(), rtol=2e-5, atol=0)
    assert basin.entropy_production == pytest.approx(1 / D, rel=1e-6)  # w^2 <r^2> / D


def test_normal_variance_of_the_tanh_ring_by_hand():
    flow = snt.systems.TanhRing(diffusion=0.05)
    cycle = find_cycle(flow, torch.tensor([1.0, 0.5]).double(), points=100)
    assert cycle is not None
    across = cycle_covariance(flow, cycle)
    expected = slow_normal_variance(flow, cycle)
    assert_close(across.diagonal(dim1=-2, dim2=-1).sum(-1), expected, rtol=2e-3, atol=0)
    assert float(expected.max() / expected.min()) > 1.5  # it varies along the cycle


@pytest.mark.slow
def test_cycle_of_a_network():
    # Simulated deviations across the cycle of 50 neurons with little noise.
    J = snt.couplings.gaussian(50, std=1.3, generator=random_generator(), dtype=torch.float64)
    flow = snt.systems.AmariWilsonCowan(J, diffusion=1e-6, trainable=())
    found = gaussian_landscape(flow, starts(1, 50), settle=150, dt=0.1)
    if found.basins[0].attractor.kind != "limit cycle":
        pytest.fail("expected the cycle of this network")
    cycle = found.basins[0].attractor
    across = cycle_covariance(flow, cycle)
    F = flow.drift(cycle.states)
    assert float((across @ F.unsqueeze(-1)).norm() / (across.norm() * F.norm())) < 1e-9
    assert_close(across, across.mT, rtol=0, atol=1e-15)
    assert float(torch.linalg.eigvalsh(across).min()) > -1e-15
    f = snt.EulerMaruyama(flow, 0.02)
    u = cycle.states[:1].expand(400, -1)
    end = snt.rollout(f, u, 4000, generator=random_generator(), every=4000)[-1]
    k = torch.cdist(end, cycle.states).argmin(-1)
    deviation = end - cycle.states[k]
    unit = F[k] / F[k].norm(dim=-1, keepdim=True)
    deviation = deviation - (deviation * unit).sum(-1, keepdim=True) * unit
    measured = deviation.square().sum(-1)
    expected = across.diagonal(dim1=-2, dim2=-1).sum(-1)[k]
    error = float((measured - expected).std()) / 20
    assert abs(float((measured - expected).mean())) < 4 * error
    assert error < 0.1 * float(expected.mean())


@pytest.mark.parametrize("circulation", [0.0, 0.5])
def test_widths_and_weights_of_the_double_well(circulation):
    # The density is exp(-V/D) whatever the circulation: D over the curvatures 8 and 1.
    flow = snt.systems.DoubleWell(2, circulation=circulation, diffusion=0.1)
    u = starts(12)
    found = gaussian_landscape(flow, u)
    for basin in found.basins:
        expected = torch.diag(torch.tensor([0.1 / 8, 0.1], dtype=torch.float64))
        assert_close(basin.covariance[0], expected, rtol=1e-9, atol=1e-12)
    assert sum(basin.weight for basin in found.basins) == pytest.approx(1)
    share = found.basins[0].weight
    assert found.basins[0].weight_stderr == pytest.approx(math.sqrt(share * (1 - share) / 12))
    assert found.scalars()["basins"] == 2


def test_barriers_are_not_valid_and_it_says_where():
    # Exact: V/D = 10 at the saddle.  Two parabolas meet there at half the curvature: 40.
    D = 0.1
    found = gaussian_landscape(snt.systems.DoubleWell(2, diffusion=D), starts(12))
    well = torch.tensor([1.0, 0.0], dtype=torch.float64)
    apparent = float(found.potential(ORIGIN) - found.potential(well))
    assert apparent > 3.5 / D
    assert not found.barriers_valid
    assert not found.trusted(found.saddles).any()
    assert found.trusted(torch.stack([well, -well, well + 0.1])).all()
    assert not found.trusted(torch.tensor([0.3, 0.0]).double())


def test_the_density_is_normalised_on_a_ring():
    found = gaussian_landscape(ring(), starts(2), settle=30)
    axis = torch.linspace(-3, 3, 121, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    P = torch.exp(-found.potential(grid))
    assert float(P.sum()) * 0.05**2 == pytest.approx(1, abs=1e-5)
    edge = found.potential(torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.6, 0.8]]).double())
    assert float(edge.max() - edge.min()) < 1e-6  # smooth: the Gaussians do not show
    assert found.trusted(found.means).all()


def test_marginal_on_a_plane():
    flow = snt.systems.DoubleWell(3, diffusion=0.1)
    found = gaussian_landscape(flow, starts(6, 3))
    plane = torch.eye(2, 3).double()
    flat = found.on(plane)
    y = starts(5, 2)
    third = torch.linspace(-4, 4, 401).double()
    whole = torch.cat([y[:, None].expand(-1, 401, -1), third[:, None].expand(5, -1, 1)], -1)
    P = torch.exp(-found.potential(whole)).sum(-1) * 0.02
    assert_close(flat.potential(y), -P.log(), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_refusals():
    flow = snt.systems.TanhRing(diffusion=0.05)
    cycle = find_cycle(flow, torch.tensor([1.0, 0.0]).double())
    assert cycle is not None
    with pytest.raises(ValueError, match=r"u: expected a fixed point, .* on a limit cycle only"):
        covariance_at(flow, cycle.states[0])
    with pytest.raises(ValueError, match=r"real parts < 0"):
        covariance_at(flow, ORIGIN)
    with pytest.raises(ValueError, match=r"u: expected one state"):
        covariance_at(flow, cycle.states)
    quiet = snt.systems.TanhRing()
    with pytest.raises(ValueError, match=r"diffusion: expected noise"):
        cycle_covariance(quiet, cycle)
    with pytest.raises(ValueError, match=r"diffusion: expected noise"):
        gaussian_landscape(quiet, starts(2))
    well = snt.systems.DoubleWell(2, diffusion=0.1)
    found = gaussian_landscape(well, starts(2))
    with pytest.raises(ValueError, match=r"cycle: expected a stable limit cycle"):
        cycle_covariance(well, found.basins[0].attractor)
    with pytest.raises(ValueError, match=r"u: expected \(\.\.\., 2\)"):
        found.potential(torch.zeros(3).double())
    with pytest.raises(ValueError, match=r"u: expected torch.float64"):
        found.potential(torch.zeros(2))
    with pytest.raises(ValueError, match=r"plane: expected \(d, 2\)"):
        found.on(torch.eye(3).double())
    lorenz = snt.systems.Lorenz(diffusion=0.1)
    with pytest.raises(ValueError, match=r"u: expected starts that lead to"):
        gaussian_landscape(lorenz, 5 * starts(2, 3), settle=10, dt=0.02)


def test_noise_that_misses_a_direction_has_no_density():
    A = torch.tensor([[-1.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    D = torch.tensor([1.0, 0.0], dtype=torch.float64)
    found = gaussian_landscape(snt.systems.OrnsteinUhlenbeck(A, diffusion=D), starts(2))
    with pytest.raises(ValueError, match="diffusion: expected noise that reaches every direction"):
        found.potential(ORIGIN)
