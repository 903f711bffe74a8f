"""The contract: what every dynamics must do, then rollout and the doors around it."""

import copy
import functools
import inspect
import math
import pickle
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import (
    DYNAMICS,
    Henon,
    LinearMap,
    Logistic,
    NoisyRotation,
    Perceptron,
    bend,
    dense_jacobian,
    push,
    random_coupling,
    random_generator,
    snt_cell,
    snt_step,
)
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.dynamics import FunctionDynamics
from sntorch.noise import add_noise, draw_noise, noise_of
from sntorch.observing import observing

every_dynamics = pytest.mark.parametrize(
    "factory", [pytest.param(factory, id=name) for name, factory in DYNAMICS]
)
every_network = pytest.mark.parametrize(
    "factory",
    [
        pytest.param(f, id=name)
        for name, f in DYNAMICS
        if name.startswith(("snt", "rnn", "gru", "lstm"))
    ],
)


def problem(factory, dtype, device="cpu", rows=(3,), columns=2):
    """Return a dynamics f with a state u, a drive x and two frames V, W that fit it."""
    f, input_size = factory(dtype)
    u = torch.randn(*rows, f.size, dtype=dtype, device=device) / 2
    return SimpleNamespace(
        f=f.to(device),
        u=u,
        x=u.new_empty(*rows, input_size).normal_() if input_size else None,
        V=u.new_empty(*u.shape, columns).normal_(),
        W=u.new_empty(*u.shape, columns).normal_(),
    )


def everything(p):
    """Return all that the contract can compute from one state."""
    constant = None if p.x is None else p.x.reshape(-1, p.x.shape[-1])[0]
    return {
        "map": p.f.map(p.u, p.x),
        "jvp": p.f.jvp(p.u, p.V, p.x),
        "vjp": p.f.vjp(p.u, p.W, p.x),
        "jacobian": p.f.jacobian(p.u, p.x),
        "rollout": snt.rollout(p.f, p.u, 3, x=constant, generator=generator_for(p.u)),
        "forward": None if noise_of(p.f, p.u) is not None else p.f(p.x, p.u),
    }


def generator_for(u, seed=5):
    return torch.Generator(u.device).manual_seed(seed)


def floats(result):
    return {name: value for name, value in result.items() if value is not None}


# Every dynamics


@every_dynamics
@pytest.mark.parametrize("rows", [(), (3,), (2, 3)], ids=["0-axes", "1-axis", "2-axes"])
def test_shapes(factory, rows, dtype, device):
    p = problem(factory, dtype, device, rows)
    values = everything(p)
    assert values["map"].shape == p.u.shape
    for name in ("jvp", "vjp"):
        assert [part.shape for part in values[name]] == [p.u.shape, p.V.shape]
    assert values["jacobian"].shape == (*p.u.shape, p.f.size)
    assert values["rollout"].shape == (3, *p.u.shape)


@every_dynamics
def test_rows_are_independent(factory, dtype, device, tolerance):
    p = problem(factory, dtype, device, rows=(2, 3))
    whole = floats(everything(p) | {"rollout": None})
    for row in ((0, 0), (1, 2)):
        x = None if p.x is None else p.x[row]
        part = SimpleNamespace(f=p.f, u=p.u[row], x=x, V=p.V[row], W=p.W[row])
        for name, alone in floats(everything(part) | {"rollout": None}).items():
            together = whole[name]
            together = (
                tuple(v[row] for v in together) if isinstance(alone, tuple) else together[row]
            )
            assert_close(together, alone, **tolerance)


@every_dynamics
def test_a_shared_drive_reaches_every_row(factory, dtype, device, tolerance):
    p = problem(factory, dtype, device)
    shared = None if p.x is None else p.x[0]
    spread = None if shared is None else shared.expand(*p.u.shape[:-1], -1)
    assert_close(p.f.map(p.u, shared), p.f.map(p.u, spread), **tolerance)
    assert_close(p.f.jvp(p.u, p.V, shared), p.f.jvp(p.u, p.V, spread), **tolerance)
    assert_close(p.f.vjp(p.u, p.W, shared), p.f.vjp(p.u, p.W, spread), **tolerance)


@every_dynamics
def test_tangent_is_the_derivative(factory, device):
    p = problem(factory, torch.float64, device)
    close: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-8}
    for x in _drives(p):
        dense = dense_jacobian(p.f, p.u, x)
        assert_close(p.f.jacobian(p.u, x), dense, **close)
        assert_close(p.f.jvp(p.u, p.V, x)[1], dense @ p.V, **close)
        assert_close(p.f.vjp(p.u, p.W, x)[1], dense.mT @ p.W, **close)


def _drives(p):
    """Return the drives to try: none as well, unless the dynamics cannot do without."""
    try:
        p.f.map(p.u)
    except ValueError:
        return [p.x]
    return [None] if p.x is None else [None, p.x]


@every_dynamics
def test_tangent_and_adjoint_fit_the_map(factory, dtype, device, tolerance):
    p = problem(factory, dtype, device)
    forward, pushed = p.f.jvp(p.u, p.V, p.x)
    backward, pulled = p.f.vjp(p.u, p.W, p.x)
    middle, DF = p.f.linearise(p.u, p.x)
    for value in (forward, backward, middle):
        assert_close(value, p.f.map(p.u, p.x), **tolerance)
    assert_close(pushed, DF @ p.V, **tolerance)
    assert_close((p.W * pushed).sum((-2, -1)), (pulled * p.V).sum((-2, -1)), **tolerance)


@every_dynamics
@pytest.mark.parametrize("verb", ["map", "jvp", "vjp", "jacobian"])
def test_everything_is_differentiable(factory, verb, device):
    p = problem(factory, torch.float64, device)
    leaves = [leaf for leaf in (p.u, p.x, *p.f.parameters()) if leaf is not None]
    directions = [torch.randn_like(leaf) for leaf in leaves]

    def value(step):
        with torch.no_grad():
            for leaf, direction in zip(leaves, directions, strict=True):
                leaf.add_(direction, alpha=step)
        if verb == "map":
            return (p.f.map(p.u, p.x) * p.V[..., 0]).sum()
        if verb == "jacobian":
            return (p.f.jacobian(p.u, p.x) @ p.V * p.W).sum()
        return (getattr(p.f, verb)(p.u, p.V, p.x)[1] * p.W).sum()

    with torch.no_grad():
        slope = (value(1e-6) - value(-2e-6)) / 2e-6
    for leaf in leaves:
        leaf.requires_grad_()
    result = value(1e-6)
    if not result.requires_grad:  # the tangent of a linear map is constant
        assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-7)
        return
    gradients = torch.autograd.grad(result, leaves, materialize_grads=True)
    found = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    assert_close(found, slope, rtol=1e-5, atol=1e-7)


@every_dynamics
@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [(3,), ()], ids=["batch", "single"])
def test_dtype_follows_the_state(factory, kind, rows, device):
    p = problem(factory, kind, device, rows)
    for value in floats(everything(p)).values():
        parts = value if isinstance(value, tuple) else (value,)
        assert {part.dtype for part in parts} == {kind}
        assert {part.device for part in parts} == {p.u.device}


@every_dynamics
def test_state_dict_makes_the_same_dynamics(factory, dtype, device):
    p = problem(factory, dtype, device)
    other = factory(dtype)[0].to(device)
    for entry in other.state_dict().values():
        entry.add_(1)
    other.load_state_dict(p.f.state_dict())
    assert torch.equal(other.map(p.u, p.x), p.f.map(p.u, p.x))
    assert torch.equal(other.jacobian(p.u, p.x), p.f.jacobian(p.u, p.x))


@every_dynamics
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_are_equal_and_separate(factory, duplicate, dtype, device):
    p = problem(factory, dtype, device)
    p.f.generator = random_generator(3)
    other = duplicate(p.f)
    before = p.f.map(p.u, p.x)
    assert torch.equal(other.map(p.u, p.x), before)
    assert torch.equal(other.jacobian(p.u, p.x), p.f.jacobian(p.u, p.x))
    assert (other.size, other.dt) == (p.f.size, p.f.dt)
    for entry in other.state_dict().values():
        entry.add_(1)
    assert torch.equal(p.f.map(p.u, p.x), before)


@every_dynamics
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("born", [torch.enable_grad, torch.inference_mode])
def test_works_without_gradients(factory, mode, born, dtype, device, tolerance):
    p = problem(factory, dtype, device)
    expected = floats(everything(p))
    with born():
        for name in ("u", "V", "W", "x"):
            value = getattr(p, name)
            setattr(p, name, None if value is None else value.clone())
    with mode():
        found = floats(everything(p))
    for name, value in expected.items():
        assert_close(found[name], value, **tolerance)
    assert all(found[name][1].abs().max() > 0 for name in ("jvp", "vjp"))


@every_dynamics
def test_nothing_leaves_a_trace(factory, dtype, device):
    p = problem(factory, dtype, device)
    for i, part in enumerate(p.f.modules()):
        part.training = i % 2 == 0
    before, given = _trace(p.f), [t.clone() for t in (p.u, p.V, p.W)]
    everything(p)
    after = _trace(p.f)
    assert before.keys() == after.keys()
    for name in before:
        assert _same(before[name], after[name]), name
    assert all(map(torch.equal, given, (p.u, p.V, p.W)))


def _trace(f):
    trace = {f"module {name}": m.training for name, m in f.named_modules()}
    trace |= {f"grad {name}": (q.requires_grad, q.grad) for name, q in f.named_parameters()}
    trace |= {name: q.detach().clone() for name, q in f.named_parameters()}
    trace |= {name: q.clone() for name, q in f.named_buffers()}
    return trace | {"rng": torch.get_rng_state()}


def _same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@every_dynamics
def test_moves_between_dtypes(factory):
    p = problem(factory, torch.float64)
    x = None if p.x is None else p.x.float()
    single = p.f.float().map(p.u.float(), x)
    assert single.dtype == torch.float32
    double = p.f.double().map(p.u, p.x)
    assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@every_dynamics
def test_a_state_of_another_size_is_named(factory):
    f, input_size = factory(torch.float64)
    u = torch.zeros(2, 7, dtype=torch.float64)
    x = u.new_zeros(input_size) if input_size else None
    for question in (lambda: snt.rollout(f, u, 1, x=x), lambda: f.jacobian(u, x), lambda: f(x, u)):
        with pytest.raises(
            ValueError, match=rf"u: expected {f.size} on the last axis, got \(2, 7\)"
        ):
            question()


@every_network
def test_a_drive_of_another_width_is_named(factory):
    p = problem(factory, torch.float64)
    with pytest.raises(ValueError, match="x: expected"):
        snt.rollout(p.f, p.u, 2, x=p.u.new_zeros(7))


@pytest.mark.parametrize("verb", ["jvp", "vjp"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 9, 2), (3,)], ids=str)
@pytest.mark.parametrize(
    "f",
    [
        Henon(),
        snt.iterate(Henon(), 2),
        snt.SNTCell(random_coupling(n=2)),
    ],
)
def test_a_frame_that_does_not_fit_is_named(f, verb, shape):
    with pytest.raises(ValueError, match=r"[VW]: expected \(\*\(3, 2\), k\), got"):
        getattr(f, verb)(torch.ones(3, 2).double(), torch.ones(shape).double())


# Rollout


def drive(steps, *rows, width=3):
    return torch.randn(steps, *rows, width, dtype=torch.float64)


def state(*rows, size=4):
    return torch.randn(*rows, size, dtype=torch.float64)


@pytest.mark.parametrize("rows", [(), (2,), (2, 3)], ids=str)
def test_rollout_is_the_loop(rows):
    cell, u, x = snt_cell(torch.float64, input_size=3, leak=0.4), state(*rows), drive(5, *rows)
    orbit = snt.rollout(cell, u, 5, x=x)
    assert orbit.shape == (5, *rows, 4)
    for t in range(5):
        u = cell.map(u, x[t])
        assert_close(orbit[t], u, rtol=0, atol=1e-14)


@given(steps=st.integers(1, 12), every=st.integers(1, 12), sigma=st.sampled_from([0.0, 0.3]))
def test_every_is_slicing(steps, every, sigma):
    cell, u, x = snt_cell(torch.float64, noise=sigma, input_size=3), state(2), drive(steps, 2)
    every = min(every, steps)
    whole = snt.rollout(cell, u, steps, x=x, generator=random_generator())
    some = snt.rollout(cell, u, steps, x=x, generator=random_generator(), every=every)
    assert torch.equal(some, whole[every - 1 :: every])
    assert some.shape[0] == steps // every


def test_a_constant_drive_is_the_same_at_every_step():
    cell, u, x = snt_cell(torch.float64, input_size=3), state(2), drive(1)[0]
    constant = snt.rollout(cell, u, 6, x=x)
    assert_close(constant, snt.rollout(cell, u, 6, x=x.expand(6, 3)))
    assert_close(constant, snt.rollout(cell, u, 6, x=x.expand(6, 2, 3)))
    assert not torch.allclose(constant, snt.rollout(cell, u, 6))


@pytest.mark.parametrize("sigma", [0.3, (0.0, 0.5)], ids=["scalar", "per-neuron"])
@pytest.mark.parametrize("rows", [(), (2,), (2, 3)], ids=str)
def test_noise_is_the_documented_stream(sigma, rows, dtype, device):
    cell = snt_cell(dtype, noise=sigma, leak=0.5).to(device)
    u = torch.randn(*rows, 4, dtype=dtype, device=device)
    orbit = snt.rollout(cell, u, 4, generator=generator_for(u, 8))
    draw = generator_for(u, 8)
    for t in range(4):
        B = torch.randn(u.shape, generator=draw, dtype=dtype, device=device)
        u = cell.map(u) + cell.noise * B
        assert_close(orbit[t], u, rtol=0, atol=1e-14)


@pytest.mark.parametrize("sigma", [0.4, torch.tensor([0.1, 0.7])], ids=["scalar", "vector"])
def test_noise_has_its_standard_deviation(sigma):
    still = LinearMap(torch.zeros(2, 2), noise=sigma)
    orbit = snt.rollout(still, torch.zeros(100, 2), 200, generator=random_generator())
    spread, expected = orbit.std((0, 1)), torch.as_tensor(sigma).expand(2)
    assert ((spread / expected - 1).abs() < 4 / math.sqrt(2 * 20000)).all()


def test_correlated_noise_has_its_covariance():
    L = torch.tensor([[0.5, 0.0], [-0.8, 0.3]], dtype=torch.float64)
    still = snt.as_dynamics(torch.zeros_like, noise=L)
    drawn = snt.rollout(still, torch.zeros(100, 2).double(), 200, generator=random_generator())
    found, expected = drawn.flatten(0, 1).T.cov(), L @ L.T
    variances = expected.diagonal()
    stderr = ((expected.square() + variances.outer(variances)) / 20000).sqrt()
    assert ((found - expected).abs() < 4 * stderr).all()


def test_a_diagonal_matrix_makes_the_noise_of_its_diagonal():
    sigma = torch.tensor([0.1, 0.0, 0.7], dtype=torch.float64)
    f, g = (snt.as_dynamics(bend, noise=noise) for noise in (sigma, sigma.diag()))
    u = state(2, size=3)
    orbits = [snt.rollout(h, u, 5, generator=random_generator()) for h in (f, g)]
    assert_close(*orbits, rtol=1e-14, atol=1e-14)
    spectra = [snt.analysis.max_lyapunov(h, u, 20, generator=random_generator()) for h in (f, g)]
    assert_close(spectra[0].exponents, spectra[1].exponents, rtol=1e-12, atol=1e-12)
    assert noise_of(snt.as_dynamics(bend, noise=torch.zeros(3, 3)), u) is None


def test_noisy_rotation_reaches_its_stationary_law():
    f = NoisyRotation(0.8, 0.5, 0.3)
    last = snt.rollout(f, torch.zeros(4000, 2, dtype=torch.float64), 60)[-1]
    expected = 0.3**2 / (1 - 0.8**2) * torch.eye(2, dtype=torch.float64)
    assert (last.T.cov() - expected).abs().max() < 4 * expected[0, 0] * math.sqrt(2 / 4000)


def test_a_generator_leaves_the_global_one_alone():
    cell, u = snt_cell(torch.float64, noise=0.2), state(2)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = snt.rollout(cell, u, 3, generator=random_generator(4))
    assert torch.equal(before, torch.get_rng_state())
    second = snt.rollout(cell, u, 3)
    assert torch.equal(first, second)
    assert not torch.equal(before, torch.get_rng_state())


def test_without_noise_nothing_is_drawn():
    cell, u, g = snt_cell(torch.float64), state(2), random_generator()
    before = torch.get_rng_state()
    snt.rollout(cell, u, 3)
    snt.rollout(cell, u, 3, generator=g)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(g.get_state(), random_generator().get_state())


@pytest.mark.parametrize("every", [1, 2])
def test_gradients_are_those_of_the_loop(every):
    names = ("coupling", "input_weight", "gain", "threshold")
    cell = snt_cell(torch.float64, gain=(0.5, 1.5), threshold=0.1, leak=0.3, noise=0.2,
                    input_size=3, trainable=names)  # fmt: skip
    leaves = [state().requires_grad_(), drive(4).requires_grad_(), *cell.parameters()]
    weight = torch.randn(4 // every, 4, dtype=torch.float64)
    orbit = snt.rollout(cell, leaves[0], 4, x=leaves[1], generator=random_generator(), every=every)
    by_hand = _orbit_by_hand(cell, leaves[0], leaves[1])[every - 1 :: every]
    found = torch.autograd.grad((orbit * weight).sum(), leaves)
    expected = torch.autograd.grad((by_hand * weight).sum(), leaves)
    assert len(found) == 6
    assert all(gradient.abs().max() > 0 for gradient in expected)
    assert_close(found, expected)


def _orbit_by_hand(cell, u, x):
    draw, orbit = random_generator(), []
    for drive_now in x:
        F = snt_step(u, drive_now, cell.coupling, cell.input_weight,
                     gain=cell.gain, leak=cell.leak, threshold=cell.threshold)  # fmt: skip
        u = F + cell.noise * torch.randn(u.shape, generator=draw, dtype=u.dtype)
        orbit.append(u)
    return torch.stack(orbit)


def test_rollout_records_no_graph_when_told():
    with torch.no_grad():
        assert not snt.rollout(snt_cell(torch.float64), state(2), 2).requires_grad


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": torch.zeros(5, dtype=torch.float64)}, r"u: expected 4 on the last axis, got \(5,\)"),
        ({"u": torch.zeros(4)}, "u: expected torch.float64, .* got torch.float32"),
        ({"u": torch.zeros(4, dtype=torch.int64)}, "u: expected a floating dtype"),
        ({"u": torch.zeros(4, dtype=torch.float64, device="meta")}, "u: expected cpu, .* got meta"),
        (
            {"u": torch.tensor([0.0, torch.nan, 0, 0]).double()},
            r"u: expected finite.* nan at \(1,\)",
        ),
        ({"u": torch.tensor([0.0, 0, 0, -torch.inf]).double()}, r"u: expected finite.* at \(3,\)"),
        ({"u": torch.zeros((), dtype=torch.float64)}, "u: expected at least 1 axis"),
        ({"u": torch.zeros(0, 4, dtype=torch.float64)}, r"u: .*none of them empty, got \(0, 4\)"),
        ({"u": [0.0] * 4}, "u: expected a torch.Tensor, got list"),
        ({"steps": 0}, "steps: expected a whole number with steps >= 1, got 0"),
        ({"steps": -3}, "steps: expected"),
        ({"steps": 2.0}, "steps: expected a whole number"),
        ({"every": 0}, "every: expected .* 1 <= every <= 5, got 0"),
        ({"every": 6}, "every: expected"),
        ({"x": torch.zeros(4, 3).double()}, r"x: expected \(I,\) or \(5, ..., I\).*got \(4, 3\)"),
        ({"x": torch.zeros(5, 2).double()}, r"x: expected 3 on the last axis, got \(2,\)"),
        ({"x": torch.zeros(2).double()}, r"x: expected 3 on the last axis, got \(2,\)"),
        ({"x": torch.zeros(5, 7, 3).double()}, r"x: expected batch axes that fit .* got \(7,\)"),
        ({"x": torch.zeros(5, 3)}, "x: expected torch.float64, the dtype of the state"),
        ({"x": torch.zeros(3, device="meta").double()}, "x: expected cpu, the device of the state"),
        (
            {"x": torch.full((5, 3), torch.nan).double()},
            r"x: expected finite.* got nan at \(0, 0\)",
        ),
        ({"x": 1.0}, "x: expected a torch.Tensor, got float"),
        ({"generator": 7}, "generator: expected a torch.Generator, got int"),
        ({"f": 3}, "f: expected a Dynamics, a torch cell or a callable, got int"),
        ({"f": snt_cell(torch.float64)}, "x: expected None, since the cell has input_size 0"),
        ({"f": bend}, "x: expected None, since the function takes u alone"),
        ({"f": push, "x": None}, "x: expected a drive, since the function takes"),
        ({"f": lambda u, x: (u, u)}, "f: expected a Tensor like u, got tuple"),
        (
            {"f": lambda u, x: u[..., :1]},
            r"f: expected the shape of u, \(4,\), got \(1,\)",
        ),
        ({"f": lambda u, x: u.sum()}, "f: expected the shape of u"),
    ],
)
def test_rollout_names_what_is_wrong(changes, message):
    good = {
        "f": snt_cell(torch.float64, input_size=3),
        "u": torch.zeros(4, dtype=torch.float64),
        "steps": 5,
        "x": torch.zeros(5, 3, dtype=torch.float64),
    }
    good |= changes
    with pytest.raises(ValueError, match=message):
        snt.rollout(good.pop("f"), good.pop("u"), good.pop("steps"), **good)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (-0.1, "noise: expected >= 0, got -0.1"),
        (torch.tensor([0.1, -0.2, 0.0]), "noise: expected >= 0"),
        (math.nan, "noise: expected finite"),
        (math.inf, "noise: expected finite"),
        (torch.ones(2), r"noise: expected a number, \(3,\) or \(3, 3\), got \(2,\)"),
        (torch.ones(1, 3), "noise: expected a number, "),
    ],
)
def test_bad_noise_is_named(noise, message):
    with pytest.raises(ValueError, match=message):
        snt.rollout(snt.as_dynamics(bend, noise=noise), torch.zeros(2, 3), 1)


@pytest.mark.parametrize(
    ("start", "every", "message"),
    [
        ([2.0], 1, "u: .* not finite by step 7$"),
        ([[1.0], [2.0]], 1, r"u: .* by step 7 in row \(1,\)$"),
        ([[[1.0]], [[2.0]]], 1, r"u: .* by step 7 in row \(1, 0\)$"),
        ([[1.0], [2.0]], 2, r"u: .* by step 8 in row \(1,\)$"),
    ],
)
def test_divergence_is_placed(start, every, message):
    # u(t) = 2^(2^t), and the largest float32 is just below 2^128 = u(7).
    with pytest.raises(ValueError, match=message):
        snt.rollout(lambda u: u**2, torch.tensor(start), 12, every=every)


def test_divergence_after_the_last_stored_state_is_placed():
    with pytest.raises(ValueError, match=r"u: expected a bounded orbit.* by step 7"):
        snt.rollout(lambda u: u**2, torch.tensor([2.0]), 7, every=6)


def test_divergence_is_seen_although_the_orbit_comes_back():
    with pytest.raises(ValueError, match=r"u: expected a bounded orbit.* by step 1$"):
        snt.rollout(lambda u: 1 / u, torch.zeros(1), 2)


# Iterate


@pytest.mark.parametrize("n", [1, 2, 5])
def test_iterate_composes(n):
    cell, u, x = snt_cell(torch.float64, input_size=3, leak=0.3), state(2), drive(1)[0]
    f = snt.iterate(cell, n)
    orbit = snt.rollout(cell, u, n, x=x)
    assert_close(f.map(u, x), orbit[-1])
    product = torch.eye(4, dtype=torch.float64)
    for before in (u, *orbit[:-1]):
        product = cell.jacobian(before, x) @ product
    assert_close(f.jacobian(u, x), product)
    assert_close(f.vjp(u, product, x)[1], product.mT @ product)


def test_iterate_keeps_time_and_drops_noise():
    f = snt.iterate(snt.as_dynamics(bend, noise=0.3, dt=0.5, size=3), 4)
    assert (f.dt, f.noise, f.size) == (2.0, 0.0, 3)


def test_iterate_shares_parameters():
    cell = snt_cell(torch.float64)
    assert [p is cell.coupling for p in snt.iterate(cell, 2).parameters()] == [True]


def test_periodic_points_are_fixed_points_of_the_iterate():
    r = 3.2
    root = math.sqrt((r - 3) * (r + 1))
    pair = torch.tensor([[(r + 1 + root) / (2 * r)], [(r + 1 - root) / (2 * r)]]).double()
    assert_close(snt.iterate(Logistic(r), 2).map(pair), pair, rtol=1e-6, atol=1e-7)
    multiplier = torch.full((2, 1, 1), 4 + 2 * r - r**2, dtype=torch.float64)
    assert_close(snt.iterate(Logistic(r), 2).jacobian(pair), multiplier, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_iterate_checks_n(n):
    with pytest.raises(ValueError, match="n: expected a whole number"):
        snt.iterate(bend, n)


# Forward mode: where it is missing, and compiled


class Backward(torch.autograd.Function):
    """A function of the user's own that knows its gradient only."""

    @staticmethod
    def forward(ctx, u):
        return u.sin()

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0]


@pytest.mark.parametrize(
    "fn",
    [
        Backward.apply,
        lambda u: torch.from_numpy(u.numpy()),
    ],
    ids=["autograd-function", "numpy"],
)
def test_a_map_without_forward_mode_is_named(fn):
    f, u = snt.as_dynamics(fn), torch.ones(3)
    assert f.map(u).shape == u.shape
    with pytest.raises(
        ValueError, match=r"f: expected a map that torch .* forward mode, got ['\"]"
    ):
        f.jacobian(u)


@pytest.mark.parametrize("fn", [lambda u: u + torch.randn(3), nn.functional.dropout])
def test_a_map_that_draws_is_named(fn):
    with pytest.raises(ValueError, match=r"f: expected a map without randomness, got one .* eval"):
        snt.as_dynamics(lambda u: fn(u)).jacobian(torch.ones(3))


def test_a_mistake_in_the_map_shows_as_it_is():
    f = snt.as_dynamics(lambda u: u @ torch.ones(5, 5))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        f.jacobian(torch.ones(3))


def compiled():
    base = snt.as_dynamics(Perceptron(3, 2).double(), size=3, noise=0.1, dt=0.5)
    return base, snt.compile_tangents(base)


def test_compiled_dynamics_is_its_base():
    base, f = compiled()
    u, x, V = state(4, size=3), drive(1, width=2)[0], state(4, 3, size=2)
    assert (f.size, f.noise, f.dt) == (3, 0.1, 0.5)
    assert {id(p) for p in f.parameters()} == {id(p) for p in base.parameters()}
    assert torch.equal(f.map(u, x), base.map(u, x))
    assert_close(f.vjp(u, V, x), base.vjp(u, V, x), rtol=0, atol=0)
    with torch.enable_grad():  # recorded: nothing is compiled
        assert f.jvp(u, V, x)[1].requires_grad
    assert isinstance(copy.deepcopy(f), type(f))


def test_a_compiler_that_fails_is_named(monkeypatch):
    def broken(*_):
        raise RuntimeError("No working C++ compiler found\nand more")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    _, f = compiled()
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"No working C\+\+.*; use f without"):
        f.jvp(state(size=3), state(3, size=2), drive(1, width=2)[0])
    f = snt.compile_tangents(lambda u: u @ torch.ones(5, 5))
    with torch.no_grad(), pytest.raises(RuntimeError, match="cannot be multiplied"):
        f.jvp(torch.ones(3), torch.ones(3, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_compiled_tangents():
    base, f = compiled()
    with torch.no_grad():
        for rows in ((), (4,)):
            u, x, V = state(*rows, size=3), drive(1, *rows, width=2)[0], state(*rows, 3, size=2)
            assert_close(f.jvp(u, V, x), base.jvp(u, V, x))
    copied = pickle.loads(pickle.dumps(f))
    u, x = state(size=3), drive(30, width=2)
    spectra = [
        snt.analysis.lyapunov_spectrum(g, u, 30, k=2, x=x).exponents for g in (base, f, copied)
    ]
    assert_close(spectra[1], spectra[0])
    assert_close(spectra[2], spectra[0])


# Forward: torch's calling convention


def test_forward_is_one_step_of_torch():
    cell = nn.RNNCell(3, 4)
    f, x, h = snt.as_dynamics(cell), torch.randn(2, 3), torch.randn(2, 4)
    assert_close(f(x, h), cell(x, h))
    assert_close(f(x), cell(x))
    assert_close(f(input=x, hx=h), cell(input=x, hx=h))


@every_dynamics
def test_forward_is_the_map_with_noise(factory, dtype, device):
    p = problem(factory, dtype, device)
    p.f.generator = generator_for(p.u)
    sigma = torch.as_tensor(p.f.noise, dtype=dtype, device=device)
    steps = [p.f(p.x, p.u), p.f(p.x, p.u)]
    draw, F = generator_for(p.u), p.f.map(p.u, p.x)
    for step in steps:
        B = torch.randn(p.u.shape, generator=draw, dtype=dtype, device=device)
        assert torch.equal(step, F + noisy(sigma, B) if sigma.any() else F)


def noisy(sigma, B):
    """Return sigma B for a scalar, (N,) or (N, N)."""
    return B @ sigma.T if sigma.ndim == 2 else sigma * B


@pytest.mark.parametrize("rows", [(), (2,), (2, 5)], ids=str)
def test_forward_starts_at_zeros(rows):
    cell, x = snt_cell(torch.float64, input_size=3, noise=0.3), drive(1, *rows)[0]
    for now, zeros in ((x, torch.zeros(*rows, 4)), (None, torch.zeros(4))):
        cell.generator = random_generator()
        found = cell(now)
        cell.generator = random_generator()
        assert torch.equal(found, cell(now, zeros.double()))


def test_forward_draws_from_the_global_generator_by_default():
    cell, u = snt_cell(torch.float64, noise=0.5), state(2)
    before = torch.get_rng_state()
    noisy = cell(None, u)
    torch.set_rng_state(before)
    assert torch.equal(noisy, cell.map(u) + cell.noise * torch.randn(2, 4, dtype=torch.float64))


def test_forward_needs_a_state_where_the_size_is_unknown():
    with pytest.raises(ValueError, match="hx: expected a state"):
        snt.as_dynamics(bend)()


# The door


class OneNumber:
    """No dynamics: a type of the user's, registered below."""


def test_a_dynamics_comes_back_as_it_is():
    for f in (snt_cell(torch.float64), Henon(), snt.as_dynamics(bend)):
        assert snt.as_dynamics(f) is f
        assert snt.as_dynamics(f, size=f.size) is f


def test_a_function_takes_what_it_is_given():
    f = snt.as_dynamics(bend, size=3, noise=0.2, dt=0.1)
    assert isinstance(f, FunctionDynamics)
    assert (f.size, f.noise, f.dt) == (3, 0.2, 0.1)
    f = snt.as_dynamics(bend)
    assert (f.size, f.noise, f.dt) == (-1, 0.0, 1.0)


@pytest.mark.parametrize(
    ("fn", "autonomous", "driven"),
    [
        (lambda u: u, True, False),
        (lambda u, x: u, False, True),
        (lambda u, x=None: u, True, True),
        (lambda u, *, scale=1.0: u, True, False),
        (lambda *states: states[0], True, True),
        (torch.tanh, True, False),
        (nn.Linear(3, 3), True, False),
        (nn.Bilinear(3, 3, 3), False, True),
    ],
)
def test_a_function_says_whether_it_is_driven(fn, autonomous, driven):
    f, u = snt.as_dynamics(fn), torch.zeros(2, 3)
    for x, works in ((None, autonomous), (torch.zeros(2, 3), driven)):
        if works:
            assert f.map(u, x).shape == u.shape
        else:
            with pytest.raises(ValueError, match="x: expected"):
                f.map(u, x)


class Cell(nn.Module):
    """A cell written by hand, with the arguments of torch's, and dropout."""

    def __init__(self, inputs, size):
        super().__init__()
        self.input, self.state = nn.Linear(inputs, size), nn.Linear(size, size)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, h):
        return torch.tanh(self.input(x) + self.state(self.dropout(h)))


@pytest.mark.parametrize("inputs", [2, 4])  # 4 as the state: the wrong order would not show
def test_a_cell_of_ones_own_is_called_as_torchs_cells_are(inputs):
    cell, u, x = Cell(inputs, 4).eval(), torch.randn(3, 4), torch.randn(5, 3, inputs)
    f = snt.as_dynamics(cell)
    assert torch.equal(f.map(u, x[0]), cell(x[0], u))
    assert torch.equal(snt.rollout(f, u, 5, x=x), snt.rollout(lambda u, x: cell(x, u), u, 5, x=x))
    with pytest.raises(ValueError, match="x: expected a drive"):
        f.map(u)
    assert torch.equal(copy.deepcopy(f).map(u, x[0]), f.map(u, x[0]))
    found = snt.analysis.max_lyapunov(cell.train(), u, 5, x=x)  # without dropout
    assert torch.equal(found.exponents, snt.analysis.max_lyapunov(cell.eval(), u, 5, x=x).exponents)


@pytest.mark.parametrize(
    ("fn", "turned"),
    [
        (lambda input, hx: hx, True),
        (lambda x, state: state, True),
        (lambda x, u: x, False),  # the state and the input of control theory
        (lambda u, x: u, False),
        (lambda x: x, False),
        (lambda h, x: h, False),
    ],
)
def test_the_order_is_told_by_names_alone(fn, turned):
    u, x = torch.ones(2, 3), torch.zeros(2, 3)
    f = snt.as_dynamics(fn)
    assert isinstance(f, FunctionDynamics)
    assert f.input_first == turned
    assert torch.equal(f.map(u, x if len(inspect.signature(fn).parameters) == 2 else None), u)


def test_a_function_says_its_name():
    assert repr(snt.as_dynamics(bend)) == "FunctionDynamics(bend)"
    assert repr(snt.as_dynamics(bend, size=3)) == "FunctionDynamics(bend, size=3)"
    assert repr(snt.flows.as_flow(bend, size=3)) == "FunctionFlow(bend, size=3)"
    assert repr(snt.as_dynamics(functools.partial(bend))) == "FunctionDynamics(partial)"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch about itself
def test_wrappers_of_torch_are_looked_through():
    gru, u = nn.GRU(2, 3), torch.randn(4, 3)
    for wrapped in (torch.compile(gru), nn.DataParallel(gru)):
        f = snt.as_dynamics(wrapped, noise=0.1)
        assert (f.size, f.noise) == (3, 0.1)
        assert torch.equal(f.map(u), snt.as_dynamics(gru).map(u))
    cell = snt.SNTCell(torch.eye(3))
    assert snt.as_dynamics(torch.compile(cell)) is cell


class Reader(nn.Module):
    """A whole network, which is no map of states."""

    def __init__(self):
        super().__init__()
        self.gru, self.readout = nn.GRU(2, 3), nn.Linear(3, 1)

    def forward(self, sequences):
        return self.readout(self.gru(sequences)[0])


def test_a_whole_network_is_told_from_its_recurrent_part():
    expected = r"f: expected a map of states, got the module Reader, .*; its recurrent part is gru$"
    for question in (lambda f, u: snt.rollout(f, u, 3), snt.analysis.jacobian_spectrum):
        with pytest.raises(ValueError, match=expected):
            question(Reader(), torch.randn(4, 3))


@pytest.mark.parametrize("verb", ["map", "jacobian"])
@pytest.mark.parametrize("bad", [lambda u: (u, u), lambda u: u[..., :1], lambda u: u.reshape(-1)])
def test_a_function_must_return_a_state(bad, verb):
    with pytest.raises(ValueError, match="f: expected"):
        getattr(snt.as_dynamics(bad), verb)(torch.ones(2, 3))


@pytest.mark.parametrize(
    ("f", "settings", "message"),
    [
        (3, {}, "f: expected a Dynamics, a torch cell or a callable, got int"),
        (None, {}, "f: expected"),
        (nn.GRU, {}, "f: expected .*, got the class GRU"),
        (torch.jit.script(nn.Linear(3, 3)), {}, "f: expected a module of Python, .*, got a script"),
        (bend, {"size": 0}, "size: expected a whole number"),
        (bend, {"size": 2.0}, "size: expected a whole number"),
        (bend, {"dt": -1.0}, "dt: expected a finite number"),
        (bend, {"dt": math.nan}, "dt: expected a finite number"),
        (Henon(), {"noise": 0.1}, "noise: expected None, since a Dynamics carries its own"),
        (Henon(), {"dt": 0.1}, "dt: expected None"),
        (Henon(), {"size": 3}, "size: expected 2, that of the dynamics, got 3"),
        (nn.RNNCell(2, 4), {"size": 3}, "size: expected 4"),
        (snt.SNT(snt_cell(torch.float64, input_size=3)), {"size": 3}, "size: expected 4"),
        (snt.SNT(snt_cell(torch.float64, input_size=3)), {"noise": 0.1}, "noise: expected None"),
    ],
)
def test_the_door_names_what_is_wrong(f, settings, message):
    with pytest.raises(ValueError, match=message):
        snt.as_dynamics(f, **settings)


def test_users_register_their_types():
    with pytest.raises(ValueError, match="f: expected"):
        snt.as_dynamics(OneNumber())
    snt.as_dynamics.register(OneNumber, lambda obj, **_: Logistic())
    assert_close(snt.rollout(OneNumber(), torch.tensor([0.25]), 1), torch.tensor([[0.75]]))


def test_a_dynamics_needs_a_map():
    with pytest.raises(TypeError, match="map"):
        type("Empty", (snt.Dynamics,), {})()


# Observing


class Mixed(nn.Module):
    """Parts in different modes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
        self.second.eval()
        self.second[0].train()


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_observing_leaves_no_trace(fails, outer, device):
    f = Mixed()
    modes, rng = [m.training for m in f.modules()], torch.get_rng_state()
    with outer():
        flags = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        try:
            with observing(f, torch.zeros(2, device=device)):
                assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (
                    False,
                    False,
                )
                assert not any(m.training for m in f.modules())
                torch.randn(5)
                if fails:
                    raise KeyError("inside")
        except KeyError:
            assert fails
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == flags
    assert [m.training for m in f.modules()] == modes
    assert torch.equal(rng, torch.get_rng_state())


def test_threads_that_look_at_the_same_network_leave_its_modes_alone():
    f, u = Mixed(), torch.zeros(2)
    modes = [m.training for m in f.modules()]
    inside, left = threading.Barrier(2, timeout=10), threading.Event()
    seen: list[bool] = []

    def look(first):
        with observing(f, u):
            inside.wait()
            if first:  # leaves while the other still looks, who came in while this one did
                return
            left.wait(timeout=10)
            seen.extend(m.training for m in f.modules())

    threads = [threading.Thread(target=look, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    threads[0].join()
    left.set()
    threads[1].join()
    assert seen == [False] * len(modes)
    assert [m.training for m in f.modules()] == modes


def test_observed_noise_repeats_until_the_program_draws():
    cell, u = snt_cell(torch.float64, noise=0.3), state(2)

    def look():
        with observing(cell, u):
            return snt.rollout(cell, u, 2)

    first, second = look(), look()
    torch.randn(1)
    assert torch.equal(first, second)
    assert not torch.equal(first, look())
    assert not first.requires_grad


@pytest.mark.gpu
def test_observing_restores_the_generator_of_the_device():
    u = torch.zeros(2, device="cuda")
    before = torch.cuda.get_rng_state()
    with observing(nn.Identity(), u):
        torch.randn(3, device="cuda")
    assert torch.equal(before, torch.cuda.get_rng_state())


@pytest.mark.gpu
def test_a_state_on_another_device_is_named():
    with pytest.raises(ValueError, match=r"u: expected cpu, .* got cuda"):
        snt.rollout(snt.SNTCell(random_coupling()), state(2).cuda(), 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_from_a_state_that_is_not_finite_is_refused(bad):
    cell = snt_cell(torch.float64)
    with pytest.raises(ValueError, match="hx: expected finite numbers"):
        cell(None, torch.full((2, 4), bad, dtype=torch.float64))


@every_network
@pytest.mark.parametrize("verb", ["jvp", "vjp"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_record_no_graph_when_told(factory, verb, mode, dtype, device):
    p = problem(factory, dtype, device)
    with mode():
        results = getattr(p.f, verb)(p.u, p.V, p.x)
    assert not any(result.requires_grad for result in results)


@pytest.mark.parametrize("kind", ["none", "number", "neurons", "matrix"])
@pytest.mark.parametrize("rows", [(), (3,), (2, 3)], ids=str)
def test_noise_that_is_drawn_is_what_would_be_added(kind, rows):
    sigma = {
        "none": None,
        "number": torch.tensor(0.3).double(),
        "neurons": torch.rand(4).double(),
        "matrix": torch.rand(4, 4).double(),
    }[kind]
    streams = [random_generator() for _ in range(2)]
    place = torch.full((*rows, 4), torch.nan).double()
    draw_noise(place, sigma, streams[0])
    assert torch.equal(place, add_noise(torch.zeros(*rows, 4).double(), sigma, streams[1]))
    assert torch.equal(*(stream.get_state() for stream in streams))
