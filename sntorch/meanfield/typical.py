r"""Typical fixed points of dx/dt = -x + g J phi(x): all of them, with equal weights.

Their annealed number exp(N Sigma) follows from Kac and Rice: the density of one site is

.. math:: p(x) \propto \sqrt{1 + a s}\; \exp\Big( -\frac{x^2}{2 g^2 q} + \hat q \phi^2 \Big),
          \quad s = g^2 \phi'^2, \quad q = \langle \phi^2 \rangle, \quad
          \Big\langle \frac{s}{1 + a s} \Big\rangle = 1, \quad
          \hat q = \frac{\langle x^2 \rangle}{2 g^2 q^2} - \frac{1}{2 q},
.. math:: \Sigma = -q \hat q - \tfrac12 \ln (2\pi g^2 q) + \ln \int - \tfrac12 a.

The measures of `sntorch.meanfield.measures` weigh fixed points otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sntorch.meanfield.entry import entered
from sntorch.meanfield.measures import StateMeasure, measure_of
from sntorch.meanfield.newton import newton
from sntorch.meanfield.record import Number
from sntorch.meanfield.sites import Sites, sites
from sntorch.transfer import Transfer

__all__ = ["typical_fixed_points"]

_STAGES = 16  # of a continuation
_FIRST = 0.02  # g - 1 where the expansion of the number of fixed points is good enough to start


def typical_fixed_points(*, gain: Number) -> StateMeasure:
    """Return the fixed points of x = g J tanh(x) with equal weights, and how many there are.

    The annealed average of their number, J without symmetry (Kac and Rice).  For g <= 1 there is
    one, x = 0.

    Parameters
    ----------
    gain
        g > 0.

    Raises
    ------
    ValueError
        For an argument outside its domain.

    Notes
    -----
    Limitation (M): annealed; that the typical network has as many is not proven.

    References
    ----------
    G. Wainrib, J. Touboul, Phys. Rev. Lett. 110 (2013) 118101; the density of sites is derived in
    the module's documentation.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.typical_fixed_points(gain=1.5)
    >>> round(float(found.complexity), 7), round(float(found.overlap), 6)
    (0.0071426, 0.254176)
    """
    named, phi = entered({"gain": gain}, "tanh")
    g = named["gain"].reshape(-1)
    many = g > 1
    excess = torch.where(many, g - 1, _FIRST)
    first = excess.clamp(max=_FIRST)
    unknown = torch.tensor([math.log(2 / 3), -0.5, 2 / 3]).to(first).expand(len(first), 3)
    residual, trend = torch.zeros_like(g), torch.zeros_like(unknown)
    for stage in range(_STAGES + 1):
        at = 1 + first * (excess / first) ** (stage / _STAGES)
        guess = unknown + trend if stage > 1 else unknown
        new, residual = newton(lambda z, at=at: _balance(phi, at, z), guess)
        trend, unknown = new - unknown, new
    g1 = 1 + excess
    q, tilt, a = unknown[:, 0].exp() * excess, unknown[:, 1], unknown[:, 2] * excess
    where = _typical(phi, g1, unknown)
    number = -q * tilt - (2 * torch.pi * g1.square() * q).log() / 2 + where.log_norm - a / 2
    values = {
        "overlap": q,
        "variance": where.mean(where.x.square()),
        "complexity": number,
        "residual": torch.where(a > 1e-3 * excess, residual, torch.inf),
    }
    fields = {name: torch.where(many, value, 0.0) for name, value in values.items()}
    return measure_of(fields, named, phi, "all fixed points with equal weights, annealed")


def _typical(phi: Transfer, g: Tensor, unknown: Tensor) -> Sites:
    """Return the law of a site of a typical fixed point.

    Unknowns are ln(q / (g - 1)), qhat and a / (g - 1), which stay of order one.
    """
    q, tilt, a = unknown[:, 0].exp() * (g - 1), unknown[:, 1], unknown[:, 2] * (g - 1)
    g2 = g.square()

    def exponent(x: Tensor) -> Tensor:
        value, slope = phi.with_derivative(x)
        s = g2.unsqueeze(-1) * slope.square()
        S = tilt.unsqueeze(-1) * value.square() - x.square() / (2 * g2 * q).unsqueeze(-1)
        return S + torch.log1p(a.unsqueeze(-1) * s) / 2

    return sites(exponent, (g2 * q).sqrt())


def _balance(phi: Transfer, g: Tensor, unknown: Tensor) -> Tensor:
    """Return what the three equations of typical fixed points violate (P, 3)."""
    q, tilt, a = unknown[:, 0].exp() * (g - 1), unknown[:, 1], unknown[:, 2] * (g - 1)
    where, g2 = _typical(phi, g, unknown), g.square()
    value, slope = phi.with_derivative(where.x)
    s = g2.unsqueeze(-1) * slope.square()
    rows = (
        where.mean(value.square()) / q - 1,
        tilt - (where.mean(where.x.square()) / (g2 * q) - 1) / (2 * q),
        (where.mean(s / (1 + a.unsqueeze(-1) * s)) - 1) / (g - 1),
    )
    return torch.stack(rows, -1)
