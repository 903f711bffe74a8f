"""Overlaps that are nearly the variance, against closed forms and a plain plane of nodes."""

import numpy as np
import pytest
import torch
from references import gaussian_pair
from scipy.optimize import brentq
from torch.testing import assert_close

from sntorch.meanfield import solve
from sntorch.meanfield.nearby import plane
from sntorch.transfer import as_transfer


@pytest.mark.parametrize("name", ["erf", "normal_cdf"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0])
def test_the_plane_agrees_with_closed_forms(name, share):
    phi = as_transfer(name)
    gain, mu, v = (torch.tensor([each], dtype=torch.float64) for each in (2.5, 0.3, 1.2))
    value, slope = plane(phi, gain, mu, v, share * v, fine=0)
    m, s = gain * mu, gain.square() * v
    assert_close(value, phi.product(m, s, share * s), rtol=1e-12, atol=1e-13)
    expected = gain.square() * phi.slope_product(m, s, share * s)
    assert_close(slope, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize(("gain", "threshold_std"), [(9.0, 0.9), (10.0, 1.1), (10.0, 1.11)])
def test_the_overlap_at_the_onset_of_chaos(gain, threshold_std):
    # Series of 128 terms have lost the root below v here, those of 2048 its sixth digit.
    field = solve(gain=gain, threshold_std=threshold_std, transfer="tanh01")
    assert field.chaotic
    assert field.slope_pair < 1  # the smaller of two roots
    mean, v, q = field.mean.item(), field.variance.item(), field.overlap.item()

    def f(u):
        return 1 / (1 + np.exp(-2 * gain * u))

    def miss(q):
        return gaussian_pair(f, (mean,) * 2, (v,) * 2, q, nodes=1601) + threshold_std**2 - q

    root = brentq(miss, q - 0.02 * (v - q), q + 0.02 * (v - q), xtol=1e-15)
    assert q == pytest.approx(root, rel=0, abs=1e-10)
