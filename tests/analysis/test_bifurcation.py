"""Branches and bifurcations: closed forms to 1e-8, the reference network, ends of branches."""

import cmath
import math
from typing import Any

import numpy as np
import pytest
import torch
from references import LinearMap, push, random_generator
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import continue_fixed_point, find_fixed_points, switch_branch

EXACT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}
PLACE = 1e-8  # to which every bifurcation is located


def at(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def plane(a, b):
    """Return two neurons that excite themselves by a and each other by b."""
    return torch.tensor([[a, b], [b, a]], dtype=torch.float64)


def kinds(branch):
    return [event.kind for event in branch.events]


def is_fixed(f, branch):
    """Check that every point of a branch is fixed under the dynamics f(parameter)."""
    for p, u in zip(branch.parameter.tolist(), branch.states, strict=True):
        with torch.no_grad():
            assert_close(f(p).map(u), u, **EXACT)


# Closed forms


def test_flip_of_the_logistic_map():
    branch = continue_fixed_point(None, at(0.6), snt.systems.Logistic, [2.5, 3.5])
    (flip,) = branch.events
    assert flip.kind == "flip"
    assert flip.parameter == pytest.approx(3, abs=PLACE)
    assert float(flip.state) == pytest.approx(2 / 3, abs=PLACE)
    assert flip.rotation == 0.5
    assert complex(flip.eigenvalues) == pytest.approx(-1, abs=PLACE)
    assert_close(branch.states[:, 0], 1 - 1 / branch.parameter, **EXACT)
    assert_close(branch.eigenvalues[:, 0].real, 2 - branch.parameter, rtol=0, atol=1e-10)
    assert_close(branch.stable, branch.parameter < 3)
    assert_close(branch.unstable, (branch.parameter > 3).long())
    assert (branch.parameter[0], branch.parameter[-1]) == (2.5, 3.5)
    assert branch.note == "reached the end of the window"


def test_transcritical_of_the_logistic_map():
    branch = continue_fixed_point(None, at(0.0), snt.systems.Logistic, [0.5, 1.5])
    (event,) = branch.events
    assert (event.kind, event.rotation) == ("transcritical", 0.0)
    assert event.parameter == pytest.approx(1, abs=PLACE)
    assert_close(branch.states, torch.zeros_like(branch.states), **EXACT)
    beyond = continue_fixed_point(None, at(1 / 3), snt.systems.Logistic, [1.5, 0.5])
    assert kinds(beyond) == ["transcritical"]
    assert beyond.events[0].parameter == pytest.approx(1, abs=PLACE)
    assert float(beyond.states[-1]) == pytest.approx(-1, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_through_a_fold_and_back(size):
    """u' = a + u - u^2 has the points +-sqrt a, with multipliers 1 -+ 2 sqrt a."""

    def f(a):
        def step(u):  # the other neurons follow the first
            first, others = u.split([1, size - 1], -1)
            return torch.cat([a + first - first**2, 0.5 * others + 0.3 * first], -1)

        return snt.as_dynamics(step)

    start = 0.9 * torch.ones(size).double()
    branch = continue_fixed_point(None, start, f, [0.81, -0.5])
    (fold,) = branch.events
    assert (fold.kind, fold.rotation) == ("fold", 0.0)
    assert fold.parameter == pytest.approx(0, abs=PLACE)
    assert_close(fold.state, torch.zeros(size).double(), rtol=0, atol=1e-6)
    assert complex(fold.eigenvalues[0]) == pytest.approx(1, abs=PLACE)
    is_fixed(f, branch)
    u = branch.states[:, 0]
    assert_close(u.square(), branch.parameter, rtol=0, atol=1e-11)
    assert branch.parameter[[0, -1]].tolist() == pytest.approx([0.81, 0.81])
    assert u[[0, -1]].tolist() == pytest.approx([0.9, -0.9])
    assert bool((u.diff() < 0).all())  # never back on itself
    lowest = int(branch.parameter.argmin())
    assert 10 < lowest < len(u) - 10
    assert bool((branch.parameter.diff()[: lowest - 1] < 0).all())
    assert bool((branch.parameter.diff()[lowest + 1 :] > 0).all())
    assert_close(branch.stable, u > 0)


@pytest.mark.slow
def test_two_folds_of_a_bistable_neuron():
    """u = 2 tanh u - a turns where tanh^2 u = 1/2: a = +-(2 t - artanh t), t = 1/sqrt 2."""
    cell = snt.SNTCell(torch.eye(1).double() * 2)
    branch = continue_fixed_point(cell, at(-3.0), "threshold", torch.linspace(1, -1, 20))
    t = math.sqrt(0.5)
    turn = 2 * t - math.atanh(t)
    assert kinds(branch) == ["fold", "fold"]
    assert [e.parameter for e in branch.events] == pytest.approx([-turn, turn], abs=PLACE)
    assert float(branch.events[0].state) == pytest.approx(-math.atanh(t), abs=PLACE)
    assert branch.stable.int().diff().tolist().count(-1) == 1
    assert (bool(branch.stable[0]), bool(branch.stable[-1])) == (True, True)
    assert float(branch.parameter[-1]) == -1


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(0.2, 1.0), (1.0, -0.2)])
def test_pitchfork_of_two_symmetric_neurons(a, b):
    """The origin turns unstable at g = 1 / (a + |b|), along (1, sign b): u = (a + |b|) tanh g u."""
    cell, gains = snt.SNTCell(plane(a, b)), [0.5, 2.0]
    trivial = continue_fixed_point(cell, at(0.0, 0.0), "gain", gains)
    first = trivial.events[0]
    assert (first.kind, first.rotation) == ("pitchfork", 0.0)
    assert first.parameter == pytest.approx(1 / (a + abs(b)), abs=PLACE)
    halves = switch_branch(cell, first, "gain", gains)
    for half in halves:
        p, u = half.parameter, half.states
        assert float(p[0]) == first.parameter
        assert float(p[-1]) == 2
        assert_close(u[:, 1], math.copysign(1, b) * u[:, 0], rtol=0, atol=1e-9)
        assert_close(u[:, 0], (a + abs(b)) * torch.tanh(p * u[:, 0]), rtol=0, atol=1e-10)
        assert float(u[-1].abs().min()) > 0.5
        assert bool(half.stable[2:10].all())
    assert_close(halves[0].states[-1], -halves[1].states[-1], rtol=0, atol=1e-9)


def test_two_events_at_one_place():
    trivial = continue_fixed_point(snt.SNTCell(plane(0.0, 1.0)), at(0.0, 0.0), "gain", [0.5, 1.5])
    assert sorted(kinds(trivial)) == ["flip", "pitchfork"]
    assert [e.parameter for e in trivial.events] == pytest.approx([1, 1], abs=PLACE)
    twice = snt.SNTCell(torch.eye(2).double())
    (both,) = continue_fixed_point(twice, at(0.0, 0.0), "gain", [0.5, 1.5]).events
    assert both.eigenvalues.shape == (2,)


def test_events_in_one_step_are_told_apart():
    """Eigenvalues 1, 0.999, -0.998 and a pair of modulus 0.997 leave within one step."""
    angle = 0.4
    c, s = 0.997 * math.cos(angle), 0.997 * math.sin(angle)
    M = torch.block_diag(
        torch.diag(at(1.0, 0.999, -0.998)), torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    )
    cell = snt.SNTCell(M)
    branch = continue_fixed_point(cell, torch.zeros(5).double(), "gain", [0.5, 1.5])
    assert kinds(branch) == ["pitchfork", "pitchfork", "flip", "neimark_sacker"]
    places = [1, 1 / 0.999, 1 / 0.998, 1 / 0.997]
    assert [e.parameter for e in branch.events] == pytest.approx(places, abs=PLACE)
    turn = branch.events[-1]
    assert turn.rotation == pytest.approx(angle / (2 * math.pi), abs=PLACE)
    assert turn.eigenvalues.tolist() == pytest.approx(
        [cmath.exp(1j * angle), cmath.exp(-1j * angle)], abs=PLACE
    )


def test_flip_is_a_pitchfork_of_the_second_iterate():
    def f(r):
        return snt.iterate(snt.systems.Logistic(r), 2)

    branch = continue_fixed_point(None, at(0.6), f, [2.8, 3.4])
    (event,) = branch.events
    assert event.kind == "pitchfork"
    assert event.parameter == pytest.approx(3, abs=PLACE)
    halves = switch_branch(None, event, f, [2.8, 3.4])
    assert {round(float(half.states[-1]), 3) for half in halves} == {0.452, 0.842}
    for half in halves:
        r, u = half.parameter, half.states[:, 0]
        sign = 1.0 if float(u[-1]) > 0.65 else -1.0
        root = ((r - 3).clamp(min=0) * (r + 1)).sqrt()
        assert_close(u[1:], ((r + 1 + sign * root) / (2 * r))[1:], rtol=0, atol=1e-9)
        assert bool(half.stable[1:].all())


# The reference network (its figures were found by other means)


def reference_network():
    """Return 100 neurons from a frozen legacy stream of numpy."""
    rs = np.random.RandomState(0)
    J, threshold = rs.randn(100, 100) / 10, 0.1 * rs.randn(100)
    assert J[0, :3] == pytest.approx([0.17640523, 0.04001572, 0.0978738])
    return snt.SNTCell(torch.tensor(J), threshold=torch.tensor(threshold))


def test_neimark_sacker_of_the_reference_network():
    cell = reference_network()
    branch = continue_fixed_point(cell, torch.zeros(100).double(), "gain", [0.98, 1.03])
    (event,) = branch.events
    assert event.kind == "neimark_sacker"
    assert event.parameter == pytest.approx(1.0174897959, abs=1e-9)
    assert event.rotation == pytest.approx(0.256908, abs=1e-6)
    expected = [-0.043391 + 0.999058j, -0.043391 - 0.999058j]
    assert event.eigenvalues.tolist() == pytest.approx(expected, abs=2e-6)
    assert_close(branch.stable, branch.parameter < event.parameter)
    # Beyond, an orbit turns at about this rate.
    cell.gain = torch.tensor(1.02)
    with torch.no_grad():
        orbit = snt.rollout(cell, event.state + 1e-3, 3000)[2000:]
    spectrum = torch.fft.rfft(orbit[:, 0] - orbit[:, 0].mean()).abs()
    assert int(spectrum.argmax()) / 1000 == pytest.approx(event.rotation, abs=3e-3)


# Parameters


def test_parameters_by_name_and_by_function_agree():
    J = plane(0.5, 0.3)
    by_name = continue_fixed_point(
        snt.SNTCell(J, threshold=at(0.1, -0.2)), at(0.0, 0.0), "gain", [0.5, 1.5]
    )
    by_function = continue_fixed_point(
        None, at(0.0, 0.0), lambda g: snt.SNTCell(J, threshold=at(0.1, -0.2), gain=g), [0.5, 1.5]
    )
    assert_close(by_name.states, by_function.states, rtol=1e-12, atol=1e-12)
    assert (by_name.name, by_function.name) == ("gain", "parameter")


@pytest.mark.slow
def test_larger_tensors_are_multiplied():
    J = plane(0.5, 0.3)
    cell = snt.SNTCell(J, threshold=at(0.1, -0.2))
    scaled = continue_fixed_point(cell, at(0.0, 0.0), "coupling", [0.5, 1.5])
    is_fixed(lambda p: snt.SNTCell(p * J, threshold=at(0.1, -0.2)), scaled)
    cell = snt.SNTCell(J, threshold=at(0.1, -0.2), gain=at(1.0, 2.0))
    scaled = continue_fixed_point(cell, at(0.0, 0.0), "gain", [0.5, 1.5])
    is_fixed(lambda p: snt.SNTCell(J, threshold=at(0.1, -0.2), gain=p * at(1.0, 2.0)), scaled)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_torch_networks_under_a_constant_drive(kind):
    module, x = kind(2, 4).double(), at(0.3, -0.5)
    f = snt.as_dynamics(module)
    branch = continue_fixed_point(
        module, torch.zeros(f.size).double(), "source.weight_hh_l0", [1.0, 2.0], x=x
    )
    before = module.weight_hh_l0.detach().clone()
    for p, u in list(zip(branch.parameter.tolist(), branch.states, strict=True))[::10]:
        with torch.no_grad():
            module.weight_hh_l0.copy_(p * before)
            assert_close(f.map(u, x), u, **EXACT)
    assert float(branch.parameter[-1]) == 2


# What ends a branch


def test_branch_that_leaves_the_domain():
    branch = continue_fixed_point(None, at(0.6), snt.systems.Logistic, [3.5, 4.5])
    assert branch.note == "lost at 4: no fixed point beyond"
    assert float(branch.parameter[-1]) == pytest.approx(4, abs=1e-6)
    cell = snt.SNTCell(plane(-0.1, -0.2), leak=0.3, threshold=0.1)
    branch = continue_fixed_point(cell, at(0.0, 0.0), "leak", [0.5, 1.5])
    assert branch.note.startswith("lost at")
    assert float(branch.parameter[-1]) < 1


@pytest.mark.slow
def test_branch_that_runs_away():
    branch = continue_fixed_point(
        None, at(1.0), lambda p: lambda u: u - p * u + 1, [1.0, -1.0], steps=150
    )
    assert branch.note
    assert 0 < float(branch.parameter[-1]) < 0.3
    assert_close(branch.states[:, 0], 1 / branch.parameter, **EXACT)


@pytest.mark.slow
def test_branch_that_closes():
    """p^2 + u^2 = 1 as fixed points, with a fold at each end."""
    branch = continue_fixed_point(
        None, at(1.0), lambda p: lambda u: u + 0.1 * (1 - p**2 - u**2), [0.0, 1.5, -1.5]
    )
    assert branch.note == "closed upon itself"
    assert kinds(branch) == ["fold", "fold"]
    assert [e.parameter for e in branch.events] == pytest.approx([1, -1], abs=PLACE)


def test_number_of_points():
    values = torch.linspace(2.5, 3.5, 201)
    assert len(continue_fixed_point(None, at(0.6), snt.systems.Logistic, values).parameter) > 200
    branch = continue_fixed_point(None, at(0.6), snt.systems.Logistic, values, steps=7)
    assert len(branch.parameter) == 7
    assert branch.note == "ended after 7 points"


# Precision, modes, no trace


def test_start_is_polished():
    rough = continue_fixed_point(None, at(0.7), snt.systems.Logistic, [2.5, 3.5])
    assert float(rough.states[0]) == pytest.approx(0.6, abs=1e-12)


def test_single_precision():
    start = 0.9 * torch.ones(1)
    branch = continue_fixed_point(None, start, lambda a: lambda u: a + u - u**2, [0.81, -0.5])
    assert branch.states.dtype == branch.parameter.dtype == torch.float32
    assert kinds(branch) == ["fold"]
    assert branch.events[0].parameter == pytest.approx(0, abs=1e-5)


@pytest.mark.gpu
def test_cuda():
    cell = snt.SNTCell(plane(0.2, 1.0))
    expected = continue_fixed_point(cell, at(0.0, 0.0), "gain", [0.5, 2.0])
    found = continue_fixed_point(cell.cuda(), at(0.0, 0.0).cuda(), "gain", [0.5, 2.0])
    assert found.states.is_cuda
    assert kinds(found) == kinds(expected)
    assert found.events[0].parameter == pytest.approx(expected.events[0].parameter, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_same_numbers_in_every_grad_mode(mode):
    cell, gains = snt.SNTCell(plane(0.2, 1.0)), [0.5, 2.0]
    expected = continue_fixed_point(cell, at(0.0, 0.0), "gain", gains)
    with mode():
        found = continue_fixed_point(cell, at(0.0, 0.0), "gain", gains)
        up, _ = switch_branch(cell, found.events[0], "gain", gains)
    assert_close(found.eigenvalues, expected.eigenvalues, rtol=0, atol=0)
    assert not up.states.requires_grad


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("interrupted", [False, True])
def test_no_trace_even_when_interrupted(interrupted):
    f = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Tanh()).double()
    f[0].bias.requires_grad_(False)
    f[0].weight.grad = torch.ones(3, 3).double()
    calls = []

    def watch(module, arguments, output):
        calls.append(1)
        if interrupted and len(calls) > 100:
            raise Interrupted

    f[2].register_forward_hook(watch)

    def everything():
        numbers = [t.detach().clone() for t in f.state_dict().values()]
        flags = [p.requires_grad for p in f.parameters()] + [p.training for p in f.modules()]
        grads = [None if p.grad is None else p.grad.clone() for p in f.parameters()]
        return numbers, flags, grads, [id(p) for p in f.parameters()], torch.get_rng_state()

    before = everything()
    try:
        continue_fixed_point(f, torch.zeros(3).double(), "fn.0.weight", [0.5, 1.5])
        assert not interrupted
    except Interrupted:
        assert interrupted
    assert_close(everything(), before, rtol=0, atol=0)


def test_records():
    noisy = snt.SNTCell(plane(0.2, 1.0), noise=0.3)
    branch = continue_fixed_point(noisy, at(0.0, 0.0), "gain", [0.5, 2.0])
    assert branch.noise == 0.3
    assert branch.scalars() == {"stable": float(branch.stable.double().mean()), "events": 2.0}
    single = branch.map(lambda t: t.to(torch.complex64 if t.is_complex() else torch.float32))
    assert single.events[0].state.dtype == torch.float32
    assert single.events[0].kind == branch.events[0].kind
    assert branch.states.shape == branch.eigenvalues.shape == (len(branch.parameter), 2)


def test_branch_meets_the_points_of_a_search():
    """At every gain the branches through all points at one gain are among all points there."""
    J = snt.couplings.gaussian(3, std=2.0, generator=random_generator(4), dtype=torch.float64)
    cell = snt.SNTCell(J, gain=2.0, threshold=0.1)
    starts = 3 * torch.randn(400, 3, generator=random_generator(1), dtype=torch.float64)
    points = find_fixed_points(cell, starts).unique()
    cell.gain = torch.tensor(2.1, dtype=torch.float64)
    later = find_fixed_points(cell, starts).unique()
    assert len(later.states) == len(points.states) > 1
    for u in points.states:
        end = continue_fixed_point(cell, u, "gain", [2.0, 2.1]).states[-1]
        assert float((later.states - end).abs().amax(-1).min()) < 1e-10


# Wrong arguments


def cell():
    return snt.SNTCell(plane(0.2, 1.0), noise=0.1)


GAINS = [0.5, 2.0]


@pytest.mark.parametrize(
    ("f", "u", "parameter", "values", "settings", "message"),
    [
        (cell, at(0, 0), "gains", GAINS, {}, r"parameter: expected one of coupling, .*got 'gains'"),
        (cell, at(0, 0), "noise", GAINS, {}, r"parameter: expected one of coupling, "),
        (cell, at(0, 0), 3.0, GAINS, {}, r"parameter: expected a name or a function, got 3.0"),
        (cell, at(0, 0), lambda p: cell(), GAINS, {}, r"f: expected None, since the function"),
        (lambda: None, at(0, 0), "gain", GAINS, {}, r"f: expected a Dynamics"),
        (lambda: None, at(0, 0), lambda p: "no", GAINS, {}, r"f: expected a Dynamics"),
        (cell, at(0, 0), "gain", [1.0], {}, r"values: expected at least two numbers"),
        (cell, at(0, 0), "gain", 1.0, {}, r"values: expected at least two numbers"),
        (cell, at(0, 0), "gain", [1.0, 1.0], {}, r"values: expected at least two different"),
        (cell, at(0, 0), "gain", [1.0, math.nan], {}, r"values: expected finite numbers"),
        (cell, at(0, 0), "gain", GAINS, {"steps": 1}, r"steps: expected a whole number"),
        (
            cell,
            torch.zeros(3, 2).double(),
            "gain",
            GAINS,
            {},
            r"u: expected one axis, got \(3, 2\)",
        ),
        (cell, at(0), "gain", GAINS, {}, r"u: expected 2 on the last axis"),
        (cell, at(0, math.nan), "gain", GAINS, {}, r"u: expected finite numbers"),
        (cell, at(0, 0), "gain", GAINS, {"x": at(1.0)}, r"x: expected None, since the cell"),
        (lambda: None, at(0, 0), lambda p: push, GAINS, {}, r"x: expected a drive"),
        (
            lambda: None,
            at(0.0),
            lambda p: lambda u: u + p + u**2,
            [0.5, -0.5],
            {},
            r"u: expected a state near a fixed point at parameter = 0.5, .* = 0.5",
        ),
    ],
)
def test_wrong_arguments(f, u, parameter, values, settings, message):
    with pytest.raises(ValueError, match=message):
        continue_fixed_point(f(), u, parameter, values, **settings)


def test_only_pitchforks_are_switched_at():
    branch = continue_fixed_point(cell(), at(0.0, 0.0), "gain", GAINS)
    with pytest.raises(ValueError, match="event: expected a pitchfork, got flip"):
        switch_branch(cell(), branch.events[1], "gain", GAINS)
    with pytest.raises(ValueError, match="event: expected a pitchfork, got str"):
        switch_branch(cell(), "pitchfork", "gain", GAINS)  # pyright: ignore[reportArgumentType]


def test_linear_maps_have_no_branch_to_lose():
    f = LinearMap(torch.diag(at(0.5, 0.2)))
    branch = continue_fixed_point(f, at(0.0, 0.0), "M", [1.0, 4.0])
    assert [e.parameter for e in branch.events] == pytest.approx([2], abs=PLACE)
