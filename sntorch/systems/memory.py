"""Associative memory in continuous time: patterns as valleys, or as stations of a cycle."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Diffusion
from sntorch.systems.neural import AmariWilsonCowan

__all__ = ["associative_memory"]


def associative_memory(
    patterns: Tensor,
    *,
    turning: float = 0.0,
    strength: float = 2.0,
    gain: float = 1.0,
    diffusion: Diffusion = 0.0,
) -> AmariWilsonCowan:
    r"""Return a network of graded neurons that stores patterns.

    .. math:: du = (-u + s\, T \tanh(g u))\, dt + \sqrt{2D}\, dW, \qquad
              T = \frac{1}{N} \sum_{\mu=1}^{P} \Big[ \xi^\mu \xi^{\mu T} + \frac{b}{2}
              \big( \xi^{\mu+1} \xi^{\mu T} - \xi^\mu \xi^{\mu+1\, T} \big) \Big]

    with xi^(P+1) = -xi^1.  For b = 0, T is symmetric and the network without noise settles in a
    valley.  The antisymmetric part turns the overlaps: it drives from each pattern towards the
    next, and from the last towards the negative of the first.  For orthogonal patterns the
    eigenvalues of T are 1 + i b sin((2k + 1) pi / P), k = 0 ... P - 1, and 0; the origin is
    unstable where s g > 1.  Two patterns of two neurons, (1, 1) and (1, -1), are a `TanhRing` with
    a = s, and -s b for its b.

    With noise of constant strength even the symmetric network is slightly out of equilibrium;
    detailed balance would need the noise D / f'(u).

    Parameters
    ----------
    patterns
        (P, N), usually +-1 but any finite numbers.
    turning
        b: ratio of the antisymmetric to the symmetric part.
    strength
        s > 0.
    gain
        g > 0.
    diffusion
        D, scalar, (N,) or (N, N).

    Raises
    ------
    ValueError
        If an argument is outside its domain, not finite, or of a wrong shape.

    References
    ----------
    J. J. Hopfield, PNAS 81 (1984) 3088, for b = 0; H. Yan et al., PNAS 110 (2013) E4185, for what
    asymmetry does to the landscape.  This antisymmetric part is our choice.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.associative_memory(torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]))
    >>> start = torch.tensor([0.3, 0.2, -0.1])
    >>> snt.rollout(snt.RungeKutta4(flow, dt=0.1), start, 100)[-1].sign().tolist()
    [1.0, 1.0, -1.0]
    """
    if isinstance(patterns, Tensor) and not patterns.is_floating_point():
        patterns = patterns.to(torch.get_default_dtype())
    xi = checks.matrix("patterns", patterns)
    after = torch.cat([xi[1:], -xi[:1]])
    turn = checks.number("turning", turning) / 2 * (after.T @ xi - xi.T @ after)
    T = (xi.T @ xi + turn) / xi.shape[1]
    return AmariWilsonCowan(
        checks.positive("strength", strength) * T,
        gain=checks.positive("gain", gain),
        diffusion=diffusion,
    )
