"""Reservoir mode: the readout is the ridge solution, and the network is left alone."""

from typing import Any

import numpy as np
import pytest
import torch
from references import random_generator
from scenes import trainer
from torch import nn

import sntorch as snt
from sntorch.training import CopyTask, DelayedXorTask, FlipFlopTask, SequenceModel, fit_readout

SMALL: dict[str, Any] = {"sequences": 40, "held_out": 20, "batch_size": 16}


def reservoir(inputs, outputs, n=20, gain=0.9, **settings):
    torch.manual_seed(0)
    J = snt.couplings.gaussian(n, generator=random_generator(1))
    cell = snt.SNTCell(J, gain=gain, input_size=inputs, trainable=())
    return SequenceModel(snt.SNT(cell, batch_first=True, output="rate"), outputs, **settings)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_readout_solves_the_normal_equations(kind):
    if kind == "regression":
        task: Any = FlipFlopTask(steps=10, **SMALL)
    else:
        task = CopyTask(delay=2, length=2, **SMALL)
    model = reservoir(task.input_size, task.output_size, kind=kind, when="every")
    before = {name: value.clone() for name, value in model.recurrent.state_dict().items()}
    state = torch.get_rng_state()
    assert fit_readout(model, task, penalty=0.01) is model
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in model.recurrent.state_dict().items())
    x, y = task.parts["train"].tensors
    with torch.no_grad():
        r = model.recurrent(x)[0].flatten(0, 1).double().numpy()
    wanted = y.flatten(0, 1).numpy()
    if kind == "classification":
        r, wanted = r[wanted != -100], np.eye(4)[wanted[wanted != -100]]
    a = r - r.mean(0)
    expected = np.linalg.solve(
        a.T @ a + 0.01 * len(r) * np.eye(20), a.T @ (wanted - wanted.mean(0))
    ).T
    weight = model.readout.weight.detach().double().numpy()
    np.testing.assert_allclose(weight, expected, atol=1e-4)
    bias = model.readout.bias.detach().double().numpy()
    np.testing.assert_allclose(bias, wanted.mean(0) - expected @ r.mean(0), atol=1e-4)


def test_a_reservoir_recalls_what_a_network_without_recurrence_cannot():
    task = CopyTask(delay=2, length=2, sequences=400, held_out=100)
    scores = []
    for gain in (0.9, 0.001):
        model = fit_readout(reservoir(5, 4, n=60, gain=gain, when="every"), task)
        scores.append(trainer(1).test(model, task, verbose=False)[0]["test/accuracy"])
    assert scores[0] > 0.9
    assert scores[1] < 0.5


def test_wrong_arguments_are_named():
    task = DelayedXorTask(**SMALL)
    with pytest.raises(ValueError, match="penalty: expected"):
        fit_readout(reservoir(1, 2, when="every"), task, penalty=-1.0)
    with pytest.raises(ValueError, match="output_size: expected 2, that of DelayedXorTask, got 3"):
        fit_readout(reservoir(1, 3, when="every"), task)
    with pytest.raises(ValueError, match="input_size: expected 1"):
        fit_readout(SequenceModel(nn.GRU(2, 4), 2, when="every"), task)
