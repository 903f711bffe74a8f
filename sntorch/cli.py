"""The command ``sntorch``: compose a configuration, train, watch, report.

``sntorch`` runs the main job, ``sntorch experiment=NAME`` another one, ``sntorch -m
cell.gain=0.8,1.0,1.2`` a sweep, ``sntorch resume=FOLDER`` continues an interrupted run with the
configuration of its folder, changed by further overrides of values.  A run writes into one folder:
``config.yaml`` (resolved), ``checkpoints``, TensorBoard events, ``report.png`` and ``report.pdf``,
``history.csv`` and ``result.json``.

Hydra composes and instantiates; no code outside this file knows it.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import pathlib
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sntorch import checks, config_dir
from sntorch.plot import report
from sntorch.results import TrainingHistory
from sntorch.training import ExactResume, RunRecorder

__all__ = ["main", "train"]

_TABLE = {
    "largest Lyapunov exponent (nats/step)": "lyapunov/max",
    "spectral radius": "spectrum/radius",
    "entropy production per neuron (nats/step)": "flux/entropy_production_per_neuron",
    "contraction rate (nats/step)": "flux/contraction_rate",
}


def train(cfg: DictConfig, folder: pathlib.Path) -> float:
    """Train as `cfg` says, write everything into `folder`, return ``cfg.metric`` at the end.

    Raises
    ------
    ValueError
        Before any training, if a value of the configuration is not usable.
    """
    _check_values(cfg)
    torch.set_num_threads(cfg.num_threads)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    last = folder / "checkpoints" / "last.ckpt" if cfg.resume is not None else None
    recorder = RunRecorder()
    task = instantiate(cfg.task)
    model = instantiate(cfg.model)
    trainer = _trainer(cfg, folder, recorder, last)
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    _fit(trainer, model, task, folder, last)
    tested = trainer.test(model, task, verbose=False)[0]
    history = recorder.history(trainer, f"{_title(cfg)}, {trainer.current_epoch} epochs")
    result = _finish(cfg, trainer, history, tested, folder)
    print(_table(history, tested, folder))
    return result


@hydra.main(version_base="1.3", config_path=config_dir(), config_name="config")
def _job(cfg: DictConfig) -> float:
    hydra_config = HydraConfig.get()
    folder = pathlib.Path(hydra_config.runtime.output_dir)
    if cfg.resume is not None:
        cfg = _resumed(cfg, folder, list(hydra_config.overrides.task))
    return train(cfg, folder)


def main() -> None:
    """Run the command line; see the module's text for what it takes."""
    OmegaConf.register_new_resolver("sntorch.run_dir", _run_dir, replace=True)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Both are Lightning's own, about its dependencies and about data that fit in memory.
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
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
    saved = OmegaConf.load(folder / "config.yaml")
    OmegaConf.set_struct(saved, True)
    for override in overrides:
        key, _, _ = override.partition("=")
        if key == "resume":
            continue
        if OmegaConf.select(saved, key) is None or OmegaConf.is_dict(OmegaConf.select(cfg, key)):
            raise ValueError(f"resume: expected overrides of single values, got {override}")
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key))
    OmegaConf.update(saved, "resume", str(folder))
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        raise ValueError(f"resume: expected a checkpoint in {folder / 'checkpoints'}, got none")
    return saved  # pyright: ignore[reportReturnType]


def _check_values(cfg: DictConfig) -> None:
    checks.count("seed", cfg.seed, low=0)
    checks.count("num_threads", cfg.num_threads)
    checks.count("trainer.max_epochs", cfg.trainer.max_epochs)


def _trainer(
    cfg: DictConfig, folder: pathlib.Path, recorder: RunRecorder, last: pathlib.Path | None
) -> pl.Trainer:
    options: dict[str, Any] = {}
    if last is not None:
        # What was logged after the checkpoint will be logged again: readers must drop the first.
        steps = torch.load(last, map_location="cpu", weights_only=True)["global_step"]
        options["purge_step"] = steps
    logger = instantiate(cfg.logger, **options) if cfg.logger else False
    monitors = [instantiate(monitor) for monitor in cfg.callbacks.values()]
    checkpoint = instantiate(cfg.checkpoint, dirpath=str(folder / "checkpoints"))
    callbacks = [*monitors, recorder, ExactResume(), checkpoint]
    return instantiate(
        cfg.trainer, logger=logger, callbacks=callbacks, default_root_dir=str(folder)
    )


def _fit(
    trainer: pl.Trainer,
    model: pl.LightningModule,
    task: pl.LightningDataModule,
    folder: pathlib.Path,
    last: pathlib.Path | None,
) -> None:
    try:
        trainer.fit(model, task, ckpt_path=None if last is None else str(last))
    except SystemExit:  # how Lightning ends after Ctrl-C
        print(f"Interrupted.  Continue with: resume={folder}", file=sys.stderr)
        raise


def _finish(
    cfg: DictConfig,
    trainer: pl.Trainer,
    history: TrainingHistory,
    tested: Mapping[str, float],
    folder: pathlib.Path,
) -> float:
    final = history.scalars() | dict(tested)
    if cfg.metric not in final:
        raise ValueError(f"metric: expected one of {', '.join(final)}, got {cfg.metric}")
    if trainer.is_global_zero:
        figure = report(history)
        figure.savefig(folder / "report.png", dpi=110)
        figure.savefig(folder / "report.pdf")
        (folder / "result.json").write_text(json.dumps(final, indent=2))
        _write_history(history, folder / "history.csv")
        values: Any = OmegaConf.to_container(cfg, resolve=True)
        params = {name: values[name] for name in ("seed", "task", "model")}
        for logger in trainer.loggers:
            logger.log_hyperparams(params, {f"hp/{k}": v for k, v in tested.items()})
            logger.save()
    return final[cfg.metric]


def _write_history(history: TrainingHistory, path: pathlib.Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["epoch", *history.curves])
        columns = [values.tolist() for values in history.curves.values()]
        writer.writerows(zip(history.epoch.tolist(), *columns, strict=True))


def _table(history: TrainingHistory, tested: Mapping[str, float], folder: pathlib.Path) -> str:
    lines = ["", f"{'':44}{'before':>10}{'after':>10}"]
    if "test/accuracy" in tested:
        lines.append(f"{'test accuracy':44}{'':10}{tested['test/accuracy']:10.4f}")
    for label, name in _TABLE.items():
        curve = history.curves.get(name, torch.tensor([math.nan]))
        if curve.isfinite().any():
            known = curve[curve.isfinite()]
            lines.append(f"{label:44}{known[0]:10.4f}{known[-1]:10.4f}")
    return "\n".join([*lines, "", f"folder: {folder}", ""])


def _title(cfg: DictConfig) -> str:
    part = str(cfg.model.recurrent._target_).rpartition(".")[2]
    return f"{part} on {str(cfg.task._target_).rpartition('.')[2]}"


if __name__ == "__main__":
    main()
