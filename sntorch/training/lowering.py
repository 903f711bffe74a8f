"""Gradient steps without a trainer: a loss of drawn states is lowered, and that is all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["lower"]

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
    for i in range(steps):
        with torch.inference_mode(False), torch.enable_grad():
            grads = torch.autograd.grad(loss(), trained, allow_unused=True)
        for p, grad in zip(trained, grads, strict=True):
            p.grad = grad
        torch.nn.utils.clip_grad_norm_(trained, _CLIP)
        optimizer.step()
        schedule.step()
        yield i
    for p in trained:
        p.grad = None
