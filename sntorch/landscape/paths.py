r"""The likeliest way from one state to another when noise is weak: paths of minimum action.

For du = F(u) dt + sqrt(2D) dW with D = Db G, Db = tr D / N, an orbit stays near the path u(t) with
the probability exp(-S / (2 Db)),

.. math:: S = \tfrac12 \int |\dot u - F|^2_{G^{-1}} dt, \qquad
          \min_t S = \int \big( |F|_{G^{-1}} |du|_{G^{-1}} - F \cdot G^{-1} du \big).

The second form, minimised over all timetables, is the geometric action; its minimiser moves with
the speed |F|.  Following the drift costs nothing.  Where F = -G grad V + l with l orthogonal to
grad V, climbing from a minimum to a saddle costs S = 2 dV: dV is the barrier, and V the intrinsic
potential.  Then p = grad V along the path is known from the path alone.

The kinetic path, of minimum action, passes through the same saddle as the gradient path, which is
the kinetic path of the gradient flow of a potential; they differ where there is flux.

====================  ==============================================  =================
symbol                meaning                                         shape
====================  ==============================================  =================
``u``                 points of the path, at equal distances          (images + 1, N)
``S``                 action; the noise strength is factored out      ()
====================  ==============================================  =================

M. Heymann, E. Vanden-Eijnden, Commun. Pure Appl. Math. 61 (2008) 1052.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dst
from scipy.optimize import minimize
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import observing
from sntorch.flows import Diffusion, Flow, as_flow, checked_diffusion
from sntorch.landscape.grid import kind_of
from sntorch.landscape.intrinsic import gradient, mobility
from sntorch.results import Result

__all__ = ["ActionPath", "gradient_path", "minimum_action_path"]

_ITERATIONS = 400  # of the optimiser between two cuts into equal pieces
_BEND = 0.05  # of the first guess, relative to its length


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ActionPath(Result):
    """A path of minimum action, cut into pieces of equal length."""

    points: Tensor
    """(images + 1, N), from the start to the end."""
    pieces: Tensor
    """(images,), action of every piece, >= 0; their sum is the action."""
    drift: Tensor
    """(images, N), F at the middle of every piece."""
    straight: Tensor
    """(), action of the straight line, an upper bound."""
    noise: float
    """Db, mean diffusion of a variable, by which S is divided in `exponent`."""
    converged: bool
    """Whether the last rounds changed the action by less than the tolerance."""
    rounds: int
    """How often the path was cut into equal pieces."""

    @property
    def action(self) -> Tensor:
        """S ()."""
        return self.pieces.sum()

    @property
    def climbed(self) -> Tensor:
        """S / 2 up to every point (images + 1,): the height of the intrinsic potential."""
        return torch.cat([self.pieces.new_zeros(1), self.pieces.cumsum(0)]) / 2

    @property
    def exponent(self) -> Tensor:
        """S / (2 Db) (): minus the logarithm of the probability; infinite without noise."""
        return self.action / (2 * self.noise) if self.noise else self.action / 0

    @property
    def length(self) -> Tensor:
        """Length ()."""
        return self.points.diff(dim=0).norm(dim=-1).sum()

    def distance(self, other: ActionPath) -> Tensor:
        """Return how far () a point of this path lies at most from the points of the other."""
        return torch.cdist(self.points, other.points).min(-1).values.max()

    def scalars(self) -> dict[str, float]:
        """Return action, length and action of the straight line."""
        return {"action": float(self.action), "length": float(self.length),
                "straight": float(self.straight)}  # fmt: skip


def minimum_action_path(
    flow: object,
    start: Tensor,
    end: Tensor,
    *,
    images: int = 100,
    initial: Tensor | None = None,
    x: Tensor | None = None,
    tol: float = 1e-7,
    rounds: int = 20,
) -> ActionPath:
    """Return the path of minimum action between two states, usually attractors or saddles.

    A local minimum: where several routes exist, `initial` chooses between them.  With a saddle in
    between, the points beyond it follow the drift and cost nothing.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts.  Without noise D counts as the unit matrix.
    start, end
        States (N,).
    images
        Pieces of the path; the error of the action is O(1 / images^2).
    initial
        First guess (any number, N), by default a straight line, slightly bent.
    x
        Constant drive (I,).
    tol
        The search ends when a round lowers the action by less than this, relative to 1 + S.
    rounds
        Rounds of the search at most; ``converged`` says whether they were enough.

    Raises
    ------
    ValueError
        On wrong arguments, equal ends, or noise that leaves out a direction.

    References
    ----------
    M. Heymann, E. Vanden-Eijnden, Commun. Pure Appl. Math. 61 (2008) 1052.

    Examples
    --------
    >>> import sntorch as snt
    >>> well = snt.systems.DoubleWell(2, circulation=0.5, diffusion=0.1)
    >>> ends = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
    >>> path = snt.landscape.minimum_action_path(well, *ends, images=40)
    >>> round(float(path.action), 2)  # twice the barrier, which is 1
    2.0
    """
    f = as_flow(flow)
    checks.count("images", images, low=4)
    checks.count("rounds", rounds)
    checks.positive("tol", tol)
    kind = kind_of(f)
    ends = [_state(name, u, f, kind) for name, u in (("start", start), ("end", end))]
    if ends[0].shape != ends[1].shape or bool((ends[0] == ends[1]).all()):
        raise ValueError("end: expected another state of the same size as start, got the same")
    metric = mobility(f, len(ends[0])).inverse()
    straight = torch.lerp(*ends, torch.linspace(0, 1, images + 1).to(**kind)[:, None])
    with observing(f, ends[0]):
        action = _Action(f, x, metric, kind)
        guess = _bent(straight) if initial is None else _guess(initial, *ends)
        line = _equal(guess.double().cpu().numpy(), images)
        line, done, count = _search(action, line, tol, rounds)
        pieces, _, drift = action.pieces(line)
        plain, _, _ = action.pieces(straight.double().cpu().numpy())
    return ActionPath(
        points=torch.from_numpy(line),
        pieces=torch.from_numpy(pieces),
        drift=torch.from_numpy(drift),
        straight=torch.tensor(plain.sum()),
        noise=_mean_diffusion(f, len(ends[0])),
        converged=done,
        rounds=count,
    )


def gradient_path(
    potential: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, **settings: Any
) -> ActionPath:
    """Return the path of steepest ascent and descent of a potential between two states.

    It is the path of minimum action of the flow -grad V, so its action is twice the climb.

    Parameters
    ----------
    potential
        V, a differentiable function of states (..., N), such as ``density.potential_at``.
    start, end
        States (N,).
    settings
        Those of `minimum_action_path`.

    Examples
    --------
    >>> import sntorch as snt
    >>> ends = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
    >>> path = gradient_path(snt.systems.DoubleWell(2).potential, *ends, images=20)
    >>> bool(path.points[:, 1].abs().max() < 1e-3)
    True
    """
    return minimum_action_path(as_flow(lambda u: -gradient(potential, u)), start, end, **settings)


class _Action:
    """The geometric action of a line of points, and its gradient; numpy outside, torch inside."""

    def __init__(
        self, flow: Flow, x: Tensor | None, metric: Tensor, kind: dict[str, Any]
    ) -> None:
        self.flow, self.x, self.kind = flow, x, kind
        self.metric = metric.double().cpu().numpy()

    def pieces(self, line: NDArray[Any]) -> tuple[NDArray[Any], Callable[..., Any], NDArray[Any]]:
        """Return the action of every piece, its gradient by the line, and F between the points."""
        step, middle = np.diff(line, axis=0), torch.from_numpy((line[1:] + line[:-1]) / 2)
        u = middle.to(**self.kind)
        F = self.flow.drift(u, self.x).double().cpu().numpy()
        AF, A_step = F @ self.metric, step @ self.metric
        speed = np.sqrt((F * AF).sum(-1, keepdims=True) + 1e-24)
        length = np.sqrt((step * A_step).sum(-1, keepdims=True) + 1e-24)
        values = (speed * length)[:, 0] - (F * A_step).sum(-1)

        def slope() -> NDArray[Any]:
            by_drift = torch.from_numpy(AF * length / speed - A_step).to(**self.kind)
            pulled = self.flow.vjp(u, by_drift.unsqueeze(-1), self.x)[1][..., 0]
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


def _search(
    action: _Action, line: NDArray[Any], tol: float, rounds: int
) -> tuple[NDArray[Any], bool, int]:
    """Lower the action and cut the line into equal pieces, in turns, until nothing changes."""
    best = math.inf
    settings: Any = {"maxiter": _ITERATIONS, "maxcor": 30, "ftol": tol / 100, "gtol": 1e-9}
    still = np.zeros((len(line) - 2) * line.shape[1])
    for count in range(1, rounds + 1):
        found = minimize(action, still, (line,), "L-BFGS-B", jac=True, options=settings)
        line = _equal(_moved(line, found.x), len(line) - 1)
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
    moved[1:-1] += dst(inner / np.arange(1, len(inner) + 1)[:, None], type=1, axis=0)
    return moved


def _waves(slope: NDArray[Any]) -> NDArray[Any]:
    """Return the gradient by the waves of `_moved` from that by the points."""
    inner = slope[1:-1]
    return (dst(inner, type=1, axis=0) / np.arange(1, len(inner) + 1)[:, None]).ravel()


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


def _equal(line: NDArray[Any], images: int) -> NDArray[Any]:
    """Return the line cut into pieces of equal length."""
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=-1)
    place = np.concatenate([[0.0], lengths.cumsum()])
    wanted = np.linspace(0, place[-1], images + 1)
    cut = np.stack([np.interp(wanted, place, column) for column in line.T], -1)
    cut[0], cut[-1] = line[0], line[-1]
    return cut


def _bent(straight: Tensor) -> Tensor:
    """Return the line with a slight bend, off the symmetries that hold a straight line."""
    along = straight[-1] - straight[0]
    across = torch.linspace(1, 2, len(along)).to(straight).cos()
    across = across - along * (across @ along) / (along @ along)
    norm = across.norm()
    if float(norm) < 1e-6:  # one dimension has no other side
        return straight
    phase = torch.linspace(0, math.pi, len(straight)).to(straight)
    return straight + _BEND * along.norm() / norm * phase.sin()[:, None] * across


def _guess(initial: Tensor, start: Tensor, end: Tensor) -> Tensor:
    checks.finite("initial", checks.floating("initial", initial, ndim=2))
    if initial.ndim != 2 or initial.shape[-1] != len(start):
        raise ValueError(f"initial: expected (any, {len(start)}), got {tuple(initial.shape)}")
    return torch.cat([start[None], initial.to(start), end[None]])


def _state(name: str, u: Tensor, flow: Flow, kind: dict[str, Any]) -> Tensor:
    checks.finite(name, checks.floating(name, u, ndim=1))
    if u.ndim != 1:
        raise ValueError(f"{name}: expected one state (N,), got {tuple(u.shape)}")
    flow.check(u.to(**kind))
    return u.detach().to(**kind)


def _mean_diffusion(flow: Flow, size: int) -> float:
    D: Diffusion = checked_diffusion(flow.diffusion, size)
    if not isinstance(D, Tensor):
        return float(D)
    return float(D.diagonal().mean() if D.ndim == 2 else D.mean())
