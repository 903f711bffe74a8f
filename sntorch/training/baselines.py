"""Baselines: networks that others compare with, for the place where `SNT` stands."""

from __future__ import annotations

import torch
from torch import nn

from sntorch import checks, couplings

__all__ = ["orthogonal_rnn"]


def orthogonal_rnn(
    input_size: int,
    hidden_size: int,
    *,
    gain: float = 1.0,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    generator: torch.Generator | None = None,
) -> nn.RNN:
    """Return an ``nn.RNN`` whose recurrent weights are `gain` times an orthogonal matrix.

    Nothing else differs from ``nn.RNN``.  At gain 1 a linear network neither loses nor amplifies
    what it has read, in any direction; what it reads drives tanh below its steepest slope, and the
    exponents with it below zero.

    Parameters
    ----------
    input_size, hidden_size, nonlinearity, batch_first
        As in ``nn.RNN``.
    gain
        Length by which the recurrent weights multiply every vector, > 0.
    generator
        Draws the recurrent weights; None is torch's global generator, from which all others come.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks", ICLR 2014.

    Examples
    --------
    >>> layer = orthogonal_rnn(3, 16, gain=0.9)
    >>> W = layer.weight_hh_l0
    >>> bool(torch.allclose(W @ W.T, 0.81 * torch.eye(16), atol=1e-5))
    True
    """
    checks.count("input_size", input_size)
    checks.count("hidden_size", hidden_size)
    checks.positive("gain", gain)
    checks.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
    layer = nn.RNN(input_size, hidden_size, nonlinearity=nonlinearity, batch_first=batch_first)
    with torch.no_grad():
        W = couplings.orthogonal(hidden_size, std=gain, generator=generator)
        layer.get_parameter("weight_hh_l0").copy_(W)
    return layer
