r"""How the orbit of an SNT network is computed: many steps at once, close to the bare products.

.. math:: u(t+1) = \gamma u(t) + J \phi(g u(t)) + d(t), \qquad d = W x - \theta + \sigma B,

with the symbols of `sntorch.cells`.  States lie inside as the product with J likes them
(`couplings.matrices`), and every step writes into the place where its result stays; a gain of one,
a leak or threshold of zero cost nothing.  Gradients are made by `reverse`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sntorch import memory, reverse
from sntorch.couplings.layers import Coupling
from sntorch.couplings.matrices import Matrix, inside, matrix
from sntorch.differentiable import transformed
from sntorch.transfer import Transfer

__all__ = ["Network", "orbit", "plus_product", "rated"]

_BLOCK = 16  # steps whose drives are made in one product
_RECORDED = 3  # arrays as large as the orbit: states, rates, and the gradient that comes


class Network(NamedTuple):
    """An SNT network; None for a gain of 1, or a leak or threshold of 0, saves its work."""

    coupling: Tensor | Coupling
    gain: Tensor | None
    leak: Tensor | None
    threshold: Tensor | None
    input_weight: Tensor | None
    transfer: Transfer


def orbit(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    every: int,
) -> tuple[Tensor, Tensor] | None:
    """Return u(every), u(2 every), ... (T, ..., N) and the last state; see `Dynamics.orbit`.

    None where step by step is the best that is known: gradients and transforms of couplings that
    are neither a matrix nor sparse.

    Raises
    ------
    ValueError
        If a gradient is asked for, and what it needs does not fit the memory.
    """
    recording, mapped = _asked(network, u, x, sigma)
    if not recording and not mapped:
        return _stepped(network, u, steps, x, sigma, generator, every)
    found = _differentiable(network, u, steps, x, sigma, generator, mapped)
    if found is None:
        return None
    states = found[0]
    return states if every == 1 else states[every - 1 :: every], states[-1]


def rated(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor] | None:
    """Return u(1), u(2), ... and their activity f(u), (T, ..., N) each, made in one go.

    None where nothing is saved by that: where no gradient is asked for, and where `orbit` is None.

    Raises
    ------
    ValueError
        As `orbit`.
    """
    recording, mapped = _asked(network, u, x, sigma)
    if not recording or mapped:
        return None
    return _differentiable(network, u, steps, x, sigma, generator, mapped)


def _asked(
    network: Network, u: Tensor, x: Tensor | None, sigma: Tensor | None
) -> tuple[bool, bool]:
    """Return whether a gradient is asked for, and whether torch transforms any of these."""
    J = network.coupling
    entries = J.parameters() if isinstance(J, Coupling) else (J,)
    tensors = [t for t in (u, x, sigma, *network[1:], *entries) if isinstance(t, Tensor)]
    recording = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return recording, transformed(*tensors)


def _differentiable(
    network: Network,
    u: Tensor,
    steps: int,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
    mapped: bool,
) -> tuple[Tensor, Tensor] | None:
    """Return the orbit and its activity (T, ..., N) with gradients, or for torch's transforms."""
    J, gain, leak, *_, phi = network
    known = matrix(J)
    if known is None:
        return None
    if not mapped:
        arrays = _RECORDED + (sigma is not None)  # the noise is kept for second derivatives
        needed = arrays * memory.size_of(steps, *u.shape, dtype=u.dtype)
        memory.afford("steps", needed, u.device, "take gradients through fewer steps at a time")
    read = None if mapped else _read(network, x, (steps, *u.shape[:-1]))
    drive = _drive(network, x if read is None else None, u)
    if sigma is not None:
        B = u.new_empty(steps, *u.shape)
        for b in B.unbind():  # a draw for each step, whether or not a gradient is asked for
            b.normal_(generator=generator)
        drive = drive + sigma * B
    elif read is None:
        drive = drive.expand(steps, *u.shape)
    if mapped:
        return reverse.plain(u, drive, known, gain, leak, phi)
    return reverse.recorded(u, drive, read, known, gain, leak, phi)


def plus_product(rest: Tensor, J: Tensor, f: Tensor) -> Tensor:
    """Return rest + J f (..., N) for f (..., N), rounded as in an orbit."""
    if rest.shape != f.shape:
        return rest + nn.functional.linear(f, J)
    if f.ndim == 1:
        return torch.addmv(rest, J, f)
    if f.ndim == 2:
        return torch.addmm(rest, f, J.T)
    return torch.addmm(rest.flatten(0, -2), f.flatten(0, -2), J.T).view(f.shape)


def _stepped(
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
    kept, last = frame.places(stored), frame.inside(u).contiguous()  # products keep its order
    aside = frame.upright or every > 1  # states that are made elsewhere than they are stored
    spare = itertools.cycle((torch.empty_like(last), torch.empty_like(last)) if aside else ())
    gain, leak = (None if q is None else frame.inside(q) for q in network[1:3])
    plus, rate = frame.product(), frame.rate(network.transfer, gain, last)
    drives = _drives(network, frame, x, u, None if aside else stored, steps)
    kicks = itertools.repeat(None, steps)
    if sigma is not None:
        kicks = _kicks(frame, u, sigma, generator, steps)
    with frame.mode():
        for t, (drive, kick) in enumerate(zip(drives, kicks, strict=True), 1):
            home = None if t % every else kept[t // every - 1]
            place = next(spare) if home is None or frame.upright else home
            f = rate(last)
            if leak is None:
                rest = drive
            elif drive is None:
                rest = torch.mul(leak, last, out=place)
            else:
                rest = torch.addcmul(drive, leak, last, out=place)
            plus(rest, f, place)
            if kick is not None:
                place.add_(kick)
            if home is not None and home is not place:
                home.copy_(place)
            last = place
        last = last.T if frame.upright else last
    return stored, last.reshape(u.shape)


class _Frame:
    """How states (..., N) lie while J acts on them: one (N,), rows (B, N), or columns (N, B)."""

    def __init__(self, J: Tensor | Coupling, u: Tensor) -> None:
        self.J: Matrix | Coupling = _acting(J)
        self.size = u.shape[-1]
        # A product with a vector is faster than with a matrix of one row.
        self.alone = u.numel() == self.size
        self.upright = not self.alone and (isinstance(self.J, Coupling) or self.J.upright)

    def inside(self, value: Tensor) -> Tensor:
        """Return states, or something for each of them or for each neuron, as they lie here."""
        if value.ndim > 1:
            value = value.reshape(self.size if self.alone else (-1, self.size))
        return inside(value, self.upright)

    def places(self, orbit: Tensor) -> tuple[Tensor, ...]:
        """Return the states of an orbit (T, ..., N) as they lie here, without a copy if it can."""
        rows = orbit.reshape(len(orbit), *([self.size] if self.alone else [-1, self.size]))
        return (rows.mT if self.upright else rows).unbind()

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
        B.normal_(generator=generator).mul_(sigma)
        yield lying


def _read(
    network: Network, x: Tensor | None, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor] | None:
    """Return x and W if x is (T, ..., I), with an input for each state of the orbit."""
    W = network.input_weight
    return None if x is None or W is None or x.shape[:-1] != shape else (x, W)


def _drive(network: Network, x: Tensor | None, u: Tensor) -> Tensor:
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
        yield from itertools.repeat(frame.inside(_drive(network, x, u)), steps)
    else:
        room = u.new_empty(min(_BLOCK, steps), *u.shape) if stored is None else stored
        for start in range(0, steps, _BLOCK):
            block = x[start : start + _BLOCK]
            home = (room if stored is None else room[start:])[: len(block)]
            _drive_into(home, network, block, u)
            yield from frame.places(home)


def _drive_into(home: Tensor, network: Network, x: Tensor, u: Tensor) -> None:
    """Write W x - theta (T, ..., N) where the home is; new memory would cost more than the rest."""
    read = _read(network, x, home.shape[:-1])
    if read is None:
        home.copy_(_drive(network, x, u))
        return
    flat, W, out = x.reshape(-1, x.shape[-1]), read[1].T, home.view(-1, home.shape[-1])
    theta = network.threshold
    torch.mm(flat, W, out=out) if theta is None else torch.addmm(-theta, flat, W, out=out)
