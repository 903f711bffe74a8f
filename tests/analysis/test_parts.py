"""Stable and unstable parts of the response: in closed form and by covariant vectors."""

import math
from typing import Any

import pytest
import torch
from references import LinearMap, nine_neurons, random_generator, settled
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import (
    covariant_lyapunov_vectors,
    linear_response,
    lyapunov_spectrum,
    response_parts,
)

GROWTH = (3 + math.sqrt(5)) / 2


def zeros(n):
    return torch.zeros(n, dtype=torch.float64)


def resting(M):
    """Return a network whose Jacobian is M on the only orbit that is asked for, rest at 0."""
    return snt.SNTCell(M, trainable=())


def test_linear_map():
    """K^u and K^s are sums over eigenvalues outside and inside the unit circle."""
    S = torch.tensor([[1.0, 0.9, 0.3], [0.0, 0.4, 1.0], [0.2, 0.0, 1.0]], dtype=torch.float64)
    values = torch.tensor([1.3, 0.6, -0.4], dtype=torch.float64)
    left = torch.linalg.inv(S)
    found = response_parts(
        resting(S * values @ left),
        zeros(3).expand(10, 3),
        lags=12,
        samples=20,
        transient=60,
        settle=40,
    )
    assert found.dimension == 1
    for lag in (0, 1, 5, 12):
        power = S * values**lag
        assert_close(found.unstable.kernel[lag], power[:, :1] @ left[:1], rtol=1e-9, atol=1e-12)
        assert_close(found.stable.kernel[lag], power[:, 1:] @ left[1:], rtol=1e-9, atol=1e-12)
    assert_close(found.exponents, values.abs().log(), rtol=0, atol=1e-9)
    # The unstable vector against the plane of the other two.
    sine = left[0] @ S[:, 0] / left[0].norm() / S[:, 0].norm()
    assert_close(found.angles, sine.asin().expand(2, 10), rtol=0, atol=1e-9)
    assert float(found.unstable.stderr.max()) < 1e-9


def test_cat_map():
    """Both parts are exact to rounding over thirty lags, where they differ by 25 decades."""
    u = torch.rand(3, 2, generator=random_generator(1), dtype=torch.float64)
    found = response_parts(snt.systems.CatMap(), u, lags=30, samples=60)
    direction = torch.tensor([GROWTH - 1, 1.0], dtype=torch.float64)
    up = torch.outer(direction, direction) / direction.square().sum()
    down = torch.eye(2, dtype=torch.float64) - up
    for lag in (0, 1, 10, 30):
        assert_close(found.unstable.kernel[lag] / GROWTH**lag, up, rtol=0, atol=1e-12)
        assert_close(found.stable.kernel[lag] * GROWTH**lag, down, rtol=0, atol=1e-12)
    assert_close(found.angles, torch.full_like(found.angles, math.pi / 2))
    assert found.angles.shape == (20, 3)
    assert float(found.share[30]) == pytest.approx(1.0)


def test_projection_is_that_of_covariant_vectors():
    """Along a chaotic orbit, where the vectors turn and grow at every step."""
    u, lags, steps = torch.tensor([[0.1, 0.1]], dtype=torch.float64), 5, 20
    found = response_parts(snt.systems.Henon(), u, lags=lags, samples=steps, transient=100)
    # The 500 steps from which exponents are known come first.
    vectors = covariant_lyapunov_vectors(
        snt.systems.Henon(), u, steps + lags, transient=600, settle=100
    )
    V, growth = vectors.vectors[:, 0], vectors.growth[:, 0].exp()
    for lag in range(lags + 1):
        parts = torch.zeros(2, 2, 2, dtype=torch.float64)
        for t in range(steps):
            pushed = V[t + lag] * growth[t : t + lag].prod(0)
            left = torch.linalg.inv(V[t])
            parts += torch.stack([torch.outer(pushed[:, i], left[i]) for i in range(2)]) / steps
        assert_close(found.unstable.kernel[lag], parts[0], rtol=0, atol=1e-10)
        assert_close(found.stable.kernel[lag], parts[1], rtol=0, atol=1e-10)
    assert_close(found.angles[:, 0], vectors.angles[:steps, 0], rtol=0, atol=1e-9)


def test_parts_of_a_chaotic_network_add_up():
    f = nine_neurons()
    u = settled(f, 32)
    found = response_parts(f, u, lags=4, samples=1600, transient=100)
    whole = linear_response(f, u, lags=4, samples=6400, method="tangent", transient=30)
    assert found.dimension == 1
    assert_close(found.unstable.kernel + found.stable.kernel, found.whole.kernel)
    error = (found.whole.stderr.square() + whole.stderr.square()).sqrt()[1:]
    z = (found.whole.kernel - whole.kernel)[1:][error > 0] / error[error > 0]
    assert float(z.abs().max()) < 4.5
    assert 0.5 < float(z.square().mean().sqrt()) < 1.4
    assert found.unstable.samples == 1600
    assert set(found.scalars()) == {"dimension", "angle_min", "share"}


@pytest.mark.slow
def test_parts_grow_and_decay_with_their_exponents():
    """Start by start, before the mean lets the unstable part decay."""
    f = nine_neurons()
    u, lags = settled(f, 8), 150
    spectrum = lyapunov_spectrum(f, u, 1000, k=2, transient=100).exponents.mean(0)
    rates = []
    for row in u:
        found = response_parts(f, row, lags=lags, samples=2, unstable=1, transient=100)
        norms = [
            part.kernel.flatten(1).norm(dim=1).log() for part in (found.unstable, found.stable)
        ]
        rates.append(torch.stack([(norm[lags] - norm[20]) / (lags - 20) for norm in norms]))
    mean, error = torch.stack(rates).mean(0), torch.stack(rates).std(0) / 8**0.5
    assert bool(((mean - spectrum).abs() < 4 * error).all())
    assert bool((error < 0.03).all())


def test_a_network_that_is_not_chaotic_has_a_stable_part_only():
    f = LinearMap(torch.tensor([[0.5, 1.0], [0.0, 0.0]]).double(), noise=0.3)  # DF is singular
    found = response_parts(f, settled(f, 4), lags=3, samples=40)
    assert found.dimension == 0
    assert not found.unstable.kernel.any()
    assert_close(found.stable.kernel[3], torch.linalg.matrix_power(f.M, 3))
    assert bool(found.angles.isnan().all())
    assert math.isnan(found.scalars()["angle_min"])


def test_a_singular_network_keeps_its_unstable_part():
    f = resting(torch.tensor([[1.2, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.5]]).double())
    found = response_parts(f, zeros(3), lags=3, samples=20, transient=60)
    whole = torch.linalg.matrix_power(f.coupling, 3)
    assert found.dimension == 1
    assert_close(found.unstable.kernel[3] + found.stable.kernel[3], whole)
    assert float(found.stable.kernel[3].norm()) < 1


def test_leaves_no_trace_and_repeats():
    f = nine_neurons(noise=0.05)
    u = settled(f, 4)
    before, kept = torch.get_rng_state(), u.clone()
    settings: dict[str, Any] = {"lags": 3, "samples": 40, "unstable": 1}
    with torch.inference_mode():
        first = response_parts(f, u, **settings)
    second = response_parts(f, u, **settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(u, kept)
    assert torch.equal(first.unstable.kernel, second.unstable.kernel)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lags": 0}, "lags: expected"),
        ({"samples": 1}, "samples: expected"),
        ({"unstable": 3}, "unstable: expected"),
        ({"settle": -1}, "settle: expected"),
        ({"transient": -1}, "transient: expected"),
        ({"generator": 1}, "generator: expected"),
        ({"x": zeros(3).expand(4, 3)}, "x: expected a constant drive"),
    ],
)
def test_bad_input(settings, message):
    complete: dict[str, Any] = {"lags": 2, "samples": 4, **settings}
    with pytest.raises(ValueError, match=message):
        response_parts(LinearMap(torch.eye(2).double() / 2), zeros(2), **complete)


def test_orbits_that_leave():
    with pytest.raises(ValueError, match="not finite"):
        response_parts(lambda u: 3 * u**3 + u, torch.ones(2).double(), lags=2, samples=4)
