r"""Finite-time Lyapunov exponents: how unevenly an orbit stretches.

Over windows of w steps the rates of `sntorch.analysis.lyapunov` fluctuate around the exponents,

.. math:: \Lambda_i = \frac{1}{w\,dt} \sum_{t \in \mathrm{window}} \ln |R_{ii}(t)|, \qquad
          \langle \Lambda_i \rangle = \lambda_i, \qquad
          \mathrm{var}\, \Lambda_i \approx \frac{D_i}{w\,dt},

with a diffusion coefficient D that does not depend on w once windows are longer than the memory of
the orbit; then the distribution is Gaussian near its centre (Fujisaka 1983; Kuptsov and Politi
2011).  Compare D at two windows: where they differ, w is too short.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.tangents import Interval, TangentWalk
from sntorch.dynamics import enter
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean, over_rows

__all__ = ["FiniteTimeExponents", "finite_time_exponents"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FiniteTimeExponents(Result):
    """The k largest exponents of every window, in nats per unit of time."""

    values: Tensor
    """(W, ..., k), window after window; columns in the order of their means, largest first."""
    window: int
    """Steps per window, w."""
    dt: float = 1.0
    """Time per step."""

    @property
    def mean(self) -> Tensor:
        """Exponents (..., k)."""
        return self._mean[0]

    @property
    def stderr(self) -> Tensor:
        """Standard error (..., k) of `mean`, by averaging over blocks of windows."""
        return self._mean[1]

    @property
    def variance(self) -> Tensor:
        """Variance (..., k) over the windows; NaN where there is only one."""
        if len(self.values) < 2:
            return torch.full_like(self.values[0], torch.nan)
        return self.values.var(0)

    @property
    def diffusion(self) -> Tensor:
        """D (..., k): `variance` times the time of a window, in nats squared per unit of time."""
        return self.variance * (self.window * self.dt)

    @property
    def diffusion_stderr(self) -> Tensor:
        """Standard error (..., k) of `diffusion`, for Gaussian and independent windows."""
        return self.diffusion * (2 / max(len(self.values) - 1, 1)) ** 0.5

    @property
    def _mean(self) -> tuple[Tensor, Tensor]:
        blocks = block_lengths(len(self.values))
        means = torch.stack([part.mean(0) for part in self.values.split(blocks)])
        return block_mean(means, blocks)

    def scalars(self) -> dict[str, float]:
        """Return the largest exponent and its diffusion coefficient, with standard errors."""
        mean, error = over_rows(self.mean, self.stderr, axes=1)
        D, D_error = over_rows(self.diffusion, self.diffusion_stderr, axes=1)
        return {
            "max": float(mean[0]),
            "max_stderr": float(error[0]),
            "diffusion": float(D[0]),
            "diffusion_stderr": float(D_error[0]),
        }


def finite_time_exponents(
    f: object,
    u: Tensor,
    steps: int,
    *,
    window: int,
    k: int = 1,
    transient: int = 0,
    x: Tensor | None = None,
    interval: int | str = "auto",
    generator: torch.Generator | None = None,
) -> FiniteTimeExponents:
    """Return the k largest exponents of f in every window of the orbits from u.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise acts on the orbit.
    u
        Initial states (..., N).
    steps
        Steps that are measured: steps // window windows; what is left over is not walked.
    window
        Steps per window, w, at most `steps`.
    k
        How many exponents.
    transient
        Steps of state and frame before the measurement.
    x
        Constant drive (I,) or one per step (transient + steps, ..., I).
    interval
        Steps between two QRs, as in `lyapunov_spectrum`; windows end with one in any case.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers: the step is named.

    References
    ----------
    H. Fujisaka, Prog. Theor. Phys. 70 (1983) 1264; P. V. Kuptsov, A. Politi, Phys. Rev. Lett. 107
    (2011) 114101.

    Examples
    --------
    >>> import sntorch as snt
    >>> logistic = lambda u: 4 * u * (1 - u)
    >>> u = torch.tensor([0.3], dtype=torch.float64)
    >>> snt.analysis.finite_time_exponents(logistic, u, 400, window=20).values.shape
    torch.Size([20, 1])
    """
    transient = checks.count("transient", transient, low=0)
    f, x = enter(f, u, transient + checks.count("steps", steps), x)
    checks.count("window", window, high=steps)
    k = checks.count("k", k, high=u.shape[-1])
    checks.generator(generator, u.device)
    with observing(f, u):
        walk = TangentWalk(f, u.clone(), k, x, generator, Interval(interval, u.dtype))
        walk.skip(transient)
        grown = [walk.advance(window)[0] for _ in range(steps // window)]
        values = torch.stack(grown) / (window * f.dt)
        order = values.mean(0).argsort(-1, descending=True)
        values = values.gather(-1, order.expand_as(values))
    walk.interval.warn(k, u.dtype, stacklevel=2)
    return FiniteTimeExponents(values=values, window=window, dt=f.dt)
