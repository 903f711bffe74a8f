"""The studies of plasticity: records grow, numbers are those of other ways to compute them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import gaussian_mean
from scipy.special import erf
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import HebbianForgetting, learn
from sntorch.plot import plot
from sntorch.studies import (
    associative_memory,
    hebbian_edge_of_chaos,
    intrinsic_plasticity,
    pattern_memory,
)
from sntorch.studies.ensembles import Networks
from sntorch.transfer import as_transfer

# Hebbian learning at the edge of chaos


@pytest.fixture(scope="module")
def edge():
    return list(
        hebbian_edge_of_chaos.run(networks=2, size=12, epochs=2, steps=30, transient=10, rate=2.0)
    )


def test_networks_side_by_side_are_networks_one_by_one():
    draw = np.random.default_rng(0)
    J = torch.from_numpy(draw.standard_normal((3, 5, 5)))
    u, x = torch.from_numpy(draw.standard_normal((3, 5))), torch.from_numpy(draw.random(5))
    f = Networks(J, gain=1.5, transfer="tanh01")
    V = torch.from_numpy(draw.standard_normal((3, 5, 2)))
    value, pushed = f.jvp(u, V, x)
    assert_close(value, f.map(u, x))
    for r in range(3):
        cell = snt.SNTCell(J[r], gain=1.5, threshold=-x, transfer="tanh01")
        with torch.no_grad():
            alone = cell.jvp(u[r], V[r])
        assert_close(value[r], alone[0])
        assert_close(pushed[r], alone[1])
        assert_close(f.slope(u)[r], 1.5 * cell.transfer.derivative(1.5 * u[r]))
    assert_close(f.jvp(u, V)[0], f.map(u))


def slope(f, u):
    """Return the mean slope of the 30 steps after 10."""
    return (5 / torch.cosh(10 * snt.rollout(f, u, 40)[10:]).square()).mean()


def test_an_epoch_of_the_study_is_one_of_learn(edge):
    draw = np.random.default_rng([0, 12, 1])  # the second network
    J = torch.from_numpy(draw.standard_normal((12, 12))) / 12**0.5
    u = torch.from_numpy(draw.random(12))
    i = torch.arange(1, 13, dtype=torch.float64) / 12
    pattern = 0.01 * torch.sin(2 * math.pi * i) * torch.cos(8 * math.pi * i)
    cell = snt.SNTCell(J, gain=10.0, threshold=-pattern, transfer="tanh01")
    history = learn(
        cell,
        HebbianForgetting(0.9, 2.0, 0.1),
        u,
        2,
        steps=30,
        transient=10,
        observe={"slope": slope},
        control=HebbianForgetting(0.9, 0.0, 0.1),
    )
    assert history.control is not None
    for found, expected in zip(edge[-1].slope, (history, history.control), strict=True):
        assert_close(found[:, 1], expected["slope"])


def test_epochs_come_one_by_one(edge):
    assert [each.progress[:5] for each in edge] == ["[0/2]", "[1/2]", "[2/2]"]
    last = edge[-1]
    assert last.exponents.shape == last.novel.shape == (2, 3, 2)
    assert_close(last.sensitivity[0, 0], last.sensitivity[1, 0])  # nothing is learned yet
    assert not torch.equal(last.sensitivity[0, 2], last.sensitivity[1, 2])
    peaks = last.sensitivity.mean(-1)
    assert float(peaks[0].max()) == last.scalars()["peak/learning"]
    assert last.exponent_at_peak[1] == last.exponents[1, int(peaks[1].argmax())].mean()
    added = (last.exponents[0, -1] - last.exponents[1, -1]).mean()
    assert last.scalars()["added"] == pytest.approx(float(added))
    assert f"learning adds {float(added):+.4f}" in last.table()
    assert len(last.picture().axes) == 2


@pytest.mark.slow
def test_sensitivity_peaks_at_the_edge_with_and_without_learning():
    *_, found = hebbian_edge_of_chaos.run(epochs=8, steps=250)
    assert (found.exponents[:, 0].mean(-1) > 0.15).all()
    assert (found.exponents[:, -1].mean(-1) < -0.03).all()
    assert (found.exponent_at_peak.abs() < 0.12).all()
    assert found.scalars()["added"] < -2 * found.scalars()["added_stderr"]


# Homeostasis


@pytest.mark.parametrize(
    ("name", "gain", "m0", "phi", "slope"),
    [
        ("tanh", 2.0, 0.0, np.tanh, lambda v: 1 / np.cosh(v) ** 2),
        ("tanh", 3.0, 0.4, np.tanh, lambda v: 1 / np.cosh(v) ** 2),
        ("tanh01", 6.0, 0.3, lambda v: (1 + np.tanh(v)) / 2, lambda v: 0.5 / np.cosh(v) ** 2),
    ],
)
def test_the_balanced_field_satisfies_its_equations(name, gain, m0, phi, slope):
    z, exponent = intrinsic_plasticity.balanced(as_transfer(name), gain, m0)
    w = 1.0
    for _ in range(300):
        w = gaussian_mean(lambda v: phi(gain * v) ** 2, z, w) - m0**2
    assert gaussian_mean(lambda v: phi(gain * v), z, w) == pytest.approx(m0, abs=1e-7)
    power = gaussian_mean(lambda v: (gain * slope(gain * v)) ** 2, z, w)
    assert exponent == pytest.approx(math.log(power) / 2, abs=1e-7)


def test_an_activity_out_of_reach_is_refused():
    with pytest.raises(ValueError, match="activity: expected one that f has on average, got 2"):
        intrinsic_plasticity.balanced(as_transfer("tanh"), 2.0, 2.0)


def test_networks_come_one_by_one():
    settings: Any = {"size": 60, "epochs": 30, "every": 15, "measured": 60, "steps": 20}
    records = list(intrinsic_plasticity.run(networks=2, **settings))
    assert [each.progress[:5] for each in records] == ["[1/2]", "[2/2]"]
    last = records[-1]
    assert last.exponents.shape == last.disorder.shape == (2, 3)
    assert last.epoch.tolist() == [0, 15, 30]
    assert last.disorder[:, -1].mean() < 0.6 * last.disorder[:, 0].mean()
    theory = snt.meanfield.solve(gain=2.0, threshold=0.3, threshold_std=0.5).lyapunov
    assert float(last.before) == pytest.approx(float(theory))
    assert float(last.after) == pytest.approx(0.154724, abs=2e-6)
    distance = last.last.double().mean() - last.after
    assert last.scalars()["distance"] == pytest.approx(float(distance), abs=1e-6)
    assert f"{float(distance):+.4f}" in last.table()
    assert len(last.picture().axes) == 2


# Associative memory


def test_capacity_and_overlap_are_the_published_ones():
    # Amit, Gutfreund, Sompolinsky 1985: alpha_c = 0.138, where the overlap is 0.967.
    assert associative_memory.capacity() == pytest.approx(0.1379, abs=5e-5)
    limit = associative_memory.retrieval(associative_memory.capacity() - 1e-9)
    assert limit == pytest.approx(0.967, abs=5e-4)
    # The equations of the order parameters, iterated: m = erf(m / sqrt(2 alpha r)).
    m, C = 1.0, 0.0
    for _ in range(2000):
        noise = math.sqrt(0.1) / (1 - C)
        C = math.sqrt(2 / math.pi) / noise * math.exp(-(m**2) / 2 / noise**2)
        m = float(erf(m / noise / math.sqrt(2)))
    assert associative_memory.retrieval(0.1) == pytest.approx(m, abs=1e-9)
    assert math.isnan(associative_memory.retrieval(0.139))


def test_recall_is_that_of_the_textbook():
    # Steep neurons are signs: the same patterns and cues, by numpy.
    n, count = 60, 3
    *_, found = associative_memory.run(
        loads=[count / n, 0.5], asymmetries=[0.0, 0.3], size=n, networks=2, gain=1e4, steps=12
    )
    for i, a in enumerate((0.0, 0.3)):
        overlaps = []
        for network in range(2):
            draw = np.random.default_rng([0, network, n])
            xi = 2.0 * draw.integers(0, 2, (count, n)) - 1
            x = np.where(draw.random((count, n)) >= 0.1, xi, -xi)
            J = ((1 - a) * xi.T @ xi + a * np.roll(xi, -1, 0).T @ xi) / n
            np.fill_diagonal(J, 0)
            for _ in range(12):
                x = np.sign(x @ J.T)
            overlaps.append((xi * x).mean())
        assert float(found.overlap[i, 0]) == pytest.approx(np.mean(overlaps), abs=1e-3)
    assert (found.overlap[:, 1] < 0.9).all()
    assert (found.capacity > count / n).all()
    assert (found.capacity < 0.5).all()
    assert found.table().splitlines()[-1].split()[0] == "half"
    assert plot(found).get_ylabel() == "overlap with the pattern shown"


def test_a_capacity_that_is_not_crossed_is_unknown():
    *_, found = associative_memory.run(
        loads=[0.02, 0.04], asymmetries=[0.0], size=50, networks=2, steps=5
    )
    assert bool(found.capacity.isnan().all())


# Pattern memory


@pytest.fixture(scope="module")
def memory():
    return list(pattern_memory.run(bits=4, iterations=20, shown=1))


def test_kinds_come_one_by_one(memory):
    assert [each.progress[:5] for each in memory] == ["[1/2]", "[2/2]"]
    last = memory[-1]
    assert last.kinds == ("random bits", "digits")
    assert last.curves.shape == (2, 2, 20)
    assert float(last.guessing[0]) == pytest.approx(0.5, abs=0.05)
    pattern, cue, *answers = last.shown["digits"]
    hidden = cue == 0
    assert hidden.sum(-1).tolist() == [32] * 5
    assert torch.equal(cue[~hidden], pattern[~hidden])
    assert all((answer.abs() <= 1).all() for answer in answers)
    assert last.table().count("±") == 4
    assert len(last.picture().axes) == 1 + 4 * 5
    assert len(memory[0].picture().axes) == 1


def test_the_test_patterns_are_not_trained_on():
    old, new = pattern_memory._patterns("digits", 16, 0)
    assert 1700 < len(old) + len(new) < 1797  # some images are the same in black and white
    known = {tuple(row) for row in old.tolist()}
    shared = sum(tuple(row) in known for row in new.tolist())
    assert shared == 0


@pytest.mark.slow
def test_plasticity_completes_patterns_better_than_its_twin():
    *_, found = pattern_memory.run(kinds=["random bits"], bits=12, iterations=300)
    plastic, twin = found.wrong[0].tolist()
    assert twin > 0.25
    assert plastic < 0.7 * twin


# Wrong arguments


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        (hebbian_edge_of_chaos, {"networks": 1}, "networks: expected"),
        (hebbian_edge_of_chaos, {"epochs": 0}, "epochs: expected"),
        (hebbian_edge_of_chaos, {"forgetting": 1.5}, "forgetting: expected"),
        (hebbian_edge_of_chaos, {"rate": -1.0}, "rate: expected"),
        (hebbian_edge_of_chaos, {"gain": 0.0}, "gain: expected"),
        (intrinsic_plasticity, {"size": 1}, "size: expected"),
        (intrinsic_plasticity, {"measured": 3}, "measured: expected"),
        (intrinsic_plasticity, {"threshold_std": -1.0}, "threshold_std: expected"),
        (intrinsic_plasticity, {"activity": 1.0}, "activity: expected"),
        (intrinsic_plasticity, {"transfer": "step"}, "transfer: expected"),
        (associative_memory, {"loads": [0.1]}, "loads: expected two or more, ascending"),
        (associative_memory, {"loads": [0.2, 0.1]}, "loads: expected two or more, ascending"),
        (associative_memory, {"asymmetries": []}, "asymmetries: expected at least one"),
        (associative_memory, {"asymmetries": [1.2]}, "asymmetries: expected"),
        (associative_memory, {"wrong": 0.6}, "wrong: expected"),
        (pattern_memory, {"kinds": []}, "kinds: expected at least one"),
        (pattern_memory, {"kinds": ["faces"]}, "kinds: expected one of random bits, digits"),
        (pattern_memory, {"bits": 1}, "bits: expected"),
        (pattern_memory, {"iterations": 10}, "iterations: expected"),
        (pattern_memory, {"rate": 2.0}, "rate: expected"),
    ],
)
def test_wrong_arguments(study, settings, message):
    with pytest.raises(ValueError, match=message):
        next(study.run(**settings))
