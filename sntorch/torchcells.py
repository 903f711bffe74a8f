r"""Torch's recurrent cells and layers, re-expressed as dynamics on the user's own parameters.

The gate equations are those of torch's documentation, in plain operations, so that tangents,
float64 and every device work the same; fused kernels break forward mode.  With h the hidden state,

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


@final
class TorchDynamics(Dynamics):
    """A recurrent cell or layer of torch as a `Dynamics`; made by `as_dynamics`.

    The source is a submodule: parameters are shared, never copied.
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
        self.gates = _gates(source)
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
        return torch.cat([kind for kinds in zip(*new, strict=True) for kind in kinds], -1)

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


def _gru(x: Tensor | None, states: States, w: Weights) -> States:
    W_x, W_h, b_x, b_h = w
    (h,) = states
    hidden_r, hidden_z, hidden_n = _affine(h, W_h, b_h).chunk(3, -1)
    input_r, input_z, input_n = _affine(x, W_x, b_x).chunk(3, -1)
    r, z = torch.sigmoid(hidden_r + input_r), torch.sigmoid(hidden_z + input_z)
    n = torch.tanh(r * hidden_n + input_n)
    return ((1 - z) * n + z * h,)


def _lstm(x: Tensor | None, states: States, w: Weights) -> States:
    W_x, W_h, b_x, b_h = w
    h, c = states
    i, f, g, o = (_affine(h, W_h, b_h) + _affine(x, W_x, b_x)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gates(source: Source) -> Callable[[Tensor | None, States, Weights], States]:
    if isinstance(source, nn.GRU | nn.GRUCell):
        return _gru
    if isinstance(source, nn.LSTM | nn.LSTMCell):
        return _lstm
    if isinstance(source, nn.RNN | nn.RNNCell):
        return functools.partial(_rnn, torch.tanh if source.nonlinearity == "tanh" else torch.relu)
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
