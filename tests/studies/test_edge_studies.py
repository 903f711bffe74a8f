"""The studies of learning and memory at the edge of chaos: records grow, budgets are equal."""

import math
from typing import Any

import pytest
import torch

from sntorch.plot import plot
from sntorch.studies import flossing, memory_capacity


@pytest.fixture(scope="module")
def memories():
    settings = {"gains": [0.5, 0.9, 3.0], "size": 20, "networks": 2, "samples": 300, "delays": 40}
    return list(memory_capacity.run(**settings))


@pytest.fixture(scope="module")
def flossed():
    settings: dict[str, Any] = {"size": 8, "k": 2, "delay": 4, "updates": 12, "pretrain": 3}
    return list(flossing.run(**settings, every_n_steps=2, until=4, seeds=2))


def test_gains_come_one_by_one_and_the_peak_is_named(memories):
    assert [each.progress[:5] for each in memories] == ["[1/3]", "[2/3]", "[3/3]"]
    last = memories[-1]
    assert last.memory.shape == last.exponents.shape == (3, 2)
    assert torch.equal(memories[0].memory[0], last.memory[0])
    assert bool((last.exponents.mean(1).diff() > 0).all())
    assert last.memory[2].mean() < last.memory.mean(1).max()
    peak = int(last.memory.mean(1).argmax())
    scalars = last.scalars()
    assert scalars["peak/gain"] == float(last.gains[peak])
    assert scalars["peak/exponent"] == float(last.exponents[peak].mean())
    inside = abs(scalars["peak/exponent"]) <= 0.1
    assert (": within 0.1" in last.table()) == inside
    assert last.table().count("±") == 7


def test_both_ways_have_the_same_budget(flossed):
    last = flossed[-1]
    assert [each.progress[:5] for each in flossed] == ["[1/2]", "[2/2]"]
    assert last.batches == (12, 12 - 3 - 2)  # steps before learning, and after batches 0 and 2
    assert last.accuracy.shape == (2, 2)
    assert last.exponents.shape == last.decay.shape == (2, 2, 2)
    assert last.accuracy.min() > 0.3
    gap = last.accuracy[:, 1] - last.accuracy[:, 0]
    mean, error = last.difference
    assert mean == pytest.approx(float(gap.mean()))
    assert error == pytest.approx(float(gap.std()) / math.sqrt(2))
    assert math.isnan(flossed[0].difference[1])
    # torch's initial weights: a random matrix of spectral radius 1 / sqrt(3)
    assert last.exponents[:, 0, 0].mean() == pytest.approx(math.log(3**-0.5), abs=0.25)


def test_the_gradient_shrinks_as_the_exponent_says(flossed):
    last = flossed[-1]
    assert (last.decay[:, 0] - last.exponents[:, 0]).abs().max() < 0.15


def test_same_seed_same_numbers_whatever_was_drawn_before():
    settings: dict[str, Any] = {"size": 6, "k": 1, "delay": 4, "updates": 4, "pretrain": 1}
    found = []
    for _ in range(2):
        torch.rand(3)
        (study,) = flossing.run(**settings, every_n_steps=0, seeds=1)
        found.append(study)
    assert torch.equal(found[0].accuracy, found[1].accuracy)
    assert torch.equal(found[0].exponents, found[1].exponents)


def test_pictures(memories, flossed):
    for study in (memories[0], memories[-1], flossed[0], flossed[-1]):
        assert study.picture().axes
        assert study.table()
    assert "nats / step" in plot(memories[-1]).get_xlabel()
    assert "nats / step" in plot(flossed[-1]).get_xlabel()


@pytest.mark.parametrize(
    ("run", "settings", "message"),
    [
        (memory_capacity.run, {"gains": [1.0]}, "gains: expected two or more, ascending"),
        (memory_capacity.run, {"gains": [1.0, 0.5]}, "gains: expected two or more, ascending"),
        (memory_capacity.run, {"networks": 1}, "networks: expected"),
        (memory_capacity.run, {"samples": 50}, "samples: expected"),
        (memory_capacity.run, {"amplitude": 0}, "amplitude: expected"),
        (memory_capacity.run, {"noise": -1}, "noise: expected"),
        (flossing.run, {"task": "xor"}, "task: expected one of delayed_xor, copy"),
        (flossing.run, {"k": 65}, "k: expected .* 64, got 65"),
        (flossing.run, {"target": 20.0}, "target: expected"),
        (flossing.run, {"updates": 20}, "updates: expected"),
        (flossing.run, {"seeds": 0}, "seeds: expected"),
        (flossing.run, {"delay": 5}, "delay: expected an even number"),
    ],
)
def test_wrong_arguments_are_named(run, settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))
