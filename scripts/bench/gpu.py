"""What a GPU makes of orbits and frames: times over those of other ways on the same GPU.

    python scripts/bench/gpu.py [--rounds 7] [--only replay products rnn training frames]

Every call ends with a wait for the GPU, during which the CPU time goes on.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from measure import Line, Sections, Work, table
from torch import nn

import sntorch as snt
from sntorch import forward
from sntorch.analysis.orthonormal import orthonormal

SHAPES = ((100, 16, 512), (500, 16, 512), (500, 128, 512), (2000, 128, 128))
"""Neurons, rows, steps."""


def waiting(work: Work) -> Work:
    """Return the work with a wait for its end."""

    def run() -> None:
        work()
        torch.cuda.synchronize()

    return run


def orbit(n: int, rows: int, steps: int, **settings: Any) -> Work:
    cell = snt.SNTCell(snt.couplings.gaussian(n), trainable=(), **settings).cuda()
    return waiting(functools.partial(snt.rollout, cell, torch.randn(rows, n).cuda(), steps))


def replay() -> Iterator[Line]:
    for n, rows, steps in SHAPES:
        for noise in (0.0, 0.1):
            ours = orbit(n, rows, steps, leak=0.5, noise=noise)

            def walked(ours: Work = ours) -> None:
                with mock.patch.object(forward, "_REPLAYED", 10**9):
                    ours()

            name = f"N = {n}, {rows} rows, noise {noise}: one by one over captured"
            yield Line(name, walked, ours, ">= 1")


def products() -> Iterator[Line]:
    for n, rows, steps in SHAPES:
        J, U = torch.randn(n, n).cuda(), torch.randn(rows, n).cuda()
        out = torch.empty_like(U)

        def bare(J: Any = J, U: Any = U, out: Any = out, steps: int = steps) -> None:
            for _ in range(steps):
                torch.mm(U, J.T, out=out)

        name = f"N = {n}, {rows} rows: over products"
        yield Line(name, orbit(n, rows, steps), waiting(bare), "")


def against_rnn(*, training: bool = False) -> Iterator[Line]:
    for n, rows, steps in SHAPES:
        ours, theirs = (
            snt.SNT(snt.SNTCell(snt.couplings.gaussian(n), input_size=3)).cuda(),
            nn.RNN(3, n).cuda(),
        )
        x = torch.randn(steps, rows, 3).cuda()

        def run(module: nn.Module, x: Any = x) -> None:
            with contextlib.nullcontext() if training else torch.no_grad():
                out = module(x)[0]
            if training:
                out.square().mean().backward()

        slow, fast = (waiting(functools.partial(run, module)) for module in (theirs, ours))
        kind = "training" if training else "orbits"
        yield Line(f"N = {n}, {rows} rows, {kind}: nn.RNN over ours", slow, fast, "")


def frames() -> Iterator[Line]:
    for rows, n, k in ((64, 50, 4), (64, 500, 50), (16, 100, 100)):
        V = torch.randn(rows, k, n, dtype=torch.float64).cuda().mT
        householder = waiting(functools.partial(torch.linalg.qr, V))
        ours = waiting(functools.partial(orthonormal, V))
        yield Line(f"{rows} frames of {n} x {k}: linalg.qr over ours", householder, ours, ">= 1")


SECTIONS: Sections = {}
if torch.cuda.is_available():
    SECTIONS |= {
        "replay": replay,
        "products": products,
        "rnn": against_rnn,
        "training": functools.partial(against_rnn, training=True),
        "frames": frames,
    }

if __name__ == "__main__":
    if not SECTIONS:
        raise SystemExit("expected a CUDA device, got none")
    table(SECTIONS, __doc__, rounds=7)
