"""The pictures of learning show what was observed, and the control."""

import numpy as np
import pytest
import torch
from references import random_coupling
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import HebbianForgetting, learn
from sntorch.plot import learning


def history(observe):
    cell = snt.SNTCell(random_coupling(n=5), transfer="tanh01", gain=3.0)
    u = torch.linspace(0, 1, 10).double().reshape(2, 5)
    return learn(cell, HebbianForgetting(rate=1.0), u, 4, steps=3, observe=observe)


OBSERVE = {
    "sign": lambda f, u: u.sum(-1) - u.sum(-1).mean() + 0.1,
    "norm": lambda f, u: f.coupling.norm(),
}


def test_the_first_analysis_is_drawn_with_its_control():
    found = history(OBSERVE)
    ax = snt.plot(found)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"learning", "control", "zero"}
    assert found.control is not None
    for name, record in (("learning", found), ("control", found.control)):
        shown = np.asarray(lines[name].get_ydata(), dtype=float)
        assert_close(torch.from_numpy(shown), record["sign"].mean(1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "sign")


def test_every_analysis_has_a_panel():
    labels = [ax.get_ylabel() for ax in learning(history(OBSERVE)).axes]
    assert labels == ["sign", "norm"]


def test_the_eigenvalues_of_learned_couplings_stand_beside_the_random_ones():
    J = random_coupling(n=5)
    rule = HebbianForgetting(rate=1.0)
    found = snt.analysis.synaptic_change(
        snt.SNTCell(J), torch.ones(5).double(), 5, start=0.5 * J, rule=rule
    )
    ax = snt.plot(found)
    lines = {line.get_label(): line for line in ax.get_lines()}
    shown = np.asarray(lines["eigenvalues"].get_xdata(), dtype=float)
    assert_close(torch.from_numpy(shown), found.eigenvalues.real)
    circle = np.asarray(lines["random, same norm"].get_xdata(), dtype=float)
    assert circle.max() == pytest.approx(float(J.norm()) / 5**0.5)


def test_the_sensitivity_of_neurons_stands_beside_its_floor():
    cell = snt.SNTCell(2 * random_coupling(n=5), input_size=1, gain=2.0)
    found = snt.analysis.pattern_sensitivity(
        cell, torch.ones(5).double(), 20, x=torch.ones(1).double()
    )
    lines = snt.plot(found).get_lines()
    shown = np.asarray(lines[0].get_ydata(), dtype=float)
    assert_close(torch.from_numpy(shown), found.change.abs())
    floor = np.asarray(lines[1].get_ydata(), dtype=float)
    assert floor[0] == pytest.approx(float(found.floor.mean()))


def test_without_observations_there_is_no_panel():
    assert not snt.plot(history({})).get_lines()
    with pytest.raises(ValueError, match="history: expected observed analyses, got none"):
        learning(history({}))
    with pytest.raises(ValueError, match="history: expected a LearningHistory, got int"):
        learning(3)  # pyright: ignore[reportArgumentType]
