"""Potentials in closed form: those of the stationary density, and none elsewhere."""

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import MatchedNetwork, known_potential
from sntorch.landscape.known import known_production
from sntorch.landscape.velocity import hjb_residual


def test_known_potentials_are_those_of_the_stationary_density():
    A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]])
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=torch.tensor([0.3, 0.5]))
    u = torch.randn(20, 2)
    residual = hjb_residual(flow, known_potential(flow), u)
    assert float(residual.detach().abs().max()) < 1e-5
    assert known_potential(snt.systems.DoubleWell(2, diffusion=torch.ones(2))) is None
    assert known_potential(snt.systems.Lorenz()) is None
    well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    assert_close(known_potential(well)(u), well.potential(u))


def test_known_entropy_productions_are_those_of_the_literature_and_of_closed_forms():
    well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    assert known_production(well) == pytest.approx(2.1675683, abs=1e-6)
    assert known_production(snt.systems.StuartLandau(diffusion=0.1)) == pytest.approx(10.148330)
    slow = snt.systems.StuartLandau(4.0, 0.5, diffusion=0.4)  # time and D times 4: omega / 8
    assert known_production(slow) == pytest.approx(10.148330 * 4 / 8**2)
    A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]])
    assert known_production(snt.systems.OrnsteinUhlenbeck(A, diffusion=0.7)) == pytest.approx(3.125)
    net = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(3, symmetry=1.0))
    assert known_production(MatchedNetwork(net, temperature=0.2)) == 0
    for unknown in (snt.systems.Lorenz(), snt.systems.DoubleWell(2, circulation=0.5)):
        assert known_production(unknown) is None


def test_the_known_entropy_production_of_a_well_of_any_height_is_the_mean_of_its_flux():
    well = snt.systems.DoubleWell(2, barrier=0.3, circulation=0.8, diffusion=0.4)
    axis = torch.linspace(-4, 4, 801, dtype=torch.float64)
    u = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    weight = torch.exp(-well.potential(u) / 0.4)
    slope = torch.func.grad(lambda v: well.potential(v).sum())(u)
    local = (well.drift(u) + slope).square().sum(-1) / 0.4
    expected = float((local * weight).sum() / weight.sum())
    assert known_production(well) == pytest.approx(expected, rel=1e-6)
