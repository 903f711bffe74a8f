r"""Susceptibilities: resonances of a small chaotic network, and resonances that no spectrum shows.

.. math:: u(t+1) = J \tanh(3\,u(t)) - \theta + \sigma B(t)

*Nine neurons*, four inputs each: chaotic without noise, with exponents 0.065, -0.199 and -0.534.
Its susceptibilities have three resonances, at the angles of its slowest poles, and the graph of
effective links differs from one to the other.  The noise excites these resonances: spectra show
them too.

*A large random network* without leak, J_ij ~ N(0, 1/N).  Its neurons are nearly white, since what
reaches a neuron is a sum over many others; yet a single pair has a susceptibility of order
:math:`1/\sqrt N` with resonances of its own.  The variation of a curve is its standard deviation
over frequencies divided by its mean, errors taken out; that of spectra goes to 0 with N, that of
:math:`|\chi_{ij}|^2` does not.

The nine neurons are drawn once, from numpy's legacy stream with seed 1218.  Published for them at
noise 0.15 is the response of neuron 1 to neuron 6 after two steps, 1.354 +- 0.001.
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
from sntorch.analysis import (
    Graph,
    LinearResponse,
    Poles,
    Susceptibility,
    effective_connectivity,
    linear_response,
    poles,
    susceptibility,
)
from sntorch.cells import SNTCell
from sntorch.dynamics import rollout
from sntorch.plot import plot, style
from sntorch.plot.canvas import (
    DARK,
    GREY,
    LIGHT,
    MIDDLE,
    StyledFigure,
    finish,
    headline,
    name_axes,
    on,
)
from sntorch.plot.response import circle
from sntorch.studies.study import Study

__all__ = ["PUBLISHED", "SusceptibilityStudy", "network", "run"]

PUBLISHED = (1.354, 0.001)
"""K(2) from neuron 6 to neuron 1 at noise 0.15, and its error."""

_GRID = 201  # frequencies from 0 to pi
_LAGS = 100  # the slowest pole of the nine neurons has decayed to 0.03 by then
_SHORT = 20  # the same for a large network without leak
_ROWS = 200
_SHOWN = 3  # frequencies at which graphs are drawn


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SusceptibilityStudy(Study):
    """The susceptibilities of the nine neurons and of a large network."""

    response: LinearResponse
    """The kernel of the nine neurons."""
    nine: Susceptibility
    """Theirs, with their power spectra."""
    poles: Poles
    """Theirs, of all pairs together."""
    graph: Graph
    """Theirs, at the angles of the three slowest poles, in ascending order."""
    large: Susceptibility | None
    """That of the large network; None until it is known."""

    @property
    def progress(self) -> str:
        """What was added last."""
        if self.large is None:
            return f"[1/2] nine neurons: {len(self.poles.z)} poles"
        return f"[2/2] {self.large.chi.shape[1]} neurons: " + ", ".join(
            f"variation of {name} {value:.2f}" for name, value in _variations(self.large).items()
        )

    def scalars(self) -> dict[str, float]:
        """Return the slowest poles, K(2) from 6 to 1, and the variations of both networks."""
        found = {
            f"pole/{k}/{name}": float(values[k])
            for k in range(min(_SHOWN, len(self.poles.z)))
            for name, values in (("modulus", self.poles.modulus), ("angle", self.poles.angle))
        }
        found["kernel/2/1/6"] = float(self.response.kernel[2, 1, 6])
        named = {"nine": self.nine} | ({} if self.large is None else {"large": self.large})
        for network_name, each in named.items():
            for name, value in _variations(each).items():
                found[f"{network_name}/{name}"] = value
        return found

    def table(self) -> str:
        """Return poles, graphs and variations, and the published number beside the measured."""
        kernel, error = self.response.kernel[2, 1, 6], self.response.stderr[2, 1, 6]
        lines = [f"K(2) from 6 to 1{'':8}{float(kernel):.4f} ± {float(error):.4f}"]
        if float(self.response.noise) == 0.15:
            lines.append(f"  published{'':13}{PUBLISHED[0]:.4f} ± {PUBLISHED[1]:.4f}")
        lines.append(f"\n{'pole':>4}{'modulus':>18}{'angle (rad/step)':>22}{'strength':>10}")
        for k, (modulus, angle, strength) in enumerate(
            zip(self.poles.modulus, self.poles.angle, self.poles.strength, strict=True)
        ):
            radius = f"{float(modulus):.4f} ± {float(self.poles.modulus_stderr[k]):.4f}"
            turn = f"{float(angle):.4f} ± {float(self.poles.angle_stderr[k]):.4f}"
            lines.append(f"{k + 1:4}{radius:>18}{turn:>22}{float(strength):10.3f}")
        lines.append(
            f"\n{'omega':>8}{'hub':>5}{'overlap with synapses':>24}{'rank correlation':>18}"
        )
        columns = (self.graph.omega, self.graph.hub, self.graph.overlap())
        for omega, hub, overlap, rank in zip(*columns, self.graph.rank_correlation(), strict=True):
            lines.append(
                f"{float(omega):8.4f}{int(hub):5}{float(overlap):24.2f}{float(rank):18.2f}"
            )
        lines.append(f"\n{'variation over frequencies':30}{'spectra':>10}{'|chi|^2':>10}")
        for each in (self.nine, self.large):
            if each is not None:
                spectra, chi = _variations(each).values()
                lines.append(f"  {each.chi.shape[1]:4} neurons{'':16}{spectra:10.2f}{chi:10.2f}")
        return "\n".join(lines)

    @style()
    def picture(self) -> Any:
        """Return susceptibilities beside spectra, the poles, and the graphs."""
        fig = StyledFigure(figsize=(13.8, 8.2))
        size = "" if self.large is None else f"; top right: {self.large.chi.shape[1]} neurons"
        headline(fig, f"Resonances of the response: nine neurons{size}")
        _beside(fig.add_subplot(2, 3, 1), self.nine)
        if self.large is not None:
            _beside(fig.add_subplot(2, 3, 3), self.large)
        plot(self.poles, fig.add_subplot(2, 3, 2))
        for k in range(len(self.graph.omega)):
            circle(self.graph, fig.add_subplot(2, 3, 4 + k), index=k)
        return fig


@plot.register(SusceptibilityStudy)
@style()
def _(result: SusceptibilityStudy, ax: Any = None) -> Any:
    ax = on(ax)
    _beside(ax, result.nine if result.large is None else result.large)
    return ax


def network(noise: float = 0.15) -> SNTCell:
    """Return the nine neurons of the study, in float64."""
    stream = np.random.RandomState(1218)
    J = np.zeros((9, 9))
    for row in J:
        chosen = stream.permutation(9)[:4]
        row[chosen] = stream.randn(4) / 2
    threshold = torch.from_numpy(0.3 * stream.randn(9))
    return SNTCell(torch.from_numpy(J), gain=3.0, threshold=threshold, noise=noise, trainable=())


def settled(
    cell: SNTCell, rows: int, draw: np.random.Generator, generator: torch.Generator
) -> Tensor:
    """Return states (rows, N) after 300 steps from normal ones."""
    start = torch.from_numpy(draw.standard_normal((rows, cell.size)))
    return rollout(cell, start, 300, generator=generator)[-1]


def run(
    *,
    noise: float = 0.15,
    samples: int = 1_000_000,
    size: int = 100,
    large_samples: int = 200_000,
    large_noise: float = 0.5,
    seed: int = 0,
) -> Iterator[SusceptibilityStudy]:
    """Yield what is known of the nine neurons, then of both networks.

    Parameters
    ----------
    noise, samples
        Of the nine neurons; samples are steps, all replicas together.  Errors fall like their
        root, and rise like 1 / noise.
    size, large_noise, large_samples
        The same of the large network.
    seed
        Of the large network and the initial states.

    Raises
    ------
    ValueError
        On wrong arguments, before any work.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Phys. Rev. E 70 (2004) 056111; Physica D 225 (2007) 13.

    Examples
    --------
    >>> *_, found = run(samples=20_000, size=10, large_samples=4000)
    >>> found.nine.chi.shape, found.large.chi.shape
    (torch.Size([201, 9, 9]), torch.Size([201, 10, 10]))
    """
    checks.positive("noise", noise)
    checks.positive("large_noise", large_noise)
    checks.count("samples", samples, low=40 * _ROWS)
    checks.count("large_samples", large_samples, low=20 * _ROWS)
    checks.count("size", size, low=2)
    draw, generator = np.random.default_rng(checks.count("seed", seed, low=0)), torch.Generator()
    omega = torch.linspace(0, math.pi, _GRID, dtype=torch.float64)
    cell, streams = network(noise), {"method": "noise", "generator": generator}
    u = settled(cell, _ROWS, draw, generator)
    response = linear_response(cell, u, lags=_LAGS, samples=samples, **streams)
    found = poles(response)
    angles = found.angle[:_SHOWN].sort().values
    known = SusceptibilityStudy(
        response=response,
        nine=susceptibility(cell, u, omega, lags=_LAGS, samples=samples, **streams),
        poles=found,
        graph=effective_connectivity(response, angles, coupling=cell),
        large=None,
    )
    yield known
    J = torch.from_numpy(draw.standard_normal((size, size)) / size**0.5)
    wide = SNTCell(J, gain=3.0, noise=large_noise, trainable=())
    u = settled(wide, _ROWS, draw, generator)
    large = susceptibility(wide, u, omega, lags=_SHORT, samples=large_samples, **streams)
    yield dataclasses.replace(known, large=large)


def _variations(found: Susceptibility) -> dict[str, float]:
    """Return the mean variation of spectra, and of the strongest pair of every receiver."""
    power = _variation(found.power, found.power_stderr)
    square = found.modulus.square() - 2 * found.stderr.square()
    # abs(chi)^2 has the error 2 abs(chi) stderr, and the mean 2 stderr^2 of noise alone.
    error = 2 * found.modulus * found.stderr
    _, sources = _strongest(found)
    receivers = torch.arange(len(sources))
    chi = _variation(square[:, receivers, sources], error[:, receivers, sources])
    return {"spectra": float(power.mean()), "chi": float(chi.mean())}


def _strongest(found: Susceptibility) -> tuple[Tensor, Tensor]:
    """Return the largest gain (N,) that every receiver has to another neuron, and that neuron."""
    largest = found.modulus.amax(0).fill_diagonal_(-1.0)
    return largest.max(1)


def _beside(ax: Any, found: Susceptibility) -> None:
    """Draw the susceptibilities of three pairs, and the amplitude spectra of their receivers."""
    largest, sources = _strongest(found)
    looks = ((DARK, "-"), (MIDDLE, "--"), (GREY, ":"))
    chosen = largest.topk(len(looks)).indices.tolist()
    for k, (i, (colour, line)) in enumerate(zip(chosen, looks, strict=True)):
        chi, j = found.modulus[:, i, sources[i]], int(sources[i])
        ax.plot(found.omega, chi, color=colour, linestyle=line, label=f"{j} to {i}")
        spectrum = found.power[:, i].sqrt()
        look = {"color": LIGHT, "linestyle": line, "zorder": 1}
        name = {"label": "spectra, root"} if k == 0 else {}
        ax.plot(found.omega, chi.mean() / spectrum.mean() * spectrum, **look, **name)
    name_axes(ax, "frequency ω (rad / step)", "gain |χ| (per unit signal)")
    ax.set_ylim(bottom=0)
    note = "spectra: root of the power, scaled to the same mean"
    finish(ax, f"{len(sources)} neurons, strongest pairs", found.modulus, note)


def _variation(curve: Tensor, error: Tensor) -> Tensor:
    """Return standard deviation over mean, over frequencies (W, ...), errors taken out."""
    spread = curve.var(0) - error.square().mean(0)
    return spread.clamp(min=0).sqrt() / curve.mean(0)
