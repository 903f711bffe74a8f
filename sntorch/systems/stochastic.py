"""Flows with noise whose stationary law is known in closed form."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Diffusion, Flow, checked_diffusion
from sntorch.systems.covariances import steady_covariance
from sntorch.systems.explicit import Explicit, autonomous, matrix

__all__ = ["DoubleWell", "OrnsteinUhlenbeck", "StuartLandau"]


@final
class DoubleWell(Flow):
    r"""Two wells with a barrier between them, and a flux that leaves the density as it is.

    .. math:: V = h (u_1^2 - 1)^2 + \tfrac12 \sum_{i \ge 2} u_i^2, \qquad
              F = -\nabla V + c\,(-\partial_2 V, \partial_1 V, 0, \dots)

    With a scalar D the stationary density is P ~ exp(-V/D) for every c, and the entropy production
    c^2 <d_1^2 V + d_2^2 V>.  The minima are at u_1 = +-1, the saddle at 0, V(0) = h.  For c = 0 the
    rate from one well to the other is (sqrt(32) h / 2 pi) exp(-h/D) up to a factor 1 + O(D/h)
    (Kramers).

    Parameters
    ----------
    size
        N.
    barrier
        h > 0.
    circulation
        c; other than 0 it needs N >= 2.
    diffusion
        D, scalar, (N,) or (N, N); only with a scalar is the density known.

    References
    ----------
    H. A. Kramers, Physica 7 (1940) 284.  With h = 1, N = 2: the double well of EPR-Net, Y. Zhao,
    W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024), its wells moved to u_1 = +-1, u_2 = 0.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(barrier=2.0)
    >>> well.potential(torch.tensor([[-1.0], [0.0], [1.0]]))
    tensor([0., 2., 0.])
    """

    def __init__(
        self,
        size: int = 1,
        *,
        barrier: float = 1.0,
        circulation: float = 0.0,
        diffusion: Diffusion = 0.0,
    ) -> None:
        super().__init__()
        self.size = checks.count("size", size)
        self.barrier = checks.positive("barrier", barrier)
        self.circulation = checks.number("circulation", circulation)
        if self.circulation and self.size < 2:
            raise ValueError(f"circulation: expected 0 where size is 1, got {circulation!r}")
        self.diffusion = checked_diffusion(diffusion, self.size)

    def potential(self, u: Tensor) -> Tensor:
        """Return V (...)."""
        wells = self.barrier * (u[..., 0].square() - 1).square()
        return wells + u[..., 1:].square().sum(-1) / 2

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., N)."""
        autonomous(x)
        first = 4 * self.barrier * u[..., :1] * (u[..., :1].square() - 1)
        slope = torch.cat([first, u[..., 1:]], -1)
        if not self.circulation:
            return -slope
        turned = torch.cat([-slope[..., 1:2], slope[..., :1], torch.zeros_like(u[..., 2:])], -1)
        return self.circulation * turned - slope


@final
class OrnsteinUhlenbeck(Explicit, Flow):
    r"""The linear flow with noise, on which every statistic has a closed form.

    .. math:: du = A u\,dt + \sqrt{2D}\,dW, \qquad A C + C A^T + 2D = 0

    The exponents are the real parts of the eigenvalues of A.  If all are negative, the stationary
    law is N(0, C).

    Parameters
    ----------
    A
        Drift matrix (N, N); copied.
    diffusion
        D, scalar, (N,) or (N, N).

    References
    ----------
    G. E. Uhlenbeck, L. S. Ornstein, Phys. Rev. 36 (1930) 823.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.systems.OrnsteinUhlenbeck(-2 * torch.eye(2), diffusion=1.0).covariance
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """

    A: Tensor

    def __init__(self, A: Tensor, *, diffusion: Diffusion = 1.0) -> None:
        super().__init__()
        A = checks.finite("A", checks.floating("A", A))
        if A.ndim != 2 or A.shape[0] != A.shape[1]:
            raise ValueError(f"A: expected a square matrix (N, N), got {tuple(A.shape)}")
        self.size = A.shape[0]
        self.register_buffer("A", A.detach().clone())
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return A u (..., N)."""
        autonomous(x)
        return u @ self.A.mT

    def _derivative(self, u: Tensor) -> Tensor:
        return self.A

    @property
    def covariance(self) -> Tensor:
        """The stationary covariance C (N, N).

        Raises
        ------
        ValueError
            If an eigenvalue of A has no negative real part: there is no stationary law.
        """
        A = self.A.double().cpu()
        D = torch.as_tensor(self.diffusion, dtype=A.dtype, device="cpu").detach()
        C = steady_covariance(A, 2 * (D if D.ndim == 2 else torch.diag(D.expand(self.size))))
        if C is None:
            slowest = float(torch.linalg.eigvals(A).real.max())
            raise ValueError(f"A: expected eigenvalues with real parts < 0, got {slowest:.4g}")
        return C.to(self.A)


@final
class StuartLandau(Explicit, Flow):
    r"""A circular valley in which the state turns at a constant speed: the simplest oscillator.

    .. math:: F = -\alpha (r^2 - 1)\,(u_1, u_2) + \omega\,(-u_2, u_1), \qquad r = |u|

    The unit circle is a limit cycle of period 2 pi / omega for alpha > 0.  With a scalar D the
    stationary density is P ~ exp(-V/D), V = alpha (r^2 - 1)^2 / 4, for every omega; the entropy
    production is omega^2 <r^2> / D, the phase diffusion of weak noise D, the barrier alpha / (4D).

    Parameters
    ----------
    alpha
        Strength > 0 that restores the radius; deviations from it decay at the rate 2 alpha.
    omega
        Angular velocity.
    diffusion
        D, scalar, (2,) or (2, 2); only with a scalar is the density known.

    References
    ----------
    J. T. Stuart, J. Fluid Mech. 9 (1960) 353.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.systems.StuartLandau(omega=2.0).drift(torch.tensor([1.0, 0.0]))
    tensor([-0., 2.])
    """

    size = 2

    def __init__(
        self, alpha: float = 1.0, omega: float = 1.0, *, diffusion: Diffusion = 0.0
    ) -> None:
        super().__init__()
        self.alpha = checks.positive("alpha", alpha)
        self.omega = checks.number("omega", omega)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def potential(self, u: Tensor) -> Tensor:
        """Return V (...)."""
        return self.alpha / 4 * (u.square().sum(-1) - 1).square()

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 2)."""
        autonomous(x)
        first, second = u.unbind(-1)
        pull = -self.alpha * (u.square().sum(-1) - 1)
        turned = [pull * first - self.omega * second, pull * second + self.omega * first]
        return torch.stack(turned, -1)

    def _derivative(self, u: Tensor) -> Tensor:
        first, second = u.unbind(-1)
        pull = self.alpha * (1 - u.square().sum(-1))
        cross = -2 * self.alpha * first * second
        return matrix(
            u,
            (pull - 2 * self.alpha * first.square(), cross - self.omega),
            (cross + self.omega, pull - 2 * self.alpha * second.square()),
        )
