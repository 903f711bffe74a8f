"""Flux velocity, divergence and the residual of the stationary equation."""

import pytest
import torch
from quadratics import NOISES, linear, quadratic
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape.velocity import divergence, hjb_residual

every_noise = pytest.mark.parametrize("noise", NOISES)


@every_noise
def test_stationary_equation_holds_for_the_truth_alone(noise):
    flow, _, K = linear(noise)
    u = torch.randn(30, 2, dtype=torch.float64)
    assert float(hjb_residual(flow, quadratic(K), u).detach().abs().max()) < 1e-12
    wrong = hjb_residual(flow, quadratic(1.2 * K), u).detach()
    assert float(wrong.abs().mean()) > 0.05
    many = u.repeat(900, 1, 1)
    probed = hjb_residual(flow, quadratic(1.2 * K), many, probes=1).detach()
    error = probed.std(0) / 30
    assert bool(((probed.mean(0) - wrong).abs() <= 5 * error + 1e-9).all())


def test_divergence_is_the_trace_of_the_jacobian():
    flow = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(12, std=2.0, dtype=torch.float64))
    u = torch.randn(5, 12, dtype=torch.float64)
    trace = flow.jacobian(u).diagonal(dim1=-2, dim2=-1).sum(-1)
    every = divergence(flow, u.repeat(3000, 1, 1))
    assert bool(((every.mean(0) - trace).abs() < 5 * every.std(0) / 3000**0.5).all())
    assert_close(divergence(flow, u[:, :]).shape, trace.shape)
