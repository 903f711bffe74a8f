"""Rules of couplings against loops over neurons and steps, and where learning must end."""

import math

import pytest
import torch
from references import random_generator, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import (
    BCM,
    AntiHebbian,
    Covariance,
    Dauce,
    HebbianForgetting,
    Oja,
    RateSTDP,
    SynapticScaling,
)

T, ROWS, SENDERS, RECEIVERS = 6, 2, 4, 3

RULES = [
    HebbianForgetting(0.7, 0.6, 0.1),
    Dauce(0.6, 0.2),
    Covariance(0.6),
    AntiHebbian(0.6, 0.2),
    Oja(0.6),
    BCM(0.6),
    RateSTDP(0.6, 0.4, 2.0, 3.0),
    SynapticScaling(0.6, 0.2),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


def activity(seed=0, m=RECEIVERS, n=SENDERS, rows=(ROWS,)):
    g = random_generator(seed)
    pre = torch.randn(T, *rows, n, generator=g, dtype=torch.float64)
    return pre, torch.randn(T, *rows, m, generator=g, dtype=torch.float64)


def coupling(seed=3, m=RECEIVERS, n=SENDERS):
    return torch.randn(m, n, generator=random_generator(seed), dtype=torch.float64)


def slow(rule, J, pre, post):
    """Return dJ synapse by synapse; pre (T, R, n), post (T, R, m)."""
    change = torch.zeros_like(J)
    for i in range(J.shape[0]):
        for j in range(J.shape[1]):
            rows = [one(rule, J, pre[:, r], post[:, r], i, j, post) for r in range(pre.shape[1])]
            change[i, j] = sum(rows) / len(rows)
    return change


def one(rule, J, pre, post, i, j, everything):
    """Return the change of J[i, j] that one row asks for, in the words of the table."""
    x, y, n, w = pre[:, j].tolist(), post[:, i].tolist(), J.shape[1], float(J[i, j])
    steps = range(len(x))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    match rule:
        case HebbianForgetting(forgetting, rate, d):
            return (forgetting - 1) * w + rate / n * (mean_y - d) * max(mean_x - d, 0)
        case Dauce(rate, d):
            return rate / n * sum((y[t] - d) * (x[t] - d) for t in steps if x[t] > d)
        case Covariance(rate):
            return rate / n * sum((y[t] - mean_y) * (x[t] - mean_x) for t in steps) / len(x)
        case AntiHebbian(rate, d):
            return -rate / n * sum((y[t] - d) * (x[t] - d) for t in steps) / len(x)
        case Oja(rate):
            return rate * sum(y[t] * (x[t] - y[t] * w) for t in steps) / len(x)
        case BCM(rate):
            sliding = float(everything[..., i].square().mean())
            return rate * sum(y[t] * (y[t] - sliding) * x[t] for t in steps) / len(x)
        case RateSTDP(up, down, tau_up, tau_down):
            total = 0.0
            for t in steps:
                for s in steps:  # the receiver's moment is s + 1
                    lag = s + 1 - t
                    if lag > 0:
                        total += up * math.exp(-lag / tau_up) * y[s] * x[t]
                    elif lag < 0:
                        total -= down * math.exp(lag / tau_down) * y[s] * x[t]
            return total / n / len(x)
        case SynapticScaling(rate, d):
            return rate * (d - mean_y) * w
    raise AssertionError(rule)


@every_rule
def test_a_rule_is_its_formula(rule):
    J, (pre, post) = coupling(), activity()
    found, kept = rule(J, pre, post), J.clone()
    assert_close(found, slow(rule, J, pre, post))
    assert torch.equal(J, kept)


@every_rule
def test_sparse_couplings_change_where_they_exist(rule):
    J, (pre, post) = thinned(coupling(m=5, n=4)), activity(m=5)
    layer = snt.couplings.Sparse(J)
    found = torch.zeros_like(J)
    with torch.no_grad():
        found[layer.pattern.rows().long(), layer.columns.long()] = rule(layer, pre, post)
    assert_close(found, torch.where(J != 0, slow(rule, J, pre, post), 0.0))


@every_rule
@pytest.mark.parametrize("rows", [(), (2, 3)], ids=str)
def test_rows_are_averaged(rule, rows):
    J, (pre, post) = coupling(), activity(rows=rows)
    flat = [part.reshape(T, -1, part.shape[-1]) for part in (pre, post)]
    assert_close(rule(J, pre, post), slow(rule, J, *flat))


@every_rule
def test_one_step_is_a_series(rule):
    J, (pre, post) = coupling(), activity()
    assert_close(rule(J, pre[0, 0], post[0, 0]), slow(rule, J, pre[:1, :1], post[:1, :1]))


def test_rules_compose():
    J, (pre, post) = coupling(), activity()
    first, second = Oja(0.3), SynapticScaling(0.2, 0.1)
    both = 2 * first + second * 0.5
    assert_close(both(J, pre, post), 2 * first(J, pre, post) + second(J, pre, post) / 2)
    assert_close((first - second)(J, pre, post), first(J, pre, post) - second(J, pre, post))
    assert both.at(3)(J, pre, post).shape == J.shape


@every_rule
def test_dense_layers_are_matrices(rule):
    J, (pre, post) = coupling(), activity()
    with torch.no_grad():
        assert torch.equal(rule(snt.couplings.Dense(J), pre, post), rule(J, pre, post))


# Where learning ends


def patterns(seed=1, count=400, n=5):
    g = random_generator(seed)
    scale = torch.tensor([1.5, 1.0, 0.7, 0.5, 0.3], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64)).Q
    return torch.randn(count, n, generator=g, dtype=torch.float64) * scale @ turn


def test_oja_finds_the_leading_eigenvector():
    pre = patterns()
    values, vectors = torch.linalg.eigh(pre.T @ pre / len(pre))
    J = coupling(m=2, n=5)
    rule = Oja(0.1)
    for _ in range(500):
        J = J + rule(J, pre, pre @ J.T)
    overlap = (J @ vectors[:, -1]).abs()
    assert values[-1] > 1.5 * values[-2]
    assert_close(overlap, torch.ones_like(overlap), rtol=0, atol=1e-3)
    assert_close(J.norm(dim=1), torch.ones_like(overlap), rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bcm_selects_one_pattern(seed):
    # Of K independent patterns one keeps the response K, the others 0 (Intrator and Cooper 1992).
    K = 4
    g = random_generator(seed)
    pre = torch.eye(K, dtype=torch.float64) + 0.3 * torch.rand(K, K, generator=g).double()
    J = 0.5 + 0.1 * torch.rand(1, K, generator=g).double()
    rule = BCM(0.05)
    for _ in range(3000):
        J = J + rule(J, pre, pre @ J.T)
    response = (pre @ J.T).flatten().sort(descending=True).values
    assert_close(response, torch.tensor([K, 0, 0, 0]).double(), rtol=0, atol=1e-3)


def test_anti_hebbian_learning_decorrelates():
    x = patterns(seed=2) @ torch.diag(torch.tensor([1, 1, 1, 0, 0]).double())[:, :2]
    J, eye = torch.zeros(2, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    rule = snt.plasticity.Masked(AntiHebbian(0.2), ~eye.bool())

    def correlation(J):
        y = x @ torch.linalg.inv(eye - J).T
        return y, float(torch.corrcoef(y.T)[0, 1])

    start = correlation(J)[1]
    for _ in range(300):
        y = correlation(J)[0]
        J = J + rule(J, y, y)
    assert abs(start) > 0.3
    assert abs(correlation(J)[1]) < 0.05 * abs(start)
    assert J.diagonal().abs().max() == 0


def test_stdp_learns_the_order_of_events():
    # Neuron 0 is active one step before neuron 1.
    states = torch.zeros(6, 2)
    states[2, 0] = states[3, 1] = 1
    dJ = RateSTDP(1.0, 0.5, 4.0, 4.0)(torch.zeros(2, 2), states[:-1], states[1:])
    expected = torch.tensor([[0.0, -0.5], [1.0, 0.0]]) * math.exp(-1 / 4) / 2 / 5
    assert_close(dJ, expected)


# Wrong arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HebbianForgetting(forgetting=1.1), r"forgetting: expected .* \[0, 1\], got 1.1"),
        (lambda: HebbianForgetting(forgetting=-0.1), "forgetting: expected"),
        (lambda: HebbianForgetting(rate=-1.0), "rate: expected"),
        (lambda: HebbianForgetting(rate=math.nan), "rate: expected a finite number"),
        (lambda: Oja(math.inf), "rate: expected a finite number"),
        (lambda: BCM(-1.0), "rate: expected"),
        (lambda: Dauce(0.1, math.nan), "activity: expected a finite number"),
        (lambda: RateSTDP(tau_depression=0.0), "tau_depression: expected a finite number > 0"),
        (lambda: RateSTDP(depression=-1.0), "depression: expected"),
        (lambda: Oja() * math.nan, "factor: expected a finite number"),
    ],
)
def test_numbers_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def low_rank():
    return snt.couplings.LowRank(coupling(n=2), coupling(m=4, n=2))


@pytest.mark.parametrize(
    ("J", "change", "message"),
    [
        (low_rank, {}, "J: .* got LowRank, in which a rule would create synapses"),
        (lambda: coupling().to_sparse_coo(), {}, "J: .* layout torch.sparse_coo, in which a rule"),
        (lambda: coupling()[0], {}, "J: expected a matrix"),
        (lambda: coupling() * math.nan, {}, "J: expected finite numbers"),
        (coupling, {"pre": torch.zeros(T, ROWS, 5).double()}, "pre: expected 4 on the last axis"),
        (coupling, {"post": torch.zeros(T, ROWS, 3)}, "post: expected torch.float64"),
        (coupling, {"post": torch.zeros(T, 1, 3).double()}, r"post: .* \(6, 2\) of pre"),
        (coupling, {"pre": torch.full((T, ROWS, 4), math.inf).double()}, "pre: expected finite"),
    ],
)
def test_wrong_arguments_are_named(J, change, message):
    pre, post = activity()
    with pytest.raises(ValueError, match=message):
        Oja()(J(), change.get("pre", pre), change.get("post", post))
