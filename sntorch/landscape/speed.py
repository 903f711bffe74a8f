r"""The speed potential: how fast a network moves, as an energy.

.. math:: E(u) = \tfrac12 |r(u)|^2 + \eta |u|^2, \qquad
          r = (F(u) - u)/dt \;\text{(map)}, \qquad r = F(u) \;\text{(flow)},
.. math:: \nabla E = Dr^\top r + 2 \eta u.

E vanishes at fixed points only (for eta = 0); its other minima are slow points.  Speeds are per
unit of time, so that an Euler map has the potential of its flow.  The gradient costs two products
with the couplings: one for r, one for Dr^T r by reverse mode; no Jacobian is formed.

Along the orbits of the network E has no sign of change, dE/dt = r^T Dr r: it is no Lyapunov
function.  The canonical measure exp(-E/T) is that of du = -grad E dt + sqrt(2T) dW and says nothing
about how often the network itself visits a state.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.flows import EulerMaruyama, Flow
from sntorch.landscape.potentials import Potential
from sntorch.systems import AmariWilsonCowan

__all__ = ["SpeedPotential"]


@final
class SpeedPotential(Potential):
    """E(u) = |r(u)|^2 / 2 + confinement |u|^2, r the speed of the network per unit of time.

    Parameters
    ----------
    f
        A map, which is anything `as_dynamics` accepts (torch's cells and layers included), or a
        `Flow`.
    x
        Constant drive (I,).
    confinement
        eta >= 0, keeps states finite where the network does not.
    field
        h (N,), added to r: the weak field of a response.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    D. Sussillo, O. Barak, Neural Comput. 25 (2013) 626; J. Qiu, H. Huang, Commun. Theor. Phys. 77
    (2025) 035601.

    Examples
    --------
    >>> import sntorch as snt
    >>> potential = snt.landscape.SpeedPotential(lambda u: 2 * u)
    >>> u = torch.tensor([3.0, 4.0])
    >>> potential(u), potential.gradient(u)
    (tensor(12.5000), tensor([3., 4.]))
    """

    def __init__(
        self,
        f: object,
        *,
        x: Tensor | None = None,
        confinement: float = 0.0,
        field: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.f: Dynamics | Flow = f if isinstance(f, Flow) else as_dynamics(f)
        self.size = self.f.size
        self.confinement = checks.number("confinement", confinement, low=0)
        if x is not None and checks.floating("x", x, ndim=1).ndim != 1:
            raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
        if field is not None and checks.floating("field", field, ndim=1).ndim != 1:
            raise ValueError(f"field: expected (N,), got {tuple(field.shape)}")
        if field is not None and self.size not in (-1, len(field)):
            raise ValueError(f"field: expected ({self.size},), got {tuple(field.shape)}")
        numbers = (*self.f.parameters(), *self.f.buffers())
        like = next((p for p in numbers if p.is_floating_point()), None)
        for name, value in (("x", x), ("field", field)):
            if value is not None and like is not None:
                checks.same_kind(name, value, like, "the parameters")
            self.register_buffer(name, value if value is None else checks.finite(name, value))

    x: Tensor | None
    field: Tensor | None

    def with_field(self, field: Tensor) -> SpeedPotential:
        """Return the potential of the same network with a field (..., N), one per row if wanted."""
        other = SpeedPotential(self.f, x=self.x, confinement=self.confinement)
        other.field = field
        return other

    def residual(self, u: Tensor) -> Tensor:
        """Return r (..., N), the speed per unit of time, with the field."""
        value = self.f.drift(u, self.x) if isinstance(self.f, Flow) else self.f.map(u, self.x)
        return self._speed(value, u)

    def energy(self, u: Tensor) -> Tensor:
        """Return |r|^2 / 2 + eta |u|^2 (...)."""
        return self._energy(self.residual(u), u)

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return E (...) and Dr^T r + 2 eta u (..., N), from one evaluation and one pullback."""
        value, gradient, _ = self.linearise(u)
        return value, gradient

    def linearise(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return E (...), its gradient and r (..., N)."""
        value, pull = self.f.pullback(u, self.x)
        r = self._speed(value, u)
        gradient = pull(r.unsqueeze(-1)).squeeze(-1)
        if not isinstance(self.f, Flow):
            gradient = gradient - r
            gradient = gradient if self.f.dt == 1 else gradient / self.f.dt
        if self.confinement:
            gradient = gradient + 2 * self.confinement * u
        return self._energy(r, u), gradient, r

    def rate(self, u: Tensor) -> Tensor:
        """Return f(u) (..., N) of an SNT network, in discrete or continuous time, else u."""
        f = self.f.flow if isinstance(self.f, EulerMaruyama) else self.f
        cell = f.cell if isinstance(f, AmariWilsonCowan) else f
        return cell.rate(u) if isinstance(cell, SNTCell) else u

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state of the network."""
        return self.f.check(u)

    def extra_repr(self) -> str:
        """Say how states are confined."""
        return f"confinement={self.confinement:.4g}"

    def _speed(self, value: Tensor, u: Tensor) -> Tensor:
        if not isinstance(self.f, Flow):
            value = value - u
            value = value if self.f.dt == 1 else value / self.f.dt
        return value if self.field is None else value + self.field

    def _energy(self, r: Tensor, u: Tensor) -> Tensor:
        value = torch.linalg.vecdot(r, r) / 2
        return value + self.confinement * u.square().sum(-1) if self.confinement else value
