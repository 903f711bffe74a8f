r"""The two-time mean field: mean and covariance of u from given initial conditions.

.. math:: \mu(t+1) &= \gamma \mu(t) + \bar J E f(u_t) - \theta \\
          C(t,s) &= J^2 E[f(u_t) f(u_s)] + s_\theta^2 \\
          X(s+1,t) &= \gamma X(s,t) + C(s,t), \qquad X(0,t) = 0 \\
          \Delta(t+1,s) &= \gamma \Delta(t,s) + X(s,t), \qquad s \le t \\
          \Delta(t+1,t+1) &= \gamma^2 \Delta(t,t) + 2 \gamma X(t,t) + C(t,t) + \sigma^2

with X(s,t) = Cov(u_s, field_t), and u(0) independent of the couplings.  u stays Gaussian, but the
whole history is needed.  Pairs of different laws follow from Mehler's series,

.. math:: E[f(u_t) f(u_s)] = \sum_n a_n(t)\, a_n(s)\, \rho^n, \qquad
          \rho = \Delta(t,s) / \sqrt{v_t v_s},

with one set of coefficients per time: O(T^2) multiplications and O(T) evaluations of f.  The number
of terms is doubled until the covariances of the fields, checked at several times, agree.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.averages import fineness, intervals
from sntorch.meanfield.pairs import MOST_TERMS, TERMS, coefficients, powers
from sntorch.meanfield.record import Number, Parameters, enter, nonnegative, real
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["TwoTime", "evolve"]

_TOLERANCE = 1e-8  # of 1 + v, for the covariance of the field
_CHECKED = 6  # times at which the truncation is measured


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TwoTime(Result):
    """Mean and covariance of u at all times from 0 to T; `...` is the shape of the arguments."""

    mean: Tensor
    """(..., T + 1), mu(t)."""
    covariance: Tensor
    """(..., T + 1, T + 1), Delta(t, s)."""
    error: Tensor
    """(...), largest change of a covariance of the field when terms and mesh are doubled."""
    terms: int
    """Terms of the Hermite series that this took; the most of all problems."""
    arguments: dict[str, Tensor]
    """Every argument of the call, of the broadcast shape."""
    transfer: str
    """Name of the transfer function."""

    @property
    def variance(self) -> Tensor:
        """(..., T + 1), v(t)."""
        return self.covariance.diagonal(dim1=-2, dim2=-1)

    @property
    def converged(self) -> Tensor:
        """Bool (...): the truncation error is within 1e-8 of 1 + v."""
        return self.error <= _TOLERANCE * (1 + self.variance.amax(-1))

    def scalars(self) -> dict[str, float]:
        """Return mean and variance at the last time, and the largest error."""
        last = {"mean": self.mean[..., -1], "variance": self.variance[..., -1]}
        return {name: float(t.mean()) for name, t in last.items()} | {
            "error": float(self.error.max())
        }


def evolve(
    steps: int,
    *,
    gain: Number,
    std: Number = 1.0,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
    initial_mean: Number = 0.0,
    initial_variance: Number = 1.0,
    terms: int | None = None,
) -> TwoTime:
    """Return mean and covariance of u over the first steps of large networks.

    Parameters
    ----------
    steps
        T >= 1.
    gain, std, mean, threshold, threshold_std, noise, leak, transfer
        As in `solve`; arrays broadcast.
    initial_mean, initial_variance
        Law of u(0), independent of couplings and thresholds; a variance >= 0.
    terms
        Terms of the series; None doubles them until nothing changes, up to 2048.

    Raises
    ------
    ValueError
        On wrong arguments.  A series that has not converged is no error: `TwoTime.error` tells.

    References
    ----------
    B. Cessac, "Neural Networks Dynamics", lecture slides, 2020, without leak; O. Faugeras,
    J. Touboul, B. Cessac, Front. Comput. Neurosci. 3 (2009) 1.

    Examples
    --------
    >>> import sntorch as snt
    >>> two = snt.meanfield.evolve(50, gain=1.5)
    >>> two.variance[[0, 1, -1]]
    tensor([1.0000, 0.5406, 0.3526], dtype=torch.float64)
    """
    checks.count("steps", steps)
    numbers: dict[str, Number] = {
        "gain": gain,
        "std": std,
        "mean": mean,
        "threshold": threshold,
        "threshold_std": threshold_std,
        "noise": noise,
        "leak": leak,
    }
    start = real("initial_mean", initial_mean), nonnegative("initial_variance", initial_variance)
    shape = np.broadcast_shapes(*(tuple(s.shape) for s in start))
    numbers["gain"] = real("gain", gain) + torch.zeros(shape, dtype=torch.float64)
    p, shape, arguments, phi = enter(numbers, transfer)
    mu, v = (s.expand(shape).reshape(-1) for s in start)
    if terms is not None:
        checks.count("terms", terms, low=2)
    found = _doubled(phi, p, mu, v, steps, terms)
    return TwoTime(
        mean=found.mu.reshape(*shape, steps + 1),
        covariance=found.D.reshape(*shape, steps + 1, steps + 1),
        error=found.error.reshape(shape),
        terms=found.terms,
        arguments=arguments,
        transfer=repr(phi),
    )


def _doubled(
    phi: Transfer, p: Parameters, mu: Tensor, v: Tensor, steps: int, terms: int | None
) -> History:
    """Return the histories of all problems, of which each has as many terms as it needs."""
    found = history = History(phi, p, mu, v, steps, terms or TERMS).run()
    rows = torch.arange(len(v), device=v.device)
    while terms is None and history.terms < MOST_TERMS:
        size = 1 + history.D.diagonal(dim1=-2, dim2=-1).amax(-1)
        rows = rows[~(history.error <= _TOLERANCE * size)]
        if not len(rows):
            break
        history = History(phi, p.take(rows), mu[rows], v[rows], steps, 2 * history.terms).run()
        found.take(rows, history)
    return found


class History:
    """The recursion, at one number of terms."""

    def __init__(
        self, phi: Transfer, p: Parameters, mu: Tensor, v: Tensor, steps: int, terms: int
    ) -> None:
        self.phi, self.p, self.steps, self.terms = phi, p, steps, terms
        size = (len(v), steps + 1)
        self.mu, self.D = v.new_zeros(size), v.new_zeros(*size, steps + 1)
        self.mu[:, 0], self.D[:, 0, 0] = mu, v
        self.a = v.new_zeros(len(v), terms, steps + 1)  # times last: sums over terms stay in rows
        self.rest = v.new_zeros(size)  # root of the mass beyond the last term
        widest = torch.maximum(v, p.std.square() + p.independent)
        self.fine = fineness(phi, p.gain, mu, widest)

    def run(self) -> History:
        """Return the history with all times filled in."""
        p, D = self.p, self.D
        leak, power = p.leak.unsqueeze(-1), p.std.square().unsqueeze(-1)
        for t in range(self.steps):
            self.a[..., t : t + 1], self.rest[:, t : t + 1] = self._expand(t, t + 1, self.terms, 1)
            field = power * self._pairs(t, self.a, self.rest) + p.static.unsqueeze(-1)
            cross = _scan(field, p.leak)
            # X(s, t) sums the fields before s: one place further than the scan.
            row = leak * D[:, t, : t + 1]
            row[:, 1:] += cross[:, :-1]
            D[:, t + 1, : t + 1] = row
            D[:, : t + 1, t + 1] = row
            last = p.leak.square() * D[:, t, t] + field[:, -1] + p.noise.square()
            if t:
                last = last + 2 * p.leak * cross[:, -2]
            D[:, t + 1, t + 1] = last
            mean = p.mean * self.a[:, 0, t] - p.threshold
            self.mu[:, t + 1] = p.leak * self.mu[:, t] + mean
        return self

    def take(self, rows: Tensor, other: History) -> None:
        """Take over problems that were solved with more terms."""
        self.mu[rows], self.D[rows], self.terms = other.mu, other.D, other.terms
        self.error[rows] = other.error

    def _expand(self, start: int, end: int, terms: int, finer: int) -> tuple[Tensor, Tensor]:
        """Return the coefficients (P, terms, L) of L times, and what is left (P, L)."""
        v = self.D.diagonal(dim1=-2, dim2=-1)[:, start:end]
        gain, mu = self.p.gain.repeat_interleave(end - start), self.mu[:, start:end].flatten()
        mesh = finer * int(intervals(gain, v.flatten(), self.fine).max())
        a, mass = coefficients(self.phi, gain, mu, v.flatten(), mesh, terms)
        rest = (mass - a.square().sum(-1)).clamp(min=0).sqrt()
        return a.reshape(*v.shape, terms).mT, rest.reshape(v.shape)

    def _pairs(self, t: int, a: Tensor, rest: Tensor) -> Tensor:
        """Return E f(u_t) f(u_s) (P, t + 1) for all s <= t."""
        v = self.D.diagonal(dim1=-2, dim2=-1)[:, : t + 1]
        scale = (v * v[:, -1:]).sqrt().clamp(min=torch.finfo(v.dtype).tiny)
        rho = (self.D[:, t, : t + 1] / scale).clamp(-1, 1)
        series = powers(a[..., : t + 1] * a[..., t : t + 1], rho)
        return series + rest[:, : t + 1] * rest[:, t : t + 1] * rho.pow(a.shape[1] + 1)

    @functools.cached_property
    def error(self) -> Tensor:
        """Return the largest change (P,) of the fields' covariance with twice terms and mesh."""
        worst = torch.zeros_like(self.p.gain)
        times = torch.linspace(0, self.steps - 1, min(_CHECKED, self.steps)).long().tolist()
        a, rest = self._expand(0, self.steps, 2 * self.terms, 2)
        for t in times:
            change = self._pairs(t, a, rest) - self._pairs(t, self.a, self.rest)
            worst = torch.maximum(worst, (self.p.std.square() * change.abs().amax(-1)))
        return worst


def _scan(field: Tensor, leak: Tensor) -> Tensor:
    """Return y with y_s = leak y_{s-1} + field_s along the last axis, by doubling."""
    value, reach, factor = field.clone(), 1, leak.unsqueeze(-1)
    while reach < value.shape[-1] and bool((factor > 1e-18).any()):
        value[:, reach:] += factor * value[:, :-reach].clone()
        reach, factor = 2 * reach, factor.square()
    return value
