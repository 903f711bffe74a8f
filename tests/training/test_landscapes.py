"""The monitor of the landscape: known landscapes, the same bits, and bad input."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from scenes import TinyTask, snt_model, torch_model, trainer, weights

import sntorch as snt
from sntorch.landscape import NeuralPotential
from sntorch.plot import plot
from sntorch.training import ExactResume, PotentialMonitor
from sntorch.training.lowering import Best, lower
from sntorch.training.probes import Probe

SMALL: dict[str, Any] = {"walkers": 32, "burn_in": 20, "record": 10, "learn": 8, "hidden": (8,)}


def learned(monitor):
    return torch.cat([p.detach().flatten() for p in monitor.potential.parameters()])


@pytest.mark.slow
def test_two_wells_are_found_and_stay_when_they_move_apart():
    """u' = tanh(2u) along one axis: wells near +-1 under weak noise, one without the gain."""

    def probe(gain):
        f = snt.as_dynamics(
            lambda u: torch.cat([torch.tanh(gain * u[..., :1]), 0.3 * u[..., 1:]], -1),
            size=3, noise=0.25,
        )  # fmt: skip
        return Probe(f=f, u=torch.randn(16, 3, generator=torch.Generator()), x=None, steps=5)

    monitor = PotentialMonitor(walkers=128, learn=120)
    first: Any = monitor.look(probe(2.0))
    fit = first["fit"]
    assert fit.wells == 2
    assert fit.scalars()["structure"] > 0.5
    train, test, gaussian = fit.information.tolist()
    assert abs(train - test) < 0.1 * test
    assert gaussian < test
    V: Any = monitor.potential
    axis = monitor.axes[0]  # type: ignore
    assert float(axis[0].abs()) > 0.99
    y = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    low, other, top = (V.energy(y) / monitor.scale).tolist()
    assert abs(low - other) < 1  # the network is odd
    assert top > low + 1.5
    monitor._looks = 1
    monitor.learn = 20
    assert monitor.look(probe(2.2))["fit"].wells == 2  # type: ignore
    monitor.learn = 120
    single: Any = monitor.look(probe(0.5), full=False)
    assert set(single) == {"fit"}
    assert single["fit"].wells == 1
    assert abs(single["fit"].scalars()["structure"]) < 0.1
    for record in first.values():
        assert plot(record)


def test_watching_changes_no_bit_of_training(tmp_path):
    ends = []
    for callbacks in ([], [PotentialMonitor(every_n_epochs=1, **SMALL)]):
        model = snt_model()
        logger = TensorBoardLogger(tmp_path) if callbacks else False
        trainer(1, callbacks, logger).fit(model, TinyTask())
        ends.append(weights(model))
    assert torch.equal(*ends)
    (monitor,) = callbacks
    assert {"potential/information", "potential/entropy_production", "potential/wells",
            "potential/defect", "potential/stationary"} <= set(monitor.scalars)  # fmt: skip
    assert monitor.before.keys() == monitor.after.keys() == {"fit", "landscape"}
    assert all(p.grad is None for p in monitor.potential.parameters())  # type: ignore


def test_a_run_that_is_taken_up_learns_the_same_bits(tmp_path):
    def run(epochs, **options):
        monitor = PotentialMonitor(every_n_epochs=1, **SMALL)
        fit = trainer(epochs, [monitor, ExactResume()])
        fit.fit(snt_model(), TinyTask(), **options)
        return fit, monitor

    whole = run(2)[1]
    half, first = run(1)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, second = run(2, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(learned(whole), learned(second))
    assert not torch.equal(learned(first), learned(second))
    assert torch.equal(whole.after["fit"].information, second.after["fit"].information)  # type: ignore


def test_noise_is_asked_for_where_there_is_none():
    with pytest.raises(ValueError, match="noise: expected some"):
        trainer(1, [PotentialMonitor(**SMALL)]).fit(torch_model("GRU"), TinyTask())
    monitor = PotentialMonitor(noise=0.1, every_n_epochs=1, **SMALL)
    trainer(1, [monitor]).fit(torch_model("GRU"), TinyTask())
    assert monitor.scalars["potential/entropy_production"] > 0
    with pytest.raises(ValueError, match="one recurrent part, got none"):
        PotentialMonitor().setup(trainer(1), pl.LightningModule(), "fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"walkers": 33}, "walkers: expected an even number"),
        ({"walkers": 4}, "walkers: expected"),
        ({"learn": 0}, "learn: expected"),
        ({"record": 1}, "record: expected"),
        ({"noise": 0.0}, "noise: expected"),
        ({"lr": -1.0}, "lr: expected"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        PotentialMonitor(**options)


def test_lowering_leaves_the_surroundings_alone():
    V = NeuralPotential(1, (4,))
    V.centre.requires_grad_(False)
    u = torch.randn(64, 1)
    before = [p.detach().clone() for p in V.parameters()]
    with torch.inference_mode():
        done = list(lower(lambda: (V.energy(u) - u[:, 0]).square().mean(), V.parameters(), 5, 0.1))
        assert torch.is_inference_mode_enabled()
    assert done == list(range(5))
    assert any(not torch.equal(a, b) for a, b in zip(before, V.parameters(), strict=True))
    assert all(p.grad is None for p in V.parameters())


def test_the_best_is_remembered_and_restored():
    layer = torch.nn.Linear(1, 1)
    values = iter([3.0, 1.0, 2.0, 0.5, 4.0, 4.0])
    best = Best(layer, lambda: next(values), patience=2)
    seen = []
    for i in range(5):
        torch.nn.init.constant_(layer.weight, float(i))
        seen.append(best.passed())
    assert seen == [False, False, False, False, True]
    best.restore()
    assert float(layer.weight.detach()) == 2.0  # where the loss was 0.5


def test_lowering_that_is_left_early_leaves_no_gradients():
    V = NeuralPotential(1, (4,))
    u = torch.randn(64, 1)
    for _ in lower(lambda: (V.energy(u) - u[:, 0]).square().mean(), V.parameters(), 5, 0.1):
        break
    assert all(p.grad is None for p in V.parameters())
