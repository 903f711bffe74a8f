"""Replicas come together, or not."""

import numpy as np
import pytest
import torch
from references import gaussian_pair
from torch.testing import assert_close

from sntorch.meanfield import evolve, replicas
from sntorch.meanfield.dynamic import Equations, divided
from sntorch.meanfield.record import enter
from sntorch.meanfield.tables import Tables


def test_replicas_come_together_exactly_where_the_exponent_is_negative():
    pair = replicas(gain=2.0, noise=[0.3, 0.6, 0.7, 1.0])
    assert pair.synchronised.tolist() == [False, False, True, True]
    assert (pair.distance_common > 1e-3).tolist() == [True, True, False, False]
    assert bool((pair.distance_independent > pair.distance_common).all())
    v, q = float(pair.field.variance[0]), float(pair.common[0])
    product = gaussian_pair(lambda u: np.tanh(2 * u), (0, 0), (v, v), q)
    assert q == pytest.approx(product + 0.09, abs=1e-8)
    assert set(pair.scalars()) == {"distance_common", "distance_independent"}


def test_replicas_without_noise_are_what_is_frozen():
    pair = replicas(gain=[1.5, 2.0], threshold_std=[2.0, 0.4])
    assert float(pair.common[0]) == float(pair.field.variance[0])
    assert float(pair.common[1]) == pytest.approx(0.60027084, abs=1e-8)
    assert_close(pair.common, pair.independent, rtol=0, atol=1e-9)


def test_replicas_with_leak():
    calm, chaotic = replicas(gain=0.4, leak=0.5, noise=0.5), replicas(gain=2.0, leak=0.5, noise=0.3)
    assert float(calm.distance_common) == 0
    q = float(chaotic.common)
    # What the noise itself leaves in both, and less than all.
    assert 0.09 / 0.75 < q < float(chaotic.field.variance)
    assert float(chaotic.independent) < 1e-9


@pytest.mark.parametrize(
    ("transfer", "gain", "noise"), [("tanh01", 24.0, 1.0), ("tanh01", 8.0, 0.1), ("erf", 2.0, 0.3)]
)
def test_replicas_with_leak_have_the_smallest_covariance_of_all_solutions(transfer, gain, noise):
    """Replicas that are one are a solution too: plain rounds from below end before it."""
    numbers = {"gain": gain, "leak": 0.5, "noise": noise, "threshold_std": 0.4}
    pair = replicas(transfer=transfer, threshold=0.2, **numbers)
    field = pair.field
    p, _, _, phi = enter({"std": 1.0, "mean": 0.0} | {"threshold": 0.2} | numbers, transfer)
    law = (each.reshape(1, 1) for each in (field.mean, field.variance))
    t, lags = Tables.of(phi, p), field.covariances.shape[-1] - 1
    g, x = Equations(t, lags, 256), torch.stack([*law], -1)
    pairs, D, change = g.pairs(x, g.mesh(x)), torch.full((1, 1, lags + 1), 0.16).double(), 1.0
    while change > 1e-13:
        new = divided(g.field(pairs, D), g.filter)
        D, change = new, float((new - D).abs().max())
    assert float(pair.common) == pytest.approx(float(D[0, 0, 0]), abs=1e-9)
    assert float(pair.distance_common) > 1e-3


def test_two_replicas_are_two_times_of_one_network():
    # At leak 0 the covariance between times is that of replicas with independent noise.
    two = evolve(80, gain=1.5, noise=0.4, threshold_std=0.2)
    pair = replicas(gain=1.5, noise=0.4, threshold_std=0.2)
    assert float(two.covariance[-1, -20]) == pytest.approx(float(pair.independent), abs=1e-7)
