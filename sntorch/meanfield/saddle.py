r"""The general replica-symmetric saddle point of the speed potential, with overlap of replicas.

With s = T + g^2 (q - Q), y = x - Gamma phi(x), Gamma = g^2 gamma (r - R), d = y - g sqrt(Q) v and
independent normal u, v, the weight of a site is

.. math:: \exp\Big\{ \big(\hat q - \tfrac12 \hat Q\big) \phi^2 - \frac{d^2}{2s} + b\,\phi
          - \beta\eta x^2 \Big\}, \qquad b = \sqrt{\hat Q - \frac{\kappa^2}{g^2 Q}}\; u
          + \frac{\kappa v}{g \sqrt{Q}}, \qquad \kappa = g^2 \gamma R,
.. math:: q = E \langle \phi^2 \rangle, \quad Q = E \langle \phi \rangle^2, \quad
          r = \tfrac1s E \langle d \phi \rangle, \quad R = \tfrac1s E \langle d \rangle
          \langle \phi \rangle,
.. math:: \hat Q = \frac{g^2}{s^2} E \langle d \rangle^2, \qquad
          2 \hat q - \hat Q = \frac{g^2}{s} \Big( \frac1s E\,\mathrm{Var}(d) - 1 \Big).

Averages over u, v are deterministic quadratures and qhat, Qhat are taken from d directly.  Both
matter: by Stein's identity on a fixed random sample of (u, v), terms of order g^2 Q / s^2 would
have to cancel, which they do only if the sample has mean v^2 = 1 exactly; a sampling error of half
a percent makes a branch with Q > 0 that does not exist.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.meanfield.entry import entered
from sntorch.meanfield.equilibrium import Equilibrium, equilibrium
from sntorch.meanfield.record import Number
from sntorch.transfer import Transfer

__all__ = ["saddle_point"]

_FIELDS, _REACH = 24, 6.5  # intervals and standard deviations of u and v
_NODES = 480
_DAMPING = 0.7
_SETTLED = 1e-10


@dataclasses.dataclass
class _Saddle:
    """The unknowns of one problem."""

    q: float
    Q: float
    qh: float
    Qh: float
    r: float
    R: float

    def towards(self, new: _Saddle) -> tuple[_Saddle, float]:
        """Return a damped step and how far it goes, relative to q."""
        old, fresh = dataclasses.astuple(self), dataclasses.astuple(new)
        mixed = _Saddle(*(a + _DAMPING * (b - a) for a, b in zip(old, fresh, strict=True)))
        move = max(abs(new.q - self.q), abs(new.Q - self.Q)) / max(new.q, 1e-300)
        return mixed, max(move, abs(new.r - self.r), abs(new.R - self.R))


def saddle_point(
    *,
    gain: Number,
    temperature: Number,
    symmetry: Number = 0.0,
    confinement: Number = 0.0,
    transfer: str | Transfer = "tanh",
    overlap: float = 0.05,
    steps: int = 3000,
) -> Equilibrium:
    """Return the canonical measure with the overlap Q of replicas, iterated from Q = `overlap`.

    Where `Equilibrium.stability` < 1 the iteration returns to Q = 0, which is the solution of
    `equilibrium`; above 1, seen for negative symmetry at low temperature, it ends at Q > 0.  It is
    slow near 1, and takes seconds per problem (`equilibrium` takes milliseconds for many).
    `response` is r - R, the response of one neuron to its own field.

    Parameters
    ----------
    gain, temperature, symmetry, confinement, transfer
        As for `equilibrium`.
    overlap
        Q at the start, in [0, 1).
    steps
        Iterations at most.

    Raises
    ------
    ValueError
        As for `equilibrium`.

    References
    ----------
    J. Qiu, H. Huang, Commun. Theor. Phys. 77 (2025) 035601, for the equations; their branch with Q
    > 0 is an artefact of sampled averages.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.saddle_point(gain=0.5, temperature=0.1)
    >>> bool(found.replica_overlap < 1e-8)
    True
    """
    settings: dict[str, Number] = {
        "gain": gain,
        "temperature": temperature,
        "symmetry": symmetry,
        "confinement": confinement,
    }
    Q = checks.number("overlap", overlap, low=0)
    steps = checks.count("steps", steps)
    apart = equilibrium(**settings, transfer=transfer)
    named, phi = entered(settings, transfer)
    flat = zip(*(named[name].reshape(-1).tolist() for name in settings), strict=True)
    found = [
        _iterate(phi, numbers, float(q), float(r), Q, steps)
        for numbers, q, r in zip(
            flat, apart.overlap.reshape(-1), apart.response.reshape(-1), strict=True
        )
    ]
    shape = named["gain"].shape
    columns = torch.tensor(found, dtype=torch.float64).T.reshape(-1, *shape)
    names = ("overlap", "replica_overlap", "variance", "response", "energy", "free_energy")
    fields = dict(zip((*names, "residual"), columns, strict=True))
    chi = fields["overlap"] / named["temperature"]
    return dataclasses.replace(apart, **fields, susceptibility=chi)


def _iterate(
    phi: Transfer, numbers: tuple[float, ...], q: float, r: float, Q: float, steps: int
) -> tuple[float, ...]:
    """Return q, Q, <x^2>, r - R, energy, free energy and the last change of one problem."""
    if q != q:
        return (q,) * 6 + (float("inf"),)
    now = _Saddle(q=max(q, 1.5 * Q), Q=Q, qh=0.0, Qh=0.0, r=r, R=0.0)
    mesh = _Mesh(phi, numbers)
    change = float("inf")
    for _ in range(steps):
        new, _ = mesh.image(now)
        now, change = now.towards(new)
        if change < _SETTLED:
            break
    _, (variance, energy, free) = mesh.image(now)
    return now.q, now.Q, variance, now.r - now.R, energy, free, change


class _Mesh:
    """One problem on its quadrature nodes: the image of the saddle-point equations."""

    def __init__(self, phi: Transfer, numbers: tuple[float, ...]) -> None:
        self.phi = phi
        self.g, self.T, self.symmetry, self.eta = numbers
        z = torch.arange(-_FIELDS // 2, _FIELDS // 2 + 1).double() * (2 * _REACH / _FIELDS)
        w = torch.exp(-z.square() / 2)
        w = w / w.sum()
        # (u, v) and (-u, -v) weigh the same, with x reflected: v >= 0 is enough.
        v, side = z[_FIELDS // 2 :], 2 * w[_FIELDS // 2 :]
        side[0] /= 2
        self.u, self.v = z.repeat(len(v)), v.repeat_interleave(len(z))
        self.weight = torch.outer(side, w).reshape(-1)
        # Mean v^2 = 1 exactly, as the equations need it.
        self.v = self.v / (self.weight @ self.v.square()).sqrt()

    def image(self, now: _Saddle) -> tuple[_Saddle, tuple[float, float, float]]:
        """Return the right sides of the equations, and variance, energy and free energy."""
        g, T, beta = self.g, self.T, 1 / self.T
        s = T + g**2 * (now.q - now.Q)
        Gamma, kappa = g**2 * self.symmetry * (now.r - now.R), g**2 * self.symmetry * now.R
        field = g * max(now.Q, 0.0) ** 0.5
        part = kappa / field if field > 0 else 0.0
        b = max(now.Qh - part**2, 0.0) ** 0.5 * self.u + part * self.v
        x, value, y = self._nodes(s, Gamma, field)
        base = (now.qh - now.Qh / 2) * value.square() - y.square() / (2 * s)
        base = base - beta * self.eta * x.square()
        loads = torch.stack([field * self.v / s, b], -1)
        S = torch.addmm(base, loads, torch.stack([y, value]))
        top = S.amax(-1, keepdim=True)
        w = torch.exp(S - top)
        total = w.sum(-1, keepdim=True)
        powers = torch.stack([value, y, value.square(), y.square(), y * value, x.square()], -1)
        means = w @ powers / total
        f1, y1, f2, y2, yf, x2 = means.unbind(-1)
        shift = field * self.v
        d1 = y1 - shift
        E = self.weight
        d2 = float(E @ (y2 - 2 * shift * y1 + shift.square()))
        dd, var = float(E @ d1.square()), float(E @ (y2 - y1.square()))
        new = _Saddle(
            q=float(E @ f2),
            Q=float(E @ f1.square()),
            Qh=g**2 / s**2 * dd,
            qh=(g**2 / s * (var / s - 1) + g**2 / s**2 * dd) / 2,
            r=float(E @ (yf - shift * f1)) / s,
            R=float(E @ (d1 * f1)) / s,
        )
        step = float(x[1] - x[0])
        logs = (top + total.log()).squeeze(-1) - shift.square() / (2 * s)
        log_norm = float(E @ logs) + math.log(step)
        variance = float(E @ x2)
        spread = g**2 * (now.q - now.Q)
        energy = spread / (2 * beta * s) + d2 * (T / s) ** 2 / 2 + self.eta * variance
        free = -T * (
            now.Q * now.Qh / 2
            - now.q * now.qh
            - g**2 * self.symmetry * (now.r**2 - now.R**2) / 2
            - math.log(s * beta) / 2
            + log_norm
        )
        return new, (variance, energy, free)

    def _nodes(self, s: float, Gamma: float, field: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, phi(x) and x - Gamma phi(x) (n,) as far out as the weight can be."""
        reach = 9 * s**0.5 + field * _REACH
        far = torch.tensor(reach + abs(Gamma) * float(self.phi(torch.tensor(50.0))))
        for _ in range(100):  # down to the largest x with x - Gamma phi(x) = reach
            before, far = far, reach + max(Gamma, 0.0) * self.phi(far)
            if far == before:
                break
        x = float(far) * torch.linspace(-1, 1, _NODES + 1, dtype=torch.float64)
        value = self.phi(x)
        return x, value, x - Gamma * value
