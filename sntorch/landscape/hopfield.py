r"""The Hopfield energy: the Lyapunov function of a network with symmetric couplings.

For neurons in continuous time, du/dt = -u/tau + J f(u) - theta + W x, and V = f(u),

.. math:: E = -\tfrac12 V^\top J V + \sum_i \frac{1}{\tau_i} \int_0^{V_i} f^{-1} + (\theta - W x)
              \cdot V, \qquad \int_0^{V} f^{-1} = u f(u) - \int_0^u f,
.. math:: \nabla E = f'(u) \Big(\frac{u}{\tau} - \tfrac12 (J + J^\top) V + \theta - W x\Big),
          \qquad \frac{dE}{dt} = -\sum_i f'(u_i) \dot u_i^2 \quad (J = J^\top).

(the integral up to a constant where f(0) is not 0).  A cell with leak gamma is the Euler step of
1/tau = 1 - gamma, with the same fixed points; its own parallel steps are long, and lower E only if
the couplings have no eigenvalue below -(1 + gamma) / max f' (Marcus and Westervelt 1989).

Two traps.  With asymmetric couplings E is no Lyapunov function: it sees J + J^T alone.  And with
additive noise exp(-E/D) is not the stationary density even for symmetric J, whose drift in u still
has a curl, J_ij (f'(u_j) - f'(u_i)): E orders states, it is no -ln P.  The noise that
matches the energy is D_i = T / f'(u_i), with the Ito drift d_i D_i: `MatchedNetwork`.
"""

from __future__ import annotations

import warnings
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings import Coupling
from sntorch.differentiable import recording
from sntorch.flows import Flow
from sntorch.landscape.potentials import Potential
from sntorch.systems import AmariWilsonCowan

__all__ = ["AsymmetryWarning", "HopfieldEnergy", "MatchedNetwork"]

_SYMMETRIC = 1e-6  # relative size of J - J^T that rounding explains


class AsymmetryWarning(UserWarning):
    """The couplings are not symmetric: the energy is no Lyapunov function.

    Examples
    --------
    >>> import warnings
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     _ = HopfieldEnergy(cell)
    >>> [each.category.__name__ for each in told]
    ['AsymmetryWarning']
    """


@final
class HopfieldEnergy(Potential):
    """The energy of a network of graded neurons; it never rises along a flow with J = J^T.

    Warns (`AsymmetryWarning`) where the couplings are asymmetric by more than rounding; E is then
    that of their symmetric part.

    Parameters
    ----------
    network
        An `AmariWilsonCowan` flow, or an `SNTCell`, whose leak makes its time constant.
    x
        Constant drive (I,).

    Raises
    ------
    ValueError
        If the network is neither, or the drive does not fit it.

    References
    ----------
    J. J. Hopfield, Proc. Natl. Acad. Sci. USA 81 (1984) 3088; C. M. Marcus, R. M. Westervelt, Phys.
    Rev. A 40 (1989) 501.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.gaussian(50, std=2.0, symmetry=1.0, dtype=torch.float64)
    >>> flow = snt.systems.AmariWilsonCowan(J)
    >>> energy = snt.landscape.HopfieldEnergy(flow)
    >>> orbit = snt.rollout(snt.EulerMaruyama(flow, dt=0.05), torch.randn(4, 50).double(), 100)
    >>> bool((energy(orbit).diff(dim=0) <= 0).all())
    True
    """

    def __init__(self, network: AmariWilsonCowan | SNTCell, *, x: Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(network, AmariWilsonCowan | SNTCell):
            kind = type(network).__name__
            raise ValueError(f"network: expected an AmariWilsonCowan or SNTCell, got {kind}")
        self.network = network
        self.size = network.size
        if x is not None and checks.finite("x", checks.floating("x", x, ndim=1)).ndim != 1:
            raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
        self.register_buffer("x", x)
        self.cell.map(self.cell.gain.new_zeros(self.size), x)  # says what is wrong with x
        asymmetry = float(self.asymmetry.detach())
        if asymmetry > _SYMMETRIC:
            warnings.warn(
                f"J: expected symmetric couplings, got |J - J^T| / |J + J^T| = "
                f"{asymmetry:.3g}; the energy is no Lyapunov function",
                AsymmetryWarning,
                stacklevel=2,
            )

    x: Tensor | None

    @property
    def cell(self) -> SNTCell:
        """The cell that holds couplings, thresholds and transfer function."""
        return self.network if isinstance(self.network, SNTCell) else self.network.cell

    @property
    def asymmetry(self) -> Tensor:
        """|J - J^T| / |J + J^T| in Frobenius norms (): 0 if and only if E is a Lyapunov function.

        inf for antisymmetric couplings.
        """
        J = self._couplings().detach()
        skew, even = torch.linalg.norm(J - J.mT), torch.linalg.norm(J + J.mT)
        return torch.where(skew > 0, skew / even, 0.0)

    def energy(self, u: Tensor) -> Tensor:
        """Return E (...) at states u (..., N)."""
        return self._parts(u, self.cell.rate(u))[0]

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return E (...) and its gradient (..., N)."""
        V, slope = self.cell.transfer.with_derivative(self.cell.gain * u)
        value, force = self._parts(u, V)
        return value, self.cell.gain * slope * force

    def rate(self, u: Tensor) -> Tensor:
        """Return V = f(u) (..., N)."""
        return self.cell.rate(u)

    def _parts(self, u: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        """Return E (...) and u/tau - J_s V + theta - W x (..., N) at u with the rates V."""
        J = self._couplings()
        pull = V @ (J + J.mT) / 2
        rest = self._rest(u)
        decay = self._decay()
        local = decay * (u * V - self._primitive(u)) + rest * V
        value = (local - V * pull / 2).sum(-1)
        return value, decay * u - pull + rest

    def _rest(self, u: Tensor) -> Tensor:
        """Return theta - W x (N,)."""
        threshold = self.cell.threshold.expand(self.size)
        weight = self.cell.input_weight
        return threshold if self.x is None or weight is None else threshold - weight @ self.x

    def _decay(self) -> Tensor:
        """Return 1/tau, () or (N,)."""
        if isinstance(self.network, SNTCell):
            return 1 - self.network.leak
        return 1 / self.network.tau

    def _primitive(self, u: Tensor) -> Tensor:
        """Return int_0^u f (..., N), with f(u) = phi(gain u)."""
        gain = self.cell.gain
        flat = gain == 0
        over = self.cell.transfer.primitive(gain * u) / torch.where(flat, 1.0, gain)
        return torch.where(flat, u * self.cell.transfer(gain * u), over)

    def _couplings(self) -> Tensor:
        J = self.cell.coupling
        return J.to_dense() if isinstance(J, Coupling) else J


@final
class MatchedNetwork(Flow):
    r"""A network with the noise under which its Hopfield energy is the landscape.

    .. math:: F_i = \dot u_i + \partial_i D_i(u), \qquad D_i = T / f'(u_i), \qquad P \sim e^{-E/T}

    for symmetric couplings, without any flux.  The energy of a bounded f is bounded, and so is no
    density on all of space: there must be walls.  As a flow it carries no constant diffusion; what
    takes one that depends on the state is given `diffusion_at`.

    Parameters
    ----------
    network
        A flow with symmetric couplings, whose own diffusion is not used.
    temperature
        T > 0.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.AmariWilsonCowan(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> noisy = snt.landscape.MatchedNetwork(flow, temperature=0.1)
    >>> noisy.diffusion_at(torch.zeros(2)).detach()
    tensor([0.1000, 0.1000])
    """

    def __init__(self, network: AmariWilsonCowan, temperature: float) -> None:
        super().__init__()
        self.network = checks.instance("network", network, AmariWilsonCowan)
        self.energy = HopfieldEnergy(network)
        self.temperature = checks.positive("temperature", temperature)
        self.size = network.size

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., N), the Ito drift."""
        with recording():
            # D_i depends on u_i alone; forward mode would be four times as slow.
            spread = torch.func.grad(lambda v: self.diffusion_at(v).sum())(u)
        return self.network.drift(u, x) + spread

    def diffusion_at(self, u: Tensor) -> Tensor:
        """Return D_i(u) (..., N)."""
        cell = self.network.cell
        return self.temperature / (cell.gain * cell.transfer.derivative(cell.gain * u))
