r"""How mean and variance without leak are solved for: Newton's method beside the map itself.

The unknowns x = (mu, v) are a fixed point of y = W (E f, E f^2) + c (`sntorch.meanfield.static`).
Steps of the map are the relaxation of the network, so that from a large variance the most active
solution is found; Newton's method is quick once it is near.  A Newton step is kept if it halves the
violation of the equations, or if the next would be clearly shorter, at once or after one step of
the map.  Where it does not, the row goes back and takes steps of the map, twice as many every time:
they pass the narrows that Newton's method turns round in.  Rows move on their own and leave when
they are done.

A row is two numbers: what surrounds the averages is done in numpy, where small arrays cost less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sntorch.meanfield.averages import image
from sntorch.meanfield.record import Parameters
from sntorch.transfer import Transfer

__all__ = ["UNBOUNDED", "newton"]

UNBOUNDED = 1e12
"""A variance from which on there is no solution."""
_ROUNDS = 400
_SHORTER = 0.75  # from step to step: two thirds beside a transition, where three roots meet
_EXACT, _STALLED, _LAST = 2e-15, 1e-11, 1e-8
_TINY = 1e-13  # a variance that only rounding keeps alive, on either side of zero

_Array = npt.NDArray[Any]


def newton(
    transfer: Transfer, p: Parameters, mu: Tensor, v: Tensor, mesh: int, warm: int
) -> Tensor:
    """Return mean, variance and residual (3, P) near mu and v (P,), from `warm` plain steps on."""
    x = torch.stack([mu, v]).numpy(force=True)
    weight = torch.stack([p.mean, p.std.square()]).unsqueeze(1).numpy(force=True)
    shift = torch.stack([-p.threshold, p.independent]).numpy(force=True)
    best = np.full_like(x[0], np.inf)
    result = np.vstack([x, best])
    kept, least, gain, anchor, stride = x, best, p.gain, x, best
    rows = np.arange(len(best))
    wait, penalty = np.full_like(rows, warm), np.ones_like(rows)
    doubted = np.zeros_like(rows, dtype=bool)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            law = torch.from_numpy(x).to(gain.device)
            at = weight * image(transfer, gain, law[0], law[1], mesh)
            y = at[:, 0] + shift
            miss = x - y
            size = _larger(miss, 1.0, 1.0)
            scale = 1 + np.abs(x[0]), np.maximum(x[1], _TINY)
            relative = _larger(miss, *scale)
            kept = np.where(size <= least, x, kept)
            least = np.fmin(size, least)
            step = _step(at, miss)
            length = _larger(step, *scale)
            good = (size <= 0.5 * best) | ((size <= best) & (length <= _SHORTER * stride))
            keep = (relative > _EXACT) & (x[1] < UNBOUNDED) & (good | (relative > _STALLED))
            ahead = x + step
            ahead[1] = np.where(np.abs(ahead[1]) < _TINY, np.abs(ahead[1]), ahead[1])
            jump = good & (wait <= 0) & (ahead[1] >= 0) & np.isfinite(ahead[0] + ahead[1])
            # The error after a Newton step is of the order of its square.
            last = jump & keep & (length <= _LAST)
            kept = np.where(last, ahead, kept)
            keep &= ~last
            left = np.count_nonzero(keep)
            if left < len(rows):
                done = ~keep
                result[:2, rows[done]], result[2, rows[done]] = kept[:, done], least[done]
                if not left:
                    break
            doubt = ~(good | doubted)
            failed = ~good & doubted
            penalty = np.where(failed, 2 * penalty, penalty)
            wait = np.where(failed, penalty, wait - good)
            anchor = np.where(good, y, anchor)
            x = np.where(jump, ahead, np.where(doubt, y, anchor))
            best = np.where(jump, size, np.where(doubt, best, np.inf))
            stride = np.where(jump, length, stride)
            doubted = doubt
            if left < len(rows):
                gain = gain[torch.from_numpy(keep).to(gain.device)]
                parts = (weight, shift, x, anchor, kept, least, rows, best, stride, wait, penalty)
                weight, shift, x, anchor, kept, least, rows, best, stride, wait, penalty = (
                    part[..., keep] for part in parts
                )
                doubted = doubted[keep]
        else:
            result[:2, rows], result[2, rows] = kept, least
    return torch.from_numpy(result).to(mu.device)


def _larger(pair: _Array, first: _Array | float, second: _Array | float) -> _Array:
    """Return the larger modulus (P,) of a pair (2, P) in units of each."""
    return np.maximum(np.abs(pair[0]) / first, np.abs(pair[1]) / second)


def _step(at: _Array, miss: _Array) -> _Array:
    """Return the Newton step (2, P) at the derivatives of the map and x minus its image."""
    a, b, c, d = at[0, 1] - 1, at[0, 2], at[1, 1], at[1, 2] - 1
    step = np.empty_like(miss)
    step[0], step[1] = d * miss[0] - b * miss[1], a * miss[1] - c * miss[0]
    step /= a * d - b * c
    return step
