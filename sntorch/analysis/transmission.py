r"""Signal transmission: what of a modulated wave, sent to one neuron, arrives at the others.

.. math:: \xi_j(t) = \epsilon \cos(\omega_m t) \sin(\omega t)
          = \tfrac{\epsilon}{2} [\sin(\omega + \omega_m) t + \sin(\omega - \omega_m) t],
.. math:: \delta \langle u_i(t+1) \rangle = \sum_\tau K_{ij}(\tau)\, \xi_j(t-\tau)
          \approx \epsilon\, |\chi_{ij}(\omega)| \cos(\omega_m (t - d_{ij}))
          \sin(\omega t + \arg \chi_{ij}(\omega)), \qquad d = -\partial_\omega \arg \chi.

The convolution is exact to first order in epsilon, the second line where chi is smooth over
:math:`\omega \pm \omega_m`: the envelope arrives with the gain :math:`|\chi|` and the group delay
d.  Receivers demodulate by fitting the two side bands, which gives chi at both,

.. math:: \text{gain} = (|\chi_+| + |\chi_-|) / 2, \qquad
          \text{delay} = -\arg(\chi_+ \chi_-^*) / (2 \omega_m).

Pairs of replicas under :math:`\pm \epsilon` and common noise are compared, row by row; errors are
those of the mean over rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.kernels import LinearResponse, waves
from sntorch.analysis.kicks import paired_replicas
from sntorch.analysis.tangents import own_stream
from sntorch.dynamics import enter
from sntorch.noise import add_noise, noise_of
from sntorch.observing import observing
from sntorch.results import Result

__all__ = ["Transmission", "transmit"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Transmission(Result):
    """A signal that was sent, what every neuron received, and what linear response predicts."""

    signal: Tensor
    """(T,), cos(modulation t) sin(carrier t)."""
    received: Tensor
    """(T, N), change of the mean of u(t+1), over epsilon."""
    stderr: Tensor
    """(T, N)."""
    predicted: Tensor
    """(T, N), the signal convolved with the kernel; NaN without a `response`."""
    predicted_stderr: Tensor
    """(T, N), from the errors of the kernel, lags independent."""
    sidebands: Tensor
    """(2, N) complex, chi at carrier + modulation and at carrier - modulation."""
    sidebands_stderr: Tensor
    """(2, N), of real and imaginary part, the mean of the two."""
    predicted_gain: Tensor
    """(N,), abs(chi) at the carrier; NaN without a `response`."""
    source: int
    """Where it was sent."""
    carrier: float
    """omega, radians per step."""
    modulation: float
    """omega_m, radians per step."""
    amplitude: float
    """epsilon."""
    rows: int
    """Pairs of replicas."""

    @property
    def gain(self) -> Tensor:
        """Gain (N,) of the envelope."""
        return self.sidebands.abs().mean(0)

    @property
    def gain_stderr(self) -> Tensor:
        """Standard error (N,) of the gain."""
        return self.sidebands_stderr.square().sum(0).sqrt() / 2

    @property
    def delay(self) -> Tensor:
        """Steps (N,) by which the envelope is late, modulo pi / modulation."""
        upper, lower = self.sidebands
        return -(upper * lower.conj()).angle() / (2 * self.modulation)

    @property
    def signal_to_noise(self) -> Tensor:
        """Gain over its error (N,): how clearly each neuron receives the signal.

        Grows with the amplitude and with the root of rows times steps.
        """
        return self.gain / self.gain_stderr

    @property
    def residual(self) -> Tensor:
        """Rms over time (N,) of received less predicted, in standard errors: 1 if that is all."""
        error = (self.stderr.square() + self.predicted_stderr.square()).sqrt()
        # Where a signal has not had the time to meet noise, what is left is rounding.
        known = error > torch.finfo(error.dtype).eps ** 0.5 * self.received.abs().amax(0)
        ratio = torch.where(known, (self.received - self.predicted) / error, 0.0)
        return (ratio.square().sum(0) / known.sum(0)).sqrt()

    def scalars(self) -> dict[str, float]:
        """Return the largest gain and signal-to-noise beside the source, and the mean residual."""
        others = torch.arange(self.gain.shape[0], device=self.gain.device) != self.source
        others = others if bool(others.any()) else ~others
        return {
            "gain": float(self.gain[others].max()),
            "signal_to_noise": float(self.signal_to_noise[others].max()),
            "residual": float(self.residual.mean()),
        }


def transmit(
    f: object,
    u: Tensor,
    *,
    source: int,
    carrier: float,
    modulation: float,
    steps: int = 500,
    amplitude: float | None = None,
    response: LinearResponse | None = None,
    transient: int = 0,
    settle: int = 100,
    x: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Transmission:
    """Send an amplitude-modulated signal into one neuron and demodulate it at all of them.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts.
    u
        Initial states (..., N); rows are replicas, and their spread is the error: some 100 or more.
    source
        The neuron that is driven.
    carrier, modulation
        omega and omega_m in radians per step; 0 < carrier - modulation, carrier + modulation < pi.
    steps
        Length of the signal, T; several periods of the modulation, pi / modulation.
    amplitude
        epsilon; by default a tenth of the spread of the states.
    response
        The kernel to predict with.
    transient
        Steps before the signal begins.
    settle
        Steps of the signal before demodulation begins.
    x
        Constant drive (I,).
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit leaves the finite numbers.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Chaos 16 (2006) 013104.

    Examples
    --------
    >>> import sntorch as snt
    >>> half = lambda u: 0.5 * u
    >>> sent = snt.analysis.transmit(
    ...     half, torch.zeros(8, 1), source=0, carrier=1.0, modulation=0.05
    ... )
    >>> sent.gain  # about 1 / |1 - exp(-i) / 2|
    tensor([1.1880])
    """
    f, x = enter(f, u, x=x)
    if x is not None and x.ndim > 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    size = u.shape[-1]
    source = checks.count("source", source, low=0, high=size - 1)
    modulation = checks.positive("modulation", modulation)
    carrier = checks.number("carrier", carrier, low=modulation, high=math.pi - modulation)
    settle = checks.count("settle", settle, low=0)
    steps = checks.count("steps", steps, low=settle + 8)
    transient = checks.count("transient", transient, low=0)
    checks.generator(generator, u.device)
    if response is not None and response.kernel.shape[-1] != size:
        raise ValueError(f"response: expected {size} neurons, got {response.kernel.shape[-1]}")
    u = u.reshape(-1, size).clone()
    stream = own_stream(u.device) if generator is None else generator
    time = torch.arange(steps, dtype=u.dtype, device=u.device)
    sent = (modulation * time).cos() * (carrier * time).sin()
    with observing(f, u):
        sigma = noise_of(f, u)
        for _ in range(transient):
            u = add_noise(f.map(u, x), sigma, stream)
        if amplitude is None:
            amplitude = max(0.1 * float((u - u.mean(0)).square().mean().sqrt()), 1e-3)
        amplitude = checks.positive("amplitude", amplitude)
        drives = paired_replicas(
            f, u, sent, torch.tensor([source], device=u.device), amplitude, x, stream
        )
        bands = u.new_tensor([carrier + modulation, carrier - modulation])
        received, stderr, units = _listen(drives, bands, u, steps, settle)
        predicted, error, gain = _predict(response, sent, source, carrier, u)
    if not bool(torch.isfinite(received).all()):
        raise ValueError("u: expected a bounded orbit, got numbers that are not finite")
    spread = ((units.real.var(0) + units.imag.var(0)) / 2 / len(u)).sqrt()
    return Transmission(
        signal=sent,
        received=received,
        stderr=stderr,
        predicted=predicted,
        predicted_stderr=error,
        sidebands=units.mean(0),
        sidebands_stderr=spread,
        predicted_gain=gain,
        source=source,
        carrier=carrier,
        modulation=modulation,
        amplitude=amplitude,
        rows=len(u),
    )


def _listen(
    drives: Iterator[Tensor], bands: Tensor, u: Tensor, steps: int, settle: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and error (T, N) of what arrives, and chi (R, 2, N) at the side bands."""
    wave = waves(bands, steps).conj()
    # A wave sin(w t) / 2 arrives as (Re chi sin w t + Im chi cos w t) / 2.
    basis = torch.cat([wave.imag, wave.real]) / 2
    received, stderr = u.new_empty(steps, u.shape[-1]), u.new_empty(steps, u.shape[-1])
    total = u.new_zeros(len(basis), *u.shape)
    for t, (d,) in enumerate(drives):
        received[t], stderr[t] = d.mean(0), d.std(0) / len(d) ** 0.5
        if t >= settle:
            total += basis[:, t, None, None] * d
    heard = basis[:, settle:]
    fit = torch.linalg.solve(heard @ heard.T, total.flatten(1)).unflatten(1, u.shape)
    return received, stderr, torch.complex(fit[:2], fit[2:]).movedim(1, 0)


def _predict(
    response: LinearResponse | None, sent: Tensor, source: int, carrier: float, u: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if response is None:
        nothing = u.new_full((len(sent), u.shape[-1]), math.nan)
        return nothing, nothing, nothing[0]
    squares = dataclasses.replace(response, kernel=response.stderr.square())
    error = squares.predict(sent.square(), source).sqrt()
    gain = response.susceptibility(carrier)[:, source].abs()
    return response.predict(sent, source), error, gain
