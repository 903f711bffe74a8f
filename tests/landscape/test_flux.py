"""Flux: area rates against the Lyapunov equation, and the closed flux of Gaussian processes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from references import LinearMap, NoisyRotation, random_generator
from scipy.linalg import solve_discrete_lyapunov
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import AreaRates, area_rates, flux_field, leading_plane

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
PLANE = torch.eye(2, dtype=torch.float64)


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def states(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=random_generator(seed), dtype=dtype)


def rotation(r, angle):
    return NoisyRotation(r, angle).M


def orthogonal(n, seed=1):
    return torch.linalg.qr(states(n, n, seed=seed)).Q


def steady(M, sigma: Any = 1.0, *, rows=64, steps=500, transient=60, seed=0, dtype=torch.float64):
    """Return an orbit (steps, rows, N) of u' = M u + sigma B in its steady state."""
    f, u = LinearMap(M.to(dtype), sigma), torch.zeros(rows, len(M), dtype=dtype)
    return snt.rollout(f, u, transient + steps, generator=random_generator(seed))[transient:]


def covariances(M, sigma):
    """Return <u u^T> and <u' u^T> of the linear map from the discrete Lyapunov equation."""
    S = np.diag(np.broadcast_to(np.asarray(sigma, dtype=float), len(M)) ** 2)
    C0 = torch.from_numpy(solve_discrete_lyapunov(M.numpy(), S))
    return C0, M @ C0


def slow_area(y, dt):
    """Return the mean area per time (p, p) swept by every row of y (T, R, p), step by step."""
    dy, found = y[1:] - y[:-1], torch.zeros(y.shape[-1], y.shape[-1], dtype=y.dtype)
    for i, j in np.ndindex(*found.shape):
        swept = y[:-1, :, i] * dy[:, :, j] - y[:-1, :, j] * dy[:, :, i]
        found[i, j] = swept.mean() / (2 * dt)
    return found


def centred(orbit):
    return orbit - orbit.reshape(-1, orbit.shape[-1]).mean(0)


def reversible(n):
    """Return a symmetric map (n, n) with eigenvalues from .1 to .8."""
    Q = orthogonal(n)
    M = Q @ torch.diag(torch.linspace(0.1, 0.8, n).double()) @ Q.T
    return (M + M.T) / 2


# Area rates


@pytest.mark.parametrize(
    ("r", "angle", "sigma"), [(0.9, 0.3, 1.0), (0.7, -0.8, 2.0), (0.5, 1.2, 0.3), (0.9, 2.5, 1.0)]
)
def test_noisy_rotation(r, angle, sigma):
    result = area_rates(steady(rotation(r, angle), sigma))
    expected = r * math.sin(angle) * sigma**2 / (1 - r**2)
    error = float(result.stderr[0, 1])
    assert error < 0.05 * abs(expected)
    assert abs(float(result.matrix[0, 1]) - expected) < 4 * error
    assert_close(result.matrix, -result.matrix.T, **EXACT)
    assert_close(result.stderr, result.stderr.T, **EXACT)
    tangent = abs(math.tan(angle))
    assert float(result.irreversibility_stderr) < 0.05 * max(tangent, 1)
    assert abs(float(result.irreversibility) - tangent) < 4 * float(result.irreversibility_stderr)


def test_positive_area_turns_from_the_first_axis_to_the_second():
    # Eight points of a circle, counterclockwise: the polygon has area 8 sin(45 degrees) / 2.
    angle = torch.arange(9).double() * math.pi / 4
    orbit = torch.stack([angle.cos(), angle.sin()], -1).unsqueeze(1).expand(-1, 8, -1)
    turned = area_rates(orbit)
    assert float(turned.matrix[0, 1]) > 0
    closed = area_rates(torch.cat([orbit[:-1]] * 50))
    assert float(closed.matrix[0, 1]) == pytest.approx(math.sin(math.pi / 4) / 2, rel=1e-3)
    assert float(closed.stderr[0, 1]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_linear_map_with_noise_per_neuron(seed):
    M, sigma = 0.3 * states(5, 5, seed=seed), matrix([0.3, 0.5, 1.0, 1.5, 2.0])
    result = area_rates(steady(M, sigma, rows=200, steps=400))
    C1 = covariances(M, sigma)[1]
    expected = (C1.T - C1) / 2
    upper = torch.triu_indices(5, 5, offset=1).unbind()
    z = ((result.matrix - expected) / result.stderr)[upper]
    assert z.abs().max() < 4
    # The entries differ from zero and from each other by much more than that.
    assert (result.matrix[upper] / result.stderr[upper]).abs().max() > 40


@pytest.mark.parametrize("dt", [1.0, 0.05])
def test_definition_and_standard_error_over_rows(dt):
    orbit = steady(0.4 * states(3, 3), rows=10, steps=30) + 5
    result = area_rates(orbit, dt=dt)
    y = centred(orbit)
    assert_close(result.matrix, slow_area(y, dt), **EXACT)
    rows = torch.stack([slow_area(y[:, [row]], dt) for row in range(10)])
    assert_close(result.stderr, rows.std(0) / math.sqrt(10), **EXACT)
    assert_close(result.projection, torch.eye(3).double(), **EXACT)


@pytest.mark.parametrize("rows", [(), (3,)], ids=["one-row", "three-rows"])
def test_few_rows_are_cut_into_blocks(rows):
    orbit = steady(rotation(0.9, 0.3), rows=3, steps=400)
    orbit = orbit if rows else orbit[:, 0]
    result = area_rates(orbit)
    y = centred(orbit).reshape(400, -1, 2)
    blocks = [block[:, [row]] for row in range(y.shape[1]) for block in y.split(20)]
    areas = torch.stack([slow_area(block, 1.0) for block in blocks])
    assert_close(result.matrix, areas.mean(0), **EXACT)
    assert_close(result.stderr, areas.std(0) / math.sqrt(len(blocks)), **EXACT)


@pytest.mark.parametrize("rows", [(), (2,)], ids=["one-row", "two-rows"])
@pytest.mark.parametrize("steps", [4, 7, 39])
def test_short_orbits_of_few_rows(steps, rows):
    result = area_rates(states(steps, *rows, 2))
    assert result.matrix.isfinite().all()
    assert result.stderr.isfinite().all()


@pytest.mark.parametrize("rows", [1, 16], ids=["blocks", "rows"])
def test_standard_errors_are_calibrated(rows):
    # 40 repetitions know a spread to 11 %; blocks of 100 steps forget within 10.
    M, steps = rotation(0.9, 0.3), 2000 // rows**0.5
    every = steady(M, rows=40 * rows, steps=int(steps)).split(rows, 1)
    found = [area_rates(orbit) for orbit in every]
    areas = torch.stack([r.matrix[0, 1] for r in found])
    errors = torch.stack([r.stderr[0, 1] for r in found])
    assert 0.65 < float(areas.std() / errors.square().mean().sqrt()) < 1.5
    ratios = torch.stack([r.irreversibility for r in found])
    errors = torch.stack([r.irreversibility_stderr for r in found])
    assert 0.65 < float(ratios.std() / errors.square().mean().sqrt()) < 1.5


# Equilibrium: nothing left once the sampling bias is gone


@pytest.mark.parametrize(
    ("n", "rows", "steps"), [(20, 10, 200), (64, 16, 100), (20, 1, 400)], ids=str
)
def test_reversible_process_with_few_samples(n, rows, steps):
    # Squares over 20 repetitions: their mean is zero only if the noise has been subtracted.
    M, squares, naive, ratios = reversible(n), [], [], []
    for orbit in steady(M, rows=20 * rows, steps=steps).split(rows, 1):
        result = area_rates(orbit, projections=n)
        squares.append(float((result.matrix.square() - result.stderr.square()).sum()))
        naive.append(float(result.matrix.square().sum()))
        ratios.append(float(result.irreversibility))
        assert float(result.norm) == pytest.approx(max(squares[-1], 0) ** 0.5)
    error = float(np.std(squares)) / 20**0.5
    assert abs(np.mean(squares)) < 4 * error
    assert np.mean(naive) > 10 * error
    assert np.mean(ratios) < 0.06  # the even part alone is of order one


def test_irreversibility_is_the_ratio_of_norms():
    # 2000 rows of 100 steps know C1 to half a percent.
    M, sigma = 0.3 * states(4, 4), matrix([0.5, 1.0, 1.5, 2.0])
    result = area_rates(steady(M, sigma, rows=2000, steps=100))
    C1 = covariances(M, sigma)[1]
    expected = float((C1 - C1.T).norm() / (C1 + C1.T).norm())
    assert float(result.irreversibility) == pytest.approx(expected, rel=0.01)
    assert float(result.norm) == pytest.approx(float((C1 - C1.T).norm()) / 2, rel=0.02)


def test_each_part_of_the_ratio_loses_its_own_noise():
    # Ten short rows: the bias is as large as the ratio, and unlike in the odd and the even part.
    y = centred(steady(0.3 * states(4, 4), rows=10, steps=20))
    C1 = [(y[1:, row].T @ y[:-1, row] / 19).numpy() for row in range(10)]
    odd, even = ([C + sign * C.T for C in C1] for sign in (-1, 1))
    parts = [
        (np.mean(part, 0) ** 2).sum() - np.var(part, 0, ddof=1).sum() / 10 for part in (odd, even)
    ]
    found = float(area_rates(y).irreversibility)
    assert parts[0] > 0
    assert found == pytest.approx(math.sqrt(parts[0] / parts[1]), rel=1e-10)


@pytest.mark.parametrize("dt", [0.1, 1.0])
def test_irreversibility_has_no_unit(dt):
    orbit = steady(rotation(0.9, 0.3), rows=10, steps=50)
    one, other = area_rates(orbit), area_rates(orbit, dt=dt)
    assert_close(other.irreversibility, one.irreversibility, **EXACT)
    assert_close(other.norm, one.norm / dt, **EXACT)


# Projections


def test_projection_of_many_neurons():
    M = torch.block_diag(*[rotation(0.8, angle) for angle in np.linspace(0.1, 1.0, 15)])
    orbit = steady(M, rows=12, steps=50)
    some, every = area_rates(orbit), area_rates(orbit, projections=30)
    P = some.projection
    assert P.shape == (16, 30)
    assert_close(P @ P.T, torch.eye(16).double(), **EXACT)
    assert_close(every.projection, torch.eye(30).double(), **EXACT)
    assert_close(some.matrix, P @ every.matrix @ P.T, **EXACT)


def test_projection_is_always_the_same():
    before = torch.get_rng_state()
    first = area_rates(states(20, 8, 30), projections=5)
    torch.manual_seed(123)
    second = area_rates(states(20, 8, 30, seed=9), projections=5)
    assert first.projection.shape == (5, 30)
    assert_close(first.projection, second.projection, rtol=0, atol=0)
    torch.set_rng_state(before)


def test_as_many_neurons_as_projections_are_their_own_axes():
    result = area_rates(states(20, 8, 16))
    assert_close(result.projection, torch.eye(16).double(), rtol=0, atol=0)


@pytest.fixture(scope="module")
def hidden():
    """Return (basis of a rotating plane, orbit) of 12 variables, 10 of which only fade."""
    Q = orthogonal(12)
    B = torch.diag(torch.linspace(0.3, 0.5, 12).double())
    B[:2, :2] = rotation(0.9, 0.4)
    return Q[:, :2], steady(Q @ B @ Q.T, rows=32, steps=400)


@pytest.mark.parametrize("components", [4, 8, 12, 50])
def test_leading_plane_finds_the_rotation(hidden, components):
    basis, orbit = hidden
    plane = leading_plane(orbit + 3, components=components)
    assert plane.shape == (2, 12)
    assert_close(plane @ plane.T, PLANE, **EXACT)
    # Cosines of the angles between the planes: one percent of an angle is 5e-5.
    assert torch.linalg.svdvals(plane @ basis).min() > 0.999


def test_leading_plane_is_that_of_circulation_not_of_variance():
    M = torch.block_diag(rotation(0.8, 0.5), 0.9 * torch.eye(2).double())
    plane = leading_plane(steady(M, matrix([1.0, 1.0, 10.0, 10.0]), rows=200, steps=400))
    assert torch.linalg.svdvals(plane[:, :2]).min() > 0.95  # 200 times the variance, no current


@pytest.mark.parametrize("components", [0, 1, -3, 2.5])
def test_leading_plane_needs_two_components(hidden, components):
    with pytest.raises(ValueError, match="components: expected"):
        leading_plane(hidden[1], components=components)


# The flux in a plane: for a Gaussian process midpoint m and step d are jointly Gaussian, so
# J(m) = p(m) <d | m> with Cov m = (2 C0 + C1 + C1^T) / 4 and <d m^T> = (C1 - C1^T) / 2


def gaussian(y, C):
    """Return the density (...) of N(0, C) at y (..., 2)."""
    return torch.distributions.MultivariateNormal(torch.zeros(2).double(), C).log_prob(y).exp()


def over_cells(edges, function, fine=8):
    """Return the means over the cells (bins, bins, ...) of a function of y (..., 2)."""
    bins = edges.shape[1] - 1
    share = (torch.arange(fine).double() + 0.5) / fine
    axes = [(e[:-1, None] + share * e.diff()[:, None]).flatten() for e in edges]
    value = function(torch.stack(torch.meshgrid(*axes, indexing="ij"), -1))
    return value.reshape(bins, fine, bins, fine, -1).mean((1, 3)).squeeze(-1)


def closed_flux(edges, M, sigma):
    """Return density (bins, bins) and flux (bins, bins, 2) per step of the two variables."""
    C0, C1 = covariances(M, sigma)
    middle = (2 * C0 + C1 + C1.T) / 4
    drift = (C1 - C1.T) / 2 @ middle.inverse()
    flux = over_cells(edges, lambda y: gaussian(y, middle).unsqueeze(-1) * (y @ drift.T))
    return over_cells(edges, lambda y: gaussian(y, C0)), flux


def curl_and_divergence(field):
    """Return both (bins - 2, bins - 2) by central differences."""
    d0, d1 = (float(e) for e in field.edges[:, 1] - field.edges[:, 0])
    J = field.flux
    by_0 = (J[2:, 1:-1] - J[:-2, 1:-1]) / (2 * d0)
    by_1 = (J[1:-1, 2:] - J[1:-1, :-2]) / (2 * d1)
    return by_0[..., 1] - by_1[..., 0], by_0[..., 0] + by_1[..., 1]


ELLIPSE = ([[0.8, -0.6], [0.2, 0.7]], [0.5, 1.5])


@pytest.fixture(scope="module", params=["circle", "clockwise", "ellipse"])
def turning(request):
    """Return (M, sigma, field of 12 bins) of a rotating Gaussian process; the ellipse is tilted."""
    M, sigma = {
        "circle": (rotation(0.9, 0.3), matrix([1.0, 1.0])),
        "clockwise": (rotation(0.95, -0.2), matrix([0.5, 0.5])),
        "ellipse": (matrix(ELLIPSE[0]), matrix(ELLIPSE[1])),
    }[request.param]
    orbit = steady(M, sigma, rows=200, steps=1500, transient=200) + 2
    return M, sigma, flux_field(orbit, PLANE, bins=12)


def test_density(turning):
    M, sigma, field = turning
    assert field.density.shape == (12, 12)
    expected = closed_flux(field.edges, M, sigma)[0]
    # 300 000 states remember ten steps: a cell of probability p is known to sqrt(10 p / 3e5).
    area = float((field.edges[:, 1] - field.edges[:, 0]).prod())
    error = (10 * expected * area / 3e5).sqrt() + 1e-4
    assert ((field.density - expected).abs() * area < 4 * error).all()
    assert float(field.density.sum()) * area == pytest.approx(1 - field.outside, abs=1e-12)
    assert 0 < field.outside < 1e-3


def test_grid_spans_all_states_but_a_few(turning):
    # A thousandth of a Gaussian lies beyond 3.09 standard deviations; a tenth of the span is added.
    M, sigma, field = turning
    reach = 3.09 * 1.2 * covariances(M, sigma)[0].diagonal().sqrt()
    assert field.edges.shape == (2, 13)
    assert_close(field.edges[:, -1], reach, rtol=0.04, atol=0)
    assert_close(field.edges[:, 0], -reach, rtol=0.04, atol=0)
    widths = field.edges.diff()
    assert_close(widths, widths[:, :1].expand(2, 12), **EXACT)


def test_flux_is_that_of_the_gaussian_process(turning):
    M, sigma, field = turning
    expected = closed_flux(field.edges, M, sigma)[1]
    seen = field.density > 0.02 * field.density.max()
    z = ((field.flux - expected) / field.stderr)[seen]
    assert z.numel() > 60
    # A few hundred normal numbers: none beyond 4.5, their mean square within 30 % of one.
    assert z.abs().max() < 4.5
    assert 0.7 < float(z.square().mean()) < 1.35
    assert float((expected / field.stderr)[seen].abs().max()) > 20


def test_flux_turns_as_the_map_does(turning):
    M, sigma, field = turning
    middle = (field.edges[:, 1:] + field.edges[:, :-1]) / 2
    y0, y1 = torch.meshgrid(*middle, indexing="ij")
    area = float((field.edges[:, 1] - field.edges[:, 0]).prod())
    torque = float((y0 * field.flux[..., 1] - y1 * field.flux[..., 0]).sum()) * area / 2
    C1 = covariances(M, sigma)[1]
    assert torque == pytest.approx(float(C1[1, 0] - C1[0, 1]) / 2, rel=0.05)


def test_flux_has_no_divergence(turning):
    # Central differences of 12 cells are off by some percent of the curl.
    curl, divergence = curl_and_divergence(turning[2])
    assert divergence.square().mean() < 0.1**2 * curl.square().mean()


def test_nothing_crosses_a_line_on_balance(turning):
    # A Gaussian process seen along one axis is reversible: all columns and rows carry nothing.
    field = turning[2]
    for axis in (0, 1):
        crossing = field.flux[..., axis].sum(1 - axis)
        error = field.stderr[..., axis].square().nansum(1 - axis).sqrt()
        assert (crossing.abs() <= 4 * error).all()


def test_no_flux_in_equilibrium():
    M = matrix([[0.8, 0.1], [0.1, 0.6]])
    field = flux_field(steady(M, rows=256, steps=1000), PLANE, bins=10)
    seen = field.stderr > 0
    z = (field.flux / field.stderr)[seen]
    assert z.numel() > 120
    assert float((z.abs() < 4).double().mean()) > 0.99
    assert float(z.square().mean()) < 1.3
    assert (field.flux[~seen] == 0).all()


def test_flux_is_per_unit_of_time():
    orbit = steady(rotation(0.9, 0.3), rows=10, steps=50)
    one, other = flux_field(orbit, PLANE), flux_field(orbit, PLANE, dt=0.1)
    assert_close(other.flux, 10 * one.flux, **EXACT)
    assert_close(other.stderr, 10 * one.stderr, **EXACT)
    assert_close(other.density, one.density, **EXACT)


def test_flux_in_a_plane_of_many(hidden):
    basis, orbit = hidden
    field = flux_field(orbit, basis.T)
    alone = flux_field(centred(orbit) @ basis, PLANE)
    assert_close(field.flux, alone.flux, rtol=0, atol=1e-6)
    assert_close(field.density, alone.density, rtol=0, atol=1e-4)
    assert_close(field.plane, basis.T, rtol=0, atol=0)


def test_plane_by_default_is_the_leading_one(hidden):
    orbit = hidden[1]
    field, plane = flux_field(orbit), leading_plane(orbit)
    assert_close(field.plane, plane, rtol=0, atol=0)
    assert_close(field.flux, flux_field(orbit, plane).flux, rtol=0, atol=0)
    assert field.flux.shape == field.stderr.shape == (18, 18, 2)  # 1.7 x 12800^(1/4)


def test_flux_of_few_rows():
    field = flux_field(steady(rotation(0.9, 0.3), rows=1, steps=2000), PLANE, bins=6)
    torque = float(field.flux[4, 2:4, 1].sum() - field.flux[1, 2:4, 1].sum())
    assert torque > 0
    assert (field.stderr > 0).any()


def test_a_resting_orbit_has_no_flux():
    field = flux_field(torch.ones(20, 8, 2).double(), PLANE)
    assert (field.flux == 0).all()
    assert float(area_rates(torch.ones(20, 8, 2).double()).irreversibility) == 0


# Records, precision, gradients


def test_scalars():
    result = AreaRates(
        matrix=matrix([[0.0, 5.0], [-5.0, 0.0]]),
        stderr=matrix([[0.0, 3.0], [3.0, 0.0]]),
        projection=PLANE,
        irreversibility=torch.tensor(0.25),
        irreversibility_stderr=torch.tensor(0.5),
    )
    expected = {
        "area_norm": math.sqrt(32),
        "irreversibility": 0.25,
        "irreversibility_stderr": 0.5,
    }
    assert result.scalars() == pytest.approx(expected)


def test_norm_is_never_negative():
    result = area_rates(states(30, 10, 3))
    shrunk = result.map(lambda t: 0 * t if t is result.matrix else t)
    assert float(shrunk.norm) == 0


def test_records_map_their_tensors():
    orbit = steady(rotation(0.9, 0.3), rows=10, steps=50)
    assert area_rates(orbit).map(lambda t: t.float()).irreversibility.dtype == torch.float32
    assert flux_field(orbit).map(lambda t: t.float()).edges.dtype == torch.float32


def test_single_precision():
    orbit = steady(rotation(0.9, 0.3), rows=10, steps=100, dtype=torch.float32)
    single, double = area_rates(orbit), area_rates(orbit.double())
    assert single.matrix.dtype == single.projection.dtype == torch.float32
    assert_close(single.matrix.double(), double.matrix, rtol=1e-4, atol=1e-4)
    assert_close(single.irreversibility.double(), double.irreversibility, rtol=1e-4, atol=1e-4)
    field = flux_field(orbit)
    area = float((field.edges[:, 1] - field.edges[:, 0]).prod())
    assert field.flux.dtype == field.density.dtype == field.plane.dtype == torch.float32
    assert float(field.density.sum()) * area == pytest.approx(1 - field.outside, abs=1e-4)


@pytest.mark.parametrize("question", [area_rates, flux_field, leading_plane])
def test_orbits_that_record_gradients_are_observed_without(question):
    cell = snt.SNTCell(snt.couplings.gaussian(3).double(), noise=0.5)
    orbit = snt.rollout(cell, states(8, 3), 20)
    assert orbit.requires_grad
    found = question(orbit)
    for field in (found,) if isinstance(found, torch.Tensor) else vars(found).values():
        assert not getattr(field, "requires_grad", False)
    with torch.inference_mode():
        question(orbit.detach().clone())


@pytest.mark.parametrize("question", [area_rates, flux_field, leading_plane])
def test_orbit_and_generator_are_left_alone(question):
    orbit = states(20, 8, 30)
    before = orbit.clone(), torch.get_rng_state()
    question(orbit)
    assert_close((orbit, torch.get_rng_state()), before, rtol=0, atol=0)


@pytest.mark.gpu
def test_cuda():
    orbit = steady(rotation(0.9, 0.3), rows=10, steps=100)
    for name in ("matrix", "stderr", "irreversibility"):
        expected = getattr(area_rates(orbit), name)
        assert_close(getattr(area_rates(orbit.cuda()), name).cpu(), expected, **EXACT)
    field = flux_field(orbit.cuda(), PLANE.cuda())
    assert field.flux.is_cuda
    assert_close(field.flux.cpu(), flux_field(orbit, PLANE).flux, **EXACT)


# Wrong arguments


ORBITS = [
    (torch.zeros(4).double(), r"trajectory: expected at least 2 axes"),
    (states(3, 2), r"trajectory: expected \(T, \.\.\., N\) with at least 4 states, got \(3, 2\)"),
    (states(1, 8, 2), r"trajectory: expected .* got \(1, 8, 2\)"),
    (torch.full((5, 8, 2), math.nan), r"trajectory: expected finite numbers, got nan at \(0, 0, 0"),
    (torch.ones(5, 8, 2, dtype=torch.long), r"trajectory: expected a floating dtype"),
    ("orbit", r"trajectory: expected a torch.Tensor, got str"),
]


@pytest.mark.parametrize("question", [area_rates, flux_field, leading_plane])
@pytest.mark.parametrize(("orbit", "message"), ORBITS)
def test_no_orbit(question, orbit, message):
    with pytest.raises(ValueError, match=message):
        question(orbit)


@pytest.mark.parametrize(
    ("question", "settings", "message"),
    [
        (area_rates, {"projections": 0}, r"projections: expected .* got 0"),
        (area_rates, {"dt": 0.0}, r"dt: expected .* got 0.0"),
        (area_rates, {"dt": -1.0}, r"dt: expected .* got -1.0"),
        (flux_field, {"dt": math.nan}, r"dt: expected .* got nan"),
        (flux_field, {"bins": 0}, r"bins: expected .* got 0"),
        (flux_field, {"bins": 4.0}, r"bins: expected .* got 4.0"),
        (flux_field, {"plane": states(2, 3)}, r"plane: expected orthonormal rows"),
        (flux_field, {"plane": 2 * torch.eye(2, 3).double()}, r"plane: expected orthonormal rows"),
        (flux_field, {"plane": torch.eye(3).double()}, r"plane: expected \(2, 3\), got \(3, 3\)"),
        (flux_field, {"plane": torch.eye(2, 3)}, r"plane: expected torch.float64, the dtype of"),
        (flux_field, {"plane": "leading"}, r"plane: expected a torch.Tensor, got str"),
    ],
)
def test_wrong_arguments(question, settings, message):
    with pytest.raises(ValueError, match=message):
        question(states(20, 8, 3), **settings)


@pytest.mark.parametrize("question", [flux_field, leading_plane])
def test_a_plane_needs_two_dimensions(question):
    with pytest.raises(ValueError, match=r"trajectory.shape\[-1\]: expected .* >= 2"):
        question(states(20, 8, 1))
