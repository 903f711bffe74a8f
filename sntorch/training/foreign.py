r"""The recurrent part of a checkpoint that was not written here.

A checkpoint is weights; what they belong to must be known from elsewhere:

* a **class**, given by its dotted name, is made with the hyper-parameters that Lightning keeps in
  the checkpoint (``save_hyperparameters``), changed by arguments given here, and takes the weights;
* without one the **names and shapes of the weights** tell a layer or cell of torch: ``weight_hh``
  of shape (gates H, H) is an RNN with one gate, a GRU with three, an LSTM with four.  Of an RNN
  they do not tell the nonlinearity: tanh, torch's default, unless given;
* a file that holds a **whole module** (``torch.save(model)``), or hyper-parameters that are no
  plain values, can only be read by running code of the file: on request alone.

Not covered are LSTMs with projections, bidirectional layers, which are no dynamics, and recurrent
parts of other libraries, unless they are a `Dynamics` or registered with `as_dynamics`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.training.probes import recurrent_part

__all__ = ["read_recurrent"]

_KEY = re.compile(r"(?P<prefix>(?:.*\.)?)weight_(?P<kind>ih|hh|hr)(?P<layer>_l\d+)?(?P<back>_\w+)?")
_LAYERS = {1: nn.RNN, 3: nn.GRU, 4: nn.LSTM}
_CELLS = {1: nn.RNNCell, 3: nn.GRUCell, 4: nn.LSTMCell}
_HOLDERS = ("state_dict", "model_state_dict", "model")


def read_recurrent(
    path: str | os.PathLike[str],
    *,
    module: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    part: str | None = None,
    nonlinearity: str = "tanh",
    trust: bool = False,
) -> tuple[str, nn.Module]:
    """Return name and module of the recurrent part of a checkpoint, on the CPU, not training.

    Random streams are left as found.

    Parameters
    ----------
    path
        A checkpoint of Lightning or a file of ``torch.save(model.state_dict())``.
    module
        Dotted name of the class whose weights they are; without it they must be those of a layer
        or cell of torch.
    arguments
        Arguments of the class, beside the hyper-parameters in the checkpoint.
    part
        Name of the recurrent submodule; by default ``recurrent``, or the only one there is.
    nonlinearity
        ``"tanh"`` or ``"relu"``: what the weights of an ``nn.RNN`` do not tell.
    trust
        Whether code of the file may run, as it must where the file holds more than tensors and
        plain values.

    Raises
    ------
    ValueError
        If the file cannot be read so, if the class does not take its weights, and if there is no
        recurrent part or several to choose from.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save(nn.GRU(3, 8).state_dict(), f"{folder}/gru.pt")
    ...     read_recurrent(f"{folder}/gru.pt")
    ('', GRU(3, 8))
    """
    place = pathlib.Path(path)
    if not place.is_file():
        raise ValueError(f"path: expected a checkpoint, got {place}")
    checks.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
    saved = _read(place, trust)
    with torch.random.fork_rng():
        if isinstance(saved, nn.Module):
            found = _named(saved, part)
        elif module is not None:
            found = _named(_made(_class(module), saved, dict(arguments or {})), part)
        else:
            found = _told(_weights(saved), part, nonlinearity)
    return found[0], found[1].eval()


def _read(place: pathlib.Path, trust: bool) -> Any:
    try:
        return torch.load(place, map_location="cpu", weights_only=not trust)
    except Exception as error:  # whatever the bytes happen to mean to zip and pickle
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        wanted = "a checkpoint" if trust else "a checkpoint of tensors and plain values, or trust"
        raise ValueError(f"path: expected {wanted}, got {place.name}: {reason}") from error


def _weights(saved: Any) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, wherever it keeps them."""
    candidates = [saved]
    if isinstance(saved, Mapping):
        candidates = [*(saved[key] for key in _HOLDERS if key in saved), saved]
    for found in candidates:
        if isinstance(found, Mapping) and found and all(map(torch.is_tensor, found.values())):
            return dict(found)
    raise ValueError("path: expected weights by name in the checkpoint, got none")


def _class(name: str) -> type[nn.Module]:
    room, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(room), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"module: expected package.Class, got {name!r}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise ValueError(f"module: expected a class of torch modules, got {name!r}")
    return found


def _made(kind: type[nn.Module], saved: Any, arguments: dict[str, Any]) -> nn.Module:
    kept = saved.get("hyper_parameters", {}) if isinstance(saved, Mapping) else {}
    accepted = inspect.signature(kind).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        kept = {name: value for name, value in kept.items() if name in accepted}
    try:
        model = kind(**{**kept, **arguments})
    except TypeError as error:
        raise ValueError(f"arguments: expected those of {kind.__name__}; {error}") from error
    if isinstance(model, pl.LightningModule):
        model.on_load_checkpoint(dict(saved))
    try:
        model.load_state_dict(_weights(saved))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"module: expected the class of these weights; {reason}") from error
    return model


def _named(model: nn.Module, part: str | None) -> tuple[str, nn.Module]:
    """Return the recurrent part, which may be the model itself."""
    if part is None and isinstance(model, nn.RNNBase | nn.RNNCellBase):
        return "", model
    return recurrent_part(model, part)


def _told(weights: dict[str, Tensor], part: str | None, phi: str) -> tuple[str, nn.Module]:
    """Return the layer or cell of torch that names and shapes of weights tell."""
    matches = [match for match in map(_KEY.fullmatch, weights) if match]
    found = {match["prefix"].rstrip("."): match for match in matches if match["kind"] == "hh"}
    if not found:
        raise ValueError(
            "path: expected weights of a recurrent layer of torch, weight_hh_l0 or weight_hh, or "
            f"a class to take them; got {', '.join(list(weights)[:8])}"
        )
    if part is not None and part not in found:
        raise ValueError(f"part: expected one of {', '.join(found)}, got {part!r}")
    if part is None and len(found) > 1:
        raise ValueError(f"part: expected the name of one, got several: {', '.join(found)}")
    name = next(iter(found)) if part is None else part
    prefix = found[name]["prefix"]
    own = {key[len(prefix) :]: w for key, w in weights.items() if key.startswith(prefix)}
    own = {key: w for key, w in own.items() if key.startswith(("weight_", "bias_"))}
    if any("_reverse" in key for key in own):
        raise ValueError(f"part: expected a causal layer, got a bidirectional one at {name!r}")
    if any(key.startswith("weight_hr") for key in own):
        raise ValueError(f"part: expected an LSTM without projections, got one at {name!r}")
    return name, _rebuilt(own, phi)


def _rebuilt(own: dict[str, Tensor], phi: str) -> nn.Module:
    layers = sum(key.startswith("weight_hh_l") for key in own)
    W_x, W_h = (own[f"weight_{kind}{'_l0' if layers else ''}"] for kind in ("ih", "hh"))
    gates = W_h.shape[0] // W_h.shape[1]
    if gates not in _LAYERS or W_h.shape[0] != gates * W_h.shape[1]:
        raise ValueError(f"path: expected weight_hh of (gates H, H), got {tuple(W_h.shape)}")
    options: dict[str, Any] = {"bias": any(key.startswith("bias_") for key in own)}
    options |= {"nonlinearity": phi} if gates == 1 else {}
    options |= {"num_layers": layers} if layers else {}
    kind = (_LAYERS if layers else _CELLS)[gates]
    layer = kind(W_x.shape[1], W_h.shape[1], dtype=W_h.dtype, **options)
    layer.load_state_dict(own)
    return layer
