"""Bases and fits in them: identities of splines, exact polynomials, errors that hold."""

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

from sntorch.landscape.bases import polynomial, splines
from sntorch.landscape.regression import Design


def regress(basis, states, targets, smoothing=0.0):
    return Design(basis, states, smoothing).fit(targets)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_splines_are_products_of_bumps(size):
    u = states(200, size)
    basis = splines(u, 5)
    b = basis.features(u)
    assert b.shape == (200, basis.count) == (200, 8**size)
    assert_close(b.sum(-1), torch.ones(200).double())  # they share every point among them
    assert_close(torch.from_numpy(basis.design(u).toarray()), b)  # local and whole agree
    theta = states(basis.count, 3, seed=2)
    assert_close(basis.combine(u, theta), b @ theta)
    far = basis.high + 5
    assert_close(basis.features(far), basis.features(basis.high))
    # a plane has no second differences, and is its own spline
    index = torch.cartesian_prod(*[torch.arange(-1, 7).double()] * size).reshape(-1, size)
    plane = basis.low + basis.width * index
    assert_close(b @ plane, u, rtol=0, atol=1e-12)
    bent = torch.from_numpy(basis.roughness()) @ plane
    assert_close(bent, torch.zeros_like(bent), rtol=0, atol=1e-10)


def test_cubic_curves_are_splines_and_empty_cells_continue_straight():
    u = states(400, 1)
    cubic = lambda u: 1 + u - 2 * u**2 + u**3  # noqa: E731
    found = regress(splines(u, 6), list(u.split(100)), list(cubic(u).split(100)), 1e-11)
    assert_close(found.at(u), cubic(u), rtol=0, atol=1e-6)
    gap = torch.cat([u[u.abs() > 1.2].reshape(-1, 1), u[:4] * 0 + 1.2])
    parts = list(gap.split(40))
    found = regress(splines(gap, 12), parts, [3 * p - 1 for p in parts], 1e-3)
    middle = torch.linspace(-1, 1, 9, dtype=torch.float64).reshape(-1, 1)
    assert_close(found.at(middle), 3 * middle - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "degree", "count"), [(4, 1, 5), (3, 2, 10), (2, 4, 15)])
def test_polynomials(size, degree, count):
    u = 3 + 2 * states(300, size)
    basis = polynomial(u, degree)
    assert basis.count == count == basis.features(u).shape[-1]
    target = (u[:, :1] - u[:, -1:] + 1) ** degree
    found = regress(basis, list(u.split(60)), list(target.split(60)))
    beyond = 10 * states(5, size, seed=3)
    assert_close(
        found.at(beyond), (beyond[:, :1] - beyond[:, -1:] + 1) ** degree, rtol=1e-7, atol=1e-6
    )


def test_errors_know_about_spread_and_memory_within_groups():
    draws = 60
    u = states(draws * 20 * 30, 1).reshape(draws, 20, 30, 1)
    noise = (1 + 0.3 * u) * states(draws, 20, 1, 1, seed=4)  # one draw for all of a group
    at = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    values, errors = [], []
    for states_, extra in zip(u, noise, strict=True):
        found = regress(
            polynomial(states_.reshape(-1, 1), 1), list(states_), list(2 * states_ + extra)
        )
        values.append(found.at(at) - 2 * at)
        errors.append(found.stderr_at(at))
    spread = torch.stack(values).square().mean(0).sqrt()
    typical = torch.stack(errors).square().mean(0).sqrt()
    assert_close(typical / spread, torch.ones_like(spread), rtol=0, atol=0.3)


def test_refusals():
    u = states(100, 4)
    with pytest.raises(ValueError, match="at most 3 neurons for splines, got 4"):
        splines(u)
    with pytest.raises(ValueError, match="cells: expected at most 5000 splines, got 12167"):
        splines(u[:, :3], 20)
    with pytest.raises(ValueError, match="basis: expected at most 5000 functions, got 10626"):
        polynomial(states(9, 20), 4)
    for make in (lambda u: polynomial(u, 1), splines):
        with pytest.raises(ValueError, match="neuron 1 at rest"):
            make(torch.cat([u[:, :1], torch.ones(100, 1).double()], -1))
    with pytest.raises(ValueError, match="at least 5 steps for each of 5 functions, got 20"):
        regress(polynomial(u, 1), [u[:10], u[10:20]], [u[:10], u[10:20]])
    with pytest.raises(ValueError, match="two rows or blocks"):
        regress(polynomial(u, 1), [u], [u])
    flat = torch.cat([u, u[:, :1]], -1)
    with pytest.raises(ValueError, match="span the space"):
        regress(polynomial(flat, 1), list(flat.split(50)), list(flat.split(50)))
