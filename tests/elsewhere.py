"""Examples whose arguments lie on another device, as those of a user do who moves a network there.

An example's ``torch`` and ``snt`` are stand-ins here: what their factories make is moved at once,
while the library underneath makes its own tensors as always.
"""

import builtins
import types

import torch
from torch import Tensor, nn

__all__ = ["scope"]

_FACTORIES = {
    "arange", "as_tensor", "eye", "full", "linspace", "logspace", "ones", "rand", "randint",
    "randn", "tensor", "zeros",
}  # fmt: skip
_MODULES = {
    "GRU", "GRUCell", "LSTM", "LSTMCell", "Linear", "NetworkPotential", "NeuralPotential", "RNN",
    "RNNCell",
}  # fmt: skip
_ROOMS = ("sntorch.couplings.", "sntorch.systems.")


class Elsewhere(types.ModuleType):
    """A module, or a package in it, whose factories make things for a device."""

    def __init__(self, real, device):
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _device=device)

    def __getattr__(self, name):
        found = getattr(self._real, name)
        if isinstance(found, types.ModuleType):
            return Elsewhere(found, self._device)
        package = f"{self._real.__name__}."
        made = (package == "torch." and name in _FACTORIES) or name in _MODULES
        made = made or (package.startswith(_ROOMS) and not _plain_class(found))
        return self._moving(found) if made else found

    def _moving(self, factory):
        def make(*args, **kwargs):
            if "generator" in kwargs:
                kwargs.setdefault("device", self._device)
            value = factory(*args, **kwargs)
            return value.to(self._device) if isinstance(value, Tensor | nn.Module) else value

        return make


def _plain_class(found):
    return isinstance(found, type) and not issubclass(found, nn.Module)


def scope(names, device):
    """Return the names of a module for its examples, and what they import, for a device."""

    def fetch(name, *args, **kwargs):
        module = real(name, *args, **kwargs)
        return Elsewhere(module, device) if name in ("torch", "sntorch") else module

    real = builtins.__import__
    given = {**vars(builtins), "__import__": fetch}
    packages = {each.__name__.rpartition(".")[2]: Elsewhere(each, device) for each in (torch, nn)}
    return names | packages | {"__builtins__": given}
