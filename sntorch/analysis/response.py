r"""Linear response: what a small kick on neuron j does to neuron i, tau steps later, on average.

.. math:: u(t+1) = F(u(t)) + \sigma B(t) + \xi(t), \qquad
          \delta\langle u_i(t+1) \rangle = \sum_{\tau \ge 0} \sum_j K_{ij}(\tau)\, \xi_j(t - \tau),
.. math:: K(\tau) = \langle DF^\tau \rangle, \qquad K(0) = 1, \qquad
          \chi(\omega) = \sum_\tau K(\tau)\, e^{-i \omega \tau}.

:math:`DF^\tau` is the tangent of tau steps, the average over the stationary state, noise included.
**Mind the step:** a signal xi(t) enters u(t+1), so K(tau) links xi(t) to u(t+1+tau), and a kick of
the state itself to the state tau steps later.  In a chaotic network :math:`DF^\tau` grows while its
mean decays: chaos has a linear response (Ruelle 1999).  Four estimators:

``tangent``
    The mean of products of Jacobians along orbits.  Without an error for linear maps; in chaos the
    error grows like exp(lambda tau) or faster, so that some ten lags are feasible.
``noise``
    Novikov's identity, exact for any sigma > 0: with n = sigma B, the noise that enters u(t+1),

    .. math:: K(\tau) = E[F(u(t+\tau))\, n(t)^\top]\, (\sigma \sigma^\top)^{-1}, \quad \tau \ge 1,

    of which the error, about sd(u) / (sigma sqrt(samples)), does not grow with tau.  F(u) stands
    in the place of u(t+1+tau), whose own noise would only add to the error.
``finite_difference``
    Replicas kicked by +-epsilon under common noise: the experiment itself, for any map.
``mean_field``
    :math:`K(\tau) \approx \langle DF \rangle^\tau`: slopes at successive steps taken as
    independent, a few per cent off for random networks of N >= 100, not to be trusted for small
    ones.  Its `stderr` is that of sampling alone.

Samples are cut into blocks, and the standard error is that of the block means, as in
`sntorch.results`; the blocks are added up one by one, so that memory does not grow with samples.
Blocks follow one another in time and hold all rows: rows that stay on several attractors are
averaged as the starts fell, and the error does not know of it.  Kicks come every `lags` steps: of a
cycle whose period divides `lags` they see some phases only (both C).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.accumulator import METHODS, ResponseAccumulator
from sntorch.analysis.kernels import LinearResponse
from sntorch.dynamics import enter
from sntorch.noise import noise_of
from sntorch.results import BLOCKS

__all__ = ["ResponseWarning", "linear_response"]

_LARGE = 100  # neurons from which on slopes average out
_PILOT = 2 * BLOCKS  # samples from which errors are foreseen
_DRIFT = 6.0  # spreads by which an early and a late mean may differ


class ResponseWarning(UserWarning):
    """The response is below its noise, not linear, or that of a state which is not stationary.

    Examples
    --------
    >>> import warnings
    >>> import sntorch as snt
    >>> u = torch.linspace(0.1, 0.9, 4).unsqueeze(-1)
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     _ = linear_response(snt.systems.Logistic(), u, lags=20, samples=8, method="tangent")
    >>> {each.category.__name__ for each in told}
    {'ResponseWarning'}
    """


def linear_response(
    f: object,
    u: Tensor,
    *,
    lags: int,
    samples: int,
    method: str = "auto",
    transient: int = 0,
    x: Tensor | None = None,
    amplitude: float | None = None,
    progress: bool = False,
    generator: torch.Generator | None = None,
) -> LinearResponse:
    """Return K(0) ... K(lags), all pairs: what kicks on every neuron do to every neuron.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise is part of the stationary state.
    u
        Initial states (..., N); all rows are replicas of one ensemble.
    lags
        The largest lag, in steps.
    samples
        How many kicks to average over, all rows together; rounded up to whole rows.  Tangents and
        finite differences make `lags` steps with N columns for each, ``noise`` a single step.
    method
        ``"tangent"``, ``"noise"``, ``"finite_difference"``, ``"mean_field"``, as above, or
        ``"auto"``: the one of tangent, noise (if there is any) and mean_field (if N >= 100) whose
        root mean square error over all lags is the smallest, as a pilot of 40 samples foresees, for
        the work that `samples` tangents are.  A sample of noise is cheap: it then takes more of
        them, some N lags / (lags + 1) for one.
    transient
        Steps before the first sample.
    x
        Constant drive (I,).  A drive that changes has no stationary state (mathematics).
    amplitude
        Kick of ``finite_difference``; by default the cube root of the rounding of the dtype.
    progress
        Show a progress bar.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, noise that leaves neurons out with ``method="noise"``, and when an orbit
        or its tangents leave the finite numbers.

    Warns
    -----
    ResponseWarning
        Where the kernel as a whole is below its noise, with the samples that it would need, and
        where the state drifts: `transient` was too short, or there is no stationary state.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Phys. Rev. E 70 (2004) 056111.  D. Ruelle, J. Stat. Phys. 95 (1999)
    393.  E. A. Novikov, Sov. Phys. JETP 20 (1965) 1290.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[0.5, 0.2], [0.0, 0.4]])
    >>> found = snt.analysis.linear_response(lambda u: u @ M.T, torch.zeros(2), lags=2, samples=20)
    >>> found.method, found.kernel[2]
    ('tangent', tensor([[0.2500, 0.1800],
            [0.0000, 0.1600]]))
    """
    samples = checks.count("samples", samples, low=2)
    settings = {"lags": lags, "transient": transient, "x": x, "amplitude": amplitude}
    if checks.one_of("method", method, (*METHODS, "auto")) == "auto":
        method, samples = choose(f, u, samples, settings)
    accumulator = ResponseAccumulator(f, u, method=method, generator=generator, **settings)
    result = accumulator.update(samples, progress=progress).result()
    warn(result, accumulator.drift(), stacklevel=2)
    return result


def choose(f: object, u: Tensor, samples: int, settings: dict[str, Any]) -> tuple[str, int]:
    """Return the method whose error a pilot foresees to be the smallest, and its samples.

    Work is that of `samples` tangents: lags (N + 1) products with a vector each, of which a sample
    of noise takes 1 + lags.
    """
    f, _ = enter(f, u, x=settings["x"])
    lags = checks.count("lags", settings["lags"])
    kinds = ["tangent"]
    sigma = noise_of(f, u)
    if sigma is not None and (sigma.ndim == 2 or bool((sigma > 0).all())):
        kinds.append("noise")
    if u.shape[-1] >= _LARGE:
        kinds.append("mean_field")
    if len(kinds) == 1:
        return kinds[0], samples
    affordable = dict.fromkeys(kinds, samples)
    affordable["noise"] = samples * lags * (u.shape[-1] + 1) // (1 + lags)
    u = u.reshape(-1, u.shape[-1])[:_PILOT]
    pilots = {
        kind: ResponseAccumulator(f, u, method=kind, **settings).update(_PILOT).result()
        for kind in kinds
    }
    tangent = pilots["tangent"]
    errors = {
        kind: float((pilot.error.square().mean() * pilot.samples / affordable[kind]).sqrt())
        for kind, pilot in pilots.items()
    }
    if "mean_field" in pilots:
        field = pilots["mean_field"]
        bias = (field.kernel - tangent.kernel).square() - tangent.stderr.square()
        # Only where the pilot sees something can it judge the approximation.
        seen = tangent.signal > tangent.error
        bias = float(bias[seen].mean().clamp(min=0).sqrt())
        errors["mean_field"] = math.hypot(errors["mean_field"], bias)
    best = min(errors, key=errors.__getitem__)
    return best, affordable[best]


def warn(result: LinearResponse, drift: float, stacklevel: int) -> None:
    error, signal = result.error[1:].square().sum(), result.signal[1:].square().sum()
    if bool(error > signal):
        needed = float(result.samples * error / signal)
        enough = f"about {needed:.0e} are" if math.isfinite(needed) else "many more are"
        warnings.warn(
            f"samples: the kernel is below its noise with {result.samples}; {enough} needed for a "
            "signal-to-noise of 1; fewer lags need fewer (see `needed`)",
            ResponseWarning,
            stacklevel=stacklevel + 1,
        )
    if drift > _DRIFT:
        warnings.warn(
            f"u: expected a stationary state, but its mean drifts by {drift:.0f} standard errors; "
            "use a longer transient",
            ResponseWarning,
            stacklevel=stacklevel + 1,
        )
