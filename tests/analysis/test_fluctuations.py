"""Fluctuation and dissipation: exact in linear networks, violated in small chaotic ones."""

import pytest
import torch
from references import NoisyRotation, nine_neurons, random_generator, settled
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import (
    FluctuationDissipation,
    fluctuation_dissipation,
    linear_response,
)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def test_linear_networks_obey():
    f = NoisyRotation(0.9, 0.5, sigma=1.0)
    u = settled(f, 64)
    exact = linear_response(f, u, lags=6, samples=64, method="tangent")
    orbit = snt.rollout(f, u, 2000, generator=random_generator(4))
    found = fluctuation_dissipation(exact, orbit)
    z = found.difference[1:] / found.stderr[1:]
    assert float(z.abs().max()) < 4.5
    assert 0.6 < float(z.square().mean().sqrt()) < 1.5
    assert float(found.violation.max()) < 0.03
    assert_close(found.correlation[0], torch.eye(2).double() / 0.19, rtol=0.05, atol=0.15)
    # A kernel with errors of its own counts them.
    rough = linear_response(f, u, lags=6, samples=640, method="noise")
    test = fluctuation_dissipation(rough, orbit)
    z = test.difference[1:] / test.stderr[1:]
    assert 0.5 < float(z.square().mean().sqrt()) < 1.5
    assert float(test.floor[1]) > 2 * float(found.floor[1])


def test_small_chaotic_networks_do_not():
    """Violated by tens of per cent at N = 9: far beyond the floor."""
    f = nine_neurons(noise=0.15)
    u = settled(f, 256)
    response = linear_response(f, u, lags=4, samples=50_000, method="tangent")
    orbit = snt.rollout(f, u, 400, generator=random_generator(4))
    found = fluctuation_dissipation(response, orbit)
    assert float(found.violation[0]) == 0
    assert float(found.violation[1]) > max(0.1, 5 * float(found.floor[1]))
    assert set(found.scalars()) == {"violation", "violation_max", "floor"}
    assert isinstance(found, FluctuationDissipation)


def test_orbits_that_do_not_fit():
    f = NoisyRotation(0.9, 0.5, sigma=1.0)
    response = linear_response(f, states(4, 2), lags=4, samples=8, method="tangent")
    for orbit in (states(100, 2), states(400, 3)):
        with pytest.raises(ValueError, match="orbit: expected"):
            fluctuation_dissipation(response, orbit)
