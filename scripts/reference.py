"""Build the API reference from the docstrings: ``python scripts/reference.py [--output FOLDER]``.

Needs the extra ``docs``: ``pip install -c constraints.txt -e .[docs]``.  Every public module has a
page, its theory first, and every room one with all that it offers; open ``index.html``, which can
be searched.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pathlib
from types import ModuleType

ROOT = pathlib.Path(__file__).resolve().parents[1]


def contents(room: ModuleType) -> str:
    """Return a list of the public names of a room: where each is, and the first line on it."""
    lines = []
    for name in dir(room):
        value = getattr(room, name)
        home = getattr(value, "__module__", None) or ""
        if not name.startswith("_") and home.startswith("sntorch") and home != room.__name__:
            first = (inspect.getdoc(value) or "").partition("\n")[0]
            lines.append(f"- `{home}.{name}`: {first}")
    return "\n".join(["", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=ROOT / "reference", type=pathlib.Path)
    options = parser.parse_args()
    pdoc, render = importlib.import_module("pdoc"), importlib.import_module("pdoc.render")
    render.configure(docformat="numpy", math=True, footer_text="sntorch")
    for name in ("", *(f".{room.parent.name}" for room in ROOT.glob("sntorch/*/__init__.py"))):
        room = importlib.import_module(f"sntorch{name}")
        room.__doc__ = f"{room.__doc__}{contents(room)}"
    pdoc.pdoc("sntorch", output_directory=options.output)
    pages = sorted(options.output.rglob("*.html"))
    print(f"{len(pages)} pages: {options.output / 'index.html'}")


if __name__ == "__main__":
    main()
