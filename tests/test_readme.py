"""What the README shows works as it stands."""

import pathlib
import re

import pytest

import sntorch as snt

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_examples_run(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out


def rows():
    tables = [part.split("\n\n")[0] for part in README.split("| question | function |")[1:]]
    lines = "\n".join(tables).splitlines()
    return [line for line in lines if line.startswith("| ") and "---" not in line]


@pytest.mark.parametrize("row", rows())
def test_every_function_of_the_table_exists(row):
    names = re.findall(r"`([\w.]+)", row.split("|")[2])
    assert names
    room = ""
    for name in names:
        room = name.rpartition(".")[0] or room
        owner = snt
        for part in [*filter(None, room.split(".")), name.rpartition(".")[2]]:
            owner = getattr(owner, part)
        assert owner.__doc__


def test_every_public_function_of_the_questions_is_in_the_table():
    table = "\n".join(rows())
    for room in (snt.analysis, snt.landscape, snt.meanfield):
        public = [
            name for name in vars(room) if name[0].islower() and callable(getattr(room, name))
        ]
        missing = [name for name in public if name not in table and name != "leading_plane"]
        assert not missing


def test_files_that_it_names_exist():
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists()
    for path in re.findall(r"`((?:\./)?(?:scripts|tests|notebooks|conf)/[\w./]+)`", README):
        assert (ROOT / path).exists()


def test_first_line_says_what_snt_means():
    first = README.splitlines()[2]
    assert 'SNT = "Simple but Non Trivial"' in first
