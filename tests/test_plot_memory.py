"""The picture of a memory capacity shows the numbers of the record."""

from typing import Any

import numpy as np
import pytest
import torch

import sntorch as snt
from sntorch.plot import figure, plot


@pytest.fixture(scope="module")
def record():
    J = snt.couplings.orthogonal(12, std=0.9, generator=torch.Generator(), dtype=torch.float64)
    cell = snt.SNTCell(J, gain=0.9, input_size=1)
    u = torch.zeros(3, 12).double()
    return snt.analysis.memory_capacity(cell, u, 200, delays=20, generator=torch.Generator())


def test_the_curve_is_the_mean_of_the_rows(record):
    ax = plot(record)
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in ax.get_lines()}
    mean = record.capacity.mean(0).numpy()
    np.testing.assert_allclose(lines["mean ± s.e."], mean)
    np.testing.assert_allclose(lines["rows"], record.capacity[0].numpy())
    assert len(ax.get_lines()) == 3 + 1 + 2
    assert ax.get_xlabel() == "delay (steps)"
    legend = ax.get_legend()
    assert legend is not None
    assert "N = 12" in legend.get_title().get_text()


def test_one_row_has_no_light_lines_and_no_number_is_said(record):
    one = record.map(lambda t: t[0])
    assert len(plot(one).get_lines()) == 1 + 2
    nothing = record.map(lambda t: t * torch.nan)
    legend = plot(nothing).get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "no finite value"
    assert figure(record).axes


def test_capacities_by_degree_are_bars():
    f = snt.as_dynamics(lambda u, x: torch.cat([x, x * u[..., :1]], -1))
    u = torch.zeros(3, 2).double()
    found = snt.analysis.information_capacity(f, u, 100, delays=[3, 2, 2])
    ax = plot(found)
    patches: list[Any] = list(ax.patches)
    heights = [bar.get_height() for bar in patches]
    np.testing.assert_allclose(heights, found.capacity.mean(0).numpy())
    assert ax.get_xlabel() == "degree"
    assert len(ax.get_lines()) >= 3 + 1
