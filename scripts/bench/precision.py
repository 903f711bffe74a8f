"""A training step under bf16 autocast, as ``trainer.precision=bf16-mixed`` has it, over full one.

128 units read 64 rows of 64 pixels; forward and gradient, without the optimizer.
"""

from collections.abc import Callable, Iterator

import torch
from measure import Line, Sections, table
from torch import nn

import sntorch as snt
from sntorch.training import SequenceModel

N, T, B = 128, 64, 64


def recurrent(kind: str) -> nn.Module:
    if kind == "SNT":
        J = snt.couplings.gaussian(N)
        cell = snt.SNTCell(J, gain=1.2, leak=0.4, noise=0.1, input_size=1, trainable=["coupling"])
        return snt.SNT(cell, batch_first=True, output="rate")
    return getattr(nn, kind)(1, N, batch_first=True)


def step(model: SequenceModel, mixed: bool) -> Callable[[], None]:
    x, y = torch.randn(B, T, 1), torch.randint(10, (B,))

    def work() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            prediction = model(x)
        nn.functional.cross_entropy(prediction.float(), y).backward()

    return work


def lines(kind: str) -> Callable[[], Iterator[Line]]:
    def made() -> Iterator[Line]:
        model = SequenceModel(recurrent(kind), 10)
        yield Line(f"{kind}, bf16-mixed over 32-true", step(model, True), step(model, False), "")

    return made


SECTIONS: Sections = {kind: lines(kind) for kind in ("SNT", "RNN", "GRU")}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=7)
