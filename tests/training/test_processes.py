"""Two processes learn what one learns, and only the first of them watches."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from scenes import IN, STEPS, monitors, snt_model, trainer, weights
from torch.utils.data import TensorDataset

import sntorch as snt
from sntorch.training import ExactResume, LocalRule, RunRecorder
from sntorch.training.experiment import conduct
from sntorch.training.tasks import BlockSampler, EpochSampler, Task


class Sums(Task):
    """The sign of a sum; 48 sequences to train on, and 21, which two cannot share, to validate."""

    input_size, output_size, chance, good = IN, 2, 0.5, 0.9

    def setup(self, stage):
        x = torch.randn(69, STEPS, IN, generator=torch.Generator())
        y = (x.sum((1, 2)) > 0).long()
        self.parts = {
            "train": TensorDataset(x[:48], y[:48]),
            "val": TensorDataset(x[48:], y[48:]),
            "test": TensorDataset(x[48:], y[48:]),
        }


class Notes(pl.Callback):
    """Writes down what a process knows at the end."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        callbacks = getattr(trainer, "callbacks", [])
        watched = [c for c in callbacks if isinstance(c, snt.training.Monitor)]
        seen = {
            "weights": weights(pl_module),
            "metrics": {key: float(value) for key, value in trainer.callback_metrics.items()},
            "records": sum(len(monitor.before) for monitor in watched),
            "draw": torch.rand(1),
        }
        torch.save(seen, self.folder / f"{trainer.global_rank}.pt")


def run(folder, batch, *extra, **settings):
    """Train and return what each process knows."""
    folder.mkdir()
    best = ModelCheckpoint(folder / "kept", monitor="lyapunov/max", save_on_train_epoch_end=True)
    seen = [*monitors(every_n_epochs=1, rows=8), RunRecorder("lyapunov/max"), ExactResume(), best]
    runner = trainer(3, [*seen, *extra, Notes(folder)], enable_checkpointing=True, **settings)
    runner.fit(snt_model(noise=0.0), Sums(batch, seed=2))
    return [torch.load(folder / f"{rank}.pt") for rank in range(runner.world_size)], folder


# A run is taken up in the folder that it left.
pytestmark = pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:UserWarning")

# Processes that are made from this one need not import everything again.
TWO = {"devices": 2, "strategy": "ddp_fork"}


def test_two_processes_learn_what_one_learns_and_the_first_alone_watches(tmp_path):
    (one,), _ = run(tmp_path / "one", 16)
    (first, second), folder = run(tmp_path / "two", 8, **TWO)
    assert torch.equal(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], one["weights"], rtol=1e-4, atol=1e-6)
    assert first["metrics"].keys() == one["metrics"].keys()
    for name in ("val/loss", "val/accuracy", "lyapunov/max", "spectrum/radius"):
        assert first["metrics"][name] == second["metrics"][name]
        assert first["metrics"][name] == pytest.approx(one["metrics"][name], rel=1e-3, abs=1e-5)
    assert (first["records"], second["records"]) == (one["records"], 0)
    assert first["records"] > 0
    assert len(list((folder / "kept").iterdir())) == 1
    # ... but noise is not the same in all of them
    assert first["draw"] == one["draw"] != second["draw"]


@pytest.mark.slow
def test_two_processes_are_taken_up_to_the_same_bits_each_with_its_noise(tmp_path):
    def learned(folder, epochs, ckpt=None, seed=1):
        folder.mkdir(exist_ok=True)
        last = ModelCheckpoint(
            folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
        )
        callbacks = [ExactResume(), last, Notes(folder)]
        runner = trainer(epochs, callbacks, enable_checkpointing=True, seed=seed, **TWO)
        runner.fit(snt_model(noise=0.3), Sums(8, seed=2), ckpt_path=ckpt)
        return [torch.load(folder / f"{rank}.pt") for rank in range(2)]

    whole = learned(tmp_path / "whole", 2)
    learned(tmp_path / "parts", 1)
    parts = learned(tmp_path / "parts", 2, tmp_path / "parts" / "last.ckpt", seed=9)
    for straight, resumed in zip(whole, parts, strict=True):
        assert torch.equal(straight["weights"], resumed["weights"])
        assert torch.equal(straight["draw"], resumed["draw"])
    assert whole[0]["draw"] != whole[1]["draw"]


@pytest.mark.slow
def test_local_rules_keep_the_networks_of_two_processes_the_same(tmp_path):
    rule = snt.plasticity.HebbianForgetting(forgetting=0.999, rate=1e-2, activity=0.0)
    (first, second), _ = run(tmp_path / "two", 8, LocalRule(rule, rows=4), **TWO)
    assert torch.equal(first["weights"], second["weights"])


def test_accumulated_batches_are_one_larger_batch(tmp_path):
    (large,), _ = run(tmp_path / "large", 16)
    (small,), _ = run(tmp_path / "small", 8, accumulate_grad_batches=2)
    torch.testing.assert_close(small["weights"], large["weights"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [48, 49])
def test_samplers_share_out_every_sample(size):
    whole = list(EpochSampler(size, 3, lambda: 5))
    parts = [list(EpochSampler(size, 3, lambda: 5, rank=r, processes=2)) for r in (0, 1)]
    assert len(parts[0]) == len(parts[1]) == -(-size // 2)
    together = [sample for pair in zip(*parts, strict=True) for sample in pair]
    assert together[:size] == whole
    assert together[size:] == whole[: len(together) - size]
    blocks = [BlockSampler(size, rank=r, processes=3) for r in range(3)]
    assert [sample for block in blocks for sample in block] == list(range(size))
    assert [len(list(block)) for block in blocks] == [len(block) for block in blocks]


def test_processes_whose_memory_would_be_lost_are_refused(tmp_path):
    runner = trainer(1, [RunRecorder()], **TWO)
    with pytest.raises(ValueError, match=r"trainer.strategy: expected ddp or another"):
        conduct(runner, snt_model(), Sums(16, 0), folder=tmp_path, title="lost")


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precision_is_refused_where_somebody_watches(precision):
    runner = trainer(1, monitors(), precision=precision)
    with pytest.raises(ValueError, match=r"trainer.precision: expected 32-true"):
        runner.fit(snt_model(), Sums(16, 0))


def test_mixed_precision_learns_about_the_same(tmp_path):
    (full,), _ = run(tmp_path / "full", 16)
    (mixed,), _ = run(tmp_path / "mixed", 16, precision="bf16-mixed")
    assert not torch.equal(mixed["weights"], full["weights"])
    torch.testing.assert_close(mixed["weights"], full["weights"], rtol=0, atol=5e-3)
    assert mixed["metrics"]["lyapunov/max"] == pytest.approx(
        full["metrics"]["lyapunov/max"], abs=0.02
    )
