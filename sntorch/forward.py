r"""The orbit of an SNT network without gradients, in the memory of what is stored of it.

.. math:: u(t+1) = \gamma u(t) + J \phi(g u(t)) + d(t), \qquad d = W x - \theta + \sigma B,

with the symbols of `sntorch.cells`.  A step writes the next state into the place where it stays, or
into one of two places in turn if it is not to be stored; what it needs beside lies in places that
are used again, because new memory costs more than most operations.  A GPU is given a block of steps
at a time (`captured`).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sntorch.captured import capturable, capture
from sntorch.couplings.layers import Coupling
from sntorch.couplings.matrices import Matrix, inside, matrix
from sntorch.noise import draw_noise
from sntorch.transfer import Transfer

__all__ = ["Network", "drive", "read", "stepped"]

_BLOCK = 16  # steps whose drives are made in one product, and that a GPU is given at a time
_REPLAYED = 512  # steps from which a block is captured: a guess of what capturing itself costs


class Network(NamedTuple):
    """An SNT network; None for a gain of 1, or a leak or threshold of 0, saves its work."""

    coupling: Tensor | Coupling
    gain: Tensor | None
    leak: Tensor | None
    threshold: Tensor | None
    input_weight: Tensor | None
    transfer: Transfer


def stepped(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    every: int,
) -> tuple[Tensor, Tensor]:
    """Do without gradients, in the memory of what is stored."""
    frame = _Frame(network.coupling, u)
    stored = u.new_empty(steps // every, *u.shape)
    run = _replayed if frame.fixed and steps >= _REPLAYED and capturable(u) else _walked
    with frame.mode():
        last = run(_Work(network, frame, u, steps, x, sigma, generator, every, stored))
        last = last.T if frame.upright else last
    return stored, last.reshape(u.shape)


class _Work(NamedTuple):
    """What is asked for, and the place for it."""

    network: Network
    frame: _Frame
    u: Tensor
    steps: int
    x: Tensor | None
    sigma: Tensor | None
    generator: torch.Generator | None
    every: int
    stored: Tensor


def _walked(work: _Work) -> Tensor:
    """Store the orbit, and return the last state as it lies inside."""
    network, frame, u, steps, x, sigma, generator, every, stored = work
    kept, last = frame.places(stored), frame.inside(u).contiguous()  # products keep its order
    aside = frame.upright or every > 1  # states that are made elsewhere than they are stored
    spare = itertools.cycle((torch.empty_like(last), torch.empty_like(last)) if aside else ())
    step = frame.step(network, last)
    drives = _drives(network, frame, x, u, None if aside else stored, steps)
    kicks = itertools.repeat(None, steps)
    if sigma is not None:
        kicks = _kicks(frame, u, sigma, generator, steps)
    for t, (drive, kick) in enumerate(zip(drives, kicks, strict=True), 1):
        home = None if t % every else kept[t // every - 1]
        place = next(spare) if home is None or frame.upright else home
        step(last, drive, kick, place)
        if home is not None and home is not place:
            home.copy_(place)
        last = place
    return last


def _replayed(work: _Work) -> Tensor:
    """Do as `_walked`: a block of steps, captured once, runs again and again in its own memory."""
    network, frame, u, steps, x, sigma, generator, every, stored = work
    states = u.new_empty(_BLOCK, *u.shape)
    kicks = None if sigma is None else torch.empty_like(states)
    start = frame.inside(u).clone(memory_format=torch.contiguous_format)
    step, places = frame.step(network, start), frame.places(states)
    changing = x is not None and x.ndim > 1
    # A block without a drive that changes reads the same one at every step.
    drives = places if changing else tuple(_drives(network, frame, x, u, None, _BLOCK))
    pushes = (None,) * _BLOCK if kicks is None else frame.places(kicks)

    def block() -> None:
        last = start
        for drive, kick, place in zip(drives, pushes, places, strict=True):
            step(last, drive, kick, place)
            last = place
        start.copy_(last)

    again = capture(block, u.device)
    start.copy_(frame.inside(u))  # to capture it was to run it
    for t in range(0, steps, _BLOCK):
        made = states[: steps - t]
        if x is not None and changing:
            _drive_into(made, network, x[t : t + _BLOCK], u)
        if kicks is not None and sigma is not None:
            for kick in kicks[: len(made)].unbind():
                draw_noise(kick, sigma, generator)
        again()
        kept = made[-(t + 1) % every :: every]
        stored[t // every :][: len(kept)] = kept
    return places[(steps - 1) % _BLOCK]


class _Frame:
    """How states (..., N) lie while J acts on them: one (N,), rows (B, N), or columns (N, B)."""

    def __init__(self, J: Tensor | Coupling, u: Tensor) -> None:
        self.J: Matrix | Coupling = _acting(J)
        self.size = u.shape[-1]
        # A product with a vector is faster than with a matrix of one row.
        self.alone = u.numel() == self.size
        self.upright = not self.alone and (isinstance(self.J, Coupling) or self.J.upright)

    @property
    def fixed(self) -> bool:
        """Whether a step writes into places that are given, and to no others."""
        return isinstance(self.J, Matrix) and not self.upright

    def inside(self, value: Tensor) -> Tensor:
        """Return states, or something for each of them or for each neuron, as they lie here."""
        if value.ndim > 1:
            value = value.reshape(self.size if self.alone else (-1, self.size))
        return inside(value, self.upright)

    def places(self, orbit: Tensor) -> tuple[Tensor, ...]:
        """Return the states of an orbit (T, ..., N) as they lie here, without a copy if it can."""
        rows = orbit.reshape(len(orbit), *([self.size] if self.alone else [-1, self.size]))
        return (rows.mT if self.upright else rows).unbind()

    def step(
        self, network: Network, like: Tensor
    ) -> Callable[[Tensor, Tensor | None, Tensor | None, Tensor], None]:
        """Return the function (u, d, kick, place) that writes the next state to the place.

        The drive d may lie there already, and stays as it is where it does not.
        """
        gain, leak = (None if q is None else self.inside(q) for q in network[1:3])
        plus, rate = self.product(), self.rate(network.transfer, gain, like)

        def step(u: Tensor, drive: Tensor | None, kick: Tensor | None, place: Tensor) -> None:
            f = rate(u)
            if leak is None:
                rest = drive
            elif drive is None:
                rest = torch.mul(leak, u, out=place)
            else:
                rest = torch.addcmul(drive, leak, u, out=place)
            plus(rest, f, place)
            if kick is not None:
                place.add_(kick)

        return step

    def rate(self, phi: Transfer, gain: Tensor | None, like: Tensor) -> Callable[[Tensor], Tensor]:
        """Return f(u) = phi(gain u), which writes into one place if J keeps nothing."""
        if isinstance(self.J, Coupling):
            return phi if gain is None else lambda u: phi(gain * u)
        place = torch.empty_like(like)
        if gain is None:
            return functools.partial(phi.into, place)
        return lambda u: phi.into(place, torch.mul(gain, u, out=place))

    def mode(self) -> contextlib.AbstractContextManager[object]:
        """Return the cheapest mode of torch in which J can act; users' layers may keep tensors."""
        return torch.no_grad() if isinstance(self.J, Coupling) else torch.inference_mode()

    def product(self) -> Callable[[Tensor | None, Tensor, Tensor], None]:
        """Return the function that writes rest + J f, or J f, to the place given last."""
        J = self.J
        if isinstance(J, Matrix):
            return J.adder(self.alone)

        def plus(rest: Tensor | None, f: Tensor, place: Tensor) -> None:
            value = J.matmat(f.unsqueeze(-1)).squeeze(-1) if self.alone else J.matmat(f)
            place.copy_(value) if rest is None else torch.add(rest, value, out=place)

        return plus


def _acting(J: Tensor | Coupling) -> Matrix | Coupling:
    if isinstance(J, Coupling):
        return matrix(J) or J
    return Matrix(J, None)


def _kicks(
    frame: _Frame, u: Tensor, sigma: Tensor, generator: torch.Generator | None, steps: int
) -> Iterator[Tensor]:
    """Yield sigma B of every step, always in the same place, rounded as `add_noise` does."""
    B = torch.empty_like(u, memory_format=torch.contiguous_format)
    lying = frame.inside(B)
    for _ in range(steps):
        draw_noise(B, sigma, generator)
        yield lying


def read(
    network: Network, x: Tensor | None, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor] | None:
    """Return x and W if x is (T, ..., I), with an input for each state of the orbit."""
    W = network.input_weight
    return None if x is None or W is None or x.shape[:-1] != shape else (x, W)


def drive(network: Network, x: Tensor | None, u: Tensor) -> Tensor:
    """Return W x - theta, of a shape that broadcasts to (T, *u.shape)."""
    theta = network.threshold
    if x is None or network.input_weight is None:
        return u.new_zeros(u.shape[-1]) if theta is None else -theta.expand(u.shape[-1])
    bias = None if theta is None else -theta.expand(u.shape[-1])
    read = nn.functional.linear(x, network.input_weight, bias)
    if x.ndim == 1:
        return read
    axes = [1] * (u.ndim + 1 - x.ndim)  # those of the state that the drive does not have
    return read.view(len(x), *axes, *read.shape[1:])


def _drives(
    network: Network, frame: _Frame, x: Tensor | None, u: Tensor, stored: Tensor | None, steps: int
) -> Iterator[Tensor | None]:
    """Yield W x - theta step by step, made in blocks where the orbit is `stored`, else aside."""
    if x is None and network.threshold is None:
        yield from itertools.repeat(None, steps)
    elif x is None or x.ndim == 1:
        yield from itertools.repeat(frame.inside(drive(network, x, u)), steps)
    else:
        room = u.new_empty(min(_BLOCK, steps), *u.shape) if stored is None else stored
        for start in range(0, steps, _BLOCK):
            block = x[start : start + _BLOCK]
            home = (room if stored is None else room[start:])[: len(block)]
            _drive_into(home, network, block, u)
            yield from frame.places(home)


def _drive_into(home: Tensor, network: Network, x: Tensor, u: Tensor) -> None:
    """Write W x - theta (T, ..., N) where the home is; new memory would cost more than the rest."""
    found = read(network, x, home.shape[:-1])
    if found is None:
        home.copy_(drive(network, x, u))
        return
    flat, W, out = x.reshape(-1, x.shape[-1]), found[1].T, home.view(-1, home.shape[-1])
    theta = network.threshold
    torch.mm(flat, W, out=out) if theta is None else torch.addmm(-theta, flat, W, out=out)
