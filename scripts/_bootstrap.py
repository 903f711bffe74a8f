"""Make the project's virtual environment when needed, then run one of its modules.

The scripts beside this file are started by whatever ``python3`` the machine has, so this module
uses the standard library only and no syntax younger than Python 3.6: an old Python must live long
enough to say that it is too old. Heavy modules are imported where an installation needs them,
because every start pays for those at the top.
"""

import hashlib
import os
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
VENV = os.path.join(REPO, os.environ.get("SNTORCH_VENV") or ".venv")
BIN = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin")
PYTHON = os.path.join(BIN, "python.exe" if os.name == "nt" else "python")
STAMP = os.path.join(VENV, "sntorch.stamp")
LOCK = os.path.join(VENV, "sntorch.lock")
USABLE = "import sys, pip; sys.exit(sys.version_info < (3, 11))"


def run(module: str, arguments: "list[str]") -> int:
    """Run a module in the project's environment; on POSIX this process becomes that program."""
    ensure_environment()
    # So the program's own subprocesses find the same python and tools such as tensorboard.
    os.environ["PATH"] = os.pathsep.join(filter(None, [BIN, os.environ.get("PATH")]))
    keep_bytecode()
    command = [PYTHON, "-m", module, *arguments]
    if os.name != "nt":
        os.execv(PYTHON, command)  # Ctrl-C and signals go straight to the program

    import subprocess  # Windows: execv would return to the prompt at once

    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the program got it too and decides how to end
            continue


def keep_bytecode() -> None:
    """Let Python keep compiled modules inside the environment where it must write none beside them.

    Without them every start compiles torch anew, which takes longer than most tests.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", os.path.join(VENV, "bytecode"))


def run_tests(arguments: "list[str]") -> int:
    """Run pytest in the root of the repository, without the slow tests unless asked for them."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MPLBACKEND", "Agg")
    here = os.getcwd()
    os.chdir(REPO)
    return run("pytest", test_arguments(arguments, here))


def test_arguments(arguments: "list[str]", here: str) -> "list[str]":
    """Complete the user's arguments, given in the folder ``here``, for a start in the root.

    The choice of the fast tests comes first because pytest obeys the last ``-m``: no need to find
    out whether the user gave one. For the same reason whole runs, which several processes share,
    say so first. Not more than four of them: each one loads torch. A file stays in one process,
    where what its tests share is made once.
    """
    result = []
    names_a_file = names_a_test = False
    previous = ""
    for argument in arguments:
        is_value = previous in ("-k", "-m", "-p", "-o", "-W", "-n", "--dist", "--deselect")
        path, separator, test = argument.partition("::")
        if not argument.startswith("-") and not is_value:
            names_a_file = True
            names_a_test = names_a_test or bool(separator)
            if path and os.path.exists(os.path.join(here, path)):
                path = os.path.join(here, path)
        result.append(path + separator + test)
        previous = argument
    chosen = [] if names_a_test else ["-m", "not slow"]
    shared = [] if names_a_file else ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    return [*shared, *chosen, *result]


def ensure_environment() -> None:
    """Install unless the stamp says that this has been done; end with one sentence if it fails."""
    if is_ready():
        return
    if sys.version_info < (3, 11):  # noqa: UP036  (the one place where an older one can be)
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise SystemExit(f"sntorch: Python 3.11 or newer is needed, this one is {found}.")
    try:
        os.makedirs(VENV, exist_ok=True)
        with open(LOCK, "w") as handle:
            wait_for_lock(handle.fileno())
            if not is_ready():  # another start may have installed while this one waited
                install()
    except OSError as error:
        raise SystemExit(
            f"sntorch: cannot install into {error.filename or VENV} ({error.strerror}): make it "
            "writable or name another folder in the environment variable SNTORCH_VENV."
        ) from None
    except KeyboardInterrupt:
        say("interrupted; the next start goes on with the installation.")
        raise SystemExit(130) from None


def is_ready() -> bool:
    """Tell whether the environment holds what this checkout asks for."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            return os.path.exists(PYTHON) and file.read() == expected_stamp()
    except OSError:
        return False


def expected_stamp() -> str:
    """Describe a finished installation of this checkout.

    The checkout's folder is in it because the installation is editable: a copied or shared
    environment would silently run the code of the other checkout. So is the interpreter behind the
    environment (not the one running this, which may differ from start to start): an upgrade of the
    system's Python leaves the packages behind in the old version's folder.
    """
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(REPO, name), "rb") as file:
            digest.update(file.read())
    return "\n".join([digest.hexdigest(), REPO, os.path.realpath(PYTHON), ""])


def install() -> None:
    """Make or repair the environment and write the stamp as the very last thing."""
    import subprocess

    say(f"the first start installs into {VENV} and takes a few minutes.")
    if os.path.exists(STAMP):
        os.remove(STAMP)  # an interrupted change of versions must not pass for the old state
    if not is_usable():
        make_environment()
    stamp = expected_stamp()  # before pip: an edit during the installation asks for a new one
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--no-compile"]
    result = subprocess.run(
        [*pip, "-c", "constraints.txt", "-e", ".[dev]"],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if result.returncode:
        last = "".join(f"    {line}\n" for line in result.stdout.splitlines()[-12:])
        raise SystemExit(
            f"{last}sntorch: pip could not install the dependencies (its last lines are above): "
            "check that this machine reaches a package index, then start again."
        )
    with open(STAMP, "w", encoding="utf-8") as file:
        file.write(stamp)


def is_usable() -> bool:
    """Tell whether the environment has a working Python, recent enough and with pip."""
    import subprocess

    if not os.path.exists(PYTHON):
        return False
    answer = subprocess.run([PYTHON, "-c", USABLE], stderr=subprocess.DEVNULL)
    return answer.returncode == 0


def make_environment() -> None:
    """Create the virtual environment, or complete one that an interruption left unfinished."""
    import subprocess

    if os.path.exists(PYTHON) and not os.path.exists(os.path.join(VENV, "pyvenv.cfg")):
        raise SystemExit(f"sntorch: {VENV} has a Python but is no virtual environment.")
    advice = "sntorch: this Python cannot make a venv, apt install python3-venv helps"
    try:
        import ensurepip  # noqa: F401  (Debian leaves it out, venv notices only half-way)
        import venv
    except ImportError as error:
        raise SystemExit(f"{advice} on Debian and Ubuntu ({error}).") from None
    for name in os.listdir(BIN) if os.path.isdir(BIN) else []:
        if name.startswith("python") and os.path.islink(os.path.join(BIN, name)):
            os.remove(os.path.join(BIN, name))  # venv keeps links, broken ones too
    try:
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(VENV)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{advice} on Debian and Ubuntu ({error}).") from None


def wait_for_lock(descriptor: int) -> None:
    """Wait until no other start installs; the system frees the lock of a process that died."""
    told = False
    while not try_lock(descriptor):
        if not told:
            say("another start is installing, waiting for it.")
        told = True
        time.sleep(0.2)


def try_lock(descriptor: int) -> bool:
    """Take the lock unless another process has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better unprotected than unusable
        return True
    return True


def say(sentence: str) -> None:
    sys.stderr.write(f"sntorch: {sentence}\n")
    sys.stderr.flush()
