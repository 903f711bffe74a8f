"""Which phases coexist: all solutions of one ensemble, such as quiet fixed points beside chaos.

They are found by Newton's method from many starts.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.dynamic import Ring
from sntorch.meanfield.growth import collective
from sntorch.meanfield.record import NAMES, MeanField, Parameters, at_lag, enter
from sntorch.meanfield.static import Static, relax
from sntorch.meanfield.stationary import answer, rescaled
from sntorch.meanfield.tables import Tables
from sntorch.transfer import Transfer

__all__ = ["solutions"]

_STARTS_V, _STARTS_MU = 60, 25
_SAME, _SOLVED = 1e-6, 1e-8
_LAGS = 65  # on which a fixed point is perturbed


def solutions(
    *,
    gain: float,
    std: float = 1.0,
    mean: float = 0.0,
    threshold: float = 0.0,
    threshold_std: float = 0.0,
    noise: float = 0.0,
    leak: float = 0.0,
    transfer: str | Transfer = "tanh",
) -> MeanField:
    """Return all stationary solutions of one ensemble, by ascending variance.

    Which of them networks can stay at is ``stationary``; a quiet fixed point has ``lyapunov`` < 0
    and the overlap v.  The search starts from a mesh of means and variances: two solutions closer
    than 1e-6 count as one.  With leak every fixed point of mean and variance that networks leave
    is followed to the fluctuating state beside it, and ``macroscopic`` is the exact exponent of
    mean and covariance, see `populations`.

    Parameters
    ----------
    gain, std, mean, threshold, threshold_std, noise, leak, transfer
        As in `solve`, one number each.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.solutions(gain=6.0, threshold=0.3, transfer="tanh01")
    >>> found.stationary & ~found.chaotic, found.stationary & found.chaotic
    (tensor([ True, False, False]), tensor([False, False,  True]))
    """
    values = (gain, std, mean, threshold, threshold_std, noise, leak)
    one = {name: checks.number(name, value) for name, value in zip(NAMES, values, strict=True)}
    p, _, _, phi = enter(dict(one), transfer)
    mu, v = _starts(rescaled(p))
    wide = {name: value + torch.zeros_like(v) for name, value in one.items()}
    p, _, _, _ = enter(wide, phi)
    s = relax(phi, rescaled(p), mu, v, warm=0)
    rows = _distinct(s.mu, s.v, s.residual)
    found = _answer(phi, {n: value[rows] for n, value in wide.items()}, s.take(rows))
    if leak:
        # Several starts may lead to one fluctuating state.
        rows = _distinct(found.mean, found.variance, found.residual)
        found = found.map(lambda t: t[rows])
    return found


def _starts(p: Parameters) -> tuple[Tensor, Tensor]:
    """Return the means and variances from which to search."""
    v_most = 1.5 * float(p.std.square() + p.independent) + 1e-3
    v = torch.logspace(-10, 0, _STARTS_V - 1, dtype=torch.float64) * v_most + p.independent
    v = torch.cat([p.independent, v])
    mu = -p.threshold
    if float(p.mean):
        mu = mu + p.mean * torch.linspace(-1.05, 1.05, _STARTS_MU, dtype=torch.float64)
    mu, v = (t.reshape(-1) for t in torch.meshgrid(mu, v, indexing="ij"))
    return mu, v


def _distinct(mu: Tensor, v: Tensor, residual: Tensor) -> Tensor:
    """Return the rows of different solutions, by ascending variance."""
    good = (residual <= _SOLVED * (1 + v)).nonzero().squeeze(-1)
    order = good[residual[good].argsort()]  # of those that count as one, the best is kept
    kept: list[int] = []
    for i in order.tolist():
        near = [
            j
            for j in kept
            if abs(float(v[i] - v[j])) <= _SAME * (1e-3 + float(v[i]))
            and abs(float(mu[i] - mu[j])) <= _SAME * (1 + abs(float(mu[i])))
        ]
        if not near:
            kept.append(i)
    rows = torch.tensor(kept, dtype=torch.int64)
    return rows[v[rows].argsort(stable=True)]


def _answer(phi: Transfer, numbers: dict[str, Tensor], s: Static) -> MeanField:
    """Return the record of solutions, with the exact exponents of the mean field."""
    p, shape, arguments, _ = enter(numbers, phi)
    field = answer(phi, p, s, shape, arguments)
    if bool((p.leak == 0).all()):
        return field
    D = at_lag(
        field.covariances, field.overlap, torch.arange(max(_LAGS, field.covariances.shape[-1]))
    )
    ring = Ring(field.mean.unsqueeze(-1), D.unsqueeze(1), field.residual)
    macro = collective(Tables.of(phi, p), ring, field.slope_pair.unsqueeze(-1))
    largest = torch.maximum(field.microscopic, macro)
    return dataclasses.replace(field, macroscopic=macro, lyapunov=largest)
