"""What the studies of learning share: tasks with a delay, and the networks that learn them."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.analysis import max_lyapunov, memory_capacity
from sntorch.cells import SNTCell
from sntorch.dynamics import as_dynamics
from sntorch.plasticity import PlasticSNTCell
from sntorch.sequence import SNT
from sntorch.studies.ensembles import seeded
from sntorch.training import CopyTask, DelayedXorTask, SequenceModel, Task, orthogonal_rnn

__all__ = ["LAYERS", "TASKS", "delayed", "exponent", "learner", "memory", "network", "reading"]

TASKS = ("delayed_xor", "copy")
LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
_SETTLE = 4  # the first quarter of a drive is left to the tangents


def delayed(task: str, delay: int, seed: int) -> Task:
    """Return a task of that name and delay, with its data."""
    checks.one_of("task", task, TASKS)
    made: Task = (
        CopyTask(delay=delay, length=2, batch_size=32, seed=seed)
        if task == "copy"
        else DelayedXorTask(delay=delay, steps=3 * delay, sequences=2048, batch_size=32, seed=seed)
    )
    made.setup("fit")
    return made


def network(
    kind: str,
    inputs: int,
    size: int,
    seed: int,
    *,
    gain: float = 1.0,
    read: float = 1.0,
    trained: bool = True,
) -> nn.Module:
    """Return an untrained network that is a function of its arguments alone.

    ``"snt"`` and ``"plastic"`` have Gaussian couplings, ``"orthogonal"`` is `orthogonal_rnn`, all
    at a gain; the others are torch's, with the distribution of torch's own initial weights.  What
    an SNT network reads arrives at a neuron with standard deviation `read` per input, and its
    thresholds scatter as much: without them it would be odd in what it reads.
    """
    draw = np.random.default_rng([seed, size])
    if kind in ("snt", "plastic"):
        J = torch.from_numpy(draw.standard_normal((size, size)) / size**0.5).float()
        threshold = torch.from_numpy(read * draw.standard_normal(size)).float()
        free = ("coupling", "input_weight", "threshold") if trained else ()
        cell = SNTCell(J, gain=gain, threshold=threshold, input_size=inputs, trainable=free)
        with torch.no_grad():
            W: Any = cell.input_weight
            W.copy_(torch.from_numpy(read * draw.standard_normal((size, inputs))))
        if kind == "plastic":
            return PlasticSNTCell(cell)
        return SNT(cell, batch_first=True, output="rate")
    if kind == "orthogonal":
        layer = orthogonal_rnn(inputs, size, gain=gain, batch_first=True, generator=seeded(seed))
    else:
        layer = LAYERS[kind](inputs, size, batch_first=True)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if kind != "orthogonal" or name != "weight_hh_l0":
                p.copy_(torch.from_numpy(draw.uniform(-1, 1, tuple(p.shape)) / size**0.5))
    return layer


def learner(recurrent: nn.Module, task: Task, lr: float) -> SequenceModel:
    """Return the network with a readout of zeros and an optimiser."""
    model = SequenceModel(
        recurrent,
        task.output_size,
        kind=task.kind,
        when=task.when,
        optimizer=functools.partial(torch.optim.Adam, lr=lr),
    )
    nn.init.zeros_(model.readout.weight)
    nn.init.zeros_(model.readout.bias)
    return model


def reading(task: Task, steps: int, rows: int) -> Tensor:
    """Return test sequences one after another, as one drive (T, R, I) of about `steps` steps."""
    x = task.parts["test"].tensors[0]
    each = max(1, min(-(-steps // x.shape[1]), len(x) // rows))
    return x[: each * rows].reshape(rows, each * x.shape[1], -1).transpose(0, 1)


def exponent(model: nn.Module, x: Tensor) -> Tensor:
    """Return the largest exponent of every row (R,) under x (T, R, I), nats per step."""
    f, skipped = as_dynamics(model), len(x) // _SETTLE
    u = x.new_zeros(x.shape[1], f.size)
    return max_lyapunov(f, u, len(x) - skipped, transient=skipped, x=x).exponents[..., 0]


def memory(recurrent: nn.Module, inputs: int, samples: int, delays: int) -> float:
    """Return the memory capacity in double precision, for numbers of variance 1."""
    draw = torch.Generator()
    f = as_dynamics(copy.deepcopy(recurrent).double())
    u = torch.zeros(f.size, dtype=torch.float64)
    way = torch.full((inputs,), inputs**-0.5, dtype=u.dtype)  # all inputs read the same number
    found = memory_capacity(
        f, u, samples, delays=delays, amplitude=3**0.5, direction=way, generator=draw
    )
    return float(found.total)
