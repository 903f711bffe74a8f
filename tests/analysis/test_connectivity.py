"""Effective connectivity: a chain, a common driver, and the net of nine neurons."""

import math
from typing import Any

import networkx as nx
import pytest
import torch
from references import LinearMap, nine_neurons, random_generator
from scipy import stats
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import effective_connectivity, linear_response, susceptibility

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


def response_of(f, lags=20):
    return linear_response(f, zeros(2, f.size), lags=lags, samples=4, method="tangent")


def test_chain():
    """0 -> 1 -> 2: the last follows the first without a synapse; the first is the hub."""
    J = matrix([[0, 0, 0], [2, 0, 0], [0, 3, 0]])
    found = effective_connectivity(response_of(LinearMap(J)), [0.0, 1.0], coupling=J)
    assert_close(found.weights[0], matrix([[0, 0, 0], [2, 0, 0], [6, 3, 0]]), **EXACT)
    assert_close(found.weights[1], found.weights[0], **EXACT)  # one path each: no interference
    assert_close(found.out_strength[0], matrix([8, 3, 0]), **EXACT)
    assert_close(found.in_strength[0], matrix([0, 2, 9]), **EXACT)
    assert found.hub.tolist() == [0, 0]
    assert_close(found.reciprocity, zeros(2), **EXACT)
    # The two strongest links are 0 -> 2 and 1 -> 2; synapses are 0 -> 1 and 1 -> 2.
    assert_close(found.overlap(), matrix([0.5, 0.5]), **EXACT)
    assert_close(found.overlap(links=6), matrix([1.0, 1.0]), **EXACT)
    expected = stats.spearmanr([0, 0, 2, 0, 6, 3], [0, 0, 2, 0, 0, 3])[0]
    assert float(found.rank_correlation()[0]) == pytest.approx(expected)


def test_interference_changes_the_graph_with_frequency():
    """From 0 to 2 directly and through 1, one step later: the two cancel at omega = 0 only."""
    J = matrix([[0, 0, 0], [1, 0, 0], [-1, 1, 0]])
    found = effective_connectivity(response_of(LinearMap(J)), [0.0, math.pi], coupling=J)
    assert_close(found.weights[:, 2, 0], matrix([0, 2]), **EXACT)


def test_reciprocal_pair():
    J = matrix([[0, 0.5], [0.25, 0]])
    found = effective_connectivity(response_of(LinearMap(J), lags=60), 0.0)
    assert_close(found.weights[0], matrix([[0, 0.5], [0.25, 0]]) / (1 - 0.125), **EXACT)
    assert float(found.reciprocity) == pytest.approx(2 * 0.25 / 0.75)
    with pytest.raises(ValueError, match="other: expected a graph"):
        found.overlap()


def test_synapses_of_the_reference_network():
    f = nine_neurons(noise=0.15)
    u = snt.rollout(f, zeros(256, 9), 200, generator=random_generator(1))[-1]
    response = linear_response(f, u, lags=40, samples=100_000, method="noise")
    orbit = snt.rollout(f, u, 100, generator=random_generator(2))
    omega = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
    found = effective_connectivity(response, omega, coupling=f, orbit=orbit)
    slope = (3 / torch.cosh(3 * orbit).square()).mean((0, 1))
    amplification, saturation = found.amplification, found.saturation
    assert amplification is not None
    assert saturation is not None
    off = 1 - torch.eye(9, dtype=torch.float64)
    assert_close(amplification, f.coupling * slope * off, rtol=0, atol=0.05)
    assert_close(saturation, 1 - slope / 3, rtol=0, atol=0.02)
    assert bool((amplification[f.coupling == 0] == 0).all())
    # Neither the synaptic graph nor one graph for all frequencies.
    assert float(found.overlap().max()) < 0.8
    assert len(set(found.hub.tolist())) > 1
    assert float(found.hub_margin.min()) > 1
    # The correlation graph in numpy.
    states = orbit - orbit.mean((0, 1))
    now, later = states[:-1].reshape(-1, 9), states[1:].reshape(-1, 9)
    both = torch.corrcoef(torch.cat([later, now], dim=1).T)[:9, 9:] * off
    assert_close(found.correlation, both, rtol=0, atol=2e-3)
    assert set(found.scalars()) == {"reciprocity", "overlap", "rank_correlation"}


def test_graph_of_a_susceptibility():
    J = matrix([[0, 0.5], [0.25, 0]])
    f = LinearMap(J, noise=0.1)
    chi = susceptibility(f, zeros(8, 2), [0.4, 1.0], lags=60, samples=80, method="tangent")
    a = effective_connectivity(chi, coupling=J)
    b = effective_connectivity(response_of(f, lags=60), [0.4, 1.0], coupling=J)
    assert_close(a.weights, b.weights, **EXACT)
    with pytest.raises(ValueError, match="omega: expected None"):
        effective_connectivity(chi, 0.4)
    part = susceptibility(f, zeros(8, 2), 0.4, lags=9, samples=80, method="tangent", sources=[0])
    with pytest.raises(ValueError, match="response: expected all 2 neurons"):
        effective_connectivity(part)


def test_export(tmp_path):
    J = matrix([[0, 0, 0], [2, 0, 0], [0, 3, 0]])
    found = effective_connectivity(response_of(LinearMap(J)), [0.0, 1.0], coupling=J)
    graph = found.to_networkx(1, links=3)
    assert set(graph.edges) == {(0, 1), (1, 2), (0, 2)}  # from sender to receiver
    assert graph.edges[0, 2]["weight"] == pytest.approx(6)
    assert graph.edges[0, 2]["coupling"] == 0
    assert graph.graph["omega"] == 1.0
    assert len(found.to_networkx().edges) == 6
    found.to_graphml(tmp_path / "graph.graphml", links=3)
    again = nx.read_graphml(tmp_path / "graph.graphml", node_type=int)
    assert dict(again.edges[1, 2]) == pytest.approx({"weight": 3, "stderr": 0, "coupling": 3})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"omega": None}, "omega: expected frequencies"),
        ({"omega": 4.0}, r"omega: expected frequencies in \[0, pi\]"),
        ({"coupling": torch.zeros(3, 3)}, r"coupling: expected \(2, 2\)"),
        ({"orbit": torch.zeros(9, 3)}, "orbit: expected"),
        ({"response": 3}, "response: expected a LinearResponse"),
    ],
)
def test_bad_input(settings, message):
    complete = {"response": response_of(LinearMap(zeros(2, 2))), "omega": 1.0, **settings}
    with pytest.raises(ValueError, match=message):
        effective_connectivity(complete.pop("response"), complete.pop("omega"), **complete)
