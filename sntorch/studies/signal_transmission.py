r"""Signal transmission: a modulated wave sent into one of nine neurons, and heard at the others.

.. math:: \xi_j(t) = \epsilon \cos(\omega_m t) \sin(\omega t)

is added to neuron j of the network of `sntorch.studies.susceptibility`, in pairs of replicas under
common noise.  Linear response predicts what every neuron receives, in time by the convolution with
the kernel, in amplitude by :math:`\epsilon |\chi_{ij}(\omega)|`.  Both are compared with what is
received, carrier by carrier: which neurons a signal reaches depends on its frequency (Cessac and
Sepulchre 2006).  Where a resonance is not much wider than the modulation the envelope is smaller
than at the carrier alone, by some per cent; the convolution knows that.  The residual is the rms of
received less predicted in standard errors, 1 if linear response is all there is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis import LinearResponse, Transmission, linear_response, transmit
from sntorch.plot import plot, style
from sntorch.plot.canvas import DARK, GREY, MIDDLE, StyledFigure, array, finish, headline, name_axes
from sntorch.studies.study import Study
from sntorch.studies.susceptibility import network, settled

__all__ = ["SignalTransmission", "run"]

CARRIERS = (0.3, 0.5, 0.72, 1.0, 1.4, 1.81, 2.2, 2.6, 2.9, 3.05)
_LAGS = 100
_WINDOW = 150  # steps of the wave form that are drawn


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SignalTransmission(Study):
    """What was sent at some carriers, and what every neuron received."""

    carriers: Tensor
    """(C,), radians per step."""
    sent: dict[str, Transmission]
    """Carrier as text: what was sent and received."""
    response: LinearResponse
    """The kernel that predicts it."""
    planned: int
    """Carriers that the whole study has."""

    @property
    def gain(self) -> Tensor:
        """(C, N), of the envelope."""
        return torch.stack([each.gain for each in self.sent.values()])

    @property
    def signal_to_noise(self) -> Tensor:
        """(C, N)."""
        return torch.stack([each.signal_to_noise for each in self.sent.values()])

    @property
    def residual(self) -> Tensor:
        """(C, N)."""
        return torch.stack([each.residual for each in self.sent.values()])

    @property
    def progress(self) -> str:
        """The last carrier, the neuron that hears it best, and the residual."""
        carrier, last = list(self.sent.items())[-1]
        best = int(self._others(last.signal_to_noise).argmax())
        return (
            f"[{len(self.sent)}/{self.planned}] carrier {carrier}: heard best at {best}, "
            f"residual {float(last.residual.mean()):.3f}"
        )

    def scalars(self) -> dict[str, float]:
        """Return mean and largest residual, and the rms of gain less prediction in errors."""
        ratios = [
            (each.gain - each.predicted_gain) / each.gain_stderr for each in self.sent.values()
        ]
        return {
            "residual": float(self.residual.mean()),
            "residual_max": float(self.residual.max()),
            "gain_deviation": float(torch.stack(ratios).square().mean().sqrt()),
        }

    def table(self) -> str:
        """Return gain, predicted abs(chi) and signal-to-noise per carrier and receiver."""
        head = f"{'carrier':>8}{'to':>4}{'gain':>18}{'|chi|':>9}{'signal/noise':>14}"
        lines = [f"{head}{'delay':>8}{'residual':>10}"]
        for carrier, each in self.sent.items():
            for i in range(len(each.gain)):
                gain = f"{float(each.gain[i]):.4f} ± {float(each.gain_stderr[i]):.4f}"
                numbers = (
                    f"{float(each.predicted_gain[i]):9.4f}{float(each.signal_to_noise[i]):14.1f}"
                )
                rest = f"{float(each.delay[i]):8.2f}{float(each.residual[i]):10.3f}"
                lines.append(f"{carrier:>8}{i:4}{gain:>18}{numbers}{rest}")
        return "\n".join(lines)

    @style()
    def picture(self) -> Any:
        """Return a wave as it arrives, gains over carriers, and who hears which carrier."""
        fig = StyledFigure(figsize=(13.8, 8.2))
        headline(fig, "A modulated signal in a network of nine neurons")
        grid = fig.add_gridspec(2, 3)
        loudest = list(self.sent.values())[int(self._others(self.gain).amax(1).argmax())]
        best = int(self._others(loudest.signal_to_noise).argmax())
        _wave_form(fig.add_subplot(grid[0, :]), loudest, best)
        plot(self, fig.add_subplot(grid[1, 0]))
        _heard(fig.add_subplot(grid[1, 1]), self)
        plot(loudest, fig.add_subplot(grid[1, 2]))
        return fig

    def _others(self, values: Tensor) -> Tensor:
        """Return values (..., N) with the source out of the race."""
        values = values.clone()
        values[..., next(iter(self.sent.values())).source] = -math.inf
        return values


def run(
    *,
    source: int = 6,
    carriers: Sequence[float] = CARRIERS,
    modulation: float = 0.03,
    amplitude: float = 0.02,
    rows: int = 1024,
    steps: int = 700,
    samples: int = 1_000_000,
    noise: float = 0.15,
    seed: int = 0,
) -> Iterator[SignalTransmission]:
    """Yield what is known after each carrier: the last record is the whole study.

    Parameters
    ----------
    source
        The neuron that is driven, 0 to 8.
    carriers, modulation
        Frequencies in radians per step, carriers in ascending order.
    amplitude
        epsilon.
    rows, steps
        Pairs of replicas, and steps of each.  Signal-to-noise grows with the root of both.
    samples
        Steps from which the kernel is measured, by the noise method.
    noise, seed
        Of the network, and of the initial states.

    Raises
    ------
    ValueError
        On wrong arguments, before any work.

    References
    ----------
    B. Cessac, J.-A. Sepulchre, Chaos 16 (2006) 013104.

    Examples
    --------
    >>> *_, found = run(carriers=[0.7, 1.8], rows=20, steps=200, samples=20_000)
    >>> found.gain.shape
    torch.Size([2, 9])
    """
    source = checks.count("source", source, low=0, high=8)
    modulation = checks.positive("modulation", modulation)
    named = [checks.number("carriers", w, modulation, math.pi - modulation) for w in carriers]
    if not named or named != sorted(set(named)):
        raise ValueError(f"carriers: expected at least one, in ascending order, got {named}")
    checks.positive("noise", noise)
    rows = checks.count("rows", rows, low=8)
    checks.count("steps", steps, low=2 * _LAGS)
    draw, generator = np.random.default_rng(checks.count("seed", seed, low=0)), torch.Generator()
    cell = network(noise)
    u = settled(cell, rows, draw, generator)
    response = linear_response(
        cell,
        u,
        lags=_LAGS,
        samples=checks.count("samples", samples, low=40),
        method="noise",
        generator=generator,
    )
    found: dict[str, Transmission] = {}
    for carrier in named:
        found[f"{carrier:g}"] = transmit(
            cell,
            u,
            source=source,
            carrier=carrier,
            modulation=modulation,
            steps=steps,
            amplitude=amplitude,
            response=response,
            transient=20,
            generator=generator,
        )
        yield SignalTransmission(
            carriers=torch.tensor(named[: len(found)], dtype=torch.float64),
            sent=dict(found),
            response=response,
            planned=len(named),
        )


@plot.register(SignalTransmission)
@style()
def _(result: SignalTransmission, ax: Any = None) -> Any:
    """Draw the gains of the two loudest receivers over the carriers, on their predicted curves."""
    ax = StyledFigure(figsize=(4.6, 3.8)).add_subplot() if ax is None else ax
    source = next(iter(result.sent.values())).source
    omega = torch.linspace(0.05, math.pi - 0.05, 300, dtype=torch.float64)
    chi = result.response.susceptibility(omega)[:, :, source].abs()
    chosen = result._others(result.gain).amax(0).topk(2).indices.tolist()
    error = torch.stack([each.gain_stderr for each in result.sent.values()])
    looks = ((DARK, "o", "-"), (MIDDLE, "s", "--"))
    for i, (colour, marker, line) in zip(chosen, looks, strict=True):
        ax.plot(omega, chi[:, i], color=colour, linestyle=line, linewidth=0.9)
        ax.errorbar(
            result.carriers,
            result.gain[:, i],
            error[:, i],
            color=colour,
            marker=marker,
            linestyle="",
            label=f"{source} to {i}",
        )
    name_axes(ax, "carrier ω (rad / step)", "gain (per unit signal)")
    ax.set_ylim(bottom=0)
    return finish(ax, "Received", result.gain, "lines: predicted |χ|")


def _wave_form(ax: Any, sent: Transmission, receiver: int) -> None:
    """Draw the end of what one neuron received, with what was predicted."""
    steps = np.arange(len(sent.signal))[-_WINDOW:]
    signal, measured, error, predicted = (
        sent.amplitude * part[-_WINDOW:]
        for part in (
            sent.signal,
            sent.received[:, receiver],
            sent.stderr[:, receiver],
            sent.predicted[:, receiver],
        )
    )
    ax.plot(steps, signal, color=GREY, linewidth=0.7, label=f"sent into {sent.source}")
    look = {"color": DARK, "marker": "o", "markersize": 2.5, "linestyle": "", "elinewidth": 0.7}
    ax.errorbar(steps, measured, error, label=f"received at {receiver}", **look)
    ax.plot(steps, predicted, color=MIDDLE, linewidth=0.9, label="predicted by linear response")
    name_axes(ax, "step t", "mean change of u(t+1)")
    note = f"carrier {sent.carrier:.3g}, modulation {sent.modulation:.3g} rad / step"
    finish(ax, "A signal as it arrives", sent.received, f"{note}, {sent.rows} pairs")


def _heard(ax: Any, result: SignalTransmission) -> None:
    """Draw the signal-to-noise of every receiver and carrier."""
    values = result.signal_to_noise
    image = ax.imshow(array(values.T), cmap="Greys", aspect="auto", vmin=0, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="signal-to-noise (1)", shrink=0.85)
    ax.set_xticks(range(len(result.sent)), list(result.sent))
    ax.set_yticks(range(values.shape[1]))
    ax.set(xlabel="carrier ω (rad / step)", ylabel="receiver")
    finish(ax, "Who hears which carrier", values)
