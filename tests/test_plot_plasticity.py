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


def test_without_observations_there_is_no_panel():
    assert not snt.plot(history({})).get_lines()
    with pytest.raises(ValueError, match="history: expected observed analyses, got none"):
        learning(history({}))
    with pytest.raises(ValueError, match="history: expected a LearningHistory, got int"):
        learning(3)  # pyright: ignore[reportArgumentType]
