r"""Associative memory: how many patterns a network recalls, with and without asymmetric couplings.

.. math:: u(t+1) = J \tanh(g\,u(t)), \qquad J_{ij} = \frac1N \sum_\mu
          [(1 - a)\,\xi^\mu_i + a\,\xi^{\mu+1}_i]\,\xi^\mu_j \quad (i \ne j)

P = alpha N random patterns of +-1 are stored; each is shown with some bits wrong, and the network
runs.  It has recalled the pattern if the overlap m = <xi_i x_i> is near 1 at the end.  Without
asymmetry a (Hopfield 1982) the overlap of retrieval states is known for large N and steep neurons
(Amit, Gutfreund and Sompolinsky 1985; the replica-symmetric solution at zero temperature):

.. math:: \mathrm{erf}(y) = y \left( \sqrt{2 \alpha} + \frac{2}{\sqrt\pi} e^{-y^2} \right),
          \qquad m = \mathrm{erf}(y),

which has a solution with y > 0 up to the capacity alpha_c = 0.1379; beyond, memory is lost at once.
Asymmetry adds a force towards the next pattern (Sompolinsky and Kanter 1986): it lowers the
capacity, and where memory fails the network need not come to rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings import hopfield
from sntorch.dynamics import rollout
from sntorch.observing import observing
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import finish, name_axes, on
from sntorch.studies.ensembles import draw_measured, draw_theory
from sntorch.studies.study import Study

__all__ = ["AssociativeMemory", "retrieval", "run"]

RECALLED = 0.9
"""Overlap from which on a pattern counts as recalled."""

_REST = 1e-3  # rates that move less in a step are at rest


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AssociativeMemory(Study):
    """Recall at L loads and A asymmetries so far, means over M networks and all their patterns."""

    loads: Tensor
    """(L,), alpha = P / N."""
    asymmetries: Tensor
    """(A,)."""
    overlap: Tensor
    """(A, L), mean overlap with the pattern that was shown."""
    stderr: Tensor
    """(A, L), from the spread over networks."""
    recalled: Tensor
    """(A, L), share of patterns recalled."""
    resting: Tensor
    """(A, L), share of runs that came to rest."""
    size: int
    """N."""
    planned: int
    """Asymmetries that the whole study has."""

    @property
    def capacity(self) -> Tensor:
        """(A,), load at which half of the patterns are recalled; NaN if that is not seen."""
        return torch.stack([_crossing(self.loads, share) for share in self.recalled])

    @property
    def progress(self) -> str:
        """The last asymmetry and its capacity."""
        a, limit = float(self.asymmetries[-1]), float(self.capacity[-1])
        count = f"[{len(self.asymmetries)}/{self.planned}]"
        return f"{count} asymmetry {a:g}: half of the patterns are recalled at load {limit:.3f}"

    def scalars(self) -> dict[str, float]:
        """Return the capacity of every asymmetry."""
        names = (f"capacity/{a:g}" for a in self.asymmetries.tolist())
        return dict(zip(names, self.capacity.tolist(), strict=True))

    def table(self) -> str:
        """Return overlap, share recalled and share at rest, by load."""
        each = "".join(f"{f'a = {a:g}':>18}{'recalled':>10}{'at rest':>9}"
                       for a in self.asymmetries.tolist())  # fmt: skip
        lines = [f"{'load':>6}{'theory a = 0':>14}{each}"]
        for i, load in enumerate(self.loads.tolist()):
            numbers = "".join(
                f"{f'{self.overlap[a, i]:.4f} ± {self.stderr[a, i]:.4f}':>18}"
                f"{float(self.recalled[a, i]):10.3f}{float(self.resting[a, i]):9.3f}"
                for a in range(len(self.asymmetries))
            )
            lines.append(f"{load:6.3f}{retrieval(load):14.4f}{numbers}")
        half = "".join(f"{limit:28.4f}{'':9}" for limit in self.capacity.tolist())
        return "\n".join([*lines, f"{'half':>6}{capacity():14.4f}{half}"])

    def picture(self) -> Any:
        """Return the overlap against the load, with the line of theory."""
        return figure(self, title="Associative memory")


def run(
    *,
    loads: Sequence[float] = (0.02, 0.05, 0.08, 0.1, 0.12, 0.13, 0.14, 0.15, 0.17, 0.2),
    asymmetries: Sequence[float] = (0.0, 0.1, 0.2),
    size: int = 400,
    networks: int = 3,
    wrong: float = 0.1,
    steps: int = 60,
    gain: float = 20.0,
    seed: int = 0,
) -> Iterator[AssociativeMemory]:
    """Yield the study with one asymmetry more each time.

    The full setting is ``size=2000``, where the loss of memory is sharper.

    Parameters
    ----------
    loads
        Patterns per neuron, > 0, ascending, two at least.
    asymmetries
        Weights a of the next pattern, in [0, 1].
    size, networks
        Neurons, and networks per point, at least 2.
    wrong
        Share of the bits of a cue that are wrong, in [0, 1/2].
    steps
        Steps from the cue to the answer.
    gain
        g; large is steep.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    J. J. Hopfield, PNAS 79 (1982) 2554.
    D. J. Amit, H. Gutfreund, H. Sompolinsky, Phys. Rev. Lett. 55 (1985) 1530.
    H. Sompolinsky, I. Kanter, Phys. Rev. Lett. 57 (1986) 2861.

    Examples
    --------
    >>> *_, found = run(loads=[0.02, 0.04], asymmetries=[0.0], size=50, networks=2)
    >>> found.recalled
    tensor([[1., 1.]], dtype=torch.float64)
    """
    shares = torch.tensor([checks.positive("loads", load) for load in loads]).double()
    if len(shares) < 2 or bool((shares.diff() <= 0).any()):
        raise ValueError(f"loads: expected two or more, ascending, got {list(loads)}")
    weights = [checks.number("asymmetries", a, 0, 1) for a in asymmetries]
    if not weights:
        raise ValueError("asymmetries: expected at least one, got none")
    checks.count("size", size, low=2)
    checks.count("networks", networks, low=2)
    checks.number("wrong", wrong, 0, 0.5)
    checks.count("steps", steps, low=2)
    checks.positive("gain", gain)
    checks.count("seed", seed, low=0)
    found: list[Tensor] = []
    for a in weights:
        points = [
            [_recall(load, a, size, wrong, steps, gain, [seed, i]) for i in range(networks)]
            for load in shares.tolist()
        ]
        found.append(torch.tensor(points, dtype=torch.float64))  # (L, M, 3)
        each = torch.stack(found)
        mean = each.mean(2)
        yield AssociativeMemory(
            loads=shares,
            asymmetries=torch.tensor(weights[: len(found)], dtype=torch.float64),
            overlap=mean[..., 0],
            stderr=each[..., 0].std(2) / networks**0.5,
            recalled=mean[..., 1],
            resting=mean[..., 2],
            size=size,
            planned=len(weights),
        )


def retrieval(load: float) -> float:
    """Return the overlap of retrieval states at a load, for a = 0 and large N; NaN beyond capacity.

    Examples
    --------
    >>> round(retrieval(0.1), 4), retrieval(0.14)
    (0.998, nan)
    """
    top = _top()
    if _excess(top, load) <= 0:
        return float("nan")
    return float(erf(brentq(_excess, top, 30.0, args=(load,))))


def capacity() -> float:
    """Return the load alpha_c at which retrieval states disappear."""
    return float(_excess(_top(), 0.0)) ** 2 / 2


def _excess(y: float, load: float) -> float:
    """Return erf(y) / y - 2 exp(-y^2) / sqrt(pi) - sqrt(2 load), zero at a retrieval state."""
    return float(erf(y) / y - 2 / np.sqrt(np.pi) * np.exp(-y * y) - np.sqrt(2 * load))


def _top() -> float:
    """Return the y at which the excess is largest."""
    found: Any = minimize_scalar(
        lambda y: -_excess(y, 0.0), bounds=(0.5, 5.0), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def _recall(
    load: float, a: float, size: int, wrong: float, steps: int, gain: float, seed: list[int]
) -> tuple[float, float, float]:
    """Return mean overlap, share recalled and share at rest of one network."""
    draw = np.random.default_rng([*seed, size])
    count = max(1, round(load * size))
    patterns = torch.from_numpy(2.0 * draw.integers(0, 2, (count, size)) - 1).float()
    right = torch.from_numpy(draw.random((count, size)) >= wrong)
    cell = SNTCell(hopfield(patterns, asymmetry=a), gain=gain, trainable=())
    cue = torch.where(right, patterns, -patterns)
    with observing(cell, cue):
        last = cell.rate(rollout(cell, cue, steps)[-2:])
    overlap = (patterns * last[1]).mean(-1)
    rests = (last[1] - last[0]).abs().amax(-1) < _REST
    return tuple(float(each.float().mean()) for each in (overlap, overlap > RECALLED, rests))  # pyright: ignore[reportReturnType]


def _crossing(loads: Tensor, share: Tensor) -> Tensor:
    below = (share < 0.5).nonzero().flatten()
    if not len(below) or below[0] == 0:
        return torch.tensor(torch.nan, dtype=share.dtype)
    i = int(below[0])
    part = (share[i - 1] - 0.5) / (share[i - 1] - share[i])
    return loads[i - 1] + part * (loads[i] - loads[i - 1])


@plot.register(AssociativeMemory)
@style()
def _(result: AssociativeMemory, ax: Any = None) -> Any:
    ax = on(ax)
    for i, a in enumerate(result.asymmetries.tolist()):
        label = f"asymmetry {a:g} ± s.e."
        draw_measured(ax, result.loads, result.overlap[i], result.stderr[i], i, label)
        ax.plot(result.loads, result.overlap[i], color=str(0.05 + 0.2 * (i % 4)), linewidth=0.7)
    fine = torch.linspace(float(result.loads[0]), capacity() - 1e-6, 100, dtype=torch.float64)
    curve = torch.tensor([retrieval(load) for load in fine.tolist()], dtype=torch.float64)
    fall = torch.tensor([capacity()] * 2, dtype=torch.float64)
    theory = torch.cat([curve, torch.zeros(1).double()])
    draw_theory(ax, torch.cat([fine, fall[:1]]), theory, "theory, asymmetry 0")
    name_axes(ax, "load (patterns per neuron)", "overlap with the pattern shown")
    return finish(ax, f"Recall, N = {result.size}", result.overlap)
