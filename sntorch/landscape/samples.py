r"""Records of samplers, and how many independent samples a correlated series is worth.

With tau the integrated autocorrelation time of a series of M measurements, in measurements,

.. math:: \tau = \tfrac12 + \sum_{k \ge 1} \rho_k, \qquad \mathrm{ESS} = \frac{M}{2\tau}, \qquad
          \mathrm{stderr} = \frac{\mathrm{sd}}{\sqrt{\mathrm{ESS}}},

the sum cut where k exceeds 5 tau (Sokal).  A chain much shorter than its memory cannot know it.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from sntorch.results import Result, over_rows

__all__ = ["Annealed", "FieldResponse", "Samples", "Tempered", "effective_samples", "series_mean"]

_WINDOW = 5.0  # autocorrelation times that are summed over


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Samples(Result):
    """What M measurements along one chain per row show; `...` are the batch axes of `u`."""

    states: Tensor
    """(..., N), where the chains stand: starts of a run that goes on."""
    energies: Tensor
    """(M, ...), E / N."""
    overlaps: Tensor
    """(M, ...), |phi|^2 / N of the rates phi of the potential, q."""
    memories: Tensor
    """(M, ...), overlap of the rates with those of the start."""
    responses: Tensor
    """(M, ...), -phi . r / (N T) with r the speed: its mean is the response of phi_i to a weak
    field h_i in r_i, by fluctuation; NaN for potentials that are no `SpeedPotential`."""
    means: Tensor
    """(..., N), rates averaged along the chain."""
    acceptance: Tensor
    """(...), share of accepted steps after the transient; 1 for unadjusted ones."""
    temperature: Tensor
    """(...), T."""
    step_size: float
    """h, after adaptation."""
    stable_step: float
    """2 / (largest curvature at the last states): unadjusted steps beyond it grow."""
    every: int
    """Steps between two measurements."""
    method: str
    """``unadjusted`` or ``metropolis``."""
    stopped: str
    """Why the run ended before its time; empty if it did not."""

    @property
    def energy(self) -> Tensor:
        """Mean of E / N (...)."""
        return series_mean(self.energies)[0]

    @property
    def energy_stderr(self) -> Tensor:
        """Standard error of `energy` (...)."""
        return series_mean(self.energies)[1]

    @property
    def effective_samples(self) -> Tensor:
        """How many independent samples the energies of a chain are worth (...)."""
        return effective_samples(self.energies)

    @property
    def overlap(self) -> Tensor:
        """Self-overlap q (...)."""
        return series_mean(self.overlaps)[0]

    @property
    def overlap_stderr(self) -> Tensor:
        """Standard error of `overlap` (...)."""
        return series_mean(self.overlaps)[1]

    @property
    def response(self) -> Tensor:
        """Mean response of a rate to a weak field on its own neuron (...), by fluctuation."""
        return series_mean(self.responses)[0]

    @property
    def response_stderr(self) -> Tensor:
        """Standard error of `response` (...)."""
        return series_mean(self.responses)[1]

    @property
    def replica_overlap(self) -> Tensor:
        """Q (): overlap of the mean rates of two chains, over all pairs; NaN for one chain."""
        return _pairs(self.means)[0]

    @property
    def replica_overlap_stderr(self) -> Tensor:
        """Standard error of `replica_overlap` (), by the jackknife over chains."""
        return _pairs(self.means)[1]

    def scalars(self) -> dict[str, float]:
        """Return energy, order parameters with stderr, acceptance, and independent samples."""
        shown: dict[str, float] = {}
        for name in ("energy", "overlap", "response"):
            value, error = over_rows(getattr(self, name), getattr(self, f"{name}_stderr"))
            shown |= {name: float(value), f"{name}_stderr": float(error)}
        return shown | {
            "replica_overlap": float(self.replica_overlap),
            "replica_overlap_stderr": float(self.replica_overlap_stderr),
            "half_temperature": float(self.temperature.mean()) / 2,
            "acceptance": float(self.acceptance.mean()),
            "effective_samples": float(self.effective_samples.sum()),
        }


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Tempered(Samples):
    """Chains at K temperatures that exchange their states: K is the first axis of all fields."""

    swaps: Tensor
    """(K - 1, ...), share of accepted exchanges between neighbouring temperatures."""

    @property
    def replica_overlap(self) -> Tensor:
        """Q (K,) at every temperature."""
        return torch.stack([_pairs(means)[0] for means in self.means])

    @property
    def replica_overlap_stderr(self) -> Tensor:
        """Standard error of `replica_overlap` (K,)."""
        return torch.stack([_pairs(means)[1] for means in self.means])

    def scalars(self) -> dict[str, float]:
        """Return energy and overlap by temperature, and the share of exchanges."""
        shown = {"swaps": float(self.swaps.mean())}
        for k, T in enumerate(self.temperature.flatten(1)[:, 0].tolist()):
            shown[f"energy/{T:.4g}"] = float(self.energy[k].mean())
            shown[f"overlap/{T:.4g}"] = float(self.overlap[k].mean())
        return shown


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Annealed(Result):
    """Where chains ended that were cooled, and how their energies fell."""

    states: Tensor
    """(..., N), local minima of the potential where `gradient` is small."""
    energy: Tensor
    """(...), E at the states."""
    gradient: Tensor
    """(...), largest component of the gradient there."""
    converged: Tensor
    """(...) bool: the gradient is below the tolerance."""
    temperatures: Tensor
    """(M,), of the measurements."""
    energies: Tensor
    """(M, ...), E / N at them."""
    stopped: str
    """Why the run ended before its time; empty if it did not."""

    def scalars(self) -> dict[str, float]:
        """Return mean and lowest energy at the end, and the share of chains that converged."""
        return {
            "energy": float(self.energy.mean()),
            "lowest": float(self.energy.min()),
            "converged": float(self.converged.double().mean()),
        }


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FieldResponse(Result):
    """Response of the rates to a weak field of random signs: M measurements per row."""

    responses: Tensor
    """(M, ...), sum_i s_i (phi_i(+h) - phi_i(-h)) / (2 N h), signs s_i = +-1."""
    strength: float
    """h, the size of the field in the speed r."""
    stopped: str
    """Why the run ended before its time; empty if it did not."""

    @property
    def response(self) -> Tensor:
        """Mean response of a rate to a weak field on its own neuron (...)."""
        return series_mean(self.responses)[0]

    @property
    def response_stderr(self) -> Tensor:
        """Standard error of `response` (...), by autocorrelation, at the signs of the row."""
        return series_mean(self.responses)[1]

    def scalars(self) -> dict[str, float]:
        """Return the response and its stderr."""
        value, error = over_rows(self.response, self.response_stderr)
        return {"response": float(value), "response_stderr": float(error)}


def effective_samples(series: Tensor) -> Tensor:
    """Return M / (2 tau) (...) for a series (M, ...); NaN for fewer than 4 measurements."""
    M = len(series)
    if M < 4:
        return torch.full_like(series.sum(0), torch.nan)
    deviation = series - series.mean(0)
    power = torch.fft.rfft(deviation, n=2 * M, dim=0).abs().square()
    covariance = torch.fft.irfft(power, n=2 * M, dim=0)[:M]
    rho = covariance / covariance[0].clamp(min=torch.finfo(series.dtype).tiny)
    tau = rho.cumsum(0) - 0.5
    lag = torch.arange(M, device=series.device).reshape(-1, *[1] * (series.ndim - 1))
    long = lag >= _WINDOW * tau
    first = torch.where(long.any(0), long.int().argmax(0), M - 1)
    tau = tau.gather(0, first.unsqueeze(0)).squeeze(0).clamp(min=0.5)
    return M / (2 * tau)


def series_mean(series: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard error (...) of a correlated series (M, ...); NaN if it is empty."""
    if not len(series):
        nothing = torch.full_like(series.sum(0), torch.nan)
        return nothing, nothing
    spread = series.std(0) if len(series) > 1 else torch.full_like(series[0], torch.nan)
    return series.mean(0), spread / effective_samples(series).sqrt()


def _pairs(means: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean overlap () of all pairs of rows (..., N), and its jackknife error ()."""
    rows = means.reshape(-1, means.shape[-1])
    R, N = rows.shape
    none = rows.new_tensor(torch.nan)
    if R < 2:
        return none, none
    gram = rows @ rows.T / N
    gram.fill_diagonal_(0)
    total, each = gram.sum(), gram.sum(0)
    value = total / (R * (R - 1))
    if R < 3:
        return value, none
    without = (total - 2 * each) / ((R - 1) * (R - 2))
    return value, ((without - without.mean()).square().sum() * (R - 1) / R).sqrt()
