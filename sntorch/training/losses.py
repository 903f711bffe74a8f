r"""Regularisers: losses that keep the dynamics of a network where gradients pass through it.

With DF the derivative of one step, growth rates lambda_1 >= ... >= lambda_k of k tangent vectors
over a window (`sntorch.analysis.growth_rates`), rho the spectral radius, and s the root mean square
singular value of DF,

.. math:: L_\lambda = \frac1k \sum_{i=1}^k \big(\langle \lambda_i \rangle - a_i\big)^2, \qquad
          L_V = \Big(\frac1k \sum_{i=1}^k \langle \lambda_i \rangle - a\Big)^2, \qquad
          L_\rho = \big\langle (\rho - a)^2 \big\rangle, \qquad
          L_s = \big\langle (s - a)^2 \big\rangle,

where a is the target and the brackets are means over rows: the rates of short windows scatter, and
it is their mean that is the exponent.  The first is gradient flossing, the second acts on the
volume of the whole k-frame.  An error that is sent back over t steps scales like
exp(lambda_1 t): exponents near zero keep it alive.

A short window is not long enough for a tangent to find its direction, and its rates are not quite
the exponents: a GRU that was aimed at -0.1 with 20 steps after a transient of 10 came to -0.078
under a drive that it had not seen, with 30 steps after 30 to -0.090.

Cost.  A window of T steps with k columns takes about as long as T steps of k more rows, its
reverse pass four times that; the spectral radius takes an eigenvalue problem, about 25 N^3
operations per state; the norm as many products with J as it has vectors.
A fifth, of noisy networks, is in `sntorch.training.irreversibility`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import growth_rates
from sntorch.dynamics import enter

__all__ = [
    "LONGEST",
    "jacobian_norm_regularizer",
    "lyapunov_regularizer",
    "spectral_radius_regularizer",
    "targets",
]

LONGEST = 200
"""Steps of a window at most: gradients of chaos explode beyond, and memory grows."""

_FASTEST = 10.0  # nats per step: beyond, rounding leaves nothing of the other columns


def targets(target: float | Sequence[float], k: int) -> list[float]:
    """Return one target per exponent.

    Raises
    ------
    ValueError
        If there are not one or k of them, one is beyond +-10, or they are not in descending order.
    """
    found = list(target) if isinstance(target, Sequence) else [target] * k
    if len(found) != k:
        raise ValueError(f"target: expected one number or {k}, as many as k, got {len(found)}")
    values = [checks.number("target", value, -_FASTEST, _FASTEST) for value in found]
    if values != sorted(values, reverse=True):
        raise ValueError(f"target: expected the largest first, as exponents come, got {values}")
    return values


def lyapunov_regularizer(
    f: object,
    u: Tensor,
    steps: int,
    *,
    target: float | Sequence[float] = 0.0,
    k: int = 1,
    of: str = "exponents",
    transient: int = 0,
    x: Tensor | None = None,
    interval: int | str = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return how far the first k exponents of f are from their targets: a number to minimise.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts: `SNT`, ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``, their cells.
    u
        Initial states (..., N); the loss is that of the mean over the rows.
    steps
        Steps that are measured; with the transient at most 200, in chaos rather 50.
    target
        One number for all, or k of them, largest first, in nats per unit of time, within +-10.
    k
        How many exponents, 1 to N.
    of
        ``"exponents"`` pulls each to its target, ``"volume"`` their mean alone, the growth of the
        volume that k vectors span; then there is one target.
    transient, x, interval, generator
        As in `growth_rates`.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers: the step is named.

    References
    ----------
    R. Engelken, "Gradient flossing", NeurIPS 36 (2023).

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training import lyapunov_regularizer
    >>> gru = torch.nn.GRU(3, 16)
    >>> loss = lyapunov_regularizer(gru, torch.zeros(8, 16), 20, k=4, x=torch.randn(20, 8, 3))
    >>> loss.backward()
    >>> gru.weight_hh_l0.grad.shape
    torch.Size([48, 16])
    """
    checks.one_of("of", of, ("exponents", "volume"))
    transient = checks.count("transient", transient, low=0, high=LONGEST - 1)
    checks.count("steps", steps, high=LONGEST - transient)
    volume = of == "volume"
    if volume and isinstance(target, Sequence):
        raise ValueError(f"target: expected one number for the volume, got {len(target)}")
    size = checks.floating("u", u, ndim=1).shape[-1]
    wanted = u.new_tensor(targets(target, checks.count("k", k, high=size)))
    rates = growth_rates(
        f, u, steps, k=k, transient=transient, x=x, interval=interval, generator=generator
    )
    gap = rates.reshape(-1, k).mean(0) - wanted
    return gap.mean().square() if volume else gap.square().mean()


def spectral_radius_regularizer(
    f: object, u: Tensor, *, target: float = 1.0, x: Tensor | None = None
) -> Tensor:
    """Return the mean square distance of the spectral radius of DF from a target.

    Differentiable where the largest eigenvalue is simple, or a complex pair (mathematics).

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        States (..., N) at which DF is taken.
    target
        Radius per step, >= 0.
    x
        Drive (..., I) at these states.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training import spectral_radius_regularizer
    >>> cell = snt.SNTCell(2 * snt.couplings.orthogonal(8, dtype=torch.float64))
    >>> round(spectral_radius_regularizer(cell, torch.zeros(8).double()).item(), 6)
    1.0
    """
    checks.number("target", target, low=0)
    dynamics, x = enter(f, u, None, x)
    eigenvalues = torch.linalg.eigvals(dynamics.jacobian(u, x))
    return (eigenvalues.abs().amax(-1) - target).square().mean()


def jacobian_norm_regularizer(
    f: object,
    u: Tensor,
    *,
    target: float = 1.0,
    x: Tensor | None = None,
    vectors: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return the mean square distance of s, the root mean square singular value, from a target.

    .. math:: s^2 = \|DF\|_F^2 / N = E |DF\,v|^2 / N, \qquad v_i \sim N(0, 1)

    For large random couplings s is the radius of the circular law.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        States (..., N) at which DF is taken.
    target
        s per step, >= 0.
    x
        Drive (..., I) at these states.
    vectors
        Random vectors that estimate s, with a relative error of about 1 / sqrt(N vectors); all N
        directions, and no error, by default.
    generator
        Draws the vectors; None is torch's global generator, which advances.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> from sntorch.training import jacobian_norm_regularizer
    >>> cell = snt.SNTCell(2 * snt.couplings.orthogonal(8, dtype=torch.float64))
    >>> round(jacobian_norm_regularizer(cell, torch.zeros(8).double()).item(), 6)
    1.0
    """
    checks.number("target", target, low=0)
    dynamics, x = enter(f, u, None, x)
    checks.generator(generator, u.device)
    n = u.shape[-1]
    if vectors is None:
        V = torch.eye(n, dtype=u.dtype, device=u.device).expand(*u.shape, n)
        share = 1 / n
    else:
        shape = (*u.shape, checks.count("vectors", vectors))
        V = torch.randn(shape, dtype=u.dtype, device=u.device, generator=generator)
        share = 1 / (n * vectors)
    power = dynamics.jvp(u, V, x)[1].square().sum((-2, -1)) * share
    # A root has no derivative at zero: a network that forgets all in one step.
    tiny = torch.finfo(u.dtype).tiny
    return (power.clamp(min=tiny).sqrt() - target).square().mean()
