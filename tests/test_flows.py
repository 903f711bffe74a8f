"""Flows: orders of convergence, the law of the noise, and the doors; no formula of the library."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import LinearMap, Perceptron, bend, neurons, push, random_generator, spiral
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov
from torch.testing import assert_close

import sntorch as snt
from sntorch.flows import FunctionFlow, as_flow
from sntorch.noise import noise_of

EXACT: dict[str, Any] = {"rtol": 1e-13, "atol": 1e-14}
INTEGRATORS = pytest.mark.parametrize("integrator", [snt.EulerMaruyama, snt.RungeKutta4])

A = torch.tensor([[-1.0, -2.0], [1.0, -0.5]], dtype=torch.float64)
DIFFUSIONS: dict[str, Any] = {
    "scalar": 0.3,
    "per-neuron": torch.tensor([0.5, 0.1], dtype=torch.float64),
    "matrix": torch.tensor([[0.5, -0.3], [-0.3, 0.4]], dtype=torch.float64),
}
every_diffusion = pytest.mark.parametrize("D", DIFFUSIONS.values(), ids=DIFFUSIONS)


def dense(D):
    """Return the matrix (2, 2) of a diffusion in any form."""
    D = torch.as_tensor(D, dtype=torch.float64)
    return D if D.ndim == 2 else torch.diag(D.expand(2))


def state(*rows, size=2, seed=1, dtype=torch.float64):
    return torch.randn(*rows, size, generator=random_generator(seed), dtype=dtype)


def pendulum(u):
    """Return the drift of a damped pendulum."""
    angle, speed = u.unbind(-1)
    return torch.stack([speed, -torch.sin(angle) - 0.1 * speed], -1)


def slope(steps, errors):
    """Return the exponent p of errors ~ steps^p, by least squares."""
    return float(np.polyfit(np.log(steps), np.log(np.asarray(errors, dtype=float)), 1)[0])


# Without noise


def test_euler_is_one_straight_step():
    u, V, W = state(4), state(4, 2, seed=2).mT, state(4, 2, seed=3).mT
    flow, dt = as_flow(pendulum), 0.3
    f = snt.EulerMaruyama(flow, dt)
    one = torch.zeros(4, 2, 2, dtype=torch.float64)
    one[:, 0, 1], one[:, 1, 0], one[:, 1, 1] = 1.0, -u[:, 0].cos(), -0.1
    assert_close(flow.jacobian(u), one, **EXACT)
    assert_close(f.map(u), u + dt * pendulum(u), **EXACT)
    assert_close(f.jacobian(u), torch.eye(2).double() + dt * one, **EXACT)
    assert_close(f.jvp(u, V)[1], V + dt * one @ V, **EXACT)
    assert_close(f.vjp(u, W)[1], W + dt * one.mT @ W, **EXACT)
    assert f.dt == dt


def test_runge_kutta_of_a_linear_flow_is_the_taylor_polynomial():
    h = 0.4
    M = h * A
    powers = [torch.linalg.matrix_power(M, n) / math.factorial(n) for n in range(5)]
    taylor = torch.stack(powers).sum(0)
    u, f = state(5), snt.RungeKutta4(snt.systems.OrnsteinUhlenbeck(A), h)
    assert_close(f.map(u), u @ taylor.T, **EXACT)
    assert_close(f.jacobian(u), taylor.expand(5, 2, 2), **EXACT)


@pytest.mark.parametrize(
    ("integrator", "order", "steps"),
    [(snt.EulerMaruyama, 1, [200, 400, 800, 1600]), (snt.RungeKutta4, 4, [20, 40, 80, 160])],
)
def test_order_of_convergence(integrator, order, steps):
    start, time = [2.0, 0.5], 4.0
    exact = solve_ivp(
        lambda _, v: [v[1], -math.sin(v[0]) - 0.1 * v[1]], (0, time), start,
        method="DOP853", rtol=1e-13, atol=1e-13,
    ).y[:, -1]  # fmt: skip
    u = torch.tensor(start, dtype=torch.float64)
    errors = []
    for n in steps:
        last = snt.rollout(integrator(pendulum, time / n), u, n, every=n)[-1]
        errors.append(np.linalg.norm(last.numpy() - exact))
    assert abs(slope([time / n for n in steps], errors) - order) < 0.1


def test_substeps_are_shorter_steps():
    flow, u, x = neurons(torch.float64), state(3, size=4), state(3, size=3, seed=2)
    fine = snt.iterate(snt.RungeKutta4(flow, 0.05), 4)
    f = snt.RungeKutta4(flow, 0.2, substeps=4)
    assert_close(f.map(u, x), fine.map(u, x), **EXACT)
    assert_close(f.jacobian(u, x), fine.jacobian(u, x), **EXACT)
    assert f.dt == 0.2


@INTEGRATORS
def test_a_drive_is_constant_during_a_step(integrator):
    # du = -u + x from rest: 1 - e^-t after a pulse of one step, then e^-t.
    flow, dt = as_flow(lambda u, x: x - u), 0.01
    x = torch.zeros(200, 1, dtype=torch.float64)
    x[:100] = 1
    orbit = snt.rollout(integrator(flow, dt), torch.zeros(1).double(), 200, x=x)[:, 0]
    t = dt * torch.arange(1, 101, dtype=torch.float64)
    exact = torch.cat([1 - (-t).exp(), (1 - math.exp(-1)) * (-t).exp()])
    bound = 0.5 * dt if integrator is snt.EulerMaruyama else 1e-10
    assert (orbit - exact).abs().max() < bound


def test_rates_are_per_unit_of_time():
    expected = torch.linalg.eigvals(A).real
    u = state(2)
    for dt, substeps in ((0.05, 1), (0.1, 2)):
        f = snt.RungeKutta4(snt.systems.OrnsteinUhlenbeck(A, diffusion=0.0), dt, substeps)
        found = snt.analysis.lyapunov_spectrum(f, u, 400, transient=100).exponents
        assert (found - expected).abs().max() < 0.02
        assert_close(found.sum(-1), A.trace().expand(2), rtol=1e-5, atol=0)


def test_the_closed_tangent_of_runge_kutta_is_that_of_its_map():
    f = snt.RungeKutta4(neurons(torch.float64), 0.3, substeps=2)
    u, V, x = state(3, size=4), torch.randn(3, 4, 5).double(), state(3, size=3, seed=2)
    assert_close(f.jvp(u, V, x), snt.Dynamics.jvp(f, u, V, x), rtol=1e-12, atol=1e-13)


# With noise


@every_diffusion
def test_noise_of_a_step_has_the_covariance_2_D_dt(D):
    f = snt.EulerMaruyama(as_flow(bend, size=2, diffusion=D), 0.05)
    L = noise_of(f, state())
    assert L is not None
    factor = L if L.ndim == 2 else torch.diag(L.expand(2))
    assert_close(factor @ factor.T, 2 * 0.05 * dense(D), **EXACT)
    assert L.shape == torch.as_tensor(D).shape


def test_all_forms_of_a_diffusion_draw_the_same_noise():
    forms: list[Any] = [0.3, torch.full((2,), 0.3), torch.diag(torch.full((2,), 0.3))]
    orbits = [
        snt.rollout(
            snt.RungeKutta4(as_flow(pendulum, diffusion=D), 0.1),
            state(3),
            10,
            generator=random_generator(),
        )
        for D in forms
    ]
    for orbit in orbits[1:]:
        assert_close(orbit, orbits[0], rtol=1e-6, atol=1e-7)  # the tensors are float32


def test_a_singular_diffusion_leaves_a_direction_without_noise():
    D = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    f = snt.EulerMaruyama(as_flow(torch.zeros_like, diffusion=D), 0.1)
    last = snt.rollout(f, torch.zeros(50, 2).double(), 20)[-1]
    assert last[:, 0].std() > 0.5
    assert_close(last[:, 0], last[:, 1], rtol=1e-12, atol=1e-12)


def test_the_noise_follows_the_diffusion_of_the_flow():
    flow = snt.systems.TanhRing()
    f = snt.EulerMaruyama(flow, 0.1)
    assert f.noise == 0
    flow.diffusion = 0.2
    assert f.noise == math.sqrt(2 * 0.2 * 0.1)
    flow.diffusion = -0.2
    with pytest.raises(ValueError, match="diffusion: expected"):
        snt.rollout(f, state(), 1)


def linear_parts(f):
    """Return M and L (2, 2) of u' = M u + L B, in numpy."""
    u = torch.zeros(2, dtype=torch.float64)
    return f.jacobian(u).numpy(), np.asarray(f.noise)


def discrete_moments(f, start, n):
    """Return mean and covariance after n steps of a linear map with noise, in numpy."""
    M, L = linear_parts(f)
    mean, C = start, np.zeros((2, 2))
    for _ in range(n):
        mean, C = M @ mean, M @ C @ M.T + L @ L.T
    return mean, C


@INTEGRATORS
def test_weak_order_one(integrator):
    # Exact moments of the discrete process against those of the flow, at time 1 and for ever.
    flow, start, time = spiral(torch.float64), np.array([1.0, -0.5]), 1.0
    drift, D = flow.A.numpy(), np.asarray(flow.diffusion)
    stationary = solve_continuous_lyapunov(drift, -2 * D)
    decay = expm(drift * time)
    exact = decay @ start, stationary - decay @ stationary @ decay.T
    steps, errors = [20, 40, 80, 160], []
    for n in steps:
        f = integrator(flow, time / n)
        mean, C = discrete_moments(f, start, n)
        M, L = linear_parts(f)
        last = solve_discrete_lyapunov(M, L @ L.T)
        found = [mean - exact[0], C - exact[1], last - stationary]
        errors.append([np.linalg.norm(part) for part in found])
    orders = [slope([1 / n for n in steps], part) for part in zip(*errors, strict=True)]
    expected = [1, 1, 1] if integrator is snt.EulerMaruyama else [4, 1, 1]
    assert np.abs(np.subtract(orders, expected)).max() < 0.1, orders


@INTEGRATORS
def test_sampled_moments_are_those_of_the_discrete_process(integrator):
    flow, start, n, rows = spiral(torch.float64), torch.tensor([1.0, -0.5]).double(), 5, 40000
    f = integrator(flow, 0.2)
    mean, C = discrete_moments(f, start.numpy(), n)
    with torch.no_grad():
        last = snt.rollout(f, start.expand(rows, 2), n, generator=random_generator(3))[-1].numpy()
    spread = np.diag(C)
    assert (np.abs(last.mean(0) - mean) < 4 * np.sqrt(spread / rows)).all()
    stderr = np.sqrt((C**2 + np.outer(spread, spread)) / rows)
    assert (np.abs(np.cov(last.T) - C) < 4 * stderr).all()
    # The bias of the step is larger than this error: the test tells the process from the flow.
    decay = expm(A.numpy())
    stationary = solve_continuous_lyapunov(A.numpy(), -2 * np.asarray(flow.diffusion))
    assert (np.abs(C - (stationary - decay @ stationary @ decay.T)) > 4 * stderr).any()


def test_matrix_noise_acts_alike_in_every_analysis():
    flow = spiral(torch.float64)
    f = snt.EulerMaruyama(flow, 0.1)
    u, generator = state(3), random_generator(4)
    f.generator = random_generator(4)
    B = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    L = f.noise
    assert isinstance(L, torch.Tensor)
    assert_close(f(None, u), f.map(u) + torch.einsum("ij,bj->bi", L, B), **EXACT)
    found = snt.analysis.lyapunov_spectrum(f, u, 200, transient=100)
    rates = torch.linalg.eigvals(torch.eye(2).double() + 0.1 * A).abs().log() / 0.1
    assert (found.exponents - rates.sort(descending=True).values).abs().max() < 0.03


def test_dtype_of_the_noise_follows_the_state():
    f = snt.EulerMaruyama(as_flow(pendulum, diffusion=DIFFUSIONS["matrix"]), 0.1)
    for dtype in (torch.float32, torch.float64):
        assert snt.rollout(f, state(2, dtype=dtype), 3).dtype == dtype


# Doors


def test_a_function_becomes_a_flow():
    u, x = state(3, size=3), state(3, size=1)
    assert_close(as_flow(bend).drift(u), bend(u))
    assert_close(as_flow(push).drift(u, x), push(u, x))
    module = Perceptron(3, 2).double()
    flow = as_flow(module, size=3, diffusion=0.2)
    assert isinstance(flow, FunctionFlow)
    assert list(flow.parameters()) == list(module.parameters())
    assert (flow.size, flow.diffusion) == (3, 0.2)
    assert as_flow(flow) is flow
    assert as_flow(flow, size=3) is flow


def test_a_flow_of_ones_own():
    class Decay(snt.Flow):
        size = 1

        def drift(self, u, x=None):
            return -u

    f = snt.RungeKutta4(Decay(), 0.1)
    assert_close(f.map(torch.ones(1).double()), torch.full((1,), math.exp(-0.1)).double(),
                 rtol=1e-6, atol=0)  # fmt: skip
    assert noise_of(f, torch.ones(1)) is None
    assert_close(Decay().vjp(torch.ones(1), torch.ones(1, 2))[1], -torch.ones(1, 2))


@pytest.mark.parametrize(
    ("flow", "settings", "message"),
    [
        (3, {}, "flow: expected a Flow or a callable u -> du/dt, no map, got int"),
        (LinearMap(A), {}, "flow: expected .* no map, got LinearMap"),
        (snt.systems.Lorenz(), {"size": 2}, "size: expected 3, that of the flow, got 2"),
        (snt.systems.Lorenz(), {"diffusion": 0.1}, "diffusion: expected None, since a Flow has"),
        (bend, {"size": 0}, "size: expected a whole number"),
        (bend, {"diffusion": "much"}, "diffusion: expected a finite number"),
    ],
)
def test_as_flow_names_what_is_wrong(flow, settings, message):
    with pytest.raises(ValueError, match=message):
        as_flow(flow, **settings)


@pytest.mark.parametrize("question", [snt.as_dynamics, lambda f: snt.rollout(f, state(size=3), 1)])
def test_a_flow_is_no_map(question):
    with pytest.raises(ValueError, match="f: expected a map, got the flow Lorenz; EulerMaruyama"):
        question(snt.systems.Lorenz())


@pytest.mark.parametrize(
    ("drift", "x", "message"),
    [
        (lambda u: 0.0, None, "drift: expected a Tensor like u, got float"),
        (lambda u: u[..., :1], None, r"drift: expected the shape of u, \(3, 2\), got \(3, 1\)"),
        (lambda u: u.sum(), None, r"drift: expected the shape of u, .* got \(\)"),
        (lambda u, x: u, None, "x: expected a drive, since the function takes"),
        (pendulum, torch.ones(1).double(), "x: expected None, since the function takes u alone"),
    ],
)
@INTEGRATORS
def test_a_drift_that_does_not_fit_is_named(integrator, drift, x, message):
    f = integrator(drift, 0.1)
    with pytest.raises(ValueError, match=message):
        snt.rollout(f, state(3), 1, x=x)
    with pytest.raises(ValueError, match=message):
        f.jacobian(state(3), x)


@pytest.mark.parametrize("dt", [0, 0.0, -0.1, math.nan, math.inf, "0.1", None, True])
@INTEGRATORS
def test_bad_dt_is_named(integrator, dt):
    with pytest.raises(ValueError, match="dt: expected a finite number > 0, got"):
        integrator(pendulum, dt)


@pytest.mark.parametrize("substeps", [0, -1, 1.5])
def test_bad_substeps_are_named(substeps):
    with pytest.raises(ValueError, match="substeps: expected a whole number"):
        snt.RungeKutta4(pendulum, 0.1, substeps)


@pytest.mark.parametrize(
    ("D", "message"),
    [
        (-0.1, r"diffusion: expected a finite number in \[0"),
        (math.nan, "diffusion: expected a finite number"),
        (math.inf, "diffusion: expected a finite number"),
        (torch.tensor(-0.1), "diffusion: expected >= 0, got -0.1"),
        (torch.tensor([0.1, -0.2]), "diffusion: expected >= 0, got -0.2"),
        (torch.tensor([0.1, math.nan]), r"diffusion: expected finite numbers, got nan at \(1,\)"),
        (torch.ones(3), r"diffusion: expected a number, \(2,\) or \(2, 2\), got \(3,\)"),
        (torch.ones(2, 1), r"diffusion: expected .* got \(2, 1\)"),
        (torch.ones(1, 2, 2), r"diffusion: expected .* got \(1, 2, 2\)"),
        (torch.ones(2, 2).long(), "diffusion: expected a floating dtype"),
        (torch.tensor([[1.0, 0.1], [0.0, 1.0]]), "diffusion: expected a symmetric matrix"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "diffusion: expected eigenvalues >= 0, got -1"),
        (torch.full((2, 2), math.inf), "diffusion: expected finite numbers"),
    ],
)
def test_bad_diffusion_is_named(D, message):
    with pytest.raises(ValueError, match=message):
        as_flow(pendulum, size=2, diffusion=D)
    flow = snt.systems.TanhRing()
    flow.diffusion = D
    with pytest.raises(ValueError, match=message):
        snt.EulerMaruyama(flow, 0.1)


def test_without_a_size_the_diffusion_must_be_square():
    with pytest.raises(ValueError, match=r"diffusion: expected a number, \(N,\) or \(N, N\), got"):
        as_flow(pendulum, diffusion=torch.ones(2, 3))
    f = snt.EulerMaruyama(as_flow(pendulum, diffusion=torch.ones(3)), 0.1)
    with pytest.raises(ValueError, match=r"noise: expected a number, \(2,\) or \(2, 2\), got"):
        snt.rollout(f, state(), 1)


def test_a_covariance_with_rounding_errors_is_a_diffusion():
    factor = torch.randn(40, 3, generator=random_generator())  # rank 3: 37 eigenvalues about 0
    as_flow(bend, size=40, diffusion=factor @ factor.T)


@pytest.mark.gpu
def test_flows_on_a_gpu():
    u = state(3, dtype=torch.float32).cuda()
    f = snt.RungeKutta4(as_flow(pendulum, diffusion=DIFFUSIONS["matrix"]), 0.1)
    orbit = snt.rollout(f, u, 5)
    assert orbit.device == u.device
    assert orbit.isfinite().all()
