"""Sweeps are gathered, and taken up where they stopped."""

import csv
import json
import math
import statistics
import subprocess
import sys

import pytest
import torch
import yaml
from forks import forked
from omegaconf import OmegaConf

import sntorch as snt
from sntorch import sweeps
from sntorch.results import Sweep

# Gathering

SCORES = {
    (0.8, 0): 0.50,
    (0.8, 1): 0.60,
    (0.8, 2): 0.64,
    (1.2, 0): 0.9,
    (1.2, 1): 0.8,
    (1.2, 2): None,
}


def make_run(folder, overrides, config, result):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    (folder / ".hydra" / "config.yaml").write_text("never: read\n")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def gains(tmp_path):
    """Return the folder of a sweep over gain and seed, whose last run has not ended."""
    for i, ((gain, seed), score) in enumerate(SCORES.items()):
        overrides = [f"cell.gain={gain}", f"seed={seed}", "task=copy", f"output={tmp_path}"]
        config = {"metric": "val/accuracy", "seed": seed, "cell": {"gain": gain, "leak": 0.1}}
        result = None if score is None else {"val/accuracy": score, "lyapunov/max": gain - 1}
        make_run(tmp_path / "sweep" / str(i + 7), overrides, config, result)
    return tmp_path / "sweep"


def test_runs_are_gathered_in_their_order(gains):
    sweep = snt.collect(gains)
    assert sweep.folders == ("7", "8", "9", "10", "11", "12")
    assert sweep.values == {"cell.gain": (0.8,) * 3 + (1.2,) * 3, "seed": (0, 1, 2) * 2}
    assert sweep.finished.tolist() == [True] * 5 + [False]
    assert sweep.metric == "val/accuracy"
    assert math.isnan(sweep.measured["val/accuracy"][-1])
    assert sweep.scalars() == {"runs": 6, "finished": 5}
    assert snt.collect(gains.parent).values == sweep.values  # also from above


def test_means_over_seeds_have_their_standard_errors(gains):
    low, high = snt.collect(gains).over_seeds()
    assert (low.values, low.runs) == ({"cell.gain": 0.8}, 3)
    assert low.mean == pytest.approx(0.58)
    assert low.stderr == pytest.approx(statistics.stdev([0.5, 0.6, 0.64]) / 3**0.5)
    assert (high.runs, high.mean) == (2, pytest.approx(0.85))
    assert high.stderr == pytest.approx(0.05)
    exponent = snt.collect(gains, "lyapunov/max").over_seeds()[0]
    assert (exponent.mean, exponent.stderr) == (pytest.approx(-0.2), pytest.approx(0, abs=1e-7))


def test_one_run_says_nothing_about_spread_and_none_nothing():
    sweep = Sweep(
        folders=("a", "b"),
        values={"n": (1, 2)},
        finished=torch.tensor([True, False]),
        measured={"loss": torch.tensor([3.0, math.nan])},
        metric="loss",
    )
    one, none = sweep.over_seeds()
    assert (one.runs, one.mean) == (1, 3.0)
    assert math.isnan(one.stderr)
    assert none.runs == 0
    assert math.isnan(none.mean)


def test_the_command_writes_table_and_pictures(gains):
    text = sweeps.collecting([str(gains)])
    assert "0.58" in text
    assert "5 of 6 runs finished" in text
    rows = list(csv.DictReader((gains / "sweep.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "1", "2"] * 2
    assert float(rows[1]["val/accuracy"]) == pytest.approx(0.6)
    assert rows[5]["finished"] == "False"
    assert (gains / "sweep.png").stat().st_size > 5000
    assert (gains / "sweep.pdf").is_file()
    chosen = sweeps.collecting([str(gains), "--metric", "lyapunov/max"])
    assert "val/accuracy" not in chosen


def test_a_sweep_of_which_nothing_is_finished_is_shown_as_such(tmp_path):
    for i in range(2):
        make_run(tmp_path / str(i), [f"seed={i}"], {"seed": i, "metric": "val/loss"}, None)
    assert sweeps.collecting([str(tmp_path)]) == "no run of 2 is finished yet"
    assert snt.collect(tmp_path).metric == "val/loss"


def test_what_a_run_does_not_override_is_in_its_configuration(tmp_path):
    config = {"metric": "m", "cell": {"gain": 1.0}, "seed": 0}
    make_run(tmp_path / "a", [], config, {"m": 1.0})
    make_run(tmp_path / "b", ["cell.gain=1e-3", "+more=[1,2]", "model=gru"], config, {"m": 2.0})
    values = snt.collect(tmp_path).values
    assert values == {"cell.gain": (1.0, 0.001), "more": (None, "[1, 2]"), "model": (None, "gru")}


def test_wrong_places_and_names_are_refused(gains, tmp_path):
    with pytest.raises(ValueError, match="path: expected a folder with runs, got"):
        snt.collect(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"metric: expected one of val/accuracy, .*got 'val/acc'"):
        snt.collect(gains, "val/acc")
    with pytest.raises(ValueError, match="metric: expected one of"):
        snt.collect(gains).over_seeds("nothing")


# Taking up


def test_a_sweep_is_started_again_by_what_started_it(tmp_path):
    folder = tmp_path / "it's"
    config = {"overrides": {"hydra": ["hydra/launcher=joblib", "hydra.mode=MULTIRUN"]}}
    config["overrides"]["task"] = ["cell.gain=0.6,1.4", "name='a b'"]
    cfg = OmegaConf.create({"hydra": config | {"sweep": {"dir": str(folder)}}})
    before = list(sys.argv)
    try:
        sweeps.Remember().on_multirun_start(cfg)
        assert sys.argv[-1] == f"hydra.sweep.dir='{tmp_path}/it\\'s'"
    finally:
        sys.argv[:] = before
    again = sweeps.continued(["--config-dir", "mine", f"resume={folder}", "num_threads=2"])
    assert again == [
        *["-m", "--config-dir", "mine", "hydra/launcher=joblib", "cell.gain=0.6,1.4"],
        *["name='a b'", f"hydra.sweep.dir='{tmp_path}/it\\'s'", "num_threads=2"],
    ]


def test_other_commands_are_left_alone(tmp_path):
    assert sweeps.continued(["-m", "seed=0,1"]) == ["-m", "seed=0,1"]
    one = sweeps.continued([f"resume={tmp_path}", "trainer.max_epochs=3"])
    assert one == [f"resume={tmp_path}", "trainer.max_epochs=3", "hydra.output_subdir=null"]


def test_what_is_there_of_a_run_is_seen(tmp_path):
    cfg = OmegaConf.create({"seed": 1, "cell": {"gain": 0.5}, "output": "here", "resume": None})
    assert sweeps.standing(cfg, tmp_path / "none") == (None, False)
    make_run(tmp_path / "run", [], {"seed": 1, "cell": {"gain": 0.5}, "output": "there"}, None)
    assert sweeps.standing(cfg, tmp_path / "run") == (None, False)
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_text("")
    assert sweeps.standing(cfg, tmp_path / "run") == (None, True)
    (tmp_path / "run" / "result.json").write_text('{"val/loss": 0.25}')
    assert sweeps.standing(cfg, tmp_path / "run").result == {"val/loss": 0.25}
    cfg.cell.gain = 0.7
    with pytest.raises(ValueError, match=r"sweep: expected its own run.*cell.gain is 0.5 there"):
        sweeps.standing(cfg, tmp_path / "run")


# Whole sweeps

SMALL = ["experiment=quick", "callbacks=none", "logger=none", "task.batch_size=256"]
SMALL += ["trainer.enable_progress_bar=false", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a folder with a killed and continued sweep, and another."""
    folder = tmp_path_factory.mktemp("whole")
    killed, other = folder / "killed", folder / "other"
    submitted = ["hydra/launcher=submitit_local", f"hydra.sweep.dir={other}"]
    commands = [
        ["-m", *SMALL, "cell.gain=0.6,1.0,1.4", f"hydra.sweep.dir={killed}"],
        [f"resume={killed}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["collect", str(killed)],
        ["-m", *SMALL, "cell.gain=1.0", *submitted],
    ]
    done = forked(folder, commands, until={0: f"{killed}/1/checkpoints/last.ckpt"})
    return folder, done


def final_weights(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_repeats_nothing(whole):
    folder, ((killed, first), (status, output), *_) = whole
    assert killed == -9, first
    assert status == 0, output
    runs = [folder / "killed" / str(i) for i in range(3)]
    ends = [(run / "result.json").stat().st_mtime for run in runs]
    assert output.count("finished before: ") == 1
    assert f"finished before: {runs[0]}" in output
    assert ends[0] < (folder / "killed" / "sweep.yaml").stat().st_mtime  # written once more
    straight = final_weights(folder / "other" / "0")
    for key, value in final_weights(runs[1]).items():
        assert torch.equal(value, straight[key]), key


@pytest.mark.slow
def test_launchers_work(whole):
    _, (_, _, (gathered, table), (submitted, output)) = whole
    assert gathered == 0, table
    assert "3 of 3 runs finished" in table
    assert submitted == 0, output


@pytest.mark.slow
def test_a_killed_search_finds_its_runs_again(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["-m", *SMALL, "hydra/sweeper=search", "hydra.sweeper.n_trials=3"]
    commands = [
        [*search, "cell.gain=interval(0.5,2)", f"hydra.sweep.dir={tmp_path / 'search'}"],
        [f"resume={tmp_path / 'search'}"],
    ]
    until = {0: f"{tmp_path}/search/1/checkpoints/last.ckpt"}
    (killed, first), (status, output) = forked(tmp_path, commands, until=until)
    assert killed == -9, first
    assert status == 0, output
    assert output.count("finished before: ") == 1
    sweep = snt.collect(tmp_path / "search")
    assert sweep.finished.tolist() == [True] * 3
    found = OmegaConf.load(tmp_path / "search" / "optimization_results.yaml")
    assert found.best_value == pytest.approx(float(sweep.measured["val/accuracy"].max()))
    gains = sweep.values["cell.gain"]
    assert found.best_params["cell.gain"] == gains[int(sweep.measured["val/accuracy"].argmax())]


PROCESSES = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]


def several(*words):
    """Run the command as a user does, since it starts its other processes itself."""
    done = subprocess.run(
        [sys.executable, "-m", "sntorch.cli", *words, *SMALL, *PROCESSES],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_write_one_folder_alone_and_in_a_sweep(tmp_path):
    assert several(f"output={tmp_path}", "seed=1").count("test accuracy") == 1
    (run,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (run / "result.json").is_file()
    rows = (run / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
    sweep = tmp_path / "sweep"
    assert several("-m", "seed=0,1", f"hydra.sweep.dir={sweep}").count("test accuracy") == 2
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1"]
    assert snt.collect(sweep).finished.all()
    alone = final_weights(run)
    for key, value in final_weights(sweep / "1").items():
        assert torch.equal(value, alone[key]), key
