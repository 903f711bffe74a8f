r"""The gain below which an SNT network contracts, and the gain at which its origin turns unstable.

.. math:: |F(u) - F(w)| \le (\gamma + g c \|J\|)\,|u - w|, \qquad
          g_{as} = \frac{1 - \gamma}{c \|J\|},

c the supremum of phi', gamma the largest leak.  Below g_as there is one equilibrium that attracts
all states, and copies under any common drive or noise come together; above it nothing follows.
The bound holds in norms in which a diagonal matrix has the norm max |entry| (mathematics): the
p-norms and their positive diagonal weightings, here

================  =============================================================================
``1``             largest column sum of |J|
``2``             largest singular value of J: the best for large random J, where it tends to 2
                  standard deviations of a row
``inf``           largest row sum of |J|
``weighted inf``  max_i sum_j |J_ij| r_j / r_i = rho(|J|), the least of all weighted 1- and
                  sup norms
``weighted 2``    2-norm of D J / D, D = sqrt(l / r), which is never above rho(|J|)
================  =============================================================================

with l and r the Perron vectors of \|J\|, left and right.  The smallest of the five is taken.

For phi odd and thresholds zero the origin is an equilibrium with multipliers
:math:`\gamma + g \phi'(0) \lambda_i(J)`; the first of them to reach the unit circle as g grows
from zero gives the critical gain, about (1 - gamma)/(c std) for large random J, twice g_as.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.cells import SNTCell
from sntorch.couplings.layers import as_coupling
from sntorch.dynamics import as_dynamics
from sntorch.results import Result

__all__ = ["ContractionGain", "contraction_gain", "critical_gain"]

_POWERS = 200  # steps of the power method, of which a random matrix takes 20


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ContractionGain(Result):
    """A certificate: below `gain` the network contracts in the norm `norm`.

    ``float(result)`` is the gain.
    """

    gain: Tensor
    """(), g_as, for a gain common to all neurons; infinite without couplings."""
    norm: str
    """Name of the norm that gives it, one of those in `norms`."""
    norms: dict[str, Tensor]
    """Name of a norm: the norm of J (), the smallest being the best."""
    weights: Tensor
    """(N,), weights w of that norm: |v| is the plain norm of w v."""
    leak: Tensor
    """(), largest leak."""
    slope: float
    """Supremum of phi'."""

    def bound(self, gain: float | Tensor) -> Tensor:
        """Return the Lipschitz constant leak + |gain| slope |J| of F in the norm, per step."""
        return (
            self.leak + self.leak.new_tensor(float(gain)).abs() * self.slope * self.norms[self.norm]
        )

    def length(self, v: Tensor) -> Tensor:
        """Return the lengths (...) of vectors (..., N) in the norm."""
        order = float(self.norm.split()[-1])
        return torch.linalg.vector_norm(self.weights * v, ord=order, dim=-1)

    def scalars(self) -> dict[str, float]:
        """Return the gain and the smallest norm of J."""
        return {"gain": float(self), "norm": float(self.norms[self.norm])}

    def __float__(self) -> float:
        return float(self.gain)


def contraction_gain(cell: object) -> ContractionGain:
    """Return the gain g_as below which an SNT network contracts, whatever its own gain is.

    Parameters
    ----------
    cell
        An `SNTCell` or `SNT` layer.

    Raises
    ------
    ValueError
        If `cell` is anything else.

    References
    ----------
    B. Cessac, "Neural Networks Dynamics", lecture slides, 2020, contraction theorem.

    Examples
    --------
    >>> import sntorch as snt
    >>> float(contraction_gain(snt.SNTCell(2 * torch.eye(3), leak=0.5)))
    0.25
    """
    snt = _entered(cell)
    with torch.no_grad():
        J = as_coupling(snt.coupling).to_dense()
        weights = _weights(J)
        norms = {name: _norm(J, name, w) for name, w in weights.items()}
        norm = min(norms, key=lambda name: float(norms[name]))
        leak = snt.leak.max().clone()
        gain = (1 - leak) / (snt.transfer.supremum * norms[norm])
    return ContractionGain(
        gain=gain,
        norm=norm,
        norms=norms,
        weights=weights[norm],
        leak=leak,
        slope=snt.transfer.supremum,
    )


def critical_gain(cell: object) -> float:
    """Return the smallest gain > 0 at which the origin of an SNT network loses stability.

    Infinite if none does.  What happens there, say a Neimark-Sacker bifurcation, is told by
    `continue_fixed_point`, which also serves networks whose equilibrium is not the origin.

    Parameters
    ----------
    cell
        An `SNTCell` or `SNT` layer with an odd transfer function that is smooth at 0, thresholds 0
        and the same leak for all neurons; its own gain does not matter.

    Raises
    ------
    ValueError
        If `cell` is anything else.

    References
    ----------
    B. Cessac, "Neural Networks Dynamics", lecture slides, 2020.

    Examples
    --------
    >>> import sntorch as snt
    >>> critical_gain(snt.SNTCell(2 * torch.eye(3), leak=0.5))
    0.25
    """
    snt = _entered(cell)
    with torch.no_grad():
        if bool((snt.leak != snt.leak.max()).any()):
            raise ValueError("cell: expected one leak for all neurons, got several")
        z = torch.linspace(0, 3, 7, dtype=snt.leak.dtype, device=snt.leak.device)
        if bool((snt.threshold != 0).any()) or not torch.allclose(
            snt.transfer(-z), -snt.transfer(z)
        ):
            raise ValueError(
                f"cell: expected an odd transfer function and threshold 0, so that the origin is "
                f"an equilibrium, got {snt.transfer} and threshold {snt.threshold.tolist()}"
            )
        leak = float(snt.leak.max())
        J = as_coupling(snt.coupling).to_dense()
        z = torch.linalg.eigvals(J) * snt.transfer.derivative(z[:1])
        # |leak + g z| = 1, a quadratic equation for g
        root = (leak**2 * z.real.square() + (1 - leak**2) * z.abs().square()).sqrt()
        return float(((root - leak * z.real) / z.abs().square()).nan_to_num(torch.inf).min())


def _entered(cell: object) -> SNTCell:
    snt = as_dynamics(cell)
    if not isinstance(snt, SNTCell):
        raise ValueError(f"cell: expected an SNTCell or an SNT layer, got {type(cell).__name__}")
    return snt


def _weights(J: Tensor) -> dict[str, Tensor]:
    """Return the weights (N,) of every norm; any positive ones are right, these are good."""
    size = J.abs()
    tiny = torch.finfo(J.dtype)
    size = size + tiny.eps**0.75 * size.mean() + tiny.tiny  # Perron vectors without zeros
    left, right = _perron(size.mT), _perron(size)
    plain = torch.ones_like(right)
    return {
        "2": plain,
        "1": plain,
        "inf": plain,
        "weighted inf": 1 / right,
        "weighted 2": (left / right).sqrt(),
    }


def _perron(positive: Tensor) -> Tensor:
    """Return the positive eigenvector (N,) of a positive matrix."""
    v = positive.new_ones(len(positive)) / len(positive) ** 0.5
    for _ in range(_POWERS):
        last, v = v, positive @ v
        v = v / v.norm()
        if bool((v - last).abs().amax() <= torch.finfo(v.dtype).eps):
            return v
    values, vectors = torch.linalg.eig(positive)
    return vectors[:, values.real.argmax()].abs()


def _norm(J: Tensor, name: str, weights: Tensor) -> Tensor:
    order = float(name.split()[-1])
    scaled = weights.unsqueeze(-1) * J / weights
    return torch.linalg.matrix_norm(scaled, ord=2 if order == 2 else order)
