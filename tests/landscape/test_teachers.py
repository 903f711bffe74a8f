"""Potentials that copy another one."""

import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import epr_loss, teacher_loss
from sntorch.landscape.teachers import descent


def test_teacher_is_copied_up_to_a_constant():
    cell = snt.SNTCell(snt.couplings.gaussian(3, dtype=torch.float64), leak=0.3)
    speed = snt.landscape.SpeedPotential(cell)
    u = torch.randn(20, 3, dtype=torch.float64)
    assert float(teacher_loss(cell, lambda v: speed(v) + 7, u).detach()) < 1e-28
    assert_close(teacher_loss(cell, lambda v: 2 * speed(v), u).detach(),
                 speed.gradient(u).square().mean().detach())  # fmt: skip
    assert_close(teacher_loss(cell, lambda v: v.square().sum(-1), u, teacher=speed).detach(),
                 (2 * u - speed.gradient(u)).square().mean().detach())  # fmt: skip


def test_the_descent_of_a_teacher_has_the_loss_of_the_teacher():
    cell = snt.SNTCell(snt.couplings.gaussian(3, dtype=torch.float64), leak=0.3)
    u = torch.randn(20, 3, dtype=torch.float64)
    V = lambda v: v.square().sum(-1)  # noqa: E731
    assert_close(epr_loss(descent(cell), V, u) / 3, teacher_loss(cell, V, u))
