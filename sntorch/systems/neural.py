"""Networks of neurons in continuous time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings import Coupling
from sntorch.flows import Diffusion, EulerMaruyama, Flow, checked_diffusion
from sntorch.systems.explicit import Explicit, autonomous, matrix
from sntorch.transfer import Transfer

__all__ = ["AmariWilsonCowan", "TanhRing"]


@final
class AmariWilsonCowan(Flow):
    r"""Neurons in continuous time, whose Euler map is the SNT network.

    .. math:: du = \big(-u/\tau + J f(u) - \theta + W x\big)\,dt + \sqrt{2D}\,dW,
              \qquad f(u) = \phi(g u)

    J, g, theta, W and phi are those of ``flow.cell``, an `SNTCell` with leak 0 and noise 0 whose
    map is J f(u) - theta + W x; ``flow.cell.gain = 1.2`` changes the flow.  For |J| |f'| < 1/tau
    there is one fixed point, which is stable.

    Parameters
    ----------
    J
        Couplings (N, N), from j to i in ``J[i, j]``: a tensor or a layer, as for `SNTCell`.
    tau
        Time constant > 0, number or (N,).
    gain, threshold, transfer, input_size, input_std, trainable
        As for `SNTCell`.
    diffusion
        D, scalar, (N,) or (N, N).

    Raises
    ------
    ValueError
        If an argument is outside its domain, not finite, or of a wrong shape.

    References
    ----------
    S. Amari, IEEE Trans. Syst. Man Cybern. 2 (1972) 643; H. R. Wilson, J. D. Cowan, Biophys. J. 12
    (1972) 1; B. Cessac, "Neural Networks Dynamics", lecture slides, 2020, for the Euler map.

    Examples
    --------
    >>> import sntorch as snt
    >>> flow = snt.systems.AmariWilsonCowan(snt.couplings.gaussian(50, std=1.5), diffusion=0.01)
    >>> cell = flow.as_cell(dt=0.1)
    >>> round(float(cell.leak), 4), round(float(cell.noise), 4)
    (0.9, 0.0447)
    """

    tau: Tensor

    def __init__(
        self,
        J: Tensor | Coupling,
        *,
        tau: float | Tensor = 1.0,
        gain: float | Tensor = 1.0,
        threshold: float | Tensor = 0.0,
        diffusion: Diffusion = 0.0,
        transfer: str | Transfer = "tanh",
        input_size: int = 0,
        input_std: float = 1.0,
        trainable: Sequence[str] = ("coupling", "input_weight"),
    ) -> None:
        super().__init__()
        self.cell = SNTCell(
            J,
            gain=gain,
            threshold=threshold,
            transfer=transfer,
            input_size=input_size,
            input_std=input_std,
            trainable=trainable,
        )
        self.size = self.cell.size
        self.register_buffer("tau", _time_constant(tau, self.size, self.cell.gain))
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return -u/tau + J f(u) - theta + W x (..., N); without x the drive is zero."""
        return self.cell.map(u, x) - u / self.tau

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the drift and -V/tau + J (f' * V)."""
        value, pushed = self.cell.jvp(u, V, x)
        return value - u / self.tau, pushed - V / self._column()

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return the drift and the function W -> -W/tau + f' * (J^T W)."""
        value, pull = self.cell.pullback(u, x)
        return value - u / self.tau, lambda W: pull(W) - W / self._column()

    def as_cell(self, dt: float) -> SNTCell:
        """Return the Euler map of step dt as an `SNTCell` with parameters of its own.

        Its couplings are dt J, its leak 1 - dt/tau, its threshold dt theta, its input weight dt W
        and its noise sqrt(2 D dt).  A cell's time runs in steps: exponents per unit of time are
        those of the cell divided by dt.

        Raises
        ------
        ValueError
            If dt is not in (0, tau], where the leak is in [0, 1), or D is a matrix, since the
            noise of a cell is independent between neurons.
        """
        if bool((self.tau < checks.positive("dt", dt)).any()):
            fastest = float(self.tau.min())
            raise ValueError(f"dt: expected at most tau = {fastest:.4g}, got {dt!r}")
        cell = copy.deepcopy(self.cell)
        with torch.no_grad():
            if isinstance(cell.coupling, Coupling):
                cell.coupling.scale_(dt)
            else:
                cell.coupling.mul_(dt)
            if cell.input_weight is not None:
                cell.input_weight.mul_(dt)
            cell.threshold = dt * cell.threshold.detach()
        cell.leak = 1 - dt / self.tau
        cell.noise = EulerMaruyama(self, dt).noise  # pyright: ignore[reportAttributeAccessIssue]
        return cell

    def _column(self) -> Tensor:
        return self.tau if self.tau.ndim == 0 else self.tau.unsqueeze(-1)


@final
class TanhRing(Explicit, Flow):
    r"""Two tanh neurons that turn each other round: a ring-shaped valley with flux along it.

    .. math:: F = (-u_1 + a \tanh u_1 - b \tanh u_2,\; -u_2 + b \tanh u_1 + a \tanh u_2)

    Detailed balance holds for no b != 0.  The origin has eigenvalues a - 1 +- i b; for a > 1 and b
    large enough it is surrounded by one limit cycle.  At a = 1.5, b = 1 its period is 9.883176,
    and D = 0.05 produces the entropy 19.70 per unit of time.

    Parameters
    ----------
    a, b
        Coupling of a neuron to itself, and to the other one with opposite signs.
    diffusion
        D, scalar, (2,) or (2, 2).

    References
    ----------
    H. Yan et al., PNAS 110 (2013) E4185, for rings of asymmetric networks; the choice of two
    neurons and of the parameters is ours.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.systems.TanhRing().jacobian(torch.zeros(2))
    tensor([[ 0.5000, -1.0000],
            [ 1.0000,  0.5000]])
    """

    size = 2

    def __init__(self, a: float = 1.5, b: float = 1.0, *, diffusion: Diffusion = 0.0) -> None:
        super().__init__()
        self.a, self.b = checks.number("a", a), checks.number("b", b)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 2)."""
        autonomous(x)
        first, second = torch.tanh(u).unbind(-1)
        turned = [self.a * first - self.b * second, self.b * first + self.a * second]
        return torch.stack(turned, -1) - u

    def _derivative(self, u: Tensor) -> Tensor:
        first, second = (1 - torch.tanh(u).square()).unbind(-1)
        return matrix(
            u, (self.a * first - 1, -self.b * second), (self.b * first, self.a * second - 1)
        )


def _time_constant(tau: float | Tensor, size: int, like: Tensor) -> Tensor:
    value = torch.as_tensor(tau, dtype=like.dtype, device=like.device).detach().clone()
    if value.shape not in ((), (size,)):
        raise ValueError(f"tau: expected a number or ({size},), got {tuple(value.shape)}")
    if bool((checks.finite("tau", value) <= 0).any()):
        raise ValueError(f"tau: expected > 0, got {float(value.min())}")
    return value
