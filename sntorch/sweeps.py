"""Sweeps: taken up where they stopped, and gathered in a table and a picture.

A sweep is a folder with one folder a run and ``sweep.yaml``, which says how it was started.
``sntorch resume=FOLDER`` starts it again: runs with a ``result.json`` are finished and give their
number back at once, runs with a checkpoint continue, and the others begin.  `collect` reads any
folder that holds runs, also while a sweep is under way.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf

from sntorch.plot import figure
from sntorch.results import Sweep
from sntorch.training.checkpoints import differences
from sntorch.training.files import write_text

__all__ = ["Remember", "Standing", "collect", "collecting", "continued", "standing"]

_NAME = "sweep.yaml"
_ELSEWHERE = ("output", "resume")  # say where a run is, not what it is
_CHOSEN = ("hydra.mode=", "hydra.sweep.dir=")


class Remember(Callback):
    """Writes into the folder of a sweep how it was started, whatever sweeper it has."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write ``sweep.yaml``."""
        folder = pathlib.Path(config.hydra.sweep.dir)
        given = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
        arguments = [text for text in given if not text.startswith(_CHOSEN)]
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / _NAME, OmegaConf.to_yaml({"arguments": arguments}))
        # Lightning starts the other processes of a run by these words: in the same folder.
        sys.argv.append(_in_folder(folder))


class Standing(NamedTuple):
    """What is there of a run of a sweep."""

    result: dict[str, float] | None
    """What it measured, if it is finished."""
    started: bool
    """Whether there is a checkpoint to continue from."""


def continued(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``resume=FOLDER`` of a sweep replaced by what started it.

    Of a single run it is left, and Hydra is told to keep what it wrote about the run.
    """
    given = list(arguments)
    place = next((i for i, text in enumerate(given) if text.startswith("resume=")), None)
    if place is None:
        return given
    folder = pathlib.Path(given[place].removeprefix("resume=").strip("'\""))
    if not (folder / _NAME).is_file():
        return [*given, "hydra.output_subdir=null"]
    started: Any = OmegaConf.load(folder / _NAME)
    given[place : place + 1] = [*started.arguments, _in_folder(folder)]
    return given if {"-m", "--multirun"} & set(given) else ["-m", *given]


def _in_folder(folder: pathlib.Path) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return f"hydra.sweep.dir='{quoted}'"


def standing(cfg: DictConfig, folder: pathlib.Path) -> Standing:
    """Return what is there of the run that a sweep would make in a folder.

    Raises
    ------
    ValueError
        If it is the folder of another run: what differs is named.
    """
    if not (folder / "config.yaml").is_file():
        return Standing(None, False)
    saved = _plain(OmegaConf.load(folder / "config.yaml"))
    here = _plain(cfg)
    there = {key: value for key, value in saved.items() if key not in _ELSEWHERE}
    found = differences(there, {key: here.get(key) for key in there})
    if found:
        listed = "; ".join(f"{key} is {a!r} there and {b!r} here" for key, a, b in found)
        raise ValueError(f"sweep: expected its own run in {folder}, got another: {listed}")
    return Standing(_result(folder), any(folder.glob("checkpoints/*.ckpt")))


def collect(path: str | os.PathLike[str], metric: str | None = None) -> Sweep:
    """Gather the runs in a folder, finished or not.

    What was swept are the overrides in which the runs differ.

    Parameters
    ----------
    path
        The folder of a sweep, or any other with folders of runs in it.
    metric
        What the sweep is about, such as ``test/accuracy`` or ``lyapunov/max``; by default the
        metric of its configuration.

    Raises
    ------
    ValueError
        If there is no run, or none measured `metric`.

    Examples
    --------
    >>> collect("nowhere")
    Traceback (most recent call last):
    ValueError: path: expected a folder with runs, got nowhere
    """
    root = pathlib.Path(path)
    found = [file.parent for file in root.rglob("config.yaml") if file.parent.name != ".hydra"]
    runs = sorted(found, key=lambda run: (run.parent, len(run.name), run.name))
    if not runs:
        raise ValueError(f"path: expected a folder with runs, got {root}")
    configs = [_plain(OmegaConf.load(run / "config.yaml")) for run in runs]
    results = [_result(run) for run in runs]
    names = list(dict.fromkeys(name for result in results for name in result or {}))
    measured = {
        name: torch.tensor([(result or {}).get(name, math.nan) for result in results])
        for name in names
    }
    if metric is not None and metric not in measured:
        raise ValueError(f"metric: expected one of {', '.join(measured)}, got {metric!r}")
    wanted = str(metric or configs[0].get("metric"))
    return Sweep(
        folders=tuple(str(run.relative_to(root)) for run in runs),
        values=_swept(runs, configs),
        finished=torch.tensor([result is not None for result in results]),
        measured=measured,
        metric=wanted if wanted in measured else next(iter(measured), wanted),
    )


def collecting(arguments: Sequence[str]) -> str:
    """Gather a folder as the command line says, write table and picture into it, return the text.

    ``sweep.csv`` has a row a run; ``sweep.png`` and ``sweep.pdf`` draw means over seeds with their
    standard errors.
    """
    parser = argparse.ArgumentParser(prog="sntorch collect", description=collect.__doc__)
    parser.add_argument("folder", help="of a sweep, or of several runs")
    parser.add_argument("--metric", action="append", help="what to draw; may be given again")
    options = parser.parse_args(arguments)
    folder, metrics = pathlib.Path(options.folder), options.metric or [None]
    sweeps = [collect(folder, metric) for metric in metrics]
    with (folder / "sweep.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(_rows(sweeps[0]))
    if not sweeps[0].measured:
        return f"no run of {len(sweeps[0].folders)} is finished yet"
    if options.metric is None and "lyapunov/max" in sweeps[0].measured:
        sweeps.append(dataclasses.replace(sweeps[0], metric="lyapunov/max"))
    picture = figure(*sweeps)
    picture.savefig(folder / "sweep.png", dpi=110)
    picture.savefig(folder / "sweep.pdf")
    tables = "\n\n".join(sweep.table() for sweep in sweeps)
    return f"{tables}\n\nfolder: {folder}"


def _rows(sweep: Sweep) -> list[list[Any]]:
    """Return head and runs of the table."""
    columns = [sweep.folders, *sweep.values.values(), sweep.finished.tolist()]
    columns += [values.tolist() for values in sweep.measured.values()]
    head = ["folder", *sweep.values, "finished", *sweep.measured]
    return [head, *(list(row) for row in zip(*columns, strict=True))]


def _swept(
    runs: Sequence[pathlib.Path], configs: Sequence[dict[str, Any]]
) -> dict[str, tuple[Any, ...]]:
    """Return the overrides in which the runs differ."""
    given = [_overrides(run) for run in runs]
    keys = [key for key in dict.fromkeys(k for one in given for k in one)]
    columns = {}
    for key in keys:
        pairs = zip(given, configs, strict=True)
        values = tuple(one[key] if key in one else _at(config, key) for one, config in pairs)
        if len({repr(value) for value in values}) > 1:
            columns[key] = values
    return columns


def _overrides(run: pathlib.Path) -> dict[str, Any]:
    """Return what was said on the command line of a run, its values parsed."""
    file = run / ".hydra" / "overrides.yaml"
    said = {}
    for text in OmegaConf.load(file) if file.is_file() else []:
        key, _, value = str(text).lstrip("+~").partition("=")
        parsed = OmegaConf.from_dotlist([f"value={value}"]).value
        said[key] = str(parsed) if isinstance(parsed, DictConfig | ListConfig) else parsed
    return {key: value for key, value in said.items() if key not in _ELSEWHERE}


def _at(config: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key, None where there is none or more than one."""
    found: Any = config
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return None if isinstance(found, dict | list) else found


def _result(run: pathlib.Path) -> dict[str, float] | None:
    file = run / "result.json"
    return json.loads(file.read_text()) if file.is_file() else None


def _plain(cfg: Any) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return plain
