"""Replicas come together, or not."""

import numpy as np
import pytest
from references import gaussian_pair
from torch.testing import assert_close

from sntorch.meanfield import evolve, replicas


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


def test_two_replicas_are_two_times_of_one_network():
    # At leak 0 the covariance between times is that of replicas with independent noise.
    two = evolve(80, gain=1.5, noise=0.4, threshold_std=0.2)
    pair = replicas(gain=1.5, noise=0.4, threshold_std=0.2)
    assert float(two.covariance[-1, -20]) == pytest.approx(float(pair.independent), abs=1e-7)
