"""Constraints: what must not be created, flipped or grow, over many random changes."""

import pytest
import torch
from references import random_coupling, random_generator, thinned
from torch.testing import assert_close

import sntorch as snt
from sntorch.plasticity import Covariance, Masked, Normalised, Oja, SignPreserving, SynapticScaling

N = 6
WILD = Covariance(rate=6.0) + SynapticScaling(rate=0.5)


def learned(rule, J, epochs=40, seed=0):
    """Return all couplings on the way of a rule under random activity."""
    g, way = random_generator(seed), [J]
    for _ in range(epochs):
        pre, post = activity(g)
        way.append(way[-1] + rule(way[-1], pre, post))
    return torch.stack(way)


def activity(g):
    """Return pre and post of five steps."""
    return torch.randn(2, 5, N, generator=g, dtype=torch.float64).unbind(0)


def start():
    return thinned(random_coupling(n=N))


def test_without_constraints_synapses_are_made_and_flipped():
    way = learned(WILD, start())
    assert (way[-1] != 0).all()
    assert (way[-1].sign() * way[0].sign() < 0).any()


def test_masked_creates_no_synapse():
    J = start()
    way = learned(Masked(WILD), J)
    assert (way[:, J == 0] == 0).all()
    assert (way[-1] != way[0])[J != 0].all()
    mask = torch.eye(N, dtype=torch.bool)
    way = learned(Masked(WILD, mask), J)
    assert torch.equal(way[-1][~mask], J[~mask])
    assert (way[-1] != J)[mask].all()


def test_sign_preserving_creates_and_flips_none():
    J = start()
    way = learned(SignPreserving(WILD), J)
    assert (way * J.sign() >= 0).all()
    assert (way[:, J == 0] == 0).all()
    gone = way == 0
    assert (gone[1:] | ~gone[:-1]).all()  # what is gone stays away
    assert (gone[-1] & (J != 0)).any()
    free = J + WILD(J, *activity(random_generator(0)))
    kept = free.sign() == J.sign()
    assert_close(way[1][kept], free[kept])


def test_tiny_couplings_keep_their_sign():
    J = torch.full((N, N), 1e-30, dtype=torch.float32)
    pre = torch.zeros(N)
    assert torch.equal(SignPreserving(Oja())(J, pre, pre), torch.zeros(N, N))


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_normalised_keeps_the_norm(order):
    J = start()
    way = learned(Normalised(WILD, order=order), J)
    expected = J.norm(order, dim=1).expand(len(way), N)
    assert_close(way.norm(order, dim=-1), expected)
    assert not torch.equal(way[-1], J)
    fixed = learned(Normalised(WILD, order=order, norm=2.0), random_coupling(n=N))[1:]
    assert_close(fixed.norm(order, dim=-1), torch.full((len(fixed), N), 2.0).double())


def test_normalisation_keeps_mask_and_sign():
    J = start()
    way = learned(Normalised(SignPreserving(Masked(WILD))), J, epochs=10)
    assert (way * J.sign() >= 0).all()
    assert (way[:, J == 0] == 0).all()


@pytest.mark.parametrize("wrap", [Masked, SignPreserving, Normalised])
def test_sparse_couplings_are_constrained_alike(wrap):
    J, rule = start(), wrap(Masked(WILD))
    layer = snt.couplings.Sparse(J)
    pre, post = activity(random_generator(2))
    with torch.no_grad():
        found = rule(layer, pre, post)
    places = layer.pattern.rows().long(), layer.columns.long()
    assert_close(found, rule(J, pre, post)[places])


@pytest.mark.parametrize("wrap", [Masked, SignPreserving, Normalised])
def test_constraints_can_be_differentiated(wrap):
    J = random_coupling(n=N).requires_grad_()
    pre, post = activity(random_generator(2))
    assert torch.autograd.gradcheck(lambda J: wrap(WILD)(J, pre, post), J)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Masked(lambda *_: 0), "rule: expected a CouplingRule, got function"),  # pyright: ignore[reportArgumentType]
        (lambda: Masked(WILD, torch.ones(N, N)), "mask: expected a boolean tensor"),
        (lambda: Normalised(WILD, order=0.5), "order: expected"),
        (lambda: Normalised(WILD, norm=0.0), "norm: expected a finite number > 0"),
        (lambda: learned(Masked(WILD, torch.ones(N) > 0), start()), r"mask: expected \(6, 6\)"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
