"""The geometric action of a line of points, and the search for the line that has least."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch.flows import Flow

__all__ = ["Action", "equal", "search"]

_ITERATIONS = 400  # of the optimiser between two cuts into equal pieces


class Action:
    """The geometric action of a line of points, and its gradient; numpy outside, torch inside."""

    def __init__(self, flow: Flow, x: Tensor | None, metric: Tensor, kind: dict[str, Any]) -> None:
        self.flow, self.x, self.kind = flow, x, kind
        self.metric = metric.double().cpu().numpy()

    def pieces(self, line: NDArray[Any]) -> tuple[NDArray[Any], Callable[..., Any], NDArray[Any]]:
        """Return the action of every piece, its gradient by the line, and F between the points."""
        step, middle = np.diff(line, axis=0), torch.from_numpy((line[1:] + line[:-1]) / 2)
        u = middle.to(**self.kind)
        drift, pull = self.flow.pullback(u, self.x)
        F = drift.detach().double().cpu().numpy()
        AF, A_step = F @ self.metric, step @ self.metric
        speed = np.sqrt((F * AF).sum(-1, keepdims=True) + 1e-24)
        length = np.sqrt((step * A_step).sum(-1, keepdims=True) + 1e-24)
        values = (speed * length)[:, 0] - (F * A_step).sum(-1)

        def slope() -> NDArray[Any]:
            by_drift = torch.from_numpy(AF * length / speed - A_step).to(**self.kind)
            pulled = pull(by_drift.unsqueeze(-1))[..., 0]
            half = pulled.double().cpu().numpy() / 2
            by_step = A_step * speed / length - AF
            found = np.zeros_like(line)
            found[1:] += half + by_step
            found[:-1] += half - by_step
            return found

        return values, slope, F

    def __call__(self, waves: NDArray[Any], line: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        """Return action and penalty of the line moved by `waves`, and the gradient by these."""
        moved = _moved(line, waves)
        values, slope, _ = self.pieces(moved)
        penalty, by_point = _uneven(moved)
        return float(values.sum()) + penalty, _waves(slope() + by_point)


def search(
    action: Action, line: NDArray[Any], tol: float, rounds: int
) -> tuple[NDArray[Any], bool, int]:
    """Lower the action and cut the line into equal pieces, in turns, until nothing changes."""
    best = math.inf
    settings: Any = {"maxiter": _ITERATIONS, "maxcor": 30, "ftol": tol / 100, "gtol": 1e-9}
    still = np.zeros((len(line) - 2) * line.shape[1])
    for count in range(1, rounds + 1):
        found = scipy.optimize.minimize(
            action, still, (line,), "L-BFGS-B", jac=True, options=settings
        )
        line = equal(_moved(line, found.x), len(line) - 1)
        value = float(action.pieces(line)[0].sum())
        if abs(best - value) < tol * (1 + abs(value)):
            return line, True, count
        best = value
    return line, False, rounds


def _moved(line: NDArray[Any], waves: NDArray[Any]) -> NDArray[Any]:
    """Return the line moved by sine waves whose amplitudes fall like 1 / k.

    In these variables a long bend is as easy to make as a short one: the optimiser needs tens of
    iterations where that of the points themselves needs hundreds.
    """
    moved = line.copy()
    inner = waves.reshape(-1, line.shape[1])
    moved[1:-1] += _sines(inner / np.arange(1, len(inner) + 1)[:, None])
    return moved


def _waves(slope: NDArray[Any]) -> NDArray[Any]:
    """Return the gradient by the waves of `_moved` from that by the points."""
    inner = slope[1:-1]
    return (_sines(inner) / np.arange(1, len(inner) + 1)[:, None]).ravel()


def _uneven(line: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Return M sum l^2 / (sum l)^2 - 1 of the lengths l of the pieces, and its gradient.

    The action does not see where along the path the points are; this holds them apart.
    """
    step = np.diff(line, axis=0)
    lengths = np.linalg.norm(step, axis=-1, keepdims=True) + 1e-300
    total, squares, count = lengths.sum(), (lengths**2).sum(), len(lengths)
    by_step = 2 * count * (lengths / total**2 - squares / total**3) * step / lengths
    found = np.zeros_like(line)
    found[1:] += by_step
    found[:-1] -= by_step
    return float(count * squares / total**2 - 1), found


def equal(line: NDArray[Any], images: int) -> NDArray[Any]:
    """Return the line cut into pieces of equal length."""
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=-1)
    place = np.concatenate([[0.0], lengths.cumsum()])
    wanted = np.linspace(0, place[-1], images + 1)
    cut = np.stack([np.interp(wanted, place, column) for column in line.T], -1)
    cut[0], cut[-1] = line[0], line[-1]
    return cut


def _sines(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sine transform along the first axis, which is its own transpose."""
    return np.asarray(scipy.fft.dst(values, type=1, axis=0))
