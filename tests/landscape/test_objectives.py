"""All losses of potentials: gradients reach every parameter, bad input is named."""

import pytest
import torch

import sntorch as snt
from sntorch.landscape import (
    NetworkPotential,
    denoising_loss,
    epr_loss,
    hjb_loss,
    map_loss,
    quasipotential_loss,
    score_matching_loss,
    teacher_loss,
)


def test_gradients_reach_the_parameters_of_every_loss():
    flow = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    f = snt.EulerMaruyama(flow, dt=0.1)
    u = torch.randn(16, 2)
    V = snt.landscape.NeuralPotential(2, (6,))
    torch.nn.init.normal_(V.readout)
    losses = [
        epr_loss(flow, V, u), hjb_loss(flow, V, u), score_matching_loss(flow, V, u),
        denoising_loss(flow, V, u, width=0.2), quasipotential_loss(flow, V, u),
        map_loss(f, V, u), teacher_loss(f, V, u),
    ]  # fmt: skip
    for loss in losses:
        assert loss.shape == ()
        grads = torch.autograd.grad(loss, list(V.parameters()), allow_unused=True)
        assert sum(g is not None and bool((g != 0).any()) for g in grads) >= 5


WELL = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
U = torch.randn(8, 2)
BOWL = lambda u: u.square().sum(-1)  # noqa: E731


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epr_loss(snt.systems.DoubleWell(2), BOWL, U), "expected noise, without which"),
        (lambda: epr_loss(lambda u: -u, BOWL, U), "expected noise, without which"),
        (lambda: score_matching_loss(lambda u: -u, BOWL, U), "expected noise, without which"),
        (lambda: map_loss(lambda u: u / 2, BOWL, U), "noise: expected noise"),
        (lambda: map_loss(snt.as_dynamics(lambda u: u / 2, noise=torch.tensor([1.0, 0.0])), BOWL,
                          U), "noise in every direction"),
        (lambda: epr_loss(snt.systems.DoubleWell(2, diffusion=torch.tensor([1.0, 0.0])), BOWL, U),
         "positive definite"),
        (lambda: epr_loss(snt.systems.DoubleWell(2, diffusion=torch.ones(2, 2)), BOWL, U),
         "positive definite"),
        (lambda: epr_loss(WELL, BOWL, U, diffusion=lambda u: -u.square()), "numbers > 0"),
        (lambda: epr_loss(WELL, BOWL, U, diffusion=lambda u: u[:, 0]), "diffusion: expected num"),
        (lambda: epr_loss(WELL, BOWL, U[0]), "states: expected several"),
        (lambda: epr_loss(WELL, BOWL, U / 0), "states: expected finite"),
        (lambda: epr_loss(WELL, lambda u: u, U), "one number per row"),
        (lambda: epr_loss(snt.EulerMaruyama(WELL, 0.1), BOWL, U), "flow: expected"),
        (lambda: quasipotential_loss(WELL, lambda u: -BOWL(u), U), "expected one that grows"),
        (lambda: quasipotential_loss(WELL, NetworkPotential(2), U), "expected one that grows"),
        (lambda: quasipotential_loss(WELL, BOWL, U, rotation=BOWL), "rotation: expected"),
        (lambda: denoising_loss(WELL, BOWL, U, width=0.0), "width: expected"),
        (lambda: hjb_loss(WELL, BOWL, U, probes=0), "probes: expected"),
        (lambda: hjb_loss(WELL, BOWL, U, weight=-1.0), "weight: expected"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
