"""The pseudospectral radius: closed forms, and a brute search of the whole plane."""

import math

import numpy as np
import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import pseudospectral_radius


def linear(M):
    return lambda u: u @ M.mT


def zeros(n):
    return torch.zeros(n, dtype=torch.float64)


def searched(M, sizes):
    """Return the largest |z| with sigma_min(z - M) <= epsilon on a grid: lower bounds."""
    reach = np.linalg.norm(M, 2) + max(sizes)
    radii = np.linspace(np.abs(np.linalg.eigvals(M)).max(), reach, 300)
    points = radii * np.exp(1j * np.linspace(0, np.pi, 181))[:, None]  # M is real
    shifted = points[..., None, None] * np.eye(len(M)) - M
    gap = np.linalg.svd(shifted, compute_uv=False)[..., -1].min(0)
    return [radii[gap <= epsilon].max() for epsilon in sizes]


@pytest.mark.parametrize("offdiagonal", [0.5, 2.0, 10.0])
def test_jordan_block(offdiagonal):
    M = torch.tensor([[0.5, offdiagonal], [0.0, 0.5]], dtype=torch.float64)
    sizes = torch.tensor([1e-3, 0.1, 1.0], dtype=torch.float64)
    found = pseudospectral_radius(linear(M), zeros(2), epsilon=sizes)
    assert_close(found.radius, 0.5 + (sizes * (sizes + offdiagonal)).sqrt(), rtol=1e-6, atol=0)
    assert float(found.spectral_radius) == pytest.approx(0.5)


def test_normal_matrices_gain_epsilon_alone():
    M = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64)).Q * 0.7
    found = pseudospectral_radius(linear(M), zeros(8))
    assert_close(found.radius, 0.7 + found.epsilon, rtol=1e-9, atol=0)
    assert float(found.kreiss) == 1


def test_nothing_at_all():
    found = pseudospectral_radius(linear(torch.zeros(3, 3).double()), zeros(3))
    assert_close(found.radius, found.epsilon)
    assert float(found.spectral_radius) == 0


@pytest.mark.parametrize("seed", range(3))
def test_random_matrices_against_a_search_of_the_plane(seed):
    stream = random_generator(seed)
    M = torch.randn(6, 6, generator=stream, dtype=torch.float64) / 6**0.5
    M = M + torch.randn(6, 6, generator=stream, dtype=torch.float64).triu(1)  # far from normal
    found = pseudospectral_radius(linear(M), zeros(6), epsilon=[0.01, 0.2])
    bounds = searched(M.numpy(), found.epsilon.tolist())
    for radius, lower in zip(found.radius.tolist(), bounds, strict=True):
        assert lower <= radius * (1 + 1e-9)
        assert lower == pytest.approx(radius, rel=1e-2)
    assert float(found.residual.max()) < 1e-7


def test_no_perturbation_of_that_size_reaches_further():
    stream = random_generator(1)
    cell = snt.SNTCell(snt.couplings.gaussian(20, std=0.8, generator=stream).double(), leak=0.2)
    u = torch.randn(20, generator=stream, dtype=torch.float64)
    DF = cell.jacobian(u).detach()
    found = pseudospectral_radius(cell, u, epsilon=0.3)
    E = torch.randn(200, 20, 20, generator=stream, dtype=torch.float64)
    E = 0.3 * E / torch.linalg.matrix_norm(E, 2)[:, None, None]
    moved = torch.linalg.eigvals(DF + E).abs().amax(-1)
    assert float(moved.max()) < float(found.radius)
    assert float(found.radius) > float(found.spectral_radius) + 0.3


def test_the_kreiss_bound_is_reached_by_powers():
    M = torch.tensor([[0.9, 5.0], [0.0, 0.8]], dtype=torch.float64)
    found = pseudospectral_radius(linear(M), zeros(2), epsilon=torch.logspace(-3, 0, 20).double())
    growth = max(float(torch.linalg.matrix_norm(torch.matrix_power(M, t), 2)) for t in range(40))
    assert (
        3 < float(found.kreiss) <= growth <= math.e * 2 * float(found.kreiss)
    )  # Kreiss matrix thm


def test_growth_for_ever_has_no_bound():
    found = pseudospectral_radius(linear(torch.diag(torch.tensor([0.5, 1.1])).double()), zeros(2))
    assert float(found.kreiss) == math.inf


@pytest.mark.parametrize("rows", [(), (3,), (2, 2)], ids=str)
def test_rows(rows):
    cell = snt.SNTCell(torch.randn(5, 5, dtype=torch.float64), input_size=1)
    u, x = torch.randn(*rows, 5).double(), torch.randn(*rows, 1).double()
    found = pseudospectral_radius(cell, u, x, epsilon=[0.1, 0.2])
    assert found.radius.shape == found.residual.shape == (*rows, 2)
    assert found.kreiss.shape == found.spectral_radius.shape == rows
    for row in np.ndindex(*rows):
        assert_close(pseudospectral_radius(cell, u[row], x[row], epsilon=0.2).radius[0],
                     found.radius[row][1])  # fmt: skip
    assert set(found.scalars()) == {"kreiss", "smallest", "largest"}


def test_single_precision_and_inference_mode():
    cell = snt.SNTCell(torch.randn(5, 5))
    with torch.inference_mode():
        found = pseudospectral_radius(cell, torch.zeros(5), epsilon=0.1)
    expected = pseudospectral_radius(cell.double(), zeros(5), epsilon=0.1)
    assert found.radius.dtype == torch.float32
    assert_close(found.radius.double(), expected.radius, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("epsilon", "message"),
    [
        (0.0, "epsilon: expected numbers > 0"),
        (-1.0, "epsilon: expected numbers >= 0"),
        ([0.2, 0.1], "epsilon: expected numbers > 0, ascending"),
        ([], "epsilon: expected numbers > 0"),
        ([math.nan], "epsilon: expected finite"),
    ],
)
def test_sizes_are_checked(epsilon, message):
    with pytest.raises(ValueError, match=message):
        pseudospectral_radius(linear(torch.eye(2).double()), zeros(2), epsilon=epsilon)


def test_an_infinite_jacobian_is_refused():
    with pytest.raises(ValueError, match="f: expected a finite Jacobian"):
        pseudospectral_radius(torch.sqrt, torch.tensor([1.0, 0.0]))
