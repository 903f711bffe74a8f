r"""A monitor of the landscape: which potential a network has whose couplings still change.

Two clocks run.  The network learns its task; every few epochs the potential learns the network, for
a bounded number of steps, from where it stood the time before: its form is carried along to states
that have moved and spread meanwhile (`NeuralPotential.carry`).

It is the potential of the two leading principal coordinates y of the network left to its noise,
U(y) = -ln P(y), with P the density of these coordinates whatever the others do.  `map_loss` learns
it, for steps of any size; with s = -grad U and S the covariance of the noise of a step along y,

.. math:: I = \langle s \cdot S s \rangle, \qquad
          \epsilon_{ij} = \langle (y_i - m_i)\, \partial_j U \rangle - \delta_{ij}.

How high one well is above another only the likelihood says, if no states lie between them: what is
lowered is `map_loss` in units of the Gaussian's I plus `likelihood_loss`, both least at the same U.

The negative of `map_loss` is highest, at I, for the true score: on the states of training it comes
out high and on others low, so that the two bracket I.  By how much it exceeds that of the Gaussian
with the same covariance is what the landscape has in wells and rings.  The defect
:math:`\epsilon` is 0 for the true U.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics, rollout
from sntorch.landscape import (
    NeuralPotential,
    PotentialMap,
    entropy_production,
    likelihood_loss,
    map_loss,
    orbit_map,
    stationarity,
)
from sntorch.landscape.barriers import flood
from sntorch.landscape.metric import map_noise
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result, over_rows
from sntorch.streams import seeded
from sntorch.training.landscape_fits import LandscapeFit
from sntorch.training.lowering import lower
from sntorch.training.monitor import Monitor
from sntorch.training.probes import Probe, recurrent_part

__all__ = ["PotentialMonitor"]

_BATCH = 512  # states of a gradient step
_TESTED = 4096  # states of either half on which the loss is reported
_CELLS = 40  # of the plane, along each axis
_HIGH, _DEPTH = 5.0, 0.5  # nats: states above the lowest that count, and the depth of a well


class PotentialMonitor(Monitor):
    """Learns the potential of a network that is itself learning, and shows the landscape form.

    Walkers start where the network stands after its sequences and then see the mean input, as in
    `FluxMonitor`; half of them teach the potential of their two leading principal coordinates, the
    other half test it.  Logged are entropy production with its error, from the steps of the network
    itself; the bracket of the potential's information and what it has beyond a Gaussian; its
    defect; wells; and whether the walkers are stationary.  The figure shows potential and flux.

    A look costs `burn_in` + `record` steps of all walkers and `learn` gradient steps, for 64
    neurons with the defaults about 2 seconds on one core.  The potential goes into checkpoints.

    Parameters
    ----------
    walkers
        M, an even number.
    burn_in
        Steps that they take before they count, at least ten times the slowest time.
    record
        Steps that count.
    learn, lr
        Gradient steps of a look, and Adam's rate, which falls to 0 like a cosine.
    hidden
        Widths of the potential's layers.
    noise
        Of a step, in place of the network's own; one without noise needs it to have a density.
    seed
        Of walkers, batches and weights.
    part, every_n_epochs, rows, figures
        As in `Monitor`.

    Raises
    ------
    ValueError
        At setup, before any training, if the model has no recurrent part, or one of a single
        neuron, or without noise and none is given.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training.probes import Probe
    >>> cell = snt.SNTCell(snt.couplings.gaussian(8), gain=0.5, noise=0.1)
    >>> monitor = PotentialMonitor(walkers=32, burn_in=20, record=20, learn=5)
    >>> seen = monitor.look(Probe(f=cell, u=torch.zeros(4, 8), x=None, steps=20))
    >>> seen["landscape"].potential.shape
    torch.Size([40, 40])
    """

    name = "potential"
    records: ClassVar = {"fit": LandscapeFit, "landscape": PotentialMap}
    layout: ClassVar = {
        "potential": {
            "information": ["Multiline", [r"^potential/information"]],
            "entropy production": ["Multiline", [r"^potential/entropy_production$"]],
        }
    }

    def __init__(
        self,
        *,
        walkers: int = 256,
        burn_in: int = 100,
        record: int = 64,
        learn: int = 200,
        lr: float = 0.01,
        hidden: Sequence[int] = (32, 32),
        noise: float | None = None,
        seed: int = 0,
        **when: Any,
    ) -> None:
        super().__init__(**when)
        self.walkers = checks.count("walkers", walkers, low=16)
        if walkers % 2:
            raise ValueError(f"walkers: expected an even number, got {walkers}")
        self.burn_in = checks.count("burn_in", burn_in)
        self.record = checks.count("record", record, low=2)
        self.learn, self.lr = checks.count("learn", learn), checks.positive("lr", lr)
        self.hidden = [checks.count("hidden", width) for width in hidden]
        self.noise = None if noise is None else checks.positive("noise", noise)
        self.seed = checks.count("seed", seed, low=0)
        self.potential: NeuralPotential | None = None
        """Of y = axes u; None before the first look."""
        self.axes: Tensor | None = None
        """Orthonormal rows (2, N)."""
        self.scale = 1.0
        """Db of the last look: U = V / Db."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the recurrent part and its noise, so that what cannot work fails before training."""
        super().setup(trainer, pl_module, stage)
        name, part = recurrent_part(pl_module, self.part)
        f = as_dynamics(part)
        checks.count("size of the recurrent part", f.size, low=2)
        if self.noise is None and noise_of(f, torch.zeros(1, f.size)) is None:
            raise ValueError(
                f"noise: expected some, without which there is no density; {name!r} has none, give "
                "the monitor one"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the potential and its coordinates too."""
        learned = None if self.potential is None else self.potential.state_dict()
        own = {"potential": learned, "axes": self.axes, "scale": self.scale}
        return super().state_dict() | own

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where `state_dict` left off."""
        super().load_state_dict(state_dict)
        self.axes, self.scale = state_dict["axes"], state_dict["scale"]
        self.potential = None
        if state_dict["potential"] is not None:
            readout = state_dict["potential"]["readout"]
            kind = {"dtype": readout.dtype, "device": readout.device}
            self.potential = NeuralPotential(len(self.axes), self.hidden, **kind)  # pyright: ignore
            self.potential.load_state_dict(state_dict["potential"])

    def look(self, probe: Probe, *, full: bool = True) -> dict[str, Result]:
        """Return the fit; in full, the landscape in the plane of two coordinates too."""
        x = None if probe.x is None else probe.x.mean((0, 1))
        stream = seeded(self.seed + self._looks, probe.u.device)
        with observing(probe.f, probe.u):
            f = self._noisy(probe.f)
            orbit = self._orbit(f, probe, x, stream)
            half = self.walkers // 2
            train, test = (part.reshape(-1, orbit.shape[-1]) for part in orbit.split(half, 1))
            scale = map_noise(f, train)[1]
            axes, explained = self._turned(train)
            V = self._carried(train @ axes.T, scale, stream)
            plain = NeuralPotential(2, [1], dtype=train.dtype, device=train.device)
            plain.start_gaussian(train @ axes.T, scale)
            unit = float(_information(f, plain, train, x, axes))
            options: dict[str, Any] = {"x": x, "axes": axes, "generator": stream}

            def loss() -> Tensor:
                chosen = torch.randint(len(train), (_BATCH,), generator=stream, device=train.device)
                u = train[chosen]
                heights = likelihood_loss(V, u @ axes.T, scale=scale, generator=stream)
                return map_loss(f, V, u, **options) / unit + heights

            for _ in lower(loss, V.parameters(), self.learn, self.lr):
                pass
            information = [
                _information(f, potential, u, x, axes)
                for potential, u in ((V, train), (V, test), (plain, test))
            ]
            y = test @ axes.T
            slope = V.gradient(y) / scale
            eye = torch.eye(len(axes), dtype=y.dtype, device=y.device)
            produced = entropy_production(f, orbit, x=x)
            balance = stationarity(f, orbit[-1], x=x)
            value, error = over_rows(produced.value, produced.stderr)
            field = orbit_map(V, orbit, axes, scale=scale, dt=f.dt, cells=_CELLS)
            self.potential, self.axes, self.scale = V, axes, scale
            fit = LandscapeFit(
                entropy_production=value,
                stderr=error,
                information=torch.stack(information),
                defect=(y - y.mean(0)).T @ slope / len(y) - eye,
                z=balance.z,
                stationary=balance.stationary,
                wells=_wells(field),
                explained=explained,
            )
        return {"fit": fit, "landscape": field} if full else {"fit": fit}

    def _noisy(self, f: Dynamics) -> Dynamics:
        if self.noise is None:
            return f
        return as_dynamics(f.map, size=f.size, noise=self.noise, dt=f.dt)

    def _orbit(
        self, f: Dynamics, probe: Probe, x: Tensor | None, stream: torch.Generator
    ) -> Tensor:
        """Return the steps of all walkers (T, M, N)."""
        u = rollout(f, probe.u, probe.steps, x=probe.x, every=probe.steps, generator=stream)[-1]
        u = u[torch.arange(self.walkers, device=u.device) % len(u)]
        u = rollout(f, u, self.burn_in, x=x, every=self.burn_in, generator=stream)[-1]
        return rollout(f, u, self.record, x=x, generator=stream)

    def _turned(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two leading axes (2, N), turned towards the last ones, and their share."""
        values, vectors = torch.linalg.eigh(torch.cov(states.T))
        axes = vectors[:, -2:].T.flip(0)
        if self.axes is not None:
            U, _, Vh = torch.linalg.svd(axes @ self.axes.to(axes).T)
            axes = (U @ Vh).T @ axes
        return axes, values[-2:].sum() / values.sum()

    def _carried(self, y: Tensor, scale: float, stream: torch.Generator) -> NeuralPotential:
        """Return the potential of the last look at states y, or at first the Gaussian one."""
        if self.potential is not None:
            return self.potential.to(y).carry(y, scale / self.scale)
        kind: dict[str, Any] = {"dtype": y.dtype, "device": y.device}
        return NeuralPotential(2, self.hidden, generator=stream, **kind).start_gaussian(y, scale)


def _information(
    f: Dynamics, V: NeuralPotential, u: Tensor, x: Tensor | None, axes: Tensor
) -> Tensor:
    """Return the negative of the loss at states u, with the same noise for every V."""
    some = u[:: max(1, len(u) // _TESTED)]
    return -map_loss(f, V, some, x=x, axes=axes, generator=torch.Generator(u.device)).detach()


def _wells(field: PotentialMap) -> int:
    U = field.potential / field.scale
    reached = torch.where(U < _HIGH, U, torch.inf)
    flat: np.ndarray = reached.reshape(-1).cpu().numpy()
    return len(flood(flat, (_CELLS, _CELLS), _DEPTH)[0])
