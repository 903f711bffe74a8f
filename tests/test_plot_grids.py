"""Pictures of landscapes: what is drawn is what was found."""

import math

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.quiver import Quiver

from sntorch.landscape import (
    Grid,
    barrier,
    descent,
    escape_rate,
    fokker_planck,
    gradient_path,
    hamilton_jacobi,
    limit_cycle,
    minimum_action_path,
    phase_coherence,
    relax,
    wells,
)
from sntorch.plot import plot
from sntorch.plot.grids import landscape
from sntorch.systems import DoubleWell, StuartLandau

LABELS = {
    "density": "u₁",
    "line": "U (nats)",
    "cube": "u₂",
    "relaxation": "G (nats)",
    "path": "action S / 2",
    "escape": "per unit of time",
    "exponent": "rate / prefactor",
    "cycle": "time",
    "phase": "quantity",
    "ring": "part of the turn",
    "wells": "deepest first",
    "hamilton": "relative residual",
    "descent": "potential V",
}
every_kind = pytest.mark.parametrize("kind", LABELS)


@pytest.fixture(scope="module")
def records():
    well = DoubleWell(2, circulation=0.5, diffusion=0.15)
    ends = torch.tensor([[-1.0, 0.0], [0.0, 0.0]]).double()
    grid = Grid([-2.0, -2.2], [2.0, 2.2], 40)
    path = minimum_action_path(well, *ends, images=20)
    ring = StuartLandau(diffusion=0.1)
    cycle = limit_cycle(ring, torch.tensor([1.0, 0.0]).double(), transient=2.0, points=40)
    turning = fokker_planck(ring, Grid([-2.0, -2.0], [2.0, 2.0], 40), modes=0)
    angle = torch.linspace(0, 30, 200).double()
    u = torch.randn(30, 2, generator=torch.Generator()).double()
    return {
        "density": fokker_planck(well, grid, modes=2),
        "line": fokker_planck(DoubleWell(diffusion=0.2), Grid([-2.0], [2.0], 60), modes=0),
        "cube": fokker_planck(lambda u: -u, Grid([-5.0] * 3, [5.0] * 3, 16), modes=0,
                              diffusion=lambda u: 1 + 0 * u),
        "relaxation": relax(well, grid, ends[0], [0.1, 0.2, 0.4]),
        "path": path,
        "escape": escape_rate(well, path, well.potential),
        "exponent": escape_rate(well, path),
        "cycle": cycle,
        "phase": phase_coherence(torch.stack([angle.cos(), angle.sin()], -1)[:, None]),
        "ring": barrier(turning, cycle.points),
        "wells": wells(fokker_planck(well, grid, modes=0)),
        "hamilton": hamilton_jacobi(ring, lambda v: v.square().sum(-1), u),
        "descent": descent(well, well.potential, u, 20),
        "gradient": gradient_path(well.potential, *ends, images=20),
    }  # fmt: skip


def note(ax):
    legend = ax.get_legend()
    return legend.get_title().get_text()


def draw(ax):
    FigureCanvasAgg(ax.get_figure()).draw()


@every_kind
def test_units(records, kind):
    ax = plot(records[kind])
    assert LABELS[kind] in ax.get_xlabel() + ax.get_ylabel()
    draw(ax)


@every_kind
def test_nothing_finite_is_said_and_no_warning(records, kind):
    def spoilt(t):
        return torch.full_like(t, math.nan) if t.is_floating_point() else t

    ax = plot(records[kind].map(spoilt))
    draw(ax)
    assert "no finite value" in note(ax)


def test_the_landscape_is_the_potential(records):
    found = records["density"]
    ax = plot(found)
    image = np.asarray(ax.images[0].get_array())
    U = (found.potential - found.potential.min()).T.numpy()
    np.testing.assert_allclose(image[U < 12], U[U < 12], atol=1e-12)
    (arrows,) = [c for c in ax.collections if isinstance(c, Quiver)]
    flux = found.flux.norm(dim=-1).max()
    assert float(np.hypot(arrows.U, arrows.V).max()) <= float(flux) * (1 + 1e-12)
    assert np.size(arrows.U) > 10


def test_paths_are_drawn_on_it(records):
    lines = {"kinetic path": records["path"], "gradient path": records["gradient"]}
    ax = landscape(records["density"], lines=lines)
    drawn = {line.get_label(): np.asarray(line.get_xydata()) for line in ax.lines}
    for name, path in lines.items():
        np.testing.assert_allclose(drawn[name], path.points)
    closed = landscape(records["density"], lines={"cycle": records["cycle"]}).lines[-1]
    points = np.asarray(closed.get_xydata())
    np.testing.assert_allclose(points[0], points[-1])


def test_numbers_in_the_notes(records):
    assert note(plot(records["cycle"])).startswith("period 6.2832, 1.59 turns")
    produced = float(records["density"].entropy_production)
    assert f"{produced:.4g} nats" in note(plot(records["density"]))
