"""Checkpoints survive kills, full disks and flipped bits, and know their model."""

import json
import pathlib
import resource
import shutil
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from scenes import TinyTask, snt_model, trainer, weights

from sntorch.training import AtomicCheckpointIO, ConfigStamp, ExactResume, RunRecorder
from sntorch.training.checkpoints import differences, export, read, restore
from sntorch.training.experiment import conduct

# A run is taken up in the folder that it left.
pytestmark = pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:UserWarning")

CONFIG = {
    "seed": 1,
    "model": {"cell": {"n": 6, "gain": 1.4}, "kind": "a", "optimizer": {"lr": 0.01}},
}


def callbacks(folder):
    place = folder / "checkpoints"
    when: dict[str, Any] = {"save_on_train_epoch_end": True}
    best = ModelCheckpoint(
        place, monitor="val/worse", filename="epoch{epoch}", auto_insert_metric_name=False, **when
    )
    last = ModelCheckpoint(place, filename="last", enable_version_counter=False, **when)
    return [Worse(), RunRecorder("val/loss"), ExactResume(), ConfigStamp(CONFIG), best, last]


class Worse(pl.Callback):
    """A metric that is best after the second epoch."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/worse", abs(float(trainer.current_epoch) - 1.0))


def runner(folder, epochs, *extra):
    options = {"enable_checkpointing": True, "plugins": [AtomicCheckpointIO()]}
    return trainer(epochs, [*callbacks(folder), *extra], **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a run of three epochs, and its weights."""
    folder = tmp_path_factory.mktemp("run")
    model = snt_model()
    runner(folder, 3).fit(model, TinyTask())
    return folder, weights(model)


@pytest.fixture
def copy(run, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(run[0], tmp_path / "copy"))


def test_the_last_but_one_is_kept_and_no_part_of_a_file(run):
    names = {path.name for path in (run[0] / "checkpoints").iterdir()}
    assert {"last.ckpt", "previous.ckpt"} < names
    assert not [name for name in names if name.startswith(".")]
    saved = [torch.load(run[0] / "checkpoints" / f"{name}.ckpt") for name in ("last", "previous")]
    assert [content["epoch"] for content in saved] == [2, 1]


def test_a_flipped_bit_is_found_and_the_one_before_is_taken(copy, run):
    last = copy / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    weight = next(iter(torch.load(last)["state_dict"].values())).numpy().tobytes()
    content[content.find(weight) + 2] ^= 8
    last.write_bytes(content)
    assert not torch.equal(  # torch itself does not mind
        torch.cat([p.flatten() for p in torch.load(last)["state_dict"].values()]), run[1]
    )
    with pytest.warns(UserWarning, match=r"last.ckpt \(ValueError\): corrupt; .* is taken"):
        saved = read("path", copy)
    assert saved.file.name != "last.ckpt"


def test_the_best_is_the_one_of_the_metric(run):
    folder = run[0]
    assert read("path", folder, "best").file.name == "epoch1.ckpt"
    assert read("path", folder).file.name == "last.ckpt"
    with pytest.raises(ValueError, match="which: expected one of last, best, got 'first'"):
        read("path", folder, "first")


def test_a_lost_best_one_falls_back_and_a_run_without_one_says_so(copy):
    (copy / "checkpoints" / "epoch1.ckpt").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"epoch1.ckpt \(EOFError\): corrupt; last.ckpt is taken"):
        read("path", copy, "best")
    last = copy / "checkpoints" / "last.ckpt"
    content = torch.load(last)
    torch.save(content | {"callbacks": {}}, last)
    with pytest.raises(ValueError, match="which: expected last, since this run chose no best"):
        read("path", copy, "best")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell": {"n": 6, "gain": 1.5}}, "model.cell.gain is 1.4 there and 1.5 here"),
        ({"kind": "b"}, "model.kind is 'a' there and 'b' here"),
        ({"more": 1}, "model.more is None there and 1 here"),
    ],
)
def test_what_differs_in_the_model_is_named(run, change, words):
    saved = read("resume", run[0])
    config = CONFIG | {"model": CONFIG["model"] | change}
    with pytest.raises(ValueError, match=f"resume: expected the model of .*last.ckpt.*{words}"):
        restore("resume", snt_model(), saved, config)


def test_what_does_not_make_the_model_may_differ(run):
    model = snt_model(seed=5)
    config = {"seed": 2, "model": CONFIG["model"] | {"optimizer": {"lr": 0.1}, "scheduler": None}}
    restore("resume", model, read("resume", run[0]), config)
    assert torch.equal(weights(model), run[1])


def test_tensors_that_do_not_fit_are_named_without_a_stamp(run):
    saved = read("path", run[0])._replace(config=None)
    small = snt_model()
    small.readout = torch.nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"got another; .*readout.weight.*\[2, 6\].*\[2, 3\]"):
        restore("path", small, saved, CONFIG)


def test_differences_are_found_at_any_depth_and_in_lists():
    a = {"x": [1, 2], "y": {"z": 1, "only": 0}, "same": 3}
    b = {"x": [1, 3], "y": {"z": 2}, "same": 3, "new": None}
    assert differences(a, b) == [("x", [1, 2], [1, 3]), ("y.z", 1, 2), ("y.only", 0, None)]


def test_safetensors_are_exact(run, tmp_path):
    tensors = pytest.importorskip("safetensors.torch")
    saved = read("path", run[0])
    file = export(saved, tmp_path / "out")
    again = tensors.load_file(file)
    assert again.keys() == saved.weights.keys()
    for key, value in saved.weights.items():
        assert torch.equal(again[key], value)
        assert again[key].dtype == value.dtype
    assert read("path", tmp_path / "out").weights.keys() == again.keys()
    with pytest.raises(ValueError, match=r"folder: expected a place without model"):
        export(saved, tmp_path / "out")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"path: expected a checkpoint that can be read, got mode"):
        read("path", tmp_path / "out")


class NoRoom(pl.Callback):
    """From the third epoch on the system refuses to write more than half a checkpoint."""

    def __init__(self, file):
        self.file = file

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            size = self.file.stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_a_run_without_room_says_so_loses_nothing_and_goes_on_to_the_same_bits(run, tmp_path):
    last = tmp_path / "checkpoints" / "last.ckpt"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = snt_model()
    full = runner(tmp_path, 3, NoRoom(last))
    try:
        with pytest.raises(SystemExit) as ended:
            conduct(full, model, TinyTask(), folder=tmp_path, title="full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = str(ended.value)
    assert "File too large: " in message
    assert (
        f"what was saved before is intact.  Make room, then continue with: resume={tmp_path}"
        in (message)
    )
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert not [name for name in names if name.startswith(".")]
    assert read("resume", tmp_path).file == last
    assert torch.load(last)["epoch"] == 1
    model = snt_model(seed=3)
    again = runner(tmp_path, 3)
    conduct(again, model, TinyTask(), folder=tmp_path, title="again", checkpoint=last)
    assert torch.equal(weights(model), run[1])
    assert "val/loss" in json.loads((tmp_path / "result.json").read_text())


# Callbacks of Lightning that change what a checkpoint is


def averaged(folder, epochs, ckpt=None):
    model = snt_model(noise=0.0)
    average = EMAWeightAveraging(decay=0.9, use_buffers=False)
    runner(folder, epochs, average).fit(model, TinyTask(), ckpt_path=ckpt)
    return weights(model)


def test_an_average_of_weights_is_what_is_kept_and_is_continued_to_the_same_bits(run, tmp_path):
    whole = averaged(tmp_path / "whole", 3)
    assert not torch.equal(whole, run[1])
    model = snt_model(seed=5)
    restore("path", model, read("path", tmp_path / "whole"), CONFIG)
    assert torch.equal(weights(model), whole)
    averaged(tmp_path / "parts", 2)
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    assert torch.equal(averaged(tmp_path / "parts", 3, last), whole)


def test_a_run_that_gets_no_better_ends_early_and_keeps_its_best(tmp_path):
    stop = EarlyStopping("val/worse", patience=2, mode="min")
    runner(tmp_path, 9, stop).fit(snt_model(), TinyTask())
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 3
    assert read("path", tmp_path, "best").file.name == "epoch1.ckpt"
