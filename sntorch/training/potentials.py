"""Training a potential: walkers follow the dynamics, and a loss of `sntorch.landscape` is lowered.

The learner makes its own batches.  Before the first epoch walkers forget where they started, and
a `NeuralPotential` begins with the Gaussian solution; between two epochs the walkers move on.  A
second set of walkers, as many with noise of their own, is never trained on: the entropy
production on the states of both sets brackets the true one.  They stand still while the potential
learns, so that what changes is the potential and not the sample, and move on in the test.

The state of all walkers and of their noise is part of a checkpoint, so that a run that is taken up
ends on the same bits as one that was not interrupted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics
from sntorch.flows import Flow
from sntorch.landscape import (
    MatchedNetwork,
    NeuralPotential,
    Potential,
    PotentialMap,
    epr_loss,
    known_potential,
    map_loss,
    stationarity,
)
from sntorch.landscape.metric import DiffusionField
from sntorch.landscape.quasipotential import check_growth
from sntorch.observing import observing
from sntorch.training.assessment import assess_flow, assess_map, same_noise
from sntorch.training.decomposition import OrthogonalDecomposition
from sntorch.training.flocks import Corners, Flocks
from sntorch.training.openings import missed, open_with, teacher_of
from sntorch.training.sketches import Sketches, sketched
from sntorch.training.walking import Walking

__all__ = ["PotentialLearner"]

Loss = Callable[[Any, Any, Tensor], Tensor]


class PotentialLearner(Walking):
    """Learns the potential of a dynamics; ``Trainer.fit(learner)`` is all it needs.

    Logged are ``train/loss``, the mean of an epoch so far; ``val/loss`` on the test walkers;
    ``val/entropy_production`` on them and ``val/entropy_production_train`` on the others, with
    standard error, and their difference ``val/gap``; balance, virial and Hamilton-Jacobi residual
    (`landscape.examine`); ``walkers/z`` and ``walkers/stationary`` (`landscape.stationarity`), and
    ``walkers/escape_rate``.  Where a potential is known, ``val/error``, ``val/correlation``, what
    the entropy production on the test walkers is with it, ``val/entropy_production_known``, and
    what it is in truth, ``val/entropy_production_exact``; with `teacher_loss` ``val/missed``, the
    loss as a share of the teacher's mean squared slope.  TensorBoard shows the landscape with the
    flux.  Of a map the entropy production is that of the steps of the test walkers, exact whatever
    the potential, and what brackets is ``val/information``, -`map_loss`, with
    ``val/information_train``.

    Parameters
    ----------
    dynamics
        A `Flow`, or anything `as_dynamics` accepts.
    potential
        What learns; a `NeuralPotential` by default.
    loss
        Called with dynamics, potential and states; by default `epr_loss` for a flow and `map_loss`
        for a map.  The parameters of a module are trained too.
    walkers
        How many, and as many test walkers.
    start
        States (M, N) that walkers start from in turn, or the standard deviation of normal ones; in
        a box they start evenly.
    burn_in
        Steps before they count, at least ten times the slowest time.
    refresh
        Steps between two epochs.
    dt
        Time of a step of a flow.
    box
        Lowest and highest corner of reflecting walls; None is unbounded space.
    limit
        As in `Walkers`.
    states
        ``"walkers"``, or ``"box"`` to train on states drawn evenly from the box.
    spread
        Standard deviations of noise that is added to the states of walkers in training.
    batch_size, batches
        States of a batch, and batches of an epoch.
    truth
        A known potential to compare with, None for none; by default that of a system whose
        potential is known.
    diffusion
        D_i(u) as in `epr_loss`, for walkers too.
    x
        Constant drive (I,).
    initialise
        Whether the potential starts from the Gaussian solution, if it is a `NeuralPotential`; with
        `teacher_loss` it starts from the quadratic that is most like the teacher.
    optimizer, scheduler
        As in `SequenceModel`.
    figures
        Epochs between two figures; the first and the last are always drawn, 0 draws none.
    seed
        Of walkers and batches.

    Raises
    ------
    ValueError
        On wrong arguments; at the start of training if walkers are lost, if the loss cannot work
        with the noise there is, or if a quasipotential does not grow.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.StuartLandau(diffusion=0.1)
    >>> learner = PotentialLearner(ring, walkers=512, burn_in=200, batches=20)
    >>> trainer = pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
    """

    def __init__(
        self,
        dynamics: object,
        potential: nn.Module | None = None,
        *,
        loss: Loss | nn.Module | None = None,
        walkers: int = 4096,
        start: Tensor | float = 1.0,
        burn_in: int = 1000,
        refresh: int = 100,
        dt: float = 0.01,
        box: Corners | None = None,
        limit: float = 1e3,
        states: str = "walkers",
        spread: float = 0.0,
        batch_size: int = 1024,
        batches: int = 100,
        truth: object = "known",
        diffusion: DiffusionField | None = None,
        x: Tensor | None = None,
        initialise: bool = True,
        optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer] | None = None,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        figures: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dynamics = dynamics if isinstance(dynamics, Flow) else as_dynamics(dynamics)
        size = self.dynamics.size
        if potential is None:
            if size < 0:
                raise ValueError(
                    "dynamics: expected one that knows its size, as as_dynamics(f, size=N) and "
                    "as_flow(f, size=N) do; got a function"
                )
            potential = NeuralPotential(size)
        if not isinstance(potential, Potential) or not list(potential.parameters()):
            kind = type(potential).__name__
            raise ValueError(f"potential: expected one with parameters, got {kind}")
        self.potential = potential
        if isinstance(self.dynamics, MatchedNetwork) and diffusion is None:
            diffusion = self.dynamics.diffusion_at
        self.loss = loss or (epr_loss if isinstance(self.dynamics, Flow) else map_loss)
        if diffusion is not None and loss is None:
            self.loss = functools.partial(epr_loss, diffusion=diffusion)
        self.size = checks.count("size of potential", potential.size)
        if size not in (-1, self.size):
            raise ValueError(f"potential: expected size {size}, got {self.size}")
        self.flocks = Flocks(
            self.dynamics, self.size, walkers=walkers, start=start, burn_in=burn_in,
            refresh=refresh, dt=dt, box=box, limit=limit, states=states, spread=spread,
            diffusion=diffusion, seed=seed,
        )  # fmt: skip
        self.batch_size = checks.count("batch_size", batch_size, low=2)
        self.batches = checks.count("batches", batches)
        self.truth = known_potential(self.dynamics) if truth == "known" else truth
        self.diffusion, self.initialise = diffusion, initialise
        self.register_buffer("x", x, persistent=False)
        self.optimizer, self.scheduler = optimizer, scheduler
        self.sketches = Sketches(self._sketch, figures)
        self._begun = False
        self._mean = 0.0  # of the loss in this epoch
        self._produced: list[Tensor] = []  # at every test state, by batch

    @property
    def noisy(self) -> bool:
        """Whether the dynamics has noise, so that it has a density."""
        noise = self.dynamics.diffusion if isinstance(self.dynamics, Flow) else self.dynamics.noise
        return self.diffusion is not None or bool((torch.as_tensor(noise) != 0).any())

    def forward(self, u: Tensor) -> Tensor:
        """Return V (...) at u (..., N)."""
        return self.potential(u)

    def on_fit_start(self) -> None:
        """Let the walkers forget their start, begin with a Gaussian, refuse what cannot work."""
        begun = self._begun or self.flocks.saved is not None
        self._ready()
        self._begun = True
        if begun:
            return
        if self.initialise and isinstance(self.potential, NeuralPotential):
            own = self.flocks.source == "walkers" and not self.flocks.spread
            size = 4 * self.batch_size
            states = self.flocks.train.states if own else self.flocks.batch(size)
            open_with(self.potential, self.dynamics, self.loss, states, x=self.x)
        if isinstance(self.loss, OrthogonalDecomposition) and not self.loss.bounded:
            check_growth(self.potential, self.flocks.batch(self.batch_size))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of a batch and log the mean of the epoch so far."""
        loss = self.loss(self.dynamics, self.potential, batch)
        self._mean = self._mean if batch_idx else 0.0
        self._mean += (float(loss.detach()) - self._mean) / (batch_idx + 1)
        self.log("train/loss", self._mean, on_step=True, on_epoch=False, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log what the potential says at the states of the test walkers."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log the same after training."""
        self._evaluate(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the standard error of the entropy production."""
        self._log_error("val")

    def on_test_epoch_end(self) -> None:
        """Log the same for all batches of the test together."""
        self._log_error("test")

    def configure_callbacks(self) -> list[pl.Callback]:
        """Return what keeps the landscape before and after training, unless it is there."""
        there = self.sketches in getattr(self.trainer, "callbacks", [])
        return [] if there else [self.sketches]

    def configure_optimizers(self) -> Any:
        """Return what Lightning needs to train."""
        parts = [self.potential, *([self.loss] if isinstance(self.loss, nn.Module) else [])]
        make = self.optimizer or (lambda p: torch.optim.Adam(p, lr=2e-3))
        optimizer = make([p for part in parts for p in part.parameters() if p.requires_grad])
        if self.scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self.scheduler(optimizer), "interval": "epoch"}]

    def _ready(self) -> None:
        self._produced = []  # of a pass that was interrupted
        super()._ready()

    def _evaluate(self, u: Tensor, stage: str) -> None:
        f, V, flocks = self.dynamics, self.potential, self.flocks
        with observing(self, u):
            shown = {f"{stage}/{name}": value for name, value in self._quality(u).items()}
            taught = teacher_of(self.loss) is not None
            other = flocks.source == "box" or (taught and flocks.spread > 0)
            checked = flocks.batch(len(u), test=True) if other else u
            shown[f"{stage}/loss"] = loss = same_noise(lambda: self.loss(f, V, checked))
            if taught:
                shown[f"{stage}/missed"] = missed(f, self.loss, checked, loss, x=self.x)
            if self.diffusion is None and self.noisy:
                found = stationarity(f, u, x=self.x).scalars()
                shown |= {f"walkers/{name}": value for name, value in found.items()}
            shown["walkers/escape_rate"] = flocks.escape_rate
        self.log_dict({name: torch.tensor(value) for name, value in shown.items()},
                      batch_size=len(u), on_step=False, on_epoch=True)  # fmt: skip

    def _quality(self, u: Tensor) -> dict[str, float]:
        if not self.noisy:
            return {}
        f, V, seen = self.dynamics, self.potential, self.flocks.train.states
        if isinstance(f, Dynamics):
            found, rows = assess_map(f, V, seen, u, x=self.x)
        else:
            known: dict[str, Any] = {"truth": self.truth, "box": self.flocks.box}
            found, rows = assess_flow(f, V, seen, u, x=self.x, diffusion=self.diffusion, **known)
        self._produced.append(rows)
        found.pop("entropy_production_stderr", None)
        return found

    def _log_error(self, stage: str) -> None:
        """Log the standard error over walkers, each of which counts once in all batches."""
        rows, self._produced = self._produced, []
        if rows:
            own = torch.stack(rows).mean(0)
            error = own.std() / math.sqrt(len(own))
            self.log(f"{stage}/entropy_production_stderr", error, batch_size=len(own))

    def _sketch(self) -> PotentialMap | None:
        """Return the landscape at the states of the test walkers."""
        return sketched(
            self.dynamics, self.potential, self.flocks.test.states, x=self.x, box=self.flocks.box,
            diffusion=self.diffusion, nats=self.noisy and teacher_of(self.loss) is None,
        )  # fmt: skip
