r"""Other measures on the states of dx/dt = -x + g J phi(x), and their overlaps.

"The overlap of fixed points" is not one number: it depends on how states are weighed.  Beside the
canonical measure of `sntorch.meanfield.equilibrium` there are

**Cavity fixed points** (`cavity_fixed_points`): the static solution of dynamic mean field,

.. math:: x = \Gamma \phi(x) + g \sqrt{C} z, \quad \Gamma = g^2 \gamma R, \quad
          C = E \phi^2, \quad R = E \frac{\phi'}{1 - \Gamma \phi'},

in which every fixed point is weighed by 1 / |det|.  Without symmetry it is the limit T -> 0 of the
canonical measure.

**The chaotic attractor** (`chaotic_attractor`): where the network itself spends its time.  With
Phi = int phi, Delta_0 = < x^2 > is the largest root of

.. math:: -\tfrac12 \Delta_0^2 + g^2 \big( E \Phi^2 - (E \Phi)^2 \big) = 0, \qquad
          C_0 = E \phi^2, \qquad \langle \dot x^2 \rangle = g^2 C_0 - \Delta_0

at variance Delta_0 (Sompolinsky, Crisanti, Sommers 1988).

`typical_fixed_points` (`sntorch.meanfield.typical`) weighs all fixed points alike.

x = gain u for networks with the gain inside phi, as in `sntorch.meanfield.equilibrium`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.meanfield.entry import entered
from sntorch.meanfield.equilibrium import zero_temperature
from sntorch.meanfield.newton import newton
from sntorch.meanfield.record import Number
from sntorch.meanfield.sites import Sites, sites
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["StateMeasure", "cavity_fixed_points", "chaotic_attractor", "measure_of"]

_SOLVED = 1e-9
_STAGES = 10  # of a continuation
_BISECTIONS = 64


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class StateMeasure(Result):
    """What a state of an infinite network looks like under one measure; see `measure`."""

    overlap: Tensor
    """(...), |phi(x)|^2 / N."""
    variance: Tensor
    """(...), |x|^2 / N: the squared radius of the shell on which states lie."""
    speed: Tensor
    """(...), mean square of dx/dt per neuron; 0 for fixed points.  The energy E / N is half of it,
    and a canonical measure of that energy has this temperature."""
    response: Tensor
    """(...), mean response of phi_i to its own static field; NaN where the theory does not say."""
    complexity: Tensor
    """(...), Sigma = ln(number) / N of such states, annealed; NaN where the theory does not say."""
    residual: Tensor
    """(...), largest relative violation of the equations."""
    arguments: dict[str, Tensor]
    """Gain and symmetry, of the broadcast shape."""
    transfer: str
    """Name of the transfer function."""
    measure: str
    """What is averaged over."""

    @property
    def converged(self) -> Tensor:
        """Bool (...): the equations hold to 1e-9."""
        return self.residual <= _SOLVED

    def scalars(self) -> dict[str, float]:
        """Return overlap, variance, speed and complexity, averaged over the ensembles."""
        names = ("overlap", "variance", "speed", "complexity")
        return {name: float(getattr(self, name).mean()) for name in names}


def cavity_fixed_points(
    *, gain: Number, symmetry: Number = 0.0, transfer: str | Transfer = "tanh"
) -> StateMeasure:
    """Return the static solution of dynamic mean field: fixed points weighed by 1 / |det|.

    Parameters
    ----------
    gain, symmetry
        g > 0; gamma in (-1, 1], the correlation of J_ij and J_ji.  Both broadcast.
    transfer
        An odd transfer function with phi'(0) = 1.

    Raises
    ------
    ValueError
        For an argument outside its domain.

    Notes
    -----
    Limitation (M): where Gamma > 1 the cavity equation has several solutions and this theory does
    not say which counts; the residual is inf there.

    Examples
    --------
    >>> import sntorch as snt
    >>> round(float(snt.meanfield.cavity_fixed_points(gain=1.5).overlap), 6)
    0.352602
    """
    named, phi = entered({"gain": gain, "symmetry": symmetry}, transfer)
    g, symmetry = named["gain"].reshape(-1), named["symmetry"].reshape(-1)
    active = g * (1 + symmetry) > 1
    found = zero_temperature(gain=g, symmetry=0.0, transfer=phi)
    R = zero_temperature(gain=g, symmetry=symmetry, transfer=phi).response
    fields = {
        "overlap": torch.where(active, found.overlap, 0.0),
        "variance": torch.where(active, found.variance, 0.0),
        "response": torch.where(active, found.response, R),
        "residual": torch.where(active, found.residual, 0.0),
    }
    rows = (active & (symmetry != 0)).nonzero().squeeze(-1)
    if len(rows):
        for name, value in _cavity(phi, g[rows], symmetry[rows]).items():
            fields[name][rows] = value
    return measure_of(fields, named, phi, "static solution of dynamic mean field")


def chaotic_attractor(*, gain: Number, transfer: str | Transfer = "tanh") -> StateMeasure:
    """Return the law of states on the attractor of dx/dt = -x + g J phi(x), J without symmetry.

    Parameters
    ----------
    gain
        g > 0; for g phi'(0) <= 1 the attractor is x = 0.
    transfer
        An odd transfer function; where orbits are unbounded, as of linear neurons, nothing has
        converged and numbers are NaN.

    Raises
    ------
    ValueError
        For an argument outside its domain.

    References
    ----------
    H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61 (1988) 259.

    Examples
    --------
    >>> import sntorch as snt
    >>> round(float(snt.meanfield.chaotic_attractor(gain=1.5).variance), 6)
    0.747686
    """
    named, phi = entered({"gain": gain}, transfer)
    g = named["gain"].reshape(-1)
    steep = float(phi.derivative(torch.zeros((), dtype=g.dtype)))
    moving = g * steep > 1
    low, high = torch.full_like(g, 1e-12).log(), (4 * g.square() + 1).log()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = _excess(phi, g, middle.exp()) > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    variance = torch.where(moving, low.exp(), 0.0)
    overlap = phi.second_moment(torch.zeros_like(g), variance)
    fields = {
        "overlap": overlap,
        "variance": variance,
        "speed": (g.square() * overlap - variance).clamp(min=0),
    }
    residual = torch.where(moving, _excess(phi, g, low.exp()).abs(), 0.0)
    solved = residual <= _SOLVED
    fields = {name: torch.where(solved, value, torch.nan) for name, value in fields.items()}
    fields["residual"] = residual
    return measure_of(fields, named, phi, "attractor of the network, dynamic mean field")


def _cavity(phi: Transfer, g: Tensor, symmetry: Tensor) -> dict[str, Tensor]:
    """Return the fields of active networks, continued from gamma = 0 at a large gain."""
    high = torch.maximum(g, 3 / (1 + symmetry.clamp(max=0)))
    start = zero_temperature(gain=high, transfer=phi)
    unknown = torch.stack([start.overlap.log(), start.response], -1)
    residual = torch.zeros_like(g)
    for stage in range(1, 2 * _STAGES + 1):
        share = min(1.0, stage / _STAGES)
        at = high * (g / high) ** (max(0, stage - _STAGES) / _STAGES)
        part = (at, share * symmetry)
        unknown, residual = newton(lambda z, p=part: _cavity_miss(phi, *p, z), unknown)
    where, Gamma = _cavity_sites(phi, g, symmetry, unknown)
    keep = (1 - Gamma.unsqueeze(-1) * phi.derivative(where.x)) * where.weight
    variance = (keep * where.x.square()).sum(-1) / keep.sum(-1)
    return {
        "overlap": unknown[:, 0].exp(),
        "variance": variance,
        "response": unknown[:, 1],
        "residual": torch.where(Gamma < 1, residual, torch.inf),
    }


def _cavity_sites(
    phi: Transfer, g: Tensor, symmetry: Tensor, unknown: Tensor
) -> tuple[Sites, Tensor]:
    """Return nodes x weighed by the normal density of x - Gamma phi, and Gamma (P,)."""
    spread = g.square() * unknown[:, 0].exp()
    Gamma = g.square() * symmetry * unknown[:, 1]

    def exponent(x: Tensor) -> Tensor:
        y = x - Gamma.unsqueeze(-1) * phi(x)
        return -y.square() / (2 * spread).unsqueeze(-1)

    wider = Gamma.abs() * (spread.sqrt() / (1 - Gamma).clamp(min=0.05)).clamp(max=1.0)
    return sites(exponent, spread.sqrt() + wider), Gamma


def _cavity_miss(phi: Transfer, g: Tensor, symmetry: Tensor, unknown: Tensor) -> Tensor:
    """Return what the equations of C and R violate (P, 2), in the variable x for z."""
    where, Gamma = _cavity_sites(phi, g, symmetry, unknown)
    value, slope = phi.with_derivative(where.x)
    dz = 1 - Gamma.unsqueeze(-1) * slope
    norm = where.mean(dz)
    C, R = where.mean(dz * value.square()) / norm, where.mean(slope) / norm
    return torch.stack([C / unknown[:, 0].exp() - 1, R - unknown[:, 1]], -1)


def _excess(phi: Transfer, g: Tensor, variance: Tensor) -> Tensor:
    """Return 2 g^2 Var(Phi) / Delta_0^2 - 1 (P,), which vanishes on the attractor."""
    scale = variance.sqrt().unsqueeze(-1)
    z = torch.linspace(0, 10, 1601, dtype=g.dtype, device=g.device)
    weight = torch.exp(-z.square() / 2)
    weight[0] /= 2
    value = phi.primitive(scale * z)
    weight = weight / weight.sum()
    mean = value @ weight
    spread = (value - mean.unsqueeze(-1)).square() @ weight
    return 2 * g.square() * spread / variance.square() - 1


def measure_of(
    fields: dict[str, Tensor], named: dict[str, Tensor], phi: Transfer, measure: str
) -> StateMeasure:
    """Return the record of these fields (P,), what they do not name being unknown or at rest."""
    some = next(iter(fields.values()))
    unknown = torch.full_like(some, torch.nan)
    default = {"speed": torch.zeros_like(some), "response": unknown, "complexity": unknown}
    shape = named["gain"].shape
    shown = {name: value.reshape(shape) for name, value in (default | fields).items()}
    return StateMeasure(**shown, arguments=named, transfer=repr(phi), measure=measure)
