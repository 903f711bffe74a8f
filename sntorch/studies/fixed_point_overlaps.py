r"""Four "overlaps of fixed points", side by side: which measure is meant decides the number.

For dx/dt = -x + g J tanh(x), q = |tanh x|^2 / N of

1. the canonical measure of the speed potential as T vanishes: fixed points weighed by 1 / |det|;
2. typical fixed points: all with equal weights (Kac and Rice);
3. the chaotic attractor, no fixed points at all, where the network is;
4. what descent finds: gradient descent of the speed from states on the attractor, down to slow
   points and, rarely, fixed points; no theory is known, here it is measured.

Points 1 to 3 are theory; 3 is also measured on the networks of 4.  A fixed-point finder must not be
tested against 1 or 2: its starts decide what it finds.

The default setting takes about a minute; the full one is ``size: 500, networks: 10, starts: 100``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings import gaussian
from sntorch.dynamics import rollout
from sntorch.flows import RungeKutta4
from sntorch.landscape import SpeedPotential, anneal
from sntorch.meanfield import chaotic_attractor, typical_fixed_points, zero_temperature
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, LIGHT, MIDDLE, finish, name_axes, on
from sntorch.studies.ensembles import draw_measured, seeded
from sntorch.studies.study import Study
from sntorch.systems import AmariWilsonCowan

__all__ = ["FixedPointOverlaps", "run"]

_DT = 0.1


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FixedPointOverlaps(Study):
    """Overlaps at G gains, so far: three of theory, two measured."""

    gains: Tensor
    """(G,)."""
    canonical: Tensor
    """(G,), canonical measure of the speed potential, T -> 0."""
    typical: Tensor
    """(G,), all fixed points with equal weights."""
    attractor: Tensor
    """(G,), chaotic attractor, theory."""
    visited: Tensor
    """(G, 2), attractor of finite networks: mean and standard error over networks."""
    descended: Tensor
    """(G, 2), ends of descent from there: mean and standard error over networks."""
    energy: Tensor
    """(G,), E / N at the ends of descent: zero would be fixed points."""
    size: int
    """Neurons of each network."""
    planned: int
    """Gains that the whole study has."""

    @property
    def progress(self) -> str:
        """The last gain and its overlaps."""
        count = f"[{len(self.gains)}/{self.planned}] gain {float(self.gains[-1]):g}"
        return f"{count}: canonical {self.canonical[-1]:.3f}, descent {self.descended[-1, 0]:.3f}"

    def scalars(self) -> dict[str, float]:
        """Return the four overlaps at every gain."""
        found: dict[str, float] = {}
        for g, gain in enumerate(self.gains.tolist()):
            found[f"canonical/{gain:g}"] = float(self.canonical[g])
            found[f"typical/{gain:g}"] = float(self.typical[g])
            found[f"attractor/{gain:g}"] = float(self.attractor[g])
            found[f"descended/{gain:g}"] = float(self.descended[g, 0])
        return found

    def table(self) -> str:
        """Return the overlaps by gain."""
        lines = [
            f"{'gain':>6}{'canonical':>11}{'typical':>9}{'attractor':>11}"
            f"{'attractor, measured':>22}{'descent, measured':>20}{'E/N':>10}"
        ]
        for g, gain in enumerate(self.gains.tolist()):
            visited, descended = (
                f"{m:.4f} ± {e:.4f}"
                for m, e in (self.visited[g].tolist(), self.descended[g].tolist())
            )
            lines.append(
                f"{gain:6.3g}{float(self.canonical[g]):11.4f}{float(self.typical[g]):9.4f}"
                f"{float(self.attractor[g]):11.4f}{visited:>22}{descended:>20}"
                f"{float(self.energy[g]):10.2e}"
            )
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the overlaps against the gain."""
        return figure(self, title="Four overlaps of fixed points")


def run(
    *,
    gains: Sequence[float] = (1.1, 1.3, 1.5, 1.8, 2.2),
    size: int = 150,
    networks: int = 4,
    starts: int = 24,
    time: float = 60.0,
    descent: int = 500,
    seed: int = 0,
) -> Iterator[FixedPointOverlaps]:
    """Yield the study with one gain more each time.

    Parameters
    ----------
    gains
        g > 1, ascending, in the order in which they are simulated.
    size, networks
        Neurons of each network, and networks per gain, at least 2.
    starts
        Descents in each network, from independent states of the attractor.
    time
        Units of time in which the network reaches its attractor.
    descent
        Steps of descent at most.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    J. Qiu, H. Huang, Commun. Theor. Phys. 77 (2025) 035601; H. Sompolinsky, A. Crisanti, H.-J.
    Sommers, Phys. Rev. Lett. 61 (1988) 259; G. Wainrib, J. Touboul, Phys. Rev. Lett. 110 (2013)
    118101.

    Examples
    --------
    >>> *_, found = run(gains=[1.5, 2.0], size=20, networks=2, starts=2, time=5, descent=20)
    >>> [f"{q:.4f}" for q in found.typical.tolist()]
    ['0.2542', '0.3849']
    """
    gs = [checks.number("gains", g, low=1) for g in gains]
    if not gs or sorted(set(gs)) != gs:
        raise ValueError(f"gains: expected some, ascending, got {list(gains)}")
    checks.count("size", size, low=2)
    checks.count("networks", networks, low=2)
    checks.count("starts", starts)
    steps = max(1, round(checks.positive("time", time) / _DT))
    streams = seeded(seed)
    found: list[Tensor] = []
    for g in gs:
        each = [_one(size, g, starts, steps, descent, streams) for _ in range(networks)]
        found.append(torch.stack(each).T)
        so_far, values = torch.tensor(gs[: len(found)]).double(), torch.stack(found)
        both = torch.stack([values.mean(-1), values.std(-1) / networks**0.5], -1)
        yield FixedPointOverlaps(
            gains=so_far,
            canonical=zero_temperature(gain=so_far).overlap,
            typical=typical_fixed_points(gain=so_far).overlap,
            attractor=chaotic_attractor(gain=so_far).overlap,
            visited=both[:, 0],
            descended=both[:, 1],
            energy=both[:, 2, 0],
            size=size,
            planned=len(gs),
        )


def _one(
    size: int, g: float, starts: int, steps: int, descent: int, streams: torch.Generator
) -> Tensor:
    """Return overlaps on the attractor and after descent, and E / N there (3,), of one network."""
    J = g * gaussian(size, generator=streams, dtype=torch.float64)
    flow = AmariWilsonCowan(J, trainable=())
    u = torch.randn(starts, size, generator=streams, dtype=torch.float64)
    u = rollout(RungeKutta4(flow, dt=_DT), u, steps, every=steps)[-1]
    # Cold from the first step: this is descent.
    cold = {"temperature": 1e-12, "final": 1e-12, "descent": descent}
    ends = anneal(SpeedPotential(flow), u, 50, generator=streams, **cold)
    overlaps = [torch.tanh(x).square().mean() for x in (u, ends.states)]
    return torch.stack([*overlaps, ends.energy.mean() / size])


@plot.register(FixedPointOverlaps)
@style()
def _(result: FixedPointOverlaps, ax: Any = None) -> Any:
    ax = on(ax)
    fine = torch.linspace(1, float(result.gains[-1]), 80).double()
    curves = (
        ("canonical, T → 0", zero_temperature, DARK, "-"),
        ("typical (Kac-Rice)", typical_fixed_points, MIDDLE, "--"),
        ("attractor, mean field", chaotic_attractor, LIGHT, "-."),
    )
    for label, ask, colour, line in curves:
        ax.plot(fine, ask(gain=fine).overlap, line, color=colour, label=label)
    for i, (label, values) in enumerate(
        (("attractor, measured", result.visited), ("descent, measured", result.descended))
    ):
        at = result.gains + (i - 0.5) * 0.02 * (result.gains[-1] - 1)  # side by side
        draw_measured(ax, at, values[:, 0], values[:, 1], i, f"{label} ± s.e.")
    name_axes(ax, "gain g", "overlap |tanh x|²/N")
    return finish(ax, f"Which fixed points? N = {result.size}", result.canonical)
