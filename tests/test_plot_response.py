"""Pictures of responses: what is drawn is what was measured."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch
from references import LinearMap, random_generator

import sntorch as snt
from sntorch.analysis import (
    effective_connectivity,
    fluctuation_dissipation,
    linear_response,
    poles,
    response_parts,
    susceptibility,
    transmit,
)
from sntorch.plot import plot
from sntorch.plot.response import circle

UNITS = {
    "kernel": "(per unit kick)",
    "chi": "(rad / step)",
    "graph": "from neuron j",
    "sent": "(per unit signal)",
    "dissipation": "lag τ (steps)",
    "poles": "real part of z (1)",
    "parts": "(per unit kick)",
}
every_kind = pytest.mark.parametrize("kind", UNITS)

M = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.0, 0.1], [0.0, 0.5, 0.2]], dtype=torch.float64)


@pytest.fixture(scope="module")
def records():
    f = LinearMap(M, noise=1.0)
    u = torch.randn(20, 3, generator=random_generator(1), dtype=torch.float64)
    kernel = linear_response(f, u, lags=8, samples=4000, method="noise")
    omega = torch.linspace(0, math.pi, 12, dtype=torch.float64)
    return {
        "kernel": kernel,
        "chi": susceptibility(f, u, omega, lags=8, samples=4000, method="noise"),
        "graph": effective_connectivity(kernel, omega[:1], coupling=M),
        "sent": transmit(f, u, source=0, carrier=1.0, modulation=0.1, response=kernel),
        "poles": poles(kernel),
        "parts": response_parts(snt.systems.Henon(), 0.1 * u[:, :2], lags=4, samples=40),
        "dissipation": fluctuation_dissipation(kernel, snt.rollout(f, u, 400)),
    }


def line(ax, label):
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def draw(ax):
    FigureCanvasAgg(ax.get_figure()).draw()


def note(ax):
    legend = ax.get_legend()
    return legend.get_title().get_text()


@every_kind
def test_units(records, kind):
    ax = plot(records[kind])
    assert UNITS[kind] in ax.get_xlabel() + ax.get_ylabel()
    draw(ax)


@every_kind
def test_nothing_finite_is_said_and_no_warning(records, kind):
    def spoilt(t):
        return torch.full_like(t, math.nan) if t.is_floating_point() or t.is_complex() else t

    ax = plot(records[kind].map(spoilt))
    draw(ax)
    assert note(ax) == "no finite value"


def test_kernel(records):
    kernel = records["kernel"].kernel
    ax = plot(records["kernel"])
    # The strongest pair after the kick itself, and its errors.
    bars: dict[Any, Any] = {bar.get_label(): bar for bar in ax.containers}
    np.testing.assert_allclose(bars["0 to 1"].lines[0].get_ydata(), kernel[:, 1, 0])
    ends = bars["0 to 1"].lines[2][0].get_segments()[3][:, 1]
    assert np.ptp(ends) == pytest.approx(2 * float(records["kernel"].stderr[3, 1, 0]))
    assert len(bars) == 3


def test_susceptibility(records):
    found = records["chi"]
    ax = plot(found)
    x, y = line(ax, "|χ|, 0 to 1")
    np.testing.assert_allclose(x, found.omega)
    np.testing.assert_allclose(y, found.modulus[:, 1, 0])
    _, power = line(ax, "power spectrum of 1, scaled")
    assert power.max() == pytest.approx(y.max())
    np.testing.assert_allclose(power / power.max(), found.power[:, 1] / found.power[:, 1].max())
    bent = dataclasses.replace(found, linear=found.omega < 1)
    assert len(line(plot(bent), "not linear")[0]) == int((found.omega >= 1).sum())


def test_matrix(records):
    ax = plot(records["graph"])
    (image,) = ax.images
    np.testing.assert_allclose(np.asarray(image.get_array()), records["graph"].weights[0])
    source, to = line(ax, "synapse")
    assert set(zip(to, source, strict=True)) == {(1, 0), (1, 2), (2, 1), (2, 2)}


def test_circle(records):
    graph = records["graph"]
    ax = circle(graph, links=2)
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 2
    # The strongest one is drawn last, the thickest and darkest.
    assert arrows[-1].get_linewidth() > arrows[0].get_linewidth()
    assert sum(to_rgb(arrows[-1].get_edgecolor())) < sum(to_rgb(arrows[0].get_edgecolor()))
    (nodes,) = [found for found in ax.collections if isinstance(found, PathCollection)]
    assert int(np.argmax(nodes.get_sizes())) == int(graph.hub[0])
    draw(ax)


def test_transmission(records):
    sent = records["sent"]
    ax = plot(sent)
    bars: Any = ax.containers[0]
    np.testing.assert_allclose(bars.lines[0].get_ydata(), sent.gain)
    np.testing.assert_allclose(line(ax, "predicted |χ|")[1], sent.predicted_gain)


def test_fluctuation_dissipation(records):
    ax = plot(records["dissipation"])
    x, y = line(ax, "what noise leaves unseen")
    np.testing.assert_allclose(x, np.arange(1, 9))
    np.testing.assert_allclose(y, records["dissipation"].floor[1:])


def test_poles_are_drawn_where_they_are(records):
    found = records["poles"]
    ax = plot(found)
    (dots,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    places = np.asarray(dots.get_offsets())
    np.testing.assert_allclose(places[:, 0], found.z.real.numpy())
    np.testing.assert_allclose(places[:, 1], found.z.imag.numpy())
    # Error bars go along the radius and across it.
    bars = [np.asarray(each.get_xdata()) for each in ax.lines[1:3]]
    assert np.ptp(bars[0]) == pytest.approx(2 * float(found.modulus_stderr[0]))


def test_parts_are_drawn_on_a_logarithmic_axis(records):
    found = records["parts"]
    ax = plot(found)
    assert ax.get_yscale() == "log"
    _, size = line(ax, "unstable, 1")
    np.testing.assert_allclose(size, found.unstable.signal[found.unstable.signal > 0].numpy())
