r"""How error and cost of a learned potential grow with the number of neurons.

.. math:: du = (-u + J f(u))\,dt + \sqrt{2D}\,dW, \qquad J_{ij} \sim N(0, g^2 / N)

once linear, f(u) = u with g = 0.5, and once with f = tanh and g = 1.5, beyond the onset of chaos.
A potential is fitted to M states of the steady state and judged at M others.  First the quadratic
with the least EPR loss (`NeuralPotential.start`), then the network upon it, by Adam.

The entropy production is known: for linear networks from the Lyapunov equation, for the others from

.. math:: \dot e = \langle F \cdot D^{-1} F + \nabla \cdot F \rangle,

which needs no potential, averaged over the test states.  The EPR loss comes out low on the states
of training and high on those of the test; how far they are apart is the price of too few states: a
quadratic has N(N + 1)/2 numbers.  Of linear networks V itself is known, too.

The cost is the CPU time of one gradient step, median of all, beside one pass forward and back of
the potential alone on the same batch.

The default takes N = 16, 64 and 256 in about a minute; the full setting is
``sizes: [16, 64, 256, 512], samples: 65536, steps: 4000``.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings import gaussian
from sntorch.flows import Flow
from sntorch.landscape import NeuralPotential, epr_loss, linear_flow
from sntorch.landscape.velocity import divergence
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, GREY, MIDDLE, finish, logarithmic, on
from sntorch.streams import seeded
from sntorch.studies.study import Study
from sntorch.systems import AmariWilsonCowan, OrnsteinUhlenbeck
from sntorch.training.lowering import lower
from sntorch.training.walkers import Walkers

__all__ = ["KINDS", "PotentialDimension", "run"]

KINDS = ("linear", "tanh")
_GAIN = {"linear": 0.5, "tanh": 1.5}
_DIFFUSION = {"linear": 1.0, "tanh": 0.2}
_DT, _BURN_IN = 0.02, 20.0  # of the walkers of nonlinear networks
_TIMES, _APART = 16, 1.0  # how often, and how far apart in time, a walker is looked at
_SMALLEST = 0.01  # percent, below which errors are drawn as one
_PART = 4096  # states that are looked at at once


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
    seconds: Tensor
    """(R,), the same of all gradient steps together."""
    samples: int
    """M."""
    steps: int
    """Gradient steps."""
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
            f"{'seconds':>9}"
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
                f"{ratio:8.1f}{float(self.seconds[i]):9.1f}"
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


def run(
    *,
    sizes: Sequence[int] = (16, 64, 256),
    kinds: Sequence[str] = KINDS,
    samples: int = 8192,
    steps: int = 200,
    batch: int = 1024,
    hidden: Sequence[int] = (128,),
    lr: float = 2e-3,
    seed: int = 0,
) -> Iterator[PotentialDimension]:
    """Yield the study with one fit more each time.

    Parameters
    ----------
    sizes
        Numbers of neurons.
    kinds
        Of networks: ``linear``, ``tanh``.
    samples
        M, states of training, and as many of the test; a multiple of 16, as often as a walker of a
        nonlinear network is looked at.
    steps, batch, lr
        Gradient steps, states of each, and Adam's rate, which falls to 0 like a cosine.
    hidden
        Widths of the network.
    seed
        Of couplings, states and weights.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052.

    Examples
    --------
    >>> *_, found = run(sizes=[8], kinds=["linear"], samples=4096, steps=5)
    >>> bool(found.excess.abs().max() < 0.1)
    True
    """
    if not sizes or not kinds:
        raise ValueError("sizes, kinds: expected at least one of each, got none")
    for n in sizes:
        checks.count("sizes", n, low=2)
    for kind in kinds:
        checks.one_of("kinds", kind, KINDS)
    checks.count("samples", samples, low=max(16 * _TIMES, max(sizes) + 2))
    if samples % _TIMES:
        raise ValueError(f"samples: expected a multiple of {_TIMES}, got {samples}")
    checks.count("steps", steps)
    checks.count("batch", batch, high=samples)
    checks.positive("lr", lr)
    checks.count("seed", seed, low=0, high=999)
    plan = [(kind, n) for kind in kinds for n in sizes]
    rows: dict[str, list[Any]] = {}
    for i, (kind, n) in enumerate(plan):
        stream = seeded(seed)
        flow, exact, states, truth = _network(kind, n, samples, stream)
        V = NeuralPotential(n, hidden, generator=stream).start(flow, states[0])
        row: dict[str, Any] = {"start": _losses(flow, V, states)}
        before = _error(V, truth, states[1], flow)
        row |= _trained(flow, V, states[0], steps, batch, lr, stream)
        row |= {"learned": _losses(flow, V, states), "sizes": torch.tensor(n)}
        row["error"] = torch.stack([before, _error(V, truth, states[1], flow)])
        row |= exact
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
        yield PotentialDimension(
            kinds=tuple(kind for kind, _ in plan[: i + 1]),
            **{name: torch.stack(each) for name, each in rows.items()},
            samples=samples,
            steps=steps,
            batch=batch,
            planned=len(plan),
        )


def _network(
    kind: str, n: int, samples: int, stream: torch.Generator
) -> tuple[Flow, dict[str, Tensor], Tensor, Any]:
    """Return a flow, its entropy production, states (2, M, N), and V if it is known."""
    J = gaussian(n, std=_GAIN[kind], generator=stream, dtype=torch.float64)
    D = _DIFFUSION[kind]
    if kind == "linear":
        A = J - torch.eye(n, dtype=torch.float64)
        steady = linear_flow(A, D)
        z = torch.randn(2, samples, n, generator=stream, dtype=torch.float64)
        states = (z @ torch.linalg.cholesky(steady.covariance).T).float()
        K = (D * torch.linalg.inv(steady.covariance)).float()
        exact = {"exact": steady.entropy_production, "exact_stderr": torch.tensor(0.0).double()}
        flow = OrnsteinUhlenbeck(A.float(), diffusion=D)
        return flow, exact, states, lambda u: (u @ K * u).sum(-1) / 2
    flow = AmariWilsonCowan(J.float(), diffusion=D, trainable=())
    begin = torch.randn(2 * samples // _TIMES, n, generator=stream)
    walkers = Walkers(flow, begin, dt=_DT)
    walkers.advance(round(_BURN_IN / _DT))
    seen = []
    for _ in range(_TIMES):
        walkers.advance(round(_APART / _DT))
        seen.append(walkers.states)
    halves = torch.stack(seen).chunk(2, 1)  # other walkers for the test
    value, error = _known(flow, halves[1], D, stream)
    states = torch.stack([half.reshape(-1, n) for half in halves])
    return flow, {"exact": value, "exact_stderr": error}, states, None


def _known(flow: Flow, u: Tensor, D: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return <F . D^-1 F + div F> over the states u (T, M, N), and its standard error."""
    with torch.no_grad():
        found = torch.stack([
            flow.drift(part).square().sum(-1) / D
            + divergence(flow, part, probes=4, generator=stream)
            for part in u
        ]).double().mean(0)  # fmt: skip
    return found.mean(), found.std() / len(found) ** 0.5


def _losses(flow: Flow, V: NeuralPotential, states: Tensor) -> Tensor:
    """Return the EPR loss at the states of training and of the test (2,)."""
    with torch.no_grad():
        means = [[epr_loss(flow, V, part) * len(part) for part in half.split(_PART)]
                 for half in states]  # fmt: skip
    return torch.stack([torch.stack(each).double().sum() for each in means]) / states.shape[1]


def _error(V: NeuralPotential, truth: Any, u: Tensor, flow: Flow) -> Tensor:
    """Return the relative error of V () at states u, without its free constant; NaN if unknown."""
    if truth is None:
        return torch.tensor(torch.nan, dtype=torch.float64)
    with torch.no_grad():
        value, known = V.energy(u).double(), truth(u).double()
    off = (value - known) - (value - known).mean()
    return off.square().mean().sqrt() / (known - known.mean()).square().mean().sqrt()


def _trained(
    flow: Flow, V: NeuralPotential, u: Tensor, steps: int, batch: int, lr: float,
    stream: torch.Generator,
) -> dict[str, Tensor]:  # fmt: skip
    """Train V on the states u (M, N); return what a step took, and a pass of V alone."""
    took, alone = [], []
    chosen = u[:batch]

    def loss() -> Tensor:
        nonlocal chosen
        chosen = u[torch.randint(len(u), (batch,), generator=stream)]
        return epr_loss(flow, V, chosen)

    began = time.process_time()
    for i in lower(loss, V.parameters(), steps, lr):
        took.append(time.process_time() - began)
        if i % 10 == 0:  # interleaved, so that a busy machine is as busy for both
            began = time.process_time()
            torch.autograd.grad(V.energy(chosen).sum(), list(V.parameters()))
            alone.append(time.process_time() - began)
        began = time.process_time()
    all_steps = torch.tensor(took, dtype=torch.float64)
    passes = torch.tensor(alone, dtype=torch.float64)
    return {"step_seconds": all_steps.median(), "pass_seconds": passes.median(),
            "seconds": all_steps.sum()}  # fmt: skip


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
        f"M = {result.samples}, {result.steps} steps of {result.batch}"
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
