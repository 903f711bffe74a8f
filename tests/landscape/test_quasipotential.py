"""The loss of the quasipotential: 0 for the intrinsic potential alone."""

import torch
from quadratics import linear, quadratic

import sntorch as snt
from sntorch.landscape import NetworkPotential, quasipotential_loss


def test_quasipotential_vanishes_for_the_intrinsic_potential_alone():
    well = snt.systems.DoubleWell(2, circulation=0.5)  # without noise
    u = 2 * torch.rand(500, 2, dtype=torch.float64) - 1

    def rotation(v):
        return well.drift(v) + snt.landscape.as_potential(well.potential).gradient(v)

    for l in (None, rotation):
        assert float(quasipotential_loss(well, well.potential, u, rotation=l).detach()) < 1e-24
    for factor in (0.8, 1.25):
        V = lambda v, f=factor: f * well.potential(v)  # noqa: E731
        assert float(quasipotential_loss(well, V, u).detach()) > 1e-3
    flow, states, K = linear("general")
    assert float(quasipotential_loss(flow, quadratic(K), states).detach()) < 1e-20


def test_a_bounded_potential_is_taken_in_a_box():
    well, V, u = snt.systems.DoubleWell(2), NetworkPotential(2), torch.randn(8, 2)
    assert float(quasipotential_loss(well, V, u, bounded=True).detach()) > 0
