"""A trained model comes back from the folder of its run: `load`, and `export` for others.

The configuration is taken from the folder, which its owner wrote, and never from a checkpoint: a
file of weights can then name no code to run.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sntorch.training.checkpoints import Saved, read, restore
from sntorch.training.checkpoints import export as write_safetensors

__all__ = ["Loaded", "export", "load"]


class Loaded(NamedTuple):
    """A trained model and where it comes from."""

    model: Any
    """The model, in evaluation mode, on the CPU."""
    config: dict[str, Any]
    """The resolved configuration of its run."""
    checkpoint: pathlib.Path
    """The file that was read."""


def load(path: str | os.PathLike[str], which: str = "last") -> Loaded:
    """Return the trained model of a run and its configuration.

    Random streams are left as found, and no code of a checkpoint is run.

    Parameters
    ----------
    path
        The folder of a run, one checkpoint in it, or a folder that `export` wrote.  Where the
        wanted checkpoint cannot be read the newest that can is, with a warning.
    which
        Of a folder: ``"last"``, or ``"best"``, the checkpoint that ``metric`` chose.

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
    cfg, saved = _run_at(pathlib.Path(path), which)
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    with torch.random.fork_rng():
        model = instantiate(cfg.model)
    restore("path", model, saved, config)
    return Loaded(model.eval(), config, saved.file)


def export(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], which: str = "last"
) -> pathlib.Path:
    """Write the trained model of a run as ``model.safetensors`` and ``config.yaml`` into a folder.

    `load` reads the folder, to the same bits; anything that knows safetensors reads the weights.
    Needs the extra ``sntorch[export]``.

    Parameters
    ----------
    path, which
        As of `load`.
    folder
        Is made if there is none.

    Raises
    ------
    ValueError
        What `load` refuses, and a folder that has such files.
    ImportError
        If safetensors is not installed.
    """
    cfg, saved = _run_at(pathlib.Path(path), which)
    file = write_safetensors(saved, pathlib.Path(folder))
    OmegaConf.save(cfg, file.with_name("config.yaml"))
    return file


def _run_at(place: pathlib.Path, which: str) -> tuple[Any, Saved]:
    """Return configuration and checkpoint of a run."""
    if not place.exists():
        raise ValueError(f"path: expected the folder of a run or a checkpoint, got {place}")
    inside = place.parent if place.suffix == ".safetensors" else place.parent.parent
    folder = place if place.is_dir() else inside
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"path: expected a run with config.yaml in {folder}, got none")
    cfg: Any = OmegaConf.load(folder / "config.yaml")
    if "model" not in cfg:
        raise ValueError(f"path: expected a run that trained a model, got {folder}")
    return cfg, read("path", place, which)
