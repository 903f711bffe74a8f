"""Learning a potential: walkers, the loop, the same bits after an interruption, truth recovered."""

import functools
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import NetworkPotential, NeuralPotential, epr_loss, teacher_loss
from sntorch.landscape.velocity import hjb_residual
from sntorch.streams import seeded
from sntorch.training import ExactResume, OrthogonalDecomposition, PotentialLearner
from sntorch.training.potentials import known_potential
from sntorch.training.walkers import Walkers

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
    return learner._both()


# Walkers


def test_walkers_are_reflected_at_walls():
    f = snt.as_dynamics(lambda u: u + torch.tensor([1.5, -5.0]), size=2)
    box = (torch.tensor([0.0, 0.0]), torch.tensor([2.0, 1.0]))
    walkers = Walkers(f, torch.tensor([[1.0, 0.5]]), box=box)
    walkers.advance(1)
    assert_close(walkers.states, torch.tensor([[1.5, 0.5]]))  # 2.5 -> 1.5; -4.5 -> 4.5 -> 0.5
    assert walkers.escapes == 0


def test_walkers_that_escape_are_counted_and_go_on_elsewhere():
    f = snt.as_dynamics(lambda u: torch.where(u > 1, u.square(), u / 2), size=1)
    start = torch.cat([torch.full((3, 1), 10.0), torch.full((5, 1), 0.5)])
    walkers = Walkers(f, start, limit=50.0)
    walkers.advance(2)
    assert walkers.escapes == 3
    assert_close(walkers.states, torch.cat([torch.full((3, 1), 0.125), torch.full((5, 1), 0.125)]))
    assert walkers.escape_rate == 3 / 16
    lost = Walkers(f, torch.full((4, 1), 10.0), limit=50.0)
    with pytest.raises(ValueError, match="expected walkers that stay below limit = 50"):
        lost.advance(3)
    gone = Walkers(snt.as_dynamics(lambda u: u / (u > 1), size=1), start)
    gone.advance(1)
    assert gone.escapes == 5  # numbers that are not finite


def test_walkers_sample_the_stationary_density_of_either_noise():
    flow = snt.systems.OrnsteinUhlenbeck(-torch.eye(2).double(), diffusion=0.5)
    walkers = Walkers(snt.RungeKutta4(flow, 0.05), torch.zeros(4000, 2).double(), seed=1)
    walkers.advance(120)
    assert snt.landscape.stationarity(walkers.f, walkers.states).stationary
    # D(u) = 1 + u^2 with F = 0 makes P flat between walls in the Ito sense only if F = D'
    f = snt.EulerMaruyama(lambda u: 2 * u, dt=0.004)
    box = (torch.tensor([-1.0]).double(), torch.tensor([1.0]).double())
    flat = Walkers(f, torch.zeros(2000, 1).double(), box=box, diffusion=lambda u: 1 + u.square())
    flat.advance(600)
    assert abs(float(flat.states.square().mean()) - 1 / 3) < 4 * (4 / 45 / 2000) ** 0.5 + 0.005


def test_walkers_go_on_where_they_were_saved():
    f = snt.EulerMaruyama(well(), dt=0.02)
    walkers = Walkers(f, torch.randn(16, 2), seed=5)
    walkers.advance(3)
    saved = walkers.state_dict() | {"states": walkers.states.clone()}
    walkers.advance(4)
    other = Walkers(f, torch.zeros(16, 2), seed=9)
    other.load_state_dict(saved)
    other.advance(4)
    assert torch.equal(other.states, walkers.states)
    assert torch.equal(other.batch(5, 0.1), walkers.batch(5, 0.1))


# The loop


def test_a_learner_logs_what_it_promises_and_leaves_the_dynamics_alone():
    learner = small()
    fit = trainer(2)
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


def test_a_run_that_is_taken_up_ends_on_the_same_bits(tmp_path):
    whole = small()
    trainer(4, callbacks=[ExactResume()]).fit(whole)
    first = small()
    half = trainer(2, callbacks=[ExactResume()])
    half.fit(first)
    half.save_checkpoint(tmp_path / "half.ckpt")
    torch.manual_seed(77)  # another process would stand elsewhere
    second = PotentialLearner(
        well(), NeuralPotential(2, (8,)), box=BOX, dt=0.02, seed=3, walkers=64, burn_in=20,
        refresh=5, batch_size=32, batches=4,
    )  # fmt: skip
    resumed = trainer(4, callbacks=[ExactResume()])
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
        flow, NeuralPotential(16, (16,), dtype=torch.float64), walkers=3000, burn_in=150, dt=0.02,
        batches=1, batch_size=750, start=start,
    )  # fmt: skip
    fit = trainer(1, limit_train_batches=0)
    learner.setup("fit")
    learner.on_fit_start()
    train, test = both(learner)[0].states, both(learner)[1].states
    V, T = learner.potential, known_potential(flow)
    # on the states that it was fitted to it is lower than the truth, on others higher
    assert float(epr_loss(flow, V, train).detach()) < float(epr_loss(flow, T, train).detach())
    assert float(epr_loss(flow, V, test).detach()) > float(epr_loss(flow, T, test).detach())
    quality = learner._quality(both(learner)[0], test)
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


def test_known_potentials_are_those_of_the_stationary_density():
    A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]])
    flow = snt.systems.OrnsteinUhlenbeck(A, diffusion=torch.tensor([0.3, 0.5]))
    u = torch.randn(20, 2)
    residual = hjb_residual(flow, known_potential(flow), u)
    assert float(residual.detach().abs().max()) < 1e-5
    assert known_potential(snt.systems.DoubleWell(2, diffusion=torch.ones(2))) is None
    assert known_potential(snt.systems.Lorenz()) is None
    assert_close(known_potential(well())(u), well().potential(u))


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
