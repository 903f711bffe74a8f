"""Networks side by side against the same networks one by one."""

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt

R, N, I, STEPS = 3, 4, 2, 12
ROWS = [(), (1,), (5,), (2, 3)]


def cell(gain=1.2, *, n=N, noise=0.1, inputs=I, transfer="tanh", dtype=torch.float64):
    J = snt.couplings.gaussian(n, std=1.5, dtype=dtype)
    return snt.SNTCell(
        J,
        gain=gain,
        leak=gain / 4,
        threshold=0.1,
        noise=noise,
        transfer=transfer,
        input_size=inputs,
    )


@pytest.fixture
def cells():
    return [cell(gain) for gain in (0.7, 1.2, 2.0)]


def one_by_one(ask, *values):
    """Return what the networks answer each for itself, stacked where their rows are."""
    found = [ask(r, *(value.select(-2, r) for value in values)) for r in range(R)]
    return torch.stack(found, -2)


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_steps_and_tangents_are_those_of_each(cells, rows):
    both, u = snt.Networks(cells), torch.randn(*rows, R, N).double()
    V, x = torch.randn(*u.shape, 3).double(), torch.randn(*rows, R, I).double()
    assert_close(both.map(u, x), one_by_one(lambda r, u, x: cells[r].map(u, x), u, x))
    pushed, pulled = both.jvp(u, V, x)[1], both.vjp(u, V, x)[1]
    for r, single in enumerate(cells):
        assert_close(pushed.select(-3, r), single.jvp(u[..., r, :], V[..., r, :, :])[1])
        assert_close(pulled.select(-3, r), single.vjp(u[..., r, :], V[..., r, :, :])[1])
    assert_close(both.jvp(u, V, x)[0], both.map(u, x))
    assert_close(both.vjp(u, V, x)[0], both.map(u, x))


@pytest.mark.parametrize("large", [1, 200])
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_orbits_are_made_of_steps(cells, rows, large, monkeypatch):
    monkeypatch.setattr("sntorch.networks._LARGE", large)
    both, u = snt.Networks(cells), torch.randn(*rows, R, N).double()
    for x in (None, torch.randn(I), torch.randn(STEPS, R, I), torch.randn(STEPS, *rows, 1, I)):
        x = x if x is None else x.double()
        slow = snt.rollout(
            both, u.clone().requires_grad_(), STEPS, x=x, generator=random_generator()
        )
        for every in (1, 5):
            fast = snt.rollout(both, u, STEPS, x=x, generator=random_generator(), every=every)
            assert_close(fast, slow.detach()[every - 1 :: every], rtol=1e-12, atol=1e-12)


def test_orbits_and_exponents_are_those_of_each():
    cells = [cell(gain, noise=0.0, inputs=0) for gain in (0.7, 1.2, 2.0)]
    both, u = snt.Networks(cells), torch.randn(R, N).double()
    orbit = snt.rollout(both, u, STEPS)
    assert_close(orbit, one_by_one(lambda r, u: snt.rollout(cells[r], u, STEPS), u))
    found = snt.analysis.lyapunov_spectrum(both, u, 200, transient=50, interval=1)
    # frames start at random, so that the last digits of unconverged exponents differ
    for exponents, single, start in zip(found.exponents, cells, u, strict=True):
        alone = snt.analysis.lyapunov_spectrum(single, start, 200, transient=50, interval=1)
        assert_close(exponents.sum(), alone.exponents.sum(), rtol=0, atol=1e-9)


def test_gradients_with_respect_to_the_state(cells):
    both, u = snt.Networks(cells), torch.randn(2, R, N).double().requires_grad_()
    quiet = [cell(c.gain.item(), noise=0.0) for c in cells]
    both = snt.Networks(quiet)
    (ours,) = torch.autograd.grad(snt.rollout(both, u, STEPS).square().sum(), u)
    theirs = one_by_one(
        lambda r, v: torch.autograd.grad(snt.rollout(quiet[r], v, STEPS).square().sum(), v)[0], u
    )
    assert_close(ours, theirs)


def test_cells_are_copied(cells):
    both, u = snt.Networks(cells), torch.randn(R, N).double()
    before = both.map(u)
    cells[0].gain = 9.0
    assert torch.equal(both.map(u), before)
    assert list(both.parameters()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [], "cells: expected at least one"),
        (lambda c: c, "cells: expected several SNTCell, got SNTCell"),
        (lambda c: [c, torch.nn.GRUCell(2, N)], r"cells\[1\]: expected an SNTCell, got GRUCell"),
        (lambda c: [c, cell(n=5)], r"cells\[1\]: expected size 4, as of the first, got 5"),
        (lambda c: [c, cell(inputs=0)], r"cells\[1\]: expected input_size 2"),
        (lambda c: [c, cell(noise=0.2)], r"cells\[1\]: expected the noise of the first"),
        (lambda c: [c, cell(transfer="erf")], r"cells\[1\]: expected transfer tanh"),
        (lambda c: [c, cell(dtype=torch.float32)], r"cells\[1\]: expected torch.float64"),
        (
            lambda c: [snt.SNTCell(snt.couplings.sparse(N, degree=2, layout="csr"))],
            r"cells\[0\]: expected dense couplings, got a Sparse layer",
        ),
    ],
)
def test_cells_that_cannot_stand_side_by_side(change, message):
    with pytest.raises(ValueError, match=message):
        snt.Networks(change(cell()))


def test_states_and_drives_that_do_not_fit(cells):
    both = snt.Networks(cells)
    with pytest.raises(ValueError, match=r"u: expected \(..., 3, 4\), a row per network, got \(4"):
        snt.rollout(both, torch.zeros(4, N).double(), 2)
    with pytest.raises(ValueError, match="x: expected 2 on the last axis"):
        snt.rollout(both, torch.zeros(R, N).double(), 2, x=torch.zeros(3).double())
    quiet = snt.Networks([cell(inputs=0)])
    with pytest.raises(ValueError, match="x: expected None"):
        quiet.map(torch.zeros(1, N).double(), torch.zeros(2).double())
