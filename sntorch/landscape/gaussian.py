r"""A landscape of Gaussian basins, in any dimension: attractors, their widths, their weights.

Near a stable fixed point of :math:`du = F(u)\,dt + \sqrt{2D}\,dW` the covariance solves
Lyapunov's equation; along a limit cycle u(t) it follows it in time,

.. math:: A \Sigma + \Sigma A^T + 2D = 0, \qquad
          \dot\Sigma = A \Sigma + \Sigma A^T + 2D, \quad \Sigma(T) = \Sigma(0), \qquad A = DF.

On the cycle the second equation has no solution as it stands: along the flow nothing pulls back,
and that variance grows by the same amount in every period.  With :math:`\Pi = 1 - \hat F \hat F^T`,
which projects on the plane across the flow, deviations in that plane follow
:math:`\Pi(t)\,\Phi(t, s)`, and their covariance is periodic,

.. math:: \Sigma(t) = \int_{-\infty}^t \Pi(t) \Phi(t,s)\, 2D\, \Phi(t,s)^T \Pi(t)\, ds.

The density is a mixture: one Gaussian per fixed point; for a cycle their average along it, each
as long in the direction of the flow as the way to the next.  Weights are the shares of the starts
that lead to an attractor, which says how large its basin is among those starts; the weights of the
steady state depend on escape rates, which are not known here.

**A barrier read off this density is not a barrier.**  Between attractors there are only tails of
Gaussians, which know nothing of the saddle: compared with exact densities they overestimate it by
a factor of about two and more.  `GaussianLandscape.trusted` says where the numbers may be used, and
`Basin.nonlinearity` how well a basin is described by its linear part.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.attractors import find_attractors
from sntorch.landscape.linear import diffusion_matrix, linear_flow
from sntorch.landscape.orbits import Attractor
from sntorch.landscape.widths import cycle_covariance
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Basin", "GaussianLandscape", "gaussian_landscape"]

_ENTRIES = 2**22  # numbers in memory at a time
_DRAWS = 64  # deviations at which the linear part is compared with the flow
_PLACES = 16  # of a cycle at which that is done
_ALONE = 0.99  # share of the density that is one basin's own


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Basin(Result):
    """An attractor with its width.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.flows.as_flow(lambda u: -2 * u, diffusion=0.5)
    >>> (basin,) = gaussian_landscape(trap, torch.ones(4, 1, dtype=torch.float64)).basins
    >>> basin.weight, round(float(basin.covariance), 4)  # D / 2
    (1.0, 0.25)
    """

    attractor: Attractor
    """Where it is."""
    covariance: Tensor
    """(P, N, N) at the states of the attractor; on a cycle across the flow only."""
    weight: float
    """Share of the starts."""
    weight_stderr: float
    """Of the weight, binomial."""
    entropy_production: float
    """Nats per unit of time, to leading order in D: exact for a linear flow; on a cycle the mean
    of F^T D^-1 F."""
    nonlinearity: float
    """Root mean square of F(u) - its linear part, relative to that part, over the Gaussian: 0 for
    a linear flow; of order one, and the Gaussian is no description."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GaussianLandscape(Result):
    """A mixture of Gaussians; see `trusted` for where it may be believed, barriers never."""

    basins: tuple[Basin, ...]
    """Largest weight first."""
    saddles: Tensor
    """(K, N), unstable fixed points that were found; the density there is not valid."""
    unassigned: float
    """Share of the starts that led to neither a fixed point nor a cycle."""
    means: Tensor
    """(C, N), of all Gaussians."""
    covariances: Tensor
    """(C, N, N)."""
    weights: Tensor
    """(C,), adding up to one."""
    basin: Tensor
    """(C,), which of `basins` a Gaussian belongs to."""

    barriers_valid = False
    """Never: the saddles lie in the tails of Gaussians that do not know of them."""

    def potential(self, u: Tensor) -> Tensor:
        """Return U = -ln P (...) at states (..., N).

        Raises
        ------
        ValueError
            If u has another size, dtype or device, or noise does not reach every direction.
        """
        return -torch.logsumexp(self._logs(u)[0], -1)

    def trusted(self, u: Tensor) -> Tensor:
        """Tell at which states (..., N) the density is that of one basin, and u within its width.

        That is: no other basin contributes more than a part in hundred, and the distance from the
        nearest of its Gaussians is at most sqrt(N) + 2 standard deviations.

        Raises
        ------
        ValueError
            As `potential`.
        """
        logs, distances = self._logs(u)
        shares = torch.stack(
            [logs[..., self.basin == b].exp().sum(-1) for b in range(len(self.basins))], -1
        )
        alone = shares.amax(-1) >= _ALONE * shares.sum(-1)
        return alone & (distances.amin(-1) <= math.sqrt(u.shape[-1]) + 2)

    def on(self, plane: Tensor) -> GaussianLandscape:
        """Return the density of the coordinates plane @ u (d,), exactly, for a plane (d, N).

        Raises
        ------
        ValueError
            If the plane is of another size, dtype or device.
        """
        checks.same_kind("plane", checks.matrix("plane", plane), self.means, "the landscape")
        if plane.shape[1] != self.means.shape[1]:
            size = self.means.shape[1]
            raise ValueError(f"plane: expected (d, {size}), got {tuple(plane.shape)}")
        return dataclasses.replace(
            self,
            means=self.means @ plane.T,
            covariances=plane @ self.covariances @ plane.T,
            saddles=self.saddles @ plane.T,
        )

    def scalars(self) -> dict[str, float]:
        """Return how many basins, the largest weight, and what is missing or doubtful."""
        worst = max((each.nonlinearity for each in self.basins), default=math.nan)
        return {
            "basins": float(len(self.basins)),
            "largest_weight": max((each.weight for each in self.basins), default=math.nan),
            "unassigned": self.unassigned,
            "nonlinearity": worst,
        }

    def _logs(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return log weight times density (..., C) and distance in standard deviations (..., C)."""
        checks.same_kind("u", checks.floating("u", u, ndim=1), self.means, "the landscape")
        n = self.means.shape[1]
        if u.shape[-1] != n:
            raise ValueError(f"u: expected (..., {n}), got {tuple(u.shape)}")
        factor, failed = torch.linalg.cholesky_ex(self.covariances)
        if bool((failed > 0).any()):
            raise ValueError(
                "diffusion: expected noise that reaches every direction, got a singular covariance"
            )
        rows = u.reshape(-1, n)
        parts = rows.split(max(1, _ENTRIES // self.means.numel()))
        eye = torch.eye(n, dtype=u.dtype, device=u.device)
        whiten = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
        far = [
            torch.einsum("cij,rcj->rci", whiten, part[:, None] - self.means).norm(dim=-1)
            for part in parts
        ]
        distances = torch.cat(far).reshape(*u.shape[:-1], -1)
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + n * math.log(2 * math.pi) / 2
        return self.weights.log() - volume - distances.square() / 2, distances


def gaussian_landscape(
    flow: object,
    u: Tensor,
    x: Tensor | None = None,
    *,
    settle: float = 100.0,
    dt: float = 0.05,
    points: int = 200,
) -> GaussianLandscape:
    """Return attractors with covariances and weights, and the mixture of Gaussians they make.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts, with a diffusion.
    u
        Starts (..., N): a basin weighs as many of them as it attracts.
    x
        Constant drive (I,).
    settle, dt, points
        As for `find_attractors`.

    Raises
    ------
    ValueError
        On wrong arguments, without noise, and if no start leads to a fixed point or a cycle.

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185, for basins and weights; with full covariances here.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, diffusion=0.1)
    >>> starts = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator())
    >>> found = snt.landscape.gaussian_landscape(well, starts)
    >>> [round(float(each.covariance[0, 0, 0]), 6) for each in found.basins]  # D / V''
    [0.0125, 0.0125]
    """
    flow = as_flow(flow)
    found = find_attractors(flow, u, x, settle=settle, dt=dt, points=points)
    D = diffusion_matrix("diffusion", flow.diffusion, u.shape[-1]).to(u)
    if not found.found:
        raise ValueError(
            "u: expected starts that lead to fixed points or cycles; none did, "
            f"neither within settle = {settle:g}"
        )
    with observing(flow, u):
        pairs = zip(found.found, found.shares.tolist(), strict=True)
        basins = [_basin(flow, x, each, share, len(found.label), D) for each, share in pairs]
        gaussians = [_gaussians(flow, x, each) for each in basins]
    means, covariances, weights = (torch.cat(each) for each in zip(*gaussians, strict=True))
    counts = torch.tensor([len(each.attractor.states) for each in basins], device=means.device)
    return GaussianLandscape(
        basins=tuple(basins),
        saddles=found.saddles,
        unassigned=float((found.label < 0).double().mean()),
        means=means,
        covariances=covariances,
        weights=weights / weights.sum(),
        basin=torch.arange(len(basins), device=means.device).repeat_interleave(counts),
    )


def _basin(
    flow: Flow, x: Tensor | None, attractor: Attractor, share: float, starts: int, D: Tensor
) -> Basin:
    if attractor.period:
        covariance = cycle_covariance(flow, attractor, x)
        F = flow.drift(attractor.states, x)
        produced = _quadratic(F, D) if _invertible(D) else math.nan
    else:
        linear = linear_flow(flow.jacobian(attractor.states[0], x), flow.diffusion)
        covariance = linear.covariance[None]
        produced = float(linear.entropy_production)
    return Basin(
        attractor=attractor,
        covariance=covariance,
        weight=share,
        weight_stderr=math.sqrt(share * (1 - share) / starts),
        entropy_production=produced,
        nonlinearity=_nonlinearity(flow, x, attractor, covariance),
    )


def _quadratic(F: Tensor, D: Tensor) -> float:
    return float((F * torch.linalg.solve(D, F.T).T).sum(-1).mean())


def _invertible(D: Tensor) -> bool:
    return int(torch.linalg.matrix_rank(D, hermitian=True)) == len(D)


def _nonlinearity(flow: Flow, x: Tensor | None, at: Attractor, covariance: Tensor) -> float:
    """Return what the linear part misses of F(u + d) - F(u), relative to it, for Gaussian d."""
    places = torch.linspace(0, len(at.states) - 1, min(_PLACES, len(at.states))).long()
    u, S = at.states[places], covariance[places]
    values, vectors = torch.linalg.eigh(S)
    root = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)
    stream = torch.Generator(u.device)  # always the same draws: a number, not a random variable
    kind = {"dtype": u.dtype, "device": u.device, "generator": stream}
    d = (root @ torch.randn(len(u), u.shape[-1], _DRAWS, **kind)).mT
    linear = d @ flow.jacobian(u, x).mT
    moved = flow.drift((u[:, None] + d).reshape(-1, u.shape[-1]), x).view_as(d)
    missed = moved - flow.drift(u, x)[:, None] - linear
    return float((missed.square().sum() / linear.square().sum()).sqrt())


def _gaussians(flow: Flow, x: Tensor | None, basin: Basin) -> tuple[Tensor, Tensor, Tensor]:
    """Return means, covariances and weights of the Gaussians of a basin."""
    states, covariance = basin.attractor.states, basin.covariance
    count = len(states)
    if basin.attractor.period:
        way = flow.drift(states, x) * (basin.attractor.period / count)  # to the next state
        covariance = covariance + way.unsqueeze(-1) @ way.unsqueeze(-2)
    return states, covariance, states.new_full((count,), basin.weight / count)
