r"""Lyapunov exponents: how fast nearby states of a dynamics come together or fly apart.

A frame V of k tangent vectors is pushed along the orbit by the derivative DF and made orthonormal
again every few steps, V = QR (Benettin et al. 1980; Shimada and Nagashima 1979).  Then

.. math:: \lambda_i = \frac{1}{T\,dt} \sum \ln |R_{ii}|, \qquad
          \sum_{i=1}^{N} \lambda_i = \frac{1}{T\,dt} \sum_t \ln |\det DF_{u(t)}|.

The exponents of an autonomous dynamics are those of its attractor.  With a drive x they are
conditional: two copies that read the same input; with noise, two copies under the same noise.
Signatures for maps: all negative, fixed point or stable cycle; one zero, closed curve; one
positive, chaos.

Derived: the Kaplan-Yorke dimension :math:`j + \sum_{i \le j} \lambda_i / |\lambda_{j+1}|` with the
largest j whose sum is not negative, and the sum of the positive exponents: an upper bound of the
entropy (Ruelle), equal to it for smooth invariant densities (Pesin).

Frames start random, from a stream of their own: unit vectors would stay in an invariant subspace.
They need a transient like the state does, or a bias of order 1/steps remains.  Between two QRs the
columns may come to differ in length by 6 decades in float64 and 2 in float32; ``"auto"`` chooses
the interval by the fastest stretch met so far, which keeps the difference to a QR at every step
below 1e-9 in float64.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, add_noise, drive_at, enter, noise_of, observing
from sntorch.results import Result, block_lengths, block_mean, over_rows

__all__ = ["LyapunovSpectrum", "lyapunov_spectrum", "max_lyapunov"]

_LONGEST = 64  # steps between two QRs at most: more would save nothing


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
    spread: float
    """Decades between the columns of the frame before a QR, at worst: a check of accuracy."""
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
        Anything `as_dynamics` accepts; its noise acts on the orbit.
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
        walk = _TangentWalk(f, u.clone(), k, x, generator, _Interval(interval, u.dtype))
        walk.advance(transient)
        lengths = block_lengths(steps)
        grown, dets = zip(*(walk.advance(length) for length in lengths), strict=True)
        return _collect(torch.stack(grown), torch.stack(dets), lengths, f.dt, walk)


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


class _Interval:
    """How many steps to make before the next QR, and the worst spread met so far."""

    def __init__(self, choice: int | str, dtype: torch.dtype) -> None:
        if choice != "auto" and not isinstance(choice, int):
            raise ValueError(f"interval: expected 'auto' or a whole number, got {choice!r}")
        self.auto = choice == "auto"
        self.length = 1 if isinstance(choice, str) else checks.count("interval", choice)
        self.decades = 6.0 if dtype == torch.float64 else 2.0
        self.worst = 0.0
        self.speed = 0.0

    def update(self, logs: Tensor, steps: int) -> None:
        """Learn from the logarithms (..., k) of one R that `steps` steps have grown."""
        decades = logs / math.log(10)
        spread = float((decades.amax(-1) - decades.amin(-1)).amax())
        self.worst = max(self.worst, spread)
        if self.auto:
            # A tenth of the growth itself counts too: it keeps long intervals from overflow.
            speed = max(spread, 0.1 * float(decades.abs().amax())) / steps
            self.speed = max(self.speed, speed)  # the fastest stretch so far: it may come again
            limit = self.decades / self.speed if self.speed > 0 else math.inf
            self.length = max(1, int(min(2 * self.length, _LONGEST, limit)))


class _TangentWalk:
    """An orbit with its orthonormal frame, advanced together."""

    def __init__(
        self,
        f: Dynamics,
        u: Tensor,
        k: int,
        x: Tensor | None,
        generator: torch.Generator | None,
        interval: _Interval,
    ) -> None:
        self.f, self.u, self.x = f, u, x
        self.sigma, self.generator, self.interval = noise_of(f, u), generator, interval
        self.step = 0
        stream = torch.Generator(u.device)  # always starts at the same seed, whatever the user did
        frame = torch.randn(*u.shape, k, dtype=u.dtype, device=u.device, generator=stream)
        self.V = torch.linalg.qr(frame).Q
        self.full = k == u.shape[-1]

    def advance(self, steps: int) -> tuple[Tensor, Tensor]:
        """Make `steps` steps; return summed logarithms of growth (..., k) and volume (...)."""
        grown = self.V.new_zeros(*self.u.shape[:-1], self.V.shape[-1])
        volume = grown.new_full(self.u.shape[:-1], 0.0 if self.full else torch.nan)
        while steps:
            count = min(steps, self.interval.length)
            for _ in range(count):
                self._push()
            if self.full:
                volume = volume + torch.linalg.slogdet(self.V).logabsdet
            grown = grown + self._orthonormalise(count)
            steps -= count
        return grown, volume

    def _push(self) -> None:
        x = drive_at(self.x, self.step)
        value, self.V = self.f.at(self.step).jvp(self.u, self.V, x)
        self.u = add_noise(value, self.sigma, self.generator)
        self.step += 1

    def _orthonormalise(self, count: int) -> Tensor:
        self.V, R = torch.linalg.qr(self.V)
        logs = R.diagonal(dim1=-2, dim2=-1).abs().log()
        # -inf is an exact zero of the derivative and an answer; NaN and +inf are not.
        if not bool((logs < torch.inf).all()) or not bool(torch.isfinite(self.u).all()):
            raise ValueError(
                f"u: expected a bounded orbit, got numbers that are not finite by step {self.step}"
            )
        self.interval.update(logs, count)
        return logs


def _collect(
    grown: Tensor, dets: Tensor, lengths: list[int], dt: float, walk: _TangentWalk
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
        spread=walk.interval.worst,
        dt=dt,
    )
