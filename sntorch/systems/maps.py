"""Maps of one and two variables."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics
from sntorch.systems.explicit import Explicit, autonomous, matrix

__all__ = ["CatMap", "Henon", "Ikeda", "Logistic"]


@final
class Henon(Explicit, Dynamics):
    """The map (1 - a u_1^2 + u_2, b u_1), with det DF = -b everywhere.

    At the default parameters the exponents are 0.4192, -1.6232, with the sum ln b, and the
    Kaplan-Yorke dimension is 1.2583.

    Parameters
    ----------
    a
        Strength of the fold, > 0.
    b
        Contraction of areas.

    References
    ----------
    M. Henon, Commun. Math. Phys. 50 (1976) 69.

    Examples
    --------
    >>> henon = Henon()
    >>> henon.map(torch.zeros(2)), torch.linalg.det(henon.jacobian(torch.zeros(2)))
    (tensor([1., 0.]), tensor(-0.3000))
    """

    size = 2

    def __init__(self, a: float = 1.4, b: float = 0.3) -> None:
        super().__init__()
        self.a, self.b = checks.positive("a", a), checks.number("b", b)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2)."""
        autonomous(x)
        first, second = u.unbind(-1)
        return torch.stack([1 - self.a * first.square() + second, self.b * first], -1)

    def _derivative(self, u: Tensor) -> Tensor:
        return matrix(u, (-2 * self.a * u[..., 0], 1.0), (self.b, 0.0))

    @property
    def fixed_points(self) -> Tensor:
        """Both fixed points (2, 2), float64; the first is on the attractor at the defaults."""
        half = (1 - self.b) / 2
        root = math.sqrt(half**2 + self.a)
        places = torch.tensor([root - half, -root - half], dtype=torch.float64) / self.a
        return torch.stack([places, self.b * places], -1)


@final
class Logistic(Explicit, Dynamics):
    """The map r u (1 - u) of [0, 1] into itself.

    At r = 4 the density is that of arcsine, 1 / (pi sqrt(u (1 - u))), and the exponent ln 2.  The
    fixed point 1 - 1/r is stable for 1 < r < 3; periods double at 3, at 1 + sqrt(6) and on to
    3.569946.

    Parameters
    ----------
    r
        In [0, 4].

    References
    ----------
    R. M. May, Nature 261 (1976) 459.

    Examples
    --------
    >>> Logistic(4.0).map(torch.tensor([0.25])), Logistic(2.0).fixed_points
    (tensor([0.7500]), tensor([[0.0000],
            [0.5000]], dtype=torch.float64))
    """

    size = 1

    def __init__(self, r: float = 4.0) -> None:
        super().__init__()
        self.r = checks.number("r", r, low=0, high=4)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 1)."""
        autonomous(x)
        return self.r * u * (1 - u)

    def _derivative(self, u: Tensor) -> Tensor:
        return (self.r * (1 - 2 * u)).unsqueeze(-1)

    @property
    def fixed_points(self) -> Tensor:
        """0 and, for r > 1, where it is in [0, 1], 1 - 1/r: (M, 1), float64."""
        points = [[0.0], [1 - 1 / self.r]] if self.r > 1 else [[0.0]]
        return torch.tensor(points, dtype=torch.float64)


@final
class CatMap(Explicit, Dynamics):
    """The map (2 u_1 + u_2, u_1 + u_2) mod 1 of the torus [0, 1)^2, which conserves areas.

    The exponents are +-ln((3 + sqrt 5) / 2) = +-0.962424 on every orbit, the density is uniform,
    the only fixed point is the origin.  Its derivative is constant; where the state wraps, the map
    jumps.  States are points of the torus: averages of them need circular statistics.

    References
    ----------
    V. I. Arnold, A. Avez, Ergodic Problems of Classical Mechanics, Benjamin 1968.

    Examples
    --------
    >>> CatMap().map(torch.tensor([0.5, 0.25]))
    tensor([0.2500, 0.7500])
    """

    size = 2

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2) in [0, 1)^2."""
        autonomous(x)
        total = u.sum(-1)
        return torch.stack([total + u[..., 0], total], -1).remainder(1)

    def _derivative(self, u: Tensor) -> Tensor:
        return u.new_tensor([[2.0, 1.0], [1.0, 1.0]])


@final
class Ikeda(Explicit, Dynamics):
    r"""Light in a ring cavity with a nonlinear medium, z = u_1 + i u_2.

    .. math:: z \to 1 + \mu z \exp\big(i (\kappa - \alpha / (1 + |z|^2))\big)

    Areas shrink by the constant factor det DF = mu^2.  At the default parameters the exponents are
    0.5076, -0.7183, with the sum 2 ln mu, and the Kaplan-Yorke dimension is 1.7067.  Start near
    the origin: beside the chaotic attractor there is a stable fixed point at (2.97213, 4.14595).

    Parameters
    ----------
    mu
        Transmission of the cavity, in [0, 1].
    kappa, alpha
        Detuning of the empty cavity, and strength of the nonlinear phase.

    References
    ----------
    K. Ikeda, Opt. Commun. 30 (1979) 257; S. M. Hammel, C. K. R. T. Jones, J. V. Moloney, J. Opt.
    Soc. Am. B 2 (1985) 552.

    Examples
    --------
    >>> round(float(torch.linalg.det(Ikeda().jacobian(torch.zeros(2)))), 4)  # mu^2
    0.81
    """

    size = 2

    def __init__(self, mu: float = 0.9, kappa: float = 0.4, alpha: float = 6.0) -> None:
        super().__init__()
        self.mu = checks.number("mu", mu, low=0, high=1)
        self.kappa, self.alpha = checks.number("kappa", kappa), checks.number("alpha", alpha)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2)."""
        autonomous(x)
        turned, _ = self._turned(u)
        return torch.stack([1 + turned[0], turned[1]], -1)

    def _turned(self, u: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return mu z exp(i phase), and mu (cos, sin) of the phase."""
        phase = self.kappa - self.alpha / (1 + u.square().sum(-1))
        first, second = u.unbind(-1)
        c, s = self.mu * phase.cos(), self.mu * phase.sin()
        return (first * c - second * s, first * s + second * c), (c, s)

    def _derivative(self, u: Tensor) -> Tensor:
        turned, (c, s) = self._turned(u)
        square = 1 + u.square().sum(-1, keepdim=True)
        first, second = (2 * self.alpha * u / square.square()).unbind(-1)  # slopes of the phase
        return matrix(
            u,
            (c - turned[1] * first, -s - turned[1] * second),
            (s + turned[0] * first, c + turned[0] * second),
        )
