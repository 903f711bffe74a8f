"""Checkpoints: written whole or not at all, checked when they are read, tied to their model.

`AtomicCheckpointIO` writes beside the target and renames, so that neither a kill nor a full disk
leaves half a file, and keeps the last checkpoint but one as ``previous.ckpt``.  `ConfigStamp` puts
the configuration into every checkpoint, so that `restore` can name what differs in a model that
does not fit.  `read` checks every byte against the sums in the file, and falls back to an older
checkpoint where they disagree.
"""

from __future__ import annotations

import io
import os
import pathlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from sntorch import checks
from sntorch.training.files import renamed

try:
    from safetensors import torch as safetensors
except ImportError:  # an extra
    safetensors = None

__all__ = ["AtomicCheckpointIO", "ConfigStamp", "Saved", "differences", "export", "read", "restore"]

CONFIG = "sntorch.config"
LAST, PREVIOUS, EXPORTED = "last.ckpt", "previous.ckpt", "model.safetensors"

_FREE = ("optimizer", "scheduler")  # parts of a model's configuration that do not make the model


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, and keeps the last but one.

    Examples
    --------
    >>> import tempfile
    >>> writer = AtomicCheckpointIO()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for epoch in range(2):
    ...         writer.save_checkpoint({"epoch": epoch}, f"{folder}/last.ckpt")
    ...     torch.load(f"{folder}/last.ckpt"), torch.load(f"{folder}/previous.ckpt")
    ({'epoch': 1}, {'epoch': 0})
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint whole or not at all; what stood there becomes ``previous.ckpt``."""
        target = pathlib.Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with renamed(target) as beside:
            beside.write_bytes(content.getbuffer())
            if target.name == LAST and target.exists():
                target.replace(target.with_name(PREVIOUS))


class ConfigStamp(pl.Callback):
    """Puts the configuration of a run into its checkpoints.

    Parameters
    ----------
    config
        Plain dictionaries, lists, texts and numbers.

    Examples
    --------
    >>> checkpoint = {}
    >>> ConfigStamp({"seed": 3}).on_save_checkpoint(None, None, checkpoint)
    >>> checkpoint
    {'sntorch.config': {'seed': 3}}
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add it."""
        checkpoint[CONFIG] = self.config


class Saved(NamedTuple):
    """What was read of a checkpoint."""

    file: pathlib.Path
    """Where it was."""
    weights: dict[str, Any]
    """The state of the model."""
    config: dict[str, Any] | None
    """The configuration it was written under, if it says so."""
    best: str | None
    """Name of the file of the best checkpoint by then, if one was chosen by a metric."""


def read(name: str, place: pathlib.Path, which: str = "last") -> Saved:
    """Return the first checkpoint that can be read; no code of a checkpoint is run.

    Parameters
    ----------
    name
        What errors call the argument.
    place
        One file, or the folder of a run: there the wanted one comes first, then the last, then from
        new to old, and a warning says which could not be read.
    which
        ``"last"``, or ``"best"``: the one that the metric of the run chose.

    Raises
    ------
    ValueError
        If there is none, none that can be read, or one that is none of a run.
    """
    checks.one_of("which", which, ("last", "best"))
    files = _candidates(place) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{name}: expected a checkpoint in {place / 'checkpoints'}, got none")
    saved = _first(name, files)
    if which == "last" or not place.is_dir():
        return saved
    if saved.best is None:
        raise ValueError("which: expected last, since this run chose no best checkpoint; got best")
    best = saved.file.with_name(saved.best)
    return _first(name, [best, *(file for file in files if file != best)])


def restore(name: str, model: nn.Module, saved: Saved, config: Mapping[str, Any]) -> None:
    """Put the weights of a checkpoint into the model that a configuration made.

    Raises
    ------
    ValueError
        If the checkpoint is of another model: the values of the configuration that differ, or else
        the tensors that do not fit, are named.
    """
    mine, its = (_model_of(c) for c in (config, saved.config or config))
    found = differences(its, mine, "model")
    if found:
        listed = "; ".join(f"{key} is {a!r} there and {b!r} here" for key, a, b in found)
        raise ValueError(f"{name}: expected the model of {saved.file}, got another: {listed}")
    try:
        model.load_state_dict(saved.weights)
    except RuntimeError as error:
        listed = " ".join(str(error).split())
        raise ValueError(
            f"{name}: expected the model of {saved.file}, got another; {listed}"
        ) from error


def differences(a: Any, b: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Return where two configurations differ: dotted key, value in `a`, value in `b`.

    A value that only one of them has is None in the other.

    Examples
    --------
    >>> differences({"cell": {"gain": 1.2, "n": 8}}, {"cell": {"gain": 1.5, "n": 8}})
    [('cell.gain', 1.2, 1.5)]
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        dot = f"{key}." if key else ""
        keys = [*a, *(k for k in b if k not in a)]
        return [d for k in keys for d in differences(a.get(k), b.get(k), f"{dot}{k}")]
    return [] if a == b else [(key, a, b)]


def export(saved: Saved, folder: pathlib.Path) -> pathlib.Path:
    """Write the weights as ``model.safetensors`` into a new folder and return the file.

    Raises
    ------
    ValueError
        If there is such a file already.
    ImportError
        If safetensors is not installed.
    """
    tensors, file = _extra(), folder / EXPORTED
    if file.exists():
        raise ValueError(f"folder: expected a place without {EXPORTED}, got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    with renamed(file) as beside:
        # Copies, since tensors of one storage are refused.
        alone = {key: value.detach().clone() for key, value in saved.weights.items()}
        tensors.save_file({key: value.contiguous() for key, value in alone.items()}, beside)
    return file


def _candidates(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the checkpoints of a run, the last first, then from new to old."""
    found = [*folder.glob("checkpoints/*.ckpt"), *folder.glob(EXPORTED)]
    found.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    return sorted(found, key=lambda file: file.name != LAST)


def _first(name: str, files: Sequence[pathlib.Path]) -> Saved:
    broken: list[str] = []
    for file in files:
        try:
            content = _content(file)
        except ImportError:
            raise
        except Exception as error:  # whatever the bytes happen to mean to zip and pickle
            broken.append(f"{file.name} ({type(error).__name__})")
            continue
        if not isinstance(content, dict) or "state_dict" not in content:
            raise ValueError(f"{name}: expected a checkpoint of a run, got a foreign file {file}")
        if broken:
            warnings.warn(f"{', '.join(broken)}: corrupt; {file.name} is taken", stacklevel=4)
        return Saved(file, content["state_dict"], content.get(CONFIG), _best(content))
    raise ValueError(f"{name}: expected a checkpoint that can be read, got {', '.join(broken)}")


def _content(file: pathlib.Path) -> Any:
    if file.suffix == ".safetensors":
        return {"state_dict": _extra().load_file(file)}
    content = torch.load(file, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(file) as parts:  # torch does not look at the sums that it writes
        damaged = parts.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} does not have its sum")
    return content


def _extra() -> Any:
    if safetensors is None:
        raise ImportError("safetensors: expected to be installed: pip install sntorch[export]")
    return safetensors


def _best(content: Mapping[str, Any]) -> str | None:
    states = content.get("callbacks", {}).items()
    paths = [state.get("best_model_path") for key, state in states if "ModelCheckpoint" in key]
    names = [pathlib.Path(path).name for path in paths if path]
    return next((name for name in names if name != LAST), None)


def _model_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config["model"].items() if key not in _FREE}
