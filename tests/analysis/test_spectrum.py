"""The spectrum of the Jacobian: numpy's numbers, the circular law, states of every kind."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from references import LinearMap, NoisyRotation, dense_jacobian, push, random_generator
from torch import nn
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import JacobianSpectrum, arnoldi, jacobian_spectrum

EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}
# Central differences know a derivative to 1e-9, an eigenvalue of a non-normal matrix to less.
DIFFERENCES: dict[str, Any] = {"rtol": 0, "atol": 1e-7}


def states(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=random_generator(seed), dtype=dtype)


def network(n=6, std=1.5, seed=3, dtype=torch.float64, **settings):
    J = snt.couplings.gaussian(n, std=std, generator=random_generator(seed), dtype=dtype)
    return snt.SNTCell(J, **settings)


def driven():
    return network(input_size=2)


def same_multiset(found, expected, atol):
    """Compare complex numbers whatever their order: every one has its partner."""
    found, expected = np.asarray(found), np.asarray(expected)
    distance = np.abs(found[:, None] - expected[None, :])
    partner = distance.argmin(1)
    assert sorted(partner) == list(range(len(expected)))
    assert distance.min(1).max() < atol


# Closed forms


def test_linear_map_in_numpy():
    M = states(7, 7)
    result = jacobian_spectrum(LinearMap(M), states(7))
    same_multiset(result.eigenvalues, np.linalg.eigvals(M.numpy()), atol=1e-12)
    singular = np.linalg.svd(M.numpy(), compute_uv=False)
    assert_close(result.singular_values.numpy(), singular, **EXACT)
    assert float(result.norm) == pytest.approx(np.linalg.norm(M.numpy(), 2))
    assert float(result.radius) == pytest.approx(np.abs(np.linalg.eigvals(M.numpy())).max())


def test_largest_modulus_comes_first():
    # Sorted by modulus, not by real part, and along the last axis of every row.
    M = torch.block_diag(
        torch.tensor([[0.0, -0.9], [0.9, 0.0]]), torch.diag(torch.tensor([-2.0, 0.5, 0.7]))
    ).double()
    result = jacobian_spectrum(LinearMap(M), states(3, 5))
    modulus = torch.tensor([2.0, 0.9, 0.9, 0.7, 0.5]).double()
    assert_close(result.eigenvalues.abs(), modulus.expand(3, 5), **EXACT)
    assert_close(result.eigenvalues[:, 0], torch.full((3,), -2, dtype=torch.complex128), **EXACT)
    assert_close(result.singular_values, modulus.expand(3, 5), **EXACT)


def test_rotation():
    result = jacobian_spectrum(NoisyRotation(0.9, 0.3), torch.zeros(2).double())
    expected = 0.9 * np.exp([0.3j, -0.3j])
    same_multiset(result.eigenvalues, expected, atol=1e-12)
    assert_close(result.singular_values, torch.tensor([0.9, 0.9], dtype=torch.float64), **EXACT)
    assert float(result.disk_centre) == pytest.approx(0.9 * math.cos(0.3))
    assert float(result.disk_radius) == pytest.approx(0.9 * math.sin(0.3))


def test_disk_has_the_moments_of_the_jacobian():
    f, u = network(9, leak=0.3, gain=1.4), states(4, 9)
    result = jacobian_spectrum(f, u)
    for row in range(4):
        DF = dense_jacobian(f, u[row]).numpy()
        centre = np.trace(DF) / 9
        radius = np.linalg.norm(DF - centre * np.eye(9)) / 3
        assert float(result.disk_centre[row]) == pytest.approx(centre, abs=1e-7)
        assert float(result.disk_radius[row]) == pytest.approx(radius, abs=1e-7)
        assert complex(result.eigenvalues[row].mean()) == pytest.approx(centre, abs=1e-7)


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_circular_law(leak):
    # N = 400: moments are known to 1/N, the edge to a few N^(-1/2), the density to 1/N.
    n, std, gain = 400, 1.2, 0.8
    f = network(n, std=std, leak=leak, gain=gain)
    origin = jacobian_spectrum(f, torch.zeros(n).double())
    assert float(origin.disk_centre) == pytest.approx(leak, abs=4 * std * gain / n)
    assert float(origin.disk_radius) == pytest.approx(std * gain, rel=4 / n)
    distance = (origin.eigenvalues - leak).abs() / (std * gain)
    assert float(distance.max()) == pytest.approx(1, abs=2 / n**0.5)
    for part in (0.3, 0.6, 0.9):
        share = float((distance < part).double().mean())
        assert share == pytest.approx(part**2, abs=10 / n)


def test_disk_radius_off_the_origin():
    n, std, gain = 400, 1.0, 2.0
    f, u = network(n, std=std, gain=gain, leak=0.5), states(n)
    result = jacobian_spectrum(f, u)
    slope = gain / torch.cosh(gain * u) ** 2
    radius = std * float(slope.square().mean().sqrt())
    # The squares of 400 * 400 Gaussians, of unequal weight: 4 sd is about 2 %.
    assert float(result.disk_radius) == pytest.approx(radius, rel=0.02)
    assert float((result.eigenvalues - 0.5).abs().max()) == pytest.approx(radius, rel=0.1)


def test_a_mean_coupling_is_an_outlier_of_the_disk():
    """At leak + mean <f'>, up to fluctuations of order std / sqrt(N)."""
    n, mean, std, leak = 600, 3.0, 0.5, 0.3
    J = snt.couplings.gaussian(n, std=std, mean=mean, generator=random_generator(1)).double()
    u = states(n)
    slope = 0.8 * (1 - torch.tanh(0.8 * u).square())
    result = jacobian_spectrum(snt.SNTCell(J, leak=leak, gain=0.8), u)
    outlier, rest = result.eigenvalues[0], result.eigenvalues[1:]
    assert abs(outlier.item() - (leak + mean * float(slope.mean()))) < 4 * std / n**0.5
    assert float((rest - leak).abs().max()) == pytest.approx(float(result.disk_radius), rel=0.1)


# States, drives, modes


@pytest.mark.parametrize("rows", [(), (3,), (2, 3)], ids=["0-axes", "1-axis", "2-axes"])
def test_batch_of_states(rows):
    f, u = network(leak=0.3, noise=0.7), states(*rows, 6)
    result = jacobian_spectrum(f, u)
    assert result.eigenvalues.shape == result.singular_values.shape == (*rows, 6)
    assert result.eigenvalues.dtype == torch.complex128
    assert result.disk_centre.shape == result.disk_radius.shape == result.radius.shape == rows
    for row in np.ndindex(*rows):
        DF = dense_jacobian(f, u[row])
        same_multiset(result.eigenvalues[row], np.linalg.eigvals(DF.numpy()), atol=1e-7)
        assert_close(result.singular_values[row], torch.linalg.svdvals(DF), **DIFFERENCES)


def test_whole_orbit_of_a_torch_network():
    module = nn.GRU(2, 5).double()
    x, u = states(10, 3, 2), 0.1 * states(3, 5)
    with torch.no_grad():
        orbit = snt.rollout(module, u, 10, x=x)
    result = jacobian_spectrum(module, orbit[:-1], x[1:])
    assert result.eigenvalues.shape == (9, 3, 5)
    f = snt.as_dynamics(module)
    DF = dense_jacobian(f, orbit[4, 1], x[5, 1])
    same_multiset(result.eigenvalues[4, 1], np.linalg.eigvals(DF.numpy()), atol=1e-7)


def test_drive_per_state():
    u, x = states(3, 4), states(3, 1, seed=2)
    together = jacobian_spectrum(push, u, x)
    shared = jacobian_spectrum(push, u, x[0])
    for row in range(3):
        alone = jacobian_spectrum(push, u[row], x[row])
        assert_close(together.singular_values[row], alone.singular_values, **EXACT)
    assert_close(shared.singular_values[0], together.singular_values[0], **EXACT)
    assert not torch.allclose(shared.singular_values[1], together.singular_values[1])


def test_radius_tells_the_stability_of_a_fixed_point():
    f = network(20, std=0.8, threshold=0.2)
    u = snt.rollout(f, torch.zeros(20).double(), 400)[-1].detach()
    radius = float(jacobian_spectrum(f, u).radius)
    exponent = float(snt.analysis.max_lyapunov(f, u, 2000, transient=200))
    assert radius < 1
    assert exponent == pytest.approx(math.log(radius), abs=2e-3)  # a complex pair: O(1/steps)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("factory", [network, lambda: nn.RNNCell(2, 6).double()])
def test_same_numbers_in_every_grad_mode(mode, factory):
    f = factory()
    expected = jacobian_spectrum(f, states(2, 6))
    with mode():
        found = jacobian_spectrum(f, states(2, 6))
    assert_close(found.singular_values, expected.singular_values, rtol=0, atol=0)
    assert float(found.norm.min()) > 0.1
    assert not found.eigenvalues.requires_grad


def test_same_numbers_in_train_mode_and_no_trace():
    f = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).double()
    f[0].bias.requires_grad_(False)

    def everything():
        numbers = [t.detach().clone() for t in f.state_dict().values()]
        flags = [p.requires_grad for p in f.parameters()] + [p.training for p in f.modules()]
        return numbers, flags, [p.grad for p in f.parameters()], torch.get_rng_state()

    before = everything()
    trained = jacobian_spectrum(f, states(3, 4))
    assert_close(everything(), before, rtol=0, atol=0)
    evaluated = jacobian_spectrum(f.eval(), states(3, 4))
    assert_close(trained.singular_values, evaluated.singular_values, rtol=0, atol=0)


def test_single_precision():
    f, u = network(dtype=torch.float32), states(3, 6).float()
    found, expected = jacobian_spectrum(f, u), jacobian_spectrum(f.double(), u.double())
    assert found.eigenvalues.dtype == torch.complex64
    assert found.singular_values.dtype == found.disk_radius.dtype == torch.float32
    # Singular values are known to the rounding of the norm.
    assert_close(found.singular_values.double(), expected.singular_values, rtol=0, atol=1e-5)
    assert_close(found.disk_radius.double(), expected.disk_radius, rtol=1e-5, atol=0)


@pytest.mark.gpu
def test_cuda():
    f, u = network(), states(3, 6)
    expected = jacobian_spectrum(f, u)
    found = jacobian_spectrum(f.cuda(), u.cuda())
    assert found.eigenvalues.is_cuda
    assert_close(found.singular_values.cpu(), expected.singular_values, **EXACT)
    assert_close(found.radius.cpu(), expected.radius, **EXACT)


def test_scalars():
    result = JacobianSpectrum(
        eigenvalues=torch.tensor([[3j, 1.0], [-1.0, 0.5]]),
        singular_values=torch.tensor([[4.0, 1.0], [2.0, 0.0]]),
        disk_centre=torch.tensor([0.0, 9.0]),
        disk_radius=torch.tensor([math.sqrt(5.0), 2.0]),
        symmetry=torch.tensor([0.0, 0.5]),
        abscissa=torch.tensor([1.0, 2.0]),
        size=2,
    )
    scalars = result.scalars()
    assert scalars.pop("henrici") == pytest.approx((0 + math.sqrt(1 - 1.25 / 170)) / 2)
    assert scalars.pop("circular_law") == pytest.approx((math.sqrt(5) + 11) / 2)
    assert scalars == {"radius": 2.0, "norm": 3.0, "symmetry": 0.25, "abscissa": 1.5}


# Reciprocal couplings, outliers, normality


def linear(M):
    return lambda u: u @ M.T


@pytest.mark.parametrize("tau", [-0.6, 0.0, 0.5, 1.0])
def test_elliptic_law(tau):
    """Edges of the spectrum at finite N are within a few per cent of r (1 +- tau)."""
    n, std = 500, 0.8
    J = snt.couplings.gaussian(n, std=std, symmetry=tau, generator=random_generator()).double()
    result = jacobian_spectrum(snt.SNTCell(J, leak=0.3), torch.zeros(n).double())
    assert float(result.symmetry) == pytest.approx(tau, abs=4 * 2**0.5 / n)
    assert_close(
        result.semi_axes, std * torch.tensor([1 + tau, 1 - tau]).double(), rtol=0, atol=0.02
    )
    shifted = result.eigenvalues - 0.3
    assert float(shifted.real.abs().max()) == pytest.approx(std * (1 + tau), rel=0.08)
    assert float(shifted.imag.abs().max()) == pytest.approx(std * (1 - tau), rel=0.08, abs=1e-12)
    assert not result.outliers(0.15).any() or tau == 1.0  # an ellipse without width has no inside


def test_outliers_are_those_of_the_structure():
    n = 400
    J = snt.couplings.gaussian(n, mean=2.5, generator=random_generator()).double()
    J = J + 2 * torch.outer(torch.eye(n)[0], torch.eye(n)[1]).double()  # nilpotent: none of them
    result = jacobian_spectrum(snt.SNTCell(J), torch.zeros(n).double())
    assert result.outliers(0.2).tolist() == [True] + [False] * (n - 1)
    assert not jacobian_spectrum(linear(torch.eye(3) * 0.4), torch.zeros(3)).outliers().any()


@pytest.mark.parametrize(("a", "b", "c"), [(0.5, 2.0, -0.3), (0.0, 1.0, 0.0), (1.0, 0.0, 2.0)])
def test_normality_of_a_triangle(a, b, c):
    M = torch.tensor([[a, b], [0.0, c]], dtype=torch.float64)
    result = jacobian_spectrum(linear(M), torch.zeros(2).double())
    assert float(result.henrici) == pytest.approx(abs(b) / math.sqrt(a**2 + b**2 + c**2), abs=1e-8)
    abscissa = (a + c + math.hypot(a - c, b)) / 2
    assert float(result.abscissa) == pytest.approx(abscissa)


def test_rotations_are_normal():
    M = snt.couplings.orthogonal(30, generator=random_generator()).double()
    M = torch.linalg.qr(M).Q  # orthogonal in double precision too
    result = jacobian_spectrum(linear(M), torch.zeros(30).double())
    assert float(result.henrici) < 1e-6
    assert_close(result.singular_values, torch.ones(30).double())


# Leading part of large networks


def big(n=300, dtype=torch.float64, **settings):
    J = snt.couplings.sparse(n, degree=20, layout="csr", generator=random_generator(), dtype=dtype)
    return snt.SNTCell(J, leak=0.2, **settings), 0.5 * states(n).to(dtype)


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("rows", [(), (2,)], ids=str)
@pytest.mark.parametrize("formed", [0, 512])
def test_leading_part_is_that_of_the_whole(monkeypatch, formed, k, rows):
    monkeypatch.setattr(arnoldi, "_FORMED", formed)
    f, _ = big(input_size=2)
    u, x = states(*rows, 300), states(*rows, 2)
    part, whole = jacobian_spectrum(f, u, x, k=k), jacobian_spectrum(f, u, x)
    assert part.eigenvalues.shape == part.singular_values.shape == (*rows, k)
    assert_close(part.eigenvalues.abs(), whole.eigenvalues[..., :k].abs(), rtol=1e-9, atol=0)
    assert_close(part.singular_values, whole.singular_values[..., :k], rtol=1e-9, atol=0)
    assert_close(part.abscissa, whole.abscissa, rtol=1e-9, atol=0)
    # Moments from eight random vectors; the documented error with room for four of it.
    error = 4 / (8 * 300) ** 0.5
    assert_close(part.disk_centre, whole.disk_centre, rtol=0, atol=error)
    assert_close(part.disk_radius, whole.disk_radius, rtol=error, atol=0)
    assert_close(part.symmetry, whole.symmetry, rtol=0, atol=error)
    assert bool(part.henrici.isnan().all())
    assert part.size == whole.size == 300


def test_leading_part_of_everything():
    f, u = network(), states(6)
    for k in (4, 5, 6):
        found, whole = jacobian_spectrum(f, u, k=k), jacobian_spectrum(f, u)
        assert_close(found.eigenvalues.abs(), whole.eigenvalues.abs()[:k], rtol=1e-8, atol=0)
        assert_close(found.singular_values, whole.singular_values[:k], rtol=1e-8, atol=0)


@pytest.mark.slow
def test_leading_part_of_a_large_sparse_network_follows_the_law():
    n, std, gain = 20_000, 0.9, 1.3
    J = snt.couplings.sparse(
        n, degree=50, mean=2.0, std=std, layout="csr", generator=random_generator()
    )
    f, u = snt.SNTCell(J, gain=gain, leak=0.1), torch.randn(n, generator=random_generator(1))
    result = jacobian_spectrum(f, u, k=2)
    slope = gain * (1 - torch.tanh(gain * u).square())
    # The mean of who is connected adds mean^2 / K to the variance.
    radius = float(((std**2 + 4.0 / 50) * slope.square().mean()).sqrt())
    assert float(result.disk_radius) == pytest.approx(radius, rel=0.02)
    assert float(result.radius) == pytest.approx(
        0.1 + 2.0 * float(slope.mean()), abs=4 * std / n**0.5
    )
    assert float(result.eigenvalues[1].abs()) == pytest.approx(0.1 + radius, rel=0.1)


def test_leading_part_in_single_precision():
    f, u = big(dtype=torch.float32)
    found, whole = jacobian_spectrum(f, u, k=3), jacobian_spectrum(f, u)
    assert found.eigenvalues.dtype == torch.complex64
    assert_close(found.eigenvalues.abs(), whole.eigenvalues[:3].abs(), rtol=1e-4, atol=0)


def test_what_does_not_converge_is_not_a_number(monkeypatch):
    def stuck(*arguments, **settings):
        raise scipy.sparse.linalg.ArpackNoConvergence("stuck", np.array([0.5]), np.zeros((300, 1)))

    monkeypatch.setattr(scipy.sparse.linalg, "eigs", stuck)
    f, u = big()
    result = jacobian_spectrum(f, u, k=3)
    assert result.eigenvalues.abs().tolist()[0] == 0.5
    assert bool(result.eigenvalues[1:].isnan().all())
    assert bool(result.singular_values.isfinite().all())


@pytest.mark.parametrize("k", [0, 7, 1.5])
def test_how_many_is_checked(k):
    with pytest.raises(ValueError, match="k: expected a whole number with 1 <= k <= 6"):
        jacobian_spectrum(network(), states(6), k=k)


# Wrong arguments


@pytest.mark.parametrize(
    ("f", "u", "x", "message"),
    [
        (network, torch.zeros(5).double(), None, r"u: expected 6 on the last axis, got \(5,\)"),
        (network, torch.zeros(6), None, r"u: expected torch.float64, the dtype of the parameters"),
        (network, torch.full((6,), math.nan).double(), None, r"u: expected finite numbers"),
        (network, torch.zeros(6).double(), torch.zeros(2).double(), r"x: expected None"),
        (
            driven,
            torch.zeros(6).double(),
            torch.full((2,), math.nan).double(),
            r"x: expected finite",
        ),
        (driven, torch.zeros(6).double(), torch.zeros(2), r"x: expected torch.float64"),
        (lambda: torch.sqrt, torch.tensor([1.0, 0.0]), None, r"f: expected a finite Jacobian"),
        (lambda: "network", torch.zeros(2), None, r"f: expected a Dynamics"),
        (lambda: torch.sin, torch.zeros(2, dtype=torch.long), None, r"u: expected a floating"),
    ],
)
def test_wrong_arguments(f, u, x, message):
    with pytest.raises(ValueError, match=message):
        jacobian_spectrum(f(), u, x)
