"""A training run whose processes share the rows of J is that of one process."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from shared_run import CLIP, N, matrix, train
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.couplings import Sharded, Team
from sntorch.training import SequenceModel
from sntorch.training.sharding import clip_norm, one_share, shared_parts

RUN = pathlib.Path(__file__).with_name("shared_run.py")


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available(), reason="torch has no torch.distributed")
def test_processes_that_share_the_rows_learn_what_one_learns(tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(RUN)]
    path = {"PYTHONPATH": str(RUN.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path)], env=os.environ | path,
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    whole = train(matrix(), tmp_path / "whole")
    free = train(matrix(), tmp_path / "free", clip=None)
    assert not torch.allclose(whole["J"], free["J"], rtol=1e-3)  # otherwise nothing was clipped
    assert torch.equal(first["alike"], second["alike"])
    assert first["J"].shape != second["J"].shape  # nine rows, which two cannot share equally
    both = {"alike": first["alike"], "J": torch.cat([first["J"], second["J"]])}
    for name, value in both.items():
        assert_close(value, whole[name], rtol=1e-4, atol=1e-6)
    assert first["logged"] == second["logged"]
    assert first["logged"].keys() == whole["logged"].keys()
    for name, value in whole["logged"].items():
        assert first["logged"][name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert all((tmp_path / str(rank) / "last.ckpt").is_file() for rank in range(2))


def test_rows_and_data_are_not_shared_at_once(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    told = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with Team() as team:
        cell = snt.SNTCell(Sharded(matrix(), team), input_size=2)
        model = SequenceModel(snt.SNT(cell, batch_first=True), 2)
        one_share(model, 1)
        with pytest.raises(ValueError, match=r"trainer.devices: expected 1 and .* got 2 processes"):
            one_share(model, 2)
        model(torch.randn(4, 5, 2)).square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        assert_close(clip_norm(model, 0.5 * float(norm)), norm)
        after = [p.grad for p in model.parameters() if p.grad is not None]
        assert_close(after, [g / 2 for g in gradients], rtol=1e-4, atol=1e-7)
    one_share(nn.Linear(2, 2), 2)


@pytest.mark.parametrize("largest", [CLIP, 1e3])
def test_a_norm_without_shared_rows_is_clipped_as_torch_does(largest):
    models = [nn.Linear(N, 3), nn.Linear(N, 3)]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(4, N)
    for model in models:
        model(x).square().sum().backward()
    assert shared_parts(models[0]) == []
    expected = nn.utils.clip_grad_norm_(models[1].parameters(), largest)
    assert_close(clip_norm(models[0], largest), expected)
    assert_close(models[0].weight.grad, models[1].weight.grad)
