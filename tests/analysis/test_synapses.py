"""What learning did: against matrices whose answer is known, and the analyses one by one."""

from typing import Any

import pytest
import torch
from references import random_coupling, random_generator, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import max_lyapunov, pattern_sensitivity, synaptic_change
from sntorch.plasticity import HebbianForgetting, Masked, Oja, PlasticSNTCell

N = 5
RULE = HebbianForgetting(forgetting=1.0, rate=2.0, activity=0.0)


def start(*rows, seed=2):
    return torch.randn(*rows, N, generator=random_generator(seed), dtype=torch.float64)


def rates(cell, u, steps, x=None):
    orbit = snt.rollout(cell, u, steps, x=x)
    return cell.rate(torch.cat([u.unsqueeze(0), orbit])).detach()


def test_a_change_by_the_rule_is_aligned_with_it():
    J, u = 0.3 * random_coupling(n=N), start(3)
    before = rates(snt.SNTCell(J), u, 8)
    asked = RULE(J, before[:-1], before[1:])
    found = synaptic_change(snt.SNTCell(J), u, 8, start=J - 0.01 * asked, rule=RULE)
    assert float(found.alignment) == pytest.approx(1, abs=1e-12)
    assert_close(found.change, (0.01 * asked).norm() / (J - 0.01 * asked).norm())
    away = synaptic_change(snt.SNTCell(J), u, 8, start=J + 0.01 * asked, rule=RULE)
    assert float(away.alignment) == pytest.approx(-1, abs=1e-12)
    none = synaptic_change(snt.SNTCell(J), u, 8, start=J, rule=RULE)
    assert float(none.change) == 0
    assert bool(none.alignment.isnan())


def test_a_learned_pattern_stands_out():
    J, pattern = 0.1 * random_coupling(n=N), torch.ones(N).double()
    used = J + 0.9 * torch.outer(pattern, pattern) / N
    found = synaptic_change(snt.SNTCell(used), start(), 5, start=J, rule=RULE)
    sizes = torch.linalg.eigvals(used).abs().sort(descending=True).values
    assert_close(found.eigenvalues.abs(), sizes)
    assert_close(found.outlier, sizes[0] / (used.square().sum() / N).sqrt())
    assert float(found.outlier) > 1.7


def test_it_is_the_analyses_one_by_one():
    cell = snt.SNTCell(random_coupling(n=N), input_size=2, gain=1.5)
    x, u = torch.randn(9, 3, 2, generator=random_generator(1), dtype=torch.float64), start(3)
    found = synaptic_change(cell, u, 7, start=cell.coupling.detach(), rule=RULE, transient=2, x=x)
    before = snt.rollout(cell, u, 2, x=x[:2])[-1].detach()
    assert_close(found.frozen, max_lyapunov(cell, before, 7, x=x[2:]).exponents[..., 0])
    assert bool(found.joint.isnan().all())
    answer = pattern_sensitivity(cell, before, 7, x=x[2:])
    assert_close(found.sensitivity, answer.relative)
    assert_close(found.sensitivity_stderr, answer.stderr)


def test_a_plastic_cell_is_compared_with_its_own_trace():
    base = snt.SNTCell(random_coupling(n=N), input_size=2)
    alpha = 0.3 * random_coupling(n=N, seed=8)
    f = PlasticSNTCell(base, alpha=alpha, rate=0.2)
    x = torch.randn(6, 3, 2, generator=random_generator(1), dtype=torch.float64)
    s, J0 = f.join(start(3)), base.coupling.detach() - 0.1
    found = synaptic_change(f, s, 6, start=J0, x=x)
    last = snt.rollout(f, s, 6, x=x)[-1].detach()
    trace = alpha * f.split(last)[1].mean(0)
    cosine = (0.1 * trace).sum() / (0.1 * N * trace.norm())
    assert_close(found.alignment, cosine)
    used = torch.linalg.eigvals(base.coupling.detach() + trace).abs()
    assert_close(found.eigenvalues.abs(), used.sort(descending=True).values)
    assert_close(found.joint, max_lyapunov(f, s, 6, x=x).exponents[..., 0])
    for row in range(3):
        held = snt.SNTCell(f.couplings(last[row]).detach(), input_size=2)
        held.load_state_dict({"input_weight": base.input_weight}, strict=False)
        one = max_lyapunov(held, start(3)[row], 6, x=x[:, row]).exponents[0]
        assert_close(found.frozen[row], one)


def test_without_learning_frozen_and_joint_agree():
    # Nothing is learned and the traces are zero: the neurons lead, ln 0.1 is far below.
    f = PlasticSNTCell(
        snt.SNTCell(random_coupling(n=N)), alpha=0.0, rate=0.0, forgetting=0.1, trainable=()
    )
    found = synaptic_change(
        f, f.join(start(2)), 400, start=f.cell.coupling.detach() + 1, transient=50
    )
    assert_close(found.joint, found.frozen, rtol=0, atol=1e-2)
    assert bool(found.sensitivity.isnan().all())
    assert set(found.scalars()) >= {"change", "alignment", "outlier", "frozen", "joint"}


def test_frozen_synapses_are_those_of_one_state():
    f = PlasticSNTCell(snt.SNTCell(random_coupling(n=N), threshold=0.1), alpha=0.5)
    s = f.join(start(), torch.ones(N, N).double())
    held = f.frozen(s)
    assert torch.equal(held.coupling, f.couplings(s))
    assert_close(held.map(start()), f.split(f.map(s))[0])
    assert not torch.equal(f.cell.coupling, held.coupling)
    with pytest.raises(ValueError, match=r"s: expected one state \(30,\), got \(2, 30\)"):
        f.frozen(f.join(start(2)))


def test_sparse_couplings_are_asked_where_they_exist():
    J = thinned(random_coupling(n=N))
    u = start()
    sparse = synaptic_change(snt.SNTCell(J.to_sparse_csr()), u, 6, start=0.5 * J, rule=Oja())
    dense = synaptic_change(snt.SNTCell(J), u, 6, start=0.5 * J, rule=Masked(Oja()))
    assert_close(sparse.alignment, dense.alignment)
    assert_close(sparse.change, torch.ones(()).double())


CELL = snt.SNTCell(random_coupling(n=N))
PLASTIC = PlasticSNTCell(CELL)


@pytest.mark.parametrize(
    ("f", "change", "message"),
    [
        (CELL, {}, "rule: expected a CouplingRule, since an SNTCell has no plastic parts of its"),
        (torch.nn.RNNCell(2, N), {}, "f: expected an SNTCell or PlasticSNTCell, got RNNCell"),
        (PLASTIC, {"rule": RULE}, "rule: expected None, since a PlasticSNTCell has its own"),
        (CELL, {"rule": RULE, "steps": 1}, "steps: expected"),
        (CELL, {"rule": RULE, "transient": -1}, "transient: expected"),
        (CELL, {"rule": RULE, "start": torch.eye(3).double()}, r"start: expected \(5, 5\)"),
        (CELL, {"rule": RULE, "start": torch.eye(N)}, "start: expected torch.float64"),
    ],
)
def test_wrong_arguments_are_named(f, change, message):
    given: dict[str, Any] = {"steps": 5, "start": torch.eye(N).double()} | change
    with pytest.raises(ValueError, match=message):
        synaptic_change(f, start(), given.pop("steps"), **given)
