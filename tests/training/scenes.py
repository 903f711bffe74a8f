"""What the tests of training share: a tiny task, tiny models, and a quiet trainer."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import sntorch as snt
from sntorch.training import FluxMonitor, LyapunovMonitor, SequenceModel, SpectrumMonitor
from sntorch.training.tasks import EpochSampler

H, IN, STEPS = 6, 2, 9


class TinyTask(pl.LightningDataModule):
    """48 sequences in 3 batches; the target is the sign of the sum of what was read."""

    def __init__(self):
        super().__init__()
        x = torch.randn(48, STEPS, IN, generator=torch.Generator())
        self.data = TensorDataset(x, (x.sum((1, 2)) > 0).long())

    def train_dataloader(self):
        owner: Any = self.trainer
        sampler = EpochSampler(48, 0, lambda: owner.current_epoch)
        return DataLoader(self.data, 16, sampler=sampler, generator=torch.Generator())

    def val_dataloader(self):
        return DataLoader(self.data, 16, generator=torch.Generator())

    test_dataloader = val_dataloader


def snt_model(noise=0.1, seed=0):
    torch.manual_seed(seed)
    J = snt.couplings.gaussian(H)
    cell = snt.SNTCell(J, gain=1.4, leak=0.3, noise=noise, input_size=IN)
    return SequenceModel(snt.SNT(cell, batch_first=True, output="rate"), 2)


def torch_model(kind, seed=0, **settings):
    torch.manual_seed(seed)
    return SequenceModel(getattr(nn, kind)(IN, H, **settings), 2)


def monitors(**settings):
    return [
        LyapunovMonitor(k=3, **settings),
        SpectrumMonitor(**settings),
        FluxMonitor(burn_in=20, steps=20, **settings),
    ]


def trainer(epochs=2, callbacks=(), logger: Any = False, seed=1, **settings):
    """Return a trainer whose run is a function of `seed`."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 1,
        "log_every_n_steps": 1,
    }
    options |= settings
    return pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), logger=logger, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])
