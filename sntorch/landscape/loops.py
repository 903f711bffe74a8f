r"""Flux round a closed curve: how strongly probability is driven round a ring.

.. math:: \oint J \cdot dl, \qquad \text{length} = \oint |dl|, \qquad
          \text{average flux} = \oint J \cdot dl \,/\, \text{length},

along a polygon with straight sides, by the trapezoid rule on its corners.  J is a function, as
F P - D grad P of a known density, or a measured `FluxField`, between the centres of whose cells it
is interpolated; its errors are taken as independent between cells.  In equilibrium the integral
is zero round every curve.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape.planes import FluxField
from sntorch.results import Result

__all__ = ["LoopFlux", "loop_flux"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LoopFlux(Result):
    """The flux round one closed curve."""

    integral: Tensor
    """(), J . dl summed round the curve, in the direction of its corners."""
    stderr: Tensor
    """(), of the integral; NaN for a flux that is given as a function."""
    length: Tensor
    """(), of the curve."""
    curve: Tensor
    """(P, d), its corners."""
    along: Tensor
    """(P,), J at the corners, along the curve."""

    @property
    def average(self) -> Tensor:
        """Integral over length ()."""
        return self.integral / self.length

    @property
    def average_stderr(self) -> Tensor:
        """Standard error of `average` ()."""
        return self.stderr / self.length

    def scalars(self) -> dict[str, float]:
        """Return integral, average, and their errors."""
        return {
            "loop_flux": float(self.integral),
            "loop_flux_stderr": float(self.stderr),
            "average_flux": float(self.average),
            "average_flux_stderr": float(self.average_stderr),
        }


@torch.no_grad()
def loop_flux(flux: FluxField | Callable[[Tensor], Tensor], curve: Tensor) -> LoopFlux:
    """Return the flux round a closed curve.

    Parameters
    ----------
    flux
        A `FluxField`, or a function from places (P, d) to J (P, d).
    curve
        Corners (P, d), P >= 3, in order; the last is joined to the first.  For a `FluxField` in
        the coordinates of its plane, where its `mean` is the origin.

    Raises
    ------
    ValueError
        On wrong arguments, and if a corner lies outside the cells of the field.

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185, for the average flux round a ring.

    Examples
    --------
    >>> angle = torch.linspace(0, 2 * torch.pi, 101, dtype=torch.float64)[:-1]
    >>> circle = torch.stack([angle.cos(), angle.sin()], -1)
    >>> turning = lambda y: torch.stack([-y[:, 1], y[:, 0]], -1) / 2
    >>> round(float(loop_flux(turning, circle).average), 3)
    0.5
    """
    if not callable(flux):
        checks.instance("flux", flux, FluxField)
    checks.finite("curve", checks.floating("curve", curve, ndim=2))
    if curve.ndim != 2 or len(curve) < 3:
        raise ValueError(f"curve: expected at least 3 corners (P, d), got {tuple(curve.shape)}")
    sides = (curve.roll(-1, 0) - curve.roll(1, 0)) / 2  # what a corner counts for
    length = (curve.roll(-1, 0) - curve).norm(dim=-1).sum()
    stderr = torch.full_like(length, torch.nan)
    if isinstance(flux, FluxField):
        weights = _weights(flux, curve)
        J = torch.einsum("pab,abd->pd", weights, flux.flux)
        spread = torch.einsum("pab,pd->abd", weights, sides)
        stderr = (spread * flux.stderr.nan_to_num()).square().sum().sqrt()
    else:
        J = flux(curve)
        if not isinstance(J, Tensor) or J.shape != curve.shape:
            got = tuple(J.shape) if isinstance(J, Tensor) else type(J).__name__
            raise ValueError(f"flux: expected a function to {tuple(curve.shape)}, got {got}")
    swept = (J * sides).sum(-1)
    return LoopFlux(
        integral=swept.sum(),
        stderr=stderr,
        length=length,
        curve=curve,
        along=swept / sides.norm(dim=-1).clamp(min=torch.finfo(curve.dtype).tiny),
    )


def _weights(field: FluxField, curve: Tensor) -> Tensor:
    """Return how much of every cell (P, bins, bins) there is in the bilinear value at corners."""
    checks.same_kind("curve", curve, field.flux, "the field")
    if curve.shape[1] != 2:
        raise ValueError(f"curve: expected corners (P, 2) in a plane, got {tuple(curve.shape)}")
    middle = (field.edges[:, 1:] + field.edges[:, :-1]) / 2
    low, high = middle[:, 0], middle[:, -1]
    if bool(((curve < low) | (curve > high)).any()):
        raise ValueError("curve: expected corners within the cells of the field, got one outside")
    bins = middle.shape[1]
    place = (curve - low) / (high - low) * (bins - 1)
    ticks = torch.arange(bins, dtype=curve.dtype, device=curve.device)
    first, second = ((1 - (place[:, a, None] - ticks).abs()).clamp(min=0) for a in (0, 1))
    return first.unsqueeze(-1) * second.unsqueeze(-2)
