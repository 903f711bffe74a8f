r"""How error and cost of a learned potential grow with the number of neurons.

.. math:: du = (-u + J f(u))\,dt + \sqrt{2D}\,dW, \qquad J_{ij} \sim N(0, g^2 / N)

once linear, f(u) = u with g = 0.5, and once with f = tanh and g = 1.5, beyond the onset of chaos.
A potential is fitted to M states of the steady state and judged at M others.  First the quadratic
with the least EPR loss (`NeuralPotential.start`), then the network upon it, by Adam, until the loss
on an eighth of the states of training, which neither is fitted to, has not been lower for twelve
looks, ten steps apart; the potential is the one at the lowest.

The entropy production is known: for linear networks from the Lyapunov equation, for the others from

.. math:: \dot e = \langle F \cdot D^{-1} F + \nabla \cdot F \rangle,

which needs no potential, averaged over the test states.  The EPR loss comes out low on the states
of training and high on those of the test; how far they are apart is the price of too few states: a
quadratic has N(N + 1)/2 numbers.  Of linear networks V itself is known, too.

The cost is the CPU time of one gradient step, median of all, beside one pass forward and back of
the potential alone on the same batch.

The default takes N = 16, 64 and 256 in about 40 seconds of CPU time.  With 512, ``sizes: [16, 64,
256, 512]``, it is two minutes: 8192 states bracket the entropy production of the linear network by
-3.2 and +3.3 %, at 72 ms a step.  Where the quadratic is the truth the network upon it never makes
it better and is left out by the early stop; of tanh networks of 64 and more, 8192 states are too
few to tell it much.  The full setting is ``samples: 65536, steps: 4000`` besides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.couplings import gaussian
from sntorch.flows import Flow
from sntorch.landscape import NeuralPotential, epr_loss, linear_flow
from sntorch.landscape.velocity import divergence
from sntorch.streams import seeded
from sntorch.studies.potential_growth import PotentialDimension
from sntorch.systems import AmariWilsonCowan, OrnsteinUhlenbeck
from sntorch.training.lowering import Best, lower
from sntorch.training.walkers import Walkers

__all__ = ["KINDS", "run"]

KINDS = ("linear", "tanh")
_GAIN = {"linear": 0.5, "tanh": 1.5}
_DIFFUSION = {"linear": 1.0, "tanh": 0.2}
_DT, _BURN_IN = 0.02, 20.0  # of the walkers of nonlinear networks
_TIMES, _APART = 16, 1.0  # how often, and how far apart in time, a walker is looked at
_PART = 4096  # states that are looked at at once
_KEPT = 8  # one of so many states of training decides when to stop
_EVERY, _PATIENCE = 10, 12  # gradient steps between two looks, and looks without a better one


def run(
    *,
    sizes: Sequence[int] = (16, 64, 256),
    kinds: Sequence[str] = KINDS,
    samples: int = 8192,
    steps: int = 400,
    batch: int = 1024,
    hidden: Sequence[int] = (128,),
    lr: float = 0.01,
    seed: int = 0,
) -> Iterator[PotentialDimension]:
    """Yield the study with one fit more each time.

    Parameters
    ----------
    sizes
        Numbers of neurons.
    kinds
        Of networks: ``linear``, ``tanh``.
    samples
        M, states of training, and as many of the test; a multiple of 16, as often as a walker of a
        nonlinear network is looked at.
    steps, batch, lr
        Gradient steps at most, states of each, and Adam's rate, which falls to 0 like a cosine.
    hidden
        Widths of the network.
    seed
        Of couplings, states and weights.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024) nwae052.

    Examples
    --------
    >>> *_, found = run(sizes=[8], kinds=["linear"], samples=4096, steps=5)
    >>> bool(found.excess.abs().max() < 0.1)
    True
    """
    if not sizes or not kinds:
        raise ValueError("sizes, kinds: expected at least one of each, got none")
    for n in sizes:
        checks.count("sizes", n, low=2)
    for kind in kinds:
        checks.one_of("kinds", kind, KINDS)
    checks.count("samples", samples, low=max(16 * _TIMES, 2 * max(sizes)))
    if samples % _TIMES:
        raise ValueError(f"samples: expected a multiple of {_TIMES}, got {samples}")
    checks.count("steps", steps)
    checks.count("batch", batch, high=samples)
    checks.positive("lr", lr)
    checks.count("seed", seed, low=0, high=999)
    plan = [(kind, n) for kind in kinds for n in sizes]
    rows: dict[str, list[Any]] = {}
    for i, (kind, n) in enumerate(plan):
        stream = seeded(seed)
        flow, exact, states, truth = _network(kind, n, samples, stream)
        kept, fitted = states[0, ::_KEPT], states[0, torch.arange(samples) % _KEPT > 0]
        halves = (fitted, states[1])
        V = NeuralPotential(n, hidden, generator=stream).start(flow, fitted)
        row: dict[str, Any] = {"start": _losses(flow, V, halves)}
        before = _error(V, truth, states[1], flow)
        row |= _trained(flow, V, fitted, kept, steps, batch, lr, stream)
        row |= {"learned": _losses(flow, V, halves), "sizes": torch.tensor(n)}
        row["error"] = torch.stack([before, _error(V, truth, states[1], flow)])
        row |= exact
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
        yield PotentialDimension(
            kinds=tuple(kind for kind, _ in plan[: i + 1]),
            **{name: torch.stack(each) for name, each in rows.items()},
            samples=samples,
            steps=steps,
            batch=batch,
            planned=len(plan),
        )


def _network(
    kind: str, n: int, samples: int, stream: torch.Generator
) -> tuple[Flow, dict[str, Tensor], Tensor, Any]:
    """Return a flow, its entropy production, states (2, M, N), and V if it is known."""
    J = gaussian(n, std=_GAIN[kind], generator=stream, dtype=torch.float64)
    D = _DIFFUSION[kind]
    if kind == "linear":
        A = J - torch.eye(n, dtype=torch.float64)
        steady = linear_flow(A, D)
        z = torch.randn(2, samples, n, generator=stream, dtype=torch.float64)
        states = (z @ torch.linalg.cholesky(steady.covariance).T).float()
        K = (D * torch.linalg.inv(steady.covariance)).float()
        exact = {"exact": steady.entropy_production, "exact_stderr": torch.tensor(0.0).double()}
        flow = OrnsteinUhlenbeck(A.float(), diffusion=D)
        return flow, exact, states, lambda u: (u @ K * u).sum(-1) / 2
    flow = AmariWilsonCowan(J.float(), diffusion=D, trainable=())
    begin = torch.randn(2 * samples // _TIMES, n, generator=stream)
    walkers = Walkers(flow, begin, dt=_DT)
    walkers.advance(round(_BURN_IN / _DT))
    seen = []
    for _ in range(_TIMES):
        walkers.advance(round(_APART / _DT))
        seen.append(walkers.states)
    halves = torch.stack(seen).chunk(2, 1)  # other walkers for the test
    value, error = _known(flow, halves[1], D, stream)
    states = torch.stack([half.reshape(-1, n) for half in halves])
    return flow, {"exact": value, "exact_stderr": error}, states, None


def _known(flow: Flow, u: Tensor, D: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return <F . D^-1 F + div F> over the states u (T, M, N), and its standard error."""
    with torch.no_grad():
        found = torch.stack([
            flow.drift(part).square().sum(-1) / D
            + divergence(flow, part, probes=4, generator=stream)
            for part in u
        ]).double().mean(0)  # fmt: skip
    return found.mean(), found.std() / len(found) ** 0.5


def _losses(flow: Flow, V: NeuralPotential, states: tuple[Tensor, Tensor]) -> Tensor:
    """Return the EPR loss at the states of training and of the test (2,)."""
    return torch.stack([_mean_loss(flow, V, half) for half in states])


def _mean_loss(flow: Flow, V: NeuralPotential, u: Tensor) -> Tensor:
    """Return the EPR loss () at states u (M, N), part by part."""
    with torch.no_grad():
        sums = [epr_loss(flow, V, part).double() * len(part) for part in u.split(_PART)]
    return torch.stack(sums).sum() / len(u)


def _error(V: NeuralPotential, truth: Any, u: Tensor, flow: Flow) -> Tensor:
    """Return the relative error of V () at states u, without its free constant; NaN if unknown."""
    if truth is None:
        return torch.tensor(torch.nan, dtype=torch.float64)
    with torch.no_grad():
        value, known = V.energy(u).double(), truth(u).double()
    off = (value - known) - (value - known).mean()
    return off.square().mean().sqrt() / (known - known.mean()).square().mean().sqrt()


def _trained(
    flow: Flow, V: NeuralPotential, u: Tensor, kept: Tensor, steps: int, batch: int, lr: float,
    stream: torch.Generator,
) -> dict[str, Tensor]:  # fmt: skip
    """Train V on states u until it is best on those kept; return what a step took, and a pass."""
    took, alone = [], []
    chosen = u[:batch]
    best = Best(V, lambda: float(_mean_loss(flow, V, kept)), _PATIENCE)

    def loss() -> Tensor:
        nonlocal chosen
        chosen = u[torch.randint(len(u), (batch,), generator=stream)]
        return epr_loss(flow, V, chosen)

    began = time.process_time()
    for i in lower(loss, V.parameters(), steps, lr):
        took.append(time.process_time() - began)
        if i % _EVERY == _EVERY - 1:  # interleaved, so that a busy machine is as busy for both
            began = time.process_time()
            torch.autograd.grad(V.energy(chosen).sum(), list(V.parameters()))
            alone.append(time.process_time() - began)
            if best.passed():
                break
        began = time.process_time()
    best.restore()
    all_steps = torch.tensor(took, dtype=torch.float64)
    passes = torch.tensor(alone or [torch.nan], dtype=torch.float64)
    return {"step_seconds": all_steps.median(), "pass_seconds": passes.median(),
            "seconds": all_steps.sum(), "taken": torch.tensor(len(took))}  # fmt: skip
