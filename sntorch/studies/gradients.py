r"""Errors sent back through time, beside the largest exponent of the same steps.

A tangent goes forwards, an error backwards, through products of the same matrices:

.. math:: v(t+1) = DF_t\, v(t), \qquad w(t) = DF_t^\top w(t+1),

so that both grow at the rate of the largest exponent, whatever they were at first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sntorch.analysis import max_lyapunov
from sntorch.dynamics import as_dynamics, rollout
from sntorch.observing import observing
from sntorch.plot.canvas import DARK, LIGHT, MIDDLE, THEORY, finish

__all__ = ["Look", "draw_norms", "look"]

_SHOWN = 60  # steps back that the picture shows
_MARKED = 6


class Look(NamedTuple):
    """What is measured of a network at a time, means over rows."""

    exponent: Tensor
    """(), the largest, nats per step."""
    error: Tensor
    """(), its standard error, over time and rows."""
    decay: Tensor
    """(), the rate at which an error changes per step on its way back."""
    norms: Tensor
    """(T,), logarithm of the norm of an error t steps back."""


def look(f: object, x: Tensor) -> Look:
    """Return exponent and gradients of a network that reads x (T, R, I).

    The first and last eighths of the steps turn a random tangent, and a random error, into the
    directions that last; the rates are those of the steps between.

    Examples
    --------
    >>> f = torch.nn.RNN(1, 8)
    >>> found = look(f, torch.randn(400, 4, 1))
    >>> found.norms.shape, bool((found.decay - found.exponent).abs() < 0.05)
    (torch.Size([400]), True)
    """
    dynamics, skipped = as_dynamics(f), len(x) // 8
    u, end = x.new_zeros(x.shape[1], dynamics.size), len(x) - skipped
    spectrum = max_lyapunov(dynamics, u, end - skipped, transient=skipped, x=x[:end])
    with observing(dynamics, u):
        orbit = torch.cat([u[None], rollout(dynamics, u, len(x), x=x)[:-1]])
        W = torch.randn(*u.shape, 1, generator=torch.Generator(), dtype=u.dtype)
        logs = u.new_zeros(len(x), len(u))
        for t in reversed(range(len(x))):
            W = dynamics.vjp(orbit[t], W, x[t])[1]
            norm = W.norm(dim=(-2, -1), keepdim=True)
            W, logs[t] = W / norm, norm.flatten().log()
    return Look(
        exponent=spectrum.exponents.double().mean(),
        error=spectrum.stderr.double().square().sum().sqrt() / len(u),
        decay=logs[skipped:end].double().mean(),
        norms=logs.double().mean(1).flip(0).cumsum(0),
    )


def draw_norms(names: tuple[str, ...], norms: Tensor, exponents: Tensor, ax: Any) -> None:
    """Draw errors on their way back (S, W, T), S seeds and W ways, and what exponents (S, W) say.

    The lines of the exponents have the height of the measured ones where those end.
    """
    shown = min(_SHOWN, norms.shape[-1])
    back = torch.arange(1, shown + 1)
    for i, (colour, marker) in zip(range(len(names)), ((MIDDLE, "s"), (DARK, "o")), strict=False):
        each = norms[:, i, :shown]
        for one in each:
            ax.plot(back, one.exp(), color=LIGHT, linewidth=0.8)
        mean, slope = each.mean(0), exponents[:, i].mean()
        style: dict[str, Any] = {"color": colour, "marker": marker, "markevery": _MARKED}
        ax.plot(back, mean.exp(), label=f"{names[i]}, mean", zorder=3, **style)
        label = None if i else "exp(λ₁ t)"
        ax.plot(back, (mean[-1] + slope * (back - shown)).exp(), label=label, zorder=4, **THEORY)
    ax.set_yscale("log")
    ax.set(xlabel="steps back", ylabel="norm of the error, 1 at the end")
    finish(ax, "Gradients through time, before learning", norms, "thin: single networks")
