"""Tasks whose data are made: what the targets are, step by step, and what chance is."""

import re

import numpy as np
import pytest
import torch
from scenes import trainer
from torch import nn

from sntorch.training import (
    AddingTask,
    CopyTask,
    DelayedXorTask,
    FlipFlopTask,
    LorenzTask,
    MackeyGlassTask,
    MemoryTask,
    SequenceModel,
    Task,
)
from sntorch.training.tasks import EpochSampler

SMALL = {"sequences": 64, "held_out": 32, "batch_size": 16}
KINDS = {
    "flip-flop": lambda **s: FlipFlopTask(steps=12, rate=0.2, **SMALL | s),
    "copy": lambda **s: CopyTask(delay=3, length=2, symbols=3, **SMALL | s),
    "adding": lambda **s: AddingTask(steps=9, **SMALL | s),
    "xor": lambda **s: DelayedXorTask(delay=4, steps=12, **SMALL | s),
    "memory": lambda **s: MemoryTask(delays=5, steps=9, **SMALL | s),
    "Mackey-Glass": lambda **s: MackeyGlassTask(steps=10, horizon=3, **SMALL | s),
    "Lorenz": lambda **s: LorenzTask(steps=10, horizon=3, **SMALL | s),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def data(task, part="train"):
    task.setup("fit")
    return task.parts[part].tensors


@every_kind
def test_a_task_says_what_it_is(kind):
    task = KINDS[kind]()
    assert isinstance(task, Task)
    assert task.kind in ("classification", "regression")
    better = task.good > task.chance if task.kind == "classification" else task.good < task.chance
    assert better


@every_kind
def test_sizes_are_as_stated_and_the_seed_decides(kind):
    task = KINDS[kind]()
    for part, size in (("train", 64), ("val", 32), ("test", 32)):
        x, y = data(task, part)
        steps = (task.steps,) if task.when == "every" else ()
        assert x.shape == (size, task.steps, task.input_size)
        assert x.dtype == torch.float32
        assert x.isfinite().all()
        if task.kind == "classification":
            assert y.dtype == torch.long
            assert set(y.unique().tolist()) - {-100} == set(range(task.output_size))
            assert y.shape == (size, *steps)
        else:
            assert y.shape == (size, *steps, task.output_size)
    torch.rand(1)
    same, other = data(KINDS[kind]()), data(KINDS[kind](seed=1))
    assert all(torch.equal(a, b) for a, b in zip(data(task), same, strict=True))
    assert not torch.equal(data(task)[0], other[0])
    assert not torch.equal(data(task)[0][:32], data(task, "test")[0])
    loader = task.train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    assert next(iter(loader))[0].shape[0] == 16


@every_kind
def test_chance_is_what_the_best_constant_answer_scores(kind):
    task = KINDS[kind](sequences=400)
    _, y = data(task)
    if task.kind == "classification":
        known = y[y != -100]
        share = torch.bincount(known).max() / len(known)
        assert float(share) == pytest.approx(task.chance, abs=0.06)
    else:
        flat = y.flatten(0, -2)
        assert float(flat.var(0, correction=0).mean()) == pytest.approx(task.chance, rel=0.15)


def test_switches_hold_the_last_pulse():
    x, y = data(KINDS["flip-flop"]())
    for row in range(8):
        for channel in range(3):
            held = 0.0
            for t in range(12):
                held = float(x[row, t, channel]) or held
                assert y[row, t, channel] == held
    assert float((x[:, 1:] != 0).float().mean()) == pytest.approx(0.2, abs=0.05)


def test_symbols_come_back_after_the_delay():
    x, y = data(KINDS["copy"]())
    assert x.shape[1] == 2 + 3 + 2
    assert torch.equal(x[:, :2, :3].argmax(-1), y[:, -2:])
    assert (x[:, :2].sum(-1) == 1).all()
    assert (y[:, :-2] == -100).all()
    cue = torch.zeros(7)
    cue[4] = 1
    assert (x[:, :, 3] == cue).all()
    assert (x[:, 2:, :3] == 0).all()


def test_marked_numbers_are_added():
    x, y = data(KINDS["adding"]())
    assert (x[:, :4, 1].sum(1) == 1).all()
    assert (x[:, 4:, 1].sum(1) == 1).all()
    torch.testing.assert_close((x[..., 0] * x[..., 1]).sum(1), y[:, 0])


def test_xor_of_two_past_bits():
    x, y = data(KINDS["xor"]())
    bits = x[..., 0] > 0
    assert (y[:, :4] == -100).all()
    for t in range(4, 12):
        assert torch.equal(y[:, t].bool(), bits[:, t - 2] ^ bits[:, t - 4])


def test_memory_is_of_the_past():
    x, y = data(KINDS["memory"]())
    for t in range(9):
        for d in range(1, 6):
            past = x[:, t - d, 0] if t >= d else torch.zeros(64)
            assert torch.equal(y[:, t, d - 1], past)
    assert float(x.var()) == pytest.approx(1, abs=0.1)
    assert MemoryTask(delays=9, steps=50).chance == pytest.approx(
        sum(50 - d for d in range(1, 10)) / 450
    )


@pytest.mark.parametrize("kind", ["Mackey-Glass", "Lorenz"])
def test_the_target_is_the_future(kind):
    task = KINDS[kind]()
    x, y = data(task)
    assert torch.equal(x[:, 3:], y[:, :-3])
    assert x.mean().abs() < 0.2
    assert len({tuple(row) for row in x[:, 0].tolist()}) == len(x)


def test_mackey_glass_obeys_its_equation():
    fine = MackeyGlassTask().series(3, 120, np.random.default_rng(0))[..., 0]
    past, now = fine[:, :-17], fine[:, 17:]
    right = 0.2 * past / (1 + past**10) - 0.1 * now
    simpson = (right[:, :-2] + 4 * right[:, 1:-1] + right[:, 2:]) / 3
    change = now[:, 2:] - now[:, :-2]
    assert np.abs(change - simpson).max() < 0.02 * np.abs(change).max()
    assert 0.2 < fine.min() < fine.max() < 1.5
    assert fine.std() > 0.15


def test_lorenz_is_on_its_attractor():
    values = LorenzTask().series(200, 40, np.random.default_rng(0))
    assert values[..., 2].mean() == pytest.approx(23.5, abs=0.6)
    assert values.std((0, 1)) == pytest.approx([7.9, 9.0, 8.6], abs=0.6)


@every_kind
def test_a_model_of_the_same_shape_trains(kind):
    task = KINDS[kind]()
    layer = nn.GRU(task.input_size, 6, batch_first=True)
    model = SequenceModel(layer, task.output_size, kind=task.kind, when=task.when)
    runner = trainer(1, limit_train_batches=1, limit_val_batches=1)
    runner.fit(model, task)
    assert np.isfinite(float(runner.callback_metrics["val/loss"]))


def test_steps_that_do_not_count_are_left_out_of_the_accuracy():
    class Known(SequenceModel):
        def forward(self, x):
            return torch.nn.functional.one_hot(y.clamp(min=0), 3).float() * 50

    task = KINDS["copy"]()
    x, y = data(task, "val")
    task.batch_size = len(x)
    model = Known(nn.GRU(4, 2, batch_first=True), 3, when="every")
    found = trainer(1).validate(model, task, verbose=False)[0]
    assert found["val/accuracy"] == 1
    assert found["val/loss"] < 1e-6


def test_a_class_that_is_none_is_refused_before_training():
    task = KINDS["xor"]()
    data(task, "test")[1][3, 7] = 2
    model = SequenceModel(nn.GRU(1, 4, batch_first=True), 2, when="every")
    with pytest.raises(ValueError, match="y of test: expected classes 0 to 1, or -100, got 2"):
        trainer(1).fit(model, task)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": 2}, "input_size: expected 1, that of DelayedXorTask, got 2"),
        ({"outputs": 3}, "output_size: expected 2, that of DelayedXorTask, got 3"),
        ({"kind": "regression"}, "kind: expected 'classification', that of Delayed"),
        ({"when": "last"}, "when: expected 'every', that of DelayedXorTask, got 'last'"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_by_name(settings, message):
    given = {"kind": "classification", "when": "every"} | settings
    layer = nn.GRU(given.pop("inputs", 1), 4, batch_first=True)
    model = SequenceModel(layer, given.pop("outputs", 2), **given)
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer(1).fit(model, KINDS["xor"]())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayedXorTask(delay=40, steps=40), "delay: expected .* 2 <= delay <= 39, got 40"),
        (lambda: DelayedXorTask(delay=3), "delay: expected an even number, got 3"),
        (lambda: CopyTask(delay=0), "delay: expected"),
        (lambda: CopyTask(symbols=1), "symbols: expected"),
        (lambda: AddingTask(steps=1), "steps: expected"),
        (lambda: FlipFlopTask(bits=0), "bits: expected"),
        (lambda: FlipFlopTask(rate=1.5), "rate: expected"),
        (lambda: FlipFlopTask(sequences=0), "sequences: expected"),
        (lambda: FlipFlopTask(held_out=0), "held_out: expected"),
        (lambda: MemoryTask(delays=60), "delays: expected .* 1 <= delays <= 59, got 60"),
        (lambda: MemoryTask(delays=0), "delays: expected"),
        (lambda: MackeyGlassTask(tau=17.05), "tau: expected a multiple of 0.1"),
        (lambda: MackeyGlassTask(horizon=0), "horizon: expected"),
        (lambda: LorenzTask(dt=1.0), "dt: expected"),
        (lambda: LorenzTask(seed=-1), "seed: expected"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
