"""Training where processes share the rows of J: each must see the same data and clip alike.

In a `Team` every process trains a model of its own with the same seed, on one device, in a folder
of its own; only the couplings `Sharded` are not the same in all of them.
"""

from __future__ import annotations

from torch import Tensor, nn

from sntorch.couplings import Sharded

__all__ = ["clip_norm", "one_share", "shared_parts"]


def shared_parts(model: nn.Module) -> list[Sharded]:
    """Return the couplings of which this process holds some rows."""
    return [part for part in model.modules() if isinstance(part, Sharded)]


def one_share(model: nn.Module, processes: int) -> None:
    """Refuse a trainer that shares out the data among processes that share the rows of J.

    Raises
    ------
    ValueError
        If there are such rows, and more than one process.
    """
    if processes > 1 and shared_parts(model):
        raise ValueError(
            "trainer.devices: expected 1 and no strategy, since the processes of the team share "
            f"the rows of the couplings; got {processes} processes"
        )


def clip_norm(model: nn.Module, largest: float) -> Tensor:
    """Scale gradients so that their norm, over the rows of all processes, is at most `largest`.

    Returns the norm before, the same in every process; all of them must call.
    """
    parts = shared_parts(model)
    held = {id(p) for part in parts for p in part.parameters()}
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    alike = [p.grad for p in model.parameters() if p.grad is not None and id(p) not in held]
    total = sum((g.square().sum() for g in alike), gradients[0].new_zeros(()))
    for part in parts:
        here = [p.grad.square().sum() for p in part.parameters() if p.grad is not None]
        total = total + part.team.sum(sum(here, total.new_zeros(())))
    norm = total.sqrt()
    for gradient in gradients:
        gradient.mul_((largest / (norm + 1e-6)).clamp(max=1.0))
    return norm
