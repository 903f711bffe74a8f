"""Questions asked once, at the public door: every wrong argument is named with what was expected.

All functions return what they checked, so that a door reads as one line per argument.  They raise
``ValueError("name: expected ..., got ...")`` and nothing else.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeGuard, TypeVar

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "count",
    "finite",
    "floating",
    "generator",
    "instance",
    "matrix",
    "number",
    "one_of",
    "positive",
    "recorded",
    "same_kind",
    "table",
]

Kind = TypeVar("Kind")


def count(name: str, value: Any, low: int = 1, high: int | None = None) -> int:
    """Return `value` as an int if it is a whole number in ``[low, high]``, of numpy too."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if whole and low <= int(value) and (high is None or int(value) <= high):
        return int(value)
    bound = f"{name} >= {low}" if high is None else f"{low} <= {name} <= {high}"
    raise ValueError(f"{name}: expected a whole number with {bound}, got {value!r}")


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float if it is finite and in ``[low, high]``."""
    if not _is_number(value) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a finite number in [{low}, {high}], got {value!r}")
    return float(value)


def positive(name: str, value: object) -> float:
    """Return `value` as a float if it is finite and larger than zero."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")
    return float(value)


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def instance(name: str, value: Kind, *kinds: type) -> Kind:
    """Return `value` if it is one of `kinds`, such as the record that another question returns."""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name}: expected {expected}, got {type(value).__name__}")
    return value


def floating(name: str, value: object, ndim: int = 0) -> Tensor:
    """Return `value` if it is a real floating tensor with `ndim` axes or more, none empty."""
    if isinstance(value, np.ndarray):
        raise ValueError(f"{name}: expected a torch.Tensor, as torch.from_numpy makes; got ndarray")
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise ValueError(f"{name}: expected a floating dtype, got {value.dtype}")
    if value.ndim < ndim or value.numel() == 0:
        axes = f"at least {ndim} {'axis' if ndim == 1 else 'axes'}, " if ndim else ""
        raise ValueError(f"{name}: expected {axes}none of them empty, got {tuple(value.shape)}")
    return value


def recorded(name: str, value: object, ndim: int = 2) -> Tensor:
    """Return a recording as a finite real floating tensor; it may be an array of numpy."""
    if isinstance(value, np.ndarray):
        if not np.issubdtype(value.dtype, np.floating):
            raise ValueError(f"{name}: expected a floating dtype, got {value.dtype}")
        value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    return finite(name, floating(name, value, ndim))


def finite(name: str, value: Tensor) -> Tensor:
    """Return `value` if no entry is NaN or infinite; otherwise name the first that is."""
    if math.isfinite(value.sum().item()):  # one pass; only finite numbers have a finite sum
        return value
    good = torch.isfinite(value)
    if not bool(good.all()):
        place = tuple(int(i) for i in (~good).nonzero()[0])
        raise ValueError(f"{name}: expected finite numbers, got {value[place].item()} at {place}")
    return value


def matrix(name: str, value: object, *, dense: bool = True) -> Tensor:
    """Return `value` if it is a floating matrix, finite if dense; other layouts only if told."""
    found = floating(name, value)
    if found.ndim != 2:
        raise ValueError(f"{name}: expected a matrix, got {tuple(found.shape)}")
    if found.layout == torch.strided:
        return finite(name, found)
    if dense:
        raise ValueError(f"{name}: expected a dense tensor, got layout {found.layout}")
    return found


def same_kind(name: str, value: Tensor, like: Tensor, of: str) -> Tensor:
    """Return `value` if its dtype and device are those of `like`, which the message calls `of`."""
    if value.dtype != like.dtype:
        raise ValueError(f"{name}: expected {like.dtype}, the dtype of {of}, got {value.dtype}")
    if value.device != like.device:
        raise ValueError(f"{name}: expected {like.device}, the device of {of}, got {value.device}")
    return value


def table(name: str, value: object, shape: tuple[int, ...], low: float = -math.inf) -> Tensor:
    """Return numbers >= `low` as a float64 tensor of `shape`; one number stands for a vector."""
    try:
        found = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name}: expected a table {shape} of numbers, got {value!r}") from None
    if found.ndim == 0 and len(shape) == 1:
        found = found.expand(shape)
    if found.shape != shape:
        raise ValueError(f"{name}: expected a table {shape}, got {tuple(found.shape)}")
    finite(name, found)
    if bool((found < low).any()):
        raise ValueError(f"{name}: expected numbers >= {low}, got {float(found.min())}")
    return found


def generator(value: object, device: torch.device | str | None) -> torch.Generator | None:
    """Return `value` if it is None or can fill tensors on `device`; None is torch's default."""
    if value is None:
        return None
    if not isinstance(value, torch.Generator):
        kind = type(value)
        found = (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        )
        raise ValueError(f"generator: expected a torch.Generator, got {found}")
    where = torch.get_default_device() if device is None else torch.device(device)
    if value.device.type != where.type:
        raise ValueError(f"generator: expected one on {where.type}, got {value.device.type}")
    return value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)  # numpy's too
