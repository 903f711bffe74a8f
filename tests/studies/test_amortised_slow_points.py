"""The search for slow points by a learned potential: what counts, what it saves, what is shown."""

import dataclasses
import math
from typing import Any

import matplotlib
import pytest
import torch

import sntorch as snt
from sntorch.studies import amortised_slow_points, searches

matplotlib.use("agg")

F64 = torch.float64


@pytest.fixture(scope="module")
def found():
    settings: dict[str, Any] = {"networks": 2, "starts": [6, 24], "epochs": 1}
    with pytest.MonkeyPatch.context() as patch:  # training it is tested elsewhere
        patch.setattr(searches, "trained_gru", untrained)
        return list(amortised_slow_points.run(sizes=[8], hidden=[8], **settings))


def untrained(size, epochs, *, bits, seed):
    torch.manual_seed(seed)
    return snt.as_dynamics(torch.nn.GRU(bits, size).requires_grad_(False))


def record(points, seconds, **others):
    """Return a record of networks with the given points and seconds (M, 3, S)."""
    points, seconds = (torch.tensor(each, dtype=F64) for each in (points, seconds))
    kept: dict[str, Any] = {
        "sizes": torch.full((len(points),), 8),
        "starts": torch.tensor([10, 20]),
        "speed": torch.zeros_like(points),
        "begun": torch.ones(len(points), 3, dtype=F64),
        "training": torch.full((len(points),), 6.0, dtype=F64),
        "error": torch.zeros(len(points), dtype=F64),
    }
    kept |= {"known": 27, "planned": len(points)} | others
    return amortised_slow_points.AmortisedSlowPoints(points=points, seconds=seconds, **kept)


def test_networks_come_one_by_one(found):
    assert [each.progress[:13] for each in found] == ["[1/2] 8 units", "[2/2] 8 units"]
    last = found[-1]
    assert last.points.shape == last.seconds.shape == last.speed.shape == (2, 3, 2)
    assert torch.equal(last.points[0], found[0].points[0])
    assert bool((last.points[:, 0].diff(dim=-1) >= 0).all())  # direct: fewer starts are the first
    assert bool((last.points <= last.starts).all())
    assert bool((last.points[:, :, -1] >= 1).all())
    slow = last.speed[last.points > 0]
    assert bool((slow <= 2**0.5 * 1e-3).all())
    assert bool((last.seconds > 0).all())
    assert bool((last.begun[:, 1] < last.begun[:, 0]).all())  # descent descends
    assert bool((last.error < 1).all())  # it has learned: 0 everywhere would be 1
    assert last.scalars()["training/8"] > 0
    assert "learned potential" in last.table()
    assert len(last.rows()) == 2 * 3 * 2
    assert last.rows()[0]["search"] == "direct"


def test_what_counts_as_a_point():
    """u' = tanh(2u) in each of two neurons: nine fixed points, (0, 0) the middle one."""
    f = snt.as_dynamics(lambda u: torch.tanh(2 * u))
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=F64)
    visited = searches.Visited(f, corners)
    assert visited.spread == pytest.approx(2**0.5)
    place = 0.9575040240772687
    ends = torch.tensor(
        [[place, place], [place, place + 1e-5], [0, 0], [0.5, 0], [place, 0]], dtype=F64
    )
    speeds = visited.slow(ends)
    assert len(speeds) == 3  # one of the first two, the middle, and the last
    assert float(speeds.max()) < 1e-12
    near = searches.Visited(f, corners / 2)
    assert len(near.slow(ends)) == 1  # the corner and the edge are beyond what it visits
    averages = visited.averages(500, torch.Generator())
    assert float(averages.abs().max()) < 1 + 1e-12
    assert float(averages.mean(0).abs().max()) < 0.1


def test_what_a_search_saves():
    # Direct search finds 10 in 1 s and 20 in 3 s; V finds 15 in 0.5 s, then 20 in 1 s.
    points = [[[10, 20], [0, 0], [15, 20]]] * 2
    seconds = [[[1.0, 3.0], [1, 1], [0.5, 1.0]]] * 2
    better = record(points, seconds)
    assert better.saved.tolist() == [[1.5, 2.0]] * 2
    assert "paid back after 3 searches" in better.table()
    assert better.scalars()["saved/8"] == 2.0
    # Fewer points than at first: its first search counts.  More than ever found: its longest.
    assert record([[[10, 20], [0, 0], [5, 25]]], seconds[:1]).saved.tolist() == [[0.5, 2.0]]
    slower = record(points, [[[0.1, 0.2], [1, 1], [0.5, 1.0]]] * 2)
    assert "never, as far as is resolved" in slower.table()
    one = better._only([0])
    assert math.isnan(one.scalars()["saved_stderr/8"])


def test_pictures(found):
    last = found[-1]
    two = dataclasses.replace(last, sizes=torch.tensor([8, 16]))
    picture = two.picture()
    picture.draw_without_rendering()
    assert len(picture.axes) == 2
    assert picture.axes[0].get_xlabel() == "CPU time of a search (s)"
    labels = picture.axes[0].get_legend_handles_labels()[1]
    assert "learned potential" in labels
    assert "27, as the task asks for" in labels


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": []}, "sizes: expected at least one"),
        ({"sizes": [1]}, "sizes: expected"),
        ({"starts": []}, "starts: expected some, ascending"),
        ({"starts": [8, 4]}, "starts: expected some, ascending"),
        ({"networks": 1}, "networks: expected"),
        ({"descent": 0}, "descent: expected"),
        ({"hidden": []}, "hidden: expected"),
        ({"epochs": 0}, "epochs: expected"),
        ({"trained": 0}, "trained: expected"),
        ({"lr": 0.0}, "lr: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        next(amortised_slow_points.run(**change))
