r"""Hebbian learning drives networks out of chaos, and they are most sensitive on the way.

.. math:: u(t+1) = J \frac{1 + \tanh(g\,u(t))}{2} + \xi, \qquad
          J \leftarrow \lambda J + \frac\alpha N\, m\, [m]_+^\top, \qquad m_i = <x_i> - d

Networks learn one pattern xi, an epoch of `steps` steps at a time (Siri et al. 2008).  After every
epoch, with the couplings frozen, three things are measured: the largest Lyapunov exponent, the
relative sensitivity to the pattern (`analysis.pattern_sensitivity`), and the same for a *novel*
pattern, a permutation of the learned one.

**Control.**  The same networks forget, J <- lambda J, and learn nothing.  They pass the edge of
chaos too, in the same epoch, and their sensitivity peaks there as well: the peak belongs to the
edge and is no evidence of learning.  With the numbers of the field what learning adds is a small
part: the rank-one term of J saturates neurons, so that slopes and exponent end a little lower than
with forgetting alone.  The learned pattern is not answered more than a novel one.  `table` says all
this in numbers, with errors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import compare_slopes, max_lyapunov
from sntorch.dynamics import rollout
from sntorch.observing import observing
from sntorch.plasticity import HebbianForgetting
from sntorch.plot import plot, style
from sntorch.plot.canvas import DARK, MIDDLE, THEORY, StyledFigure, finish, name_axes, on
from sntorch.studies.ensembles import Networks
from sntorch.studies.study import Study

__all__ = ["HebbianEdgeOfChaos", "run"]

EDGE = 0.12
"""How far from zero, in nats per step, the mean exponent may be where the sensitivity peaks."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class HebbianEdgeOfChaos(Study):
    """R networks over E epochs: index 0 of the first axis learns, index 1 forgets only."""

    epoch: Tensor
    """(E,), 0 is before learning."""
    exponents: Tensor
    """(2, E, R), largest exponent, nats per step."""
    sensitivity: Tensor
    """(2, E, R), relative, to the pattern that is learned, floor subtracted."""
    novel: Tensor
    """(2, E, R), the same for a permutation of the pattern."""
    slope: Tensor
    """(2, E, R), mean over neurons of <f'>, gain included."""
    planned: int
    """Epochs that the whole study has."""

    @property
    def peak(self) -> Tensor:
        """(2,), row of the epoch at which the mean sensitivity is largest."""
        return self.sensitivity.mean(-1).argmax(-1)

    @property
    def exponent_at_peak(self) -> Tensor:
        """(2,), mean exponent there."""
        return self.exponents.mean(-1).gather(1, self.peak.unsqueeze(1)).squeeze(1)

    @property
    def progress(self) -> str:
        """The last epoch."""
        learner, control = self.exponents[:, -1].mean(-1).tolist()
        answer = float(self.sensitivity[0, -1].mean())
        return (
            f"[{int(self.epoch[-1])}/{self.planned}] exponent {learner:+.4f}, forgetting only "
            f"{control:+.4f}; sensitivity {answer:.4f}"
        )

    def scalars(self) -> dict[str, float]:
        """Return where the sensitivity peaks, and what learning has added in the end."""
        found = {}
        for i, name in enumerate(("learning", "forgetting")):
            found[f"peak/{name}"] = float(self.sensitivity[i].mean(-1).max())
            found[f"peak_exponent/{name}"] = float(self.exponent_at_peak[i])
            found[f"exponent/{name}"] = float(self.exponents[i, -1].mean())
        added, error = _paired(self.exponents[:, -1])
        return found | {"added": added, "added_stderr": error}

    def table(self) -> str:
        """Return exponents and sensitivities by epoch, and what learning adds."""
        head = "exponent (nats / step)", "relative sensitivity", "to a novel pattern"
        lines = [
            f"{'':6}" + "".join(f"{each:>38}" for each in head),
            f"{'epoch':>6}" + f"{'learning':>19}{'forgetting':>19}" * 3,
        ]
        for e, epoch in enumerate(self.epoch.tolist()):
            cells = [
                f"{_cell(values[i, e]):>19}"
                for values in (self.exponents, self.sensitivity, self.novel)
                for i in (0, 1)
            ]
            lines.append(f"{epoch:6}{''.join(cells)}")
        return "\n".join([*lines, "", *self._conclusions()])

    def picture(self) -> Any:
        """Return exponents over epochs, and sensitivity against the exponent."""
        with style():
            fig = StyledFigure(figsize=(9.6, 4.0))
            left, right = fig.subplots(1, 2)
            plot(self, left)
            _draw_sensitivity(self, right)
        return fig

    def _conclusions(self) -> list[str]:
        networks, last = self.exponents.shape[-1], int(self.epoch[-1])
        lines = []
        for i, name in enumerate(("learning", "forgetting only")):
            at, e = float(self.exponent_at_peak[i]), int(self.peak[i])
            where = "within" if abs(at) <= EDGE else "not within"
            lines.append(
                f"{name}: sensitivity peaks at epoch {int(self.epoch[e])}, where the mean exponent "
                f"is {at:+.4f}, {where} {EDGE} of zero"
            )
        for name, values in (("exponent", self.exponents), ("mean slope", self.slope)):
            added, error = _paired(values[:, -1])
            lines.append(
                f"learning adds {added:+.4f} ± {error:.4f} to the {name} of epoch {last} "
                f"(paired, {networks} networks)"
            )
        special, error = _paired(
            torch.stack([self._at_peak(v) for v in (self.sensitivity, self.novel)])
        )
        lines.append(
            f"at its peak the learner answers the learned pattern by {special:+.4f} ± {error:.4f} "
            "more than the novel one"
        )
        return lines

    def _at_peak(self, values: Tensor) -> Tensor:
        return values[0, int(self.peak[0])]


def run(
    *,
    networks: int = 20,
    size: int = 100,
    epochs: int = 10,
    steps: int = 1000,
    transient: int = 200,
    gain: float = 10.0,
    forgetting: float = 0.9,
    rate: float = 5e-3,
    activity: float = 0.1,
    seed: int = 0,
) -> Iterator[HebbianEdgeOfChaos]:
    """Yield the study with one epoch more each time.

    The full setting has ``steps=2000``, as the reference run of the field, and ``networks=40``.

    Parameters
    ----------
    networks, size
        Random networks, at least 2, and neurons of each.
    epochs
        Epochs of learning.
    steps, transient
        Steps that an epoch and every measurement count, and steps before them.
    gain
        g.
    forgetting, rate, activity
        lambda, alpha and d of the rule, `plasticity.HebbianForgetting`.
    seed
        Of the draws; network i is the same in all runs of a seed.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    B. Siri, H. Berry, B. Cessac, B. Delord, M. Quoy, Neural Computation 20 (2008) 2937.

    Examples
    --------
    >>> *_, found = run(networks=2, size=10, epochs=1, steps=20, transient=5)
    >>> found.exponents.shape
    torch.Size([2, 2, 2])
    """
    checks.count("networks", networks, low=2)
    checks.count("size", size, low=2)
    checks.count("epochs", epochs)
    checks.count("steps", steps, low=2)
    checks.count("transient", transient)
    checks.count("seed", seed, low=0)
    checks.positive("gain", gain)
    rules = [HebbianForgetting(forgetting, alpha, activity) for alpha in (rate, 0.0)]
    i = torch.arange(1, size + 1, dtype=torch.float64) / size
    pattern = 0.01 * torch.sin(2 * math.pi * i) * torch.cos(8 * math.pi * i)
    novel = pattern[torch.from_numpy(np.random.default_rng(seed).permutation(size))]
    draws = [np.random.default_rng([seed, size, k]) for k in range(networks)]
    J = torch.stack([torch.from_numpy(d.standard_normal((size, size))) for d in draws])
    u = torch.stack([torch.from_numpy(d.random(size)) for d in draws]).repeat(2, 1)
    f = Networks((J / size**0.5).repeat(2, 1, 1), gain=gain, transfer="tanh01")
    rows: list[Tensor] = []
    for epoch in range(epochs + 1):
        if epoch:
            u = _learn(f, rules, u, pattern, steps, transient)
        rows.append(_look(f, u, pattern, novel, steps, transient))
        seen = torch.stack(rows, 1).unflatten(-1, (2, networks)).movedim(-2, 1)
        yield HebbianEdgeOfChaos(
            epoch=torch.arange(epoch + 1),
            exponents=seen[0],
            sensitivity=seen[1],
            novel=seen[2],
            slope=seen[3],
            planned=epochs,
        )


def _learn(
    f: Networks, rules: list[HebbianForgetting], u: Tensor, x: Tensor, steps: int, transient: int
) -> Tensor:
    """Make one epoch, change the couplings, and return the states after it."""
    with observing(f, u):
        rates = f.rate(torch.cat([u.unsqueeze(0), orbit := rollout(f, u, transient + steps, x=x)]))
        pre, post = rates[transient:-1], rates[transient + 1 :]
        for r in range(len(u)):
            f.J[r] += rules[2 * r // len(u)](f.J[r], pre[:, r], post[:, r])
    return orbit[-1]


def _look(f: Networks, u: Tensor, x: Tensor, novel: Tensor, steps: int, transient: int) -> Tensor:
    """Return exponent, sensitivity, sensitivity to the novel pattern and slope, each (2 R,)."""
    exponent = max_lyapunov(f, u, steps, transient=transient, x=x).exponents[..., 0]
    with observing(f, u):
        slopes = [
            f.slope(rollout(f, u, transient + steps, x=drive)[transient:])
            for drive in (x, novel, torch.zeros_like(x))
        ]
    learned, other = (compare_slopes(each, slopes[2]).relative for each in slopes[:2])
    return torch.stack([exponent, learned, other, slopes[0].mean((0, 2))])


def _paired(pair: Tensor) -> tuple[float, float]:
    """Return mean and standard error of the first minus the second of a pair (2, R)."""
    difference = pair[0] - pair[1]
    return float(difference.mean()), float(difference.std() / len(difference) ** 0.5)


def _cell(values: Tensor) -> str:
    return f"{float(values.mean()):.4f} ± {float(values.std() / len(values) ** 0.5):.4f}"


_LOOKS: tuple[tuple[str, str, str, str], ...] = (
    ("learning", DARK, "o", "-"),
    ("forgetting only", MIDDLE, "s", "--"),
)


@plot.register(HebbianEdgeOfChaos)
@style()
def _(result: HebbianEdgeOfChaos, ax: Any = None) -> Any:
    ax = on(ax)
    for i, (label, colour, marker, dash) in enumerate(_LOOKS):
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dash}
        values = result.exponents[i]
        beside = result.epoch + 0.16 * (i - 0.5)  # one bar would hide the other
        ax.errorbar(beside, values.mean(-1), values.std(-1), label=f"{label} ± sd", **look)
    ax.axhline(0, label="edge of chaos", **THEORY)
    name_axes(ax, "epoch", "largest Lyapunov exponent (nats / step)", whole=True)
    return finish(ax, f"{result.exponents.shape[-1]} networks learn a pattern", result.exponents)


def _draw_sensitivity(result: HebbianEdgeOfChaos, ax: Any) -> None:
    for i, (label, colour, marker, dash) in enumerate(_LOOKS):
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dash}
        values = result.sensitivity[i]
        error = values.std(-1) / values.shape[-1] ** 0.5
        at = result.exponents[i].mean(-1)
        ax.errorbar(at, values.mean(-1), error, label=f"{label} ± s.e.", **look)
    look = {"color": DARK, "marker": "o", "markerfacecolor": "white", "linestyle": ":"}
    novel = result.exponents[0].mean(-1), result.novel[0].mean(-1)
    ax.plot(*novel, label="learning, novel pattern", **look)
    ax.axvspan(-EDGE, EDGE, color="0.92", zorder=0, label=f"within {EDGE} of the edge")
    ax.axvline(0, **THEORY)
    ax.invert_xaxis()
    name_axes(ax, "mean exponent (nats / step), epochs to the right", "relative sensitivity")
    finish(ax, "Sensitivity to the pattern", result.sensitivity)
