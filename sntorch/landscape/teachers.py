"""The loss of a potential that copies another one."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.potentials import Potential, as_potential
from sntorch.landscape.speed import SpeedPotential

__all__ = ["descent", "teacher_loss"]


def teacher_loss(
    f: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    teacher: object | None = None,
) -> Tensor:
    """Return the mean of |grad V - grad T|^2 / N (), T the teacher's potential.

    Least, at 0, where V is T up to a constant.  With the speed potential of f, the teacher by
    default, V learns where the network is slow.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, or a `Flow`.
    potential, teacher
        Anything `as_potential` accepts; None is ``SpeedPotential(f, x=x)``.
    states
        Where they are to agree (..., N).
    x
        Constant drive (I,) of the speed potential.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> slow = snt.landscape.SpeedPotential(lambda u: u / 2)
    >>> teacher_loss(None, slow, torch.ones(4, 2), teacher=slow)
    tensor(0.)
    """
    V = as_potential(potential)
    u = checks.finite("states", V.check(states))
    T = _teacher(f, teacher, x)
    with torch.no_grad():
        target = T.gradient(u)
    return (V.value_and_gradient(u)[1] - target).square().mean()


def descent(f: object, *, teacher: object | None = None, x: Tensor | None = None) -> Flow:
    """Return the flow -grad T with D = 1, whose EPR loss is N times the loss of the teacher.

    So the quadratic that `NeuralPotential.start` finds for it is the one that is most like T.

    Examples
    --------
    >>> import sntorch as snt
    >>> slow = snt.landscape.SpeedPotential(lambda u: u / 2)  # |u|^2 / 8
    >>> descent(None, teacher=slow).drift(torch.ones(2)).detach()
    tensor([-0.2500, -0.2500])
    """
    T = _teacher(f, teacher, x)
    return as_flow(lambda u: -T.gradient(u), diffusion=1.0)


def _teacher(f: object, teacher: object | None, x: Tensor | None) -> Potential:
    return SpeedPotential(f, x=x) if teacher is None else as_potential(teacher)
