r"""The SNT network ("Simple but Non Trivial", Cessac) as a cell.

.. math:: u(t+1) = \gamma u(t) + J f(u(t)) - \theta + W x(t) + \sigma B(t),
          \qquad f(u) = \phi(g u)
.. math:: DF_u = \gamma I + J \,\mathrm{diag}(f'(u)), \qquad f'(u) = g \phi'(g u)

===============  ==========================  ================================  =============
symbol           name                        domain                            shape
===============  ==========================  ================================  =============
:math:`J`        ``coupling``                finite                            (N, N)
:math:`W`        ``input_weight``            finite                            (N, I)
:math:`g`        ``gain``                    finite                            () or (N,)
:math:`\gamma`   ``leak``                    [0, 1)                            () or (N,)
:math:`\theta`   ``threshold``, subtracted   finite                            () or (N,)
:math:`\sigma`   ``noise``, per step         >= 0                              () or (N,)
:math:`\phi`     ``transfer``                see `sntorch.transfer`
===============  ==========================  ================================  =============

With leak 0, noise 0 and gain 1 the cell is ``nn.RNNCell`` in other variables: h = tanh(u) obeys
h(t+1) = tanh(J h(t) - theta + W x(t)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sntorch import checks, orbits
from sntorch.couplings import layers
from sntorch.couplings.layers import Coupling
from sntorch.couplings.normals import fits
from sntorch.differentiable import transformed
from sntorch.dynamics import Dynamics, check_bounded, enter, rollout
from sntorch.noise import noise_of
from sntorch.quantities import DOMAIN, FREE, checked, in_domain, inside
from sntorch.transfer import Transfer, as_transfer

__all__ = ["SNTCell"]

_TRAINABLE = ("coupling", "input_weight", *DOMAIN)


@final
class SNTCell(Dynamics):
    r"""One step of the SNT network: a `Dynamics` with its own tangent, called like torch's cells.

    ``cell(x, u)`` is one noisy step; ``cell.map(u, x)`` is the deterministic F.  Dtype and device
    are those of J.  Writing ``cell.gain = 1.2`` checks the value and keeps dtype and device.

    Parameters
    ----------
    J
        Couplings (N, N), from j to i in ``J[i, j]``.  A dense tensor is copied and becomes
        ``cell.coupling``; a sparse one, of any layout, becomes a `couplings.Sparse` layer there.
        A layer of `couplings` is held, not copied, as torch's modules hold theirs.
    gain, leak, threshold, noise
        Numbers, or tensors (N,) with one value per neuron; noise is a standard deviation per step.
    transfer
        A name of `sntorch.transfer`, such as ``"tanh"`` or ``"erf"``, or a `Transfer`.
    input_size
        I, the number of inputs; 0 makes the cell autonomous.
    input_std
        W starts at N(0, input_std^2 / I), from torch's global generator.
    trainable
        Which of ``coupling``, ``input_weight``, ``gain``, ``leak``, ``threshold``, ``noise`` are
        parameters; the others are buffers.  A trainable quantity keeps the shape it is given.
        Leak and noise are trained through the parameters ``raw_leak`` and ``raw_noise``, so that
        no step of an optimiser can take them out of (0, 1) and (0, inf).  A layer of couplings
        trains those of its parameters that require a gradient; if ``coupling`` is missing, the cell
        holds an untrained twin of the layer, which shares its memory.

    Raises
    ------
    ValueError
        If an argument is outside its domain, not finite, or of a wrong shape.

    References
    ----------
    B. Cessac, "Neural Networks Dynamics", lecture slides, 2020.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(100), gain=1.5, leak=0.2)
    >>> snt.rollout(cell, torch.randn(8, 100), steps=50).shape
    torch.Size([50, 8, 100])
    """

    coupling: Any
    """A tensor (N, N), or the `couplings.Coupling` layer that the cell was given."""
    input_weight: Tensor | None
    gain: Tensor
    threshold: Tensor

    def __init__(
        self,
        J: Tensor | Coupling,
        *,
        gain: float | Tensor = 1.0,
        leak: float | Tensor = 0.0,
        threshold: float | Tensor = 0.0,
        noise: float | Tensor = 0.0,
        transfer: str | Transfer = "tanh",
        input_size: int = 0,
        input_std: float = 1.0,
        trainable: Sequence[str] = ("coupling", "input_weight"),
    ) -> None:
        super().__init__()
        parameters = _check_trainable(trainable)
        J = _coupling(J)
        self.size = J.shape[0]
        self.input_size = checks.count("input_size", input_size, low=0)
        self.transfer = as_transfer(transfer)
        like = layers.entries(J) if isinstance(J, Coupling) else J
        given = {"gain": gain, "leak": leak, "threshold": threshold, "noise": noise}
        values: dict[str, Tensor | None] = {
            name: checked(name, value, like, self.size) for name, value in given.items()
        }
        spread = checks.number("input_std", input_std, low=0)
        values["input_weight"] = _draw_input_weight(like, self.size, input_size, spread)
        if isinstance(J, Coupling):
            self.coupling = J if "coupling" in parameters else layers.untrained(J)
        else:
            fits("J", (self.size, self.size), J.dtype, J.device)  # a second time
            self._enter("coupling", J.detach().clone(), "coupling" in parameters)
        for name, value in values.items():
            self._enter(name, value, name in parameters)

    @property
    def leak(self) -> Tensor:
        """The part of the state that a step leaves, () or (N,) in [0, 1)."""
        return self._quantity("leak")

    @leak.setter
    def leak(self, value: float | Tensor) -> None:
        self._fill("leak", value)

    @property
    def noise(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Standard deviation of the noise per step, () or (N,)."""
        return self._quantity("noise")

    @noise.setter
    def noise(self, value: float | Tensor) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._fill("noise", value)

    @property
    def hidden_size(self) -> int:
        """N, under the name that torch's cells give it."""
        return self.size

    def __setattr__(self, name: str, value: object) -> None:
        if name in DOMAIN and not isinstance(value, nn.Parameter):
            self._fill(name, value)
        else:
            super().__setattr__(name, value)  # pyright: ignore[reportArgumentType]

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) (..., N); without x the drive is zero."""
        self.check(u)
        return self.proceed(u, self.transfer(self.gain * u), x)

    def proceed(self, u: Tensor, rate: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) (..., N) for a state whose activity ``rate`` = f(u) is known."""
        drive = -self.threshold if x is None else self._drive(x)
        rest = torch.addcmul(drive, self.leak, u)
        if isinstance(self.coupling, Coupling):
            return rest + self.coupling(rate)
        return orbits.plus_product(rest, self.coupling, rate)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V = leak V + J (f' * V), one matrix product for all columns and rows."""
        self.check_frame("V", u, V)
        J, gain, leak = self.coupling, self.gain, self.leak
        rate, slope = self.transfer.with_derivative(gain * u)
        scaled, rows = (gain * slope).unsqueeze(-1) * V, V.mT
        dense = isinstance(J, Tensor) and rows.is_contiguous()
        number = _number(leak) if dense else None
        if number is None:
            pushed = torch.addcmul(layers.push(J, scaled), _column(leak), V)
        elif V.ndim == 2:  # all in one pass, with the vectors as rows (see `layers.push`)
            pushed = torch.addmm(rows, scaled.mT, J.T, beta=number).mT
        else:
            flat, vectors = (W.reshape(-1, self.size) for W in (rows, scaled.mT))
            pushed = torch.addmm(flat, vectors, J.T, beta=number).view(rows.shape).mT
        return self.proceed(u, rate, x), pushed

    def linearise(self, u: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF = leak + J f' (..., N, N), the columns of J times their slopes."""
        if isinstance(self.coupling, Coupling) or transformed(u, self.leak):
            return super().linearise(u, x)
        self.check(u)
        rate, slope = self.transfer.with_derivative(self.gain * u)
        DF = self.coupling * (self.gain * slope).unsqueeze(-2)
        DF.diagonal(dim1=-2, dim2=-1).add_(self.leak)
        return self.proceed(u, rate, x), DF

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return F and the function W -> leak W + f' * (J^T W)."""
        self.check(u)
        rate, slope = self.transfer.with_derivative(self.gain * u)
        slope = self.gain * slope

        def pull(W: Tensor) -> Tensor:
            pulled = slope.unsqueeze(-1) * layers.pull(self.coupling, W)
            return torch.addcmul(pulled, _column(self.leak), W)

        return self.proceed(u, rate, x), pull

    def _numbers(self) -> Iterator[Tensor]:
        yield self.gain  # all are of one kind; it is read at every step

    def orbit(
        self,
        u: Tensor,
        steps: int,
        x: Tensor | None,
        sigma: Tensor | None,
        generator: torch.Generator | None,
        every: int,
    ) -> tuple[Tensor, Tensor]:
        """Make many steps close to the speed of their matrix products (see `orbits`)."""
        found = orbits.orbit(self._network(x), u, steps, x, sigma, generator, every)
        return found or super().orbit(u, steps, x, sigma, generator, every)

    def rated_orbit(
        self,
        u: Tensor,
        steps: int,
        *,
        x: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the orbit (T, ..., N) from u and its activity f(u), likewise.

        They are those of `rollout` and `rate`; with gradients the two together cost less.

        Raises
        ------
        ValueError
            As `rollout`.
        """
        _, x = enter(self, u, steps, x)
        source, sigma = checks.generator(generator, u.device), noise_of(self, u)
        found = orbits.rated(self._network(x), u, steps, x, sigma, source)
        if found is None:
            states = rollout(self, u, steps, x=x, generator=generator)
            return states, self.rate(states)
        check_bounded(found[0])
        return found

    def _network(self, x: Tensor | None) -> orbits.Network:
        if x is not None:
            self._drive(x[0] if x.ndim > 1 else x)  # refuses what it cannot read
        return orbits.Network(
            self.coupling,
            None if _is(self.gain, 1.0) else self.gain,
            None if _is(self.leak, 0.0) else self.leak,
            None if _is(self.threshold, 0.0) else self.threshold,
            self.input_weight,
            self.transfer,
        )

    def rate(self, u: Tensor) -> Tensor:
        """Return f(u) = phi(gain * u) (..., N), the activity that other neurons receive."""
        return self.transfer(u if _is(self.gain, 1.0) else self.gain * u)

    def check_entry(self, name: str, values: Tensor) -> Tensor:
        """Return `values` if they are in the domain of the quantity `name`."""
        return in_domain(name, values) if name in DOMAIN else values

    def extra_repr(self) -> str:
        """Say what the cell is, in one line."""
        parts = [f"size={self.size}", f"input_size={self.input_size}", f"transfer={self.transfer}"]
        parts += [f"{name}={_shown(getattr(self, name))}" for name in DOMAIN]
        return ", ".join(parts)

    def _drive(self, x: Tensor) -> Tensor:
        if self.input_weight is None:
            raise ValueError("x: expected None, since the cell has input_size 0; got a drive")
        if x.ndim == 0 or x.shape[-1] != self.input_size:
            raise ValueError(
                f"x: expected {self.input_size} on the last axis, got {tuple(x.shape)}"
            )
        return nn.functional.linear(x, self.input_weight, -self.threshold.expand(self.size))

    def _enter(self, name: str, value: Tensor | None, trainable: bool) -> None:
        # Not by torch's register functions: they refuse a name that is a class attribute.
        if value is None or not trainable:
            self._buffers[name] = value
        elif name in FREE:
            free_name, to_free, _ = FREE[name]
            self._parameters[free_name] = nn.Parameter(to_free(inside(name, value)))
        else:
            self._parameters[name] = nn.Parameter(value)

    def _quantity(self, name: str) -> Tensor:
        value = self._buffers.get(name)
        if value is None:
            free_name, _, from_free = FREE[name]
            value = from_free(getattr(self, free_name))
        return value

    def _fill(self, name: str, value: object) -> None:
        kept: Tensor = getattr(self, name)
        new = checked(name, value, kept, self.size)
        if name in FREE and name not in self._buffers:
            free_name, to_free, _ = FREE[name]
            kept, new = getattr(self, free_name), to_free(inside(name, new))
        with torch.no_grad():
            if new.ndim == 0 or new.shape == kept.shape:
                kept.copy_(new)
            elif name in self._buffers:
                self._buffers[name] = new
            else:
                raise ValueError(f"{name}: expected a number, its shape, got {tuple(new.shape)}")


def _coupling(J: object) -> Tensor | Coupling:
    """Return couplings that are square and finite: a dense tensor, or a layer for all others."""
    if not isinstance(J, Coupling):
        J = checks.matrix("J", J, dense=False)
        J = J if J.layout == torch.strided else layers.as_coupling(J)
    if J.shape[0] != J.shape[1]:
        raise ValueError(f"J: expected a square matrix (N, N), got {tuple(J.shape)}")
    return J


def _check_trainable(names: Sequence[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise ValueError(f"trainable: expected a sequence of names, got the string {names!r}")
    return frozenset(checks.one_of("trainable", name, _TRAINABLE) for name in names)


def _draw_input_weight(like: Tensor, size: int, input_size: int, std: float) -> Tensor | None:
    if not input_size:
        return None
    W = torch.randn(size, input_size, dtype=like.dtype, device=like.device)
    return W * (std / input_size**0.5)


def _number(quantity: Tensor) -> float | None:
    """Return the value of `quantity` if nothing else about it matters and reading it is free."""
    if quantity.ndim or not quantity.is_cpu or torch.is_grad_enabled():
        return None
    if forward_ad.unpack_dual(quantity).tangent is not None:
        return None
    try:
        return quantity.item()
    except RuntimeError:  # inside vmap it is many values
        return None


def _is(quantity: Tensor, number: float) -> bool:
    """Whether `quantity` is this number and nobody asks for its gradient."""
    if quantity.requires_grad or transformed(quantity):
        return False
    return quantity.ndim == 0 and quantity.is_cpu and quantity.item() == number


def _column(quantity: Tensor) -> Tensor:
    return quantity if quantity.ndim == 0 else quantity.unsqueeze(-1)


def _shown(quantity: Tensor) -> str:
    return f"{quantity.item():.4g}" if quantity.ndim == 0 else f"({len(quantity)},)"
