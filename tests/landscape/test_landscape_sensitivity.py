"""Sensitivities: powers, barriers and entropy production with known derivatives, Ishigami."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import find_cycle, global_sensitivity, linear_flow, sensitivity


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("method", ["auto", "autograd", "differences"])
def test_powers(method):
    found = sensitivity(lambda p: p[0] ** 2 * p[1] ** -3, numbers(1.5, -0.7), method=method)
    assert_close(found.logarithmic, numbers(2, -3), rtol=1e-8, atol=0)
    assert found.method == ("differences" if method == "differences" else "autograd")
    assert found.ranking.tolist() == [1, 0]
    assert found.scalars()["largest_logarithmic"] == pytest.approx(3)
    assert bool(found.error.any()) == (method == "differences")


def test_entropy_production_of_two_neurons():
    # (a - b)^2 / 2: d ln / d ln a = 2a / (a - b); numbers of scipy carry no gradient.
    def produced(p):
        return linear_flow(p).entropy_production

    A = numbers([-1.0, 2.0], [-0.5, -1.0])
    found = sensitivity(produced, A)
    assert found.method == "differences"
    assert_close(found.logarithmic[0, 1], numbers(1.6)[0], rtol=1e-7, atol=0)
    assert_close(found.logarithmic[1, 0], numbers(0.4)[0], rtol=1e-7, atol=0)
    assert (found.error < 1e-4).all()
    # Time scales: a rate of degree one in A and none in D.
    assert float(found.logarithmic.sum()) == pytest.approx(1, abs=1e-7)


def test_absent_synapses_stay_absent():
    asked = []

    def measure(p):
        asked.append(p.clone())
        return float((p**2).sum())

    found = sensitivity(measure, numbers([0.0, 2.0], [1.0, 0.0]))
    assert_close(found.gradient, numbers([0, 4], [2, 0]), rtol=1e-9, atol=0)
    assert all((p.diagonal() == 0).all() for p in asked)
    smooth = sensitivity(lambda p: (p**2 + p).sum(), numbers(0.0, 2.0))
    assert smooth.gradient.tolist() == [0, 5]


@pytest.mark.slow
def test_period_of_a_cycle_by_differences():
    # With F scaled by a, the period is T / a; the shape b of the ring decides too.
    start = numbers(1.0, 0.5)

    def period(p):
        ring = snt.systems.TanhRing(1.5, float(p[1]))
        cycle = find_cycle(
            lambda u: float(p[0]) * ring.drift(u), start, points=40, longest=30, dt=0.1
        )
        return math.nan if cycle is None else cycle.period

    found = sensitivity(period, numbers(1.0, 1.0), step=0.01)
    assert float(found.value) == pytest.approx(9.883176, rel=1e-4)
    assert float(found.logarithmic[0]) == pytest.approx(-1, abs=1e-3)
    assert float(found.logarithmic[1]) < -1  # the period falls with b, faster than 1 / b


def test_zero_has_no_logarithm():
    assert sensitivity(lambda p: 0 * p.sum(), numbers(1.0)).logarithmic.isnan().all()


def test_same_numbers_in_every_mode():
    p = numbers(1.5, -0.7)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = sensitivity(lambda p: p[0] ** 2 * p[1] ** -3, p)
        assert found.method == "autograd"
        assert_close(found.logarithmic, numbers(2, -3))
    assert not p.requires_grad


def test_ishigami():
    # Ishigami and Homma 1990, a = 7, b = 0.1: the classical test with closed indices.
    def measure(p):
        return p[0].sin() + 7 * p[1].sin() ** 2 + 0.1 * p[2] ** 4 * p[0].sin()

    box = torch.full((3,), math.pi, dtype=torch.float64)
    found = global_sensitivity(measure, -box, box, samples=2048)
    # Var = a^2/8 + b pi^4/5 + b^2 pi^8/18 + 1/2
    variance = 49 / 8 + 0.1 * math.pi**4 / 5 + 0.01 * math.pi**8 / 18 + 0.5
    first = numbers(0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2, 49 / 8, 0) / variance
    interaction = 0.01 * math.pi**8 * (1 / 18 - 1 / 50) / variance
    total = first + numbers(interaction, 0, interaction)
    assert ((found.first - first).abs() < 4 * found.first_stderr + 0.005).all()
    assert ((found.total - total).abs() < 4 * found.total_stderr + 0.005).all()
    assert (found.first_stderr < 0.05).all()
    assert found.std == pytest.approx(math.sqrt(variance), rel=0.02)
    assert found.mean == pytest.approx(3.5, abs=0.05)
    assert found.evaluations == 2048 * 5
    assert found.scalars()["explained_alone"] == pytest.approx(float(first.sum()), abs=0.03)


def test_scrambling_is_repeatable():
    low, high = numbers(0.0, 0.0), numbers(1.0, 2.0)
    one, same, other = (
        global_sensitivity(lambda p: p.prod(), low, high, samples=64, generator=g)
        for g in (None, None, torch.Generator().manual_seed(3))
    )
    assert_close(one.first, same.first, rtol=0, atol=0)
    assert (one.first != other.first).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sensitivity(lambda p: p, numbers(1.0, 2.0)), r"measure: expected one finite numb"),
        (lambda: sensitivity(lambda p: p[0] / 0, numbers(1.0)), r"measure: expected one finite"),
        (lambda: sensitivity(lambda p: 1.0, numbers(1.0), method="autograd"), r"carries a gradien"),
        (lambda: sensitivity(lambda p: 1.0, numbers(1.0), method="both"), r"method: expected one"),
        (lambda: sensitivity(lambda p: 1.0, numbers(1.0), step=0.0), r"step: expected"),
        (lambda: sensitivity(lambda p: 1.0, torch.ones(2, dtype=torch.long)), r"parameters: expec"),
        (lambda: global_sensitivity(lambda p: 1.0, numbers(0.0), numbers(1.0)), r"got a constant"),
        (lambda: global_sensitivity(lambda p: p, numbers(1.0), numbers(1.0)), r"high: expected"),
        (
            lambda: global_sensitivity(sum, numbers(0.0), numbers(1.0), samples=100),
            r"samples: expected a power of two",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
