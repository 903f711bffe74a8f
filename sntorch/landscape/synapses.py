r"""Irreversibility per synapse: which couplings drive a network out of equilibrium.

In the steady state of the noisy SNT network, with :math:`f_j = \phi(g_j u_j)`, only the synapses
produce entropy.  By the formula of `sntorch.landscape.entropy` that from j to i contributes

.. math:: e_{ij} = J_{ij} \big\langle (S^{-1}\delta)_i\,(f_j + f'_j) \big\rangle
                 = \frac{J_{ij}}{\sigma_i^2}
                   \big\langle u'_i f_j - u_i f'_j \big\rangle,
          \qquad \sum_{ij} e_{ij} = e,

delta the step, primes the next state, the second form for independent noise: a synapse counts by
how much the rate before it leads the state after it.  The sum over i and j is exact, since leak,
thresholds and a constant input give differences of functions of u_i, which have mean zero (with
correlated noise and unequal leaks what they give is the `rest`).  Terms may be negative.
"""

from __future__ import annotations

import dataclasses

import torch
from numpy.typing import NDArray
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings import Coupling
from sntorch.dynamics import Dynamics, enter
from sntorch.flows import EulerMaruyama
from sntorch.landscape.groups import mean_and_error, pooled
from sntorch.landscape.ratios import reaches_everywhere, weighted
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result, time_unit
from sntorch.systems import AmariWilsonCowan

__all__ = ["SynapticEntropy", "synaptic_entropy"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SynapticEntropy(Result):
    """What every synapse contributes to the entropy production."""

    value: Tensor
    """(N, N), [i, j] from j to i, in `unit`; zero where there is no synapse."""
    stderr: Tensor
    """(N, N), from the spread over rows and blocks."""
    rest: Tensor
    """(N,), what leaks and thresholds contribute: zero within its error for independent noise."""
    rest_stderr: Tensor
    """(N,)."""
    noise: float
    """Standard deviation per step, root mean square over neurons."""
    dt: float
    """Time per step."""

    @property
    def neurons(self) -> Tensor:
        """What every neuron delivers to its noise (N,)."""
        return self.value.sum(-1) + self.rest

    @property
    def total(self) -> Tensor:
        """The entropy production ()."""
        return self.neurons.sum()

    @property
    def unit(self) -> str:
        """The unit of `value`."""
        return f"nats per {time_unit(self.dt)}"

    def scalars(self) -> dict[str, float]:
        """Return the total, and which part of all contributions the largest tenth makes up."""
        sizes = self.value.abs().flatten().sort(descending=True).values
        tenth = sizes[: max(1, len(sizes) // 10)].sum() / sizes.sum()
        return {"entropy_production": float(self.total), "largest_tenth": float(tenth)}


def synaptic_entropy(
    f: object, trajectory: Tensor | NDArray, *, x: Tensor | None = None
) -> SynapticEntropy:
    """Return the entropy production of every synapse from an orbit in the steady state.

    Parameters
    ----------
    f
        An SNT network, or `EulerMaruyama` of `AmariWilsonCowan`, with noise on every neuron.
    trajectory
        Successive states (T, ..., N), with every=1.
    x
        The constant drive (I,).

    Raises
    ------
    ValueError
        On wrong arguments, and where the noise is zero on some neuron.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.SNTCell(snt.couplings.gaussian(20, dtype=torch.float64), noise=0.5)
    >>> u = torch.zeros(32, 20, dtype=torch.float64)
    >>> orbit = snt.rollout(f, u, 300, generator=torch.Generator()).detach()[50:]
    >>> found = synaptic_entropy(f, orbit)
    >>> exact = snt.landscape.entropy_production(f, orbit).value.mean()
    >>> bool((found.total - exact).abs() < 0.01 * exact)
    True
    """
    trajectory = checks.recorded("trajectory", trajectory)
    checks.count("len(trajectory)", trajectory.shape[0], low=4)
    f, x = enter(f, trajectory, x=x)
    if x is not None and x.ndim != 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    cell, scale = _cell_of(f)
    with observing(f, trajectory):
        sigma = noise_of(f, trajectory)
        if sigma is None or not reaches_everywhere(sigma):
            raise ValueError("noise: expected > 0 on every neuron, got 0 on some")
        J = cell.coupling.to_dense() if isinstance(cell.coupling, Coupling) else cell.coupling
        J = scale * J.detach()
        alone = _alone(f, cell, x, J)
        parts = [_moments(cell, bundle, sigma, alone) for bundle in pooled(trajectory)]
    value, stderr = mean_and_error(torch.stack([J * K for K, _ in parts]) / f.dt)
    rest, rest_stderr = mean_and_error(torch.stack([rest for _, rest in parts]) / f.dt)
    spread = sigma.square().sum(-1) if sigma.ndim == 2 else sigma.square()
    return SynapticEntropy(
        value=value,
        stderr=stderr,
        rest=rest,
        rest_stderr=rest_stderr,
        noise=float(spread.mean().sqrt()),
        dt=f.dt,
    )


def _cell_of(f: Dynamics) -> tuple[SNTCell, float]:
    """Return the cell whose couplings these are, and by what they are multiplied in a step."""
    if isinstance(f, SNTCell):
        return f, 1.0
    if isinstance(f, EulerMaruyama) and isinstance(f.flow, AmariWilsonCowan):
        return f.flow.cell, f.dt
    raise ValueError(
        f"f: expected an SNT network or EulerMaruyama of AmariWilsonCowan, got {type(f).__name__}"
    )


def _alone(f: Dynamics, cell: SNTCell, x: Tensor | None, J: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and offset (N,) of the step that a neuron makes without synapses."""
    u = torch.stack([torch.zeros_like(J[0]), torch.ones_like(J[0])])
    at_zero, at_one = f.map(u, x) - u - cell.rate(u) @ J.T
    return at_one - at_zero, at_zero


def _moments(
    cell: SNTCell, bundle: list[Tensor], sigma: Tensor, alone: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return <(S^-1 delta)_i (f_j + f'_j)> (N, N) and what else the drift contributes (N,)."""
    slope, offset = alone
    K, rest = slope.new_zeros(len(slope), len(slope)), torch.zeros_like(slope)
    for u in bundle:
        rates, both = cell.rate(u), u[1:] + u[:-1]
        pulled = weighted(u.diff(dim=0), sigma)
        K += pulled.T @ (rates[1:] + rates[:-1])
        rest += slope * (pulled * both).sum(0) + 2 * offset * pulled.sum(0)
    count = sum(len(u) - 1 for u in bundle)
    return K / count, rest / count
