"""Gradient of the speed potential: ours, and what one would write, over two bare matrix products.

On 64 states of 500 neurons; the figures are medians over rounds of ratios of CPU times.
E = |F(u) - u|^2 / 2 is differentiated

- by hand: the formula of this one network, in as few passes as torch allows;
- by autograd: of a plain formula (SNT) or torch's fused cell (GRU), for u alone;
- by ``backward()``, the same where the weights are parameters of a module: it makes their gradients
  too, which a search for slow points does not want, unless one says ``requires_grad_(False)``;
- by vmap of grad, row by row.

    python scripts/bench/speed_potential.py [--rounds 25] [--only snt gru]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import Line, Sections, table
from torch import Tensor, nn

import sntorch as snt

GAIN = 1.5
SIZE, ROWS = 500, 64
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


def network(dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """Return the works for an SNT network of 500 neurons."""
    J = snt.couplings.gaussian(SIZE, dtype=dtype, generator=torch.Generator())
    u = torch.randn(ROWS, SIZE, dtype=dtype, generator=torch.Generator())
    held = nn.Linear(SIZE, SIZE, bias=False, dtype=dtype)
    with torch.no_grad():
        held.weight.copy_(J)
    cell = snt.SNTCell(J, gain=GAIN, trainable=())
    return works_of(
        held, lambda v: held(torch.tanh(GAIN * v)), lambda v: snt_by_hand(J, v), cell, J, u
    )


def gru(dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """Return the works for a GRU of 500 units."""
    cell = nn.GRUCell(1, SIZE, dtype=dtype)
    u = torch.randn(ROWS, SIZE, dtype=dtype, generator=torch.Generator())
    return works_of(
        cell,
        lambda v: cell(v.new_zeros(*v.shape[:-1], 1), v),
        lambda v: gru_by_hand(cell, v),
        cell,
        cell.weight_hh.detach(),
        u,
    )


def lines(make: Callable[[torch.dtype], dict[str, Callable[[], Any]]]) -> Iterator[Line]:
    """Compare ours with the two products, and every other way with ours."""
    for dtype in (torch.float64, torch.float32):
        works = {name: several(work) for name, work in make(dtype).items()}
        of = f"{make.__name__}, {str(dtype).removeprefix('torch.')}"
        yield Line(f"{of}: ours over two products", works["ours"], works["products"], "<= 1.5")
        for rival in ("by hand", "autograd", "backward()", "vmap of grad"):
            bound = ">= 1.3" if rival == "backward()" else ""
            yield Line(f"{of}: {rival} over ours", works[rival], works["ours"], bound)


def several(work: Callable[[], Any]) -> Callable[[], Any]:
    """Return the work done five times, without gradients."""

    def run() -> Any:
        with torch.no_grad():
            return [work() for _ in range(5)][-1]

    return run


SECTIONS: Sections = {
    "snt": functools.partial(lines, network),
    "gru": functools.partial(lines, gru),
}

if __name__ == "__main__":
    table(SECTIONS, __doc__, rounds=25)
