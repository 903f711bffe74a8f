"""Learning over epochs: what it does, beside its control, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from learners import OBSERVE, SIRI, N, control, network, radius, same, state
from references import random_coupling, random_generator, thinned
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import (
    BCM,
    CouplingRule,
    Covariance,
    GainHomeostasis,
    HebbianForgetting,
    IntrinsicHomeostasis,
    Masked,
    Normalised,
    Oja,
    RateSTDP,
    SignPreserving,
    SynapticScaling,
    learn,
)
from sntorch.plasticity.epochs import Run, learn_epoch

# What it does


@pytest.mark.parametrize("rows", [(), (3,)], ids=str)
@pytest.mark.parametrize("transient", [0, 4])
def test_epochs_are_those_of_the_textbook(rows, transient):
    cell, u = network(noise=0.0), state(*rows)
    history = learn(cell, SIRI, u, 5, steps=6, transient=transient)
    last: Any = None
    W, x = cell.coupling.numpy(force=True).copy(), u.reshape(-1, N).numpy().copy()
    for _ in range(5):
        y = []
        for _ in range(transient + 7):
            y.append((1 + np.tanh(4 * x)) / 2)
            last, x = x, y[-1] @ W.T
        x = last  # the last step belongs to the next epoch
        pre, post = np.stack(y[transient:-1]), np.stack(y[transient + 1 :])
        m, k = pre.mean(0) - 0.1, post.mean(0) - 0.1
        hebb = np.mean([np.outer(b, np.maximum(a, 0)) for a, b in zip(m, k, strict=True)], 0)
        W = 0.9 * W + 2.0 / N * hebb
    assert_close(history.cell.coupling, torch.from_numpy(W))
    assert_close(history.state.reshape(-1, N), torch.from_numpy(x))
    assert history.learned == 5


def test_forgetting_alone_shrinks_the_spectrum():
    rule = HebbianForgetting(forgetting=0.9, rate=0.0)
    history = learn(network(), rule, state(), 12, steps=5, observe=OBSERVE)
    expected = 0.9 ** torch.arange(13, dtype=torch.float64) * history["radius"][0]
    assert_close(history["radius"], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("forgetting", [0.5, 0.9, 0.99])
def test_bounds_of_norm_and_exponent_hold(forgetting):
    rate = 4.0

    def means(f, u):
        rates = f.rate(torch.cat([u[None], snt.rollout(f, u, 20)])) - 0.1
        return rates[1:].mean(0).norm() * rates[:-1].mean(0).relu().norm()

    def bound(f, u):
        states = torch.cat([u[None], snt.rollout(f, u, 199)])
        slope = f.gain * f.transfer.derivative(f.gain * states)
        return torch.linalg.matrix_norm(f.coupling, 2).log() + slope.amax(-1).log().mean()

    observe = {
        "norm": lambda f, u: torch.linalg.matrix_norm(f.coupling, 2),
        "C": means,
        "bound": bound,
        "mle": lambda f, u: snt.analysis.max_lyapunov(f, u, 200),
    }
    rule = HebbianForgetting(forgetting, rate, 0.1)
    history = learn(network(), rule, state(), 15, steps=20, observe=observe, control=None)
    T = history.epoch.double()
    grown = rate / N * history["C"].max() * (1 - forgetting**T) / (1 - forgetting)
    assert (history["norm"] <= forgetting**T * history["norm"][0] + grown).all()
    assert (history["mle"] <= history["bound"] + 1e-12).all()


def test_online_learning_is_epochs_of_one_step():
    cell, u = network(), state()
    history = learn(cell, Oja(0.1), u, 3, steps=1)
    J = cell.coupling.detach().clone()
    for _ in range(3):
        x = (1 + torch.tanh(4 * u)) / 2
        u = J @ x
        y = (1 + torch.tanh(4 * u)) / 2
        J = J + 0.1 * (torch.outer(y, x) - y[:, None] ** 2 * J)
    assert_close(history.cell.coupling.detach(), J)


def test_several_rules_see_the_network_as_it_was():
    cell, u = network(threshold=0.1, trainable=("coupling", "threshold")), state()
    rules = [SIRI, IntrinsicHomeostasis(0.2, activity=0.3), GainHomeostasis(0.1, power=0.2)]
    after = learn(cell, rules, u, 1, steps=5)
    alone = [learn(cell, rule, u, 1, steps=5).cell for rule in rules]
    assert torch.equal(after.cell.coupling, alone[0].coupling)
    assert torch.equal(after.cell.threshold, alone[1].threshold)
    assert torch.equal(after.cell.gain, alone[2].gain)
    assert isinstance(after.cell.threshold, torch.nn.Parameter)
    assert after.cell.threshold.shape == after.cell.gain.shape == (N,)


def test_the_rate_of_homeostasis_falls_with_the_epoch():
    falling = IntrinsicHomeostasis(0.3, horizon=1.0, activity=0.9)
    cell, u = network(), state()
    theta = [learn(cell, falling, u, n, steps=1).cell.threshold for n in (1, 2)]
    second = learn(cell, [], u, 0, steps=1)
    second = learn(second.cell, falling, u, 1, steps=1)  # at full rate again
    assert torch.equal(theta[0], second.cell.threshold)
    shrunk = (theta[1] - theta[0]).abs().max()
    assert 0 < shrunk <= 0.15 + 1e-12


def test_sparse_couplings_learn_where_they_exist():
    J = thinned(random_coupling(n=N))
    dense = snt.SNTCell(J, gain=4.0)
    sparse = snt.SNTCell(J.to_sparse_csr(), gain=4.0)
    for rule in (SIRI, RateSTDP(), Covariance()):
        rules = [snt.plasticity.Masked(rule), rule]
        found = [
            learn(f, r, state(), 4, steps=9) for f, r in zip((dense, sparse), rules, strict=True)
        ]
        assert_close(found[1].cell.coupling.to_dense(), found[0].cell.coupling)
        assert (found[1].cell.coupling.to_dense()[J == 0] == 0).all()


def test_a_drive_is_that_of_every_epoch():
    cell, u = network(input_size=2), state(3)
    x = torch.randn(7, 3, 2, generator=random_generator()).double()
    first = learn(cell, SIRI, u, 1, steps=5, transient=2, x=x)
    assert torch.equal(first.state, snt.rollout(cell, u, 7, x=x)[-1])
    second = learn(cell, SIRI, u, 2, steps=5, transient=2, x=x)
    assert torch.equal(second.state, snt.rollout(first.cell, first.state, 7, x=x)[-1])


# What it leaves alone


def test_the_cell_of_the_user_does_not_change():
    cell, u = network(), state()
    kept, start = {k: v.clone() for k, v in cell.state_dict().items()}, u.clone()
    learn(cell, [SIRI, IntrinsicHomeostasis()], u, 3, steps=4, observe=OBSERVE)
    assert all(torch.equal(v, kept[k]) for k, v in cell.state_dict().items())
    assert torch.equal(u, start)
    assert cell.coupling.requires_grad


def test_the_control_does_not_learn_and_reads_the_same_noise():
    cell, u = network(noise=0.1), state(2)
    observe = {"u": lambda f, u: u}
    history = learn(cell, SIRI, u, 4, steps=5, observe=observe, generator=random_generator(7))
    orbit = snt.rollout(cell, u, 20, generator=random_generator(7), every=5)
    assert_close(control(history)["u"][1:], orbit.detach(), rtol=0, atol=0)
    assert torch.equal(control(history).cell.coupling, cell.coupling)
    still = learn(cell, [], u, 4, steps=5, observe=observe, generator=random_generator(7))
    assert same(
        control(still),
        learn(
            cell, [], u, 4, steps=5, observe=observe, control=None, generator=random_generator(7)
        ),
    )


def test_the_control_may_have_rules_of_its_own():
    forget = HebbianForgetting(rate=0.0)
    history = learn(network(), SIRI, state(), 3, steps=4, observe=OBSERVE, control=forget)
    alone = learn(network(), forget, state(), 3, steps=4, observe=OBSERVE, control=None)
    assert same(control(history), alone)
    assert control(history)["radius"][-1] != history["radius"][-1]
    assert learn(network(), SIRI, state(), 1, steps=2, control=forget).control is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_without_gradients(mode):
    expected = learn(network(), SIRI, state(), 3, steps=4, observe=OBSERVE)
    with mode():
        assert same(learn(network(), SIRI, state(), 3, steps=4, observe=OBSERVE), expected)


def test_looking_changes_nothing():
    cell, u = network(noise=0.2), state()
    torch.manual_seed(3)
    plain = learn(cell, SIRI, u, 3, steps=4)
    torch.manual_seed(3)
    noisy = {"mle": lambda f, u: snt.analysis.max_lyapunov(f, u.add_(1), 5) and torch.rand(2)}
    seen = learn(cell, SIRI, u, 3, steps=4, observe=noisy)
    assert torch.equal(plain.cell.coupling, seen.cell.coupling)
    assert torch.equal(plain.state, seen.state)


# Wrong arguments


class Leaking(snt.plasticity.Rule):
    """A rule of something that rules do not change."""

    target = "leak"

    def __call__(self, value, pre, post, /):
        return value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": torch.nn.RNNCell(2, N)}, "cell: expected an SNTCell, got RNNCell"),
        ({"rule": None}, "rule: expected a Rule or several, got None"),
        ({"rule": [SIRI, 3]}, "rule: expected a Rule or several"),
        (
            {"rule": Leaking()},
            "rule: expected a target among coupling, .* got 'leak'",
        ),
        ({"control": 3}, "control: expected a Rule or several"),
        ({"u": torch.rand(N)}, "u: expected torch.float64"),
        ({"u": state() * math.nan}, "u: expected finite numbers"),
        ({"epochs": -1}, "epochs: expected a whole number"),
        ({"steps": 0}, "steps: expected a whole number"),
        ({"transient": -1}, "transient: expected a whole number"),
        ({"every": 0}, "every: expected a whole number"),
        ({"x": torch.zeros(4, 2).double()}, r"x: expected \(I,\) or \(5, "),
        ({"x": torch.zeros(2).double()}, "x: expected None, since the cell has input_size 0"),
        ({"observe": [radius]}, "observe: expected names with functions"),
        ({"observe": {"a": lambda f, u: "b"}}, "observe: expected a to return a number"),
        ({"observe": {"a": lambda f, u: snt.rollout(f, u, 0)}}, "steps: expected a whole number"),
        ({"generator": 3}, "generator: expected a torch.Generator"),
        ({"resume": 3}, "resume: expected a LearningHistory, got int"),
        ({"resume": "short"}, r"u: expected \(8,\), the state of the history, got \(2, 8\)"),
        ({"resume": "blind"}, "control: expected None, since the history has no control"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments: Any = {"cell": network(), "rule": SIRI, "u": state(), "epochs": 2, "steps": 5}
    arguments |= {"observe": OBSERVE} | change
    if change.get("resume") in ("short", "blind"):
        arguments["resume"] = learn(network(), SIRI, state(), 1, steps=5)
        arguments["u"] = state(2) if change["resume"] == "short" else state()
    first = [arguments.pop(name) for name in ("cell", "rule", "u", "epochs")]
    with pytest.raises(ValueError, match=message):
        learn(*first, **arguments)


@pytest.mark.parametrize("layer", ["low rank", "blocks"])
def test_a_layout_in_which_synapses_would_arise_is_refused(layer):
    J = random_coupling(n=N)
    coupling = (
        snt.couplings.LowRank(J[:, :2], J[:, 2:4])
        if layer == "low rank"
        else snt.couplings.Blocks([[J[:4, :4], None], [None, J[4:, 4:]]])
    )
    with pytest.raises(ValueError, match="in which a rule would create synapses"):
        learn(snt.SNTCell(coupling), SIRI, state(), 1, steps=2)
    learn(snt.SNTCell(coupling), IntrinsicHomeostasis(), state(), 1, steps=2)


# The published run


@pytest.mark.slow
def test_hebbian_learning_crosses_the_edge_of_chaos():
    # The reference run of the field: N = 100, gain 10, 2000 steps per epoch.  Over initial states,
    # exponents of 2000 steps spread by 0.011, 0.010, 1e-4 and 0.0014 (measured in plain numpy).
    source = np.random.RandomState(0)
    W = torch.from_numpy(source.randn(100, 100) / 10)
    u = torch.from_numpy(np.stack([source.rand(100) for _ in range(2)]))
    i = torch.arange(1, 101, dtype=torch.float64)
    pattern = 0.010 * torch.sin(2 * math.pi * i / 100) * torch.cos(8 * math.pi * i / 100)
    cell = snt.SNTCell(W, gain=10.0, threshold=-pattern, transfer="tanh01")
    observe = {
        "mle": lambda f, u: snt.analysis.max_lyapunov(f, u, 2000, transient=200).exponents[..., 0],
        "radius": radius,
    }
    published = torch.tensor([0.295, 0.237, -0.0005, -0.144]).double()
    spread = torch.tensor([0.011, 0.010, 0.0005, 0.0014]).double()
    for row in u:
        history = None
        for epochs, every in ((1, 1), (10, 5)):  # looks are what it costs: epochs 0, 1, 5, 10
            history = learn(
                cell, HebbianForgetting(0.9, 5e-3, 0.1), row, epochs, steps=2000, transient=200,
                observe=observe, every=every, control=HebbianForgetting(0.9, 0.0, 0.1),
                resume=history,
            )  # fmt: skip
        assert history is not None
        assert history.epoch.tolist() == [0, 1, 5, 10]
        assert ((history["mle"] - published).abs() < 3 * spread).all(), history["mle"]
        forgetful = control(history)
        expected = 0.9 ** forgetful.epoch.double() * forgetful["radius"][0]
        assert_close(forgetful["radius"], expected, rtol=1e-10, atol=0)
        assert abs(float(forgetful["mle"][2])) < 0.005  # forgetting alone reaches the edge as well
        assert float(forgetful["mle"][3]) > float(history["mle"][3]) + 0.04


def test_an_epoch_changes_the_couplings_in_place():
    observe = {"where": lambda f, u: float(f.coupling.data_ptr())}
    history = learn(network(), SIRI, state(), 3, steps=4, observe=observe)
    assert len(set(history["where"].tolist())) == 1
    assert control(history)["where"][0] != history["where"][0]


class LargeTensors(TorchFunctionMode):
    """Counts the new tensors that are as large as J, N x N."""

    def __init__(self):
        super().__init__()
        self.places = {}  # with the tensors, so that none is given the place of another

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        large = isinstance(found, torch.Tensor) and found.numel() >= N * N
        if large and found.is_floating_point():
            self.places[found.untyped_storage().data_ptr()] = found
        return found


@pytest.mark.parametrize(
    "rule",
    [SIRI, Oja(0.1), RateSTDP(), SynapticScaling(), 0.5 * SIRI + BCM(), [SIRI, Covariance()]],
    ids=lambda rule: type(rule).__name__,
)
def test_an_epoch_makes_no_matrix(rule):
    made = []
    for epochs in (1, 6):
        with LargeTensors() as large:
            learn(network(), rule, state(), epochs, steps=3)
        made.append(len(large.places))
    assert made[0] == made[1] > 0  # the copy at the start


@pytest.mark.parametrize("wrap", [Masked, SignPreserving, Normalised])
def test_constraints_use_their_memory_again(wrap):
    rooms = []
    for epochs in (1, 6):
        run = Run(network(), [wrap(SIRI) + wrap(Oja(0.1))], state(), {}, None)
        with torch.no_grad():
            for _ in range(epochs):
                learn_epoch([run], 3, 0, None, None)
        rooms.append(len(run.rooms))
        J = network().coupling.detach().clone()
        u = state()
        for _ in range(epochs):
            orbit = torch.cat([u[None], snt.rollout(network_with(J), u, 3)]).detach()
            rates = (1 + torch.tanh(4 * orbit)) / 2
            J = J + sum(wrap(r)(J, rates[:-1], rates[1:]) for r in (SIRI, Oja(0.1)))
            u = orbit[-1]
        assert_close(run.cell.coupling.detach(), J)
    assert rooms[0] == rooms[1] > 0


def network_with(J):
    return snt.SNTCell(J, gain=4.0, transfer="tanh01")


class Tensors(CouplingRule):
    """A rule of a user, who returns tensors."""

    def __init__(self, make):
        self.make = make

    def change(self, J, pre, post):
        return self.make(J)


def test_rules_may_return_tensors():
    kept = torch.full((N, N), 0.01, dtype=torch.float64)
    for rule in (Tensors(lambda J: kept), Masked(Tensors(lambda J: kept))):
        history = learn(network(), [rule, Tensors(lambda J: -0.5 * J.values)], state(), 2, steps=2)
        expected = (network().coupling.detach() / 2 + 0.01) / 2 + 0.01
        assert_close(history.cell.coupling.detach(), expected)
        assert (kept == 0.01).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda J: J.values.sum(1),
            r"rule: expected a change \(8, 8\) of the coupling, got",
        ),
        (lambda J: J.values.float(), "rule: expected torch.float64, the dtype of coupling"),
        (lambda J: 0.0, "rule: expected Tensor, got float"),
    ],
)
def test_a_change_of_another_kind_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        learn(network(), Tensors(make), state(), 2, steps=2)
