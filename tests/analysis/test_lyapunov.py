"""Lyapunov exponents: closed forms, then the slow way, then what a user may throw at them."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from references import (
    Henon,
    LinearMap,
    Logistic,
    NoisyRotation,
    ginibre,
    ginibre_exponents,
    lorenz,
    random_generator,
    roessler,
    slow_exponents,
)
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import AccuracyWarning, LyapunovSpectrum, lyapunov_spectrum, max_lyapunov

LOG2 = math.log(2)
EXACT: dict[str, Any] = {
    "rtol": 0,
    "atol": 1e-10,
}  # closed forms: rounding over a few hundred steps
SAME_ORBIT: dict[str, Any] = {
    "rtol": 0,
    "atol": 1e-9,
}  # two ways along one orbit, frames aligned by a transient
ORACLE: dict[str, Any] = {
    "rtol": 0,
    "atol": 1e-8,
}  # Gram-Schmidt loses digits where columns nearly coincide


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def full(value, *shape):
    return torch.full(shape, value, dtype=torch.float64)


def network(n=8, std=1.5, seed=3, dtype=torch.float64, **settings):
    """Return a random SNT network; settings given as (low, high) are drawn per neuron."""
    g = random_generator(seed)
    J = snt.couplings.gaussian(n, std=std, generator=g, dtype=dtype)
    for name, value in settings.items():
        if isinstance(value, tuple):
            low, high = value
            settings[name] = low + (high - low) * torch.rand(n, generator=g, dtype=dtype)
    return snt.SNTCell(J, **settings)


DIVERSE: dict[str, Any] = {"leak": (0.0, 0.6), "threshold": (-0.5, 0.5), "gain": (0.8, 2.0)}


def twist(u):
    """Return a bounded map of a user's own."""
    return torch.sin(2 * u) + 0.5 * u.roll(1, -1)


def states(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=random_generator(seed), dtype=dtype)


def orbit_of(f, u, steps, x=None, generator=None):
    """Return u(0) ... u(steps - 1), the states at which the derivative is taken."""
    with torch.no_grad():
        path = snt.rollout(f, u, steps, x=x, generator=generator)
    return torch.cat([u.unsqueeze(0), path[:-1]])


def reverse_jacobians(step, path, x=None):
    """Return DF (T, N, N) along one orbit by reverse mode, which the library does not use here."""
    found = []
    for t, u in enumerate(path):
        drive = x if x is None or x.ndim == 1 else x[t]
        push = step if drive is None else lambda s, drive=drive: step(s, drive)
        found.append(torch.autograd.functional.jacobian(push, u))
    return torch.stack(found)


def snt_jacobians(cell, path):
    """Return leak 1 + J diag(f') (T, N, N) by hand."""
    slope = cell.gain / torch.cosh(cell.gain * path) ** 2
    leak = torch.diag(cell.leak.expand(cell.size))
    return (leak + cell.coupling * slope.unsqueeze(-2)).detach()


def slow_after(jacobians, transient):
    """Return the slow exponents of the steps after `transient`, descending."""
    total = slow_exponents(jacobians) * len(jacobians)
    if transient:
        total = total - slow_exponents(jacobians[:transient]) * transient
    return torch.tensor(np.sort(total / (len(jacobians) - transient))[::-1].copy())


def record(exponents, size):
    exponents = torch.as_tensor(exponents, dtype=torch.float64)
    zero = torch.zeros_like(exponents)
    return LyapunovSpectrum(
        exponents=exponents,
        stderr=zero,
        history=exponents.unsqueeze(0),
        log_det=exponents.sum(-1),
        size=size,
        kind="autonomous",
        spread=0.0,
        trusted=exponents.shape[-1],
    )


# Linear maps: the logarithms of the moduli of the eigenvalues


LINEAR = {
    "real": [[0.9, 0.0, 0.0], [0.5, -0.4, 0.0], [-0.3, 2.0, 0.1]],
    "expanding": [[1.1, 0.3], [0.0, 0.8]],
    "scalar": [[-0.7]],
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_map(name):
    M = matrix(LINEAR[name])
    result = lyapunov_spectrum(LinearMap(M), torch.ones(len(M)).double(), 100, transient=200)
    expected = torch.linalg.eigvals(M).abs().log().sort(descending=True).values
    assert_close(result.exponents, expected, **EXACT)
    assert_close(result.log_det, torch.linalg.slogdet(M).logabsdet, **EXACT)
    assert_close(result.stderr, torch.zeros_like(expected), rtol=0, atol=1e-10)


def test_linear_map_with_a_complex_pair():
    # An eighth of a turn per step: the eighth power is a multiple of 1, so 80 steps are exact.
    rotation = 0.95 * torch.linalg.matrix_exp(math.pi / 4 * matrix([[0, -1], [1, 0]]))
    M = torch.block_diag(rotation, matrix([[0.7]]), matrix([[-0.3]]))
    P = states(4, 4)
    result = lyapunov_spectrum(
        LinearMap(P @ M @ P.inverse()), torch.ones(4).double(), 80, transient=400
    )
    expected = torch.log(matrix([0.95, 0.95, 0.7, 0.3]))
    assert_close(result.exponents, expected, **EXACT)


@pytest.mark.parametrize("steps", [100, 1000])
def test_defective_linear_map(steps):
    # The frame turns into the eigenvector like 1/t: growth t0 -> t0 + T is 0.9^T (t0 + T)/t0.
    transient = 200
    f = LinearMap(matrix([[0.9, 1.0], [0.0, 0.9]]))
    result = lyapunov_spectrum(f, torch.ones(2).double(), steps, transient=transient)
    excess = math.log(1 + steps / transient) / steps
    assert_close(result.exponents.sum(), matrix(2 * math.log(0.9)), **EXACT)
    assert float(result) == pytest.approx(math.log(0.9) + excess, abs=0.02 * excess)


def test_one_exponent_is_the_largest():
    f = LinearMap(matrix([[0.8, 0.0], [0.0, 1.1]]))
    result = lyapunov_spectrum(f, torch.zeros(2).double(), 100, k=1, transient=200)
    assert float(result) == pytest.approx(math.log(1.1), abs=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_fast_isotropic_maps_neither_underflow_nor_overflow(scale):
    f = LinearMap(scale * torch.eye(3).double())
    # Blocks of 20 steps: without a QR inside, columns of length 10^600 or 10^-600.
    result = lyapunov_spectrum(f, torch.zeros(3).double(), 400)
    assert_close(result.exponents, full(math.log(scale), 3), rtol=1e-12, atol=0)


def test_a_lost_direction_has_exponent_minus_infinity():
    f = LinearMap(torch.diag(matrix([0.5, 0.0])))
    result = lyapunov_spectrum(f, torch.ones(2).double(), 20, transient=20)
    assert float(result) == pytest.approx(-LOG2, abs=1e-12)
    assert result.exponents[1] == -torch.inf
    assert result.log_det == -torch.inf


# Known chaos


@pytest.fixture(scope="module")
def henon():
    u = matrix([0.1, 0.1]) + 0.05 * states(512, 2)
    return lyapunov_spectrum(Henon(), u, 300, transient=60)


def test_henon_contracts_area_by_b(henon):
    expected = full(math.log(0.3), 512)
    assert_close(henon.exponents.sum(-1), expected, **SAME_ORBIT)
    assert_close(henon.log_det, expected, **SAME_ORBIT)


def test_henon_largest_exponent(henon):
    # .41922 +- .0001 in the literature; the spread over rows tells how well we know it here.
    error = float(henon.exponents[:, 0].std()) / 512**0.5
    assert error < 2e-3
    assert float(henon.exponents[:, 0].mean()) == pytest.approx(0.4192, abs=4 * error)
    assert henon.scalars()["max_stderr"] == pytest.approx(error)
    assert float(henon.dimension.mean()) == pytest.approx(1 + 0.4192 / 1.6232, abs=5e-3)


def test_logistic_map():
    u = 0.01 + 0.98 * torch.rand(32, 1, generator=random_generator()).double()
    result = max_lyapunov(Logistic(), u, 600, transient=50)
    assert (result.stderr < 0.02).all()  # honest is not enough: it must also be of use
    assert ((result.exponents - LOG2).abs() < 4 * result.stderr).all()
    path = orbit_of(Logistic(), u, 650)[50:]
    assert_close(result.exponents, (4 - 8 * path).abs().log().mean(0), **EXACT)


def cat(u):
    return (u @ matrix([[2.0, 1.0], [1.0, 1.0]])) % 1


def test_cat_map():
    result = lyapunov_spectrum(cat, matrix([0.1, 0.3]), 40, transient=30)
    rate = 2 * math.log((1 + math.sqrt(5)) / 2)
    assert_close(result.exponents, matrix([rate, -rate]), **EXACT)
    assert float(result.dimension) == pytest.approx(2, abs=1e-9)


def test_kaplan_yorke_map():
    a = 0.2
    noise = matrix([1e-12, 0.0])  # doubling shifts the digits out: without it the orbit ends at 0

    def fold(u):
        first, second = u.unbind(-1)
        return torch.stack([2 * first % 1, a * second + torch.cos(4 * math.pi * first)], -1)

    u = torch.rand(64, 2, generator=random_generator(), dtype=torch.float64)
    result = lyapunov_spectrum(snt.as_dynamics(fold, noise=noise), u, 500, transient=50)
    assert_close(result.exponents.sum(-1), full(math.log(2 * a), 64), **EXACT)
    # Single exponents differ by the logarithm of an angle at either end, over 500 steps.
    assert_close(result.exponents[:, 0].mean(), full(LOG2), rtol=0, atol=1e-3)
    assert_close(result.dimension.mean(), full(1 - LOG2 / math.log(a)), rtol=0, atol=1e-3)


def test_products_of_gaussian_matrices():
    f, u, x = ginibre(8, 800)
    result = lyapunov_spectrum(f, u, 800, x=x)
    mean, variance = ginibre_exponents(8)
    exact = (variance / 800).sqrt()  # the steps are independent
    assert ((result.exponents - mean).abs() < 4 * exact).all()
    assert_close(result.stderr, exact, rtol=0.7, atol=0)
    assert result.kind == "conditional"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("f", "start", "steps", "expected"),
    [
        (lorenz(), [1.0, 1.0, 25.0], 8000, [0.9056, 0.0, -14.572]),
        (roessler(), [1.0, 1.0, 0.1], 6000, [0.0714, 0.0, -5.394]),
    ],
    ids=["lorenz", "roessler"],
)
def test_flows(f, start, steps, expected):
    u = matrix(start) + 0.5 * states(64, 3)
    result = lyapunov_spectrum(f, u, steps, transient=steps // 2)
    rows = result.exponents
    error = rows.std(0) / 8
    # The literature gives four digits: 4 errors of our own, and half of its last digit.
    assert ((rows.mean(0) - matrix(expected)).abs() < 4 * error + 5e-4).all()
    assert (error < matrix([3e-3, 2e-3, 2e-2])).all()
    assert (result.neutral == 1).double().mean() > 0.9
    assert result.kind == "autonomous"


# Networks against the slow way


@pytest.mark.parametrize("std", [0.7, 1.5, 4.0], ids="std={}".format)
@pytest.mark.parametrize(
    "settings",
    [{}, {"leak": 0.4, "threshold": 0.3, "gain": 1.7}, DIVERSE, {**DIVERSE, "noise": 0.2}],
    ids=["plain", "scalars", "neurons", "noisy"],
)
def test_exponents_add_up_to_the_contraction_of_volume(std, settings):
    f, u = network(std=std, **settings), states(8)
    result = lyapunov_spectrum(f, u, 150, transient=50, generator=random_generator(7))
    path = orbit_of(f, u, 200, generator=random_generator(7))[50:]
    expected = torch.linalg.slogdet(snt_jacobians(f, path)).logabsdet.mean()
    assert_close(result.exponents.sum(), expected, **SAME_ORBIT)
    assert_close(result.log_det, expected, **SAME_ORBIT)


@pytest.mark.parametrize(
    "settings",
    [{"std": 4.0}, {"std": 2.0, **DIVERSE, "noise": 0.3}, {"std": 1.5, "noise": (0.5, 1.5)}],
    ids=["chaotic", "noisy", "noisy-contracting"],
)
def test_gram_schmidt_agrees(settings):
    f, u = network(**settings), states(8)
    result = lyapunov_spectrum(f, u, 200, transient=300, generator=random_generator(7))
    path = orbit_of(f, u, 500, generator=random_generator(7))
    assert_close(result.exponents, slow_after(snt_jacobians(f, path), 300), **ORACLE)


def test_fixed_point():
    # A symmetric J makes the multipliers real: no pair whose frame would keep turning.
    J = states(6, 6)
    f = snt.SNTCell(0.15 * (J + J.T), leak=0.2, threshold=0.3, gain=1.2)
    u = orbit_of(f, torch.zeros(6).double(), 500)[-1]
    multipliers = torch.linalg.eigvals(snt_jacobians(f, u)).abs().log()
    result = lyapunov_spectrum(f, torch.zeros(6).double(), 50, transient=1500)
    assert_close(result.exponents, multipliers.sort(descending=True).values, **SAME_ORBIT)
    assert result.dimension == 0
    assert result.entropy == 0


@pytest.mark.parametrize("n", [5, 10, 20])
def test_interval_does_not_matter(n):
    f, u = network(n, std=1.2, leak=0.5, gain=1.2, threshold=0.1), states(2, n)
    spectra = [lyapunov_spectrum(f, u, 200, transient=150, interval=i) for i in (1, 2, 5, "auto")]
    for other in spectra[1:]:
        # Ten decades between columns leave 1e-16 * 1e10 of an angle, and less in the mean.
        if other.spread < 9:
            assert_close(other.exponents, spectra[0].exponents, **SAME_ORBIT)
    assert sum(other.spread < 9 for other in spectra) >= 3
    assert spectra[3].spread < 9


def test_automatic_interval_keeps_accuracy_where_columns_part_fast():
    f, u = network(20, std=2.0), states(2, 20)
    every, auto = (lyapunov_spectrum(f, u, 200, transient=200, interval=i) for i in (1, "auto"))
    assert every.exponents[0, 0] - every.exponents[0, -1] > 2  # a decade per step, mostly
    assert_close(auto.exponents, every.exponents, **SAME_ORBIT)


@pytest.mark.parametrize(("std", "leak"), [(1.0, 0.5), (0.7, 0.1)])
def test_automatic_interval_at_100_neurons(std, leak):
    f, u = network(100, std=std, gain=3.0, leak=leak), states(100)
    every, auto = (lyapunov_spectrum(f, u, 60, transient=60, interval=i) for i in (1, "auto"))
    assert_close(auto.exponents, every.exponents, rtol=0, atol=1e-8)
    assert abs(float(auto.residual)) < 1e-6
    assert auto.trusted == 100


def test_residual_shows_what_a_long_interval_lost():
    f, u = network(40, std=1.0, gain=3.0, leak=0.5), states(40)
    with pytest.warns(
        AccuracyWarning, match=r"first \d+ of 40 .*choose a smaller interval"
    ) as seen:
        lost = lyapunov_spectrum(f, u, 400, transient=40, interval=20)
    assert seen[0].filename == __file__
    every = lyapunov_spectrum(f, u, 400, transient=40, interval=1)
    assert lost.spread > 10
    assert 0 < lost.trusted < 40
    assert abs(float(lost.residual)) > 1e-6 > 100 * abs(float(every.residual))
    # What is trusted is right, the tail is not.
    error = (lost.exponents - every.exponents).abs()
    assert error[: lost.trusted].max() < 1e-5
    assert error.max() > 1e-3
    assert record([0.1], 3).residual == 0


def test_exact_zeros_are_trusted_and_rounding_beside_them_is_not():
    zeros = lyapunov_spectrum(LinearMap(torch.diag(matrix([2.0, 0.0]))), full(0.0, 2), 20)
    assert (zeros.spread, zeros.trusted) == (0, 2)
    P = torch.linalg.qr(states(4, 4)).Q
    singular = LinearMap(P @ torch.diag(matrix([1.0, 0.5, 0.0, 0.0])) @ P.T)
    with pytest.warns(AccuracyWarning, match="first 2 of 4 exponents are trusted; ask for fewer"):
        lost = lyapunov_spectrum(singular, full(0.0, 4), 20)
    assert lost.trusted == 2


@pytest.mark.slow
def test_neutral_exponent():
    def turn(u):  # Euler's steps towards a limit cycle of radius 1 in the plane, dt = 0.1
        x, y = u.unbind(-1)
        r = (x**2 + y**2).sqrt()
        scale = (1 + 0.1 * (1 - r) * 2) / r.clamp(min=1e-9)
        c, s = math.cos(0.1), math.sin(0.1)
        return torch.stack([scale * (c * x - s * y), scale * (s * x + c * y)], -1) * r.unsqueeze(-1)

    f = snt.as_dynamics(turn, dt=0.1)
    result = lyapunov_spectrum(f, matrix([[1.0, 0.2], [0.0, 0.7]]), 400, transient=300)
    assert result.neutral.tolist() == [0, 0]
    assert_close(result.exponents[:, 1], full(10 * math.log(0.8), 2), rtol=1e-5, atol=0)
    assert record([0.4, -0.5], 2).neutral == -1
    both = dataclasses.replace(record([0.3, 0.1, -0.2], 3), stderr=matrix([0.2, 0.02, 0.1]))
    assert both.neutral == -1  # the nearest counts, not the least certain
    assert dataclasses.replace(both, stderr=matrix([0.0, 0.04, 0.0])).neutral == 1


def test_kinds_are_told_apart():
    f, u = driven(), states(6)
    assert lyapunov_spectrum(f, u, 5).kind == "autonomous"
    assert lyapunov_spectrum(f, u, 5, x=matrix([0.1, 0.2])).kind == "autonomous"
    assert lyapunov_spectrum(f, u, 5, x=states(5, 2)).kind == "conditional"
    assert lyapunov_spectrum(network(noise=0.1), states(8), 5).kind == "conditional"
    # Closed loop: the readout is the input, and the derivative goes through it.
    W, orbit_matrix = 0.5 * states(2, 6, seed=6), f.coupling.detach()
    loop = lyapunov_spectrum(lambda u: f.map(u, u @ W.T), full(0.0, 6), 50, transient=400)
    closed = orbit_matrix + 0.2 * torch.eye(6).double() + f.state_dict()["input_weight"] @ W
    assert loop.kind == "autonomous"
    assert_close(loop.log_det, torch.linalg.slogdet(closed).logabsdet, **SAME_ORBIT)


def test_spread_is_the_worst_ratio_of_columns_in_decades():
    f = LinearMap(torch.diag(matrix([2.0, 0.5])))
    result = lyapunov_spectrum(f, torch.zeros(2).double(), 60, transient=60, interval=3)
    assert result.spread == pytest.approx(3 * math.log10(4), abs=1e-8)


def test_leading_exponents_do_not_depend_on_k():
    f, u = network(12, std=3.0, leak=0.2, noise=0.5), states(3, 12)
    whole = lyapunov_spectrum(f, u, 150, transient=300)
    for k in (1, 2, 5):
        part = lyapunov_spectrum(f, u, 150, k=k, transient=300)
        assert_close(part.exponents, whole.exponents[:, :k], **SAME_ORBIT)
        assert part.log_det.isnan().all()
    assert not whole.log_det.isnan().any()


def test_max_lyapunov_is_one_exponent():
    f, u = network(noise=0.1), states(3, 8)
    g = random_generator
    one = max_lyapunov(f, u, 50, transient=20, generator=g(5))
    same = lyapunov_spectrum(f, u, 50, k=1, transient=20, generator=g(5))
    assert one.exponents.shape == (3, 1)
    assert_close(one.exponents, same.exponents, rtol=0, atol=0)


# The reference network: Neimark-Sacker at g = 1.0175, a closed curve at 1.1, chaos at 1.4


def reference_network(gain):
    stream = np.random.RandomState(0)  # the draw is part of the reference
    J = torch.from_numpy(stream.randn(100, 100) / 10)
    return snt.SNTCell(J, gain=gain, threshold=torch.from_numpy(0.1 * stream.randn(100)))


@pytest.mark.parametrize(
    ("gain", "expected"),
    [(1.0, [-0.0134, -0.0134, -0.0297]), (1.1, [0.0, -0.0085, -0.0085])],
    ids=["fixed-point", "closed-curve"],
)
def test_reference_network(gain, expected):
    u = 0.1 * states(100)
    result = lyapunov_spectrum(reference_network(gain), u, 6000, k=3, transient=2000)
    assert_close(result.exponents, matrix(expected), rtol=0, atol=2e-4)
    assert (result.stderr < 5e-4).all()


def test_reference_network_in_chaos():
    # Three rows of 4000 steps; the table's third row is known to .001 and .0015.
    u = 0.1 * states(3, 100)
    result = lyapunov_spectrum(reference_network(1.4), u, 4000, k=3, transient=1000)
    assert_close(result.exponents.mean(0), matrix([0.0197, 0.0115, 0.0025]), rtol=0, atol=2e-3)


# Mean field: exact as N grows; at N a bias of about -c/N and a spread over matrices of 2/N


MEAN_FIELD = [
    pytest.param({"gain": 1.5}, 0.06521721, 3, id="g=1.5"),
    pytest.param({"gain": 3.0}, 0.31024932, 3, id="g=3"),
    pytest.param({"gain": 2.0, "noise": 0.5}, 0.04597504, 3, id="g=2,sigma=.5"),
    pytest.param({"gain": 2.0, "leak": 0.5}, 0.1517464, 5, id="g=2,leak=.5"),
]


def finite_size_shift(n, matrices, steps, settings, theory):
    """Return (mean over matrices - theory) * n and its four standard errors, spread 2/n."""
    found = []
    for seed in range(matrices):
        f = network(n, std=1.0, seed=100 + seed, **settings)
        result = max_lyapunov(f, states(n, seed=seed), steps, transient=steps // 3)
        found.append(float(result) - theory)
    return n * sum(found) / matrices, 4 * max(2.0, n * float(np.std(found))) / matrices**0.5


@pytest.mark.parametrize(("settings", "theory", "c"), MEAN_FIELD[1:3])
def test_mean_field_at_300_neurons(settings, theory, c):
    shift, error = finite_size_shift(300, 6, 600, settings, theory)
    assert abs(shift + c) < error + 1  # c itself is known to about 1


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "theory", "c"), MEAN_FIELD)
def test_mean_field_at_1000_neurons(settings, theory, c):
    shift, error = finite_size_shift(1000, 2, 1200, settings, theory)
    assert abs(shift + c) < error + 1


# Torch's networks and functions of the user's own


def torch_step(module):
    """Return (state, x) -> state of torch's own forward pass, fused kernels and all."""
    double = isinstance(module, nn.LSTM | nn.LSTMCell)
    layered = isinstance(module, nn.RNNBase)

    def unpack(part):
        return part.reshape(module.num_layers, module.hidden_size) if layered else part

    def step(u, x):
        parts = tuple(unpack(part) for part in u.chunk(2)) if double else unpack(u)
        parts = module(x.unsqueeze(0), parts)[1] if layered else module(x, parts)
        return torch.cat([p.flatten() for p in parts]) if double else parts.flatten()

    return step


TORCH = {
    "rnn-cell": lambda: nn.RNNCell(3, 5),
    "gru-cell": lambda: nn.GRUCell(3, 5),
    "lstm-cell": lambda: nn.LSTMCell(3, 2),
    "rnn": lambda: nn.RNN(3, 4),
    "gru-stack": lambda: nn.GRU(3, 2, num_layers=2),
    "lstm": lambda: nn.LSTM(3, 2),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_networks(name):
    module = TORCH[name]().double()
    for p in module.parameters():
        p.data *= 2  # the default initialisation has nearly equal exponents
    x, u = states(240, 3, seed=4), 0.1 * states(snt.as_dynamics(module).size)
    result = lyapunov_spectrum(module, u, 60, transient=180, x=x)
    path = orbit_of(module, u, 240, x=x)
    slow = slow_after(reverse_jacobians(torch_step(module), path, x), 180)
    assert_close(result.exponents, slow, **ORACLE)


def test_user_function():
    result = lyapunov_spectrum(twist, states(3), 100, transient=200)
    slow = slow_after(reverse_jacobians(twist, orbit_of(twist, states(3), 300)), 200)
    assert_close(result.exponents, slow, **ORACLE)


def test_sequence_layer_is_its_cell():
    cell, u = network(input_size=2), states(8)
    layer, bare = (lyapunov_spectrum(f, u, 60, transient=20) for f in (snt.SNT(cell), cell))
    assert_close(layer.exponents, bare.exponents, rtol=0, atol=0)


# Time, drive and noise


def test_rates_are_per_unit_of_time():
    f = snt.as_dynamics(lambda u: 0.9 * u, dt=0.25)
    result = lyapunov_spectrum(f, torch.ones(2).double(), 40)
    expected = full(4 * math.log(0.9), 2)
    assert_close(result.exponents, expected, **EXACT)
    assert_close(result.history, expected.expand(20, 2), **EXACT)
    assert_close(result.log_det, 2 * expected[0], **EXACT)


def test_error_bars_are_per_unit_of_time():
    u = matrix([0.3])
    fast, slow = (
        max_lyapunov(snt.as_dynamics(lambda u: 4 * u * (1 - u), dt=dt), u, 100) for dt in (0.1, 1.0)
    )
    assert_close(fast.stderr, 10 * slow.stderr, **EXACT)


def test_iterated_map_has_the_same_rates():
    u = matrix([0.3])
    once = max_lyapunov(Logistic(), u, 200)
    twice = max_lyapunov(snt.iterate(Logistic(), 2), u, 100)
    assert_close(twice.exponents, once.exponents, **EXACT)


def driven(seed=3):
    torch.manual_seed(seed)
    return network(6, std=2.0, leak=0.2, input_size=2)


def test_constant_drive_is_a_drive_of_equal_rows():
    f, u, x = driven(), states(6), matrix([0.5, -1.0])
    constant = lyapunov_spectrum(f, u, 60, transient=20, x=x)
    rows = lyapunov_spectrum(f, u, 60, transient=20, x=x.expand(80, 2))
    none = lyapunov_spectrum(f, u, 60, transient=20)
    assert_close(constant.exponents, rows.exponents, rtol=0, atol=0)
    assert (constant.exponents - none.exponents).abs().max() > 0.01


def test_changing_drive_is_read_from_the_transient_on():
    f, u, x = driven(), states(6), 2 * states(400, 2, seed=4)
    result = lyapunov_spectrum(f, u, 150, transient=250, x=x)
    path = orbit_of(f, u, 400, x=x)
    assert_close(result.exponents, slow_after(snt_jacobians(f, path), 250), **ORACLE)


def test_drive_per_row():
    f, u, x = driven(), states(3, 6), 2 * states(400, 3, 2, seed=4)
    together = lyapunov_spectrum(f, u, 100, transient=300, x=x)
    for row in range(3):
        alone = lyapunov_spectrum(f, u[row], 100, transient=300, x=x[:, row])
        assert_close(together.exponents[row], alone.exponents, **SAME_ORBIT)
        assert_close(together.stderr[row], alone.stderr, **SAME_ORBIT)
        assert_close(together.history[:, row], alone.history, **SAME_ORBIT)
    assert together.exponents[:, 0].std() > 1e-3


def test_linear_map_does_not_feel_noise():
    M = matrix(LINEAR["real"])
    quiet, noisy = (
        lyapunov_spectrum(LinearMap(M, noise), torch.ones(3).double(), 50, transient=10)
        for noise in (0.0, 2.0)
    )
    assert_close(noisy.exponents, quiet.exponents, **EXACT)


def test_noise_is_conditional():
    # Copies under the same noise come together although each of them keeps moving.
    f = network(50, std=0.7, noise=0.5)
    result = lyapunov_spectrum(f, states(50), 200, k=3, transient=100)
    assert (result.exponents < -0.2).all()
    assert result.stderr[0] > 1e-4


def test_noise_is_that_of_rollout_whatever_k():
    f, u = network(noise=0.5), states(2, 8)
    path = orbit_of(f, u, 120, generator=random_generator(9))[20:]
    volume = torch.linalg.slogdet(snt_jacobians(f, path)).logabsdet.mean(0)
    whole = lyapunov_spectrum(f, u, 100, transient=20, generator=random_generator(9))
    assert_close(whole.log_det, volume, **SAME_ORBIT)
    settled = [
        lyapunov_spectrum(f, u, 100, k=k, transient=300, generator=random_generator(9)).exponents
        for k in (1, 4)
    ]
    assert_close(settled[0][:, 0], settled[1][:, 0], **SAME_ORBIT)


# Rows, transient, blocks, order


def test_rows_are_independent():
    # Rows start from frames of their own: without a long transient only volumes can be compared.
    f, u = network(std=2.5, **DIVERSE), states(2, 3, 8)
    together = lyapunov_spectrum(f, u, 30)
    assert together.exponents.shape == together.stderr.shape == (2, 3, 8)
    assert together.history.shape == (20, 2, 3, 8)
    for i, j in np.ndindex(2, 3):
        alone = lyapunov_spectrum(f, u[i, j], 30)
        assert_close(together.log_det[i, j], alone.log_det, **SAME_ORBIT)
        assert_close(together.exponents[i, j].sum(), alone.exponents.sum(), **SAME_ORBIT)


def test_transient_is_left_out():
    u = matrix([0.3])
    path = orbit_of(Logistic(), u, 60)
    result = max_lyapunov(Logistic(), u, 25, transient=35)
    assert_close(result.exponents, (4 - 8 * path[35:]).abs().log().mean(0), **EXACT)


def test_transient_aligns_the_frame():
    f = LinearMap(torch.diag(matrix([0.5, 0.9])))
    bias = [
        abs(float(max_lyapunov(f, torch.zeros(2).double(), 10, transient=t)) - math.log(0.9))
        for t in (0, 40)
    ]
    assert bias[0] > 1e-3
    assert bias[1] < 1e-10


def test_history_is_the_means_of_20_blocks():
    u = matrix([0.3])
    growth = (4 - 8 * orbit_of(Logistic(), u, 50)[:, 0]).abs().log()
    result = max_lyapunov(Logistic(), u, 50)
    lengths = [3] * 10 + [2] * 10
    means = torch.stack([part.mean() for part in growth.split(lengths)])
    weight = torch.tensor(lengths).double() / 50
    assert_close(result.history[:, 0], means, **EXACT)
    assert_close((weight * means).sum(), result.exponents[0], **EXACT)
    variance = (weight * (means - growth.mean()) ** 2).sum() / 19
    assert_close(result.stderr[0], variance.sqrt(), **EXACT)


@pytest.mark.parametrize(("steps", "blocks"), [(1, 1), (7, 7), (20, 20), (1000, 20)])
def test_number_of_blocks(steps, blocks):
    result = lyapunov_spectrum(NoisyRotation(0.9, 0.3), torch.zeros(3, 2).double(), steps, k=1)
    assert result.history.shape == (blocks, 3, 1)
    assert bool(result.stderr.isnan().all()) == (blocks == 1)


def test_order_is_descending_in_every_field():
    # Three steps from a random frame: the columns of R come in any order.
    f, u = LinearMap(torch.diag(torch.linspace(0.5, 1.5, 6).double())), torch.zeros(40, 6).double()
    result = lyapunov_spectrum(f, u, 3)
    assert (result.exponents.diff(dim=-1) <= 0).all()
    assert (result.history.mean(0).diff(dim=-1) <= 1e-12).all()
    assert_close(result.history.mean(0), result.exponents, **EXACT)
    assert_close(result.stderr, result.history.std(0) / 3**0.5, **EXACT)


def test_standard_error_is_calibrated():
    # 200 rows: their spread is known to 5 %; blocks of 30 steps remember a little of each other.
    f = network(32, std=1.6, leak=0.2, threshold=0.1, noise=0.3)
    result = lyapunov_spectrum(f, states(200, 32), 600, k=3, transient=150)
    ratio = result.exponents.std(0) / result.stderr.square().mean(0).sqrt()
    assert ((ratio > 0.75) & (ratio < 1.33)).all()


# What follows from the exponents


@pytest.mark.parametrize(
    ("exponents", "size", "dimension", "entropy"),
    [
        ([-0.1, -0.2], 2, 0.0, 0.0),
        ([-0.1], 5, 0.0, 0.0),
        ([0.0, -1.0], 2, 1.0, 0.0),
        ([0.4, -0.5], 2, 1.8, 0.4),
        ([0.5, 0.0, -2.0], 3, 2.25, 0.5),
        ([0.5, 0.25, -0.5, -1.0], 4, 3.25, 0.75),
        ([0.5, -0.5, -1.0], 3, 2.0, 0.5),
        ([0.4, 0.1], 2, 2.0, 0.5),
        ([0.4, -0.1], 2, 2.0, 0.4),
        ([0.4, 0.1], 5, math.nan, 0.5),
        ([0.4, -0.1], 5, math.nan, 0.4),
        ([0.3, -math.inf], 2, 1.0, 0.3),
    ],
)
def test_dimension_and_entropy(exponents, size, dimension, entropy):
    result = record(exponents, size)
    assert float(result.dimension) == pytest.approx(dimension, nan_ok=True)
    assert float(result.entropy) == pytest.approx(entropy)


def test_dimension_and_entropy_per_row():
    result = record([[[-0.1, -0.2]], [[0.4, -0.5]]], 2)
    assert_close(result.dimension, matrix([[0.0], [1.8]]))
    assert_close(result.entropy, matrix([[0.0], [0.4]]))


def test_scalars():
    result = record([[0.4, -0.5], [0.2, -0.9]], 2)
    expected = {
        "max": 0.3,
        "max_stderr": 0.0,
        "sum": -0.4,
        "dimension": (1.8 + 1 + 2 / 9) / 2,
        "entropy": 0.3,
        "1": 0.3,
        "2": -0.7,
    }
    assert result.scalars() == pytest.approx(expected)


def test_scalars_carry_the_error_of_the_rows():
    f, u = network(noise=0.2), states(3, 8)
    few = lyapunov_spectrum(f, u, 50, k=2)
    error = float(few.stderr[:, 0].square().sum().sqrt()) / 3
    assert few.scalars()["max_stderr"] == pytest.approx(error)
    many = lyapunov_spectrum(f, states(9, 8), 50, k=2)
    assert many.scalars()["max_stderr"] == pytest.approx(float(many.exponents[:, 0].std()) / 3)


def test_record_maps_its_tensors():
    result = lyapunov_spectrum(network(), states(8), 10).map(lambda t: t.to(torch.float32))
    assert {result.exponents.dtype, result.history.dtype, result.log_det.dtype} == {torch.float32}
    assert result.size == 8


# Precision, modes, traces


def test_single_precision():
    settings = {"std": 1.5, "leak": 0.3, "noise": 0.0, "input_size": 0}
    u = states(8)
    double = lyapunov_spectrum(network(**settings), u, 200, k=3, transient=200)
    f = network(**settings).float()
    single = lyapunov_spectrum(f, u.float(), 200, k=3, transient=200)
    assert single.exponents.dtype == single.stderr.dtype == single.history.dtype == torch.float32
    # Contracting: both orbits end in the same attractor; what is left is rounding of 200 logs.
    assert float(double) < 0
    assert_close(single.exponents.double(), double.exponents, rtol=0, atol=2e-3)


def test_single_precision_in_chaos():
    f = network(60, std=3.0, dtype=torch.float32)
    with pytest.warns(AccuracyWarning, match=r"the first \d+ of 60 exponents .* use float64"):
        result = lyapunov_spectrum(f, states(4, 60).float(), 500, transient=100)
    double = lyapunov_spectrum(network(60, std=3.0), states(4, 60), 500, k=1, transient=100)
    error = float(result.exponents[:, 0].std() + double.exponents[:, 0].std()) / 2
    assert_close(result.exponents.sum(-1), result.log_det, rtol=1e-3, atol=1e-3)
    assert (result.exponents[:, 0] > 0).all()
    gap = float(result.exponents[:, 0].mean()) - float(double.exponents.mean())
    assert abs(gap) < 4 * max(error, 2e-3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("factory", [network, lambda: nn.GRUCell(3, 8).double(), lambda: twist])
def test_same_numbers_in_every_grad_mode(mode, factory):
    f = factory()
    expected = lyapunov_spectrum(f, states(2, 8), 20, transient=5)
    with mode():
        found = lyapunov_spectrum(f, states(2, 8), 20, transient=5)
    assert_close(found.exponents, expected.exponents, rtol=0, atol=0)
    assert not found.exponents.requires_grad
    assert not found.exponents.is_inference()


def test_same_numbers_in_train_mode():
    f = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Dropout(0.5)).double()
    trained = lyapunov_spectrum(f.train(), states(4), 20)
    assert [part.training for part in f.modules()] == [True] * 4
    evaluated = lyapunov_spectrum(f.eval(), states(4), 20)
    assert_close(trained.exponents, evaluated.exponents, rtol=0, atol=0)


def test_leaves_no_trace():
    f = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Tanh()).double()
    f[1].eval()
    f[2].weight.requires_grad_(False)
    u = states(3, 4)

    def everything():
        numbers = [t.detach().clone() for t in [*f.state_dict().values(), u]]
        flags = [p.requires_grad for p in f.parameters()] + [p.training for p in f.modules()]
        return numbers, flags, [p.grad for p in f.parameters()], torch.get_rng_state()

    before = everything()
    lyapunov_spectrum(snt.as_dynamics(f, noise=0.3), u, 20, transient=5)
    assert_close(everything(), before, rtol=0, atol=0)


def test_global_generator_is_left_alone():
    f, u = network(noise=0.5), states(8)
    before = torch.get_rng_state()
    first, second = (lyapunov_spectrum(f, u, 30) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.exponents, second.exponents)
    torch.rand(1)  # the user's program goes on: another orbit
    assert not torch.equal(lyapunov_spectrum(f, u, 30).exponents, first.exponents)


def test_own_generator_advances():
    f, u, g = network(noise=0.5), states(8), random_generator(1)
    first, second = (lyapunov_spectrum(f, u, 30, generator=g) for _ in range(2))
    assert not torch.equal(first.exponents, second.exponents)


@pytest.mark.gpu
def test_cuda():
    f, u = network(std=2.5, **DIVERSE), states(3, 8)
    expected = lyapunov_spectrum(f, u, 50, transient=300)
    found = lyapunov_spectrum(f.cuda(), u.cuda(), 50, transient=300)
    assert found.exponents.is_cuda
    # Rounding differs and chaos amplifies it: only the volume of a short orbit is compared.
    one = [lyapunov_spectrum(f.to(d), u.to(d), 5).log_det.cpu() for d in ("cpu", "cuda")]
    assert_close(one[0], one[1], **SAME_ORBIT)
    assert expected.exponents.shape == found.exponents.shape


# Wrong arguments


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    cell = nn.GRUCell(2, 3).to(dtype)
    with pytest.raises(
        ValueError, match=f"u: expected float32 or float64 for tangents, got {dtype}"
    ):
        lyapunov_spectrum(cell, torch.zeros(2, 3, dtype=dtype), 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 3}, r"k: expected .* 1 <= k <= 2, got 3"),
        ({"k": 0}, r"k: expected .*, got 0"),
        ({"k": 1.5}, r"k: expected .*, got 1.5"),
        ({"steps": 0}, r"steps: expected .*, got 0"),
        ({"steps": -4}, r"steps: expected .*, got -4"),
        ({"steps": 10.0}, r"steps: expected .*, got 10.0"),
        ({"transient": -1}, r"transient: expected .*, got -1"),
        ({"interval": 0}, r"interval: expected .*, got 0"),
        ({"interval": "often"}, r"interval: expected 'auto' or a whole number, got 'often'"),
        ({"interval": 1.5}, r"interval: expected 'auto' or a whole number, got 1.5"),
        ({"u": torch.tensor([0.0, math.nan])}, r"u: expected finite numbers, got nan at \(1,\)"),
        ({"u": torch.tensor([math.inf, 0.0])}, r"u: expected finite numbers, got inf at \(0,\)"),
        ({"u": torch.tensor([1, 2])}, r"u: expected a floating dtype, got torch.int64"),
        ({"u": torch.tensor(0.5)}, r"u: expected at least 1 axis"),
        ({"f": 3}, r"f: expected a Dynamics"),
        ({"generator": 1}, r"generator: expected a torch.Generator, got int"),
        ({"x": torch.zeros(10, 2)}, r"x: expected \(I,\) or \(15, \.\.\., I\)"),
        ({"x": torch.tensor([0.0, math.nan])}, r"x: expected finite numbers"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"f": lambda u, x=None: 0.5 * u, "u": torch.zeros(2), "steps": 10, "transient": 5}
    given |= change
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(f, u, steps, **given)


def test_state_of_another_size_or_dtype():
    with pytest.raises(ValueError, match=r"u: expected 8 on the last axis, got \(5,\)"):
        lyapunov_spectrum(network(), states(5), 10)
    with pytest.raises(ValueError, match="float64, the dtype of the parameters"):
        lyapunov_spectrum(network(), states(8).float(), 10)


def test_divergence_names_its_step():
    # From 2 the logistic map doubles its digits: 8^(2^9) is beyond the largest number.
    u = matrix([2.0])
    with pytest.raises(ValueError, match=r"not finite by step 9\b"):
        lyapunov_spectrum(Logistic(), u, 100, interval=1)
    with pytest.raises(ValueError, match=r"not finite by step \d+"):
        lyapunov_spectrum(Logistic(), u, 100)


def test_divergence_of_the_state_alone_is_seen():
    with pytest.raises(ValueError, match="u: expected a bounded orbit"):
        lyapunov_spectrum(LinearMap(matrix([[2.0]])), matrix([1.0]), 2000)


def test_dimension_of_unknown_exponents_is_unknown():
    spectrum = dataclasses.replace(
        lyapunov_spectrum(network(), states(8), 5), exponents=matrix([math.nan, math.nan])
    )
    assert math.isnan(float(spectrum.dimension))
