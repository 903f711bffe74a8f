"""Scores of states: where the losses are least, and their bias."""

import math
from typing import Any

import pytest
import torch
from quadratics import FULL, exact_states, linear, quadratic, slope_at
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    denoising_loss,
    flux_velocity,
    map_loss,
    score_matching_loss,
)


@pytest.mark.parametrize("probes", [None, 4])
def test_score_matching_is_least_at_the_score_of_the_states(probes):
    flow, u, K = linear("general")
    K = FULL.diagonal().mean() * torch.linalg.inv(flow.covariance)
    fisher = torch.trace(FULL @ torch.linalg.inv(flow.covariance))
    loss = lambda k: score_matching_loss(  # noqa: E731
        flow, quadratic(k), u, probes=probes, generator=torch.Generator())  # fmt: skip
    if probes is None:
        assert_close(loss(K).detach(), -fisher)
        assert_close(slope_at(loss, K), torch.zeros(3).double(), atol=1e-8, rtol=0)
    else:
        many = score_matching_loss(flow, quadratic(K), u.repeat(20000, 1), probes=4).detach()
        assert_close(many, -fisher, rtol=0.01, atol=0)


def trap(k=1.0, w=2.0, D=0.3):
    drift = torch.tensor([[-k, -w], [w, -k]], dtype=torch.float64)
    return snt.systems.OrnsteinUhlenbeck(drift, diffusion=D)


def test_denoising_is_least_at_the_smoothed_density_and_its_bias_is_of_fourth_order():
    flow, C, D = trap(), 0.3, 0.3
    u = torch.randn(40000, 2, dtype=torch.float64) * C**0.5
    width = 0.4

    def loss(k):
        return denoising_loss(
            flow, lambda v: k * v.square().sum(-1) / 2, u, width=width, generator=torch.Generator()
        ).detach()

    ks = [D / (C + width**2) * factor for factor in (0.9, 1.0, 1.1)]
    values = torch.stack([loss(k) for k in ks])
    best = 1 + 0.1 * (values[0] - values[2]) / (2 * (values[0] - 2 * values[1] + values[2]))
    assert abs(float(best) - 1) < 0.02
    assert_close(values[1], torch.tensor(-2 * D / (C + width**2)).double(), rtol=0.03, atol=0)
    # the velocity with that potential, in closed form: EPR + 2 (k - K)^2 C / D, K - k = O(width^2)
    exact_u = exact_states(flow.covariance)
    exact = 2 * 2.0**2 / 1.0
    errors, forces = [], []
    for w in (0.05, 0.1):
        k = D / (C + w**2)
        v = flux_velocity(flow, lambda s, k=k: k * s.square().sum(-1) / 2, exact_u).detach()
        errors.append(float(v.square().sum(-1).mean() / D) - exact)
        F = flow.drift(exact_u)
        forces.append(abs(float((F * v).sum(-1).mean() / D) - exact))
    assert math.log2(errors[1] / errors[0]) == pytest.approx(4, abs=0.1)
    assert math.log2(forces[1] / forces[0]) == pytest.approx(2, abs=0.1)


def test_scores_are_found_under_noise_that_depends_on_the_state():
    """Normal states weighed by D = 1 + u^2: the least is still their score, smoothed or not."""
    u = torch.special.ndtri((torch.arange(20000).double() + 0.5) / 20000).unsqueeze(-1)
    bare = lambda v: -v  # noqa: E731
    options: dict[str, Any] = {"diffusion": lambda v: 1 + v.square()}
    ks = torch.tensor([0.6, 0.9, 1.2], dtype=torch.float64)

    def least(loss):
        """Return where a loss, exactly a parabola in k, is least over V = k u^2 / 2."""
        low, middle, high = (loss(quadratic(k.reshape(1, 1))).detach() for k in ks)
        return float(ks[1] + 0.3 * (low - high) / (2 * (low - 2 * middle + high)))

    matched = least(lambda V: score_matching_loss(bare, V, u, **options))
    assert abs(matched - 1) < 1e-3
    w = 0.5
    denoised = least(
        lambda V: denoising_loss(bare, V, u, width=w, generator=torch.Generator(), **options)
    )
    assert abs(denoised * (1 + w**2) - 1) < 0.05


def test_map_loss_is_least_at_the_score_of_the_map_itself():
    """Far from any flow: half of the state is lost in one step, and the noise is correlated."""
    M = torch.tensor([[0.3, 0.6], [-0.5, 0.2]], dtype=torch.float64)
    sigma = torch.linalg.cholesky(FULL)
    f = snt.as_dynamics(lambda u: u @ M.T, size=2, noise=sigma)
    C = snt.landscape.linear_map(M, sigma).covariance
    u = torch.randn(100000, 2, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    scale = float(FULL.diagonal().mean()) / 2
    K = scale * torch.linalg.inv(C)

    def loss(k):
        return map_loss(f, quadratic(k), u, generator=torch.Generator()).detach()

    assert_close(loss(K), -torch.trace(FULL @ torch.linalg.inv(C)), rtol=0.02, atol=0)
    slopes, scales = slope_at(loss, K), slope_at(loss, 1.1 * K).abs()
    assert bool((slopes.abs() < 0.1 * scales.max()).all())


def test_map_loss_of_some_coordinates_learns_their_marginal_density():
    M = torch.tensor([[0.3, 0.6, 0.0], [-0.5, 0.2, 0.4], [0.1, 0.0, 0.7]], dtype=torch.float64)
    sigma = torch.tensor([0.5, 0.8, 0.3], dtype=torch.float64)
    f = snt.as_dynamics(lambda u: u @ M.T, size=3, noise=sigma)
    C = snt.landscape.linear_map(M, sigma).covariance
    axes = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.5, 1.0]], dtype=torch.float64)
    u = torch.randn(60000, 3, dtype=torch.float64) @ torch.linalg.cholesky(C).T
    scale = float(sigma.square().mean()) / 2
    marginal = axes @ C @ axes.T
    K = scale * torch.linalg.inv(marginal)

    def loss(k):
        return map_loss(f, quadratic(k), u, axes=axes, generator=torch.Generator()).detach()

    S = axes @ torch.diag(sigma.square()) @ axes.T
    assert_close(loss(K), -torch.trace(S @ torch.linalg.inv(marginal)), rtol=0.02, atol=0)
    slopes, scales = slope_at(loss, K), slope_at(loss, 1.1 * K).abs()
    assert bool((slopes.abs() < 0.1 * scales.max()).all())
    with pytest.raises(ValueError, match="axes: expected"):
        map_loss(f, quadratic(K), u, axes=axes[:, :2])
