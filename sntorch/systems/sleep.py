r"""The cycle of REM and non-REM sleep: two populations of neurons in the brain stem.

Cells that are active in REM sleep (x) excite themselves and cells that inhibit them (y); the
inhibitors are slower, so that the two take turns.  McCarley and Hobson wrote this with the
equations of predator and prey, which conserve a quantity: every orbit has an amplitude of its own,
no limit cycle attracts, and noise of constant strength drives the amplitude away for ever: there is
no steady state, hence no landscape.  `SleepCycle` saturates the couplings and has both.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.flows import Diffusion, Flow, checked_diffusion
from sntorch.systems.explicit import Explicit, autonomous, matrix

__all__ = ["McCarleyHobson", "SleepCycle"]


@final
class McCarleyHobson(Explicit, Flow):
    r"""The first model of the REM cycle: predator and prey, conservative.

    .. math:: \dot x = a x - b x y, \qquad \dot y = -c y + d x y

    conserves K = d x - c ln x + b y - a ln y.  Orbits with x, y > 0 are closed around the fixed
    point (c/d, a/b), where the period is 2 pi / sqrt(a c); away from it they are slower.  There is
    no attractor, and with noise no steady state: K then grows on average.

    Parameters
    ----------
    a, c
        Rates > 0 at which x grows and y decays when alone.
    b, d
        Strengths > 0 of the inhibition of x by y and of the excitation of y by x.
    diffusion
        D, scalar, (2,) or (2, 2), for experiments over finite times only.

    References
    ----------
    R. W. McCarley, J. A. Hobson, Science 189 (1975) 58, for the model; the default parameters are
    ours.

    Examples
    --------
    >>> import sntorch as snt
    >>> f = snt.RungeKutta4(snt.systems.McCarleyHobson(), dt=0.01)
    >>> start = torch.tensor([0.5, 1.0]).double()
    >>> K = f.flow.conserved(torch.stack([start, snt.rollout(f, start, 500)[-1]]))
    >>> bool((K[1] - K[0]).abs() < 1e-8)
    True
    """

    size = 2

    def __init__(
        self,
        a: float = 1.0,
        b: float = 1.0,
        c: float = 1.0,
        d: float = 1.0,
        *,
        diffusion: Diffusion = 0.0,
    ) -> None:
        super().__init__()
        self.a, self.b = checks.positive("a", a), checks.positive("b", b)
        self.c, self.d = checks.positive("c", c), checks.positive("d", d)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def conserved(self, u: Tensor) -> Tensor:
        """Return K (...) at states with positive entries."""
        x, y = u.unbind(-1)
        return self.d * x - self.c * x.log() + self.b * y - self.a * y.log()

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 2)."""
        autonomous(x)
        on, off = u.unbind(-1)
        return torch.stack([on * (self.a - self.b * off), off * (self.d * on - self.c)], -1)

    def _derivative(self, u: Tensor) -> Tensor:
        on, off = u.unbind(-1)
        return matrix(
            u, (self.a - self.b * off, -self.b * on), (self.d * off, self.d * on - self.c)
        )


@final
class SleepCycle(Explicit, Flow):
    r"""A limit cycle of two populations with saturating couplings; a surrogate, parameters ours.

    .. math:: \dot x = -x + a H(x) + b\,(1 - H(y)), \qquad
              \dot y = (-y + d H(x)) / \tau, \qquad H(z) = \frac{|z|^4}{S^4 + |z|^4}

    x excites itself (a) and y (d), y inhibits x (b) and is slow (tau).  At the default parameters
    one unstable focus lies inside one limit cycle of period 26.790 in units of the time of x.
    D = 0.002 gives a landscape with a ring that is well inside [-0.4, 1.6] x [-0.4, 1.6].

    Parameters
    ----------
    a, b, d
        Strengths >= 0 of the wirings.
    tau
        Time constant > 0 of y, that of x being 1.
    threshold
        S > 0, where H is 1/2.
    diffusion
        D, scalar, (2,) or (2, 2).

    References
    ----------
    After H. Yan et al., PNAS 110 (2013) E4185, who treat the REM cycle by landscape and flux; these
    equations and numbers are our own.

    Examples
    --------
    >>> import sntorch as snt
    >>> snt.systems.SleepCycle().drift(torch.tensor([0.5, 0.5]))
    tensor([0.1000, 0.0200])
    """

    size = 2

    def __init__(
        self,
        a: float = 0.8,
        b: float = 0.4,
        d: float = 1.4,
        *,
        tau: float = 10.0,
        threshold: float = 0.5,
        diffusion: Diffusion = 0.0,
    ) -> None:
        super().__init__()
        self.a, self.b = checks.number("a", a, low=0), checks.number("b", b, low=0)
        self.d = checks.number("d", d, low=0)
        self.tau = checks.positive("tau", tau)
        self.threshold = checks.positive("threshold", threshold)
        self.diffusion = checked_diffusion(diffusion, self.size)

    def drift(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F (..., 2)."""
        autonomous(x)
        on, off = self._hill(u).unbind(-1)
        rates = [self.a * on + self.b * (1 - off) - u[..., 0], (self.d * on - u[..., 1]) / self.tau]
        return torch.stack(rates, -1)

    def _hill(self, u: Tensor) -> Tensor:
        power = (u / self.threshold).pow(4)
        return power / (1 + power)

    def _derivative(self, u: Tensor) -> Tensor:
        scaled = u / self.threshold
        on, off = (4 * scaled.pow(3) / (1 + scaled.pow(4)).square() / self.threshold).unbind(-1)
        return matrix(u, (self.a * on - 1, -self.b * off), (self.d / self.tau * on, -1 / self.tau))
