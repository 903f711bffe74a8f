"""Looking at a network without leaving a trace: gradients, modes, and streams of random numbers."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["observing"]


@contextlib.contextmanager
def observing(f: nn.Module, u: Tensor) -> Iterator[None]:
    """Look at f from states u and leave no trace: the context in which every analysis runs.

    No gradients are recorded, modules are in evaluation mode, and afterwards modes and torch's
    global generators are as they were.  Noise drawn inside without a generator therefore repeats
    from call to call until the user's own program draws from the global generator.  Leaves
    inference mode, in which reverse derivatives would be zero, for the time being.
    """
    cuda = [u.device] if u.is_cuda else []
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(cuda), _evaluating(f):
        yield


_LOCK = threading.Lock()
_MODES: weakref.WeakKeyDictionary[nn.Module, list[int]] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def _evaluating(f: nn.Module) -> Iterator[None]:
    """Keep f in evaluation mode until the last who looks at it, in whichever thread, has gone."""
    parts = list(f.modules())
    with _LOCK:
        for part in parts:
            _MODES.setdefault(part, [0, part.training])[0] += 1
            part.training = False
    try:
        yield
    finally:
        with _LOCK:
            for part in parts:
                _MODES[part][0] -= 1
                if not _MODES[part][0]:
                    part.training = bool(_MODES.pop(part)[1])
