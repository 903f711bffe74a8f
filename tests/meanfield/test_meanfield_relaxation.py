"""Newton's method beside the map: closed solutions, narrows, rows of their own, lost roots."""

import math

import pytest
import torch
from torch.testing import assert_close

from sntorch.meanfield import solve
from sntorch.meanfield.averages import CLOSED, intervals
from sntorch.meanfield.record import enter
from sntorch.meanfield.relaxation import newton
from sntorch.transfer import as_transfer


def found(transfer, mu, v, warm=2, **numbers):
    zero = {"mean": 0.0, "threshold": 0.0, "threshold_std": 0.0, "noise": 0.0, "leak": 0.0}
    p, shape, _, phi = enter(zero | {"std": 1.0} | numbers, transfer)
    x = (torch.full(shape, each, dtype=torch.float64).reshape(-1) for each in (mu, v))
    law = tuple(x)
    mesh = int(intervals(p.gain, law[1], CLOSED if transfer == "linear" else 0).max())
    return newton(phi, p, law[0], law[1], mesh, warm)


def test_linear_networks_are_solved_in_one_step():
    mu, v, residual = found("linear", 0.3, 1.0, gain=0.8, mean=0.5, threshold=0.1, noise=0.3)
    expected = -0.1 / (1 - 0.4)
    assert mu.item() == pytest.approx(expected, rel=1e-9)
    assert v.item() == pytest.approx((0.64 * expected**2 + 0.09) / (1 - 0.64), rel=1e-9)
    assert residual.item() < 1e-7


def test_rows_move_on_their_own():
    gain = [0.4, 1.02, 1.5, 3.0, 2.0]
    mean = [0.5, 1.1, 1.0404, 0.0, 1.0454]
    together = found("tanh", 0.5, 1.0, gain=gain, mean=mean)
    for i, (g, m) in enumerate(zip(gain, mean, strict=True)):
        alone = found("tanh", 0.5, 1.0, gain=g, mean=m)
        tolerance = 1e-9 if i == 4 else 1e-12  # beside a transition digits are lost
        assert_close(together[:2, i], alone[:2, 0], rtol=tolerance, atol=tolerance)


def test_narrows_are_passed():
    # Where a mean is about to appear, a Newton step leads far along the flat direction.
    gain = torch.linspace(1.2, 2.4, 13, dtype=torch.float64)
    field = solve(gain=gain[:, None], mean=torch.linspace(0.98, 1.08, 11, dtype=torch.float64))
    assert field.converged.all()
    assert (field.macroscopic < 1e-9).all()


def test_laws_that_only_rounding_keeps_alive_end_at_rest():
    field = solve(gain=0.5, mean=[1.0, 1.4, 1.9])
    assert_close(field.variance, torch.zeros(3).double(), rtol=0, atol=0)
    assert field.converged.all()


def test_rounding_makes_no_negative_second_moment():
    phi = as_transfer("relu")
    z = torch.linspace(-12, 0, 500, dtype=torch.float64)
    assert (phi.second_moment(z, 1.0) >= 0).all()
    field = solve(gain=torch.linspace(0.3, 1, 12).double()[:, None],
                  threshold=torch.linspace(0, 1.2, 12).double(), transfer="relu")  # fmt: skip
    assert field.converged.all()
    assert math.isclose(field.variance.max().item(), 0, abs_tol=1e-12)
