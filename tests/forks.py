"""Commands of sntorch, each in a fork of one process, so that imports are paid once."""

import json
import os
import pathlib
import subprocess
import sys

FORKS = """
import glob, json, os, signal, sys, time
import matplotlib.backends.backend_agg, sklearn.datasets, torch, torch.utils.tensorboard
from sntorch import cli, plot, studies
torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
for place, until, *words in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        out = os.open(place, os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.argv = [cli.__file__, *words]
        cli.main()
        sys.stdout.flush()
        os._exit(0)
    ended = 0
    while until and not glob.glob(until) and not ended:
        time.sleep(0.01)
        ended, status = os.waitpid(child, os.WNOHANG)
    if until and not ended:
        os.kill(child, signal.SIGKILL)
    status = status if ended else os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status))
"""
"""One process that imports once what a command may need, and forks for every command."""


def forked(folder, commands, until=()):
    """Return status and output of several commands, one after the other.

    `until` has for the number of a command the pattern of a file: when there is one the command is
    killed.
    """
    places = [str(folder / f"{i}.txt") for i in range(len(commands))]
    patterns = [dict(until).get(i) for i in range(len(commands))]
    work = [[*head, *words] for *head, words in zip(places, patterns, commands, strict=True)]
    done = subprocess.run(
        [sys.executable, "-c", FORKS, json.dumps(work)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs = [pathlib.Path(place).read_text() for place in places]
    return list(zip(map(int, done.stdout.split()), outputs, strict=True))
