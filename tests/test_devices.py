"""Everything on another device: every example of the documentation, and what loops read from it."""

import contextlib
import doctest
import importlib
import io
import itertools
import pkgutil

import elsewhere
import pretend
import pytest
import torch
from pretend import pretended
from torch.testing import assert_close

import sntorch as snt
from sntorch import analysis

ROOMS = ("analysis", "couplings", "landscape", "meanfield", "plasticity", "systems", "transfer")
MODULES = [
    module.name
    for room in ROOMS
    for module in pkgutil.iter_modules(
        importlib.import_module(f"sntorch.{room}").__path__, f"sntorch.{room}."
    )
]
MODULES += ["sntorch.cells", "sntorch.dynamics", "sntorch.flows", "sntorch.networks"]
MODULES += ["sntorch.schedule", "sntorch.sequence", "sntorch.torchcells"]

SPARSE = {"Sparse", "as_coupling", "sparse"}  # whose layout no stand-in can have
HELPERS = ("sntorch.couplings", "sntorch.landscape", "sntorch.meanfield", "sntorch.systems")
"""Rooms that make tensors beside those that they are given, some of them always on the CPU."""

HERE = {"planted"}  # which draws a network and its state on the device that it is told


@pytest.fixture
def reads():
    """Make the place of what `pretended` gives."""


def examples(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs={}):
        if test.examples and test.name.rpartition(".")[2] not in SPARSE:
            yield test


CASES = [(name, False) for name in MODULES if any(examples(name))]
LONG = (".annealing", ".attractors", ".orbits")  # twenty seconds each: once is enough
CASES += [(n, True) for n, _ in CASES if n.startswith(HELPERS) and not n.endswith(LONG)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "default"), CASES)
@pretended
def test_examples_hold_on_another_device(name, default, reads):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    where = torch.device(pretend.DEVICE) if default else contextlib.nullcontext()
    for test in examples(name):
        if not default:
            if test.name.rpartition(".")[2] in HERE:
                continue
            test.globs = elsewhere.scope(test.globs, pretend.DEVICE)
        told = io.StringIO()
        torch.manual_seed(0)
        with where, contextlib.redirect_stdout(io.StringIO()):
            found = doctest.DocTestRunner(optionflags=flags).run(test, out=told.write)
        assert not found.failed, told.getvalue()


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_examples_run_on_a_gpu():
    """Their numbers are drawn there from other streams, so that only errors are looked for."""
    with torch.device("cuda"), contextlib.redirect_stdout(io.StringIO()):
        for test in itertools.chain.from_iterable(map(examples, MODULES)):
            for example in test.examples:
                exec(compile(example.source, test.name, "single"), test.globs)


def network(**options):
    stream = torch.Generator("cpu").manual_seed(1)
    J = snt.couplings.gaussian(6, generator=stream, dtype=torch.float64)
    return snt.SNTCell(J, gain=1.5, leak=0.2, threshold=0.1, **options).to(pretend.DEVICE)


def state(*shape):
    stream = torch.Generator("cpu").manual_seed(2)
    return torch.randn(*shape, generator=stream, dtype=torch.float64).to(pretend.DEVICE)


def train(steps):
    cell = network(input_size=2, noise=0.1)
    snt.rollout(cell, state(3, 6), steps, x=state(steps, 3, 2)).square().mean().backward()


def learn(steps):
    rule = snt.plasticity.HebbianForgetting(rate=0.01, forgetting=0.9)
    snt.plasticity.learn(network(), rule, state(3, 6), 2, steps=steps)


LOOPS = {
    "orbit": lambda T: snt.rollout(network(), state(3, 6), T),
    "noise": lambda T: snt.rollout(network(noise=0.1), state(3, 6), T, every=4),
    "drive": lambda T: snt.rollout(network(input_size=2), state(3, 6), T, x=state(T, 3, 2)),
    "networks": lambda T: snt.rollout(snt.Networks([network(), network()]), state(2, 6), T),
    "training": train,
    "plasticity": learn,
    "exponents": lambda T: analysis.lyapunov_spectrum(network(), state(6), T, interval=T // 4),
    "tangents": lambda T: analysis.linear_response(network(), state(4, 6), lags=2, samples=8 * T),
    "fixed points": lambda T: analysis.find_fixed_points(network(), state(3, 6), steps=T),
}


@pytest.mark.parametrize("loop", LOOPS)
@pretended
def test_loops_read_no_number_from_the_device(loop, reads):
    """Each would make the CPU wait for a GPU; what is read before and after does not grow."""
    counts = []
    for steps in (32, 64):
        before = reads.count
        LOOPS[loop](steps)
        counts.append(reads.count - before)
    assert counts[0] == counts[1]


@pretended
def test_a_number_that_is_read_counts(reads):
    u = state(3)
    assert reads.count == 0
    float(u.sum())
    u.cpu()
    assert reads.count == 2


@pretended
def test_devices_do_not_mix(reads):
    with pytest.raises(RuntimeError, match="expected all tensors on pretend:0, got one on cpu"):
        torch.add(state(3), torch.ones(3))
    with pytest.raises(TypeError, match=r"use Tensor.cpu\(\) first"):
        state(3).numpy()


@pytest.mark.parametrize("recording", [False, True])
@pretended
def test_orbits_are_those_of_the_cpu(recording, reads):
    cell = network(input_size=2, trainable=("coupling",) if recording else ())
    u, x = state(3, 6), state(9, 3, 2)
    there = snt.rollout(cell, u, 9, x=x)
    assert there.device == pretend.DEVICE
    assert there.requires_grad == recording
    here = snt.rollout(cell.cpu(), u.cpu(), 9, x=x.cpu())
    assert_close(there.detach().cpu(), here.detach(), rtol=0, atol=1e-14)
