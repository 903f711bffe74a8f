"""Potentials that copy another one."""

import torch
from torch.testing import assert_close

import sntorch as snt
from sntorch.landscape import teacher_loss


def test_teacher_is_copied_up_to_a_constant():
    cell = snt.SNTCell(snt.couplings.gaussian(3, dtype=torch.float64), leak=0.3)
    speed = snt.landscape.SpeedPotential(cell)
    u = torch.randn(20, 3, dtype=torch.float64)
    assert float(teacher_loss(cell, lambda v: speed(v) + 7, u).detach()) < 1e-28
    assert_close(teacher_loss(cell, lambda v: 2 * speed(v), u).detach(),
                 speed.gradient(u).square().mean().detach())  # fmt: skip
    assert_close(teacher_loss(cell, lambda v: v.square().sum(-1), u, teacher=speed).detach(),
                 (2 * u - speed.gradient(u)).square().mean().detach())  # fmt: skip
