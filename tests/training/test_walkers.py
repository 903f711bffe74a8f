"""Walkers: walls, escapes, the density they sample, and where they go on."""

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.training.walkers import Walkers


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
    walkers = Walkers(flow, torch.zeros(4000, 2).double(), dt=0.05, seed=1)
    walkers.advance(120)
    assert snt.landscape.stationarity(flow, walkers.states).stationary
    # D(u) = 1 + u^2 with F = 0 makes P flat between walls in the Ito sense only if F = D'
    f = snt.flows.as_flow(lambda u: 2 * u)
    box = (torch.tensor([-1.0]).double(), torch.tensor([1.0]).double())
    flat = Walkers(
        f, torch.zeros(2000, 1).double(), dt=0.004, box=box, diffusion=lambda u: 1 + u.square()
    )
    flat.advance(600)
    assert abs(float(flat.states.square().mean()) - 1 / 3) < 4 * (4 / 45 / 2000) ** 0.5 + 0.005
    with pytest.raises(ValueError, match="diffusion: expected None for a map"):
        Walkers(snt.EulerMaruyama(f, dt=0.004), flat.states, diffusion=lambda u: 1 + u.square())


@pytest.mark.parametrize("dt", [0.5, 0.25])
def test_the_bias_of_coarse_steps_of_a_flow_is_that_of_the_second_order(dt):
    """The covariance that steps of Heun's method of a linear flow have, in closed form."""
    A = torch.tensor([[-1.0, 0.6], [-0.2, -1.4]]).double()
    D = torch.tensor([[0.5, 0.2], [0.2, 0.3]]).double()
    walkers = Walkers(
        snt.systems.OrnsteinUhlenbeck(A, diffusion=D), torch.zeros(60_000, 2).double(), dt=dt
    )
    walkers.advance(round(10 / dt))
    half, whole = torch.eye(2) + A * dt / 2, torch.eye(2) + A * dt + A @ A * dt**2 / 2
    S = torch.zeros_like(A)
    for _ in range(200):
        S = whole @ S @ whole.T + half @ (2 * D * dt) @ half.T
    found = torch.cov(walkers.states.T)
    error = (torch.outer(S.diagonal(), S.diagonal()) + S.square()).sqrt() / 60_000**0.5
    assert bool(((found - S).abs() < 4 * error).all())
    exact = snt.landscape.linear_flow(A, D).covariance
    assert float((S - exact).abs().max() / exact.max()) < 0.6 * dt**2


def test_one_step_of_a_curved_flow_has_the_mean_of_the_exact_one_to_second_order():
    """du = -u^3 dt + sqrt(2 D) dW from u = 1: the mean by its Taylor series in dt."""
    D, dt = 0.3, 0.05
    walkers = Walkers(
        snt.flows.as_flow(lambda u: -(u**3), diffusion=D), torch.ones(400_000, 1).double(), dt=dt
    )
    walkers.advance(1)
    found, error = float(walkers.states.mean()), float(walkers.states.std()) / 400_000**0.5
    # L phi = -u^3 phi' + D phi'': L u = -u^3, L L u = 3 u^5 - 6 D u
    blind = 1 - dt + dt**2 / 2 * 3  # noise that is added at the end of the step
    assert abs(found - (blind - 3 * D * dt**2)) < 4 * error < 3 * D * dt**2


def test_walkers_go_on_where_they_were_saved():
    f = snt.EulerMaruyama(snt.systems.DoubleWell(2, diffusion=0.1), dt=0.02)
    walkers = Walkers(f, torch.randn(16, 2), seed=5)
    walkers.advance(3)
    saved = walkers.state_dict() | {"states": walkers.states.clone()}
    walkers.advance(4)
    other = Walkers(f, torch.zeros(16, 2), seed=9)
    other.load_state_dict(saved)
    other.advance(4)
    assert torch.equal(other.states, walkers.states)
    assert torch.equal(other.batch(5, 0.1), walkers.batch(5, 0.1))
