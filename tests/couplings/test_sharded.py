"""Couplings held by several processes: the numbers of one process, and no hang when one is lost."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed as dist
from references import N, random_coupling, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.couplings import LostWorker, Sharded, Sparse, Team

WORKERS = pathlib.Path(__file__).with_name("workers.py")
SCRIPT = WORKERS.parents[2] / "scripts" / "sharded.py"

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch has no torch.distributed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(rank, size, port):
    """Return what torchrun tells a process."""
    told = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in told.items()}


def work(verb, timeout, size):
    """Run the processes of a team; return return codes, what each said, and when they ended."""
    port = free_port()
    path = {"PYTHONPATH": str(WORKERS.parents[2]), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORKERS), verb, str(timeout)],
            env=os.environ | path | environment(rank, size, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        said = [p.communicate(timeout=300)[0] for p in processes[: size - (verb == "hung")]]
        ended = time.time()
    finally:
        for process in processes:
            process.kill()
    said += [process.communicate()[0] for process in processes[len(said) :]]
    return [process.returncode for process in processes], said, ended


@pytest.fixture
def alone(monkeypatch):
    """A team of this process."""
    for name, value in environment(0, 1, free_port()).items():
        monkeypatch.setenv(name, value)
    with Team() as team:
        yield team


def test_a_team_of_one_holds_all(alone):
    J = thinned(random_coupling())
    for layer, whole in ((Sharded(J, alone), J), (Sharded(Sparse(J), alone), J)):
        cell, dense = snt.SNTCell(layer, leak=0.3), snt.SNTCell(whole, leak=0.3)
        u, V = torch.randn(3, N).double(), torch.randn(3, N, 2).double()
        assert_close(snt.rollout(cell, u, 9), snt.rollout(dense, u, 9))
        assert_close(cell.vjp(u, V), dense.vjp(u, V))
        assert_close(layer.to_dense(), whole)
        assert layer.rows == slice(0, N)
        assert_close(layer.scale_(2.0).to_dense(), 2 * whole)
        assert "rows=0:4" in repr(layer)


def test_wrong_teams_are_named(alone, monkeypatch):
    with pytest.raises(ValueError, match="team: expected no process group yet"):
        Team()
    with pytest.raises(ValueError, match="team: expected Team, got str"):
        Sharded(random_coupling(), "all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"rows: expected a matrix, got \(3,\)"):
        Sharded(torch.ones(3), alone)
    with pytest.raises(ValueError, match="n >= 1, got 0"):
        alone.rows(0)
    with pytest.raises(ValueError, match="timeout: expected a finite number > 0"):
        Team(timeout=0)
    monkeypatch.delenv("RANK")
    with pytest.raises(ValueError, match=r"started by torchrun, got .* without RANK"):
        Team()


def test_shares_cover_all_rows(alone, monkeypatch):
    monkeypatch.setattr(alone, "size", 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(alone, "rank", rank)
        shares += list(range(11))[alone.rows(11)]
    assert shares == list(range(11))
    monkeypatch.undo()


def test_who_does_not_come_to_the_start_is_named(monkeypatch):
    for name, value in environment(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LostWorker, match=r"no rank 1 of 2 within 0.5 s of the start") as caught:
        Team(start=0.5)
    assert caught.value.ranks == (1,)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    with pytest.raises(LostWorker, match="lost the host of the store, rank 0"):
        Team(start=0.5)


@pytest.mark.slow
def test_two_processes_have_the_numbers_of_one():
    codes, said, _ = work("equal", timeout=60, size=2)
    assert codes == [0, 0], "\n".join(said)
    assert [text.strip() for text in said] == ["well", "well"]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "size"), [("killed", 3), ("hung", 2)])
def test_a_lost_worker_ends_all_by_name(verb, size):
    codes, said, ended = work(verb, timeout=4, size=size)
    lost = size - 1
    for rank in range(lost):
        assert codes[rank] == 1
        reason = said[rank].partition("LostWorker: ")[2].partition("\n")[0]
        assert reason.startswith(f"lost rank {lost} ("), said[rank]
        assert f") of {size}: " in reason  # and no other
    assert ended - float(said[lost].split()[0]) < 60


@pytest.mark.slow
def test_the_example_runs_under_torchrun():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = subprocess.run(
        [*command, str(SCRIPT), "--neurons", "200", "--steps", "20", "--check"],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "largest difference to one process" in run.stdout
