"""Regimes of systems whose regime is known, from theory or from the literature.

`MAPS` and `FLOWS` are families: one dynamics whose rows have parameters of their own, and the label
that each row must have.  Labels come from the theory of the maps (windows of the logistic map,
tongues of circle maps, the Neimark-Sacker bifurcation of the delayed logistic map at a = 2, linear
stability), from the literature for the chaotic flows, and from the construction of uncoupled parts.
"""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import regime, scan_regimes
from sntorch.analysis.regime import LABELS
from tests.references import random_generator

FIXED, PERIODIC, QUASI, CHAOTIC, UNDECIDED = LABELS
GOLDEN = (5**0.5 - 1) / 2
TURN = 2 * math.pi


class Family(snt.Dynamics):
    """A map whose derivative is written out."""

    def __init__(self, size, value, derivative):
        super().__init__()
        self.size, self.value, self.derivative = size, value, derivative

    def map(self, u, x=None):
        return self.value(u)

    def jvp(self, u, V, x=None):
        return self.value(u), self.derivative(u) @ V


class FlowFamily(snt.Flow):
    """A flow whose derivative is written out."""

    def __init__(self, size, value, derivative):
        super().__init__()
        self.size, self.value, self.derivative = size, value, derivative

    def drift(self, u, x=None):
        return self.value(u)

    def jvp(self, u, V, x=None):
        return self.value(u), self.derivative(u) @ V


def column(values):
    return torch.tensor(values, dtype=torch.float64)


def matrix(*rows):
    """Return matrices (..., N, N) of entries that are numbers or (...)."""
    entries = [torch.as_tensor(e, dtype=torch.float64) for row in rows for e in row]
    return torch.stack(torch.broadcast_tensors(*entries), -1).unflatten(-1, (len(rows), -1))


def starts(state, rows):
    return torch.tensor([state] * rows, dtype=torch.float64)


def logistic(r):
    r = column(r).unsqueeze(-1)
    f = Family(1, lambda u: r * u * (1 - u), lambda u: (r * (1 - 2 * u)).unsqueeze(-1))
    return f, starts([0.3123], len(r))


def circle(omega, K):
    """Return the sine circle map on [0, 1), which jumps at the end."""
    omega, K = column(omega).unsqueeze(-1), column(K).unsqueeze(-1)
    f = Family(
        1,
        lambda u: (u + omega + K / TURN * torch.sin(TURN * u)) % 1,
        lambda u: (1 + K * torch.cos(TURN * u)).unsqueeze(-1),
    )
    return f, starts([0.3123], len(K))


def circles(omega, K):
    """Return uncoupled circle maps (rows, m) in as many planes: no jump, 2 m variables."""
    omega, K = column(omega), column(K)
    m = omega.shape[-1]

    def parts(u):
        x, y = u.unflatten(-1, (m, 2)).unbind(-1)
        angle = torch.atan2(y, x)
        new = angle + TURN * omega + K * torch.sin(angle)
        return x, y, new, (1 + K * torch.cos(angle)) / (x * x + y * y)

    def value(u):
        new = parts(u)[2]
        return torch.stack([new.cos(), new.sin()], -1).flatten(-2)

    def derivative(u):
        x, y, new, slope = parts(u)
        out = torch.stack([-new.sin() * slope, new.cos() * slope], -1)
        result = u.new_zeros(*u.shape, 2 * m)
        for i in range(m):
            turned = torch.stack([-y[..., i], x[..., i]], -1)
            block = out[..., i, :].unsqueeze(-1) * turned.unsqueeze(-2)
            result[..., 2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
        return result

    return Family(2 * m, value, derivative), starts([1.0, 0.2, 0.3, 1.0, 1.0, 0.3][: 2 * m], len(K))


def delayed(a):
    """Return the delayed logistic map (a u (1 - v), u)."""
    a = column(a)
    f = Family(
        2,
        lambda u: torch.stack([a * u[..., 0] * (1 - u[..., 1]), u[..., 0]], -1),
        lambda u: matrix((a * (1 - u[..., 1]), -a * u[..., 0]), (1.0, 0.0)),
    )
    return f, starts([0.45, 0.5], len(a))


def henon(a):
    a = column(a)
    f = Family(
        2,
        lambda u: torch.stack([1 - a * u[..., 0] ** 2 + u[..., 1], 0.3 * u[..., 0]], -1),
        lambda u: matrix((-2 * a * u[..., 0], 1.0), (0.3, 0.0)),
    )
    return f, starts([0.1, 0.1], len(a))


def plane(*turns):
    """Return couplings of uncoupled pairs of neurons: rotations by an angle, times a length."""
    blocks = [
        length * torch.tensor([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]).double()
        for t, length in turns
    ]
    return torch.block_diag(*blocks)


def networks(J, gain):
    """Return SNT networks of equal couplings with a gain for every row, as a family."""
    gain = column(gain).unsqueeze(-1)

    def derivative(u):
        return J * (gain * (1 - torch.tanh(gain * u).square())).unsqueeze(-2)

    f = Family(len(J), lambda u: torch.tanh(gain * u) @ J.mT, derivative)
    return f, torch.linspace(0.1, 0.4, len(J)).double().expand(len(gain), -1)


def van_der_pol(mu):
    mu = column(mu)

    def value(u):
        x, y = u.unbind(-1)
        return torch.stack([y, mu * (1 - x**2) * y - x], -1)

    def derivative(u):
        x, y = u.unbind(-1)
        return matrix((0.0, 1.0), (-2 * mu * x * y - 1, mu * (1 - x**2)))

    return FlowFamily(2, value, derivative), starts([0.1, 0.4], len(mu))


def lorenz(r):
    r = column(r)

    def value(u):
        x, y, z = u.unbind(-1)
        return torch.stack([10 * (y - x), x * (r - z) - y, x * y - 8 / 3 * z], -1)

    def derivative(u):
        x, y, z = u.unbind(-1)
        return matrix((-10.0, 10.0, 0.0), (r - z, -1.0, -x), (y, x, -8 / 3))

    return FlowFamily(3, value, derivative), starts([1.0, 2.0, 20.0], len(r))


def roessler(c):
    c = column(c)

    def value(u):
        x, y, z = u.unbind(-1)
        return torch.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - c)], -1)

    def derivative(u):
        x, _, z = u.unbind(-1)
        return matrix((0.0, -1.0, -1.0), (1.0, 0.2, 0.0), (z, 0.0, x - c))

    return FlowFamily(3, value, derivative), starts([1.0, 2.0, 0.0], len(c))


def two_rings(speed):
    """Return two uncoupled rings, the second one faster."""
    speed = column(speed)
    ring = snt.systems.TanhRing()

    def value(u):
        return torch.cat([ring.drift(u[..., :2]), speed * ring.drift(u[..., 2:])], -1)

    def derivative(u):
        result = u.new_zeros(*u.shape, 4)
        result[..., :2, :2] = ring.jacobian(u[..., :2])
        result[..., 2:, 2:] = speed * ring.jacobian(u[..., 2:])
        return result

    return FlowFamily(4, value, derivative), column([0.1, 0.4, 0.5, 0.3])


def pairs(*rows):
    return zip(*rows, strict=True)


ONE = torch.ones(1, 1, dtype=torch.float64)
RANDOM = snt.couplings.gaussian(9, generator=random_generator(4), dtype=torch.float64)
SILVER = 2**0.5 - 1

MAPS = {
    "logistic": (
        logistic([0.5, 2.8, 2.99, 3.2, 3.5, 3.55, 3.74, 3.83, 3.845, 3.6, 3.7, 3.8282, 3.9, 4.0]),
        [FIXED] * 3 + [PERIODIC] * 6 + [CHAOTIC] * 5,  # 3.8282: intermittent, beside the window
    ),
    "critical": (logistic([3.0, 3.5699456718695445]), [UNDECIDED] * 2),
    "circle": (
        circle(
            *pairs((GOLDEN, 0.0), (GOLDEN, 0.5), (0.5, 0.9), (0.05, 0.9), (1 / 3, 0), (0.25, 4))
        ),
        [QUASI, QUASI, PERIODIC, FIXED, PERIODIC, CHAOTIC],
    ),
    "embedded circle": (
        circles([[GOLDEN], [GOLDEN], [0.5], [0.05], [0.25]], [[0.0], [0.5], [0.9], [0.9], [4.0]]),
        [QUASI, QUASI, PERIODIC, FIXED, CHAOTIC],
    ),
    "two circles": (
        circles(
            [[GOLDEN, SILVER], [GOLDEN, SILVER], [GOLDEN, 0.5], [0.5, 0.5], [GOLDEN, 0.25]],
            [[0.0, 0.0], [0.5, 0.4], [0.5, 0.9], [0.9, 0.8], [0.5, 4.0]],
        ),
        [QUASI, QUASI, QUASI, PERIODIC, CHAOTIC],
    ),
    "three circles": (circles([[GOLDEN, SILVER, math.pi % 1]], [[0.3, 0.2, 0.3]]), [QUASI]),
    "delayed logistic": (
        delayed([1.5, 1.9, 2.05, 2.1, 2.15, 2.27, 2.0]),
        [FIXED, FIXED, QUASI, QUASI, QUASI, CHAOTIC, UNDECIDED],
    ),
    "henon": (henon([0.2, 0.9, 1.0, 1.25, 1.4]), [FIXED, PERIODIC, PERIODIC, PERIODIC, CHAOTIC]),
    "cat map": ((snt.systems.CatMap(), column([0.1234, 0.771])), [CHAOTIC]),
    "ikeda": ((snt.systems.Ikeda(), column([0.1, 0.1])), [CHAOTIC]),
    "one neuron": (networks(-ONE, [0.5, 0.9, 2.0, 1.0]), [FIXED, FIXED, PERIODIC, UNDECIDED]),
    "two neurons": (networks(plane((2.0, 1.0)), [0.9, 1.2, 1.4]), [FIXED, QUASI, QUASI]),
    "a quarter turn": (networks(plane((TURN / 4, 1.0)), [3.0]), [PERIODIC]),
    "four neurons": (networks(plane((2.0, 1.0), (0.7, 1.1)), [1.2]), [QUASI]),
    "nine neurons": (networks(RANDOM, [0.3, 2.5]), [FIXED, CHAOTIC]),
}
FREQUENCIES = {"three circles": [3], "two circles": [2, 2, 1, 1, 0], "four neurons": [2]}


def check(name, found, expected):
    """Compare the labels; being undecided where something was expected is a failure too."""
    wrong = [
        f"{name}, row {i}: expected {want}, got {got}: {words}"
        for i, (want, got, words) in enumerate(
            zip(expected, found.labels, found.testimony, strict=True)
        )
        if want != got
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_maps(name):
    (f, u), expected = MAPS[name]
    found = regime(f, u, 2500)
    check(name, found, expected)
    if name in FREQUENCIES:
        assert found.frequencies.isfinite().sum(-1).flatten().tolist() == FREQUENCIES[name]


FLOWS = {
    "van der Pol": (van_der_pol([0.3, 1.0, 5.0]), 0.1, 3000, [PERIODIC] * 3),
    "oscillator": (van_der_pol([0.0]), 0.1, 2500, [PERIODIC]),
    "two rings": (two_rings(2**0.5), 0.3, 3000, [QUASI]),
    "lorenz": (lorenz([10.0, 28.0, 160.0]), 0.01, 5000, [FIXED, CHAOTIC, PERIODIC]),
    "roessler": (
        roessler([2.5, 3.5, 4.0, 5.7]), 0.1, 6000, [PERIODIC, PERIODIC, PERIODIC, CHAOTIC],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
def test_flows(name):
    (flow, u), dt, steps, expected = FLOWS[name]
    check(name, regime(snt.RungeKutta4(flow, dt), u, steps), expected)


def test_there_are_forty_systems():
    assert sum(len(each[-1]) for each in [*MAPS.values(), *FLOWS.values()]) >= 60


# Flows and maps


@pytest.mark.slow
def test_a_limit_cycle_is_a_closed_curve_when_read_as_a_map():
    flow = snt.systems.TanhRing(diffusion=0.05)
    f = snt.EulerMaruyama(flow, 0.2)
    u = column([0.1, 0.4])
    found = regime(f, u, 2000)
    assert (found.label, found.title) == ("periodic", "periodic")
    assert "noise switched off" in found.evidence
    assert "per unit of time" in found.evidence
    assert float(f.noise) == pytest.approx(0.02**0.5)
    as_map = regime(f, u, 2000, continuous=False)
    assert (as_map.label, as_map.title) == ("quasi_periodic", "closed curve")
    assert_close(as_map.exponents, found.exponents)
    seen = regime(snt.iterate(f, 2), u, 1000)
    assert seen.label == "periodic"
    assert_close(seen.frequencies[0], found.frequencies[0], rtol=1e-5, atol=0)


@pytest.mark.slow
def test_frequency_of_the_ring_is_that_of_its_period():
    f = snt.RungeKutta4(snt.systems.TanhRing(), 0.2)
    found = regime(f, column([0.1, 0.4]), 2500)
    assert float(found.frequencies[0]) == pytest.approx(1 / 9.883176, rel=1e-5)
    assert float(found.exponents[0]) == pytest.approx(0, abs=2e-3)
    assert found.period.isnan()


@pytest.mark.slow
def test_frequencies_are_the_rotation_numbers():
    f, u = circles([[GOLDEN, SILVER]], [[0.0, 0.0]])
    found = regime(f, u, 2000)
    expected = sorted([1 - GOLDEN, SILVER])
    assert sorted(found.frequencies[0, :2].tolist()) == pytest.approx(expected, abs=1e-6)
    assert found.title == "2-torus"


# The record


def test_the_record_of_rows():
    f, u = logistic([2.8, 3.2, 3.9, 3.2])
    found = regime(f, u, 400)
    assert found.labels == (FIXED, PERIODIC, CHAOTIC, PERIODIC)
    assert found.label == found.title == "mixed"
    assert found.evidence.splitlines()[1].startswith("periodic: comes back after 2 steps")
    assert_close(found.period[:2], column([1.0, 2.0]))
    assert found.period[2].isnan()
    assert_close(found.frequencies[1, 0], column(0.5))
    assert found.exponents.shape == found.stderr.shape == (4, 1)
    assert_close(found.exponents[0, 0], column(math.log(0.8)))
    assert found.activity.shape == (400, 4)
    assert found.spectrum.density.shape[0] == 4
    numbers = found.scalars()
    assert (numbers["periodic"], numbers["chaotic"], numbers["undecided"]) == (0.5, 0.25, 0.0)
    assert numbers["max"] == pytest.approx(float(found.exponents.mean()))


def test_axes_and_a_single_row():
    f = snt.systems.Logistic(3.2)
    u = torch.rand(2, 3, 1, dtype=torch.float64)
    found = regime(f, u, 400)
    assert found.labels == (PERIODIC,) * 6
    assert (found.period == 2).all()
    assert found.period.shape == (2, 3)
    assert found.frequencies.shape == (2, 3, 3)
    alone = regime(f, u[1, 2], 400)
    assert_close(alone.exponents, found.exponents[1, 2])
    assert_close(alone.state, found.state[1, 2])
    assert alone.period.shape == ()


def test_exponents_are_those_of_the_spectrum():
    J = snt.couplings.gaussian(12, std=2.5, generator=random_generator(0), dtype=torch.float64)
    cell = snt.SNTCell(J, leak=0.3, trainable=())
    u = torch.linspace(-1, 1, 12).double()
    found = regime(cell, u, 600, transient=200, k=5)
    known = snt.analysis.lyapunov_spectrum(cell, u, 600, transient=200, k=5)
    assert_close(found.exponents, known.exponents, atol=0.02, rtol=0)
    orbit = snt.rollout(cell, u, 800)
    assert_close(found.activity[:20], cell.rate(orbit[200:220]).mean(-1).detach())


@pytest.mark.slow
def test_single_precision_and_a_constant_drive():
    cell = snt.SNTCell(plane((2.0, 1.2)).float(), input_size=1, noise=0.1)
    x = torch.zeros(1)
    found = regime(cell, torch.tensor([0.1, 0.3]), 1500, x=x)
    assert found.label == QUASI
    assert found.exponents.dtype == torch.float32
    shifted = regime(cell, torch.tensor([0.1, 0.3]), 1500, x=x + 50)
    assert shifted.label == FIXED


def test_an_observer_leaves_no_trace():
    cell = snt.SNTCell(plane((2.0, 1.2)), noise=0.2)
    cell.train()
    state = torch.get_rng_state()
    with torch.inference_mode():
        first = regime(cell, column([0.1, 0.4]), 300)
    second = regime(cell, column([0.1, 0.4]), 300)
    assert torch.equal(first.exponents, second.exponents)
    assert torch.equal(torch.get_rng_state(), state)
    assert cell.training
    assert cell.coupling.requires_grad
    assert float(cell.noise) == pytest.approx(0.2)


# Honesty


def test_an_unstable_fixed_point_is_no_regime():
    found = regime(snt.systems.Logistic(3.9), column([0.0]), 400)
    assert found.label == UNDECIDED
    assert "unstable, start elsewhere" in found.evidence


def test_neutral_cycles_are_called_so():
    assert "neutral" in regime(lambda u: -u, column([1.0]), 200).evidence


def test_too_few_turns_are_not_judged():
    f = snt.RungeKutta4(snt.systems.TanhRing(), 0.05)
    found = regime(f, column([0.1, 0.4]), 400, transient=600)  # two periods
    assert found.label == UNDECIDED


@pytest.mark.parametrize("omega", [GOLDEN, SILVER, 0.1234567])
def test_random_starts_agree(omega):
    f, _ = circle([omega] * 6, [0.6] * 6)
    u = torch.rand(6, 1, dtype=torch.float64, generator=random_generator(5))
    assert regime(f, u, 2000).label == QUASI


@pytest.mark.parametrize(
    ("f", "u", "settings", "message"),
    [
        (snt.systems.Logistic(), [torch.nan], {}, "u: expected finite numbers, got nan"),
        (lambda u: 5 * u * (1 - u), [0.3], {}, "u: expected a bounded orbit, .* by step 1?[0-9]$"),
        (snt.systems.Logistic(), [0.3], {"steps": 199}, "steps: expected .* >= 200"),
        (snt.systems.Logistic(), [0.3], {"k": 2}, "k: expected .* 1 <= k <= 1"),
        (snt.systems.Logistic(), [0.3], {"transient": -1}, "transient: expected"),
        (lambda u, x: u * x, [0.3], {}, r"x: expected a drive, since the function takes \(u, x\)"),
        (
            lambda u, x: u * x, [0.3], {"x": torch.ones(300, 1).double()},
            r"x: expected a constant drive \(I,\), got \(300, 1\)",
        ),
        (snt.systems.Lorenz(), [1.0, 1.0, 1.0], {}, "f: expected a map, got the flow Lorenz"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(f, u, settings, message):
    steps = settings.pop("steps", 300) if "steps" in settings else 300
    with pytest.raises(ValueError, match=message):
        regime(f, column(u), steps, **settings)


def test_a_schedule_is_refused():
    cell = snt.SNTCell(plane((2.0, 1.2)))
    ramp = torch.zeros(900, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="expected one map"):
        regime(snt.scheduled(cell, {"threshold": ramp}), column([0.1, 0.4]), 300)


# Scans


@pytest.mark.slow
def test_a_scan_continues_the_orbit():
    # (1 + g) u - u^3 has two fixed points +- sqrt(g): a scan stays on its own side.
    def make(gain):
        return lambda u: (1 + gain) * u - u**3

    for side in (0.5, -0.5):
        ends = [r.state for r in scan_regimes(make, [0.2, 0.5, 0.9], column([side]), 300)]
        expected = math.copysign(1, side) * column([0.2, 0.5, 0.9]).sqrt()
        assert_close(torch.cat(ends), expected, atol=1e-5, rtol=0)


def test_a_scan_leaves_a_state_that_became_unstable():
    cell = snt.SNTCell(plane((2.0, 1.0)), trainable=())

    def make(gain):
        return snt.SNTCell(cell.coupling.detach(), gain=gain, trainable=())

    start = torch.zeros(2, dtype=torch.float64)
    labels = [each.label for each in scan_regimes(make, [0.8, 1.2], start, 1500)]
    assert labels == [FIXED, QUASI]
    stuck = [each.label for each in scan_regimes(make, [1.2], start, 300, kick=0.0)]
    assert stuck == [UNDECIDED]
    with pytest.raises(ValueError, match="kick: expected"):
        next(scan_regimes(make, [1.0], start, 300, kick=-1.0))
