"""Independent couplings: moments over independent matrices, symmetry, signs, spectrum."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize

from sntorch import couplings
from sntorch.couplings import dale, gaussian, populations, thresholds

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


# populations

SIZES = [20, 30, 10]
MEAN = [[1.0, -2.0, 0.0], [3.0, 0.5, -1.0], [0.0, 2.0, -4.0]]
STD = [[1.0, 0.5, 2.0], [0.0, 1.5, 1.0], [3.0, 1.0, 0.7]]


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def test_population_blocks():
    g = seeded()
    draw = [populations(SIZES, mean=MEAN, std=STD, generator=g) for _ in range(COPIES)]
    J = torch.stack(draw).double()
    assert J.shape == (COPIES, 60, 60)
    for a, rows in enumerate(J.split(SIZES, dim=1)):
        for b, block in enumerate(rows.split(SIZES, dim=2)):
            mean, n = MEAN[a][b], SIZES[b]
            if STD[a][b] == 0:
                torch.testing.assert_close(block, torch.full_like(block, mean / n))
                continue
            check(block.mean((1, 2)) * n, mean)
            check((block - mean / n).square().mean((1, 2)) * n, STD[a][b] ** 2)
            check(block.sum(2).mean(1), mean)


def test_one_population_is_gaussian():
    one = populations([9], mean=[[2.0]], std=torch.tensor([[1.5]]), generator=seeded())
    torch.testing.assert_close(one, gaussian(9, mean=2.0, std=1.5, generator=seeded()))


def test_population_radius_does_not_depend_on_the_sizes():
    std = torch.tensor([[0.5, 2.0], [1.0, 0.8]])
    radius = math.sqrt(float(torch.linalg.eigvals(std**2).abs().max()))
    for sizes in ([200, 200], [320, 80], [100, 300]):
        J = populations(sizes, mean=torch.zeros(2, 2), std=std, generator=seeded())
        assert abs(float(torch.linalg.eigvals(J).abs().max()) / radius - 1) < 0.12


def test_population_outliers_are_those_of_the_mean():
    mean = torch.tensor([[4.0, -5.0], [5.0, -1.0]])
    J = populations([300, 100], mean=mean, std=torch.full((2, 2), 0.8), generator=seeded())
    z = torch.linalg.eigvals(J)
    outside = z[z.abs() > 1.2]
    expected = torch.linalg.eigvals(mean)
    assert len(outside) == 2
    distance = (outside[:, None] - expected).abs().min(1).values
    assert distance.max() < 0.5  # a few std / sqrt(100), times the condition of the table


# dale


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize(("excitatory", "first"), [(0.8, 32), (0.5, 20), (0.04, 2)])
def test_dale_moments(balanced, excitatory, first):
    g = seeded()
    settings = {"excitatory": excitatory, "std": 1.5, "balanced": balanced, "generator": g}
    J = torch.stack([dale(N, **settings, dtype=torch.float64) for _ in range(COPIES)])
    assert (J[:, :, :first] > 0).all()
    assert (J[:, :, first:] < 0).all()
    f = first / N
    strong = 1.5 * (math.sqrt((1 - f) / f) if balanced else 1)
    weak = 1.5 * (math.sqrt(f / (1 - f)) if balanced else 1)
    check(J.square().mean((1, 2)) * N, 1.5**2)
    check(J[:, :, :first].square().mean((1, 2)) * N, strong**2)
    check(J[:, :, first:].square().mean((1, 2)) * N, weak**2)
    check(J[:, :, :first].mean((1, 2)) * math.sqrt(N), strong * math.sqrt(2 / math.pi))
    row = 0 if balanced else (2 * f - 1) * 1.5 * math.sqrt(2 * N / math.pi)
    check(J.sum(2).mean(1), row)
    check(J.sum(2)[:, 0], row)


def inside(r, variances, shares):
    """Share of eigenvalues within r for columns of given variance: 1 - G, where G solves

    sum_c shares_c v_c / (r^2 + v_c G) = 1 (Ahmadian, Fumarola, Miller 2015).
    """

    def excess(G):
        return sum(p * v / (r**2 + v * G) for p, v in zip(shares, variances, strict=True)) - 1

    return 1 - optimize.root_scalar(excess, bracket=(0, 1)).root


@pytest.mark.parametrize("balanced", [True, False])
def test_dale_spectrum(balanced):
    n, std, f = 400, 1.5, 0.8
    radius = std * math.sqrt(1 - 2 / math.pi)
    J = dale(n, std=std, balanced=balanced, generator=seeded(), dtype=torch.float64)
    z = torch.linalg.eigvals(J)
    r = z.abs() / radius
    variances = [(1 - f) / f, f / (1 - f)] if balanced else [1.0, 1.0]
    for q in (0.3, 0.5, 0.7, 0.9):
        expected = inside(q, variances, [f, 1 - f])
        assert abs(float((r < q).double().mean()) - expected) < 0.04
    assert (r > 1.15).sum() < 0.03 * n
    if not balanced:
        # 14.4 within 4 percent
        largest = complex(z[z.abs().argmax()])
        assert abs(largest - (2 * f - 1) * std * math.sqrt(2 * n / math.pi)) < 0.6


def test_dale_radius_without_the_means():
    n, f = 400, 0.8
    J = dale(n, std=1.5, generator=seeded(), dtype=torch.float64)
    means = torch.full((n,), math.sqrt((1 - f) / f), dtype=torch.float64)
    means[320:] = -math.sqrt(f / (1 - f))
    r = torch.linalg.eigvals(J - 1.5 * math.sqrt(2 / math.pi / n) * means).abs()
    assert abs(float(r.max()) / (1.5 * math.sqrt(1 - 2 / math.pi)) - 1) < 0.12


def test_dale_without_balance_may_be_of_one_kind():
    assert (dale(5, excitatory=1.0, balanced=False) > 0).all()
    assert (dale(5, excitatory=0.0, balanced=False) < 0).all()


# thresholds


def test_thresholds_of_populations():
    g = seeded()
    mean, std = [1.0, -2.0, 0.0], [0.5, 0.0, 2.0]
    theta = torch.stack([thresholds(SIZES, mean=mean, std=std, generator=g) for _ in range(COPIES)])
    for a, part in enumerate(theta.double().split(SIZES, dim=1)):
        if std[a] == 0:
            assert (part == mean[a]).all()
            continue
        check(part.mean(1), mean[a])
        check((part - mean[a]).square().mean(1), std[a] ** 2)
        check((part[:, 0] - mean[a]) * (part[:, 1] - mean[a]), 0.0)


def test_thresholds_of_one_population():
    drawn = thresholds(7, mean=1.0, std=2.0, generator=seeded())
    torch.testing.assert_close(drawn, 1 + 2 * torch.randn(7, generator=seeded()))
    assert torch.equal(drawn, thresholds([3, 4], mean=1.0, std=2.0, generator=seeded()))
    assert torch.equal(thresholds(3), torch.zeros(3))


# all of them

OTHERS = {
    "populations": lambda **more: populations(
        [2, 3], mean=[[1, 2], [3, 4]], std=[[1, 1]] * 2, **more
    ),
    "dale": lambda **more: dale(5, **more),
    "thresholds": lambda **more: thresholds(5, std=1.0, **more),
}


@pytest.mark.parametrize("name", OTHERS)
def test_generator_and_kind(name, dtype, device):
    before = torch.get_rng_state()
    first, second, other = (OTHERS[name](generator=seeded(k)) for k in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    drawn = OTHERS[name](dtype=dtype, device=device)
    assert (drawn.dtype, drawn.device.type) == (dtype, device.type)
    assert first.dtype == torch.get_default_dtype()
    assert OTHERS[name](device="meta").device.type == "meta"


def one_table(mean=((0, 0), (0, 0)), std=((1, 1), (1, 1))):
    return lambda: populations([2, 3], mean=mean, std=std)


WRONG: Any = 4  # where the types ask for a list


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: populations([], mean=[], std=[]), r"sizes: expected a list of whole numbers, got"),
        (
            lambda: populations(WRONG, mean=[[0]], std=[[1]]),
            "sizes: expected a list of whole numbers",
        ),
        (lambda: populations([2, -1], mean=[[0]], std=[[1]]), r"sizes\[1\]: expected .* got -1"),
        (one_table(mean=[[0, 0]]), r"mean: expected a table \(2, 2\), got \(1, 2\)"),
        (one_table(mean=1.0), r"mean: expected a table \(2, 2\), got \(\)"),
        (one_table(mean=[[0, 0], [1]]), r"mean: expected a table \(2, 2\) of numbers, got \[\["),
        (one_table(mean="ab"), "mean: expected a table"),
        (one_table(mean=[[0, math.inf], [0, 0]]), r"mean: expected finite .* got inf at \(0, 1\)"),
        (one_table(std=torch.ones(2)), r"std: expected a table \(2, 2\), got \(2,\)"),
        (one_table(std=[[1, -1], [1, 1]]), "std: expected numbers >= 0, got -1.0"),
        (lambda: dale(0), "n: expected a whole number"),
        (lambda: dale(4, excitatory=1.1), "excitatory: expected a finite number"),
        (lambda: dale(4, excitatory=-0.1), "excitatory: expected a finite number"),
        (lambda: dale(4, excitatory=1.0), "excitatory: expected neurons of both .* got 4 of 4"),
        (lambda: dale(4, excitatory=0.1), "excitatory: expected neurons of both .* got 0 of 4"),
        (lambda: dale(4, std=-1.0), "std: expected a finite number"),
        (lambda: thresholds(0), "sizes: expected a whole number"),
        (lambda: thresholds([2, 0]), r"sizes\[1\]: expected a whole number"),
        (lambda: thresholds(3, std=-1.0), "std: expected numbers >= 0, got -1.0"),
        (lambda: thresholds([2, 1], mean=[1.0]), r"mean: expected a table \(2,\), got \(1,\)"),
        (lambda: thresholds(3, mean=math.nan), "mean: expected finite numbers"),
    ],
)
def test_bad_arguments_of_the_others_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


DRAWN = {
    "gaussian": lambda **given: couplings.gaussian(4, **given),
    "populations": lambda **given: couplings.populations([4], mean=[[0.0]], std=[[1.0]], **given),
    "dale": lambda **given: couplings.dale(4, excitatory=0.5, **given),
    "thresholds": lambda **given: couplings.thresholds(4, **given),
    "sparse": lambda **given: couplings.sparse(4, degree=2, **given),
    "orthogonal": lambda **given: couplings.orthogonal(4, **given),
    "low_rank": lambda **given: couplings.low_rank(4, rank=1, **given),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_generator_that_is_none_is_named(draw):
    with pytest.raises(ValueError, match=r"generator: expected a torch.Generator, got numpy"):
        draw(generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"generator: expected one on meta, got cpu"):
        draw(generator=torch.Generator(), device="meta")
