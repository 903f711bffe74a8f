"""Transfer functions against mpmath, autograd and their own largest slope."""

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import random_coupling, snt_step
from torch.testing import assert_close

import sntorch as snt
from sntorch.transfer import TRANSFERS, Erf, Tanh, as_transfer

REFERENCE = {"tanh": mpmath.tanh, "erf": mpmath.erf}
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


@every_transfer
def test_value(name):
    assert_close(TRANSFERS[name](POINTS), exactly(REFERENCE[name]), rtol=1e-12, atol=1e-15)


@every_transfer
def test_derivative(name):
    expected = exactly(lambda z: mpmath.diff(REFERENCE[name], z))
    assert_close(TRANSFERS[name].derivative(POINTS), expected, rtol=1e-12, atol=1e-12)


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
    slopes = phi.derivative(torch.linspace(-10, 10, 20001, dtype=torch.float64)).abs()
    assert slopes.max() <= phi.supremum * (1 + 1e-15)
    assert slopes.max() > phi.supremum * (1 - 1e-6)


@every_transfer
@given(shape=st.lists(st.integers(0, 3), max_size=3))
def test_shape_and_dtype_are_kept(name, shape):
    for kind in (torch.float32, torch.float64):
        z = torch.ones(shape, dtype=kind)
        for value in (TRANSFERS[name](z), *TRANSFERS[name].with_derivative(z)):
            assert (value.shape, value.dtype) == (z.shape, kind)


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
