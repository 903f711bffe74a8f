r"""The one contract: a dynamics is a map of states.

.. math:: u(t+1) = F(u(t), x(t)) + \sigma B(t), \qquad B_i(t) \sim N(0, 1) \text{ independent.}

Noise that is correlated between neurons has a matrix for sigma, with covariance sigma sigma^T.
The last axis is the state, N numbers; all other axes are independent rows (trials, replicas,
initial conditions).  Row independence is mathematics, not a convenience: a map that mixes rows, as
batch normalisation does, has no exponents per row.

=========  ==========================================  ==========================
symbol     meaning                                     shape
=========  ==========================================  ==========================
``u``      state                                       (..., N)
``x``      drive; None for an autonomous dynamics      (I,) or (T, ..., I)
``V, W``   frames of k tangent or cotangent vectors    (..., N, k)
``sigma``  ``noise``, standard deviation per step      scalar, (N,), or (N, N)
``dt``     time per step: rates are per unit of time   number
=========  ==========================================  ==========================

A drive with one axis is constant; with more, its first axis is time and out[t] = u(t+1) has read
x[t].  The noise of step t is the t-th draw of ``torch.randn`` in the shape, dtype and device of the
state: it depends on nothing else, neither on what is stored nor on who watches.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from sntorch import checks, memory
from sntorch.callables import call, called, input_first, positional, unwrapped
from sntorch.differentiable import Differentiable, brief, transformed
from sntorch.drives import check_drive, drive_at
from sntorch.noise import add_noise, noise_of

__all__ = [
    "Dynamics",
    "FunctionDynamics",
    "IteratedDynamics",
    "as_dynamics",
    "check_bounded",
    "enter",
    "iterate",
    "rollout",
    "step",
]


class Dynamics(Differentiable):
    """A map of states with additive noise: subclass it with `size` and `map`.

    A subclass that knows its own tangent overrides `jvp` and `vjp`, one that knows a fast way to
    make many steps `orbit`, and nothing else.

    Examples
    --------
    >>> class Rotation(Dynamics):  # by 90 degrees
    ...     size = 2
    ...     def map(self, u, x=None):
    ...         return torch.stack([-u[..., 1], u[..., 0]], -1)
    >>> Rotation().jacobian(torch.zeros(2))
    tensor([[-0., -1.],
            [ 1.,  0.]])
    """

    noise: float | Tensor = 0.0
    dt: float = 1.0
    generator: torch.Generator | None = None
    """Source of the noise in `forward`; None is torch's global generator."""

    @abc.abstractmethod
    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) (..., N) for u (..., N), x (..., I): deterministic, no side effect."""

    def orbit(
        self,
        u: Tensor,
        steps: int,
        x: Tensor | None,
        sigma: Tensor | None,
        generator: torch.Generator | None,
        every: int,
    ) -> tuple[Tensor, Tensor]:
        """Return u(every), u(2 every), ... (T, ..., N) and the last state, for `rollout`.

        The arguments are checked.  A subclass that knows a faster way than step by step overrides
        this method; noise must stay the documented stream.
        """
        stored: list[Tensor] = []
        room: Tensor | None = None
        for t in range(steps):
            u = step(self.at(t), u, drive_at(x, t), sigma, generator)
            if t == 0 and not u.requires_grad and not transformed(u):
                room = u.new_empty(steps // every, *u.shape)
            if (t + 1) % every == 0 and room is not None:
                room[t // every] = u  # one by one: a stack at the end would need them twice
            elif (t + 1) % every == 0:
                stored.append(u)
        return (torch.stack(stored) if room is None else room), u

    def at(self, t: int) -> Dynamics:
        """Return the dynamics of step t, itself unless the parameters change (see `schedule`)."""
        return self

    @final
    def forward(self, input: Tensor | None = None, hx: Tensor | None = None) -> Tensor:
        """Make one noisy step from `hx` (..., N) under `input` (..., I), as ``nn.RNNCell`` does.

        Without `hx` the state starts at zeros, without `input` the dynamics is autonomous.  The
        noise comes from ``self.generator``, else from the global generator.
        """
        if hx is None:
            hx = self._zeros(input)
        checks.finite("hx", self.check(hx))
        return step(self, hx, input, noise_of(self, hx), self.generator)

    def check_entry(self, name: str, values: Tensor) -> Tensor:
        """Return `values` if a parameter or buffer may take them; subclasses know domains."""
        return values

    def _value(self, u: Tensor, x: Tensor | None) -> Tensor:
        return self.map(u, x)

    def _zeros(self, input: Tensor | None) -> Tensor:
        if self.size < 0:
            raise ValueError("hx: expected a state, since this dynamics has no size; got None")
        like = input if input is not None else next(self._numbers(), torch.empty(0))
        rows = () if input is None else input.shape[:-1]
        return torch.zeros(*rows, self.size, dtype=like.dtype, device=like.device)


@final
class FunctionDynamics(Dynamics):
    """A callable ``u -> u``, ``(u, x) -> u`` or ``(input, hx) -> hx``; made by `as_dynamics`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        size: int = -1,
        noise: float | Tensor = 0.0,
        dt: float = 1.0,
    ) -> None:
        super().__init__()
        self.fn = fn
        self.size = size if size == -1 else checks.count("size", size)
        self.noise = noise
        self.dt = checks.number("dt", dt, low=0)
        self.arguments = positional(fn)
        self.input_first = input_first(fn)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return fn(u), fn(u, x) or fn(input, hx), checked to have the shape of u."""
        fn = self._turned if self.input_first else self.fn
        try:
            return call("f", fn, self.arguments, u, x)
        except RuntimeError as error:
            inner = [] if transformed(u) else _recurrent_parts(self.fn)
            if not inner:  # a mistake of the user's own shows as it is
                raise
            kind = type(self.fn).__name__
            raise ValueError(
                f"f: expected a map of states, got the module {kind}, which fails on them: "
                f"{brief(error)!r}; its recurrent part is {' or '.join(inner)}"
            ) from error

    def extra_repr(self) -> str:
        """Say which function it is."""
        return called(self.fn, self.size)

    def _turned(self, u: Tensor, x: Tensor) -> Tensor:
        return self.fn(x, u)


@final
class IteratedDynamics(Dynamics):
    """F composed n times under a constant drive; made by `iterate`."""

    def __init__(self, f: Dynamics, n: int) -> None:
        super().__init__()
        self.base = f
        self.n = checks.count("n", n)
        self.size = f.size
        self.dt = n * f.dt

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(F(... u)), n times."""
        for _ in range(self.n):
            u = self.base.map(u, x)
        return u

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Push the frame through the n steps one by one."""
        for _ in range(self.n):
            u, V = self.base.jvp(u, V, x)
        return u, V

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pull the frame back through the n steps, last step first."""
        orbit = [u]
        for _ in range(self.n - 1):
            orbit.append(self.base.map(orbit[-1], x))
        value, W = self.base.vjp(orbit.pop(), W, x)
        while orbit:
            W = self.base.vjp(orbit.pop(), W, x)[1]
        return value, W


@functools.singledispatch
def as_dynamics(
    obj: object,
    *,
    size: int | None = None,
    noise: float | Tensor | None = None,
    dt: float | None = None,
) -> Dynamics:
    """Return `obj` as a `Dynamics`: the one door through which every network enters.

    Accepts a `Dynamics` (returned as it is), torch's recurrent cells and layers, an `SNT` layer,
    what ``torch.compile`` made of them, and any callable ``u -> u`` or ``(u, x) -> u``.  A function
    or module of your own that names its arguments as torch's cells do, ``(input, hx)`` or
    ``(x, h)``, is called in that order.  Register further types with ``as_dynamics.register``.

    Parameters
    ----------
    obj
        The network.
    size
        N, checked against `obj`; for a bare callable, which does not know it, taken as given.
    noise, dt
        Noise per step, scalar, (N,) or (N, N), and time per step; only for objects that have none.

    Raises
    ------
    ValueError
        If `obj` is no dynamics, or carries its own size, noise or dt and another is asked for.

    Examples
    --------
    >>> import sntorch as snt
    >>> logistic = snt.as_dynamics(lambda u: 4 * u * (1 - u))
    >>> logistic.map(torch.tensor([0.25]))
    tensor([0.7500])
    """
    if not callable(obj) or isinstance(obj, type):
        got = f"the class {obj.__name__}" if isinstance(obj, type) else type(obj).__name__
        raise ValueError(f"f: expected a Dynamics, a torch cell or a callable, got {got}")
    if isinstance(obj, torch.jit.ScriptModule):
        raise ValueError("f: expected a module of Python, as it was before torch.jit, got a script")
    inner = unwrapped(obj) if isinstance(obj, nn.Module) else None
    if inner is not None:
        return as_dynamics(inner, size=size, noise=noise, dt=dt)
    return FunctionDynamics(
        obj,
        size=-1 if size is None else size,
        noise=0.0 if noise is None else noise,
        dt=1.0 if dt is None else dt,
    )


def _recurrent_parts(fn: object) -> list[str]:
    """Return the names of torch's recurrent layers and cells inside a module."""
    parts = fn.named_modules() if isinstance(fn, nn.Module) else ()
    kinds = (nn.RNNBase, nn.RNNCellBase, Dynamics)
    return [name for name, part in parts if name and isinstance(part, kinds)]


@as_dynamics.register
def _(
    obj: Dynamics,
    *,
    size: int | None = None,
    noise: float | Tensor | None = None,
    dt: float | None = None,
) -> Dynamics:
    for name, value in (("noise", noise), ("dt", dt)):
        if value is not None:
            raise ValueError(
                f"{name}: expected None, since a Dynamics carries its own; got {value}"
            )
    if size is not None and obj.size not in (-1, size):
        raise ValueError(f"size: expected {obj.size}, that of the dynamics, got {size}")
    return obj


def iterate(f: object, n: int) -> Dynamics:
    """Return f composed n times, whose fixed points are the n-periodic points of f.

    Its noise is 0, since the noise of a composed nonlinear map is not additive (mathematics); its
    `dt` is n times that of f, so that rates stay per unit of time.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.iterate(lambda u: 2 * u, 3).map(torch.ones(1))
    tensor([8.])
    """
    return IteratedDynamics(as_dynamics(f), n)


def rollout(
    f: object,
    u: Tensor,
    steps: int,
    *,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
    every: int = 1,
) -> Tensor:
    """Return the orbit (T, ..., N) of f from u: out[t] is u(t+1), as ``nn.RNN`` returns it.

    Differentiable with respect to u, x and the parameters unless gradients are off.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (..., N).
    steps
        Number of steps.
    x
        Constant drive (I,) or one per step (steps, ..., I).
    generator
        Source of the noise; None is torch's global generator, which advances.
    every
        Store u(every), u(2 every), ... only, so T = steps // every; nothing else changes.

    Raises
    ------
    ValueError
        On wrong arguments, if what is to be stored does not fit the memory, and when the orbit
        leaves the finite numbers: the message names the first step and row.

    Examples
    --------
    >>> rollout(lambda u: u / 2, torch.tensor([8.0]), 3).flatten()
    tensor([4., 2., 1.])
    """
    f, x = enter(f, u, steps, x)
    every = checks.count("every", every, high=steps)
    needed = memory.size_of(steps // every, *u.shape, dtype=u.dtype)
    memory.afford("steps", needed, u.device, "store fewer states with every=")
    checks.generator(generator, u.device)
    stored, last = f.orbit(u, steps, x, noise_of(f, u), generator, every)
    check_bounded(stored, every)
    check_bounded(last[None], steps)  # what `every` left out at the end
    return stored


def step(
    f: Dynamics,
    u: Tensor,
    x: Tensor | None,
    sigma: Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Return F(u, x) + sigma B, the one place where noise is added; `sigma` is from `noise_of`."""
    return add_noise(f.map(u, x), sigma, generator)


def enter(
    f: object, u: Tensor, steps: int | None = None, x: Tensor | None = None
) -> tuple[Dynamics, Tensor | None]:
    """Check what all questions have in common and return the dynamics and its drive.

    Raises
    ------
    ValueError
        Naming the argument: f no dynamics, u of another size, dtype or device or not finite,
        steps < 1, x not a drive of `steps` steps whose rows are those of u.
    """
    if isinstance(u, tuple):
        raise ValueError("u: expected a torch.Tensor, as as_dynamics(f).join makes; got a tuple")
    checks.floating("u", u, ndim=1)
    dynamics = as_dynamics(f)
    checks.finite("u", dynamics.check(u))
    if steps is not None:
        dynamics.at(checks.count("steps", steps) - 1)  # a schedule says if it is too short
    if x is not None:
        check_drive(x, u, steps)
    return dynamics, x


def check_bounded(orbit: Tensor, every: int = 1) -> None:
    """Refuse an orbit (T, ..., N) of every so many steps that is not finite, with step and row."""
    if math.isfinite(orbit.detach().sum().item()):  # one pass; only finite numbers have such a sum
        return
    finite = torch.isfinite(orbit).all(-1)
    if bool(finite.all()):
        return
    index = (~finite).nonzero()[0].tolist()
    moment = f"by step {(index[0] + 1) * every}"
    place = f" in row {tuple(index[1:])}" if index[1:] else ""
    raise ValueError(
        f"u: expected a bounded orbit, got numbers that are not finite {moment}{place}"
    )
