import functools

import pytest
import torch
from torch import nn

import sntorch as snt
from sntorch.training import SequenceModel

H, IN, OUT = 6, 3, 4


def snt_cell(**settings):
    J = snt.couplings.gaussian(H, dtype=torch.float32)
    return snt.SNTCell(J, gain=1.3, leak=0.2, input_size=IN, **settings)


RECURRENT = {
    "snt": lambda: snt.SNT(snt_cell()),
    "snt batch first": lambda: snt.SNT(snt_cell(), batch_first=True, output="rate"),
    "snt cell": snt_cell,
    "rnn": lambda: nn.RNN(IN, H),
    "gru batch first": lambda: nn.GRU(IN, H, batch_first=True),
    "gru two layers": lambda: nn.GRU(IN, H, num_layers=2),
    "lstm": lambda: nn.LSTM(IN, H),
    "lstm projected": lambda: nn.LSTM(IN, H, proj_size=2),
    "bidirectional": lambda: nn.GRU(IN, H, bidirectional=True),
    "rnn cell": lambda: nn.RNNCell(IN, H),
    "lstm cell": lambda: nn.LSTMCell(IN, H),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", RECURRENT)
def test_any_recurrent_part_gives_a_readout_per_sequence_and_per_step(name):
    x = torch.randn(5, 7, IN)
    for when, shape in (("last", (5, OUT)), ("every", (5, 7, OUT))):
        model = SequenceModel(RECURRENT[name](), OUT, when=when)
        assert model(x).shape == shape


def test_a_layer_and_its_cell_read_the_same():
    cell = snt_cell()
    layer = snt.SNT(cell, batch_first=True, output="rate")
    models = [SequenceModel(part, OUT) for part in (layer, cell)]
    models[1].readout = models[0].readout
    x = torch.randn(5, 7, IN)
    torch.testing.assert_close(models[0](x), models[1](x))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_batch_first_or_not_is_the_same_network(kind):
    layers = [getattr(nn, kind)(IN, H, batch_first=first) for first in (True, False)]
    layers[1].load_state_dict(layers[0].state_dict())
    models = [SequenceModel(layer, OUT) for layer in layers]
    models[1].readout = models[0].readout
    x = torch.randn(5, 7, IN)
    torch.testing.assert_close(models[0](x), models[1](x))


def test_loss_is_cross_entropy_or_mean_squared_error():
    x = torch.randn(5, 7, IN)
    classify, regress = (
        SequenceModel(nn.GRU(IN, H, batch_first=True), OUT, kind=kind)
        for kind in ("classification", "regression")
    )
    y = torch.randint(OUT, (5,))
    expected = -classify(x).log_softmax(-1)[torch.arange(5), y].mean()
    torch.testing.assert_close(classify._loss(classify(x), y), expected)
    z = torch.randn(5, OUT)
    torch.testing.assert_close(regress._loss(regress(x), z), ((regress(x) - z) ** 2).mean())


@pytest.mark.parametrize(
    ("kind", "when", "y", "message"),
    [
        ("classification", "last", torch.tensor([0, OUT]), "y: expected classes 0 to .*, got 4"),
        ("classification", "last", torch.tensor([-1, 0]), "y: expected classes 0 to .*, got -1"),
        ("classification", "every", torch.tensor([0, 1]), r"y: expected \(2, 7\), got \(2,\)"),
        ("regression", "last", torch.ones(2), r"y: expected \(2, 4\), got \(2,\)"),
    ],
)
def test_targets_that_do_not_fit_are_named(kind, when, y, message):
    model = SequenceModel(nn.GRU(IN, H, batch_first=True), OUT, kind=kind, when=when)
    with pytest.raises(ValueError, match=message):
        model.training_step((torch.randn(2, 7, IN), y), 0)


def test_optimizer_sees_the_trainable_parameters_only():
    cell = snt_cell(trainable=("input_weight",))
    model = SequenceModel(snt.SNT(cell), OUT)
    model.readout.bias.requires_grad_(False)
    optimizer = model.configure_optimizers()
    kept = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert kept == {id(cell.input_weight), id(model.readout.weight)}


def test_scheduler_is_made_from_the_optimizer():
    model = SequenceModel(
        nn.GRU(IN, H),
        OUT,
        optimizer=functools.partial(torch.optim.SGD, lr=0.5),
        scheduler=functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1),
    )
    (optimizer,), (schedule,) = model.configure_optimizers()
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert schedule["scheduler"].optimizer is optimizer
    assert schedule["interval"] == "epoch"


def test_a_model_is_a_dynamics():
    model = SequenceModel(nn.GRU(IN, H), OUT)
    assert snt.as_dynamics(model).size == H


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequenceModel(nn.Linear(3, 3), OUT), "recurrent: expected .* got Linear"),
        (lambda: SequenceModel(nn.GRU(IN, H), 0), "output_size: expected"),
        (lambda: SequenceModel(nn.GRU(IN, H), OUT, kind="rank"), "kind: expected"),
        (lambda: SequenceModel(nn.GRU(IN, H), OUT, when="first"), "when: expected"),
        (lambda: SequenceModel(nn.GRU(IN, H), OUT)(torch.randn(7, IN)), r"x: expected \(B, T, I\)"),
        (lambda: SequenceModel(snt.as_dynamics(torch.tanh), OUT), "recurrent: expected .* size"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
