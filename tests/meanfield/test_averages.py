"""Averages in bulk against fine sums, closed forms and differences; series of pairs."""

import numpy as np
import pytest
import torch
from references import gaussian_mean, gaussian_pair
from torch.testing import assert_close

import sntorch as snt
from sntorch.meanfield.averages import (
    CLOSED,
    fineness,
    image,
    intervals,
    moments,
)
from sntorch.meanfield.pairs import Pairs, coefficients
from sntorch.transfer import TRANSFERS, as_transfer

GAIN = torch.tensor([0.7, 2.0, -1.5, 5.0], dtype=torch.float64)
MU = torch.tensor([0.0, 0.4, -0.3, 0.1], dtype=torch.float64)
V = torch.tensor([0.5, 1.7, 0.2, 0.9], dtype=torch.float64)


def numpy_function(phi, gain):
    return lambda u: phi(torch.as_tensor(gain * u)).numpy()


@pytest.mark.parametrize("name", TRANSFERS)
def test_averages_against_fine_sums(name):
    phi = as_transfer(name)
    fine = fineness(phi, GAIN, MU, V)
    mesh = int(intervals(GAIN, V, fine).max())
    at = moments(phi, GAIN, MU, V, mesh)
    nodes = 400001 if name in ("relu", "hill") else 20001  # a kink costs digits
    for i in range(len(V)):
        g, m, v = float(GAIN[i]), float(MU[i]), float(V[i])
        f = numpy_function(phi, g)
        slope = numpy_function(phi.derivative, g)
        expected = {
            "mean": gaussian_mean(f, m, v, nodes),
            "square": gaussian_mean(lambda u, f=f: f(u) ** 2, m, v, nodes),
            "slope": gaussian_mean(lambda u, s=slope, g=g: g * s(u), m, v, nodes),
            "slope_sq": gaussian_mean(lambda u, s=slope, g=g: (g * s(u)) ** 2, m, v, nodes),
        }
        tolerance = {"relu": 1e-3, "hill": 1e-8}.get(name, 1e-10)  # a kink, in f or in f'''
        for key, value in expected.items():
            rel = tolerance if "slope" in key else min(tolerance, 1e-7)
            assert float(getattr(at, key)[i]) == pytest.approx(value, rel=rel, abs=1e-11)


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("variance", [None, 1e-9])
def test_derivatives_are_differences(name, variance):
    phi = as_transfer(name)
    v = V if variance is None else torch.full_like(V, variance)
    mesh = int(intervals(GAIN, V, fineness(phi, GAIN, MU, V)).max())
    mu = MU + 0.05  # off the kink of functions that have one
    value = image(phi, GAIN, mu, v, mesh)
    e = 1e-5
    ahead, behind = image(phi, GAIN, mu + e, v, mesh), image(phi, GAIN, mu - e, v, mesh)
    np.testing.assert_allclose(value[:, 1], (ahead - behind)[:, 0] / (2 * e), rtol=1e-5, atol=1e-6)
    d = e if variance is None else 1e-6
    low = v - d if variance is None else v
    ahead, behind = image(phi, GAIN, mu, v + d, mesh), image(phi, GAIN, mu, low, mesh)
    expected = (ahead - behind)[:, 0] / (v + d - low).numpy()
    np.testing.assert_allclose(value[:, 2], expected, rtol=1e-3, atol=1e-4)


def test_kinks_ask_for_closed_forms_and_smooth_functions_do_not():
    assert fineness(as_transfer("relu"), GAIN, MU, V) == CLOSED
    assert fineness(as_transfer("erf"), GAIN, MU, V) >= 0
    assert fineness(as_transfer("hill"), GAIN, MU, V) > fineness(as_transfer("tanh"), GAIN, MU, V)


def test_steep_functions():
    # gain 50: sums of h in steps of 0.2 are wrong by percents, the mesh follows the gain.
    gain, mu, v = (torch.tensor([x], dtype=torch.float64) for x in (50.0, 0.0, 0.98))
    phi = as_transfer("tanh")
    mesh = int(intervals(gain, v, fineness(phi, gain, mu, v)))

    def slope_sq(u):
        return (50 * (1 - np.tanh(50 * u) ** 2)) ** 2

    slope = gaussian_mean(slope_sq, 0, 0.98, 200001)
    assert float(moments(phi, gain, mu, v, mesh).slope_sq) == pytest.approx(slope, rel=1e-11)
    coarse = gaussian_mean(slope_sq, 0, 0.98, 121)
    assert abs(coarse / slope - 1) > 0.05


@pytest.mark.parametrize("name", ["tanh", "tanh01", "softplus", "erf", "relu"])
def test_pairs(name):
    phi = as_transfer(name)
    gain, mu, v = (torch.tensor([x], dtype=torch.float64) for x in (1.3, 0.2, 1.1))
    mesh = int(intervals(gain, v, fineness(phi, gain, mu, v)))
    pairs = Pairs(phi, gain, mu, v, mesh, 256)
    for c in (-0.9, -0.2, 0.0, 0.5, 1.0, 1.1):
        f = numpy_function(phi, 1.3)
        slope = numpy_function(phi.derivative, 1.3)
        value = gaussian_pair(f, (0.2, 0.2), (1.1, 1.1), c)
        slopes = 1.3**2 * gaussian_pair(slope, (0.2, 0.2), (1.1, 1.1), c)
        D = torch.tensor([[c]], dtype=torch.float64)
        kink = name == "relu"
        assert float(pairs(D)) == pytest.approx(value, rel=1e-3 if kink else 1e-9, abs=1e-10)
        assert float(pairs.slope(D)) == pytest.approx(slopes, rel=2e-2 if kink else 1e-6)


def test_coefficients_hold_all_of_the_mass():
    gain, mu, v = (torch.tensor([x], dtype=torch.float64) for x in (1.0, 0.3, 1.0))
    a, mass = coefficients(as_transfer("tanh"), gain, mu, v, 96, 512)
    expected = gaussian_mean(lambda u: np.tanh(u) ** 2, 0.3, 1.0)
    assert float(mass) == pytest.approx(expected, rel=1e-13)
    assert float(a.square().sum()) == pytest.approx(expected, rel=1e-12)
    assert float(a[0, 1]) == pytest.approx(  # Stein: E h f = E f'
        gaussian_mean(lambda u: 1 / np.cosh(u) ** 2, 0.3, 1.0), rel=1e-12
    )


def test_series_of_few_terms_is_exact_at_the_ends():
    gain, mu, v = (torch.tensor([x], dtype=torch.float64) for x in (3.0, 0.0, 1.0))
    pairs = Pairs(as_transfer("tanh"), gain, mu, v, 384, 16)
    at = moments(as_transfer("tanh"), gain, mu, v, 384)
    D = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert_close(pairs(D)[0, 1], at.square[0], rtol=1e-13, atol=0)
    assert_close(pairs.slope(D)[0], torch.stack([at.slope[0] ** 2, at.slope_sq[0]]))


def test_laws_that_no_mesh_resolves_are_not_called_solved():
    found = snt.meanfield.solve(gain=torch.tensor([1e3, 1e5]))
    assert found.converged.tolist() == [True, False]
