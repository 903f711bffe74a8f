"""The studies of susceptibility and transmission: the draw, the numbers, the pictures."""

import math

import pytest
import torch
from references import nine_neurons

from sntorch.plot import plot
from sntorch.studies import signal_transmission, susceptibility


def test_the_network_is_the_reference():
    ours, reference = susceptibility.network(), nine_neurons(noise=0.15)
    assert torch.equal(ours.coupling, reference.coupling)
    assert torch.equal(ours.threshold, reference.threshold)
    assert float(ours.noise) == 0.15


@pytest.fixture(scope="module")
def resonances():
    return list(susceptibility.run(samples=60_000, size=30, large_samples=20_000))


@pytest.fixture(scope="module")
def sent():
    settings = {"carriers": [0.6, 1.8], "rows": 128, "steps": 300, "samples": 60_000}
    return list(signal_transmission.run(**settings))


def test_resonances_grow(resonances):
    first, last = resonances
    assert first.large is None
    assert first.progress.startswith("[1/2] nine neurons")
    assert last.progress.startswith("[2/2] 30 neurons")
    assert last.graph.weights.shape == (len(last.graph.omega), 9, 9)
    numbers = last.scalars()
    error = float(last.response.stderr[2, 1, 6])
    assert abs(numbers["kernel/2/1/6"] - 1.354) < 4 * error
    assert numbers["pole/0/angle"] == pytest.approx(math.pi)
    assert numbers["large/chi"] > 2 * numbers["large/spectra"]
    assert "published" in last.table()
    assert last.table().splitlines()[-1].split()[0] == "30"


def test_carriers_come_one_by_one(sent):
    first, last = sent
    assert first.progress.startswith("[1/2] carrier 0.6: heard best at")
    assert last.gain.shape == last.residual.shape == (2, 9)
    assert torch.equal(first.gain[0], last.gain[0])
    assert len(last.table().splitlines()) == 1 + 2 * 9
    assert 0.7 < last.scalars()["residual"] < 1.3
    assert last.scalars()["gain_deviation"] < 2


def test_pictures(resonances, sent):
    # Two pictures of curves, one of poles, and as many graphs as there are resonances.
    assert len(resonances[-1].picture().axes) == 3 + len(resonances[-1].graph.omega)
    assert len(resonances[0].picture().axes) == 2 + len(resonances[0].graph.omega)
    assert len(sent[-1].picture().axes) == 5  # with the bar of shades
    ax = plot(sent[-1])
    assert ax.get_xlabel() == "carrier ω (rad / step)"
    legend = ax.get_legend()
    assert legend is not None
    assert all(text.get_text().startswith("6 to ") for text in legend.get_texts())


@pytest.mark.parametrize(
    ("run", "settings", "message"),
    [
        (susceptibility.run, {"noise": 0.0}, "noise: expected"),
        (susceptibility.run, {"samples": 100}, "samples: expected"),
        (susceptibility.run, {"size": 1}, "size: expected"),
        (susceptibility.run, {"seed": -1}, "seed: expected"),
        (signal_transmission.run, {"source": 9}, "source: expected"),
        (signal_transmission.run, {"carriers": []}, "carriers: expected at least one"),
        (signal_transmission.run, {"carriers": [1.0, 0.5]}, "carriers: expected at least one"),
        (signal_transmission.run, {"carriers": [3.2]}, "carriers: expected"),
        (signal_transmission.run, {"rows": 2}, "rows: expected"),
        (signal_transmission.run, {"steps": 50}, "steps: expected"),
    ],
)
def test_what_is_wrong_is_named_before_the_work(run, settings, message):
    with pytest.raises(ValueError, match=message):
        next(run(**settings))


@pytest.mark.slow
def test_the_whole_transmission():
    """Linear response is all there is: residuals within 1.3, at every receiver and carrier."""
    *_, found = signal_transmission.run(samples=400_000, carriers=[0.3, 0.5, 1.0, 1.81])
    assert float(found.residual.max()) < 1.3
    assert float(found.residual.mean()) == pytest.approx(1.0, abs=0.15)
