"""Parameters that change in time against the loop that sets them by hand."""

import math

import numpy as np
import pytest
import torch
from references import LinearMap, random_coupling, slow_exponents, snt_cell
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis.tangents import random_frame

T, N = 6, 4


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def by_hand(cell, u, values, x=None):
    """Return the orbit of a cell whose buffers are written before every step."""
    orbit = []
    for t in range(T):
        with torch.no_grad():
            for name, value in values.items():
                cell.get_buffer(name).copy_(value[t])
        u = cell.map(u, None if x is None else x[t])
        orbit.append(u)
    return torch.stack(orbit)


@pytest.mark.parametrize(
    "values",
    [
        {"threshold": randn(T, N)},
        {"coupling": randn(T, N, N)},
        {"gain": randn(T, N), "leak": torch.rand(T, N, dtype=torch.float64)},
    ],
    ids=lambda values: "-".join(values),
)
def test_rollout_is_the_loop(values):
    ranges = {"gain": (0.1, 1.0), "leak": (0.0, 0.5), "threshold": (0.0, 1.0)}
    cell = snt_cell(torch.float64, input_size=3, trainable=(), **ranges)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    u, x = randn(2, N), randn(T, 2, 3)
    orbit = snt.rollout(snt.scheduled(cell, values), u, T, x=x)
    for name, value in cell.state_dict().items():
        assert torch.equal(value, before[name])
    assert_close(orbit, by_hand(cell, u, values, x))


def test_a_number_may_become_one_per_neuron():
    cell, theta, u = snt_cell(torch.float64), randn(T, N), randn(N)
    orbit = snt.rollout(snt.scheduled(cell, {"threshold": theta}), u, T)
    driven = snt.SNTCell(random_coupling(), input_size=N)
    with torch.no_grad():
        driven.input_weight.copy_(-torch.eye(N))  # pyright: ignore[reportOptionalMemberAccess]
    assert_close(orbit, snt.rollout(driven, u, T, x=theta))


def test_gradients_reach_the_schedule():
    theta = randn(T, N).requires_grad_()
    cell, u = snt_cell(torch.float64), randn(N)
    orbit = snt.rollout(snt.scheduled(cell, {"threshold": theta}), u, T)
    (gradient,) = torch.autograd.grad(orbit[-1].sum(), theta)
    expected = torch.autograd.functional.jacobian(
        lambda theta: snt.rollout(snt.scheduled(cell, {"threshold": theta}), u, T)[-1].sum(),
        theta.detach(),
    )
    assert_close(gradient, expected)
    assert_close(gradient[-1], -torch.ones(N, dtype=torch.float64))
    assert bool((gradient[0] != 0).all())


def test_exponents_of_changing_couplings():
    """Those of the product of the couplings in the order of time, which do not commute."""
    M, u = randn(40, N, N), torch.ones(N, dtype=torch.float64)
    f = snt.scheduled(LinearMap(torch.eye(N, dtype=torch.float64)), {"M": M})
    spectrum = snt.analysis.lyapunov_spectrum(f, u, 40)
    frame = random_frame(u, N).numpy()
    expected = np.sort(slow_exponents(M.numpy(), frame))[::-1].copy()
    assert_close(spectrum.exponents, torch.from_numpy(expected))
    assert_close(spectrum.log_det, torch.linalg.slogdet(M).logabsdet.mean())
    backwards = slow_exponents(M.numpy()[::-1], frame)
    assert np.abs(np.sort(backwards)[::-1] - expected).max() > 1e-3  # the order counts


def test_any_network_may_change():
    gru = nn.GRU(2, 3).double()
    weight = gru.get_parameter("weight_hh_l0")
    weights = torch.stack([weight.detach() * s for s in torch.linspace(0, 1, T)])
    f = snt.as_dynamics(gru)
    name = next(n for n, _ in f.named_parameters() if n.endswith("weight_hh_l0"))
    u, x = randn(3), randn(T, 2)
    orbit = snt.rollout(snt.scheduled(gru, {name: weights}), u, T, x=x)
    state = u
    for t in range(T):
        with torch.no_grad():
            weight.copy_(weights[t])
        state = f.map(state, x[t])
        assert_close(orbit[t], state)


def test_sparse_couplings_may_change():
    cell = snt.SNTCell(random_coupling().to_sparse_csr())
    values = torch.stack([cell.coupling.values.detach() * t for t in range(T)])
    orbit = snt.rollout(snt.scheduled(cell, {"coupling.values": values}), randn(N), T)
    assert torch.equal(orbit[0], torch.zeros(N, dtype=torch.float64))
    assert bool((orbit[1] == 0).all())


def test_noise_and_time_are_those_of_the_base():
    base = snt.as_dynamics(nn.RNNCell(1, 2), noise=0.3, dt=0.5)
    f = snt.scheduled(base, {n: p.detach()[None] for n, p in base.named_parameters()})
    assert (f.noise, f.dt, f.at(0).noise, f.at(0).dt, f.size) == (0.3, 0.5, 0.3, 0.5, 2)


def test_a_schedule_has_no_single_map():
    f = snt.scheduled(snt_cell(torch.float64), {"threshold": randn(T, N)})
    with pytest.raises(ValueError, match="f: expected one map, got parameters that change"):
        snt.analysis.jacobian_spectrum(f, randn(N))
    spectrum = snt.analysis.jacobian_spectrum(f.at(2), randn(N))
    assert spectrum.eigenvalues.shape == (N,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "values: expected names with tensors"),
        ({"thresholds": randn(T, N)}, "values: expected names among coupling, gain, leak"),
        ({"noise": torch.ones(T, dtype=torch.float64)}, "values: expected names among"),
        ({"threshold": randn(T, 3)}, r"threshold: expected \(T, 4\), got \(6, 3\)"),
        ({"coupling": randn(T, N)}, r"coupling: expected \(T, 4, 4\), got"),
        ({"threshold": randn(T).float()}, "threshold: expected torch.float64, the dtype of the"),
        ({"threshold": torch.tensor([0.0, math.nan]).double()}, "threshold: expected finite"),
        ({"leak": torch.tensor([0.0, 1.0]).double()}, r"leak: expected numbers in \[0.0, 1.0\)"),
        ({"gain": randn(T), "threshold": randn(3)}, "threshold: expected 6 steps, as the others"),
        ({"gain": [1.0, 2.0]}, "gain: expected a torch.Tensor"),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        snt.scheduled(snt_cell(torch.float64), values)


def test_a_schedule_that_is_too_short_is_refused_before_the_first_step():
    f = snt.scheduled(snt_cell(torch.float64), {"threshold": randn(T, N)})
    with pytest.raises(ValueError, match="t: expected 0 <= t < 6, the steps scheduled, got 6"):
        snt.rollout(f, randn(N), T + 1)
