"""What a run writes where lines stay, and where they do not."""

import re
import sys

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sntorch.training.progress import EpochLines, calm


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch):
        loss = self.layer(batch[0]).square().mean()
        self.log("loss", loss, prog_bar=True)
        self.log("hidden", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


QUIET = {
    "logger": False, "enable_checkpointing": False, "enable_model_summary": False,
    "accelerator": "cpu",
}  # fmt: skip
DATA = DataLoader(TensorDataset(torch.ones(4, 2)), 2)


def trained(**settings):
    trainer = pl.Trainer(**QUIET | settings)  # pyright: ignore[reportArgumentType]
    calm(trainer)
    trainer.fit(Model(), DATA)
    return trainer


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(("epochs", "whole"), [(2, "/2"), (-1, "")])
def test_each_epoch_writes_a_line(epochs, whole, capsys):
    trained(max_epochs=epochs, max_steps=4)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"epoch 1{whole}, \d+ s: loss [\d.e-]+", first)
    assert second.startswith(f"epoch 2{whole}, ")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_nothing_is_written_where_nothing_is_wanted(capsys):
    trained(max_epochs=1, enable_progress_bar=False)
    lines = EpochLines()
    lines.disable()
    trained(max_epochs=1, callbacks=[lines])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_keeps_its_bar(terminal, monkeypatch):
    trainer = pl.Trainer(**QUIET)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    calm(trainer)
    expected = TQDMProgressBar if terminal else EpochLines
    assert type(trainer.progress_bar_callback) is expected
