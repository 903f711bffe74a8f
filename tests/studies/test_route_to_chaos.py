"""The route of the reference network against the published exponents."""

import math

import pytest
import torch

from sntorch.analysis import lyapunov_spectrum
from sntorch.plot import plot
from sntorch.studies.route_to_chaos import PUBLISHED, network, run


def test_the_draw_is_the_published_one():
    cell = network(1.0)
    expected = [0.17640523, 0.04001572, 0.0978738]
    assert cell.coupling[0, :3].tolist() == pytest.approx(expected, abs=1e-8)
    expected = [-0.0202117, -0.0833231, 0.17336002]
    assert cell.threshold[:3].tolist() == pytest.approx(expected, abs=1e-7)
    assert float(cell.gain) == 1.0


@pytest.fixture(scope="module")
def small():
    return list(run(gains=[0.4, 1.6], steps=200, transient=300, size=12, seed=3))


def test_records_grow(small):
    assert [record.progress[:5] for record in small] == ["[1/2]", "[2/2]"]
    assert [len(record.gains) for record in small] == [1, 2]
    last = small[-1]
    assert last.labels[0] == "fixed point"
    assert last.exponents.shape == last.stderr.shape == (2, 4)
    assert set(last.scalars()) == {"max/0.4", "max/1.6"}
    assert not last.reference
    assert "published" not in last.table()


def test_each_gain_starts_where_the_last_one_ended(small):
    first, second = small[-1].regimes.values()
    u = first.state + 1e-6 * torch.linspace(0.5, 1, 12, dtype=torch.float64)
    cell = network(1.6, size=12, seed=3)
    found = lyapunov_spectrum(cell, u, 200, transient=300, k=4)
    assert float(found.exponents[0]) == pytest.approx(float(second.exponents[0]), abs=1e-2)


def test_picture_of_a_part(small):
    for record in small:
        fig = record.picture()
        named = {label for label in record.labels if label != "undecided"}
        spectra = len(named - {"fixed point"})  # what rests has none
        assert len(fig.axes) == len(named) + spectra + 1
    ax = plot(small[-1])
    assert ax.get_xlabel() == "gain g"
    assert [text.get_text() for text in ax.texts] == small[-1].labels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gains": []}, "gains: expected at least one"),
        ({"gains": [1.0, 0.0]}, "gains: expected a finite number > 0"),
        ({"size": 2}, "size: expected"),
        ({"k": 2}, "k: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"steps": 50}, "steps: expected"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))


@pytest.mark.slow
def test_the_route():
    *_, found = run()
    expected = ["fixed point", *["closed curve"] * 3, "2-torus", "closed curve", *["chaotic"] * 3]
    assert found.labels == expected
    for gain, (values, errors) in PUBLISHED.items():
        each = found.regimes[f"{gain:g}"]
        pairs = zip(each.exponents.tolist(), each.stderr.tolist(), values, errors, strict=False)
        for value, own, published, error in pairs:
            assert abs(value - published) < 3 * math.hypot(own, error)
    # The curve is born with rotation number 0.256908 at g = 1.01749.
    assert float(found.regimes["1.05"].frequencies[0]) == pytest.approx(0.256908, abs=3e-4)
    assert found.table().count("published") == 3
