"""What a recurrent part read and where it started: the states on which a monitor looks.

A forward hook listens while a batch goes through the model; nothing is asked of the model but to
call its recurrent part, a layer once per sequence or a cell once per step.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from sntorch.callables import input_first
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.sequence import SNT
from sntorch.torchcells import TorchDynamics

__all__ = ["Listener", "Probe", "heard", "recurrent_part"]

_KINDS = (SNT, nn.RNNBase, nn.RNNCellBase, Dynamics)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """A dynamics with initial states and the sequences it read."""

    f: Dynamics
    u: Tensor
    """(R, N), states before the first step."""
    x: Tensor | None
    """(T, R, I), what was read; None if the part has no input."""
    steps: int
    """T, the length of the sequences."""


def recurrent_part(model: nn.Module, name: str | None = None) -> tuple[str, nn.Module]:
    """Return name and module of the recurrent part of a model.

    Without a name it is ``model.recurrent`` if there is one, else the only recurrent submodule.  A
    cell of one's own whose ``forward(input, hx)`` has the arguments of torch's must be named.

    Raises
    ------
    ValueError
        If there is no such part, or several to choose from.
    """
    if name is not None:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            raise ValueError(f"part: expected a submodule of the model, got {name!r}") from error
        if not (isinstance(part, _KINDS) or input_first(part)):
            got = type(part).__name__
            raise ValueError(f"part: expected a recurrent layer or cell at {name!r}, got {got}")
        return name, part
    if isinstance(getattr(model, "recurrent", None), _KINDS):
        return recurrent_part(model, "recurrent")
    found = _outermost(model)
    if not found:
        raise ValueError(
            "part: expected a model with one recurrent part, got none; a cell of your own, whose "
            "forward is (input, hx), needs its name"
        )
    if len(found) > 1:
        names = ", ".join(found)
        raise ValueError(f"part: expected a model with one recurrent part, got {names}; name it")
    return next(iter(found.items()))


class Listener:
    """Hears what a recurrent part is called with, for the first `rows` rows, until it is closed."""

    def __init__(self, part: nn.Module, rows: int) -> None:
        self.part, self.rows = part, rows
        self.calls: list[tuple[Any, Any]] = []
        self.handle = part.register_forward_pre_hook(self._hear, with_kwargs=True)

    def close(self) -> None:
        """Stop listening; what was heard stays."""
        self.handle.remove()

    def probe(self) -> Probe:
        """Return what was heard.

        Raises
        ------
        ValueError
            If the part was never called, or with something else than tensors.
        """
        if not self.calls:
            raise ValueError("part: expected the model to call its recurrent part, got no call")
        f = as_dynamics(self.part)
        layer = isinstance(self.part, SNT | nn.RNNBase)
        input, hx = self._layer_call() if layer else self._cell_calls()
        if hx is None and f.size < 0:
            raise ValueError("part: expected a first state, since the cell has no size; got None")
        if input is None:
            u = self._start(f, hx, torch.zeros(()), 1)
            return Probe(f=f, u=u, x=None, steps=len(self.calls))
        u = self._start(f, hx, input, input.shape[1])
        return Probe(f=f, u=u, x=input, steps=len(input))

    def _hear(self, part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = ("input", "h0" if isinstance(part, SNT) else "hx")
        if not isinstance(part, _KINDS):
            names = tuple(inspect.signature(part.forward).parameters)[:2]
        given = dict(zip(names, args, strict=False)) | kwargs
        # Later calls of a cell carry states that follow from the first.
        hx = None if self.calls else given.get(names[1])
        self.calls.append((_copy(given.get(names[0])), _copy(hx)))

    def _layer_call(self) -> tuple[Tensor | None, Any]:
        input, hx = self.calls[0]
        if not isinstance(input, Tensor) or input.ndim not in (2, 3):
            got = "a packed sequence" if isinstance(input, tuple) else type(input).__name__
            raise ValueError(f"part: expected sequences (T, B, I), got {got}")
        if input.ndim == 2:
            input = input.unsqueeze(1)
        elif self.part.batch_first:
            input = input.transpose(0, 1)
        rows = self.rows
        cut = (lambda h: h[:, :rows]) if isinstance(self.part, nn.RNNBase) else (lambda h: h[:rows])
        return input[:, :rows], _each(cut, hx)

    def _cell_calls(self) -> tuple[Tensor | None, Any]:
        inputs = [input for input, _ in self.calls]
        hx = _each(lambda h: torch.atleast_2d(h)[: self.rows], self.calls[0][1])
        if inputs[0] is None:
            return None, hx
        return torch.stack([torch.atleast_2d(input)[: self.rows] for input in inputs]), hx

    def _start(self, f: Dynamics, hx: Any, like: Tensor, rows: int) -> Tensor:
        if hx is None:
            return like.new_zeros(rows, f.size)
        return f.join(hx) if isinstance(f, TorchDynamics) else hx


def heard(model: nn.Module, part: nn.Module, x: Tensor, rows: int) -> Probe:
    """Return what a part of the model reads, and from where, when the model is called with x."""
    listener = Listener(part, rows)
    try:
        with torch.no_grad():
            model(x)
    finally:
        listener.close()
    return listener.probe()


def _outermost(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        path = f"{prefix}{name}"
        found |= {path: child} if isinstance(child, _KINDS) else _outermost(child, f"{path}.")
    return found


def _each(fn: Any, value: Any) -> Any:
    if value is None:
        return None
    return tuple(map(fn, value)) if isinstance(value, tuple) else fn(value)


def _copy(value: Any) -> Any:
    """Copy outside inference mode, so that derivatives can be taken at the copy."""
    with torch.inference_mode(False), torch.no_grad():
        return _each(lambda v: v.detach().clone() if isinstance(v, Tensor) else v, value)
