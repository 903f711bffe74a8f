r"""Lyapunov exponents as a loss: growth rates that can be differentiated.

.. math:: \lambda_i = \frac{1}{T\,dt} \sum_t \ln |R_{ii}(t)|, \qquad V(t) = Q(t) R(t),

as in `sntorch.analysis.lyapunov`, with everything recorded: the orbit, the frame and every QR.  The
frame depends on the parameters too: a Q that is cut out of the graph gives another, wrong gradient.

Cost.  The graph keeps 2.5 to 6 frames of N k numbers per step and the states; backward takes about
four times as long as forward.  In chaos the gradient grows like exp(lambda T) (mathematics):
windows of up to about 50 steps, transient included, k of 1 to 10, and clipped gradients are what
can be trained.  For a longer transient roll the state on without gradients first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.tangents import Interval, TangentWalk
from sntorch.dynamics import enter

__all__ = ["growth_rates"]


def growth_rates(
    f: object,
    u: Tensor,
    steps: int,
    *,
    k: int = 1,
    transient: int = 0,
    x: Tensor | None = None,
    interval: int | str = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the growth rates (..., k) of k tangent vectors, per unit of time, differentiable.

    They are the finite-time exponents of the window, in the order of the columns of R: for long
    windows the k largest exponents, largest first.  Gradients reach the parameters of f, u and x.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts, in the mode in which it is; its noise acts on the orbit.
    u
        Initial states (..., N).
    steps
        Steps that are measured, T; gradients explode in chaos beyond about 50.
    k
        How many rates, 1 to N.
    transient
        Steps of state and frame before the measurement, which gradients pass as well.
    x
        Constant drive (I,) or one per step (transient + steps, ..., I).
    interval
        Steps between two QRs: fewer QRs, less memory; as in `lyapunov_spectrum`.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers: the step is named.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).

    Examples
    --------
    A network is brought to the edge of chaos.

    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20), gain=2.0)
    >>> rates = snt.analysis.growth_rates(cell, torch.randn(8, 20), 10, k=2, transient=10)
    >>> rates.square().mean().backward()
    >>> rates.shape, cell.coupling.grad.shape
    (torch.Size([8, 2]), torch.Size([20, 20]))
    """
    transient = checks.count("transient", transient, low=0)
    f, x = enter(f, u, transient + checks.count("steps", steps), x)
    k = checks.count("k", k, high=u.shape[-1])
    checks.generator(generator, u.device)
    with torch.random.fork_rng([u.device] if u.is_cuda else []):
        walk = TangentWalk(f, u, k, x, generator, Interval(interval, u.dtype))
        walk.skip(transient)
        grown, _ = walk.advance(steps)
    walk.interval.warn(k, u.dtype, stacklevel=2)
    return grown / (steps * f.dt)
