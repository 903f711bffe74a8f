r"""Continuous time: a flow is a drift with a diffusion, and an integrator makes it a map.

.. math:: du = F(u, x)\,dt + \sqrt{2D}\,dW

==========  =================================================  ===========================
symbol      meaning                                            shape
==========  =================================================  ===========================
``F``       ``drift``, per unit of time                        (..., N)
``D``       ``diffusion``, symmetric, no negative eigenvalue   scalar, (N,) or (N, N)
``L``       ``noise`` of the map, :math:`LL^T = 2D\,dt`        as D
``dt``      time per step, in which the drive x is constant    number
==========  =================================================  ===========================

D is the diffusion constant of physics: F = 0 spreads a point to the covariance 2 D t.  It does not
depend on the state, so that Ito and Stratonovich agree.  For a matrix D, L is its symmetric root:
a diagonal matrix and its diagonal draw the same noise.

An integrator is a `Dynamics` with that `dt`: every analysis takes it and reports rates per unit of
time.  `EulerMaruyama` has order 1.  `RungeKutta4` has order 4 without noise; with noise it follows
the drift by Runge-Kutta and adds the increment of Euler-Maruyama at the end of the step, which has
weak order 1 with an error O(dt^4 + D dt), small where the noise is.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, NoReturn, final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.callables import call, called, positional
from sntorch.differentiable import Differentiable
from sntorch.dynamics import Dynamics, as_dynamics

__all__ = ["EulerMaruyama", "Flow", "FunctionFlow", "RungeKutta4", "as_flow"]

Diffusion = float | Tensor


class Flow(Differentiable):
    """A drift F with additive noise in continuous time: subclass it with `size` and `drift`.

    ``jvp``, ``vjp`` and ``jacobian`` are those of the drift.  They work for every drift by
    ``torch.func``; a subclass that knows its own tangent overrides `jvp` and `vjp`, and nothing
    else.  A flow is no map: give `EulerMaruyama` or `RungeKutta4` of it to an analysis.

    Examples
    --------
    >>> import sntorch as snt
    >>> class Pendulum(snt.Flow):
    ...     size = 2
    ...
    ...     def drift(self, u, x=None):
    ...         angle, speed = u.unbind(-1)
    ...         return torch.stack([speed, -torch.sin(angle)], -1)
    >>> f = snt.RungeKutta4(Pendulum(), dt=2 * torch.pi / 100)  # the period of small swings
    >>> start = torch.tensor([0.01, 0.0])
    >>> bool((snt.rollout(f, start, 100)[-1] - start).abs().max() < 1e-6)
    True
    """

    diffusion: Diffusion = 0.0

    @abc.abstractmethod
    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return du/dt = F(u, x) (..., N) for u (..., N), x (..., I), without side effect."""

    def _value(self, u: Tensor, x: Tensor | None) -> Tensor:
        return self.drift(u, x)


@final
class FunctionFlow(Flow):
    """A callable ``u -> du/dt`` or ``(u, x) -> du/dt`` as a flow; made by `as_flow`.

    Examples
    --------
    >>> decay = as_flow(lambda u: -u, diffusion=0.5)
    >>> decay.drift(torch.tensor([2.0])), decay.diffusion
    (tensor([-2.]), 0.5)
    """

    def __init__(
        self, fn: Callable[..., Any], *, size: int = -1, diffusion: Diffusion = 0.0
    ) -> None:
        super().__init__()
        self.fn = fn
        self.size = size if size == -1 else checks.count("size", size)
        self.diffusion = checked_diffusion(diffusion, size)
        self.arguments = positional(fn)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return fn(u) or fn(u, x), checked to have the shape of u."""
        return call("drift", self.fn, self.arguments, u, x)

    def extra_repr(self) -> str:
        """Say which function it is."""
        return called(self.fn, self.size)


def as_flow(obj: object, *, size: int | None = None, diffusion: Diffusion | None = None) -> Flow:
    """Return `obj` as a `Flow`: the door through which every flow enters an integrator.

    Parameters
    ----------
    obj
        A `Flow` (returned as it is), or any callable ``u -> du/dt`` or ``(u, x) -> du/dt``.
    size
        N, checked against a `Flow`; for a callable, which does not know it, taken as given.
    diffusion
        D, scalar, (N,) or (N, N); only for a callable.

    Raises
    ------
    ValueError
        If `obj` is no flow (a map is none), D is no diffusion, or a `Flow`, which carries its own
        size and D, is asked for another.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.flows.as_flow(lambda u: -u, diffusion=0.5)
    >>> snt.EulerMaruyama(flow, dt=0.01).noise
    0.1
    """
    if isinstance(obj, Dynamics) or not callable(obj):
        kind = type(obj).__name__
        raise ValueError(f"flow: expected a Flow or a callable u -> du/dt, no map, got {kind}")
    if not isinstance(obj, Flow):
        size, diffusion = -1 if size is None else size, 0.0 if diffusion is None else diffusion
        return FunctionFlow(obj, size=size, diffusion=diffusion)
    if diffusion is not None:
        raise ValueError(f"diffusion: expected None, since a Flow has its own; got {diffusion}")
    if size is not None and obj.size not in (-1, size):
        raise ValueError(f"size: expected {obj.size}, that of the flow, got {size}")
    return obj


@as_dynamics.register
def _(obj: Flow, **_settings: object) -> NoReturn:
    kind = type(obj).__name__
    raise ValueError(
        f"f: expected a map, got the flow {kind}; EulerMaruyama or RungeKutta4 makes it one"
    )


class _Integrator(Dynamics):
    """What integrators share: a flow, the time of a step, and the noise of a step."""

    def __init__(self, flow: object, dt: float) -> None:
        super().__init__()
        self.flow = as_flow(flow)
        self.size = self.flow.size
        self.dt = checks.positive("dt", dt)
        checked_diffusion(self.flow.diffusion, self.size)

    @property
    def noise(self) -> Diffusion:  # pyright: ignore[reportIncompatibleVariableOverride]
        """L with L L^T = 2 D dt, from the diffusion that the flow has now: scalar, (N,), (N, N)."""
        D = checked_diffusion(self.flow.diffusion, self.size)
        if not isinstance(D, Tensor):
            return math.sqrt(2 * D * self.dt)
        if D.ndim < 2:
            return (2 * D * self.dt).sqrt()
        values, vectors = torch.linalg.eigh(2 * D * self.dt)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


@final
class EulerMaruyama(_Integrator):
    """The map u + F(u, x) dt with noise L B, L L^T = 2 D dt: order 1, strong and weak.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts.
    dt
        Time per step.

    Raises
    ------
    ValueError
        If `flow` is no flow, its diffusion is none, or dt is not a finite number > 0.

    References
    ----------
    G. Maruyama, Rend. Circ. Mat. Palermo 4 (1955) 48.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.EulerMaruyama(lambda u: -u, dt=0.1)
    >>> f.map(torch.ones(2))
    tensor([0.9000, 0.9000])
    """

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return u + F(u, x) dt."""
        return u + self.dt * self.flow.drift(u, x)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the next state and V + DF V dt."""
        rate, pushed = self.flow.jvp(u, V, x)
        return u + self.dt * rate, V + self.dt * pushed

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the next state and W + DF^T W dt."""
        rate, pulled = self.flow.vjp(u, W, x)
        return u + self.dt * rate, W + self.dt * pulled

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return the next state and the function W -> W + DF^T W dt."""
        rate, pull = self.flow.pullback(u, x)
        return u + self.dt * rate, lambda W: W + self.dt * pull(W)

    def extra_repr(self) -> str:
        """Say what a step is."""
        return f"dt={self.dt:.4g}"


@final
class RungeKutta4(_Integrator):
    """The classical Runge-Kutta map: order 4 without noise, weak order 1 with it.

    The noise of the whole step is added at its end; the error of its law is O(D dt), that of the
    path without noise O(dt^4).

    Parameters
    ----------
    flow
        Anything `as_flow` accepts.
    dt
        Time per step.
    substeps
        Runge-Kutta steps of length dt / substeps that make one step.

    Raises
    ------
    ValueError
        If `flow` is no flow, its diffusion is none, dt is not a finite number > 0, or substeps < 1.

    References
    ----------
    W. Kutta, Z. Math. Phys. 46 (1901) 435.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.RungeKutta4(snt.systems.Lorenz(), dt=0.01)
    >>> u = torch.randn(32, 3, dtype=torch.float64)
    >>> found = snt.analysis.lyapunov_spectrum(f, u, 100, transient=50)
    >>> print(f"{found.exponents.sum(-1).mean():.3f}")  # -(sigma + 1 + beta), per unit of time
    -13.667
    """

    def __init__(self, flow: object, dt: float, substeps: int = 1) -> None:
        super().__init__(flow, dt)
        self.substeps = checks.count("substeps", substeps)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the state after dt under the constant drive x."""
        return self._integrate(lambda s: (self.flow.drift(s[0], x),), u)[0]

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the next state and the frame, pushed along by the variational equation."""
        # The scheme on (u, V) with dV/dt = DF V is the exact derivative of the scheme on u.
        u, V = self._integrate(lambda s: self.flow.jvp(s[0], s[1], x), u, V)
        return u, V

    def extra_repr(self) -> str:
        """Say what a step is."""
        return f"dt={self.dt:.4g}, substeps={self.substeps}"

    def _integrate(
        self, rate: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]], *state: Tensor
    ) -> tuple[Tensor, ...]:
        h = self.dt / self.substeps
        for _ in range(self.substeps):
            k1 = rate(state)
            k2 = rate(_moved(state, h / 2, k1))
            k3 = rate(_moved(state, h / 2, k2))
            k4 = rate(_moved(state, h, k3))
            slopes = zip(k1, k2, k3, k4, strict=True)
            mean = tuple((a + 2 * (b + c) + d) / 6 for a, b, c, d in slopes)
            state = _moved(state, h, mean)
        return state


def checked_diffusion(D: object, size: int) -> Diffusion:
    """Return D if it can be a diffusion of `size` neurons, -1 for any number of them.

    Raises
    ------
    ValueError
        If D is neither scalar, (N,) nor (N, N), not finite, negative, or a matrix that is not
        symmetric with eigenvalues >= 0 up to rounding.
    """
    if not isinstance(D, Tensor):
        return checks.number("diffusion", D, low=0)
    checks.floating("diffusion", D)
    n = D.shape[-1] if size < 0 and D.ndim else size
    if D.shape not in ((), (n,), (n, n)):
        raise ValueError(f"diffusion: expected {_shapes(size)}, got {tuple(D.shape)}")
    checks.finite("diffusion", D)
    if D.ndim == 2:
        _check_semi_definite(D.detach())
    elif bool((D < 0).any()):
        raise ValueError(f"diffusion: expected >= 0, got {float(D.min())}")
    return D


def _shapes(size: int) -> str:
    return "a number, (N,) or (N, N)" if size < 0 else f"a number, ({size},) or ({size}, {size})"


def _check_semi_definite(D: Tensor) -> None:
    rounding = 10 * len(D) * torch.finfo(D.dtype).eps * float(D.abs().max())
    if float((D - D.mT).abs().max()) > rounding:
        raise ValueError("diffusion: expected a symmetric matrix, got one that is not")
    lowest = float(torch.linalg.eigvalsh(D).min())
    if lowest < -rounding:
        raise ValueError(f"diffusion: expected eigenvalues >= 0, got {lowest:.4g}")


def _moved(state: tuple[Tensor, ...], h: float, rate: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part + h * slope for part, slope in zip(state, rate, strict=True))
