"""Structured couplings: exact algebra, moments of the random ones, spectra against theory."""

import math
from typing import Any

import pytest
import torch
from scipy import special

from sntorch.couplings import hopfield, low_rank, orthogonal, ring

N = 40


def seeded(seed=2):
    return torch.Generator().manual_seed(seed)


def check(estimates, expected):
    """Four standard errors, from one estimate per independent matrix."""
    assert (estimates.mean() - expected).abs() < 4 * estimates.std() / math.sqrt(len(estimates))


def signs(p, n, seed=1, dtype=torch.float64):
    return torch.randint(2, (p, n), generator=seeded(seed)).to(dtype) * 2 - 1


def hadamard(p, n):
    """P orthogonal patterns of +-1; n a power of 2."""
    H = torch.ones(1, 1, dtype=torch.float64)
    while len(H) < n:
        H = torch.cat([torch.cat([H, H], 1), torch.cat([H, -H], 1)])
    return H[1 : p + 1]


NO_TENSOR: Any = [[1, -1]]


# orthogonal


@pytest.mark.parametrize("n", [1, 2, 17])
def test_orthogonal_is_exact(n, dtype, device, tolerance):
    J = orthogonal(n, std=1.5, dtype=dtype, device=device)
    torch.testing.assert_close(
        J @ J.T, 2.25 * torch.eye(n, dtype=dtype, device=device), **tolerance
    )


def test_orthogonal_is_haar():
    # Of a Haar matrix, tr J has mean 0 and variance 1, tr J^2 mean 1; QR without the fix of signs
    # gives entries of the diagonal with one sign.
    g = seeded()
    J = torch.stack([orthogonal(6, generator=g, dtype=torch.float64) for _ in range(2000)])
    trace = J.diagonal(dim1=1, dim2=2).sum(1)
    check(trace, 0.0)
    check(trace.square(), 1.0)
    check((J @ J).diagonal(dim1=1, dim2=2).sum(1), 1.0)
    for i, j in [(0, 0), (0, 5), (5, 0), (5, 5)]:
        check(J[:, i, j], 0.0)
        check(J[:, i, j].square(), 1 / 6)
    determinant = torch.linalg.det(J)
    assert abs(float((determinant > 0).double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(2000)


def test_orthogonal_spectrum_is_uniform_on_the_circle():
    z = torch.linalg.eigvals(orthogonal(300, std=1.5, generator=seeded(), dtype=torch.float64))
    torch.testing.assert_close(z.abs(), torch.full_like(z.abs(), 1.5))
    share = (z.angle().abs() < torch.linspace(0.5, 3, 6)[:, None]).double().mean(1)
    assert (share - torch.linspace(0.5, 3, 6) / math.pi).abs().max() < 0.02


# low rank


@pytest.mark.parametrize(("n", "overlaps"), [(N, [2.0, 0.0, -3.0]), (3, [2.0, 1.0, 0.5]), (1, 2.0)])
def test_overlaps_are_exact(n, overlaps, dtype, tolerance):
    rank = len(overlaps) if isinstance(overlaps, list) else 1
    J = low_rank(n, rank=rank, std=0.0, overlaps=overlaps, generator=seeded(), dtype=dtype)
    assert torch.linalg.matrix_rank(J, rtol=1e-4) == rank
    J = J.double()
    left = torch.linalg.svd(J).U[:, :rank]  # spans the m; J maps the span to itself
    z = torch.linalg.eigvals(left.T @ J @ left).real.sort().values
    expected = torch.tensor(overlaps).double().reshape(-1).sort().values
    torch.testing.assert_close(z, expected, **tolerance)


def test_low_rank_vectors():
    # Rank one: |m| = sqrt(n) and n = overlap m + z with unit variance in the n - 1 other directions
    g = seeded()
    draws = [
        low_rank(N, rank=1, std=0.0, overlaps=1.5, generator=g, dtype=torch.float64)
        for _ in range(300)
    ]
    U, S, V = torch.linalg.svd(torch.stack(draws))
    check(S[:, 0].square(), 1.5**2 + (N - 1) / N)
    m, right = U[:, :, 0] * math.sqrt(N), V[:, 0] * S[:, :1] * math.sqrt(N)
    torch.testing.assert_close((m * right).mean(1), torch.full((300,), 1.5).double())
    check((right - 1.5 * m).square().mean(1), (N - 1) / N)
    product = m[:, 0] * m[:, 1]
    check(product, 0.0)


def test_low_rank_moments():
    g = seeded()
    J = torch.stack(
        [low_rank(N, rank=2, std=1.5, generator=g, dtype=torch.float64) for _ in range(200)]
    )
    check(J.mean((1, 2)) * N, 0.0)
    # Gaussian part, plus per rank |m|^2 |n|^2 / n^2 = 1 - 2 / n over n^2 entries.
    check(J.square().sum((1, 2)) / N, 1.5**2 + 2 * (1 - 2 / N) / N)


def test_low_rank_spectrum():
    n, std = 400, 0.8
    overlaps = [2.0, -3.0, 0.3]
    J = low_rank(n, rank=3, std=std, overlaps=overlaps, generator=seeded(), dtype=torch.float64)
    z = torch.linalg.eigvals(J)
    outside = z[z.abs() > 1.2].real.sort().values
    assert len(outside) == 2
    # |m| |n| std / overlap / sqrt(n) is about 0.05 to 0.1
    assert (outside - torch.tensor([-3.0, 2.0])).abs().max() < 0.25
    r = z[z.abs() < 1.2].abs() / std
    assert 0.9 < r.max() < 1.15
    for q in (0.5, 0.7, 0.9):
        assert abs(float((r < q).double().mean()) - q**2) < 0.04


def test_generators_repeat_and_leave_the_global_one_alone():
    before = torch.get_rng_state()
    for draw in (orthogonal, lambda n, **more: low_rank(n, rank=2, overlaps=1.0, **more)):
        first, second, other = (draw(5, generator=seeded(k)) for k in (3, 3, 4))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


# hopfield


@pytest.mark.parametrize("asymmetry", [0.0, 0.3, 1.0])
def test_hopfield_is_the_sum_over_patterns(asymmetry):
    xi = torch.randn(3, 7, generator=seeded(), dtype=torch.float64)
    J = torch.zeros(7, 7, dtype=torch.float64)
    for mu in range(3):
        J += (1 - asymmetry) * torch.outer(xi[mu], xi[mu]) / 7
        J += asymmetry * torch.outer(xi[(mu + 1) % 3], xi[mu]) / 7
    J.fill_diagonal_(0)
    torch.testing.assert_close(hopfield(xi, asymmetry=asymmetry), J)


def test_hopfield_stores():
    xi = signs(5, 200)
    assert torch.equal(torch.sign(xi @ hopfield(xi).T), xi)
    nxt = torch.sign(xi @ hopfield(xi, asymmetry=1.0).T)
    assert torch.equal(nxt, xi.roll(-1, 0))


@pytest.mark.parametrize("asymmetry", [0.0, 0.4, 1.0])
def test_hopfield_eigenvalues_of_orthogonal_patterns(asymmetry):
    p, n = 5, 64
    xi = hadamard(p, n)
    J = hopfield(xi, asymmetry=asymmetry)
    target = (1 - asymmetry) * xi + asymmetry * xi.roll(-1, 0)
    J += torch.diag((target * xi).sum(0) / n)  # before the diagonal is removed
    turn = torch.exp(2j * math.pi * torch.arange(p, dtype=torch.float64) / p)
    expected = 1 - asymmetry + asymmetry * turn
    for k in range(p):  # sum over mu of e^(-2 pi i k mu / P) xi^mu is an eigenvector
        vector = (turn.conj()[k * torch.arange(p) % p, None] * xi).sum(0)
        torch.testing.assert_close(J.to(vector) @ vector, expected[k] * vector)
    assert torch.linalg.matrix_rank(J) == (p - (asymmetry == 0.5))


def test_hopfield_edges_of_the_spectrum():
    n, alpha = 400, 0.25
    values = torch.linalg.eigvalsh(hopfield(signs(int(alpha * n), n)))
    torch.testing.assert_close(values[: int(n * (1 - alpha))], torch.full((300,), -0.25).double())
    assert abs(float(values[-1]) - (1.5**2 - alpha)) < 0.1
    assert abs(float(values[int(n * (1 - alpha))]) - (0.5**2 - alpha)) < 0.06


def test_hopfield_kind(device):
    xi = signs(2, 6)
    assert hopfield(xi).dtype == torch.float64
    assert hopfield(xi.float().to(device)).device.type == device.type
    assert hopfield(xi.long()).dtype == torch.get_default_dtype()
    assert hopfield(xi, dtype=torch.float32).dtype == torch.float32
    torch.testing.assert_close(hopfield(xi.long()).double(), hopfield(xi))


# ring

WIDTH = 0.6


def make(n=4, excitation=3.0, inhibition=2.0, width=WIDTH, asymmetry=0.7, **more):
    return ring(
        n, excitation=excitation, inhibition=inhibition, width=width, asymmetry=asymmetry, **more
    )


@pytest.mark.parametrize("n", [63, 64])
def test_ring_modes(n):
    J = make(n, dtype=torch.float64).to(torch.complex128)
    kappa = 1 / WIDTH**2
    j = torch.arange(n, dtype=torch.float64)
    for k in (0, 1, 2, 5, -1, -3):
        shape = special.ive(abs(k), kappa) / special.ive(0, kappa)
        value = (3 + 0.7j * k) * shape - 2 * (k == 0)
        mode = torch.exp(2j * math.pi * k * j / n)
        torch.testing.assert_close(J @ mode, value * mode)


def test_ring_parts():
    n = 50
    symmetric = make(n, asymmetry=0.0, dtype=torch.float64)
    torch.testing.assert_close(symmetric, symmetric.T)
    turned = symmetric.roll((1, 1), (0, 1))
    torch.testing.assert_close(symmetric, turned)
    whole = make(n, dtype=torch.float64)
    part = whole - symmetric
    torch.testing.assert_close(part, -part.T)
    assert symmetric[0].argmax() == 0
    # a > 0 moves the bump in a column to smaller indices.
    assert whole[:, 20].argmax() < 20


def test_ring_bump_has_the_width():
    n, width = 2000, 0.1
    J = ring(n, excitation=1.0, inhibition=0.0, width=width, dtype=torch.float64)
    x = (torch.arange(n) - 1000) * (2 * math.pi / n)
    assert abs(float(J[:, 1000].sum()) - 1) < 1e-12
    assert abs(float((J[:, 1000] * x**2).sum()) / width**2 - 1) < 0.02
    narrow = ring(4, excitation=1.0, inhibition=0.5, width=1e-6, asymmetry=1.0)
    torch.testing.assert_close(narrow, torch.eye(4) - 0.125)


def test_ring_kind(device):
    J = make(5, dtype=torch.float64, device=device)
    assert (J.shape, J.dtype, J.device.type) == ((5, 5), torch.float64, device.type)
    assert make(5).dtype == torch.get_default_dtype()
    torch.testing.assert_close(make(1), torch.ones(1, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: orthogonal(0), "n: expected a whole number"),
        (lambda: orthogonal(3, std=-1.0), "std: expected a finite number"),
        (lambda: low_rank(0, rank=1), "n: expected a whole number"),
        (lambda: low_rank(3, rank=4), "rank: expected a whole number with 1 <= rank <= 3, got 4"),
        (lambda: low_rank(3, rank=0), "rank: expected a whole number"),
        (lambda: low_rank(3, rank=1, std=-1.0), "std: expected a finite number"),
        (lambda: low_rank(3, rank=2, overlaps=[1.0]), r"overlaps: expected a table \(2,\), got"),
        (lambda: low_rank(3, rank=1, overlaps=[math.nan]), "overlaps: expected finite numbers"),
        (lambda: hopfield(NO_TENSOR), "patterns: expected a torch.Tensor, got list"),
        (lambda: hopfield(torch.ones(4)), "patterns: expected at least 2 axes"),
        (lambda: hopfield(torch.ones(2, 2, 2)), r"patterns: expected 2 axes \(P, N\), got"),
        (lambda: hopfield(torch.ones(0, 2)), "patterns: .* none of them empty"),
        (lambda: hopfield(torch.ones(1, 2) + 0j), "patterns: expected a floating dtype"),
        (lambda: hopfield(torch.full((1, 2), math.inf)), "patterns: expected finite numbers"),
        (lambda: hopfield(torch.ones(1, 2), asymmetry=1.1), "asymmetry: expected .* got 1.1"),
        (lambda: hopfield(torch.ones(1, 2), asymmetry=-0.1), "asymmetry: expected .* got -0.1"),
        (lambda: make(0), "n: expected a whole number"),
        (lambda: make(4, width=0.0), "width: expected a finite number in .*, got 0"),
        (lambda: make(4, excitation=math.inf), "excitation: expected a finite"),
        (lambda: make(4, inhibition=math.inf), "inhibition: expected a finite"),
        (lambda: make(4, asymmetry=math.nan), "asymmetry: expected a finite"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
