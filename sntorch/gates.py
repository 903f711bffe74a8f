r"""Gate equations of torch's recurrent layers, with their tangents and pullbacks in closed form.

With h the hidden state of a layer, below what it reads, and W_x, W_h, b_x, b_h torch's weights,

* RNN: h' = phi(W_x x + b_x + W_h h + b_h), phi = tanh or relu
* GRU: h' = (1 - z) n + z h, n = tanh(W_nx x + b_nx + r (W_nh h + b_nh))
* LSTM: c' = f c + i g, h' = o tanh c'

A tangent goes from (dx, dh) to dh', a pullback from dh' back to both.  In either the factors that
the gates' arguments have are made once for all vectors, which travel as rows (..., k, H) and meet
each weight matrix in one product.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Layer", "Source", "States", "Weights", "layer_of"]

Source = nn.RNNCellBase | nn.RNNBase
States = tuple[Tensor, ...]
"""Per layer: (h,), or (h, c) for an LSTM."""
Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""Per layer: W_x, W_h and the biases b_x, b_h, which may be missing."""
Step = Callable[[Tensor | None, States, Weights], States]
"""From the layer below and the states of this one to its new states."""
Tangent = Callable[[Tensor | None, States, Tensor | None, States, Weights], tuple[States, States]]
"""The same with the tangents of both, as rows (..., k, H): new states and their tangents."""
Pull = Callable[[States, bool], tuple[Tensor | None, States]]
"""From cotangents of the new states, as rows (..., k, H), to those of the layer below, which are
None unless asked for, and of the states."""
Pullback = Callable[[Tensor | None, States, Weights], tuple[States, Pull]]
"""From the layer below and the states of this one to its new states and their pullback."""


class Layer(NamedTuple):
    """What a kind of layer does."""

    step: Step
    tangent: Tangent
    pullback: Pullback
    joined: int
    """Number of states, 2 for an LSTM."""


def _affine(x: Tensor | None, W: Tensor, b: Tensor | None) -> Tensor:
    if x is not None:
        return nn.functional.linear(x, W, b)
    return W.new_zeros(W.shape[0]) if b is None else b


def _rnn(phi: Callable[[Tensor], Tensor], x: Tensor | None, states: States, w: Weights) -> States:
    W_x, W_h, b_x, b_h = w
    return (phi(_affine(states[0], W_h, b_h) + _affine(x, W_x, b_x)),)


def _gru_gates(x: Tensor | None, h: Tensor, w: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return r, z, n and what r multiplies."""
    W_x, W_h, b_x, b_h = w
    hidden_r, hidden_z, hidden_n = _affine(h, W_h, b_h).chunk(3, -1)
    input_r, input_z, input_n = _affine(x, W_x, b_x).chunk(3, -1)
    r, z = torch.sigmoid(hidden_r + input_r), torch.sigmoid(hidden_z + input_z)
    return r, z, torch.tanh(r * hidden_n + input_n), hidden_n


def _gru(x: Tensor | None, states: States, w: Weights) -> States:
    (h,) = states
    _, z, n, _ = _gru_gates(x, h, w)
    return ((1 - z) * n + z * h,)


def _lstm_gates(x: Tensor | None, h: Tensor, w: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return i, f, g and o."""
    W_x, W_h, b_x, b_h = w
    i, f, g, o = (_affine(h, W_h, b_h) + _affine(x, W_x, b_x)).chunk(4, -1)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)


def _lstm(x: Tensor | None, states: States, w: Weights) -> States:
    h, c = states
    i, f, g, o = _lstm_gates(x, h, w)
    c = f * c + i * g
    return o * torch.tanh(c), c


def _linear(dx: Tensor | None, dh: Tensor, w: Weights) -> tuple[Tensor, Tensor | None]:
    """Return W_h dh and W_x dx (..., k, H) for rows dh (..., k, H); None where dx is zero.

    Where all states share one frame, as for Jacobians, one product is that of all of them.
    """
    W_x, W_h, _, _ = w
    if dh.numel() and not any(dh.stride()[:-2]):
        dh = dh[(0,) * (dh.ndim - 2)]
    hidden = nn.functional.linear(dh, W_h)
    return hidden, None if dx is None else nn.functional.linear(dx, W_x)


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a + b


def _rows(factors: Tensor, vectors: Tensor) -> Tensor:
    """Return factors (..., H) times vectors (..., k, H)."""
    return factors.unsqueeze(-2) * vectors


def _sum(factors: Tensor, vectors: Tensor, parts: int) -> Tensor:
    """Return the sum over gates (..., k, H) of factors (..., parts H) times vectors."""
    return _rows(factors, vectors).unflatten(-1, (parts, -1)).sum(-2)


def _spread(factors: Tensor, vectors: Tensor, parts: int) -> Tensor:
    """Return the transpose of `_sum`: vectors (..., k, H) on every gate (..., k, parts H)."""
    each = factors.unflatten(-1, (parts, -1)).unsqueeze(-3)
    return (each * vectors.unsqueeze(-2)).flatten(-2)


def _rnn_slope(
    phi: Callable[[Tensor], Tensor], x: Tensor | None, states: States, w: Weights
) -> tuple[Tensor, Tensor]:
    (h,) = _rnn(phi, x, states, w)
    return h, 1 - h.square() if phi is torch.tanh else (h > 0).to(h.dtype)


def _rnn_tangent(
    phi: Callable[[Tensor], Tensor],
    x: Tensor | None,
    states: States,
    dx: Tensor | None,
    columns: States,
    w: Weights,
) -> tuple[States, States]:
    h, slope = _rnn_slope(phi, x, states, w)
    return (h,), (_rows(slope, _plus(*_linear(dx, columns[0], w))),)


def _rnn_pullback(
    phi: Callable[[Tensor], Tensor], x: Tensor | None, states: States, w: Weights
) -> tuple[States, Pull]:
    h, slope = _rnn_slope(phi, x, states, w)

    def pull(columns: States, further: bool) -> tuple[Tensor | None, States]:
        argument = _rows(slope, columns[0])
        return argument @ w[0] if further else None, (argument @ w[1],)

    return (h,), pull


def _gru_factors(x: Tensor | None, h: Tensor, w: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return h', what W_h h has as factors in its tangent (..., 3H), W_nx x its own, and z."""
    r, z, n, hidden_n = _gru_gates(x, h, w)
    to_n = (1 - z) * (1 - n.square())
    on_n = to_n * r
    factors = torch.cat([on_n * hidden_n * (1 - r), (h - n) * z * (1 - z), on_n], -1)
    return (1 - z) * n + z * h, factors, to_n, z


def _of_input(factors: Tensor, to_n: Tensor) -> Tensor:
    """Return the factors (..., 3H) of W_x x, whose part in n no gate resets."""
    return torch.cat([factors[..., : -to_n.shape[-1]], to_n], -1)


def _gru_tangent(
    x: Tensor | None, states: States, dx: Tensor | None, columns: States, w: Weights
) -> tuple[States, States]:
    h, factors, to_n, z = _gru_factors(x, states[0], w)
    hidden, driven = _linear(dx, columns[0], w)
    pushed = _sum(factors, hidden, 3) + _rows(z, columns[0])
    if driven is not None:
        pushed = pushed + _sum(_of_input(factors, to_n), driven, 3)
    return (h,), (pushed,)


def _gru_pullback(x: Tensor | None, states: States, w: Weights) -> tuple[States, Pull]:
    h, factors, to_n, z = _gru_factors(x, states[0], w)

    def pull(columns: States, further: bool) -> tuple[Tensor | None, States]:
        (back,) = columns
        below = _spread(_of_input(factors, to_n), back, 3) @ w[0] if further else None
        return below, (_spread(factors, back, 3) @ w[1] + _rows(z, back),)

    return (h,), pull


def _lstm_factors(
    x: Tensor | None, states: States, w: Weights
) -> tuple[States, Tensor, Tensor, Tensor, Tensor]:
    """Return (h', c'), factors of i, f and g in c' (..., 3H), of o and c' in h', and f."""
    h, c = states
    i, f, g, o = _lstm_gates(x, h, w)
    new = f * c + i * g
    out = torch.tanh(new)
    factors = torch.cat([g * i * (1 - i), c * f * (1 - f), i * (1 - g.square())], -1)
    return (o * out, new), factors, out * o * (1 - o), o * (1 - out.square()), f


def _lstm_tangent(
    x: Tensor | None, states: States, dx: Tensor | None, columns: States, w: Weights
) -> tuple[States, States]:
    new, factors, to_o, to_c, f = _lstm_factors(x, states, w)
    gates = _plus(*_linear(dx, columns[0], w))
    rest, last = gates.split([factors.shape[-1], f.shape[-1]], -1)
    dc = _sum(factors, rest, 3) + _rows(f, columns[1])
    return new, (_rows(to_o, last) + _rows(to_c, dc), dc)


def _lstm_pullback(x: Tensor | None, states: States, w: Weights) -> tuple[States, Pull]:
    new, factors, to_o, to_c, f = _lstm_factors(x, states, w)

    def pull(columns: States, further: bool) -> tuple[Tensor | None, States]:
        back, memory = columns
        memory = memory + _rows(to_c, back)
        gates = torch.cat([_spread(factors, memory, 3), _rows(to_o, back)], -1)
        return gates @ w[0] if further else None, (gates @ w[1], _rows(f, memory))

    return new, pull


def layer_of(source: Source) -> Layer:
    """Return what a layer of this kind does.

    Raises
    ------
    ValueError
        If it is none of torch's RNN, GRU and LSTM.
    """
    if isinstance(source, nn.GRU | nn.GRUCell):
        return Layer(_gru, _gru_tangent, _gru_pullback, 1)
    if isinstance(source, nn.LSTM | nn.LSTMCell):
        return Layer(_lstm, _lstm_tangent, _lstm_pullback, 2)
    if isinstance(source, nn.RNN | nn.RNNCell):
        phi = torch.tanh if source.nonlinearity == "tanh" else torch.relu
        part = functools.partial
        return Layer(part(_rnn, phi), part(_rnn_tangent, phi), part(_rnn_pullback, phi), 1)
    raise ValueError(f"f: expected a torch RNN, GRU or LSTM, got {type(source).__name__}")
