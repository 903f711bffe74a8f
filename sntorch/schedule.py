r"""A network whose parameters change in time: thresholds that ramp, couplings that switch.

.. math:: u(t+1) = F_{p(t)}(u(t), x(t)) + \sigma B(t), \qquad p(t) \text{ given for } t = 0 ... T-1.

A drive x is one way to be non-autonomous and needs nothing from here; this is the other one, for
any parameter or buffer of any network.  ``f.at(t)`` is the dynamics of step t, an ordinary
`Dynamics` with the tangent of f; `rollout` and the Lyapunov exponents ask for it at every step.
Questions about one map, such as its fixed points, are put to ``f.at(t)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics

__all__ = ["Scheduled", "scheduled"]

_NOISE = ("noise", "raw_noise")  # read once per orbit


@final
class Scheduled(Dynamics):
    """A dynamics with parameters given for every step; made by `scheduled`."""

    def __init__(self, f: Dynamics, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.base = f
        self.size = f.size
        self.dt = f.dt
        self.names = tuple(values)
        self.horizon = _check(f, values)
        for i, value in enumerate(values.values()):
            self.register_buffer(f"values{i}", value)

    @property
    def noise(self) -> float | Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Standard deviation of the noise per step, that of the base."""
        return self.base.noise

    def at(self, t: int) -> Dynamics:
        """Return the dynamics of step t, counted from 0.

        Raises
        ------
        ValueError
            If the schedule has no step t.
        """
        if not 0 <= t < self.horizon:
            raise ValueError(f"t: expected 0 <= t < {self.horizon}, the steps scheduled, got {t}")
        return _Moment(self, t)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Refuse: the map depends on the step, ``f.at(t).map(u, x)``."""
        raise ValueError("f: expected one map, got parameters that change in time; use f.at(t)")

    def call(self, t: int, method: str, *arguments: Any) -> Any:
        """Return what a method of the base gives with the parameters of step t."""
        values = {f"f.{name}": getattr(self, f"values{i}")[t] for i, name in enumerate(self.names)}
        return torch.func.functional_call(_Caller(self.base), values, (method, *arguments))

    def extra_repr(self) -> str:
        """Say what changes and for how long."""
        return f"{', '.join(self.names)}: {self.horizon} steps"


@final
class _Moment(Dynamics):
    """A scheduled dynamics at one step."""

    def __init__(self, schedule: Scheduled, t: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.t = t
        self.size = schedule.size
        self.dt = schedule.dt

    @property
    def noise(self) -> float | Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.schedule.noise

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        return self.schedule.call(self.t, "map", u, x)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.schedule.call(self.t, "jvp", u, V, x)

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.schedule.call(self.t, "vjp", u, W, x)

    def linearise(self, u: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.schedule.call(self.t, "linearise", u, x)


class _Caller(nn.Module):
    """Any method of a dynamics as the forward that torch's functional call needs."""

    def __init__(self, f: Dynamics) -> None:
        super().__init__()
        self.f = f

    def forward(self, method: str, *arguments: Any) -> Any:
        return getattr(self.f, method)(*arguments)


def scheduled(f: object, values: Mapping[str, Tensor]) -> Scheduled:
    """Return f with some of its parameters or buffers given anew for every step.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    values
        For each name, as in ``state_dict``, a tensor whose first axis is time and whose other axes
        are those of the parameter, e.g. ``{"threshold": (T, N), "coupling": (T, N, N)}``.  Where
        the cell holds a single number, one per neuron (T, N) will do.  Gradients flow into them.

    Raises
    ------
    ValueError
        If a name is unknown or is that of the noise, which is constant in time, or a tensor does
        not fit, is not finite, or leaves the domain of the quantity.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(50))
    >>> ramp = torch.linspace(0, 1, 30).unsqueeze(-1).expand(30, 50)
    >>> snt.rollout(snt.scheduled(cell, {"threshold": ramp}), torch.zeros(50), 30).shape
    torch.Size([30, 50])
    """
    return Scheduled(as_dynamics(f), values)


def _check(f: Dynamics, values: Mapping[str, Tensor]) -> int:
    """Return the number of steps, on which all tensors must agree."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(f"values: expected names with tensors, got {values!r}")
    known = {**dict(f.named_parameters()), **dict(f.named_buffers())}
    horizon = -1
    for name, value in values.items():
        _check_one(f, name, value, known)
        horizon = len(value) if horizon < 0 else horizon
        if len(value) != horizon:
            raise ValueError(f"{name}: expected {horizon} steps, as the others, got {len(value)}")
    return horizon


def _check_one(f: Dynamics, name: str, value: Tensor, known: Mapping[str, Tensor]) -> None:
    if name not in known or name in _NOISE:
        names = sorted(set(known) - set(_NOISE))
        raise ValueError(f"values: expected names among {', '.join(names)}, got {name!r}")
    kept = known[name]
    checks.same_kind(name, checks.floating(name, value, ndim=1), kept, "the dynamics")
    shape = value.shape[1:]
    if shape != kept.shape and not (kept.ndim == 0 and shape == (f.size,)):
        expected = ", ".join(["T", *map(str, kept.shape or (max(f.size, 1),))])
        raise ValueError(f"{name}: expected ({expected}), got {tuple(value.shape)}")
    f.check_entry(name, checks.finite(name, value))
