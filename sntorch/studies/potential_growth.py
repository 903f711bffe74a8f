"""The record of the study of learned potentials against the number of neurons, and its pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, GREY, MIDDLE, finish, logarithmic, on
from sntorch.studies.study import Study

__all__ = ["PotentialDimension"]

_SMALLEST = 0.01  # percent, below which errors are drawn as one


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PotentialDimension(Study):
    """Entropy production, errors and cost of R fits, by kind of network and size."""

    kinds: tuple[str, ...]
    """(R,), ``linear`` or ``tanh``."""
    sizes: Tensor
    """(R,), N."""
    exact: Tensor
    """(R,), entropy production, nats per unit of time."""
    exact_stderr: Tensor
    """(R,), 0 for linear networks."""
    start: Tensor
    """(R, 2), EPR loss of the best quadratic on the states of training and of the test."""
    learned: Tensor
    """(R, 2), the same of the network upon it."""
    error: Tensor
    """(R, 2), relative rms error of V at the test states, before and after; NaN for tanh."""
    step_seconds: Tensor
    """(R,), CPU time of one gradient step of the EPR loss."""
    pass_seconds: Tensor
    """(R,), the same of one pass forward and back of the potential alone."""
    taken: Tensor
    """(R,), gradient steps until the best had passed."""
    seconds: Tensor
    """(R,), the same of all gradient steps together."""
    samples: int
    """M."""
    steps: int
    """Gradient steps at most."""
    batch: int
    """States of one."""
    planned: int
    """Fits of the whole study."""

    @property
    def excess(self) -> Tensor:
        """What the learned potential gives over the exact value, less 1 (R, 2): train and test."""
        return self.learned / self.exact[:, None] - 1

    @property
    def start_excess(self) -> Tensor:
        """The same of the quadratic (R, 2)."""
        return self.start / self.exact[:, None] - 1

    @property
    def progress(self) -> str:
        """The last fit."""
        low, high = (100 * self.excess[-1]).tolist()
        return (
            f"[{len(self.sizes)}/{self.planned}] {self.kinds[-1]}, N = {int(self.sizes[-1])}: "
            f"entropy production {low:+.1f} % (train), {high:+.1f} % (test), "
            f"{1e3 * float(self.step_seconds[-1]):.2g} ms per step"
        )

    def scalars(self) -> dict[str, float]:
        """Return bracket, error of V and cost of every fit."""
        found: dict[str, float] = {}
        for i, (kind, n) in enumerate(zip(self.kinds, self.sizes.tolist(), strict=True)):
            found[f"{kind}/{n}/train"] = float(self.excess[i, 0])
            found[f"{kind}/{n}/test"] = float(self.excess[i, 1])
            found[f"{kind}/{n}/step_seconds"] = float(self.step_seconds[i])
            if kind == "linear":
                found[f"{kind}/{n}/error"] = float(self.error[i, 1])
        return found

    def table(self) -> str:
        """Return the fits, one in a line; percentages are of the exact entropy production."""
        lines = [
            f"{'network':>8}{'N':>5}{'exact / N':>19}{'quadratic: train, test':>25}"
            f"{'learned: train, test':>23}{'error of V':>18}{'ms / step':>11}{'/ pass':>8}"
            f"{'steps':>7}{'seconds':>9}"
        ]
        for i, kind in enumerate(self.kinds):
            n = int(self.sizes[i])
            exact = f"{float(self.exact[i]) / n:.5f} ± {float(self.exact_stderr[i]) / n:.5f}"
            before, after = ("{:+.2f} %, {:+.2f} %".format(*(100 * row[i]).tolist())
                             for row in (self.start_excess, self.excess))  # fmt: skip
            error = "{:.4f} -> {:.4f}".format(*self.error[i].tolist())
            ratio = float(self.step_seconds[i] / self.pass_seconds[i])
            lines.append(
                f"{kind:>8}{n:5}{exact:>19}{before:>25}{after:>23}"
                f"{error if kind == 'linear' else '':>18}{1e3 * float(self.step_seconds[i]):11.2f}"
                f"{ratio:8.1f}{int(self.taken[i]):7}{float(self.seconds[i]):9.1f}"
            )
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return errors and cost against N."""
        fig = figure(self, title="Learned potentials of many neurons")
        with style():
            fig.set_size_inches(9.2, 3.8)
            fig.axes[0].set_subplotspec(fig.add_gridspec(1, 2)[0])
            _draw_cost(self, fig.add_subplot(1, 2, 2))
        return fig


@plot.register(PotentialDimension)
@style()
def _(result: PotentialDimension, ax: Any = None) -> Any:
    """Draw how far the entropy production is off, against N: its size, filled where too high."""
    ax = on(ax)
    known = (result.excess.abs().amin(), result.start_excess.abs().amin())
    floor = max(100 * float(min(known)), _SMALLEST) / 2
    for kind, colour, marker in (("linear", DARK, "o"), ("tanh", MIDDLE, "s")):
        rows = [i for i, each in enumerate(result.kinds) if each == kind]
        if not rows:
            continue
        n = result.sizes[rows]
        for side, name in ((0, "train"), (1, "test")):
            off = 100 * result.excess[rows, side]
            size, high = off.abs().clamp(min=floor), off > 0
            look: dict[str, Any] = {"color": colour, "linestyle": "-" if side else ":"}
            ax.plot(
                n, size, marker=marker, markerfacecolor="white", label=f"{kind}, {name}", **look
            )
            ax.plot(n[high], size[high], marker, color=colour)
            start = (100 * result.start_excess[rows, side]).abs().clamp(min=floor)
            ax.plot(n, start, "_", color=colour, markersize=9)
    logarithmic(ax)
    ax.set_xscale("log", base=2)
    ax.set(xlabel="neurons N", ylabel="error of entropy production (%)")
    note = (
        f"filled: too high, open: too low; dash: best quadratic\n"
        f"M = {result.samples}, at most {result.steps} steps of {result.batch}"
    )
    return finish(ax, "Entropy production from the EPR loss", result.excess, note)


def _draw_cost(result: PotentialDimension, ax: Any) -> None:
    kind = result.kinds[0]
    rows = [i for i, each in enumerate(result.kinds) if each == kind]
    n = result.sizes[rows]
    for values, marker, colour, label in (
        (result.step_seconds, "o", DARK, "gradient step of the EPR loss"),
        (result.pass_seconds, "^", GREY, "pass of V, forward and back"),
    ):
        ax.plot(n, 1e3 * values[rows], marker + "-", color=colour, label=label)
    logarithmic(ax)
    ax.set_xscale("log", base=2)
    ax.set(xlabel="neurons N", ylabel="CPU time (ms)")
    finish(ax, "Cost", result.step_seconds, f"{kind} networks, batch {result.batch}")
