"""Checkpoints of others: the same network comes back, and what cannot come back is named."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from sntorch.dynamics import as_dynamics
from sntorch.training import read_recurrent


class Sequence(pl.LightningModule):
    """What a user might have."""

    def __init__(self, width, layers=1):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.LSTM(3, width, num_layers=layers)
        self.head = nn.Linear(width, 2)


class Pair(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.GRU(2, width), nn.RNNCell(width, width)


def step(part):
    f = as_dynamics(part.double())
    u = torch.linspace(-1, 1, f.size, dtype=torch.float64)
    return f.map(u, torch.linspace(0, 1, part.input_size, dtype=torch.float64))


def same(a, b):
    return torch.equal(step(a), step(b))


def lightning(path, model, **more):
    content = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)} | more
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "part",
    [
        nn.RNN(3, 5, num_layers=2), nn.GRU(3, 5, bias=False), nn.LSTM(3, 5, num_layers=3),
        nn.RNNCell(3, 5), nn.GRUCell(3, 5), nn.LSTMCell(3, 5, bias=False),
    ],
    ids=lambda part: type(part).__name__,
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "net.rec."])
def test_layers_and_cells_of_torch_are_told_by_their_weights(part, prefix, tmp_path):
    weights = {prefix + name: w for name, w in part.state_dict().items()}
    torch.save(weights | {"head.weight": torch.ones(2, 5)}, tmp_path / "x.pt")
    state = torch.get_rng_state()
    name, found = read_recurrent(tmp_path / "x.pt")
    assert torch.equal(torch.get_rng_state(), state)
    assert (name, type(found), found.training) == (prefix.rstrip("."), type(part), False)
    assert same(found, part)


def test_the_nonlinearity_of_an_rnn_must_be_said(tmp_path):
    part = nn.RNN(3, 5, nonlinearity="relu")
    torch.save({"model_state_dict": part.state_dict()}, tmp_path / "x.pt")
    assert not same(read_recurrent(tmp_path / "x.pt")[1], part)
    assert same(read_recurrent(tmp_path / "x.pt", nonlinearity="relu")[1], part)
    with pytest.raises(ValueError, match="nonlinearity: expected one of tanh, relu, got 'sin'"):
        read_recurrent(tmp_path / "x.pt", nonlinearity="sin")


def test_a_class_is_made_with_the_hyperparameters_of_its_checkpoint(tmp_path):
    model = Sequence(4, layers=2)
    path = lightning(tmp_path / "x.ckpt", model)
    name, found = read_recurrent(path, module=f"{__name__}.Sequence")
    assert name == "encoder"
    assert same(found, model.encoder)
    assert same(read_recurrent(path)[1], model.encoder)  # here the weights alone tell as much
    torch.save(model.state_dict(), path)
    arguments = {"width": 4, "layers": 2}
    found = read_recurrent(path, module=f"{__name__}.Sequence", arguments=arguments)[1]
    assert same(found, model.encoder)
    with pytest.raises(ValueError, match=r"arguments: expected those of Sequence; .*width"):
        read_recurrent(path, module=f"{__name__}.Sequence")
    with pytest.raises(ValueError, match=r"module: expected the class of these weights; .*encoder"):
        read_recurrent(path, module=f"{__name__}.Sequence", arguments={"width": 3})


def test_of_several_parts_one_must_be_named(tmp_path):
    pair = Pair(4)
    torch.save(pair.state_dict(), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"part: .*several: first, second"):
        read_recurrent(tmp_path / "x.pt")
    with pytest.raises(ValueError, match="part: expected one of first, second, got 'third'"):
        read_recurrent(tmp_path / "x.pt", part="third")
    assert same(read_recurrent(tmp_path / "x.pt", part="second")[1], pair.second)


def test_no_code_of_a_file_runs_unless_it_is_trusted(tmp_path):
    model = Pair(4)
    torch.save(model, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"path: expected a checkpoint of tensors .*got x\.pt"):
        read_recurrent(tmp_path / "x.pt")
    assert same(read_recurrent(tmp_path / "x.pt", part="first", trust=True)[1], model.first)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ({"w": torch.ones(2)}, {}, "path: expected weights of a recurrent layer .*got w"),
        ({"epoch": 3}, {}, "path: expected weights by name"),
        (nn.GRU(2, 3, bidirectional=True).state_dict(), {}, "part: .* bidirectional"),
        (nn.LSTM(2, 3, proj_size=1).state_dict(), {}, "part: .* projections"),
        ({"weight_hh": torch.ones(6, 3), "weight_ih": torch.ones(6, 1)}, {}, r"got \(6, 3\)"),
        ({}, {"module": "nowhere.Net"}, "module: expected package.Class, got 'nowhere.Net'"),
        ({}, {"module": "Net"}, "module: expected package.Class, got 'Net'"),
        ({}, {"module": "torch.ones"}, "module: expected a class of torch modules"),
    ],
)
def test_what_cannot_be_read_is_named(content, options, message, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=message):
        read_recurrent(tmp_path / "x.pt", **options)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="path: expected a checkpoint, got"):
        read_recurrent(tmp_path / "nothing")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match=r"path: expected a checkpoint.*got text"):
        read_recurrent(tmp_path / "text")
