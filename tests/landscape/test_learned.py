"""Quality of potentials, stationarity of states, and potentials on a plane: closed forms."""

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import MatchedNetwork, examine, orbit_map, potential_map, stationarity
from sntorch.landscape.learned import relative_error
from sntorch.landscape.maps import slice_map
from sntorch.plot import plot

A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]], dtype=torch.float64)


def linear(D=0.4):
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=D)
    K = D * torch.linalg.inv(flow.covariance)
    return flow, lambda u, s=1.0: s * (u @ K * u).sum(-1) / 2


def sample(flow, count):
    root = torch.linalg.cholesky(flow.covariance)
    return torch.randn(count, 2, dtype=torch.float64) @ root.T


def test_quality_of_the_truth_and_of_a_wrong_potential():
    flow, V = linear()
    u = sample(flow, 40000)
    right = examine(flow, V, u, truth=lambda v: V(v) + 3)
    assert abs(float(right.entropy_production) - 3.125) < 4 * float(right.stderr)  # (a - b)^2 / 2
    assert_close(float(right.force_form), 3.125, rtol=0.02, atol=0)
    assert float(right.balance) < 1e-12
    assert float(right.error) < 1e-12
    assert_close(right.virial, torch.ones(()).double(), rtol=0.02, atol=0)
    assert_close(right.correlation, torch.ones(()).double())
    assert float(right.hamilton_jacobi) < 1e-12  # a linear flow's V is its quasipotential
    wrong = examine(flow, lambda v: V(v, 1.2), u, truth=V)
    assert_close(wrong.error, torch.tensor(0.2).double(), rtol=1e-3, atol=0)
    assert_close(wrong.virial, torch.tensor(1.2).double(), rtol=0.02, atol=0)
    assert float(wrong.balance) > 0.05
    assert float(wrong.entropy_production) > float(right.entropy_production)
    assert set(right.scalars()) >= {"entropy_production", "entropy_production_stderr", "balance"}
    assert "error" not in examine(flow, V, u[:100]).scalars()


def test_matching_noise_makes_the_energy_the_landscape():
    J = snt.couplings.gaussian(3, std=1.5, symmetry=1.0, dtype=torch.float64)
    noisy = MatchedNetwork(snt.systems.AmariWilsonCowan(J), temperature=0.2)
    u = torch.randn(50, 3, dtype=torch.float64)
    D = noisy.diffusion_at(u)
    assert_close(D, 0.2 * u.cosh().square())
    expected = noisy.network.drift(u) + 0.2 * (2 * u).sinh()
    assert_close(noisy.drift(u), expected)
    found = examine(noisy, lambda v: noisy.energy(v) / 0.2, u, diffusion=noisy.diffusion_at)
    assert float(found.entropy_production) < 1e-24
    assert math.isnan(float(found.balance))
    wrong: Any = snt.SNTCell(torch.eye(3))
    with pytest.raises(ValueError, match="network: expected"):
        MatchedNetwork(wrong, temperature=1.0)
    with pytest.raises(ValueError, match="temperature: expected"):
        MatchedNetwork(snt.systems.AmariWilsonCowan(J), temperature=0.0)


def test_errors_count_where_the_known_potential_is_low():
    known = torch.tensor([0.0, 1.0, 2.0, 100.0])
    value = torch.tensor([5.0, 6.0, 8.0, 0.0])
    expected = torch.tensor(1.0 / 5.0).sqrt()
    assert_close(relative_error(value, known, 1.0), expected)


@pytest.mark.parametrize("kind", ["flow", "map", "correlated"])
def test_stationarity_knows_the_steady_state(kind):
    flow, _ = linear()
    S = torch.tensor([[0.3, 0.1], [0.0, 0.2]], dtype=torch.float64)
    M = torch.eye(2, dtype=torch.float64) + 0.4 * A
    f = {
        "flow": flow,
        "map": snt.EulerMaruyama(flow, dt=0.2),
        "correlated": snt.as_dynamics(lambda u: u @ M.T, noise=S),
    }[kind]
    if kind == "flow":
        C = flow.covariance
    elif kind == "map":
        C = snt.landscape.linear_map(torch.eye(2).double() + 0.2 * A, 0.4).covariance
    else:
        C = snt.landscape.linear_map(M, S).covariance
    z = torch.randn(40, 2000, 2, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    values = torch.tensor([float(stationarity(f, rows).z) for rows in z])
    assert float(values.median()) < 2  # the largest of four nearly normal numbers
    assert sum(stationarity(f, rows).stationary for rows in z) >= 39
    for wrong in (1.15 * z[0], z[0] + 0.1):
        found = stationarity(f, wrong)
        assert not found.stationary
        assert found.scalars()["z"] > 3.5


def test_potential_map_is_the_plane_itself_or_a_slice():
    ring = snt.systems.StuartLandau(diffusion=0.1)
    u = torch.randn(200, 2, dtype=torch.float64)
    found = potential_map(ring, ring.potential, u, cells=20)
    a, b = 3, 11
    at = torch.stack([found.axes[0, a], found.axes[1, b]])
    V, turned = ring.potential(at), torch.stack([-at[1], at[0]])
    assert_close(found.velocity[a, b], turned)
    difference = found.potential[a, b] - found.potential[0, 0]
    assert_close(difference, V - ring.potential(found.axes[:, 0]))
    assert_close(found.flux, found.velocity * (-found.potential / 0.1).exp().unsqueeze(-1))
    wide = snt.systems.OrnsteinUhlenbeck(-torch.eye(5).double(), diffusion=1.0)
    states = torch.randn(300, 5, dtype=torch.float64) * torch.tensor([1.0, 5.0, 1, 3, 1]).double()
    slice_ = potential_map(wide, lambda v: v.square().sum(-1) / 2, states + 2)
    assert slice_.sliced
    assert float(slice_.plane[0, 1].abs()) > 0.98  # the axes of largest variance, in order
    assert float(slice_.plane[1, 3].abs()) > 0.98


def test_maps_end_at_walls_and_a_slice_alone_has_no_flux():
    ring = snt.systems.StuartLandau(diffusion=0.1)
    u = torch.randn(200, 2, dtype=torch.float64)
    box = (torch.tensor([-0.5, -2.0]), torch.tensor([9.0, 9.0]))
    walled, free = (potential_map(ring, ring.potential, u, box=b) for b in (box, None))
    outside = (free.axes[0] < -0.5)[:, None] | (free.axes[1] < -2.0)
    assert bool(outside.any())
    assert torch.equal(walled.potential.isinf(), outside)
    assert float(walled.potential.min()) == 0
    assert bool((walled.flux[outside] == 0).all())
    alone = slice_map(ring.potential, u, scale=0.1, box=box)
    assert_close(alone.potential, walled.potential)
    assert bool(alone.flux.isnan().all())
    assert "flux" not in note(plot(alone))
    assert "arrows: flux" in note(plot(walled))
    quiet = plot(slice_map(ring.potential, u))
    assert [bar.get_ylabel() for bar in quiet.child_axes] == ["V - min V"]


def note(ax):
    return ax.get_legend().get_title().get_text()


@pytest.mark.parametrize("turn", [2.0, 0.0])
def test_orbit_map_counts_the_flux_where_it_is_sure(turn):
    A = torch.tensor([[-1.0, -turn], [turn, -1.0]], dtype=torch.float64)
    f = snt.EulerMaruyama(snt.systems.OrnsteinUhlenbeck(A, diffusion=1.0), dt=0.05)
    start = torch.randn(400, 2, dtype=torch.float64, generator=torch.Generator())
    orbit = snt.rollout(f, start, 120, generator=torch.Generator())
    found = orbit_map(lambda y: y.square().sum(-1) / 2, orbit, torch.eye(2).double(), scale=1.0,
                      dt=0.05)  # fmt: skip
    assert found.marginal
    at = torch.stack(torch.meshgrid(*found.axes, indexing="ij"), -1)
    moved = found.velocity.norm(dim=-1) > 0
    turned = at[..., 0] * found.velocity[..., 1] - at[..., 1] * found.velocity[..., 0]
    near = (at.norm(dim=-1) > 0.6) & (at.norm(dim=-1) < 1.4)
    if turn:
        assert bool(moved[near].all())
        speed = turned[near] / at[near].square().sum(-1)
        assert abs(float(speed.mean()) - turn) < 0.1 * turn
        assert bool((speed > 0).all())
    else:
        assert float(moved.double().mean()) < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: examine(f, lambda u: u.sum(-1), torch.randn(4, 3)), "u: expected 2"),
        (lambda f: stationarity(f, torch.randn(4, 2).double()), "at least 8"),
        (lambda f: potential_map(f, lambda u: u.sum(-1), torch.randn(9, 2).double(), cells=1),
         "cells: expected"),
        (lambda f: potential_map(f, lambda u: u.sum(-1), torch.randn(9, 2).double(),
                                 plane=2 * torch.eye(2).double()), "plane: expected orthonormal"),
        (lambda f: potential_map(lambda u: -u, lambda u: u.sum(-1), torch.randn(9, 1)),
         "N: expected"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(linear()[0])
