"""Sparse couplings: who is connected, moments, spectrum, and the two layouts."""

import itertools
import math

import pytest
import torch

from sntorch.couplings import sparse

DRAWS = 200


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def check(estimates, expected):
    """Four standard errors, from one estimate per independent matrix, and rounding."""
    stderr = estimates.std() / math.sqrt(len(estimates))
    assert (estimates.mean() - expected).abs() < 4 * stderr + 1e-12


def draws(n, **settings):
    g = seeded()
    out = [sparse(n, generator=g, dtype=torch.float64, **settings) for _ in range(DRAWS)]
    return torch.stack(out)


@pytest.mark.parametrize("degree", [1, 3, 20, 21, 39, 40])
def test_the_degree_is_exact(degree):
    J = sparse(40, degree=degree, generator=seeded(), dtype=torch.float64)
    assert ((J != 0).sum(1) == degree).all()


@pytest.mark.parametrize("degree", [2, 4])  # redrawn and shuffled
def test_every_set_of_inputs_is_as_likely(degree):
    sets = list(itertools.combinations(range(6), degree))
    J = torch.cat([sparse(6, degree=degree, generator=g) for g in [seeded()] for _ in range(1000)])
    code = (J != 0).long() @ (2 ** torch.arange(6))
    counts = torch.tensor([(code == sum(2**j for j in s)).sum() for s in sets]).double()
    assert counts.sum() == len(J)
    expected = len(J) / len(sets)
    chi2 = float((counts - expected).square().sum() / expected)
    spread = math.sqrt(2 * (len(sets) - 1))
    assert abs(chi2 - (len(sets) - 1)) < 4 * spread


def test_different_rows_choose_independently():
    A = (draws(40, degree=8) != 0).double()
    check((A[:, :-1] * A[:, 1:]).mean((1, 2)), 0.2**2)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-3.0, 2.0)])
@pytest.mark.parametrize("wiring", [{"degree": 5}, {"degree": 30}, {"density": 0.2}])
def test_moments(wiring, mean, std):
    n = 40
    J = draws(n, mean=mean, std=std, **wiring)
    K = wiring.get("degree", wiring.get("density", 0) * n)
    A = (J != 0).double()
    check(A.mean((1, 2)), K / n)
    check(J.sum((1, 2)) / A.sum((1, 2)), mean / K)
    spread = (J - mean / K).square() * A
    check(spread.sum((1, 2)) / A.sum((1, 2)), std**2 / K)
    row = J.sum(2)
    check(row.mean(1), mean)
    random_number = mean**2 * (1 - K / n) / K if "density" in wiring else 0
    check((row - mean).square().mean(1), std**2 + random_number)


def test_bernoulli_couplings_are_independent():
    A = (draws(40, density=0.3) != 0).double()
    check((A[:, :, :-1] * A[:, :, 1:]).mean((1, 2)), 0.09)
    check((A[:, :-1] * A[:, 1:]).mean((1, 2)), 0.09)
    check(A.sum((1, 2)), 480.0)
    check((A.sum((1, 2)) - 480).square(), 1600 * 0.3 * 0.7)
    for edge in (A[:, 0, 0], A[:, -1, -1]):
        check(edge, 0.3)


def test_density_one_is_full():
    assert (sparse(20, density=1.0, generator=seeded()) != 0).all()
    assert (sparse(20, density=1e-9, generator=seeded()) == 0).all()


@pytest.mark.parametrize("wiring", [{"degree": 30}, {"density": 0.1}])
def test_spectrum(wiring):
    # Disk of radius sqrt(1.2^2 + 4^2 0.9 / 30) = 1.386 and one eigenvalue at the mean, which errs
    # by about std / sqrt(n) = 0.07, and 0.04 more for random degrees.
    z = torch.linalg.eigvals(sparse(300, mean=4.0, std=1.2, generator=seeded(), **wiring))
    outside = z[z.abs() > 2]
    assert len(outside) == 1
    assert abs(complex(outside[0]) - 4) < 0.35
    r = z[z.abs() < 2].abs() / math.sqrt(1.2**2 + 16 * 0.9 / 30)
    assert 0.9 < r.max() < 1.15
    for q in (0.5, 0.7, 0.9):
        assert abs(float((r < q).float().mean()) - q**2) < 0.05


@pytest.mark.parametrize(
    "wiring", [{"degree": 1}, {"degree": 7}, {"degree": 40}, {"density": 0.1}, {"density": 1.0}]
)
def test_layouts_agree(wiring, dtype, device):
    g = [torch.Generator(device).manual_seed(1) for _ in range(2)]
    settings = wiring | {"mean": 1.0, "dtype": dtype, "device": device}
    dense = sparse(50, generator=g[0], **settings)
    csr = sparse(50, generator=g[1], layout="csr", **settings)
    assert csr.layout == torch.sparse_csr
    assert torch.equal(csr.to_dense(), dense)
    assert csr.crow_indices().dtype == csr.col_indices().dtype == torch.int32
    assert csr.dtype == dense.dtype == dtype
    start = csr.crow_indices().tolist()
    for a, b in itertools.pairwise(start):
        columns = csr.col_indices()[a:b]
        assert (columns[1:] > columns[:-1]).all()


def test_csr_never_forms_the_dense_matrix():
    n = 300_000  # dense: 360 GB
    J = sparse(n, degree=4, layout="csr", generator=seeded())
    assert J._nnz() == 4 * n
    J = sparse(n, density=3 / n, layout="csr", generator=seeded())
    assert abs(J._nnz() - 3 * n) < 4 * math.sqrt(3 * n)


@pytest.mark.parametrize("wiring", [{"degree": 3}, {"degree": 9}, {"density": 0.3}])
def test_a_generator_repeats_and_leaves_the_global_one_alone(wiring):
    before = torch.get_rng_state()
    first, second, other = (sparse(10, generator=seeded(k), **wiring) for k in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    sparse(10, **wiring)
    assert not torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0, "degree": 1}, "n: expected a whole number"),
        ({}, "degree, density: expected exactly one of them, got None and None"),
        ({"degree": 2, "density": 0.5}, "expected exactly one of them, got 2 and 0.5"),
        ({"degree": 5}, "degree: expected a whole number with 1 <= degree <= 4, got 5"),
        ({"degree": 0}, "degree: expected a whole number"),
        ({"density": 0.0}, r"density: expected a number in \(0, 1\], got 0.0"),
        ({"density": 1.1}, "density: expected a finite number"),
        ({"degree": 2, "std": -1.0}, "std: expected a finite number"),
        ({"degree": 2, "mean": math.nan}, "mean: expected a finite number"),
        ({"degree": 2, "layout": "coo"}, "layout: expected one of dense, csr, got 'coo'"),
        ({"n": 10**5, "density": 0.5, "layout": "csr"}, r"n: expected fewer than 2\^31 couplings"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        sparse(**{"n": 4} | settings)
