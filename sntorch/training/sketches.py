"""Pictures of a landscape that is being learned: before, after, and every few epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics
from sntorch.flows import Flow
from sntorch.landscape import Potential, PotentialMap, potential_map
from sntorch.landscape.maps import slice_map
from sntorch.landscape.metric import DiffusionField, map_noise
from sntorch.plot import figure
from sntorch.training.monitor import Onlooker, fields_of, tensorboards
from sntorch.training.walkers import Box

__all__ = ["Sketches", "sketched"]


class Sketches(Onlooker):
    """Keeps the landscape before and after training, and shows it on TensorBoard.

    Parameters
    ----------
    draw
        Returns the landscape by now, None where there is no plane to draw it on.
    every
        Epochs between two pictures; the first and the last are always drawn, 0 draws none.

    Raises
    ------
    ValueError
        On wrong arguments.
    """

    def __init__(self, draw: Callable[[], PotentialMap | None], every: int) -> None:
        super().__init__()
        self.draw, self.every = draw, checks.count("figures", every, low=0)

    def state_dict(self) -> dict[str, Any]:
        """Return the landscape before training."""
        return {"before": {name: fields_of(record) for name, record in self.before.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the landscape before the training that is taken up."""
        self.before = {k: PotentialMap(**fields) for k, fields in state_dict["before"].items()}

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, if it is time to."""
        if not self.every or trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch
        due = epoch % self.every == 0 or epoch + 1 == trainer.max_epochs
        if trainer.sanity_checking:
            due = trainer.global_step == 0  # a resumed run has its landscape before training
        if due:
            self._keep(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep how it looks at the end, also of a fit that stopped early."""
        if self.every and trainer.is_global_zero:
            self._keep(trainer, shown=False)

    def _keep(self, trainer: pl.Trainer, *, shown: bool = True) -> None:
        found = self.draw()
        if found is None:
            return
        record = found.map(torch.Tensor.cpu)
        self.after = {"landscape": record}
        self.before = self.before or self.after
        for board in tensorboards(trainer) if shown else ():
            board.experiment.add_figure("val/landscape", figure(record), trainer.global_step)


def sketched(
    f: Dynamics | Flow, V: Potential, u: Tensor, *, x: Tensor | None,
    diffusion: DiffusionField | None, box: Box | None, nats: bool,
) -> PotentialMap | None:  # fmt: skip
    """Return V on a plane, of a flow with its flux, None of a single neuron.

    `nats` says that V belongs to a density.
    """
    if u.shape[-1] == 1:
        return None
    if not nats:
        return slice_map(V, u, box=box)
    if isinstance(f, Flow):
        return potential_map(f, V, u, x=x, diffusion=diffusion, box=box)
    return slice_map(V, u, scale=map_noise(f, u)[1], box=box)
