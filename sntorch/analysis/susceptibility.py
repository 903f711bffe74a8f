r"""Susceptibility: how strongly, and how late, neuron i follows a sinusoid on neuron j.

.. math:: \chi_{ij}(\omega) = \sum_{\tau \ge 0} K_{ij}(\tau)\, e^{-i \omega \tau}, \qquad
          \xi_j(t) = \epsilon \sin \omega t \;\Rightarrow\;
          \delta \langle u_i(t+1) \rangle = \epsilon |\chi_{ij}| \sin(\omega t + \arg \chi_{ij}),

with the kernel K of `sntorch.analysis.response`.  It is had in two ways that share nothing.

*Transform* of a kernel, all pairs and frequencies at once.  Its error is measured block by block.

*Sinusoid*, the experiment itself: pairs of replicas driven by :math:`\pm \epsilon \cos \omega t`
under common noise; half their difference is fitted by a sinusoid.  A response is linear if halving
epsilon leaves chi alone,

.. math:: \|\chi_\epsilon - \chi_{\epsilon/2}\| \le \max(0.05\, \|\chi_\epsilon\|,\;
          1.3 \text{ standard errors of the difference}),

and epsilon is halved until it is.  Small chaotic networks without noise are fragile: doubling
epsilon may change an apparent susceptibility several times over, by locking.

A resonance is a peak of :math:`|\chi_{ij}|^2`.  The poles of the unstable part of the response are
seen in the power spectra of spontaneous activity too, those of the stable part are not (Cessac and
Sepulchre 2004): the power spectrum is measured beside, S_i = sigma^2 for white noise.

Fluctuation and dissipation.  In linear networks, and in large chaotic ones nearly, spontaneous
fluctuations decay as a response does (quasi-Gaussian relation):

.. math:: C(\tau) = K(\tau)\, C(0), \qquad C(\tau) = E[\delta u(t+\tau)\, \delta u(t)^\top].

C(0) may be nearly singular: the two sides are compared as they stand, and nothing is inverted.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from scipy import signal
from torch import Tensor

from sntorch import checks
from sntorch.analysis.response import (
    METHODS,
    LinearResponse,
    ResponseAccumulator,
    ResponseWarning,
    choose,
    frequencies,
    warn,
    waves,
)
from sntorch.analysis.tangents import own_stream
from sntorch.dynamics import Dynamics, add_noise, enter, noise_of, observing, step
from sntorch.results import Result, block_lengths, block_mean

__all__ = [
    "FluctuationDissipation",
    "Resonance",
    "Susceptibility",
    "fluctuation_dissipation",
    "paired_replicas",
    "susceptibility",
]

_HALVINGS = 8
_TOLERANCE = 0.05  # relative change of chi that counts as linear
_UNITS = 8  # independent estimates at least, of which the spread is the error
_SEGMENTS = 64  # stretches of orbit at least that a power spectrum averages over


class Resonance(NamedTuple):
    """A peak of abs(chi_ij)^2: where, how high abs(chi) is there, and how wide at half power."""

    omega: float
    height: float
    width: float


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Susceptibility(Result):
    """chi at some frequencies, with its errors and the power spectrum beside it."""

    omega: Tensor
    """(W,), radians per step."""
    chi: Tensor
    """(W, N, S) complex, ``chi[w][i, s]`` of the response of i to a signal on ``sources[s]``."""
    stderr: Tensor
    """(W, N, S), standard error of real and imaginary part, the mean of the two."""
    sources: Tensor
    """(S,), neurons that were driven; all N unless chosen."""
    power: Tensor
    """(W, N), power spectrum of the activity without a signal; sigma^2 for white noise."""
    power_stderr: Tensor
    """(W, N)."""
    amplitude: Tensor
    """(W,), epsilon of the sinusoid; NaN for transforms."""
    change: Tensor
    """(W,), relative change of chi when epsilon is halved; NaN for transforms."""
    linear: Tensor
    """(W,), whether that change is within tolerance or error; true for transforms."""
    samples: int
    """Kicks that were averaged over, or driven steps per source and frequency."""
    method: str
    """``"sinusoid"`` or the estimator of the kernel."""

    @property
    def modulus(self) -> Tensor:
        """Gain abs(chi) (W, N, S)."""
        return self.chi.abs()

    @property
    def phase(self) -> Tensor:
        """Phase arg chi (W, N, S) in radians, along omega without jumps; negative is late."""
        angle = self.chi.angle()
        turns = ((angle[1:] - angle[:-1]) / (2 * math.pi)).round().cumsum(0)
        return torch.cat([angle[:1], angle[1:] - 2 * math.pi * turns])

    @property
    def resolved(self) -> Tensor:
        """Which entries (W, N, S) are more than 3 standard errors from zero."""
        return self.modulus > 3 * self.stderr

    def resonances(self, receiver: int, source: int) -> list[Resonance]:
        """Return the peaks of abs(chi)^2 that stand out of their error by 3, highest first.

        `source` counts along `sources`.  Frequencies have to be in ascending order.
        """
        line = self.modulus[:, receiver, source]
        error = self.stderr[:, receiver, source]
        square = line.square().cpu().numpy()
        noise = float((2 * line * error).median()) if bool(error.isfinite().all()) else 0.0
        peaks, _ = signal.find_peaks(square, prominence=max(3 * noise, 1e-12))
        _, _, left, right = signal.peak_widths(square, peaks, rel_height=0.5)
        found = [
            Resonance(float(self.omega[p]), float(line[p]), self._at(b) - self._at(a))
            for p, a, b in zip(peaks, left, right, strict=True)
        ]
        return sorted(found, key=lambda peak: -peak.height)

    def scalars(self) -> dict[str, float]:
        """Return the largest gain, its frequency, and the share of frequencies that are linear."""
        gain = self.modulus.flatten(1).amax(1)
        return {
            "gain": float(gain.max()),
            "omega": float(self.omega[gain.argmax()]),
            "resolved": float(self.resolved.double().mean()),
            "linear": float(self.linear.double().mean()),
        }

    def _at(self, place: float) -> float:
        """Return omega at a place between two indices."""
        low = min(int(place), len(self.omega) - 2)
        return float(torch.lerp(self.omega[low], self.omega[low + 1], place - low))


def susceptibility(
    f: object,
    u: Tensor,
    omega: float | Sequence[float] | Tensor,
    *,
    lags: int,
    samples: int,
    method: str = "auto",
    sources: Sequence[int] | None = None,
    transient: int = 0,
    x: Tensor | None = None,
    amplitude: float | None = None,
    progress: bool = False,
    generator: torch.Generator | None = None,
) -> Susceptibility:
    """Return chi at frequencies omega: the gain and delay from every neuron to every neuron.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (..., N); all rows are replicas of one ensemble.
    omega
        Frequencies (W,) in [0, pi], radians per step.
    lags
        The largest lag of the kernel.  For ``"sinusoid"``, steps until the response has settled.
    samples
        As in `linear_response`.  For ``"sinusoid"``, driven steps for each frequency and source,
        all rows together.
    method
        ``"sinusoid"``, or a method of `linear_response`, ``"auto"`` included.
    sources
        Neurons that are driven; all by default.
    transient, x, progress, generator
        As in `linear_response`.
    amplitude
        For ``"sinusoid"`` the first epsilon, by default a tenth of the spread of the states; for
        ``"finite_difference"`` the kick.

    Raises
    ------
    ValueError
        On wrong arguments, frequencies outside [0, pi] included.

    Warns
    -----
    ResponseWarning
        As in `linear_response`, and where the response is not linear at any amplitude tried: such
        frequencies are marked in `linear`.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Phys. Rev. E 70 (2004) 056111.

    Examples
    --------
    >>> import sntorch as snt
    >>> half = lambda u: 0.5 * u
    >>> found = snt.analysis.susceptibility(half, torch.zeros(1), 0.0, lags=30, samples=2)
    >>> found.modulus  # 1 / (1 - 0.5)
    tensor([[[2.]]])
    """
    f, x = enter(f, u, x=x)
    omega = frequencies(omega, u).reshape(-1)
    checks.one_of("method", method, (*METHODS, "auto", "sinusoid"))
    chosen = _sources(sources, u)
    checks.generator(generator, u.device)
    settings = {"lags": lags, "transient": transient, "x": x, "amplitude": amplitude}
    stream = own_stream(u.device) if generator is None else generator
    if method == "sinusoid":
        settled = _settle(f, u, checks.count("transient", transient, low=0), x, stream)
        fields = _sinusoids(f, settled, omega, chosen, lags, samples, x, amplitude, stream)
        if not bool(fields["linear"].all()):
            warnings.warn(
                "amplitude: the response is not linear at any amplitude tried at "
                f"{int((~fields['linear']).sum())} of {len(omega)} frequencies (see `linear`)",
                ResponseWarning,
                stacklevel=2,
            )
    else:
        samples = checks.count("samples", samples, low=2)
        method = choose(f, u, samples, settings) if method == "auto" else method
        walk = ResponseAccumulator(f, u, method=method, omega=omega, generator=stream, **settings)
        warn(walk.update(samples, progress=progress).result(), walk.drift(), stacklevel=2)
        chi, stderr = walk.susceptibility()
        fields = _no_amplitude(chi[..., chosen], stderr[..., chosen], omega)
        samples, settled = walk.samples, walk.u
    power, power_stderr = _power(f, settled, omega, max(64, 4 * lags), x, stream)
    return Susceptibility(
        omega=omega,
        **fields,
        sources=chosen,
        power=power,
        power_stderr=power_stderr,
        samples=samples,
        method=method,
    )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FluctuationDissipation(Result):
    """How far the response is from what spontaneous fluctuations tell, lag by lag."""

    correlation: Tensor
    """(lags + 1, N, N), C(tau)."""
    difference: Tensor
    """(lags + 1, N, N), C(tau) - K(tau) C(0); zero at lag 0."""
    stderr: Tensor
    """(lags + 1, N, N), of the difference, with the errors of orbit and kernel."""

    @property
    def violation(self) -> Tensor:
        """Norm of the difference over that of C(tau) (lags + 1,), its errors taken out."""
        square = (self.difference.square() - self.stderr.square()).sum((-2, -1)).clamp(min=0)
        return (square / self.correlation.square().sum((-2, -1))).sqrt()

    @property
    def floor(self) -> Tensor:
        """Norm of the errors over that of C(tau) (lags + 1,): no smaller violation is seen."""
        noise = self.stderr.square().sum((-2, -1))
        return (noise / self.correlation.square().sum((-2, -1))).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the violation at lag 1, the largest one, and the floor at lag 1."""
        return {
            "violation": float(self.violation[1]),
            "violation_max": float(self.violation.max()),
            "floor": float(self.floor[1]),
        }


def fluctuation_dissipation(response: LinearResponse, orbit: Tensor) -> FluctuationDissipation:
    """Return how far K(tau) is from C(tau) C(0)^-1, without inverting anything.

    Parameters
    ----------
    response
        The kernel, from `linear_response`.
    orbit
        Stationary states (T, ..., N) of the same dynamics without a signal, from `rollout`.

    Raises
    ------
    ValueError
        If the orbit is shorter than 40 times the lags, not finite, or of another N.

    References
    ----------
    R. Kubo, Rep. Prog. Phys. 29 (1966) 255.  B. Cessac, J.-A. Sepulchre, Physica D 225 (2007) 13.

    Examples
    --------
    >>> import sntorch as snt
    >>> ou = snt.as_dynamics(lambda u: 0.5 * u, noise=1.0)
    >>> found = snt.analysis.linear_response(ou, torch.zeros(2), lags=3, samples=40)
    >>> test = fluctuation_dissipation(found, snt.rollout(ou, torch.zeros(50, 2), 500))
    >>> bool(test.violation[1] < 0.05)
    True
    """
    kernel, lags = response.kernel, len(response.kernel) - 1
    checks.finite("orbit", checks.floating("orbit", orbit, ndim=2))
    checks.same_kind("orbit", orbit, kernel, "the response")
    if orbit.shape[-1] != kernel.shape[-1] or len(orbit) < 40 * lags:
        raise ValueError(
            f"orbit: expected (T, ..., {kernel.shape[-1]}), T >= {40 * lags}, "
            f"got {tuple(orbit.shape)}"
        )
    states = orbit.reshape(len(orbit), -1, orbit.shape[-1])
    states = states - states.mean((0, 1))
    lengths = block_lengths(len(orbit) - lags)
    correlations = torch.stack(
        [_correlations(states, start, length, lags) for start, length in _spans(lengths)]
    )
    differences = correlations - kernel @ correlations[:, :1]
    correlation, _ = block_mean(correlations, lengths)
    difference, error = block_mean(differences, lengths)
    through_kernel = response.stderr.square() @ correlation[0].square()
    stderr = (error.square() + through_kernel).sqrt()
    return FluctuationDissipation(correlation=correlation, difference=difference, stderr=stderr)


def paired_replicas(
    f: Dynamics,
    u: Tensor,
    signals: Tensor,
    sources: Tensor,
    amplitude: float,
    x: Tensor | None,
    stream: torch.Generator,
) -> Iterator[Tensor]:
    """Yield (S, R, N), half the difference of replicas under +-epsilon signals, over epsilon.

    Item t is that of u(t+1), for u (R, N), the same `signals` (T,) on each of `sources` (S,), and
    one noise for all replicas of a row: noise and even powers of epsilon drop out.
    """
    sigma = noise_of(f, u)
    kick = u.new_zeros(len(sources), 1, u.shape[-1])
    kick[torch.arange(len(sources)), 0, sources] = amplitude
    kick = torch.stack([kick, -kick])
    replicas = u.expand(2, len(sources), *u.shape)
    for value in signals:
        noise = add_noise(torch.zeros_like(u), sigma, stream)
        replicas = f.map(replicas, x) + noise + value * kick
        yield (replicas[0] - replicas[1]) / (2 * amplitude)


def _sources(sources: Sequence[int] | None, u: Tensor) -> Tensor:
    size = u.shape[-1]
    chosen = list(range(size)) if sources is None else [int(j) for j in sources]
    if not chosen or min(chosen) < 0 or max(chosen) >= size:
        raise ValueError(f"sources: expected neurons in 0 ... {size - 1}, got {chosen}")
    return torch.tensor(chosen, device=u.device)


def _settle(
    f: Dynamics, u: Tensor, transient: int, x: Tensor | None, stream: torch.Generator
) -> Tensor:
    u = u.reshape(-1, u.shape[-1]).clone()
    with observing(f, u):
        sigma = noise_of(f, u)
        for _ in range(transient):
            u = step(f, u, x, sigma, stream)
    return u


def _no_amplitude(chi: Tensor, stderr: Tensor, omega: Tensor) -> dict[str, Tensor]:
    nothing = torch.full_like(omega, math.nan)
    linear = torch.ones_like(omega, dtype=torch.bool)
    return {
        "chi": chi,
        "stderr": stderr,
        "amplitude": nothing,
        "change": nothing,
        "linear": linear,
    }


def _sinusoids(
    f: Dynamics,
    u: Tensor,
    omega: Tensor,
    sources: Tensor,
    settle: int,
    samples: int,
    x: Tensor | None,
    amplitude: float | None,
    stream: torch.Generator,
) -> dict[str, Tensor]:
    settle = checks.count("lags", settle)
    windows = -(-_UNITS // len(u))  # in time, where rows are too few
    length = -(-checks.count("samples", samples, low=2) // (len(u) * windows))
    if length < 4:
        raise ValueError(
            f"samples: expected at least {4 * len(u) * windows} for {len(u)} rows, got {samples}"
        )
    spread = float((u - u.mean(0)).square().mean().sqrt())
    first = max(0.1 * spread, 1e-3) if amplitude is None else amplitude
    first = checks.positive("amplitude", first)
    rows: list[dict[str, Tensor]] = []
    with observing(f, u):
        for w in omega:
            rows.append(_halved(f, u, w, sources, settle, [length] * windows, x, first, stream))
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _halved(
    f: Dynamics,
    u: Tensor,
    w: Tensor,
    sources: Tensor,
    settle: int,
    lengths: list[int],
    x: Tensor | None,
    amplitude: float,
    stream: torch.Generator,
) -> dict[str, Tensor]:
    """Halve the amplitude, under the same noise, until that leaves chi (N, S) alone."""
    start = stream.get_state()

    def measured(size: float) -> Tensor:
        stream.set_state(start)
        return _driven(f, u, w, sources, settle, lengths, x, size, stream)

    units, tried = measured(amplitude), 0
    while True:
        halved = measured(amplitude / 2)
        chi, stderr = _mean(units)
        difference, noise = _mean(units - halved)
        change = difference.abs().square().mean().sqrt()
        size = chi.abs().square().mean().sqrt()
        allowed = torch.maximum(_TOLERANCE * size, 1.3 * (2 * noise.square().mean()).sqrt())
        tried += 1
        if bool(change <= allowed) or tried == _HALVINGS:
            break
        amplitude, units = amplitude / 2, halved
    return {
        "chi": chi.mT,
        "stderr": stderr.mT,
        "amplitude": torch.full_like(w, amplitude),
        "change": change / size,
        "linear": change <= allowed,
    }


def _driven(
    f: Dynamics,
    u: Tensor,
    w: Tensor,
    sources: Tensor,
    settle: int,
    lengths: list[int],
    x: Tensor | None,
    amplitude: float,
    stream: torch.Generator,
) -> Tensor:
    """Return estimates (windows * R, S, N) of chi from the fit of a sinusoid to every window."""
    steps = settle + sum(lengths)
    wave = waves(w, steps).conj()
    pairs = paired_replicas(f, u, wave.real, sources, amplitude, x, stream)
    for _ in range(settle):
        next(pairs)
    found, t = [], settle
    for length in lengths:
        fit = torch.stack([wave.real[t : t + length], -wave.imag[t : t + length]])
        total = u.new_zeros(2, len(sources), *u.shape)
        for k in range(length):
            d = next(pairs)
            total[0].add_(d, alpha=float(fit[0, k]))
            total[1].add_(d, alpha=float(fit[1, k]))
        # At 0 and pi the sine vanishes, and with it the imaginary part.
        parts = torch.einsum("ab,b...->a...", torch.linalg.pinv(fit @ fit.mT), total)
        found.append(torch.complex(parts[0], parts[1]).movedim(1, 0))
        t += length
    return torch.cat(found)


def _mean(units: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and error of independent estimates (U, S, N)."""
    variance = (units.real.var(0) + units.imag.var(0)) / 2
    return units.mean(0), (variance / len(units)).sqrt()


def _power(
    f: Dynamics, u: Tensor, omega: Tensor, length: int, x: Tensor | None, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return power (W, N) and error from segments of `length` steps under a Hann window."""
    window = torch.hann_window(length, dtype=u.dtype, device=u.device)
    window = window / window.square().sum().sqrt()
    wave = waves(omega, length) * window
    found: list[Tensor] = []
    with observing(f, u):
        sigma = noise_of(f, u)
        for _ in range(max(2, -(-_SEGMENTS // len(u)))):
            orbit: list[Tensor] = []
            for _ in range(length):
                u = step(f, u, x, sigma, stream)
                orbit.append(u)
            states = torch.stack(orbit)
            states = states - states.mean((0, 1))
            parts = [torch.einsum("wt,trn->wrn", part, states) for part in (wave.real, wave.imag)]
            found.append(parts[0].square() + parts[1].square())
    power = torch.cat(found, dim=1)
    return power.mean(1), power.std(1) / power.shape[1] ** 0.5


def _spans(lengths: list[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for length in lengths:
        yield start, length
        start += length


def _correlations(states: Tensor, start: int, length: int, lags: int) -> Tensor:
    """Return C(tau) (lags + 1, N, N) over `length` steps from `start`, all rows together."""
    size = states.shape[-1]
    now = states[start : start + length].reshape(-1, size)
    later = (states[start + lag : start + lag + length] for lag in range(lags + 1))
    return torch.stack([part.reshape(-1, size).T @ now / len(now) for part in later])
