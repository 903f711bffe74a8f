"""Build the API reference from the docstrings: ``python scripts/reference.py [--output FOLDER]``.

Needs the extra ``docs``: ``pip install -c constraints.txt -e .[docs]``.  Every public module has a
page, its theory first; open ``index.html``, which can be searched.
"""

from __future__ import annotations

import argparse
import importlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=ROOT / "reference", type=pathlib.Path)
    options = parser.parse_args()
    pdoc, render = importlib.import_module("pdoc"), importlib.import_module("pdoc.render")
    render.configure(docformat="numpy", math=True, footer_text="sntorch")
    pdoc.pdoc("sntorch", output_directory=options.output)
    pages = sorted(options.output.rglob("*.html"))
    print(f"{len(pages)} pages: {options.output / 'index.html'}")


if __name__ == "__main__":
    main()
