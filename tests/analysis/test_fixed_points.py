"""Fixed points: closed forms, Newton from a dense grid, the flip-flop, and what is refused."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from references import LinearMap, push, random_generator
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import FixedPoints, find_fixed_points

EXACT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-11}


def states(*shape, std=1.0, seed=1, dtype=torch.float64):
    return std * torch.randn(*shape, generator=random_generator(seed), dtype=dtype)


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)


def network(n=3, seed=3, **settings):
    J = snt.couplings.gaussian(n, std=2.0, generator=random_generator(seed), dtype=torch.float64)
    return snt.SNTCell(J, **settings)


def newton_from_a_grid(J, gain, leak, threshold, width=4.0, points=15):
    """Return all fixed points (M, N) that plain Newton steps find from a grid, in numpy."""
    n = len(J)
    u = np.stack(np.meshgrid(*[np.linspace(-width, width, points)] * n), -1).reshape(-1, n)
    r = np.full_like(u, np.inf)
    for _ in range(100):
        rate = np.tanh(gain * u)
        r = leak * u + rate @ J.T - threshold - u
        A = (leak - 1) * np.eye(n) + J * (gain * (1 - rate**2))[:, None, :]
        u = np.clip(u - np.linalg.solve(A, r[..., None])[..., 0], -50, 50)
    found = []
    for point in u[np.abs(r).max(-1) < 1e-12]:
        if all(np.abs(point - other).max() > 1e-6 for other in found):
            found.append(point)
    return np.array(found)


def same_points(found, expected, atol=1e-9):
    """Compare two sets of points (M, N) whatever their order."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    distance = np.abs(found[:, None] - expected[None]).max(-1)
    assert sorted(distance.argmin(1)) == list(range(len(expected)))
    assert distance.min(1).max() < atol


# Closed forms


def test_henon():
    f = snt.systems.Henon()
    found = find_fixed_points(f, states(50, 2)).unique()
    same_points(found.states, f.fixed_points)
    for point, multipliers in zip(found.states, found.eigenvalues, strict=True):
        # mu^2 + 2 a u mu - b = 0
        half = 1.4 * float(point[0])
        roots = [-half - math.sqrt(half**2 + 0.3), -half + math.sqrt(half**2 + 0.3)]
        assert sorted(multipliers.real.tolist()) == pytest.approx(sorted(roots), abs=1e-9)
        assert abs(complex(multipliers[0])) > abs(complex(multipliers[1]))
    assert found.unstable.tolist() == [1, 1]
    assert not bool(found.stable.any())


def test_three_points_of_a_neuron():
    starts = torch.linspace(-2, 2, 41, dtype=torch.float64).unsqueeze(-1)
    result = find_fixed_points(lambda u: torch.tanh(2 * u), starts)
    points = result.unique()
    place = 0.9575040240772687  # u = tanh 2u
    assert points.states.squeeze(-1).abs().tolist() == pytest.approx([place, place, 0], abs=1e-12)
    slope = 2 * (1 - place**2)
    assert points.eigenvalues.squeeze(-1).real.tolist() == pytest.approx([slope, slope, 2])
    assert points.unstable.tolist() == [0, 0, 1]
    assert points.stable.tolist() == [True, True, False]
    assert int(points.basin.sum()) == 41 == int(result.converged.sum())
    assert points.basin[0] == points.basin[1] > 10  # by symmetry
    assert result.basin.tolist() == [1] * 41
    for row in range(41):
        same = result.label == result.label[row]
        near = (result.states - result.states[row]).abs().squeeze(-1) < 1e-6
        assert torch.equal(same, near)


def test_nine_points_of_two_neurons():
    cell = snt.SNTCell(2 * torch.eye(2, dtype=torch.float64))
    points = find_fixed_points(cell, states(200, 2, std=2)).unique()
    assert points.unstable.tolist() == [0] * 4 + [1] * 4 + [2]
    place = 1.9150080481545375  # u = 2 tanh u
    expected = [[a, b] for a in (-place, 0, place) for b in (-place, 0, place)]
    same_points(points.states, expected)


def test_periodic_points():
    r = 3.2
    f = snt.iterate(snt.systems.Logistic(r), 2)
    points = find_fixed_points(f, torch.linspace(0, 1, 30, dtype=torch.float64).unsqueeze(-1))
    root = math.sqrt((r - 3) * (r + 1))
    cycle = [(r + 1 + root) / (2 * r), (r + 1 - root) / (2 * r)]
    same_points(points.unique().states, column(0.0, 1 - 1 / r, *cycle))
    assert points.unique().stable.tolist() == [True, True, False, False]
    multiplier = 4 + 2 * r - r**2
    assert points.unique().eigenvalues[:2, 0].real.tolist() == pytest.approx([multiplier] * 2)


def test_linear_map_has_one_point_for_every_drive():
    M, x = states(5, 5), states(5, seed=2)
    result = find_fixed_points(LinearMap(M), states(4, 5, seed=3), x)
    expected = torch.linalg.solve(torch.eye(5).double() - M, x)
    assert_close(result.states, expected.expand(4, 5), rtol=1e-9, atol=1e-9)
    assert result.label.tolist() == [0] * 4
    assert result.unique().basin.tolist() == [4]
    expected = np.sort(np.abs(np.linalg.eigvals(M.numpy())))[::-1]
    assert result.eigenvalues[0].abs().tolist() == pytest.approx(expected.tolist())
    assert int(result.unstable[0]) == (expected > 1).sum()


def test_a_line_of_fixed_points():
    # Every start goes to the line, none is called unconverged because DF - 1 is singular.
    f = LinearMap(torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64)))
    result = find_fixed_points(f, states(6, 2))
    assert bool(result.converged.all())
    assert_close(result.states[:, 0], states(6, 2)[:, 0], **EXACT)
    assert_close(result.states[:, 1], torch.zeros(6).double(), **EXACT)
    assert result.unique().states.shape == (6, 2)
    assert not bool(result.stable.any())


# Slow points


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-8, 1e-13])
def test_what_a_fold_leaves_behind_is_no_fixed_point(gap):
    result = find_fixed_points(lambda u: u + gap + u**2, column(-0.5, 0.0, 0.3))
    assert not bool(result.converged.any())
    assert result.label.tolist() == [-1] * 3
    assert result.speed[1].item() == pytest.approx(gap**2 / 2)
    assert result.unique().states.shape == (0, 1)
    assert result.scalars() == {"points": 0.0, "stable": 0.0, "converged": 0.0}


def test_slow_point_is_the_minimum_of_the_speed():
    result = find_fixed_points(lambda u: u + 0.01 + (u - 0.7) ** 2, column(0.2, 0.9))
    assert_close(result.states, column(0.7, 0.7), rtol=0, atol=1e-3)
    assert_close(result.speed, torch.full((2,), 0.5e-4).double(), rtol=1e-4, atol=0)
    # There DF = 1: neither stable nor unstable beyond what is known of the place.
    assert_close(result.eigenvalues.real, column(1.0, 1.0), rtol=0, atol=2e-3)


def test_rows_are_independent():
    # One row has no image that numbers can hold, one has no fixed point near it.
    def f(u):
        return torch.where(u > 10, u**4, torch.where(u > 2, u + 1, 0.5 * u))

    result = find_fixed_points(f, column(1e200, 5.0, 1.0))
    assert result.converged.tolist() == [False, False, True]
    assert_close(result.states[2], torch.zeros(1).double(), **EXACT)
    assert bool(result.states.isfinite().all())
    assert result.eigenvalues.isnan().squeeze(-1).tolist() == [True, False, False]


@pytest.mark.slow
def test_many_rows_are_as_one():
    # 1,200 rows of 64 neurons are several parts of memory.
    J = snt.couplings.gaussian(64, generator=random_generator(4), dtype=torch.float64)
    cell, u = snt.SNTCell(J, threshold=0.3), states(1200, 64)
    together, alone = find_fixed_points(cell, u), find_fixed_points(cell, u[-3:])
    assert bool(together.converged.all())
    assert_close(together.states[-3:], alone.states, rtol=0, atol=1e-9)
    assert_close(cell.map(together.states), together.states, **EXACT)


# Against a grid, and torch's own cells


@pytest.mark.parametrize(("n", "points"), [(2, 41), (3, 15)])
@pytest.mark.parametrize("seed", [0, 3, 5])
def test_complete_sets_of_small_networks(n, points, seed):
    threshold = torch.linspace(-0.2, 0.3, n, dtype=torch.float64)
    f = network(n, seed, gain=2.0, leak=0.2, threshold=threshold)
    found = find_fixed_points(f, states(500, n, std=3)).unique()
    J = f.coupling.numpy(force=True)
    expected = newton_from_a_grid(J, 2.0, 0.2, threshold.numpy(), points=points)
    assert len(expected) >= 1
    same_points(found.states, expected)


def test_grid_meets_several_points():
    f = network(3, 3, gain=2.0, leak=0.2)
    expected = newton_from_a_grid(f.coupling.numpy(force=True), 2.0, 0.2, 0.0)
    assert len(expected) > 1


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("driven", [False, True])
def test_fixed_points_of_torch_cells(kind, driven):
    cell = kind(2, 6).double()
    with torch.no_grad():
        cell.weight_hh.mul_(4)
    x = states(2, seed=7) if driven else None
    size = 12 if kind is nn.LSTMCell else 6
    points = find_fixed_points(cell, states(200, size), x).unique()
    assert len(points.states) >= 1
    drive = torch.zeros(2).double() if x is None else x
    drive = drive.expand(len(points.states), 2)
    with torch.no_grad():
        if kind is nn.LSTMCell:
            h, c = points.states.chunk(2, -1)
            new = torch.cat(cell(drive, (h.contiguous(), c.contiguous())), -1)
        else:
            new = cell(drive, points.states)
    assert_close(new, points.states, rtol=0, atol=1e-11)
    stable = points.states[points.stable]
    if len(stable):  # and what is called stable attracts
        start = stable + 1e-4 * states(*stable.shape)
        orbit = snt.rollout(cell, start, 3000, x=x, every=3000)[-1]
        assert_close(orbit, stable, rtol=0, atol=1e-6)


def flip_flop(steps, rows, generator):
    """Return pulses (T, B, 3) and the sign of the last pulse per channel, which is to be held."""
    sign = 2.0 * torch.randint(2, (steps, rows, 3), generator=generator) - 1
    pulse = torch.rand(steps, rows, 3, generator=generator) < 0.1
    pulse[0] = True
    x, held = sign * pulse, [sign[0]]
    for t in range(1, steps):
        held.append(torch.where(pulse[t], sign[t], held[-1]))
    return x, torch.stack(held)


def trained_flip_flop(generator):
    """Return a GRU of 24 units that has learned the 3-bit flip-flop, and its last loss."""
    network, readout = nn.GRU(3, 24), nn.Linear(24, 3)
    parameters = [*network.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, 1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=600)
    loss = torch.tensor(torch.nan)
    for _ in range(600):
        x, target = flip_flop(40, 64, generator)
        loss = (readout(network(x)[0]) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rate.step()
    return network.double(), loss.item()


@pytest.mark.slow
def test_trained_flip_flop():
    """Eight memories at the corners of a cube, saddles on its edges, faces and in its centre.

    Starts are random averages of states that the network visits: what lies between memories.
    """
    generator = random_generator(0)
    network, loss = trained_flip_flop(generator)
    assert loss < 0.02
    x = flip_flop(100, 64, generator)[0].double()
    with torch.no_grad():
        orbit = snt.rollout(network, torch.zeros(64, 24).double(), 100, x=x).reshape(-1, 24)
    weight = -torch.rand(512, 4, generator=generator).double().log()
    weight = weight / weight.sum(-1, keepdim=True)
    parts = orbit[torch.randint(len(orbit), (512, 4), generator=generator)]
    starts = (weight.unsqueeze(-1) * parts).sum(1)
    result = find_fixed_points(network, starts, torch.zeros(3).double())
    points = result.unique()
    assert torch.bincount(points.unstable).tolist() == [8, 12, 6, 1]
    assert float(result.converged.double().mean()) > 0.98
    assert int(points.basin.sum()) == int(result.converged.sum())


# Precision, modes, no trace


def test_single_precision():
    f, u = network(gain=2.0, leak=0.2), states(300, 3, std=3)
    expected = find_fixed_points(f, u).unique()
    found = find_fixed_points(f.float(), u.float()).unique()
    assert found.states.dtype == found.speed.dtype == torch.float32
    assert found.eigenvalues.dtype == torch.complex64
    same_points(found.states, expected.states, atol=1e-5)


@pytest.mark.gpu
def test_cuda():
    f, u = network(gain=2.0, leak=0.2), states(300, 3, std=3)
    expected = find_fixed_points(f, u).unique()
    found = find_fixed_points(f.cuda(), u.cuda()).unique()
    assert found.states.is_cuda
    assert found.basin.is_cuda
    same_points(found.states.cpu(), expected.states)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("factory", [network, lambda: nn.GRUCell(2, 3).double()])
def test_same_numbers_in_every_grad_mode(mode, factory):
    f = factory()
    expected = find_fixed_points(f, states(20, 3))
    with mode():
        found = find_fixed_points(f, states(20, 3))
    assert_close(found.states, expected.states, rtol=0, atol=0)
    assert not found.states.requires_grad


def test_no_trace():
    f = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).double()
    f[0].bias.requires_grad_(False)
    f[0].weight.grad = states(4, 4)

    def everything():
        numbers = [t.detach().clone() for t in f.state_dict().values()]
        flags = [p.requires_grad for p in f.parameters()] + [p.training for p in f.modules()]
        grads = [None if p.grad is None else p.grad.clone() for p in f.parameters()]
        return numbers, flags, grads, torch.get_rng_state()

    u = states(8, 4).requires_grad_()
    before = everything()
    result = find_fixed_points(f, u)
    assert bool(result.converged.all())
    assert_close(everything(), before, rtol=0, atol=0)
    assert_close(u.detach(), states(8, 4), rtol=0, atol=0)
    assert u.grad is None


def test_noise_is_left_out_and_told():
    quiet = find_fixed_points(network(gain=2.0), states(20, 3))
    noisy = find_fixed_points(network(gain=2.0, noise=0.3), states(20, 3))
    assert_close(noisy.states, quiet.states, rtol=0, atol=0)
    assert (quiet.noise, noisy.noise) == (0.0, 0.3)


def test_shape_of_starts():
    f, u = network(), states(2, 5, 3)
    result = find_fixed_points(f, u)
    assert result.states.shape == (10, 3)
    assert result.eigenvalues.shape == (10, 3)
    for name in ("speed", "error", "converged", "label", "basin", "unstable", "stable"):
        assert getattr(result, name).shape == (10,)
    assert_close(find_fixed_points(f, u[1, 2]).states[0], result.states[7], **EXACT)


def test_separation_tells_what_is_one_point():
    f, u = snt.SNTCell(2 * torch.eye(1).double()), column(-1.0, 0.01, 1.0)
    assert find_fixed_points(f, u, separation=1e-3).unique().states.shape == (3, 1)
    assert find_fixed_points(f, u, separation=10.0).unique().basin.tolist() == [3]


def test_too_few_steps_are_not_taken_for_convergence():
    result = find_fixed_points(network(gain=2.0), states(50, 3, std=3), steps=1)
    assert not bool(result.converged.all())
    with torch.no_grad():
        r = network(gain=2.0).map(result.states) - result.states
    assert float(r[~result.converged].abs().amax(-1).min()) > 1e-12
    assert_close(result.speed, 0.5 * r.square().sum(-1), **EXACT)


def test_unique_orders_by_instability_and_counts():
    values = torch.tensor([[2.0, 0.1], [0.5, 0.1], [0.5, 0.2], [0.5, 0.2], [3.0, 2.0]]) + 0j
    result = FixedPoints(
        states=torch.arange(10.0).reshape(5, 2),
        speed=torch.zeros(5),
        error=torch.zeros(5),
        converged=torch.tensor([True, True, True, True, False]),
        eigenvalues=values,
        label=torch.tensor([0, 1, 2, 2, -1]),
        basin=torch.ones(5, dtype=torch.long),
    )
    points = result.unique()
    assert points.states[:, 0].tolist() == [4.0, 2.0, 0.0]
    assert points.basin.tolist() == [2, 1, 1]
    assert points.unstable.tolist() == [0, 0, 1]
    assert result.scalars() == {"points": 3.0, "stable": 2.0, "converged": 0.8}
    again = points.unique()
    for field in dataclasses.fields(points):
        assert_close(getattr(again, field.name), getattr(points, field.name))


# Wrong arguments


@pytest.mark.parametrize(
    ("f", "u", "settings", "message"),
    [
        (network, torch.zeros(4).double(), {}, r"u: expected 3 on the last axis"),
        (network, torch.zeros(3), {}, r"u: expected torch.float64"),
        (network, torch.full((3,), math.nan).double(), {}, r"u: expected finite numbers"),
        (
            network,
            torch.zeros(0, 3).double(),
            {},
            r"u: expected at least 1 axis, none of them",
        ),
        (network, torch.zeros(3).double(), {"tol": 0.0}, r"tol: expected a finite number > 0"),
        (network, torch.zeros(3).double(), {"separation": -1}, r"separation: expected a finite"),
        (network, torch.zeros(3).double(), {"steps": 0}, r"steps: expected a whole number"),
        (lambda: push, torch.zeros(3).double(), {}, r"x: expected a drive"),
        (
            lambda: push,
            torch.zeros(3).double(),
            {"x": torch.zeros(2, 1).double()},
            r"x: expected one constant drive \(I,\), got \(2, 1\)",
        ),
        (lambda: "network", torch.zeros(2), {}, r"f: expected a Dynamics"),
    ],
)
def test_wrong_arguments(f, u, settings, message):
    with pytest.raises(ValueError, match=message):
        find_fixed_points(f(), u, **settings)
