r"""Torch's recurrent cells and layers, re-expressed as dynamics on the user's own parameters.

The gate equations are those of torch's documentation, in plain operations, so that tangents,
float64 and every device work the same; fused kernels break forward mode.  Their tangents are closed
forms too, several times faster than those of a function.  With h the hidden state,

* RNN: h' = phi(W_x x + b_x + W_h h + b_h), phi = tanh or relu
* GRU: h' = (1 - z) n + z h, n = tanh(W_nx x + b_nx + r (W_nh h + b_nh))
* LSTM: c' = f c + i g, h' = o tanh c'

The state of a stack joins its layers, (h_1, ..., h_L); for an LSTM (h_1, ..., h_L, c_1, ..., c_L).
Noise acts on all of it.  Without a drive x counts as zero, biases included.  Dropout between layers
is left out, as in evaluation mode.  A bidirectional layer is no dynamics (mathematics); an LSTM
with projections is not covered (convenience).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics

__all__ = ["TorchDynamics"]

Source = nn.RNNCellBase | nn.RNNBase
States = tuple[Tensor, ...]
"""Per layer: (h,), or (h, c) for an LSTM."""
Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""Per layer: W_x, W_h and the biases b_x, b_h, which may be missing."""
Step = Callable[[Tensor | None, States, Weights], States]
"""From the layer below and the states of this one to its new states."""
Tangent = Callable[[Tensor | None, States, Tensor | None, States, Weights], tuple[States, States]]
"""The same with the tangents of both, as rows (..., k, H): new states and their tangents."""


@final
class TorchDynamics(Dynamics):
    """A recurrent cell or layer of torch as a `Dynamics`; made by `as_dynamics`.

    The source is a submodule: parameters are shared, never copied.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.as_dynamics(nn.LSTM(3, 10))
    >>> f.size, f.map(torch.zeros(5, 20), torch.zeros(5, 3)).shape  # h and c joined
    (20, torch.Size([5, 20]))
    """

    def __init__(
        self,
        source: Source,
        *,
        noise: float | Tensor = 0.0,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        _check_source(source)
        self.source = source
        self.noise = noise
        self.dt = checks.number("dt", dt, low=0)
        self.layers = source.num_layers if isinstance(source, nn.RNNBase) else 1
        self.gates, self.tangent = _gates(source)
        self.joined = 2 if self.gates is _lstm else 1
        self.size = self.layers * source.hidden_size * self.joined

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the joined state (..., N) after one step under x (..., I)."""
        self.check(u)
        self._check_input(x)
        # (..., joined * layers * H) -> per kind of state, per layer
        kinds = [kind.chunk(self.layers, -1) for kind in u.chunk(self.joined, -1)]
        below: Tensor | None = x
        new: list[States] = []
        for layer, states in enumerate(zip(*kinds, strict=True)):
            new.append(self.gates(below, states, self._weights(layer)))
            below = new[-1][0]
        return _joined(new)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V in closed form, layer by layer; columns travel as rows (..., k, N)."""
        self.check_frame("V", u, V)
        self._check_input(x)
        kinds = [kind.chunk(self.layers, -1) for kind in u.chunk(self.joined, -1)]
        frames = [kind.chunk(self.layers, -1) for kind in V.mT.chunk(self.joined, -1)]
        below: Tensor | None = x
        above: Tensor | None = None  # the drive does not depend on the state
        new: list[States] = []
        pushed: list[States] = []
        for layer, states in enumerate(zip(*kinds, strict=True)):
            columns = tuple(frame[layer] for frame in frames)
            value, columns = self.tangent(below, states, above, columns, self._weights(layer))
            new.append(value)
            pushed.append(columns)
            below, above = value[0], columns[0]
        return _joined(new), _joined(pushed).mT

    def join(self, hx: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return torch's hidden state, h or (h, c), as one state (..., N).

        For a layer h is (L, ..., H), for a cell (..., H), as torch documents them.
        """
        kinds = hx if isinstance(hx, tuple) else (hx,)
        if isinstance(self.source, nn.RNNBase):
            kinds = tuple(kind.movedim(0, -2).flatten(-2) for kind in kinds)
        return self.check(torch.cat(kinds, -1))

    def _weights(self, layer: int) -> Weights:
        suffix = f"_l{layer}" if isinstance(self.source, nn.RNNBase) else ""
        part = functools.partial(getattr, self.source)
        biases = part("bias_ih" + suffix, None), part("bias_hh" + suffix, None)
        return (part("weight_ih" + suffix), part("weight_hh" + suffix), *biases)

    def _check_input(self, x: Tensor | None) -> None:
        size = self.source.input_size
        if x is not None and (x.ndim == 0 or x.shape[-1] != size):
            raise ValueError(f"x: expected {size} on the last axis, got {tuple(x.shape)}")


def _check_source(source: Source) -> None:
    if isinstance(source, nn.RNNBase) and source.bidirectional:
        raise ValueError(
            "f: expected a causal layer, got a bidirectional one, which is no dynamics"
        )
    if isinstance(source, nn.RNNBase) and source.proj_size:
        raise ValueError(
            f"f: expected an LSTM without projections, got proj_size={source.proj_size}"
        )


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
    """Return W_h dh and W_x dx (..., k, H) for rows dh (..., k, H); None where dx is zero."""
    W_x, W_h, _, _ = w
    hidden = nn.functional.linear(dh, W_h)
    return hidden, None if dx is None else nn.functional.linear(dx, W_x)


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a + b


def _rnn_tangent(
    phi: Callable[[Tensor], Tensor],
    x: Tensor | None,
    states: States,
    dx: Tensor | None,
    columns: States,
    w: Weights,
) -> tuple[States, States]:
    (h,) = _rnn(phi, x, states, w)
    slope = 1 - h.square() if phi is torch.tanh else (h > 0).to(h.dtype)
    return (h,), (slope.unsqueeze(-2) * _plus(*_linear(dx, columns[0], w)),)


def _gru_tangent(
    x: Tensor | None, states: States, dx: Tensor | None, columns: States, w: Weights
) -> tuple[States, States]:
    h, dh = states[0], columns[0]
    r, z, n, hidden_n = _gru_gates(x, h, w)
    # The factors that tangents of r, z and n have in that of h', once for all columns.
    to_n = (1 - z) * (1 - n.square())
    factors = torch.cat([to_n * hidden_n * r * (1 - r), (h - n) * z * (1 - z), to_n * r], -1)
    hidden, driven = _linear(dx, dh, w)
    terms = (factors.unsqueeze(-2) * hidden).unflatten(-1, (3, -1)).sum(-2)
    pushed = terms + z.unsqueeze(-2) * dh
    if driven is not None:
        factors = torch.cat([*factors.chunk(3, -1)[:2], to_n], -1)
        pushed = pushed + (factors.unsqueeze(-2) * driven).unflatten(-1, (3, -1)).sum(-2)
    return ((1 - z) * n + z * h,), (pushed,)


def _lstm_tangent(
    x: Tensor | None, states: States, dx: Tensor | None, columns: States, w: Weights
) -> tuple[States, States]:
    h, c = states
    i, f, g, o = _lstm_gates(x, h, w)
    new = f * c + i * g
    out = torch.tanh(new)
    # The factors that tangents of i, f and g have in that of c', once for all columns.
    factors = torch.cat([g * i * (1 - i), c * f * (1 - f), i * (1 - g.square())], -1)
    gates = _plus(*_linear(dx, columns[0], w))
    rest, last = gates.split([3 * c.shape[-1], c.shape[-1]], -1)
    dc = (factors.unsqueeze(-2) * rest).unflatten(-1, (3, -1)).sum(-2)
    dc = dc + f.unsqueeze(-2) * columns[1]
    dh = (out * o * (1 - o)).unsqueeze(-2) * last
    return (o * out, new), (dh + (o * (1 - out.square())).unsqueeze(-2) * dc, dc)


def _joined(layers: list[States]) -> Tensor:
    """Return the layers' states as one (..., N): all h, then all c."""
    return torch.cat([part for kinds in zip(*layers, strict=True) for part in kinds], -1)


def _gates(source: Source) -> tuple[Step, Tangent]:
    if isinstance(source, nn.GRU | nn.GRUCell):
        return _gru, _gru_tangent
    if isinstance(source, nn.LSTM | nn.LSTMCell):
        return _lstm, _lstm_tangent
    if isinstance(source, nn.RNN | nn.RNNCell):
        phi = torch.tanh if source.nonlinearity == "tanh" else torch.relu
        return functools.partial(_rnn, phi), functools.partial(_rnn_tangent, phi)
    raise ValueError(f"f: expected a torch RNN, GRU or LSTM, got {type(source).__name__}")


@as_dynamics.register(nn.RNNCellBase)
@as_dynamics.register(nn.RNNBase)
def _(
    obj: Source,
    *,
    size: int | None = None,
    noise: float | Tensor | None = None,
    dt: float | None = None,
) -> Dynamics:
    f = TorchDynamics(obj, noise=0.0 if noise is None else noise, dt=1.0 if dt is None else dt)
    return as_dynamics(f, size=size)
