"""Kernels of linear response: the record, and its transform to frequencies.

See `sntorch.analysis.response` for what K is and how it is estimated.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from sntorch import checks
from sntorch.results import Result

__all__ = ["LinearResponse", "frequencies", "transform", "waves"]

_RESOLVED = 3  # standard errors from zero


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LinearResponse(Result):
    """The kernel of all pairs and lags, with its errors."""

    kernel: Tensor
    """(lags + 1, N, N), ``kernel[tau][i, j]`` = d<u_i(t + 1 + tau)> / d xi_j(t); [0] is exact."""
    stderr: Tensor
    """The same shape; NaN if there is one block only."""
    samples: int
    """Kicks that were averaged over, rows included."""
    method: str
    """Which estimator gave it."""
    noise: Tensor
    """sigma: (), (N,) or (N, N).  The response is that of the network with this noise."""
    amplitude: float
    """Size of the kicks of ``finite_difference``, else NaN."""
    left_out: Tensor | None = None
    """(B, lags + 1, N, N), kernels without one block of samples after the other, of which a
    jackknife makes the error of whatever follows from a kernel; None where it would be more than
    4e6 numbers, or for one block."""
    dt: float = 1.0
    """Time per step."""

    @property
    def resolved(self) -> Tensor:
        """Which entries (lags + 1, N, N) are more than 3 standard errors from zero."""
        return self.kernel.abs() > _RESOLVED * self.stderr

    @property
    def signal(self) -> Tensor:
        """Root mean square (lags + 1,) of the entries, their errors taken out."""
        return (self.kernel.square() - self.stderr.square()).mean((-2, -1)).clamp(min=0).sqrt()

    @property
    def error(self) -> Tensor:
        """Root mean square (lags + 1,) of the standard errors."""
        return self.stderr.square().mean((-2, -1)).sqrt()

    @property
    def needed(self) -> Tensor:
        """Samples (lags + 1,) that give a typical entry a signal-to-noise ratio of 1.

        Infinite where the signal is not seen at all.  Tangents of chaos have heavy tails: there it
        is a lower bound.
        """
        return self.samples * (self.error / self.signal).square().nan_to_num(0, posinf=math.inf)

    def susceptibility(self, omega: float | Tensor) -> Tensor:
        """Return chi (..., N, N), complex, at frequencies omega (...) in radians per step.

        A signal eps sin(omega t) on j gives eps abs(chi_ij) sin(omega t + arg chi_ij) in u_i(t+1).

        Raises
        ------
        ValueError
            If a frequency is outside [0, pi].
        """
        return transform(self.kernel, frequencies(omega, self.kernel))

    def susceptibility_stderr(self, omega: float | Tensor) -> Tensor:
        """Return the standard error (..., N, N) of chi, taking lags as independent.

        That of a real and an imaginary part, the mean of the two.  `analysis.susceptibility`
        measures it: where the spectrum of the network has peaks, so has the error of ``noise``.
        """
        shape = frequencies(omega, self.kernel).shape
        total = (self.stderr.square().sum(0) / 2).sqrt()
        return total.expand(*shape, *total.shape)

    def predict(self, signal: Tensor, source: int) -> Tensor:
        """Return the mean response (T, N) to `signal` (T,) on neuron `source`.

        Row t is the change of u(t+1).
        """
        checks.count("source", source, low=0, high=self.kernel.shape[-1] - 1)
        column, lags = self.kernel[:, :, source], len(self.kernel) - 1
        padded = torch.nn.functional.pad(signal.to(column), (lags, 0))
        return padded.unfold(0, lags + 1, 1) @ column.flip(0)

    def scalars(self) -> dict[str, float]:
        """Return samples, the share of resolved entries, and the lags resolved as a whole."""
        return {
            "samples": float(self.samples),
            "resolved": float(self.resolved[1:].double().mean()),
            "resolved_lags": float((self.signal > self.error)[1:].sum()),
        }


def frequencies(omega: object, like: Tensor) -> Tensor:
    """Return omega (...) as a tensor like `like`, if all are in [0, pi]."""
    try:
        found = torch.as_tensor(omega, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"omega: expected numbers in [0, pi], got {omega!r}") from None
    # A pi rounded to float32 is larger than pi.
    outside = ~((found >= 0) & (found <= math.pi + 4e-7))
    if found.numel() == 0 or bool(outside.any()):
        wrong = found[outside].tolist() if found.numel() else "none"
        raise ValueError(f"omega: expected frequencies in [0, pi] radians per step, got {wrong}")
    return found


def waves(omega: Tensor, steps: int) -> Tensor:
    """Return exp(-i omega t) (..., steps) for t = 0, 1, ..."""
    phase = -omega.unsqueeze(-1) * torch.arange(steps, dtype=omega.dtype, device=omega.device)
    return torch.polar(torch.ones_like(phase), phase)


def transform(kernel: Tensor, omega: Tensor) -> Tensor:
    """Return the sum over tau of kernel (lags + 1, N, N) times exp(-i omega tau), (..., N, N)."""
    wave, flat = waves(omega, len(kernel)), kernel.flatten(1)
    chi = torch.complex(wave.real @ flat, wave.imag @ flat)
    return chi.unflatten(-1, kernel.shape[1:])
