"""A network whose couplings are held by several processes: its orbit, exponent, and one gradient.

    torchrun --standalone --nproc-per-node 2 scripts/sharded.py [--neurons 4000] [--check]

Every process draws the rows of J that it holds, so that J is nowhere as a whole.  On several
machines start it on each with torchrun's ``--nnodes`` and ``--rdzv-endpoint``; ``--device cuda``
takes one GPU per process.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import Tensor

import sntorch as snt
from sntorch.couplings import Sharded, Team


def rows(n: int, share: slice, like: Tensor) -> Tensor:
    """Return the rows of Gaussian couplings (n, n) in a share, each from a stream of its own."""
    stream = torch.Generator()
    drawn = [torch.randn(n, generator=stream.manual_seed(i)) for i in range(n)[share]]
    return (torch.stack(drawn) / n**0.5).to(like)


def answers(cell: snt.SNTCell, u: Tensor, steps: int) -> dict[str, Any]:
    """Return what the network does, and the gradient of a loss with respect to its input weight."""
    with torch.no_grad():
        orbit = snt.rollout(cell, u, steps)
    spectrum = snt.analysis.lyapunov_spectrum(cell, u[0], steps, k=4)
    snt.rollout(cell, u, 5, x=u.new_ones(1)).square().mean().backward()
    weight = cell.input_weight
    gradient = None if weight is None else weight.grad
    return {"orbit": orbit, "exponents": spectrum.exponents, "gradient": gradient}


def run(team: Team, options: argparse.Namespace) -> None:
    """Ask the network, and on rank 0 say what came out."""
    n, dtype = options.neurons, torch.float64 if options.check else torch.float32
    settings = {"gain": 2.0, "leak": 0.5, "input_size": 1}
    torch.manual_seed(0)  # what all processes have alike must be alike
    u, W = torch.randn(4, n).to(team.device, dtype), torch.randn(n, 1).to(team.device, dtype)
    J = Sharded(rows(n, team.rows(n), u), team)
    cell = snt.SNTCell(J, **settings)
    cell.load_state_dict({"input_weight": W}, strict=False)
    start = time.perf_counter()
    found = answers(cell, u, options.steps)
    seconds = time.perf_counter() - start
    if team.rank:
        return
    held = dtype.itemsize * J.shape[1] * J.sizes[0] / 1e6
    print(f"{n} neurons in {team.size} processes, {held:.0f} MB of couplings in this one")
    print(f"{seconds:.2f} s; exponents {[round(e, 4) for e in found['exponents'].tolist()]}")
    if options.check:
        whole = snt.SNTCell(rows(n, slice(n), u), **settings)
        whole.load_state_dict({"input_weight": W}, strict=False)
        expected = answers(whole, u, options.steps)
        difference = max(float((found[key] - expected[key]).abs().max()) for key in found)
        print(f"largest difference to one process {difference:.1e}")


def main() -> None:
    """Run as one of the processes that torchrun started."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--timeout", type=float, default=25.0, help="seconds, see couplings.Team")
    parser.add_argument("--check", action="store_true", help="in float64, with one process")
    options = parser.parse_args()
    with Team(timeout=options.timeout, device=options.device) as team:
        run(team, options)


if __name__ == "__main__":
    main()
