"""Rules that act between batches, and the monitor of plastic networks, in small runs."""

import math
from typing import Any

import pytest
import torch
from scenes import IN, STEPS, H, TinyTask, snt_model, torch_model, trainer, weights
from torch import nn
from torch.utils.data import DataLoader

import sntorch as snt
from sntorch.plasticity import (
    BCM,
    HebbianForgetting,
    IntrinsicHomeostasis,
    Oja,
    PlasticSNTCell,
    Rule,
)
from sntorch.training import LocalRule, PlasticityMonitor, SequenceModel
from sntorch.training.probes import Probe
from sntorch.training.tasks import EpochSampler

HEBB = HebbianForgetting(forgetting=0.9, rate=0.5, activity=0.0)


def plastic_model(seed=0, **settings) -> Any:
    torch.manual_seed(seed)
    cell = snt.SNTCell(snt.couplings.gaussian(H), gain=1.4, input_size=IN)
    return SequenceModel(PlasticSNTCell(cell, alpha=0.5, rate=0.2, **settings), 2)


def still(parameters):
    """Return an optimizer that leaves everything as it is."""
    return torch.optim.SGD(parameters, lr=0.0)


class Drifting(Rule):
    target = "threshold"

    def __call__(self, value, pre, post):
        return torch.full_like(value, math.nan if len(pre) > 3 else 0.0)


# A rule between batches


def test_a_rule_acts_after_every_batch_as_by_hand():
    model: Any = snt_model(noise=0.0)
    model.optimizer = still
    J = model.recurrent.cell.coupling.detach().clone()
    cell: Any = snt_model(noise=0.0).recurrent.cell
    assert torch.equal(J, cell.coupling)
    task = TinyTask()
    trainer(1, [LocalRule(HEBB, rows=5)], limit_val_batches=0).fit(model, task)
    for x, _ in DataLoader(task.data, 16, sampler=EpochSampler(48, 0, lambda: 0)):
        drive, u = x[:5].transpose(0, 1), torch.zeros(5, H)
        with torch.no_grad():
            states = torch.cat([u[None], snt.rollout(cell, u, STEPS, x=drive)])
            y = torch.tanh(1.4 * states)
            m, k = y[:-1].mean(0), y[1:].mean(0)
            hebb = torch.einsum("ri,rj->ij", k, m.relu()) / 5
            cell.coupling.mul_(0.9).add_(0.5 / H * hebb)
    torch.testing.assert_close(model.recurrent.cell.coupling, cell.coupling)
    assert not torch.equal(J, cell.coupling)


def test_a_rule_and_gradients_share_a_network_and_streams_stay():
    ends = []
    for callbacks in ([], [LocalRule(HEBB)], [LocalRule(HEBB * 0.0)]):
        model = snt_model()
        trainer(2, callbacks).fit(model, TinyTask())
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[2])  # nothing is added, no random number is drawn
    assert not torch.equal(ends[0], ends[1])


def test_a_rule_may_act_on_some_batches():
    counts = []

    class Counting(Rule):
        target = "coupling"

        def __call__(self, value, pre, post):
            counts.append(pre.shape)
            return torch.zeros_like(value)

    model = snt_model()
    trainer(2, [LocalRule(Counting(), every_n_batches=2, rows=4)]).fit(model, TinyTask())
    assert counts == [(STEPS, 4, H)] * 4  # batches 0 and 2 of 3, in two epochs


def test_thresholds_learn_as_well():
    torch.manual_seed(0)
    cell = snt.SNTCell(
        snt.couplings.gaussian(H), threshold=torch.zeros(H), input_size=IN, trainable=()
    )
    model = SequenceModel(snt.SNT(cell, batch_first=True, output="rate"), 2)
    rule = IntrinsicHomeostasis(rate=0.2, activity=0.3)
    trainer(4, [LocalRule(rule)]).fit(model, TinyTask())
    assert (cell.threshold < 0).all()  # too quiet: thresholds fell


def test_the_slow_couplings_of_a_plastic_cell_learn():
    model = plastic_model()
    model.optimizer = still
    before: Any = model.recurrent
    J = before.cell.coupling.detach().clone()
    trainer(1, [LocalRule(HEBB)]).fit(model, TinyTask())
    assert (before.cell.coupling - J).abs().max() > 1e-3


def test_a_rule_that_diverges_names_the_batch_and_changes_nothing():
    torch.manual_seed(0)
    cell = snt.SNTCell(snt.couplings.gaussian(H), threshold=torch.zeros(H), input_size=IN)
    model = SequenceModel(snt.SNT(cell, batch_first=True), 2)
    with pytest.raises(ValueError, match="of the threshold, got others in batch 0 of epoch 0"):
        trainer(1, [LocalRule(Drifting())]).fit(model, TinyTask())
    assert cell.threshold.abs().max() == 0
    assert not model.recurrent._forward_pre_hooks


def low_rank_model():
    coupling = snt.couplings.LowRank(torch.randn(H, 2), torch.randn(H, 2))
    return SequenceModel(snt.SNT(snt.SNTCell(coupling, input_size=IN), batch_first=True), 2)


@pytest.mark.parametrize(
    ("make", "rule", "message"),
    [
        (lambda: torch_model("GRU", batch_first=True), HEBB, "part: expected an SNT network at"),
        (low_rank_model, HEBB, "in which a rule would create synapses"),
        (snt_model, IntrinsicHomeostasis(), "expected a threshold for every neuron at 'recurrent'"),
    ],
)
def test_a_rule_without_its_network_fails_before_training(make, rule, message):
    with pytest.raises(ValueError, match=message):
        trainer(1, [LocalRule(rule)]).fit(make(), TinyTask())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="rule: expected a Rule, got int"):
        LocalRule(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="every_n_batches: expected"):
        LocalRule(HEBB, every_n_batches=0)
    with pytest.raises(ValueError, match="rows: expected"):
        LocalRule(HEBB, rows=0)
    with pytest.raises(ValueError, match="rule: expected a CouplingRule or None, got Intrin"):
        PlasticityMonitor(rule=IntrinsicHomeostasis())  # pyright: ignore[reportArgumentType]


# The monitor


def test_a_plastic_network_is_watched():
    monitor = PlasticityMonitor(every_n_epochs=1)
    model = plastic_model()
    J = model.recurrent.cell.coupling.detach().clone()
    run = trainer(3, [monitor])
    run.fit(model, TinyTask())
    names = ("change", "alignment", "outlier", "frozen", "joint", "sensitivity")
    assert all(math.isfinite(monitor.scalars[f"plasticity/{name}"]) for name in names)
    now: Any = model.recurrent.cell.coupling.detach()
    assert monitor.scalars["plasticity/change"] == pytest.approx(float((now - J).norm() / J.norm()))
    assert float(run.callback_metrics["plasticity/change"]) > 0
    before: Any = monitor.before["plasticity"]
    assert float(before.change) == 0
    x = TinyTask().data.tensors[0][:4].transpose(0, 1)
    part: Any = model.recurrent
    expected = snt.analysis.synaptic_change(
        part, torch.zeros(4, part.size), STEPS - STEPS // 4, start=J, transient=STEPS // 4, x=x
    )
    assert monitor.scalars == pytest.approx(
        {f"plasticity/{key}": value for key, value in expected.scalars().items()}, abs=1e-6
    )


def test_learning_by_a_rule_alone_is_along_it():
    monitor = PlasticityMonitor(every_n_epochs=1)
    model: Any = snt_model(noise=0.0)
    model.optimizer = still
    slow = HebbianForgetting(forgetting=1.0, rate=1e-3, activity=-0.5)
    trainer(2, [LocalRule(slow), monitor]).fit(model, TinyTask())
    assert monitor.rule is slow
    assert monitor.scalars["plasticity/alignment"] > 0.9
    assert math.isnan(monitor.scalars["plasticity/joint"])
    other = PlasticityMonitor(rule=-1.0 * slow)
    twin = snt_model(noise=0.0)
    twin.optimizer = still
    trainer(2, [LocalRule(slow), other]).fit(twin, TinyTask())
    assert other.scalars["plasticity/alignment"] < -0.9


def test_watching_changes_no_bit_of_training():
    ends = []
    for callbacks in ([], [PlasticityMonitor()]):
        model = plastic_model()
        trainer(2, callbacks).fit(model, TinyTask())
        ends.append(weights(model))
    assert torch.equal(*ends)


def test_a_resumed_monitor_knows_where_learning_began():
    monitor = PlasticityMonitor(every_n_epochs=1)
    model = plastic_model()
    trainer(1, [monitor]).fit(model, TinyTask())
    again = PlasticityMonitor(every_n_epochs=1)
    again.load_state_dict(monitor.state_dict())
    probe = Probe(f=model.recurrent, u=torch.zeros(2, H + H * H), x=torch.randn(6, 2, IN), steps=6)  # pyright: ignore[reportArgumentType]
    found: Any = [each.look(probe)["plasticity"] for each in (monitor, again)]
    assert float(found[0].change) == float(found[1].change) > 0


@pytest.mark.parametrize(
    "callbacks",
    [
        [PlasticityMonitor()],
        [PlasticityMonitor(), LocalRule(IntrinsicHomeostasis())],
    ],
)
def test_a_network_without_plastic_synapses_is_refused_before_training(callbacks):
    torch.manual_seed(0)
    cell = snt.SNTCell(snt.couplings.gaussian(H), threshold=torch.zeros(H), input_size=IN)
    model = SequenceModel(snt.SNT(cell, batch_first=True), 2)
    with pytest.raises(ValueError, match=r"part: expected plastic parts, .* got SNT at 'recurren"):
        trainer(1, callbacks).fit(model, TinyTask())
    with pytest.raises(ValueError, match=r"part: expected plastic parts, .* got GRU"):
        trainer(1, callbacks[:1]).fit(torch_model("GRU", batch_first=True), TinyTask())


@pytest.mark.parametrize("rule", [Oja(), BCM()])
def test_a_rule_given_to_the_monitor_is_kept(rule):
    monitor = PlasticityMonitor(rule=rule)
    trainer(1, [monitor, LocalRule(HEBB)]).fit(snt_model(), TinyTask())
    assert monitor.rule is rule


# The model


def test_a_plastic_cell_is_read_out_by_its_rates():
    model = plastic_model()
    part: Any = model.recurrent
    x = torch.randn(3, STEPS, IN)
    orbit = snt.rollout(part, part.join(torch.zeros(3, H)), STEPS, x=x.transpose(0, 1))
    expected = nn.functional.linear(
        torch.tanh(1.4 * orbit[-1, :, :H]), model.readout.weight, model.readout.bias
    )
    torch.testing.assert_close(model(x), expected)
