"""Order parameters of the speed potential against the reference rows, limits and identities."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.meanfield import canonical
from sntorch.meanfield import saddle as general
from sntorch.meanfield.equilibrium import settled_site
from sntorch.transfer import as_transfer

mf = snt.meanfield
GAINS = [0.5, 1.0, 1.5]


def exactly(values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, values, tolerance=1e-7):
    assert_close(found, exactly(values), rtol=0, atol=tolerance)


def test_reference_rows():
    found = mf.equilibrium(gain=GAINS, temperature=1e-4)
    close(found.overlap, [0.00013329, 0.00704185, 0.35264707], 1e-8)
    close(found.variance, [0.00013332, 0.00714185, 0.79355591], 1e-8)
    close(found.response, [0.99986671, 0.99295815, 0.64735293], 1e-8)
    close(found.stability, [0.249933, 0.985966, 0.942898], 1e-6)
    close(found.susceptibility[:2], [1.33286, 70.4185], 1e-4)
    close(mf.zero_temperature(gain=1.5).overlap, 0.35260180, 1e-8)
    assert bool(found.converged.all())
    assert bool(found.stable.all())


def test_the_energy_is_half_the_temperature_and_the_free_energy_that_of_white_noise():
    T = exactly([1e-4, 0.1, 3.0])
    found = mf.equilibrium(gain=exactly(GAINS).unsqueeze(-1), temperature=T)
    assert found.overlap.shape == (3, 3)
    assert_close(found.energy, (T / 2).expand(3, 3), rtol=1e-12, atol=0)
    assert_close(found.free_energy, (-T * (2 * math.pi * T).log() / 2).expand(3, 3))
    assert_close(found.response, 1 - found.overlap)  # E tanh' = 1 - E tanh^2


def test_onset():
    g = exactly([0.2, 0.5, 0.9])
    low = mf.equilibrium(gain=g, temperature=1e-8)
    assert_close(low.susceptibility, 1 / (1 - g**2), rtol=1e-6, atol=0)
    assert_close(mf.zero_temperature(gain=g).susceptibility, 1 / (1 - g**2))
    assert mf.zero_temperature(gain=g).overlap.tolist() == [0, 0, 0]
    at_edge = mf.equilibrium(gain=1.0, temperature=1e-10).overlap
    assert_close(at_edge, exactly(math.sqrt(1e-10 / 2)), rtol=1e-4, atol=0)
    s = 0.01
    above = mf.zero_temperature(gain=1 + s)
    assert_close(above.overlap, exactly(s - 2 / 3 * s**2 - 4 / 9 * s**3), rtol=0, atol=1e-7)
    assert_close(above.variance, exactly(s + 4 / 3 * s**2 - 7 / 9 * s**3), rtol=0, atol=1e-7)


@pytest.mark.parametrize("symmetry", [-0.5, 0.3, 1.0])
def test_linear_phase_of_reciprocal_couplings(symmetry):
    g = 0.6 / (1 + symmetry)
    root = math.sqrt(1 - 4 * g**2 * symmetry)
    R = (1 - root) / (2 * g**2 * symmetry)
    slope = R**2 / (1 - (g * R) ** 2)
    limit = mf.zero_temperature(gain=g, symmetry=symmetry)
    cold = mf.equilibrium(gain=g, symmetry=symmetry, temperature=1e-9)
    for found in (limit, cold):
        close(found.response, R, 1e-5)
        assert_close(found.susceptibility, exactly(slope), rtol=1e-5, atol=0)
        close(found.stability, (g * R) ** 2, 1e-5)
        assert float(found.critical_gain) == 1 / (1 + symmetry)


def test_between_the_two_gains_of_positive_symmetry():
    """q vanishes like sqrt(T), R = 1 / (g^2 (1 + gamma)), and the stability is marginal."""
    cold = mf.equilibrium(gain=0.8, symmetry=0.5, temperature=[1e-10, 1e-12])
    assert float(cold.overlap[0] / cold.overlap[1]) == pytest.approx(10, rel=1e-2)
    limit = mf.zero_temperature(gain=0.8, symmetry=0.5)
    assert float(limit.overlap) == 0
    close(cold.response[1], float(limit.response), 1e-5)
    close(cold.stability[1], 1.0, 1e-5)
    beyond = mf.zero_temperature(gain=[0.82, 0.85], symmetry=0.5)  # 1 / sqrt(1.5) = 0.8165
    assert bool((beyond.overlap > 0).all())


NUMBERS = [(0.7, 0.4, 0.0), (1.4, -0.3, 0.0), (1.4, 0.3, 0.2), (0.6, 0.0, 0.2)]


@pytest.mark.parametrize(("gain", "symmetry", "confinement"), NUMBERS)
def test_the_energy_is_the_derivative_of_the_free_energy(gain, symmetry, confinement):
    beta, h = 10.0, 1e-3
    settings = {"gain": gain, "symmetry": symmetry, "confinement": confinement}
    betas = exactly([beta - h, beta, beta + h])
    found = mf.equilibrium(temperature=1 / betas, **settings)
    action = betas * found.free_energy
    assert_close((action[2] - action[0]) / (2 * h), found.energy[1], rtol=0, atol=1e-8)
    assert bool(found.converged.all())


def test_linear_neurons_against_random_matrices():
    """Exact for phi = id: q / T is the mean of 1 / eigenvalue of (1 - gJ)^T (1 - gJ)."""
    generator = torch.Generator().manual_seed(0)
    J = snt.couplings.gaussian(900, symmetry=0.4, generator=generator, dtype=torch.float64)
    A = torch.eye(900).double() - 0.5 * J
    for eta in (0.0, 0.2):
        inverse = torch.linalg.inv(A.T @ A + 2 * eta * torch.eye(900))
        expected = inverse.diagonal().mean()
        response = (A @ inverse).diagonal().mean()
        found = mf.equilibrium(
            gain=0.5, symmetry=0.4, confinement=eta, temperature=0.3, transfer="linear"
        )
        assert_close(found.susceptibility, expected, rtol=0.01, atol=0)
        assert_close(found.response, response, rtol=0.01, atol=0)


def test_no_solution_is_a_field():
    found = mf.equilibrium(gain=[0.5, 1.5], temperature=0.1, transfer="linear")
    assert found.converged.tolist() == [True, False]
    assert found.overlap.isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gain": 1.0, "temperature": 0.0}, "temperature: expected numbers > 0"),
        ({"gain": 1.0, "temperature": -1.0}, "temperature: expected numbers >= 0"),
        ({"gain": 0.0, "temperature": 1.0}, "gain: expected numbers > 0"),
        ({"gain": 1.0, "temperature": 1.0, "symmetry": -1.0}, r"symmetry: .* in \(-1, 1\]"),
        ({"gain": 1.0, "temperature": 1.0, "symmetry": 1.1}, "symmetry"),
        ({"gain": 1.0, "temperature": 1.0, "confinement": -0.1}, "confinement"),
        ({"gain": float("nan"), "temperature": 1.0}, "gain"),
        ({"gain": [1.0, 2.0], "temperature": [1.0, 2.0, 3.0]}, "broadcast"),
        ({"gain": 1.0, "temperature": 1.0, "transfer": "sigmoid"}, "transfer: expected an odd"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mf.equilibrium(**arguments)


def test_zero_temperature_needs_a_slope_of_one():
    with pytest.raises(ValueError, match="phi'"):
        mf.zero_temperature(gain=1.0, transfer="erf")


# The general saddle point


@pytest.mark.parametrize(
    "settings",
    [
        {"gain": 0.5, "temperature": 0.01},
        {"gain": 1.5, "temperature": 0.1},
        {"gain": 0.8, "temperature": 0.05, "symmetry": 0.4},
        {"gain": 1.2, "temperature": 0.2, "symmetry": 0.3, "confinement": 0.2},
    ],
)
def test_the_general_solver_returns_to_the_closed_solution(settings):
    found = mf.saddle_point(**settings, overlap=0.05)
    closed = mf.equilibrium(**settings)
    assert float(found.replica_overlap) < 1e-8
    for name in ("overlap", "variance", "response", "energy", "free_energy"):
        assert_close(getattr(found, name), getattr(closed, name), rtol=0, atol=1e-8)


def test_a_small_overlap_grows_or_fades_as_the_stability_says():
    settings = {"gain": 1.2, "temperature": 0.2, "symmetry": 0.3, "confinement": 0.2}
    phi = as_transfer("tanh")
    flat = {name: exactly([value]) for name, value in settings.items()}
    state = settled_site(phi, flat)
    at = canonical.site(phi, state)
    mesh = general._Mesh(
        phi, tuple(settings[k] for k in ("gain", "temperature", "symmetry", "confinement"))
    )
    now = general._Saddle(
        float(state.q), 1e-8, float(state.tilt), 1e-8, float(at.cross / state.s), 1e-9
    )
    ratio = 0.0
    for _ in range(40):
        new, _ = mesh.image(now)
        ratio = new.Q / now.Q
        now = general._Saddle(now.q, new.Q, now.qh, new.Qh, now.r, new.R)
    assert ratio == pytest.approx(float(canonical.spectral_radius(state, at)), abs=1e-6)


@pytest.mark.slow
def test_replicas_overlap_for_negative_symmetry():
    """A true branch: the energy is the derivative of its free energy, which is the higher one."""
    beta, h = 100.0, 1.0
    T = 1 / exactly([beta - h, beta, beta + h])
    found = mf.saddle_point(gain=1.2, temperature=T, symmetry=-0.1)
    closed = mf.equilibrium(gain=1.2, temperature=T, symmetry=-0.1)
    assert bool((closed.stability > 1).all())
    assert bool((found.replica_overlap > 0.04).all())
    assert bool((found.free_energy > closed.free_energy).all())
    action = found.free_energy / T
    assert_close((action[2] - action[0]) / (2 * h), found.energy[1], rtol=0, atol=2e-7)
