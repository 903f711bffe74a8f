"""Learning a potential: walkers, the loop, the same bits after an interruption, truth recovered."""

import functools
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    NetworkPotential,
    NeuralPotential,
    epr_loss,
    flux_velocity,
    known_potential,
    teacher_loss,
)
from sntorch.landscape.production import local_production
from sntorch.streams import seeded
from sntorch.training import ExactResume, OrthogonalDecomposition, PotentialLearner
from sntorch.training.lowering import lower

BOX = ([-2.0, -2.2], [2.0, 2.2])


def well(**options):
    return snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1, **options)


def trainer(epochs, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
             "enable_model_summary": False, "accelerator": "cpu"}  # fmt: skip
    return pl.Trainer(max_epochs=epochs, **(quiet | options))


def small(**options):
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "walkers": 64,
        "burn_in": 20,
        "refresh": 5,
        "batch_size": 32,
        "batches": 4,
    }
    settings = {"box": BOX, "dt": 0.02, "seed": 3} | settings | options
    return PotentialLearner(well(), NeuralPotential(2, (8,)), **settings)


def both(learner):
    """Return the walkers and the test walkers."""
    return learner.flocks.train, learner.flocks.test


def test_a_learner_logs_what_it_promises_and_leaves_the_dynamics_alone():
    learner = small()
    fit = trainer(1)
    fit.fit(learner)
    known = fit.callback_metrics
    for name in ("val/loss", "train/loss", "val/entropy_production", "val/gap", "val/balance",
                 "val/error", "val/entropy_production_known", "val/entropy_production_train",
                 "val/hamilton_jacobi", "walkers/z", "walkers/stationary",
                 "walkers/escape_rate"):  # fmt: skip
        assert bool(known[name].isfinite()), name
    found = snt.landscape.examine(learner.dynamics, learner.potential, both(learner)[1].states)
    assert_close(float(known["val/entropy_production"]), float(found.entropy_production), rtol=1e-5,
                 atol=0)  # fmt: skip
    gap = known["val/entropy_production"] - known["val/entropy_production_train"]
    assert_close(known["val/gap"], gap)
    tested = fit.test(learner, verbose=False)[0]
    assert tested["test/entropy_production"] > 0


def test_the_error_after_a_test_is_that_of_walkers_over_all_batches():
    learner = small()
    learner.flocks.ready(torch.zeros(()), None)
    seen, move = [], learner.flocks.moved

    def moved():
        seen.append(move())
        return seen[-1]

    learner.flocks.moved = moved
    tested = trainer(1).test(learner, verbose=False)[0]
    assert len(seen) > 1
    each = torch.stack(
        [local_production(learner.dynamics, learner.potential, u).detach() for u in seen]
    )
    assert_close(tested["test/entropy_production"], float(each.mean()), rtol=1e-5, atol=0)
    expected = float(each.mean(0).std()) / 8  # 64 walkers
    assert_close(tested["test/entropy_production_stderr"], expected, rtol=1e-5, atol=0)


def test_a_test_of_a_checkpoint_takes_its_walkers_up(tmp_path):
    first = small()
    fit = trainer(1)
    fit.fit(first)
    fit.save_checkpoint(tmp_path / "one.ckpt")
    before = both(first)[1].states
    other = small()
    trainer(1).validate(other, ckpt_path=tmp_path / "one.ckpt", verbose=False)
    assert torch.equal(both(other)[1].states, before)


def test_a_run_that_is_taken_up_ends_on_the_same_bits(tmp_path):
    whole = small()
    trainer(2, callbacks=[ExactResume()]).fit(whole)
    first = small()
    half = trainer(1, callbacks=[ExactResume()])
    half.fit(first)
    half.save_checkpoint(tmp_path / "half.ckpt")
    torch.manual_seed(77)  # another process would stand elsewhere
    second = PotentialLearner(
        well(), NeuralPotential(2, (8,)), box=BOX, dt=0.02, seed=3, walkers=64, burn_in=20,
        refresh=5, batch_size=32, batches=4,
    )  # fmt: skip
    resumed = trainer(2, callbacks=[ExactResume()])
    resumed.fit(second, ckpt_path=tmp_path / "half.ckpt")
    for a, b in zip(whole.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(both(whole)[0].states, both(second)[0].states)
    assert torch.equal(both(whole)[1].states, both(second)[1].states)
    moved = any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(),
                                                      strict=True))  # fmt: skip
    assert moved


def test_a_linear_flow_is_learned_from_its_start():
    """The quadratic start brackets the exact entropy production, before any step."""
    J = snt.couplings.gaussian(16, std=0.6, generator=seeded(1), dtype=torch.float64)
    flow = snt.systems.OrnsteinUhlenbeck(J - torch.eye(16).double(), diffusion=0.5)
    exact = float(snt.landscape.linear_flow(flow.A, 0.5).entropy_production)
    root = torch.linalg.cholesky(flow.covariance)
    start = torch.randn(3000, 16, dtype=torch.float64) @ root.T
    learner = PotentialLearner(
        flow, NeuralPotential(16, (16,), dtype=torch.float64), walkers=3000, burn_in=60, dt=0.05,
        batches=1, batch_size=750, start=start,
    )  # fmt: skip
    fit = trainer(1, limit_train_batches=0)
    learner.on_fit_start()
    train, test = both(learner)[0].states, both(learner)[1].states
    V, T = learner.potential, known_potential(flow)
    # on the states that it was fitted to it is lower than the truth, on others higher
    assert float(epr_loss(flow, V, train).detach()) < float(epr_loss(flow, T, train).detach())
    assert float(epr_loss(flow, V, test).detach()) > float(epr_loss(flow, T, test).detach())
    quality = learner._quality(test)
    for value in (quality["entropy_production_train"], quality["entropy_production"]):
        assert abs(value / exact - 1) < 0.05
    assert quality["error"] < 0.06
    assert fit.max_epochs == 1


@pytest.mark.slow
def test_the_double_well_is_learned_by_both_ways():
    flow = well()
    torch.manual_seed(2)
    adam = functools.partial(torch.optim.Adam, lr=5e-3)
    cosine = lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 15)  # noqa: E731
    common: dict[str, Any] = {"box": BOX, "walkers": 4096, "optimizer": adam,
                              "scheduler": cosine, "figures": 0, "batch_size": 512}  # fmt: skip
    learner = PotentialLearner(flow, NeuralPotential(2, (24, 24)), dt=0.01, burn_in=400,
                               refresh=50, batches=80, **common)  # fmt: skip
    fit = trainer(15)
    fit.fit(learner)
    found = fit.callback_metrics
    ratio = found["val/entropy_production"] / found["val/entropy_production_known"]
    assert abs(float(ratio) - 1) < 0.015
    assert float(found["val/error"]) < 0.12
    torch.manual_seed(2)
    common |= {"box": ([-1.7, -2.0], [1.7, 2.0]), "batch_size": 1024,
               "optimizer": functools.partial(torch.optim.Adam, lr=3e-3)}  # fmt: skip
    learner = PotentialLearner(
        flow, NeuralPotential(2, (32, 32)), loss=OrthogonalDecomposition(2), states="box",
        burn_in=1, refresh=0, batches=100, **common,
    )  # fmt: skip
    trainer(15).fit(learner)
    axis = torch.linspace(-1.2, 1.2, 401)
    V = learner.potential(torch.stack([axis, torch.zeros(401)], -1)).detach()
    for side in (V[:200], V[200:]):
        assert abs(float(V[200] - side.min()) - 1) < 0.03


@pytest.mark.slow
def test_the_flux_round_a_ring_is_right_at_every_state_that_counts():
    """Angular velocity 1 of the closed form, from states drawn exactly, up to 6 nats."""
    ring, stream = snt.systems.StuartLandau(diffusion=0.1), seeded(1)
    square = 1 + 0.2**0.5 * torch.randn(40000, generator=stream)  # |u|^2
    radius = square[square > 0].sqrt()
    angle = 2 * torch.pi * torch.rand(len(radius), generator=stream)
    u = torch.stack([radius * angle.cos(), radius * angle.sin()], -1)
    V = NeuralPotential(2, (24, 24), generator=stream).start(ring, u)

    def loss():
        return epr_loss(ring, V, u[torch.randint(len(u), (2048,), generator=stream)])

    for _ in lower(loss, V.parameters(), 250, 0.02):
        pass
    grid = torch.linspace(-1.8, 1.8, 121)
    at = torch.cartesian_prod(grid, grid)
    at = at[ring.potential(at) < 0.6]
    v = flux_velocity(ring, V, at).detach()
    turning = (at[:, 0] * v[:, 1] - at[:, 1] * v[:, 0]) / at.square().sum(-1)
    shown = at.norm(dim=-1) > 0.3  # where an angle means something
    assert bool((turning[shown] > 0).all())
    assert abs(float(turning[shown].mean()) - 1) < 0.05


@pytest.mark.slow
def test_the_hopfield_energy_is_learned_with_the_matching_noise():
    J = snt.couplings.gaussian(4, std=1.5, symmetry=1.0, generator=seeded(2))
    noisy = snt.landscape.MatchedNetwork(snt.systems.AmariWilsonCowan(J), temperature=0.2)
    learner = PotentialLearner(
        noisy, NetworkPotential(4), box=([-2.0] * 4, [2.0] * 4), dt=0.004, walkers=1024,
        burn_in=300, refresh=20, batches=100, batch_size=512, figures=0,
        optimizer=functools.partial(torch.optim.Adam, lr=0.1),
        scheduler=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    )  # fmt: skip
    fit = trainer(10)
    fit.fit(learner)
    assert float(fit.callback_metrics["val/correlation"]) > 0.999
    assert float(fit.callback_metrics["val/entropy_production"]) < 0.02


def test_maps_and_teachers_are_learned_from_too():
    J = snt.couplings.gaussian(6, std=0.8, generator=seeded(4))
    cell = snt.SNTCell(J, noise=0.3, trainable=())
    fit = trainer(1)
    learner = PotentialLearner(cell, NeuralPotential(6, (8,)), walkers=256, burn_in=20, refresh=2,
                               batch_size=128, batches=5)  # fmt: skip
    fit.fit(learner)
    assert {"val/entropy_production", "val/virial"} <= set(fit.callback_metrics)
    quiet = snt.SNTCell(J, trainable=())
    taught = PotentialLearner(quiet, NeuralPotential(6, (8,)), loss=teacher_loss, walkers=256,
                              burn_in=2, spread=0.5, batch_size=128, batches=30)  # fmt: skip
    before = trainer(1, limit_train_batches=0)
    before.validate(taught, verbose=False)
    again = trainer(3)
    again.fit(taught)
    assert again.callback_metrics["val/loss"] < before.callback_metrics["val/loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"walkers": 3}, "walkers: expected"),
        ({"box": None, "states": "box"}, "states: expected walkers"),
        ({"box": ([0.0, 0.0], [1.0, -1.0])}, "box: expected lower walls"),
        ({"box": ([0.0], [1.0])}, "box: expected a table"),
        ({"dt": 0.0}, "dt: expected"),
        ({"spread": -1.0}, "spread: expected"),
        ({"batch_size": 1}, "batch_size: expected"),
        ({"states": "grid"}, "states: expected one of"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_what_cannot_work_is_refused_before_training():
    with pytest.raises(ValueError, match="potential: expected one with parameters"):
        PotentialLearner(well(), snt.landscape.SpeedPotential(well()))
    with pytest.raises(ValueError, match=r"dynamics: expected one that knows its size"):
        PotentialLearner(lambda u: -u)
    with pytest.raises(ValueError, match="potential: expected size 2, got 3"):
        PotentialLearner(well(), NeuralPotential(3))
    quiet = PotentialLearner(snt.systems.DoubleWell(2), NeuralPotential(2, (4,)), loss=epr_loss,
                             walkers=32, burn_in=5, batches=1)  # fmt: skip
    with pytest.raises(ValueError, match="expected noise, without which"):
        trainer(1).fit(quiet)
    bounded = PotentialLearner(well(), NetworkPotential(2), loss=OrthogonalDecomposition(2),
                               walkers=32, burn_in=5, batches=1)  # fmt: skip
    with pytest.raises(ValueError, match="expected one that grows"):
        trainer(1).fit(bounded)
    wild = PotentialLearner(snt.as_dynamics(lambda u: 10 * u, size=1, noise=1.0),
                            walkers=32, burn_in=2000, limit=1e3)  # fmt: skip
    with pytest.raises(ValueError, match="expected walkers that stay below limit"):
        trainer(1).fit(wild)
