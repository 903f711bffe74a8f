"""A module that makes its own batches: the states of walkers, which go on with its checkpoints."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from sntorch.training.batches import loader
from sntorch.training.flocks import Flocks

__all__ = ["Walking"]

_TESTS = 16  # batches of the test after training, between which the test walkers move on


class Walking(pl.LightningModule):
    """Batches from two flocks of walkers; a subclass sets the fields, and learns from them."""

    flocks: Flocks
    batch_size: int
    batches: int
    x: Tensor | None

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return the batches of an epoch."""
        return loader(self.batches, lambda: self.flocks.batch(self.batch_size))

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return one batch, the states of all test walkers."""
        return loader(1, lambda: self.flocks.test.states)

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Return several batches, the states of all test walkers as they move on."""
        return loader(_TESTS, self.flocks.moved)

    def on_validation_start(self) -> None:
        """Have walkers, also where nothing is trained."""
        self._ready()

    def on_test_start(self) -> None:
        """Have walkers, also where nothing is trained."""
        self._ready()

    def on_train_epoch_start(self) -> None:
        """Move the walkers on, once per epoch."""
        self.flocks.advance(self.current_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the walkers."""
        checkpoint["walkers"] = self.flocks.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the walkers until they are needed."""
        self.flocks.saved = checkpoint.get("walkers")

    def _ready(self) -> None:
        self.flocks.ready(next(self.parameters()), self.x)
