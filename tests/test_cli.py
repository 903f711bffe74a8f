"""The command, run as a user runs it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import pytorch_lightning as pl
import torch
from forks import forked
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sntorch import cli, config_dir
from sntorch.training.files import taken

QUICK = ["experiment=quick", "callbacks.flux.steps=40", "task.batch_size=128"]


def command(folder, *overrides):
    return [sys.executable, "-m", "sntorch.cli", *overrides, f"output={folder}"]


def sntorch(folder, *overrides, cwd=None):
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(folder, *overrides), capture_output=True, text=True, cwd=cwd, env=env, timeout=300
    )


def only_run(folder):
    (run,) = (path for path in pathlib.Path(folder).iterdir() if path.is_dir())
    return run


def final_weights(run):
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return saved["state_dict"]


def curve(run, tag):
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in reader.Scalars(tag)]


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path):
    mine = cli._run_dir(str(tmp_path / "runs"), None, "now")
    assert cli._run_dir(str(tmp_path / "runs"), None, "now") == mine  # Hydra asks again
    taken.cache_clear()  # another process
    other = cli._run_dir(str(tmp_path / "runs"), None, "now")
    assert [pathlib.Path(folder).name for folder in (mine, other)] == ["now", "now_2"]
    assert all(os.path.isdir(folder) for folder in (mine, other))


# Errors come before any training


@pytest.mark.slow
def test_wrong_values_are_refused_before_training(tmp_path):
    messages = {
        "cell.gian=2": "gian",
        "model=grru": "grru",
        "cell.transfer=tanhh": "transfer: expected one of tanh, erf",
        "cell.leak=1.5": "leak: expected numbers in [0.0, 1.0)",
        "trainer.max_epochs=many": "trainer.max_epochs: expected a whole number",
        "seed=-1": "seed: expected",
        "task.batch_size=0": "batch_size: expected",
        "metric=val/acuracy": "metric: expected",
        "resume=nowhere": "resume: expected the folder of a run",
    }
    blocked = tmp_path / "file"
    blocked.write_text("")
    messages[f"output={blocked / 'runs'}"] = "output: expected a folder that can be written"
    runs = f"output={tmp_path / 'runs'}"
    found = forked(tmp_path, [[*QUICK, runs, override] for override in messages])
    for message, (status, output) in zip(messages.values(), found, strict=True):
        assert status != 0
        assert message in output
        assert "epoch 1" not in output
        assert "resume" not in message or "Traceback" not in output
    assert blocked.read_text() == ""
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_run_of_an_older_version_is_completed_and_what_it_lacks_is_named(tmp_path):
    with initialize_config_dir(config_dir(), version_base="1.3"):
        old = compose("config", overrides=["task=digits_rows", "cell.gain=1.7"])
        now = compose("config", overrides=["num_threads=2"])
    OmegaConf.set_struct(old, False)
    old.hydra = None
    old.metric = "val/loss"
    for key in ("title", "checkpoint"):
        del old[key]
    OmegaConf.save(old, tmp_path / "config.yaml")
    with pytest.warns(UserWarning, match="is of an older sntorch, without title, checkpoint$"):
        resumed = cli._resumed(now, tmp_path, ["num_threads=2"])
    assert (resumed.cell.gain, resumed.num_threads, resumed.title) == (1.7, 2, None)
    assert resumed.checkpoint.monitor == "val/loss"  # as it is there
    OmegaConf.save(resumed, tmp_path / "config.yaml")  # now there is nothing to say
    with pytest.raises(ValueError, match="resume: expected overrides of single values, got task="):
        cli._resumed(now, tmp_path, ["task=copy"])


@pytest.mark.parametrize(
    ("launcher", "settings", "refused"),
    [
        ("submitit_local", {"devices": 2, "strategy": "ddp"}, True),
        ("basic", {"devices": 2, "strategy": "ddp"}, False),
        ("submitit_local", {"devices": 1}, False),
    ],
)
def test_several_processes_are_refused_where_a_launcher_cannot_start_them(
    launcher, settings, refused, monkeypatch
):
    if launcher != "basic":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    overrides = [f"hydra/launcher={launcher}", "hydra.mode=MULTIRUN"]
    with initialize_config_dir(config_dir(), version_base="1.3"):
        cfg = compose("config", overrides=overrides, return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    runner = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **settings)
    if not refused:
        return cli._check_launcher(runner)
    with pytest.raises(
        ValueError, match=r"trainer.strategy: expected one .*=submitit_local.* got 2"
    ):
        cli._check_launcher(runner)


# A whole run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return what the main job said and its folder, as it is and in other ways."""
    folder = tmp_path_factory.mktemp("runs")
    ways = {
        "whole": QUICK,
        "same": [*QUICK, "seed=0"],
        "other": [*QUICK, "seed=1"],
        "unwatched": ["experiment=quick", "task.batch_size=128", "callbacks=none"],
        "killed": QUICK,
    }
    commands = [[*words, f"output={folder / name}"] for name, words in ways.items()]
    done = forked(folder, commands, until={4: f"{folder}/killed/*/checkpoints/last.ckpt"})
    for name, (status, output) in zip(ways, done, strict=True):
        assert (status == 0) == (name != "killed"), output
    said = {name: output for name, (_, output) in zip(ways, done, strict=True)}
    return {name: (output, only_run(folder / name)) for name, output in said.items()}


@pytest.fixture
def whole(runs):
    return runs["whole"]


@pytest.mark.slow
def test_a_run_ends_with_a_table_and_a_folder(whole):
    output, run = whole
    for line in ("test accuracy", "largest Lyapunov exponent", "spectral radius", "entropy prod"):
        assert line in output
    assert str(run) in output
    assert "lyapunov/max" in output  # in the progress bar
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "report.png", "report.pdf", "history.csv", "result.json"} <= names
    result = json.loads((run / "result.json").read_text())
    assert result["test/accuracy"] > 0.3
    rows = (run / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]


@pytest.mark.slow
def test_same_seed_same_bits_and_another_seed_others(runs, whole):
    assert equal(final_weights(runs["same"][1]), final_weights(whole[1]))
    assert not equal(final_weights(runs["other"][1]), final_weights(whole[1]))


@pytest.mark.slow
def test_watching_changes_no_bit_of_the_main_job(runs, whole):
    assert equal(final_weights(runs["unwatched"][1]), final_weights(whole[1]))


@pytest.mark.slow
def test_killed_and_interrupted_runs_are_continued_to_the_same_bits(runs, whole, tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "interrupted", *QUICK),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.rglob("last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    stopped = [runs["killed"][1], only_run(tmp_path / "interrupted")]
    for run in stopped:
        steps = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        assert 0 < steps < 30, "the run was over before it was killed"
    for status, output in forked(tmp_path, [[f"resume={run}"] for run in stopped]):
        assert status == 0, output
    for run in stopped:
        assert equal(final_weights(run), final_weights(whole[1]))
        for tag in ("train/loss", "val/loss", "lyapunov/max"):
            assert curve(run, tag) == curve(whole[1], tag)


@pytest.mark.slow
def test_a_run_with_a_truncated_checkpoint_is_continued_from_the_one_before(whole, tmp_path):
    truncated, bare = tmp_path / "truncated", tmp_path / "bare"
    for run in (truncated, bare):
        shutil.copytree(whole[1], run)
    last = truncated / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:3000])
    shutil.rmtree(bare / "checkpoints")
    commands = [[f"resume={truncated}", "trainer.max_epochs=4"], [f"resume={bare}"]]
    (status, output), (refused, words) = forked(tmp_path, commands)
    assert status == 0, output
    assert "last.ckpt (RuntimeError): corrupt; " in output
    assert torch.load(last, weights_only=True)["epoch"] == 3
    assert refused != 0
    assert "resume: expected a checkpoint in" in words


@pytest.mark.slow
def test_a_sweep_makes_a_run_for_each_value(tmp_path):
    small = ["experiment=quick", "callbacks=none", "trainer.max_epochs=1"]
    done = sntorch(tmp_path, "-m", *small, "cell.gain=0.6,1.4")
    assert done.returncode == 0, done.stderr
    configs = sorted(path.read_text() for path in tmp_path.rglob("config.yaml"))
    ours = [text for text in configs if "trainable" in text and "hydra:" not in text]
    assert any("gain: 0.6" in text for text in ours)
    assert any("gain: 1.4" in text for text in ours)
    assert len(list(tmp_path.rglob("report.png"))) == 2


@pytest.mark.slow
def test_a_users_own_model_from_a_users_own_folder(tmp_path):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text(
        "_target_: sntorch.training.SequenceModel\n"
        "recurrent:\n"
        "  _target_: torch.nn.GRU\n"
        "  input_size: ${shape.input}\n"
        "  hidden_size: 20\n"
        "  batch_first: true\n"
        "output_size: ${shape.output}\n"
    )
    done = sntorch(
        tmp_path / "runs", "--config-dir", "mine", "model=mine", "task=digits_rows",
        "trainer.max_epochs=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    weights = final_weights(only_run(tmp_path / "runs"))
    assert weights["recurrent.weight_hh_l0"].shape == (60, 20)


# Studies

STUDY = ["experiment=studies/route_to_chaos", "study.steps=250", "study.transient=50"]


@pytest.mark.slow
def test_a_study_writes_record_table_and_picture(tmp_path):
    done = sntorch(tmp_path, *STUDY, "study.gains=[0.5,1.4]", "seed=3")
    assert done.returncode == 0, done.stderr
    assert "[2/2] gain 1.4: " in done.stdout
    run = only_run(tmp_path)
    assert str(run) in done.stdout
    assert (run / "report.png").stat().st_size > 10_000
    assert (run / "table.txt").read_text() in done.stdout
    record = torch.load(run / "record.pt", weights_only=True)
    assert record["gains"].tolist() == [0.5, 1.4]
    assert record["regimes"]["0.5"]["labels"] == ("fixed_point",)
    assert "seed: 3" in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_wrong_values_of_a_study_are_named(tmp_path):
    messages = {
        "study.gains=[1.0,1.0]": "gains: expected at least one and none twice",
        "study.steps=10": "steps: expected",
        "study.stepz=10": "stepz",
        "study.k=1": "k: expected",
        "seed=-1": "seed: expected",
    }
    runs = f"output={tmp_path / 'runs'}"
    found = forked(tmp_path, [[*STUDY, override, runs] for override in messages])
    for message, (status, output) in zip(messages.values(), found, strict=True):
        assert status != 0
        assert message in output
    assert not list(tmp_path.rglob("record.pt"))


EDGE = [
    "experiment=edge/flossing",
    "study.size=8",
    "study.k=2",
    "study.updates=30",
    "study.pretrain=10",
]


@pytest.mark.slow
def test_a_killed_study_ends_on_the_numbers_of_one_that_was_not(tmp_path):
    settings = [*EDGE, "study.delay=4", "study.seeds=3"]
    with subprocess.Popen(command(tmp_path / "part", *settings), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"[1/3]")
        process.kill()
    run = only_run(tmp_path / "part")
    assert not (run / "result.json").exists()
    known = torch.load(run / "record.pt", weights_only=True)
    assert 1 <= len(known["accuracy"]) < 3
    refused = sntorch(tmp_path, f"resume={run}", "num_threads=2")
    assert "resume: expected a study as it was begun, got num_threads=2" in refused.stderr
    again = sntorch(tmp_path / "none", f"resume={run}")
    assert again.returncode == 0, again.stderr
    assert sntorch(tmp_path / "whole", *settings).returncode == 0
    whole = only_run(tmp_path / "whole")
    for name in ("rows.csv", "result.json", "table.txt"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_an_interrupted_study_keeps_what_is_known(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, *STUDY, "study.gains=[0.5,0.6,0.7]", "study.steps=4000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[1/3]")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the study is not complete" in errors
    record = torch.load(only_run(tmp_path) / "record.pt", weights_only=True)
    assert 1 <= len(record["gains"]) < 3
    again = sntorch(tmp_path / "none", f"resume={only_run(tmp_path)}")
    assert "resume: expected a study that goes on, got sntorch.studies.route" in again.stderr
