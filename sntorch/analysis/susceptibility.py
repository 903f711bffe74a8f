r"""Susceptibility: how strongly, and how late, neuron i follows a sinusoid on neuron j.

.. math:: \chi_{ij}(\omega) = \sum_{\tau \ge 0} K_{ij}(\tau)\, e^{-i \omega \tau}, \qquad
          \xi_j(t) = \epsilon \sin \omega t \;\Rightarrow\;
          \delta \langle u_i(t+1) \rangle = \epsilon |\chi_{ij}| \sin(\omega t + \arg \chi_{ij}),

with the kernel K of `sntorch.analysis.response`.  It is had in two ways that share nothing.

*Transform* of a kernel, all pairs and frequencies at once.  Its error is measured block by block.

*Sinusoid*, the experiment itself, as `sntorch.analysis.sinusoid` does it: replicas driven weakly,
and less so until halving the amplitude leaves chi alone.

A resonance is a peak of :math:`|\chi_{ij}|^2`.  The poles of the unstable part of the response are
seen in the power spectra of spontaneous activity too, those of the stable part are not (Cessac and
Sepulchre 2004): the power spectrum is measured beside, S_i = sigma^2 for white noise.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.accumulator import METHODS, ResponseAccumulator
from sntorch.analysis.kernels import frequencies
from sntorch.analysis.power import PowerSpectrum, power_spectrum
from sntorch.analysis.response import ResponseWarning, choose, warn
from sntorch.analysis.sinusoid import sinusoids
from sntorch.analysis.tangents import own_stream
from sntorch.dynamics import Dynamics, enter, step
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result, over_rows

__all__ = ["Resonance", "Susceptibility", "susceptibility"]

_SEGMENTS = 64  # stretches of orbit at least that a power spectrum averages over
_ENTRIES = 2**22  # numbers of an orbit that are held at once


class Resonance(NamedTuple):
    """A peak of abs(chi_ij)^2: where, how high abs(chi) is there, and how wide at half power.

    Examples
    --------
    >>> import sntorch as snt
    >>> turn = torch.tensor([[0.0, -0.9], [0.9, 0.0]])  # a pole at the angle pi / 2
    >>> omega = torch.linspace(0, torch.pi, 101)
    >>> found = susceptibility(lambda u: u @ turn.T, torch.zeros(2), omega, lags=80, samples=2)
    >>> [round(peak.omega, 2) for peak in found.resonances(1, 0)]
    [1.57]
    """

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
        peaks, _ = scipy.signal.find_peaks(square, prominence=max(3 * noise, 1e-12))
        _, _, left, right = scipy.signal.peak_widths(square, peaks, rel_height=0.5)
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
        fields = sinusoids(f, settled, omega, chosen, lags, samples, x, amplitude, stream)
        if not bool(fields["linear"].all()):
            warnings.warn(
                "amplitude: the response is not linear at any amplitude tried at "
                f"{int((~fields['linear']).sum())} of {len(omega)} frequencies (see `linear`)",
                ResponseWarning,
                stacklevel=2,
            )
    else:
        samples = checks.count("samples", samples, low=2)
        if method == "auto":
            method, samples = choose(f, u, samples, settings)
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


def _power(
    f: Dynamics, u: Tensor, omega: Tensor, length: int, x: Tensor | None, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return two-sided power and error (W, N) from segments of `length` steps."""
    steps = length * (1 + max(2, -(-_SEGMENTS // len(u)))) // 2
    spectra: list[PowerSpectrum] = []
    with observing(f, u):
        sigma = noise_of(f, u)
        for part in u.split(max(1, _ENTRIES // (steps * u.shape[-1]))):
            orbit, state = u.new_empty(steps, *part.shape), part
            for t in range(steps):
                orbit[t] = state = step(f, state, x, sigma, stream)
            # Every neuron is a series of its own.  The half keeps rounding from adding a step.
            spectra.append(power_spectrum(orbit.unsqueeze(-1), resolution=1 / (length - 0.5)))
    density, error = (
        torch.cat([getattr(each, name) for each in spectra]) for name in ("density", "stderr")
    )
    sides = torch.full_like(density[0, 0], 0.5)
    sides[0] = sides[-1] = 1.0  # one-sided densities are doubled between the ends
    power, error = over_rows(sides * density, sides * error, axes=2)
    place = (omega / (2 * math.pi * spectra[0].resolution)).clamp(max=len(sides) - 1)
    low = place.long().clamp(max=len(sides) - 2)
    part = (place - low).unsqueeze(-1)
    first, second = (torch.lerp(each.T[low], each.T[low + 1], part) for each in (power, error))
    return first, second
