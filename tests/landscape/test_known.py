"""Potentials in closed form: those of the stationary density, and none elsewhere."""

import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import known_potential
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
