"""Gaussian couplings: moments over independent matrices, symmetry, spectrum."""

import math

import pytest
import torch

from sntorch.couplings import gaussian

N, COPIES = 40, 64
SYMMETRIES = [-1.0, -0.5, 0.0, 0.5, 1.0]


def copies(**settings):
    g = torch.Generator().manual_seed(2)
    draws = [gaussian(N, generator=g, dtype=torch.float64, **settings) for _ in range(COPIES)]
    return torch.stack(draws)


def check(estimates, expected):
    """Four standard errors, from one estimate per independent matrix."""
    stderr = estimates.std() / math.sqrt(len(estimates))
    assert (estimates.mean() - expected).abs() < 4 * stderr
    return float(stderr)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-3.0, 2.0)])
def test_moments(symmetry, mean, std):
    J = copies(mean=mean, std=std, symmetry=symmetry)
    diagonal = J.diagonal(dim1=1, dim2=2)
    check(diagonal.mean(1) * N, mean)
    check(J.triu(1).sum((1, 2)) / (N * (N - 1) / 2) * N, mean)
    centred = (J - mean / N) * math.sqrt(N)
    off = ~torch.eye(N, dtype=torch.bool)
    assert check(centred[:, off].square().mean(1), std**2) < 0.02 * std**2
    assert check(centred.diagonal(dim1=1, dim2=2).square().mean(1), std**2) < 0.04 * std**2
    check((centred * centred.mT)[:, off].mean(1) / std**2, symmetry)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_different_pairs_are_uncorrelated(symmetry):
    J = copies(symmetry=symmetry)
    check((J[:, 0, 1:-1] * J[:, 0, 2:]).mean(1) * N, 0.0)
    check((J[:, 1:-1, 0] * J[:, 2:, 0]).mean(1) * N, 0.0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_full_symmetry_is_exact(sign, dtype):
    J = gaussian(30, symmetry=sign, std=1.3, dtype=dtype)
    off = ~torch.eye(30, dtype=torch.bool)
    assert torch.equal(J[off], sign * J.T[off])


@pytest.mark.parametrize(("mean", "sign"), [(6.0, 1), (6.0, -1)])
def test_mean_adds_to_every_entry(mean, sign):
    g = [torch.Generator().manual_seed(1) for _ in range(2)]
    without = gaussian(20, symmetry=sign, generator=g[0], dtype=torch.float64)
    with_mean = gaussian(20, mean=mean, symmetry=sign, generator=g[1], dtype=torch.float64)
    torch.testing.assert_close(with_mean - without, torch.full_like(without, mean / 20))


@pytest.mark.parametrize("symmetry", [-0.5, 0.0, 0.5])
def test_elliptic_law(symmetry):
    # Uniform in the ellipse: a fraction r^2 of the eigenvalues lies within r of its size.  The
    # fraction over 300 eigenvalues, which repel each other, errs by far less than 0.04.
    std, n = 1.4, 300
    J = gaussian(n, std=std, symmetry=symmetry, generator=torch.Generator().manual_seed(1))
    z = torch.linalg.eigvals(J)
    radius = torch.hypot(z.real / (std * (1 + symmetry)), z.imag / (std * (1 - symmetry)))
    assert radius.max() < 1.15
    for r in (0.3, 0.5, 0.7, 0.9):
        assert abs(float((radius < r).float().mean()) - r**2) < 0.04


def test_semicircle_law():
    J = gaussian(300, std=1.4, symmetry=1, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.eigvalsh(J) / 2.8
    assert abs(float(values.abs().max()) - 1) < 0.06
    # P(|lambda| < 1/2) of the semicircle of radius 1 is 1/3 + sqrt(3) / (2 pi).
    expected = 1 / 3 + math.sqrt(3) / (2 * math.pi)
    assert abs(float((values.abs() < 0.5).float().mean()) - expected) < 0.04


def test_a_large_mean_adds_one_eigenvalue():
    J = gaussian(300, mean=4.0, generator=torch.Generator().manual_seed(1))
    z = torch.linalg.eigvals(J)
    outside = z[z.abs() > 1.2]
    assert len(outside) == 1
    assert abs(complex(outside[0]) - 4) < 4 / math.sqrt(300)


def test_a_generator_repeats_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first = gaussian(5, generator=torch.Generator().manual_seed(3))
    second = gaussian(5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, second)
    assert not torch.equal(first, gaussian(5, generator=torch.Generator().manual_seed(4)))
    assert torch.equal(before, torch.get_rng_state())
    gaussian(5)
    assert not torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_kind(kind, device):
    J = gaussian(3, dtype=kind, device=device)
    assert (J.shape, J.dtype, J.device.type) == ((3, 3), kind, device.type)
    assert gaussian(3).dtype == torch.get_default_dtype()
    assert gaussian(3, device="meta").device.type == "meta"


def test_no_spread_is_the_mean():
    assert torch.equal(gaussian(4, mean=2.0, std=0.0), torch.full((4, 4), 0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n: expected a whole number with n >= 1, got 0"),
        ({"n": 3.0}, "n: expected a whole number"),
        ({"std": -1.0}, r"std: expected a finite number in \[0, inf\], got -1.0"),
        ({"std": math.nan}, "std: expected a finite number"),
        ({"mean": math.inf}, "mean: expected a finite number"),
        ({"symmetry": 1.1}, r"symmetry: expected a finite number in \[-1, 1\], got 1.1"),
        ({"symmetry": -1.1}, "symmetry: expected a finite number"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        gaussian(**{"n": 4} | settings)
