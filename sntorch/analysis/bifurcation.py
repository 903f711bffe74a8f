r"""Bifurcations: how a fixed point moves, and where it changes stability, as a parameter moves.

The branch of fixed points F_p(u) = u is followed by pseudo-arclength, so that folds, where p turns
back, are points like all others (see `continuation`); `events` says which bifurcations there are
and how they are found.  At a pitchfork a second branch leaves along +-v, the null vector of DF - 1:
`switch_branch` follows it.  Cycles are fixed points of ``iterate(f, n)``, for which the flip of f
is a pitchfork.

The walk begins at the first of the given values and ends where the branch leaves their window, on
either side, where it closes upon itself, and where Newton's method finds nothing further: there the
branch or the domain of the parameter ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.continuation import Curve, NotFound, Point, family
from sntorch.analysis.events import Event, events_between, null_vectors
from sntorch.analysis.fixed_points import find_fixed_points, noise_level
from sntorch.analysis.stability import Stability
from sntorch.dynamics import enter
from sntorch.results import Result

__all__ = ["Branch", "continue_fixed_point", "switch_branch"]

_LONGEST = 0.02  # longest step in scaled coordinates, where the window is 1 wide
_TURN = 0.9  # least cosine between two tangents


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Branch(Stability, Result):
    """A curve of fixed points in the order in which it was followed."""

    parameter: Tensor
    """(P,); turns back at folds."""
    states: Tensor
    """(P, N)."""
    eigenvalues: Tensor
    """(P, N) complex, multipliers per step, largest modulus first."""
    events: tuple[Event, ...]
    """The bifurcations, in the same order."""
    name: str
    """Name of the parameter."""
    note: str
    """Why the branch ends: at the end of the window, closed upon itself, or lost."""
    noise: float = 0.0
    """Largest noise of the dynamics per step; it is left out: these are fixed points of F."""

    def scalars(self) -> dict[str, float]:
        """Return the share of stable points and the number of bifurcations."""
        return {"stable": float(self.stable.double().mean()), "events": float(len(self.events))}


def continue_fixed_point(
    f: object,
    u: Tensor,
    parameter: str | Callable[[float], object],
    values: Sequence[float] | Tensor,
    *,
    x: Tensor | None = None,
    steps: int = 1000,
) -> Branch:
    """Return the branch of fixed points of f through the one near u, with its bifurcations.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; None if `parameter` is a function.  It is left as it is.
    u
        A state (N,) near a fixed point at the first value; Newton's method improves it.
    parameter
        Name of a parameter or buffer, as in ``state_dict``: a single number, such as ``"gain"``,
        takes the values; a larger tensor, such as ``"coupling"`` or a gain per neuron, is
        multiplied by them, so that 1 is the model as it is.  Or a function ``value -> dynamics``.
    values
        Where to start, and then which way to go; smallest and largest are the window, in which
        the branch is followed, also backwards after a fold, until it leaves.  Their mean distance
        is the longest step, at most 1/50 of the window; points are closer where the branch bends.
    x
        Constant drive (I,).
    steps
        Number of points at most.

    Raises
    ------
    ValueError
        On wrong arguments, and if there is no fixed point near u at the first value.

    References
    ----------
    H. B. Keller, in: Applications of Bifurcation Theory, Academic Press 1977, p. 359;
    Yu. A. Kuznetsov, Elements of Applied Bifurcation Theory, Springer 2004, chapters 4 and 10.

    Examples
    --------
    >>> import sntorch as snt
    >>> u = torch.tensor([0.6], dtype=torch.float64)
    >>> branch = snt.analysis.continue_fixed_point(None, u, snt.systems.Logistic, [2.5, 3.5])
    >>> [(event.kind, round(event.parameter, 8)) for event in branch.events]
    [('flip', 3.0)]
    """
    path = _Path(f, u, parameter, values, x, steps)
    first = path.start(u)
    return path.follow([first])


def switch_branch(
    f: object,
    event: Event,
    parameter: str | Callable[[float], object],
    values: Sequence[float] | Tensor,
    *,
    x: Tensor | None = None,
    steps: int = 1000,
) -> tuple[Branch, Branch]:
    """Return the two halves of the branch that crosses at a pitchfork, from there outwards.

    Parameters
    ----------
    f, parameter, values, x, steps
        As in `continue_fixed_point`; here `values` only say window and step.
    event
        A pitchfork from ``Branch.events``.

    Raises
    ------
    ValueError
        On wrong arguments, events of another kind among them, and if no second branch is found.

    Examples
    --------
    >>> import sntorch as snt
    >>> f, gains = lambda g: lambda u: torch.tanh(g * u), [0.5, 1.5]
    >>> trivial = snt.analysis.continue_fixed_point(None, torch.zeros(1).double(), f, gains)
    >>> up, down = snt.analysis.switch_branch(None, trivial.events[0], f, gains)
    >>> up.states[-1] + down.states[-1]
    tensor([0.], dtype=torch.float64)
    """
    if not isinstance(event, Event) or event.kind != "pitchfork":
        kind = event.kind if isinstance(event, Event) else type(event).__name__
        raise ValueError(f"event: expected a pitchfork, got {kind}")
    path = _Path(f, event.state, parameter, values, x, steps)
    up, down = (path.follow(path.branch_off(event, sign)) for sign in (1.0, -1.0))
    return up, down


class _Path:
    """What both questions share: the curve, its window, and the walk along it."""

    def __init__(
        self,
        f: object,
        u: Tensor,
        parameter: str | Callable[[float], object],
        values: Sequence[float] | Tensor,
        x: Tensor | None,
        steps: int,
    ) -> None:
        numbers = checks.table("values", values, (len(_several(values)),)).tolist()
        low, high = min(numbers), max(numbers)
        if low == high:
            raise ValueError(f"values: expected at least two different numbers, got {numbers}")
        self.steps = checks.count("steps", steps, low=2)
        self.first, self.forward = numbers[0], 1.0 if numbers[1] > numbers[0] else -1.0
        self.maps = family(f, parameter)
        self.name = parameter if isinstance(parameter, str) else "parameter"
        f, x = enter(self.maps(self.first), u, x=x)
        for name, value in (("u", u), ("x", x)):
            if value is not None and value.ndim != 1:
                raise ValueError(f"{name}: expected one axis, got {tuple(value.shape)}")
        self.noise = noise_level(f, u)
        self.curve = Curve(self.maps, x, (low, high), u)
        self.longest = min(_LONGEST, 1 / (len(numbers) - 1))

    def start(self, u: Tensor) -> Point:
        """Return the first point, which faces the second value."""
        found = find_fixed_points(self.maps(self.first), u, self.curve.x)
        if not bool(found.converged):
            step = (2 * float(found.speed)) ** 0.5
            raise ValueError(
                f"u: expected a state near a fixed point at {self.name} = {self.first}, got one "
                f"from which the search ends where |F(u) - u| = {step:.2g}"
            )
        guess = self.curve.place(found.states[0], self.first)
        facing = torch.zeros_like(guess)
        facing[-1] = self.forward
        try:
            return self.curve.correct(guess, facing)
        except NotFound as error:
            message = f"u: expected a fixed point that can be followed, got {found.states[0]}"
            raise ValueError(message) from error

    def branch_off(self, event: Event, sign: float) -> list[Point]:
        """Return the pitchfork and a first point beside it on the other branch."""
        origin = self.curve.place(event.state, event.parameter)
        v = null_vectors(self.curve.jacobian(origin))[0]
        away = torch.cat([sign * v, v.new_zeros(1)])
        for shorter in range(10):
            with contextlib.suppress(NotFound):
                point = self.curve.correct(origin + self.longest / 2**shorter * away, away)
                return [self.curve.point(origin, away), point]
        raise ValueError(f"event: expected a second branch at {event.parameter}, found none")

    def follow(self, points: list[Point]) -> Branch:
        """Return the branch that goes on from the last of the points."""
        events: list[Event] = []
        note, length = "", self.longest
        while not note and len(points) < self.steps:
            here = points[-1]
            try:
                there, note = self._next(here, length)
                found = list(events_between(self.curve, here, there))
            except NotFound:
                length /= 2
                lost = length < 1e-6 * self.longest
                note = f"lost at {self.curve.parameter(here.z):.6g}: no fixed point beyond" * lost
                continue
            events += found
            points.append(there)
            note = note or "closed upon itself" * _closes(points, length)
            length = min(1.5 * length, self.longest)
        return Branch(
            parameter=torch.stack([self.curve.low + self.curve.width * p.z[-1] for p in points]),
            states=torch.stack([self.curve.state(p.z) for p in points]),
            eigenvalues=torch.stack([p.eigenvalues for p in points]),
            events=tuple(events),
            name=self.name,
            note=note or f"ended after {self.steps} points",
            noise=self.noise,
        )

    def _next(self, here: Point, length: float) -> tuple[Point, str]:
        """Return a point one step on, or at the end of the window, and whether it is the end."""
        guess = here.z + length * here.tangent
        there = self.curve.correct(guess, here.tangent)
        turned = float(there.tangent @ here.tangent) < _TURN
        if turned or float((there.z - guess).norm()) > length / 2:
            raise NotFound
        if 0 <= float(there.z[-1]) <= 1:
            return there, ""
        end = float(there.z[-1] > 1)
        part = (end - here.z[-1]) / (there.z[-1] - here.z[-1])
        guess = here.z + part * (there.z - here.z)
        guess[-1] = end
        across = torch.zeros_like(guess)
        across[-1] = 2 * end - 1
        return self.curve.correct(guess, across), "reached the end of the window"


def _several(values: Sequence[float] | Tensor) -> Sequence[float] | Tensor:
    if not isinstance(values, Sequence | Tensor) or isinstance(values, str) or len(values) < 2:
        raise ValueError(f"values: expected at least two numbers, got {values!r}")
    return values


def _closes(points: list[Point], length: float) -> bool:
    """Say whether the last of many points is the first again."""
    first, last = points[0], points[-1]
    near = float((first.z - last.z).norm()) < length / 2
    return len(points) > 20 and near and float(first.tangent @ last.tangent) > _TURN
