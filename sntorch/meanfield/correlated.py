r"""Mean field of couplings that are correlated along a ring of neurons.

For Cov(J_ij, J_kl) = L(k - i, l - j) / N, which reaches much less far than N, neurons at distance n
are correlated, without leak by

.. math:: \Delta_n = \sum_m L(n, m)\, E[f(u_0) f(u_m)] + (s_\theta^2 + \sigma^2)\, \delta_{n0},
          \qquad \mu = \bar J E f - \theta,

the average over pairs with covariance Delta_m; between different times sigma^2 is absent.
Perturbations of neurons at distance n have a covariance that is multiplied by

.. math:: M_{nm} = L(n, m)\, E[f'(u_0) f'(u_m)], \qquad \lambda = \tfrac12 \ln \rho(M),

which for L(n, m) = A(n) B(m) is half the logarithm of sum_m A(m) B(m) E[f'(u_0) f'(u_m)] (Faugeras
and MacLaurin 2013 for the model; the exponent derived here).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.averages import fineness, intervals, is_closed
from sntorch.meanfield.pairs import Pairs
from sntorch.meanfield.record import Number, real
from sntorch.results import Result
from sntorch.transfer import Transfer, as_transfer

__all__ = ["CorrelatedField", "correlated"]

_ROUNDS = 5000
_TERMS = 512
_TOLERANCE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CorrelatedField(Result):
    """The stationary law of neurons on a ring with correlated couplings."""

    mean: Tensor
    """(), mu."""
    covariances: Tensor
    """(M,), Delta_n at the ring distances of the table, n = 0, ..., M - 1 modulo M."""
    overlaps: Tensor
    """(M,), the same between different times, the static part."""
    slope_sq: Tensor
    """(), E f'^2."""
    lyapunov: Tensor
    """(), largest exponent per step of perturbations of single neurons."""
    chaotic: Tensor
    """(), bool: exponent > 0, and something moves."""
    residual: Tensor
    """(), largest violation of the equations."""
    transfer: str
    """Name of the transfer function."""

    @property
    def variance(self) -> Tensor:
        """Variance () of a neuron."""
        return self.covariances[0]

    @property
    def correlation(self) -> Tensor:
        """Delta_n / v (M,)."""
        return self.covariances / self.variance

    def scalars(self) -> dict[str, float]:
        """Return variance, the correlation of neighbours, and the exponent."""
        neighbours = self.correlation[1] if len(self.covariances) > 1 else self.correlation[0]
        values = {"variance": self.variance, "neighbours": neighbours, "lyapunov": self.lyapunov}
        return {name: float(value) for name, value in values.items()}


def correlated(
    *,
    gain: float,
    covariance: Number,
    mean: float = 0.0,
    threshold: float = 0.0,
    threshold_std: float = 0.0,
    noise: float = 0.0,
    transfer: str | Transfer = "tanh",
) -> CorrelatedField:
    """Return the mean field of ring-stationary couplings, without leak.

    Parameters
    ----------
    gain, mean, threshold, threshold_std, noise, transfer
        As in `solve`, one number each.
    covariance
        The table L (M, M) of `couplings.correlated`, distances modulo M, with L[-a, -b] = L[a, b].
        It may be smaller than the network, as far as the correlations reach.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    O. Faugeras, J. MacLaurin, arXiv:1302.1029 (2013).

    Examples
    --------
    >>> import sntorch as snt
    >>> L = torch.zeros(8, 8)
    >>> L[0, 0] = 1.0  # independent couplings of variance 1 / N
    >>> snt.meanfield.correlated(gain=3.0, covariance=L).lyapunov
    tensor(0.3102, dtype=torch.float64)
    """
    phi, L = as_transfer(transfer), _table(covariance)
    g = torch.tensor([checks.number("gain", gain)], dtype=torch.float64, device=L.device)
    Jbar, theta = checks.number("mean", mean), checks.number("threshold", threshold)
    static = checks.number("threshold_std", threshold_std, low=0) ** 2
    power = checks.number("noise", noise, low=0) ** 2
    equations = _Equations(phi, g, L, Jbar, theta, static, power)
    mu, D, residual = equations.solve()
    pairs = equations.pairs(mu, D[:1])
    q = equations.overlaps(pairs, D)
    slopes = pairs.slope(D.unsqueeze(0)).squeeze(0)
    growth = torch.linalg.eigvals(L * slopes).abs().max()
    exponent = growth.log() / 2
    return CorrelatedField(
        mean=mu.squeeze(0),
        covariances=D,
        overlaps=q,
        slope_sq=slopes[0],
        lyapunov=exponent,
        chaotic=(exponent > 0) & (D[0] > 0),
        residual=residual,
        transfer=repr(phi),
    )


def _table(covariance: Number) -> Tensor:
    L = real("covariance", covariance)
    if L.ndim != 2 or L.shape[0] != L.shape[1]:
        raise ValueError(f"covariance: expected a square table (M, M), got {tuple(L.shape)}")
    if bool((L - L.flip(0, 1).roll((1, 1), (0, 1))).abs().max() > 1e-10 * L.abs().max()):
        raise ValueError("covariance: expected L[-a, -b] = L[a, b], got a table that is not even")
    return L


@dataclasses.dataclass(frozen=True)
class _Equations:
    phi: Transfer
    gain: Tensor
    L: Tensor
    mean: float
    threshold: float
    static: float
    noise: float

    def pairs(self, mu: Tensor, v: Tensor) -> Pairs:
        """Return the pair averages at mean and variance (1,)."""
        mesh = int(intervals(self.gain, v, fineness(self.phi, self.gain, mu, v)))
        return Pairs(self.phi, self.gain, mu, v, mesh, _TERMS)

    def image(self, pairs: Pairs, D: Tensor, own: float) -> Tensor:
        """Return the covariances (M,) one step later; `own` is what only a neuron itself has."""
        new = self.L @ pairs(D.unsqueeze(0)).squeeze(0)
        new[0] += own
        return new

    def average(self, pairs: Pairs, mu: Tensor, v: Tensor) -> Tensor:
        """Return E f (1,)."""
        if is_closed(self.phi):
            return self.phi.mean(self.gain * mu, self.gain.square() * v)
        return pairs.mean

    def solve(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean (1,), covariances (M,) and residual, by the map from an active state."""
        D = torch.zeros_like(self.L[0])
        D[0] = self.L[0].abs().sum() + self.static + self.noise
        mu = torch.full_like(self.gain, max(self.mean, 0.0) - self.threshold)
        residual = torch.full_like(D[0], torch.inf)
        for _ in range(_ROUNDS):
            pairs = self.pairs(mu, D[:1])
            new = self.image(pairs, D, self.static + self.noise)
            shifted = self.mean * self.average(pairs, mu, D[:1]) - self.threshold
            residual = torch.maximum((new - D).abs().max(), (shifted - mu).abs().max())
            if not bool(new.isfinite().all()) or bool(residual <= _TOLERANCE * (1 + D[0])):
                break
            D, mu = new, shifted
        return mu, D, residual

    def overlaps(self, pairs: Pairs, D: Tensor) -> Tensor:
        """Return the covariances (M,) between different times, rising from the thresholds."""
        q = torch.zeros_like(D)
        q[0] = self.static
        for _ in range(_ROUNDS):
            new = self.image(pairs, q, self.static)
            done = bool((new - q).abs().max() <= _TOLERANCE * (1 + D[0]))
            q = new
            if done:
                break
        return q
