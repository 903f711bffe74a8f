r"""The flow behind an orbit: drift and diffusion from increments, where F is not known.

From states u(t) of :math:`du = F\,dt + \sqrt{2D}\,dW` seen at intervals dt, with the generator
:math:`L = F \cdot \nabla + D : \nabla\nabla`,

.. math:: F_{dt}(u) = \frac{\langle u(t + dt) - u(t) \mid u(t) = u \rangle}{dt}
          = F + \frac{dt}{2} L F + O(dt^2), \qquad
          D_{dt} = \frac{\mathrm{Cov}(u(t + dt) - u(t) \mid u(t))}{2\,dt} = D + O(dt).

The conditional mean is a least-squares fit in a basis (`bases`), the conditional covariance that of
its residuals.  Both at twice the interval tell the bias: for either,

.. math:: F = 2 F_{dt} - F_{2dt} + O(dt^2)

is of second order (Richardson).  That the orbit is made of Euler steps of dt is the exception:
there F_dt and D_dt are exact, and so is first order.

What scatters: the variance of F_dt is 2D / dt for every state that is seen, in all 2 D K / (n dt)
for K functions, whatever dt is: the length n dt of the orbit decides, not the number of its states.
Second order scatters a little more: (5 - 3 rho) / 2 times the variance, rho the correlation of the
functions over dt.  The scatter has a rotation, too, so that it adds to the entropy production of
the estimated flow, `scatter` at most.

Quadratic variation grows like the interval, and says so in `scaling`: its logarithm to base 2 from
dt to 2 dt is 1 for diffusion, 2 or more in a direction without noise, 0 for noise of measurement
or where dt exceeds the memory of the process.
"""

from __future__ import annotations

import dataclasses
import warnings

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.analysis import AccuracyWarning
from sntorch.landscape.fitted import FittedFlow, basis_for, scatter_of, steadiness, unsteady
from sntorch.landscape.groups import check_orbit, mean_and_error, pooled
from sntorch.landscape.regression import Design, Regression

__all__ = ["FlowEstimate", "estimate_flow"]

_SCALINGS = (0.5, 1.5)  # between which quadratic variation is taken for diffusion
_CORRELATED = 0.1  # correlation of noise that a diagonal D should not leave out
_LOOKED_AT = 2000  # states at which scatter and bias are averaged
_FLOOR = 1e-3  # of the mean, below which a local diffusion does not fall


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FlowEstimate(FittedFlow):
    """A drift and a diffusion from increments, with their errors."""

    diffusion_stderr: Tensor
    """(N, N), from the spread over rows and blocks."""
    local: Regression
    """D_i(u), N fields in the basis."""
    scaling: Tensor
    """(N,), log2 of the quadratic variation at 2 dt over that at dt: 1 for diffusion; of neurons,
    for the kind ``matrix`` of the principal directions of the noise."""
    step_bias: Tensor
    """(), |F_2dt - F_dt| / |F|, root mean squares over the states: what first order is wrong by."""
    order: int
    """1, or 2 with the bias of order dt removed."""

    def diffusion_at(self, u: Tensor) -> Tensor:
        """Return D_i(u) (..., N), no less than 0.001 of its mean.

        A `diffusion` for `fokker_planck` and `epr_loss`; the drift is that of Ito.
        """
        return self.local.at(u).maximum(_FLOOR * self.diffusion.diagonal())

    def scalars(self) -> dict[str, float]:
        """Return the mean diffusion, the scatter, the stationarity and the bias of the step."""
        return super().scalars() | {"step_bias": float(self.step_bias)}


@torch.no_grad()
def estimate_flow(
    trajectory: Tensor | NDArray,
    *,
    dt: float,
    basis: int | str = 1,
    order: int = 2,
    diffusion: str = "diagonal",
    cells: int | None = None,
    smoothing: float = 1.0,
) -> FlowEstimate:
    """Return the drift and the diffusion that made an orbit, from its increments.

    The `flow` of the record serves every function of flows: losses of potentials, `fokker_planck`,
    `gaussian_landscape`.  Estimates for projected orbits are those of the reduced process.

    Parameters
    ----------
    trajectory
        States (T, ..., N), T >= 3, of a flow whose noise does not depend on the state, or little.
    dt
        Time between two states that follow each other.
    basis
        Degree of the polynomial that the drift is, 1 for a linear flow of any N; or ``splines``, up
        to N = 3.
    order
        2 removes the bias of order dt; 1 is for orbits that are Euler steps of dt, and for maps.
    diffusion
        Which D the flow has: ``scalar``, ``diagonal`` or ``matrix``.
    cells
        Of the splines along every axis; 12, or 8 for N = 3.
    smoothing
        Weight of the roughness of splines, in increments per cell: cells that saw fewer continue
        their neighbours.

    Raises
    ------
    ValueError
        On wrong arguments; with fewer than 5 increments per function, or states in a subspace.

    Warns
    -----
    AccuracyWarning
        If the orbit is not stationary, its quadratic variation is not that of a diffusion, or noise
        is correlated and D diagonal.

    References
    ----------
    R. Friedrich, J. Peinke, Phys. Rev. Lett. 78 (1997) 863, for drift and diffusion from
    increments; M. Ragwitz, H. Kantz, Phys. Rev. Lett. 87 (2001) 254501, for the bias of the step.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(torch.tensor([[-1.0, -2.0], [2.0, -1.0]]))
    >>> f = snt.EulerMaruyama(trap, dt=0.01)
    >>> orbit = snt.rollout(f, torch.randn(200, 2), 300, generator=torch.Generator())
    >>> found = estimate_flow(orbit, dt=0.01, order=1)
    >>> found.flow.jacobian(torch.zeros(2)).round()
    tensor([[-1., -2.],
            [ 2., -1.]])
    """
    dt = checks.positive("dt", dt)
    trajectory = check_orbit(trajectory, dt)
    checks.count("len(trajectory)", len(trajectory), low=3)
    order = checks.count("order", order, high=2)
    kind = checks.one_of("diffusion", diffusion, ("scalar", "diagonal", "matrix"))
    smoothing = checks.positive("smoothing", smoothing)
    u = trajectory.double().cpu()
    chosen = basis_for(u.reshape(-1, u.shape[-1]), basis, cells)
    states, lagged = _increments(u, dt)
    design = Design(chosen, states, smoothing)
    both = design.fit(lagged)
    n = u.shape[-1]
    eye = torch.eye(n).to(u)
    weights = torch.cat([2 * eye, -eye] if order == 2 else [eye, 0 * eye])
    drift = both.mixed(weights)
    variation = [_scaled(left, dt) for left in design.residuals(both, lagged)]
    local = design.fit([v.square() for v in variation]).mixed(weights)
    total = sum(map(len, states))
    first, second, error = _covariances(variation, order, chosen.count)
    D = 2 * first - second if order == 2 else first
    D, scaling = _noisy_part(D, first, second, kind, torch.finfo(trajectory.dtype).eps)
    looked = torch.cat(states)[:: max(1, total // _LOOKED_AT)]
    found = FlowEstimate(
        drift=drift,
        local=local,
        diffusion=D,
        diffusion_stderr=error,
        kind=kind,
        scaling=scaling,
        step_bias=_relative(both.mixed(torch.cat([-eye, eye])).at(looked), drift.at(looked)),
        scatter=scatter_of(drift, looked, D if kind == "matrix" else torch.diag(D.diagonal())),
        steady=steadiness(u),
        samples=total,
        order=order,
        dt=dt,
    )
    _warn(found)
    return found.map(lambda t: t.to(trajectory))


def _increments(u: Tensor, dt: float) -> tuple[list[Tensor], list[Tensor]]:
    """Return states (n, N) and mean velocities (n, 2N) over dt and over 2 dt, group by group."""
    states, lagged = [], []
    for bundle in pooled(u):
        stretches = [g for g in bundle if len(g) > 2]
        if stretches:
            states.append(torch.cat([g[:-2] for g in stretches]))
            one = torch.cat([g[1:-1] - g[:-2] for g in stretches]) / dt
            two = torch.cat([g[2:] - g[:-2] for g in stretches]) / (2 * dt)
            lagged.append(torch.cat([one, two], -1))
    return states, lagged


def _scaled(left: Tensor, dt: float) -> Tensor:
    """Return residual velocities (n, 2N) as increments whose squares have the mean D."""
    one, two = left.chunk(2, -1)
    return torch.cat([one * (dt / 2) ** 0.5, two * dt**0.5], -1)


def _covariances(variation: list[Tensor], order: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return D_dt and D_2dt (N, N), and the standard error of the D of an order."""
    total = sum(map(len, variation))
    n = variation[0].shape[-1] // 2
    parts = []
    for lag in (0, 1):
        scaled = [v[:, lag * n : (lag + 1) * n] for v in variation]
        lost = total / max(total - (lag + 1) * count, 1)  # overlapping steps lose as much twice
        parts.append(torch.stack([lost * v.T @ v / len(v) for v in scaled]))
    each = 2 * parts[0] - parts[1] if order == 2 else parts[0]
    weight = torch.tensor([len(v) for v in variation]).to(each) / total
    first, second = (torch.einsum("g,gij->ij", weight, part) for part in parts)
    return first, second, mean_and_error(each)[1]


def _noisy_part(
    D: Tensor, first: Tensor, second: Tensor, kind: str, eps: float
) -> tuple[Tensor, Tensor]:
    """Return D without the directions in which nothing diffuses, and the scaling of all (N,)."""
    eye = torch.eye(len(D)).to(D)
    axes = torch.linalg.eigh(first).eigenvectors if kind == "matrix" else eye
    one, two = ((axes * (part @ axes)).sum(0) for part in (first, second))
    still = one <= 1e-12 * one.max()
    ratio = torch.where(still, torch.inf, 2 * two / one.clamp(min=torch.finfo(D.dtype).tiny))
    scaling = ratio.clamp(min=1e-12, max=16).log2()
    noisy = scaling < _SCALINGS[1]
    if kind != "matrix":
        return D * noisy * noisy[:, None], scaling
    kept = axes * noisy
    values, vectors = torch.linalg.eigh(kept @ (kept.T @ D @ kept) @ kept.T)
    # Rounding must not make a direction without noise look like one with hardly any.
    lowest = -5 * len(D) * eps * float(D.abs().max())
    values = torch.where(values > -lowest, values, lowest)
    return _symmetric((vectors * values) @ vectors.T), scaling


def _symmetric(D: Tensor) -> Tensor:
    return (D + D.T) / 2


def _relative(part: Tensor, whole: Tensor) -> Tensor:
    return part.norm() / whole.norm().clamp(min=torch.finfo(whole.dtype).tiny)


def _warn(found: FlowEstimate) -> None:
    remarks = []
    if remark := unsteady(found.steady):
        remarks.append(remark)
    low, high = float(found.scaling.min()), float(found.scaling.max())
    if high > _SCALINGS[1]:
        remarks.append(
            f"quadratic variation grows like dt^{high:.2g} in some direction: there is no noise in "
            "it, and D is set to 0 there"
        )
    if low < _SCALINGS[0]:
        remarks.append(
            f"quadratic variation grows like dt^{low:.2g}: the states carry noise of measurement, "
            "or dt is longer than the memory of the process"
        )
    scale = found.diffusion.diagonal().sqrt()
    mixed = found.diffusion - torch.diag(found.diffusion.diagonal())
    relative = (mixed / (scale[:, None] * scale).clamp(min=1e-300)).abs()
    clear = (relative > _CORRELATED) & (mixed.abs() > 5 * found.diffusion_stderr)
    if found.kind != "matrix" and bool(clear.any()):
        remarks.append(
            f"the noise of neurons is correlated (up to {float(relative[clear].max()):.2g}), which "
            f"a {found.kind} D leaves out: ask for diffusion='matrix'"
        )
    for remark in remarks:
        warnings.warn(remark, AccuracyWarning, stacklevel=3)
