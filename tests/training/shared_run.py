"""What the processes of `test_sharding` do: a training run in which they share the rows of J."""

import pathlib
import sys
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

import sntorch as snt
from sntorch.couplings import Sharded, Team
from sntorch.training import ExactResume, FlipFlopTask, LyapunovMonitor, RunRecorder, SequenceModel

N, CLIP = 9, 0.05


def train(coupling, folder, clip: float | None = CLIP):
    """Return the weights that all processes have alike, the rows of J here, and what was logged."""
    torch.default_generator.manual_seed(2)
    cell: Any = snt.SNTCell(
        coupling,
        gain=1.3,
        leak=0.2,
        noise=0.1,
        input_size=2,
        trainable=("coupling", "input_weight"),
    )
    layer = snt.SNT(cell, batch_first=True, output="rate")
    model: Any = SequenceModel(layer, 2, kind="regression", when="every")
    last = ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=1, gradient_clip_val=clip,
        callbacks=[LyapunovMonitor(k=2), RunRecorder("val/loss"), ExactResume(), last],
    )  # fmt: skip
    task = FlipFlopTask(bits=2, steps=8, sequences=48, held_out=20, batch_size=16, seed=3)
    trainer.fit(model, task)
    J: Any = cell.coupling.block.weight if isinstance(cell.coupling, Sharded) else cell.coupling
    alike = torch.cat(
        [cell.input_weight.flatten(), *(p.flatten() for p in model.readout.parameters())]
    )
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {"alike": alike.detach(), "J": J.detach(), "logged": logged}


def matrix():
    return snt.couplings.gaussian(N, generator=torch.Generator().manual_seed(5))


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = pathlib.Path(sys.argv[1])
    with Team(start=200.0) as team:
        share = team.rows(N)
        found = train(Sharded(matrix()[share], team), place / str(team.rank))
    torch.save(found, place / f"{team.rank}.pt")
