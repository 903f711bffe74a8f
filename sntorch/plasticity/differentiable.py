r"""A network whose synapses are part of its state: fast plasticity, trained through time.

.. math::
    x = f(u), \qquad u_1 = \gamma u + (J + \alpha \circ H) x - \theta + W_{in} \mathrm{in},
    \qquad x_1 = f(u_1)
.. math::
    H_1 = \lambda H + \eta M (a b^\top - o\, (a \circ a) \circ H), \qquad
    a = x_1 - d, \quad b = x - d \text{ or } [x - d]_+

====================  =====================================================  ==================
symbol                name                                                   shape
====================  =====================================================  ==================
:math:`u, H`          the state, joined: N numbers, then H row by row        (..., N + N^2)
:math:`\alpha`        ``alpha``: how much of the trace acts                  () or (N, N)
:math:`\eta`          ``rate``, in [0, 1)                                    ()
:math:`\lambda`       ``forgetting``, in [0, 1]; None is 1 - eta             ()
:math:`o`             1 for the ``"oja"`` trace, 0 for the ``"hebbian"``
:math:`d`             ``activity``
:math:`M`             tanh(w . x_1 + c) if ``modulated``, else 1             ()
====================  =====================================================  ==================

Every row has a trace of its own, so that a trial learns for itself.  The trace is bounded if
lambda < 1, or for Oja's rule by itself.  Back-propagation through time trains J, alpha and eta.

**Joint exponents.**  As the synapses are state, ``lyapunov_spectrum(plastic, state)`` gives the
exponents of neurons and synapses together.  The tangent costs O(N^2) per column (o = 0, M = 1):

.. math::
    du_1 = \gamma\,du + (J + \alpha \circ H)\,dx + (\alpha \circ dH)\,x, \qquad
    dH_1 = \lambda\,dH + \eta (dx_1 b^\top + a\,(b' \circ dx)^\top),

the matrix of N + N^2 columns is never formed.  Exactly, for o = 0 and M = 1:

- eta = 0, or alpha = 0: the exponents of the neurons, and ln lambda, N^2 times.
- At a fixed point N (N - 1) multipliers equal lambda (the dH with dH x = 0); the other 2 N are the
  eigenvalues of a map of (du, y = (alpha dH) x): for one number alpha, and A the Jacobian of u_1 in
  u, ``du1 = A du + y``, ``y1 = lambda y + alpha eta ((b . x) dx1 + a (x . (b' dx)))``.

A negative exponent at frozen synapses does not bound the joint one, and the plateau at ln lambda
counts in the Kaplan-Yorke dimension: quote the neurons' own spectrum beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.differentiable import transformed
from sntorch.drives import drive_at
from sntorch.noise import add_noise
from sntorch.plasticity.joint import JointState, couplings_of, rate_of, share_of
from sntorch.plasticity.traces import Step, square, squares

__all__ = ["PlasticSNTCell"]

_TRAINABLE = ("alpha", "rate")


@final
class PlasticSNTCell(JointState):
    """An `SNTCell` with a Hebbian trace upon its couplings: a `Dynamics` of the state (u, H).

    The cell is held, not copied: it keeps J, gain, leak, threshold, input and noise, which acts on
    the neurons alone.  `join` and `split` go between the state and its two parts.

    Parameters
    ----------
    cell
        The network, with dense couplings.
    alpha
        Share of the trace in the coupling: a number or one per synapse (N, N).
    rate
        eta in [0, 1), per step.
    forgetting
        lambda in [0, 1]; None is 1 - eta for the Hebbian trace, as Miconi has it, and 1 for Oja's.
    trace
        ``"hebbian"`` or ``"oja"``.
    activity
        d, the activity from which sender and receiver are counted.
    rectified
        Whether senders below d add nothing, as in `HebbianForgetting`.
    modulated
        Whether the network decides how much is learned: M = tanh(w . x_1 + c), with w (N,) from
        torch's global generator and c = 0 at the start, both trained.
    trainable
        Which of ``alpha`` and ``rate`` are parameters; the rate is trained through its logit
        ``raw_rate``, so that it stays in (0, 1).

    Raises
    ------
    ValueError
        If an argument is out of its domain, or the couplings are not dense: the trace would create
        synapses.

    References
    ----------
    T. Miconi, J. Clune, K. O. Stanley, ICML 2018; with modulation T. Miconi, A. Rawal, J. Clune,
    K. O. Stanley, ICLR 2019.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(10), input_size=3)
    >>> plastic = snt.plasticity.PlasticSNTCell(cell, alpha=0.5)
    >>> orbit = snt.rollout(plastic, plastic.join(torch.zeros(8, 10)), 5, x=torch.ones(3))
    >>> u, H = plastic.split(orbit)
    >>> u.shape, H.shape
    (torch.Size([5, 8, 10]), torch.Size([5, 8, 10, 10]))
    """

    modulator: Tensor | None
    modulator_bias: Tensor | None

    def __init__(
        self,
        cell: SNTCell,
        *,
        alpha: float | Tensor = 0.1,
        rate: float = 0.1,
        forgetting: float | None = None,
        trace: str = "hebbian",
        activity: float = 0.0,
        rectified: bool = False,
        modulated: bool = False,
        trainable: Sequence[str] = _TRAINABLE,
    ) -> None:
        super().__init__()
        like = couplings_of(cell)
        n = cell.size
        self.cell, self.neurons, self.size = cell, n, n + n * n
        self.oja = checks.one_of("trace", trace, ("hebbian", "oja")) == "oja"
        self.activity = checks.number("activity", activity)
        self.rectified = rectified
        self._forgetting = forgetting
        if forgetting is not None:
            checks.number("forgetting", forgetting, 0, 1)
        self._enter(trainable, share_of(alpha, n, like), like.new_tensor(rate_of(rate)))
        w, c = (torch.randn(n).to(like) / n**0.5, like.new_zeros(())) if modulated else (None, None)
        self.modulator = None if w is None else nn.Parameter(w)
        self.modulator_bias = None if c is None else nn.Parameter(c)

    @property
    def rate(self) -> Tensor:
        """The learning rate eta per step, ()."""
        fixed = self._buffers.get("fixed_rate")
        return torch.sigmoid(self.raw_rate) if fixed is None else fixed

    @property
    def forgetting(self) -> Tensor:
        """The factor lambda that the trace keeps in a step, ()."""
        return self._pace()[1]

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return the next state (..., N + N^2); `u` is the joint state."""
        return self._step(self.check(u), x).advance(u)

    def orbit(
        self,
        u: Tensor,
        steps: int,
        x: Tensor | None,
        sigma: Tensor | None,
        generator: torch.Generator | None,
        every: int,
    ) -> tuple[Tensor, Tensor]:
        """Make many steps in the memory of what is stored, where no gradient is asked for."""
        given = [t for t in (u, x, sigma, *self.parameters(), *self.buffers()) if t is not None]
        recording = torch.is_grad_enabled() and any(t.requires_grad for t in given)
        if recording or transformed(*given):
            return super().orbit(u, steps, x, sigma, generator, every)
        stored = u.new_empty(steps // every, *u.shape)
        # A state that is not stored is made where the next one will be, if one will.
        places = [*stored, torch.empty_like(u)] if steps % every else stored
        pace, rate = self._pace(), None
        for t in range(steps):
            place = places[t // every]
            now = self._step(u, drive_at(x, t), pace, rate)
            u, rate = now.advance_into(place, u), now.x1
            if sigma is not None:
                place.copy_(add_noise(u, sigma, generator))
                rate = None
        return stored, u

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V (..., N + N^2, k): O(N^2) for every column."""
        self.check_frame("V", u, V)
        neurons, H = self.split(u)
        du, dH = V[..., : self.neurons, :], squares(V, self.neurons)
        now = self._step(u, x)
        slope, slope1 = self._slope(neurons), self._slope(now.u1)
        dx = slope * du
        du1 = self.cell.jvp(neurons, du, x)[1] + self._through(H, dx)
        du1 = du1 + (self._weights(now).unsqueeze(-2) @ dH).squeeze(-2)
        pushed = now.push(H, V, self._counted(now) * dx, slope1 * du1)
        pushed[..., : self.neurons, :] = du1
        return now.advance(u), pushed

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF^T W (..., N + N^2, k): O(N^2) for every column."""
        self.check_frame("W", u, W)
        neurons, H = self.split(u)
        now = self._step(u, x)
        pulled1, pulled_b = now.pull(H, squares(W, self.neurons))
        w1 = W[..., : self.neurons, :] + self._slope(now.u1) * pulled1
        at_rate = self._back(H, w1) + self._counted(now) * pulled_b
        wu = self.cell.vjp(neurons, w1, x)[1] + self._slope(neurons) * at_rate
        pulled = now.faded(W)
        squares(pulled, self.neurons).addcmul_(w1.unsqueeze(-2), self._weights(now).unsqueeze(-1))
        pulled[..., : self.neurons, :] = wu
        return now.advance(u), pulled

    def extra_repr(self) -> str:
        """Say how it learns."""
        trace = "oja" if self.oja else "hebbian"
        return (
            f"trace={trace}, rate={self.rate.item():.4g}, forgetting={self.forgetting.item():.4g}"
        )

    def _step(
        self,
        s: Tensor,
        x: Tensor | None,
        pace: tuple[Tensor, Tensor] | None = None,
        rate: Tensor | None = None,
    ) -> Step:
        """Return a step; what is known of it, `_pace` and f(u), need not be computed again."""
        u, H = s[..., : self.neurons], square(s, self.neurons)
        eta, forgetting = self._pace() if pace is None else pace
        rate = self.cell.rate(u) if rate is None else rate
        drive = self._through(H, rate.unsqueeze(-1)).squeeze(-1)
        u1 = self.cell.proceed(u, rate, x) + drive
        rate1 = self.cell.rate(u1)
        a, b = (rate1 - self.activity, rate - self.activity) if self.activity else (rate1, rate)
        gate, M = eta, None
        if self.modulator is not None and self.modulator_bias is not None:
            M = torch.tanh(rate1 @ self.modulator + self.modulator_bias)
            gate = eta * M
        return Step(
            u1=u1,
            x=rate,
            x1=rate1,
            a=a,
            b=b.relu() if self.rectified else b,
            gate=gate,
            learned=gate.unsqueeze(-1) * a,
            forgetting=forgetting,
            oja=self.oja,
            rate=eta,
            M=M,
            modulator=self.modulator,
        )

    def _pace(self) -> tuple[Tensor, Tensor]:
        """Return eta and lambda."""
        eta = self.rate
        if self._forgetting is not None:
            return eta, torch.full_like(eta, self._forgetting)
        return eta, torch.ones_like(eta) if self.oja else 1 - eta

    def _slope(self, u: Tensor) -> Tensor:
        """Return f'(u) (..., N, 1)."""
        gain = self.cell.gain
        return (gain * self.cell.transfer.derivative(gain * u)).unsqueeze(-1)

    def _counted(self, now: Step) -> Tensor:
        """Return b'(x) (..., N, 1)."""
        counted = (now.b > 0).to(now.b.dtype) if self.rectified else torch.ones_like(now.b)
        return counted.unsqueeze(-1)

    def _through(self, H: Tensor, columns: Tensor) -> Tensor:
        """Return (alpha H) C for columns (..., N, k)."""
        if self.alpha.ndim == 0:  # saves a product of N^2 numbers
            return self.alpha * (H @ columns)
        return (self.alpha * H) @ columns

    def _back(self, H: Tensor, columns: Tensor) -> Tensor:
        """Return (alpha H)^T C for columns (..., N, k)."""
        if self.alpha.ndim == 0:
            return self.alpha * (H.mT @ columns)
        return (self.alpha * H).mT @ columns

    def _weights(self, now: Step) -> Tensor:
        """Return alpha_ij x_j (..., N or 1, N): how H_ij acts on neuron i."""
        return self.alpha * now.x.unsqueeze(-2)

    def _enter(self, trainable: Sequence[str], alpha: Tensor, rate: Tensor) -> None:
        if isinstance(trainable, str):
            raise ValueError(f"trainable: expected a sequence of names, got {trainable!r}")
        names = {checks.one_of("trainable", name, _TRAINABLE) for name in trainable}
        if "alpha" in names:
            self.alpha = nn.Parameter(alpha)
        else:
            self.register_buffer("alpha", alpha)
        if "rate" not in names:
            self.register_buffer("fixed_rate", rate)
        elif rate > 0:
            self.raw_rate = nn.Parameter(torch.logit(rate))
        else:
            raise ValueError("rate: expected a number in (0, 1), since it is trainable, got 0.0")
