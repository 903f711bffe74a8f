r"""How often noise carries a flow over a barrier: rates with their prefactor where it is known.

With D = Db times the unit matrix, F = -grad V + l, l orthogonal to grad V, a minimum u0 and a
saddle u* with one unstable direction, the rate from one to the other side of the saddle is, to
leading order in Db,

.. math:: k = \frac{\lambda}{2\pi} \sqrt{\frac{\det H(u_0)}{|\det H(u_*)|}}
          \; e^{-\int \nabla \cdot l\; dt}\; e^{-\Delta V / D_b}

==========  ============================================================================
symbol      meaning
==========  ============================================================================
``H``       Hessian of V
``lambda``  the positive eigenvalue of DF at the saddle, flux included
``dV``      V(u*) - V(u0), half the action of the path from u0 to u*
integral    along that path, which moves with the speed |F|
==========  ============================================================================

Without flux this is the law of Eyring and Kramers; the rest is due to Bouchet and Reygner.  V must
be known for the prefactor; without it only the exponent is given.  In a symmetric double well the
spectral gap is k + k' = 2 k (1 + O(Db / dV)).

H. A. Kramers, Physica 7 (1940) 284; F. Bouchet, J. Reygner, Ann. Henri Poincare 17 (2016) 3499.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.grid import kind_of
from sntorch.landscape.intrinsic import Potential, gradient, hamilton_jacobi, mobility
from sntorch.landscape.paths import ActionPath
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["EscapeRate", "escape_rate"]

_REST = 1e-4  # residual speed, relative to that on the path, at which an end is a fixed point
_SOLVED = 1e-3  # Hamilton-Jacobi residual up to which a potential is believed


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EscapeRate(Result):
    """The rate over one saddle, per unit of time, and its parts."""

    barrier: Tensor
    """(), dV: half the action of the path, in units of V."""
    exponent: Tensor
    """(), dV / Db."""
    prefactor: Tensor
    """(), per unit of time; NaN where it is not known."""
    unstable: Tensor
    """(), lambda, the rate at which the saddle is left, per unit of time."""
    correction: Tensor
    """(), integral of div l along the path; 0 without flux, NaN where it is not known."""
    residual: Tensor
    """(), Hamilton-Jacobi residual of the potential along the path; NaN without one."""
    law: str
    """Which law gives the prefactor, or why there is none."""

    @property
    def rate(self) -> Tensor:
        """K (), per unit of time."""
        return self.prefactor * (-self.exponent).exp()

    def scalars(self) -> dict[str, float]:
        """Return rate, prefactor and exponent."""
        return {"rate": float(self.rate), "prefactor": float(self.prefactor),
                "exponent": float(self.exponent)}  # fmt: skip


def escape_rate(
    flow: object,
    path: ActionPath,
    potential: Potential | None = None,
    *,
    x: Tensor | None = None,
) -> EscapeRate:
    """Return the rate at which weak noise carries a flow along a path from a minimum to a saddle.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts, with noise of the same strength in every direction.
    path
        Path of minimum action that starts in a stable fixed point and ends in a saddle.
    potential
        The intrinsic potential V, a function of states (..., N) that is twice differentiable.
        It is tested along the path, and without a solution there is no prefactor.
    x
        Constant drive (I,).

    Raises
    ------
    ValueError
        If the flow has no noise or unequal noise, or the path does not lead from a stable fixed
        point to a saddle with one unstable direction.

    References
    ----------
    F. Bouchet, J. Reygner, Ann. Henri Poincare 17 (2016) 3499.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, diffusion=0.1)
    >>> ends = torch.tensor([[-1.0, 0.0], [0.0, 0.0]]).double()
    >>> path = snt.landscape.minimum_action_path(well, *ends)
    >>> found = snt.landscape.escape_rate(well, path, well.potential)
    >>> round(float(found.prefactor), 3)  # sqrt(32) / (2 pi)
    0.9
    """
    f = as_flow(flow)
    checks.instance("path", path, ActionPath)
    kind = kind_of(f)
    line = path.points.to(**kind)
    G = mobility(f, line.shape[-1])
    if not path.noise or float((G - torch.eye(len(G)).to(G)).abs().max()) > 1e-9:
        raise ValueError("diffusion: expected one number > 0, the same in every direction")
    with observing(f, line):
        unstable = _ends(f, line, x)
        barrier, noise = path.climbed[-1], path.noise
        nothing = torch.full_like(barrier, torch.nan)
        prefactor = correction = residual = nothing
        law = "none: the intrinsic potential is not given"
        if potential is not None:
            middle = (line[1:] + line[:-1]) / 2
            test = hamilton_jacobi(f, potential, middle, x=x)
            residual = test.rms
            law = f"none: the potential misses the Hamilton-Jacobi equation by {residual:.2g}"
            if float(residual) < _SOLVED:
                law, correction = _corrected(f, potential, line, x, test.flux_force)
                curved = _hessian(potential, line[[0, -1]]).double().det().abs()
                shape = (curved[0] / curved[1]).sqrt().cpu()
                prefactor = unstable / (2 * math.pi) * shape * (-correction).exp()
                height = potential(line[[0, -1]]).double().cpu()
                barrier = height[1] - height[0]
    return EscapeRate(
        barrier=barrier,
        exponent=barrier / noise,
        prefactor=prefactor,
        unstable=unstable,
        correction=correction,
        residual=residual,
        law=law,
    )


def _ends(flow: Flow, line: Tensor, x: Tensor | None) -> Tensor:
    """Return the unstable eigenvalue at the end of a path from a stable point to a saddle."""
    speed = flow.drift(line, x).norm(dim=-1)
    if float(speed[[0, -1]].max()) > _REST * float(speed.max()):
        raise ValueError("path: expected one between fixed points, got a drift at its ends")
    values = torch.linalg.eigvals(flow.jacobian(line[[0, -1]], x).double())
    growing = (values.real > 0).sum(-1).tolist()
    if growing != [0, 1]:
        raise ValueError(
            "path: expected a stable start and a saddle with one unstable direction at the end, "
            f"got {growing[0]} and {growing[1]} unstable ones"
        )
    return values[1].real.max().cpu()


def _corrected(
    flow: Flow, potential: Potential, line: Tensor, x: Tensor | None, flux: Tensor
) -> tuple[str, Tensor]:
    """Return the name of the law, and the integral of div l = div F + laplacian V over time."""
    middle = (line[1:] + line[:-1]) / 2
    traces = [
        matrix.double().diagonal(dim1=-2, dim2=-1).sum(-1)
        for matrix in (flow.jacobian(middle, x), _hessian(potential, middle))
    ]
    speed = flow.drift(middle, x).double().norm(dim=-1)
    time = line.double().diff(dim=0).norm(dim=-1) / speed
    total = ((traces[0] + traces[1]) * time).sum().cpu()
    turned = float(flux.norm()) > 1e-6 * float(speed.norm())
    return "Bouchet-Reygner" if turned else "Eyring-Kramers", total


def _hessian(potential: Potential, u: Tensor) -> Tensor:
    """Return the Hessian of V (..., N, N)."""
    columns = []
    for unit in torch.eye(u.shape[-1], dtype=u.dtype, device=u.device):
        push = torch.func.jvp(lambda s: gradient(potential, s), (u,), (unit.expand_as(u),))
        columns.append(push[1])
    return torch.stack(columns, -1)
