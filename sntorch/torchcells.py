r"""Torch's recurrent cells and layers, re-expressed as dynamics on the user's own parameters.

The gate equations are those of torch's documentation (`sntorch.gates`), in plain operations, so
that float64 and every device work the same; fused kernels break forward mode.  Tangents and
pullbacks are closed forms too, faster than those of a function.

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
from sntorch.gates import Pull, Source, States, Weights, layer_of

__all__ = ["TorchDynamics"]


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
        self.kind = layer_of(source)
        self.joined = self.kind.joined
        self.size = self.layers * source.hidden_size * self.joined

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state, joined of all layers and of h and c."""
        if isinstance(u, Tensor) and u.ndim and u.shape[-1] != self.size != self.source.hidden_size:
            raise ValueError(
                f"u: expected {self.size} on the last axis, got {tuple(u.shape)}; a state is "
                f"{self._layout()}, joined as as_dynamics(f).join does"
            )
        return super().check(u)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the joined state (..., N) after one step under x (..., I)."""
        self.check(u)
        self._check_input(x)
        below: Tensor | None = x
        new: list[States] = []
        for layer, states in enumerate(self._parted(u)):
            new.append(self.kind.step(below, states, self._weights(layer)))
            below = new[-1][0]
        return _joined(new)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V in closed form, layer by layer; columns travel as rows (..., k, N)."""
        self.check_frame("V", u, V)
        self._check_input(x)
        below: Tensor | None = x
        above: Tensor | None = None  # the drive does not depend on the state
        new: list[States] = []
        pushed: list[States] = []
        pairs = zip(self._parted(u), self._parted(V.mT), strict=True)
        for layer, (states, frame) in enumerate(pairs):
            value, columns = self.kind.tangent(below, states, above, frame, self._weights(layer))
            new.append(value)
            pushed.append(columns)
            below, above = value[0], columns[0]
        return _joined(new), _joined(pushed).mT

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return F and the function W -> DF^T W, which goes down through the layers."""
        self.check(u)
        self._check_input(x)
        below: Tensor | None = x
        new: list[States] = []
        pulls: list[Pull] = []
        for layer, states in enumerate(self._parted(u)):
            value, pull = self.kind.pullback(below, states, self._weights(layer))
            new.append(value)
            pulls.append(pull)
            below = value[0]

        def down(W: Tensor) -> Tensor:
            pulled: list[States] = []
            above: Tensor | None = None
            for pull, frame in zip(reversed(pulls), reversed(self._parted(W.mT)), strict=True):
                h = frame[0] if above is None else frame[0] + above
                above, columns = pull((h, *frame[1:]), len(pulled) + 1 < self.layers)
                pulled.append(columns)
            return _joined(pulled[::-1]).mT

        return _joined(new), down

    def join(self, hx: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return torch's hidden state, h or (h, c), as one state (..., N).

        For a layer h is (L, ..., H), for a cell (..., H), as torch documents them.
        """
        kinds = hx if isinstance(hx, tuple) else (hx,)
        if isinstance(self.source, nn.RNNBase):
            kinds = tuple(kind.movedim(0, -2).flatten(-2) for kind in kinds)
        return self.check(torch.cat(kinds, -1))

    def _layout(self) -> str:
        kinds = "h" if self.joined == 1 else "h and c"
        layers = "" if self.layers == 1 else f" of {self.layers} layers"
        return f"{kinds}{layers} of {self.source.hidden_size}"

    def _parted(self, u: Tensor) -> list[States]:
        """Return the states of every layer from joined ones (..., joined * layers * H)."""
        kinds = [kind.chunk(self.layers, -1) for kind in u.chunk(self.joined, -1)]
        return list(zip(*kinds, strict=True))

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


def _joined(layers: list[States]) -> Tensor:
    """Return the layers' states as one (..., N): all h, then all c."""
    parts = [part for kinds in zip(*layers, strict=True) for part in kinds]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


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
