r"""Planted starts: a network and a state of its canonical measure, drawn together.

For x - g J phi(x), J_ij ~ N(0, 1/N) independent, the annealed law exp(-E(x, J)/T) of state and
couplings can be drawn exactly: x_i ~ N(0, T + g^2 q), then h = g J phi(x) given x,

.. math:: h_i \sim N\Big( \frac{v x_i}{v + T}, \frac{vT}{v + T} \Big), \quad v = \frac{g^2}{N}
          |\phi(x)|^2, \qquad J = J_0 \Big( 1 - \frac{\phi \phi^\top}{|\phi|^2} \Big)
          + \frac{h \phi^\top}{g |\phi|^2},

with J_0 a fresh draw.  Where annealed and quenched measures agree, the pair is typical: a chain
from x is in equilibrium at once, where chains from other starts may take too long to get there.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield import equilibrium
from sntorch.results import Result
from sntorch.transfer import Transfer, as_transfer

__all__ = ["Planted", "planted"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Planted(Result):
    """Couplings and a state drawn together."""

    coupling: Tensor
    """(N, N), g J: the couplings of ``AmariWilsonCowan(planted.coupling)``."""
    state: Tensor
    """(N,), x."""
    overlap: Tensor
    """(), q of the theory, which |phi(x)|^2 / N approaches."""
    gain: float
    """g."""
    temperature: float
    """T."""


def planted(
    n: int,
    *,
    gain: float,
    temperature: float,
    transfer: str | Transfer = "tanh",
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Planted:
    """Return a random network with a state of its canonical measure at a temperature.

    Parameters
    ----------
    n
        N, at least 2.
    gain, temperature, transfer
        As for `meanfield.equilibrium`, without symmetry.
    generator, dtype, device
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, and where the theory has no solution.

    Examples
    --------
    >>> import sntorch as snt
    >>> start = snt.landscape.planted(100, gain=1.5, temperature=0.1)
    >>> flow = snt.systems.AmariWilsonCowan(start.coupling)
    >>> energy = snt.landscape.SpeedPotential(flow)(start.state) / 100
    >>> bool((energy - 0.05).abs() < 0.05)  # T / 2
    True
    """
    checks.count("n", n, low=2)
    g, T = checks.positive("gain", gain), checks.positive("temperature", temperature)
    phi, theory = as_transfer(transfer), equilibrium(gain=g, temperature=T, transfer=transfer)
    if not bool(theory.converged):
        raise ValueError(f"gain: expected one with a replica-symmetric solution, got {gain}")
    like = {"dtype": dtype, "device": device, "generator": generator}
    q = float(theory.overlap)
    x = torch.randn(n, **like) * (T + g**2 * q) ** 0.5
    J = torch.randn(n, n, **like) / n**0.5
    f = phi(x)
    power = f.square().sum()
    v = g**2 * power / n
    h = x * v / (v + T) + (v * T / (v + T)).sqrt() * torch.randn(n, **like)
    J = g * J + torch.outer(h - g * (J @ f), f) / power
    return Planted(coupling=J, state=x, overlap=theory.overlap.to(x), gain=g, temperature=T)
