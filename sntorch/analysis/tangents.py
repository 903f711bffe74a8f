r"""The walk that all questions about tangent vectors share: an orbit and a frame carried along it.

.. math:: u(t+1) = F(u(t), x(t)) + \sigma B(t), \qquad V \leftarrow DF_{u(t)} V, \qquad V = Q R,

with Q kept in the place of V: the logarithms of :math:`|R_{ii}|` are what column i has grown beyond
the columns before it (Benettin et al. 1980; Shimada and Nagashima 1979).

How often.  Without QR the columns turn into the fastest direction and rounding eats the others: a
column that is d decades shorter than the longest has lost d digits.  Let s be the decades between
the longest and the shortest column over one interval.  Intervals of m steps are chosen so that

.. math:: m \langle s \rangle + \max(s - \text{its mean}) \le 8 \text{ in float64},
          \quad 2 \text{ in float32},

mean and worst fluctuation being those of the whole walk so far.  Exponents then differ from those
of a QR at every step by less than 1e-8 in float64.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.analysis.orthonormal import decades, orthonormal
from sntorch.drives import drive_at
from sntorch.dynamics import Dynamics
from sntorch.noise import add_noise, noise_of

__all__ = ["AccuracyWarning", "Interval", "TangentWalk", "own_stream", "random_frame"]

_LONGEST = 64  # steps between two QRs at most: more would save nothing


class AccuracyWarning(UserWarning):
    """Rounding has eaten a part of the answer; the message says which part is left.

    Examples
    --------
    >>> import warnings
    >>> import sntorch as snt
    >>> shrink = torch.tensor([1.0, 1e-3])
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("ignore")
    ...     warnings.simplefilter("always", AccuracyWarning)
    ...     _ = snt.analysis.lyapunov_spectrum(lambda u: shrink * u, torch.ones(2), 40, interval=4)
    >>> [each.category.__name__ for each in told]
    ['AccuracyWarning']
    """


class Interval:
    """How many steps to make before the next QR, and what was lost by those made so far."""

    def __init__(self, choice: int | str, dtype: torch.dtype) -> None:
        if choice != "auto" and not isinstance(choice, int):
            raise ValueError(f"interval: expected 'auto' or a whole number, got {choice!r}")
        self.auto = choice == "auto"
        self.length = 1 if isinstance(choice, str) else checks.count("interval", choice)
        double = dtype == torch.float64
        self.target = 8.0 if double else 2.0
        self.limit = 10.0 if double else 3.0
        """Decades by which a column may be shorter than the longest and still be trusted."""
        self.worst: NDArray[np.float64] | None = None
        """Decades (k,) by which each column was shorter than the longest, at worst."""
        self._steps, self._decades, self._excess = 0, 0.0, 0.0

    @property
    def spread(self) -> float:
        """Decades between the columns before a QR, at worst."""
        return 0.0 if self.worst is None else float(self.worst.max())

    @property
    def trusted(self) -> int:
        """How many leading columns have stayed within the limit."""
        return 0 if self.worst is None else int((self.worst <= self.limit).cumprod().sum())

    def update(self, logs: Tensor, steps: int) -> None:
        """Learn from the logarithms (..., k) of one R that `steps` steps have grown."""
        # A few numbers, of which numpy makes less work than torch.
        decades = logs.detach().cpu().numpy().reshape(-1, logs.shape[-1]) / math.log(10)
        with np.errstate(invalid="ignore"):
            short = decades.max(-1, keepdims=True) - decades
        # An exact zero of the derivative is an answer and loses nothing.
        short = np.where(np.isfinite(short), short, 0.0).max(0)
        self.worst = short if self.worst is None else np.maximum(self.worst, short)
        if self.auto:
            # A tenth of the growth itself counts too: it keeps long intervals from overflow.
            self._choose(max(float(short.max()), 0.1 * float(np.abs(decades).max())), steps)

    def _choose(self, decades: float, steps: int) -> None:
        self._steps += steps
        self._decades += decades
        mean = self._decades / self._steps
        if not math.isfinite(mean):
            self.length = 1
            return
        self._excess = max(self._excess, decades - mean * steps)
        room = (self.target - self._excess) / mean if mean > 0 else math.inf
        self.length = max(1, int(min(self.length + 1 + self.length // 4, _LONGEST, room)))

    def start(self) -> None:
        """Forget what the transient lost, but not what it taught."""
        self.worst = None

    def warn(self, k: int, dtype: torch.dtype, stacklevel: int) -> None:
        """Warn with `AccuracyWarning` if columns came further apart than rounding allows."""
        if self.spread <= self.limit:
            return
        advice = "use float64" if dtype != torch.float64 else "ask for fewer exponents"
        if not self.auto and self.length > 1:
            advice = f"choose a smaller interval or {advice}"
        warnings.warn(
            f"columns of the frame came to differ by {self.spread:.1f} decades between two QRs: "
            f"the first {self.trusted} of {k} exponents are trusted; {advice}",
            AccuracyWarning,
            stacklevel=stacklevel + 1,
        )


class TangentWalk:
    """An orbit with its orthonormal frame, advanced together.

    The frame starts random, from a stream of its own that always starts at the same seed: unit
    vectors would stay in an invariant subspace.
    """

    def __init__(
        self,
        f: Dynamics,
        u: Tensor,
        k: int,
        x: Tensor | None,
        generator: torch.Generator | None,
        interval: Interval,
        *,
        volume: bool = False,
    ) -> None:
        if u.dtype not in (torch.float32, torch.float64):  # no other has a QR
            raise ValueError(f"u: expected float32 or float64 for tangents, got {u.dtype}")
        self.f, self.u, self.x = f, u, x
        self.sigma, self.generator, self.interval = noise_of(f, u), generator, interval
        self.step = 0
        self.V = torch.linalg.qr(random_frame(u, k)).Q
        interval.target = min(interval.target, decades(self.V))
        self.volume = volume and k == u.shape[-1]

    @property
    def kind(self) -> str:
        """``"conditional"`` where a changing drive or noise acts, else ``"autonomous"``."""
        driven = self.x is not None and self.x.ndim > 1
        return "conditional" if driven or self.sigma is not None else "autonomous"

    def advance(self, steps: int) -> tuple[Tensor, Tensor]:
        """Make `steps` steps; return summed logarithms of growth (..., k) and volume (...).

        The volume is the sum of ln |det DF| where `volume` was asked for and k = N, else NaN.
        """
        grown = self.V.new_zeros(*self.u.shape[:-1], self.V.shape[-1])
        volume = grown.new_full(self.u.shape[:-1], 0.0 if self.volume else torch.nan)
        while steps:
            count = math.ceil(steps / math.ceil(steps / self.interval.length))  # equal parts
            for _ in range(count):
                self.push()
            if self.volume:
                volume = volume + torch.linalg.slogdet(self.V).logabsdet
            logs = self.orthonormalise().diagonal(dim1=-2, dim2=-1).abs().log()
            self.interval.update(logs, count)
            grown = grown + logs
            steps -= count
        return grown, volume

    def skip(self, steps: int) -> None:
        """Make the steps of a transient: nothing of them is kept but state, frame and interval."""
        self.advance(steps)
        self.interval.start()

    def push(self) -> None:
        """Make one step of state and frame."""
        value, self.V = self.f.at(self.step).jvp(self.u, self.V, drive_at(self.x, self.step))
        self.u = add_noise(value, self.sigma, self.generator)
        self.step += 1

    def orthonormalise(self) -> Tensor:
        """Put Q in the place of V = Q R and return R (..., k, k).

        Raises
        ------
        ValueError
            If state or frame have left the finite numbers; the step is named.
        """
        self.V, R = orthonormal(self.V)
        # R tells all: what is not finite in V is not finite in R.  A sum is enough to see it.
        if not math.isfinite((R.detach().sum() + self.u.detach().sum()).item()):
            raise ValueError(
                f"u: expected a bounded orbit, got numbers that are not finite by step {self.step}"
            )
        return R


def random_frame(u: Tensor, k: int) -> Tensor:
    """Return k independent normal vectors (..., N, k) at the states u, the same at every call."""
    stream = torch.Generator(u.device)
    return torch.randn(*u.shape, k, dtype=u.dtype, device=u.device, generator=stream)


def own_stream(device: torch.device) -> torch.Generator:
    """Return a generator that goes on like torch's global one, and can be wound back."""
    state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    stream = torch.Generator(device)
    stream.set_state(state)
    return stream
