"""Report what a trained network does: ``sntorch analyze CHECKPOINT``.

CHECKPOINT is the folder of a run or a checkpoint in it, of which everything is known, or a foreign
one.  A foreign checkpoint is rebuilt from the names and shapes of its weights if its recurrent part
is a layer or cell of torch, else from its class, --module package.Class, which is made with the
hyper-parameters that Lightning keeps in a checkpoint and those of --argument.

A network of a run is asked as it reads the sequences of its task.  A foreign one is left alone, or
reads what --drive holds: a constant (I,), one sequence (T, I) or several (T, R, I).

Written are analysis.png, analysis.pdf and analysis.json, into the folder of the run or beside the
checkpoint unless --output says where.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.plot import report
from sntorch.results import readable
from sntorch.surveys import Survey, survey
from sntorch.training.experiment import prepare
from sntorch.training.foreign import read_recurrent
from sntorch.training.probes import Probe, heard, recurrent_part
from sntorch.training.tasks import Task

__all__ = ["analyze"]

_ROWS = 16
_SHOWN = 3  # of the exponents in the table

Loader = Callable[[pathlib.Path], tuple[nn.Module, Task]]
"""What gives the model of a run and the task that it learned."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Subject:
    """What is looked at."""

    name: str
    part: nn.Module
    probe: Probe


def analyze(arguments: Sequence[str], load: Loader) -> int:
    """Analyse a checkpoint, print a table, write picture and numbers; return 1 after an error."""
    options = _parser().parse_args(arguments)
    sys.path.insert(0, os.getcwd())  # where a class of one's own is, as for `python -m`
    try:
        return _analyze(options, load)
    except ValueError as error:
        print(f"sntorch analyze: {error}", file=sys.stderr)
        return 1


def _analyze(options: argparse.Namespace, load: Loader) -> int:
    path = pathlib.Path(options.checkpoint)
    run = path if path.is_dir() else path.absolute().parent.parent
    ours = (run / "config.yaml").is_file()
    folder = pathlib.Path(options.output or (run if ours else path.absolute().parent))
    prepare(checks.count("seed", options.seed, low=0), 1)
    subject = _ours(path, options, load) if ours else _foreign(path, options)
    found = _look(subject.probe, options)
    folder.mkdir(parents=True, exist_ok=True)
    picture = report(found)
    for kind in ("png", "pdf"):
        picture.savefig(folder / f"analysis.{kind}", dpi=110)
    text = json.dumps(_content(path, subject, found), indent=2)
    (folder / "analysis.json").write_text(text)
    print(text if options.json else f"{_table(subject, found)}\n\nfolder: {folder}")
    return 0


def _ours(path: pathlib.Path, options: argparse.Namespace, load: Loader) -> _Subject:
    """Return the network of a run and what it reads of its own task."""
    if options.module or options.drive or options.noise is not None:
        raise ValueError("path: expected a foreign checkpoint for --module, --drive and --noise")
    model, task = load(path)
    model.double()
    task.prepare_data()
    task.setup("fit")
    x = next(iter(task.val_dataloader()))[0]
    name, part = recurrent_part(model, options.part)
    return _Subject(name=name, part=part, probe=heard(model, part, x.double(), _ROWS))


def _foreign(path: pathlib.Path, options: argparse.Namespace) -> _Subject:
    """Return the network of any other checkpoint and the drive that is asked for."""
    name, part = read_recurrent(
        path,
        module=options.module,
        arguments=dict(map(_argument, options.argument)),
        part=options.part,
        nonlinearity=options.nonlinearity,
        trust=options.trust,
    )
    part.double()
    noise = {} if options.noise is None else {"noise": options.noise}
    f = as_dynamics(part, **noise)
    x = None if options.drive is None else _drive(pathlib.Path(options.drive))
    rows = _ROWS if x is None or x.ndim == 1 or x.shape[1] == 1 else x.shape[1]
    u = 0.5 * torch.randn(rows, _size(f), dtype=torch.float64)
    return _Subject(name=name, part=part, probe=Probe(f=f, u=u, x=x, steps=1))


def _look(probe: Probe, options: argparse.Namespace) -> Survey:
    f, u, x = probe.f, probe.u, probe.x
    try:
        f, u = f.to(options.device), u.to(options.device)
        x = None if x is None else x.to(options.device)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device: expected one with float64, got {options.device!r}: {reason}"
                         ) from error  # fmt: skip
    show = not options.json
    found = survey(f, u, x=x, steps=options.steps, k=options.k, progress=show)
    return found.map(Tensor.cpu)


def _content(path: pathlib.Path, subject: _Subject, found: Survey) -> dict[str, Any]:
    regime: Any = found.records.get("regime")
    numbers = {k: v if math.isfinite(v) else None for k, v in found.scalars().items()}
    return {
        "checkpoint": str(path),
        "part": subject.name,
        "network": repr(subject.part),
        "size": found.size,
        "reads": None if subject.probe.x is None else list(subject.probe.x.shape),
        "regime": None if regime is None else regime.evidence.splitlines(),
        "numbers": numbers,
        "missing": found.missing,
        "remarks": found.remarks,
    }


def _table(subject: _Subject, found: Survey) -> str:
    lines = [f"{subject.name or 'network'}: {subject.part}"]
    last = ""
    for key, value in readable(found.scalars()).items():
        question, _, name = key.partition("/")
        if re.fullmatch(r"\d+", name) and int(name) > _SHOWN:
            continue
        if question != last:
            lines.append(f"\n{question}")
            last = question
        lines.append(f"  {name:36} {value}")
    for title, notes in (("no answer", found.missing), ("remarks", found.remarks)):
        if notes:
            lines.append(f"\n{title}")
            lines += [f"  {name}: {text}" for name, text in notes.items()]
    return "\n".join(lines)


def _drive(path: pathlib.Path) -> Tensor:
    """Return the drive in a file of numpy or torch."""
    try:
        if path.suffix == ".npy":
            x = torch.as_tensor(np.load(path, allow_pickle=False))
        else:
            x = torch.load(path, map_location="cpu", weights_only=True)
        x = x.double()
    except Exception as error:  # whatever the bytes happen to mean
        raise ValueError(f"drive: expected an array in {path}, got {error}") from error
    if x.ndim not in (1, 2, 3):
        raise ValueError(f"drive: expected (I,), (T, I) or (T, R, I), got {tuple(x.shape)}")
    return x.unsqueeze(1) if x.ndim == 2 else x


def _size(f: Dynamics) -> int:
    if f.size < 1:
        raise ValueError("part: expected a dynamics that knows its size, got one that does not")
    return f.size


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"argument: expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sntorch analyze",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", help="folder of a run, or a file")
    add("--module", help="package.Class of a foreign checkpoint")
    add("--argument", action="append", default=[], metavar="NAME=VALUE", help="of that class")
    add("--part", help="name of the recurrent part, where there are several")
    add("--nonlinearity", default="tanh", help="of an nn.RNN known from its weights: tanh, relu")
    add("--trust", action="store_true", help="run code of the file, to read whole modules")
    add("--drive", help="what a foreign network reads: .npy or .pt")
    add("--noise", type=float, help="noise per step of a foreign network, so that it has a flux")
    add("--steps", type=int, default=500, help="of the stationary orbit")
    add("--k", type=int, help="how many exponents")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1")
    add("--output", help="folder to write into")
    add("--json", action="store_true", help="print the JSON, no table and no progress")
    return parser
