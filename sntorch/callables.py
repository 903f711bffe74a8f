"""The user's own functions ``u -> value`` or ``(u, x) -> value``, called with care."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["call", "positional"]


def call(
    name: str, fn: Callable[..., Any], arguments: tuple[int, int], u: Tensor, x: Tensor | None
) -> Tensor:
    """Return fn(u) or fn(u, x), checked to have the shape of u; `arguments` is `positional(fn)`.

    Raises
    ------
    ValueError
        If fn cannot take x, or cannot do without, and if it returns anything else; it is `name`.
    """
    fewest, most = arguments
    if x is None and fewest > 1:
        raise ValueError("x: expected a drive, since the function takes (u, x); got None")
    if x is not None and most < 2:
        raise ValueError("x: expected None, since the function takes u alone; got a drive")
    value = fn(u) if x is None else fn(u, x)
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: expected a Tensor like u, got {type(value).__name__}")
    if value.shape != u.shape:
        expected, got = tuple(u.shape), tuple(value.shape)
        raise ValueError(f"{name}: expected the shape of u, {expected}, got {got}")
    return value


def positional(fn: Callable[..., Any]) -> tuple[int, int]:
    """Return the least and largest number of positional arguments that fn takes, at most 2."""
    target = fn.forward if isinstance(fn, nn.Module) else fn
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return 1, 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    slots = [p for p in parameters if p.kind in kinds]
    fewest = sum(p.default is inspect.Parameter.empty for p in slots)
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return fewest, 2 if many else len(slots)
