r"""A regulariser that sets how irreversible a noisy network is.

.. math:: L_e = \Big(\frac{\langle e \rangle}{N} - a\Big)^2,

with e the entropy production of a step (`sntorch.landscape.entropy`), a the target and brackets for
the mean over steps and rows.  The gradient passes through the orbit, whose noise is drawn once
(reparametrisation), and therefore points where the steady state itself goes, not only its steps.

Cost.  A window takes about as long as a training step over as many steps and rows: F of a state is
its next step too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics, as_dynamics, enter
from sntorch.landscape.ratios import log_ratios, reaches_everywhere
from sntorch.noise import add_noise, noise_of
from sntorch.training.losses import LONGEST

__all__ = ["entropy_production_regularizer"]


def entropy_production_regularizer(
    f: object,
    u: Tensor,
    steps: int,
    *,
    target: float = 0.0,
    noise: float | Tensor | None = None,
    transient: int = 0,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return the squared distance of the entropy production per neuron and step from a target.

    It is estimated from the steps of a window under the network's noise, over all rows, and its
    gradient passes through the orbit, whose noise is drawn once.  Zero means detailed balance: no
    flux.  The estimate scatters like :math:`\sqrt{2 e / (R T)} / N` over R rows and T steps, and
    the loss is larger by the square of that: use many rows.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (..., N), many and spread.
    steps
        Steps that are measured; with the transient at most 200.
    target
        Nats per neuron and step, >= 0.
    noise
        Standard deviation per step, > 0, of networks that have none of their own, as torch's
        layers; a number, (N,) or (N, N).  An `SNTCell` brings its own.
    transient
        Steps before, in which the steady state is reached; gradients pass them as well.
    x
        Constant drive (I,): under another there is no steady state.
    generator
        Draws the noise; None is torch's global generator, which advances.

    Raises
    ------
    ValueError
        On wrong arguments, without noise on every neuron, and when an orbit leaves the finite
        numbers.

    References
    ----------
    U. Seifert, Rep. Prog. Phys. 75 (2012) 126001.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training import entropy_production_regularizer
    >>> gru = torch.nn.GRU(3, 8)
    >>> loss = entropy_production_regularizer(gru, torch.randn(64, 8), 10, noise=0.2, target=0.5)
    >>> loss.backward()
    >>> bool(gru.weight_hh_l0.grad.abs().sum() > 0)
    True
    """
    checks.number("target", target, low=0)
    transient = checks.count("transient", transient, low=0, high=LONGEST - 1)
    checks.count("steps", steps, high=LONGEST - transient)
    dynamics, x = enter(f, u, transient + steps, x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    checks.generator(generator, u.device)
    sigma = _noise(dynamics, noise, u)
    states, mapped = [u], [dynamics.map(u, x)]
    for _ in range(transient + steps):
        states.append(add_noise(mapped[-1], sigma, generator))
        mapped.append(dynamics.map(states[-1], x))
    measured = torch.stack(states[transient:])
    if not bool(measured.isfinite().all()):
        raise ValueError("u: expected a bounded orbit, got numbers that are not finite")
    ratios = log_ratios(measured, torch.stack(mapped[transient:]), sigma)
    return (ratios.mean() - target).square()


def _noise(f: Dynamics, noise: float | Tensor | None, u: Tensor) -> Tensor:
    """Return the noise of f, or the one that is given to a network that has none."""
    own = noise_of(f, u)
    if own is not None and noise is not None:
        raise ValueError("noise: expected None for a network with noise of its own, got another")
    given = as_dynamics(lambda u: u, noise=0.0 if noise is None else noise)
    sigma = noise_of(given, u) if own is None else own
    if sigma is None or not reaches_everywhere(sigma):
        raise ValueError("noise: expected noise on every neuron, got none on some")
    return sigma
