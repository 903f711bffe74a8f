r"""Known systems: flows and maps whose answers are in the literature or in closed form.

======================  ====  =====================================================  =============
system                  kind  equation                                               source
======================  ====  =====================================================  =============
`AmariWilsonCowan`      flow  du = (-u/tau + J f(u) - theta + W x) dt                Amari 1972
`TanhRing`              flow  two of its neurons that turn each other round          Yan 2013
`DoubleWell`            flow  du = (-grad V + circulation) dt, P ~ exp(-V/D)         Kramers 1940
`OrnsteinUhlenbeck`     flow  du = A u dt + sqrt(2 D) dW                             Uhlenbeck 1930
`Lorenz`                flow  convection in three modes                              Lorenz 1963
`Roessler`              flow  one folded band                                        Roessler 1976
`Henon`                 map   (1 - a u1^2 + u2, b u1)                                Henon 1976
`Logistic`              map   r u (1 - u)                                            May 1976
`CatMap`                map   (2 u1 + u2, u1 + u2) mod 1                             Arnold 1968
`Ikeda`                 map   1 + mu z exp(i (kappa - alpha / (1 + |z|^2)))          Ikeda 1979
======================  ====  =====================================================  =============

u is the state, D the diffusion of `sntorch.flows`; parameters are attributes under the names of the
equations.  All but `AmariWilsonCowan` are autonomous and refuse a drive.  Exponents are in nats per
unit of time, for a map per step; figures with four digits or more that have no closed form are
those of J. C. Sprott, Chaos and Time-Series Analysis, Oxford 2003.
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Sequence
from typing import final

import torch
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Differentiable, Dynamics
from sntorch.flows import Diffusion, EulerMaruyama, Flow, checked_diffusion
from sntorch.transfer import Transfer

__all__ = [
    "AmariWilsonCowan",
    "CatMap",
    "DoubleWell",
    "Henon",
    "Ikeda",
    "Logistic",
    "Lorenz",
    "OrnsteinUhlenbeck",
    "Roessler",
    "TanhRing",
]


class _Explicit(Differentiable):
    """A system that knows its Jacobian, which for few variables is faster than ``torch.func``."""

    @abc.abstractmethod
    def _derivative(self, u: Tensor) -> Tensor:
        """Return DF at u: (..., N, N), or (N, N) where it is constant."""

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V."""
        self.check_frame("V", u, V)
        return self._value(u, x), self._derivative(u) @ V

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF^T W."""
        self.check_frame("W", u, W)
        return self._value(u, x), self._derivative(u).mT @ W


# Flows


@final
class AmariWilsonCowan(Flow):
    r"""Neurons in continuous time, whose Euler map is the SNT network.

    .. math:: du = \big(-u/\tau + J f(u) - \theta + W x\big)\,dt + \sqrt{2D}\,dW,
              \qquad f(u) = \phi(g u)

    J, g, theta, W and phi are those of ``flow.cell``, an `SNTCell` with leak 0 and noise 0 whose
    map is J f(u) - theta + W x; ``flow.cell.gain = 1.2`` changes the flow.  For |J| |f'| < 1/tau
    there is one fixed point, which is stable.

    Parameters
    ----------
    J
        Couplings (N, N), from j to i in ``J[i, j]``; copied.
    tau
        Time constant > 0, number or (N,).
    gain, threshold, transfer, input_size, input_std, trainable
        As for `SNTCell`.
    diffusion
        D, scalar, (N,) or (N, N).

    Raises
    ------
    ValueError
        If an argument is outside its domain, not finite, or of a wrong shape.

    References
    ----------
    S. Amari, IEEE Trans. Syst. Man Cybern. 2 (1972) 643; H. R. Wilson, J. D. Cowan, Biophys. J. 12
    (1972) 1; B. Cessac, "Neural Networks Dynamics", lecture slides, 2020, for the Euler map.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(50, std=1.5), diffusion=0.01)
    >>> cell = flow.as_cell(dt=0.1)
    >>> round(float(cell.leak), 4), round(float(cell.noise), 4)
    (0.9, 0.0447)
    """

    tau: Tensor

    def __init__(
        self,
        J: Tensor,
        *,
        tau: float | Tensor = 1.0,
        gain: float | Tensor = 1.0,
        threshold: float | Tensor = 0.0,
        diffusion: Diffusion = 0.0,
        transfer: str | Transfer = "tanh",
        input_size: int = 0,
        input_std: float = 1.0,
        trainable: Sequence[str] = ("coupling", "input_weight"),
    ) -> None:
        super().__init__()
        self.cell = SNTCell(
            J,
            gain=gain,
            threshold=threshold,
            transfer=transfer,
            input_size=input_size,
            input_std=input_std,
            trainable=trainable,
        )
        self.size = self.cell.size
        self.register_buffer("tau", _time_constant(tau, self.cell.coupling.detach()))
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return -u/tau + J f(u) - theta + W x (..., N); without x the drive is zero."""
        return self.cell.map(u, x) - u / self.tau

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the drift and -V/tau + J (f' * V)."""
        value, pushed = self.cell.jvp(u, V, x)
        return value - u / self.tau, pushed - V / self._column()

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the drift and -W/tau + f' * (J^T W)."""
        value, pulled = self.cell.vjp(u, W, x)
        return value - u / self.tau, pulled - W / self._column()

    def as_cell(self, dt: float) -> SNTCell:
        """Return the Euler map of step dt as an `SNTCell` with parameters of its own.

        Its couplings are dt J, its leak 1 - dt/tau, its threshold dt theta, its input weight dt W
        and its noise sqrt(2 D dt).  A cell's time runs in steps: exponents per unit of time are
        those of the cell divided by dt.

        Raises
        ------
        ValueError
            If dt is not in (0, tau], where the leak is in [0, 1), or D is a matrix, since the
            noise of a cell is independent between neurons.
        """
        if bool((self.tau < checks.positive("dt", dt)).any()):
            fastest = float(self.tau.min())
            raise ValueError(f"dt: expected at most tau = {fastest:.4g}, got {dt!r}")
        cell = copy.deepcopy(self.cell)
        with torch.no_grad():
            for weight in (cell.coupling, cell.input_weight):
                if weight is not None:
                    weight.mul_(dt)
            cell.threshold = dt * cell.threshold.detach()
        cell.leak = 1 - dt / self.tau
        cell.noise = EulerMaruyama(self, dt).noise  # pyright: ignore[reportAttributeAccessIssue]
        return cell

    def _column(self) -> Tensor:
        return self.tau if self.tau.ndim == 0 else self.tau.unsqueeze(-1)


@final
class TanhRing(_Explicit, Flow):
    r"""Two tanh neurons that turn each other round: a ring-shaped valley with flux along it.

    .. math:: F = (-u_1 + a \tanh u_1 - b \tanh u_2,\; -u_2 + b \tanh u_1 + a \tanh u_2)

    Detailed balance holds for no b != 0.  The origin has eigenvalues a - 1 +- i b; for a > 1 and b
    large enough it is surrounded by one limit cycle.  At a = 1.5, b = 1 its period is 9.883176,
    and D = 0.05 produces the entropy 19.70 per unit of time.

    Parameters
    ----------
    a, b
        Coupling of a neuron to itself, and to the other one with opposite signs.
    diffusion
        D, scalar, (2,) or (2, 2).

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185, for rings of asymmetric networks; the choice of two
    neurons and of the parameters is ours.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.systems.TanhRing().jacobian(torch.zeros(2))
    tensor([[ 0.5000, -1.0000],
            [ 1.0000,  0.5000]])
    """

    size = 2

    def __init__(self, a: float = 1.5, b: float = 1.0, *, diffusion: Diffusion = 0.0) -> None:
        super().__init__()
        self.a, self.b = checks.number("a", a), checks.number("b", b)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 2)."""
        _autonomous(x)
        first, second = torch.tanh(u).unbind(-1)
        turned = [self.a * first - self.b * second, self.b * first + self.a * second]
        return torch.stack(turned, -1) - u

    def _derivative(self, u: Tensor) -> Tensor:
        first, second = (1 - torch.tanh(u).square()).unbind(-1)
        return _matrix(
            u, (self.a * first - 1, -self.b * second), (self.b * first, self.a * second - 1)
        )


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
        _autonomous(x)
        first = 4 * self.barrier * u[..., :1] * (u[..., :1].square() - 1)
        slope = torch.cat([first, u[..., 1:]], -1)
        if not self.circulation:
            return -slope
        turned = torch.cat([-slope[..., 1:2], slope[..., :1], torch.zeros_like(u[..., 2:])], -1)
        return self.circulation * turned - slope


@final
class OrnsteinUhlenbeck(_Explicit, Flow):
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
        _autonomous(x)
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
        slowest = float(torch.linalg.eigvals(A).real.max())
        if slowest >= 0:
            raise ValueError(f"A: expected eigenvalues with real parts < 0, got {slowest:.4g}")
        D = torch.as_tensor(self.diffusion, dtype=A.dtype, device="cpu").detach()
        D = D if D.ndim == 2 else torch.diag(D.expand(self.size))
        return torch.from_numpy(solve_continuous_lyapunov(A.numpy(), -2 * D.numpy())).to(self.A)


@final
class Lorenz(_Explicit, Flow):
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
        _autonomous(x)
        first, second, third = u.unbind(-1)
        rates = (
            self.sigma * (second - first),
            first * (self.rho - third) - second,
            first * second - self.beta * third,
        )
        return torch.stack(rates, -1)

    def _derivative(self, u: Tensor) -> Tensor:
        first, second, third = u.unbind(-1)
        return _matrix(
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
class Roessler(_Explicit, Flow):
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
        _autonomous(x)
        first, second, third = u.unbind(-1)
        rates = (-second - third, first + self.a * second, self.b + third * (first - self.c))
        return torch.stack(rates, -1)

    def _derivative(self, u: Tensor) -> Tensor:
        first, _, third = u.unbind(-1)
        return _matrix(u, (0.0, -1.0, -1.0), (1.0, self.a, 0.0), (third, 0.0, first - self.c))

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


# Maps


@final
class Henon(_Explicit, Dynamics):
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
    """

    size = 2

    def __init__(self, a: float = 1.4, b: float = 0.3) -> None:
        super().__init__()
        self.a, self.b = checks.positive("a", a), checks.number("b", b)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2)."""
        _autonomous(x)
        first, second = u.unbind(-1)
        return torch.stack([1 - self.a * first.square() + second, self.b * first], -1)

    def _derivative(self, u: Tensor) -> Tensor:
        return _matrix(u, (-2 * self.a * u[..., 0], 1.0), (self.b, 0.0))

    @property
    def fixed_points(self) -> Tensor:
        """Both fixed points (2, 2), float64; the first is on the attractor at the defaults."""
        half = (1 - self.b) / 2
        root = math.sqrt(half**2 + self.a)
        places = torch.tensor([root - half, -root - half], dtype=torch.float64) / self.a
        return torch.stack([places, self.b * places], -1)


@final
class Logistic(_Explicit, Dynamics):
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
    """

    size = 1

    def __init__(self, r: float = 4.0) -> None:
        super().__init__()
        self.r = checks.number("r", r, low=0, high=4)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 1)."""
        _autonomous(x)
        return self.r * u * (1 - u)

    def _derivative(self, u: Tensor) -> Tensor:
        return (self.r * (1 - 2 * u)).unsqueeze(-1)

    @property
    def fixed_points(self) -> Tensor:
        """0 and, for r > 1, where it is in [0, 1], 1 - 1/r: (M, 1), float64."""
        points = [[0.0], [1 - 1 / self.r]] if self.r > 1 else [[0.0]]
        return torch.tensor(points, dtype=torch.float64)


@final
class CatMap(_Explicit, Dynamics):
    """The map (2 u_1 + u_2, u_1 + u_2) mod 1 of the torus [0, 1)^2, which conserves areas.

    The exponents are +-ln((3 + sqrt 5) / 2) = +-0.962424 on every orbit, the density is uniform,
    the only fixed point is the origin.  Its derivative is constant; where the state wraps, the map
    jumps.  States are points of the torus: averages of them need circular statistics.

    References
    ----------
    V. I. Arnold, A. Avez, Ergodic Problems of Classical Mechanics, Benjamin 1968.
    """

    size = 2

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2) in [0, 1)^2."""
        _autonomous(x)
        total = u.sum(-1)
        return torch.stack([total + u[..., 0], total], -1).remainder(1)

    def _derivative(self, u: Tensor) -> Tensor:
        return u.new_tensor([[2.0, 1.0], [1.0, 1.0]])


@final
class Ikeda(_Explicit, Dynamics):
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
    """

    size = 2

    def __init__(self, mu: float = 0.9, kappa: float = 0.4, alpha: float = 6.0) -> None:
        super().__init__()
        self.mu = checks.number("mu", mu, low=0, high=1)
        self.kappa, self.alpha = checks.number("kappa", kappa), checks.number("alpha", alpha)

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., 2)."""
        _autonomous(x)
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
        return _matrix(
            u,
            (c - turned[1] * first, -s - turned[1] * second),
            (s + turned[0] * first, c + turned[0] * second),
        )


def _autonomous(x: Tensor | None) -> None:
    if x is not None:
        raise ValueError("x: expected None, since the system is autonomous; got a drive")


def _matrix(u: Tensor, *rows: tuple[float | Tensor, ...]) -> Tensor:
    """Return the matrices (..., N, N) at u of entries that are numbers or (...)."""
    ones = torch.ones_like(u[..., 0])
    return torch.stack([torch.stack([ones * entry for entry in row], -1) for row in rows], -2)


def _time_constant(tau: float | Tensor, like: Tensor) -> Tensor:
    value = torch.as_tensor(tau, dtype=like.dtype, device=like.device).detach().clone()
    if value.shape not in ((), like.shape[:1]):
        raise ValueError(f"tau: expected a number or ({len(like)},), got {tuple(value.shape)}")
    if bool((checks.finite("tau", value) <= 0).any()):
        raise ValueError(f"tau: expected > 0, got {float(value.min())}")
    return value
