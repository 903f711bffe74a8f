import math
import random
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from scenes import TinyTask, monitors, snt_model, trainer, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sntorch.training import ExactResume, RunRecorder

EPOCHS, INTERRUPTED = 4, 2

# A run is taken up in the folder that it left.
pytestmark = pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:UserWarning")


class Interrupt(pl.Callback):
    """Ends a run in the middle of an epoch, after one more step than the checkpoint knows."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == INTERRUPTED and batch_idx == 1:
            raise KeyboardInterrupt


def run(folder, *extra, ckpt=None, seed=1, purge=None):
    model: Any = snt_model()
    model.recurrent.cell.generator = torch.Generator()
    recorder = RunRecorder()
    checkpoint = ModelCheckpoint(
        folder, save_last=True, save_on_train_epoch_end=True, enable_version_counter=False
    )
    logger = TensorBoardLogger(folder, name="", version="", purge_step=purge)
    callbacks = [*monitors(), recorder, ExactResume(), checkpoint, *extra]
    runner = trainer(EPOCHS, callbacks, logger, seed=seed, enable_checkpointing=True)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        runner.fit(model, TinyTask(), ckpt_path=ckpt)
    except SystemExit:
        return None
    logger.finalize("success")
    draws = torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002
    return weights(model), draws, recorder.history(runner, "test")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    straight = run(whole)
    assert run(parts, Interrupt()) is None
    # another seed: all that matters must come from the checkpoint
    resumed = run(parts, ckpt=parts / "last.ckpt", seed=99, purge=3 * INTERRUPTED)
    return straight, resumed, whole, parts


def test_resumed_weights_equal_those_of_the_uninterrupted_run(runs):
    straight, resumed, *_ = runs
    assert torch.equal(straight[0], resumed[0])


def test_random_streams_continue(runs):
    straight, resumed, *_ = runs
    assert straight[1] == resumed[1]


def test_history_continues(runs):
    a, b = runs[0][2], runs[1][2]
    assert a.epoch.tolist() == b.epoch.tolist() == [0, 1, 2, 3, 4]
    assert set(a.curves) == set(b.curves)
    for name, curve in a.curves.items():
        assert torch.equal(curve.nan_to_num(-1), b.curves[name].nan_to_num(-1)), name
    assert torch.equal(a.before["lyapunov"].exponents, b.before["lyapunov"].exponents)
    assert torch.equal(a.after["spectrum"].eigenvalues, b.after["spectrum"].eigenvalues)


def read(folder, tag):
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in reader.Scalars(tag)]


@pytest.mark.parametrize("tag", ["train/loss", "val/loss", "lyapunov/max", "spectrum/radius"])
def test_event_files_keep_one_continuous_curve(runs, tag):
    _, _, whole, parts = runs
    assert read(whole, tag) == read(parts, tag)


def test_checkpoint_loads_without_trusting_code(runs):
    saved = torch.load(runs[2] / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3 * EPOCHS
    assert ExactResume.key in saved


def test_interruption_flushed_the_curves(tmp_path):
    assert run(tmp_path, Interrupt()) is None
    assert len(read(tmp_path, "val/loss")) == INTERRUPTED


def test_history_of_a_run_without_monitors():
    recorder = RunRecorder()
    runner = trainer(2, [recorder])
    runner.fit(snt_model(), TinyTask())
    history = recorder.history(runner, "bare")
    assert history.epoch.tolist() == [0, 1, 2]
    assert math.isfinite(history.scalars()["val/accuracy"])
    assert history.before == history.after == {}


def test_an_epoch_without_a_look_has_no_value():
    recorder = RunRecorder()
    runner = trainer(5, [*monitors(every_n_epochs=2), recorder])
    runner.fit(snt_model(), TinyTask())
    history = recorder.history(runner, "every second")
    for name in ("lyapunov/max", "spectrum/radius", "flux/entropy_production"):
        seen = history.epoch[history.curves[name].isfinite()]
        assert seen.tolist() == [0, 2, 4, 5]
    assert history.curves["val/loss"][1:].isfinite().all()
