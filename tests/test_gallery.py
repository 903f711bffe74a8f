"""Every kind of record has a picture, and the gallery shows it."""

import importlib.util
import itertools
import pathlib
import re

import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

import sntorch as snt
from sntorch.plot import plot, report
from sntorch.results import Result
from sntorch.studies import Study

ROOT = pathlib.Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("gallery", ROOT / "scripts" / "gallery.py")
assert SPEC is not None
assert SPEC.loader is not None
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)


PARTS = {"Basis", "Polynomial", "Splines", "Regression"}  # of records, which draw them


def kinds(base=Result):
    """Return the records of the library; those of tests do not count."""
    found = set()
    for kind in base.__subclasses__():
        found |= kinds(kind) | {kind}
    ours = {kind for kind in found if kind.__module__.startswith("sntorch.")} - {Study}
    return {kind for kind in ours if kind.__name__ not in PARTS}


@pytest.mark.parametrize("kind", sorted(kinds(), key=str), ids=lambda kind: kind.__name__)
def test_every_record_has_a_picture(kind):
    assert snt.training  # its records too
    assert any(door.dispatch(kind) is not door.dispatch(object) for door in (plot, report))


def test_the_gallery_shows_every_record_and_nothing_else():
    shown = {name for records in gallery.SHEETS.values() for name in records}
    reports = {kind.__name__ for kind in report.registry}
    expected = {kind.__name__ for kind in kinds() if not issubclass(kind, Study)}
    expected -= {"FittedFlow"}  # what both estimates of a flow share
    assert shown == expected - reports


def test_the_readme_shows_every_sheet():
    readme = (ROOT / "README.md").read_text()
    shown = set(re.findall(r"pictures/gallery/(\w+)\.png", readme))
    assert shown == set(gallery.SHEETS)
    sizes = [(ROOT / f"notebooks/pictures/gallery/{name}.png").stat().st_size for name in shown]
    assert sum(sizes) < 1_200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", gallery.SHEETS)
def test_a_sheet_is_drawn_without_a_warning(name):
    fig = gallery.sheet(gallery.SHEETS[name])
    FigureCanvasAgg(fig).draw()
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert sum(map(bool, titles)) == len(gallery.SHEETS[name])


def test_colours_are_told_apart_in_grey():
    """Their lightness L* (CIE 1976) differs by 10 of 100 at least, whatever the hue."""
    with snt.style():
        colours = [to_rgb(each["color"]) for each in rcParams["axes.prop_cycle"]]
    linear = [[((v + 0.055) / 1.055) ** 2.4 for v in colour] for colour in colours]
    Y = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear]
    lightness = sorted(116 * y ** (1 / 3) - 16 for y in Y)
    assert min(b - a for a, b in itertools.pairwise(lightness)) > 10
