"""The wheel as a user gets it, and what must not stand in the repository's files."""

import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# From pieces, so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("work", "tmp", "root", "opt")) + ")/")
INDEX_HOSTS = ("pypi" + ".org", "python" + "hosted.org", "download" + ".pytorch.org")
INDEX_HOST = re.compile("|".join(map(re.escape, INDEX_HOSTS)))


def run(*command, cwd, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", ".", "--no-deps", "--quiet", "--wheel-dir", folder, cwd=ROOT)
    (path,) = folder.glob("sntorch-*.whl")
    return path


@pytest.fixture(scope="module")
def target(wheel, tmp_path_factory):
    """Return a folder with the installed wheel; the dependencies stay in the environment."""
    folder = tmp_path_factory.mktemp("target")
    options = ["--no-deps", "--no-compile", "--quiet", "--target", folder]
    run("-m", "pip", "install", *options, wheel, cwd=folder)
    return folder


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sntorch/conf/config.yaml", "sntorch/py.typed", "sntorch/cli.py"} <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"sntorch"}
    assert not [name for name in names if re.search(r"(^|/)(tests?|scripts)/", name)]
    for folder, pattern, start in (("sntorch", "*.py", "sntorch"), ("conf", "*", "sntorch/conf")):
        for path in (ROOT / folder).rglob(pattern):
            if path.is_file():
                assert f"{start}/{path.relative_to(ROOT / folder).as_posix()}" in names


@pytest.mark.slow
def test_installed_wheel_finds_its_own_configuration(target, tmp_path):
    code = "import sntorch; print(sntorch.__file__); print(sntorch.config_dir())"
    lines = run("-P", "-c", code, cwd=tmp_path, PYTHONPATH=str(target)).splitlines()
    package = target / "sntorch"
    assert [pathlib.Path(line) for line in lines] == [package / "__init__.py", package / "conf"]


@pytest.mark.slow
def test_installed_wheel_has_the_command(target, tmp_path):
    output = run("-P", "-m", "sntorch.cli", "--help", cwd=tmp_path, PYTHONPATH=str(target))
    assert "config" in output
    assert list(tmp_path.iterdir()) == []
    (entry_points,) = target.glob("sntorch-*.dist-info/entry_points.txt")
    assert "sntorch = sntorch.cli:main" in entry_points.read_text()


def text_files():
    """Return the files that are or could be committed, with their text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    for name in sorted(filter(None, output.stdout.split("\0"))):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a picture, or deleted but still in the index, or another repository


def offences(pattern, files):
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in files
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_machine_or_a_package_index():
    files = list(text_files())
    assert {"pyproject.toml", "constraints.txt", "tests/test_packaging.py"} <= dict(files).keys()
    assert offences(MACHINE_PATH, files) == []
    assert offences(INDEX_HOST, files) == []


def test_constraints_are_names_and_versions_only():
    """Neither addresses, which tie it to an index, nor hashes, which forbid a local torch."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirement = re.compile(r"[a-z0-9-]+==[a-z0-9.]+( ; [\w\s.'=<>()]+)?")
    assert [line for line in lines if not requirement.fullmatch(line)] == []


@pytest.mark.parametrize("name", ["work", "tmp", "root", "opt"])
def test_the_search_finds_paths_of_a_machine(name):
    path = f"/{name}/x"
    for line in (path, f'"{path}"', f"a={path}", f"file://{path}", f"see {path}."):
        assert offences(MACHINE_PATH, [("file", line)])
    for line in (f"outputs{path}", f"../{name}/x", f"https://example.org{path}", f"/{name}s/x"):
        assert not offences(MACHINE_PATH, [("file", line)])


@pytest.mark.parametrize("host", INDEX_HOSTS)
def test_the_search_finds_package_indices(host):
    assert offences(INDEX_HOST, [("file", f"pip install -i https://{host}/simple")])
    assert not offences(INDEX_HOST, [("file", "https://pytorch.org and pypi")])
