"""A training step with ``torch.compile`` over one without, on CPU; it needs a C++ compiler.

64 rows of 16 steps; forward and gradient, without the optimizer.  The model of torch's layers is
compiled as a whole, of cells the cell alone: unrolled over a sequence it takes minutes to compile.
The seconds that it took to compile are a line of their own.
"""

import copy
import time
from collections.abc import Callable, Iterator

import torch
from measure import Figure, Line, Sections, table
from torch import nn

import sntorch as snt
from sntorch.training import SequenceModel

T, B = 16, 64


def recurrent(kind: str, n: int) -> nn.Module:
    if kind in ("RNN", "GRU"):
        return getattr(nn, kind)(1, n, batch_first=True)
    J = snt.couplings.gaussian(n)
    cell = snt.SNTCell(J, gain=1.2, leak=0.4, input_size=1, trainable=["coupling"])
    return snt.plasticity.PlasticSNTCell(cell, alpha=0.1, rate=0.1) if kind == "plastic" else cell


def step(model: SequenceModel) -> Callable[[], None]:
    x, y = torch.randn(B, T, 1), torch.randint(10, (B,))

    def work() -> None:
        model.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()

    return work


def lines(kind: str, n: int) -> Callable[[], Iterator[Line | Figure]]:
    def made() -> Iterator[Line | Figure]:
        plain = SequenceModel(recurrent(kind, n), 10)
        compiled = copy.deepcopy(plain)
        (compiled if kind in ("RNN", "GRU") else compiled.recurrent).compile()
        ours, base = step(compiled), step(plain)
        start = time.perf_counter()
        ours()
        ours()
        yield Figure(f"{kind}, N = {n}: seconds to compile", time.perf_counter() - start)
        yield Line(f"{kind}, N = {n}: compiled over plain", ours, base, "")

    return made


SECTIONS: Sections = {
    kind: lines(kind, n)
    for kind, n in (("RNN", 128), ("GRU", 128), ("SNT cell", 128), ("plastic", 64))
}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=7)
