"""The notebooks run from top to bottom, show what their text says, and are those of their sources.

They run in this process, cell by cell, as they are: a kernel for each would import torch eight
times.  What a cell ends with is drawn as a notebook would draw it.
"""

import ast
import json
import math
import pathlib
import warnings
from typing import Any

import pytest
import torch
from matplotlib import pyplot as plt

FOLDER = pathlib.Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.ipynb"))


def cells(name):
    """Return kind, source and outputs of every cell."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        yield cell["cell_type"], "".join(cell["source"]), cell.get("outputs", [])


def run(source, names):
    """Run a cell; return what it ends with and draw it."""
    tree, last = ast.parse(source), None
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "cell", "exec"), names)
    value: Any = None if last is None else eval(compile(last, "cell", "eval"), names)
    picture = getattr(value, "_repr_png_", None)
    if picture is not None:
        assert picture().startswith(b"\x89PNG")
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
    return value


def test_there_are_eight_and_each_has_its_source():
    assert [name[:2] for name in NAMES] == [f"0{i}" for i in range(1, 9)]
    assert sorted(path.stem for path in FOLDER.glob("[0-9]*.py")) == NAMES


def words(line):
    return line.removeprefix("#").strip()


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_that_of_its_source(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    expected = [words(line) for line in source if not line.startswith("# %%")]
    found = [words(line.strip()) for _, text, _ in cells(name) for line in text.splitlines()]
    # Both without the hash signs of comments, of headings and of empty lines.
    strip = [[line.lstrip("# ") for line in lines] for lines in (expected, found)]
    assert [line for line in strip[1] if line] == [line for line in strip[0] if line]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_stored_with_pictures_and_without_complaints(name):
    outputs = [output for _, _, outputs in cells(name) for output in outputs]
    shown = [output.get("data", {}) for output in outputs]
    pictures = [data["image/png"] for data in shown if "image/png" in data]
    assert len(pictures) >= 2
    assert max(map(len, pictures)) < 300_000 * 4 / 3  # in base 64
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert [output for output in outputs if output["output_type"] == "error"] == []


def learned_by_flossing(n):
    before, after = (n[key].exponents[:, :16].square().mean() ** 0.5 for key in ("before", "after"))
    return before > 0.4 and after < 0.15 and n["found"][0] > 0.95


def follows_the_mean_field(n):
    theory = n["snt"].meanfield.solve(gain=2.0, noise=n["noises"]).lyapunov
    return (n["found"][:, 0] - theory).abs().max() < 0.03


def is_moved_by_both_rules(n):
    forgot, adapted = n["history"].control["largest exponent"], n["homeostasis"]["exponent"]
    return forgot[0] > 0.2 and forgot[-1] < -0.1 and abs(adapted[-1] - n["after"]) < 0.03


def finds_slow_points_and_the_replica_overlap(n):
    theory = n["snt"].meanfield.equilibrium(gain=n["gains"], temperature=0.1).overlap
    overlap = torch.tensor(n["measured"], dtype=torch.float64)[:, 0]
    scatter = torch.tensor([0.0006, 0.007, 0.028])  # over networks of 200, from 20 of them
    agree = ((overlap - theory).abs() < 4 * scatter).all()
    return agree and n["points"].unstable.tolist().count(0) == 4 and n["loss"] < 0.05


CLAIMS = {
    "01": lambda n: abs(float(n["found"].exponents.mean()) - math.log(2)) < 0.005,
    "02": lambda n: n["alone"][0, 0] < -0.3 and n["alone"][-1, 0] > 0.1 and n["reading"][3, 0] > 0,
    "03": learned_by_flossing,
    "04": follows_the_mean_field,
    "05": lambda n: (n["sent"].gain / n["sent"].predicted_gain - 1).abs().max() < 0.25,
    "06": is_moved_by_both_rules,
    "07": finds_slow_points_and_the_replica_overlap,
    "08": lambda n: (n["exact"] / n["weak"] - 1).abs().max() < 0.15,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_its_claim_holds(name):
    names, dtype = {"__name__": "__main__"}, torch.get_default_dtype()
    with warnings.catch_warnings():
        try:
            for kind, source, _ in cells(name):
                if kind == "code":
                    run(source, names)
        finally:
            torch.set_default_dtype(dtype)
            plt.close("all")
    assert CLAIMS[name[:2]](names)
