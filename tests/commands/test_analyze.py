"""The command that reports what a trained network does."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from sntorch.commands.analyze import analyze
from sntorch.training import DigitsTask, SequenceModel


def nothing(path):
    raise ValueError("path: not asked for")


@pytest.fixture
def gru(tmp_path):
    torch.manual_seed(0)
    torch.save(nn.GRU(2, 6).state_dict(), tmp_path / "gru.pt")
    return tmp_path / "gru.pt"


@pytest.mark.slow
def test_a_foreign_network_with_noise_and_a_drive(gru, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.sin(np.arange(40.0).reshape(20, 2)))
    words = [str(gru), "--noise", "0.1", "--steps", "200", "--drive", str(tmp_path / "x.npy")]
    assert analyze([*words, "--json"], nothing) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "analysis.json").read_text())
    assert printed["missing"] == {}
    assert (printed["network"], printed["size"], printed["reads"]) == ("GRU(2, 6)", 6, [20, 1, 2])
    assert {name.partition("/")[0] for name in printed["numbers"]} >= {
        "reading",
        "entropy",
        "points",
    }
    assert (tmp_path / "analysis.png").stat().st_size > 20_000
    assert (tmp_path / "analysis.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_a_run_is_asked_while_it_reads_its_task(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("")

    def load(path):
        assert path == tmp_path
        return SequenceModel(nn.RNN(8, 5, batch_first=True), 10), DigitsTask(order="rows")

    assert analyze([str(tmp_path), "--steps", "200", "--k", "2"], load) == 0
    content = json.loads((tmp_path / "analysis.json").read_text())
    assert (content["part"], content["reads"]) == ("recurrent", [8, 16, 8])
    assert content["numbers"]["entropy/entropy_production"] is None  # there is no noise
    assert content["missing"].keys() == {"flux"}
    out = capsys.readouterr().out
    assert "no answer\n  flux: noise: expected some" in out
    assert re.search(r"^  max +-\d\.\d+ ± 0\.\d+$", out, re.MULTILINE)
    assert "max_stderr" not in out
    assert str(tmp_path) in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "path: expected a checkpoint, got nowhere"),
        (["GRU", "--argument", "x"], "argument: expected name=value, got 'x'"),
        (["GRU", "--drive", "nowhere.npy"], "drive: expected an array"),
        (["GRU", "--device", "nowhere"], "device: expected one with float64, got 'nowhere'"),
        (["GRU", "--seed", "-1"], "seed: expected"),
        (["GRU", "--steps", "7"], "steps: expected"),
    ],
)
def test_wrong_words_end_with_one_line(words, message, gru, capsys):
    assert analyze([str(gru) if word == "GRU" else word for word in words], nothing) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sntorch analyze: {message}")
