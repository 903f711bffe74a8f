r"""Mean field of several populations, which may move: fixed points, cycles, and what is neither.

With E J_ij = Jbar_ab / N_b and Var J_ij = S_ab^2 / N_b for i in population a and j in b,

.. math:: \mu_a' = \sum_b \bar J_{ab} E f_b - \theta_a, \qquad
          v_a' = \sum_b S_{ab}^2 E f_b^2 + s_{\theta,a}^2 + \sigma_a^2,

without leak; populations are uncorrelated.  The exponents along an orbit of this map are

.. math:: \lambda_{micro} = \tfrac12 \lim \tfrac1T \ln \| M_T \cdots M_1 \|, \quad
          M_{ab} = S_{ab}^2 E f_b'^2; \qquad
          \lambda_{macro}: \text{ the exponent of the map of } (\mu, v) \text{ itself},

and the network's largest exponent is the larger of the two.  A sparse network with K inputs per
neuron of variance J^2 / K obeys the same equations as the dense one, from K of about 10 on: so do
`couplings.sparse` and, block by block, `couplings.dale`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.averages import Moments, fineness, intervals, moments
from sntorch.meanfield.pairs import Pairs
from sntorch.meanfield.record import Number, real
from sntorch.results import Result
from sntorch.transfer import Transfer, as_transfer

__all__ = ["PopulationField", "populations"]

_NEWTON = 30
_SOLVED = 1e-11
_REPEATS, _SLOW = 1e-9, 1e-5
_RISING, _TERMS = 2000, 256
_NUDGE = 1e-6
_KNOWN = 5.0  # over the window: the error of an exponent along a moving mean field


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PopulationField(Result):
    """The mean field of P populations; `...` are the batch axes of the tables."""

    mean: Tensor
    """(..., P), mu of every population; the average over `means` where it moves."""
    variance: Tensor
    """(..., P), v; the average over `variances` where it moves."""
    overlap: Tensor
    """(..., P), static overlap; NaN where the mean field moves."""
    slope_sq: Tensor
    """(..., P), E f'^2 at `mean` and `variance`, or its average over the orbit."""
    lyapunov: Tensor
    """(...), largest exponent per step, the larger of the next two."""
    microscopic: Tensor
    """(...), exponent of perturbations that differ from neuron to neuron."""
    macroscopic: Tensor
    """(...), exponent of the mean field itself; 0 on a closed curve, > 0 where it is chaotic."""
    chaotic: Tensor
    """(...), bool: an exponent above 0, on a moving mean field above 5 / K: better is not known."""
    period: Tensor
    """(...), steps after which the mean field repeats: 1 stationary, 2 and more for a cycle, 0 for
    neither."""
    residual: Tensor
    """(...), change of mean or variance over one period; NaN where there is none."""
    means: Tensor
    """(K, ..., P), mu along the last K steps of the orbit."""
    variances: Tensor
    """(K, ..., P), v along them."""
    transfer: str
    """Name of the transfer function."""

    @property
    def stationary(self) -> Tensor:
        """Bool (...): the mean field stands still."""
        return self.period == 1

    def scalars(self) -> dict[str, float]:
        """Return the exponents and the share of mean fields that stand still."""
        names = ("lyapunov", "microscopic", "macroscopic")
        values = {name: float(getattr(self, name).mean()) for name in names}
        return values | {"stationary": float(self.stationary.double().mean())}


@dataclasses.dataclass(frozen=True)
class _Tables:
    """B networks of P populations: gain, offsets (B, P) and weights (B, P, P)."""

    phi: Transfer
    gain: Tensor
    mean: Tensor
    power: Tensor
    threshold: Tensor
    static: Tensor
    noise: Tensor
    fine: int = 0

    def at(self, mu: Tensor, v: Tensor) -> Moments:
        """Return the averages (B, P)."""
        mesh = int(intervals(self.gain.flatten(), v.flatten(), self.fine).max())
        flat = moments(self.phi, self.gain.flatten(), mu.flatten(), v.flatten(), mesh)
        names = [field.name for field in dataclasses.fields(Moments)]
        return Moments(**{name: getattr(flat, name).reshape(v.shape) for name in names})

    def image(self, at: Moments) -> tuple[Tensor, Tensor]:
        """Return mean and variance one step later."""
        mu = (self.mean @ at.mean.unsqueeze(-1)).squeeze(-1) - self.threshold
        return mu, (self.power @ at.square.unsqueeze(-1)).squeeze(-1) + self.static + self.noise

    def jacobian(self, at: Moments) -> Tensor:
        """Return the derivative (B, 2P, 2P) of the map of (mu, v)."""
        upper = torch.cat([self.mean * at.slope[:, None], self.mean * at.mean_v[:, None]], -1)
        lower = [self.power * at.square_mu[:, None], self.power * at.square_v[:, None]]
        return torch.cat([upper, torch.cat(lower, -1)], -2)


def populations(
    *,
    gain: Number,
    std: Number,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    transfer: str | Transfer = "tanh",
    steps: int = 1000,
    window: int = 240,
) -> PopulationField:
    """Return the mean field of P populations, stationary or moving.

    The map of means and variances is iterated from active populations; where it comes to rest
    Newton's method finishes, where it does not the last steps are the answer.

    Parameters
    ----------
    gain, threshold, threshold_std, noise
        One number for all, or (..., P).
    std, mean
        Tables (..., P, P) of S and Jbar, as in `couplings.populations`; from column to row.
    transfer
        A name of `sntorch.transfer` or a `Transfer`.
    steps
        Iterations before the window.
    window
        K, the steps that are kept, and over which exponents of moving mean fields are averaged.

    Raises
    ------
    ValueError
        On wrong arguments, tables that do not match among them.

    References
    ----------
    O. Faugeras, J. Touboul, B. Cessac, Front. Comput. Neurosci. 3 (2009) 1.

    Examples
    --------
    >>> import sntorch as snt
    >>> field = snt.meanfield.populations(gain=1.5, std=torch.ones(1, 1), mean=-3.0)
    >>> field.period, field.stationary
    (tensor(2), tensor(False))
    """
    checks.count("steps", steps)
    checks.count("window", window, low=4)
    tables, batch = _enter(gain, std, mean, threshold, threshold_std, noise, as_transfer(transfer))
    mu = tables.mean.clamp(min=0).sum(-1) - tables.threshold
    v = tables.power.sum(-1) + tables.static + tables.noise
    tables = dataclasses.replace(
        tables, fine=fineness(tables.phi, tables.gain.flatten(), mu.flatten(), v.flatten())
    )
    means, variances, micro, macro, slopes = _orbit(tables, mu, v, steps, window)
    period, residual = _period(means, variances)
    result = {
        "mean": means.mean(0),
        "variance": variances.mean(0),
        "slope_sq": slopes,
        "overlap": torch.full_like(mu, torch.nan),
    }
    rest = (period == 1).nonzero().squeeze(-1)
    if len(rest):
        _stand(tables, rest, means, variances, result, micro, macro, residual)
    largest = torch.maximum(micro, macro)
    arrived = (period != 1) | (residual <= _REPEATS * (1 + variances[-1].amax(-1)))
    period = torch.where(arrived, period, 0)
    limit = torch.where(period == 1, 0.0, _KNOWN / window)
    P = mu.shape[-1]
    scalars = {
        "lyapunov": largest,
        "microscopic": micro,
        "macroscopic": macro,
        "chaotic": (largest > limit) & (variances[-1] > 0).any(-1),
        "period": period,
        "residual": residual,
    }
    return PopulationField(
        **{name: value.reshape(*batch, P) for name, value in result.items()},
        **{name: value.reshape(batch) for name, value in scalars.items()},
        means=means.reshape(-1, *batch, P),
        variances=variances.reshape(-1, *batch, P),
        transfer=repr(tables.phi),
    )


def _enter(
    gain: Number,
    std: Number,
    mean: Number,
    threshold: Number,
    threshold_std: Number,
    noise: Number,
    phi: Transfer,
) -> tuple[_Tables, tuple[int, ...]]:
    S = real("std", std, low=0.0)
    if S.ndim < 2 or S.shape[-1] != S.shape[-2]:
        raise ValueError(f"std: expected a square table (..., P, P), got {tuple(S.shape)}")
    P = S.shape[-1]
    Jbar = real("mean", mean)
    if Jbar.ndim and Jbar.shape[-2:] != (P, P):
        raise ValueError(f"mean: expected a number or (..., {P}, {P}), got {tuple(Jbar.shape)}")
    vectors = {
        "gain": real("gain", gain),
        "threshold": real("threshold", threshold),
        "threshold_std": real("threshold_std", threshold_std, low=0.0),
        "noise": real("noise", noise, low=0.0),
    }
    for name, value in vectors.items():
        if value.ndim and value.shape[-1] not in (1, P):
            raise ValueError(f"{name}: expected a number or (..., {P}), got {tuple(value.shape)}")
    shapes = [t.shape[:-2] for t in (S, Jbar)] + [t.shape[:-1] for t in vectors.values()]
    try:
        batch = tuple(torch.broadcast_shapes(*shapes))
    except RuntimeError:
        raise ValueError(
            f"arguments: expected batch axes that broadcast, got {list(map(tuple, shapes))}"
        ) from None
    wide = {name: t.expand(*batch, P).reshape(-1, P) for name, t in vectors.items()}
    tables = _Tables(
        phi=phi,
        gain=wide["gain"],
        mean=Jbar.expand(*batch, P, P).reshape(-1, P, P),
        power=S.square().expand(*batch, P, P).reshape(-1, P, P),
        threshold=wide["threshold"],
        static=wide["threshold_std"].square(),
        noise=wide["noise"].square(),
    )
    return tables, batch


def _orbit(
    tables: _Tables, mu: Tensor, v: Tensor, steps: int, window: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return means and variances (K, B, P), both exponents (B,), and the average E f'^2 (B, P)."""
    B, P = mu.shape
    for i in range(steps):
        # A nudge off symmetric points, where an unstable mean would stay for ever.
        if i == 1:
            mu = mu + _NUDGE
        mu, v = tables.image(tables.at(mu, v))
    means, variances = [], []
    small = torch.ones(B, P, 1, dtype=mu.dtype, device=mu.device)
    frame = torch.linspace(1, 2, 2 * P, dtype=mu.dtype, device=mu.device).expand(B, -1)[..., None]
    micro, macro, slopes = torch.zeros_like(mu[:, 0]), torch.zeros_like(mu[:, 0]), 0 * mu
    for i in range(2 * window):
        at = tables.at(mu, v)
        small = (tables.power * at.slope_sq[:, None]) @ small
        frame = tables.jacobian(at) @ frame
        grown = small.sum((-2, -1)), frame.square().sum((-2, -1)).sqrt()
        small = small / grown[0].clamp(min=1e-300)[:, None, None]
        frame = frame / grown[1].clamp(min=1e-300)[:, None, None]
        if i >= window:  # by then the frames have turned to the leading directions
            micro, macro = micro + grown[0].log() / 2, macro + grown[1].log()
            slopes = slopes + at.slope_sq / window
            means.append(mu)
            variances.append(v)
        mu, v = tables.image(at)
    return torch.stack(means), torch.stack(variances), micro / window, macro / window, slopes


def _period(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the period (B,) of each orbit (K, B, P), 0 without one, and what is left of it."""
    x = torch.cat([means, variances], -1)
    scale = 1 + x.abs().amax((0, 2))
    period = torch.zeros(x.shape[1], dtype=torch.int64, device=x.device)
    residual = torch.full_like(scale, torch.nan)
    for k in range(1, len(x) // 2 + 1):
        change = (x[k:] - x[:-k])[-k:].abs().amax((0, 2))
        # A slow approach to rest looks alike after one step: `_stand` tells whether there is one.
        new = (period == 0) & (change <= (_SLOW if k == 1 else _REPEATS) * scale)
        period, residual = torch.where(new, k, period), torch.where(new, change, residual)
    return period, residual


def _stand(
    tables: _Tables,
    rows: Tensor,
    means: Tensor,
    variances: Tensor,
    result: dict[str, Tensor],
    micro: Tensor,
    macro: Tensor,
    residual: Tensor,
) -> None:
    """Write mean fields at rest, to the last digit, with their exact exponents."""
    weights = {
        f.name: getattr(tables, f.name)[rows]
        for f in dataclasses.fields(_Tables)
        if f.name not in ("phi", "fine")
    }
    part = dataclasses.replace(tables, **weights)
    P = means.shape[-1]
    x = torch.cat([means[-1, rows], variances[-1, rows]], -1)
    for _ in range(_NEWTON):
        at = part.at(x[:, :P], x[:, P:])
        miss = torch.cat(part.image(at), -1) - x
        if bool((miss.abs() <= 1e-15 * (1 + x.abs())).all()):
            break
        eye = torch.eye(2 * P, dtype=x.dtype, device=x.device)
        step = torch.linalg.solve_ex(eye - part.jacobian(at), miss.unsqueeze(-1)).result
        new = x + step.squeeze(-1)
        # At a transition the matrix is singular: there the map itself goes on.
        fits = new.isfinite().all(-1) & (new[:, P:] >= 0).all(-1)
        fits &= (new - x).abs().amax(-1) <= 1e-3 * (1 + x.abs().amax(-1))
        x = torch.where(fits.unsqueeze(-1), new, x + miss)
    mu, v = x[:, :P], x[:, P:]
    at = part.at(mu, v)
    miss = torch.cat(part.image(at), -1) - x
    result["mean"][rows], result["variance"][rows], result["slope_sq"][rows] = mu, v, at.slope_sq
    result["overlap"][rows] = _overlap(part, mu, v)
    residual[rows] = miss.abs().amax(-1)
    growth = torch.linalg.eigvals(part.power * at.slope_sq[:, None]).abs().amax(-1)
    micro[rows] = growth.log() / 2
    own = torch.linalg.eigvals(part.jacobian(at)).abs().amax(-1).log()
    # Where nothing varies, v is quadratic in the perturbation of a neuron and counts half.
    quiet = (v == 0).all(-1)
    mean_only = torch.linalg.eigvals(part.mean * at.slope[:, None]).abs().amax(-1).log()
    macro[rows] = torch.where(quiet, torch.maximum(mean_only, micro[rows]), own)


def _overlap(part: _Tables, mu: Tensor, v: Tensor) -> Tensor:
    """Return the smallest static overlap (B, P), rising from below."""
    mesh = int(intervals(part.gain.flatten(), v.flatten(), part.fine).max())
    flat = (part.gain.flatten(), mu.flatten(), v.flatten())
    pairs = Pairs(part.phi, *flat, mesh, _TERMS)
    q = part.static
    for _ in range(_RISING):
        products = pairs(q.reshape(-1, 1)).reshape(v.shape)
        new = (part.power @ products.unsqueeze(-1)).squeeze(-1) + part.static
        done = bool(((new - q).abs() <= 1e-13 * (1 + v)).all())
        q = torch.minimum(new, v)
        if done:
            break
    return q
