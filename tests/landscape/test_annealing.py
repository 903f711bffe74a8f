"""Cooling: the deeper of two wells, the fixed points of a network."""

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import SpeedPotential, anneal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tilted(u):
    return ((u.square() - 1).square() + 0.3 * u).sum(-1)


def test_annealing_ends_in_the_deeper_well():
    u = torch.ones(100, 1).double()
    found = anneal(tilted, u, 3000, temperature=1.0, generator=generator())
    assert bool(found.converged.all())
    roots = sorted(float(x) for x in _roots([4, 0, -4, 0.3]))
    assert_close(found.states.min(), torch.tensor(roots[0]).double(), rtol=0, atol=1e-7)
    assert float((found.states < 0).double().mean()) > 0.7
    assert bool((found.temperatures.diff() < 0).all())
    quenched = anneal(tilted, u, 1, temperature=1e-6, generator=generator())
    assert bool((quenched.states > 0).all())  # without heat it stays where it was


def _roots(coefficients):
    companion = torch.diag(torch.ones(len(coefficients) - 2), -1).double()
    companion[0] = -torch.tensor(coefficients[1:]).double() / coefficients[0]
    return torch.linalg.eigvals(companion).real


@pytest.mark.slow
def test_annealing_a_network_finds_its_fixed_points():
    J = snt.couplings.gaussian(
        30, std=2.0, symmetry=1.0, generator=generator(3), dtype=torch.float64
    )
    flow = snt.systems.AmariWilsonCowan(J)
    u = torch.randn(20, 30, generator=generator()).double()
    found = anneal(
        SpeedPotential(flow), u, 400, temperature=0.1, descent=4000, generator=generator()
    )
    zero = found.energy < 1e-8
    assert bool(zero.any())
    assert float(flow.drift(found.states[zero]).detach().abs().max()) < 1e-3
