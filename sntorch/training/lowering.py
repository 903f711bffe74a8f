"""Gradient steps without a trainer: a loss of drawn states is lowered, and that is all."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

__all__ = ["Best", "lower"]

_CLIP = 5.0  # norm of the gradient


def lower(
    loss: Callable[[], Tensor], parameters: Iterable[Tensor], steps: int, lr: float
) -> Iterator[int]:
    """Yield after each of `steps` steps of Adam, whose rate falls to 0 like a cosine.

    The loss draws its own states.  Gradients are recorded whatever the surroundings, and clipped to
    the norm 5; what asks for no gradient is left alone, and nothing else gets one.
    """
    trained = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    try:
        for i in range(steps):
            with torch.inference_mode(False), torch.enable_grad():
                grads = torch.autograd.grad(loss(), trained, allow_unused=True)
            for p, grad in zip(trained, grads, strict=True):
                p.grad = grad
            torch.nn.utils.clip_grad_norm_(trained, _CLIP)
            optimizer.step()
            schedule.step()
            yield i
    finally:  # also where whoever asked has stopped early
        for p in trained:
            p.grad = None


class Best:
    """Remembers a module at the lowest value of a loss, looked at now and then.

    Parameters
    ----------
    module
        What is trained.
    look
        Returns the value by now; the first look is at once.
    patience
        Looks without a lower value, after which the best has passed.

    Examples
    --------
    >>> layer, values = nn.Linear(1, 1), iter([2.0, 1.0, 3.0, 4.0])
    >>> best = Best(layer, lambda: next(values), patience=2)
    >>> [best.passed() for _ in range(3)]
    [False, False, True]
    """

    def __init__(self, module: nn.Module, look: Callable[[], float], patience: int) -> None:
        self.module, self.look, self.patience = module, look, patience
        self.lowest, self.waited = math.inf, 0
        self.state = module.state_dict()
        self.passed()

    def passed(self) -> bool:
        """Look, and tell whether it has not become better for too long."""
        value = self.look()
        self.waited += 1
        if value < self.lowest:
            self.lowest, self.waited = value, 0
            self.state = copy.deepcopy(self.module.state_dict())
        return self.waited >= self.patience

    def restore(self) -> None:
        """Give the module what it was at its best."""
        self.module.load_state_dict(self.state)
