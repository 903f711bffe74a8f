r"""Memories with a direction: what asymmetric couplings do to the basins of an associative net.

.. math:: du = (-u + J \tanh(g u))\,dt + \sqrt{2D}\,dW, \qquad
          J_{ij} = \frac{1}{2N} \sum_{\mu=1}^{6} [(1 - a)\, \xi^\mu_i + a\, \xi^{\mu+1}_i]\,
          \xi^\mu_j, \quad i \ne j,

with three orthogonal patterns of +-1, followed by their negatives, as six memories in a cyclic
sequence, and asymmetry a (Hopfield 1982; Sompolinsky and Kanter 1986).  With a = 0 every memory is
a basin, all of one size, and noise switches as often one way as the other.  With a > 0 basins are
there for a while, but switches follow the sequence: flux.  Beyond, the basins are gone, and the
network goes round on a limit cycle (found without noise; noise only blurs it).

The state is said to be in the memory whose overlap m = xi . tanh(g u) / N is largest, from when it
exceeds 1/2 until another one does; a switch is forward to the next memory, backward to the one
before, or another.  The symmetric network is close to equilibrium but not in it: with additive
noise the drift of graded neurons has a curl, and its entropy production is small, not zero.

The default has N = 16 and runs in half a minute; the full setting is ``size: 64, steps: 40000``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from scipy.linalg import hadamard
from torch import Tensor

from sntorch import checks
from sntorch.couplings import hopfield
from sntorch.dynamics import rollout
from sntorch.flows import EulerMaruyama
from sntorch.landscape import (
    EntropyProduction,
    FluxField,
    entropy_production,
    find_attractors,
    flux_field,
)
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, MIDDLE, THEORY, finish, name_axes, on, plus_minus
from sntorch.results import over_rows
from sntorch.studies.ensembles import seeded
from sntorch.studies.study import Study
from sntorch.systems import AmariWilsonCowan

__all__ = ["AssociativeFlux", "network", "patterns", "run"]

_PATTERNS = (1, 2, 4)  # rows of Hadamard's matrix


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AssociativeFlux(Study):
    """Basins, switches and entropy production at A asymmetries."""

    asymmetry: Tensor
    """(A,)."""
    basins: Tensor
    """(A, 6), share of the starts that lead to each memory, without noise."""
    mixtures: Tensor
    """(A,), share of the starts that lead to other fixed points, mixtures of memories."""
    cycling: Tensor
    """(A,), share of the starts that lead to limit cycles."""
    entropy: Tensor
    """(A,), entropy production per neuron, nats per unit of time."""
    entropy_stderr: Tensor
    """(A,)."""
    switches: Tensor
    """(A, 3), per unit of time: forward, backward, others."""
    switches_stderr: Tensor
    """(A, 3), from the spread over rows."""
    fields: dict[str, FluxField]
    """Asymmetry as text: the flux in the plane of the first two patterns, first and last of all."""
    size: int
    """N."""
    diffusion: float
    """D."""
    starts: int
    """Starts that basins are measured with."""
    planned: int
    """Asymmetries that the whole study has."""

    @property
    def directedness(self) -> Tensor:
        """(forward - backward) / (forward + backward) (A,); NaN without any."""
        forward, backward = self.switches[:, 0], self.switches[:, 1]
        return (forward - backward) / (forward + backward)

    @property
    def progress(self) -> str:
        """The last asymmetry and what was found there."""
        value = plus_minus(float(self.entropy[-1]), float(self.entropy_stderr[-1]))
        forward, backward, _ = self.switches[-1].tolist()
        return (
            f"[{len(self.asymmetry)}/{self.planned}] asymmetry {float(self.asymmetry[-1]):g}: "
            f"forward {forward:.4f}, backward {backward:.4f}, entropy production {value} / neuron"
        )

    def scalars(self) -> dict[str, float]:
        """Return entropy production and directedness at every asymmetry."""
        found: dict[str, float] = {}
        for i, a in enumerate(self.asymmetry.tolist()):
            found[f"entropy_production/{a:g}"] = float(self.entropy[i])
            found[f"directedness/{a:g}"] = float(self.directedness[i])
        return found

    def table(self) -> str:
        """Return basins, switches and entropy production by asymmetry."""
        lines = [
            f"{'a':>5}{'basins (6 memories)':>36}{'mixed':>7}{'cycles':>8}"
            f"{'forward':>18}{'backward':>18}{'others':>18}{'EP / neuron':>20}"
        ]
        for i, a in enumerate(self.asymmetry.tolist()):
            shares = " ".join(f"{share:.2f}" for share in self.basins[i].tolist())
            pairs = zip(self.switches[i].tolist(), self.switches_stderr[i].tolist(), strict=True)
            numbers = "".join(f"{plus_minus(*pair):>18}" for pair in pairs)
            value = plus_minus(float(self.entropy[i]), float(self.entropy_stderr[i]))
            lines.append(
                f"{a:5.2f}{shares:>36}{float(self.mixtures[i]):7.2f}"
                f"{float(self.cycling[i]):8.2f}{numbers}{value:>20}"
            )
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return flux in the plane of two patterns, first and last, and what grows between."""
        fig = figure(self, *self.fields.values(), title="Associative memory and flux")
        for ax, asymmetry in zip(fig.axes[1:], self.fields, strict=True):
            ax.set_title(f"Probability flux, a = {asymmetry}", loc="left")
        return fig


def patterns(size: int) -> Tensor:
    """Return three orthogonal patterns (3, N) of +-1, N a power of two from 8 on."""
    checks.count("size", size, low=8)
    if size & (size - 1):
        raise ValueError(f"size: expected a power of two, got {size}")
    return torch.from_numpy(hadamard(size)[list(_PATTERNS)]).double()


def network(asymmetry: float, *, size: int, gain: float, diffusion: float, dt: float) -> Any:
    """Return the network of the study as a noisy map, in float64."""
    xi = patterns(size)
    J = hopfield(torch.cat([xi, -xi]), asymmetry=asymmetry) / 2
    flow = AmariWilsonCowan(J, gain=gain, diffusion=diffusion, trainable=())
    return EulerMaruyama(flow, dt)


def run(
    *,
    asymmetries: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    size: int = 16,
    gain: float = 2.0,
    diffusion: float = 0.1,
    dt: float = 0.1,
    rows: int = 64,
    steps: int = 3000,
    transient: int = 300,
    seed: int = 0,
) -> Iterator[AssociativeFlux]:
    """Yield the study with one asymmetry more each time.

    Parameters
    ----------
    asymmetries
        Weights a of the sequence, from 0 to 1, ascending.
    size
        N, a power of two.
    gain, diffusion, dt
        g, D, and the time of a step.
    rows, steps, transient
        Walkers, steps measured, and steps before them; basins have as many starts as walkers.
    seed
        Of starts and noise.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185; H. Sompolinsky, I. Kanter, Phys. Rev. Lett. 57 (1986)
    2861.

    Examples
    --------
    >>> *_, found = run(asymmetries=[0.2], rows=16, steps=400)
    >>> bool(found.switches[0, 0] > found.switches[0, 1])  # forward more than backward
    True
    """
    values = [checks.number("asymmetries", a, low=0, high=1) for a in asymmetries]
    if not values or any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError(f"asymmetries: expected at least one, ascending, got {values}")
    settings = {"size": size, "gain": checks.positive("gain", gain)}
    settings |= {"diffusion": checks.positive("diffusion", diffusion)}
    settings |= {"dt": checks.positive("dt", dt)}
    checks.count("rows", rows, low=8)
    checks.count("steps", steps, low=20)
    checks.count("transient", transient, low=1)
    checks.count("seed", seed, low=0)
    xi = patterns(size)
    found: dict[str, list[Any]] = {}
    fields: dict[str, FluxField] = {}
    for i, a in enumerate(values):
        f = network(a, **settings)
        stream = seeded(seed)
        u = torch.randn(rows, size, generator=stream, dtype=torch.float64)
        for name, value in _basins(f, u, xi).items():
            found.setdefault(name, []).append(value)
        u = rollout(f, u, transient, generator=stream, every=transient)[-1]
        orbit = rollout(f, u, steps, generator=stream)
        for name, value in _measured(f, orbit, xi, gain).items():
            found.setdefault(name, []).append(value)
        if i in (0, len(values) - 1):
            fields[f"{a:g}"] = flux_field(orbit, xi[:2] / size**0.5, dt=dt)
        yield AssociativeFlux(
            asymmetry=torch.tensor(values[: i + 1], dtype=torch.float64),
            **{name: torch.stack(each) for name, each in found.items()},
            fields=dict(fields),
            size=size,
            diffusion=diffusion,
            starts=rows,
            planned=len(values),
        )


def _basins(f: EulerMaruyama, u: Tensor, xi: Tensor) -> dict[str, Tensor]:
    """Return which share of starts each memory attracts without noise, and cycles."""
    found = find_attractors(f.flow, u, settle=60.0, dt=0.1, points=60)
    shares = torch.zeros(8, dtype=torch.float64)  # of six memories, mixtures, cycles
    for attractor, share in zip(found.found, found.shares, strict=True):
        overlap = attractor.states[0] @ xi.T
        sizes, order = overlap.abs().sort(descending=True)
        kind = int(order[0]) + (3 if overlap[order[0]] < 0 else 0)
        if attractor.period:
            kind = 7
        elif sizes[1] > 0.8 * sizes[0]:
            kind = 6
        shares[kind] += share
    return {"basins": shares[:6], "mixtures": shares[6], "cycling": shares[7]}


def _measured(f: EulerMaruyama, orbit: Tensor, xi: Tensor, gain: float) -> dict[str, Tensor]:
    """Return entropy production and switching rates of an orbit (T, R, N)."""
    produced: EntropyProduction = entropy_production(f, orbit)
    entropy, error = over_rows(produced.per_neuron, produced.stderr / produced.size)
    memory = _memories(torch.tanh(gain * orbit) @ xi.T / len(orbit[0, 0]))
    before, after = memory[:-1], memory[1:]
    switched = (before != after) & (before >= 0)
    forward = switched & ((after - before) % 6 == 1)
    backward = switched & ((before - after) % 6 == 1)
    kinds = torch.stack([forward, backward, switched & ~forward & ~backward], -1)
    rates = kinds.double().mean(0) / f.dt
    return {
        "entropy": entropy,
        "entropy_stderr": error,
        "switches": rates.mean(0),
        "switches_stderr": rates.std(0) / len(rates) ** 0.5,
    }


def _memories(m: Tensor) -> Tensor:
    """Return the memory (T, R) from overlaps (T, R, 3): 0, 1, 2, and 3, 4, 5 for negatives."""
    size, best = m.abs().max(-1)
    sign = torch.gather(m, -1, best.unsqueeze(-1)).squeeze(-1) < 0
    now = torch.where(size > 0.5, best + 3 * sign, -1)
    kept = [now[0]]
    for row in now[1:]:
        kept.append(torch.where(row >= 0, row, kept[-1]))
    return torch.stack(kept)


@plot.register(AssociativeFlux)
@style()
def _(result: AssociativeFlux, ax: Any = None) -> Any:
    ax = on(ax)
    a, rates, errors = result.asymmetry, result.switches, result.switches_stderr
    looks = ((0, "o", DARK, "forward"), (1, "s", MIDDLE, "backward"))
    for kind, marker, colour, label in looks:
        look = {"color": colour, "marker": marker, "elinewidth": 0.9}
        ax.errorbar(a, rates[:, kind], errors[:, kind], label=f"{label} ± s.e.", **look)
    look = {"color": "#888888", "marker": "^", "elinewidth": 0.9}
    label = "entropy production / neuron"
    ax.errorbar(a, result.entropy, result.entropy_stderr, label=label, **look)
    ax.axhline(0, **THEORY)
    name_axes(ax, "asymmetry a", "rates and nats (per unit of time)")
    note = f"N = {result.size}, D = {result.diffusion:g}"
    return finish(ax, "Switching among memories", result.entropy, note)
