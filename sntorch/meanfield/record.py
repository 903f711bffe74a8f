r"""The record of a stationary mean field, and the door through which its parameters come.

As N grows, every u_i becomes an independent Gaussian process with mean mu, stationary covariance
Delta_k at lag k, variance v = Delta_0, and static overlap q = Delta_k as k grows: the variance over
neurons of what is frozen by the quenched couplings and thresholds.  All symbols:

========================  ===================================  ======================
symbol                    meaning                              argument or field
========================  ===================================  ======================
g, gamma                  gain, leak                           ``gain``, ``leak``
Jbar, J                   E J_ij = Jbar/N, Var J_ij = J^2/N    ``mean``, ``std``
theta, s_th               mean and deviation of thresholds     ``threshold(_std)``
sigma                     noise per step                       ``noise``
mu, v, q, Delta_k         law of u                             fields of `MeanField`
E f', E f'^2              slopes, gain included                ``slope``, ``slope_sq``
========================  ===================================  ======================

Predictions that follow from these numbers alone are methods of the record.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy.typing as npt
import torch
from torch import Tensor

from sntorch import checks
from sntorch.results import Result
from sntorch.transfer import Transfer, as_transfer

__all__ = [
    "NAMES",
    "MeanField",
    "Number",
    "Parameters",
    "at_lag",
    "domain",
    "enter",
    "nonnegative",
    "real",
]

Number = npt.ArrayLike | Tensor
"""A number, array or tensor."""

_DOMAIN = {
    "gain": (-math.inf, math.inf),
    "std": (0.0, math.inf),
    "mean": (-math.inf, math.inf),
    "threshold": (-math.inf, math.inf),
    "threshold_std": (0.0, math.inf),
    "noise": (0.0, math.inf),
    "leak": (0.0, 1.0),
}
"""Parameters of an ensemble and their domains [low, high)."""

NAMES = tuple(_DOMAIN)
"""The parameters in order."""

_CONVERGED = 1e-8
_TRANSITION = 1e-3
_BIAS, _SPREAD = 5.0, 2.0  # finite size, times 1/N: simulations of tanh, gain 1.5 to 3, N >= 200


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Flat parameters (P,) of P independent ensembles."""

    gain: Tensor
    std: Tensor
    mean: Tensor
    threshold: Tensor
    threshold_std: Tensor
    noise: Tensor
    leak: Tensor

    @property
    def static(self) -> Tensor:
        """s_th^2 (P,)."""
        return self.threshold_std.square()

    @property
    def independent(self) -> Tensor:
        """s_th^2 + sigma^2 (P,), the variance that does not come through couplings."""
        return self.static + self.noise.square()

    def take(self, rows: Tensor) -> Parameters:
        """Return the ensembles at an index or mask."""
        return Parameters(**{k: getattr(self, k)[rows] for k in _DOMAIN})


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MeanField(Result):
    """The stationary law of one neuron; `...` is the broadcast shape of the arguments."""

    mean: Tensor
    """(...), mu."""
    variance: Tensor
    """(...), v."""
    overlap: Tensor
    """(...), q: what is left of the covariance at long lags."""
    slope: Tensor
    """(...), E f', gain included."""
    slope_sq: Tensor
    """(...), E f'^2."""
    slope_pair: Tensor
    """(...), E f'(u_1) f'(u_2) at covariance q: the mean square of a neuron's average slope."""
    lyapunov: Tensor
    """(...), largest exponent per step: that of single neurons or of the mean field, the larger."""
    microscopic: Tensor
    """(...), exponent of perturbations that differ from neuron to neuron."""
    macroscopic: Tensor
    """(...), exponent of the mean-field equations; for a leak, in the direction of the mean only
    (exact for odd f without thresholds)."""
    chaotic: Tensor
    """(...), bool: microscopic exponent > 0, and something moves."""
    residual: Tensor
    """(...), largest violation of the equations; NaN or inf where they have no bounded solution."""
    covariances: Tensor
    """(..., L), Delta_k at the lags 0, ..., L - 1; from lag L on it is q."""
    arguments: dict[str, Tensor]
    """Every argument of the call, of the broadcast shape."""
    transfer: str
    """Name of the transfer function."""

    @property
    def converged(self) -> Tensor:
        """Bool (...): the equations hold to 1e-8 of 1 + v."""
        return self.residual <= _CONVERGED * (1 + self.variance)

    @property
    def stationary(self) -> Tensor:
        """Bool (...): the mean field stays where it is; where not, it moves (see `populations`)."""
        return self.converged & (self.macroscopic <= 0)

    @property
    def at_transition(self) -> Tensor:
        """Bool (...): an exponent within 1e-3 of zero, where relaxation takes 1000 steps and more.

        The answer stands, but slowly relaxing quantities are known to fewer digits there.
        """
        near = torch.minimum(self.microscopic.abs(), self.macroscopic.abs())
        return near < _TRANSITION

    @property
    def radius(self) -> Tensor:
        """Spectral radius (...) of DF along orbits: gamma + J sqrt(E f'^2) (circular law)."""
        return self.arguments["leak"] + self.arguments["std"] * self.slope_sq.sqrt()

    @property
    def outlier(self) -> Tensor:
        """Real eigenvalue (...) gamma + Jbar E f' of DF; seen where it is outside the disk."""
        return self.arguments["leak"] + self.arguments["mean"] * self.slope

    @property
    def entropy_production(self) -> Tensor:
        r"""Entropy production per neuron and step (...), nats: (v - Delta_2 - sigma^2) / sigma^2.

        Exact as N grows for every leak; NaN without noise, where it has no value.  From the log
        ratio of path probabilities: a step forward misses F by sigma B, backward
        E (u(t) - F(u(t+1)))^2 = v + (v - sigma^2) - 2 Delta_2.
        """
        power = self.arguments["noise"].square()
        value = (self.variance - self.covariance(2) - power) / power
        return torch.where(power > 0, value, torch.nan)

    def covariance(self, lag: int | Tensor) -> Tensor:
        """Return Delta_lag, of shape (..., *lag.shape)."""
        return at_lag(self.covariances, self.overlap, lag)

    def correlation(self, lag: int | Tensor) -> Tensor:
        """Return Delta_lag / v, of shape (..., *lag.shape); NaN where nothing varies."""
        value = self.covariance(lag)
        extra = value.ndim - self.variance.ndim
        return value / self.variance.reshape(self.variance.shape + (1,) * extra)

    def response_power(self, omega: float | Tensor) -> Tensor:
        r"""Return E |chi_ij(w)|^2 summed over j, of shape (..., *omega.shape), by the resolvent.

        With R = 1 / (1 - gamma e^{-iw}) and a^2 = J^2 E f'(u_1) f'(u_2) at covariance q, random
        couplings give |R|^2 / (1 - |R|^2 a^2); of this |R|^2 is the neuron's own response.  The
        average response of the network to signals of frequency w (Girko 1985 for the resolvent);
        inf where the resolvent does not exist.
        """
        omega = torch.as_tensor(omega, dtype=torch.float64, device=self.variance.device)
        shape = (*self.variance.shape, *[1] * omega.ndim)
        leak, pair = self.arguments["leak"].reshape(shape), self.slope_pair.reshape(shape)
        own = 1 / (1 + leak.square() - 2 * leak * omega.cos())
        loss = 1 - own * self.arguments["std"].reshape(shape).square() * pair
        return torch.where(loss > 0, own / loss, torch.inf)

    def finite_size(self, n: int) -> tuple[Tensor, Tensor]:
        """Return lowest and highest exponent (...) to expect of one network of n neurons.

        Networks fall short of theory by up to 5/n on average and spread by about 2/n (measured for
        tanh at gains 1.5 to 3, without random thresholds); the band is two spreads wide.
        """
        checks.count("n", n, low=2)
        low = self.lyapunov - (_BIAS + 2 * _SPREAD) / n
        return low, self.lyapunov + 2 * _SPREAD / n

    def scalars(self) -> dict[str, float]:
        """Return variance, overlap, exponent and spectral radius, averaged over the ensembles."""
        names = ("mean", "variance", "overlap", "lyapunov", "radius")
        return {name: float(getattr(self, name).mean()) for name in names}


def at_lag(covariances: Tensor, overlap: Tensor, lag: int | Tensor) -> Tensor:
    """Return Delta (..., *lag.shape) from the known lags (..., L) and what follows them (...)."""
    lag = torch.as_tensor(lag, device=overlap.device)
    if lag.is_floating_point() or lag.is_complex() or lag.dtype == torch.bool:
        raise ValueError(f"lag: expected whole numbers, got {lag.dtype}")
    known = covariances.shape[-1]
    flat = lag.abs().reshape(-1)
    value = covariances[..., flat.clamp(max=known - 1)]
    value = torch.where(flat < known, value, overlap.unsqueeze(-1))
    return value.reshape(overlap.shape + lag.shape)


def enter(
    arguments: Mapping[str, Number], transfer: str | Transfer
) -> tuple[Parameters, tuple[int, ...], dict[str, Tensor], Transfer]:
    """Return checked flat parameters, their broadcast shape, the arguments, and the transfer.

    Raises
    ------
    ValueError
        For what is not finite or outside its domain, and shapes that do not broadcast.
    """
    given = {name: domain(name, value) for name, value in arguments.items()}
    device = next((t.device for t in given.values() if t.device.type != "cpu"), None)
    given = given if device is None else {name: t.to(device) for name, t in given.items()}
    try:
        full = torch.broadcast_tensors(*given.values())
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in given.items() if t.ndim)
        raise ValueError(f"arguments: expected shapes that broadcast, got {shapes}") from None
    shape = tuple(full[0].shape)
    named = dict(zip(given, (t.clone() for t in full), strict=True))
    flat = Parameters(**{name: t.reshape(-1) for name, t in named.items()})
    return flat, shape, named, as_transfer(transfer)


def domain(name: str, value: Number) -> Tensor:
    """Return the argument of that name as a float64 tensor if it is in its domain."""
    return real(name, value, *_DOMAIN[name])


def real(name: str, value: Number, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Return a number or array as a float64 tensor if it is finite and in [low, high)."""
    try:
        # What is computed is made on the default device, whatever the argument comes from.
        where = torch.get_default_device()
        tensor = torch.as_tensor(value, dtype=torch.float64, device=where).detach()
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise ValueError(f"{name}: expected a number or an array of numbers, got {kind}") from None
    if tensor.numel() == 0:
        raise ValueError(f"{name}: expected at least one number, got shape {tuple(tensor.shape)}")
    least, most = (each.item() for each in tensor.aminmax())  # NaN if one of the numbers is
    if not (math.isfinite(least) and math.isfinite(most)):
        checks.finite(name, tensor)
    if least < low or most >= high:
        wrong = (tensor < low) | (tensor >= high)
        raise ValueError(
            f"{name}: expected numbers in [{low}, {high}), got {tensor[wrong][0].item()}"
        )
    return tensor


def nonnegative(name: str, value: Number) -> Tensor:
    """Return a number or array as a float64 tensor if it is finite and >= 0."""
    return real(name, value, low=0.0)
