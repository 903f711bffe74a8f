"""What plasticity costs: steps that learn over a bare step and its rank-one update.

The baseline is what no plastic network can do without: the product J x, the activity, and the
update of a matrix by an outer product, in place.  Against it

- a step of `PlasticSNTCell`, which has a second product, within an orbit of which one state is
  kept;
- an epoch of one step of `learn`, with its share of the copy that `learn` makes of the network;
- an epoch of many steps of `learn`, against as many steps of the baseline and one update.

Then a tangent of the plastic cell over a scaled copy and a sum of the frame, per column, and the
same by torch.func over ours.

Rules do without the matrix dJ, constraints on them need it and one or two more.  If the allocator
gives such memory back to the system, every epoch pays for its pages again, which is most of what a
constraint costs: MALLOC_TRIM_THRESHOLD_=1000000000 and MALLOC_MMAP_THRESHOLD_=1000000000 in the
environment keep it.

    python scripts/bench/plasticity.py [--rounds 20] [--only online epochs tangents]
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from measure import Line, Sections, Work, table

import sntorch as snt
from sntorch.plasticity import (
    HebbianForgetting,
    Masked,
    Normalised,
    Oja,
    PlasticSNTCell,
    RateSTDP,
    SignPreserving,
    learn,
)

__all__ = ["SECTIONS"]

N, REPEATS = 1000, 50
GAIN = 2.0


def network() -> tuple[snt.SNTCell, torch.Tensor]:
    """Return a chaotic network and a state."""
    g = torch.Generator().manual_seed(0)
    cell = snt.SNTCell(snt.couplings.gaussian(N, generator=g), gain=GAIN)
    return cell, torch.randn(N, generator=g)


def bare(cell: snt.SNTCell, u: torch.Tensor, epochs: int, steps: int) -> Work:
    """Return the products of some epochs, each of them followed by an update of rank one."""
    J, H = cell.coupling.detach().clone(), torch.zeros(N, N)

    def work() -> None:
        x = torch.tanh(GAIN * u)
        for _ in range(epochs):
            before = x
            for _ in range(steps):
                x = torch.tanh(GAIN * (J @ x))
            H.addr_(x, before, beta=0.9, alpha=0.1 / N)

    return work


def online() -> Iterator[Line]:
    """Compare steps each of which learns."""
    cell, u = network()
    base = bare(cell, u, REPEATS, 1)
    for name in ("hebbian", "oja", "modulated"):
        trace, modulated = ("oja" if name == "oja" else "hebbian"), name == "modulated"
        f = PlasticSNTCell(cell, alpha=0.5, rate=0.1, trace=trace, modulated=modulated)
        yield Line(f"PlasticSNTCell, {name}", orbit(f, f.join(u)), base, "<= 2.5")
    siri = HebbianForgetting()
    for rule, bound in ((siri, "<= 2.5"), (Oja(), ""), (RateSTDP(), "<= 2.5")):
        name = type(rule).__name__
        yield Line(f"learn, {name}, on line", learning(cell, rule, u, 1), base, bound)
    for wrap in (Masked, SignPreserving, Normalised):
        name = f"learn, {wrap.__name__} HebbianForgetting, on line"
        yield Line(name, learning(cell, wrap(siri), u, 1), base, "")


def epochs() -> Iterator[Line]:
    """Compare epochs of many steps."""
    cell, u = network()
    for steps in (10, 100):
        base = bare(cell, u, REPEATS, steps)
        ours = learning(cell, HebbianForgetting(), u, steps)
        yield Line(f"learn, HebbianForgetting, epochs of {steps} steps", ours, base, "")


def tangents() -> Iterator[Line]:
    """Compare tangents of the joint state."""
    n, columns = 100, 10
    cell = snt.SNTCell(snt.couplings.gaussian(n), gain=GAIN)
    f = PlasticSNTCell(cell, alpha=0.5, rate=0.1)
    s, V = f.join(torch.randn(n)), torch.randn(n + n * n, columns)

    def ours() -> torch.Tensor:
        with torch.no_grad():
            return f.jvp(s, V)[1]

    def theirs() -> torch.Tensor:
        with torch.no_grad():
            return snt.Dynamics.jvp(f, s, V)[1]

    size = f"N = {n}, {columns} columns"
    yield Line(f"{size}: a tangent over a scaled copy and a sum", ours, scaled(V), "")
    yield Line(f"{size}: torch.func over ours", theirs, ours, "")


def orbit(f: PlasticSNTCell, s: torch.Tensor) -> Work:
    """Return an orbit of which the last state is kept."""

    def work() -> None:
        with torch.no_grad():
            snt.rollout(f, s, REPEATS, every=REPEATS)

    return work


def learning(cell: snt.SNTCell, rule: snt.plasticity.Rule, u: torch.Tensor, steps: int) -> Work:
    """Return learning over some epochs."""

    def work() -> None:
        learn(cell, rule, u, REPEATS, steps=steps)

    return work


def scaled(V: torch.Tensor) -> Work:
    """Return a copy of a frame, scaled, and a sum."""

    def work() -> None:
        V.mul(0.9).add_(V)

    return work


SECTIONS: Sections = {"online": online, "epochs": epochs, "tangents": tangents}


if __name__ == "__main__":
    torch.manual_seed(0)
    table(SECTIONS, __doc__, rounds=20)
