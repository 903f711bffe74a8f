"""The user's own functions ``u -> value`` or ``(u, x) -> value``, called with care."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["call", "called", "input_first", "positional", "unwrapped"]

_INPUTS = frozenset({"input", "inputs", "x", "x_t", "xt"})
_STATES = frozenset({"h", "h_t", "ht", "h_prev", "hx", "hidden", "hidden_state", "state"})


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
    try:
        parameters = _parameters(fn)
    except (TypeError, ValueError):  # some builtins have no signature
        return 1, 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    slots = [p for p in parameters if p.kind in kinds]
    fewest = sum(p.default is inspect.Parameter.empty for p in slots)
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return fewest, 2 if many else len(slots)


def input_first(fn: Callable[..., Any]) -> bool:
    """Tell by their names whether fn takes (input, state), as torch's cells do, not (u, x)."""
    try:
        names = [parameter.name for parameter in _parameters(fn)][:2]
    except (TypeError, ValueError):
        return False
    return len(names) == 2 and names[0] in _INPUTS and names[1] in _STATES


def called(fn: Callable[..., Any], size: int) -> str:
    """Return the name of fn and the size that it was given, for what a dynamics says of itself."""
    name = getattr(fn, "__name__", type(fn).__name__)
    return name if size < 0 else f"{name}, size={size}"


def unwrapped(module: nn.Module) -> nn.Module | None:
    """Return what ``torch.compile`` or a data-parallel wrapper holds, None if it is no wrapper."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return module.module
    return module._modules.get("_orig_mod")  # its class is known only once the compiler is loaded


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    target = fn.forward if isinstance(fn, nn.Module) else fn
    return list(inspect.signature(target).parameters.values())
