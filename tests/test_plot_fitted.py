"""Pictures of estimated flows: what they say, in one and more dimensions, and where nothing is."""

from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from references import random_generator

import sntorch as snt
from sntorch.landscape import estimate_flow, reduce_flow
from sntorch.plot import plot

matplotlib.use("agg")
A = torch.tensor([[-1.0, -2.0, 0.0], [2.0, -1.0, 0.0], [0.0, 0.0, -1.0]], dtype=torch.float64)


@pytest.fixture(scope="module")
def orbit():
    flow = snt.systems.OrnsteinUhlenbeck(A)
    u = torch.randn(100, 3, generator=random_generator(), dtype=torch.float64)
    f = snt.EulerMaruyama(flow, 0.05)
    return flow, snt.rollout(f, u, 300, generator=random_generator(1))[100:]


def note(ax: Any) -> str:
    ax.figure.draw_without_rendering()
    return ax.get_legend().get_title().get_text()


def test_planes_show_the_drift_and_where_it_is_known(orbit):
    record = estimate_flow(orbit[1], dt=0.05, order=1)
    ax = plot(record)
    assert "n = 19800, D = 1" in note(ax)
    assert "slice through the mean" in note(ax)
    assert (ax.get_xlabel(), ax.get_title(loc="left")) == ("u₁", "Flow from increments")
    found: list[Any] = [each for each in ax.collections if hasattr(each, "U")]
    (arrows,) = found
    at = torch.from_numpy(np.array(arrows.get_offsets()))
    turned = -2 * at[:, 1] - at[:, 0]
    assert torch.corrcoef(torch.stack([torch.from_numpy(np.array(arrows.U)), turned]))[0, 1] > 0.99
    hidden = record.map(lambda t: t * torch.nan)
    assert "no finite value" in note(plot(hidden))


def test_curves_of_one_coordinate(orbit):
    one = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    record = reduce_flow(orbit[0], orbit[1], one, dt=0.05)
    ax = plot(record)
    assert f"memory {float(record.memory):.2g}" in note(ax)
    curve: Any = ax.lines[0]
    y = torch.from_numpy(curve.get_xdata()).reshape(-1, 1)
    torch.testing.assert_close(torch.from_numpy(curve.get_ydata()), record.flow.drift(y)[:, 0])
    assert ax.get_xlabel() == "y"
