"""Known systems: textbook Jacobians, fixed points, conserved volumes, exponents, closed laws."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import Henon as SlowHenon
from references import (
    blocks,
    low_rank,
    neurons,
    per_neuron,
    random_coupling,
    random_generator,
    snt_step,
)
from scipy.integrate import quad
from scipy.linalg import solve_continuous_lyapunov
from torch.testing import assert_close

import sntorch as snt
from sntorch.systems import (
    AmariWilsonCowan,
    CatMap,
    DoubleWell,
    Henon,
    Ikeda,
    Logistic,
    Lorenz,
    McCarleyHobson,
    OrnsteinUhlenbeck,
    Roessler,
    SleepCycle,
    StuartLandau,
    TanhRing,
    associative_memory,
)

EXACT: dict[str, Any] = {"rtol": 1e-14, "atol": 1e-14}


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def state(*rows, size=4, seed=1):
    return torch.randn(*rows, size, generator=random_generator(seed), dtype=torch.float64)


# Amari, Wilson and Cowan


QUANTITIES: dict[str, dict[str, Any]] = {
    "plain": {"dt": 0.1, "diffusion": 0.02},
    "erf": {"dt": 0.3, "gain": 1.7, "threshold": 0.4, "transfer": "erf", "diffusion": 0.1},
    "neurons": {
        "dt": 0.2,
        "tau": per_neuron(0.5, 2.0),
        "gain": per_neuron(0.5, 1.5),
        "threshold": per_neuron(-0.3, 0.4),
        "diffusion": per_neuron(0.0, 0.1),
    },
}


@pytest.mark.parametrize("quantities", QUANTITIES.values(), ids=QUANTITIES)
def test_the_snt_map_is_the_euler_map(quantities):
    q: dict[str, Any] = {
        "tau": 1.0, "gain": 1.0, "threshold": 0.0, "transfer": "tanh", **quantities
    }  # fmt: skip
    dt, J = q.pop("dt"), random_coupling()
    f = snt.EulerMaruyama(AmariWilsonCowan(J, **q), dt)
    cell = snt.SNTCell(
        dt * J,
        gain=q["gain"],
        leak=1 - dt / q["tau"],
        threshold=dt * q["threshold"],
        noise=(2 * torch.as_tensor(q["diffusion"], dtype=torch.float64) * dt).sqrt(),
        transfer=q["transfer"],
    )
    u, V = state(5), state(5, 3, seed=2).mT
    for other in (cell, f.flow.as_cell(dt)):  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        assert_close(f.map(u), other.map(u), **EXACT)
        assert_close(f.jvp(u, V), other.jvp(u, V), **EXACT)
        assert_close(f.vjp(u, V), other.vjp(u, V), **EXACT)
        one, two = (snt.rollout(g, u, 20, generator=random_generator()) for g in (f, other))
        assert_close(one, two, rtol=1e-13, atol=1e-13)  # twenty steps of rounding
        assert (one[-1] - snt.rollout(snt.as_dynamics(f.map), u, 20)[-1]).abs().max() > 0.1


def test_the_drift_neuron_by_neuron():
    tau, J, x, u = 0.8, random_coupling(), state(size=3, seed=4), state(2)
    q: dict[str, Any] = {"gain": per_neuron(0.5, 1.5), "threshold": per_neuron(-0.3, 0.4)}
    flow = AmariWilsonCowan(J, tau=tau, input_size=3, **q)
    for row in u:
        expected = snt_step(row, x, J, flow.cell.input_weight, **q) - row / tau
        assert_close(flow.drift(row, x), expected, rtol=1e-13, atol=1e-13)


def test_a_driven_network_has_the_same_euler_map():
    flow = neurons(torch.float64)
    f, cell, u = snt.EulerMaruyama(flow, 0.25), flow.as_cell(0.25), state(5)
    x = state(7, 5, size=3, seed=3)
    orbits = [snt.rollout(g, u, 7, x=x, generator=random_generator()) for g in (f, cell)]
    assert_close(*orbits, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("layer", [low_rank, blocks, lambda J: J.to_sparse_csr()])
def test_couplings_may_be_layers(layer):
    flow = AmariWilsonCowan(layer(random_coupling()), tau=0.8)
    dense = AmariWilsonCowan(flow.cell.coupling.to_dense(), tau=0.8)
    u = state(5)
    assert_close(flow.drift(u), dense.drift(u), **EXACT)
    assert_close(flow.as_cell(0.1).map(u), dense.as_cell(0.1).map(u), **EXACT)


def test_the_cell_has_parameters_of_its_own():
    flow = neurons(torch.float64)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    torch.manual_seed(3)
    rng = torch.get_rng_state()
    cell = flow.as_cell(0.1)
    assert torch.equal(rng, torch.get_rng_state())
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], value) for name, value in flow.state_dict().items())
    assert flow.as_cell(0.5).leak[0] == 0  # tau = 0.5: the whole state is forgotten


def test_a_single_precision_network_may_step_by_its_time_constant():
    assert AmariWilsonCowan(torch.ones(1, 1), tau=0.7).as_cell(0.7).leak == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau": 0}, "tau: expected > 0, got 0"),
        ({"tau": -1.0}, "tau: expected > 0, got -1"),
        ({"tau": math.nan}, "tau: expected finite"),
        ({"tau": torch.ones(3)}, r"tau: expected a number or \(4,\), got \(3,\)"),
        ({"gain": math.inf}, "gain: expected finite"),
        ({"threshold": torch.ones(2)}, "threshold: expected a number or"),
        ({"diffusion": -1.0}, "diffusion: expected"),
        ({"diffusion": torch.ones(3)}, "diffusion: expected"),
        ({"transfer": "step"}, "transfer: expected one of"),
    ],
)
def test_bad_networks_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        AmariWilsonCowan(random_coupling(), **changes)


@pytest.mark.parametrize("dt", [1.1, 0.0, -0.1, math.nan])
def test_a_step_that_no_cell_can_make_is_named(dt):
    with pytest.raises(ValueError, match="dt: expected"):
        AmariWilsonCowan(random_coupling()).as_cell(dt)


def test_a_cell_has_no_correlated_noise():
    flow = AmariWilsonCowan(random_coupling(), diffusion=torch.eye(4))
    with pytest.raises(ValueError, match=r"noise: expected a number or \(4,\), got \(4, 4\)"):
        flow.as_cell(0.1)


# Jacobians and fixed points


def ring_by_hand(u, a=1.5, b=1.0):
    p, q = (1 / math.cosh(v) ** 2 for v in u)
    return [[-1 + a * p, -b * q], [b * p, -1 + a * q]]


def well_by_hand(u, h=2.0, c=0.5):
    curvature = 4 * h * (3 * u[0] ** 2 - 1)
    return [[-curvature, -c, 0], [c * curvature, -1, 0], [0, 0, -1]]


def ikeda_by_hand(u, mu=0.9, kappa=0.4, alpha=6.0):
    x, y = u
    r = 1 + x * x + y * y
    t = kappa - alpha / r
    tx, ty = 2 * alpha * x / r**2, 2 * alpha * y / r**2
    c, s = math.cos(t), math.sin(t)
    return [
        [mu * (c - x * s * tx - y * c * tx), mu * (-x * s * ty - s - y * c * ty)],
        [mu * (s + x * c * tx - y * s * tx), mu * (x * c * ty + c - y * s * ty)],
    ]


def circle_by_hand(u, a=1.5, w=0.7):
    x, y = u
    return [
        [-a * (3 * x * x + y * y - 1), -2 * a * x * y - w],
        [-2 * a * x * y + w, -a * (x * x + 3 * y * y - 1)],
    ]


def sleep_by_hand(u, a=0.8, b=0.4, d=1.4, tau=10.0, S=0.5):
    h, k = (4 * S**4 * v**3 / (S**4 + v**4) ** 2 for v in u)
    return [[-1 + a * h, -b * k], [d * h / tau, -1 / tau]]


TEXTBOOK = {
    "circle": (StuartLandau(1.5, 0.7), circle_by_hand),
    "predators": (
        McCarleyHobson(0.9, 1.1, 1.2, 0.8),
        lambda u: [[0.9 - 1.1 * u[1], -1.1 * u[0]], [0.8 * u[1], -1.2 + 0.8 * u[0]]],
    ),
    "sleep": (SleepCycle(), sleep_by_hand),
    "lorenz": (
        Lorenz(),
        lambda u: [[-10, 10, 0], [28 - u[2], -1, -u[0]], [u[1], u[0], -8 / 3]],
    ),
    "roessler": (Roessler(), lambda u: [[0, -1, -1], [1, 0.2, 0], [u[2], 0, u[0] - 5.7]]),
    "ring": (TanhRing(), ring_by_hand),
    "double-well": (DoubleWell(3, barrier=2.0, circulation=0.5), well_by_hand),
    "ornstein-uhlenbeck": (
        OrnsteinUhlenbeck(matrix([[-1, 2], [0, -3]])),
        lambda u: [[-1, 2], [0, -3]],
    ),
    "henon": (Henon(), lambda u: [[-2.8 * u[0], 1], [0.3, 0]]),
    "logistic": (Logistic(3.7), lambda u: [[3.7 * (1 - 2 * u[0])]]),
    "cat": (CatMap(), lambda u: [[2, 1], [1, 1]]),
    "ikeda": (Ikeda(), ikeda_by_hand),
}


@pytest.mark.parametrize(("system", "by_hand"), TEXTBOOK.values(), ids=TEXTBOOK)
def test_jacobians_of_the_textbook(system, by_hand):
    u = state(6, size=system.size)
    found = system.jacobian(u)
    for row, point in zip(found, u.tolist(), strict=True):
        assert_close(row, matrix(by_hand(point)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("system", "points"),
    [
        (Lorenz(), [[0, 0, 0], [72**0.5, 72**0.5, 27], [-(72**0.5), -(72**0.5), 27]]),
        (Lorenz(rho=0.5), [[0, 0, 0]]),
        (Roessler(), [[0.0070262, -0.0351310, 0.0351310], [5.6929738, -28.4648690, 28.4648690]]),
        (Roessler(a=2.0, b=2.0, c=3.0), torch.empty(0, 3).tolist()),
        (Henon(), [[0.6313545, 0.1894063], [-1.1313545, -0.3394063]]),
        (Logistic(3.2), [[0], [0.6875]]),
        (Logistic(0.5), [[0]]),
    ],
)
def test_fixed_points(system, points):
    found = system.fixed_points
    assert_close(found, torch.tensor(points, dtype=torch.float64).reshape(-1, system.size),
                 rtol=0, atol=1e-7)  # fmt: skip
    image = system.drift(found) if isinstance(system, snt.Flow) else system.map(found) - found
    assert_close(image, torch.zeros_like(found), rtol=0, atol=1e-12)


def test_the_wells_and_the_saddle():
    well = DoubleWell(3, barrier=2.0, circulation=0.7)
    points = matrix([[-1, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert_close(well.drift(points), torch.zeros(3, 3).double())
    assert_close(well.potential(points), matrix([0, 2, 0]))
    unstable = (torch.linalg.eigvals(well.jacobian(points)).real > 0).sum(-1)
    assert unstable.tolist() == [0, 1, 0]


def test_the_cat_map_turns_back_on_the_torus():
    found = CatMap().map(matrix([[0.0, 0.0], [0.5, 0.5], [0.7, 0.9]]))
    assert_close(found, matrix([[0, 0], [0.5, 0], [0.3, 0.6]]))


def test_the_henon_map_is_that_of_the_oracles():
    u = state(5, size=2)
    assert_close(Henon(1.2, 0.4).map(u), SlowHenon(1.2, 0.4).map(u))


def test_the_ikeda_map_in_complex_numbers():
    u = state(5, size=2)
    z = torch.view_as_complex(u)
    phase = 0.4 - 6 / (1 + z.abs().square())
    expected = 1 + 0.9 * z * torch.polar(torch.ones_like(phase), phase)
    assert_close(Ikeda().map(u), torch.view_as_real(expected))


def test_the_second_attractor_of_the_ikeda_map():
    u = matrix([2.97213, 4.14595])
    last = snt.rollout(Ikeda(), u, 400)[-1]
    assert_close(last, u, rtol=0, atol=1e-5)
    assert_close(Ikeda().map(last), last, rtol=0, atol=1e-12)


def test_the_ring_is_a_network():
    u, J = state(5, size=2), matrix([[1.5, -0.7], [0.7, 1.5]])
    assert_close(TanhRing(1.5, 0.7).drift(u), AmariWilsonCowan(J).drift(u), **EXACT)


def test_the_first_model_of_sleep_has_no_attractor():
    flow = McCarleyHobson(0.9, 1.1, 1.2, 0.8)
    centre = matrix([1.2 / 0.8, 0.9 / 1.1])
    assert_close(flow.drift(centre), torch.zeros(2).double(), rtol=0, atol=1e-15)
    values = torch.linalg.eigvals(flow.jacobian(centre))
    assert_close(values.imag.abs(), torch.full((2,), (0.9 * 1.2) ** 0.5).double())
    starts = centre * matrix([[1.02, 1.0], [1.5, 1.0], [2.5, 1.0]])
    orbit = snt.rollout(snt.RungeKutta4(flow, 0.02), starts, 1000)
    K = flow.conserved(orbit)
    assert float((K - flow.conserved(starts)).abs().max()) < 1e-6
    assert bool((K[-1].diff() > 0.01).all())  # every amplitude is kept
    # With noise the mean of K grows without end: a steady state would hold it.
    noisy = McCarleyHobson(0.9, 1.1, 1.2, 0.8, diffusion=1e-4)
    with torch.no_grad():
        late = snt.rollout(snt.RungeKutta4(noisy, 0.02), centre.expand(400, 2), 1500, every=500,
                           generator=random_generator(1))  # fmt: skip
    height = noisy.conserved(late) - noisy.conserved(centre)
    mean, stderr = height.mean(1), height.std(1) / 20
    assert bool((mean.diff() > 2 * stderr[1:]).all())


def test_the_sleep_cycle_has_one_unstable_focus():
    flow, u = SleepCycle(), matrix([0.5, 0.5])
    for _ in range(50):
        u = u - torch.linalg.solve(flow.jacobian(u), flow.drift(u))
    values = torch.linalg.eigvals(flow.jacobian(u))
    assert bool((values.real > 0).all())
    assert bool((values.imag.abs() > 0.05).all())


def test_the_density_of_the_circular_ring():
    flow, u = StuartLandau(1.5, 0.7), state(5, size=2)
    slope = torch.func.vmap(torch.func.grad(flow.potential))(u)
    turned = flow.drift(u) + slope
    assert_close(turned, 0.7 * torch.stack([-u[:, 1], u[:, 0]], -1))


def test_associative_memory():
    patterns = matrix([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])
    J = associative_memory(patterns, strength=3.0).cell.coupling
    expected = 3 / 4 * sum(torch.outer(p, p) for p in patterns)
    assert_close(J, expected)
    turning = associative_memory(patterns, strength=3.0, turning=0.8).cell.coupling / 3
    assert_close(turning + turning.T, 2 * expected / 3)
    values = torch.linalg.eigvals(turning)
    assert_close(values.imag.sort().values,
                 matrix([-0.8 * math.sin(math.pi / 3), 0, 0, 0.8 * math.sin(math.pi / 3)]),
                 rtol=0, atol=1e-12)  # fmt: skip
    pair = associative_memory(matrix([[1, 1], [1, -1]]), strength=1.5, turning=0.6)
    u = state(4, size=2)
    assert_close(pair.drift(u), TanhRing(1.5, -0.9).drift(u), **EXACT)
    whole = associative_memory(torch.tensor([[1, -1]]))
    assert whole.cell.coupling.dtype == torch.float32


# Volumes and exponents


@pytest.mark.parametrize(
    ("system", "rate"),
    [
        (Lorenz(), lambda u: -(10 + 1 + 8 / 3) + 0 * u[:, 0]),
        (Roessler(), lambda u: 0.2 - 5.7 + u[:, 0]),
        (OrnsteinUhlenbeck(matrix([[-1, 2], [0, -3]])), lambda u: -4 + 0 * u[:, 0]),
    ],
)
def test_divergence_of_flows(system, rate):
    u = state(6, size=system.size)
    assert_close(system.jacobian(u).diagonal(dim1=-2, dim2=-1).sum(-1), rate(u))


@pytest.mark.parametrize(
    ("system", "det"), [(Henon(), -0.3), (Henon(1.2, -0.5), 0.5), (CatMap(), 1.0), (Ikeda(), 0.81)]
)
def test_determinant_of_maps(system, det):
    found = torch.linalg.det(system.jacobian(state(6, size=2)))
    assert_close(found, torch.full_like(found, det))


def spectrum(f, u, steps, transient):
    """Return exponents over rows: mean and standard error (N,)."""
    e = snt.analysis.lyapunov_spectrum(f, u, steps, transient=transient).exponents
    return e.mean(0), e.std(0) / len(e) ** 0.5


def test_exponents_of_the_cat_map():
    u = torch.rand(3, 2, generator=random_generator(), dtype=torch.float64)
    found, _ = spectrum(CatMap(), u, 100, 30)
    golden = math.log((3 + 5**0.5) / 2)
    assert_close(found, matrix([golden, -golden]), rtol=1e-10, atol=0)
    assert golden == pytest.approx(0.962424, abs=1e-6)


@pytest.mark.parametrize(
    ("f", "scale", "expected", "precision"),
    [
        (Henon(), 0.1, [0.41922, -1.62319], 0.001),
        (Ikeda(), 0.1, [0.50760, -0.71832], 0.002),
        (Logistic(4.0), 1.0, [math.log(2)], 0.001),
    ],
)
def test_published_exponents_of_maps(f, scale, expected, precision):
    u = scale * torch.rand(400, f.size, generator=random_generator(), dtype=torch.float64)
    found, stderr = spectrum(f, u, 1000, 200)
    assert (stderr < precision).all()
    assert ((found - matrix(expected)).abs() < 4 * stderr + 1e-5).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "dt", "time", "expected"),
    [
        (Lorenz(), 0.01, 40, [0.9056, 0, -14.5723]),
        (Roessler(), 0.05, 200, [0.0714, 0, -5.3943]),
    ],
)
def test_published_exponents_of_flows(flow, dt, time, expected):
    steps, transient = round(time / dt), round(time / dt / 2)
    u = torch.randn(200, 3, generator=random_generator(), dtype=torch.float64)
    found, stderr = spectrum(snt.RungeKutta4(flow, dt), u, steps, transient)
    # The neutral direction converges like 1/T only.
    assert (stderr < 0.01).all()
    assert ((found - matrix(expected)).abs() < 4 * stderr + 0.1 / time).all()


@pytest.mark.parametrize(
    ("system", "dimension", "expected"),
    [
        (Lorenz(), 2 + 0.9056 / 14.5723, 2.0622),
        (Roessler(), 2 + 0.0714 / 5.3943, 2.0132),
        (Henon(), 1 + 0.41922 / 1.62319, 1.2583),
        (Ikeda(), 1 + 0.50760 / 0.71832, 1.7067),
    ],
)
def test_dimensions_in_the_docstrings(system, dimension, expected):
    assert dimension == pytest.approx(expected, abs=6e-5)
    assert f"{expected}" in (type(system).__doc__ or "")


def test_period_of_the_ring():
    dt = 0.02
    u = matrix([1.0, 0.0])
    orbit = snt.rollout(snt.RungeKutta4(TanhRing(), dt), u, 4000)[1500:, 0]
    up = ((orbit[:-1] < 0) & (orbit[1:] >= 0)).nonzero()[:, 0]
    crossing = up - orbit[up] / (orbit[up + 1] - orbit[up])
    period = float(dt * (crossing[-1] - crossing[0]) / (len(up) - 1))
    assert period == pytest.approx(9.883176, rel=1e-6)


# Noise


A = matrix([[-1.0, -2.0], [1.0, -0.5]])
DIFFUSIONS: dict[str, Any] = {
    "scalar": 0.3,
    "per-neuron": torch.tensor([0.5, 0.1], dtype=torch.float64),
    "matrix": matrix([[0.5, -0.3], [-0.3, 0.4]]),
}


@pytest.mark.parametrize("D", DIFFUSIONS.values(), ids=DIFFUSIONS)
def test_stationary_covariance(D):
    flow, dt, rows = OrnsteinUhlenbeck(A, diffusion=D), 0.02, 4000
    full = torch.as_tensor(D, dtype=torch.float64)
    full = full if full.ndim == 2 else torch.diag(full.expand(2))
    expected = torch.from_numpy(solve_continuous_lyapunov(A.numpy(), -2 * full.numpy()))
    assert_close(flow.covariance, expected, **EXACT)
    assert_close(A @ expected + expected @ A.T + 2 * full, torch.zeros(2, 2).double(),
                 rtol=0, atol=1e-14)  # fmt: skip
    with torch.no_grad():  # 6 units of time, after which the start counts for exp(-9)
        last = snt.rollout(snt.RungeKutta4(flow, dt), torch.zeros(rows, 2).double(), 300,
                           generator=random_generator(5), every=300)[-1]  # fmt: skip
    spread = expected.diagonal()
    stderr = ((expected.square() + spread.outer(spread)) / rows).sqrt()
    assert ((last.T.cov() - expected).abs() < 4 * stderr).all()
    assert (stderr < 0.03 * spread.max()).all()


@pytest.mark.parametrize("M", [torch.zeros(2, 2), torch.diag(torch.tensor([-1.0, 0.1]))])
def test_without_stability_there_is_no_covariance(M):
    with pytest.raises(ValueError, match="A: expected eigenvalues with real parts < 0"):
        _ = OrnsteinUhlenbeck(M).covariance


def entropy_rate(flow, dt, rows=2000, steps=500):
    """Return the entropy production per unit of time and its standard error over rows."""
    f, start = snt.EulerMaruyama(flow, dt), state(rows, size=2).sign()
    with torch.no_grad():
        orbit = snt.rollout(f, start, round(8 / dt) + steps, generator=random_generator(2))
    rate = snt.landscape.entropy_production(f, orbit[-steps:]).value
    return float(rate.mean()), float(rate.std() / rows**0.5)


def test_flux_leaves_the_density_of_the_double_well():
    # EPR = c^2 <laplacian V>: the average under exp(-V/D), by quadrature.
    c, D = 0.5, 0.1
    weight = [
        quad(lambda v, n=n: v**n * math.exp(-((v**2 - 1) ** 2) / D), -3, 3, points=[-1, 1])[0]
        for n in (0, 2)
    ]
    expected = c**2 * (12 * weight[1] / weight[0] - 3)
    assert expected == pytest.approx(2.1675683, abs=1e-7)
    value, stderr = entropy_rate(DoubleWell(2, circulation=c, diffusion=D), 0.02)
    assert stderr < 0.02 * expected
    assert abs(value - expected) < 4 * stderr


def test_entropy_production_of_the_ring():
    value, stderr = entropy_rate(TanhRing(diffusion=0.05), 0.01)
    assert stderr < 0.01 * 19.701
    assert abs(value - 19.701) < 4 * stderr


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_circulation_has_no_divergence_and_stays_on_levels(size):
    plain, turning = DoubleWell(size), DoubleWell(size, circulation=0.7)
    u = state(6, size=size)
    force = torch.func.vmap(torch.func.grad(plain.potential))(u)
    assert_close(plain.drift(u), -force)
    flux = turning.drift(u) - plain.drift(u)
    assert flux.abs().max() > 0.1
    assert (flux * force).sum(-1).abs().max() < 1e-12
    curl = turning.jacobian(u) - plain.jacobian(u)
    assert curl.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max() < 1e-12


# Doors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lorenz(sigma=-1), "sigma: expected a finite number > 0, got -1"),
        (lambda: Lorenz(rho=math.nan), "rho: expected"),
        (lambda: Lorenz(beta=0), "beta: expected"),
        (lambda: Lorenz(diffusion=-1), "diffusion: expected"),
        (lambda: Roessler(a=0), "a: expected"),
        (lambda: Roessler(c=math.inf), "c: expected"),
        (lambda: StuartLandau(alpha=0), "alpha: expected a finite number > 0"),
        (lambda: StuartLandau(omega=math.nan), "omega: expected"),
        (lambda: McCarleyHobson(c=0), "c: expected a finite number > 0"),
        (lambda: SleepCycle(a=-1), "a: expected a finite number in"),
        (lambda: SleepCycle(tau=0), "tau: expected"),
        (lambda: SleepCycle(threshold=0), "threshold: expected"),
        (lambda: associative_memory(torch.ones(3)), "patterns: expected a matrix"),
        (lambda: associative_memory(torch.ones(1, 2), strength=0), "strength: expected"),
        (lambda: associative_memory(torch.ones(1, 2), turning=math.inf), "turning: expected"),
        (lambda: TanhRing(a=math.nan), "a: expected a finite number"),
        (lambda: TanhRing(diffusion=torch.ones(3)), r"diffusion: expected .* got \(3,\)"),
        (lambda: DoubleWell(0), "size: expected a whole number"),
        (lambda: DoubleWell(2, barrier=0), "barrier: expected a finite number > 0"),
        (
            lambda: DoubleWell(1, circulation=0.1),
            "circulation: expected 0 where size is 1, got",
        ),
        (lambda: OrnsteinUhlenbeck(torch.ones(2, 3)), r"A: expected a square matrix \(N, N\), got"),
        (lambda: OrnsteinUhlenbeck(torch.tensor([[math.nan]])), "A: expected finite numbers"),
        (lambda: OrnsteinUhlenbeck([[1.0]]), "A: expected a torch.Tensor"),  # pyright: ignore[reportArgumentType]
        (lambda: Henon(a=0), "a: expected a finite number > 0"),
        (lambda: Henon(b=math.inf), "b: expected"),
        (lambda: Logistic(4.1), r"r: expected a finite number in \[0, 4\], got 4.1"),
        (lambda: Logistic(-0.1), "r: expected"),
        (lambda: Ikeda(mu=1.1), "mu: expected"),
        (lambda: Ikeda(kappa=math.nan), "kappa: expected"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("system", "_by_hand"), TEXTBOOK.values(), ids=TEXTBOOK)
def test_an_autonomous_system_refuses_a_drive(system, _by_hand):
    f = snt.EulerMaruyama(system, 0.01) if isinstance(system, snt.Flow) else system
    with pytest.raises(ValueError, match="x: expected None, since the system is autonomous"):
        snt.rollout(f, state(size=f.size), 1, x=torch.ones(1).double())


def test_parameters_are_attributes():
    lorenz, ring = Lorenz(9, 20, 2), TanhRing(1.2, 0.3, diffusion=0.1)
    assert (lorenz.sigma, lorenz.rho, lorenz.beta) == (9, 20, 2)
    assert (ring.a, ring.b, ring.diffusion) == (1.2, 0.3, 0.1)
    assert np.allclose(OrnsteinUhlenbeck(A).A, A)
