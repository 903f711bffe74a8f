"""Training a potential: walkers follow the dynamics, and a loss of `sntorch.landscape` is lowered.

The learner makes its own batches.  Before the first epoch walkers forget where they started, and
a `NeuralPotential` begins with the Gaussian solution; between two epochs the walkers move on.  A
second set of walkers, as many with noise of their own, is never trained on: the entropy
production on the states of both sets brackets the true one.

The state of all walkers and of their noise is part of a checkpoint, so that a run that is taken up
ends on the same bits as one that was not interrupted.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics, observing, rollout
from sntorch.flows import EulerMaruyama, Flow, RungeKutta4
from sntorch.landscape import (
    MatchedNetwork,
    NeuralPotential,
    Potential,
    entropy_production,
    epr_loss,
    examine,
    map_loss,
    potential_map,
    stationarity,
)
from sntorch.landscape.learned import relative_error
from sntorch.landscape.metric import DiffusionField, map_noise, metric_of
from sntorch.landscape.quasipotential import check_growth, quasipotential_loss
from sntorch.plot import figure
from sntorch.systems import DoubleWell, OrnsteinUhlenbeck, StuartLandau
from sntorch.training.walkers import Box, Walkers

__all__ = ["OrthogonalDecomposition", "PotentialLearner", "known_potential"]

Loss = Callable[[Any, Any, Tensor], Tensor]

_TESTS = 16  # batches of the test after training, between which the test walkers move on


class OrthogonalDecomposition(nn.Module):
    """`quasipotential_loss` with a network for the rotation, which is trained with the potential.

    Parameters
    ----------
    size
        N.
    hidden
        Width of every hidden layer of the rotation.
    weight
        Of the orthogonality.
    bounded
        As for `quasipotential_loss`.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    >>> loss = OrthogonalDecomposition(2)
    >>> bool(loss(well, well.potential, torch.randn(64, 2)) > 0)  # the rotation is still to learn
    True
    """

    def __init__(
        self, size: int, *, hidden: Sequence[int] = (32, 32), weight: float = 1.0,
        bounded: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = [checks.count("size", size), *(checks.count("hidden", w) for w in hidden)]
        layers: list[nn.Module] = []
        for n, m in itertools.pairwise(widths):
            layers += [nn.Linear(n, m), nn.Tanh()]
        self.rotation = nn.Sequential(*layers, nn.Linear(widths[-1], size))
        self.weight, self.bounded = checks.positive("weight", weight), bounded

    def forward(self, flow: Any, potential: Any, states: Tensor) -> Tensor:
        """Return the loss ()."""
        return quasipotential_loss(
            flow, potential, states, rotation=self.rotation, weight=self.weight,
            bounded=self.bounded,
        )  # fmt: skip


class PotentialLearner(pl.LightningModule):
    """Learns the potential of a dynamics; ``Trainer.fit(learner)`` is all it needs.

    Logged are ``train/loss``; ``val/loss`` on the test walkers; ``train/entropy_production`` and
    ``val/entropy_production`` on the states of either set, with standard errors, and their
    difference ``val/gap``; balance, virial and Hamilton-Jacobi residual (`landscape.examine`);
    ``val/error`` and ``val/entropy_production_known`` where a potential is known; ``walkers/z`` and
    ``walkers/stationary`` (`landscape.stationarity`), and ``walkers/escape_rate``.  TensorBoard
    shows the landscape with the flux.  Of a map the entropy production is that of the steps of the
    test walkers, exact whatever the potential.

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
        Whether the potential starts from the Gaussian solution, if it is a `NeuralPotential`.
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
        box: tuple[Sequence[float], Sequence[float]] | None = None,
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
            potential = NeuralPotential(checks.count("size of dynamics", size))
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
        self.number = checks.count("walkers", walkers, low=8)
        self.begin = start if isinstance(start, Tensor) else checks.positive("start", start)
        self.burn_in = checks.count("burn_in", burn_in, low=0)
        self.refresh = checks.count("refresh", refresh, low=0)
        self.dt, self.limit = checks.positive("dt", dt), checks.positive("limit", limit)
        self.box = None if box is None else _corners(box, self.size)
        self.source = checks.one_of("states", states, ("walkers", "box"))
        if self.source == "box" and self.box is None:
            raise ValueError("states: expected walkers where there is no box, got 'box'")
        self.spread = checks.number("spread", spread, low=0)
        self.batch_size = checks.count("batch_size", batch_size, low=2)
        self.batches = checks.count("batches", batches)
        self.truth = known_potential(self.dynamics) if truth == "known" else truth
        self.diffusion, self.initialise = diffusion, initialise
        self.register_buffer("x", x, persistent=False)
        self.optimizer, self.scheduler = optimizer, scheduler
        self.figures = checks.count("figures", figures, low=0)
        self.seed = checks.count("seed", seed, low=0, high=4999)
        self.walkers: Walkers | None = None
        self.testers: Walkers | None = None
        self._saved: dict[str, Any] | None = None
        self._epoch = -1  # in which the walkers have moved on

    x: Tensor | None

    @property
    def noisy(self) -> bool:
        """Whether the dynamics has noise, so that it has a density."""
        noise = self.dynamics.diffusion if isinstance(self.dynamics, Flow) else self.dynamics.noise
        return self.diffusion is not None or bool((torch.as_tensor(noise) != 0).any())

    def forward(self, u: Tensor) -> Tensor:
        """Return V (...) at u (..., N)."""
        return self.potential(u)

    def setup(self, stage: str) -> None:
        """Make the walkers; those of an interrupted run follow from the checkpoint."""
        if self.walkers is None:
            self.walkers = self._walkers(2 * self.seed)
            self.testers = self._walkers(2 * self.seed + 1)

    def on_fit_start(self) -> None:
        """Let the walkers forget their start, begin with a Gaussian, refuse what cannot work."""
        train, test = self._both()
        if self._saved is not None:
            train.load_state_dict(self._saved["train"])
            test.load_state_dict(self._saved["test"])
            self._epoch, self._saved = self._saved["epoch"], None
            return
        if train.steps or not self.burn_in:
            return
        for walkers in (train, test):
            walkers.advance(self.burn_in)
        if self.initialise and isinstance(self.potential, NeuralPotential):
            own = self.source == "walkers" and not self.spread
            states = train.states if own else self._drawn(train, 4 * self.batch_size)
            self.potential.start(self.dynamics, states, self.x)
        if isinstance(self.loss, OrthogonalDecomposition) and not self.loss.bounded:
            check_growth(self.potential, self._drawn(train, self.batch_size))

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return the batches of an epoch."""
        return _loader(_Batches(self.batches, self._batch))

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return one batch, the states of all test walkers."""
        return _loader(_Batches(1, self._tested))

    def test_dataloader(self) -> DataLoader[Tensor]:
        """Return several batches, the states of all test walkers as they move on."""
        return _loader(_Batches(_TESTS, self._moved))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of a batch and log it at every step."""
        loss = self.loss(self.dynamics, self.potential, batch)
        self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log what the potential says at the states of the test walkers."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        """Log the same after training."""
        self._evaluate(batch, "test")

    def on_train_epoch_start(self) -> None:
        """Move the walkers on, once per epoch."""
        if self._epoch < self.current_epoch:
            for walkers in self._both():
                if self.current_epoch:
                    walkers.advance(self.refresh)
            self._epoch = self.current_epoch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the walkers."""
        train, test = self._both()
        saved = {"train": train.state_dict(), "test": test.state_dict(), "epoch": self._epoch}
        checkpoint["walkers"] = saved

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the walkers until training starts."""
        self._saved = checkpoint.get("walkers")

    def configure_optimizers(self) -> Any:
        """Return what Lightning needs to train."""
        parts = [self.potential, *([self.loss] if isinstance(self.loss, nn.Module) else [])]
        make = self.optimizer or (lambda p: torch.optim.Adam(p, lr=2e-3))
        optimizer = make([p for part in parts for p in part.parameters() if p.requires_grad])
        if self.scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self.scheduler(optimizer), "interval": "epoch"}]

    def _walkers(self, seed: int) -> Walkers:
        f, count = self.dynamics, self.number
        if isinstance(f, Flow):
            f = RungeKutta4(f, self.dt) if self.diffusion is None else EulerMaruyama(f, self.dt)
        like = next(p for p in self.potential.parameters())
        box: Box | None = None
        if self.box is not None:
            box = (self.box[0].to(like), self.box[1].to(like))
        zeros = torch.zeros(count, self.size, dtype=like.dtype, device=like.device)
        made = Walkers(
            f, zeros, x=self.x, box=box, limit=self.limit, diffusion=self.diffusion, seed=seed
        )
        if isinstance(self.begin, Tensor):
            places = self.begin.reshape(-1, self.size).to(like)
            made.states = places[torch.arange(count) % len(places)].clone()
        elif box is not None:
            made.states = made.uniform(count)
        else:
            options: dict[str, Any] = {"generator": made.stream, "dtype": like.dtype}
            made.states = self.begin * torch.randn(zeros.shape, device=like.device, **options)
        return made

    def _both(self) -> tuple[Walkers, Walkers]:
        if self.walkers is None or self.testers is None:
            raise ValueError("trainer: expected a fit or test that has started, got none")
        return self.walkers, self.testers

    def _drawn(self, walkers: Walkers, size: int) -> Tensor:
        if self.source == "box":
            return walkers.uniform(size)
        return walkers.batch(size, self.spread)

    def _batch(self) -> Tensor:
        return self._drawn(self._both()[0], self.batch_size)

    def _tested(self) -> Tensor:
        return self._both()[1].states

    def _moved(self) -> Tensor:
        self._both()[1].advance(self.refresh)
        return self._tested()

    def _evaluate(self, u: Tensor, stage: str) -> None:
        train, test = self._both()
        f, V = self.dynamics, self.potential
        with observing(self, u):
            shown = {f"{stage}/{name}": value for name, value in self._quality(train, u).items()}
            checked = self._drawn(test, len(u)) if self.source == "box" else u
            shown[f"{stage}/loss"] = float(self.loss(f, V, checked))
            if self.diffusion is None:
                found = stationarity(f, u, x=self.x).scalars()
                shown |= {f"walkers/{name}": value for name, value in found.items()}
            shown["walkers/escape_rate"] = (train.escape_rate + test.escape_rate) / 2
        self.log_dict({name: torch.tensor(value) for name, value in shown.items()},
                      batch_size=len(u), on_step=False, on_epoch=True)  # fmt: skip
        if stage == "val":
            self._draw(u, stage)

    def _quality(self, train: Walkers, u: Tensor) -> dict[str, float]:
        if not self.noisy:
            return {}
        if isinstance(self.dynamics, Dynamics):
            return self._map_quality(self.dynamics, u)
        options: dict[str, Any] = {"x": self.x, "diffusion": self.diffusion}
        found = examine(self.dynamics, self.potential, u, truth=self.truth, probes=self._probes,
                        generator=torch.Generator(u.device), **options).scalars()  # fmt: skip
        seen = epr_loss(self.dynamics, self.potential, train.states, **options).detach()
        found["gap"] = found["entropy_production"] - float(seen)
        found["entropy_production_train"] = float(seen)
        if self.truth is not None:
            exact = epr_loss(self.dynamics, self.truth, u, **options).detach()
            found["entropy_production_known"] = float(exact)
            if self.box is not None:
                found["error"] = self._box_error(u)
        return found

    def _box_error(self, u: Tensor) -> float:
        """Return the error over states that fill the box, always the same."""
        low, high = (corner.to(u) for corner in self.box or ())
        stream = torch.Generator(u.device)
        unit = torch.rand(2**14, self.size, dtype=u.dtype, device=u.device, generator=stream)
        at = low + (high - low) * unit
        truth: Any = self.truth
        scale = metric_of(self.dynamics, u, self.diffusion).scale  # pyright: ignore[reportArgumentType]
        return float(relative_error(self.potential.energy(at), truth(at), scale))

    def _map_quality(self, f: Dynamics, u: Tensor) -> dict[str, float]:
        orbit = torch.cat(
            [u[None], rollout(f, u, 1, x=self.x, generator=torch.Generator(u.device))]
        )
        produced = entropy_production(f, orbit, x=self.x)
        slope = self.potential.gradient(u)
        virial = ((u - u.mean(0)) * slope).sum(-1).mean() / (self.size * map_noise(f, u)[1])
        error = float(produced.value.std()) / math.sqrt(len(u))
        return {"entropy_production": float(produced.value.mean()),
                "entropy_production_stderr": error, "virial": float(virial)}  # fmt: skip

    @property
    def _probes(self) -> int | None:
        return None if self.size <= 16 else 4

    def _draw(self, u: Tensor, stage: str) -> None:
        last = self.current_epoch + 1 == self.trainer.max_epochs
        due = self.figures and (last or self.current_epoch % self.figures == 0)
        boards = [each for each in self.loggers if isinstance(each, TensorBoardLogger)]
        flow = isinstance(self.dynamics, Flow) and self.noisy and self.size > 1
        if not (due and boards and flow and self.trainer.is_global_zero):
            return
        found = potential_map(self.dynamics, self.potential, u, x=self.x, diffusion=self.diffusion)
        for board in boards:
            board.experiment.add_figure(
                f"{stage}/landscape", figure(found.map(torch.Tensor.cpu)), self.global_step
            )


def known_potential(f: object) -> Any:
    """Return V with P = exp(-V / Db) as a function, where it is known for all states, else None."""
    if isinstance(f, MatchedNetwork):
        return lambda u: f.energy(u) / f.temperature
    if isinstance(f, OrnsteinUhlenbeck):
        D = torch.as_tensor(f.diffusion, dtype=f.A.dtype)
        scale = D.diagonal().mean() if D.ndim == 2 else D.mean()
        K = scale * torch.linalg.inv(f.covariance)
        return lambda u: (u @ K.to(u) * u).sum(-1) / 2
    alike = isinstance(f, DoubleWell | StuartLandau) and torch.as_tensor(f.diffusion).ndim == 0
    return f.potential if isinstance(f, DoubleWell | StuartLandau) and alike else None


class _Batches(Dataset[Tensor]):
    """A number of batches, each made when it is asked for."""

    def __init__(self, count: int, make: Callable[[], Tensor]) -> None:
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.make()


def _loader(batches: _Batches) -> DataLoader[Tensor]:
    # A generator of its own: otherwise each pass over the data would draw from the global one.
    return DataLoader(batches, batch_size=None, generator=torch.Generator())


def _corners(box: tuple[Sequence[float], Sequence[float]], size: int) -> Box:
    low, high = (checks.table("box", list(corner), (size,)) for corner in box)
    if not bool((low < high).all()):
        raise ValueError(f"box: expected lower walls below upper ones, got {low} and {high}")
    return low, high
