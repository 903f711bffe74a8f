"""Correlated couplings: the covariance of every kind of table, the spectrum, and refusals."""

import math

import pytest
import torch

from sntorch.couplings import correlated

N, DRAWS = 8, 400


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def check(estimates, expected):
    """Four standard errors, from one estimate per independent matrix."""
    assert (estimates.mean() - expected).abs() < 4 * estimates.std() / math.sqrt(len(estimates))


def draws(**settings):
    g = seeded()
    out = [correlated(N, generator=g, dtype=torch.float64, **settings) for _ in range(DRAWS)]
    return torch.stack(out)


def ring_table(n, reach=1.0, tilt=0.5):
    """Not separable: Gaussian in a tilted coordinate, summed over its periodic images."""
    lag = torch.arange(n, dtype=torch.float64)
    lag = torch.where(lag > n / 2, lag - n, lag)
    wrapped = torch.zeros(n, n, dtype=torch.float64)
    for i in range(-4, 5):
        for j in range(-4, 5):
            a, b = lag[:, None] + n * i, lag + n * j
            wrapped += torch.exp(-(a**2 + 2 * tilt * a * b + b**2) / (2 * reach**2))
    return wrapped


def positive(n, seed):
    A = torch.randn(n, n + 2, generator=seeded(seed), dtype=torch.float64)
    return A @ A.T / n


@pytest.mark.parametrize("lag", [(0, 0), (0, 1), (1, 0), (1, 1), (1, -1), (2, 1), (-3, 2), (4, 4)])
def test_stationary_covariance(lag):
    L, mean = ring_table(N), 2.0
    J = draws(mean=mean, covariance=L) - mean / N
    partner = J.roll((-lag[0], -lag[1]), (1, 2))  # k = i + lag, l = j + lag
    check((J * partner).mean((1, 2)) * N, L[lag])


@pytest.mark.parametrize("kind", ["separable", "whole"])
def test_covariance_of_pairs(kind):
    A, B = positive(N, 1), positive(N, 2)
    J = draws(covariance=(A, B) if kind == "separable" else torch.kron(A, B))
    for i, j, k, l in [(0, 0, 0, 0), (1, 2, 1, 2), (1, 2, 1, 5), (1, 2, 6, 2), (3, 4, 5, 7)]:
        check(J[:, i, j] * J[:, k, l] * N, A[i, k] * B[j, l])


def test_whole_covariance_with_partial_symmetry():
    # Corr(J_ij, J_ji) = -0.5, which no stationary or separable table can say.
    swap = torch.eye(N * N).reshape(N, N, N, N).transpose(0, 1).reshape(N * N, N * N)
    J = draws(covariance=torch.eye(N * N) - 0.5 * swap)
    off = ~torch.eye(N, dtype=torch.bool)
    check((J * J.mT)[:, off].mean(1) * N, -0.5)
    check(J[:, off].square().mean(1) * N, 1.0)
    check(J.diagonal(dim1=1, dim2=2).square().mean(1) * N, 0.5)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_white_tables_are_independent_gaussian(n, dtype, tolerance):
    eye = torch.eye(n, dtype=dtype)
    white = torch.zeros(n, n, dtype=dtype)
    white[0, 0] = 1
    whole = torch.eye(n * n, dtype=dtype)
    J = [
        correlated(n, mean=2.0, covariance=c, generator=seeded(), dtype=dtype)
        for c in (white, (eye, eye), whole)
    ]
    Z = torch.randn(n, n, generator=seeded(), dtype=dtype) / math.sqrt(n) + 2 / n
    for one in J:
        torch.testing.assert_close(one, Z, **tolerance)


def test_covariance_without_rank_is_drawn():
    ones = torch.ones(N, N)
    J = correlated(N, covariance=ones, generator=seeded())  # all couplings equal
    torch.testing.assert_close(J, J[0, 0].expand(N, N))
    J = correlated(N, covariance=(ones, torch.eye(N)), generator=seeded())  # all rows equal
    torch.testing.assert_close(J, J[0].expand(N, N), rtol=1e-4, atol=1e-5)
    assert (J[0].diff().abs() > 1e-3).all()
    J = correlated(N, covariance=torch.zeros(N, N), mean=1.0)
    torch.testing.assert_close(J, torch.full((N, N), 1 / N))


def test_stationary_radius_and_outlier():
    n = 300
    L = ring_table(n, reach=1.5, tilt=0.6)
    radius = math.sqrt(float(torch.linalg.eigvals(L).abs().max()))
    assert radius > 1.2  # variance 1: that alone would be 1
    z = torch.linalg.eigvals(correlated(n, covariance=L, generator=seeded()))
    assert abs(float(z.abs().max()) / radius - 1) < 0.12
    z = torch.linalg.eigvals(correlated(n, covariance=L, mean=8.0, generator=seeded()))
    outside = z[z.abs() > 1.4 * radius]
    assert len(outside) == 1
    # The mean of all entries errs by sqrt(sum(L) / n).
    assert abs(complex(outside[0]) - 8) < 4 * math.sqrt(float(L.sum()) / n)


def test_separable_radius():
    n = 300
    x = torch.arange(n).double()
    A = torch.exp(-(x[:, None] - x).abs() / 2) * (1 + x[:, None] / n) * (1 + x / n)
    B = torch.exp(-(x[:, None] - x).abs() / 3)
    radius = math.sqrt(float((A * B).sum()) / n)
    z = torch.linalg.eigvals(correlated(n, covariance=(A, B), generator=seeded()))
    assert abs(float(z.abs().max()) / radius - 1) < 0.12


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("table_kind", [torch.float32, torch.float64])
def test_kind(kind, table_kind, device):
    A, B = positive(N, 1).to(table_kind), positive(N, 2).to(table_kind)
    for c in (ring_table(N).to(table_kind), (A, B), positive(N * N, 3).to(table_kind)):
        J = correlated(N, covariance=c, dtype=kind, device=device)
        assert (J.shape, J.dtype, J.device.type) == ((N, N), kind, device.type)


def test_a_generator_repeats_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    L = ring_table(N)
    first, second, other = (correlated(N, covariance=L, generator=seeded(k)) for k in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_large_table_takes_no_large_memory():
    white = torch.zeros(1000, 1000)
    white[0, 0] = 1
    J = correlated(1000, covariance=white, generator=seeded())  # n^2 x n^2 would be 4 TB
    assert abs(float(J.square().mean()) * 1000 - 1) < 0.01


EYE = torch.eye(4)
UNEVEN = torch.zeros(4, 4)
UNEVEN[0, 0], UNEVEN[0, 1] = 1.0, 0.5
NEGATIVE = torch.zeros(4, 4)
NEGATIVE[0, 0], NEGATIVE[0, 1], NEGATIVE[0, 3] = 1.0, 0.8, 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n: expected a whole number"),
        ({"mean": math.nan}, "mean: expected a finite number"),
        ({"covariance": 1.0}, "covariance: expected a torch.Tensor, got float"),
        ({"covariance": EYE.long()}, "covariance: expected a floating dtype"),
        ({"covariance": torch.ones(4)}, "covariance: expected at least 2 axes"),
        ({"covariance": EYE / 0}, r"covariance: expected finite numbers, got inf at \(0, 0\)"),
        ({"covariance": torch.eye(5)}, r"covariance: expected a tensor \(4, 4\), two of them, or"),
        ({"covariance": (EYE, torch.eye(5))}, r"got \[\(4, 4\), \(5, 5\)\]"),
        ({"covariance": (EYE, EYE, EYE)}, "covariance: expected a tensor"),
        ({"n": 33, "covariance": torch.eye(33**2)}, "covariance: expected a tensor .* n <= 32"),
        ({"covariance": UNEVEN}, r"covariance: expected L\[-a, -b\] = L\[a, b\]"),
        ({"covariance": NEGATIVE}, "covariance: expected a Fourier transform >= 0, got -0.6"),
        ({"covariance": (EYE, UNEVEN)}, "covariance: expected a symmetric matrix"),
        ({"covariance": (-EYE, EYE)}, "covariance: expected eigenvalues >= 0, got -1"),
        ({"covariance": -torch.eye(16)}, "covariance: expected eigenvalues >= 0, got -1"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        correlated(**{"n": 4, "covariance": EYE} | settings)


def test_rounding_is_not_taken_for_a_wrong_table():
    L = ring_table(N).float()
    lowest = float(torch.fft.fft2(L.double()).real.min())
    shifted = L.double()
    shifted[0, 0] -= lowest + 1e-12  # lowest Fourier coefficient -1e-12: rounding
    correlated(N, covariance=shifted)
    shifted[0, 0] -= 1e-6
    with pytest.raises(ValueError, match="covariance"):
        correlated(N, covariance=shifted)
