"""Orbits of the mean field of populations: rest and cycles that can be written down."""

import math

import numpy as np
import pytest
import scipy
import torch
from torch.testing import assert_close

from sntorch.meanfield.orbits import arrive, follow, static_overlap
from sntorch.meanfield.tables import read
from sntorch.transfer import as_transfer


def tables(transfer, std, mean, **numbers):
    zero = {"threshold": 0.0, "threshold_std": 0.0, "noise": 0.0, "leak": 0.0}
    return read(as_transfer(transfer), std, mean, **(zero | numbers))[0]


def started(t):
    mu = torch.full_like(t.gain, 0.3)
    return mu, torch.full_like(t.gain, 0.5)


def test_a_linear_network_comes_to_rest():
    t = tables("linear", [[0.6]], [[0.5]], gain=1.2, threshold=0.1, threshold_std=0.2, noise=0.3)
    found = follow(t, *started(t), 400, 20)
    keep, power = 1 - 0.5 * 1.2, (0.6 * 1.2) ** 2
    mu = -0.1 / keep
    v = (power * mu**2 + 0.04 + 0.09) / (1 - power)
    assert found["period"].tolist() == [1]
    assert_close(found["mean"].item(), mu)
    assert_close(found["variance"].item(), v)
    assert_close(found["overlap"].item(), (power * mu**2 + 0.04) / (1 - power))
    assert_close(found["microscopic"].item(), math.log(0.6 * 1.2))
    assert_close(found["macroscopic"].item(), math.log(0.5 * 1.2))
    assert found["residual"].item() < 1e-13


def test_inhibition_makes_a_cycle_of_two():
    # mu' = -2 tanh(1.5 mu) without randomness: +a and -a in turns, a = 2 tanh(1.5 a).
    t = tables("tanh", [[0.0]], [[-2.0]], gain=1.5)
    found = follow(t, *started(t), 200, 20)
    a = scipy.optimize.brentq(lambda a: 2 * math.tanh(1.5 * a) - a, 0.5, 2)
    assert found["period"].tolist() == [2]
    np.testing.assert_allclose(found["means"].abs().flatten(), a, rtol=1e-10)
    assert (found["means"][1:] * found["means"][:-1] < 0).all()
    slope = 2 * 1.5 / math.cosh(1.5 * a) ** 2
    assert found["macroscopic"].item() == pytest.approx(math.log(slope), abs=1e-9)


def test_populations_that_do_not_meet_are_alone():
    both = tables("tanh", [[1.5, 0.0], [0.0, 0.8]], 0.0, gain=1.0, noise=[0.1, 0.4])
    found = follow(both, *started(both), 300, 20)
    for i, (std, noise) in enumerate(((1.5, 0.1), (0.8, 0.4))):
        one = tables("tanh", [[std]], 0.0, gain=1.0, noise=noise)
        alone = follow(one, *started(one), 300, 20)
        assert_close(found["variance"][0, i], alone["variance"][0, 0], rtol=1e-12, atol=0)
        assert_close(found["slope_sq"][0, i], alone["slope_sq"][0, 0], rtol=1e-11, atol=0)


def test_arrive_ends_where_the_map_stays():
    t = tables("erf", [[1.5]], [[0.3]], gain=1.0, threshold=0.1, noise=0.2)
    mu, v = started(t)
    for _ in range(5):
        mu, v = t.image(t.at(mu, v))
    mu, v = arrive(t, mu, v)
    assert_close(torch.cat(t.image(t.at(mu, v))), torch.cat([mu, v]), rtol=0, atol=1e-14)


def test_overlap_of_a_linear_network():
    t = tables("linear", [[0.6]], 0.0, gain=1.0, threshold_std=0.2, noise=0.5)
    v = torch.tensor([[(0.04 + 0.25) / (1 - 0.36)]], dtype=torch.float64)
    q, pair = static_overlap(t, torch.zeros_like(v), v)
    assert q.item() == pytest.approx(0.04 / (1 - 0.36), rel=1e-12)
    assert pair.item() == pytest.approx(1.0, rel=1e-9)
