r"""Where a flow without its noise ends: stable fixed points and limit cycles, from many starts.

All starts follow the flow for a time in which they should settle.  Newton's method from where they
stand finds the fixed points, F(u) = 0; a row that rests near a stable one has found its attractor.
Rows that go on moving are tried as cycles (`sntorch.landscape.orbits`).  A row that does neither,
as on a torus or a chaotic attractor, is left without a label and says so.

Rates are per unit of time: of a fixed point the eigenvalues of DF, of a cycle Floquet's exponents
ln(multiplier) / T, one of which is zero.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import FixedPoints, find_fixed_points
from sntorch.dynamics import rollout
from sntorch.flows import EulerMaruyama, Flow, RungeKutta4
from sntorch.landscape.orbits import Attractor, entered, find_cycle
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Attractors", "find_attractors"]

_SETTLED = 1e-3  # a row this close to a stable point, relative to 1 + |u|, has settled there
_PART = 200  # steps between two looks at whether it is over
_FAILURES = 3  # rows in succession that are no cycle before the others are believed


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Attractors(Result):
    """Where R starts ended.

    Examples
    --------
    >>> import sntorch as snt
    >>> starts = torch.tensor([[-1.5], [-0.5], [0.5], [2.0]], dtype=torch.float64)
    >>> found = find_attractors(snt.systems.DoubleWell(), starts)
    >>> found.shares, found.label
    (tensor([0.5000, 0.5000], dtype=torch.float64), tensor([0, 0, 1, 1]))
    """

    found: tuple[Attractor, ...]
    """The stable ones, most starts first."""
    label: Tensor
    """(R,), which of `found` a start led to; -1 where it led to none of them."""
    saddles: Tensor
    """(K, N), the unstable fixed points that were found on the way."""

    @property
    def shares(self) -> Tensor:
        """Share of the starts that each of `found` attracts (A,); what is missing has no label."""
        counts = [(self.label == i).double().mean() for i in range(len(self.found))]
        return torch.stack(counts) if counts else torch.empty(0, dtype=torch.float64)

    def scalars(self) -> dict[str, float]:
        """Return how many of each kind, and the share of starts without attractor."""
        kinds = [each.kind for each in self.found]
        return {
            "fixed_points": float(kinds.count("fixed point")),
            "limit_cycles": float(kinds.count("limit cycle")),
            "saddles": float(len(self.saddles)),
            "unassigned": float((self.label < 0).double().mean()),
        }


def find_attractors(
    flow: object,
    u: Tensor,
    x: Tensor | None = None,
    *,
    settle: float = 100.0,
    dt: float = 0.05,
    points: int = 200,
) -> Attractors:
    """Return the stable fixed points and limit cycles that starts lead to without noise.

    Parameters
    ----------
    flow
        Anything `as_flow` accepts; its diffusion is left out.
    u
        Starts (..., N); R is the number of rows.
    x
        Constant drive (I,).
    settle
        Time in which starts reach their attractor.
    dt
        Longest step of Runge-Kutta's method.
    points
        P, states along a cycle.

    Raises
    ------
    ValueError
        On wrong arguments, and if a start leaves the finite numbers.

    Examples
    --------
    >>> import sntorch as snt
    >>> starts = torch.randn(8, 2, dtype=torch.float64)
    >>> found = snt.landscape.find_attractors(snt.systems.TanhRing(), starts).found
    >>> [(each.kind, round(each.period, 4)) for each in found]
    [('limit cycle', 9.8832)]
    """
    flow, u, x = entered(flow, u, x)
    settle, dt = checks.positive("settle", settle), checks.positive("dt", dt)
    points = checks.count("points", points, low=8)
    steps = math.ceil(settle / dt)
    with observing(flow, u):
        rows = _settled(flow, u, x, steps, dt)
        still = find_fixed_points(EulerMaruyama(flow, dt), torch.cat([rows, u]), x, steps=100)
        found, label, saddles = _at_rest(flow, x, rows, still)
        failures = 0
        while failures < _FAILURES and bool((label < 0).any()):
            left = (label < 0).nonzero().squeeze(-1)
            row = int(left[failures % len(left)])
            cycle = find_cycle(flow, rows[row], x, longest=settle, dt=dt, points=points)
            if cycle is None or not cycle.stable:
                failures += 1
                continue
            label[left[_near(cycle, rows[left])]] = len(found)
            label[row] = len(found)
            found, failures = [*found, cycle], 0
    counts = torch.stack([(label == i).sum() for i in range(len(found))]) if found else label[:0]
    order = counts.argsort(descending=True, stable=True)
    place = torch.cat([order.argsort(), order.new_tensor([-1])])
    return Attractors(
        found=tuple(found[i] for i in order.tolist()), label=place[label], saddles=saddles
    )


def _settled(flow: Flow, u: Tensor, x: Tensor | None, steps: int, dt: float) -> Tensor:
    """Return the states after so many steps without noise, or once all of them rest."""
    quiet = RungeKutta4(lambda s: flow.drift(s, x), dt)
    while steps > 0 and float(flow.drift(u, x).abs().amax()) > _SETTLED**2:
        part = min(steps, _PART)
        u, steps = rollout(quiet, u, part, every=part)[-1], steps - part
    return u


def _at_rest(
    flow: Flow, x: Tensor | None, rows: Tensor, still: FixedPoints
) -> tuple[list[Attractor], Tensor, Tensor]:
    """Return the stable fixed points, which row rests at which of them, and the others."""
    found: list[Attractor] = []
    saddles = []
    label = torch.full((len(rows),), -1, dtype=torch.long, device=rows.device)
    free = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    for state in still.unique().states:
        rates = torch.linalg.eigvals(flow.jacobian(state, x))
        rates = rates[rates.real.argsort(descending=True)]
        error = float(flow.drift(state, x).abs().amax())
        point = Attractor(states=state[None], period=0.0, rates=rates, error=error)
        near = (rows - state).abs().amax(-1) <= _SETTLED * (1 + state.abs().amax())
        if point.stable and bool((near & free).any()):
            label[near & free] = len(found)
            free &= ~near
            found.append(point)
        elif not point.stable:
            saddles.append(state)
    return found, label, torch.stack(saddles) if saddles else rows[:0]


def _near(cycle: Attractor, rows: Tensor) -> Tensor:
    """Tell which rows (R, N) are on a cycle, as far as its states can tell."""
    gaps = (cycle.states - cycle.states.roll(1, 0)).norm(dim=-1)
    return torch.cdist(rows, cycle.states).amin(-1) <= gaps.amax()
