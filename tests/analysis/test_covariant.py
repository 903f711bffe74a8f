"""Covariant vectors: eigenvectors where there are some, then the law that names them."""

import gc
import math

import pytest
import torch
from references import Henon, LinearMap, NoisyRotation, random_generator
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import (
    AccuracyWarning,
    CovariantVectors,
    covariant_lyapunov_vectors,
    lyapunov_spectrum,
)


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def states(*shape, seed=1):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def network(n=8, std=2.0, **settings):
    J = snt.couplings.gaussian(n, std=std, generator=random_generator(3), dtype=torch.float64)
    return snt.SNTCell(J, **settings)


def parallel(a, b):
    """Return the largest distance of the columns of a and b, all of length 1, signs left out."""
    sign = (a * b).sum(-2, keepdim=True).sign()
    return float((a - sign * b).norm(dim=-2).max())


# Closed forms


def test_linear_map_has_its_eigenvectors():
    values = torch.tensor([1.3, -0.9, 0.5, 0.2]).double()
    P = states(4, 4)
    M = P @ torch.diag(values) @ P.inverse()
    found = covariant_lyapunov_vectors(LinearMap(M), torch.zeros(4).double(), 20, transient=150)
    vectors = P / P.norm(dim=0)
    assert max(parallel(v, vectors) for v in found.vectors) < 1e-9
    assert_close(found.exponents, values.abs().log(), rtol=0, atol=1e-9)
    assert_close(found.growth, values.abs().log().expand(20, 4), rtol=0, atol=1e-9)
    assert float(found.gap.max()) < 1e-9
    sin = torch.linalg.svdvals(orthonormal(vectors[:, :1]).T @ orthonormal(vectors[:, 1:]))[0]
    assert_close(found.angles, torch.acos(sin).expand(20), rtol=0, atol=1e-9)


def orthonormal(columns):
    return torch.linalg.qr(columns).Q


def cat(u):
    """Return Arnold's cat map on the torus."""
    return (u @ matrix([[2.0, 1.0], [1.0, 1.0]])) % 1


def test_cat_map():
    found = covariant_lyapunov_vectors(cat, matrix([0.1, 0.3]), 30, transient=40)
    golden = (1 + math.sqrt(5)) / 2
    exact = matrix([[golden, -1 / golden], [1.0, 1.0]])
    exact = exact / exact.norm(dim=0)
    assert max(parallel(v, exact) for v in found.vectors) < 1e-9
    rate = 2 * math.log(golden)
    assert_close(found.exponents, matrix([rate, -rate]), rtol=0, atol=1e-9)
    assert_close(found.angles, matrix([math.pi / 2]).expand(30), rtol=0, atol=1e-9)


def test_kaplan_yorke_map_contracts_by_a_at_every_step():
    def fold(u):
        first, second = u.unbind(-1)
        return torch.stack([2 * first % 1, 0.2 * second + torch.cos(4 * math.pi * first)], -1)

    f = snt.as_dynamics(fold, noise=matrix([1e-12, 0.0]))  # doubling shifts the digits out
    found = covariant_lyapunov_vectors(f, matrix([0.3, 0.1]), 40, transient=40, settle=40)
    assert_close(found.vectors[:, :, 1].abs(), matrix([0.0, 1.0]).expand(40, 2))
    assert_close(found.growth[:, 1], matrix([0.2]).log().expand(40), rtol=0, atol=1e-9)
    cosine = found.vectors[:, 0, 0].abs()  # along the first axis the vector grows by 2
    assert_close(found.growth[:-1, 0], (2 * cosine[:-1] / cosine[1:]).log(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [0.3, 1e-5, 1e-9])
def test_small_angles_keep_their_digits(angle):
    vectors = matrix([[1.0, math.cos(angle)], [0.0, math.sin(angle)]]).expand(3, 2, 2)
    zero, two = torch.zeros(3, 2).double(), torch.zeros(2).double()
    record = CovariantVectors(
        vectors=vectors, states=zero, growth=zero, exponents=matrix([0.1, -0.2]),
        stderr=two, gram_schmidt=two, gap=two,
    )  # fmt: skip
    assert_close(record.angles, matrix([angle]).expand(3), rtol=1e-6, atol=0)


def test_angles_need_both_kinds_and_are_told_apart_per_row():
    f = LinearMap(torch.diag(matrix([0.5, 0.7])))
    assert covariant_lyapunov_vectors(f, torch.zeros(2).double(), 3).angles.isnan().all()
    M = matrix([[1.1, 0.4], [0.0, 0.9]])
    rows = snt.as_dynamics(lambda u, x: x * (u @ M.T))  # both, one and no growing direction
    x, u = matrix([[1.0], [2.0], [0.5]]).expand(123, 3, 1), torch.zeros(3, 2).double()
    found = covariant_lyapunov_vectors(rows, u, 3, transient=20, x=x)
    assert found.angles.shape == (3, 3)
    assert found.angles[:, 1:].isnan().all()
    assert not found.angles[:, 0].isnan().any()


# The law


@pytest.mark.parametrize(
    ("f", "u", "k"),
    [
        (Henon(), matrix([[0.1, 0.1], [0.2, 0.0]]), 2),
        (network(), states(2, 8), 8),
        (network(std=3.0, leak=0.3, noise=0.2), states(8), 5),
    ],
    ids=["henon", "network", "noisy"],
)
def test_vectors_are_covariant(f, u, k):
    found = covariant_lyapunov_vectors(
        f, u, 40, k=k, transient=100, settle=60, generator=random_generator(2)
    )
    assert found.vectors.shape == (40, *u.shape, k)
    assert_close(found.vectors.norm(dim=-2), torch.ones_like(found.growth))
    for t in range(39):
        pushed = f.jvp(found.states[t], found.vectors[t])[1].detach()
        lengths = pushed.norm(dim=-2)
        assert_close(lengths.log(), found.growth[t], rtol=0, atol=1e-8)
        assert parallel(pushed / lengths.unsqueeze(-2), found.vectors[t + 1]) < 1e-8


def test_states_are_the_orbit_under_the_noise_of_rollout():
    f, u = network(noise=0.3), states(8)
    found = covariant_lyapunov_vectors(
        f, u, 20, transient=10, settle=15, generator=random_generator(4)
    )
    orbit = snt.rollout(f, u, 30, generator=random_generator(4)).detach()
    assert_close(found.states, orbit[9:29], rtol=0, atol=1e-12)


def test_a_changing_drive_is_read_from_the_transient_on():
    M = states(3, 3)
    f = snt.as_dynamics(lambda u, x: torch.tanh(u @ M.T + x))
    x, u = states(30, 3, seed=5), states(3)
    found = covariant_lyapunov_vectors(f, u, 10, transient=5, settle=15, x=x)
    assert_close(found.states, snt.rollout(f, u, 14, x=x[:14])[4:], rtol=0, atol=1e-12)
    pushed = f.jvp(found.states[0], found.vectors[0], x[5])[1]
    assert parallel(pushed / pushed.norm(dim=-2), found.vectors[1]) < 1e-10


def test_past_and_future_do_not_matter_once_the_vectors_have_settled():
    # The same stretch of one orbit, seen from frames that start elsewhere and ends elsewhere.
    f, u, g = network(std=2.5, noise=0.3), states(8), random_generator(4)
    found = covariant_lyapunov_vectors(f, u, 30, transient=250, settle=250, generator=g)
    g = random_generator(4)
    later = snt.rollout(f, u, 20, generator=g)[-1].detach()
    again = covariant_lyapunov_vectors(f, later, 30, transient=230, settle=280, generator=g)
    assert float(found.gap.max()) < 1e-8
    assert_close(again.states, found.states, rtol=0, atol=1e-10)
    assert max(map(parallel, again.vectors, found.vectors)) < 1e-6


def test_gap_says_how_far_the_end_has_settled():
    f, u = LinearMap(torch.diag(matrix([1.0, 0.5]))), torch.zeros(2).double()
    gaps = [
        float(covariant_lyapunov_vectors(f, u, 5, transient=40, settle=s).gap[1])
        for s in (0, 10, 30)
    ]
    assert gaps[0] > 0.1
    assert gaps[1] == pytest.approx(gaps[0] * 0.5**10, rel=1)
    assert gaps[2] == pytest.approx(gaps[1] * 0.5**20, rel=0.1)
    assert gaps[2] < gaps[1]


# Exponents


@pytest.mark.slow
def test_exponents_agree_with_those_of_the_frame():
    f, u = Henon(), matrix([0.1, 0.1]) + 0.05 * states(64, 2)
    found = covariant_lyapunov_vectors(f, u, 300, transient=60)
    spectrum = lyapunov_spectrum(f, u, 300, transient=60)
    assert_close(found.gram_schmidt, spectrum.exponents, rtol=0, atol=1e-9)
    # Their difference is what the diagonal of C gains: an angle's logarithm over 300 steps.
    assert (found.exponents - found.gram_schmidt).abs().max() < 5 / 300
    assert_close(found.exponents[:, 0], found.gram_schmidt[:, 0], rtol=0, atol=1e-9)
    error = float(found.exponents[:, 0].std()) / 8
    assert float(found.exponents[:, 0].mean()) == pytest.approx(0.41922, abs=4 * error)
    assert found.scalars()["max"] == pytest.approx(float(found.exponents[:, 0].mean()))


def test_rates_are_per_unit_of_time():
    M = torch.diag(matrix([0.9, 0.4]))
    f = snt.as_dynamics(lambda u: u @ M, dt=0.5)
    found = covariant_lyapunov_vectors(f, torch.zeros(2).double(), 10, transient=100)
    expected = 2 * matrix([0.9, 0.4]).log()
    assert_close(found.exponents, expected, rtol=0, atol=1e-10)
    assert_close(found.gram_schmidt, expected, rtol=0, atol=1e-10)
    assert found.dt == 0.5


# Memory, checkpoints, traces


@pytest.mark.parametrize("checkpoints", [1, 2, 7, 50])
def test_checkpoints_do_not_matter(checkpoints):
    f, u = network(noise=0.3), states(2, 8)
    found, expected = (
        covariant_lyapunov_vectors(
            f, u, 30, transient=5, settle=20, checkpoints=c, generator=random_generator(6)
        )
        for c in (checkpoints, None)
    )
    for name in ("vectors", "states", "growth", "exponents", "gram_schmidt", "gap"):
        assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=0)


class Watched(snt.Dynamics):
    """A rotation that counts the frames alive whenever it is asked for a tangent."""

    size = 40

    def __init__(self):
        super().__init__()
        self.M = torch.linalg.qr(states(40, 40)).Q
        self.calls = self.most = 0

    def map(self, u, x=None):
        return u @ self.M.T

    def jvp(self, u, V, x=None):
        self.calls += 1
        if self.calls % 40 == 0:
            alive = [o for o in gc.get_objects() if type(o) is torch.Tensor]
            self.most = max(self.most, sum(o.shape == (40, 11) for o in alive))
        return self.map(u), self.M @ V


@pytest.mark.slow
def test_memory_grows_like_the_root_of_time():
    f = Watched()
    covariant_lyapunov_vectors(f, states(40), 300, k=11, transient=10, settle=100)
    assert f.calls == 10 + 2 * 400 - 20  # the last of 20 segments is walked once
    assert 20 <= f.most <= 3 * 20  # checkpoints and the segment that is read
    covariant_lyapunov_vectors(f, states(40), 300, k=11, settle=100, checkpoints=1)
    assert f.most > 300


@pytest.mark.parametrize("own", [True, False])
def test_random_streams(own):
    f, u = network(noise=0.5), states(8)
    before, g = torch.get_rng_state(), random_generator(1) if own else None
    first, second = (covariant_lyapunov_vectors(f, u, 10, settle=10, generator=g) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.states, second.states) != own
    if g is not None:  # advanced as by one walk
        other = random_generator(1)
        snt.rollout(f, u, 40, generator=other)
        assert torch.equal(g.get_state(), other.get_state())
    else:
        orbit = snt.rollout(f, u, 9).detach()
        assert_close(first.states[1:], orbit, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_every_grad_mode_and_a_users_module(mode):
    f = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Dropout(0.5)).double().train()
    with mode():
        found = covariant_lyapunov_vectors(f, states(3), 10, transient=5)
    assert f.training
    assert not found.vectors.requires_grad
    assert not found.vectors.is_inference()


def test_single_precision():
    f, u = NoisyRotation(0.9, 0.3, dtype=torch.float32), torch.zeros(2)
    found = covariant_lyapunov_vectors(f, u, 10, k=1)
    assert {found.vectors.dtype, found.growth.dtype, found.angles.dtype} == {torch.float32}


# Bad input


def test_a_lost_direction_is_named():
    f = LinearMap(torch.diag(matrix([0.5, 0.0])))
    with pytest.raises(ValueError, match="k: expected at most as many vectors as DF keeps"):
        covariant_lyapunov_vectors(f, torch.zeros(2).double(), 5)
    assert_close(covariant_lyapunov_vectors(f, torch.zeros(2).double(), 5, k=1).gap, matrix([0.0]))


def test_a_direction_that_rounding_eats_is_warned_of():
    f = LinearMap(torch.diag(matrix([1e6, 1e-6])))
    with pytest.warns(AccuracyWarning, match="the first 1 of 2 exponents are trusted"):
        covariant_lyapunov_vectors(f, torch.zeros(2).double(), 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 3}, r"k: expected .* 1 <= k <= 2, got 3"),
        ({"steps": 0}, r"steps: expected .*, got 0"),
        ({"transient": -1}, r"transient: expected"),
        ({"settle": -1}, r"settle: expected"),
        ({"checkpoints": 0}, r"checkpoints: expected .* 1 <= checkpoints <= 110, got 0"),
        ({"checkpoints": 111}, r"checkpoints: expected"),
        ({"u": torch.tensor([0.0, math.nan])}, r"u: expected finite numbers, got nan at \(1,\)"),
        ({"x": torch.zeros(10, 2)}, r"x: expected \(I,\) or \(115, \.\.\., I\)"),
        ({"generator": 1}, r"generator: expected"),
        ({"f": lambda u: 1e30 * u**3, "u": torch.ones(2)}, r"u: .* not finite by step \d"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"f": lambda u, x=None: 0.5 * u, "u": torch.zeros(2), "steps": 10, "transient": 5}
    given |= change
    f, u, steps = (given.pop(name) for name in ("f", "u", "steps"))
    with pytest.raises(ValueError, match=message):
        covariant_lyapunov_vectors(f, u, steps, **given)
