r"""A curve of fixed points of a family of maps F_p, followed by pseudo-arclength (Keller 1977).

In scaled coordinates z = (u / sqrt N, (p - low) / width), in which the window of p is [0, 1], the
fixed points F_p(u) = u form curves.  From a point z with unit tangent t the next one solves

.. math:: F_p(u) - u = 0, \qquad t \cdot (z' - z) = ds

by Newton's method from z + ds t, so that folds, where p turns back, are points like all others.
Derivatives by u are those of the dynamics; those by p are central differences.  Their error slows
Newton's method by a part in 10^9 and shifts no point: what is solved is F_p(u) = u itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from sntorch.analysis.tangents import random_frame
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.observing import observing
from sntorch.schedule import scheduled

__all__ = ["Curve", "Family", "NotFound", "Point", "family"]

_ITERATIONS = 12  # of Newton's method; it needs three or the step is too long

Family = Callable[[float], Dynamics]
"""From the value of a parameter to the dynamics; ValueError outside its domain."""


def family(f: object, parameter: str | Callable[[float], object]) -> Family:
    """Return the dynamics as a function of one number.

    A name means a parameter or buffer of f: a single number is replaced by the value, a larger
    tensor is multiplied by it.

    Raises
    ------
    ValueError
        If the name is unknown, or f is given although `parameter` is a function.
    """
    if not isinstance(parameter, str):
        if not callable(parameter):
            raise ValueError(f"parameter: expected a name or a function, got {parameter!r}")
        if f is not None:
            raise ValueError("f: expected None, since the function gives the dynamics")
        return lambda value: as_dynamics(parameter(value))
    base = as_dynamics(f)
    known = {**dict(base.named_parameters()), **dict(base.named_buffers())}
    names = [name for name in known if known[name].is_floating_point()]
    names = [name for name in names if name not in ("noise", "raw_noise")]
    if parameter not in names:
        raise ValueError(f"parameter: expected one of {', '.join(names)}, got {parameter!r}")
    kept = known[parameter].detach().clone()

    def at(value: float) -> Dynamics:
        new = torch.full_like(kept, value) if kept.numel() == 1 else value * kept
        return scheduled(base, {parameter: new.unsqueeze(0)}).at(0)

    return at


class NotFound(Exception):
    """There is no fixed point near a guess: the step was too long, or the curve ends."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A fixed point on a curve."""

    z: Tensor
    """(N + 1,), scaled coordinates."""
    tangent: Tensor
    """(N + 1,), of length 1."""
    eigenvalues: Tensor
    """(N,), of DF, largest modulus first."""

    @property
    def unstable(self) -> int:
        """Number of multipliers outside the unit circle."""
        return int((self.eigenvalues.abs() > 1).sum())

    @property
    def signature(self) -> tuple[int, bool, bool]:
        """What changes at a bifurcation: unstable directions, signs of det(DF - 1), det(DF + 1)."""
        z = self.eigenvalues
        real = z.real[z.imag == 0]
        return self.unstable, bool((real > 1).sum() % 2), bool((real < -1).sum() % 2)


@final
class Curve:
    """The fixed points of a family under a constant drive, near a window of the parameter."""

    def __init__(
        self, maps: Family, x: Tensor | None, window: tuple[float, float], like: Tensor
    ) -> None:
        self.maps, self.x = maps, x
        self.low, self.width = window[0], window[1] - window[0]
        self.scale = math.sqrt(like.shape[-1])
        self.eps = torch.finfo(like.dtype).eps

    def parameter(self, z: Tensor) -> float:
        """Return p."""
        return self.low + self.width * float(z[-1])

    def state(self, z: Tensor) -> Tensor:
        """Return u (N,)."""
        return self.scale * z[:-1]

    def place(self, u: Tensor, p: float) -> Tensor:
        """Return scaled coordinates (N + 1,)."""
        return torch.cat([u / self.scale, u.new_tensor([(p - self.low) / self.width])])

    def correct(self, guess: Tensor, t: Tensor) -> Point:
        """Return the point near `guess` in the plane through it across t; it faces the way of t.

        Raises
        ------
        NotFound
            If Newton's method does not converge or leaves the domain of the parameter.
        """
        z, t = guess, t / t.norm()
        along, reached = torch.zeros_like(z), False
        along[-1] = 1.0
        for _ in range(_ITERATIONS):
            r, DF, slope = self._linearise(z)
            A = self._bordered(DF, slope, t)
            if reached:  # one step beyond the tolerance, where Newton's method is cheap and exact
                return _point(z, _solve(A, along, self.eps**0.65), DF)
            z = z - _solve(A, torch.cat([r, (t @ (z - guess)).unsqueeze(0)]), self.eps**0.65)
            size = 1 + self.state(z).abs().amax()
            reached = bool(r.abs().amax() <= self.eps**0.75 * size)
        raise NotFound

    def point(self, z: Tensor, tangent: Tensor) -> Point:
        """Return a place on the curve with its multipliers."""
        return _point(z, tangent, self.jacobian(z))

    def jacobian(self, z: Tensor) -> Tensor:
        """Return DF (N, N)."""
        f, u = self.maps(self.parameter(z)), self.state(z)
        with observing(f, u):
            return f.jacobian(u, self.x).detach()

    def value(self, u: Tensor, p: float) -> Tensor:
        """Return F_p(u)."""
        f = self.maps(p)
        with observing(f, u):
            return f.map(u, self.x).detach()

    def _linearise(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return F - u (N,), DF (N, N) and dF/dp (N,)."""
        u, p = self.state(z), self.parameter(z)
        try:
            slope, f = self._slope(u, p), self.maps(p)
            with observing(f, u):
                value, DF = (part.detach() for part in f.linearise(u, self.x))
        except ValueError as error:  # the family has no member there
            raise NotFound from error
        if not all(bool(part.isfinite().all()) for part in (value, DF, slope)):
            raise NotFound
        return value - u, DF, slope

    def _bordered(self, DF: Tensor, slope: Tensor, t: Tensor) -> Tensor:
        """Return the derivatives (N + 1, N + 1) by z of F - u, and t below them."""
        eye = torch.eye(len(DF), dtype=DF.dtype, device=DF.device)
        above = torch.cat([self.scale * (DF - eye), self.width * slope.unsqueeze(-1)], -1)
        return torch.cat([above, t.unsqueeze(0)])

    def _slope(self, u: Tensor, p: float) -> Tensor:
        """Return dF/dp (N,) by central differences, one-sided where the domain ends."""
        h = self.eps ** (1 / 3) * self.width
        ends: list[tuple[float, Tensor]] = []
        for end in (p - h, p + h, p):
            try:
                ends.append((end, self.value(u, end)))
            except ValueError:
                continue
            if len(ends) == 2:
                break
        if len(ends) < 2:
            raise ValueError(f"parameter: expected a domain around {p}, got none")
        (first, below), (second, above) = ends
        return (above - below) / (second - first)


def _point(z: Tensor, tangent: Tensor, DF: Tensor) -> Point:
    values = torch.linalg.eigvals(DF)
    return Point(z, tangent / tangent.norm(), values[values.abs().argsort(descending=True)])


def _solve(A: Tensor, b: Tensor, rtol: float) -> Tensor:
    """Return A^-1 b, or the shortest of many solutions where A is singular but for rtol."""
    factors, pivots, _ = torch.linalg.lu_factor_ex(A)
    # A step of inverse iteration from a random vector tells the smallest singular value.
    probe = torch.linalg.lu_solve(factors, pivots, random_frame(b, 1), adjoint=True)
    probe, found = torch.linalg.lu_solve(
        factors, pivots, torch.cat([probe / probe.norm(), b.unsqueeze(-1)], -1)
    ).T
    if float(probe.norm() * A.norm()) < 1 / rtol:
        return found
    return torch.linalg.pinv(A, rtol=rtol) @ b
