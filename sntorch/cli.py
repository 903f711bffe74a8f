"""The command ``sntorch``: compose a configuration, train or study, watch, report.

``sntorch`` runs the main job, ``sntorch experiment=NAME`` another one, ``sntorch -m
cell.gain=0.8,1.0,1.2`` a sweep, ``sntorch resume=FOLDER`` continues an interrupted run from its
newest intact checkpoint, with the configuration of its folder, changed by further overrides of
single values, or an interrupted sweep, whose finished runs are not repeated; ``sntorch collect
FOLDER`` gathers the runs of a sweep.  A run writes its resolved configuration, ``config.yaml``,
beside what `sntorch.training.experiment` writes.

``sntorch validate`` computes what is known, on this machine or with ``--device cuda`` on another
device, and prints measured and expected numbers; it ends with status 1 unless all agree.

``sntorch analyze CHECKPOINT`` reports what a trained network does; see `sntorch.commands.analyze`.

``sntorch reproduce`` runs all studies, or those that are named, and builds a page of what was
published and what was measured; see `sntorch.commands.reproduce`.

``sntorch experiment=studies/NAME`` runs a study of `sntorch.studies` and no training: the parts of
the configuration that say what to train are not read.

Hydra composes and instantiates; beside this file only `sntorch.loading` knows it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf

from sntorch import checks, config_dir, sweeps, validation
from sntorch.commands.analyze import analyze
from sntorch.commands.reproduce import reproduce
from sntorch.loading import load
from sntorch.studies.study import keep, write
from sntorch.training import ConfigStamp, ExactResume, RunRecorder
from sntorch.training.checkpoints import Saved, read, restore
from sntorch.training.dashboard import describe
from sntorch.training.experiment import conduct, prepare, starts_anew, steps_at
from sntorch.training.files import taken, write_text
from sntorch.training.verdict import table

__all__ = ["main", "study", "train", "validate"]

_ELSEWHERE = ("resume=", "output=")  # say where a run is, not what it is


def train(cfg: DictConfig, folder: pathlib.Path, title: str = "") -> float:
    """Train as `cfg` says, write everything into `folder`, return ``cfg.metric`` at the end.

    Raises
    ------
    ValueError
        Before any training, if a value of the configuration is not usable.
    """
    for key in ("num_threads", "trainer.max_epochs"):
        checks.count(key, OmegaConf.select(cfg, key))
    prepare(checks.count("seed", cfg.seed, low=0), cfg.num_threads)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    saved = None if cfg.resume is None else _intact(folder)
    task, model = instantiate(cfg.task), instantiate(cfg.model)
    if saved is not None:
        restore("resume", model, saved, config)
    last = None if saved is None else saved.file
    trainer = _trainer(cfg, config, folder, last)
    _check_launcher(trainer)
    if trainer.is_global_zero:
        write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    history, tested = conduct(trainer, model, task, folder=folder, title=title, checkpoint=last)
    if trainer.is_global_zero:
        describe(trainer.loggers, config, history, tested, table(history, tested))
        print(f"\n{table(history, tested)}\n\nfolder: {folder}\n")
    return (history.scalars() | dict(tested))[cfg.metric]


def _intact(folder: pathlib.Path) -> Saved:
    """Return the checkpoint from which to continue, and put a corrupt last one aside."""
    saved = read("resume", folder)
    last = folder / "checkpoints" / "last.ckpt"
    if saved.file != last:
        with contextlib.suppress(FileNotFoundError):  # otherwise the next would be named last-v1
            last.rename(last.with_suffix(".corrupt"))
    return saved


def study(cfg: DictConfig, folder: pathlib.Path) -> None:
    """Run ``cfg.study``, show its progress, and write its record, table and picture into `folder`.

    Ctrl-C ends it early: what is known by then is written all the same.  The record is written
    whenever it has grown, and a study with an argument ``known`` goes on from there with
    ``resume=FOLDER``.

    Raises
    ------
    ValueError
        If the study refuses a value of its configuration, or cannot be continued.
    """
    checks.count("num_threads", cfg.num_threads)
    known = _known(cfg, folder)
    prepare(checks.count("seed", cfg.seed, low=0), cfg.num_threads)
    resolved: Any = OmegaConf.to_container(cfg.study, resolve=True)
    saved = {"seed": cfg.seed, "num_threads": cfg.num_threads, "study": resolved}
    write_text(folder / "config.yaml", OmegaConf.to_yaml(saved))
    record, interrupted = None, False
    try:
        for record in instantiate(cfg.study, **known):
            keep(record, folder)
            print(record.progress, flush=True)
    except KeyboardInterrupt:
        interrupted = True
    if record is not None:
        write(record, folder)
        if interrupted:  # a sweep takes a folder with a result for finished
            (folder / "result.json").rename(folder / "partial.json")
        else:
            (folder / "partial.json").unlink(missing_ok=True)
        print(f"\n{record.table()}\n\nfolder: {folder}\n")
    if interrupted:
        raise SystemExit("Interrupted: the study is not complete.")


def _known(cfg: DictConfig, folder: pathlib.Path) -> dict[str, str]:
    """Return the argument that tells a study what an interrupted run of it knows."""
    if cfg.resume is None:
        return {}
    if not _continues(cfg):
        raise ValueError(f"resume: expected a study that goes on, got {cfg.study._target_}")
    record = folder / "record.pt"
    return {"known": str(record)} if record.is_file() else {}


def _continues(cfg: DictConfig) -> bool:
    """Tell whether the study of a configuration takes up what is known."""
    return "known" in inspect.signature(get_method(cfg.study._target_)).parameters


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")
def _job(cfg: DictConfig) -> float | None:
    hydra_config = HydraConfig.get()
    folder = pathlib.Path(hydra_config.runtime.output_dir)
    if hydra_config.mode == RunMode.MULTIRUN:
        run = sweeps.standing(cfg, folder)
        if run.result is not None:
            print(f"finished before: {folder}")
            return run.result.get(cfg.metric)
        if run.started if cfg.study is None else _continues(cfg):
            cfg.resume = str(folder)
    elif cfg.resume is not None:
        cfg = _resumed(cfg, folder, list(hydra_config.overrides.task))
    if cfg.study is not None:
        return study(cfg, folder)
    choices = hydra_config.runtime.choices
    title = cfg.title or f"{choices['model']} learns {choices['task']}"
    return train(cfg, folder, title)


def validate(arguments: Sequence[str]) -> int:
    """Print the table of `sntorch.validation`; return 0 if every check passed, else 1."""
    parser = argparse.ArgumentParser(prog="sntorch validate", description=validation.__doc__)
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1")
    parser.add_argument("--json", action="store_true", help="print a JSON list, no table")
    options = parser.parse_args(arguments)
    outcomes: list[validation.Outcome] = []
    if not options.json:
        print(validation.heading())
    try:
        for outcome in validation.validate(options.device):
            outcomes.append(outcome)
            if not options.json:
                print(outcome.row(), flush=True)
    except ValueError as error:  # of the device
        print(f"sntorch validate: {error}", file=sys.stderr)
        return 1
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if options.json:
        print(json.dumps([dataclasses.asdict(o) | {"passed": o.passed} for o in outcomes]))
    else:
        print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} checks passed")
    return 1 if failed else 0


def main() -> None:
    """Run the command line; see the module's text for what it takes."""
    word, rest = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if word in _COMMANDS:
        sys.exit(_COMMANDS[word](rest))
    sys.argv[1:] = sweeps.continued(sys.argv[1:])
    for name, resolver in (("run_dir", _run_dir), ("sweep_dir", _sweep_dir)):
        OmegaConf.register_new_resolver(f"sntorch.{name}", resolver, replace=True)
    _job()


def _collect(arguments: Sequence[str]) -> None:
    print(sweeps.collecting(arguments))


def _analyze(arguments: Sequence[str]) -> int:
    return analyze(arguments, _learned)


_COMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    "analyze": _analyze,
    "collect": _collect,
    "reproduce": reproduce,
    "validate": validate,
}
"""What is no job of Hydra: the first word of the command line, and what answers it."""


def _learned(path: pathlib.Path) -> tuple[Any, Any]:
    """Return the model of a run and its task."""
    loaded = load(path)
    return loaded.model, instantiate(loaded.config["task"])


def _run_dir(output: str, resume: str | None, name: str) -> str:
    """Return the folder of this run, a new one that no other run has."""
    if resume is None:
        return taken(_sweep_dir(output, name))
    if not (pathlib.Path(resume) / "config.yaml").is_file():
        # Of any other error, in the middle of its own work, Hydra would show two pages.
        raise SystemExit(f"resume: expected the folder of a run, got {resume}")
    return resume


def _sweep_dir(output: str, name: str) -> str:
    """Return the folder of a sweep, refusing a place that cannot be written before any work."""
    folder = pathlib.Path(output)
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise SystemExit(f"output: expected a folder that can be written, got {output}")
    return str(folder / name)


def _resumed(cfg: DictConfig, folder: pathlib.Path, overrides: list[str]) -> DictConfig:
    """Return the configuration of the interrupted run with the plain overrides of this one."""
    saved: Any = OmegaConf.load(folder / "config.yaml")
    if saved.get("study") is None:
        _complete(saved, cfg, folder)
    else:
        others = [each for each in overrides if not each.startswith(_ELSEWHERE)]
        if others:
            raise ValueError(f"resume: expected a study as it was begun, got {' '.join(others)}")
        overrides = []
    for override in overrides:
        key = override.partition("=")[0]
        value = OmegaConf.select(saved, key)
        if key != "resume" and (value is None or OmegaConf.is_config(value)):
            raise ValueError(f"resume: expected overrides of single values, got {override}")
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key))
    saved.resume = str(folder)
    return saved


def _check_launcher(trainer: Any) -> None:
    """Refuse several processes a run where a launcher of sweeps was started by other words."""
    found = HydraConfig.get() if HydraConfig.initialized() else None
    if found is None or found.mode != RunMode.MULTIRUN or not starts_anew(trainer):
        return
    launcher = found.runtime.choices["hydra/launcher"]
    if launcher != "basic":
        raise ValueError(
            f"trainer.strategy: expected one process a run with hydra/launcher={launcher}, which "
            f"cannot start the others, or hydra/launcher=basic; got {trainer.world_size} processes"
        )


def _complete(saved: Any, cfg: DictConfig, folder: pathlib.Path) -> None:
    """Add what the configuration of an older version lacks, and say so."""
    missing = [str(key) for key in cfg if key not in saved]
    now: Any = OmegaConf.to_container(cfg)  # unresolved: it refers to what the run has
    for key in missing:
        saved[key] = now[key]
    if missing:
        listed = ", ".join(missing)
        warnings.warn(f"resume: {folder} is of an older sntorch, without {listed}", stacklevel=2)


def _trainer(
    cfg: DictConfig, config: dict[str, Any], folder: pathlib.Path, last: pathlib.Path | None
) -> Any:
    # What was logged after the checkpoint will be logged again: readers must drop the first.
    purge = {}
    if last is not None and "purge_step" in cfg.logger:
        purge["purge_step"] = steps_at(last)
    logger = instantiate(cfg.logger, **purge) if cfg.logger else False
    monitors = [instantiate(monitor) for monitor in cfg.callbacks.values()]
    place = str(folder / "checkpoints")
    # The last one comes last, so that it knows the best.
    kept = [instantiate(c, dirpath=place) for c in (cfg.checkpoint, cfg.last_checkpoint)]
    callbacks = [*monitors, RunRecorder(cfg.metric), ExactResume(), ConfigStamp(config), *kept]
    return instantiate(
        cfg.trainer, logger=logger, callbacks=callbacks, default_root_dir=str(folder)
    )


if __name__ == "__main__":
    main()
