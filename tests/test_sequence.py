"""The SNT layer against torch's own RNN and the written-out loop."""

import pytest
import torch
from references import random_generator, snt_cell, snt_step, twins
from torch import nn
from torch.testing import assert_close

import sntorch as snt

TRAINABLE = ("coupling", "input_weight", "gain", "threshold")


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("rows", [(), (2,)], ids=["single", "batch"])
@pytest.mark.parametrize("start", [False, True], ids=["zeros", "h0"])
def test_layer_is_torchs_in_other_variables(batch_first, rows, start, dtype, tolerance):
    rnn, _, cell = twins(dtype)
    rnn.batch_first = batch_first
    layer = snt.SNT(cell, batch_first=batch_first, output="rate")
    x, u = randn(6, *rows, 3, dtype=dtype), randn(*rows, 4, dtype=dtype) if start else None
    x = x.transpose(0, 1) if batch_first and rows else x
    expected, h = rnn(x, None if u is None else torch.tanh(u).unsqueeze(0))
    output, u_T = layer(x) if u is None else layer(x, u)
    assert_close(output, expected, **tolerance)
    assert_close(torch.tanh(u_T), h[0], **tolerance)


def test_gradients_are_torchs(dtype, tolerance):
    rnn, _, cell = twins(dtype)
    x, weight = randn(6, 2, 3, dtype=dtype), randn(6, 2, 4, dtype=dtype)
    ours = (snt.SNT(cell, output="rate")(x)[0] * weight).sum()
    theirs = (rnn(x)[0] * weight).sum()
    found = torch.autograd.grad(ours, list(cell.parameters()))
    W, J, *_ = torch.autograd.grad(theirs, list(rnn.parameters()))
    assert [name for name, _ in cell.named_parameters()] == ["coupling", "input_weight"]
    assert_close(found, (J, W), **tolerance)


@pytest.mark.parametrize("batch_first", [False, True])
def test_layer_shapes(batch_first):
    cell = snt_cell(torch.float64, input_size=3, leak=0.5)
    layer, x = snt.SNT(cell, batch_first=batch_first), randn(6, 2, 3)
    output, h = layer(x.transpose(0, 1) if batch_first else x)
    output = output.transpose(0, 1) if batch_first else output
    assert (output.shape, h.shape) == ((6, 2, 4), (2, 4))
    assert torch.equal(output[-1], h)
    assert_close(output, snt.rollout(cell, torch.zeros(2, 4, dtype=torch.float64), 6, x=x))
    assert (layer.input_size, layer.hidden_size, cell.hidden_size) == (3, 4, 4)


def test_layer_without_a_batch():
    layer = snt.SNT(snt_cell(torch.float64, input_size=3), batch_first=True)
    x, u = randn(6, 3), randn(4)
    output, h = layer(x, u)
    assert (output.shape, h.shape) == ((6, 4), (4,))
    assert torch.equal(output[-1], h)
    assert_close(output, layer(x.unsqueeze(0), u.unsqueeze(0))[0][0])


def test_layer_continues_from_its_last_state():
    layer, x = snt.SNT(snt_cell(torch.float64, input_size=3, leak=0.5)), randn(7, 2, 3)
    output, h = layer(x)
    first, middle = layer(x[:3])
    second, last = layer(x[3:], middle)
    assert_close(torch.cat([first, second]), output)
    assert_close(last, h)


def test_layer_output_is_state_or_rate():
    cell, x = snt_cell(torch.float64, input_size=3, gain=0.6), randn(5, 3)
    states, h = snt.SNT(cell)(x)
    rates, same = snt.SNT(cell, output="rate")(x)
    assert_close(rates, torch.tanh(0.6 * states))
    assert torch.equal(h, same)


def test_layer_draws_its_noise_from_the_cell():
    cell, x = snt_cell(torch.float64, input_size=3, noise=0.4), randn(5, 2, 3)
    cell.generator, before = random_generator(9), torch.get_rng_state()
    output, _ = snt.SNT(cell)(x)
    u = torch.zeros(2, 4, dtype=torch.float64)
    assert_close(output, snt.rollout(cell, u, 5, x=x, generator=random_generator(9)))
    assert torch.equal(before, torch.get_rng_state())


def test_layer_keeps_its_precision_under_autocast():
    layer = snt.SNT(snt.SNTCell(snt.couplings.gaussian(5), input_size=2))
    x, h0 = torch.randn(6, 3, 2), torch.randn(3, layer.hidden_size)
    expected = layer(x, h0)[0]
    (gradient,) = torch.autograd.grad(expected.square().sum(), layer.cell.coupling)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x, h0)[0]
        # what comes from a layer below is in reduced precision
        below = layer(x.bfloat16())[0]
    assert torch.equal(found, expected)
    assert torch.equal(torch.autograd.grad(found.square().sum(), layer.cell.coupling)[0], gradient)
    assert below.dtype == torch.float32


def test_backpropagation_through_time_is_that_of_the_loop():
    cell = snt_cell(torch.float64, gain=(0.5, 1.5), leak=0.4, threshold=(0.1, 0.3), input_size=3,
                    trainable=TRAINABLE)  # fmt: skip
    x, u = randn(5, 3).requires_grad_(), randn(4).requires_grad_()
    weight, leaves = randn(5, 4), [x, u, *cell.parameters()]
    output, _ = snt.SNT(cell)(x, u)
    orbit = [u]
    for drive in x:
        orbit.append(snt_step(orbit[-1], drive, cell.coupling, cell.input_weight,
                              gain=cell.gain, leak=0.4, threshold=cell.threshold))  # fmt: skip
    expected = torch.autograd.grad((torch.stack(orbit[1:]) * weight).sum(), leaves)
    assert_close(torch.autograd.grad((output * weight).sum(), leaves), expected)


@pytest.mark.parametrize(
    ("input", "h0", "message"),
    [
        (torch.zeros(3), None, r"input: expected \(T, 3\) or \(T, B, 3\), got \(3,\)"),
        (torch.zeros(5, 2), None, r"input: expected .* got \(5, 2\)"),
        (torch.zeros(5, 2, 2, 3), None, "input: expected"),
        (torch.zeros(5, 2, 3), torch.zeros(4), r"h0: expected \(2, 4\), got \(4,\)"),
        (torch.zeros(5, 2, 3), torch.zeros(1, 2, 4), r"h0: expected \(2, 4\), got \(1, 2, 4\)"),
        (torch.zeros(5, 3), torch.zeros(5), r"h0: expected \(4,\), got \(5,\)"),
        (torch.full((5, 3), torch.nan), None, "input: expected finite numbers"),
    ],
)
def test_layer_names_what_is_wrong(input, h0, message):
    layer = snt.SNT(snt_cell(torch.float32, input_size=3))
    with pytest.raises(ValueError, match=message):
        layer(input, h0)


def test_layer_is_built_from_a_cell():
    with pytest.raises(ValueError, match="cell: expected an SNTCell, got RNNCell"):
        snt.SNT(nn.RNNCell(2, 2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="output: expected one of state, rate, got 'spikes'"):
        snt.SNT(snt_cell(torch.float64, input_size=3), output="spikes")
    with pytest.raises(ValueError, match="cell: expected input_size >= 1"):
        snt.SNT(snt_cell(torch.float64))
