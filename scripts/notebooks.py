"""Execute the notebooks: ``.venv/bin/python scripts/notebooks.py [01 05 ...]``, all by default.

The source of ``notebooks/NAME.ipynb`` is ``notebooks/NAME.py``, text in jupytext's percent format
that is easy to read, to compare and to check; this script makes the notebook from it, runs every
cell and stores what it printed and drew.  Change the source, never the notebook; a test compares
the two.  Needs the extra ``notebooks``: ``.venv/bin/pip install -c constraints.txt .[notebooks]``.
"""

import argparse
import os
import pathlib
import time

import jupytext  # pyright: ignore[reportMissingImports]: of the extra `notebooks`
import nbformat  # pyright: ignore[reportMissingImports]
from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]
from nbformat import NotebookNode  # pyright: ignore[reportMissingImports]

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "notebooks"


def notebook(source: str) -> NotebookNode:
    """Return the notebook of a source, the same whenever it is made."""
    made = jupytext.reads(source, fmt="py:percent")
    for i, cell in enumerate(made.cells):
        cell.id = f"cell-{i}"
        cell.metadata = NotebookNode()
    language = {"name": "python", "version": "3.11"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata = NotebookNode(kernelspec=kernel, language_info=language)
    made.nbformat, made.nbformat_minor = 4, 5
    return made


def execute(made: NotebookNode) -> None:
    """Run all cells in a fresh kernel; the first error ends it with a traceback."""
    os.environ["OMP_NUM_THREADS"] = "1"  # so that the numbers do not depend on the machine's cores
    os.environ["PYTHONPATH"] = str(FOLDER.parent)
    language = made.metadata.language_info
    NotebookClient(made, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    made.metadata.language_info = language
    for cell in made.cells:
        cell.metadata = NotebookNode()  # times of execution


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Execute the notebooks.")
    parser.add_argument("numbers", nargs="*", help="beginnings of names, such as 03")
    numbers = tuple(parser.parse_args().numbers) or ("",)
    for path in sorted(FOLDER.glob("[0-9]*.py")):
        if path.name.startswith(numbers):
            start = time.perf_counter()
            made = notebook(path.read_text(encoding="utf-8"))
            execute(made)
            target = path.with_suffix(".ipynb")
            nbformat.write(made, target)
            size = target.stat().st_size / 1024
            print(f"{target.name}: {time.perf_counter() - start:.1f} s, {size:.0f} kB")
