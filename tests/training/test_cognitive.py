"""Trials of NeuroGym as sequences: by environments made here, and by real ones if there are."""

import sys
from types import SimpleNamespace as Space
from typing import Any

import numpy as np
import pytest
import torch
from scenes import trainer
from torch import nn

from sntorch.training import NeuroGymTask, SequenceModel


class Matching:
    """A sample, a delay of random length, a probe, and a step that asks whether they are equal."""

    observation_space, action_space = Space(shape=(2, 2)), Space(shape=(), n=3)

    def __init__(self, longest=3):
        self.longest, self.resets = longest, 0

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.resets += 1

    def new_trial(self):
        delay, (sample, probe) = (
            self.rng.integers(1, self.longest + 1),
            self.rng.integers(2, size=2),
        )
        self.ob = np.zeros((delay + 3, 2, 2), dtype=np.float32)
        self.ob[0, 0, sample] = self.ob[delay + 1, 1, probe] = 1
        self.gt = np.zeros(delay + 3, dtype=int)
        self.gt[-1] = 1 + (sample == probe)


class Following(Matching):
    """Two numbers to follow: a regression."""

    observation_space, action_space = Space(shape=(2,)), Space(shape=(2,))

    def new_trial(self):
        self.ob = self.rng.standard_normal((4, 2))
        self.gt = 3 * self.ob + 1


SMALL: dict[str, Any] = {"steps": 20, "sequences": 200, "held_out": 16, "batch_size": 16}


def made(env, **settings):
    task = NeuroGymTask(env, **SMALL | settings)
    task.setup("fit")
    return task


def test_trials_follow_each_other_from_the_start_of_a_sequence():
    task = made(Matching())
    assert (task.input_size, task.output_size, task.kind, task.when) == (
        4, 3, "classification", "every",
    )  # fmt: skip
    x, y = task.parts["train"].tensors
    assert (x.shape, y.shape, y.dtype) == ((200, 20, 4), (200, 20), torch.long)
    assert (x[:, 0, :2].sum(-1) == 1).all()  # a sample comes first
    for row, answers in zip(x[:8], y[:8], strict=True):
        sample = probe = -1
        for seen, answer in zip(row, answers, strict=True):
            sample = int(seen[:2].argmax()) if seen[:2].any() else sample
            assert answer == (0 if probe < 0 else 1 + (sample == probe))
            probe = int(seen[2:].argmax()) if seen[2:].any() else -1
    assert set(y.unique().tolist()) == {0, 1, 2}


def test_what_is_uncounted_counts_neither_in_chance_nor_in_targets():
    whole, asked = made(Matching()), made(Matching(), uncounted=0)
    counts = torch.bincount(whole.parts["train"].tensors[1].flatten())
    assert whole.chance == pytest.approx(float(counts.max() / counts.sum()), abs=0.02)
    assert whole.chance > 0.75
    assert asked.chance == pytest.approx(0.5, abs=0.1)
    y, told = (task.parts["train"].tensors[1] for task in (whole, asked))
    assert torch.equal(told, torch.where(y == 0, -100, y))


def test_numbers_are_a_regression_whose_chance_is_their_variance():
    task = made(Following())
    x, y = task.parts["train"].tensors
    torch.testing.assert_close(y, 3 * x + 1)
    assert task.kind == "regression"
    assert task.chance == pytest.approx(9, rel=0.1)


def test_the_seed_decides_and_parts_differ():
    first, again, other = made(Matching()), made(Matching()), made(Matching(), seed=1)
    x = first.parts["train"].tensors[0]
    assert torch.equal(x, again.parts["train"].tensors[0])
    assert not torch.equal(x, other.parts["train"].tensors[0])
    assert not torch.equal(first.parts["val"].tensors[0], first.parts["test"].tensors[0])
    assert first.env.resets == 5  # before each part, before chance is told, and at the door


def test_a_model_of_the_same_shape_trains():
    task = made(Matching(), uncounted=0)
    model = SequenceModel(nn.GRU(4, 6, batch_first=True), 3, when="every")
    runner = trainer(1, limit_train_batches=1, limit_val_batches=1)
    runner.fit(model, task)
    assert np.isfinite(float(runner.callback_metrics["val/loss"]))


class Beyond(Matching):
    """An answer that is no action."""

    action_space = Space(shape=(), n=2)


class Bandit(Matching):
    """Nothing that is right."""

    def new_trial(self):
        self.ob = np.zeros((3, 2, 2))


class Short(Matching):
    """An answer is missing."""

    def new_trial(self):
        super().new_trial()
        self.gt = self.gt[1:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuroGymTask(Beyond()), "env: expected answers 0 to 1, .* of Beyond, got 2"),
        (lambda: NeuroGymTask(Bandit()), "env: expected trials with ob and gt, got Bandit"),
        (lambda: NeuroGymTask(Short()), "env: expected an answer for each of .*Short"),
        (lambda: NeuroGymTask(Matching(), steps=2), "steps: expected .* got 2"),
        (lambda: NeuroGymTask(Matching(), uncounted=3), "uncounted: expected .* got 3"),
        (lambda: NeuroGymTask(Following(), uncounted=0), "uncounted: expected None, Following"),
        (lambda: NeuroGymTask(Matching(), sequences=0), "sequences: expected"),
        (lambda: NeuroGymTask(3), "env: expected trials with ob and gt, got int"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_without_neurogym_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurogym", None)
    with pytest.raises(ImportError, match=r"neurogym: .* pip install sntorch\[neurogym\]"):
        NeuroGymTask("PerceptualDecisionMaking-v0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "sizes", "kind", "chance"),
    [
        ("PerceptualDecisionMaking-v0", (3, 3), "classification", 0.5),
        ("DelayMatchSample-v0", (3, 3), "classification", 0.5),
        ("ContextDecisionMaking-v0", (5, 3), "classification", 0.5),
        ("yang19.dms-v0", (33, 17), "classification", 1 / 16),
        ("ReachingDelayResponse-v0", (2, 2), "regression", None),
    ],
)
def test_real_environments(env, sizes, kind, chance):
    pytest.importorskip("neurogym")
    settings = {"uncounted": 0} if kind == "classification" else {}
    task, again = (made(env, steps=80, **settings) for _ in range(2))
    assert (task.input_size, task.output_size, task.kind) == (*sizes, kind)
    pairs = zip(task.parts["train"].tensors, again.parts["train"].tensors, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert task.parts["train"].tensors[0].isfinite().all()
    if chance is not None:
        assert task.chance == pytest.approx(chance, abs=0.08)
    assert not task.good < task.chance  # NaN where nobody measured


def test_a_name_that_is_none_and_answers_that_are_none_are_refused():
    pytest.importorskip("neurogym")
    with pytest.raises(ValueError, match="env: expected a task of NeuroGym, got 'Nothing-v0': "):
        NeuroGymTask("Nothing-v0")
    with pytest.raises(ValueError, match=r"env: expected a task .*'GoNogo-v0': .*zz"):
        NeuroGymTask("GoNogo-v0", options={"zz": 1})
    with pytest.raises(ValueError, match="env: expected answers 0 to 2, the actions of Reaching1D"):
        NeuroGymTask("Reaching1D-v0", sequences=64)
