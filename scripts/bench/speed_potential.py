"""Gradient of the speed potential: time over two bare matrix products, and autograd's over ours.

All run in turns in one process on the same states; the figures are medians over rounds of the
ratios of wall times.  Autograd differentiates E = |F(u) - u|^2 / 2 by one backward pass, vmap
differentiates it row by row.

    python scripts/bench/speed_potential.py [--size 500] [--rows 64] [--rounds 200]
        [--dtype float64]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import sntorch as snt


def by_autograd(f: snt.Dynamics, u: Tensor) -> Tensor:
    """Return the gradient by one backward pass."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        energy = 0.5 * (f.map(u) - u).square().sum()
        return torch.autograd.grad(energy, u)[0]


def by_vmap(f: snt.Dynamics, u: Tensor) -> Tensor:
    """Return the gradient by torch.func, row by row."""
    return torch.vmap(torch.func.grad(lambda v: 0.5 * (f.map(v) - v).square().sum()))(u)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(name: str, f: snt.Dynamics, u: Tensor, weight: Tensor, rounds: int) -> None:
    """Print the ratios for one network; `weight` is the matrix of the two products."""
    potential = snt.landscape.SpeedPotential(f)
    works: dict[str, Callable[[], Any]] = {
        "products": lambda: (u @ weight.T) @ weight,
        "ours": lambda: potential.gradient(u),
        "autograd": lambda: by_autograd(f, u),
        "vmap": lambda: by_vmap(f, u),
    }
    with torch.no_grad():
        error = float((works["ours"]() - works["autograd"]()).abs().max())
        for work in works.values():
            for _ in range(5):
                work()
        times = [{key: seconds(work) for key, work in works.items()} for _ in range(rounds)]

    def ratio(above: str, below: str) -> float:
        return statistics.median(each[above] / each[below] for each in times)

    print(f"{name}: {tuple(u.shape)}, {u.dtype}, one thread, {rounds} rounds")
    print(f"    ours over two products {ratio('ours', 'products'):.2f}")
    print(f"    autograd over ours {ratio('autograd', 'ours'):.2f}")
    print(f"    vmap of grad over ours {ratio('vmap', 'ours'):.2f}")
    print(f"    largest difference to autograd {error:.1e}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    J = snt.couplings.gaussian(options.size, dtype=dtype, generator=torch.Generator())
    u = torch.randn(options.rows, options.size, dtype=dtype, generator=torch.Generator())
    cell = snt.SNTCell(J, gain=1.5, trainable=())
    compare("SNT", cell, u, J, options.rounds)
    gru = nn.GRUCell(1, options.size).to(dtype).requires_grad_(False)
    compare("GRU", snt.as_dynamics(gru), u, gru.weight_hh.detach(), max(1, options.rounds // 4))


if __name__ == "__main__":
    main()
