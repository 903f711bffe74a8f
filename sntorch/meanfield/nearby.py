r"""The static overlap where it is nearly the variance: averages over pairs by a plane of nodes.

At correlations near one the series of `sntorch.meanfield.pairs` needs thousands of terms.  What the
members of a pair share and what each has of its own are integrated one after the other instead,

.. math:: E f(u_1) f(u_2) = E_x \big( E_y f(\mu + \sqrt q\, x + \sqrt{v - q}\, y) \big)^2 ,

and the same with f'.  Where what is their own is narrow it takes few nodes; where it is wide, the
inner average is smooth and the outer one takes few.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield.averages import intervals, weights
from sntorch.meanfield.record import Parameters
from sntorch.transfer import Transfer

__all__ = ["nearly_equal", "plane"]

_ROUNDS = 60
_LAST = 1e-8  # relative: the error after a Newton step is of the order of its square
_BLOCK = 2**18  # nodes at a time
_SMOOTH = 0.6  # from this width on of the argument, smoothing counts for more than the poles of phi


def plane(
    transfer: Transfer, gain: Tensor, mu: Tensor, v: Tensor, q: Tensor, fine: int
) -> tuple[Tensor, Tensor]:
    """Return E f f and E f' f' (1,) of pairs of one law (1,) at a covariance q (1,) from 0 to v."""
    q = torch.minimum(q.clamp(min=0), v)
    width = gain * (v - q).sqrt()
    steep = gain * (_SMOOTH / width.abs()).clamp(max=1)
    x, wx = (each.to(q) for each in weights(int(intervals(steep, q, fine))))
    y, wy = (each.to(q) for each in weights(int(intervals(gain, v - q, fine))))
    shared, own = gain * (mu + q.sqrt() * x), width * y
    value, slope = torch.zeros_like(q), torch.zeros_like(q)
    rows = max(1, _BLOCK // len(own))
    for centre, weight in zip(shared.split(rows), wx[:, 0].split(rows), strict=True):
        phi, change = transfer.with_derivative(centre.unsqueeze(-1) + own)
        value += weight @ (phi @ wy[:, 0]).square()
        slope += weight @ (change @ wy[:, 0]).square()
    return value, gain.square() * slope


def nearly_equal(
    transfer: Transfer, p: Parameters, law: tuple[Tensor, Tensor], fine: int,
    added: Tensor, below: Tensor, q: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the smallest root q of J^2 E[f f]_q + added = q and E f' f' at it, each (P,).

    Newton's method goes on from q if the slope there is below 1, as at a smallest root, and else
    rises from `below`.  The left side is convex in q: no step leads past the root from below.
    """
    roots, slopes = q.clone(), torch.empty_like(q)
    for i in range(len(q)):
        row = slice(i, i + 1)
        mu, v, power = law[0][row], law[1][row], p.std[row].square()
        at = q[row]
        for turn in range(_ROUNDS):
            value, slope = plane(transfer, p.gain[row], mu, v, at, fine)
            if turn == 0 and float(power * slope) >= 1:
                at = below[row]
                continue
            step = (power * value + added[row] - at) / (1 - power * slope)
            step = torch.where(power * slope < 1, step, power * value + added[row] - at)
            at = torch.minimum(at + step, v)
            if float(step.abs()) <= _LAST * float(v):
                break
        roots[row], slopes[row] = at, plane(transfer, p.gain[row], mu, v, at, fine)[1]
    return roots, slopes
