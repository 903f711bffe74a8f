"""Fixed points of a GRU: time, number found and share converged, against other searches.

All searches get the same starts: random averages of four states that the network visits.  They
run one after the other in one process on one thread; times are medians over rounds of CPU seconds.
The rivals minimise the energy E = |F(u) - u|^2 / 2 from every start:

- Adam, the usual recipe, all starts at once, with two step sizes: the time is the mean of both,
  the end states are those of the better one.
- `SlowPointFinder` of BrainPy (extra `bench`), on the same weights in JAX: BFGS, with E in units of
  1e-3 because its tolerance for the gradient is fixed at 1e-5, and its Adam with its own step size.
  A few seconds of compilation are in its times.

End states count as found if E < 1e-10, which is looser than the library's own test, and as
different if a component differs by 1e-3.  The GRU has random weights, its candidates coupled
`scale` times as strongly as at torch's start.

    python scripts/bench/fixed_points.py [--starts 1024] [--units 128] [--rounds 3] [--steps 1000]
        [--scale 3] [--only sntorch adam bfgs brainpy-adam]
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

# Before JAX is loaded: one thread, as torch has.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import torch
from measure import Figure, Sections, seconds, show
from torch import Tensor, nn

import sntorch as snt

ENERGY = 1e-10
Search = Callable[[], list[Tensor]]
"""Return the end states (B, N) of every attempt that one run makes."""


def network(units: int, scale: float) -> nn.GRU:
    """Return a GRU whose candidates drive each other `scale` times as much as at torch's start."""
    torch.manual_seed(0)
    module = nn.GRU(3, units).double()
    with torch.no_grad():
        module.get_parameter("weight_hh_l0")[2 * units :] *= scale
    return module


def starts(f: snt.Dynamics, count: int) -> Tensor:
    """Return random averages of states on driven orbits."""
    x = torch.randn(100, 64, 3, dtype=torch.float64)
    with torch.no_grad():
        orbit = snt.rollout(f, torch.zeros(64, f.size, dtype=torch.float64), 100, x=x)
    orbit = orbit.reshape(-1, f.size)
    weight = torch.distributions.Dirichlet(torch.ones(4, dtype=torch.float64)).sample((count,))
    return (weight.unsqueeze(-1) * orbit[torch.randint(len(orbit), (count, 4))]).sum(1)


def by_sntorch(f: snt.Dynamics, u: Tensor) -> Search:
    """Return the library's search."""
    # torch.func loads on its first use, before the clock starts.
    snt.analysis.find_fixed_points(f, u[:2])

    def run() -> list[Tensor]:
        found = snt.analysis.find_fixed_points(f, u)
        return [found.states[found.converged]]

    return run


def by_adam(f: snt.Dynamics, u: Tensor, steps: int) -> Search:
    """Return Adam on the energy, in torch."""

    def attempt(rate: float) -> Tensor:
        state = u.clone().requires_grad_()
        optimiser = torch.optim.Adam([state], rate)
        for _ in range(steps):
            energy = 0.5 * (f.map(state) - state).square().sum()
            (state.grad,) = torch.autograd.grad(energy, state)
            optimiser.step()
        return state.detach()

    return lambda: [attempt(1e-2), attempt(1e-3)]


def by_brainpy(module: nn.GRU, u: Tensor, steps: int, method: str) -> Search:
    """Return a search of BrainPy on the same GRU, written in JAX."""
    brainpy, jax = importlib.import_module("brainpy"), importlib.import_module("jax")
    brainpy.math.enable_x64()
    jnp: Any = importlib.import_module("jax.numpy")
    W, b_input, b = (
        jnp.asarray(module.get_parameter(name).detach().numpy())
        for name in ("weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    )

    def step(h: Any) -> Any:
        given, fed = jnp.split(b_input, 3), jnp.split(W @ h + b, 3)
        reset, keep = (jax.nn.sigmoid(i + j) for i, j in zip(given[:2], fed[:2], strict=True))
        return (1 - keep) * jnp.tanh(given[2] + reset * fed[2]) + keep * h

    def energy(ends: Any, targets: Any, axis: int | None = None) -> Any:
        return 1e3 * 0.5 * jnp.square(ends - targets).sum(axis)

    finder = brainpy.analysis.SlowPointFinder(step, "discrete", energy, verbose=False)
    begin = jnp.asarray(u.numpy())

    def run() -> list[Tensor]:
        if method == "bfgs":
            finder.find_fps_with_opt_solver(begin)
        else:
            settings = {"num_batch": 100, "num_opt": steps, "tolerance": 1e3 * ENERGY}
            finder.find_fps_with_gd_method(begin, **settings)
        return [torch.tensor(finder.fixed_points)]

    return run


def found(f: snt.Dynamics, ends: list[Tensor]) -> Tensor:
    """Return the states of the best attempt whose energy is small enough."""
    with torch.no_grad():
        kept = [u[0.5 * (f.map(u) - u).square().sum(-1) < ENERGY] for u in ends]
    return max(kept, key=len)


def distinct(states: Tensor, apart: float = 1e-3) -> int:
    """Return the number of states further apart than `apart` in some component."""
    count = 0
    while len(states):
        states = states[(states - states[0]).abs().amax(-1) > apart]
        count += 1
    return count


def sections(count: int, units: int, scale: float, steps: int, rounds: int) -> Sections:
    """Return the searches from so many starts, each of which makes `rounds` runs."""
    makers: dict[str, Callable[[nn.GRU, Tensor], Search]] = {
        "sntorch": lambda module, u: by_sntorch(snt.as_dynamics(module), u),
        "adam": lambda module, u: by_adam(snt.as_dynamics(module), u, steps),
        "bfgs": lambda module, u: by_brainpy(module, u, steps, "bfgs"),
        "brainpy-adam": lambda module, u: by_brainpy(module, u, steps, "adam"),
    }

    def measured(name: str) -> Iterator[Figure]:
        module = network(units, scale)
        f = snt.as_dynamics(module)
        u = starts(f, count)
        try:
            search = makers[name](module, u)
        except ImportError as error:
            print(f"{name}: {error.name} is not installed, left out")
            return
        runs = [seconds(search) for _ in range(rounds)]
        ends = runs[-1][1]
        reached = found(f, ends)
        what = f"{name}, GRU of {units}, {count} starts"
        yield Figure(f"{what}: CPU seconds", statistics.median(s for s, _ in runs) / len(ends))
        yield Figure(f"{what}: below {ENERGY:g}, %", 100 * len(reached) / len(u))
        yield Figure(f"{what}: distinct points", distinct(reached))

    return {name: functools.partial(measured, name) for name in makers}


SETTINGS: dict[str, Any] = {"starts": 1024, "units": 128, "scale": 3.0, "steps": 1000, "rounds": 3}
SECTIONS = sections(*SETTINGS.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in SETTINGS.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    options = parser.parse_args()
    show(sections(*(getattr(options, name) for name in SETTINGS)), options.only, rounds=1)


if __name__ == "__main__":
    main()
