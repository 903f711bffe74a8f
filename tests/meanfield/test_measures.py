"""Cavity, attractor and typical fixed points against reference values and expansions."""

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt

mf = snt.meanfield


def close(found, values, tolerance):
    assert_close(found, torch.tensor(values, dtype=torch.float64), rtol=0, atol=tolerance)


def test_chaotic_attractor():
    found = mf.chaotic_attractor(gain=[0.8, 1.0, 1.2, 1.5])
    close(found.variance, [0, 0, 0.24262890, 0.74768638], 1e-8)
    close(found.overlap, [0, 0, 0.16980845, 0.34209349], 1e-8)
    close(found.speed, [0, 0, 1.895e-3, 0.0220240], 5e-7)
    assert bool(found.converged.all())


def test_chaotic_attractor_near_the_transition():
    s = 0.01
    found = mf.chaotic_attractor(gain=1 + s)
    close(found.variance, s + 7 / 6 * s**2 - 7 / 9 * s**3 + 338 / 135 * s**4, 3e-9)
    close(found.overlap, s - 5 / 6 * s**2 + 2 / 9 * s**3, 3e-8)
    close(found.speed, s**3 / 3 - 5 / 6 * s**4 + 641 / 180 * s**5, 3e-11)


def test_the_attractor_of_another_function():
    """For erf the primitive is not ln cosh; the variance obeys its own equation, by sampling."""
    found = mf.chaotic_attractor(gain=1.5, transfer="erf")
    z = torch.randn(4_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = z * found.variance.sqrt()
    primitive = x * torch.erf(x) + torch.exp(-x.square()) / torch.pi**0.5
    assert_close(1.5**2 * primitive.var(), found.variance.square() / 2, rtol=5e-3, atol=0)


def test_unbounded_orbits_have_no_attractor():
    found = mf.chaotic_attractor(gain=[0.5, 1.5], transfer="linear")
    assert found.converged.tolist() == [True, False]
    assert found.overlap.isnan().tolist() == [False, True]


@pytest.mark.slow
def test_typical_fixed_points():
    found = mf.typical_fixed_points(gain=[0.9, 1.5])
    close(found.complexity, [0, 7.14257e-3], 5e-9)
    close(found.overlap, [0, 0.254176], 5e-7)
    close(found.variance, [0, 0.465940], 5e-7)
    near = mf.typical_fixed_points(gain=[1.001, 1.004])
    s = torch.tensor([0.001, 0.004], dtype=torch.float64)
    assert_close(near.complexity / s**3, torch.full_like(s, 16 / 81), rtol=0.02, atol=0)
    assert_close(near.overlap / s, torch.full_like(s, 2 / 3), rtol=5e-3, atol=0)
    scan = mf.typical_fixed_points(gain=torch.linspace(1.01, 6, 60).double())
    assert bool(scan.converged.all())
    assert bool((scan.complexity.diff() > 0).all())  # no gain falls back to the single point


def test_cavity_fixed_points():
    g = [0.5, 1.1, 1.5]
    zero = mf.zero_temperature(gain=g)
    found = mf.cavity_fixed_points(gain=g)
    assert_close(found.overlap, zero.overlap)
    assert_close(found.response, zero.response)


@pytest.mark.parametrize(("gain", "symmetry"), [(1.5, -0.3), (1.2, 0.3), (0.8, 0.5)])
def test_cavity_equations_by_gauss_hermite_and_bisection(gain, symmetry):
    found = mf.cavity_fixed_points(gain=gain, symmetry=symmetry)
    C, R = float(found.overlap), float(found.response)
    Gamma = gain**2 * symmetry * R
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    w = torch.exp(-z.square() / 2)
    w = w / w.sum()
    low, high = torch.full_like(z, -30), torch.full_like(z, 30)
    x = low
    for _ in range(80):
        x = (low + high) / 2
        above = x - Gamma * torch.tanh(x) > gain * C**0.5 * z
        low, high = torch.where(above, low, x), torch.where(above, x, high)
    phi = torch.tanh(x)
    slope = 1 - phi.square()
    close(w @ phi.square(), C, 1e-9)
    close(w @ (slope / (1 - Gamma * slope)), R, 1e-9)
    close(w @ x.square(), float(found.variance), 1e-9)
    assert bool(found.converged)


def test_four_overlaps_at_one_gain():
    """Which measure is meant decides the number."""
    found = {
        "canonical": mf.equilibrium(gain=1.5, temperature=1e-4),
        "cavity": mf.cavity_fixed_points(gain=1.5),
        "attractor": mf.chaotic_attractor(gain=1.5),
        "typical": mf.typical_fixed_points(gain=1.5),
    }
    values = [float(each.overlap) for each in found.values()]
    assert values == pytest.approx([0.352647, 0.352602, 0.342093, 0.254176], abs=1e-5)
    assert len({each.measure for each in found.values()}) == 4


@pytest.mark.parametrize("ask", [mf.chaotic_attractor, mf.typical_fixed_points])
def test_bad_arguments(ask):
    with pytest.raises(ValueError, match="gain: expected numbers > 0"):
        ask(gain=-1.0)
    with pytest.raises(ValueError, match="symmetry"):
        mf.cavity_fixed_points(gain=1.0, symmetry=-1.5)
