"""Gradient of the speed potential: ours, and what one would write, over two bare matrix products.

All run in turns in one process on the same states; the figures are medians over rounds of the
ratios of wall times.  E = |F(u) - u|^2 / 2 is differentiated

- by hand: the formula of this one network, in as few passes as torch allows;
- by autograd: of a plain formula (SNT) or torch's fused cell (GRU), for u alone;
- by ``backward()``, the same where the weights are parameters of a module: it makes their gradients
  too, which a search for slow points does not want, unless one says ``requires_grad_(False)``;
- by vmap of grad, row by row.

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

GAIN = 1.5
Step = Callable[[Tensor], Tensor]


def energy(F: Step, u: Tensor) -> Tensor:
    """Return the speed potential of all rows together ()."""
    return 0.5 * (F(u) - u).square().sum()


def by_autograd(F: Step, u: Tensor) -> Tensor:
    """Return the gradient by one backward pass that asks for nothing else."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        return torch.autograd.grad(energy(F, u), u)[0]


def by_backward(module: nn.Module, F: Step, u: Tensor) -> Tensor | None:
    """Return the gradient by ``backward()``, which fills those of the weights too."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        energy(F, u).backward()
    module.zero_grad()
    return u.grad


def by_vmap(F: Step, u: Tensor) -> Tensor:
    """Return the gradient by torch.func, row by row."""
    return torch.vmap(torch.func.grad(lambda v: energy(F, v)))(u)


def snt_by_hand(J: Tensor, u: Tensor) -> Tensor:
    """Return the gradient for u' = J tanh(gain u)."""
    rate = torch.tanh(GAIN * u)
    r = rate @ J.T - u
    return GAIN * (1 - rate.square()) * (r @ J) - r


def gru_by_hand(cell: nn.GRUCell, u: Tensor) -> Tensor:
    """Return the gradient for a GRU without a drive."""
    fed = torch.addmm(cell.bias_hh, u, cell.weight_hh.T)
    (a, b, hidden), (r_0, z_0, n_0) = fed.chunk(3, -1), cell.bias_ih.chunk(3)
    r, z = torch.sigmoid(a + r_0), torch.sigmoid(b + z_0)
    n = torch.tanh(r * hidden + n_0)
    move = (1 - z) * (n - u)
    to_n = move * (1 - z) * (1 - n.square()) * r
    gates = torch.cat([to_n * hidden * (1 - r), move * (u - n) * z * (1 - z), to_n], -1)
    return gates @ cell.weight_hh + (z - 1) * move


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(name: str, works: dict[str, Callable[[], Any]], u: Tensor, rounds: int) -> None:
    """Print the ratios for one network; the first of the works is the two products."""
    products, ours, *rivals = works
    with torch.no_grad():
        for work in works.values():
            for _ in range(5):
                work()
        errors = {rival: float((works[rival]() - works[ours]()).abs().max()) for rival in rivals}
        times = [{key: seconds(work) for key, work in works.items()} for _ in range(rounds)]

    def ratio(above: str, below: str) -> float:
        return statistics.median(each[above] / each[below] for each in times)

    print(f"{name}: {tuple(u.shape)}, {u.dtype}, one thread, {rounds} rounds")
    print(f"    {'':20}{'over products':>15}{'over ours':>12}{'difference':>13}")
    print(f"    {ours:20}{ratio(ours, products):15.2f}{1:12.2f}")
    for rival, error in errors.items():
        both = f"{ratio(rival, products):15.2f}{ratio(rival, ours):12.2f}"
        print(f"    {rival:20}{both}{error:13.1e}")


def works_of(
    module: nn.Module, F: Step, by_hand: Step, f: object, W: Tensor, u: Tensor
) -> dict[str, Callable[[], Any]]:
    """Return the two products with W, ours, and the other ways."""
    potential = snt.landscape.SpeedPotential(f)
    return {
        "products": lambda: (u @ W.T) @ W,
        "ours": lambda: potential.gradient(u),
        "by hand": lambda: by_hand(u),
        "autograd": lambda: by_autograd(F, u),
        "backward()": lambda: by_backward(module, F, u),
        "vmap of grad": lambda: by_vmap(F, u),
    }


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
    held = nn.Linear(options.size, options.size, bias=False, dtype=dtype)
    with torch.no_grad():
        held.weight.copy_(J)
    cell = snt.SNTCell(J, gain=GAIN, trainable=())
    works = works_of(
        held, lambda v: held(torch.tanh(GAIN * v)), lambda v: snt_by_hand(J, v), cell, J, u
    )
    compare("SNT", works, u, options.rounds)
    gru = nn.GRUCell(1, options.size).to(dtype)
    W = gru.weight_hh.detach()
    works = works_of(
        gru,
        lambda v: gru(v.new_zeros(*v.shape[:-1], 1), v),
        lambda v: gru_by_hand(gru, v),
        gru,
        W,
        u,
    )
    compare("GRU", works, u, max(1, options.rounds // 3))


if __name__ == "__main__":
    main()
