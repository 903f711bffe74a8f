r"""Memory against the exponent: whether random networks remember most at the edge of chaos.

.. math:: u(t+1) = J \tanh(g\,u(t)) + W x(t) + \sigma B(t), \qquad J_{ij} \sim N(0, 1/N),
          \quad W_i \sim N(0, 1)

A frozen network reads random numbers x(t), uniform in [-a, a]; the memory capacity M of a linear
readout is measured (`sntorch.analysis.memory`), and so is the largest exponent under such a drive:
the edge of chaos is where that exponent is zero, beyond g = 1, since what is read suppresses chaos.

The default setting takes well under two minutes; a full one has ``size=500``, ``networks=10``,
``delays=400`` and ``samples=10000``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import max_lyapunov, memory_capacity
from sntorch.cells import SNTCell
from sntorch.plot import figure, plot, style
from sntorch.plot.canvas import DARK, LIGHT, THEORY, finish, name_axes, on
from sntorch.studies.ensembles import scan
from sntorch.studies.peaks import Peak, peak
from sntorch.studies.study import Study

__all__ = ["MemoryStudy", "run"]

_NEAR = 0.1  # nats per step: what counts as at the edge


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MemoryStudy(Study):
    """Memory and exponent of R networks at G gains, so far."""

    gains: Tensor
    """(G,)."""
    memory: Tensor
    """(G, R), memory capacities."""
    exponents: Tensor
    """(G, R), largest exponents under the drive, nats per step."""
    size: int
    """N."""
    planned: int
    """Gains that the whole study has."""

    @property
    def peak(self) -> Peak:
        """Where memory is largest, a parabola through the top; places are ln gain."""
        return peak(self.gains.log(), self.memory, self.exponents)

    @property
    def progress(self) -> str:
        """The last gain, its exponent and its memory."""
        memory, exponent = float(self.memory[-1].mean()), float(self.exponents[-1].mean())
        place = f"[{len(self.memory)}/{self.planned}] gain {float(self.gains[-1]):.3g}"
        return f"{place}: exponent {exponent:.3f}, memory {memory:.2f}"

    def scalars(self) -> dict[str, float]:
        """Return the largest mean memory, with gain and exponent there, and that nearest zero."""
        mean, exponent = self.memory.mean(1), self.exponents.mean(1)
        edge = int(exponent.abs().argmin())
        top = self.peak
        return {
            "peak/memory": top.height,
            "peak/memory_stderr": top.height_stderr,
            "peak/gain": math.exp(top.place),
            "peak/exponent": top.beside,
            "peak/exponent_stderr": top.beside_stderr,
            "edge/memory": float(mean[edge]),
            "edge/exponent": float(exponent[edge]),
        }

    def table(self) -> str:
        """Return both by gain, and where memory peaks."""
        lines = [f"{'gain':>6}{'exponent':>20}{'memory capacity':>20}"]
        for i, gain in enumerate(self.gains.tolist()):
            cells = [
                f"{float(v.mean()):.3f} ± {_error(v):.3f}"
                for v in (self.exponents[i], self.memory[i])
            ]
            lines.append(f"{gain:6.3g}" + "".join(f"{cell:>20}" for cell in cells))
        top = self.peak
        inside = "within" if abs(top.beside) <= _NEAR else "not within"
        lines.append(
            f"Memory is largest, {top.height:.2f} ± {top.height_stderr:.2f}, at gain "
            f"{math.exp(top.place):.3g}, exponent {top.beside:.3f} ± {top.beside_stderr:.3f}: "
            f"{inside} {_NEAR} of the edge."
        )
        if not top.inside:
            lines[-1] += "  That is an end of the range."
        return "\n".join(lines)

    def picture(self) -> Any:
        """Return memory against the exponent."""
        return figure(self, title="Memory of random networks")


def run(
    *,
    gains: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 2.5),
    size: int = 100,
    networks: int = 4,
    samples: int = 1500,
    delays: int = 100,
    amplitude: float = 0.1,
    noise: float = 0.0,
    seed: int = 0,
) -> Iterator[MemoryStudy]:
    """Yield the study with one gain more each time.

    Parameters
    ----------
    gains
        In ascending order.
    size
        N.
    networks
        Random networks, the same at all gains, at least 2.
    samples
        Steps from which a readout is fitted, more than `size` + 2 and `delays`.
    delays
        How far back inputs are asked for.
    amplitude
        a.
    noise
        Standard deviation per step: what is smaller than it cannot be read.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    H. Jaeger, GMD Report 152 (2001); N. Bertschinger, T. Natschlaeger, Neural Comput. 16 (2004)
    1413; J. Boedecker et al., Theory Biosci. 131 (2012) 205.

    Examples
    --------
    >>> *_, found = run(gains=[0.5, 2.0], size=10, networks=2, samples=100, delays=20)
    >>> found.memory.shape, found.exponents.shape
    (torch.Size([2, 2]), torch.Size([2, 2]))
    """
    values = scan("gains", gains, positive=True).tolist()
    checks.count("size", size)
    checks.count("networks", networks, low=2)
    checks.count("delays", delays)
    checks.count("samples", samples, low=max(size + 3, delays + 1))
    checks.positive("amplitude", amplitude)
    checks.number("noise", noise, low=0)
    checks.count("seed", seed, low=0)
    draws = [np.random.default_rng([seed, size, i]) for i in range(networks)]
    parts = [(d.standard_normal((size, size)) / size**0.5, d.standard_normal((size, 1)),
              d.uniform(-amplitude, amplitude, (400, 1))) for d in draws]  # fmt: skip
    rows: list[list[tuple[float, float]]] = []
    for gain in values:
        found = []
        for J, W, x in parts:
            cell = SNTCell(torch.from_numpy(J), gain=gain, noise=noise, input_size=1, trainable=())
            cell.input_weight = torch.from_numpy(W)
            found.append(_measure(cell, torch.from_numpy(x), samples, delays, amplitude))
        rows.append(found)
        table = torch.tensor(rows, dtype=torch.float64)
        yield MemoryStudy(
            gains=torch.tensor(values[: len(rows)], dtype=torch.float64),
            memory=table[..., 0],
            exponents=table[..., 1],
            size=size,
            planned=len(values),
        )


def _measure(
    cell: SNTCell, x: Tensor, samples: int, delays: int, amplitude: float
) -> tuple[float, float]:
    u = torch.zeros(cell.size, dtype=x.dtype)
    memory = memory_capacity(
        cell, u, samples, delays=delays, amplitude=amplitude, generator=torch.Generator()
    )
    spectrum = max_lyapunov(cell, u, len(x) - 100, transient=100, x=x, generator=torch.Generator())
    return float(memory.total), float(spectrum)


def _error(values: Tensor) -> float:
    return float(values.std()) / len(values) ** 0.5


@plot.register(MemoryStudy)
@style()
def _(result: MemoryStudy, ax: Any = None) -> Any:
    ax = on(ax)
    ax.plot(result.exponents.flatten(), result.memory.flatten(), ".", color=LIGHT, label="networks")
    x, y = result.exponents.mean(1), result.memory.mean(1)
    errors = [torch.tensor([_error(v) for v in rows]) for rows in (result.memory, result.exponents)]
    look: dict[str, Any] = {"color": DARK, "marker": "o", "elinewidth": 0.9, "zorder": 3}
    ax.errorbar(x, y, *errors, label="mean ± s.e.", **look)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axvline(0, label="edge of chaos", **dotted)
    top = result.peak
    ax.annotate(f"g = {math.exp(top.place):.2g}", (top.beside, top.height), fontsize=8,
                xytext=(6, 4), textcoords="offset points")  # fmt: skip
    name_axes(ax, "largest exponent under the drive (nats / step)", "memory capacity (steps)")
    return finish(ax, f"Memory and exponent, N = {result.size}", result.memory)
