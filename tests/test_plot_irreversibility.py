"""Pictures of Gaussian landscapes, irreversibility and sensitivities: what they say, and edges."""

import dataclasses
import math
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from references import random_generator

import sntorch as snt
from sntorch import landscape
from sntorch.plot import figure, plot

matplotlib.use("agg")


def drawn(ax) -> Any:
    ax.figure.draw_without_rendering()
    return ax


def note(ax):
    return ax.get_legend().get_title().get_text()


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture(scope="module")
def orbit():
    J = snt.couplings.gaussian(6, std=1.5, generator=random_generator(1), dtype=torch.float64)
    f = snt.SNTCell(J, noise=0.4, trainable=())
    u = torch.zeros(50, 6, dtype=torch.float64)
    return f, snt.rollout(f, u, 200, generator=random_generator())[50:]


def test_linear_steady_state():
    A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]], dtype=torch.float64)
    ax = drawn(plot(landscape.linear_flow(A)))
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 2.5], [0.625, 0]], atol=1e-12)
    assert "3.125 nats / unit of time, 1.56 per neuron" in note(ax)
    assert "nats / step" in note(plot(landscape.linear_map(0.5 * A)))


def test_synapses(orbit):
    record = landscape.synaptic_entropy(*orbit)
    ax = drawn(plot(record))
    np.testing.assert_array_equal(ax.images[0].get_array(), record.value)
    above = (record.value > 2 * record.stderr).sum()
    assert len(ax.lines[0].get_xdata()) == int(above) > 0
    assert f"sum {float(record.total):.3g} nats / step" in note(ax)


@pytest.mark.parametrize("question", [landscape.lagged_entropy, landscape.uncertainty_bound])
def test_estimates(orbit, question):
    record = question(orbit[1])
    ax = drawn(plot(record))
    assert ax.get_ylabel() == "entropy production (nats / step)"
    assert ("lower bound" in note(ax)) == record.bound
    assert len(ax.get_xticks()) == (3 if record.bound else 2)


def test_loop():
    angle = torch.linspace(0, 2 * math.pi, 41, dtype=torch.float64)[:-1]
    curve = torch.stack([angle.cos(), angle.sin()], -1)
    record = landscape.loop_flux(lambda y: torch.stack([-y[:, 1], y[:, 0]], -1), curve)
    ax = drawn(plot(record))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.ones(40), rtol=1e-12)
    assert "round the loop 6.26" in note(ax)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_gaussian_landscape(size):
    u = torch.randn(10, size, generator=random_generator(), dtype=torch.float64)
    record = landscape.gaussian_landscape(snt.systems.DoubleWell(size, diffusion=0.1), u)
    ax = drawn(plot(record))
    assert "barriers are not valid" in note(ax)
    assert ("valid inside" if size > 1 else "not valid") in labels(ax)
    assert ax.get_xlabel() == ["u", "u₁", "y₁"][size - 1]


def test_landscape_and_attractors_of_a_cycle():
    ring = snt.systems.TanhRing(diffusion=0.05)
    u = torch.tensor([[1.0, 0.5], [0.2, 0.1]], dtype=torch.float64)
    found = landscape.find_attractors(ring, u, settle=30)
    ax = drawn(plot(found))
    assert labels(ax) == ["cycle, T = 9.883: 100% of starts", "unstable point"]
    drawn(plot(landscape.gaussian_landscape(ring, u, settle=30)))


def test_attractors_of_nothing():
    u = torch.randn(2, 3, generator=random_generator(), dtype=torch.float64)
    found = landscape.find_attractors(snt.systems.Lorenz(), 5 * u, settle=4)
    assert "100% of the starts without" in note(drawn(plot(found)))


def test_sensitivities():
    p = torch.tensor([[0.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    ax = drawn(plot(landscape.sensitivity(lambda p: p[0, 1] ** 2 * p[1, 0] / p[1, 1], p)))
    assert [each.get_text() for each in ax.get_yticklabels()] == ["0, 1", "1, 0", "1, 1"]
    widths = sorted(patch.get_width() for patch in ax.patches)
    np.testing.assert_allclose(widths, [-1, 1, 2])
    box = torch.zeros(3, dtype=torch.float64)
    found = landscape.global_sensitivity(lambda p: p[0] + 2 * p[2] * p[1], box, box + 1, samples=64)
    ax = drawn(plot(found))
    assert len(ax.patches) == 6
    assert "320 evaluations" in note(ax)


def test_share_in_the_flux_picture(orbit):
    f, states = orbit
    field = landscape.flux_field(states)
    assert "of the entropy production" not in note(drawn(plot(field)))
    share, error = landscape.plane_share(
        landscape.entropy_production(f, states), states, field.plane
    )
    ax = plot(dataclasses.replace(field, share=share, share_stderr=error))
    assert "% of the entropy production" in note(ax)


def test_all_survive_nan_and_single_precision(orbit):
    f, states = orbit
    u = torch.randn(4, 2, generator=random_generator(), dtype=torch.float64)
    records = [
        landscape.linear_flow(-torch.eye(3)),
        landscape.synaptic_entropy(f, states),
        landscape.lagged_entropy(states),
        landscape.find_attractors(snt.systems.DoubleWell(2), u),
        landscape.sensitivity(lambda p: p.sum(), torch.ones(2)),
    ]
    for record in records:
        drawn(plot(record.map(lambda t: t.float() if t.is_floating_point() else t)))
    for record in records[:3]:
        blank = record.map(lambda t: torch.full_like(t, math.nan))
        assert "no finite value" in note(drawn(plot(blank)))
    figure(*records).canvas.draw()
