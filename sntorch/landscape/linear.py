r"""Linear networks with noise: covariance, flux and entropy production in closed form.

The flow :math:`du = A u\,dt + \sqrt{2D}\,dW` and the map :math:`u' = M u + \sigma B` with
:math:`S = \sigma\sigma^T` have Gaussian steady states N(0, C).  With A = M - 1 for the map:

======================  ==================================  =====================================
quantity                flow, per unit of time              map, per step
======================  ==================================  =====================================
covariance C            :math:`A C + C A^T + 2 D = 0`       :math:`C = M C M^T + S`
circulation R           :math:`(A C - C A^T) / 2`           :math:`(M C - C M^T) / 2`
force K                 :math:`D^{-1} R`                    :math:`2 S^{-1} R`
velocity ``J(y)/P(y)``  :math:`R\,C^{-1} y`                 :math:`R\,\mathrm{Cov}(y)^{-1} y`
area rate [i, j]        R[j, i]                             R[j, i]
entropy production      :math:`\sum_{ij} A_{ij} K_{ij}`     :math:`\sum_{ij} A_{ij} K_{ij}`
======================  ==================================  =====================================

The velocity of a map is that of its steps, y their midpoint: the flux that `flux_field` measures.
R vanishes exactly under detailed balance.  The term A_ij K_ij is what the synapse from j to i
contributes, and its sum over j what neuron i delivers to its own noise: a neuron may take up what
another delivers, so that shares of synapses and neurons can be negative while the sum cannot.

A flow watched at intervals dt is the map M = exp(A dt), which shows less entropy production per
unit of time than there is; the Euler map 1 + A dt shows more, or has no steady state at all.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Diffusion, checked_diffusion
from sntorch.results import Result, time_unit
from sntorch.systems.covariances import steady_covariance

__all__ = ["LinearSteadyState", "diffusion_matrix", "linear_flow", "linear_map"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LinearSteadyState(Result):
    """The steady state of a linear network, exactly."""

    covariance: Tensor
    """(N, N), C."""
    areas: Tensor
    """(N, N), antisymmetric, area per unit of time; [i, j] > 0 turns from neuron i to neuron j."""
    velocity: Tensor
    """(N, N), J(y) / P(y) = velocity @ y."""
    entropy_production: Tensor
    """(), nats per unit of time; NaN where the noise does not reach every direction."""
    synapses: Tensor
    """(N, N), [i, j] what the synapse from j to i contributes to it; the diagonal is the leak's."""
    dt: float = 1.0
    """Time per step of a map; of a flow 0."""

    @property
    def neurons(self) -> Tensor:
        """What every neuron (N,) delivers to its noise; the sum is the entropy production."""
        return self.synapses.sum(-1)

    @property
    def per_neuron(self) -> Tensor:
        """Entropy production () divided by N."""
        return self.entropy_production / len(self.covariance)

    @property
    def unit(self) -> str:
        """The unit of the entropy production."""
        return f"nats per {time_unit(self.dt)}"

    def scalars(self) -> dict[str, float]:
        """Return entropy production, per neuron too, total variance and norm of the areas."""
        return {
            "entropy_production": float(self.entropy_production),
            "entropy_production_per_neuron": float(self.per_neuron),
            "variance": float(self.covariance.trace()),
            "area_norm": float(self.areas.norm()),
        }


def linear_flow(A: Tensor, diffusion: Diffusion = 1.0) -> LinearSteadyState:
    """Return the steady state of du = A u dt + sqrt(2 D) dW.

    Parameters
    ----------
    A
        Drift matrix (N, N), all eigenvalues with negative real part.
    diffusion
        D, scalar, (N,) or (N, N).

    Raises
    ------
    ValueError
        On wrong arguments, a matrix without steady state among them, and without any noise.

    References
    ----------
    C. Godreche, J.-M. Luck, J. Phys. A 52 (2019) 035002, for flux and entropy production.

    Examples
    --------
    >>> A = torch.tensor([[-1.0, 2.0], [-0.5, -1.0]], dtype=torch.float64)
    >>> round(float(linear_flow(A).entropy_production), 10)  # (a - b)^2 / 2
    3.125
    """
    n = _square("A", A)
    D = diffusion_matrix("diffusion", checked_diffusion(diffusion, n), n)
    exact = A.detach().double().cpu()
    C = steady_covariance(exact, 2 * D)
    if C is None:
        slowest = float(torch.linalg.eigvals(exact).real.max())
        raise ValueError(f"A: expected eigenvalues with real parts < 0, got {slowest:.4g}")
    R = (exact @ C - C @ exact.T) / 2
    return _steady_state(exact, C, R, C, D, 1.0, 0.0, A)


def linear_map(M: Tensor, noise: float | Tensor = 1.0, *, dt: float = 1.0) -> LinearSteadyState:
    """Return the steady state of u' = M u + sigma B.

    Parameters
    ----------
    M
        (N, N), all eigenvalues inside the unit circle.
    noise
        sigma, standard deviation per step: scalar, (N,), or (N, N).
    dt
        Time per step: rates are per unit of time.

    Raises
    ------
    ValueError
        On wrong arguments, a matrix without steady state among them, and without any noise.

    Examples
    --------
    >>> M = 0.9 * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    >>> steady = linear_map(M)
    >>> round(float(steady.areas[0, 1]), 6), round(float(steady.entropy_production), 6)
    (4.736842, 17.052632)
    """
    n = _square("M", M)
    dt = checks.positive("dt", dt)
    sigma = torch.as_tensor(noise, dtype=torch.float64, device="cpu").detach()
    if sigma.shape not in ((), (n,), (n, n)):
        raise ValueError(f"noise: expected a number, ({n},) or ({n}, {n}), got {(*sigma.shape,)}")
    checks.finite("noise", sigma)
    S = diffusion_matrix("noise", sigma @ sigma.T if sigma.ndim == 2 else sigma.square(), n)
    exact = M.detach().double().cpu()
    eye = torch.eye(n).to(exact)
    A = exact - eye
    # The flow (M - 1) (M + 1)^-1 has the same covariance: Cayley's transform.
    inverse = torch.linalg.inv_ex(exact + eye).inverse
    C = steady_covariance(A @ inverse, 2 * inverse @ S @ inverse.T)
    if C is None:
        largest = float(torch.linalg.eigvals(exact).abs().max())
        raise ValueError(f"M: expected eigenvalues inside the unit circle, got {largest:.4g}")
    C1 = exact @ C
    middle = (2 * C + C1 + C1.T) / 4
    return _steady_state(A, C, (C1 - C1.T) / 2, middle, S / 2, dt, dt, M)


def diffusion_matrix(name: str, D: Diffusion, n: int) -> Tensor:
    """Return a diffusion as a matrix (n, n) in float64 on the CPU.

    Raises
    ------
    ValueError
        If it is zero: without noise there is no density.
    """
    D = torch.as_tensor(D, dtype=torch.float64, device="cpu").detach()
    if not bool((D != 0).any()):
        raise ValueError(f"{name}: expected noise, without which there is no density; got 0")
    return D if D.ndim == 2 else torch.diag(D.expand(n))


def _steady_state(
    A: Tensor, C: Tensor, R: Tensor, middle: Tensor, D: Tensor, step: float, dt: float, like: Tensor
) -> LinearSteadyState:
    reached = int(torch.linalg.matrix_rank(D, hermitian=True)) == len(D)
    K = torch.linalg.solve(D, R) if reached else torch.full_like(R, torch.nan)
    synapses = A * K / step
    turning = torch.linalg.lstsq(middle, R.T).solution.T  # R middle^-1 where it has an inverse
    return LinearSteadyState(
        covariance=C.to(like),
        areas=R.T.to(like) / step,
        velocity=turning.to(like) / step,
        entropy_production=synapses.sum().to(like),
        synapses=synapses.to(like),
        dt=dt,
    )


def _square(name: str, value: Tensor) -> int:
    checks.matrix(name, value)
    if value.shape[0] != value.shape[1]:
        raise ValueError(f"{name}: expected a square matrix (N, N), got {tuple(value.shape)}")
    return len(value)
