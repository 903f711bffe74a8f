"""What orbits and their gradients cost: times over those of bare matrix products and of other ways.

All variants of a line run in turns in one process, on one thread, in float32; the figure is the
median over rounds of the ratio of CPU times.  The network is an SNT cell with gain 1 and leak 0
(with both, for `leak`), which reads 3 inputs per step where it is compared with ``nn.RNN``.

`large` runs sparse networks of 1e5 and 1e6 neurons, with 100 inputs each, in processes of their
own: steps per second, and the most memory that building and running took over what the CSR arrays
and the states asked for need.

    python scripts/bench/rollout.py [--rounds 7] [--only products noise leak sparse rnn loop ...]
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import resource
import time
from collections.abc import Iterator
from typing import Any

import torch
from measure import Figure, Line, Sections, Work, table
from torch import Tensor, nn

import sntorch as snt

SHAPES = ((500, 16, 200), (500, 128, 60), (1000, 16, 80), (1000, 128, 20), (2000, 16, 20))
"""Neurons, rows, steps."""


def cell(n: int, **settings: Any) -> snt.SNTCell:
    return snt.SNTCell(snt.couplings.gaussian(n), **settings)


def products(n: int, rows: int, steps: int) -> Work:
    """Return the floor: nothing but J U, `steps` times."""
    J, U, out = torch.randn(n, n), torch.randn(n, rows), torch.empty(n, rows)

    def run() -> None:
        for _ in range(steps):
            torch.mm(J, U, out=out)

    return run


def arithmetic(n: int, rows: int, steps: int) -> Work:
    """Return the products and the tanh of every state: the floor of what an orbit is made of."""
    J, U, out, f = (
        torch.randn(n, n),
        torch.randn(n, rows),
        torch.empty(n, rows),
        torch.empty(n, rows),
    )

    def run() -> None:
        for _ in range(steps):
            torch.tanh(U, out=f)
            torch.mm(J, f, out=out)

    return run


@torch.no_grad()
def silent(work: Work) -> None:
    work()


def against_products(bound: str = "", **settings: Any) -> Iterator[Line]:
    for n, rows, steps in SHAPES:
        f, u = cell(n, trainable=(), **settings), torch.randn(rows, n)
        ours = functools.partial(silent, lambda f=f, u=u, steps=steps: snt.rollout(f, u, steps))
        limit = bound or ("<= 1.35" if n < 1000 else "<= 1.15")
        what = "".join(f", {name} {value}" for name, value in settings.items())
        name = f"N = {n}, {rows} rows{what}: over products"
        yield Line(name, ours, products(n, rows, steps), limit)
        if not settings:
            name = f"N = {n}, {rows} rows: over products and tanh"
            yield Line(name, ours, arithmetic(n, rows, steps), "")


def loop(f: snt.SNTCell, u: Tensor, steps: int, x: Tensor | None = None) -> Tensor:
    """Return the orbit by the loop that a user would write."""
    orbit: list[Tensor] = []
    for t in range(steps):
        u = f.map(u, None if x is None else x[t])
        orbit.append(u)
    return torch.stack(orbit)


def against_loop() -> Iterator[Line]:
    for n, rows, steps in ((100, 16, 400), (500, 16, 200)):
        f, u = cell(n, trainable=(), leak=0.5, gain=1.5), torch.randn(rows, n)
        ours = functools.partial(silent, lambda f=f, u=u, steps=steps: snt.rollout(f, u, steps))
        slow = functools.partial(silent, lambda f=f, u=u, steps=steps: loop(f, u, steps))
        name = f"N = {n}, {rows} rows: a loop over ours"
        yield Line(name, slow, ours, ">= 3" if n == 100 else ">= 1.3")


def against_rnn() -> Iterator[Line]:
    for n, rows, steps in ((100, 16, 200), *SHAPES):
        x, layer, rnn = torch.randn(steps, rows, 3), snt.SNT(cell(n, input_size=3)), nn.RNN(3, n)
        ours = functools.partial(silent, functools.partial(_nothing, layer, x))
        theirs = functools.partial(silent, functools.partial(_nothing, rnn, x))
        bound = ">= 1.3" if rows == 16 else ">= 1.1"
        yield Line(f"N = {n}, {rows} rows: nn.RNN over ours", theirs, ours, bound)


def training() -> Iterator[Line]:
    for n, rows, steps in ((100, 16, 100), (128, 64, 64), (500, 16, 100), (1000, 16, 50)):
        x, layer, rnn = torch.randn(steps, rows, 3), snt.SNT(cell(n, input_size=3)), nn.RNN(3, n)
        zeros = torch.zeros(rows, n)
        name = f"N = {n}, {rows} rows, {steps} steps, trained"
        ours = gradient(lambda layer=layer, x=x: layer(x)[0], n, rows, steps)
        theirs = gradient(lambda rnn=rnn, x=x: rnn(x)[0], n, rows, steps)
        slow = gradient(
            lambda f=layer.cell, u=zeros, steps=steps, x=x: loop(f, u, steps, x), n, rows, steps
        )
        yield Line(f"{name}: nn.RNN over ours", theirs, ours, ">= 1.3" if n == 500 else ">= 0.9")
        yield Line(f"{name}: a loop over ours", slow, ours, ">= 1.6" if n == 500 else "")


def gradient(orbit: Work, n: int, rows: int, steps: int) -> Work:
    weight = torch.randn(steps, rows, n)
    return lambda: (orbit() * weight).sum().backward()


def sparse() -> Iterator[Line]:
    for n, degree, rows, steps in ((1000, 10, 16, 200), (5000, 50, 1, 100), (5000, 50, 16, 40)):
        J = snt.couplings.sparse(n, degree=degree, layout="csr")
        f, u = snt.SNTCell(J, trainable=()), torch.randn(rows, n)
        ours = functools.partial(silent, lambda f=f, u=u, steps=steps: snt.rollout(f, u, steps))
        name = f"N = {n}, {degree} inputs, {rows} rows"
        yield Line(f"{name}: over sparse products", ours, sparse_products(J, rows, steps), "")
        yield Line(f"{name}: over dense products", ours, products(n, rows, steps), "<= 0.2")
        x = torch.zeros(10, rows, 1)
        trained, slow = (snt.SNTCell(J, input_size=1, leak=0.3) for _ in range(2))
        fast = gradient(lambda f=trained, u=u, x=x: snt.rollout(f, u, 10, x=x), n, rows, 10)
        by_loop = gradient(lambda f=slow, u=u, x=x: loop(f, u, 10, x), n, rows, 10)
        yield Line(f"{name}, trained: a loop over ours", by_loop, fast, "")


def sparse_products(J: Tensor, rows: int, steps: int) -> Work:
    U = torch.randn(J.shape[1], rows)
    factor = U[:, 0].contiguous() if rows == 1 else U

    def run() -> None:
        for _ in range(steps):
            torch.matmul(J, factor)

    return run


def large() -> Iterator[Figure]:
    for n, rows, steps in ((100_000, 4, 20), (1_000_000, 1, 10)):
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as alone:
            speed, memory, least = alone.submit(run_large, n, 100, rows, steps).result()
        name = f"N = {n}, 100 inputs, {rows} rows"
        yield Figure(f"{name}: steps per second", speed)
        yield Figure(f"{name}: GB of CSR arrays and states", least)
        yield Figure(f"{name}: most memory over these", memory / least, "<= 1.5")


def run_large(n: int, degree: int, rows: int, steps: int) -> tuple[float, float, float]:
    """Return steps per second, GB above the start at most, and GB of the arrays asked for."""
    torch.set_num_threads(1)
    small = snt.SNTCell(snt.couplings.sparse(9, degree=2, layout="csr"), trainable=())
    snt.rollout(small, torch.zeros(2, 9), 2)  # libraries load
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cell = snt.SNTCell(snt.couplings.sparse(n, degree=degree, layout="csr"), leak=0.5, trainable=())
    u, every = torch.randn(rows, n), 5
    begin = time.process_time()
    orbit = snt.rollout(cell, u, steps, every=every)
    speed = steps / (time.process_time() - begin)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start  # kB on Linux
    least = 8 * n * degree + 4 * (n + 1) + u.nbytes + orbit.nbytes
    return speed, most * 1024 / 1e9, least / 1e9


def networks() -> Iterator[Line]:
    for count, n, rows, steps in ((64, 50, 16, 100), (16, 100, 16, 100), (16, 500, 1, 40)):
        cells = [cell(n, trainable=(), leak=0.5, gain=1.5) for _ in range(count)]
        both, u = snt.Networks(cells), torch.randn(rows, count, n)

        def each(cells: Any = cells, u: Tensor = u, steps: int = steps) -> None:
            for r, one in enumerate(cells):
                snt.rollout(one, u[:, r], steps)

        def ours(both: Any = both, u: Tensor = u, steps: int = steps) -> None:
            snt.rollout(both, u, steps)

        slow, fast = functools.partial(silent, each), functools.partial(silent, ours)
        yield Line(
            f"{count} networks of {n}, {rows} rows: one by one over ours", slow, fast, ">= 1"
        )
        v = u[0].double()
        doubles = [snt.SNTCell(c.coupling.double(), gain=3.0, trainable=()) for c in cells]

        def spectra(cells: Any = doubles, u: Tensor = v) -> None:
            for r, one in enumerate(cells):
                snt.analysis.lyapunov_spectrum(one, u[r], 40, k=4)

        def at_once(both: Any = snt.Networks(doubles), u: Tensor = v) -> None:  # noqa: B008
            snt.analysis.lyapunov_spectrum(both, u, 40, k=4)

        name = f"{count} networks of {n}, 4 exponents each: one by one over ours"
        yield Line(name, spectra, at_once, ">= 1")


def _nothing(module: nn.Module, x: Tensor) -> None:
    module(x)


SECTIONS: Sections = {
    "products": against_products,
    "noise": functools.partial(against_products, "<= 1.6", noise=0.1),
    "leak": functools.partial(against_products, leak=0.5, gain=1.5),
    "sparse": sparse,
    "large": large,
    "rnn": against_rnn,
    "loop": against_loop,
    "networks": networks,
    "training": training,
}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=7)
