r"""The replica-symmetric state without overlap between replicas: three numbers, one integral.

The canonical measure exp(-beta E) of E = |x - g J phi(x)|^2 / 2 + eta |x|^2, with phi odd, has the
single-site weight (x has mean zero, replicas share nothing: Q = R = 0)

.. math:: w(x) = \exp\Big\{ \hat q\,\phi^2 - \frac{y^2}{2s} - \beta \eta x^2 \Big\}, \qquad
          y = x - \Gamma \phi(x), \qquad s = T + g^2 q,
.. math:: q = \langle \phi^2 \rangle, \qquad \Gamma = \frac{g^2\gamma}{s} \langle y \phi \rangle,
          \qquad \hat q = \frac{g^2}{2s} \Big( \frac{\langle y^2 \rangle}{s} - 1 \Big),

gamma the correlation of J_ij and J_ji.  Without gamma and eta this closes: Gamma = qhat = 0 and x ~
N(0, T + g^2 q), the law of a noisy discrete-time network.  The same equations hold at T = 0 where
q > 0.  Tensors are float64 (P,).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch.meanfield.newton import newton
from sntorch.meanfield.sites import sites
from sntorch.transfer import Transfer

__all__ = ["HOT", "Averages", "Site", "continued", "site", "spectral_radius"]

HOT, _COLD = 1.0, 1e-7  # temperatures where a continuation begins and, before 0, ends
_STAGES = 4  # in which symmetry and confinement are switched on
_PER_DECADE = 2  # stages of cooling


@dataclasses.dataclass(frozen=True)
class Averages:
    """Averages (P,) over the weight of one site."""

    q: Tensor
    """< phi^2 >."""
    cross: Tensor
    """< y phi >."""
    square: Tensor
    """< y^2 >."""
    variance: Tensor
    """< x^2 >."""
    slope: Tensor
    """< phi' >."""
    log_norm: Tensor
    """ln of the integral of the weight."""


@dataclasses.dataclass(frozen=True)
class Site:
    """The state of P problems: parameters (P,) and the three unknowns (P,)."""

    gain: Tensor
    temperature: Tensor
    symmetry: Tensor
    confinement: Tensor
    q: Tensor
    gamma: Tensor
    tilt: Tensor
    residual: Tensor
    """(P,), relative violation of the equations."""

    @property
    def s(self) -> Tensor:
        """T + g^2 q (P,)."""
        return self.temperature + self.gain.square() * self.q


def site(phi: Transfer, state: Site) -> Averages:
    """Return the averages over the weight of a state."""
    return _averages(phi, _Fixed.of(state), _unknown(state))


def continued(phi: Transfer, state: Site) -> Site:
    """Return the solution with symmetry and confinement, cooled from where all is smooth.

    The state enters with the solution at `HOT` or its temperature, the higher, without the two.
    """
    hot = state.temperature.clamp(min=HOT)
    target = _Fixed.of(state)
    unknown, residual = _unknown(state), state.residual
    for stage in range(1, _STAGES + 1):
        part = target.share(stage / _STAGES, hot)
        unknown, residual = newton(lambda z, part=part: _miss(phi, part, z), unknown)
    lowest = torch.where(target.temperature > 0, target.temperature, _COLD * hot)
    decades = float((hot / lowest).log10().max())
    stages, trend = math.ceil(decades * _PER_DECADE), torch.zeros_like(unknown)
    for stage in range(1, stages + 1):
        part = target.share(1.0, hot * (lowest / hot) ** (stage / stages))
        guess = unknown + trend if stage > 2 else unknown
        new, residual = newton(lambda z, part=part: _miss(phi, part, z), guess)
        trend, unknown = new - unknown, new
    if bool((target.temperature == 0).any()):
        unknown, residual = newton(lambda z: _miss(phi, target, z), unknown)
    q = unknown[:, 0].exp()
    return dataclasses.replace(
        state, q=q, gamma=unknown[:, 1], tilt=unknown[:, 2] / q, residual=residual
    )


def spectral_radius(state: Site, at: Averages) -> Tensor:
    r"""Return the factor (P,) by which an iteration multiplies a small overlap Q of replicas.

    The equations of `sntorch.meanfield.saddle` for (Q, Qhat, kappa), linear in small Q, as a
    matrix; below 1 the state without overlap is stable.  Without gamma it is (g E phi')^2.
    """
    g2, s, A, C = state.gain.square(), state.s, at.q, at.cross
    excess, c = at.square / s - 1, at.cross / s
    k = g2 * state.symmetry / s
    rows = (
        (g2 * c.square(), A.square(), 2 * A * c),
        ((g2 * excess / s).square(), g2 * c.square(), 2 * g2 * c * excess / s),
        (k * g2 * excess * c, k * A * C, k * (excess * A + c * C)),
    )
    matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
    finite = matrix.isfinite().all((-2, -1))
    radius = torch.linalg.eigvals(torch.where(finite[:, None, None], matrix, 0.0)).abs().amax(-1)
    return torch.where(finite, radius, torch.nan)


@dataclasses.dataclass(frozen=True)
class _Fixed:
    """Parameters (P,) of the weight."""

    gain: Tensor
    temperature: Tensor
    symmetry: Tensor
    confinement: Tensor

    @staticmethod
    def of(state: Site) -> _Fixed:
        return _Fixed(state.gain, state.temperature, state.symmetry, state.confinement)

    def share(self, share: float, temperature: Tensor) -> _Fixed:
        """Return the problem with a part of symmetry and confinement, at a temperature."""
        parts = share * self.symmetry, share * self.confinement
        return _Fixed(self.gain, temperature, *parts)


def _unknown(state: Site) -> Tensor:
    """Return (ln q, Gamma, qhat q) (P, 3): of order one also where q vanishes with T."""
    return torch.stack([state.q.log(), state.gamma, state.tilt * state.q], -1)


def _miss(phi: Transfer, fixed: _Fixed, unknown: Tensor) -> Tensor:
    """Return what the three equations violate (P, 3)."""
    at, q = _averages(phi, fixed, unknown), unknown[:, 0].exp()
    g2 = fixed.gain.square()
    s = fixed.temperature + g2 * q
    gamma = g2 * fixed.symmetry / s * at.cross
    tilt = g2 * q / (2 * s) * (at.square / s - 1)
    return torch.stack([at.q / q - 1, unknown[:, 1] - gamma, unknown[:, 2] - tilt], -1)


def _averages(phi: Transfer, fixed: _Fixed, unknown: Tensor) -> Averages:
    q, gamma = unknown[:, 0].exp(), unknown[:, 1]
    s = fixed.temperature + fixed.gain.square() * q
    stiff = torch.where(fixed.confinement > 0, fixed.confinement / fixed.temperature, 0.0)

    def exponent(x: Tensor) -> Tensor:
        value = phi(x)
        y = x - gamma.unsqueeze(-1) * value
        S = (unknown[:, 2] / q).unsqueeze(-1) * value.square()
        return S - y.square() / (2 * s).unsqueeze(-1) - stiff.unsqueeze(-1) * x.square()

    # Feedback Gamma widens the law, by 1 / (1 - Gamma) where phi is linear, by Gamma at most.
    width = s.sqrt()
    wider = gamma.abs() * (width / (1 - gamma).clamp(min=0.05)).clamp(max=1.0)
    at = sites(exponent, width + wider)
    value, slope = phi.with_derivative(at.x)
    y = at.x - gamma.unsqueeze(-1) * value
    return Averages(
        q=at.mean(value.square()),
        cross=at.mean(y * value),
        square=at.mean(y.square()),
        variance=at.mean(at.x.square()),
        slope=at.mean(slope),
        log_norm=at.log_norm,
    )
