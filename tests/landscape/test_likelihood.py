"""The likelihood of potentials: least at the density, and its entropy there."""

import math

import pytest
import torch
from quadratics import quadratic

from sntorch.landscape import likelihood_loss


def normal(count):
    """Return numbers spread like those of the normal density (count,)."""
    return torch.special.ndtri((torch.arange(count).double() + 0.5) / count)


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_least_at_the_density_and_its_entropy_there(scale):
    one = normal(200)
    u = torch.cartesian_prod(one, 3 * one)
    K = scale * torch.diag(1 / torch.stack([one.var(correction=0), 9 * one.var(correction=0)]))

    def loss(k):
        return float(likelihood_loss(quadratic(k), u, scale=scale, generator=torch.Generator()))

    entropy = math.log(2 * math.pi * math.e) + float((1 / (K / scale).diagonal()).log().sum()) / 2
    assert loss(K) == pytest.approx(entropy, abs=2e-3)
    assert loss(1.1 * K) > loss(K) + 1e-3
    assert loss(0.9 * K) > loss(K) + 1e-3


def test_wells_far_apart_get_their_heights():
    """Score matching cannot tell: between two wells, one with 4/5 of the states, there are none."""
    u = torch.cat([normal(400) - 20, normal(100) + 20]).unsqueeze(-1)

    def wells(share):
        return lambda v: (
            -torch.logaddexp(
                math.log(share) - (v[..., 0] + 20).square() / 2,
                math.log(1 - share) - (v[..., 0] - 20).square() / 2,
            )
        )

    values = [float(likelihood_loss(wells(s), u, generator=torch.Generator()))
              for s in (0.6, 0.8, 0.95)]  # fmt: skip
    assert values[1] < values[0] - 0.05
    assert values[1] < values[2] - 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda u: likelihood_loss(lambda v: v.sum(-1), u.repeat(1, 4)), "N: expected"),
        (lambda u: likelihood_loss(lambda v: v.sum(-1), 0 * u), "states: expected some extent"),
        (lambda u: likelihood_loss(lambda v: v.sum(-1), u / 0), "states: expected finite"),
        (lambda u: likelihood_loss(lambda v: v.sum(-1), u, scale=0.0), "scale: expected"),
        (lambda u: likelihood_loss(lambda v: v.sum(-1), u, cells=1), "cells: expected"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.linspace(1, 2, 9).unsqueeze(-1))
