"""Captured steps: what a graph would replay, with a tape in the place of a GPU, and on one."""

import contextlib
import types
from typing import Any

import pytest
import torch
from references import random_coupling, random_generator
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import sntorch as snt
from sntorch import captured, forward
from sntorch.noise import noise_of

N, I, STEPS = 5, 2, 75  # four blocks and a part of one
ROWS = [(), (1,), (3,), (2, 3)]


class Tape(TorchDispatchMode):
    """Does again what was done, as a graph does: the same operations in the same memory.

    Numbers of Python are those of the recording.  What was made in new memory is written there.
    """

    def __init__(self, work):
        super().__init__()
        self.done: list[Any] = []
        with self:
            work()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a graph cannot read a number")
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise RuntimeError("a graph draws nothing here")
        out = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, out))
        return out

    def __call__(self):
        for func, args, kwargs, out in self.done:
            again = func(*args, **kwargs)
            if isinstance(again, torch.Tensor) and again.data_ptr() != out.data_ptr():
                out.copy_(again)


@pytest.fixture
def tapes(monkeypatch):
    made = []

    def capture(work, device):
        work()  # as a GPU warms up
        made.append(Tape(work))
        return made[-1]

    monkeypatch.setattr(forward, "_REPLAYED", STEPS)
    monkeypatch.setattr(forward, "capturable", lambda u: True)
    monkeypatch.setattr(forward, "capture", capture)
    return made


def network(kind):
    given = {
        "plain": {},
        "numbers": {"gain": 1.5, "leak": 0.3, "threshold": 0.1, "noise": 0.2},
        "vectors": {
            "gain": torch.linspace(1, 2, N),
            "leak": torch.linspace(0, 0.5, N),
            "threshold": torch.linspace(-1, 1, N),
            "noise": torch.linspace(0, 0.5, N),
        },
        "own transfer": {"transfer": "erf", "gain": 2.0, "leak": 0.2},
    }[kind]
    return snt.SNTCell(random_coupling(n=N), input_size=I, trainable=(), **given)


def drives(rows):
    kinds = [None, torch.randn(I), torch.randn(STEPS, I), torch.randn(STEPS, *rows, I)]
    return [x if x is None else x.double() for x in kinds]


def orbits(cell, rows, every):
    """Return orbit, last state, and where the stream of noise stands, under every drive."""
    found = []
    for x in drives(rows):
        stream = random_generator()
        u = torch.ones(*rows, N).double()
        found += cell.orbit(u, STEPS, x, noise_of(cell, u), stream, every)
        found.append(stream.get_state())
    return found


@pytest.mark.parametrize("every", [1, 3, 20])
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("kind", ["plain", "numbers", "vectors", "own transfer"])
def test_replayed_orbits_are_those_that_are_walked(kind, rows, every, tapes, monkeypatch):
    replayed = orbits(network(kind), rows, every)
    assert len(tapes) == len(drives(rows))
    monkeypatch.undo()
    torch.default_generator.manual_seed(0)
    walked = orbits(network(kind), rows, every)
    for found, expected in zip(replayed, walked, strict=True):
        assert_close(found, expected, rtol=0, atol=1e-13)


def test_one_tape_serves_all_blocks(tapes):
    snt.rollout(network("numbers"), torch.ones(3, N).double(), 20 * forward._BLOCK)
    (tape,) = tapes
    assert len(tape.done) < 10 * forward._BLOCK


@pytest.mark.parametrize("steps", [1, STEPS - 1])
def test_short_orbits_are_walked(steps, tapes):
    snt.rollout(network("plain"), torch.ones(N).double(), steps)
    assert not tapes


def test_gradients_and_layers_are_not_captured(tapes):
    u = torch.ones(3, N).double()
    snt.rollout(network("plain"), u.requires_grad_(), STEPS)
    layer = snt.couplings.as_coupling(random_coupling(n=N).to_sparse_csr())
    with torch.no_grad():
        snt.rollout(snt.SNTCell(layer), u, STEPS)
    assert not tapes


def test_a_tape_sees_what_no_graph_can_do():
    u = torch.ones(3)
    with pytest.raises(RuntimeError, match="cannot read"):
        Tape(lambda: u.mul_(u.sum().item()))
    with pytest.raises(RuntimeError, match="draws nothing"):
        Tape(lambda: u.normal_())


class FakeGPU(types.SimpleNamespace):
    """The part of ``torch.cuda`` that capturing uses, on the CPU; its graphs may fail."""

    def __init__(self, failing):
        super().__init__(stream=contextlib.nullcontext, current="main", waited=[], replays=0)
        self.device = lambda device: contextlib.nullcontext()
        self.failing = failing

    def make(self, name):
        return types.SimpleNamespace(wait_stream=lambda other: self.waited.append(name))

    def current_stream(self):
        return self.make("main")

    def Stream(self):
        return self.make("side")

    def set_stream(self, stream):
        self.current = stream

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=self.replay)

    def replay(self):
        self.replays += 1

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        yield
        if self.failing:
            raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("failing", [False, True])
def test_what_cannot_be_captured_is_done_one_by_one(failing, monkeypatch):
    gpu, calls = FakeGPU(failing), []
    monkeypatch.setattr(torch, "cuda", gpu)

    def work():
        calls.append(len(calls))

    told = pytest.warns(RuntimeWarning, match="cannot be captured on cuda: operation not permitted")
    with told if failing else contextlib.nullcontext():
        again = captured.capture(work, torch.device("cuda"))
    assert calls == [0, 1]
    again()
    assert (len(calls), gpu.replays) == ((3, 0) if failing else (2, 1))
    assert gpu.waited == ["side", "main"]  # each stream has waited for the other
    assert gpu.current != "main"  # the stream of before, handed back


def test_the_cpu_captures_nothing():
    assert not captured.capturable(torch.ones(3))


@pytest.mark.gpu
@pytest.mark.parametrize("every", [1, 20])
@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("kind", ["plain", "numbers", "vectors", "own transfer"])
def test_orbits_that_a_gpu_replays(kind, rows, every, monkeypatch):
    cell, u = network(kind).cuda(), torch.ones(*rows, N).double().cuda()
    for x in drives(rows):
        x = x if x is None else x.cuda()
        pair = []
        for steps_needed in (STEPS, 10**9):
            monkeypatch.setattr(forward, "_REPLAYED", steps_needed)
            stream = torch.Generator("cuda").manual_seed(0)
            pair.append(snt.rollout(cell, u, STEPS, x=x, generator=stream, every=every))
        assert_close(*pair, rtol=0, atol=1e-12)


@pytest.mark.gpu
def test_a_captured_orbit_inside_of_a_capture_is_walked():
    u = torch.ones(3, device="cuda")
    graph, seen = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        seen.append(captured.capturable(u))
        u.add_(1)
    assert seen == [False]
    assert captured.capturable(u)
