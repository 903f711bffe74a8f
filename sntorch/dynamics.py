r"""The one contract: a dynamics is a map of states.

.. math:: u(t+1) = F(u(t), x(t)) + \sigma B(t), \qquad B_i(t) \sim N(0, 1) \text{ independent.}

The last axis is the state, N numbers; all other axes are independent rows (trials, replicas,
initial conditions).  Row independence is mathematics, not a convenience: a map that mixes rows, as
batch normalisation does, has no exponents per row.

=========  ==========================================  =======================
symbol     meaning                                     shape
=========  ==========================================  =======================
``u``      state                                       (..., N)
``x``      drive; None for an autonomous dynamics      (I,) or (T, ..., I)
``V, W``   frames of k tangent or cotangent vectors    (..., N, k)
``sigma``  ``noise``, standard deviation per step      scalar or (N,)
``dt``     time per step: rates are per unit of time   number
=========  ==========================================  =======================

A drive with one axis is constant; with more, its first axis is time and out[t] = u(t+1) has read
x[t].  The noise of step t is the t-th draw of ``torch.randn`` in the shape, dtype and device of the
state: it depends on nothing else, neither on what is stored nor on who watches.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from sntorch import checks

__all__ = [
    "CompiledTangents",
    "Dynamics",
    "FunctionDynamics",
    "IteratedDynamics",
    "as_dynamics",
    "compile_tangents",
    "drive_at",
    "enter",
    "iterate",
    "noise_of",
    "observing",
    "rollout",
    "step",
]


MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)


class Dynamics(nn.Module, abc.ABC):
    """A map of states with additive noise: subclass it with `size` and `map`.

    `jvp` and `vjp` work for every map by ``torch.func``; a subclass that knows its own tangent
    overrides them, and nothing else.  `size` is N; -1 means that the state tells.
    """

    size: int
    noise: float | Tensor = 0.0
    dt: float = 1.0
    generator: torch.Generator | None = None
    """Source of the noise in `forward`; None is torch's global generator."""

    @abc.abstractmethod
    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) (..., N) for u (..., N), x (..., I): deterministic, no side effect."""

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F(u, x) (..., N) and DF V (..., N, k) for V (..., N, k), by forward mode."""
        u, V, x = _plain(self.check_frame("V", u, V)), _plain(V), _plain(x)
        with torch.inference_mode(False):
            try:
                return _push(self.map, u, V, x)
            except RuntimeError as error:
                self.map(u, x)  # a mistake in the map itself shows here, as it is
                raise ValueError(
                    "f: expected a map that torch can differentiate in forward mode, got "
                    f"{_brief(error)!r}; use plain operations, or override jvp"
                ) from error

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F(u, x) (..., N) and DF^T W (..., N, k) for W (..., N, k), by reverse mode."""
        u, W, x = _plain(self.check_frame("W", u, W)), _plain(W), _plain(x)
        # Inside inference mode nothing is recorded for a reverse pass.
        with torch.inference_mode(False):
            pullback: Any = torch.func.vjp(lambda s: self.map(s, x), u)
            value, pull = pullback
            return value, torch.vmap(lambda w: pull(w)[0], in_dims=-1, out_dims=-1)(W)

    @final
    def jacobian(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return DF (..., N, N) at u (..., N): entry [i, j] is dF_i / du_j."""
        self.check(u)
        eye = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        return self.jvp(u, eye.expand(*u.shape, u.shape[-1]), x)[1]

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

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state: floating, last axis N, kind of the parameters.

        Raises
        ------
        ValueError
            If it cannot, with what was expected and what came.
        """
        checks.floating("u", u, ndim=1)
        if self.size not in (-1, u.shape[-1]):
            raise ValueError(f"u: expected {self.size} on the last axis, got {tuple(u.shape)}")
        like = next(self._numbers(), None)
        return u if like is None else checks.same_kind("u", u, like, "the parameters")

    def check_frame(self, name: str, u: Tensor, V: Tensor) -> Tensor:
        """Return `u` if it can be a state and `V` a frame (..., N, k) of vectors at it.

        Raises
        ------
        ValueError
            If not; the frame is called `name`.
        """
        self.check(u)
        if V.ndim != u.ndim + 1 or V.shape[:-1] != u.shape:
            raise ValueError(f"{name}: expected (*{tuple(u.shape)}, k), got {tuple(V.shape)}")
        return u

    def _numbers(self) -> Iterator[Tensor]:
        yield from (p for p in self.parameters() if p.is_floating_point())
        yield from (b for b in self.buffers() if b.is_floating_point())

    def _zeros(self, input: Tensor | None) -> Tensor:
        if self.size < 0:
            raise ValueError("hx: expected a state, since this dynamics has no size; got None")
        like = input if input is not None else next(self._numbers(), torch.empty(0))
        rows = () if input is None else input.shape[:-1]
        return torch.zeros(*rows, self.size, dtype=like.dtype, device=like.device)


@final
class FunctionDynamics(Dynamics):
    """A callable ``u -> u`` or ``(u, x) -> u`` as a dynamics; made by `as_dynamics`."""

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
        self._fewest, self._most = _positional(fn)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return fn(u) or fn(u, x), checked to have the shape of u."""
        if x is None and self._fewest > 1:
            raise ValueError("x: expected a drive, since the function takes (u, x); got None")
        if x is not None and self._most < 2:
            raise ValueError("x: expected None, since the function takes u alone; got a drive")
        value = self.fn(u) if x is None else self.fn(u, x)
        if not isinstance(value, Tensor):
            raise ValueError(f"f: expected the next state, a Tensor, got {type(value).__name__}")
        if value.shape != u.shape:
            expected, got = tuple(u.shape), tuple(value.shape)
            raise ValueError(f"f: expected a state of the same shape {expected}, got {got}")
        return value


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


@final
class CompiledTangents(Dynamics):
    """The same dynamics with compiled tangents; made by `compile_tangents`."""

    def __init__(self, f: Dynamics) -> None:
        super().__init__()
        self.base = f
        self.size, self.noise, self.dt, self.generator = f.size, f.noise, f.dt, f.generator
        self._compiled: Callable[..., tuple[Tensor, Tensor]] | None = None

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) of the base."""
        return self.base.map(u, x)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V by compiled code; where gradients are recorded, as the base does."""
        if torch.is_grad_enabled():
            return self.base.jvp(u, V, x)
        u, V, x = _plain(self.check_frame("V", u, V)), _plain(V), _plain(x)
        if self._compiled is None:
            self._compiled = _compile_push()
        with torch.inference_mode(False):
            try:
                return self._compiled(self.base.map, u, V, x)
            except RuntimeError as error:
                self.base.jvp(u, V, x)  # a mistake in the map itself shows here, as it is
                raise RuntimeError(
                    "f: torch.compile failed, which needs a C++ compiler and a map of plain "
                    f"operations: {_brief(error)!r}; use f without compile_tangents"
                ) from error

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF^T W of the base."""
        return self.base.vjp(u, W, x)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None}  # a copy compiles for itself


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
    and any callable ``u -> u`` or ``(u, x) -> u``.  Register further types with
    ``as_dynamics.register``.

    Parameters
    ----------
    obj
        The network.
    size
        N, checked against `obj`; for a bare callable, which does not know it, taken as given.
    noise, dt
        Noise per step, scalar or (N,), and time per step; only for objects that have none.

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
    if not callable(obj):
        raise ValueError(
            f"f: expected a Dynamics, a torch cell or a callable, got {type(obj).__name__}"
        )
    return FunctionDynamics(
        obj,
        size=-1 if size is None else size,
        noise=0.0 if noise is None else noise,
        dt=1.0 if dt is None else dt,
    )


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


def compile_tangents(f: object) -> Dynamics:
    """Return f with `jvp` compiled by torch: some seconds at first, then several times faster.

    Worth it for functions and modules of one's own that are asked for thousands of tangents, as
    `analysis.lyapunov_spectrum` does; SNT cells and torch's networks know their tangents and are
    faster without.  Every new shape of state and frame is compiled anew, up to torch's limit of 8.
    Where gradients are recorded, as in `analysis.growth_rates`, the tangents are those of f.

    Raises
    ------
    RuntimeError
        From the first `jvp`, where torch cannot compile, for instance without a C++ compiler.
    """
    return CompiledTangents(as_dynamics(f))


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
        On wrong arguments, and when the orbit leaves the finite numbers: the message names the
        first step and row.
    """
    f, x = enter(f, u, steps, x)
    every = checks.count("every", every, high=steps)
    checks.generator(generator, u.device)
    sigma = noise_of(f, u)
    orbit: list[Tensor] = []
    for t in range(steps):
        u = step(f, u, drive_at(x, t), sigma, generator)
        if (t + 1) % every == 0:
            orbit.append(u)
    stored = torch.stack(orbit)
    _check_bounded(stored, every)
    _check_bounded(u[None], steps)  # what `every` left out at the end
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


def add_noise(u: Tensor, sigma: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """Return u + sigma B with one contiguous draw of B in the shape of u."""
    if sigma is None:
        return u
    return u + sigma * torch.randn(u.shape, dtype=u.dtype, device=u.device, generator=generator)


def noise_of(f: Dynamics, u: Tensor) -> Tensor | None:
    """Return the noise of f as a tensor like u, scalar or (N,); None where it is zero throughout.

    Raises
    ------
    ValueError
        If the noise is negative, not finite, or of a shape that is neither () nor (N,).
    """
    sigma = torch.as_tensor(f.noise, dtype=u.dtype, device=u.device)
    if sigma.shape not in (torch.Size(()), u.shape[-1:]):
        raise ValueError(f"noise: expected a number or ({u.shape[-1]},), got {tuple(sigma.shape)}")
    checks.finite("noise", sigma)
    if bool((sigma < 0).any()):
        raise ValueError(f"noise: expected >= 0, got {float(sigma.min())}")
    return sigma if sigma.requires_grad or bool((sigma > 0).any()) else None


def drive_at(x: Tensor | None, t: int) -> Tensor | None:
    """Return the drive of step t: x itself where it is None or constant (I,), else x[t]."""
    return x if x is None or x.ndim == 1 else x[t]


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
    checks.floating("u", u, ndim=1)
    dynamics = as_dynamics(f)
    checks.finite("u", dynamics.check(u))
    if steps is not None:
        checks.count("steps", steps)
    if x is not None:
        _check_drive(x, u, steps)
    return dynamics, x


@contextlib.contextmanager
def observing(f: nn.Module, u: Tensor) -> Iterator[None]:
    """Look at f from states u and leave no trace: the context in which every analysis runs.

    No gradients are recorded, modules are in evaluation mode, and afterwards modes and torch's
    global generators are as they were.  Noise drawn inside without a generator therefore repeats
    from call to call until the user's own program draws from the global generator.  Leaves
    inference mode, in which reverse derivatives would be zero, for the time being.
    """
    parts = list(f.modules())
    modes = [part.training for part in parts]
    cuda = [u.device] if u.is_cuda else []
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(cuda):
        try:
            for part in parts:
                part.training = False
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode


def _check_drive(x: Tensor, u: Tensor, steps: int | None) -> None:
    checks.finite("x", checks.same_kind("x", checks.floating("x", x, ndim=1), u, "the state"))
    if x.ndim == 1 or steps is None:
        return
    if x.shape[0] != steps:
        raise ValueError(
            f"x: expected (I,) or ({steps}, ..., I), one row per step, got {tuple(x.shape)}"
        )
    rows = u.shape[:-1]
    try:
        fits = torch.broadcast_shapes(x.shape[1:-1], rows) == rows
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"x: expected batch axes that fit {tuple(rows)}, got {tuple(x.shape[1:-1])}"
        )


def _check_bounded(orbit: Tensor, every: int) -> None:
    finite = torch.isfinite(orbit).all(-1)
    if bool(finite.all()):
        return
    index = (~finite).nonzero()[0].tolist()
    moment = f"by step {(index[0] + 1) * every}"
    place = f" in row {tuple(index[1:])}" if index[1:] else ""
    raise ValueError(
        f"u: expected a bounded orbit, got numbers that are not finite {moment}{place}"
    )


def _push(
    map: Callable[[Tensor, Tensor | None], Tensor], u: Tensor, V: Tensor, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return F(u, x) and DF V, one forward derivative per column."""

    def push(v: Tensor) -> Any:
        return torch.func.jvp(lambda s: map(s, x), (u,), (v,))

    columns: Any = (None, -1)  # F does not depend on the column
    value, pushed = torch.vmap(push, in_dims=-1, out_dims=columns)(V)
    # Inside vmap, numbers taken from a single state promote to the default of Python's floats.
    return value, pushed.to(V.dtype)


def _compile_push() -> Callable[..., tuple[Tensor, Tensor]]:
    # Torch compiles a code object a few times only: every dynamics gets one of its own.
    own = types.FunctionType(_push.__code__.replace(), _push.__globals__, "_push")
    return torch.compile(own, fullgraph=True, dynamic=False)


def _brief(error: Exception) -> str:
    """Return the first two lines, the second of which names the cause where torch wraps it."""
    return " ".join(str(error).strip().splitlines()[:2]) or type(error).__name__


def _plain(value: MaybeTensor) -> MaybeTensor:
    """Clone a tensor born in inference mode, which derivatives could not use outside it."""
    if value is None or not value.is_inference():
        return value
    with torch.inference_mode(False):
        return value.clone()


def _positional(fn: Callable[..., Any]) -> tuple[int, int]:
    """Return the least and largest number of positional arguments that fn takes, at most 2."""
    target = fn.forward if isinstance(fn, nn.Module) else fn
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return 1, 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    slots = [p for p in parameters if p.kind in kinds]
    fewest = sum(p.default is inspect.Parameter.empty for p in slots)
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return fewest, 2 if many else len(slots)
