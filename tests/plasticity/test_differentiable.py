"""The plastic cell: its formula, its tangent, the exponents of neurons and synapses together."""

import functools
import math

import pytest
import torch
from references import random_coupling, random_generator, snt_cell, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import HebbianForgetting, Oja, PlasticSNTCell
from sntorch.plasticity.traces import Step

N = 4
EXACT = {"rtol": 0, "atol": 1e-8}


def cell(scale=1.0, **settings):
    return snt.SNTCell(scale * random_coupling(), **settings)


def start(*rows, seed=6):
    return torch.randn(*rows, N, generator=random_generator(seed), dtype=torch.float64)


def trace(*rows, seed=7):
    return torch.randn(*rows, N, N, generator=random_generator(seed), dtype=torch.float64)


# One step


@pytest.mark.parametrize("kind", ["hebbian", "oja"])
@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("modulated", [False, True])
def test_a_step_is_its_formula(kind, rectified, modulated):
    base = cell(gain=1.3, leak=0.2, threshold=0.1)
    alpha = random_coupling(seed=9)
    f = PlasticSNTCell(
        base,
        alpha=alpha,
        rate=0.3,
        forgetting=0.9,
        trace=kind,
        activity=0.1,
        rectified=rectified,
        modulated=modulated,
    )
    u, H = start(), trace()
    u1, H1 = f.split(f.map(f.join(u, H)))
    x = torch.tanh(1.3 * u)
    for i in range(N):
        total = sum((base.coupling[i, j] + alpha[i, j] * H[i, j]) * x[j] for j in range(N))
        assert_close(u1[i], 0.2 * u[i] + total - 0.1)
    y = torch.tanh(1.3 * u1)
    M = 1.0
    if f.modulator is not None and f.modulator_bias is not None:
        M = torch.tanh((f.modulator * y).sum() + f.modulator_bias)
    for i in range(N):
        for j in range(N):
            b = max(x[j] - 0.1, x.new_zeros(())) if rectified else x[j] - 0.1
            learned = (y[i] - 0.1) * b
            if kind == "oja":
                learned = learned - (y[i] - 0.1) ** 2 * H[i, j]
            assert_close(H1[i, j], 0.9 * H[i, j] + 0.3 * M * learned)


def test_it_takes_the_rules_for_granted():
    # With J = 0 and alpha = 1 the trace is the coupling of a network that learns on line.
    base = snt.SNTCell(torch.zeros(N, N).double())
    u, H = start(), trace()
    for f, rule in [
        (PlasticSNTCell(base, alpha=1.0, rate=0.3, trace="oja"), Oja(0.3)),
        (
            PlasticSNTCell(base, alpha=1.0, rate=0.3, forgetting=0.8, activity=0.1, rectified=True),
            HebbianForgetting(0.8, 0.3 * N, 0.1),
        ),
    ]:
        orbit = snt.rollout(f, f.join(u, H), 3).detach()
        learned = snt.plasticity.learn(snt.SNTCell(H), rule, u, 3, steps=1)
        states, traces = f.split(orbit)
        assert_close(states[-1], learned.state)
        assert_close(traces[-1], learned.cell.coupling.detach())
        assert_close(f.couplings(orbit), traces)


def test_without_alpha_the_neurons_are_those_of_the_cell():
    base = snt_cell(torch.float64, input_size=3, leak=0.3)
    f = PlasticSNTCell(base, alpha=0.0, rate=0.2)
    x = torch.randn(6, 3, generator=random_generator(), dtype=torch.float64)
    orbit = snt.rollout(f, f.join(start(2)), 6, x=x)
    assert_close(f.split(orbit)[0], snt.rollout(base, start(2), 6, x=x))


def test_noise_acts_on_neurons_alone():
    base = cell(noise=0.3)
    f = PlasticSNTCell(base, alpha=0.0, rate=0.2)
    s = f.join(start(5), trace(5))
    f.generator = random_generator(1)
    (u, H), (u1, H1) = f.split(f(None, s)), f.split(f.map(s))
    assert torch.equal(H, H1)
    assert ((u - u1).abs() > 0).all()
    assert PlasticSNTCell(cell(), rate=0.2).noise == 0.0


@pytest.mark.parametrize("kind", ["hebbian", "oja"])
@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("rows", [(), (3,)])
@pytest.mark.parametrize("every", [1, 2, 7])
def test_orbits_without_gradients_are_those_of_single_steps(kind, modulated, rows, every):
    f = PlasticSNTCell(
        cell(input_size=2, noise=0.3), alpha=0.5, rate=0.2, trace=kind, modulated=modulated
    )
    f = f.double()  # the modulator too
    n, x = f.neurons, torch.randn(7, 2, generator=random_generator(1), dtype=torch.float64)
    s = torch.randn(*rows, f.size, generator=random_generator(2), dtype=torch.float64) / n
    before = s.clone()
    with torch.no_grad():
        fast = snt.rollout(f, s, 7, x=x, every=every, generator=random_generator(5))
    assert torch.equal(s, before)
    assert fast._base is None or fast._base.shape == fast.shape
    slow = snt.rollout(f, s, 7, x=x, every=every, generator=random_generator(5))
    assert slow.requires_grad
    assert torch.equal(fast, slow.detach())
    assert len(fast) == 7 // every
    # One step at a time from the same stream.
    g, u = random_generator(5), s
    with torch.no_grad():
        for t in range(7):
            u = snt.rollout(f, u, 1, x=x[t], generator=g)[0]
            if (t + 1) % every == 0:
                assert torch.equal(fast[t // every], u)


def test_an_orbit_goes_on_in_the_memory_it_has(monkeypatch):
    f = PlasticSNTCell(cell(), alpha=0.5, trainable=())
    places = []
    into = Step.advance_into

    def noted(step, place, s):
        places.append((place.data_ptr(), s.data_ptr()))
        return into(step, place, s)

    monkeypatch.setattr(Step, "advance_into", noted)
    with torch.no_grad():
        snt.rollout(f, f.join(start()), 9, every=9)
    assert len({place for place, _ in places[:8]}) == 1
    assert all(place == s for place, s in places[1:8])


def test_the_default_forgetting():
    assert_close(PlasticSNTCell(cell(), rate=0.3).forgetting.item(), 0.7)
    assert PlasticSNTCell(cell(), rate=0.3, trace="oja").forgetting.item() == 1.0


def test_the_tangent_does_not_form_the_jacobian():
    # 1000 neurons: N + N^2 = 1001000, whose square would be 4 TB.
    n = 1000
    f = PlasticSNTCell(snt.SNTCell(snt.couplings.gaussian(n)), alpha=0.5)
    with torch.no_grad():
        s = f.join(torch.randn(n))
        value, pushed = f.jvp(s, torch.randn(f.size, 1))
        pulled = f.vjp(s, torch.ones(f.size, 1))[1]
    assert pushed.shape == pulled.shape == (f.size, 1)
    assert value.shape == s.shape


# Joint exponents


def neuron_spectrum(base, u, steps, transient):
    return snt.analysis.lyapunov_spectrum(base, u, steps, transient=transient)


@pytest.mark.parametrize("off", [{"rate": 0.0}, {"alpha": 0.0}], ids=["rate", "alpha"])
@pytest.mark.parametrize("forgetting", [0.8, 1.0])
def test_without_learning_the_spectrum_is_that_of_the_neurons_and_the_decay(off, forgetting):
    # A symmetric network at rest has real multipliers, so that finite orbits are exact.
    J = random_coupling()
    base = snt.SNTCell(0.2 * (J + J.T))
    settings = {"alpha": 0.5, "rate": 0.2} | off
    f = PlasticSNTCell(base, forgetting=forgetting, trainable=(), **settings)
    u = snt.rollout(base, 0.1 * start(), 3000)[-1].detach()
    alone = neuron_spectrum(base, u, 100, 600)
    joint = snt.analysis.lyapunov_spectrum(f, f.join(u), 100, transient=600)
    plateau = torch.full((N * N,), math.log(forgetting), dtype=torch.float64)
    expected = torch.cat([alone.exponents, plateau]).sort(descending=True).values
    assert_close(joint.exponents, expected, **EXACT)
    sizes = torch.linalg.eigvalsh(base.coupling.detach()).abs().log().sort(descending=True).values
    assert_close(alone.exponents, sizes, **EXACT)


def products(f, s, steps):
    """Return the product of the Jacobians along an orbit."""
    total = torch.eye(s.shape[-1], dtype=torch.float64)
    for _ in range(steps):
        total = f.jacobian(s) @ total
        s = f.map(s)
    return total


def test_without_learning_chaos_multiplies_the_same_numbers():
    # The product of Jacobians is block triangular along any orbit.
    base = snt.SNTCell(2 * random_coupling(seed=2))
    u = snt.rollout(base, start(), 50)[-1].detach()
    assert float(snt.analysis.max_lyapunov(base, u, 2000)) > 0.05
    f = PlasticSNTCell(base, alpha=0.0, rate=0.2, forgetting=0.9, trainable=())
    steps = 2
    with torch.no_grad():
        alone = torch.linalg.eigvals(products(base, u, steps)).abs()
        joint = torch.linalg.eigvals(products(f, f.join(u, trace()), steps)).abs()
    expected = torch.cat([alone, torch.full((N * N,), 0.9**steps).double()])
    assert_close(joint.sort().values, expected.sort().values, rtol=1e-8, atol=1e-8)
    exponents = snt.analysis.lyapunov_spectrum(f, f.join(u), 300)
    volume = snt.analysis.lyapunov_spectrum(base, u, 300).log_det + N**2 * math.log(0.9)
    assert_close(exponents.exponents.sum(), volume, rtol=1e-8, atol=1e-8)


def settled(f, u, steps=4000):
    """Return a fixed point of the joint dynamics."""
    with torch.no_grad():
        s = snt.rollout(f, f.join(u), steps, every=steps)[-1]
        assert (f.map(s) - s).abs().max() < 1e-14
    return s


FORGETTING = 0.6


@functools.cache
def plastic_at_rest(rectified=False):
    base = cell(0.1, threshold=-0.4, leak=0.2)
    f = PlasticSNTCell(
        base, alpha=0.5, rate=0.2, forgetting=FORGETTING, activity=0.05, rectified=rectified
    )
    return f, settled(f, start())


def reduced(f, s):
    """Return the map of (du, y = alpha dH x), 2N by 2N, at a fixed point with b from sender d."""
    with torch.no_grad():
        u, H = f.split(s)
        g, base = f.cell.gain, f.cell
        x = torch.tanh(g * u)
        slope = g * (1 - x**2)
        a, b = x - f.activity, x - f.activity
        db = torch.ones_like(b)
        if f.rectified:
            b, db = b.clamp(min=0), (b > 0).double()
        A = base.leak * torch.eye(N).double() + (base.coupling + f.alpha * H) * slope
        size, eye = f.alpha * f.rate, torch.eye(N).double()
        top = torch.cat([A, eye], 1)
        grown = size * (b @ x) * slope[:, None] * top
        grown[:, :N] += size * torch.outer(a, x * db * slope)
        grown[:, N:] += f.forgetting * eye
        return torch.cat([top, grown])


@pytest.mark.parametrize("rectified", [False, True])
def test_multipliers_at_a_fixed_point(rectified):
    f, s = plastic_at_rest(rectified)
    with torch.no_grad():
        found = torch.linalg.eigvals(f.jacobian(s))
    assert f.split(s)[1].abs().max() > 0.05  # the synapses have learned
    small = torch.linalg.eigvals(reduced(f, s))
    plateau = torch.full((N * (N - 1),), FORGETTING, dtype=torch.complex128)
    expected = torch.cat([small, plateau])
    for value in expected:  # each takes its nearest, and all are taken
        i = (found - value).abs().argmin()
        assert (found[i] - value).abs() < 1e-8
        found = torch.cat([found[:i], found[i + 1 :]])
    assert not len(found)
    assert (small - FORGETTING).abs().min() > 0.02


@pytest.mark.slow
def test_exponents_at_a_fixed_point():
    f, s = plastic_at_rest()
    spectrum = snt.analysis.lyapunov_spectrum(f, s, 200, transient=700).exponents
    with torch.no_grad():
        sizes = torch.linalg.eigvals(reduced(f, s)).abs().log()
    plateau = torch.full((N * (N - 1),), math.log(FORGETTING), dtype=torch.float64)
    expected = torch.cat([sizes, plateau]).sort(descending=True).values
    assert (expected > plateau[0] + 0.1).sum() == N  # what is learned decays more slowly
    # The last but one are a pair of complex multipliers: it turns, only its sum is exact.
    assert_close(spectrum[:-2], expected[:-2], **EXACT)
    assert_close(spectrum[-2:].sum(), expected[-2:].sum(), **EXACT)


def test_frozen_exponents_do_not_bound_the_joint_ones():
    f, s = plastic_at_rest()
    H = f.split(s)[1]
    frozen = snt.SNTCell(f.couplings(s).detach(), threshold=-0.4, leak=0.2)
    assert (frozen.map(f.split(s)[0]) - f.split(s)[0]).abs().max() < 1e-12
    alone = float(snt.analysis.max_lyapunov(frozen, f.split(s)[0], 500, transient=500))
    joint = float(snt.analysis.max_lyapunov(f, s, 500, transient=500))
    assert H.shape == (N, N)
    assert joint > max(alone, math.log(FORGETTING)) + 1e-3


# Wrong arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PlasticSNTCell(random_coupling()), "cell: expected an SNTCell, got Tensor"),  # pyright: ignore[reportArgumentType]
        (
            lambda: PlasticSNTCell(snt.SNTCell(thinned(random_coupling()).to_sparse_csr())),
            "cell: expected dense couplings, got Sparse, in which the trace would create synapses",
        ),
        (lambda: PlasticSNTCell(cell(), rate=1.0), r"rate: expected a number in \[0, 1\)"),
        (lambda: PlasticSNTCell(cell(), rate=-0.1), "rate: expected"),
        (lambda: PlasticSNTCell(cell(), rate=0.0), r"rate: expected a number in \(0, 1\), since"),
        (lambda: PlasticSNTCell(cell(), forgetting=1.1), "forgetting: expected"),
        (lambda: PlasticSNTCell(cell(), trace="bcm"), "trace: expected one of hebbian, oja"),
        (lambda: PlasticSNTCell(cell(), alpha=math.nan), "alpha: expected a finite number"),
        (lambda: PlasticSNTCell(cell(), alpha=torch.ones(3)), r"alpha: .* \(4, 4\), got \(3,\)"),
        (lambda: PlasticSNTCell(cell(), alpha=trace() * math.nan), "alpha: expected finite"),
        (lambda: PlasticSNTCell(cell(), trainable="alpha"), "trainable: expected a sequence"),
        (lambda: PlasticSNTCell(cell(), trainable=("J",)), "trainable: expected one of alpha"),
        (lambda: PlasticSNTCell(cell()).join(start(), trace(2)), r"H: expected \(4, 4\)"),
        (
            lambda: PlasticSNTCell(cell()).join(start(), trace().float()),
            "H: expected torch.float64",
        ),
        (lambda: PlasticSNTCell(cell()).join(start(), [[0.0]]), "H: expected a torch.Tensor"),  # pyright: ignore[reportArgumentType]
        (lambda: PlasticSNTCell(cell()).map(start()), "u: expected 20 on the last axis"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Training


def completion(plastic, seed, size=16, rows=32, iterations=400):
    """Return the share of wrong bits among those that the cue hides, at the end of training.

    Two random patterns are shown for three steps each, then half of one of them.
    """
    g = random_generator(seed)
    torch.manual_seed(seed)
    cell = snt.SNTCell(0.1 * snt.couplings.gaussian(size, generator=g), input_size=size)
    alpha = 0.01 * torch.randn(size, size, generator=g)
    trained = ("alpha", "rate") if plastic else ()
    f = PlasticSNTCell(cell, alpha=alpha if plastic else 0.0, rate=0.1, trainable=trained)
    optimiser, errors = torch.optim.Adam(f.parameters(), lr=1e-2), []
    for _ in range(iterations):
        patterns = torch.randint(0, 2, (2, rows, size), generator=g).float() * 2 - 1
        chosen = torch.randint(0, 2, (rows,), generator=g)
        target = patterns[chosen, torch.arange(rows)]
        hidden = torch.rand(rows, size, generator=g).argsort(-1) < size // 2
        x = torch.stack([patterns[0], patterns[1], target * ~hidden]).repeat_interleave(3, 0)
        orbit = snt.rollout(f, f.join(torch.zeros(rows, size)), 9, x=x)
        answer = cell.rate(f.split(orbit[-1])[0])
        optimiser.zero_grad()
        (answer - target)[hidden].square().mean().backward()
        optimiser.step()
        errors.append(float((answer.sign() != target)[hidden].float().mean()))
    return sum(errors[-50:]) / 50


@pytest.mark.slow
def test_plasticity_completes_patterns_that_its_twin_cannot():
    plastic, twin = completion(True, 0), completion(False, 0)
    assert plastic < 0.16
    assert twin > 0.25
    assert plastic < 0.5 * twin
