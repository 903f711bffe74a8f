"""Samplers against exact measures: quadratic potentials, a double well, the theory of networks."""

import math

import pytest
import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import (
    SpeedPotential,
    anneal,
    field_response,
    langevin,
    parallel_tempering,
    planted,
)
from sntorch.landscape.samples import effective_samples
from sntorch.results import over_rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


STIFF = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def bowl(u):
    return (STIFF * u.square()).sum(-1) / 2


def within(value, expected, stderr, sigmas=4.0):
    assert abs(float(value) - expected) < sigmas * float(stderr)


# A quadratic potential, where both steps are exact


@pytest.mark.parametrize(("method", "step"), [("unadjusted", 0.5), ("metropolis", 0.6)])
def test_exact_on_a_quadratic(method, step):
    """At steps this long plain Euler steps are wrong by more than ten percent."""
    T = 0.7
    u = torch.randn(2000, 3, generator=generator(1)).double() * (T / STIFF).sqrt()
    found = langevin(
        bowl,
        u,
        300,
        temperature=T,
        step_size=step,
        method=method,
        every=1,
        transient=50,
        generator=generator(),
    )
    value, error = over_rows(found.energy, found.energy_stderr)
    within(value, T / 2, error)
    for i in range(3):
        square = found.states[:, i].square()
        within(square.mean(), T / float(STIFF[i]), square.std() / 2000**0.5)
    assert found.energies.shape == (300, 2000)
    if method == "metropolis":
        assert 0.3 < float(found.acceptance.mean()) < 0.95
    else:
        assert bool((found.acceptance == 1).all())
    assert found.stable_step == pytest.approx(2 / 3, rel=1e-3)


def test_effective_samples_of_an_autoregressive_series():
    a, M = 0.8, 5_000
    noise = torch.randn(M, 8, generator=generator()).double()
    series = torch.zeros(M, 8).double()
    for t in range(1, M):
        series[t] = a * series[t - 1] + noise[t]
    expected = M * (1 - a) / (1 + a)
    assert_close(
        effective_samples(series).mean(), torch.tensor(expected).double(), rtol=0.1, atol=0
    )
    white = effective_samples(noise).mean()
    assert_close(white, torch.tensor(float(M)).double(), rtol=0.1, atol=0)


def test_metropolis_is_exact_in_a_quartic_well():
    """Against its Boltzmann weight on a grid."""

    def quartic(u):
        return u.pow(4).sum(-1)

    T = 0.5
    x = torch.linspace(-4, 4, 8001).double()
    weight = torch.exp(-x.pow(4) / T)
    expected = float((weight * x.square()).sum() / weight.sum())
    u = torch.randn(1000, 1, generator=generator()).double() * 0.3
    found = langevin(
        quartic,
        u,
        600,
        temperature=T,
        step_size=0.12,
        method="metropolis",
        transient=100,
        generator=generator(2),
    )
    value, error = over_rows(found.overlap, found.overlap_stderr)
    within(value, expected, error)
    assert float(error) < 0.01 * expected
    within(found.energy.mean(), T / 4, found.energy.std() / 1000**0.5)


def test_adapted_steps_reach_the_acceptance_that_explores_fastest():
    found = langevin(
        bowl,
        torch.zeros(200, 3).double(),
        200,
        temperature=0.7,
        transient=400,
        method="metropolis",
        generator=generator(),
    )
    assert float(found.acceptance.mean()) == pytest.approx(0.574, abs=0.08)


# Networks


def network(n, g, seed=0):
    J = g * snt.couplings.gaussian(n, generator=generator(seed), dtype=torch.float64)
    return SpeedPotential(snt.systems.AmariWilsonCowan(J))


@pytest.mark.slow
def test_the_canonical_measure_of_a_network_is_that_of_the_theory():
    """Energy per neuron T/2 within 2e-5 and q within 1e-4, at N = 500, T = 0.01, g = 0.5."""
    theory = snt.meanfield.equilibrium(gain=0.5, temperature=0.01)
    u = torch.randn(24, 500, generator=generator(1)).double() * theory.variance.sqrt()
    found = langevin(
        network(500, 0.5),
        u,
        600,
        temperature=0.01,
        step_size=0.15,
        transient=100,
        generator=generator(),
    )
    shown = found.scalars()
    assert shown["energy"] == pytest.approx(0.005, abs=2e-5)
    assert shown["overlap"] == pytest.approx(float(theory.overlap), abs=1e-4)
    assert shown["energy_stderr"] < 1e-5
    within(shown["response"], float(theory.response), max(shown["response_stderr"], 2e-3))
    within(shown["replica_overlap"], 0.0, shown["replica_overlap_stderr"])


def test_the_response_by_a_field_is_that_by_fluctuation():
    theory = snt.meanfield.equilibrium(gain=0.5, temperature=0.1)
    u = torch.randn(16, 200, generator=generator(1)).double() * theory.variance.sqrt()
    settings = {"temperature": 0.1, "step_size": 0.2, "transient": 60, "generator": generator()}
    by_field = field_response(network(200, 0.5), u, 300, **settings).scalars()
    by_noise = langevin(network(200, 0.5), u, 600, **settings).scalars()
    error = math.hypot(by_field["response_stderr"], by_noise["response_stderr"])
    within(by_field["response"], by_noise["response"], error)
    assert by_field["response"] == pytest.approx(float(theory.response), abs=0.02)


def test_planted_states_are_in_equilibrium_from_the_start():
    energies, overlaps, variances = [], [], []
    for seed in range(40):
        start = planted(200, gain=1.5, temperature=0.1, generator=generator(seed))
        flow = snt.systems.AmariWilsonCowan(start.coupling)
        energies.append(SpeedPotential(flow)(start.state).detach() / 200)
        overlaps.append(torch.tanh(start.state).square().mean())
        variances.append(start.coupling.var() * 200)
    energies, overlaps = torch.stack(energies), torch.stack(overlaps)
    theory = snt.meanfield.equilibrium(gain=1.5, temperature=0.1)
    within(energies.mean(), 0.05, energies.std() / 40**0.5)
    within(overlaps.mean(), float(theory.overlap), overlaps.std() / 40**0.5)
    assert float(torch.stack(variances).mean()) == pytest.approx(1.5**2, rel=0.02)


@pytest.mark.slow
def test_planted_runs_above_the_transition_stay_near_theory_and_decorrelate():
    start = planted(300, gain=1.5, temperature=0.1, generator=generator())
    flow = snt.systems.AmariWilsonCowan(start.coupling)
    theory = snt.meanfield.equilibrium(gain=1.5, temperature=0.1)
    found = langevin(
        SpeedPotential(flow),
        start.state.expand(8, 300),
        4000,
        temperature=0.1,
        step_size=0.1,
        every=20,
        generator=generator(1),
    )
    assert float(found.overlap.mean()) == pytest.approx(float(theory.overlap), abs=0.05)
    assert float(found.energy.mean()) == pytest.approx(0.05, rel=0.05)
    memory = found.memories.mean(1)
    assert float(memory[0]) > 0.3
    assert float(memory[-20:].mean()) < 0.5 * float(memory[0])


# Tempering


@pytest.mark.slow
def test_tempering_crosses_a_barrier_that_cold_chains_do_not():
    def wells(u):
        return 10 * (u.square() - 1).square().sum(-1)

    u = torch.ones(60, 1).double()
    Ts = [0.5, 1.2, 3.0, 8.0]
    found = parallel_tempering(
        wells,
        u,
        1500,
        temperatures=Ts,
        step_size=0.006,
        swap_every=3,
        method="metropolis",
        transient=300,
        generator=generator(),
    )
    alone = langevin(
        wells, u, 1500, temperature=0.5, step_size=0.006, method="metropolis", generator=generator()
    )
    assert float((alone.states < 0).double().mean()) < 0.05
    cold = (found.states[0] < 0).double().mean()
    within(cold, 0.5, 0.5 / 60**0.5)
    x = torch.linspace(-3, 3, 6001).double()
    for k, T in enumerate(Ts):
        weight = torch.exp(-10 * (x.square() - 1).square() / T)
        expected = float((weight * x.square()).sum() / weight.sum())
        value, error = over_rows(found.overlap[k], found.overlap_stderr[k])
        within(value, expected, error)
    assert bool((found.swaps > 0.1).all())


# Care


def test_a_run_is_reproducible_and_leaves_the_global_stream_alone():
    u = torch.zeros(2, 3).double()
    before = torch.get_rng_state()
    runs = [langevin(bowl, u, 20, temperature=1.0, generator=generator(5)) for _ in range(2)]
    langevin(bowl, u, 5, temperature=1.0)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(runs[0].states, runs[1].states)
    with torch.inference_mode():
        assert langevin(bowl, u.clone(), 20, temperature=1.0).states.shape == (2, 3)


def test_an_interruption_loses_nothing():
    calls = 0

    def stubborn(u):
        nonlocal calls
        calls += 1
        if calls > 200:
            calls = -(10**9)
            raise KeyboardInterrupt
        return u.square().sum(-1)

    found = langevin(stubborn, torch.zeros(4, 2).double(), 1000, temperature=1.0, every=1)
    assert found.stopped.startswith("interrupted at step")
    assert 50 < len(found.energies) < 200
    assert bool(found.energy.isfinite().all())
    on = langevin(stubborn, found.states, 20, temperature=1.0, step_size=found.step_size)
    assert on.stopped == ""


@pytest.mark.parametrize("step", [0.7, 5.0])
def test_a_step_that_diverges_is_refused_with_one_that_does_not(step):
    with pytest.raises(ValueError, match=r"step_size: expected at most about 0\.66"):
        langevin(bowl, torch.zeros(3).double() + 1, 500, temperature=1.0, step_size=step)


def test_divergence_on_the_way_is_seen():
    """The start is flat: only later states show that the step was too long."""

    def steep(u):
        return u.pow(4).sum(-1)

    with pytest.raises(ValueError, match="step_size: expected at most about"):
        langevin(
            steep,
            torch.zeros(4).double() + 0.01,
            2000,
            temperature=5.0,
            step_size=0.5,
            generator=generator(),
        )


def test_a_potential_without_a_lowest_value_is_refused():
    u = torch.ones(4, 3).double()
    with pytest.raises(ValueError, match="potential: expected one that is bounded below"):
        langevin(lambda u: -u.square().sum(-1), u, 500, temperature=0.1, generator=generator())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature: expected a finite number > 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"step_size": 0.0}, "step_size: expected"),
        ({"method": "euler"}, "method: expected one of unadjusted, metropolis"),
        ({"transient": -1}, "transient"),
        ({"every": 0}, "every"),
        ({"generator": 3}, "generator"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        langevin(bowl, torch.zeros(3).double(), 10, **{"temperature": 1.0} | arguments)


def test_bad_arguments_of_the_others():
    u = torch.zeros(3).double()
    with pytest.raises(ValueError, match="temperatures: expected two or more"):
        parallel_tempering(bowl, u, 10, temperatures=[1.0])
    with pytest.raises(ValueError, match="temperatures"):
        parallel_tempering(bowl, u, 10, temperatures=[2.0, 1.0])
    with pytest.raises(ValueError, match="temperatures: expected two or more"):
        parallel_tempering(bowl, u, 10, temperatures=1.0)  # pyright: ignore[reportArgumentType]
    two = parallel_tempering(bowl, u, 10, temperatures=torch.tensor([1.0, 2.0]))
    assert two.temperature.flatten().tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="final"):
        anneal(bowl, u, 10, final=0.0)
    with pytest.raises(ValueError, match="final: expected at most temperature"):
        anneal(bowl, u, 10, temperature=0.1, final=1.0)
    with pytest.raises(ValueError, match="potential: expected a SpeedPotential"):
        field_response(bowl, u, 10, temperature=1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="replica-symmetric"):
        planted(10, gain=2.0, temperature=0.1, transfer="linear")
    with pytest.raises(ValueError, match="u: expected finite"):
        langevin(bowl, u * math.nan, 10, temperature=1.0)
