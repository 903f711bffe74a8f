"""The epochs of slow learning: interrupted, resumed, diverged, and taken up again."""

from typing import Any

import pytest
import torch
from learners import OBSERVE, SIRI, control, network, radius, same, state
from references import random_generator

import sntorch as snt
from sntorch.plasticity import CouplingRule, HebbianForgetting, learn


class Interrupting:
    """An analysis, or a rule, that is interrupted at its n-th call."""

    def __init__(self, n):
        self.left = n

    def tick(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class InterruptedLooks(Interrupting):
    def __call__(self, f, u):
        self.tick()
        return radius(f, u)


class InterruptedRule(Interrupting, CouplingRule):
    def change(self, J, pre, post):
        self.tick()
        return SIRI.change(J, pre, post)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_an_interrupted_run_is_finished_to_the_same_bits(n):
    cell, u = network(noise=0.1), state(2)

    def call(look, rule, resume=None, generator=None):
        return learn(
            cell,
            rule,
            u,
            6,
            steps=5,
            observe={"radius": look},
            control=[SIRI],
            generator=generator,
            resume=resume,
        )

    whole = call(radius, SIRI, generator=random_generator(1))
    for look, rule in ((InterruptedLooks(n), SIRI), (radius, InterruptedRule(min(n, 6)))):
        g = random_generator(1)
        part = call(look, rule, generator=g)
        assert part.stopped.startswith("interrupted")
        assert part.learned < 6 or len(part.epoch) < 7
        assert same(call(radius, SIRI, resume=part, generator=g), whole)


def test_an_interruption_names_the_epoch():
    history = learn(network(), InterruptedRule(3), state(), 6, steps=5, observe=OBSERVE)
    assert history.stopped == "interrupted in epoch 3"
    assert history.epoch.tolist() == [0, 1, 2]
    assert history.learned == 2


def test_a_run_goes_on_where_it_ended():
    settings: Any = {"steps": 5, "observe": OBSERVE, "every": 2}
    part = learn(network(), SIRI, state(), 3, **settings)
    kept = part.cell.coupling.detach().clone()
    more = learn(network(), SIRI, state(), 7, resume=part, **settings)
    assert same(more, learn(network(), SIRI, state(), 7, **settings))
    assert torch.equal(part.cell.coupling, kept)


def growing(n=4):
    """Return a rectified network that explodes once it has learned."""
    return snt.SNTCell(0.99 * torch.eye(n), transfer="relu"), torch.ones(n)


def test_divergence_stops_with_the_epoch_and_keeps_the_history():
    cell, u = growing()
    rule = HebbianForgetting(forgetting=1.0, rate=0.05, activity=0.0)
    observe = {"radius": radius}
    history = learn(cell, rule, u, 50, steps=20, observe=observe)
    epoch = history.learned + 1
    assert history.stopped.startswith(f"diverged in epoch {epoch}: ")
    assert 2 < epoch < 50
    assert history.epoch.tolist() == list(range(epoch))
    assert history["radius"].isfinite().all()
    assert history.cell.coupling.isfinite().all()
    assert history.state.isfinite().all()
    assert len(control(history)["radius"]) == epoch


class Grows(CouplingRule):
    """Multiplies the couplings onto every neuron by numbers."""

    def __init__(self, *numbers):
        self.numbers = torch.tensor(numbers, dtype=torch.float64)

    def change(self, J, pre, post):
        return J.scaled(self.numbers - 1)


def test_couplings_that_leave_the_finite_numbers_stop_the_run_before():
    J = torch.zeros(4, 4, dtype=torch.float64)
    J[0, 0] = 1.0  # a neuron that stays silent: only its coupling explodes
    history = learn(snt.SNTCell(J), Grows(1e100, 1, 1, 1), torch.zeros(4).double(), 9, steps=1)
    assert history.stopped == "diverged in epoch 4: coupling: expected a finite change"
    assert history.learned == 3
    assert history.cell.coupling[0, 0].item() == pytest.approx(1e300)


def test_a_bound_that_is_too_coarse_stops_nothing():
    J = torch.eye(4, dtype=torch.float64)
    J[1, 1] = 0.0
    history = learn(snt.SNTCell(J), Grows(1, 1e100, 1, 1), torch.zeros(4).double(), 9, steps=1)
    assert (history.stopped, history.learned) == ("", 9)
    assert torch.equal(history.cell.coupling, J)


def test_an_analysis_that_fails_later_stops_the_run():
    cell, u = growing()
    rule = HebbianForgetting(forgetting=1.0, rate=0.05, activity=0.0)
    observe = {"mle": lambda f, u: snt.analysis.max_lyapunov(f, u, 300)}
    history = learn(cell, rule, u, 50, steps=2, observe=observe)
    assert history.stopped.startswith(f"diverged after epoch {history.learned}: mle: u: expected a")
    assert len(history.epoch) == history.learned


def test_what_is_observed_may_not_change():
    part = learn(network(), SIRI, state(), 1, steps=5, observe=OBSERVE)
    with pytest.raises(ValueError, match=r"observe: expected .*, as before, got "):
        learn(network(), SIRI, state(), 2, steps=5, observe={"radius": radius}, resume=part)
