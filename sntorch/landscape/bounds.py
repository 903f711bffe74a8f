r"""Entropy production from an orbit alone, where the map that made it is not known.

**Lagged covariances.**  With :math:`C_0 = \langle y y^T \rangle` and
:math:`C_1 = \langle y' y^T \rangle` of successive states y, y', the linear map M = C_1 C_0^-1
with noise S = C_0 - M C_0 M^T has the entropy production (see `sntorch.landscape.linear`)

.. math:: e_G = -\mathrm{tr}\,[ S^{-1} M (C_1 - C_1^T) ].

It is that of a Gaussian process exactly.  Of any other process it is that of the Gaussian one with
the same covariances, which may be more or less: an estimate, not a bound.

**Currents.**  For antisymmetric observables j(y, y') = -j(y', y) a fluctuation theorem bounds the
entropy production of a Markov process, and of what is seen of it in a projection, from below.  Of
all linear combinations of the currents :math:`j_{ab} = \tfrac12 (y + y')_a (y' - y)_b`, with
:math:`\mu = \langle j \rangle`, the best has

.. math:: r^2 = \mu^T \langle j j^T \rangle^{-1} \mu, \qquad e \ge 2 r\, \mathrm{artanh}\, r,

per step, whatever the size of a step.  For small steps this is the thermodynamic uncertainty
relation :math:`e \ge 2 \langle J \rangle^2 / \mathrm{Var}\, J`, whose right-hand side
2 r^2 / (1 - r^2) is larger and may exceed e where a step is not small.

Both are functions of sample means and as such biased upwards: by about N (N - 1) per number of
steps for the first, by about twice the number of independent currents for the second.  The
jackknife over rows, or blocks of few rows, removes that and gives the error.
"""

from __future__ import annotations

import dataclasses

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.landscape.groups import check_orbit, groups, jackknife, mean_state, pooled
from sntorch.results import Result, time_unit

__all__ = ["EntropyEstimate", "lagged_entropy", "uncertainty_bound"]

_CHUNK = 2**22  # numbers of currents in memory at a time


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EntropyEstimate(Result):
    """Entropy production as an orbit shows it, without knowledge of the map."""

    method: str
    """``lagged covariances`` or ``currents``."""
    value: Tensor
    """(), in `unit`, the sampling bias of order 1/n removed; may be negative by its error."""
    stderr: Tensor
    """(), by the jackknife over rows and blocks."""
    plain: Tensor
    """(), without the correction."""
    samples: int
    """n, transitions."""
    axes: int
    """p, coordinates that were looked at."""
    dt: float
    """Time per step."""

    @property
    def bound(self) -> bool:
        """Whether the value is, within its error, never above the entropy production."""
        return self.method == "currents"

    @property
    def unit(self) -> str:
        """The unit of `value`."""
        return f"nats per {time_unit(self.dt)}"

    @property
    def uncertainty_relation(self) -> Tensor:
        """2 <J>^2 / Var J (), from `plain`: for short steps; NaN for lagged covariances."""
        if not self.bound:
            return torch.full_like(self.plain, torch.nan)
        square = _squared_ratio(self.plain * self.dt)
        return 2 * square / (1 - square) / self.dt

    def scalars(self) -> dict[str, float]:
        """Return value, error, and what it was without correction."""
        return {
            "value": float(self.value),
            "stderr": float(self.stderr),
            "plain": float(self.plain),
        }


@torch.no_grad()
def lagged_entropy(trajectory: Tensor | NDArray, *, dt: float = 1.0) -> EntropyEstimate:
    """Return the entropy production of the Gaussian process with the covariances of an orbit.

    Parameters
    ----------
    trajectory
        Successive states (T, ..., N) in a steady state, with every=1; many more than N^2.
    dt
        Time per step.

    Raises
    ------
    ValueError
        On wrong arguments, and with too few states for covariances of N numbers.

    References
    ----------
    M. Gilson, E. Tagliazucchi, R. Cofre, Phys. Rev. E 107 (2023) 024121.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.8, -0.3], [0.3, 0.8]], dtype=torch.float64)
    >>> f = snt.as_dynamics(lambda u: u @ M.T, noise=1.0)
    >>> u = torch.zeros(50, 2, dtype=torch.float64)
    >>> found = lagged_entropy(snt.rollout(f, u, 300, generator=torch.Generator())[50:])
    >>> exact = snt.landscape.linear_map(M).entropy_production
    >>> bool((found.value - exact).abs() < 4 * found.stderr)
    True
    """
    trajectory = check_orbit(trajectory, dt)
    n = trajectory.shape[-1]
    y = (trajectory - mean_state(trajectory)).double()
    found = [[_covariances(g) for g in bundle] for bundle in pooled(y)]
    _check_groups(len(found))
    sums = torch.stack([torch.stack(bundle).sum(0) for bundle in found])
    samples = sum(len(g) - 1 for g in groups(y))
    if samples - samples // len(sums) <= 2 * n:
        raise ValueError(f"trajectory: expected more than {2 * n} steps for N = {n}, got {samples}")
    value, stderr, plain = jackknife(_gaussian_entropy, sums)
    return _estimate("lagged covariances", (value, stderr, plain), samples, n, dt, trajectory)


@torch.no_grad()
def uncertainty_bound(
    trajectory: Tensor | NDArray, axes: Tensor | None = None, *, dt: float = 1.0
) -> EntropyEstimate:
    """Return a lower bound of the entropy production from the currents of an orbit.

    Parameters
    ----------
    trajectory
        Successive states (T, ..., N) in a steady state, with every=1.
    axes
        (p, N), coordinates to look at, of which the p^2 currents are taken; the neurons themselves
        where N <= 16, else to be chosen, as by `leading_plane`.
    dt
        Time per step.

    Raises
    ------
    ValueError
        On wrong arguments, too many axes, and fewer transitions than currents.

    References
    ----------
    S. Otsubo et al., Phys. Rev. E 101 (2020) 062106; Y. Hasegawa, T. Van Vu, Phys. Rev. Lett. 123
    (2019) 110602, and A. M. Timpanaro et al., ibid. 090604, for steps that are not short.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.SNTCell(snt.couplings.gaussian(4, dtype=torch.float64), noise=0.5)
    >>> u = torch.zeros(100, 4, dtype=torch.float64)
    >>> orbit = snt.rollout(f, u, 400, generator=torch.Generator()).detach()
    >>> exact = snt.landscape.entropy_production(f, orbit).value.mean()
    >>> bool(0 < uncertainty_bound(orbit).value < exact)
    True
    """
    trajectory = check_orbit(trajectory, dt)
    n = trajectory.shape[-1]
    y = trajectory - mean_state(trajectory)
    if axes is not None:
        checks.same_kind("axes", checks.matrix("axes", axes), trajectory, "the trajectory")
        if axes.shape[1] != n:
            raise ValueError(f"axes: expected (p, {n}), got {tuple(axes.shape)}")
        y = y @ axes.T
    p = y.shape[-1]
    if p > 16:
        raise ValueError(f"axes: expected at most 16, which have 256 currents, got {p}")
    y = y.double()
    bundles = [[_currents(g) for g in bundle] for bundle in pooled(y)]
    _check_groups(len(bundles))
    first, second = (
        torch.stack([torch.stack([each[i] for each in bundle]).sum(0) for bundle in bundles])
        for i in (0, 1)
    )
    samples = sum(len(g) - 1 for g in groups(y))
    if samples - samples // len(first) <= 2 * p * p:
        raise ValueError(
            f"trajectory: expected more than {2 * p * p} steps for {p} axes, got {samples}"
        )
    counts = [sum(len(g) - 1 for g in bundle) for bundle in pooled(y)]
    found = jackknife(_current_bound, first, second, first.new_tensor(counts))
    return _estimate("currents", found, samples, p, dt, trajectory)


def _estimate(
    method: str,
    found: tuple[Tensor, Tensor, Tensor],
    samples: int,
    axes: int,
    dt: float,
    like: Tensor,
) -> EntropyEstimate:
    value, stderr, plain = (each.to(like) / dt for each in found)
    return EntropyEstimate(
        method=method, value=value, stderr=stderr, plain=plain, samples=samples, axes=axes, dt=dt
    )


def _check_groups(count: int) -> None:
    if count < 2:
        raise ValueError("trajectory: expected at least two rows or blocks of two states, got one")


def _covariances(y: Tensor) -> Tensor:
    """Return sums (3, p, p) of y y^T, y' y'^T and y' y^T over the transitions of a stretch."""
    now, then = y[:-1], y[1:]
    start = now.T @ now
    end = start - torch.outer(y[0], y[0]) + torch.outer(y[-1], y[-1])
    return torch.stack([start, end, then.T @ now])


def _gaussian_entropy(sums: Tensor) -> Tensor:
    start, end, C1 = sums
    C0 = (start + end) / 2
    M = torch.linalg.solve(C0, C1, left=False)
    S = C0 - M @ C1.T
    return -torch.linalg.solve(S, M @ (C1 - C1.T)).trace()


def _currents(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return sums (p^2,) of the currents and (p^2, p^2) of their products, in bounded memory."""
    p = y.shape[-1]
    first, second = y.new_zeros(p * p), y.new_zeros(p * p, p * p)
    middle, step = (y[1:] + y[:-1]) / 2, y.diff(dim=0)
    rows = max(1, _CHUNK // p**2)
    for m, d in zip(middle.split(rows), step.split(rows), strict=True):
        j = (m.unsqueeze(-1) * d.unsqueeze(-2)).flatten(1)
        first += j.sum(0)
        second += j.T @ j
    return first, second


def _current_bound(first: Tensor, second: Tensor, count: Tensor) -> Tensor:
    mean, square = first / count, second / count
    scale = square.diagonal().sqrt().clamp(min=torch.finfo(square.dtype).tiny)
    # Currents that depend on each other, as in a singular projection, have no part of their own.
    inverse = torch.linalg.pinv(square / scale / scale.unsqueeze(-1), rtol=1e-10, hermitian=True)
    mean = mean / scale
    r = (mean @ inverse @ mean).clamp(min=0, max=1 - 1e-12).sqrt()
    return 2 * r * r.atanh()


def _squared_ratio(bound: Tensor) -> Tensor:
    """Return r^2 for 2 r artanh r = bound, by bisection."""
    low, high = torch.zeros_like(bound), torch.ones_like(bound)
    for _ in range(60):
        r = (low + high) / 2
        less = 2 * r * r.atanh() < bound
        low, high = torch.where(less, r, low), torch.where(less, high, r)
    return ((low + high) / 2).square()
