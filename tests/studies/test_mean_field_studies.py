"""The studies of mean field beside networks: records grow, numbers are those of the theory."""

import pytest
import torch

import sntorch as snt
from sntorch.plot import plot
from sntorch.studies import Study, mean_field_lyapunov, noise_suppresses_chaos, phase_diagram


@pytest.fixture(scope="module")
def by_gain():
    settings = {"gains": [0.5, 1.5], "sizes": [20, 40], "networks": 3, "steps": 60}
    return list(mean_field_lyapunov.run(**settings, transient=40))


@pytest.fixture(scope="module")
def by_noise():
    settings = {"gains": [1.5, 2.0], "noises": [0.0, 1.0], "size": 30, "networks": 3, "steps": 60}
    return list(noise_suppresses_chaos.run(**settings, transient=40))


def test_sizes_come_one_by_one(by_gain):
    assert all(isinstance(each, Study) for each in by_gain)
    assert [each.progress[:5] for each in by_gain] == ["[1/2]", "[2/2]"]
    assert [each.exponents.shape for each in by_gain] == [(1, 2), (2, 2)]
    assert torch.equal(by_gain[0].exponents[0], by_gain[1].exponents[0])
    last = by_gain[-1]
    assert last.theory.lyapunov.tolist() == snt.meanfield.solve(gain=[0.5, 1.5]).lyapunov.tolist()
    assert set(last.scalars()) == {"distance/20", "distance/40"}
    assert last.table().count("±") == 4


def test_gains_come_one_by_one(by_noise):
    assert [each.progress[:5] for each in by_noise] == ["[1/2]", "[2/2]"]
    last = by_noise[-1]
    assert last.exponents.shape == last.theory.lyapunov.shape == (2, 2)
    assert float(last.critical[1]) == pytest.approx(0.6395, abs=1e-4)
    assert bool((last.exponents[:, 0] > last.exponents[:, 1]).all())
    assert last.table().splitlines()[-1].split()[-1] == f"{float(last.critical[1]):.4f}"


def test_the_border_is_where_the_field_changes_sign():
    (found,) = phase_diagram.run(points=12)
    noises = found.field.arguments["noise"][:, 0]
    for g, limit in enumerate(found.border.tolist()):
        chaotic = found.field.chaotic[:, g]
        if limit != limit:
            assert not chaotic.any()
        else:
            assert chaotic.tolist() == (noises < limit).tolist()
    assert found.scalars()["chaotic"] == float(found.field.chaotic.double().mean())
    assert len(found.table().splitlines()) == 13


def test_pictures(by_gain, by_noise):
    (diagram,) = phase_diagram.run(points=6)
    for study in (by_gain[0], by_gain[-1], by_noise[0], by_noise[-1], diagram):
        assert study.picture().axes
    ax = plot(by_gain[-1])
    assert ax.get_xlabel() == "gain g"
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert "mean field, N → ∞" in labels
    assert "N = 40 ± s.e." in labels


@pytest.mark.parametrize(
    ("run", "settings", "message"),
    [
        (mean_field_lyapunov.run, {"gains": [1.0]}, "gains: expected two or more, ascending"),
        (mean_field_lyapunov.run, {"gains": [2.0, 1.0]}, "gains: expected two or more, ascending"),
        (mean_field_lyapunov.run, {"gains": [-1.0, 1.0]}, "gains: expected a finite number > 0"),
        (mean_field_lyapunov.run, {"sizes": []}, "sizes: expected at least one"),
        (mean_field_lyapunov.run, {"sizes": [0]}, "sizes: expected a whole number"),
        (mean_field_lyapunov.run, {"networks": 1}, "networks: expected a whole number"),
        (mean_field_lyapunov.run, {"leak": 1.0}, "leak: expected"),
        (noise_suppresses_chaos.run, {"gains": []}, "gains: expected at least one"),
        (noise_suppresses_chaos.run, {"noises": [0.0]}, "noises: expected two or more, ascending"),
        (noise_suppresses_chaos.run, {"noises": [-0.1, 1]}, "noises: expected a finite number"),
        (phase_diagram.run, {"gain": 0.4}, "gain: expected a number > 0.5"),
        (phase_diagram.run, {"noise": 0.0}, "noise: expected a finite number > 0"),
        (phase_diagram.run, {"points": 1}, "points: expected a whole number"),
    ],
)
def test_what_is_wrong_is_named_before_the_work(run, settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))


@pytest.mark.slow
def test_networks_approach_the_mean_field():
    """At N = 400 within three standard errors and a bias of 8 / N, in and outside chaos."""
    settings = {"gains": [0.8, 1.5, 2.5], "sizes": [400], "networks": 6}
    (found,) = mean_field_lyapunov.run(**settings)
    gap = (found.exponents[0] - found.theory.lyapunov).abs()
    # At gain 0.8 the exponent of a network is ln of its spectral radius: a bias of its own.
    assert bool((gap[1:] < 3 * found.stderr[0, 1:] + 8 / 400).all())
    assert float(gap[0]) < 0.06
