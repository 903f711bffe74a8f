"""Attractors of flows: fixed points, cycles with known periods and Floquet exponents, none."""

import math

import pytest
import torch
from references import random_generator
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import find_attractors, find_cycle


def starts(rows, n, seed=0, std=1.0):
    return std * torch.randn(rows, n, generator=random_generator(seed), dtype=torch.float64)


def ring(alpha=1.0, w=1.0):
    """Return a flow whose cycle is the unit circle, of period 2 pi / w, exponent -2 alpha."""

    def drift(u):
        turned = torch.stack([-u[..., 1], u[..., 0]], -1)
        return -alpha * (u.square().sum(-1, keepdim=True) - 1) * u + w * turned

    return drift


@pytest.mark.parametrize(("alpha", "w"), [(1.0, 1.0), (0.5, 3.0), (2.0, -0.7)])
def test_ring(alpha, w):
    cycle = find_cycle(ring(alpha, w), torch.tensor([0.8, 0.3], dtype=torch.float64), dt=0.02)
    assert cycle is not None
    assert cycle.kind == "limit cycle"
    assert cycle.stable
    assert cycle.period == pytest.approx(2 * math.pi / abs(w), rel=1e-6)
    assert_close(cycle.states.norm(dim=-1), torch.ones(200).double(), rtol=0, atol=1e-6)
    assert float(cycle.rates[0].real) == 0
    assert float(cycle.rates[1].real) == pytest.approx(-2 * alpha, rel=1e-5)
    assert cycle.error < 1e-10


def test_period_of_the_tanh_ring():
    found = find_attractors(snt.systems.TanhRing(), starts(4, 2))
    assert [each.kind for each in found.found] == ["limit cycle"]
    assert found.found[0].period == pytest.approx(9.883176, rel=1e-6)
    assert found.label.tolist() == [0] * 4
    assert_close(found.saddles, torch.zeros(1, 2).double(), rtol=0, atol=1e-10)
    # The mean divergence is the sum of the rates.
    flow, cycle = snt.systems.TanhRing(), found.found[0]
    trace = flow.jacobian(cycle.states).diagonal(dim1=-2, dim2=-1).sum(-1).mean()
    assert float(cycle.rates.real.sum()) == pytest.approx(float(trace), rel=1e-5)


def test_double_well():
    u = starts(10, 2)
    found = find_attractors(snt.systems.DoubleWell(2, barrier=0.7), u)
    assert len(found.found) == 2
    side = torch.stack([found.found[i].states[0, 0] for i in found.label.tolist()])
    assert_close(side, u[:, 0].sign(), rtol=0, atol=1e-9)
    assert found.shares.tolist() == sorted(found.shares.tolist(), reverse=True)
    assert float(found.shares.sum()) == pytest.approx(1)
    rates = found.found[0].rates.real
    assert_close(rates, torch.tensor([-1.0, -5.6], dtype=torch.float64), rtol=1e-9, atol=0)
    assert_close(found.saddles, torch.zeros(1, 2).double(), rtol=0, atol=1e-9)
    assert found.scalars() == {
        "fixed_points": 2.0, "limit_cycles": 0.0, "saddles": 1.0, "unassigned": 0.0
    }  # fmt: skip


def test_a_point_within_a_cycle_beside_it():
    # r' = r (r^2 - 1/4) (1 - r^2), turning by one: origin and unit circle are stable.
    def drift(u):
        s = u.square().sum(-1, keepdim=True)
        turned = torch.stack([-u[..., 1], u[..., 0]], -1)
        return (s - 0.25) * (1 - s) * u + turned

    u = torch.tensor([[0.2, 0.0], [0.0, 0.8], [1.5, 0.0], [0.3, 0.1]], dtype=torch.float64)
    found = find_attractors(drift, u)
    kinds = [found.found[i].kind for i in found.label.tolist()]
    assert kinds == ["fixed point", "limit cycle", "limit cycle", "fixed point"]


@pytest.mark.slow
def test_chaos_is_neither():
    found = find_attractors(snt.systems.Lorenz(), starts(3, 3, std=5), settle=8, dt=0.04)
    assert found.found == ()
    assert found.label.tolist() == [-1] * 3
    assert found.scalars()["unassigned"] == 1
    assert found.shares.shape == (0,)


def test_rest_is_no_cycle():
    flow = snt.systems.OrnsteinUhlenbeck(-torch.eye(2).double())
    assert find_cycle(flow, torch.tensor([1.0, 0.0], dtype=torch.float64), longest=20) is None
    centre = torch.zeros(2, dtype=torch.float64)
    assert find_cycle(snt.systems.TanhRing(), centre, longest=20) is None


def test_drive_is_read():
    flow = snt.flows.as_flow(lambda u, x: x - u)
    x = torch.tensor([0.7], dtype=torch.float64)
    found = find_attractors(flow, starts(3, 1), x, settle=40)
    assert_close(found.found[0].states, torch.tensor([[0.7]]).double())


def test_network_and_no_trace():
    J = snt.couplings.gaussian(20, std=1.3, generator=random_generator(), dtype=torch.float64)
    flow, u = snt.systems.AmariWilsonCowan(J), starts(2, 20)
    before = torch.get_rng_state(), u.clone(), flow.training
    found = find_attractors(flow, u, settle=10, dt=0.1)
    assert_close((torch.get_rng_state(), u, flow.training), before, rtol=0, atol=0)
    with torch.inference_mode():
        again = find_attractors(flow, u, settle=10, dt=0.1)
    assert_close(again.label, found.label)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"settle": 0.0}, r"settle: expected"),
        ({"dt": -1.0}, r"dt: expected"),
        ({"points": 7}, r"points: expected"),
        ({"x": torch.zeros(3, 2).double()}, r"x: expected one constant drive"),
        ({"u": torch.zeros(3, 5).double()}, r"u: expected 2 on the last axis"),
        ({"u": torch.full((3, 2), math.nan).double()}, r"u: expected finite"),
    ],
)
def test_wrong_arguments(settings, message):
    u = settings.pop("u", starts(3, 2))
    with pytest.raises(ValueError, match=message):
        find_attractors(snt.systems.TanhRing(), u, **settings)
    if "x" not in settings and u.ndim == 2:
        with pytest.raises(ValueError, match=r"u: expected one state"):
            find_cycle(snt.systems.TanhRing(), starts(3, 2))


def test_a_map_is_no_flow():
    with pytest.raises(ValueError, match="flow: expected a Flow"):
        find_attractors(snt.SNTCell(torch.zeros(2, 2)), starts(3, 2))
