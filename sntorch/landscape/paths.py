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

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Flow, as_flow
from sntorch.landscape.action import Action, equal, search
from sntorch.landscape.grid import diffusion_of, kind_of
from sntorch.landscape.intrinsic import gradient, mobility
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["ActionPath", "gradient_path", "minimum_action_path"]

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
    share = torch.linspace(0, 1, images + 1, **kind)[:, None]
    straight = torch.lerp(ends[0], ends[1], share)
    with observing(f, ends[0]):
        action = Action(f, x, metric, kind)
        guess = _bent(straight) if initial is None else _guess(initial, *ends)
        line = equal(guess.double().cpu().numpy(), images)
        line, done, count = search(action, line, tol, rounds)
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
    D = diffusion_of(flow, size)
    return float(D.diagonal().mean() if D.ndim == 2 else D.mean())
