r"""Equilibrium of the speed potential: the canonical measure of an infinite network.

The measure exp(-E/T)/Z of E = |x - g J phi(x)|^2 / 2 + eta |x|^2 weighs all states of a random
network, J_ij ~ N(0, 1/N) with correlation gamma of J_ij and J_ji, by how slow they are.  Of two
states x, x' drawn from it in the same network

.. math:: q = \tfrac1N |\phi(x)|^2, \qquad Q = \tfrac1N \phi(x) \cdot \phi(x'), \qquad
          R_{int} = \frac1{NT} \langle \phi(x) \cdot (x - g J \phi(x)) \rangle,

R_int being the mean response d phi_i / d h_i to a weak field in x - g J phi(x) - h.  As T vanishes
every fixed point is weighed by 1 / |det D(x - g J phi)|.  This is neither how often the network
itself visits a state (`chaotic_attractor`) nor an average over the fixed points with equal weights
(`typical_fixed_points`): the overlaps of these measures differ at the same gain.

Without replica overlap, Q = 0, three numbers remain (`sntorch.meanfield.canonical`); for gamma = 0
the solution is closed, equals the annealed average, and has energy T/2 per neuron at every gain.
`saddle_point` solves for Q too.  For gamma >= 0 it finds Q = 0 wherever it was tried; the published
branch with Q > 0 at gamma = 0 (Qiu and Huang 2025) comes from Gaussian averages over a fixed random
sample.  For gamma < 0 at low temperature and gains above 1, `stability` exceeds 1 and a true branch
with Q > 0 begins.

Variables.  x = gain u for an `SNTCell` or `AmariWilsonCowan` with the gain inside phi: then
temperatures and energies of x are gain^2 times those of u; with the gain in J, x is u.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from sntorch.meanfield import canonical
from sntorch.meanfield.canonical import Averages, Site
from sntorch.meanfield.entry import entered
from sntorch.meanfield.record import Number
from sntorch.meanfield.stationary import solve
from sntorch.results import Result
from sntorch.transfer import Transfer

__all__ = ["Equilibrium", "equilibrium", "settled_site", "zero_temperature"]

_CONVERGED = 1e-9


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Equilibrium(Result):
    """Order parameters of the canonical measure; `...` is the broadcast shape of the arguments."""

    overlap: Tensor
    """(...), q = |phi(x)|^2 / N of one state with itself."""
    replica_overlap: Tensor
    """(...), Q = phi(x) phi(x') / N of two states of the same network."""
    variance: Tensor
    """(...), |x|^2 / N."""
    response: Tensor
    """(...), R_int: mean response of phi_i to its own field, per unit of x."""
    energy: Tensor
    """(...), E / N."""
    free_energy: Tensor
    """(...), -T ln Z / N; at T = 0 the energy of the ground state."""
    stability: Tensor
    """(...), factor by which an iteration multiplies a small Q around Q = 0: below 1 replicas share
    nothing."""
    susceptibility: Tensor
    """(...), q / T, which has a limit as T vanishes below the critical gain; inf above it."""
    residual: Tensor
    """(...), largest relative violation of the equations; NaN or inf where none solves them."""
    arguments: dict[str, Tensor]
    """Gain, temperature, symmetry and confinement, of the broadcast shape."""
    transfer: str
    """Name of the transfer function."""
    measure: str = "canonical measure of the speed potential, replica symmetric"
    """What is averaged over."""

    @property
    def converged(self) -> Tensor:
        """Bool (...): the equations hold to 1e-9."""
        return self.residual <= _CONVERGED

    @property
    def stable(self) -> Tensor:
        """Bool (...): solved, and a small overlap of replicas fades."""
        return self.converged & (self.stability < 1)

    @property
    def critical_gain(self) -> Tensor:
        """1 / (1 + symmetry) (...), for phi'(0) = 1: where q / T diverges as T vanishes."""
        return 1 / (1 + self.arguments["symmetry"])

    def scalars(self) -> dict[str, float]:
        """Return order parameters and energy, averaged over the ensembles."""
        names = ("overlap", "replica_overlap", "variance", "response", "energy", "stability")
        return {name: float(getattr(self, name).mean()) for name in names}


def equilibrium(
    *,
    gain: Number,
    temperature: Number,
    symmetry: Number = 0.0,
    confinement: Number = 0.0,
    transfer: str | Transfer = "tanh",
) -> Equilibrium:
    """Return the canonical measure of the speed potential at a temperature, without overlap Q.

    Arguments broadcast.  Where no replica-symmetric solution exists, as for linear neurons above
    their critical gain, `residual` says so and the numbers are NaN.

    Parameters
    ----------
    gain
        g > 0, the factor of the couplings in x - g J phi(x).
    temperature
        T > 0, of x; `zero_temperature` is the limit.
    symmetry
        gamma in (-1, 1], the correlation of J_ij and J_ji.
    confinement
        eta >= 0, of eta |x|^2.
    transfer
        An odd transfer function: a name of `sntorch.transfer` or a `Transfer`.

    Raises
    ------
    ValueError
        For an argument outside its domain, a function that is not odd, shapes that do not fit.

    Notes
    -----
    Limitation (M): a first-order transition to broken replica symmetry is not excluded by
    `stability`, which is local.

    References
    ----------
    J. Qiu, H. Huang, Commun. Theor. Phys. 77 (2025) 035601, corrected.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.equilibrium(gain=[0.5, 1.5], temperature=0.01)
    >>> found.energy
    tensor([0.0050, 0.0050], dtype=torch.float64)
    """
    named, phi = entered(
        {
            "gain": gain,
            "temperature": temperature,
            "symmetry": symmetry,
            "confinement": confinement,
        },
        transfer,
    )
    if bool((named["temperature"] <= 0).any()):
        low = float(named["temperature"].min())
        raise ValueError(f"temperature: expected numbers > 0, got {low}; see zero_temperature")
    state = settled_site(phi, {name: value.reshape(-1) for name, value in named.items()})
    at = canonical.site(phi, state)
    beta, g2 = 1 / state.temperature, state.gain.square()
    s2 = beta * state.s
    stiff = state.confinement * at.variance
    energy = g2 * state.q / (2 * s2) + at.square / (2 * s2.square()) + stiff
    free = (
        state.q * state.tilt + state.gamma * _response(state, at) / 2 + s2.log() / 2 - at.log_norm
    ) / beta
    return _record(state, at, energy, free, named, phi)


def zero_temperature(
    *, gain: Number, symmetry: Number = 0.0, transfer: str | Transfer = "tanh"
) -> Equilibrium:
    """Return the limit T -> 0 of the canonical measure: fixed points weighed by 1 / |det|.

    Below the critical gain 1 / (1 + symmetry) q vanishes and `susceptibility` is the limit of
    q / T; from there on that is inf.  With symmetry > 0, q vanishes like sqrt(T) up to a second
    gain, 1 / sqrt(1 + symmetry), where q > 0 begins.  With symmetry < 0 states of q = 0 and q > 0
    coexist between the two; the answer is q = 0 below 1 / (1 + symmetry).

    Parameters
    ----------
    gain, symmetry, transfer
        As for `equilibrium`; phi'(0) = 1 is required.

    Raises
    ------
    ValueError
        As for `equilibrium`.

    Examples
    --------
    >>> import sntorch as snt
    >>> found = snt.meanfield.zero_temperature(gain=[0.5, 1.5])
    >>> found.overlap, found.susceptibility
    (tensor([0.0000, 0.3526], dtype=torch.float64), tensor([1.3333,    inf], dtype=torch.float64))
    """
    named, phi = entered({"gain": gain, "symmetry": symmetry}, transfer)
    if abs(float(phi.derivative(torch.zeros((), dtype=torch.float64))) - 1) > 1e-12:
        raise ValueError(f"transfer: expected phi'(0) = 1, got {phi!r}")
    flat = {name: value.reshape(-1) for name, value in named.items()}
    zeros = torch.zeros_like(flat["gain"])
    named |= {"temperature": torch.zeros_like(named["gain"])}
    state = settled_site(phi, flat | {"temperature": zeros, "confinement": zeros})
    at = canonical.site(phi, state)
    found = _record(state, at, zeros, zeros, named, phi)
    return dataclasses.replace(found, **_quiet(found, named["gain"], named["symmetry"]))


def _quiet(found: Equilibrium, g: Tensor, symmetry: Tensor) -> dict[str, Tensor]:
    """Return the fields of `found` with those of linear theory where q vanishes with T."""
    square = g.square()
    below = g * (1 + symmetry) < 1
    quiet = below | (square * (1 + symmetry) <= 1)
    root = (1 - 4 * square * symmetry).clamp(min=0).sqrt()
    # (1 - root) / (2 g^2 gamma) without the division by zero; beyond the edge q >> T, s = g^2 q.
    R = torch.where(below, 2 / (1 + root), 1 / (square * (1 + symmetry)))
    linear = {
        "overlap": torch.zeros_like(g),
        "variance": torch.zeros_like(g),
        "response": R,
        "stability": torch.where(below, (g * R).square(), 1.0),
        "susceptibility": torch.where(below, R.square() / (1 - (g * R).square()), torch.inf),
        "residual": torch.zeros_like(g),
    }
    chosen = {k: torch.where(quiet, value, getattr(found, k)) for k, value in linear.items()}
    zero = torch.where(chosen["overlap"].isnan(), torch.nan, 0.0)
    return chosen | {"replica_overlap": zero, "energy": zero, "free_energy": zero}


def settled_site(phi: Transfer, flat: dict[str, Tensor]) -> Site:
    """Return the state of every problem (P,): closed, or continued from a closed one."""
    state = _closed(phi, flat)
    rows = ((state.symmetry != 0) | (state.confinement != 0)).nonzero().squeeze(-1)
    if not len(rows):
        return state
    part = {name: value[rows] for name, value in flat.items()}
    hot = _closed(phi, part | {"temperature": part["temperature"].clamp(min=canonical.HOT)})
    found = canonical.continued(phi, dataclasses.replace(hot, temperature=part["temperature"]))
    for name in ("q", "gamma", "tilt", "residual"):
        getattr(state, name)[rows] = getattr(found, name)
    return state


def _closed(phi: Transfer, flat: dict[str, Tensor]) -> Site:
    """Return the state without symmetry and confinement, where x ~ N(0, T + g^2 q)."""
    gain, T = flat["gain"], flat["temperature"]
    # The law of x is that of a noisy network in discrete time, variance T + g^2 q.
    field = solve(gain=1.0, std=gain, noise=T.sqrt(), transfer=phi)
    q = phi.second_moment(torch.zeros_like(gain), field.variance.nan_to_num(1.0, 1.0))
    relative = field.residual / field.variance.clamp(min=torch.finfo(q.dtype).tiny)
    return Site(
        gain=gain,
        temperature=T,
        symmetry=flat["symmetry"],
        confinement=flat["confinement"],
        q=q.clamp(min=torch.finfo(q.dtype).tiny),
        gamma=torch.zeros_like(gain),
        tilt=torch.zeros_like(gain),
        residual=torch.where(field.variance.isfinite(), relative, torch.inf),
    )


def _response(state: Site, at: Averages) -> Tensor:
    """Return R_int = < y phi > / s (P,), which is Gamma / (g^2 gamma)."""
    return at.cross / state.s


def _record(
    state: Site,
    at: Averages,
    energy: Tensor,
    free: Tensor,
    named: dict[str, Tensor],
    phi: Transfer,
) -> Equilibrium:
    bad = ~(state.residual <= 1e-6)
    zero = torch.zeros_like(state.q)
    fields = {
        "overlap": state.q,
        "replica_overlap": zero,
        "variance": at.variance,
        "response": _response(state, at),
        "energy": energy,
        "free_energy": free,
        "stability": canonical.spectral_radius(state, at),
        "susceptibility": state.q / state.temperature,
    }
    shape = named["gain"].shape
    shown: dict[str, Any] = {
        k: torch.where(bad, torch.nan, v).reshape(shape) for k, v in fields.items()
    }
    return Equilibrium(
        **shown, residual=state.residual.reshape(shape), arguments=named, transfer=repr(phi)
    )
