r"""Order parameters at the edge of chaos: the self-overlap q of the canonical measure of the speed.

.. math:: E = \tfrac12 |x - g J \tanh x|^2, \qquad q = \tfrac1N |\tanh x|^2 \;\text{under}\;
          e^{-E/T}

As T vanishes q becomes positive at g = 1, continuously, where chaos begins.  Theory is the
replica-symmetric solution, which is closed; Langevin chains of finite networks start from planted
states, since above g = 1 they would not reach equilibrium from others in any reasonable time.  The
published order parameter Q of two replicas is zero at every gain (`meanfield.saddle_point`).

The default setting has 2 networks of at most 200 neurons and takes about a minute; the full one is
``sizes: [100, 300, 1000], networks: 8, steps: 4000``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.landscape import SpeedPotential, langevin, planted
from sntorch.meanfield import Equilibrium, equilibrium, zero_temperature
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import THEORY, finish, name_axes, on
from sntorch.studies.ensembles import draw_measured, draw_theory, seeded
from sntorch.studies.study import Study
from sntorch.systems import AmariWilsonCowan

__all__ = ["EdgeOfChaosOrderParameters", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EdgeOfChaosOrderParameters(Study):
    """Self-overlap and energy at S sizes, so far, K temperatures and G gains, beside theory."""

    sizes: Tensor
    """(S,), neurons."""
    temperatures: Tensor
    """(K,)."""
    gains: Tensor
    """(G,)."""
    overlaps: Tensor
    """(S, K, G), q, mean over networks."""
    stderr: Tensor
    """(S, K, G), from the spread over networks."""
    energies: Tensor
    """(S, K, G), E / N, where theory says T/2."""
    theory: Equilibrium
    """Of the shape (K, G)."""
    planned: int
    """Sizes that the whole study has."""

    @property
    def progress(self) -> str:
        """The last size and how far its overlaps are from theory."""
        far = float((self.overlaps[-1] - self.theory.overlap).abs().max())
        count = f"[{len(self.sizes)}/{self.planned}]"
        return f"{count} N = {int(self.sizes[-1])}: q within {far:.4f} of theory"

    def scalars(self) -> dict[str, float]:
        """Return, for every size, the largest distances of q and of E/N over T/2 to theory."""
        found: dict[str, float] = {}
        for s, size in enumerate(self.sizes.tolist()):
            ratio = self.energies[s] / (self.temperatures.unsqueeze(-1) / 2)
            found[f"distance/{size}"] = float((self.overlaps[s] - self.theory.overlap).abs().max())
            found[f"energy/{size}"] = float((ratio - 1).abs().max())
        return found

    def table(self) -> str:
        """Return measured and predicted overlaps by temperature and gain."""
        head = "".join(f"{f'N = {size}':>20}" for size in self.sizes.tolist())
        lines = [f"{'T':>8}{'gain':>7}{'theory':>10}{head}"]
        for k, T in enumerate(self.temperatures.tolist()):
            for g, gain in enumerate(self.gains.tolist()):
                numbers = "".join(
                    f"{f'{self.overlaps[s, k, g]:.4f} ± {self.stderr[s, k, g]:.4f}':>20}"
                    for s in range(len(self.sizes))
                )
                lines.append(
                    f"{T:8.3g}{gain:7.3g}{float(self.theory.overlap[k, g]):10.5f}{numbers}"
                )
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return the overlaps against the gain, with the lines of theory."""
        return figure(self, title="Order parameter at the edge of chaos")


def run(
    *,
    sizes: Sequence[int] = (50, 100, 200),
    temperatures: Sequence[float] = (0.01, 0.1),
    gains: Sequence[float] = (0.5, 0.8, 1.0, 1.2, 1.5),
    networks: int = 4,
    rows: int = 4,
    steps: int = 300,
    seed: int = 0,
) -> Iterator[EdgeOfChaosOrderParameters]:
    """Yield the study with one size more each time.

    Parameters
    ----------
    sizes
        Neurons, in the order in which they are simulated.
    temperatures, gains
        T > 0 and g > 0, ascending gains.
    networks, rows
        Planted networks per point, at least 2, and chains in each.
    steps
        Langevin steps of each chain.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    J. Qiu, H. Huang, Commun. Theor. Phys. 77 (2025) 035601, corrected.

    Examples
    --------
    >>> *_, found = run(sizes=[20], temperatures=[0.1], gains=[0.5, 1.0], networks=2, steps=50)
    >>> found.overlaps.shape
    torch.Size([1, 1, 2])
    """
    counts = [checks.count("sizes", size, low=2) for size in sizes]
    Ts = [checks.positive("temperatures", T) for T in temperatures]
    gs = [checks.positive("gains", g) for g in gains]
    if not (counts and Ts and len(gs) > 1) or sorted(set(gs)) != gs:
        raise ValueError("gains: expected two or more, ascending, and some sizes and temperatures")
    checks.count("networks", networks, low=2)
    checks.count("rows", rows)
    checks.count("seed", seed, low=0)
    grid = (
        torch.tensor(Ts, dtype=torch.float64).unsqueeze(-1),
        torch.tensor(gs, dtype=torch.float64),
    )
    theory = equilibrium(gain=grid[1], temperature=grid[0])
    found: list[Tensor] = []
    streams = seeded(seed)
    for size in counts:
        points = [[_measured(size, T, g, networks, rows, steps, streams) for g in gs] for T in Ts]
        found.append(torch.tensor(points, dtype=torch.float64))
        overlaps, stderr, energies = torch.stack(found).unbind(-1)
        yield EdgeOfChaosOrderParameters(
            sizes=torch.tensor(counts[: len(found)]),
            temperatures=grid[0].squeeze(-1),
            gains=grid[1],
            overlaps=overlaps,
            stderr=stderr,
            energies=energies,
            theory=theory,
            planned=len(counts),
        )


def _measured(
    size: int, T: float, g: float, networks: int, rows: int, steps: int, streams: torch.Generator
) -> tuple[float, float, float]:
    """Return overlap, its standard error over networks, and energy per neuron."""
    overlaps, energies = [], []
    for _ in range(networks):
        start = planted(size, gain=g, temperature=T, generator=streams)
        potential = SpeedPotential(AmariWilsonCowan(start.coupling, trainable=()))
        u = start.state.expand(rows, size)
        chains = langevin(potential, u, steps, temperature=T, generator=streams)
        overlaps.append(chains.overlap.mean())
        energies.append(chains.energy.mean())
    q, e = torch.stack(overlaps), torch.stack(energies)
    return float(q.mean()), float(q.std() / networks**0.5), float(e.mean())


@plot.register(EdgeOfChaosOrderParameters)
@style()
def _(result: EdgeOfChaosOrderParameters, ax: Any = None) -> Any:
    ax = on(ax)
    low, high = float(result.gains[0]), float(result.gains[-1])
    fine = torch.linspace(low, high, 100).double()
    if low < 1 < high:
        fine = torch.cat([fine, fine.new_ones(1)]).sort().values  # where the limit bends
        ax.axvline(1, label="transition, T → 0", **THEORY | {"linestyle": (0, (1, 1.5))})
    # Sizes stand side by side, or they would hide each other.
    beside = (torch.arange(len(result.sizes)) - (len(result.sizes) - 1) / 2) * 0.012 * (high - low)
    for k, T in enumerate(result.temperatures.tolist()):
        curve = equilibrium(gain=fine, temperature=T).overlap
        draw_theory(ax, fine, curve, "theory at T" if k == 0 else None)
        for s, size in enumerate(result.sizes.tolist()):
            label = f"N = {size} ± s.e." if k == 0 else None
            at = result.gains + beside[s]
            draw_measured(ax, at, result.overlaps[s, k], result.stderr[s, k], s, label)
        start = (float(fine[0]), float(curve[0]))  # where the curves are far from each other
        look = {"xytext": (4, 7), "textcoords": "offset points", "fontsize": 8}
        ax.annotate(f"T = {T:g}", start, **look)
    limit = zero_temperature(gain=fine).overlap
    ax.plot(fine, limit, color="black", linewidth=0.9, label="theory, T → 0")
    name_axes(ax, "gain g", "self-overlap q = |tanh x|²/N")
    return finish(
        ax, "Canonical measure of the speed potential", result.overlaps, "sizes side by side"
    )
