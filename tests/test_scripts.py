"""The start scripts, in throw-away checkouts with a stub pip, so without network or waiting.

A stub environment is a real virtual environment without packages; the stubs of pip, pytest and
``sntorch.cli`` reach it through PYTHONPATH and say how they were called.
"""

import ast
import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import venv

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and bin folders of POSIX")

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
NAMES = ("_bootstrap.py", "train", "test")

STUB_PIP = """
import json, os, sys, time
print("Collecting nothing\\nERROR: a stub of pip")
with open(os.environ["STUB_LOG"], "a") as log:
    log.write(json.dumps({"arguments": sys.argv[1:], "folder": os.getcwd()}) + "\\n")
end = time.monotonic() + 60
while "STUB_PIP_WAITS_FOR" in os.environ and time.monotonic() < end:
    if os.path.exists(os.environ["STUB_PIP_WAITS_FOR"]):
        break
    time.sleep(0.02)
sys.exit(int(os.environ.get("STUB_PIP_STATUS", 0)))
"""
STUB_PROGRAM = """
import json, os, sys
names = ("PATH", "OMP_NUM_THREADS", "MPLBACKEND")
names += ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
print(json.dumps({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "prefix": sys.prefix, "pid": os.getpid(),
    "environment": {name: os.environ.get(name) for name in names},
}))
sys.exit(int(os.environ.get("STUB_STATUS", 0)))
"""


@dataclasses.dataclass
class Checkout:
    """A fake repository with the real scripts."""

    root: pathlib.Path
    stubs: pathlib.Path

    @property
    def venv(self):
        return self.root / ".venv"

    @property
    def stamp(self):
        return self.venv / "sntorch.stamp"

    @property
    def log(self):
        return self.root / "pip.log"

    def installs(self):
        """Return what pip was asked for, one entry per call."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def make_venv(self):
        venv.EnvBuilder(with_pip=False, symlinks=True).create(self.venv)

    def popen(self, script, *arguments, cwd=None, python=(), **variables):
        """Start a script; keywords in capitals are environment variables."""
        own = {"SNTORCH_VENV", "OMP_NUM_THREADS", "MPLBACKEND", "PYTHONPATH", "PYTHONSAFEPATH"}
        own |= {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
        environment = {key: value for key, value in os.environ.items() if key not in own}
        environment |= {"PYTHONPATH": str(self.stubs), "STUB_LOG": str(self.log)} | variables
        return subprocess.Popen(
            [sys.executable, *python, self.root / "scripts" / script, *arguments],
            cwd=cwd or self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=allow_interrupts,
        )

    def start(self, *arguments, **options):
        return finish(self.popen(*arguments, **options))

    def call(self, *arguments, **options):
        """Start a script that must succeed and return what the stub program saw."""
        result = self.start(*arguments, **options)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def wait_for_pip(self):
        deadline = time.monotonic() + 60
        while not self.installs():
            assert time.monotonic() < deadline, "pip was never started"
            time.sleep(0.02)


def allow_interrupts():
    """Undo what a shell does to programs in the background, tests among them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process):
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def assert_one_sentence(result, *parts):
    """Check for a failure with status 1 that says why in its last line, without a traceback."""
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("sntorch: ")
    for part in parts:
        assert part in last


FAST = ["-m", "not slow"]
SHARED = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    for package, module, text in (
        ("pip", "__main__", STUB_PIP),
        ("pytest", "__main__", STUB_PROGRAM),
        ("sntorch", "cli", STUB_PROGRAM),
    ):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
        (folder / package / f"{module}.py").write_text(text)
    return folder


@pytest.fixture
def bare(tmp_path, stubs):
    """Return a fresh clone: no environment yet."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "tests" / "test_x.py").touch()
    for name in NAMES:
        shutil.copy(SCRIPTS / name, root / "scripts" / name)
    (root / "pyproject.toml").write_text('[project]\nname = "fake"\n')
    (root / "constraints.txt").write_text("numpy==1\n")
    return Checkout(root, stubs)


@pytest.fixture
def checkout(bare):
    """Return a clone whose environment exists, but into which nothing has been installed."""
    bare.make_venv()
    return bare


@pytest.fixture
def installed(checkout):
    checkout.call("train")
    assert len(checkout.installs()) == 1
    return checkout


@pytest.fixture(scope="module")
def bootstrap():
    spec = importlib.util.spec_from_file_location("_bootstrap", SCRIPTS / "_bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------- installation


def test_first_start_installs_and_then_runs(checkout, tmp_path):
    result = checkout.start("train", "model=rnn", cwd=tmp_path)
    assert result.returncode == 0
    assert json.loads(result.stdout)["arguments"] == ["model=rnn"]
    assert result.stderr.count("\n") == 1
    assert "first start installs" in result.stderr
    assert "few minutes" in result.stderr
    (install,) = checkout.installs()
    assert install["folder"] == str(checkout.root)
    assert install["arguments"][0] == "install"
    assert install["arguments"][-4:] == ["-c", "constraints.txt", "-e", ".[dev]"]
    assert "--no-compile" in install["arguments"]


@pytest.mark.parametrize("script", ["train", "test"])
def test_compiled_modules_are_kept_inside_the_environment_where_they_must_not_lie_beside(
    installed, script, tmp_path
):
    names = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    inside = os.path.join(os.path.realpath(installed.venv), "bytecode")
    for given, expected in (
        ({}, (None, None)),
        ({names[0]: "1"}, (None, inside)),
        ({names[0]: "1", names[1]: str(tmp_path)}, (None, str(tmp_path))),
    ):
        seen = installed.call(script, **given)["environment"]
        assert tuple(seen[name] for name in names) == expected


@pytest.mark.parametrize("script", ["train", "test"])
def test_second_start_only_runs(installed, script):
    result = installed.start(script)
    assert result.returncode == 0
    assert result.stderr == ""
    assert len(installed.installs()) == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_the_dependencies_installs_once(installed, name):
    with open(installed.root / name, "a") as file:
        file.write("# new\n")
    for _ in range(2):
        installed.call("train")
        assert len(installed.installs()) == 2


def test_a_copied_checkout_does_not_run_the_code_of_the_original(installed, tmp_path):
    copy = Checkout(tmp_path / "copy", installed.stubs)
    shutil.copytree(installed.root, copy.root, symlinks=True)
    copy.log.unlink()
    copy.call("train")
    assert [install["folder"] for install in copy.installs()] == [str(copy.root)]


def test_another_python_behind_the_environment_installs(installed, tmp_path):
    launcher = tmp_path / "python-upgraded"  # a copied binary may miss its libraries
    launcher.write_text(f'#!/bin/sh\nexec "{installed.venv}/bin/old" "$@"\n')
    launcher.chmod(0o755)
    (installed.venv / "bin" / "python").rename(installed.venv / "bin" / "old")
    (installed.venv / "bin" / "python").symlink_to(launcher)
    installed.call("train")
    assert len(installed.installs()) == 2


def test_failed_install_leaves_no_stamp_and_shows_pips_last_lines(checkout):
    result = checkout.start("train", STUB_PIP_STATUS="2")
    assert_one_sentence(result, "pip could not install", "package index")
    assert "    ERROR: a stub of pip\n" in result.stderr
    assert result.stdout == ""
    assert not checkout.stamp.exists()
    checkout.call("train")
    assert len(checkout.installs()) == 2


def test_failed_update_does_not_pass_for_the_old_installation(installed):
    constraints = installed.root / "constraints.txt"
    old = constraints.read_text()
    constraints.write_text("numpy==2\n")
    assert installed.start("train", STUB_PIP_STATUS="1").returncode == 1
    constraints.write_text(old)
    installed.call("train")
    assert len(installed.installs()) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_install_is_repaired_by_the_next_start(checkout, number):
    process = checkout.popen("train", STUB_PIP_WAITS_FOR="nothing")
    checkout.wait_for_pip()
    os.killpg(process.pid, number)
    result = finish(process)
    assert not checkout.stamp.exists()
    if number == signal.SIGINT:
        assert result.returncode == 130
        assert "Traceback" not in result.stderr
        assert "interrupted" in result.stderr
    checkout.call("train")
    assert len(checkout.installs()) == 2


def test_two_starts_at_once_install_once(checkout):
    go = checkout.root / "go"
    first = checkout.popen("train", STUB_PIP_WAITS_FOR=str(go))
    checkout.wait_for_pip()
    second = checkout.popen("test")
    assert second.stderr is not None
    line = second.stderr.readline()
    go.touch()
    assert "another start is installing" in line
    assert [finish(process).returncode for process in (first, second)] == [0, 0]
    assert len(checkout.installs()) == 1


def break_python_links(checkout):
    checkout.make_venv()
    for link in (checkout.venv / "bin").glob("python*"):
        link.unlink()
        link.symlink_to(checkout.root / "removed python")


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda checkout: None, id="missing"),
        pytest.param(break_python_links, id="broken"),
    ],
)
@pytest.mark.slow
def test_environment_is_made_or_repaired(bare, prepare):
    prepare(bare)
    seen = bare.call("train")
    assert seen["prefix"] == str(bare.venv)
    assert list(bare.venv.glob("lib/python*/site-packages/pip"))
    assert bare.stamp.exists()


def test_variable_names_another_environment(bare, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(elsewhere)
    seen = bare.call("train", SNTORCH_VENV=str(elsewhere))
    assert seen["prefix"] == str(elsewhere)
    assert not bare.venv.exists()


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", NAMES)
def test_an_old_python_can_read_the_script(name):
    tree = ast.parse((SCRIPTS / name).read_text(), feature_version=(3, 6))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):  # list[str] is an error there, "list[str]" is not
            arguments = [argument.annotation for argument in node.args.args]
            for annotation in [*arguments, node.returns]:
                assert isinstance(annotation, ast.Name | ast.Constant | None)


PRETEND_OLD = (
    "import runpy, sys; sys.version_info = (3, 9, 2); sys.argv = sys.argv[1:];"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def test_old_python_cannot_install(bare):
    result = bare.start("train", python=("-c", PRETEND_OLD))
    assert_one_sentence(result, "3.11", "3.9.2")
    assert not bare.venv.exists()


def test_old_python_can_start_what_is_installed(installed):
    assert installed.call("train", python=("-c", PRETEND_OLD))["prefix"] == str(installed.venv)


def test_missing_ensurepip(bare, tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')\n")
    result = bare.start("train", PYTHONPATH=str(tmp_path))
    assert_one_sentence(result, "apt install python3-venv", "No module named ensurepip")
    assert not bare.stamp.exists()


def test_a_file_in_the_place_of_the_environment(bare):
    bare.venv.touch()
    assert_one_sentence(bare.start("test"), "cannot install into", ".venv", "SNTORCH_VENV")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_is_not_writable(bare):
    bare.root.chmod(0o555)
    try:
        assert_one_sentence(bare.start("train"), "Permission denied", "SNTORCH_VENV")
    finally:
        bare.root.chmod(0o755)


def test_a_system_python_is_left_alone(bare, tmp_path):
    link = tmp_path / "system" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to("/bin/false")
    result = bare.start("train", SNTORCH_VENV=str(link.parent.parent))
    assert_one_sentence(result, "no virtual environment")
    assert link.is_symlink()


# ----------------------------------------------------------------------- running the programs


@pytest.mark.parametrize("script", ["train", "test"])
@pytest.mark.parametrize("status", [0, 1, 5])
def test_exit_status_is_the_programs(installed, tmp_path, script, status):
    assert installed.start(script, cwd=tmp_path, STUB_STATUS=str(status)).returncode == status


def test_train_passes_arguments_and_keeps_the_folder(installed, tmp_path):
    arguments = ["-m", "model.size=1,2", "note='two words'", "", "+x={a: 1}"]
    seen = installed.call("train", *arguments, cwd=tmp_path)
    assert seen["arguments"] == arguments
    assert seen["folder"] == str(tmp_path)
    assert seen["prefix"] == str(installed.venv)
    assert seen["environment"]["OMP_NUM_THREADS"] is None


def test_program_replaces_the_script_so_that_signals_reach_it(installed):
    process = installed.popen("train")
    assert json.loads(finish(process).stdout)["pid"] == process.pid


def test_environment_variables(installed):
    seen = installed.call("test")["environment"]
    assert seen["PATH"].split(os.pathsep)[0] == str(installed.venv / "bin")
    assert seen["OMP_NUM_THREADS"] == "1"
    assert seen["MPLBACKEND"] == "Agg"
    seen = installed.call("test", OMP_NUM_THREADS="3", MPLBACKEND="svg")["environment"]
    assert (seen["OMP_NUM_THREADS"], seen["MPLBACKEND"]) == ("3", "svg")


def test_scripts_work_through_a_link_and_with_a_safe_path(installed, tmp_path):
    link = tmp_path / "sntorch-train"
    link.symlink_to(installed.root / "scripts" / "train")
    assert installed.call(link, "a=1", PYTHONSAFEPATH="1")["arguments"] == ["a=1"]


def test_tests_run_in_the_root_from_any_folder(installed, tmp_path):
    seen = installed.call("test", "-x", cwd=tmp_path)
    assert seen["folder"] == str(installed.root)
    assert seen["arguments"] == [*SHARED, *FAST, "-x"]
    seen = installed.call("test", "test_x.py", cwd=installed.root / "tests")
    assert seen["arguments"][-1] == str(installed.root / "tests" / "test_x.py")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [*SHARED, *FAST]),
        (["-m", "slow"], [*SHARED, *FAST, "-m", "slow"]),  # pytest obeys the last one
        (["--lf", "-k", "a or b"], [*SHARED, *FAST, "--lf", "-k", "a or b"]),
        (["missing.py"], [*FAST, "missing.py"]),
        (["test_x.py"], [*FAST, "HERE/test_x.py"]),
        (["../test_x.py"], [*FAST, "../test_x.py"]),
        (["test_x.py::test_y"], ["HERE/test_x.py::test_y"]),
        (["tests/test_z.py::test_y[a::b]"], ["tests/test_z.py::test_y[a::b]"]),
        (["-k", "test_x.py"], [*SHARED, *FAST, "-k", "test_x.py"]),
        (["--deselect", "a.py::test_b"], [*SHARED, *FAST, "--deselect", "a.py::test_b"]),
        (["--deselect=a.py::test_b"], [*SHARED, *FAST, "--deselect=a.py::test_b"]),
    ],
)
def test_arguments_of_pytest(bootstrap, tmp_path, arguments, expected):
    (tmp_path / "test_x.py").touch()
    result = bootstrap.test_arguments(arguments, str(tmp_path))
    assert result == [word.replace("HERE", str(tmp_path)) for word in expected]


def test_the_last_choice_of_markers_wins_in_pytest(tmp_path):
    """``-m`` before the user's arguments relies on it."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / "test_x.py").write_text(
        "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\ndef test_fast(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *FAST]
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    for marks, expected in (((), "fast"), (("-m", "slow"), "slow"), (("-m", ""), "slow fast")):
        output = subprocess.run(
            [*command, *marks], cwd=tmp_path, env=bare, capture_output=True, text=True
        )
        found = [line.partition("::test_")[2] for line in output.stdout.splitlines()]
        assert [name for name in found if name] == expected.split()


def test_a_start_costs_little(installed):
    """The fastest of some starts: other programs can slow one down, none can speed one up."""
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        installed.call("train")
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 1.0
    imports = installed.start("train", python=("-S", "-X", "importtime")).stderr
    assert "hashlib" in imports
    for heavy in ("subprocess", "venv", "tempfile"):
        assert f" {heavy}\n" not in imports


def test_every_benchmark_is_part_of_the_whole():
    tree = ast.parse((SCRIPTS / "bench" / "run.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import)]
    imported = {alias.name for node in imports for alias in node.names}
    for path in (SCRIPTS / "bench").glob("*.py"):
        if path.stem not in ("measure", "run"):
            assert path.stem in imported
            assert "\nSECTIONS" in path.read_text()
