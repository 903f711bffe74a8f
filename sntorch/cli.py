"""The command ``sntorch``: compose a configuration, train or study, watch, report.

``sntorch`` runs the main job, ``sntorch experiment=NAME`` another one, ``sntorch -m
cell.gain=0.8,1.0,1.2`` a sweep, ``sntorch resume=FOLDER`` continues an interrupted run from its
newest intact checkpoint, with the configuration of its folder, changed by further overrides of
single values.  A run writes its resolved configuration, ``config.yaml``, beside what
`sntorch.training.experiment` writes.

``sntorch validate`` computes what is known, on this machine or with ``--device cuda`` on another
device, and prints measured and expected numbers; it ends with status 1 unless all agree.

``sntorch experiment=studies/NAME`` runs a study of `sntorch.studies` and no training: the parts of
the configuration that say what to train are not read.

`load` gives the trained model of a run back, ``sntorch.load(FOLDER)``.

Hydra composes and instantiates; no code outside this file knows it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sntorch import checks, config_dir, validation
from sntorch.studies.study import write
from sntorch.training import ExactResume, RunRecorder
from sntorch.training.experiment import conduct, prepare, steps_at, table

__all__ = ["Loaded", "load", "main", "study", "train", "validate"]


class Loaded(NamedTuple):
    """A trained model and where it comes from."""

    model: Any
    """The model, in evaluation mode, on the CPU."""
    config: dict[str, Any]
    """The resolved configuration of its run."""
    checkpoint: pathlib.Path
    """The file that was read."""


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
    last = None if cfg.resume is None else _intact(folder)
    task, model = instantiate(cfg.task), instantiate(cfg.model)
    trainer = _trainer(cfg, folder, last)
    if trainer.is_global_zero:
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    history, tested = conduct(trainer, model, task, folder=folder, title=title, checkpoint=last)
    if trainer.is_global_zero:
        _log_hyperparameters(cfg, trainer, tested)
        print(f"\n{table(history, tested)}\n\nfolder: {folder}\n")
    return (history.scalars() | dict(tested))[cfg.metric]


def load(path: str | os.PathLike[str]) -> Loaded:
    """Return the trained model of a run and its configuration.

    Random streams are left as found, and no code of a checkpoint is run.

    Parameters
    ----------
    path
        The folder of a run, of which the last checkpoint is taken, or one checkpoint in it.  Where
        the last cannot be read the newest that can is, with a warning.

    Raises
    ------
    ValueError
        If there is no run, no checkpoint that can be read, one that is none of sntorch, or one of
        another configuration: what differs is named.

    Examples
    --------
    >>> load("nowhere")
    Traceback (most recent call last):
    ValueError: path: expected the folder of a run or a checkpoint, got nowhere
    """
    place = pathlib.Path(path)
    if not place.exists():
        raise ValueError(f"path: expected the folder of a run or a checkpoint, got {place}")
    folder = place if place.is_dir() else place.parent.parent
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"path: expected a run with config.yaml in {folder}, got none")
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    if "model" not in cfg:
        raise ValueError(f"path: expected a run that trained a model, got {folder}")
    checkpoint, weights = _read("path", place)
    with torch.random.fork_rng():
        model = instantiate(cfg.model)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"path: expected a checkpoint of the configuration in {folder}, got another; "
            f"{' '.join(str(error).split())}"
        ) from error
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    return Loaded(model.eval(), config, checkpoint)


def _intact(folder: pathlib.Path) -> pathlib.Path:
    """Return the checkpoint from which to continue, and put a corrupt last one aside."""
    checkpoint, _ = _read("resume", folder)
    last = folder / "checkpoints" / "last.ckpt"
    if checkpoint != last:
        with contextlib.suppress(FileNotFoundError):  # otherwise the next would be named last-v1
            last.rename(last.with_suffix(".corrupt"))
    return checkpoint


def _read(name: str, place: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """Return the first of the checkpoints that can be read, and its weights.

    In a folder the last one comes first, then from new to old; errors call the argument `name`.
    """
    files = [place]
    if place.is_dir():
        found = sorted(place.glob("checkpoints/*.ckpt"), key=lambda p: p.stat().st_mtime)
        files = sorted(reversed(found), key=lambda p: p.name != "last.ckpt")
    if not files:
        raise ValueError(f"{name}: expected a checkpoint in {place / 'checkpoints'}, got none")
    broken: list[str] = []
    for file in files:
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the bytes happen to mean to zip and pickle
            broken.append(f"{file.name} ({type(error).__name__})")
            continue
        if not isinstance(saved, dict) or "state_dict" not in saved:
            raise ValueError(f"{name}: expected a checkpoint of a run, got a foreign file {file}")
        if broken:
            warnings.warn(f"{', '.join(broken)}: corrupt; {file.name} is taken", stacklevel=3)
        return file, saved["state_dict"]
    raise ValueError(f"{name}: expected a checkpoint that can be read, got {', '.join(broken)}")


def study(cfg: DictConfig, folder: pathlib.Path) -> None:
    """Run ``cfg.study``, show its progress, and write its record, table and picture into `folder`.

    Ctrl-C ends it early: what is known by then is written all the same.

    Raises
    ------
    ValueError
        If the study refuses a value of its configuration.
    """
    checks.count("num_threads", cfg.num_threads)
    if cfg.resume is not None:
        raise ValueError(f"resume: expected None, since a study starts anew; got {cfg.resume}")
    prepare(checks.count("seed", cfg.seed, low=0), cfg.num_threads)
    resolved: Any = OmegaConf.to_container(cfg.study, resolve=True)
    OmegaConf.save({"seed": cfg.seed, "study": resolved}, folder / "config.yaml")
    record, interrupted = None, False
    try:
        for record in instantiate(cfg.study):
            print(record.progress, flush=True)
    except KeyboardInterrupt:
        interrupted = True
    if record is not None:
        write(record, folder)
        print(f"\n{record.table()}\n\nfolder: {folder}\n")
    if interrupted:
        raise SystemExit("Interrupted: the study is not complete.")


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")
def _job(cfg: DictConfig) -> float | None:
    hydra_config = HydraConfig.get()
    folder = pathlib.Path(hydra_config.runtime.output_dir)
    if cfg.study is not None:
        return study(cfg, folder)
    if cfg.resume is not None:
        cfg = _resumed(cfg, folder, list(hydra_config.overrides.task))
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
    for outcome in validation.validate(options.device):
        outcomes.append(outcome)
        if not options.json:
            print(outcome.row(), flush=True)
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if options.json:
        print(json.dumps([dataclasses.asdict(o) | {"passed": o.passed} for o in outcomes]))
    else:
        print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} checks passed")
    return 1 if failed else 0


def main() -> None:
    """Run the command line; see the module's text for what it takes."""
    if sys.argv[1:2] == ["validate"]:
        sys.exit(validate(sys.argv[2:]))
    OmegaConf.register_new_resolver("sntorch.run_dir", _run_dir, replace=True)
    _job()


def _run_dir(output: str, resume: str | None, name: str) -> str:
    """Return the folder of this run, refusing a place that cannot be written before any work."""
    if resume is not None:
        if not (pathlib.Path(resume) / "config.yaml").is_file():
            raise ValueError(f"resume: expected the folder of a run, got {resume}")
        return resume
    folder = pathlib.Path(output)
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"output: expected a folder that can be written, got {output}")
    return str(folder / name)


def _resumed(cfg: DictConfig, folder: pathlib.Path, overrides: list[str]) -> DictConfig:
    """Return the configuration of the interrupted run with the plain overrides of this one."""
    saved: Any = OmegaConf.load(folder / "config.yaml")
    for override in overrides:
        key = override.partition("=")[0]
        value = OmegaConf.select(saved, key)
        if key != "resume" and (value is None or OmegaConf.is_config(value)):
            raise ValueError(f"resume: expected overrides of single values, got {override}")
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key))
    saved.resume = str(folder)
    return saved


def _trainer(cfg: DictConfig, folder: pathlib.Path, last: pathlib.Path | None) -> Any:
    # What was logged after the checkpoint will be logged again: readers must drop the first.
    purge = {} if last is None else {"purge_step": steps_at(last)}
    logger = instantiate(cfg.logger, **purge) if cfg.logger else False
    monitors = [instantiate(monitor) for monitor in cfg.callbacks.values()]
    checkpoint = instantiate(cfg.checkpoint, dirpath=str(folder / "checkpoints"))
    callbacks = [*monitors, RunRecorder(cfg.metric), ExactResume(), checkpoint]
    return instantiate(
        cfg.trainer, logger=logger, callbacks=callbacks, default_root_dir=str(folder)
    )


def _log_hyperparameters(cfg: DictConfig, trainer: Any, tested: Any) -> None:
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    params = {name: values[name] for name in ("seed", "task", "model")}
    for logger in trainer.loggers:
        logger.log_hyperparams(params, {f"hp/{name}": value for name, value in tested.items()})
        logger.save()


if __name__ == "__main__":
    main()
