"""Critical initialisation: what theory promises, and what a network of 500 neurons then does."""

import math
from typing import Any

import pytest
import torch
from references import random_generator

import sntorch as snt
from sntorch.training import at_edge
from sntorch.training.ensemble import ensemble

WRONG: Any = torch.nn.RNNCell(1, 2)
N = 500  # exponents then scatter by about 0.02


def network(n=N, seed=0, **settings):
    J = snt.couplings.gaussian(n, generator=random_generator(seed), dtype=torch.float64)
    return snt.SNTCell(J, **settings)


def exponent(cell, x=None):
    u = torch.randn(1, cell.size, generator=random_generator(1), dtype=torch.float64)
    return float(
        snt.analysis.max_lyapunov(
            cell, u, 100, transient=100, x=x, generator=random_generator(2)
        ).exponents.mean()
    )


@pytest.mark.parametrize("parameter", ["gain", "std"])
@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({"gain": 3.0}, 0.0),
        ({"gain": 0.5}, -0.2),
        ({"noise": 0.3}, 0.0),
        ({"gain": 2.0, "threshold": 0.2, "transfer": "erf"}, 0.1),
        ({"leak": 0.3, "gain": 0.5}, -0.1),
    ],
)
def test_the_measured_exponent_is_the_target_within_finite_size(settings, target, parameter):
    cell = network(**settings)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    assert at_edge(cell, target, parameter=parameter) is cell
    field = snt.meanfield.solve(**ensemble(cell), transfer=cell.transfer)
    assert float(field.lyapunov) == pytest.approx(target, abs=1e-5)
    assert exponent(cell) == pytest.approx(target, abs=1.5 / N**0.5)
    changed = {"gain": "gain", "std": "coupling"}[parameter]
    for name, value in cell.state_dict().items():
        assert torch.equal(value, before[name]) == (name != changed)


def test_the_drive_counts_as_noise():
    x = torch.randn(200, 1, 3, generator=random_generator(3), dtype=torch.float64)
    torch.manual_seed(0)
    driven = at_edge(network(input_size=3), 0.0, x=x)
    assert float(driven.gain) > 1.5  # 1 without a drive
    assert exponent(driven, x=x) == pytest.approx(0.0, abs=1.5 / N**0.5)


def test_closed_form_without_noise():
    cell = at_edge(network(), math.log(0.7))
    std = (N * cell.coupling.detach().var()).sqrt().item()
    assert float(cell.gain) * std == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: at_edge(WRONG), "cell: expected an SNTCell"),
        (lambda: at_edge(network(10), math.nan), "target_exponent: expected a finite number"),
        (lambda: at_edge(network(10), 9.0), "target_exponent: expected one from .* to .*, got 9"),
        (lambda: at_edge(network(10), parameter="leak"), "parameter: expected one of gain, std"),
        (lambda: at_edge(network(10, gain=0.0)), "cell: expected a gain that is not 0"),
        (lambda: at_edge(network(10), x=torch.zeros(4)), "x: expected at least 2 axes"),
        (lambda: at_edge(network(10), x=torch.zeros(4, 1).double()), r"x: expected \(..., 0\)"),
        (
            lambda: at_edge(
                snt.SNTCell(snt.couplings.sparse(20, degree=4, layout="csr")), parameter="std"
            ),
            "parameter: expected 'gain' for a layer of couplings, got a Sparse",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
