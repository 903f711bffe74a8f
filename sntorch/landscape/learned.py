r"""How good a potential is, at states of the steady state: six questions with one number each.

With v = F + G grad V and P = exp(-V / Db):

=======================  ==================================================================
number                   meaning
=======================  ==================================================================
entropy production       <v . D^-1 v>, nats per unit of time: an upper bound if the states
                         are none that V was trained on
force form               <F . D^-1 v>: the same where V has the least EPR loss
balance                  rms of div v - v . grad V / Db over that of the two terms that V
                         has in it twice; 0 where exp(-V / Db) is stationary
virial                   <(u - m) . grad V> / (N Db): 1 where P has the states' spread
Hamilton-Jacobi          rms of F . grad V + grad V . G grad V over that of its second term;
                         of order Db for an exact V
error, correlation       against a known potential, where P counts
=======================  ==================================================================

and of the states themselves: the generator of the dynamics, (L phi)(u) = F . grad phi +
tr(D grad grad phi), has mean 0 over a stationary density.  `stationarity` asks it for phi = u_i and
u_i^2, for maps with their exact expectations, with standard errors over independent states.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.dynamics import Dynamics
from sntorch.flows import Flow, as_flow
from sntorch.landscape.metric import DiffusionField, Metric, metric_of
from sntorch.landscape.objectives import enter
from sntorch.landscape.potentials import Potential, as_potential
from sntorch.landscape.velocity import divergence, second_directions
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["PotentialQuality", "Stationarity", "examine", "relative_error", "stationarity"]

_DEEP = 20.0  # nats above the lowest state, up to which errors of V count


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PotentialQuality(Result):
    """What a potential says of the steady state, and how well it fits it."""

    entropy_production: Tensor
    """(), <v . D^-1 v>, nats per unit of time."""
    stderr: Tensor
    """(), over the states as independent ones."""
    force_form: Tensor
    """(), <F . D^-1 v>."""
    balance: Tensor
    """(), relative size of what keeps exp(-V / Db) from being stationary."""
    virial: Tensor
    """(), <(u - m) . grad V> / (N Db)."""
    hamilton_jacobi: Tensor
    """(), relative residual for weak noise."""
    error: Tensor
    """(), relative rms difference from the known potential; NaN if none is known."""
    correlation: Tensor
    """(), with the known potential over the states; NaN if none is known."""

    def scalars(self) -> dict[str, float]:
        """Return all that is a number."""
        found = {field.name: float(getattr(self, field.name)) for field in dataclasses.fields(self)}
        found["entropy_production_stderr"] = found.pop("stderr")
        return {name: value for name, value in found.items() if math.isfinite(value)}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Stationarity(Result):
    """Whether states are a sample of the steady state, by balance equations that hold there."""

    rates: Tensor
    """(2, N), d<u_i>/dt and d<(u_i - m_i)^2>/dt of the density that the states are drawn from."""
    stderr: Tensor
    """(2, N), over the states as independent ones."""

    @property
    def z(self) -> Tensor:
        """The largest of |rates| / stderr ()."""
        return (self.rates.abs() / self.stderr.clamp(min=torch.finfo(self.stderr.dtype).tiny)).max()

    @property
    def stationary(self) -> bool:
        """Whether no rate differs from 0 by more than chance explains, at one in a thousand."""
        tail = 1e-3 / (2 * self.rates.numel())
        return float(self.z) <= -math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * tail - 1.0)))

    def scalars(self) -> dict[str, float]:
        """Return the largest deviation in standard errors, and whether it is chance."""
        return {"z": float(self.z), "stationary": float(self.stationary)}


def examine(
    flow: object,
    potential: object,
    states: Tensor,
    *,
    x: Tensor | None = None,
    diffusion: DiffusionField | None = None,
    truth: object | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> PotentialQuality:
    """Return entropy production and quality of a potential at states of the steady state.

    Parameters
    ----------
    flow, potential, states, x, diffusion
        As for `epr_loss`; states that the potential was not trained on.
    truth
        A known potential, V up to a constant.
    probes, generator
        As for `hjb_loss`; random directions make `balance` come out high.

    Raises
    ------
    ValueError
        As `epr_loss`.

    Examples
    --------
    >>> import sntorch as snt
    >>> ring = snt.systems.StuartLandau(diffusion=0.1)
    >>> u = torch.randn(2000, 2, generator=torch.Generator()).double()
    >>> bool(snt.landscape.examine(ring, ring.potential, u).balance < 1e-12)
    True
    """
    f, V, u = enter(flow, potential, states)
    u = u.reshape(-1, u.shape[-1])
    with observing(V, u):
        metric = metric_of(f, u, diffusion)
        value, slope = V.value_and_gradient(u)
        value, slope = value.detach(), slope.detach()
        F = f.drift(u, x) - metric.divergence
        v = F + metric.push(slope)
        produced = metric.square(v)
        error = correlation = torch.full_like(produced[0], torch.nan)
        if truth is not None:
            known = as_potential(truth).energy(u).detach()
            error = relative_error(value, known, metric.scale)
            correlation = torch.corrcoef(torch.stack([value, known]))[0, 1]
        moved = (slope * metric.push(slope)).sum(-1)
        return PotentialQuality(
            entropy_production=produced.mean(),
            stderr=produced.std() / math.sqrt(len(u)),
            force_form=metric.dot(F, v).mean(),
            balance=_balance(f, V, u, x, v, slope, metric, probes, generator),
            virial=((u - u.mean(0)) * slope).sum(-1).mean() / (u.shape[-1] * metric.scale),
            hamilton_jacobi=_rms((F * slope).sum(-1) + moved) / _rms(moved),
            error=error,
            correlation=correlation,
        )


def stationarity(f: object, states: Tensor, *, x: Tensor | None = None) -> Stationarity:
    """Return whether states (..., N) can be a sample of the steady state of a flow or map.

    Parameters
    ----------
    f
        A `Dynamics` with or without noise, or anything `as_flow` accepts.
    states
        Independent rows (..., N), at least 8.
    x
        Constant drive (I,).

    Raises
    ------
    ValueError
        On wrong arguments.

    Examples
    --------
    >>> import sntorch as snt
    >>> trap = snt.systems.OrnsteinUhlenbeck(-torch.eye(2), diffusion=1.0)
    >>> u = torch.randn(4000, 2, generator=torch.Generator())
    >>> [snt.landscape.stationarity(trap, scale * u).stationary for scale in (1.0, 1.2)]
    [True, False]
    """
    g: Dynamics | Flow = f if isinstance(f, Dynamics) else as_flow(f)
    u = checks.finite("states", g.check(states)).detach().reshape(-1, states.shape[-1])
    if len(u) < 8:
        raise ValueError(f"states: expected at least 8 of them, got {len(u)}")
    with observing(g, u):
        d = u - u.mean(0)
        if isinstance(g, Dynamics):
            sigma = torch.as_tensor(g.noise, dtype=u.dtype, device=u.device)
            variance = sigma.square().sum(-1) if sigma.ndim == 2 else sigma.square()
            moved = g.map(u, x) - u
            first, second = moved / g.dt, ((d + moved).square() - d.square() + variance) / g.dt
        else:
            D = torch.as_tensor(g.diffusion, dtype=u.dtype, device=u.device)
            first = g.drift(u, x)
            second = 2 * (d * first + (D.diagonal() if D.ndim == 2 else D))
    rates = torch.stack([first, second])
    return Stationarity(rates=rates.mean(1), stderr=rates.std(1) / math.sqrt(len(u)))


def relative_error(value: Tensor, known: Tensor, scale: float) -> Tensor:
    """Return the rms difference of two potentials over the rms of the known one ().

    Each is taken from its lowest value, and only where the known one is less than 20 Db above it.
    """
    known = known - known.min()
    kept = known < _DEEP * scale
    value = value - value[kept].min()
    return _rms((value - known)[kept]) / _rms(known[kept])


def _balance(
    f: Flow, V: Potential, u: Tensor, x: Tensor | None, v: Tensor, slope: Tensor,
    metric: Metric, probes: int | None, generator: torch.Generator | None,
) -> Tensor:  # fmt: skip
    if metric.local:
        return v.new_full((), torch.nan)
    curved = V.curvature(u, second_directions(metric, u, probes, generator)).detach()
    spreading = divergence(f, u, x=x, probes=probes, generator=generator) + curved
    residual = spreading - (v * slope).sum(-1) / metric.scale
    steep = (slope * metric.push(slope)).sum(-1) / metric.scale
    return _rms(residual) / (steep.square() + curved.square()).mean().sqrt()


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()
