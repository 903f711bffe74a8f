"""Pictures: what is drawn is what was measured, for every record and every subset of a report."""

import dataclasses
import io
import itertools
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.quiver import Quiver

import sntorch as snt
from sntorch.analysis import JacobianSpectrum, LyapunovSpectrum, PowerSpectrum
from sntorch.landscape import AreaRates, EntropyProduction, FluxField
from sntorch.plot import along, figure, panels, plot, report, style
from sntorch.results import TrainingHistory

# The unit that must stand on an axis, or on the colour bar, of every kind of picture.
UNITS = {
    "lyapunov": "(nats / step)",
    "covariant": "(rad)",
    "windows": "(nats / step)",
    "dimension": "principal components",
    "spectrum": "(per step)",
    "pseudospectrum": "(per step)",
    "fixed points": "(units of u)",
    "branch": "gain",
    "contraction": "(per step)",
    "flux": "(nats / step)",
    "area": "(u² / step)",
    "field": "(units of u)",
    "power": "(cycles / step)",
    "regime": "m(t+1)",
    "lines": "(cycles / step)",
}
every_kind = pytest.mark.parametrize("kind", UNITS)

RISE = (0.8, 1.2)  # gains, between which the origin of the network turns unstable

# A panel of the report: its title, and the curves and records that make it appear.
PANELS = {
    "Learning": ("val/accuracy", "val/loss", "train/loss"),
    "Lyapunov exponents": ("lyapunov/1", "lyapunov/2", "lyapunov/max", "lyapunov/max_stderr"),
    "Spectral radius": ("spectrum/radius", "spectrum/circular_law"),
    "Spectrum of the Jacobian": ("spectrum",),
    "Entropy production per neuron": ("flux/entropy_production_per_neuron",),
    "Probability flux": ("field",),
}


def lyapunov(exponents, stderr=None, size=9):
    exponents = torch.as_tensor(exponents, dtype=torch.float64)
    return LyapunovSpectrum(
        exponents=exponents,
        stderr=torch.full_like(exponents, 0.01) if stderr is None else torch.as_tensor(stderr),
        history=exponents.unsqueeze(0),
        log_det=torch.full(exponents.shape[:-1], torch.nan),
        size=size,
        kind="autonomous",
        spread=0.0,
        trusted=exponents.shape[-1],
    )


def production(value, stderr, noise=0.1, dt=1.0):
    value, stderr = (torch.tensor(each, dtype=torch.float64) for each in (value, stderr))
    nothing = torch.full_like(value, torch.nan)
    numbers = (value, stderr, nothing, nothing) if noise else (nothing, nothing, value, stderr)
    names = ("value", "stderr", "contraction", "contraction_stderr")
    fields = dict(zip(names, numbers, strict=True))
    fields |= {
        name: torch.full((*value.shape, 4), torch.nan) for name in ("neurons", "neurons_stderr")
    }
    return EntropyProduction(**fields, noise=noise, dt=dt, size=4)


def flux(reach=(2.0, 1.0)):
    """Return a field of 3 x 3 cells without any symmetry, with one arrow beyond two errors."""
    vectors = torch.zeros(3, 3, 2, dtype=torch.float64)
    vectors[2, 0] = torch.tensor([0.3, -0.4])  # 0.5 long
    vectors[0, 1] = torch.tensor([0.1, 0.1])
    return FluxField(
        edges=torch.stack([torch.linspace(-r, r, 4, dtype=torch.float64) for r in reach]),
        density=torch.arange(1.0, 10.0, dtype=torch.float64).reshape(3, 3) / 45,
        flux=vectors,
        stderr=torch.full_like(vectors, 0.24 / 2**0.5),
        plane=torch.eye(2),
        outside=0.0,
    )


def areas():
    matrix = torch.tensor([[0.0, 2.0, -0.1], [-2.0, 0.0, 0.3], [0.1, -0.3, 0.0]]).double()
    return AreaRates(
        matrix=matrix,
        stderr=0.1 * (1 - torch.eye(3)).double(),
        projection=torch.eye(3),
        irreversibility=torch.tensor(0.5),
        irreversibility_stderr=torch.tensor(0.012),
    )


@pytest.fixture(scope="module")
def records():
    """Return one record of each kind, measured on a noisy chaotic network."""
    g = torch.Generator().manual_seed(0)
    J = snt.couplings.gaussian(20, generator=g, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=1.5, leak=0.5, noise=0.05, trainable=())
    J = snt.couplings.gaussian(20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    chaotic = snt.SNTCell(J, gain=2.5, leak=0.3)
    orbit = snt.rollout(cell, torch.randn(9, 20, generator=g, dtype=torch.float64), 60, generator=g)
    return {
        "lyapunov": snt.analysis.lyapunov_spectrum(cell, orbit[-1, :3], 30, generator=g),
        "covariant": snt.analysis.covariant_lyapunov_vectors(chaotic, orbit[-1, :2], 30),
        "windows": snt.analysis.finite_time_exponents(
            cell, orbit[-1, :3], 60, window=3, k=3, generator=g
        ),
        "dimension": snt.analysis.participation_ratio(orbit),
        "spectrum": snt.analysis.jacobian_spectrum(cell, orbit[-1]),
        "pseudospectrum": snt.analysis.pseudospectral_radius(cell, orbit[-1, :3]),
        "fixed points": snt.analysis.find_fixed_points(cell, orbit[-1], steps=15),
        "branch": snt.analysis.continue_fixed_point(cell, torch.zeros(20).double(), "gain", RISE),
        "contraction": snt.analysis.contraction_gain(cell),
        "flux": snt.landscape.entropy_production(cell, orbit),
        "area": snt.landscape.area_rates(orbit),
        "field": snt.landscape.flux_field(orbit),
        "power": snt.analysis.power_spectrum(orbit),
        "regime": snt.analysis.regime(cell, orbit[-1, :2], 200),
        "lines": snt.analysis.spectral_lines(torch.cos(0.7 * torch.arange(200.0)).double()),
    }


@pytest.fixture(scope="module")
def history(records):
    falling = torch.linspace(1, 0.5, 6, dtype=torch.float64)
    names = itertools.chain(*PANELS.values())
    curves = {name: falling + i for i, name in enumerate(n for n in names if "/" in n)}
    curves["train/loss"] = curves["train/loss"].index_fill(0, torch.tensor([0]), torch.nan)
    ends = {"before": records, "after": records}
    return TrainingHistory(title="A run", epoch=torch.arange(6), curves=curves, **ends)


def only(history, names):
    """Return the history with nothing but the curves and records that are named."""
    parts = {
        part: {name: value for name, value in getattr(history, part).items() if name in names}
        for part in ("curves", "before", "after")
    }
    return dataclasses.replace(history, **parts)


def points(found):
    """Return the points (2, n) of a line."""
    return np.array(found.get_data(), dtype=float)


def line(ax, label):
    """Return the points (2, n) of the line with this label."""
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return points(found)


def error_bars(ax):
    """Return the points (2, n) that have error bars, and half the length (n) of the bars."""
    (bars,) = ax.containers
    data, _, (segments,) = bars.lines
    return points(data), np.array([np.ptp(each[:, 1]) / 2 for each in segments.get_segments()])


def titles(fig):
    return [ax.get_title("left") for ax in fig.axes if ax.get_title("left")]


def panel(fig, title):
    (ax,) = [ax for ax in fig.axes if ax.get_title("left") == title]
    return ax


def note(ax):
    return ax.get_legend().get_title().get_text()


def written(fig, kind="png"):
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind)
    return buffer.getvalue()


# ---- all kinds


@every_kind
def test_new_axes(records, kind):
    ax = plot(records[kind])
    assert isinstance(ax, Axes)
    assert written(ax.figure).startswith(b"\x89PNG")


@every_kind
def test_given_axes(records, kind):
    ax = Figure().subplots(1, 2)[1]
    assert plot(records[kind], ax) is ax
    assert ax.get_title("left")


@every_kind
def test_units(records, kind):
    ax = plot(records[kind])
    parts = [*ax.figure.axes, *ax.child_axes]
    labels = [label for each in parts for label in (each.get_xlabel(), each.get_ylabel())]
    assert any(UNITS[kind] in label for label in labels)


@every_kind
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nothing_finite_is_said_and_no_warning(records, kind, bad):
    def spoilt(t):
        return torch.full_like(t, bad) if t.is_floating_point() or t.is_complex() else t

    ax = plot(records[kind].map(spoilt))
    assert "no finite value" in note(ax)
    written(ax.figure)


@every_kind
def test_gradients_and_single_precision(records, kind):
    def single(t):
        if not t.is_floating_point() and not t.is_complex():
            return t
        t = t.to(torch.complex64 if t.is_complex() else torch.float32)
        return t.requires_grad_()

    ax, expected = plot(records[kind].map(single)), plot(records[kind])
    for got, want in zip(ax.lines, expected.lines, strict=True):
        np.testing.assert_allclose(points(got), points(want), rtol=1e-4, atol=1e-5)
    assert note(ax) == note(expected)


@pytest.mark.gpu
@every_kind
def test_records_on_the_gpu(records, kind):
    written(plot(records[kind].map(lambda t: t.cuda())).figure)


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_vector_files_keep_text(records, kind, start):
    data = written(figure(records["lyapunov"], records["field"]), kind)
    assert data.startswith(start)
    assert b"/Type3" not in data  # glyphs as drawings, which journals refuse
    assert (b"<text" in data) == (kind == "svg")


def test_unknown_types():
    with pytest.raises(ValueError, match=r"result: expected the record of an analysis, got float$"):
        plot(1.0)
    for several in ([areas()], iter([areas()])):
        with pytest.raises(ValueError, match=r"iterator; plot.figure|list; plot.figure"):
            plot(several)
    with pytest.raises(ValueError, match=r"ax: expected matplotlib Axes or None, got str"):
        plot(areas(), "here")  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(ValueError, match=r"results: expected at least one"):
        figure()
    with pytest.raises(ValueError, match=r"expected one of Survey, TrainingHistory, got dict"):
        report({})  # pyright: ignore[reportArgumentType]


def drawn(ax):
    """Draw the figure of the axes, so that everything has its place."""
    FigureCanvasAgg(ax.figure).draw()


def test_a_colour_bar_is_as_high_as_its_axes():
    axes = torch.stack([torch.linspace(-3, 3, 20), torch.linspace(-1, 1, 20)])
    U = axes[0].square()[:, None] + axes[1].square()
    flat = snt.landscape.PotentialMap(
        axes=axes,
        potential=U,
        velocity=torch.zeros(20, 20, 2),
        scale=1.0,
        states=torch.zeros(1, 2),
        plane=torch.eye(2),
        sliced=False,
        marginal=False,
    )
    ax = plot(flat)
    drawn(ax)
    (bar,) = ax.child_axes
    for side in ("y0", "y1"):
        assert getattr(bar.get_position(), side) == pytest.approx(
            getattr(ax.get_position(), side), abs=0.01
        )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u₁", "u₂")


def test_a_power_of_ten_over_an_axis_leaves_the_note_alone():
    states = 1e-3 * torch.randn(400, 2, generator=torch.Generator(), dtype=torch.float64)
    ax = plot(snt.landscape.flux_field(states * 1e-4))
    drawn(ax)
    power, legend = ax.yaxis.get_offset_text(), ax.get_legend()
    assert power.get_text().startswith("1e")
    assert legend is not None
    assert not power.get_window_extent().overlaps(legend.get_window_extent())


def test_what_rests_is_drawn_without_a_spectrum():
    u = torch.zeros(1, dtype=torch.float64)
    found = [snt.analysis.regime(lambda u, r=r: r * u * (1 - u), u + 0.3, 400) for r in (2.0, 3.2)]
    assert [len(plot(each).figure.axes) for each in found] == [1, 2]
    states = snt.landscape.flux_field(torch.ones(9, 2) + 1e-9 * torch.randn(9, 2).double())
    assert "differ by rounding alone" in note(plot(states))


def test_a_branch_at_the_origin_is_not_its_rounding():
    cell = snt.SNTCell(torch.eye(2, dtype=torch.float64) / 2)
    values = torch.linspace(0.2, 1.0, 9, dtype=torch.float64)
    found = snt.analysis.continue_fixed_point(
        cell, torch.full((2,), 1e-14).double(), "gain", values
    )
    assert plot(found).get_ylim() == (-1, 1)


def test_counts_are_said_as_they_are():
    starts = torch.linspace(-1, 1, 9, dtype=torch.float64).unsqueeze(-1)
    for gain, title in ((0.5, "1 fixed point"), (2.0, "3 fixed points")):
        found = snt.analysis.find_fixed_points(lambda u, g=gain: torch.tanh(g * u), starts)
        assert plot(found).get_title("left") == title
    cell = snt.SNTCell(torch.eye(3))
    for rows, words in ((1, "per step"), (4, "per step, mean of 4 states")):
        spectrum = snt.analysis.jacobian_spectrum(cell, torch.zeros(rows, 3))
        assert note(plot(spectrum)).endswith(words)


def test_style_is_left_behind(records, history):
    before = dict(mpl.rcParams)
    report(history)
    plot(records["area"])
    assert dict(mpl.rcParams) == before
    with style():
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert not mpl.rcParams["axes.spines.top"]


def test_style_does_not_depend_on_the_settings(records):
    with mpl.rc_context({"axes.facecolor": "black", "figure.facecolor": "black", "font.size": 30}):
        dark = written(plot(records["lyapunov"]).figure)
    assert dark == written(plot(records["lyapunov"]).figure)


def test_figure_is_a_row(records):
    fig = figure(*records.values(), title="all")
    assert len(titles(fig)) == len(records)
    assert len(fig.axes) == len(records)
    lefts = [panel(fig, title).get_position().x0 for title in titles(fig)]
    assert lefts == sorted(set(lefts))
    assert fig.get_suptitle() == "all"


# ---- one by one


def test_lyapunov_spectrum():
    rows = [[0.2, 0.0, -0.5], [0.4, -0.2, -0.7]]
    ax = plot(lyapunov(rows, size=3))
    mean, error = error_bars(ax)
    np.testing.assert_allclose(mean, [[1, 2, 3], np.mean(rows, 0)])
    np.testing.assert_allclose(error, 0.01 / 2**0.5)
    x, y = line(ax, "2 rows")
    np.testing.assert_array_equal(y.reshape(2, 4)[:, :3], rows)
    np.testing.assert_array_equal(x.reshape(2, 4)[:, :3], [[1, 2, 3]] * 2)
    assert np.isnan(y.reshape(2, 4)[:, 3]).all()  # rows are not joined
    np.testing.assert_array_equal(line(ax, "zero")[1], 0)
    dimension = (2 + 0.2 / 0.5 + 2 + 0.2 / 0.7) / 2
    assert note(ax) == f"dimension {dimension:.3g}, entropy 0.3 nats / step"


def test_lyapunov_spectrum_with_an_exact_zero_of_the_derivative():
    ax = plot(lyapunov([-0.5, -torch.inf], [0.01, torch.nan], size=2))
    np.testing.assert_array_equal(error_bars(ax)[0], [[1], [-0.5]])
    assert np.isfinite(ax.get_ylim()).all()


@pytest.mark.parametrize("rows", [1, 12])
def test_one_exponent(rows):
    ax = plot(lyapunov(torch.linspace(0.1, 0.2, rows).unsqueeze(1)))
    assert note(ax).startswith("entropy")  # one exponent does not tell the dimension
    assert ("12 rows" in [each.get_label() for each in ax.lines]) == (rows == 12)
    written(ax.figure)


def test_covariant_vectors(records):
    result = records["covariant"]
    angles = result.angles.numpy()
    ax = plot(result)
    (bars,) = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    density, edges, _ = bars.get_data()
    assert (edges[0], edges[-1]) == (angles.min(), angles.max())
    assert (density * np.diff(edges)).sum() == pytest.approx(1)
    assert f"{angles.min():.3g} rad" in note(ax)


def test_finite_time_exponents(records):
    result = records["windows"]
    ax = plot(result)
    x, bell = line(ax, "Gaussian")
    mean, variance = float(result.mean[:, 0].mean()), float(result.variance[:, 0].mean())
    assert x[bell.argmax()] == pytest.approx(mean)
    assert np.trapezoid(bell, x) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(bell * (x - mean) ** 2, x) == pytest.approx(variance, rel=1e-2)
    assert len(ax.patches) == 3
    still = dataclasses.replace(result, values=torch.ones_like(result.values))
    assert "all equal" in str([entry.get_label() for entry in plot(still).lines])


def test_participation_ratio(records):
    result = records["dimension"]
    ax = plot(result)
    index, share = line(ax, "share of the variance")
    expected = result.variances.cumsum(-1) / result.variances.sum(-1, keepdim=True)
    np.testing.assert_allclose(share, expected.mean(0))
    assert list(index) == list(range(1, 21))
    assert line(ax, "participation ratio")[0][0] == pytest.approx(float(result.value.mean()))


def test_jacobian_spectrum(records):
    record = records["spectrum"]
    ax = plot(record)
    z = record.eigenvalues.flatten().numpy()
    np.testing.assert_array_equal(line(ax, "eigenvalues"), [z.real, z.imag])
    np.testing.assert_allclose(np.hypot(*line(ax, "unit circle")), 1, rtol=1e-12)
    x, y = line(ax, "circular law")
    distance = np.hypot(x - float(record.disk_centre.mean()), y)
    np.testing.assert_allclose(distance, float(record.disk_radius.mean()), rtol=1e-12)
    assert ax.get_aspect() == 1
    assert (
        note(ax) == f"spectral radius {float(record.radius.mean()):.3g} per step, mean of 9 states"
    )


def test_power_spectrum():
    density = torch.tensor([[9.0, 4.0, 1.0], [9.0, 2.0, 3.0]]).double()
    record = PowerSpectrum(
        frequencies=torch.tensor([0.0, 0.25, 0.5]).double(),
        density=density,
        stderr=torch.full_like(density, 3.0),
        segments=5,
        dt=0.5,
    )
    ax = plot(record)
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(line(ax, "power ± s.e."), [[0.25, 0.5], [3, 2]])
    (band,) = [each for each in ax.collections if isinstance(each, PolyCollection)]
    corners = band.get_paths()[0].vertices
    error = 3 / 2**0.5
    assert {round(float(y), 6) for y in np.asarray(corners)[:, 1]} == {
        round(y, 6) for y in (3 - error, 3 + error, 0.2, 2 + error)
    }
    assert ax.get_ylabel() == "power (u² · unit of time)"
    assert note(ax) == "resolution 0.25, 5 segments"


def test_regime_shows_returns_and_the_spectrum_below():
    f = snt.systems.Logistic(3.2)
    record = snt.analysis.regime(f, torch.tensor([0.3], dtype=torch.float64), 200)
    ax = plot(record)
    (dots,) = [each for each in ax.lines if each.get_marker() == "o"]
    x, y = points(dots)
    np.testing.assert_allclose(y, 3.2 * x * (1 - x), atol=1e-9)
    assert ax.get_title("left") == "Regime: periodic"
    _, below = figure_of(ax).axes
    assert below.get_position().y1 < ax.get_position().y0
    (dashed,) = [each for each in below.lines if each.is_dashed()]
    assert points(dashed)[0, 0] == 0.5
    alone = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    assert len(figure_of(plot(record, alone)).axes) == 1


def figure_of(ax):
    assert isinstance(ax.figure, Figure)
    return ax.figure


def test_panels_and_curves_along_a_parameter(records):
    x, y = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([[0.1, -1.0], [0.2, -2.0], [torch.nan, -3]])
    ax = along(x, y, torch.full_like(y, 0.5), ["a", "b", "c"])
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    containers: Any = ax.containers
    others, largest = (points(bars.lines[0]) for bars in containers)
    np.testing.assert_allclose(others, [[1, 2, 4], [-1, -2, -3]])
    np.testing.assert_allclose(largest[:, :2], [[1, 2], [0.1, 0.2]], rtol=1e-6)
    fig = panels({"g = 1": records["regime"]}, records["lyapunov"], "route")
    assert fig.get_suptitle() == "route"
    assert fig.axes[0].get_xlabel().endswith(", g = 1")
    written(fig)


def test_theory_is_dashed_and_thin(records):
    for kind, label in [
        ("spectrum", "circular law"),
        ("lyapunov", "zero"),
        ("flux", "equilibrium"),
    ]:
        ax = plot(records[kind])
        (theory,) = [each for each in ax.lines if each.get_label() == label]
        assert theory.is_dashed()
        assert theory.get_linewidth() < 1


def test_spectrum_of_one_neuron():
    record = snt.analysis.jacobian_spectrum(snt.SNTCell(torch.full((1, 1), 0.5)), torch.zeros(1))
    assert isinstance(record, JacobianSpectrum)
    ax = plot(record)
    np.testing.assert_array_equal(line(ax, "eigenvalues"), [[0.5], [0]])
    written(ax.figure)


def test_fixed_points_are_marked_by_their_unstable_directions():
    cell = snt.SNTCell(2 * torch.eye(2, dtype=torch.float64))
    starts = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = snt.analysis.find_fixed_points(cell, 2 * starts)
    ax = plot(found)
    for label, count in (("stable", 4), ("1 unstable", 4), ("2 unstable", 1)):
        assert line(ax, label).shape == (2, count)
    # Axes are orthogonal: distances in the plane are those of the states.
    corner = np.linalg.norm(line(ax, "stable"), axis=0)
    np.testing.assert_allclose(corner, 2**0.5 * 1.9150080481545375, rtol=1e-9)
    assert ax.get_title("left") == "9 fixed points"
    assert "of 200 starts converged" in note(ax)
    assert len({str(each.get_marker()) for each in ax.lines}) == 3


def test_slow_points_are_light_and_one_axis_is_enough():
    slow = snt.analysis.find_fixed_points(lambda u: u + 0.1 + u**2, torch.zeros(3, 1))
    ax = plot(slow)
    assert line(ax, "slow points").shape == (2, 3)
    assert ax.get_title("left") == "0 fixed points"


def test_branch_is_dashed_where_it_is_unstable():
    f = snt.analysis.continue_fixed_point(
        None, torch.tensor([0.6]).double(), snt.systems.Logistic, [2.5, 3.5]
    )
    ax = plot(f)
    for label, dashes, low, high in (("stable", "-", 2.5, 3), ("unstable", "--", 2.97, 3.5)):
        (found,) = [each for each in ax.lines if each.get_label() == label]
        assert found.get_linestyle() == dashes
        x, y = points(found)
        shown = np.isfinite(y)
        assert low <= x[shown].min() < x[shown].max() <= high
        np.testing.assert_allclose(y[shown], 1 - 1 / x[shown])
    np.testing.assert_allclose(line(ax, "flip at 3").ravel(), [3, 2 / 3], atol=1e-7)
    assert note(ax) == "reached the end of the window"


def test_contraction_is_a_line_per_norm():
    J = torch.tensor([[0.0, 2.0], [0.5, 0.0]]).double()
    ax = plot(snt.analysis.contraction_gain(snt.SNTCell(J, leak=0.5)))
    x, y = line(ax, "inf norm")
    np.testing.assert_allclose([x[0], *y], [0, 0.5, 0.5 + 2 * x[1]])
    x, y = line(ax, "weighted inf norm")  # weights make both neurons equal: norm 1
    np.testing.assert_allclose([x[1], *y], [1, 0.5, 1.5], rtol=1e-4)
    plot(snt.analysis.contraction_gain(snt.SNTCell(torch.zeros(2, 2))))


def test_entropy_production():
    ax = plot(production([1.0, 3.0], [0.3, 0.4]))
    values, error = error_bars(ax)
    np.testing.assert_array_equal(values, [[0, 1], [1, 3]])
    np.testing.assert_allclose(error, [0.3, 0.4])
    np.testing.assert_array_equal(line(ax, "mean ± s.e.")[1], 2)
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.y0, band.y1], [1.75, 2.25])
    np.testing.assert_array_equal(line(ax, "equilibrium")[1], 0)
    assert note(ax) == "2.00 ± 0.25 nats / step, 0.5 per neuron\nnoise 0.1 per step"


def test_contraction_rate_where_there_is_no_noise():
    ax = plot(production([1.0, 3.0], [0.3, 0.4], noise=0.0, dt=0.1))
    assert ax.get_ylabel() == "contraction rate (nats / unit of time)"
    assert "without noise entropy production has no value" in note(ax)
    np.testing.assert_array_equal(error_bars(ax)[0], [[0, 1], [1, 3]])
    np.testing.assert_array_equal(line(ax, "volume conserved")[1], 0)


def test_one_row_of_entropy_production():
    ax = plot(production(1.0, torch.nan))
    np.testing.assert_array_equal(error_bars(ax)[0], [[0], [1]])
    assert note(ax).startswith("1 nats / step")
    written(ax.figure)


def test_area_rates():
    record = areas()
    ax = plot(record)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), record.matrix)
    assert isinstance(image.norm, Normalize)
    assert (image.norm.vmin, image.norm.vmax) == (-2, 2)
    np.testing.assert_array_equal(line(ax, "positive by 2 s.e."), [[1, 2], [0, 1]])
    np.testing.assert_array_equal(line(ax, "negative by 2 s.e."), [[0, 1], [1, 2]])
    (bar,) = ax.child_axes
    levels = [points(each)[1, 0] for each in bar.lines]
    np.testing.assert_allclose(levels, [-0.2, 0, 0.2])
    assert note(ax) == "irreversibility 0.500 ± 0.012"


def test_area_rates_of_one_neuron():
    orbit = torch.randn(50, 1, 1)
    written(plot(snt.landscape.area_rates(orbit)).figure)


def test_flux_field():
    record = flux()
    ax = plot(record)
    (image,) = ax.images
    assert image.origin == "lower"
    assert image.get_extent() == [-2, 2, -1, 1]
    np.testing.assert_array_equal(image.get_array(), record.density.T)
    (arrows,) = [each for each in ax.collections if isinstance(each, Quiver)]
    np.testing.assert_allclose(np.array(arrows.XY), [[4 / 3, -2 / 3]])  # cell [2, 0]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V]), [[0.3], [-0.4]])
    assert (arrows.angles, arrows.scale_units) == ("xy", "xy")
    cells = np.array([0.3, -0.4]) / arrows.scale / [4 / 3, 2 / 3]
    assert np.linalg.norm(cells) == pytest.approx(1.8)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2, 2), (-1, 1))
    assert "flux ≤ 0.5 / (u · step)" in note(ax)
    assert "density ≤ 0.2 / u²" in note(ax)


def test_flux_below_its_error_is_not_drawn():
    record = flux()
    ax = plot(dataclasses.replace(record, stderr=1.1 * record.stderr))
    assert not [each for each in ax.collections if isinstance(each, Quiver)]
    assert "no flux beyond 2 s.e." in note(ax)


def test_flux_frame_leaves_out_what_nobody_visits():
    record = flux()
    density = record.density.clone()
    density[2] = 0.001 * density.max()
    assert plot(dataclasses.replace(record, density=density)).get_xlim() == pytest.approx(
        (-2, 2 / 3)
    )


@pytest.mark.parametrize(("reach", "aspect"), [((2.0, 1.0), 1), ((5.0, 1.0), "auto")])
def test_flux_proportions(reach, aspect):
    assert plot(flux(reach)).get_aspect() == aspect


# ---- the report


def test_report_has_the_panels_that_were_measured(history):
    for size in (0, 1, len(PANELS) - 1, len(PANELS)):
        for shown in itertools.combinations(PANELS, size):
            names = {name for title in shown for name in PANELS[title]}
            assert titles(report(only(history, names))) == list(shown)


@pytest.mark.parametrize("count", range(len(PANELS) + 1))
def test_report_is_composed(history, count):
    shown = list(PANELS)[len(PANELS) - count :]
    fig = report(only(history, {name for title in shown for name in PANELS[title]}))
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    boxes: list[Any] = [ax.get_tightbbox(canvas.get_renderer()) for ax in fig.axes]
    (headline,) = [text.get_window_extent() for text in fig.texts if text.get_text() == "A run"]
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= fig.bbox.x1 + 1
        assert box.y1 <= headline.y0 + 1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    assert ("nothing was measured" in [text.get_text() for text in fig.texts]) == (count == 0)


def test_full_report_has_its_size(history):
    fig = report(history)
    assert tuple(fig.get_size_inches()) == (12, 7)
    assert fig.get_dpi() == 110
    assert fig.get_suptitle() == "A run"


def test_report_draws_the_curves(history):
    fig, epoch = report(history), history.epoch.tolist()
    pairs = {
        ("Learning", "validation"): "val/accuracy",
        ("Lyapunov exponents", "largest ± s.e."): "lyapunov/max",
        ("Lyapunov exponents", "others"): "lyapunov/2",
        ("Spectral radius", "spectrum"): "spectrum/radius",
        ("Spectral radius", "circular law"): "spectrum/circular_law",
        ("Entropy production per neuron", "network"): "flux/entropy_production_per_neuron",
    }
    for (title, label), name in pairs.items():
        np.testing.assert_array_equal(line(panel(fig, title), label), [epoch, history.curves[name]])
    loss = fig.axes[1]
    assert loss.get_ylabel() == "loss"
    np.testing.assert_array_equal(line(loss, "training")[0], epoch[1:])
    (band,) = panel(fig, "Lyapunov exponents").collections
    assert isinstance(band, PolyCollection)
    top = history.curves["lyapunov/max"] + history.curves["lyapunov/max_stderr"]
    assert band.get_paths()[0].get_extents().y1 == pytest.approx(float(top.max()))
    np.testing.assert_array_equal(line(panel(fig, "Lyapunov exponents"), "zero")[1], 0)
    unit = line(panel(fig, "Spectral radius"), "unit circle")
    np.testing.assert_array_equal(unit[1], 1)


def test_report_draws_the_spectrum_before_and_after(history):
    after = history.after["spectrum"]
    before = dataclasses.replace(after, eigenvalues=2 * after.eigenvalues)
    both = dataclasses.replace(history, before={"spectrum": before})
    ax = panel(report(both), "Spectrum of the Jacobian")
    for label, record in (("before", before), ("after", after)):
        z = record.eigenvalues.flatten().numpy()
        np.testing.assert_array_equal(line(ax, label), [z.real, z.imag])
    lightness = {
        each.get_label(): np.dot(to_rgb(each.get_color()), [0.21, 0.72, 0.07]) for each in ax.lines
    }
    assert lightness["before"] > 0.6
    assert lightness["after"] < 0.3


def test_report_hides_what_is_not_a_number(history):
    nan = {name: torch.full_like(values, torch.nan) for name, values in history.curves.items()}
    bare = only(history, history.curves)
    assert titles(report(dataclasses.replace(bare, curves=nan))) == []


def test_report_bridges_missing_epochs(history):
    sparse = history.curves["spectrum/radius"].clone()
    sparse[[1, 2, 4]] = torch.nan
    fig = report(dataclasses.replace(history, curves={"spectrum/radius": sparse}))
    ax = panel(fig, "Spectral radius")
    np.testing.assert_array_equal(line(ax, "spectrum")[0], [0, 3, 5])


def test_report_before_training(history):
    first = {name: values[:1] for name, values in history.curves.items()}
    written(report(dataclasses.replace(history, epoch=history.epoch[:1], curves=first)))


@pytest.mark.parametrize(
    ("curve", "title", "unit"),
    [
        ("flux/entropy_production", "Entropy production", "nats / step"),
        ("flux/contraction_rate", "Contraction rate", "nats / step"),
        ("flux/irreversibility", "Irreversibility", "ratio of norms"),
    ],
)
def test_report_without_the_first_choice(history, curve, title, unit):
    curves = {
        "flux/entropy_production_per_neuron": torch.full((6,), torch.nan),
        curve: history.curves["val/loss"],
    }
    ax = panel(report(dataclasses.replace(history, curves=curves)), title)
    assert ax.get_ylabel() == unit
    np.testing.assert_array_equal(line(ax, "network")[1], history.curves["val/loss"])


def test_report_says_how_irreversibility_changed(history):
    curves = history.curves | {"flux/irreversibility": torch.tensor([torch.nan, 0.25, 0.5])}
    ax = panel(report(dataclasses.replace(history, curves=curves)), "Entropy production per neuron")
    assert note(ax) == "irreversibility 0.25 → 0.5"


def test_report_shows_area_rates_where_there_is_no_field(history):
    fig = report(only(history, {"area"}))
    assert titles(fig) == ["Area rates"]
    assert "after training" in panel(fig, "Area rates").get_xlabel()


def test_report_knows_the_unit_of_time_of_the_exponents(history):
    names = {"lyapunov/1", "flux"}
    ax = panel(report(only(history, names)), "Lyapunov exponents")
    assert ax.get_ylabel() == "exponent (nats / step)"
    np.testing.assert_array_equal(line(ax, "largest ± s.e.")[1], history.curves["lyapunov/1"])
    slow = only(history, names)
    slow.after["lyapunov"] = dataclasses.replace(history.after["lyapunov"], dt=0.1)
    label = panel(report(slow), "Lyapunov exponents").get_ylabel()
    assert label == "exponent (nats / unit of time)"


# ---- mean fields


def scan(low, high, n):
    return torch.linspace(low, high, n, dtype=torch.float64)


def test_scan_of_a_mean_field():
    field = snt.meanfield.solve(gain=scan(0.5, 3, 6), noise=0.1)
    ax = plot(field)
    assert ax.get_xlabel() == "gain (1 / u)"
    assert "(nats / step)" in ax.get_ylabel()
    x, y = line(ax, "exponent λ (nats / step)")
    np.testing.assert_allclose(x, np.linspace(0.5, 3, 6))
    np.testing.assert_allclose(y, field.lyapunov.numpy())
    np.testing.assert_allclose(line(ax, "variance v (u²)")[1], field.variance.numpy())
    assert note(ax) == "tanh, std 1, noise 0.1"
    (shaded,) = [p for p in ax.patches if p.get_label() == "chaotic"]
    assert isinstance(shaded, Rectangle)
    # From half way between the last quiet and the first chaotic gain: 1 and 1.5.
    assert shaded.get_x() == pytest.approx(1.25)
    assert "mean μ (u)" not in ax.get_legend_handles_labels()[1]


def test_phase_diagram():
    field = snt.meanfield.solve(gain=scan(0.5, 3, 5)[:, None], noise=scan(0, 1, 4))
    ax = plot(field)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("noise per step (u)", "gain (1 / u)")
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    np.testing.assert_allclose(np.asarray(mesh.get_array()).ravel(), field.lyapunov.numpy().ravel())
    assert "edge of chaos" in ax.get_legend_handles_labels()[1]
    assert ax.child_axes[0].get_ylabel() == "exponent λ (nats / step)"


def test_mean_field_of_one_ensemble_and_of_none_that_is_finite():
    assert plot(snt.meanfield.solve(gain=2.0)).get_xlabel() == "ensemble"
    nothing = snt.meanfield.solve(gain=[1.0, 2.0]).map(lambda t: t * torch.nan)
    assert note(plot(nothing)) == "no finite value"


def test_two_times():
    two = snt.meanfield.evolve(5, gain=2.0, leak=0.5)
    ax = plot(two)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), two.covariance.numpy())
    assert ax.get_xlabel() == "time s (steps)"
    assert ax.child_axes[0].get_ylabel() == "covariance Δ(t, s) (u²)"


def test_populations_over_time():
    field = snt.meanfield.populations(gain=1.5, std=torch.eye(2), mean=-3 * torch.eye(2))
    ax = plot(field)
    np.testing.assert_allclose(line(ax, "population 2")[1], field.means[-40:, 1].numpy())
    assert note(ax).startswith("period 2\nexponents: neurons -2.09")


def test_correlations_over_distance():
    field = snt.meanfield.correlated(gain=2.0, covariance=torch.eye(5)[:1].T * torch.eye(5)[0])
    x, y = line(plot(field), "same time")
    assert x.tolist() == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(y, [0, 0, float(field.variance), 0, 0], atol=1e-12)


def test_critical_line_and_replicas():
    edge = snt.meanfield.critical("noise", 0.01, 2.0, gain=scan(1.2, 2, 3), tolerance=1e-3)
    ax = plot(edge)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("gain (1 / u)", "critical noise per step (u)")
    np.testing.assert_allclose(line(ax, "critical noise")[1], edge.value.numpy())
    pair = snt.meanfield.replicas(gain=2.0, noise=scan(0.2, 1, 3))
    ax = plot(pair)
    np.testing.assert_allclose(line(ax, "common noise")[1], pair.distance_common.numpy())
    np.testing.assert_allclose(line(ax, "independent noise")[1], pair.distance_independent.numpy())
    assert ax.get_ylabel() == "mean square distance per neuron (u²)"


def test_a_notebook_shows_axes_and_figures():
    spectrum = lyapunov([0.1, -0.2])
    shown: Any
    for shown in (plot(spectrum), plot(spectrum).figure, figure(spectrum)):
        assert shown._repr_png_().startswith(b"\x89PNG")
    given = Figure().subplots()
    assert type(plot(spectrum, given)) is Axes  # whoever gave it shows it
