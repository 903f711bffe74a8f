r"""Poles of the susceptibility: the resonances of a response, with their decay and their error.

A kernel that is a sum of damped waves has a rational transform,

.. math:: K_{ij}(\tau) = \sum_k c_{ij,k}\, z_k^\tau, \qquad
          \chi_{ij}(\omega) = \sum_k \frac{c_{ij,k}}{1 - z_k e^{-i\omega}},

with poles where :math:`e^{i\omega} = z_k`.  In a linear network they are the eigenvalues of its
matrix.  A pole at the radius r and the angle :math:`\omega_k` is a resonance of
:math:`|\chi|^2` at :math:`\omega_k`, of full width :math:`-2 \ln r` if r is near 1, that answers a
kick for some :math:`-1 / \ln r` steps.  In nonlinear networks they may differ from pair to pair
(Cessac and Sepulchre 2004).

The fit (matrix pencil: Hua and Sarkar 1990; all pairs together: Roy and Kailath 1989).  The matrix

.. math:: H_{a,\,(b, ij)} = K_{ij}(1 + a + b)

has as many singular values beyond its noise as there are waves to be seen, and the space of their
left singular vectors U is that of the columns :math:`(1, z, z^2, \ldots)`: leaving out the first or
the last row differs by a matrix of which the :math:`z_k` are the eigenvalues.  The noise is the
largest singular value that the deviations of single blocks have.  Errors are those of a jackknife
over blocks.
"""

from __future__ import annotations

import dataclasses
import math

import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.blocks import jackknife
from sntorch.analysis.kernels import LinearResponse
from sntorch.results import Result

__all__ = ["Poles", "poles"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Poles(Result):
    """Poles in the upper half plane, the slowest first; conjugates are left out."""

    z: Tensor
    """(P,) complex, in the plane of exp(i omega)."""
    modulus_stderr: Tensor
    """(P,), of abs(z)."""
    angle_stderr: Tensor
    """(P,), of arg z; zero where z is real whichever block is left out."""
    strength: Tensor
    """(P,), norm over pairs of the amplitudes c of the wave, its conjugate included."""
    rank: int
    """Waves that were fitted, conjugates included."""
    singular_values: Tensor
    """Those of the matrix of lags, largest first."""
    noise: float
    """The singular value up to which all may be noise."""
    receiver: int | None
    """The neuron i, or None for all."""
    source: int | None
    """The neuron j, or None for all."""
    dt: float = 1.0
    """Time per step."""

    @property
    def modulus(self) -> Tensor:
        """abs(z) (P,): what is left of the wave after a step."""
        return self.z.abs()

    @property
    def angle(self) -> Tensor:
        """Arg z (P,): frequency of the resonance in [0, pi], radians per step."""
        return self.z.angle().abs()

    @property
    def width(self) -> Tensor:
        """Full width (P,) of the resonance at half power, radians per step, for abs(z) near 1."""
        return -2 * self.modulus.log()

    def scalars(self) -> dict[str, float]:
        """Return how many poles there are, and modulus and angle of the slowest."""
        first = [math.nan, math.nan]
        if len(self.z):
            first = [float(self.modulus[0]), float(self.angle[0])]
        return {"poles": float(len(self.z)), "modulus": first[0], "angle": first[1]}


def poles(
    response: LinearResponse,
    *,
    receiver: int | None = None,
    source: int | None = None,
    rank: int | None = None,
) -> Poles:
    """Return the poles of chi_ij, or those that all pairs have in common.

    Parameters
    ----------
    response
        From `linear_response`, with twice as many lags as poles are expected, and more.
    receiver, source
        The pair i, j; None stands for all neurons.
    rank
        How many waves to fit, conjugates included; by default as many as stand out of the noise.

    Raises
    ------
    ValueError
        On wrong arguments, for fewer than 4 lags, and for a response without its blocks.

    References
    ----------
    Y. Hua, T. K. Sarkar, IEEE Trans. Acoust. Speech Signal Process. 38 (1990) 814.  R. Roy,
    T. Kailath, ibid. 37 (1989) 984.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.6, -0.6], [0.6, 0.6]], dtype=torch.float64)
    >>> u = torch.zeros(4, 2, dtype=torch.float64)
    >>> found = snt.analysis.linear_response(lambda u: u @ M.T, u, lags=20, samples=40)
    >>> poles(found).z  # the eigenvalue of M in the upper half plane
    tensor([0.6000+0.6000j], dtype=torch.complex128)
    """
    checks.instance("response", response, LinearResponse)
    kernel, left_out = response.kernel, response.left_out
    lags, size = len(kernel) - 1, kernel.shape[-1]
    if lags < 4:
        raise ValueError(f"response: expected at least 4 lags, got {lags}")
    if left_out is None:
        raise ValueError(
            "response: expected two blocks of samples or more, and few enough numbers for "
            "`left_out` to be kept; got None"
        )
    chosen = [_chosen("receiver", receiver, size), _chosen("source", source, size)]
    whole = _waves(kernel, *chosen)
    others = [_waves(each, *chosen) for each in left_out]
    H = _hankel(whole)
    U, values, _ = torch.linalg.svd(H, full_matrices=False)
    # What a block adds to the mean is sqrt(B - 1) times smaller than its own deviation.
    scale = (len(others) - 1) ** 0.5
    noise = max(_norm(_hankel(whole - w)) for w in others) * scale
    noise = max(noise, 10 * max(H.shape) * torch.finfo(H.dtype).eps * float(values[0]))
    most = len(H) - 1
    if rank is None:
        rank = min(int((values > noise).sum()), most)
    z = _shift(U, checks.count("rank", rank, low=0, high=most))
    found = torch.stack([_matched(_shift(_left(_hankel(w)), rank), z) for w in others])
    turned = torch.view_as_real(found * z.conj()).flip(-1).unbind(-1)
    angles = jackknife(torch.zeros_like(z.real), torch.atan2(*turned))
    moduli = jackknife(z.abs(), found.abs())
    upper = z.imag >= 0
    order = z.abs().where(upper, -1.0).argsort(descending=True)[: int(upper.sum())]
    return Poles(
        z=z[order],
        modulus_stderr=moduli[order],
        angle_stderr=angles[order],
        strength=_strength(whole, z)[order],
        rank=rank,
        singular_values=values,
        noise=noise,
        receiver=receiver,
        source=source,
        dt=response.dt,
    )


def _chosen(name: str, neuron: int | None, size: int) -> slice:
    if neuron is None:
        return slice(None)
    checks.count(name, neuron, low=0, high=size - 1)
    return slice(neuron, neuron + 1)


def _waves(kernel: Tensor, receivers: slice, sources: slice) -> Tensor:
    """Return K(1), K(2), ... of the chosen pairs (lags, pairs)."""
    return kernel[1:, receivers, sources].flatten(1)


def _hankel(waves: Tensor) -> Tensor:
    """Return H (L, M * pairs), with about as many rows as there are shifts."""
    rows = len(waves) // 2
    return waves.unfold(0, len(waves) - rows, 1)[:rows].flatten(1)


def _norm(H: Tensor) -> float:
    """Return the 2-norm of a matrix with few rows."""
    return float(torch.linalg.matrix_norm(H @ H.mT, 2)) ** 0.5


def _left(H: Tensor) -> Tensor:
    return torch.linalg.svd(H, full_matrices=False).U


def _shift(U: Tensor, rank: int) -> Tensor:
    """Return the eigenvalues (rank,) of the matrix that shifts the first `rank` columns of U."""
    U = U[:, :rank]
    return torch.linalg.eigvals(torch.linalg.lstsq(U[:-1], U[1:]).solution)


def _matched(found: Tensor, z: Tensor) -> Tensor:
    """Return `found` (P,) in the order that is nearest to z."""
    apart = (z.unsqueeze(-1) - found).abs().cpu().numpy()
    return found[torch.as_tensor(scipy.optimize.linear_sum_assignment(apart)[1], device=z.device)]


def _strength(waves: Tensor, z: Tensor) -> Tensor:
    """Return the norms (P,) of the amplitudes that fit the waves best."""
    lag = torch.arange(1, len(waves) + 1, dtype=waves.dtype, device=waves.device)
    powers = z ** lag.unsqueeze(-1)
    amplitudes = torch.linalg.lstsq(powers, waves.to(powers.dtype)).solution
    size = torch.linalg.vector_norm(amplitudes, dim=-1)
    return torch.where(z.imag != 0, 2 * size, size)
