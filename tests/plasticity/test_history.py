"""The record of slow learning: its curves, records and text."""

import pytest
from learners import OBSERVE, SIRI, N, network, state
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import (
    learn,
)


def test_the_history_has_one_row_per_observation():
    history = learn(network(), SIRI, state(), 7, steps=4, observe=OBSERVE, every=3)
    assert history.epoch.tolist() == [0, 3, 6]
    assert history.learned == 7
    assert history["mean"].shape == (3,)
    assert list(history.curves) == ["radius", "mean"]
    assert history.scalars()["radius"] == float(history["radius"][-1])
    assert history.map(lambda t: t + 1)["radius"][0] == history["radius"][0] + 1
    assert repr(history) == "LearningHistory(epoch=0 to 6, curves=radius, mean, stopped='')"
    with pytest.raises(KeyError, match=r"nothing: expected .* \(radius, mean\)"):
        history["nothing"]


def test_records_are_kept_at_both_ends_and_as_curves():
    def spectrum(f, u):
        return snt.analysis.lyapunov_spectrum(f, u, 20, k=2)

    history = learn(network(), SIRI, state(), 2, steps=4, observe={"mle": spectrum})
    assert_close(history["mle"], history["mle/max"])
    assert history["mle/2"].shape == (3,)
    assert history.before["mle"].scalars()["max"] == pytest.approx(float(history["mle"][0]))
    assert history.after["mle"].scalars()["max"] == pytest.approx(float(history["mle"][-1]))
    assert float(history["mle"][0]) == pytest.approx(float(spectrum(network(), state())))


def test_rows_stay_in_the_curves():
    history = learn(network(), SIRI, state(3), 2, steps=4, observe={"x": lambda f, u: f.rate(u)})
    assert history["x"].shape == (3, 3, N)
