"""The monitor of fixed points: what it logs, that watching changes nothing, and known points."""

import pytest
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from scenes import TinyTask, snt_model, torch_model, trainer, weights

import sntorch as snt
from sntorch.plot import plot
from sntorch.training import FixedPointMonitor
from sntorch.training.probes import Probe


@pytest.mark.parametrize("kind", ["snt", pytest.param("GRU", marks=pytest.mark.slow)])
def test_watching_changes_no_bit_of_training(kind, tmp_path):
    ends = []
    for callbacks in ([], [FixedPointMonitor(starts=4, every_n_epochs=1)]):
        model = snt_model() if kind == "snt" else torch_model(kind)
        trainer(2, callbacks, TensorBoardLogger(tmp_path) if callbacks else False).fit(
            model, TinyTask()
        )
        ends.append(weights(model))
    assert torch.equal(*ends)
    (monitor,) = callbacks
    names = {"points", "stable", "converged", "energy_visited", "slow", "energy_slow"}
    assert set(monitor.scalars) == {f"fixed_points/{name}" for name in names}
    assert monitor.before.keys() == monitor.after.keys() == {"points", "slow"}
    again = FixedPointMonitor()
    again.load_state_dict(monitor.state_dict())
    assert torch.equal(again.before["slow"].visited, monitor.before["slow"].visited)  # type: ignore


def test_points_that_are_known():
    """u' = tanh(2u) has two stable points and an unstable one between them."""
    f = snt.as_dynamics(lambda u: torch.tanh(2 * u))
    u = torch.tensor([[1.0], [-1.0], [1e-4], [0.0]]).double()
    seen = FixedPointMonitor(starts=8, rows=4).look(Probe(f=f, u=u, x=None, steps=2))
    scalars = seen["points"].scalars() | seen["slow"].scalars()
    assert scalars["points"] == 3
    assert scalars["stable"] == 2
    assert scalars["slow"] == 0
    assert scalars["energy_visited"] > 0
    for record in seen.values():
        assert plot(record).get_legend()


def test_slow_points_are_told_from_fixed_ones():
    """u' = u + (u^2 + c): for c = 0.01 there is no fixed point, only a slow one at 0."""
    f = snt.as_dynamics(lambda u: u + u.square() + 0.01)
    u = torch.full((3, 1), -0.4).double()
    seen = FixedPointMonitor(starts=3).look(Probe(f=f, u=u, x=None, steps=4))
    scalars = seen["slow"].scalars()
    assert scalars["slow"] == 3
    assert scalars["energy_slow"] == pytest.approx(0.01**2 / 2, rel=1e-3)
    assert seen["points"].scalars()["points"] == 0
    assert "3 of 3" in plot(seen["slow"]).get_legend().get_title().get_text()  # type: ignore
