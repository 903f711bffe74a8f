"""What recurrence, exponents and lines say about one orbit; `sntorch.analysis.regime` hears them.

Everything here is per step and about one row: the regime of a batch is that of each of its rows.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch.analysis.frequencies import Lines, spectral_lines
from sntorch.analysis.rotation import weighted_mean
from sntorch.results import time_unit

__all__ = ["LABELS", "MOST_FREQUENCIES", "Verdict", "Witnesses"]

LABELS = ("fixed_point", "periodic", "quasi_periodic", "chaotic", "undecided")
MOST_FREQUENCIES = 3

_NEAR = 1e-3  # distance, in units of the states, from which a return is looked into
_ZERO = 5.0  # an exponent is zero if growth over the whole orbit is below this, in nats
_CALM = 0.1  # the same for its weighted average, which converges on a torus
_TURNS = 12  # turns of the slowest line that a spectrum needs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """A label, the words that led to it, and the steps and frequencies of the orbit."""

    label: str
    words: str
    period: float = math.nan
    base: tuple[float, ...] = ()

    @property
    def frequencies(self) -> list[float]:
        """Base frequencies per step, filled up with NaN."""
        return [*self.base, *[math.nan] * (MOST_FREQUENCIES - len(self.base))]


class Witnesses:
    """The witnesses of one row, per step."""

    def __init__(
        self,
        growth: Tensor,
        views: Tensor,
        exponents: Tensor,
        stderr: Tensor,
        *,
        dt: float,
        flow: bool,
    ) -> None:
        self.growth, self.views, self.dt, self.flow = growth, views, dt, flow
        self.steps = len(growth)
        self.exponents, self.stderr = exponents.tolist(), stderr.tolist()
        self.width = [max(_ZERO / self.steps, 3 * error) for error in self.stderr]

    def verdict(self) -> Verdict:
        """Hear recurrence first, then exponents, then lines."""
        period = self._period()
        if period:
            return self._recurrent(period)
        if self.exponents[0] < -self.width[0] and not self._calm():
            words = f"comes back after no period up to {self.steps // 4} steps; {self._largest()}"
            return Verdict(label="undecided", words=words)
        if self._positive():
            return self._wandering(self._lines(MOST_FREQUENCIES))
        zeros = sum(abs(e) <= w for e, w in zip(self.exponents, self.width, strict=True))
        return self._turning(zeros, self._lines(min(zeros, MOST_FREQUENCIES)))

    def _period(self) -> int:
        """Return the steps p after which the orbit comes back, 0 if it does not."""
        quarter, views = self.steps // 4, self.views
        size = float(1 + views.abs().amax())
        recent = (views[-quarter - 1 : -1] - views[-1]).norm(dim=-1).flip(0)
        for p in (1 + (recent <= _NEAR * size).nonzero().squeeze(-1)).tolist():
            apart = (views[p:] - views[:-p]).norm(dim=-1)
            late, early = float(apart[-quarter:].amax()), float(apart[:quarter].amax())
            if self._returns(late / size, early / size):
                return p
        return 0

    def _returns(self, late: float, early: float) -> bool:
        """Say whether a distance is rounding, or falls from the first to the last quarter."""
        eps = torch.finfo(self.views.dtype).eps
        if late <= 10 * self.steps * eps:
            return True
        attracting = self.exponents[0] < -_ZERO / self.steps
        return attracting and (late <= eps**0.4 or (late <= _NEAR and late < 0.3 * early))

    def _recurrent(self, period: int) -> Verdict:
        words = f"comes back after {period} step{'s' if period > 1 else ''}; {self._largest()}"
        # Over whole periods the mean has no statistical error.
        exponent = float(self.growth[-(self.steps // period) * period :].mean())
        if exponent > _ZERO / self.steps:
            words += ": unstable, start elsewhere"
            return Verdict(label="undecided", words=words, period=period)
        if exponent > -_ZERO / self.steps:
            words += ": neutral"
        label = "fixed_point" if period == 1 else "periodic"
        base = () if period == 1 else (1 / period,)
        return Verdict(label=label, words=words, period=period, base=base)

    def _positive(self) -> bool:
        """Say whether the largest exponent is positive, in both halves of the orbit."""
        halves = self.growth.chunk(2)
        leading = min(self.exponents[0], *(float(half.mean()) for half in halves))
        return self.exponents[0] > self.width[0] and leading > 0.5 * self.width[0]

    def _calm(self) -> bool:
        """Say whether the weighted average of the growth is zero and has converged."""
        mean, error = weighted_mean(self.growth)
        return max(abs(float(mean)), float(error)) * self.steps < _CALM

    def _lines(self, most: int) -> Lines | None:
        """Return the lines of a mixture of all neurons, None where the orbit turns too seldom."""
        # Neurons count alike, whatever their size.
        spread = self.views.std(0)
        weights = torch.linspace(1, 2, len(spread), dtype=spread.dtype, device=spread.device)
        lines = spectral_lines((self.views / spread.clamp(min=1e-12)) @ weights, most=most)
        slow = len(lines.frequencies) == 0 or lines.frequencies[0] * self.steps < _TURNS
        return None if slow else lines

    def _wandering(self, lines: Lines | None) -> Verdict:
        _, error = weighted_mean(self.views[:, 0] / self.views[:, 0].std())
        words = f"{self._largest()}, positive in both halves; {self._spoken(lines)}"
        if float(error) < 1e-6 and lines is not None and lines.explained:
            return Verdict(label="undecided", words=f"{words}: averages converge as on a torus")
        return Verdict(label="chaotic", words=words)

    def _turning(self, zeros: int, lines: Lines | None) -> Verdict:
        words = f"{zeros} zero exponent{'s' if zeros != 1 else ''}; {self._largest()}"
        if not self._calm():
            words += ", whose average has not converged"
            return Verdict(label="undecided", words=f"{words}; {self._spoken(lines)}")
        words += f"; {self._spoken(lines)}"
        if lines is None or not 1 <= len(lines.base) <= zeros:
            return Verdict(label="undecided", words=words)
        if self.flow and zeros > 1 == len(lines.base) and not self._conservative():
            return Verdict(label="undecided", words=words)
        label = "periodic" if self.flow and len(lines.base) == 1 else "quasi_periodic"
        return Verdict(label=label, words=words, base=tuple(lines.base.tolist()))

    def _conservative(self) -> bool:
        return all(abs(e) <= w for e, w in zip(self.exponents, self.width, strict=True))

    def _largest(self) -> str:
        value, error = self.exponents[0] / self.dt, self.stderr[0] / self.dt
        return f"largest exponent {value:.4f} ± {error:.4f} nats / {time_unit(self.dt)}"

    def _spoken(self, lines: Lines | None) -> str:
        if lines is None:
            return f"fewer than {_TURNS} turns of the strongest line"
        if not lines.explained:
            return "no few frequencies explain the lines"
        if not len(lines.base):
            return "rational lines only"
        each = ", ".join(f"{value / self.dt:.6g}" for value in lines.base)
        parts = f" on {lines.pieces} pieces" if lines.pieces > 1 else ""
        return f"lines at {each} per {time_unit(self.dt)} and combinations{parts}"
