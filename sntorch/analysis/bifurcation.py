r"""Bifurcations: how a fixed point moves, and where it changes stability, as a parameter moves.

The branch of fixed points F_p(u) = u is followed through folds (see `continuation`), with its
multipliers mu, the eigenvalues of DF.  A bifurcation is a point at which one of them is on the
unit circle (Kuznetsov 2004):

====================  ======================  ==================================================
kind                  multiplier              what happens
====================  ======================  ==================================================
``fold``              +1                      the branch turns back in p
``pitchfork``         +1                      a second branch crosses, symmetric on its two sides
``transcritical``     +1                      a second branch crosses at an angle
``flip``              -1                      a cycle of period 2 is born
``neimark_sacker``    exp(+-2 pi i nu)        a closed curve is born, with rotation number nu
====================  ======================  ==================================================

Between two points of the branch a bifurcation shows as a change in the number of multipliers
outside the unit circle, or in the sign of det(DF - 1) or det(DF + 1).  The (k+1)-th largest
modulus, k the smaller of both numbers, is a continuous function of arclength that passes 1 there;
Brent's method finds the place on corrected points, to 1e-13 of a step.  Two events of
opposite effect within one step are missed (convenience): make steps shorter.

At a pitchfork with null vectors v, w of DF - 1, right and left, w . D^2F(v, v) vanishes, as it does
for every map with a symmetry that v breaks; the second branch leaves along +-v.  Cycles are fixed
points of ``iterate(f, n)``, for which the flip of f is a pitchfork.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import scipy.optimize
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.continuation import Curve, Point, family
from sntorch.analysis.fixed_points import find_fixed_points, noise_level
from sntorch.dynamics import enter
from sntorch.results import Result

__all__ = ["Branch", "Event", "continue_fixed_point", "switch_branch"]

_LONGEST = 0.02  # longest step in scaled coordinates, where the window is 1 wide
_TURN = 0.9  # least cosine between two tangents
_NEAR = 1e-4  # of a step: what is closer than this is one event


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Event(Result):
    """A bifurcation of a fixed point."""

    kind: str
    """``fold``, ``pitchfork``, ``transcritical``, ``flip`` or ``neimark_sacker``."""
    parameter: float
    """Where it happens."""
    state: Tensor
    """(N,), the fixed point."""
    eigenvalues: Tensor
    """(1,) or, for a Neimark-Sacker bifurcation, (2,) complex: the critical multipliers; more
    where a symmetry makes several cross together."""
    rotation: float
    """nu, turns per step at onset: 1/2 at a flip, 0 where the multiplier is +1."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Branch(Result):
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

    @property
    def unstable(self) -> Tensor:
        """Number of unstable directions (P,)."""
        return (self.eigenvalues.abs() > 1).sum(-1)

    @property
    def stable(self) -> Tensor:
        """Whether all multipliers are inside the unit circle (P,)."""
        return (self.eigenvalues.abs() < 1).all(-1)

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


class _TooLong(Exception):
    """A step after which Newton's method finds no point: try a shorter one."""


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
        point = self.curve.correct(guess, facing)
        if point is None:
            raise ValueError(f"u: expected a fixed point that can be followed, got {guess[:-1]}")
        return point

    def branch_off(self, event: Event, sign: float) -> list[Point]:
        """Return the pitchfork and a first point beside it on the other branch."""
        origin = self.curve.place(event.state, event.parameter)
        v = _null_vectors(self.curve.jacobian(origin))[0]
        away = torch.cat([sign * v, v.new_zeros(1)])
        for shorter in range(10):
            point = self.curve.correct(origin + self.longest / 2**shorter * away, away)
            if point is not None:
                values = self.curve.correct(origin, away)
                values = point.eigenvalues if values is None else values.eigenvalues
                return [Point(origin, away, values), point]
        raise ValueError(f"event: expected a second branch at {event.parameter}, found none")

    def follow(self, points: list[Point]) -> Branch:
        """Return the branch that goes on from the last of the points."""
        events: list[Event] = []
        note, length = "", self.longest
        while not note and len(points) < self.steps:
            here = points[-1]
            try:
                there, note = self._next(here, length)
                found = list(self._between(here, there))
            except _TooLong:
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
        there = self._correct(guess, here.tangent)
        turned = float(there.tangent @ here.tangent) < _TURN
        if turned or float((there.z - guess).norm()) > length / 2:
            raise _TooLong
        if 0 <= float(there.z[-1]) <= 1:
            return there, ""
        end = float(there.z[-1] > 1)
        part = (end - here.z[-1]) / (there.z[-1] - here.z[-1])
        guess = here.z + part * (there.z - here.z)
        guess[-1] = end
        across = torch.zeros_like(guess)
        across[-1] = 2 * end - 1
        return self._correct(guess, across), "reached the end of the window"

    def _correct(self, guess: Tensor, t: Tensor) -> Point:
        point = self.curve.correct(guess, t)
        if point is None:
            raise _TooLong
        return point

    def _between(self, a: Point, b: Point, depth: int = 0) -> Iterator[Event]:
        """Yield the bifurcations from a to b."""
        if a.signature == b.signature or depth > 40:
            return
        span = float(a.tangent @ (b.z - a.z))

        def at(s: float) -> Point:
            """Return the point at arclength s from a, along the tangent of a."""
            if s in (0, span):
                return a if s == 0 else b
            return self._correct(a.z + s / span * (b.z - a.z), a.tangent)

        if a.unstable == b.unstable:
            middle = at(span / 2)
            yield from self._between(a, middle, depth + 1)
            yield from self._between(middle, b, depth + 1)
            return
        k = min(a.unstable, b.unstable)
        crossing: Any = scipy.optimize.brentq(
            lambda s: float(at(s).eigenvalues[k].abs()) - 1,
            0,
            span,
            xtol=1e-13 * self.longest,
            rtol=4 * self.curve.eps,
        )
        before, after = crossing - _NEAR * span, crossing + _NEAR * span
        left, right = at(before) if before > 0 else a, at(after) if after < span else b
        yield from self._between(a, left, depth + 1)
        yield from self._events(left, at(crossing), right)
        yield from self._between(right, b, depth + 1)

    def _events(self, left: Point, here: Point, right: Point) -> Iterator[Event]:
        """Yield what happens at a point, one event for each angle of critical multipliers."""
        values = here.eigenvalues
        distance = (values.abs() - 1).abs()
        critical = values[distance <= max(self.curve.eps**0.4, float(distance.min()))]
        critical = critical[critical.imag.argsort(descending=True)]
        angles = critical.angle().abs()
        while len(critical):
            same = (angles - angles[0]).abs() < 1e-4
            angle = float(angles[0])
            if angle < 1e-4:
                angle, kind = 0.0, self._kind_at_one(left, here, right)
            elif angle > math.pi - 1e-4:
                angle, kind = math.pi, "flip"
            else:
                kind = "neimark_sacker"
            yield Event(
                kind=kind,
                parameter=self.curve.parameter(here.z),
                state=self.curve.state(here.z),
                eigenvalues=critical[same],
                rotation=angle / (2 * math.pi),
            )
            critical, angles = critical[~same], angles[~same]

    def _kind_at_one(self, left: Point, here: Point, right: Point) -> str:
        if float(left.tangent[-1]) * float(right.tangent[-1]) < 0:
            return "fold"
        v, w = _null_vectors(self.curve.jacobian(here.z))
        u, p = self.curve.state(here.z), self.curve.parameter(here.z)
        h = self.curve.eps**0.2 * (1 + float(u.abs().amax()))
        sides = self.curve.value(u + h * v, p) + self.curve.value(u - h * v, p)
        bend = float(w @ (sides - 2 * self.curve.value(u, p))) / h**2
        return "pitchfork" if abs(bend) < self.curve.eps ** (1 / 3) else "transcritical"


def _several(values: Sequence[float] | Tensor) -> Sequence[float] | Tensor:
    if not isinstance(values, Sequence | Tensor) or isinstance(values, str) or len(values) < 2:
        raise ValueError(f"values: expected at least two numbers, got {values!r}")
    return values


def _null_vectors(DF: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit vectors v, w (N,) that (DF - 1) v and (DF - 1)^T w map to almost nothing."""
    left, _, right = torch.linalg.svd(DF - torch.eye(len(DF), dtype=DF.dtype, device=DF.device))
    return right[-1], left[:, -1]


def _closes(points: list[Point], length: float) -> bool:
    """Say whether the last of many points is the first again."""
    first, last = points[0], points[-1]
    near = float((first.z - last.z).norm()) < length / 2
    return len(points) > 20 and near and float(first.tangent @ last.tangent) > _TURN
