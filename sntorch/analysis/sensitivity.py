r"""Sensitivity to a pattern: how much the slopes of the neurons change when it is taken away.

.. math:: D = \frac1N \sum_i |D_i|, \qquad
          D_i = <f'(u_i)>_{\text{with } x} - <f'(u_i)>_{\text{without}}, \qquad
          D_{rel} = \frac{\sum_i (|D_i| - \epsilon_i)}{\sum_i <f'(u_i)>_{\text{without}}}

Means are over time.  f' is what the neurons multiply a small signal by, so D measures how the
pattern rearranges the network as signals see it.  At a fixed point taking the pattern xi away moves
u by -(I - J f')^{-1} xi, which diverges as a multiplier tends to 1; in chaos the shift is a static
response.  Hence D is largest near the edge of chaos (Siri et al. 2008).

**Floor.**  Means of T steps of a chaotic orbit differ without any pattern, so |D_i| has a floor
epsilon_i.  It is measured: the means of the two halves of one orbit differ by w_i, whose spread is
sqrt(2) times that of D_i, so that over the two orbits

.. math:: \epsilon_i = \tfrac12 \frac{|w_i|_{\text{with}} + |w_i|_{\text{without}}}{\sqrt 2}.

Where the pattern's part of D_i is as large as its noise, subtracting the floor takes away too much:
the estimate errs on the small side, by no more than the floor.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, enter, rollout
from sntorch.observing import observing
from sntorch.plasticity import PlasticSNTCell
from sntorch.results import Result, over_rows

__all__ = ["PatternSensitivity", "compare_slopes", "pattern_sensitivity"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PatternSensitivity(Result):
    """How the mean slopes of the neurons change when a pattern is taken away."""

    slopes: Tensor
    """(..., N), <f'(u_i)> without the pattern, gain included."""
    change: Tensor
    """(..., N), D_i."""
    floor: Tensor
    """(..., N), epsilon_i: |D_i| that finite means have without any pattern."""

    @property
    def absolute(self) -> Tensor:
        """(...), D with the floor still in it."""
        return self.change.abs().mean(-1)

    @property
    def relative(self) -> Tensor:
        """(...), D_rel, floor subtracted."""
        return self._excess.mean(-1)

    @property
    def stderr(self) -> Tensor:
        """(...), of D_rel, from the spread over neurons."""
        return self._excess.std(-1) / self.change.shape[-1] ** 0.5

    def scalars(self) -> dict[str, float]:
        """Return D_rel with its error, D, and the mean floor."""
        mean, error = over_rows(self.relative, self.stderr)
        return {
            "relative": float(mean),
            "stderr": float(error),
            "absolute": float(self.absolute.mean()),
            "floor": float(self.floor.mean()),
        }

    def __float__(self) -> float:
        return float(self.relative)

    @property
    def _excess(self) -> Tensor:
        return (self.change.abs() - self.floor) / self.slopes.mean(-1, keepdim=True)


def pattern_sensitivity(
    f: Dynamics,
    u: Tensor,
    steps: int,
    *,
    x: Tensor,
    transient: int = 0,
    generator: torch.Generator | None = None,
) -> PatternSensitivity:
    """Return how the slopes of the neurons change when the drive is taken away.

    Two orbits from u, under the same noise: with the drive and without.

    Parameters
    ----------
    f
        An `SNTCell` or `PlasticSNTCell`.
    u
        Initial states (..., N).
    steps
        Steps that the means are over, at least 2.
    x
        The pattern: a constant drive (I,), or one of (transient + steps, ..., I).
    transient
        Steps before those.
    generator
        Source of the noise; None is torch's global one, left as it was.

    Raises
    ------
    ValueError
        If f is another network, or an argument does not fit it.

    References
    ----------
    B. Siri, H. Berry, B. Cessac, B. Delord, M. Quoy, Neural Computation 20 (2008) 2937.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(torch.zeros(2, 2), input_size=2)
    >>> with torch.no_grad():
    ...     _ = cell.input_weight.copy_(torch.eye(2))
    >>> pattern = torch.tensor([0.5, 0.0])
    >>> found = pattern_sensitivity(cell, torch.zeros(2), 9, x=pattern, transient=1)
    >>> found.change  # 1 - tanh(0.5)^2 - 1
    tensor([-0.2136,  0.0000])
    """
    if not isinstance(f, SNTCell | PlasticSNTCell):
        raise ValueError(f"f: expected an SNTCell or PlasticSNTCell, got {type(f).__name__}")
    checks.count("steps", steps, low=2)
    checks.count("transient", transient, low=0)
    if not isinstance(x, Tensor):
        raise ValueError(f"x: expected a pattern to take away, got {x!r}")
    enter(f, u, transient + steps, x)
    with observing(f, u):
        state = None if generator is None else generator.get_state()
        seen = []
        for drive in (x, None):
            if generator is not None and state is not None:
                generator.set_state(state)
            with torch.random.fork_rng([u.device] if u.is_cuda else []):
                orbit = rollout(f, u, transient + steps, x=drive, generator=generator)
            seen.append(_slopes(f, orbit[transient:]))
        return compare_slopes(*seen)


def compare_slopes(present: Tensor, absent: Tensor) -> PatternSensitivity:
    """Return the same from slopes (T, ..., N) that were seen with the pattern and without it.

    For dynamics whose slopes the library does not know.

    Raises
    ------
    ValueError
        If the two series differ in shape, or have fewer than two steps.

    Examples
    --------
    >>> slopes = torch.full((100, 4), 0.5)
    >>> round(float(compare_slopes(slopes + 0.1, slopes).relative), 4)  # by a fifth
    0.2
    """
    checks.finite("present", checks.floating("present", present, ndim=2))
    checks.finite("absent", checks.same_kind("absent", absent, present, "present"))
    if present.shape != absent.shape or len(present) < 2:
        expected, got = tuple(present.shape), tuple(absent.shape)
        raise ValueError(f"absent: expected {expected} with two steps or more, got {got}")
    half = len(present) // 2
    halves = [(part[:half].mean(0) - part[-half:].mean(0)).abs() for part in (present, absent)]
    rest, floor = absent.mean(0), (halves[0] + halves[1]) / 8**0.5
    return PatternSensitivity(slopes=rest, change=present.mean(0) - rest, floor=floor)


def _slopes(f: SNTCell | PlasticSNTCell, orbit: Tensor) -> Tensor:
    """Return f'(u_i), gain included, of states (T, ..., N)."""
    cell, states = (f.cell, f.split(orbit)[0]) if isinstance(f, PlasticSNTCell) else (f, orbit)
    return cell.gain * cell.transfer.derivative(cell.gain * states)
