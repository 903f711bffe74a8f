r"""Lyapunov exponents: how fast nearby states of a dynamics come together or fly apart.

A frame of k tangent vectors is carried along the orbit as `sntorch.analysis.tangents` does it; then

.. math:: \lambda_i = \frac{1}{T\,dt} \sum \ln |R_{ii}|, \qquad
          \sum_{i=1}^{N} \lambda_i = \frac{1}{T\,dt} \sum_t \ln |\det DF_{u(t)}|.

Three questions are told apart.

*Autonomous*: neither noise nor a drive that changes; the exponents are those of the attractor.
    Signatures for maps: all negative, fixed point or stable cycle; one zero, closed curve; one
    positive, chaos.  A flow has one zero more, along the orbit, unless it rests.
*Conditional*: with a drive x, two copies that read the same input; with noise, two copies under
    the same noise.  All negative: the copies forget where they started.
*Closed loop*: a network that feeds on its own readout is another dynamics; close the loop in a
    function, ``lambda u: net(u, readout(u))``, and ask for its exponents: they are autonomous.

Derived: the Kaplan-Yorke dimension :math:`j + \sum_{i \le j} \lambda_i / |\lambda_{j+1}|` with the
largest j whose sum is not negative, and the sum of the positive exponents: an upper bound of the
entropy (Ruelle), equal to it for smooth invariant densities (Pesin).

Frames need a transient like the state does, or a bias of order 1/steps remains.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.tangents import Interval, TangentWalk
from sntorch.dynamics import enter
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean, over_rows

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum", "max_lyapunov"]

_NEUTRAL = 3  # standard errors within which an exponent may be zero


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LyapunovSpectrum(Result):
    """The k largest Lyapunov exponents of every row, in nats per unit of time.

    ``float(result)`` is the largest exponent of a single row.
    """

    exponents: Tensor
    """(..., k), largest first."""
    stderr: Tensor
    """(..., k), by block averaging; assumes an orbit long enough that blocks are independent."""
    history: Tensor
    """(B, ..., k), means over B successive blocks of time."""
    log_det: Tensor
    """(...), mean of ln |det DF| per unit of time where k = N, else NaN: the sum of exponents."""
    size: int
    """N, the dimension of the state."""
    kind: str
    """``"autonomous"``, or ``"conditional"`` on a drive that changes or on noise."""
    spread: float
    """Decades between the columns of the frame before a QR, at worst: a check of accuracy."""
    trusted: int
    """How many leading exponents rounding left intact; fewer than k come with a warning."""
    dt: float = 1.0
    """Time per step."""

    @property
    def dimension(self) -> Tensor:
        """Kaplan-Yorke dimension (...); NaN where k exponents are too few to tell."""
        sums = self.exponents.cumsum(-1)
        j = (sums >= 0).sum(-1, keepdim=True)
        k = self.exponents.shape[-1]
        following = self.exponents.gather(-1, j.clamp(max=k - 1))
        value = j + sums.gather(-1, (j - 1).clamp(min=0)) / following.abs()
        value = torch.where(j == 0, 0.0, value)
        value = torch.where(j == k, float(k) if k == self.size else math.nan, value)
        return torch.where(sums.isnan().any(-1, keepdim=True), math.nan, value).squeeze(-1)

    @property
    def residual(self) -> Tensor:
        """Sum of the exponents less `log_det` (...): rounding, if all is well; NaN where k < N."""
        return self.exponents.sum(-1) - self.log_det

    @property
    def neutral(self) -> Tensor:
        """Index (...) of the exponent nearest to zero, -1 if none is within 3 standard errors.

        A flow that moves has one, unless noise or a changing drive acts on it: a check of `steps`.
        """
        nearest = self.exponents.abs().argmin(-1, keepdim=True)
        value, error = self.exponents.gather(-1, nearest), self.stderr.gather(-1, nearest)
        return torch.where(value.abs() <= _NEUTRAL * error, nearest, -1).squeeze(-1)

    @property
    def entropy(self) -> Tensor:
        """Sum of the positive exponents (...), in nats per unit of time."""
        return self.exponents.clamp(min=0).sum(-1)

    def scalars(self) -> dict[str, float]:
        """Return max, its stderr, sum (of the k), dimension, entropy and every exponent."""
        mean, error = over_rows(self.exponents, self.stderr, axes=1)
        named = {str(i + 1): float(value) for i, value in enumerate(mean)}
        return {
            "max": float(mean[0]),
            "max_stderr": float(error[0]),
            "sum": float(mean.sum()),
            "dimension": float(self.dimension.mean()),
            "entropy": float(self.entropy.mean()),
            **named,
        }

    def __float__(self) -> float:
        return float(self.exponents[..., 0])


def lyapunov_spectrum(
    f: object,
    u: Tensor,
    steps: int,
    *,
    k: int | None = None,
    transient: int = 0,
    x: Tensor | None = None,
    interval: int | str = "auto",
    generator: torch.Generator | None = None,
) -> LyapunovSpectrum:
    """Return the k largest Lyapunov exponents of f along the orbits from u.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise acts on the orbit.  For long runs of a function of
        your own, `compile_tangents` makes it several times faster.
    u
        Initial states (..., N); every row gives a spectrum of its own.
    steps
        Steps that are measured, T.
    k
        How many exponents; all N by default.  In float32 trust the leading ones only.
    transient
        Steps of state and frame before the measurement.
    x
        Constant drive (I,) or one per step (transient + steps, ..., I).
    interval
        Steps between two QRs, or ``"auto"``: as many as accuracy allows.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers: the step is named.

    Warns
    -----
    AccuracyWarning
        Where columns came to differ by more than 10 decades in float64, 3 in float32, within one
        interval: what a fixed interval may do, and the tail of a full spectrum in float32.

    References
    ----------
    G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Meccanica 15 (1980) 9 and 21.

    Examples
    --------
    >>> import sntorch as snt
    >>> decay = torch.diag(torch.tensor([0.8, 1.1], dtype=torch.float64))
    >>> snt.analysis.lyapunov_spectrum(
    ...     lambda u: u @ decay, torch.ones(2, dtype=torch.float64), 100, transient=400
    ... ).exponents
    tensor([ 0.0953, -0.2231], dtype=torch.float64)
    """
    transient = checks.count("transient", transient, low=0)
    f, x = enter(f, u, transient + checks.count("steps", steps), x)
    k = checks.count("k", u.shape[-1] if k is None else k, high=u.shape[-1])
    checks.generator(generator, u.device)
    with observing(f, u):
        walk = TangentWalk(f, u.clone(), k, x, generator, Interval(interval, u.dtype), volume=True)
        walk.skip(transient)
        lengths = block_lengths(steps)
        grown, dets = zip(*(walk.advance(length) for length in lengths), strict=True)
        result = _collect(torch.stack(grown), torch.stack(dets), lengths, f.dt, walk)
    walk.interval.warn(k, u.dtype, stacklevel=2)
    return result


def max_lyapunov(
    f: object,
    u: Tensor,
    steps: int,
    *,
    transient: int = 0,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> LyapunovSpectrum:
    """Return the largest Lyapunov exponent of f: `lyapunov_spectrum` with k = 1.

    Examples
    --------
    >>> import sntorch as snt
    >>> logistic = lambda u: 4 * u * (1 - u)
    >>> u = torch.tensor([0.3], dtype=torch.float64)
    >>> round(float(snt.analysis.max_lyapunov(logistic, u, 400, transient=50)), 1)  # ln 2
    0.7
    """
    return lyapunov_spectrum(f, u, steps, k=1, transient=transient, x=x, generator=generator)


def _collect(
    grown: Tensor, dets: Tensor, lengths: list[int], dt: float, walk: TangentWalk
) -> LyapunovSpectrum:
    time = dt * torch.as_tensor(lengths, dtype=grown.dtype, device=grown.device)
    history = grown / time.reshape(-1, *[1] * (grown.ndim - 1))
    mean, stderr = block_mean(history, lengths)
    order = mean.argsort(-1, descending=True)
    return LyapunovSpectrum(
        exponents=mean.gather(-1, order),
        stderr=stderr.gather(-1, order),
        history=history.gather(-1, order.expand_as(history)),
        log_det=dets.sum(0) / time.sum(),
        size=walk.u.shape[-1],
        kind=walk.kind,
        spread=walk.interval.spread,
        trusted=walk.interval.trusted,
        dt=dt,
    )
