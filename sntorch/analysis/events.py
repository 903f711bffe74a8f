r"""Bifurcations on a curve of fixed points: where they are, and of which kind (Kuznetsov 2004).

A bifurcation is a point at which a multiplier mu, an eigenvalue of DF, is on the unit circle:

====================  ======================  ==================================================
kind                  multiplier              what happens
====================  ======================  ==================================================
``fold``              +1                      the branch turns back in p
``pitchfork``         +1                      a second branch crosses, p turns back on that one
``transcritical``     +1                      a second branch crosses, p turns back on neither
``flip``              -1                      a cycle of period 2 is born
``neimark_sacker``    exp(+-2 pi i nu)        a closed curve is born, with rotation number nu
====================  ======================  ==================================================

Between two points of the branch a bifurcation shows as a change in the number of multipliers
outside the unit circle, or in the sign of det(DF - 1) or det(DF + 1).  The (k+1)-th largest
modulus, k the smaller of both numbers, is a continuous function of arclength that passes 1 there;
Brent's method finds the place on corrected points, to 1e-13 of the longest step; where branches
cross, and Newton's method cannot tell them apart, a polynomial through points nearby does.
Two events of opposite effect within one step are missed (convenience): make steps shorter.

With null vectors v, w of DF - 1, right and left, a pitchfork has w . D^2F(v, v) = 0, as every map
has whose symmetry v breaks; this is told from zero by a tolerance of eps^(1/3), 6e-6 in float64.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from sntorch.analysis.continuation import Curve, Point
from sntorch.results import Result

__all__ = ["Event", "events_between", "null_vectors"]

_NODES = tuple(math.cos(math.pi * (i + 0.5) / 8) for i in range(8))  # Chebyshev's, none at 0
_NEAR = 1e-4  # of a step, and of an angle: what is closer than this is one event


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Event(Result):
    """A bifurcation of a fixed point.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(torch.eye(1, dtype=torch.float64), trainable=())
    >>> u = torch.zeros(1, dtype=torch.float64)
    >>> branch = snt.analysis.continue_fixed_point(cell, u, "gain", [0.5, 1.5])
    >>> [(event.kind, round(event.parameter, 6)) for event in branch.events]
    [('pitchfork', 1.0)]
    """

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


def events_between(curve: Curve, a: Point, b: Point, depth: int = 0) -> Iterator[Event]:
    """Yield the bifurcations from a to b, two successive points of a curve.

    Raises
    ------
    NotFound
        If the curve cannot be followed from a to b: the step is too long.
    """
    if a.signature == b.signature or depth > 40:
        return
    span = float(a.tangent @ (b.z - a.z))

    def at(s: float) -> Point:
        """Return the point at arclength s from a, along the tangent of a."""
        if s in (0, span):
            return a if s == 0 else b
        return curve.correct(a.z + s / span * (b.z - a.z), a.tangent)

    if a.unstable == b.unstable:
        middle = at(span / 2)
        yield from events_between(curve, a, middle, depth + 1)
        yield from events_between(curve, middle, b, depth + 1)
        return
    k = min(a.unstable, b.unstable)
    brent: Any = scipy.optimize.brentq
    place = brent(
        lambda s: float(at(s).eigenvalues[k].abs()) - 1, 0, span, xtol=1e-15, rtol=4 * curve.eps
    )
    before, after = place - _NEAR * span, place + _NEAR * span
    left, right = at(before) if before > 0 else a, at(after) if after < span else b
    here = at(place)
    if (
        left.tangent[-1] * right.tangent[-1] > 0
        and float((here.eigenvalues - 1).abs().min()) < 1e-3
    ):
        here = _branch_point(curve, [at(place + 0.1 * span * node) for node in _NODES], here)
    yield from events_between(curve, a, left, depth + 1)
    yield from _events(curve, left, here, right)
    yield from events_between(curve, right, b, depth + 1)


def null_vectors(DF: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit vectors v, w (N,) that (DF - 1) v and (DF - 1)^T w map to almost nothing."""
    left, _, right = torch.linalg.svd(DF - torch.eye(len(DF), dtype=DF.dtype, device=DF.device))
    return right[-1], left[:, -1]


def _branch_point(curve: Curve, points: list[Point], here: Point) -> Point:
    """Return the place near `here` where det(DF - 1) passes zero.

    Two branches meet there and Newton's method cannot tell them apart.  A polynomial through
    points on both sides, at the nodes, leads across on the one that is followed.
    """
    z = torch.stack([p.z for p in points])
    logs = torch.stack([(p.eigenvalues - 1).log().sum() for p in points])
    dets = (logs - logs.real.max()).exp().real
    roots = np.polynomial.Polynomial.fit(_NODES, dets.cpu().numpy(), len(_NODES) - 1).roots()
    root = float(roots[np.abs(roots).argmin()].real)
    weights = [math.prod((root - b) / (a - b) for b in _NODES if b != a) for a in _NODES]
    return curve.point(z.new_tensor(weights) @ z, here.tangent)


def _events(curve: Curve, left: Point, here: Point, right: Point) -> Iterator[Event]:
    """Yield what happens at a point, one event for each angle of critical multipliers."""
    distance = (here.eigenvalues.abs() - 1).abs()
    critical = here.eigenvalues[distance <= max(curve.eps**0.4, float(distance.min()))]
    critical = critical[critical.imag.argsort(descending=True)]
    angles = critical.angle().abs()
    while len(critical):
        same = (angles - angles[0]).abs() < _NEAR
        angle, kind = float(angles[0]), "neimark_sacker"
        if angle < _NEAR:
            angle, kind = 0.0, _kind_at_one(curve, left, here, right)
        elif angle > math.pi - _NEAR:
            angle, kind = math.pi, "flip"
        yield Event(
            kind=kind,
            parameter=curve.parameter(here.z),
            state=curve.state(here.z),
            eigenvalues=critical[same],
            rotation=angle / (2 * math.pi),
        )
        critical, angles = critical[~same], angles[~same]


def _kind_at_one(curve: Curve, left: Point, here: Point, right: Point) -> str:
    if float(left.tangent[-1]) * float(right.tangent[-1]) < 0:
        return "fold"
    v, w = null_vectors(curve.jacobian(here.z))
    u, p = curve.state(here.z), curve.parameter(here.z)
    h = curve.eps**0.25 * (1 + float(u.abs().amax()))
    sides = curve.value(u + h * v, p) + curve.value(u - h * v, p)
    bend = float(w @ (sides - 2 * curve.value(u, p))) / h**2
    return "pitchfork" if abs(bend) < curve.eps ** (1 / 3) else "transcritical"
