"""Transfer functions against mpmath, autograd and their own largest slope."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import random_coupling, snt_step
from torch.testing import assert_close

import sntorch as snt
from sntorch.transfer import (
    TRANSFERS,
    Erf,
    Hill,
    Linear,
    NormalCdf,
    Relu,
    Sigmoid,
    Softplus,
    Tanh,
    Tanh01,
    Transfer,
    as_transfer,
)


def hill(z):
    return z**4 / (mpmath.mpf(1) / 16 + z**4) if z > 0 else mpmath.mpf(0)


REFERENCE = {
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "normal_cdf": mpmath.ncdf,
    "tanh01": lambda z: (1 + mpmath.tanh(z)) / 2,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "hill": hill,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "linear": lambda z: z,
}
POINTS = torch.cat([torch.linspace(-6, 6, 49), torch.tensor([0.0, 1e-8, -30.0, 30.0])]).double()

every_transfer = pytest.mark.parametrize("name", TRANSFERS)


class Cubic(snt.Transfer):
    """A transfer function of the user's own."""

    supremum = float("inf")

    def __call__(self, z):
        return z - z**3 / 3

    def derivative(self, z):
        return 1 - z**2


def exactly(function):
    with mpmath.workdps(40):
        values = [float(function(mpmath.mpf(float(z)))) for z in POINTS]
    return torch.tensor(values, dtype=torch.float64)


def test_every_name_has_a_reference():
    assert set(REFERENCE) == set(TRANSFERS)


@every_transfer
def test_value(name):
    assert_close(TRANSFERS[name](POINTS), exactly(REFERENCE[name]), rtol=1e-12, atol=1e-15)


@every_transfer
def test_derivative(name):
    expected = exactly(lambda z: mpmath.diff(REFERENCE[name], z))
    smooth = (POINTS != 0) | (name not in ("relu", "hill"))  # kinks have no central difference
    slope = TRANSFERS[name].derivative(POINTS)
    assert_close(slope[smooth], expected[smooth], rtol=1e-12, atol=1e-12)


@every_transfer
def test_derivative_is_that_of_autograd(name):
    phi, z = TRANSFERS[name], POINTS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    assert_close(phi.derivative(POINTS), slope, rtol=1e-12, atol=1e-12)


@every_transfer
def test_value_and_derivative_come_together(name):
    phi = TRANSFERS[name]
    together = phi.with_derivative(POINTS)
    assert torch.equal(together[0], phi(POINTS))
    assert torch.equal(together[1], phi.derivative(POINTS))


@every_transfer
def test_supremum_is_the_largest_slope(name):
    phi = TRANSFERS[name]
    slopes = phi.derivative(torch.linspace(-20, 20, 40001, dtype=torch.float64)).abs()
    assert slopes.max() <= phi.supremum * (1 + 1e-15)
    assert slopes.max() > phi.supremum * (1 - 1e-6)


@every_transfer
@given(shape=st.lists(st.integers(0, 3), max_size=3))
def test_shape_and_dtype_are_kept(name, shape):
    for kind in (torch.float32, torch.float64):
        z = torch.ones(shape, dtype=kind)
        for value in (TRANSFERS[name](z), *TRANSFERS[name].with_derivative(z)):
            assert (value.shape, value.dtype) == (z.shape, kind)


@pytest.mark.parametrize(
    "kind", [Tanh, Erf, NormalCdf, Tanh01, Sigmoid, Hill, Relu, Softplus, Linear]
)
def test_a_name_is_that_of_its_class(kind):
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__)[1:]
    assert type(as_transfer(name)) is kind
    assert torch.equal(kind()(POINTS), TRANSFERS[name](POINTS))


def test_names():
    assert (type(as_transfer("tanh")), type(as_transfer("erf"))) == (Tanh, Erf)
    phi = Erf()
    assert as_transfer(phi) is phi
    assert repr(phi) == "erf"


@pytest.mark.parametrize("bad", ["softmax", "Tanh", "", None, 3, torch.tanh, Tanh])
def test_unknown_transfer_is_named(bad):
    for door in (as_transfer, lambda t: snt.SNTCell(torch.eye(2), transfer=t)):
        with pytest.raises(ValueError, match="transfer: expected one of tanh, erf"):
            door(bad)


def test_a_transfer_of_ones_own_in_a_cell():
    J, u = random_coupling(), torch.randn(4, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=0.7, transfer=Cubic())
    assert_close(cell.map(u).detach(), snt_step(u, None, J, gain=0.7, phi=lambda z: z - z**3 / 3))
    expected = J * (0.7 * (1 - (0.7 * u) ** 2))
    assert_close(cell.jacobian(u).detach(), expected)


# Gaussian averages, against panels of Gauss-Legendre nodes at which mpmath knows the function

LAWS = [(0.0, 0.0), (0.0, 0.3), (0.7, 1.0), (-1.5, 4.0), (0.4, 25.0)]


def law(m, v):
    """Return nodes (K,) and weights (K,) of N(m, v): 16 in every half unit, a break at zero."""
    s = math.sqrt(v)
    if not v:
        return np.array([m]), np.ones(1)
    kink = [0.0] if abs(m) < 8 * s else []
    cuts: list[float] = sorted([m - 8 * s, *kink, m + 8 * s])
    x, w = np.polynomial.legendre.leggauss(16)
    nodes, weights = [], []
    for low, high in itertools.pairwise(cuts):
        ends = np.linspace(low, high, 2 + int((high - low) / min(0.5, s)))
        half = np.diff(ends)[:, None] / 2
        z = ends[:-1, None] + half * (1 + x)
        nodes.append(z.ravel())
        weights.append((half * w * np.exp(-(((z - m) / s) ** 2) / 2)).ravel())
    return np.concatenate(nodes), np.concatenate(weights) / math.sqrt(2 * math.pi * v)


def slope_of(name):
    if name == "relu":
        return lambda z: z > 0
    f, tiny = REFERENCE[name], mpmath.mpf(10) ** -8
    return lambda z: (f(z + tiny) - f(z - tiny)) / (2 * tiny)


@every_transfer
@pytest.mark.parametrize(("m", "v"), LAWS)
def test_averages(name, m, v):
    phi, (nodes, weights) = TRANSFERS[name], law(m, v)
    found = [phi.mean(m, v), phi.second_moment(m, v), phi.slope(m, v), phi.slope_sq(m, v)]
    with mpmath.workdps(30):
        f, df = (
            np.array([float(function(mpmath.mpf(z))) for z in nodes])
            for function in (REFERENCE[name], slope_of(name))
        )
    expected = torch.from_numpy(np.stack([f, f**2, df, df**2]) @ weights)
    # The slope at a kink is a matter of taste.
    count = 2 if name == "relu" and (m, v) == (0.0, 0.0) else 4
    assert_close(torch.stack(found)[:count], expected[:count], rtol=1e-10, atol=1e-10)


def pair_integral(name, m, v, c):
    """Return E f f by nested Gauss-Legendre rules in the two independent parts."""
    x, w = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(400))
    h, weight = 10 * x, 10 * w * torch.exp(-50 * x**2) / math.sqrt(2 * math.pi)
    second = (c * h[:, None] + math.sqrt(v**2 - c**2) * h) / math.sqrt(v)
    phi = TRANSFERS[name]
    inner = phi(m + second) @ weight
    return float((phi(m + math.sqrt(v) * h) * inner) @ weight)


@every_transfer
@pytest.mark.parametrize("rho", [-0.8, -0.3, 0.0, 0.5, 0.9])
@pytest.mark.parametrize(("m", "v"), [(0.0, 1.0), (0.4, 2.0)])
def test_average_of_a_pair(name, m, v, rho):
    found = float(TRANSFERS[name].product(m, v, rho * v))
    # the plain rule resolves kinks poorly; smooth functions it knows to rounding
    tolerance = {"relu": 1e-3, "hill": 2e-5}.get(name, 1e-9)
    assert found == pytest.approx(pair_integral(name, m, v, rho * v), rel=tolerance, abs=tolerance)


@every_transfer
def test_pair_at_full_and_at_no_correlation(name):
    phi, m, v = TRANSFERS[name], 0.3, 1.7
    tolerance = 1e-8 if name == "hill" else 1e-10  # three derivatives at its start, no more
    assert_close(phi.product(m, v, v), phi.second_moment(m, v), rtol=tolerance, atol=1e-12)
    assert_close(phi.product(m, v, 0.0), phi.mean(m, v) ** 2, rtol=tolerance, atol=1e-12)


@every_transfer
def test_slope_of_the_pair_average_is_the_average_of_slopes(name):
    """Price's theorem: d/dc E f f = E f' f', which is (E f')^2 at c = 0 and E f'^2 at c = v."""
    phi, m, v, step = TRANSFERS[name], 0.3, 1.2, 1e-4
    rise = (phi.product(m, v, step) - phi.product(m, v, -step)) / (2 * step)
    assert_close(rise, phi.slope(m, v) ** 2, rtol=1e-6, atol=1e-8)
    closed = type(phi).product is not Transfer.product
    if closed:
        c = torch.tensor([-0.7, 0.2, 0.9], dtype=torch.float64)
        rise = (phi.product(m, v, c + step) - phi.product(m, v, c - step)) / (2 * step)
        assert_close(phi.slope_product(m, v, c), rise, rtol=1e-6, atol=1e-8)
        assert_close(phi.slope_product(m, v, v), phi.slope_sq(m, v), rtol=1e-11, atol=0)
    if closed or name == "tanh":
        assert_close(phi.slope_product(m, v, 0.0), phi.slope(m, v) ** 2, rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13])
def test_hill_functions_of_every_steepness(n):
    phi, z = Hill(n, 0.7), torch.tensor([-1.0, 0.0, 1e-3, 0.4, 0.7, 2.0, 1e200]).double()
    power = (z.clamp(min=0) / 0.7) ** n
    assert_close(phi(z)[:-1], (power / (1 + power))[:-1], rtol=1e-13, atol=0)
    slope = n * (z[2:-1] / 0.7) ** (n - 1) / (1 + power[2:-1]) ** 2 / 0.7
    assert_close(phi.derivative(z)[2:-1], slope, rtol=1e-13, atol=0)
    assert phi(z)[-1] == 1
    assert phi.derivative(z)[[0, 1, -1]].tolist() == [0, 0, 0]


def test_closed_forms_of_the_reference():
    v, erf = 0.4785565006, TRANSFERS["erf"]
    assert float(erf.second_moment(0, 2.25 * v)) == pytest.approx(v, abs=1e-9)
    assert 2.25 * float(erf.slope_sq(0, 2.25 * v)) == pytest.approx(1.2435628655, abs=1e-9)
    g, tanh = 1.5, TRANSFERS["tanh"]
    assert float(tanh.second_moment(0, g**2 * 0.35260180)) == pytest.approx(0.35260180, abs=1e-8)
    assert g * float(tanh.slope(0, g**2 * 0.35260180)) == pytest.approx(0.97109730, abs=1e-8)


def test_averages_broadcast_and_large_gains_are_resolved():
    m, v = torch.linspace(-1, 1, 3)[:, None], torch.tensor([0.1, 1.0, 1600.0])
    table = TRANSFERS["tanh"].slope_sq(m, v)
    assert table.shape == (3, 3)
    for i, j in np.ndindex(3, 3):
        one = TRANSFERS["tanh"].slope_sq(float(m[i]), float(v[j]))
        assert_close(table[i, j], one, rtol=1e-12, atol=0)
    # at steep gain E f'^2 -> (4/3) / sqrt(2 pi v), up to order 1/v
    assert float(TRANSFERS["tanh"].slope_sq(0, 1600)) == pytest.approx(
        4 / 3 / math.sqrt(2 * math.pi * 1600), rel=1e-3
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda phi: phi.mean(0, -1), "variance: expected >= 0"),
        (lambda phi: phi.slope(math.nan, 1), "mean: expected finite"),
        (lambda phi: phi.product(0, 1, 1.5), "covariance: expected at most the variance"),
    ],
)
@pytest.mark.parametrize("name", ["tanh", "relu", "linear"])
def test_impossible_laws_are_named(name, call, message):
    with pytest.raises(ValueError, match=message):
        call(TRANSFERS[name])


def test_hill_of_other_steepness():
    phi = Hill(n=2, half=2.0)
    assert_close(phi(torch.tensor([2.0, -1.0, 1e30])), torch.tensor([0.5, 0.0, 1.0]))
    slopes = phi.derivative(torch.linspace(0, 10, 100001, dtype=torch.float64))
    assert float(slopes.max()) == pytest.approx(phi.supremum, rel=1e-6)
    with pytest.raises(ValueError, match="n: expected"):
        Hill(n=1)


@pytest.mark.parametrize("width", [9.0, 300.0, 1e4, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_averages_over_laws_that_are_much_wider_than_the_function(width, shift):
    """The general rules against the closed forms of erf; equal steps miss what happens at 0."""
    phi, m, v = TRANSFERS["erf"], shift * width, width**2
    for name in ("mean", "second_moment", "slope", "slope_sq"):
        found = getattr(Transfer, name)(phi, m, v)
        assert_close(found, getattr(phi, name)(m, v), rtol=1e-9, atol=1e-13)
    for c in (-0.5 * v, 0.0, 0.3 * v, 0.9999 * v, v):
        found = Transfer.product(phi, m, v, c)
        assert_close(found, phi.product(m, v, c), rtol=0, atol=1e-10)


@pytest.mark.parametrize("width", [9.0, 2000.0])
@pytest.mark.parametrize("shift", [0.0, 1 / 300, 0.3, 2.0])
@pytest.mark.parametrize("name", ["tanh", "erf", "normal_cdf"])
def test_pairs_of_opposite_signs_change_at_two_places(name, width, shift):
    """z2 = 2m - z1: the sum over equal steps, far finer than either change."""
    phi, m, v = TRANSFERS[name], shift * width, width**2
    z = torch.arange(-12 * width, 12 * width, 0.05, dtype=torch.float64)
    weight = torch.exp(-(z / width).square() / 2)
    expected = (phi(m + z) * phi(m - z) * weight).sum() / weight.sum()
    assert_close(phi.product(m, v, -v), expected, rtol=0, atol=1e-12)
    assert_close(Transfer.product(phi, m, v, -v), expected, rtol=0, atol=1e-12)
    nearly = -0.999 * v  # a change is sqrt(v / 1000) wide: what is not shared has been averaged
    found = Transfer.product(TRANSFERS["erf"], m, v, nearly)
    assert_close(found, TRANSFERS["erf"].product(m, v, nearly), rtol=0, atol=1e-10)
