"""Every public name has a docstring, an example that runs and a test that names it.

Public is what `sntorch` exports, what its rooms export, and the registered transfer functions;
``Name as Name`` in an ``__init__.py`` is an export.  Examples run as doctests.  A record, which
nobody makes by hand, is shown and tested by the functions that return it.
"""

import doctest
import functools
import importlib
import inspect
import pathlib
import re

import sntorch as snt
from sntorch.results import Result

ROOT = pathlib.Path(__file__).parents[1]

ROOMS = (
    "analysis",
    "couplings",
    "flows",
    "landscape",
    "meanfield",
    "plasticity",
    "plot",
    "studies",
    "systems",
    "training",
    "transfer",
)

WITHOUT_EXAMPLE = frozenset({"sntorch.couplings.Sharded", "sntorch.couplings.Team"})
"""Names whose example needs processes that torchrun started: no doctest."""


@functools.cache
def public():
    """Return every public class and function by its name."""
    found = {}
    for module in (snt, *(importlib.import_module(f"sntorch.{room}") for room in ROOMS)):
        names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
        for name in [*names, *(["plot", "load"] if module is snt else [])]:
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("sntorch")
            if ours and (inspect.isclass(value) or inspect.isroutine(value)):
                found[f"{module.__name__}.{name}"] = value
    return found


@functools.cache
def returned():
    """Return the records by the functions whose annotation promises them."""
    makers = {}
    for value in public().values():
        if inspect.isclass(value) or not inspect.isfunction(value):
            continue
        hint = value.__annotations__.get("return", "")
        for word in set(re.findall(r"\w+", str(hint))):
            makers.setdefault(word, []).append(value)
    return makers


@functools.cache
def words():
    """Return every word of the tests but of this one."""
    others = (p for p in ROOT.glob("tests/**/*.py") if p.name != pathlib.Path(__file__).name)
    return frozenset(word for path in others for word in re.findall(r"\w+", path.read_text()))


def is_record(value):
    return inspect.isclass(value) and issubclass(value, Result)


def shown(value):
    """Tell whether there is an example of the name, for records also of what returns them."""
    own = bool(doctest.DocTestParser().get_examples(value.__doc__ or ""))
    makers = returned().get(value.__name__, ()) if is_record(value) else ()
    return own or any(shown(maker) for maker in makers)


def named(name, value):
    makers = returned().get(value.__name__, ()) if is_record(value) else ()
    return name in words() or any(maker.__name__ in words() for maker in makers)


def test_the_walk_finds_them():
    assert len(public()) >= 230
    for name in ("SNTCell", "load", "transfer.Tanh", "landscape.Density", "studies.Study"):
        assert f"sntorch.{name}" in public()


def test_completion_offers_what_loads_late():
    offered = dir(snt)
    assert {"collect", "export", "load", "plot", "studies", "style", "training"} <= set(offered)
    assert {"annotations", "importlib", "pathlib", "Any", "TYPE_CHECKING"}.isdisjoint(offered)
    assert all(hasattr(snt, name) for name in offered)


def test_all_have_a_docstring():
    assert [name for name, value in public().items() if len(value.__doc__ or "") < 20] == []


def test_all_have_an_example():
    missing = {name for name, value in public().items() if not shown(value)}
    assert missing == WITHOUT_EXAMPLE


def test_all_are_named_in_a_test():
    short = {name: name.rpartition(".")[2] for name in public()}
    assert [name for name, value in public().items() if not named(short[name], value)] == []


def test_examples_are_found_where_they_are():
    assert shown(snt.rollout)
    assert not shown(snt.rollout.__code__)
    assert shown(snt.analysis.LyapunovSpectrum)  # by lyapunov_spectrum
    assert not shown(type("LyapunovSpectra", (Result,), {}))
