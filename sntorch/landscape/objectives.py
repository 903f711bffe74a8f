r"""Losses from which a potential is learned: functions of a dynamics, a potential and states.

.. math:: du = F(u)\,dt + \sqrt{2D}\,dW, \quad P = e^{-V/D_b}, \quad D = D_b G, \quad
          \mathrm{tr}\,G = N, \quad v = F + G \nabla V.

A potential is right where the flux velocity v = J / P makes no sources, div v = v . grad V / Db.

======================  =============================================  ==========================
loss                    minimised by                                   value there
======================  =============================================  ==========================
`epr_loss`              V, on states drawn from P                      entropy production
`hjb_loss`              V, on states drawn from P and around them      entropy production
`quasipotential_loss`   V for Db -> 0, on any states                   0
`score_matching_loss`   V, on states drawn from P                      - <grad U . D . grad U>
`denoising_loss`        V of the density smoothed by a width           the same, smoothed
`map_loss`              V of a noisy map, on states drawn from P       - <grad U . S grad U>
`likelihood_loss`       V, on states drawn from P, N <= 3              entropy of P
`teacher_loss`          a given potential, up to a constant            0
======================  =============================================  ==========================

(U = V / Db.)  Reason of the first: <v . grad W> = 0 for every W, as J = P v has no divergence, so
that <|F + G grad W|^2> = <|v|^2> + <|G grad (W - V)|^2>, all weighed by D^-1.  On test states it is
therefore an upper bound of the entropy production; on the states that it was trained on it comes
out low, and the two bracket it.

What needs states of P cannot know if they are: ask `stationarity`.  The losses at finite noise
refuse a flow without noise; quasipotentials want a potential that grows, since V = 0 solves their
equation too.
"""

from __future__ import annotations

from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.potentials import Potential, as_potential

__all__ = ["enter"]


def enter(flow: object, potential: object, states: Tensor) -> tuple[Flow, Potential, Tensor]:
    """Return flow, potential and states (..., N) of a loss, checked: the door of all of them.

    Raises
    ------
    ValueError
        If they do not belong together, or if there are not several finite states.
    """
    f, V = as_flow(flow), as_potential(potential)
    u = checks.finite("states", V.check(f.check(states)))
    if u.shape[:-1].numel() == 0 or u.ndim < 2:
        raise ValueError(f"states: expected several of them (..., N), got {tuple(u.shape)}")
    return f, V, u
