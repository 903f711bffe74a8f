r"""A potential that learns: a network upon a quadratic.

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
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.landscape.potentials import Potential
from sntorch.landscape.starts import gaussian_start, moments, raised, root

__all__ = ["NeuralPotential"]


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
        return self._begin(*gaussian_start(f, self.check(states), x))

    @torch.no_grad()
    def start_gaussian(self, states: Tensor, scale: float = 1.0) -> Self:
        """Begin with scale (u - m) C^-1 (u - m) / 2, of mean and covariance of states (..., N).

        The scale is Db.  The network's output begins at 0.

        Raises
        ------
        ValueError
            If there are fewer states than N + 2.
        """
        mean, covariance = moments(self.check(states))
        K = scale * torch.linalg.inv(raised(covariance))
        return self._begin(mean, covariance, K, scale * math.sqrt(self.size))

    @torch.no_grad()
    def carry(self, states: Tensor, factor: float = 1.0) -> Self:
        """Carry V along to states (..., N) that have moved and spread; return it.

        Its form stays as it is relative to mean and covariance, and V is multiplied by a factor,
        that of Db: a warm start for dynamics that have changed a little.

        Raises
        ------
        ValueError
            If there are fewer states than N + 2.
        """
        mean, covariance = moments(self.check(states))
        narrow = torch.linalg.inv(root(raised(covariance)))
        turned = torch.linalg.solve(self.frame, narrow)  # of d now to d before
        stretched = turned.mT @ self.factor
        L = torch.linalg.cholesky(raised(factor * stretched @ stretched.mT))
        self.centre.copy_(mean)
        self.frame.copy_(narrow)
        self.below.copy_(L.tril(-1))
        self.log_diagonal.copy_(L.diagonal().log())
        self.amplitude.mul_(factor)
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

    def _begin(self, mean: Tensor, covariance: Tensor, K: Tensor, height: float) -> Self:
        self.centre.copy_(mean)
        self.frame.copy_(torch.linalg.inv(root(raised(covariance))))
        L = torch.linalg.cholesky(K)
        self.below.copy_(L.tril(-1))
        self.log_diagonal.copy_(L.diagonal().log())
        self.readout.zero_()
        self.amplitude.fill_(height)
        return self

    def extra_repr(self) -> str:
        """Say how large it is."""
        return f"size={self.size}, hidden={[len(b) for b in self.biases]}"
