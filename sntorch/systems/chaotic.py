"""Chaotic flows of three variables."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Diffusion, Flow, checked_diffusion
from sntorch.systems.explicit import Explicit, autonomous, matrix

__all__ = ["Lorenz", "Roessler"]


@final
class Lorenz(Explicit, Flow):
    r"""Convection in three modes, the first strange attractor.

    .. math:: F = (\sigma (u_2 - u_1),\; u_1 (\rho - u_3) - u_2,\; u_1 u_2 - \beta u_3)

    Volumes contract at the constant rate sigma + 1 + beta.  At the default parameters the exponents
    are 0.9056, 0, -14.5723, the Kaplan-Yorke dimension 2.0622.

    Parameters
    ----------
    sigma, rho, beta
        Prandtl number, relative Rayleigh number and geometry, all > 0.
    diffusion
        D, scalar, (3,) or (3, 3).

    References
    ----------
    E. N. Lorenz, J. Atmos. Sci. 20 (1963) 130.

    Examples
    --------
    >>> lorenz = Lorenz()
    >>> torch.trace(lorenz.jacobian(torch.ones(3)))  # volumes contract at this rate everywhere
    tensor(-13.6667)
    """

    size = 3

    def __init__(
        self,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8 / 3,
        *,
        diffusion: Diffusion = 0.0,
    ) -> None:
        super().__init__()
        self.sigma = checks.positive("sigma", sigma)
        self.rho = checks.positive("rho", rho)
        self.beta = checks.positive("beta", beta)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 3)."""
        autonomous(x)
        first, second, third = u.unbind(-1)
        rates = (
            self.sigma * (second - first),
            first * (self.rho - third) - second,
            first * second - self.beta * third,
        )
        return torch.stack(rates, -1)

    def _derivative(self, u: Tensor) -> Tensor:
        first, second, third = u.unbind(-1)
        return matrix(
            u,
            (-self.sigma, self.sigma, 0.0),
            (self.rho - third, -1.0, -first),
            (second, first, -self.beta),
        )

    @property
    def fixed_points(self) -> Tensor:
        """The origin and, for rho > 1, the two rolls: (M, 3), float64."""
        points = [[0.0, 0.0, 0.0]]
        if self.rho > 1:
            roll = math.sqrt(self.beta * (self.rho - 1))
            points += [[roll, roll, self.rho - 1], [-roll, -roll, self.rho - 1]]
        return torch.tensor(points, dtype=torch.float64)


@final
class Roessler(Explicit, Flow):
    r"""A band that is stretched and folded once a turn.

    .. math:: F = (-u_2 - u_3,\; u_1 + a u_2,\; b + u_3 (u_1 - c))

    Volumes change at the rate a + u_1 - c.  At the default parameters the exponents are 0.0714, 0,
    -5.3943, the Kaplan-Yorke dimension 2.0132.

    Parameters
    ----------
    a, b, c
        Growth of the spiral, injection and place of the fold, all > 0.
    diffusion
        D, scalar, (3,) or (3, 3).

    References
    ----------
    O. E. Roessler, Phys. Lett. A 57 (1976) 397.

    Examples
    --------
    >>> Roessler().drift(torch.tensor([1.0, 0.0, 0.0]))
    tensor([-0.0000, 1.0000, 0.2000])
    """

    size = 3

    def __init__(
        self, a: float = 0.2, b: float = 0.2, c: float = 5.7, *, diffusion: Diffusion = 0.0
    ) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            checks.positive(name, value) for name, value in (("a", a), ("b", b), ("c", c))
        )
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 3)."""
        autonomous(x)
        first, second, third = u.unbind(-1)
        rates = (-second - third, first + self.a * second, self.b + third * (first - self.c))
        return torch.stack(rates, -1)

    def _derivative(self, u: Tensor) -> Tensor:
        first, _, third = u.unbind(-1)
        return matrix(u, (0.0, -1.0, -1.0), (1.0, self.a, 0.0), (third, 0.0, first - self.c))

    @property
    def fixed_points(self) -> Tensor:
        """The inner and the outer fixed point (2, 3), float64; (0, 3) where c^2 < 4 a b."""
        square = self.c**2 - 4 * self.a * self.b
        if square < 0:
            return torch.empty(0, 3, dtype=torch.float64)
        # The smaller root without the difference of nearly equal numbers.
        outer = (self.c + math.sqrt(square)) / 2
        places = torch.tensor([self.a * self.b / outer, outer], dtype=torch.float64)
        return torch.stack([places, -places / self.a, places / self.a], -1)
