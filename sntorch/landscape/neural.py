r"""Potentials that learn: a network upon a quadratic, and the energy of a symmetric network.

.. math:: V(u) = \tfrac12 |L^\top (u - m)|^2 + a\, w \cdot h_\ell, \qquad
          h_i = \tanh(W_i h_{i-1} + b_i), \qquad h_0 = S (u - m)

=======  ==============================================================  =========
symbol   meaning                                                         shape
=======  ==============================================================  =========
``m``    ``centre``, mean of the states that it was started from         (N,)
``L``    lower triangular, its diagonal the exponential of a parameter   (N, N)
``S``    ``frame``: S (u - m) has unit covariance                        (N, N)
``a``    ``amplitude``, unit of the network's output                     number
=======  ==============================================================  =========

The network is bounded and L invertible whatever the parameters are: V grows quadratically, and
exp(-V / Db) has a finite integral.  With w = 0, the start, V is the Gaussian of L alone.

The gradient is a pass forward and one back, written out, so that a loss of the gradient is
differentiated once and not twice.  Second derivatives along K directions go forward with the
values: for h = tanh(z) and a direction d,
:math:`d^2 h = h'\,d^2 z + h''\,(d z)^2`, at K + 2 times the cost of V, exact
for the N unit vectors.

`NetworkPotential` has the form of the energy of a graded network, without a quadratic,

.. math:: V(u) = -\tfrac12 f^\top S f + \sum_i a_i \Big(u_i f_i - \int_0^{u_i} f\Big) + b \cdot f,
          \qquad f = \phi(g u),

with S symmetric and a > 0: the Hopfield energy is one of its values.  For a bounded phi it is
bounded too: it does not confine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.dynamics import Dynamics, noise_of
from sntorch.flows import Flow, as_flow
from sntorch.landscape.metric import Metric, map_noise, metric_of
from sntorch.landscape.potentials import Potential
from sntorch.transfer import Transfer, as_transfer

__all__ = ["NetworkPotential", "NeuralPotential", "gaussian_start"]

_SMALLEST = 1e-6  # of the largest, below which curvatures and variances are raised at the start


@final
class NeuralPotential(Potential):
    """A bounded network on top of a quadratic: a potential that can become any, and always grows.

    Parameters
    ----------
    size
        N.
    hidden
        Width of every hidden layer.
    generator
        Source of the weights; None is torch's global generator.
    dtype, device
        Of the parameters.

    Raises
    ------
    ValueError
        On wrong arguments.

    References
    ----------
    Y. Zhao, W. Zhang, T. Li, Natl. Sci. Rev. 11 (2024), for potentials that a network learns; B.
    Lin, Q. Li, W. Ren, arXiv:2012.09111, for the quadratic that makes it grow.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.OrnsteinUhlenbeck(-2 * torch.eye(2), diffusion=1.0)
    >>> states = torch.randn(4000, 2, generator=torch.Generator()) / 2**0.5
    >>> potential = snt.landscape.NeuralPotential(2, (16,)).start(flow, states)
    >>> u = torch.ones(2)
    >>> potential.gradient(u).detach().round()  # V = |u|^2: the start is exact for linear flows
    tensor([2., 2.])
    """

    centre: Tensor
    frame: Tensor
    amplitude: Tensor

    def __init__(
        self,
        size: int,
        hidden: Sequence[int] = (64, 64),
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.size = checks.count("size", size)
        widths = [checks.count("hidden", width) for width in hidden]
        if not widths:
            raise ValueError("hidden: expected at least one width, got none")
        kind: dict[str, Any] = {"dtype": dtype, "device": device}
        for name, value in (("centre", torch.zeros(size, **kind)),
                            ("frame", torch.eye(size, **kind)),
                            ("amplitude", torch.ones((), **kind))):  # fmt: skip
            self.register_buffer(name, value)
        self.log_diagonal = nn.Parameter(torch.zeros(size, **kind))
        self.below = nn.Parameter(torch.zeros(size, size, **kind))
        pairs = list(itertools.pairwise([size, *widths]))
        draw = {"generator": generator, **kind}
        self.weights = nn.ParameterList(
            [torch.randn(m, n, **draw) / math.sqrt(n) for n, m in pairs]
        )
        self.biases = nn.ParameterList([torch.randn(m, **draw) for _, m in pairs])
        self.readout = nn.Parameter(torch.zeros(widths[-1], **kind))

    @property
    def factor(self) -> Tensor:
        """L (N, N), invertible."""
        return self.below.tril(-1) + torch.diag(self.log_diagonal.exp())

    @torch.no_grad()
    def start(self, f: object, states: Tensor, x: Tensor | None = None) -> Self:
        """Begin with the Gaussian solution of a flow or map at `states` (..., N); return V.

        For a flow L is that of the quadratic with the least EPR loss at the states, exact for a
        linear one up to their scatter; for a map, and without noise, exp(-V / Db) is the Gaussian
        with their covariance.  The network's output begins at 0.

        Raises
        ------
        ValueError
            If there are fewer states than N + 2, or noise in some directions only.
        """
        mean, covariance, K, height = gaussian_start(f, self.check(states), x)
        values, vectors = torch.linalg.eigh(_raised(covariance))
        self.centre.copy_(mean)
        self.frame.copy_(vectors @ torch.diag(values.rsqrt()) @ vectors.mT)
        L = torch.linalg.cholesky(K)
        self.below.copy_(L.tril(-1))
        self.log_diagonal.copy_(L.diagonal().log())
        self.readout.zero_()
        self.amplitude.fill_(height)
        return self

    def energy(self, u: Tensor) -> Tensor:
        """Return V (...) at u (..., N)."""
        away = u - self.centre
        h = away @ self.frame.mT
        for W, b in zip(self.weights, self.biases, strict=True):
            h = torch.tanh(nn.functional.linear(h, W, b))
        return (away @ self.factor).square().sum(-1) / 2 + self.amplitude * (h @ self.readout)

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return V (...) and grad V (..., N), both differentiable once more."""
        away, L = u - self.centre, self.factor
        stretched = away @ L
        h, layers = away @ self.frame.mT, []
        for W, b in zip(self.weights, self.biases, strict=True):
            h = torch.tanh(nn.functional.linear(h, W, b))
            layers.append((W, h))
        value = stretched.square().sum(-1) / 2 + self.amplitude * (h @ self.readout)
        back = (self.amplitude * self.readout).expand_as(h)
        for W, h in reversed(layers):
            back = (back - back * h.square()) @ W
        return value, stretched @ L.mT + back @ self.frame

    def curvature(self, u: Tensor, directions: Tensor) -> Tensor:
        """Return the sum over k of d_k . grad grad V d_k (...), see `Potential.curvature`."""
        K, n = directions.shape[0], u.shape[-1]
        if directions.ndim == 2:
            directions = directions.reshape(K, *[1] * (u.ndim - 1), n)
        quadratic = (directions @ self.factor).square().sum((0, -1))
        h = (u - self.centre) @ self.frame.mT
        first = directions @ self.frame.mT
        second = torch.zeros_like(h)
        for W, b in zip(self.weights, self.biases, strict=True):
            z, dz, ddz = nn.functional.linear(h, W, b), first @ W.mT, second @ W.mT
            h = torch.tanh(z)
            slope = 1 - h.square()
            second = slope * (ddz - 2 * h * dz.square().sum(0))
            first = slope * dz
        return quadratic + self.amplitude * (second @ self.readout)

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"size={self.size}, hidden={[len(b) for b in self.biases]}"


@final
class NetworkPotential(Potential):
    """A potential of the form of a graded network's energy; the Hopfield energy is one of them.

    It starts at S = 0, b = 0 and a = 1: the energy of neurons that are not coupled.

    Parameters
    ----------
    size
        N.
    gain
        g > 0, learned too.
    transfer
        phi, a name or a `Transfer`, with a primitive.
    dtype, device
        Of the parameters.

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> potential = snt.landscape.NetworkPotential(3)
    >>> potential.gradient(torch.zeros(3)).detach()
    tensor([0., 0., 0.])
    """

    def __init__(
        self,
        size: int,
        *,
        gain: float = 1.0,
        transfer: str | Transfer = "tanh",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.size = checks.count("size", size)
        self.transfer = as_transfer(transfer)
        kind: dict[str, Any] = {"dtype": dtype, "device": device}
        self.coupling = nn.Parameter(torch.zeros(size, size, **kind))
        self.bias = nn.Parameter(torch.zeros(size, **kind))
        self.log_decay = nn.Parameter(torch.zeros(size, **kind))
        log_gain = math.log(checks.positive("gain", gain))
        self.log_gain = nn.Parameter(torch.full((), log_gain, **kind))

    @property
    def symmetric(self) -> Tensor:
        """S (N, N)."""
        return (self.coupling + self.coupling.mT) / 2

    def energy(self, u: Tensor) -> Tensor:
        """Return V (...) at u (..., N)."""
        return self.value_and_gradient(u)[0]

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return V (...) and grad V (..., N), both differentiable once more."""
        gain, decay = self.log_gain.exp(), self.log_decay.exp()
        f = self.transfer(gain * u)
        pull = f @ self.symmetric
        local = decay * (u * f - self.transfer.primitive(gain * u) / gain) + self.bias * f
        slope = gain * self.transfer.derivative(gain * u)
        return (local - f * pull / 2).sum(-1), slope * (decay * u - pull + self.bias)

    def rate(self, u: Tensor) -> Tensor:
        """Return f(u) (..., N)."""
        return self.transfer(self.log_gain.exp() * u)

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"size={self.size}, transfer={self.transfer}"


def gaussian_start(
    f: object, states: Tensor, x: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return mean (N,) and covariance (N, N) of the states, K (N, N) > 0, and a height of V.

    For a flow with noise V = (u - mean) K (u - mean) / 2 has the least EPR loss of all quadratics
    about the mean: with the drift F and d = u - mean, G K C + C K G = -(<F d^T> + <d F^T>).  For a
    map K = Db C^-1, and without noise Db = 1.  Where scatter makes K indefinite its curvatures are
    raised to 1e-6 of the largest.  The height is the root mean square of F . d over sqrt(N), for a
    linear flow about Db sqrt(N).
    """
    g: Dynamics | Flow = f if isinstance(f, Dynamics) else as_flow(f)
    u = states.detach().reshape(-1, states.shape[-1])
    n = u.shape[-1]
    if len(u) < n + 2:
        raise ValueError(f"states: expected at least N + 2 = {n + 2} of them, got {len(u)}")
    mean = u.mean(0)
    d = u - mean
    C = d.mT @ d / len(u)
    if isinstance(g, Dynamics) or not bool((torch.as_tensor(g.diffusion) != 0).any()):
        noisy = isinstance(g, Dynamics) and noise_of(g, u) is not None
        scale = map_noise(g, u)[1] if isinstance(g, Dynamics) and noisy else 1.0
        K, height = scale * torch.linalg.inv(_raised(C)), scale * math.sqrt(n)
    else:
        metric, F = metric_of(g, u), g.drift(u, x)
        K = _least(C, F.mT @ d / len(u), _root(metric, n, u))
        height = float((F * d).sum(-1).square().mean().sqrt()) / math.sqrt(n)
    return mean, C, _raised(K), height


def _least(C: Tensor, M: Tensor, root: Tensor) -> Tensor:
    """Return K with G K C + C K G = -(M + M^T), G the square of `root`."""
    inverse = torch.linalg.inv(root)
    values, vectors = torch.linalg.eigh(inverse @ C @ inverse)
    turned = vectors.mT @ inverse @ -(M + M.mT) @ inverse @ vectors
    inner = turned / (values[:, None] + values).clamp(min=1e-12 * float(values.max()))
    return inverse @ vectors @ inner @ vectors.mT @ inverse


def _raised(K: Tensor) -> Tensor:
    """Return a symmetric matrix with all eigenvalues at least 1e-6 of the largest, which is > 0."""
    values, vectors = torch.linalg.eigh((K + K.mT) / 2)
    floor = (_SMALLEST * values.max()).clamp(min=torch.finfo(K.dtype).tiny)
    return vectors @ torch.diag(torch.maximum(values, floor)) @ vectors.mT


def _root(metric: Metric, n: int, like: Tensor) -> Tensor:
    """Return the symmetric root of G (N, N)."""
    G = metric.push(torch.eye(n, dtype=like.dtype, device=like.device))
    values, vectors = torch.linalg.eigh((G + G.mT) / 2)
    return vectors @ torch.diag(values.sqrt()) @ vectors.mT
