"""The EPR loss and its neighbour: least at the truth, and what they are there."""

import pytest
import torch
from quadratics import DRIFT, NOISES, linear, quadratic, slope_at, symmetric
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    HopfieldEnergy,
    MatchedNetwork,
    epr_loss,
    hjb_loss,
)
from sntorch.landscape.velocity import hjb_residual

every_noise = pytest.mark.parametrize("noise", NOISES)


@every_noise
def test_epr_loss_is_least_at_the_truth_and_is_the_entropy_production_there(noise):
    flow, u, K = linear(noise)
    exact = snt.landscape.linear_flow(DRIFT, NOISES[noise]).entropy_production
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


def test_hjb_loss_adds_the_squared_residual_of_broader_states():
    well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    u = torch.randn(400, 2, dtype=torch.float64)
    plain = epr_loss(well, well.potential, u)
    assert_close(hjb_loss(well, well.potential, u, weight=5.0), plain)
    V = lambda v: 1.1 * well.potential(v)  # noqa: E731

    def relative(u, **options):
        force = well.drift(u).square().sum(-1) / 0.1
        force = (force + 0.03 * force.mean()).detach()
        return (hjb_residual(well, V, u, **options) / 0.1 / force).square().mean()

    at = relative(u)
    assert_close(hjb_loss(well, V, u, weight=2.0, spread=0.0), epr_loss(well, V, u) + 2 * at)
    # at states of the well the scatter of random directions would show in a squared residual
    u = 0.3 * u + torch.tensor([1.0, 0.0])
    at = relative(u)
    many = u.repeat(100, 1)
    found = hjb_loss(well, V, many, weight=2.0, spread=0.0, probes=1).detach()
    expected = (epr_loss(well, V, u) + 2 * at).detach()
    single = relative(many, probes=1).detach()
    assert abs(float(found - expected)) < 0.2 * float(2 * (single - at.detach()))
