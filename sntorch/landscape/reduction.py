r"""The exact landscape of a few coordinates of a large network: the conditional-mean force.

For coordinates y = W u of a stationary flow :math:`du = F\,dt + \sqrt{2D}\,dW`, integrating the
other directions out of its Fokker-Planck equation leaves

.. math:: 0 = -\nabla \cdot (f p) + \nabla \nabla : (W D W^T p), \qquad
          f(y) = \langle W F(u) \mid W u = y \rangle,

for the marginal density p(y).  So the flow with the drift f and the diffusion W D W^T has p as its
stationary density, exactly, and its flux is that of the full process seen in these coordinates,
:math:`J(y) = \int \delta(W u - y)\, W J(u)\, du`.  On a grid, `fokker_planck` has both.

What is not exact is everything that asks for more than one time.  The force at given y fluctuates
about f with a variance s^2 and a memory tau; the projected process is no Markov process, and rates
of escape, spectral gaps and times of the reduced flow are approximations, good where
`memory` = s^2 tau / D, the slow diffusion that the fluctuating force adds to the fast one of the
noise, is small.  Entropy production that the coordinates do not show is missing: the reduced value
is a lower bound.

R. Zwanzig, Phys. Rev. 124 (1961) 983, for projections; Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11
(2024) nwae052, for conditional-mean forces as learned landscapes.
"""

from __future__ import annotations

import dataclasses
import warnings

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import AccuracyWarning
from sntorch.flows import Flow, as_flow
from sntorch.landscape.fitted import FittedFlow, basis_for, scatter_of, steadiness, unsteady
from sntorch.landscape.grid import diffusion_of
from sntorch.landscape.groups import check_orbit, jackknife, pooled
from sntorch.landscape.regression import Design, Regression
from sntorch.landscape.samples import effective_samples
from sntorch.observing import observing
from sntorch.results import over_rows

__all__ = ["ReducedFlow", "reduce_flow"]

_LOOKED_AT = 2000  # states at which the scatter is averaged
_CHUNK = 2**17  # numbers whose drift is asked for at once: they stay in the cache


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ReducedFlow(FittedFlow):
    """The flow of d coordinates whose stationary density is their marginal; N is d here."""

    coordinates: Tensor
    """(d, N), W: y = W u."""
    unresolved: Tensor
    """(d,), share of the variance of the force that the coordinates do not determine."""
    unresolved_stderr: Tensor
    """(d,), by the jackknife over rows and blocks."""
    memory_time: Tensor
    """(d,), tau, integrated autocorrelation time of the force at given y."""
    memory: Tensor
    """(d,), s^2 tau / D: small where the reduced flow also moves as the coordinates do."""
    memory_stderr: Tensor
    """(d,), from the spread over rows."""

    def project(self, u: Tensor) -> Tensor:
        """Return y (..., d) of the states u (..., N)."""
        return u @ self.coordinates.mT

    def scalars(self) -> dict[str, float]:
        """Return the mean diffusion, the scatter, the stationarity, and the largest memory."""
        found = {"unresolved": float(self.unresolved.max()), "memory": float(self.memory.max())}
        return super().scalars() | found


def reduce_flow(
    flow: object,
    trajectory: Tensor,
    coordinates: int | Tensor = 2,
    *,
    dt: float,
    x: Tensor | None = None,
    basis: int | str = "splines",
    cells: int | None = None,
    smoothing: float = 1.0,
) -> ReducedFlow:
    """Return the flow of a few coordinates that has their exact stationary density and flux.

    Where F is not known, ``estimate_flow(orbit @ W.T, dt=dt, basis="splines")`` asks the same of
    increments, with more scatter.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts, of any N.
    trajectory
        Its states (T, ..., N) in the steady state.
    coordinates
        W (d, N), d from 1 to 3: principal axes, patterns over N for overlaps, readout weights; or
        d, for the leading principal axes, turned among themselves so that their noise is
        independent, as a grid wants it.
    dt
        Time between two states that follow each other.
    x
        Constant drive (I,).
    basis, cells, smoothing
        As for `estimate_flow`.

    Raises
    ------
    ValueError
        On wrong arguments, for coordinates that depend on each other, and with too few states.

    Warns
    -----
    AccuracyWarning
        If the orbit is not stationary.

    Examples
    --------
    >>> import sntorch as snt
    >>> J = snt.couplings.gaussian(40, generator=torch.Generator())
    >>> network = snt.systems.AmariWilsonCowan(J, diffusion=0.2, trainable=())
    >>> f = snt.EulerMaruyama(network, dt=0.1)
    >>> orbit = snt.rollout(f, torch.randn(50, 40), 300, generator=torch.Generator())[100:]
    >>> plane = reduce_flow(network, orbit, dt=0.1)
    >>> density = snt.landscape.fokker_planck(plane.flow, plane.grid(60))
    >>> density.density.shape
    torch.Size([60, 60])
    """
    f = as_flow(flow)
    dt = checks.positive("dt", dt)
    smoothing = checks.positive("smoothing", smoothing)
    trajectory = check_orbit(trajectory, dt)
    f.check(trajectory)
    D = diffusion_of(f, trajectory.shape[-1])
    D = D if D.ndim == 2 else torch.diag(D.expand(trajectory.shape[-1]))
    W = _coordinates(coordinates, trajectory, D)
    with observing(f, trajectory):
        force = _forces(f, trajectory, W, x)
    y = trajectory.double().cpu() @ W.T
    d = len(W)
    chosen = basis_for(y.reshape(-1, d), basis, cells)
    bundles = [torch.cat(bundle) for bundle in pooled(torch.cat([y, force], -1))]
    states, targets = [b[:, :d] for b in bundles], [b[:, d:] for b in bundles]
    drift = Design(chosen, states, smoothing).fit(targets)
    inner = W @ D @ W.T
    diagonal = torch.diag(inner.diagonal())
    full = float((inner - diagonal).abs().max()) > 1e-9 * float(inner.abs().max())
    total = y[..., 0].numel()
    looked = y.reshape(-1, d)[:: max(1, total // _LOOKED_AT)]
    found = ReducedFlow(
        drift=drift,
        diffusion=inner if full else diagonal,
        kind="matrix" if full else "diagonal",
        scatter=scatter_of(drift, looked, inner),
        steady=steadiness(y),
        samples=total,
        dt=dt,
        coordinates=W,
        **_fluctuations(drift, y, force, inner.diagonal(), dt),
    )
    if remark := unsteady(found.steady):
        warnings.warn(remark, AccuracyWarning, stacklevel=2)
    return found.map(lambda t: t.to(trajectory))


def _coordinates(given: int | Tensor, trajectory: Tensor, D: Tensor) -> Tensor:
    """Return W (d, N), float64."""
    size = trajectory.shape[-1]
    if not isinstance(given, Tensor):
        d = checks.count("coordinates", given, high=min(3, size))
        u = trajectory.reshape(-1, size).double().cpu()
        W = torch.linalg.eigh(torch.cov(u.T)).eigenvectors[:, -d:].T.flip(0)
        return _turned(W, D)
    checks.same_kind("coordinates", checks.matrix("coordinates", given), trajectory, "the orbit")
    if not 1 <= len(given) <= 3 or given.shape[1] != size:
        raise ValueError(f"coordinates: expected (d, {size}), d <= 3, got {tuple(given.shape)}")
    W = given.detach().double().cpu()
    if int(torch.linalg.matrix_rank(W)) < len(W):
        raise ValueError("coordinates: expected independent rows, got rows that depend on others")
    return W


def _turned(W: Tensor, D: Tensor) -> Tensor:
    """Return axes of the same space with a diagonal W D W^T, as they are if it is already."""
    inner = W @ D @ W.T
    mixed = inner - torch.diag(inner.diagonal())
    if float(mixed.abs().max()) <= 1e-9 * float(inner.abs().max()):
        return W
    return torch.linalg.eigh(inner).eigenvectors.T @ W


def _forces(f: Flow, u: Tensor, W: Tensor, x: Tensor | None) -> Tensor:
    """Return W F (T, ..., d), float64."""
    rows = max(1, _CHUNK // u[0].numel())
    parts = [f.drift(part, x).double().cpu() @ W.T for part in u.split(rows)]
    return checks.finite("flow", torch.cat(parts))


def _fluctuations(
    drift: Regression, y: Tensor, force: Tensor, D: Tensor, dt: float
) -> dict[str, Tensor]:
    """Return what the force does at given y: its share of the variance, and its memory."""
    left = force - drift.at(y)
    away = force - force.reshape(-1, force.shape[-1]).mean(0)
    both = pooled(torch.cat([left, away], -1).square())
    sums = torch.stack([torch.cat(bundle).sum(0) for bundle in both])
    share, error, _ = jackknife(torch.div, *sums.chunk(2, -1))
    rows = left.reshape(len(left), -1, left.shape[-1])
    tau = dt * len(rows) / (2 * effective_samples(rows))
    strength = rows.square().mean(0) * tau / D
    memory, memory_error = over_rows(strength, torch.full_like(strength, torch.nan), 1)
    return {
        "unresolved": share,
        "unresolved_stderr": error,
        "memory_time": tau.mean(0),
        "memory": memory,
        "memory_stderr": memory_error,
    }
