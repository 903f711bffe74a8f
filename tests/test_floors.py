"""The architecture: who may import whom, and a few words that the library does not use.

A room is a module or folder directly under ``sntorch``.  It imports only from lower floors, from
within itself, and on its own floor only what `SAME_FLOOR` lists.
"""

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys

import pytest

import sntorch

ROOT = pathlib.Path(sntorch.__file__).parent

FLOORS = [
    {
        "checks",
        "results",
        "gaussian",
        "memory",
        "callables",
        "differentiable",
        "noise",
        "drives",
        "observing",
        "dynamics",
        "compiled",
        "schedule",
        "streams",
        "flows",
        "transfer",
        "couplings",
        "quantities",
    },
    {
        "captured",
        "forward",
        "reverse",
        "orbits",
        "cells",
        "networks",
        "sequence",
        "gates",
        "torchcells",
        "systems",
        "plasticity",
        "meanfield",
    },
    {"analysis", "landscape", "surveys"},
    {"plot", "training", "studies", "validation", "loading", "sweeps", "commands", "cli"},
]
SAME_FLOOR = {
    ("forward", "captured"),
    ("orbits", "forward"),
    ("orbits", "reverse"),
    ("cells", "orbits"),
    ("networks", "cells"),
    ("sequence", "cells"),
    ("torchcells", "gates"),
    ("plasticity", "cells"),
    ("systems", "cells"),
    ("landscape", "analysis"),
    ("surveys", "analysis"),
    ("surveys", "landscape"),
    ("training", "plot"),
    ("studies", "plot"),
    ("studies", "training"),
    ("loading", "training"),
    ("sweeps", "plot"),
    ("sweeps", "training"),
    ("cli", "sweeps"),
    ("cli", "loading"),
    ("commands", "plot"),
    ("commands", "studies"),
    ("commands", "training"),
    ("cli", "commands"),
    ("cli", "plot"),
    ("cli", "training"),
    ("cli", "studies"),
    ("cli", "validation"),
    ("validation", "studies"),
}
EDGES = {  # heavy or foreign packages and the rooms that know each
    "matplotlib": "plot",
    "pytorch_lightning": "training",
    "lightning": "training",
    "tensorboard": "training",
    "hydra": "cli loading sweeps",
    "omegaconf": "cli loading sweeps",
}
LAZY = ("pytorch_lightning", "hydra", "tensorboard", "matplotlib")


def dotted(path):
    """Return the module name of a file under the library."""
    parts = ("sntorch", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(path): path for path in sorted(ROOT.rglob("*.py"))}
every_file = pytest.mark.parametrize("module", FILES)


@functools.cache
def parse(module):
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imported(tree, package=""):
    """Return the modules named by every import statement under a node, as full dotted names.

    ``from sntorch import checks`` names ``sntorch.checks``, ``from torch import nn`` torch.nn.
    """
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: 1 - node.level or None]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def package_of(module):
    return module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]


def targets(module):
    """Return the modules of the library that a module imports: the longest names that are files."""
    found = set()
    for name in imported(parse(module), package_of(module)):
        while name and name not in FILES:
            name = name.rpartition(".")[0]
        if name:
            found.add(name)
    return found - {module}


def room(module):
    return module.split(".")[1] if "." in module else ""


def allowed(source, target):
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    if source == target or (source, target) in SAME_FLOOR:
        return True
    if not target:
        return source == "cli"  # alone above the front door, which it asks for the config folder
    if floor[source] == 0 == floor[target]:
        return True  # words may use each other; the test of cycles orders them
    return floor[target] < floor[source]


@every_file
def test_every_room_stands_on_a_floor(module):
    assert room(module) in {"", "conf"}.union(*FLOORS), f"{module} is in no room of the design"


@every_file
def test_rooms_import_only_from_below(module):
    if not room(module):
        return  # the front door shows all rooms
    above = [t for t in targets(module) if not allowed(room(module), room(t))]
    assert not above, f"{module} imports {above}"


def test_no_import_cycles():
    graph = {module: targets(module) for module in FILES if room(module)}
    list(graphlib.TopologicalSorter(graph).static_order())


@every_file
def test_no_hidden_imports(module):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    bodies = [node for node in ast.walk(parse(module)) if isinstance(node, functions)]
    assert not [name for body in bodies for name in imported(body)]


@every_file
def test_foreign_packages_stay_in_their_rooms(module):
    if not room(module):
        assert not {name.split(".")[0] for name in imported(parse(module))} & EDGES.keys()
        return
    for name in imported(parse(module), package_of(module)):
        owner = EDGES.get(name.split(".")[0], room(module))
        assert room(module) in owner.split(), f"{module} imports {name}, which only {owner} may"


@every_file
def test_words_the_library_does_not_use(module):
    tree = parse(module)
    called = {_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    # One file turns seeds into streams of their own; nothing touches the global one.
    assert "manual_seed" not in called or room(module) == "streams"
    assert room(module) in {"cli", "commands"} or "print" not in called


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def test_import_is_light_and_a_picture_loads_no_more_than_it_needs(tmp_path):
    """One fresh interpreter, for all that only the first import can tell."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT.parent)!r})
import torch, sntorch as snt
assert not [name for name in {LAZY} if name in sys.modules]
record = snt.analysis.jacobian_spectrum(snt.SNTCell(torch.eye(3)), torch.zeros(2, 3))
first, second = snt.plot(record), snt.plot(record)  # the module must not hide the function
assert snt.plot(record, first) is first
from sntorch.plot import figure
figure(record).savefig({str(tmp_path / "picture.png")!r})
for name in ("matplotlib.pyplot", "pytorch_lightning", "sntorch.training"):
    assert name not in sys.modules, name
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sntorch.nothing  # noqa: B018


# The checks above can fail


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import torch.nn as n, os", "", ["torch.nn", "os"]),
        ("from sntorch import checks, cells", "", ["sntorch.checks", "sntorch.cells"]),
        ("from . import lyapunov", "sntorch.analysis", ["sntorch.analysis.lyapunov"]),
        ("from ..cells import SNT", "sntorch.analysis", ["sntorch.cells.SNT"]),
        ("def f():\n    from a import b", "", ["a.b"]),
    ],
)
def test_imports_are_read(source, package, expected):
    assert imported(ast.parse(source), package) == expected


def test_rules_say_no():
    assert allowed("analysis", "cells")
    assert allowed("landscape", "analysis")
    assert allowed("plasticity", "cells")
    assert not allowed("analysis", "landscape")
    assert not allowed("cells", "analysis")
    assert not allowed("cells", "plasticity")
    assert not allowed("training", "cli")
    assert not allowed("analysis", "")
    assert targets("sntorch.cells") >= {"sntorch.checks", "sntorch.dynamics", "sntorch.transfer"}
