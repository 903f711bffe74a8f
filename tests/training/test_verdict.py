"""What a run that learned a potential ends with: records of both ends, a report, and a table."""

from typing import Any

import matplotlib
import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import NeuralPotential, PotentialMap, teacher_loss
from sntorch.plot import report
from sntorch.results import TrainingHistory
from sntorch.training import ExactResume, PotentialLearner, RunRecorder
from sntorch.training.verdict import table

matplotlib.use("agg")


def learner(f, **options):
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "walkers": 64,
        "burn_in": 20,
        "refresh": 5,
        "batch_size": 32,
        "batches": 4,
    }
    size = f.size
    return PotentialLearner(f, NeuralPotential(size, (8,)), **(settings | options))


def run(model, epochs, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
             "enable_model_summary": False, "accelerator": "cpu"}  # fmt: skip
    recorder = RunRecorder()
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[recorder, ExactResume()], num_sanity_val_steps=1, **quiet
    )
    trainer.fit(model, **options)
    tested = trainer.test(model, verbose=False)[0]
    return trainer, recorder.history(trainer, "a run"), tested


@pytest.fixture(scope="module")
def ring():
    model = learner(snt.systems.StuartLandau(diffusion=0.1), box=([-2.0, -2.0], [2.0, 2.0]))
    return run(model, 2)


def test_a_history_begins_before_training_and_keeps_both_landscapes(ring):
    _, history, _ = ring
    assert history.epoch.tolist() == [0, 1, 2]
    assert bool(history.curves["val/error"].isfinite().all())
    before, after = history.before["landscape"], history.after["landscape"]
    assert isinstance(before, PotentialMap)
    assert not torch.equal(before.potential, after.potential)
    assert torch.equal(before.states, after.states)  # test walkers stand still
    assert_close(history.curves["val/entropy_production_exact"], torch.full((3,), 10.148330))


def test_the_report_has_bracket_defects_and_landscapes(ring):
    fig = report(ring[1])
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert titles[:3] == ["Learning", "Entropy production", "What is wrong with the potential"]
    assert titles.count("Learned landscape") == 2
    bracket = {str(line.get_label()): line for line in fig.axes[1].lines}
    assert {"other states ± s.e.", "states of training", "known"} <= set(bracket)
    low, high = fig.axes[1].get_ylim()
    assert low < 10.148330 < high
    fig.draw_without_rendering()


def test_the_table_says_what_was_measured_and_what_is_known(ring):
    _, history, tested = ring
    lines = table(history, tested).splitlines()
    assert lines[0].split() == ["before", "after", "±", "s.e.", "known"]
    (row,) = [line for line in lines if line.startswith("entropy production")]
    before, after, error, known = map(float, row.split(")")[1].split())
    assert before == pytest.approx(float(history.curves["val/entropy_production"][0]), abs=1e-4)
    assert after == pytest.approx(tested["test/entropy_production"], abs=1e-4)
    assert error == pytest.approx(tested["test/entropy_production_stderr"], abs=1e-4)
    assert known == 10.1483
    assert not any(line.startswith("loss") for line in lines)  # it is the entropy production
    lost = {"walkers/z": 9.0, "walkers/stationary": 0.0, "walkers/escape_rate": 0.5}
    end = table(history, tested | lost).splitlines()[-1]
    assert "NOT in a steady state (deviation 9 s.e.)" in end
    assert "0.5 of them lost" in end
    curves = {"spectrum/radius": torch.tensor([1.0, 0.9])}
    plain = TrainingHistory(
        title="", epoch=torch.arange(2), curves=curves, before={}, after={}
    )  # a network that learned a task
    assert table(plain, {"test/loss": 2.0}).splitlines()[2].split()[-2:] == ["1.0000", "0.9000"]


def test_a_run_that_is_taken_up_keeps_the_landscape_before_training(ring, tmp_path):
    f = snt.systems.StuartLandau(diffusion=0.1)
    box = ([-2.0, -2.0], [2.0, 2.0])
    trainer, history, _ = run(learner(f, box=box), 1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    again = run(learner(f, box=box), 2, ckpt_path=tmp_path / "one.ckpt")[1]
    first, second, last = history.before, again.before, again.after
    shown: list[Any] = [records["landscape"] for records in (first, second, last)]
    assert torch.equal(shown[0].potential, shown[1].potential)
    assert not torch.equal(shown[2].potential, shown[1].potential)


def test_a_taught_potential_starts_from_the_quadratic_like_its_teacher():
    """Of a linear map the speed potential is a quadratic, however close together the states are."""
    M = torch.tensor([[0.5, 0.4, 0.0], [-0.3, 0.2, 0.1], [0.0, 0.3, -0.5]])
    f = snt.as_dynamics(lambda u: u @ M.T, size=3)
    model = learner(f, loss=teacher_loss, burn_in=0, refresh=0, start=0.01, spread=1.0,
                    walkers=1024, batch_size=256)  # fmt: skip
    _, history, tested = run(model, 1)
    assert float(history.curves["val/missed"][0]) < 0.01
    assert "missed of the teacher's squared slope" in table(history, tested)
    assert "walkers/z" not in tested  # no noise, no steady state to be in
    landscape: Any = history.after["landscape"]
    assert landscape.flux.isnan().all()


def test_the_information_of_a_map_is_bracketed():
    """A linear map: I = tr S C^-1 of the stationary covariance C, from the Gaussian start."""
    M = 0.8 * torch.eye(2)
    f = snt.as_dynamics(lambda u: u @ M.T, size=2, noise=0.6)  # C = 0.36 / (1 - 0.64) = 1
    model = learner(f, walkers=4096, burn_in=40, batches=1)
    _, history, tested = run(model, 1)
    for name in ("information", "information_train"):
        assert abs(float(history.curves[f"val/{name}"][0]) - 0.72) < 0.05
    assert "information of the potential" in table(history, tested)
    assert any(ax.get_title(loc="left").startswith("Information") for ax in report(history).axes)
