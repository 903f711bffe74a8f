"""Monitors: Lightning callbacks that show what a network does while it learns.

Each is an adapter over analyses: *when* and *on which states* is in `sntorch.training.monitor`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import (
    JacobianSpectrum,
    LyapunovSpectrum,
    jacobian_spectrum,
    lyapunov_spectrum,
)
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, as_dynamics, rollout
from sntorch.landscape import (
    AreaRates,
    EntropyProduction,
    FluxField,
    area_rates,
    entropy_production,
    flux_field,
    plane_share,
)
from sntorch.meanfield import MeanField, PopulationField, populations, solve
from sntorch.observing import observing
from sntorch.results import Result
from sntorch.sequence import SNT
from sntorch.torchcells import TorchDynamics
from sntorch.training.ensemble import ensemble, tables
from sntorch.training.monitor import Monitor
from sntorch.training.probes import Probe, recurrent_part

__all__ = ["FluxMonitor", "LyapunovMonitor", "MeanFieldMonitor", "SpectrumMonitor"]


class LyapunovMonitor(Monitor):
    """Logs the Lyapunov exponents of the network as it reads its sequences.

    They are conditional exponents over the length of a sequence: how a small change of the state
    grows or fades while the network reads, averaged over `rows` sequences.  The first quarter of
    the steps is left to the tangent vectors to settle.

    Parameters
    ----------
    k
        How many exponents.
    part, every_n_epochs, rows, figures
        As in `Monitor`.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> f, x = snt.as_dynamics(torch.nn.GRU(3, 16)), torch.randn(40, 4, 3)
    >>> seen = LyapunovMonitor(k=2).look(Probe(f=f, u=torch.zeros(4, 16), x=x, steps=40))
    >>> seen["lyapunov"].exponents.shape  # what a trainer has logged every second epoch
    torch.Size([4, 2])
    """

    name = "lyapunov"
    records: ClassVar = {"lyapunov": LyapunovSpectrum}
    shown = "max"
    layout: ClassVar = {"lyapunov": {"exponents": ["Multiline", [r"^lyapunov/\d+$"]]}}

    def __init__(self, *, k: int = 8, **when: Any) -> None:
        super().__init__(**when)
        self.k = checks.count("k", k)

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return the exponents, one spectrum per sequence."""
        transient = probe.steps // 4
        k = min(self.k, probe.u.shape[-1])
        steps = probe.steps - transient
        spectrum = lyapunov_spectrum(probe.f, probe.u, steps, k=k, transient=transient, x=probe.x)
        return {"lyapunov": spectrum}


class SpectrumMonitor(Monitor):
    """Logs the spectrum of the Jacobian at states that the network visits while it reads.

    Parameters
    ----------
    states
        At how many states, spread over the sequences and over time.
    part, every_n_epochs, rows, figures
        As in `Monitor`; as many rows as states by default.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> f, x = snt.as_dynamics(torch.nn.GRU(3, 16)), torch.randn(20, 4, 3)
    >>> seen = SpectrumMonitor(states=6).look(Probe(f=f, u=torch.zeros(4, 16), x=x, steps=20))
    >>> seen["spectrum"].eigenvalues.shape
    torch.Size([6, 16])
    """

    name = "spectrum"
    records: ClassVar = {"spectrum": JacobianSpectrum}
    layout: ClassVar = {
        "spectrum": {
            "radius, measured and predicted": [
                "Multiline",
                [r"^spectrum/radius$", r"^spectrum/circular_law$"],
            ]
        }
    }

    def __init__(self, *, states: int = 4, **when: Any) -> None:
        self.states = checks.count("states", states)
        super().__init__(rows=when.pop("rows", states), **when)

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return eigenvalues and singular values at the states."""
        with observing(probe.f, probe.u):
            orbit = rollout(probe.f, probe.u, probe.steps, x=probe.x)
        visited = torch.cat([probe.u[None], orbit[:-1]])
        times = torch.linspace(probe.steps // 4, probe.steps - 1, self.states).long()
        rows = torch.arange(self.states) % len(probe.u)
        x = None if probe.x is None else probe.x[times, rows]
        return {"spectrum": jacobian_spectrum(probe.f, visited[times, rows], x)}

    def histograms(self, results: dict[str, Result]) -> dict[str, Tensor]:
        """Return the moduli of the eigenvalues."""
        spectrum: Any = results["spectrum"]
        return {"eigenvalue_modulus": spectrum.eigenvalues.abs()}


class FluxMonitor(Monitor):
    """Logs entropy production and probability flux of the network left to noise.

    Walkers start where the network stands after its sequences and then see the mean input, which
    is constant: only so is there a steady state.  Logged are entropy production, per neuron too,
    with standard errors; norm of the area matrix and irreversibility; the noise and the step to
    which they belong.  Without noise the contraction rate is logged and the entropy production is
    NaN.  The figure shows density and flux in the plane that turns most, and at least which share
    of the entropy production is seen there.

    Parameters
    ----------
    burn_in
        Steps that walkers take before they count, at least ten times the slowest time.
    steps
        Steps that count.
    noise
        Standard deviation per step, > 0, that walkers of a network without noise of its own get,
        as torch's layers; the network itself is trained without.
    part, every_n_epochs, rows, figures
        As in `Monitor`; there is one walker per row.

    Raises
    ------
    ValueError
        As `Monitor`; at setup, if the network has noise and another is given.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> cell = snt.SNTCell(snt.couplings.gaussian(8), gain=0.5, noise=0.1)
    >>> probe = Probe(f=cell, u=torch.zeros(4, 8), x=None, steps=20)
    >>> list(FluxMonitor(burn_in=20, steps=50).look(probe, full=False))
    ['flux', 'area']
    """

    name = "flux"
    records: ClassVar = {"flux": EntropyProduction, "area": AreaRates, "field": FluxField}
    layout: ClassVar = {
        "flux": {
            "entropy production per neuron": [
                "Multiline",
                [r"^flux/entropy_production_per_neuron$"],
            ],
            "irreversibility": ["Multiline", [r"^flux/irreversibility$"]],
        }
    }

    def __init__(
        self, *, burn_in: int = 100, steps: int = 100, noise: float | None = None, **when: Any
    ) -> None:
        super().__init__(**when)
        self.burn_in = checks.count("burn_in", burn_in)
        self.steps = checks.count("steps", steps, low=2)
        self.noise = None if noise is None else checks.positive("noise", noise)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the recurrent part, and whether noise may be added to it."""
        super().setup(trainer, pl_module, stage)
        f = as_dynamics(recurrent_part(pl_module, self.part)[1])
        if self.noise is not None and bool(torch.as_tensor(f.noise).any()):
            raise ValueError("noise: expected None for a network with noise, got another")

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return entropy production and area rates; in full, the flux where it turns most too."""
        f = probe.f if self.noise is None else _noisy(probe.f, self.noise)
        dt, x = f.dt, None if probe.x is None else probe.x.mean((0, 1))
        with observing(f, probe.u):
            u = rollout(f, probe.u, probe.steps, x=probe.x, every=probe.steps)[-1]
            u = rollout(f, u, self.burn_in, x=x, every=self.burn_in)[-1]
            orbit = rollout(f, u, self.steps, x=x)
        seen: dict[str, Result] = {
            "flux": entropy_production(f, orbit, x=x),
            "area": area_rates(orbit, dt=dt),
        }
        return seen | {"field": _shown(orbit, seen["flux"], dt)} if full else seen


def _noisy(f: Dynamics, noise: float) -> Dynamics:
    """Return a network that has no noise with the one that is given."""
    source = f.source if isinstance(f, TorchDynamics) else f.map
    return as_dynamics(source, noise=noise, dt=f.dt)


def _shown(orbit: Tensor, produced: Any, dt: float) -> FluxField:
    """Return the flux in the leading plane, with its share of the entropy production if known."""
    field = flux_field(orbit, dt=dt)
    known = math.isfinite(produced.scalars()["entropy_production"])
    if not known or orbit[1:, ..., 0].numel() < 20:  # too few steps for the currents of a plane
        return field
    share, error = plane_share(produced, orbit, field.plane)
    return dataclasses.replace(field, share=share, share_stderr=error)


class MeanFieldMonitor(Monitor):
    """Logs what an infinite random network with the statistics of the current one would do.

    Mean and variance of the couplings, gain, leak, thresholds and noise are measured, and
    `meanfield.solve` is asked.  What the network reads counts as disorder of the thresholds, as far
    as it is constant over sequences and time, and else as noise.  Where the exponent that
    `LyapunovMonitor` measures leaves the predicted one, learning has made structure that mean and
    variance do not know; TensorBoard shows the two in one chart.  For a network of populations mean
    and variance are measured for every pair of them, and `meanfield.populations` is asked.

    Parameters
    ----------
    sizes
        Numbers of neurons, 2 or more, of populations of neighbours, as in `couplings.populations`;
        by default the network is one population.
    part, every_n_epochs, rows, figures
        As in `Monitor`; the part must be an SNT network.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> cell = snt.SNTCell(0.5 * torch.eye(100).roll(1, 0))  # variance 0.25 / N, mean 0.5 / N
    >>> probe = Probe(f=cell, u=torch.zeros(4, 100), x=None, steps=20)
    >>> round(float(MeanFieldMonitor().look(probe)["meanfield"].lyapunov), 2)  # ln 0.5
    -0.69
    """

    name = "meanfield"
    records: ClassVar = {"meanfield": MeanField, "populations": PopulationField}
    layout: ClassVar = {
        "meanfield": {
            "measured and predicted": ["Multiline", [r"^lyapunov/max$", r"^meanfield/lyapunov$"]]
        }
    }

    def __init__(self, *, sizes: Sequence[int] | None = None, **when: Any) -> None:
        super().__init__(**when)
        self.sizes = None if sizes is None else [checks.count("sizes", n, low=2) for n in sizes]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the SNT network, so that a model without one fails before training."""
        name, part = recurrent_part(pl_module, self.part)
        if not isinstance(part, SNT | SNTCell):
            got = type(part).__name__
            raise ValueError(f"part: expected an SNT network at {name!r}, got {got}")
        size = as_dynamics(part).size
        if self.sizes is not None and sum(self.sizes) != size:
            raise ValueError(f"sizes: expected numbers that add up to {size}, got {self.sizes}")

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return the mean field of the ensemble that fits the network best."""
        cell: Any = probe.f
        with observing(cell, probe.u):
            if self.sizes is None:
                return {"meanfield": solve(**ensemble(cell, probe.x), transfer=cell.transfer)}
            found = tables(cell, probe.x, self.sizes)
            return {"populations": populations(**found, transfer=cell.transfer)}
