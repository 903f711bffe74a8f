"""What Lyapunov exponents cost: times over those of bare matrix products and of slower ways.

All variants of a line run in turns in one process, on one thread, in float64; the figure is the
median over rounds of the ratio of CPU times.  A line ends with the bound that it is held to, and
with the largest difference of exponents where both sides compute them; programs with arithmetic of
their own part on a chaotic orbit after some 200 steps, and their difference is then statistical.
The network is an SNT cell with leak 0.5 and gain 3.

    python scripts/bench/lyapunov.py [--rounds 3] [--only products qr jacfwd replicas gru peers ...]

The line `peers` needs the packages of the extra `bench`: ``pip install 'sntorch[bench]'``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from measure import Line, Sections, Work, table
from torch import Tensor

import sntorch as snt
from sntorch.analysis import growth_rates, lyapunov_spectrum


def network(n: int, rows: int = 0) -> tuple[snt.SNTCell, Tensor]:
    """Return the cell and a state on its attractor."""
    g = torch.Generator().manual_seed(n)
    J = snt.couplings.gaussian(n, generator=g, dtype=torch.float64)
    cell = snt.SNTCell(J, gain=3.0, leak=0.5, trainable=())
    shape = (rows, n) if rows else (n,)
    return cell, snt.rollout(cell, torch.randn(shape, generator=g, dtype=torch.float64), 100)[-1]


def exponents(cell: Any, u: Tensor, k: int, steps: int, interval: int | str = "auto") -> Work:
    return lambda: lyapunov_spectrum(cell, u, steps, k=k, interval=interval).exponents


def products(n: int, k: int, steps: int) -> Work:
    """Return the floor: nothing but J V, `steps` times, with the vectors as rows.

    That is the faster order here; with them as columns 10 of them take up to twice the time.
    """
    J, V, out = torch.randn(n, n).double(), torch.randn(k, n).double(), torch.empty(k, n).double()

    def run() -> None:
        for _ in range(steps):
            torch.mm(V, J.T, out=out)

    return run


def textbook(cell: snt.SNTCell, u: Tensor, k: int, steps: int) -> Work:
    """Return exponents by a whole Jacobian from torch.func and a QR, at every step."""

    def run() -> Tensor:
        draw = torch.randn(len(u), k, dtype=u.dtype, generator=torch.Generator())  # as ours
        state, frame, total = u, torch.linalg.qr(draw).Q, 0
        for _ in range(steps):
            frame = torch.func.jacfwd(cell.map)(state) @ frame
            state = cell.map(state)
            frame, R = torch.linalg.qr(frame)
            total = total + R.diagonal().abs().log()
        return (torch.as_tensor(total) / steps).sort(descending=True).values

    return run


def against_products() -> Iterator[Line]:
    bounds = {"N/4": "<= 1.7", "N": "<= 2.3", "10": "<= 1.3"}
    sizes = (("N/4", 500, 125, 300), ("N", 500, 500, 400), ("N/4", 1000, 250, 100))
    for name, n, k, steps in (*sizes, ("10", 1000, 10, 400)):
        line = f"N = {n}, k = {name}: over products"
        yield Line(line, exponents(*network(n), k, steps), products(n, k, steps), bounds[name])


def against_qr() -> Iterator[Line]:
    for n, k, steps in ((100, 100, 400), (500, 125, 400), (500, 500, 200)):
        cell, u = network(n)
        every = exponents(cell, u, k, steps, interval=1)
        ours = exponents(cell, u, k, steps)
        yield Line(f"N = {n}, k = {k}: QR at every step over ours", every, ours, ">= 1.8")


def against_jacfwd() -> Iterator[Line]:
    for n, steps in ((100, 200), (500, 10)):
        cell, u = network(n)
        slow, ours = textbook(cell, u, 10, steps), exponents(cell, u, 10, steps)
        bound = ">= 20" if n >= 500 else ">= 15"
        yield Line(f"N = {n}, k = 10: jacfwd + QR over ours", slow, ours, bound)


def replicas() -> Iterator[Line]:
    cell, u = network(100, rows=16)

    def loop() -> None:  # rows start from frames of their own: no numbers to compare
        for row in u:
            lyapunov_spectrum(cell, row, 300, k=10)

    ours = exponents(cell, u, 10, 300)
    yield Line("16 rows of N = 100, k = 10: loop over ours", loop, ours, ">= 3")


def tangents() -> Iterator[Line]:
    for n in (64, 256):
        f = snt.as_dynamics(torch.nn.GRUCell(3, n).double())
        slow, ours = pushes(functools.partial(snt.Dynamics.jvp, f), n), pushes(f.jvp, n)
        yield Line(f"GRU, H = {n}, k = 10: vmap(jvp) over its tangent", slow, ours, ">= 3")


def pushes(jvp: Callable[..., Any], n: int) -> Work:
    u, V = torch.randn(n).double(), torch.randn(n, 10).double()

    @torch.no_grad()
    def run() -> None:
        for _ in range(100):
            jvp(u, V)

    return run


def gradients() -> Iterator[Line]:
    for n, k in ((100, 10), (500, 10)):
        cell, u = network(n)
        cell.coupling = torch.nn.Parameter(cell._buffers.pop("coupling"))  # pyright: ignore

        def backward(cell: Any = cell, u: Tensor = u, k: int = k) -> None:
            growth_rates(cell, u, 30, k=k).sum().backward()

        @torch.no_grad()
        def forward(cell: Any = cell, u: Tensor = u, k: int = k) -> None:
            growth_rates(cell, u, 30, k=k)

        yield Line(f"N = {n}, k = {k}: loss and gradient over loss", backward, forward, "<= 6")


def peers() -> Iterator[Line]:
    """Compare with other packages on one network, given its Jacobian in closed form."""
    for name, make in (("clvlib", _clvlib), ("lyapynov", _lyapynov)):
        try:
            package = importlib.import_module(name)
        except ImportError:
            print(f"{name}: not installed, left out")
            continue
        for n, steps in ((100, 2000), (500, 200)):
            cell, u = network(n)
            theirs = make(package, cell.coupling.numpy(), u.numpy(), 10, steps)
            ours = exponents(cell, u, 10, steps)
            yield Line(f"N = {n}, k = 10: {name} over ours", theirs, ours, ">= 1")


def _step(J: Any) -> Callable[[Any], Any]:
    return lambda u: 0.5 * u + J @ np.tanh(3 * u)


def _jacobian(J: Any) -> Callable[[Any], Any]:
    return lambda u: 0.5 * np.eye(len(u)) + J * (3 / np.cosh(3 * u) ** 2)


def _clvlib(package: Any, J: Any, start: Any, k: int, steps: int) -> Work:
    F, DF, times = _step(J), _jacobian(J), np.arange(steps + 1.0)
    options = {"stepper": "discrete", "n_lyap": k}

    def run() -> Any:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            walk = package.lyap_exp_from_ic
            return walk(lambda t, u: F(u), lambda t, u: DF(u), start, times, **options)[0]

    return run


def _lyapynov(package: Any, J: Any, start: Any, k: int, steps: int) -> Work:
    F, DF = _step(J), _jacobian(J)

    def run() -> Any:
        system = package.DiscreteDS(start.copy(), 0, lambda u, t: F(u), lambda u, t: DF(u))
        return package.LCE(system, k, 0, steps, False)

    return run


SECTIONS: Sections = {
    "products": against_products,
    "qr": against_qr,
    "jacfwd": against_jacfwd,
    "replicas": replicas,
    "gru": tangents,
    "gradients": gradients,
    "peers": peers,
}


if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=3)
