"""The studies of learning and memory at the edge of chaos: records grow, budgets are equal."""

import csv
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sntorch as snt
from sntorch.plot import plot
from sntorch.studies import flossing, gain_sweep, memory_capacity
from sntorch.studies.contenders import delayed, learner, memory, network, reading
from sntorch.studies.study import keep, write
from sntorch.training import orthogonal_rnn


@pytest.fixture(scope="module")
def memories():
    settings = {"gains": [0.5, 0.9, 3.0], "size": 20, "networks": 2, "samples": 300, "delays": 40}
    return list(memory_capacity.run(**settings))


FLOSSING: dict[str, Any] = {
    "size": 8, "k": 2, "delay": 4, "updates": 12, "pretrain": 3, "every_n_steps": 2, "until": 4,
    "seeds": 2, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def flossed():
    return list(flossing.run(**FLOSSING))


SWEEP: dict[str, Any] = {
    "delay": 2, "size": 10, "updates": 4, "samples": 80, "delays": 12, "seeds": 2,
    "gains": [0.4, 0.9, 2.5], "swept": ["frozen", "trained"], "fixed": ["lstm"], "read": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def swept():
    return list(gain_sweep.run(**SWEEP))


def test_gains_come_one_by_one_and_the_peak_is_named(memories):
    assert [each.progress[:5] for each in memories] == ["[1/3]", "[2/3]", "[3/3]"]
    last = memories[-1]
    assert last.memory.shape == last.exponents.shape == (3, 2)
    assert torch.equal(memories[0].memory[0], last.memory[0])
    assert bool((last.exponents.mean(1).diff() > 0).all())
    assert last.memory[2].mean() < last.memory.mean(1).max()
    scalars = last.scalars()
    x, y = last.gains.log().numpy(), last.memory.mean(1).numpy()
    a, b, c = np.polyfit(x, y, 2)  # through all three points
    assert scalars["peak/gain"] == pytest.approx(math.exp(-b / (2 * a)))
    assert scalars["peak/memory"] == pytest.approx(c - b**2 / (4 * a))
    assert scalars["peak/memory_stderr"] > 0
    inside = abs(scalars["peak/exponent"]) <= 0.1
    assert (": within 0.1" in last.table()) == inside
    assert last.table().count("±") == 8
    assert "end of the range" not in last.table()
    assert "end of the range" in memories[0].table()


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


def test_the_gradient_goes_back_as_its_rate_says(flossed):
    last = flossed[-1]
    steps = last.norms.shape[-1]
    assert last.norms.shape == (2, 2, 2, steps)
    slope = (last.norms[..., -1] - last.norms[..., steps // 4]) / (steps - 1 - steps // 4)
    torch.testing.assert_close(slope, last.decay, atol=0.02, rtol=0)
    gap, error = last.mismatch
    assert abs(gap) < 0.02
    assert error < 0.02
    assert last.table().count("errors.") == 1
    row = last.rows()[1]
    assert (row["seed"], row["way"], row["batches"]) == (5, "flossed", 7)
    assert row["gradient after"] == float(last.decay[0, 1, 1])


def test_the_sweep_measures_every_kind_before_and_after(swept):
    last = swept[-1]
    assert len(swept) == last.planned == 6 + 1
    assert last.accuracy.shape == (7, 2)
    assert last.exponents.shape == last.memory.shape == last.memory_exponents.shape == (7, 2, 2)
    frozen, trained = (last.points(f"SNT, {kind}") for kind in ("frozen", "trained"))
    for values in (last.exponents, last.memory, last.memory_exponents):
        assert torch.equal(values[frozen, :, 0], values[frozen, :, 1])
        assert torch.equal(values[frozen, :, 0], values[trained, :, 0])  # the same networks
        assert (values[trained, :, 0] != values[trained, :, 1]).all()
    assert (last.exponents[frozen, :, 0].diff(dim=0) > 0).all()
    assert last.swept == ["SNT, frozen", "SNT, trained"]
    assert last.gains[6:].isnan().all()


def test_the_peak_of_the_sweep_is_where_the_mean_is_largest(swept):
    last = dataclasses.replace(
        swept[-1],
        accuracy=torch.tensor([[0.5, 0.6], [0.9, 0.8], [0.8, 0.8]] + 4 * [[0.5, 0.5]]),
        exponents=torch.linspace(-1.2, -0.6, 7).reshape(7, 1, 1).expand(7, 2, 2),
    )
    best, low, high = last.best("SNT, frozen")
    assert best == 1
    assert (low, high) == pytest.approx((-1.1, -1.1))
    alike = dataclasses.replace(
        last, accuracy=last.accuracy + torch.tensor([0.0, 0.0, 0.03] + 4 * [0.0])[:, None]
    )
    assert alike.best("SNT, frozen")[1:] == pytest.approx((-1.1, -1.0))
    assert "stays away from the edge" in last.table()
    near = dataclasses.replace(last, exponents=last.exponents + 1.05)
    assert "reaches the edge" in near.table().splitlines()[-3]


@pytest.mark.parametrize(
    ("exponents", "words"),
    [
        ([-0.07, -0.05], "an exponent of 0.060 ± 0.010 below the edge, within 0.1 of it"),
        ([-0.13, -0.11], "0.120 ± 0.010 below the edge, not within 0.1"),
        ([0.09, 0.13], "0.110 ± 0.020 above the edge, within errors of 0.1"),
    ],
)
def test_the_report_says_how_far_from_the_edge_memory_is_largest(swept, exponents, words):
    at = swept[-1].points("SNT, frozen")
    memory, against = (torch.zeros(7, 2, 2, dtype=torch.float64) for _ in range(2))
    memory[at] = torch.tensor([4.0, 5.0, 4.0]).double()[:, None, None]
    against[at] = torch.tensor([[-0.5, -0.5], exponents, [0.3, 0.3]]).double()[..., None]
    gains = swept[-1].gains.clone()
    gains[at] = torch.tensor([0.5, 1.0, 2.0]).double()  # symmetric: the top is at gain 1
    last = dataclasses.replace(swept[-1], memory=memory, memory_exponents=against, gains=gains)
    assert words in last.table().splitlines()[-1]
    assert last.scalars()["SNT, frozen/memory"] == pytest.approx(5)
    memory[at] = torch.tensor([4.0, 5.0, 6.0]).double()[:, None, None]
    assert "at an end of the gains, 2:" in last.table().splitlines()[-1]


@pytest.mark.slow
def test_plastic_networks_are_swept_too():
    settings: dict[str, Any] = SWEEP | {"swept": ["plastic"]}
    found = next(gain_sweep.run(**settings))
    assert found.kinds == ("SNT, plastic",)
    assert found.memory.isfinite().all()
    assert (found.exponents[..., 0] > math.log(0.9) - 0.05).all()  # what the trace forgets per step


def test_the_sweep_writes_a_file_of_rows(swept, tmp_path):
    write(swept[-1], tmp_path)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert rows[3]["network"] == "SNT, frozen"
    assert float(rows[3]["gain"]) == 0.9
    assert float(rows[3]["memory before"]) == float(swept[-1].memory[1, 1, 0])
    assert (tmp_path / "report.png").stat().st_size > 10_000


def fields(record):
    return [
        value for value in dataclasses.asdict(record).values() if isinstance(value, torch.Tensor)
    ]


def test_a_study_goes_on_where_it_was_stopped(flossed, swept, tmp_path, monkeypatch):
    settings: dict[str, Any] = FLOSSING | {"known": str(tmp_path / "record.pt")}
    keep(flossed[0], tmp_path)
    found = list(flossing.run(**settings))
    assert len(found) == 2
    assert all(map(same, fields(found[-1]), fields(flossed[-1])))
    assert found[-1].rows() == flossed[-1].rows()
    settings["delay"] = 6
    with pytest.raises(ValueError, match=r"known: expected a record with task '.* delay 6"):
        next(flossing.run(**settings))
    settings["known"] = "nowhere"
    with pytest.raises(ValueError, match="known: expected the record of a study, got nowhere"):
        next(flossing.run(**settings))
    keep(swept[-2], tmp_path)
    tried = []
    monkeypatch.setattr(gain_sweep, "learner", lambda *args: tried.append(1) or learner(*args))
    found = list(gain_sweep.run(**SWEEP, known=str(tmp_path / "record.pt")))
    assert len(tried) == 2  # the seeds of the point that was missing
    assert found[-1].kinds == swept[-1].kinds
    assert all(map(same, fields(found[-1]), fields(swept[-1])))


def same(a, b):
    return torch.equal(a.nan_to_num(7), b.nan_to_num(7))


def test_contenders_are_functions_of_their_seed():
    x = torch.randn(2, 5, 1, generator=torch.Generator())
    for kind in ("snt", "orthogonal", "rnn", "gru", "lstm"):
        outputs = [network(kind, 1, 6, seed)(x)[0] for seed in (0, 0, 1)]
        assert torch.equal(outputs[0], outputs[1])
        assert not torch.equal(outputs[0], outputs[2])
    layer = network("orthogonal", 1, 6, 0, gain=0.7)
    W = layer.get_parameter("weight_hh_l0")
    torch.testing.assert_close(W @ W.T, 0.49 * torch.eye(6))


def test_test_sequences_are_read_one_after_another():
    task = delayed("copy", 3, 0)
    x = reading(task, 20, 3)
    tests = task.parts["test"].tensors[0]
    assert x.shape == (21, 3, 5)
    assert torch.equal(x[:, 1], tests[3:6].flatten(0, 1))


def test_memory_of_a_network_with_two_inputs_is_that_of_one():
    two, one = nn.RNN(2, 6, batch_first=True), nn.RNN(1, 6, batch_first=True)
    with torch.no_grad():
        for name, p in one.named_parameters():
            other = two.get_parameter(name)
            p.copy_(other.sum(1, keepdim=True) / 2**0.5 if name == "weight_ih_l0" else other)
    assert memory(two, 2, 60, 5) == pytest.approx(memory(one, 1, 60, 5))


def test_an_orthogonal_rnn_is_an_rnn_with_orthogonal_weights():
    layer = orthogonal_rnn(2, 5, gain=1.5, nonlinearity="relu", batch_first=True)
    assert isinstance(layer, nn.RNN)
    assert layer.batch_first
    assert layer.nonlinearity == "relu"
    J = layer.get_parameter("weight_hh_l0")
    assert J.requires_grad
    torch.testing.assert_close(torch.linalg.svdvals(J), torch.full((5,), 1.5))
    spectrum = snt.analysis.lyapunov_spectrum(
        orthogonal_rnn(1, 5, nonlinearity="relu").double(), torch.zeros(5).double(), 3, k=1
    )
    assert spectrum.exponents.shape == (1,)
    for wrong in ({"gain": 0.0}, {"nonlinearity": "gelu"}, {"hidden_size": 0}):
        settings: dict[str, Any] = {"input_size": 1, "hidden_size": 4} | wrong
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
            orthogonal_rnn(**settings)


@pytest.mark.slow
def test_same_seed_same_numbers_whatever_was_drawn_before():
    settings: dict[str, Any] = {"size": 6, "k": 1, "delay": 4, "updates": 4, "pretrain": 1}
    found = []
    for _ in range(2):
        torch.rand(3)
        (study,) = flossing.run(**settings, every_n_steps=0, seeds=1)
        found.append(study)
    assert torch.equal(found[0].accuracy, found[1].accuracy)
    assert torch.equal(found[0].exponents, found[1].exponents)


def test_pictures(memories, flossed, swept):
    for study in (memories[0], memories[-1], flossed[0], flossed[-1], swept[0], swept[-1]):
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
        (gain_sweep.run, {"gains": [1.0]}, "gains: expected two or more, ascending"),
        (gain_sweep.run, {"swept": ["tamed"]}, "swept: expected one of frozen"),
        (gain_sweep.run, {"fixed": ["esn"]}, "fixed: expected one of orthogonal"),
        (gain_sweep.run, {"swept": [], "fixed": []}, "swept: expected a network"),
        (gain_sweep.run, {"samples": 130}, "samples: expected .* 131"),
        (gain_sweep.run, {"samples": 130, "delays": 200}, "samples: expected .* 201"),
        (gain_sweep.run, {"seeds": 1}, "seeds: expected"),
        (gain_sweep.run, {"read": 0}, "read: expected"),
        (gain_sweep.run, {"task": "xor"}, "task: expected one of delayed_xor, copy"),
        (gain_sweep.run, {"delay": 5}, "delay: expected an even number"),
        (flossing.run, {"seeds": 0}, "seeds: expected"),
        (flossing.run, {"delay": 5}, "delay: expected an even number"),
    ],
)
def test_wrong_arguments_are_named(run, settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))
