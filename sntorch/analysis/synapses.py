r"""What learning has done to the synapses of a network, and to its dynamics.

======================  ==================================================================
symbol                  meaning
======================  ==================================================================
:math:`J_0, J`          couplings before learning, and now
:math:`R`               what a rule asks for: ``rule(J, pre, post)`` on the activity, or for a
                        `PlasticSNTCell` the mean :math:`\alpha \circ H` that a run leaves
:math:`|.|`             Frobenius norm; :math:`<A, B> = \sum A_{ij} B_{ij}`
======================  ==================================================================

.. math:: \text{change} = \frac{|J - J_0|}{|J_0|}, \qquad
          \text{alignment} = \frac{<J - J_0, R>}{|J - J_0|\,|R|}, \qquad
          \text{outlier} = \frac{\max |\lambda|}{|A| / \sqrt N}

with lambda the eigenvalues of the couplings A in use, J, plus R for a `PlasticSNTCell`.  A random
matrix of independent entries with the norm |A| has its eigenvalues within the radius |A| / sqrt N:
an outlier above 1 stands out from them, as a learned pattern does.

**Exponents.**  *Frozen*: the largest exponent of the neurons with the synapses held as they are,
for a `PlasticSNTCell` as every row's run leaves them.  *Joint*: of neurons and synapses together,
which only a `PlasticSNTCell` has: elsewhere synapses are no part of the state.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.lyapunov import max_lyapunov
from sntorch.analysis.sensitivity import pattern_sensitivity
from sntorch.cells import SNTCell
from sntorch.couplings.layers import Coupling, Sparse
from sntorch.dynamics import Dynamics, enter, rollout
from sntorch.observing import observing
from sntorch.plasticity import CouplingRule, PlasticSNTCell
from sntorch.results import Result, over_rows

__all__ = ["SynapticChange", "synaptic_change"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SynapticChange(Result):
    """What learning has done: to the matrix, its eigenvalues, the exponents, the response."""

    change: Tensor
    """(), |J - J_0| / |J_0|."""
    alignment: Tensor
    """(), cosine between J - J_0 and R, in [-1, 1]; NaN where one of them vanishes."""
    eigenvalues: Tensor
    """(N,), complex, of the couplings in use, largest modulus first."""
    bulk: Tensor
    """(), |A| / sqrt N, radius of a random matrix of that norm."""
    frozen: Tensor
    """(...), largest exponent of the neurons at held synapses, nats per step."""
    frozen_stderr: Tensor
    """(...)."""
    joint: Tensor
    """(...), largest exponent of neurons and synapses; NaN unless synapses are state."""
    joint_stderr: Tensor
    """(...)."""
    sensitivity: Tensor
    """(...), D_rel of `pattern_sensitivity` for what the network reads; NaN if it reads nothing."""
    sensitivity_stderr: Tensor
    """(...)."""

    @property
    def outlier(self) -> Tensor:
        """(), modulus of the leading eigenvalue over the bulk."""
        return self.eigenvalues[0].abs() / self.bulk

    def scalars(self) -> dict[str, float]:
        """Return every number, over rows its mean."""
        found = {name: float(getattr(self, name)) for name in ("change", "alignment", "outlier")}
        for name in ("frozen", "joint", "sensitivity"):
            mean, error = over_rows(getattr(self, name), getattr(self, f"{name}_stderr"))
            found |= {name: float(mean), f"{name}_stderr": float(error)}
        return found


def synaptic_change(
    f: Dynamics,
    u: Tensor,
    steps: int,
    *,
    start: Tensor,
    rule: CouplingRule | None = None,
    transient: int = 0,
    x: Tensor | None = None,
) -> SynapticChange:
    """Return what learning has done to a network since its couplings were `start`.

    Parameters
    ----------
    f
        A `PlasticSNTCell`, or an `SNTCell` with the rule that it learns by.
    u
        Initial states (..., N), for a `PlasticSNTCell` (..., N + N^2).
    steps
        Steps of a run, at least 2.
    start
        J_0 (N, N).
    rule
        What J - J_0 is compared with; for a `PlasticSNTCell` None, which is its own trace.
    transient
        Steps before those.
    x
        Drive: constant (I,), or one of (transient + steps, ..., I).

    Raises
    ------
    ValueError
        If f has no plastic parts: neither a trace nor a rule; or an argument does not fit it.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20))
    >>> plastic = snt.plasticity.PlasticSNTCell(cell, alpha=0.3)
    >>> state = plastic.join(torch.randn(4, 20))
    >>> found = synaptic_change(plastic, state, 50, start=cell.coupling.detach())
    >>> float(found.change), found.joint.shape
    (0.0, torch.Size([4]))
    """
    cell = _neurons(f, rule)
    checks.count("steps", steps, low=2)
    checks.count("transient", transient, low=0)
    enter(f, u, transient + steps, x)
    checks.same_kind("start", checks.matrix("start", start), u, "the state")
    if start.shape != (cell.size, cell.size):
        raise ValueError(f"start: expected {(cell.size,) * 2}, got {tuple(start.shape)}")
    with observing(f, u):
        before = u if transient == 0 else rollout(f, u, transient, x=_part(x, 0, transient))[-1]
        drive = _part(x, transient, transient + steps)
        orbit = rollout(f, before, steps, x=drive)
        J = _dense(cell)
        asked = _asked(f, cell, rule, torch.cat([before.unsqueeze(0), orbit]))
        used = J + asked if isinstance(f, PlasticSNTCell) else J
        values = torch.linalg.eigvals(used)
        learned = J - start
        frozen = _frozen(f, before, orbit[-1], steps, drive)
        nothing = torch.full_like(frozen[0], torch.nan)
        joint = _exponent(f, before, steps, drive) if f is not cell else (nothing, nothing)
        answer = (nothing, nothing)
        if x is not None and drive is not None and isinstance(f, SNTCell | PlasticSNTCell):
            found = pattern_sensitivity(f, before, steps, x=drive)
            answer = (found.relative, found.stderr)
        return SynapticChange(
            change=learned.norm() / start.norm(),
            alignment=(learned * asked).sum() / (learned.norm() * asked.norm()),
            eigenvalues=values[values.abs().argsort(descending=True)],
            bulk=used.norm() / cell.size**0.5,
            frozen=frozen[0],
            frozen_stderr=frozen[1],
            joint=joint[0],
            joint_stderr=joint[1],
            sensitivity=answer[0],
            sensitivity_stderr=answer[1],
        )


def _neurons(f: object, rule: object) -> SNTCell:
    if isinstance(f, PlasticSNTCell):
        if rule is not None:
            raise ValueError("rule: expected None, since a PlasticSNTCell has its own; got a rule")
        return f.cell
    if not isinstance(f, SNTCell):
        raise ValueError(f"f: expected an SNTCell or PlasticSNTCell, got {type(f).__name__}")
    if not isinstance(rule, CouplingRule):
        raise ValueError(
            "rule: expected a CouplingRule, since an SNTCell has no plastic parts of its own; "
            f"got {rule!r}"
        )
    return f


def _asked(f: Dynamics, cell: SNTCell, rule: CouplingRule | None, states: Tensor) -> Tensor:
    """Return R (N, N) from states (steps + 1, ..., N)."""
    if isinstance(f, PlasticSNTCell):
        H = f.split(states[-1])[1].flatten(0, -3) if states.ndim > 2 else f.split(states[-1])[1]
        return f.alpha * (H.mean(0) if H.ndim == 3 else H)
    rates = cell.rate(states)
    if rule is None:
        return torch.zeros_like(_dense(cell))
    change = rule(cell.coupling, rates[:-1], rates[1:])
    if not isinstance(cell.coupling, Sparse):
        return change
    spread = torch.zeros_like(_dense(cell))
    spread[cell.coupling.pattern.rows().long(), cell.coupling.columns.long()] = change
    return spread


def _frozen(
    f: Dynamics, u: Tensor, last: Tensor, steps: int, x: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the largest exponent of the neurons from u, synapses as they are in `last`."""
    if not isinstance(f, PlasticSNTCell):
        return _exponent(f, u, steps, x)
    neurons = f.split(u)[0].reshape(-1, f.neurons)
    rows = []
    for i, state in enumerate(last.reshape(-1, f.size)):
        drive = x if x is None or x.ndim < 3 else x.flatten(1, -2)[:, i]
        rows.append(_exponent(f.frozen(state), neurons[i], steps, drive))
    value, error = (torch.stack(part).reshape(u.shape[:-1]) for part in zip(*rows, strict=True))
    return value, error


def _exponent(f: Dynamics, u: Tensor, steps: int, x: Tensor | None) -> tuple[Tensor, Tensor]:
    found = max_lyapunov(f, u, steps, x=x)
    return found.exponents[..., 0], found.stderr[..., 0]


def _dense(cell: SNTCell) -> Tensor:
    J = cell.coupling
    return J.to_dense() if isinstance(J, Coupling) else J


def _part(x: Tensor | None, first: int, last: int) -> Tensor | None:
    """Return the drive of some steps; a constant one is its own."""
    return x if x is None or x.ndim == 1 else x[first:last]
