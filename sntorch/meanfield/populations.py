r"""Mean field of several populations, which may move: fixed points, cycles, and what is neither.

With E J_ij = Jbar_ab / N_b and Var J_ij = S_ab^2 / N_b for i in population a and j in b,

.. math:: \mu_a' = \sum_b \bar J_{ab} E f_b - \theta_a, \qquad
          v_a' = \sum_b S_{ab}^2 E f_b^2 + s_{\theta,a}^2 + \sigma_a^2,

without leak; populations are uncorrelated.  The exponents along an orbit of this map are

.. math:: \lambda_{micro} = \tfrac12 \lim \tfrac1T \ln \| M_T \cdots M_1 \|, \quad
          M_{ab} = S_{ab}^2 E f_b'^2; \qquad
          \lambda_{macro}: \text{ the exponent of the map of } (\mu, v) \text{ itself},

and the network's largest exponent is the larger of the two.  With leak the stationary covariances
and both exponents follow from the exact two-time theory (`sntorch.meanfield.dynamic`,
`sntorch.meanfield.growth`); a mean field that moves is recognised, not followed.

A sparse network with K inputs per neuron of variance J^2 / K obeys the same equations as the dense
one, from K of about 10 on: so do `couplings.sparse` and, block by block, `couplings.dale`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.averages import fineness
from sntorch.meanfield.leaky import joined, stand
from sntorch.meanfield.orbits import follow
from sntorch.meanfield.record import Number, at_lag
from sntorch.meanfield.tables import Tables, read
from sntorch.results import Result
from sntorch.transfer import Transfer, as_transfer

__all__ = ["PopulationField", "populations"]

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
    """(...), exponent of the mean field itself; 0 on a closed curve, > 0 where it is chaotic, and
    with leak where the stationary mean field is unstable."""
    chaotic: Tensor
    """(...), bool: an exponent above 0, on a moving mean field above 5 / K: better is not known;
    with leak the microscopic exponent."""
    period: Tensor
    """(...), steps after which the mean field repeats: 1 stationary, 2 and more for a cycle, 0 for
    neither."""
    residual: Tensor
    """(...), change of mean or variance over one period; NaN where there is none; with leak the
    largest violation of the equations."""
    means: Tensor
    """(K, ..., P), mu along the last K steps of the orbit."""
    variances: Tensor
    """(K, ..., P), v along them."""
    covariances: Tensor
    """(..., P, L), Delta_k at the lags 0, ..., L - 1; from lag L on it is the overlap."""
    transfer: str
    """Name of the transfer function."""

    @property
    def stationary(self) -> Tensor:
        """Bool (...): the mean field stands still."""
        return self.period == 1

    def covariance(self, lag: int | Tensor) -> Tensor:
        """Return Delta_lag, of shape (..., P, *lag.shape); NaN where the mean field moves."""
        return at_lag(self.covariances, self.overlap, lag)

    def scalars(self) -> dict[str, float]:
        """Return the exponents and the share of mean fields that stand still."""
        names = ("lyapunov", "microscopic", "macroscopic")
        values = {name: float(getattr(self, name).mean()) for name in names}
        return values | {"stationary": float(self.stationary.double().mean())}


def populations(
    *,
    gain: Number,
    std: Number,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
    steps: int = 1000,
    window: int = 240,
) -> PopulationField:
    """Return the mean field of P populations, stationary or moving.

    Without leak the map of means and variances is iterated from active populations; where it comes
    to rest Newton's method finishes, where it does not the last steps are the answer.  With leak
    the stationary covariances are found on a ring of lags.

    Parameters
    ----------
    gain, threshold, threshold_std, noise, leak
        One number for all, or (..., P).
    std, mean
        Tables (..., P, P) of S and Jbar, as in `couplings.populations`; from column to row.
    transfer
        A name of `sntorch.transfer` or a `Transfer`.
    steps
        Iterations before the window.
    window
        K, the steps that are kept, and over which exponents of moving mean fields are averaged.

    Notes
    -----
    Limitation (C): with leak a mean field that moves is reported by ``period`` 0 and a macroscopic
    exponent above 0, and the numbers are those of the unstable stationary state.

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
    tables, batch = read(
        as_transfer(transfer), std, mean, gain=gain, threshold=threshold,
        threshold_std=threshold_std, noise=noise, leak=leak,
    )  # fmt: skip
    active = tables.rescaled()
    mu = active.mean.clamp(min=0).sum(-1) - active.threshold
    v = active.power.sum(-1) + active.static + active.noise
    law = (each.flatten() for each in (tables.gain, mu, v))
    tables = dataclasses.replace(tables, fine=fineness(tables.phi, *law))
    leaky, parts = (tables.leak > 0).any(-1), []
    for kind in (leaky, ~leaky):
        rows = kind.nonzero().squeeze(-1)
        if len(rows):
            start = tables.take(rows), mu[rows], v[rows]
            parts.append(
                (rows, (_standing if bool(leaky[rows[0]]) else follow)(*start, steps, window))
            )
    found = joined(parts) | {"leaky": leaky}
    return _record(found, batch, window, repr(tables.phi))


def _standing(t: Tables, mu: Tensor, v: Tensor, steps: int, window: int) -> dict[str, Tensor]:
    found = stand(t, mu, v, steps)
    found["means"] = found["mean"].expand(window, -1, -1)
    found["variances"] = found["variance"].expand(window, -1, -1)
    return found


def _record(
    found: dict[str, Tensor], batch: tuple[int, ...], window: int, name: str
) -> PopulationField:
    largest = torch.maximum(found["microscopic"], found["macroscopic"])
    moves = (found["variances"][-1] > 0).any(-1)
    limit = torch.where(found["period"] == 1, 0.0, _KNOWN / window)
    chaotic = torch.where(found.pop("leaky"), found["microscopic"] > 0, largest > limit)
    found |= {"lyapunov": largest, "chaotic": chaotic & moves}
    P = found["mean"].shape[-1]
    single = ("mean", "variance", "slope_sq", "overlap", "covariances")
    orbit = ("means", "variances")
    fields = {n: t.reshape(batch) for n, t in found.items() if n not in single + orbit}
    return PopulationField(
        **{n: found[n].reshape(*batch, *found[n].shape[1:]) for n in single},
        **{n: found[n].reshape(window, *batch, P) for n in orbit},
        **fields,
        transfer=name,
    )
