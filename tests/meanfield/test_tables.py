"""Tables of populations: their map against sums over populations, its derivative, its door."""

import pytest
import torch
from torch.testing import assert_close

from sntorch.meanfield.record import enter
from sntorch.meanfield.tables import Tables, read
from sntorch.transfer import as_transfer

STD = torch.tensor([[1.0, 0.8], [0.7, 1.2]], dtype=torch.float64)
NUMBERS = {"threshold": [0.1, -0.2], "threshold_std": 0.3, "noise": [0.2, 0.4], "gain": [1.0, 2.0]}


def tables(leak=0.0, transfer="erf"):
    mean = torch.tensor([[0.5, -1.0], [0.3, 0.0]], dtype=torch.float64)
    return read(as_transfer(transfer), STD, mean, leak=leak, **NUMBERS)[0]


@pytest.fixture
def law():
    mu = torch.tensor([[0.2, -0.1], [0.0, 0.4]], dtype=torch.float64)
    return mu, torch.tensor([[0.5, 1.0], [0.2, 0.3]], dtype=torch.float64)


def test_the_map_is_a_sum_over_senders(law):
    t = tables().take(torch.tensor([0, 0]))
    mu, v = law
    mean, variance = t.image(t.at(mu, v))
    phi = as_transfer("erf")
    for row in range(2):
        for a in range(2):
            m, w = -float(t.threshold[row, a]), 0.09 + NUMBERS["noise"][a] ** 2
            for b in range(2):
                g = NUMBERS["gain"][b]
                law_b = g * mu[row, b], g**2 * v[row, b]
                m += float(t.mean[row, a, b] * phi.mean(*law_b))
                w += float(STD[a, b] ** 2 * phi.second_moment(*law_b))
            assert float(mean[row, a]) == pytest.approx(m, rel=1e-11)
            assert float(variance[row, a]) == pytest.approx(w, rel=1e-11)


def test_the_derivative_is_that_of_the_map(law):
    t = tables().take(torch.tensor([0, 0]))
    x = torch.cat(law, -1)

    def image(x):
        return torch.cat(t.image(t.at(x[:, :2], x[:, 2:])), -1)

    J, e = t.jacobian(t.at(*law)), 1e-6
    for i in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[i] = e
        assert_close(J[..., i], (image(x + shift) - image(x - shift)) / (2 * e), rtol=0, atol=1e-8)


def test_rescaled_networks_have_the_same_fixed_points(law):
    t = tables(leak=0.4)
    mu, v = (each[:1] for each in law)
    r, at = t.rescaled(), t.at(mu, v)
    # u (1 - gamma) = field, with the noise of what it adds up to in a process that forgets.
    assert_close(r.drive(at.mean), t.drive(at.mean) / 0.6)
    products = at.square.unsqueeze(-1)
    assert_close(r.field(products), t.field(products) / 0.36)
    assert_close(r.noise, t.noise / (1 - 0.4**2))
    assert not r.leak.any()


def test_one_population_is_an_ensemble():
    p, _, _, phi = enter(
        {"gain": [1.0, 2.0], "std": 0.7, "mean": 0.3, "threshold": 0.1, "threshold_std": 0.2,
         "noise": 0.4, "leak": 0.0}, "tanh")  # fmt: skip
    t = Tables.of(phi, p)
    v = torch.tensor([[0.5], [0.8]], dtype=torch.float64)
    at = t.at(torch.zeros_like(v), v)
    mean, variance = t.image(at)
    assert_close(mean, 0.3 * at.mean - 0.1)
    assert_close(variance, 0.49 * at.square + 0.04 + 0.16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": [1.0, 2.0]}, "std: expected a square table"),
        ({"mean": torch.ones(3, 3)}, "mean: expected a number or"),
        ({"gain": [1.0, 2.0, 3.0]}, "gain: expected a number or"),
        ({"gain": torch.ones(4, 2), "noise": torch.ones(3, 2)}, "arguments: expected batch axes"),
    ],
)
def test_tables_that_do_not_match(change, message):
    arguments = {"std": STD, "mean": 0.0, "leak": 0.0, **NUMBERS} | change
    with pytest.raises(ValueError, match=message):
        read(as_transfer("tanh"), **arguments)
