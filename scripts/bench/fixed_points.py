"""Fixed points of a GRU: time and number found, against Adam on the speed, the usual recipe.

Both searches get the same starts: random averages of four states that the network visits.  They
run in turns in one process; the figures are medians over rounds of CPU seconds and of their ratio.
The recipe is one Adam minimisation of E = |F(u) - u|^2 / 2, all starts at once; two step sizes are
tried, the time is the mean of both and the end states are those of the better one.  They count as
found if E < 1e-10, which is looser than the library's own test, and as different if a component
differs by 1e-3.  The GRU has random weights, its candidates coupled `scale` times as strongly as
at torch's start.

    python scripts/bench/fixed_points.py [--starts 1024] [--units 128] [--rounds 3] [--steps 1000]
        [--scale 3]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

import sntorch as snt


def network(units: int, scale: float) -> snt.Dynamics:
    """Return a GRU whose candidates drive each other `scale` times as much as at torch's start."""
    torch.manual_seed(0)
    module = nn.GRU(3, units).double()
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[2 * units :] *= scale
    return snt.as_dynamics(module)


def starts(f: snt.Dynamics, count: int) -> Tensor:
    """Return random averages of states on driven orbits."""
    x = torch.randn(100, 64, 3, dtype=torch.float64)
    with torch.no_grad():
        orbit = snt.rollout(f, torch.zeros(64, f.size, dtype=torch.float64), 100, x=x)
    orbit = orbit.reshape(-1, f.size)
    weight = torch.distributions.Dirichlet(torch.ones(4, dtype=torch.float64)).sample((count,))
    return (weight.unsqueeze(-1) * orbit[torch.randint(len(orbit), (count, 4))]).sum(1)


def by_adam(f: snt.Dynamics, u: Tensor, steps: int, rate: float) -> Tensor:
    """Return the states after Adam on the speed."""
    u = u.clone().requires_grad_()
    optimiser = torch.optim.Adam([u], rate)
    for _ in range(steps):
        speed = 0.5 * (f.map(u) - u).square().sum()
        (u.grad,) = torch.autograd.grad(speed, u)
        optimiser.step()
    return u.detach()


def distinct(states: Tensor, apart: float = 1e-3) -> int:
    """Return the number of states further apart than `apart` in some component."""
    count = 0
    while len(states):
        states = states[(states - states[0]).abs().amax(-1) > apart]
        count += 1
    return count


def main() -> None:
    """Print times, ratio and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=1024)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    f = network(options.units, options.scale)
    u = starts(f, options.starts)
    # torch.func loads on its first use, before the clock starts.
    found, best = snt.analysis.find_fixed_points(f, u[:2]), torch.empty(0)
    ours: list[float] = []
    adam: list[float] = []
    for _ in range(options.rounds):
        begin = time.process_time()
        found = snt.analysis.find_fixed_points(f, u)
        ours.append(time.process_time() - begin)
        times = []
        for rate in (1e-2, 1e-3):
            begin = time.process_time()
            ends = by_adam(f, u, options.steps, rate)
            times.append(time.process_time() - begin)
            with torch.no_grad():
                speed = 0.5 * (f.map(ends) - ends).square().sum(-1)
            reached = ends[speed < 1e-10]
            best = reached if len(reached) >= len(best) else best
        adam.append(statistics.mean(times))
    points = found.unique()
    share = float(found.converged.double().mean())
    unstable = torch.bincount(points.unstable).tolist()
    print(f"{options.starts} starts, GRU of {options.units} units, one thread")
    print(f"sntorch: {statistics.median(ours):.2f} CPU s, {share:.1%} of starts converged (1e-12),")
    print(f"    {len(points.states)} points, by number of unstable directions {unstable}")
    print(f"Adam, {options.steps} steps: {statistics.median(adam):.2f} CPU s, speed < 1e-10 for")
    print(f"    {len(best) / len(u):.1%} of starts, {distinct(best)} points at best")
    ratio = statistics.median(b / a for a, b in zip(ours, adam, strict=True))
    print(f"ratio of times {ratio:.2f}")


if __name__ == "__main__":
    main()
