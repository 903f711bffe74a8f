"""Torch's cells and layers as dynamics: torch's own numbers on torch's own parameters."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import sntorch as snt

I, H = 3, 5
# Torch's fused kernels sum in another order: a few units in the last place per step.
CLOSE: dict[torch.dtype, dict[str, Any]] = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-13},
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
}

both_dtypes = pytest.mark.parametrize("kind", [torch.float64, torch.float32], ids=str)
CELLS = [
    (nn.RNNCell, {}),
    (nn.RNNCell, {"nonlinearity": "relu"}),
    (nn.RNNCell, {"bias": False}),
    (nn.GRUCell, {}),
    (nn.GRUCell, {"bias": False}),
    (nn.LSTMCell, {}),
    (nn.LSTMCell, {"bias": False}),
]
LAYERS = [
    (nn.RNN, {}),
    (nn.RNN, {"num_layers": 2, "nonlinearity": "relu"}),
    (nn.RNN, {"num_layers": 3, "bias": False}),
    (nn.GRU, {}),
    (nn.GRU, {"num_layers": 3}),
    (nn.GRU, {"num_layers": 2, "bias": False}),
    (nn.LSTM, {}),
    (nn.LSTM, {"num_layers": 3}),
    (nn.LSTM, {"num_layers": 2, "bias": False}),
    (nn.LSTM, {"num_layers": 2, "batch_first": True}),
]


def named(pairs):
    return [
        pytest.param(kind, settings, id="-".join([kind.__name__, *map(str, settings.values())]))
        for kind, settings in pairs
    ]


def split(u, layers=1):
    """Return torch's states (L, B, H), one or two of them, from joined states (B, N)."""
    kinds = u.shape[-1] // (layers * H)
    states = u.reshape(len(u), kinds, layers, H).permute(1, 2, 0, 3)
    return states[0] if kinds == 1 else (states[0], states[1])


def join(states):
    """Return the joined states (B, N) of torch's states (L, B, H)."""
    states = torch.stack(states) if isinstance(states, tuple) else states.unsqueeze(0)
    return states.permute(2, 0, 1, 3).flatten(1)


@both_dtypes
@pytest.mark.parametrize(("kind_of_cell", "settings"), named(CELLS))
def test_cells_are_torchs(kind_of_cell, settings, kind):
    cell = kind_of_cell(I, H, **settings).to(kind)
    f = snt.as_dynamics(cell)
    u, x = torch.randn(4, f.size, dtype=kind), torch.randn(4, I, dtype=kind)
    state = split(u)
    single = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
    for drive, given in ((x, x), (None, torch.zeros_like(x))):
        after = cell(given, single)
        after = after if isinstance(after, tuple) else (after,)
        assert_close(f.map(u, drive), torch.cat(after, -1), **CLOSE[kind])


@both_dtypes
@pytest.mark.parametrize(("kind_of_layer", "settings"), named(LAYERS))
def test_layers_are_torchs(kind_of_layer, settings, kind):
    layer = kind_of_layer(I, H, **settings).to(kind)
    layers = settings.get("num_layers", 1)
    f = snt.as_dynamics(layer)
    u, x = torch.randn(4, f.size, dtype=kind), torch.randn(6, 4, I, dtype=kind)
    orbit = snt.rollout(f, u, 6, x=x)
    given = x.transpose(0, 1) if layer.batch_first else x
    hx = split(u, layers)
    hx = tuple(h.contiguous() for h in hx) if isinstance(hx, tuple) else hx.contiguous()
    output, last = layer(given, hx)
    output = output.transpose(0, 1) if layer.batch_first else output
    assert_close(orbit[-1], join(last), **CLOSE[kind])
    top = slice((layers - 1) * H, layers * H)
    assert_close(orbit[..., top], output, **CLOSE[kind])


@pytest.mark.parametrize(("kind_of_layer", "settings"), named([*CELLS, *LAYERS]))
def test_size_counts_layers_and_kinds_of_state(kind_of_layer, settings):
    f = snt.as_dynamics(kind_of_layer(I, H, **settings))
    kinds = 2 if "LSTM" in kind_of_layer.__name__ else 1
    assert f.size == H * settings.get("num_layers", 1) * kinds


@pytest.mark.parametrize("rows", [(), (4,)], ids=["single", "batch"])
@pytest.mark.parametrize(("kind_of_layer", "settings"), named([*CELLS, *LAYERS]))
def test_join_takes_torchs_states(kind_of_layer, settings, rows):
    source = kind_of_layer(I, H, **settings)
    f = snt.TorchDynamics(source)
    layer_axis = (settings.get("num_layers", 1),) if isinstance(source, nn.RNNBase) else ()
    states = tuple(torch.randn(*layer_axis, *rows, H) for _ in range(f.joined))
    x = torch.randn(*rows, I)
    hx = states if len(states) == 2 else states[0]
    if isinstance(source, nn.RNNBase):
        time = 1 if rows and source.batch_first else 0
        after = source(x.unsqueeze(time), hx)[1]
    else:
        after = source(x, hx)
    assert_close(f.map(f.join(hx), x), f.join(after), **CLOSE[torch.float32])


@pytest.mark.parametrize(("kind_of_layer", "settings"), named([*CELLS, *LAYERS]))
def test_parameters_are_shared(kind_of_layer, settings):
    layer = kind_of_layer(I, H, **settings)
    f = snt.as_dynamics(layer)
    assert isinstance(f, snt.TorchDynamics)
    assert f.source is layer
    assert {id(p) for p in f.parameters()} == {id(p) for p in layer.parameters()}
    f.map(torch.randn(f.size), torch.randn(I)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("kind_of_layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_gradients_through_time_are_torchs(kind_of_layer):
    layer = kind_of_layer(I, H, num_layers=2).double()
    x, weight = torch.randn(5, 2, I).double(), torch.randn(5, 2, H).double()
    f = snt.as_dynamics(layer)
    orbit = snt.rollout(f, torch.zeros(2, f.size).double(), 5, x=x)
    found = torch.autograd.grad((orbit[..., H : 2 * H] * weight).sum(), layer.parameters())  # pyright: ignore
    expected = torch.autograd.grad((layer(x)[0] * weight).sum(), layer.parameters())  # pyright: ignore
    assert_close(found, expected, **CLOSE[torch.float64])


@pytest.mark.parametrize("driven", [True, False])
@pytest.mark.parametrize(("kind_of_layer", "settings"), named([*CELLS, *LAYERS]))
def test_closed_tangents_are_those_of_forward_mode(kind_of_layer, settings, driven):
    f = snt.as_dynamics(kind_of_layer(I, H, **settings).double())
    u, V = torch.randn(2, 3, f.size).double(), torch.randn(2, 3, f.size, 4).double()
    x = torch.randn(2, 3, I).double() if driven else None
    assert_close(f.jvp(u, V, x), snt.Dynamics.jvp(f, u, V, x), **CLOSE[torch.float64])


@pytest.mark.parametrize("driven", [True, False])
@pytest.mark.parametrize(("kind_of_layer", "settings"), named([*CELLS, *LAYERS]))
def test_closed_pullbacks_are_those_of_reverse_mode(kind_of_layer, settings, driven):
    f = snt.as_dynamics(kind_of_layer(I, H, **settings).double())
    u, W = torch.randn(2, 3, f.size).double(), torch.randn(2, 3, f.size, 4).double()
    x = torch.randn(2, 3, I).double() if driven else None
    value, pull = f.pullback(u, x)
    for columns in (W, W[..., :1]):
        expected = f._recorded(u, x)[1](columns)
        assert_close((value, pull(columns)), (f.map(u, x), expected), **CLOSE[torch.float64])


def test_dropout_is_left_out():
    layer = nn.GRU(I, H, num_layers=2, dropout=0.9)
    f, u = snt.as_dynamics(layer), torch.randn(4, 2 * H)
    assert layer.training
    assert torch.equal(f.map(u), f.map(u))
    _, last = layer.eval()(torch.zeros(1, 4, I), split(u, 2).contiguous())  # pyright: ignore
    assert_close(f.map(u), join(last), **CLOSE[torch.float32])


def test_noise_and_time_step_are_the_users():
    f = snt.as_dynamics(nn.RNNCell(I, H), noise=0.3, dt=0.1, size=H)
    assert (f.noise, f.dt, f.size) == (0.3, 0.1, H)


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (
            nn.RNN(I, H, bidirectional=True),
            {},
            "f: expected a causal layer, got a bidirectional one",
        ),
        (
            nn.LSTM(I, H, proj_size=2),
            {},
            "f: expected an LSTM without projections, got proj_size=2",
        ),
        (nn.GRUCell(I, H), {"dt": -1.0}, "dt: expected a finite number"),
        (nn.GRUCell(I, H), {"size": H + 1}, f"size: expected {H}"),
        (
            nn.RNNCellBase(I, H, True, 1),
            {},
            "f: expected a torch RNN, GRU or LSTM, got RNNCellBase",
        ),
    ],
)
def test_the_door_names_what_is_wrong(source, settings, message):
    with pytest.raises(ValueError, match=message):
        snt.as_dynamics(source, **settings)


@pytest.mark.parametrize(
    ("u", "x", "message"),
    [
        (
            torch.zeros(H),
            torch.zeros(I),
            rf"u: expected {2 * H} on the last axis, got \({H},\)",
        ),
        (torch.zeros(2 * H).double(), torch.zeros(I), "u: expected torch.float32"),
        (
            torch.zeros(2 * H),
            torch.zeros(I + 1),
            rf"x: expected {I} on the last axis, got \({I + 1},\)",
        ),
        (torch.zeros(2 * H), torch.zeros(()), f"x: expected {I} on the last axis"),
    ],
)
def test_map_names_what_is_wrong(u, x, message):
    with pytest.raises(ValueError, match=message):
        snt.as_dynamics(nn.LSTMCell(I, H)).map(u, x)


def test_states_that_are_not_joined_are_told_how():
    gru, lstm = nn.GRU(I, H, num_layers=2), nn.LSTM(I, H)
    with pytest.raises(
        ValueError, match=r"u: expected 10 .*, got \(4, 5\); a state is h of 2 layers of 5, joined"
    ):
        snt.rollout(gru, torch.zeros(4, H), 3)
    with pytest.raises(ValueError, match=r"u: expected 5 on the last axis, got \(4, 6\)"):
        snt.rollout(nn.GRU(I, H), torch.zeros(4, 6), 3)
    hidden = lstm(torch.zeros(2, 4, I))[1]
    with pytest.raises(
        ValueError, match=r"u: expected .*, as as_dynamics\(f\).join makes; got a tuple"
    ):
        snt.rollout(lstm, hidden, 3)
    f = snt.as_dynamics(lstm)
    assert isinstance(f, snt.TorchDynamics)
    assert snt.rollout(lstm, f.join(hidden), 3).shape == (3, 4, 2 * H)
