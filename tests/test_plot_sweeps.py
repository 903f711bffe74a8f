"""The picture of a sweep shows means over seeds with their errors, where they belong."""

import math

import pytest
import torch

import sntorch as snt
from sntorch.results import Sweep


def sweep(values, measured):
    runs = len(measured)
    return Sweep(
        folders=tuple(map(str, range(runs))),
        values=values,
        finished=torch.ones(runs, dtype=torch.bool),
        measured={"val/loss": torch.tensor(measured, dtype=torch.float64)},
        metric="val/loss",
    )


def lines(ax):
    """Return label, places, heights and errors of every line."""
    found = {}
    for container in ax.containers:
        line, _, (bars,) = container
        errors = [(high - low) / 2 for (_, low), (_, high) in bars.get_segments()]
        found[container.get_label()] = (*map(list, line.get_data()), errors)
    return found


def test_numbers_stand_at_themselves_one_line_for_every_other_value():
    values = {"gain": (1.5, 1.5, 0.5, 0.5) * 2, "leak": (0.1,) * 4 + (0.4,) * 4, "seed": (0, 1) * 4}
    ax = snt.plot(sweep(values, [3.0, 5.0, 1.0, 1.0, 2.0, 2.0, 0.0, 1.0]))
    found = lines(ax)
    assert list(found) == ["leak = 0.1", "leak = 0.4"]
    x, y, error = found["leak = 0.1"]
    assert (x, y) == ([0.5, 1.5], [1.0, 4.0])
    assert error == pytest.approx([0.0, 1.0])
    assert found["leak = 0.4"][1] == [0.5, 2.0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gain", "val/loss")


def test_names_stand_in_order_and_what_is_unknown_is_left_out():
    ax = snt.plot(sweep({"model": ("snt", "gru", "rnn")}, [1.0, math.nan, 3.0]))
    ((x, y, _),) = lines(ax).values()
    assert (x, y) == ([0.0, 2.0], [1.0, 3.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["snt", "gru", "rnn"]


def test_seeds_alone_are_one_point():
    ax = snt.plot(sweep({"seed": (0, 1, 2)}, [1.0, 2.0, 3.0]))
    ((_, y, error),) = lines(ax).values()
    assert (y, error) == ([2.0], pytest.approx([3**-0.5]))
    assert ax.get_xlabel() == "all runs"
