"""The contraction bound: its norms against closed forms and random pairs, and the critical gain."""

import math

import numpy as np
import pytest
import torch
from references import per_neuron, random_coupling, random_generator, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.analysis import contraction_gain, critical_gain


def gaussian(n, std=1.0, seed=0):
    return snt.couplings.gaussian(n, std=std, generator=random_generator(seed), dtype=torch.float64)


def asymmetric(n=6):
    """Return positive couplings between neurons of very different scale: weights help."""
    scale = torch.logspace(0, 2, n, dtype=torch.float64)
    return random_coupling(n=n).abs() * scale.unsqueeze(-1) / scale / n


def matrices():
    return {
        "gaussian": gaussian(20),
        "positive": asymmetric(),
        "signed": random_coupling(n=5),
        "reducible": torch.tensor([[0.5, 100.0], [0.0, 0.5]]).double(),
        "one way": torch.tensor([[0.0, 3.0], [0.0, 0.0]]).double(),
        "row": torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double(),
    }


@pytest.mark.parametrize("name", matrices())
def test_norms_are_what_they_say(name):
    J = matrices()[name]
    result = contraction_gain(snt.SNTCell(J))
    J = J.numpy()
    norms = {key: float(value) for key, value in result.norms.items()}
    assert norms["1"] == pytest.approx(np.abs(J).sum(0).max())
    assert norms["2"] == pytest.approx(np.linalg.norm(J, 2))
    assert norms["inf"] == pytest.approx(np.abs(J).sum(1).max())
    rho = np.abs(np.linalg.eigvals(np.abs(J))).max()
    assert norms["weighted inf"] == pytest.approx(rho, rel=0.05, abs=1e-2)
    assert norms["weighted inf"] >= rho * (1 - 1e-9)
    assert norms["weighted 2"] <= norms["weighted inf"] * (1 + 1e-6)
    best = min(norms.values())
    assert norms[result.norm] == best
    assert float(result) == pytest.approx(1 / best)
    # No norm beats the spectral radius of J, and the choice must not pretend so.
    assert best >= np.abs(np.linalg.eigvals(J)).max() * (1 - 1e-9)


def test_weights_help_where_neurons_differ_in_scale():
    result = contraction_gain(snt.SNTCell(asymmetric()))
    assert result.norm.startswith("weighted")
    assert float(result) > 2 / float(result.norms["2"])


def test_gaussian_couplings_contract_up_to_half_the_critical_gain():
    cell = snt.SNTCell(gaussian(400, std=1.5), leak=0.3)
    g = float(contraction_gain(cell))
    assert g == pytest.approx(0.7 / (2 * 1.5), rel=0.03)
    assert contraction_gain(cell).norm in ("2", "weighted 2")
    assert float(contraction_gain(cell).norms["inf"]) > 20


@pytest.mark.parametrize("name", matrices())
@pytest.mark.parametrize("transfer", ["tanh", "erf", "sigmoid", "relu"])
def test_no_pair_of_states_grows_beyond_the_bound(name, transfer):
    J = matrices()[name]
    cell = snt.SNTCell(J, leak=0.2, gain=1.3, transfer=transfer, trainable=())
    result = contraction_gain(cell)
    n, g = len(J), random_generator(1)
    u = torch.randn(10_000, n, generator=g, dtype=torch.float64)
    # Pairs of every distance and scale, most of them where the slope is steepest.
    scale = 10 ** (4 * torch.rand(10_000, 1, generator=g, dtype=torch.float64) - 3)
    w = u + scale * torch.randn(10_000, n, generator=g, dtype=torch.float64)
    u[::2] = 0.01 * u[::2]
    ratio = result.length(cell.map(u) - cell.map(w)) / result.length(u - w)
    assert float(ratio.max()) <= float(result.bound(1.3)) * (1 + 1e-9)
    assert float(ratio.max()) > 0.25 * float(result.bound(1.3))


@pytest.mark.parametrize("name", ["gaussian", "positive", "signed"])
def test_the_bound_is_reached_along_the_steepest_direction(name):
    """At the origin of a tanh network without leak the derivative is g J: its norm is attained."""
    J = matrices()[name]
    result = contraction_gain(snt.SNTCell(J))
    scaled = result.weights.unsqueeze(-1) * J / result.weights
    if result.norm.endswith("2"):
        v = torch.linalg.svd(scaled).Vh[0]
    else:
        row = scaled.abs().sum(1).argmax()
        v = torch.where(scaled[row] < 0, -1.0, 1.0).double()
    v = 1e-6 * v / result.weights
    cell = snt.SNTCell(J, gain=0.9, trainable=())
    ratio = result.length(cell.map(v)) / result.length(v)
    assert float(ratio) == pytest.approx(float(result.bound(0.9)), rel=1e-6)


@pytest.mark.slow
def test_copies_meet_below_the_gain():
    cell = snt.SNTCell(gaussian(50), threshold=0.3, noise=0.5)
    cell.gain = 0.95 * contraction_gain(cell).gain
    u = torch.stack([gaussian(50)[0], -5 * gaussian(50)[1]])
    same = [snt.rollout(cell, row, 400, generator=random_generator(3))[-1].detach() for row in u]
    assert_close(same[0], same[1], rtol=0, atol=1e-6)


def test_leak_supremum_and_layers_count():
    J = gaussian(4)
    plain = float(contraction_gain(snt.SNTCell(J)))
    cell = snt.SNTCell(J, leak=per_neuron(0.1, 0.6), gain=7.0, transfer="sigmoid")
    assert float(contraction_gain(cell)) == pytest.approx(plain * 0.4 * 4)
    layer = snt.SNT(snt.SNTCell(J, input_size=2))
    assert float(contraction_gain(layer)) == pytest.approx(plain)
    sparse = snt.SNTCell(thinned(J).to_sparse_csr())
    assert float(contraction_gain(sparse)) == pytest.approx(
        float(contraction_gain(snt.SNTCell(thinned(J))))
    )


def test_without_couplings_every_gain_contracts():
    cell = snt.SNTCell(torch.zeros(3, 3))
    assert float(contraction_gain(cell)) == math.inf
    assert critical_gain(cell) == math.inf


def test_scalars_and_no_trace():
    cell = snt.SNTCell(torch.diag(torch.tensor([2.0, 1.0])), leak=0.5)
    before = [t.clone() for t in cell.state_dict().values()]
    result = contraction_gain(cell)
    assert result.scalars() == {"gain": 0.25, "norm": 2.0}
    assert not result.gain.requires_grad
    assert_close(list(cell.state_dict().values()), before, rtol=0, atol=0)


# The critical gain


@pytest.mark.parametrize("leak", [0.0, 0.4])
@pytest.mark.parametrize("transfer", ["tanh", "erf"])
def test_spectral_radius_is_one_at_the_critical_gain(transfer, leak):
    cell = snt.SNTCell(gaussian(30, std=1.3, seed=2), leak=leak, transfer=transfer)
    g = critical_gain(cell)
    origin = torch.zeros(30).double()
    for factor in (1.0, 0.2, 0.7, 0.999):
        cell.gain = torch.tensor(factor * g, dtype=torch.float64)
        radius = float(snt.analysis.jacobian_spectrum(cell, origin).radius)
        assert (radius == pytest.approx(1, abs=1e-12)) if factor == 1 else (radius < 1)


def test_first_crossing_is_taken():
    # Eigenvalues 0.5 +- i and -1.1 with leak 0.3: the pair has |0.3 + g z| = 1 first.
    J = torch.block_diag(torch.tensor([[0.5, -1.0], [1.0, 0.5]]), torch.tensor([[-1.1]])).double()
    a, b, c = 1.25, 2 * 0.3 * 0.5, 0.09 - 1
    pair = (-b + math.sqrt(b**2 - 4 * a * c)) / (2 * a)
    assert critical_gain(snt.SNTCell(J, leak=0.3)) == pytest.approx(min(pair, 1.3 / 1.1))
    assert critical_gain(snt.SNTCell(J[2:, 2:], leak=0.3)) == pytest.approx(1.3 / 1.1)


def test_critical_gain_of_a_large_network():
    # The spectral radius exceeds that of the circular law by a few percent at finite N.
    assert critical_gain(snt.SNTCell(gaussian(400, std=2.0), leak=0.2)) == pytest.approx(
        0.4, rel=0.05
    )


# Wrong arguments


@pytest.mark.parametrize("question", [contraction_gain, critical_gain])
def test_only_snt_networks(question):
    with pytest.raises(ValueError, match="cell: expected an SNTCell or an SNT layer, got GRU"):
        question(torch.nn.GRU(2, 3))


@pytest.mark.parametrize(
    "settings",
    [{"threshold": 0.1}, {"transfer": "sigmoid"}, {"transfer": "relu"}, {"transfer": "normal_cdf"}],
)
def test_the_origin_must_be_an_equilibrium(settings):
    with pytest.raises(ValueError, match="cell: expected an odd transfer function and threshold 0"):
        critical_gain(snt.SNTCell(gaussian(4), **settings))


def test_one_leak_for_all():
    with pytest.raises(ValueError, match="cell: expected one leak for all neurons"):
        critical_gain(snt.SNTCell(gaussian(4), leak=per_neuron(0.1, 0.2)))
