"""Limit cycles, phases, barriers: closed forms of circular valleys, published period, wells."""

import math

import pytest
import torch
from scipy.stats import norm
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import AccuracyWarning
from sntorch.landscape import (
    Grid,
    barrier,
    fokker_planck,
    limit_cycle,
    phase_coherence,
    wells,
)
from sntorch.systems import DoubleWell, Lorenz, SleepCycle, StuartLandau, TanhRing


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


START = matrix([1.0, 0.0])


@pytest.fixture(scope="module")
def tanh():
    return limit_cycle(TanhRing(diffusion=0.05), START, transient=30.0)


def test_period_of_the_tanh_ring(tanh):
    assert tanh.converged
    assert tanh.stable
    assert float(tanh.period) == pytest.approx(9.883176, rel=1e-5)
    assert float(tanh.residual) < 1e-8
    assert_close(tanh.multipliers[0].real, matrix(1.0), rtol=0, atol=1e-6)
    # Liouville: the product of the multipliers is exp of the integral of div F.
    divergence = TanhRing().jacobian(tanh.points).diagonal(dim1=-2, dim2=-1).sum(-1)
    total = (divergence.mean() * tanh.period).exp()
    assert_close(tanh.multipliers.prod().real, total, rtol=1e-4, atol=0)


def test_the_phase_response_is_a_gradient_of_the_phase(tanh):
    F = TanhRing().drift(tanh.points)
    assert_close((tanh.response * F).sum(-1), torch.full((200,), float(tanh.omega)).double())
    # Kick, wait three turns, and read the phase off the time at which the orbit passes a point.
    kick, point = matrix([0.01, -0.02]), 40
    f = snt.RungeKutta4(TanhRing(), float(tanh.period) / 200)
    ends = [snt.rollout(f, tanh.points[point] + s * kick, 600)[-1] for s in (-1, 1)]
    speed = F[point]
    delay = (ends[1] - ends[0]) @ speed / speed.square().sum() * tanh.omega / 2
    assert float(delay) == pytest.approx(float(tanh.response[point] @ kick), rel=0.01)


@pytest.mark.parametrize("D", [0.1, matrix([0.1, 0.1]), 0.1 * torch.eye(2).double()])
def test_circular_ring(D):
    flow = StuartLandau(alpha=1.5, omega=2.0, diffusion=D)
    found = limit_cycle(flow, START, transient=5.0, points=64)
    assert float(found.period) == pytest.approx(math.pi, rel=1e-5)
    assert float(found.phase_diffusion) == pytest.approx(0.1, rel=1e-4)
    assert float(found.cycles) == pytest.approx(2 / (2 * math.pi * 0.1), rel=1e-4)
    assert float(found.multipliers.real[1]) == pytest.approx(math.exp(-3 * math.pi), rel=0.02)
    assert_close(found.response, torch.stack([-found.points[:, 1], found.points[:, 0]], -1),
                 rtol=0, atol=1e-4)  # fmt: skip


def test_noise_in_one_variable_only():
    found = limit_cycle(StuartLandau(diffusion=matrix([0.2, 0.0])), START, transient=5.0, points=64)
    assert float(found.phase_diffusion) == pytest.approx(0.1, rel=1e-3)  # 0.2 <sin^2>


@pytest.mark.slow
def test_sleep_cycle():
    found = limit_cycle(SleepCycle(), START, transient=60.0, points=100)
    assert found.stable
    assert float(found.period) == pytest.approx(26.79, rel=1e-3)
    assert f"{26.790}" in (SleepCycle.__doc__ or "")


@pytest.mark.parametrize(
    ("flow", "u"), [(DoubleWell(2), START + 0.1), (lambda u: torch.ones_like(u), START)]
)
def test_no_cycle_is_a_result(flow, u):
    found = limit_cycle(flow, u, transient=20.0, points=16, dt=0.2, search=20.0)
    assert not found.converged
    assert math.isnan(float(found.period))
    assert found.points.shape == found.response.shape == (16, 2)


@pytest.mark.parametrize(
    ("u", "settings", "message"),
    [
        (START[None], {}, r"u: expected one state \(N,\)"),
        (matrix([1.0]), {}, "u: expected 2 on"),
        (START * math.nan, {}, "u: expected finite"),
        (START, {"points": 3}, "points: expected"),
        (START, {"transient": -1.0}, "transient: expected"),
        (START, {"period": 0.0}, "period: expected"),
        (START, {"dt": 0.0}, "dt: expected"),
    ],
)
def test_bad_starts_are_named(u, settings, message):
    with pytest.raises(ValueError, match=message):
        limit_cycle(TanhRing(), u, **settings)


# Phases of orbits with noise


def circle(rows, steps, omega, D, dt, seed=0):
    """Return points whose angle makes independent Gaussian increments: a Brownian clock."""
    stream = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, rows, generator=stream, dtype=torch.float64)
    angle = (omega * dt + math.sqrt(2 * D * dt) * noise).cumsum(0)
    return torch.stack([angle.cos(), angle.sin()], -1)


@pytest.mark.parametrize("rows", [1, 64])
def test_a_brownian_clock(rows):
    omega, D, dt, lag = 1.3, 0.2, 0.1, 4
    orbit = circle(rows, 4000 if rows > 1 else 40000, omega, D, dt)
    found = phase_coherence(orbit, dt=dt, lag=lag, span=50, centre=torch.zeros(2))
    mu, s = omega * lag * dt, math.sqrt(2 * D * lag * dt)
    size = s * math.sqrt(2 / math.pi) * math.exp(-(mu**2) / (2 * s**2)) + mu * (
        1 - 2 * float(norm.cdf(-mu / s))
    )
    for value, error, expected in (
        (found.frequency, found.frequency_stderr, omega),
        (found.diffusion, found.diffusion_stderr, D),
        (found.coherence, found.coherence_stderr, mu / size),
    ):
        assert abs(float(value) - expected) < 4 * float(error)
        assert float(error) < 0.1 * expected
    assert found.lag == pytest.approx(0.4)
    assert found.span == pytest.approx(5)
    assert float(found.cycles) == pytest.approx(omega / (2 * math.pi * D), rel=0.2)


def test_a_clock_and_its_mirror():
    orbit = circle(10, 200, 1.0, 1e-6, 0.1)
    assert float(phase_coherence(orbit, dt=0.1).coherence) == pytest.approx(1)
    assert float(phase_coherence(orbit.flip(0), dt=0.1).coherence) == pytest.approx(-1)
    turned = phase_coherence(orbit, dt=0.1, plane=torch.eye(2).flip(0))
    assert float(turned.frequency) == pytest.approx(-1, rel=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dt": 0.0}, "dt: expected"),
        ({"lag": 0}, "lag: expected"),
        ({"span": 500}, "span: expected"),
        ({"plane": torch.ones(3, 2)}, r"plane: expected \(2, 2\)"),
    ],
)
def test_bad_orbits_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        phase_coherence(circle(2, 100, 1.0, 0.1, 0.1), **settings)


# Barriers


def test_both_barriers_of_the_tanh_ring(tanh):
    density = fokker_planck(TanhRing(diffusion=0.05), Grid([-3, -3], [3, 3], 200), modes=0)
    found = barrier(density, tanh.points)
    assert float(found.from_mean) == pytest.approx(4.811, rel=5e-3)
    assert float(found.modulation) == pytest.approx(0.2635, rel=0.01)
    assert float(found.from_minimum) > float(found.from_mean)
    assert float(found.top.abs().max()) < 0.02
    same = barrier(density, tanh.points, top=torch.zeros(2).double())
    assert float(same.from_mean) == pytest.approx(float(found.from_mean), abs=5e-3)
    assert float(same.height - same.lowest) == pytest.approx(float(same.from_minimum))


def test_wells_and_passes():
    flow = DoubleWell(2, barrier=1.2, diffusion=0.15)
    density = fokker_planck(flow, Grid([-2, -2.4], [2, 2.4], (81, 60)), modes=0)
    found = wells(density)
    assert len(found.floor) == 2
    assert_close(found.minima.abs(), matrix([[1.0, 0.0], [1.0, 0.0]]), rtol=0, atol=0.06)
    assert float(found.barriers[0, 1]) == pytest.approx(8, rel=0.01)
    assert_close(found.saddles[0, 1], torch.zeros(2).double(), rtol=0, atol=0.06)
    assert_close(found.weight, matrix([0.5, 0.5]), rtol=0, atol=0.01)
    assert_close(found.passes, found.passes.T)
    assert found.barriers.diagonal().abs().max() == 0
    assert len(wells(density, depth=9.0).floor) == 1
    assert math.isnan(wells(density, depth=9.0).scalars()["barrier"])


def test_three_wells_in_a_row():
    # V = h (1 - cos 3 pi u) / 2 + tilt u on a line: the pass from end to end is the higher one.
    def drift(u):
        return -1.5 * math.pi * torch.sin(3 * math.pi * u) - 0.8

    with pytest.warns(AccuracyWarning, match="lies along a wall"):
        density = fokker_planck(drift, Grid([-1.0], [1.0], 400), modes=0,
                                diffusion=lambda u: 0.2 + 0 * u)  # fmt: skip
    found = wells(density)
    assert len(found.floor) == 3
    order = found.minima[:, 0].argsort()
    left, middle, right = order.tolist()
    assert order.tolist() == [0, 1, 2]
    assert float(found.passes[left, right]) == pytest.approx(
        float(torch.maximum(found.passes[left, middle], found.passes[middle, right]))
    )
    # Uphill by 0.8 * 2/3 / D per well.
    assert_close(
        found.floor.diff(), torch.full((2,), 0.8 * 2 / 3 / 0.2).double(), rtol=0.01, atol=0
    )
    assert float(found.weight.sum()) == pytest.approx(1)


def test_bad_cycles_are_named():
    density = fokker_planck(StuartLandau(diffusion=0.1), Grid([-2, -2], [2, 2], 40), modes=0)
    with pytest.raises(ValueError, match="cycle: expected states in the box"):
        barrier(density, 3 * START.expand(4, 2))
    with pytest.raises(ValueError, match="cycle: expected one that encloses cells"):
        barrier(density, matrix([[0.0, 0.0], [1e-9, 0.0], [0.0, 1e-9]]))
    with pytest.raises(ValueError, match=r"cycle: expected \(M, 2\)"):
        barrier(density, torch.zeros(4, 3))
    with pytest.raises(ValueError, match="depth: expected"):
        wells(density, depth=-1.0)
    cube = fokker_planck(lambda u: -u, Grid([-5] * 3, [5] * 3, 16), modes=0,
                         diffusion=lambda u: 1 + 0 * u)  # fmt: skip
    with pytest.raises(ValueError, match="top: expected a state, since only in a plane"):
        barrier(cube, torch.zeros(4, 3).double())


def test_a_chaotic_orbit_does_not_close():
    u = matrix([1.0, 1.0, 25.0])
    found = limit_cycle(Lorenz(), u, transient=10.0, dt=0.01, points=64, period=2.0)
    assert not (found.converged and found.stable)
