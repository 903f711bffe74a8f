"""Homeostasis against its formula and its mean field."""

import math

import numpy as np
import pytest
import torch
from references import gaussian_mean, random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import GainHomeostasis, IntrinsicHomeostasis, learn


def activity():
    return torch.randn(7, 2, 3, generator=random_generator(), dtype=torch.float64)


def test_thresholds_follow_the_activity():
    post, theta = activity(), torch.tensor([0.1, 0.2, 0.3]).double()
    change = IntrinsicHomeostasis(rate=0.4, activity=0.2)(theta, post, post)
    assert_close(change, 0.4 * (post.reshape(-1, 3).sum(0) / 14 - 0.2))


def test_gains_follow_the_power_and_keep_their_sign():
    post, gain = activity(), torch.tensor([1.0, -2.0, 3.0]).double()
    change = GainHomeostasis(rate=0.4, power=0.9)(gain, post, post)
    assert_close(change, 0.4 * gain * (0.9 - (post**2).reshape(-1, 3).sum(0) / 14))
    wild = gain + GainHomeostasis(rate=50.0)(gain, post, post)
    assert torch.equal(wild.sign(), gain.sign())


def test_the_rate_falls():
    rule = IntrinsicHomeostasis(rate=0.3, horizon=20.0)
    assert [rule.at(n).rate for n in (0, 20, 60)] == pytest.approx([0.3, 0.15, 0.075])
    assert IntrinsicHomeostasis(rate=0.3).at(100).rate == 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntrinsicHomeostasis(rate=-0.1), "rate: expected"),
        (lambda: IntrinsicHomeostasis(horizon=0.0), "horizon: expected a finite number > 0"),
        (lambda: IntrinsicHomeostasis(activity=math.nan), "activity: expected a finite number"),
        (lambda: GainHomeostasis(power=-1.0), "power: expected"),
        (
            lambda: IntrinsicHomeostasis()(torch.zeros(4), torch.zeros(3), torch.zeros(3)),
            "post: expected 4 on the last axis",
        ),
        (
            lambda: IntrinsicHomeostasis()(torch.tensor(0.0), torch.zeros(3), torch.zeros(3)),
            "value: expected at least 1 axis",
        ),
        (
            lambda: GainHomeostasis()(torch.full((3,), math.nan), torch.zeros(3), torch.zeros(3)),
            "value: expected finite numbers",
        ),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Mean field


def solve(g, low, high):
    """Return the zero of a rising function."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if g(middle) > 0 else (middle, high)
    return (low + high) / 2


def balanced(phi, slope, m0, std=1.0):
    """Return static field z and exponent of a network whose mean activities are all m0."""
    w, z = 1.0, 0.0
    for _ in range(200):
        z = solve(lambda z, w=w: gaussian_mean(phi, z, w) - m0, -9, 9)
        w = std**2 * (gaussian_mean(lambda v: phi(v) ** 2, z, w) - m0**2)
    return z, math.log(std**2 * gaussian_mean(lambda v: slope(v) ** 2, z, w)) / 2


def test_gains_reach_their_mean_field():
    # All gains are alike: E tanh(g sqrt(q0) h)^2 = q0.
    q0, n = 0.5, 400
    expected = solve(
        lambda g: gaussian_mean(lambda h: np.tanh(g * math.sqrt(q0) * h) ** 2, 0, 1) - q0, 0.1, 20
    )
    g = random_generator(1)
    cell = snt.SNTCell(snt.couplings.gaussian(n, generator=g), gain=1.5)
    rule = GainHomeostasis(rate=0.5, horizon=20.0, power=q0)
    history = learn(cell, rule, torch.randn(n, generator=g), 150, steps=30)
    gain = history.cell.gain
    assert gain.shape == (n,)
    assert float(cell.gain) == 1.5
    with torch.no_grad():
        power = history.cell.rate(snt.rollout(history.cell, history.state, 1500)).square().mean(0)
    assert abs(float(power.mean()) - q0) < 0.005
    # Single gains differ by the finite size and the noise of the last epochs.
    assert abs(float(gain.mean()) / expected - 1) < 0.02
    assert float(gain.std()) / expected < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transfer", "gain", "m0", "phi", "slope"),
    [
        ("tanh", 2.0, 0.0, lambda v: np.tanh(2 * v), lambda v: 2 / np.cosh(2 * v) ** 2),
        (
            "tanh01",
            6.0,
            0.3,
            lambda v: (1 + np.tanh(6 * v)) / 2,
            lambda v: 3 / np.cosh(6 * v) ** 2,
        ),
    ],
    ids=["tanh", "tanh01"],
)
def test_thresholds_reach_their_mean_field(transfer, gain, m0, phi, slope):
    z, expected = balanced(phi, slope, m0)
    if transfer == "tanh":
        assert expected == pytest.approx(0.154724, abs=2e-6)
    exponents, before, fields, disordered = [], [], [], []
    for seed in range(4):
        g = random_generator(seed)
        J = snt.couplings.gaussian(1000, generator=g)
        theta = 0.3 + 0.5 * torch.randn(1000, generator=g)
        cell = snt.SNTCell(J, gain=gain, threshold=theta, transfer=transfer)
        u = torch.randn(1000, generator=g)
        before.append(float(snt.analysis.max_lyapunov(cell, u, 500, transient=100)))
        rule = IntrinsicHomeostasis(rate=0.3, horizon=20.0, activity=m0)
        history = learn(cell, rule, u, 200, steps=40)
        found = snt.analysis.max_lyapunov(history.cell, history.state, 1500, transient=100)
        exponents.append(float(found))
        disordered.append(snt.rollout(cell, u, 500)[100:].detach().mean(0))
        fields.append(snt.rollout(history.cell, history.state, 500).detach().mean(0))
    mean, error = np.mean(exponents), np.std(exponents, ddof=1) / 2
    assert abs(mean - expected) < 0.01
    assert error < 0.005
    assert np.mean(before) < expected - 0.05  # homeostasis raises the exponent
    # The disorder is cancelled: the fields of neurons differ by the noise of finite means alone.
    field, disorder = torch.stack(fields), torch.stack(disordered)
    assert abs(float(field.mean()) - z) < 0.02
    assert float(field.std(1).mean()) < 0.2 * float(disorder.std(1).mean())


@pytest.mark.parametrize(
    "make",
    [
        lambda hebb, own: hebb + own,
        lambda hebb, own: own + hebb,
        lambda hebb, own: 0.5 * own,
        lambda hebb, own: own * 2,
    ],
)
def test_rules_of_other_quantities_are_listed_not_added(make):
    hebb, own = snt.plasticity.HebbianForgetting(), IntrinsicHomeostasis()
    expected = r"rule: expected rules of couplings .*, got one of thresholds; learn\(cell, \[rule"
    with pytest.raises(ValueError, match=expected):
        make(hebb, own)
    with pytest.raises(TypeError, match="unsupported operand"):
        hebb + "rule"  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
