"""All questions at once: the same answers as one by one, and none takes the others along."""

from typing import Any

import pytest
import torch

import sntorch as snt
from sntorch.plot import report


def network(noise=0.1, gain=1.5, inputs=0, size=12):
    g = torch.Generator().manual_seed(0)
    J = snt.couplings.gaussian(size, generator=g, dtype=torch.float64)
    return snt.SNTCell(J, gain=gain, leak=0.2, noise=noise, input_size=inputs)


def start(rows=4, size=12):
    g = torch.Generator().manual_seed(1)
    return torch.randn(rows, size, generator=g, dtype=torch.float64)


def test_sequences_are_read_and_their_mean_is_the_drive_of_the_stationary_state():
    f, u = network(noise=0.0, inputs=2), start()
    x = torch.randn(40, 4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found: Any = snt.survey(f, u, x=x, steps=200)
    assert list(found.records) == [
        "reading", "exponents", "regime", "dimension", "spectrum", "power", "points", "response",
        "entropy",
    ]  # fmt: skip
    assert list(found.missing) == ["flux"]
    assert "noise: expected some" in found.missing["flux"]
    mean = x.mean((0, 1))
    expected = snt.analysis.lyapunov_spectrum(f, u, 30, transient=10, x=x)
    assert torch.equal(found.records["reading"].exponents, expected.exponents)
    end = snt.rollout(f, snt.rollout(f, u, 40, x=x)[-1], 400, x=mean)
    production = snt.landscape.entropy_production(f, end[200:], x=mean)
    assert torch.equal(found.records["entropy"].contraction, production.contraction)
    alone = snt.analysis.lyapunov_spectrum(f, end[-1], 200, transient=50, x=mean)
    assert found.scalars()["exponents/max"] == alone.scalars()["max"]
    assert [ax.get_title(loc="left") for ax in report(found).axes].count("Linear dimension") == 1


def test_a_noisy_network_left_alone():
    state = torch.get_rng_state()
    found: Any = snt.survey(network(), start(), steps=200, k=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert not found.missing
    assert "reading" not in found.records
    assert found.records["exponents"].exponents.shape == (4, 3)
    assert found.records["spectrum"].radius.shape == (16,)
    assert found.scalars()["entropy/entropy_production"] > 0


def test_a_question_without_an_answer_says_why_and_leaves_the_others():
    found: Any = snt.survey(snt.SNTCell(torch.zeros(300, 300)), torch.ones(2, 300), steps=200, k=1)
    assert list(found.missing) == ["response", "flux"]
    assert found.missing["response"] == "size: expected at most 256 for all pairs, got 300"
    assert set(found.records) > {"exponents", "points", "entropy"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"u": torch.ones(12).double()}, r"u: expected \(R, N\), got \(12,\)"),
        ({"x": torch.ones(5, 2).double()}, r"x: expected \(I,\) or \(T, R, I\), got \(5, 2\)"),
        ({"steps": 199}, "steps: expected"),
        ({"k": 13}, "1 <= k <= 12, got 13"),
    ],
)
def test_wrong_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        snt.survey(**({"f": network(), "u": start()} | given))


def test_an_orbit_that_is_not_bounded_is_refused():
    with pytest.raises(ValueError, match="bounded orbit"):
        snt.survey(lambda u: 10 * u, torch.ones(2, 3), steps=200)
