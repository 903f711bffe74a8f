"""Sizes that do not fit the memory are refused by name, before anything is allocated."""

import pytest
import torch

import sntorch as snt
from sntorch import memory

FREE = 10**8


@pytest.fixture
def little(monkeypatch):
    """A machine with 100 MB."""
    monkeypatch.setattr(memory, "available", lambda device="cpu": FREE)


def test_what_is_free_is_read_from_the_system():
    free = memory.available()
    assert free is None or 2**20 < free < 2**50
    assert memory.available("meta") is None


def test_the_limit_of_a_control_group_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_ROOT", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("600\n")
    unlimited = memory.available()
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available() == 400
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 50\n")  # files may go
    assert memory.available() == 450
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("700")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("800")
    assert memory.available() == 0
    assert unlimited is None or unlimited > 450


def test_size_of():
    assert memory.size_of(3, 5) == 60
    assert memory.size_of(10**6, 10**6, dtype=torch.float64) == 8 * 10**12


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda n: snt.couplings.gaussian(n), "n: .* 100 MB free on cpu, got 400000000 bytes"),
        (lambda n: snt.couplings.gaussian(n, symmetry=0.5), "n: .* 800000000 bytes .800 MB.; use"),
        (lambda n: snt.couplings.gaussian(n, dtype=torch.float64), "n: .* got 800000000 bytes"),
        (lambda n: snt.couplings.dale(n), r"use couplings.sparse\(layout='csr'\), or .*Sharded"),
        (lambda n: snt.couplings.populations([n], mean=[[0]], std=[[1]]), "n: expected arrays"),
        (lambda n: snt.couplings.low_rank(n, rank=1), "n: expected arrays"),
        (lambda n: snt.couplings.orthogonal(n), "n: .* got 1200000000 bytes"),
        (lambda n: snt.couplings.correlated(n, covariance=torch.eye(2)), "n: expected arrays"),
        (
            lambda n: snt.couplings.ring(n, excitation=1.0, inhibition=1.0, width=1.0),
            "n: expected arrays",
        ),
        (lambda n: snt.couplings.hopfield(torch.ones(1, n)), "patterns: expected arrays"),
        (lambda n: snt.couplings.sparse(n, degree=1), "n: expected arrays"),
        (
            lambda n: snt.couplings.sparse(n, degree=2000, layout="csr"),
            "n: .* got 240000000 bytes .*use fewer couplings per neuron",
        ),
        (
            lambda n: snt.SNTCell(
                snt.couplings.sparse(n, degree=1, layout="csr")
            ).coupling.to_dense(),
            "J: expected arrays",
        ),
        (
            lambda n: snt.rollout(lambda u: u, torch.ones(1, n), 5000),
            "steps: .* got 200000000 bytes .*store fewer states with every=",
        ),
        (
            lambda n: snt.rollout(
                snt.SNTCell(torch.eye(2)), torch.ones(n, 2, requires_grad=True), 1000
            ),
            "steps: .* got 240000000 bytes .*gradients through fewer steps",
        ),
        (
            lambda n: snt.as_dynamics(lambda u: u).jacobian(torch.ones(n)),
            "u: expected arrays .* got 400000000 bytes",
        ),
    ],
)
@pytest.mark.usefixtures("little")
def test_what_does_not_fit_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(10_000)


@pytest.mark.usefixtures("little")
def test_thinning_makes_room():
    orbit = snt.rollout(lambda u: u, torch.ones(1, 10_000), 5000, every=500)
    assert orbit.shape == (10, 1, 10_000)


@pytest.mark.usefixtures("little")
def test_a_matrix_that_exists_once_may_not_fit_twice(monkeypatch):
    J = torch.zeros(1, 1).expand(5000, 5000)
    monkeypatch.setattr(memory, "available", lambda device: FREE - 1)
    with pytest.raises(ValueError, match=r"J: .* got 100000000 bytes \(100 MB\)"):
        snt.SNTCell(J)


@pytest.mark.gpu
def test_what_is_free_on_a_gpu():
    free = memory.available("cuda")
    assert free is not None
    assert 0 < free <= torch.cuda.mem_get_info()[1]
    with pytest.raises(ValueError, match="free on cuda"):
        snt.couplings.gaussian(10**7, device="cuda")
