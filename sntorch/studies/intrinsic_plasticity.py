r"""Homeostasis of thresholds raises the exponent of a network to what its mean field says.

.. math:: u(t+1) = J \tanh(g\,u(t)) - \theta, \qquad J_{ij} \sim N(0, 1/N), \qquad
          \theta_i \leftarrow \theta_i + \eta_n (<x_i> - m_0)

Thresholds are drawn at random, so that every neuron has a static field of its own: disorder, which
drives neurons into saturation.  Homeostasis gives all of them the mean activity m_0 and therefore
one static field z: the disorder is cancelled.  For large N (`plasticity.intrinsic`)

.. math:: E f(z + \sqrt w h) = m_0, \qquad w = E f^2 - m_0^2, \qquad
          \lambda_1 = \tfrac12 \ln E f'(z + \sqrt w h)^2, \qquad h \sim N(0, 1).

Before learning the exponent is that of `meanfield.solve` with disordered thresholds.  The rule is a
generic one, not the molecular kinetics of Naude et al. (2013).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from sntorch import checks
from sntorch.analysis import max_lyapunov
from sntorch.cells import SNTCell
from sntorch.dynamics import rollout
from sntorch.meanfield import solve
from sntorch.plasticity import IntrinsicHomeostasis, learn
from sntorch.plot import plot, style
from sntorch.plot.canvas import DARK, THEORY, StyledFigure, finish, name_axes, on
from sntorch.studies.study import Study
from sntorch.transfer import Transfer, as_transfer

__all__ = ["IntrinsicPlasticity", "balanced", "run"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class IntrinsicPlasticity(Study):
    """R networks so far over E looks, and the mean field before and after."""

    epoch: Tensor
    """(E,), epochs of homeostasis."""
    exponents: Tensor
    """(R, E), largest exponent, nats per step."""
    disorder: Tensor
    """(R, E), standard deviation over neurons of the time-averaged state."""
    last: Tensor
    """(R,), exponent at the end, from a longer orbit."""
    before: Tensor
    """(), exponent of the mean field with disordered thresholds."""
    after: Tensor
    """(), exponent of the mean field without disorder."""
    size: int
    """Neurons of each network."""
    planned: int
    """Networks that the whole study has."""

    @property
    def distance(self) -> tuple[float, float]:
        """Mean over networks of the last exponent less the mean field, and its standard error."""
        error = float(self.last.std()) / len(self.last) ** 0.5 if len(self.last) > 1 else math.nan
        return float(self.last.mean() - self.after), error

    @property
    def progress(self) -> str:
        """The last network."""
        return (
            f"[{len(self.last)}/{self.planned}] exponent {float(self.exponents[-1, 0]):+.4f} to "
            f"{float(self.last[-1]):+.4f}, mean field {float(self.after):+.4f}"
        )

    def scalars(self) -> dict[str, float]:
        """Return the exponents and their distance from the mean field."""
        distance, error = self.distance
        return {
            "exponent": float(self.last.mean()),
            "mean_field": float(self.after),
            "distance": distance,
            "distance_stderr": error,
        }

    def table(self) -> str:
        """Return exponents and disorder by epoch, and the distance from the mean field."""
        lines = [f"{'epoch':>6}{'exponent (nats / step)':>26}{'disorder of the field':>26}"]
        for e, epoch in enumerate(self.epoch.tolist()):
            cells = "".join(f"{_cell(v[:, e]):>26}" for v in (self.exponents, self.disorder))
            lines.append(f"{epoch:6}{cells}")
        distance, error = self.distance
        return "\n".join([
            *lines,
            f"mean field before {float(self.before):.4f}, after {float(self.after):.4f}",
            f"longer orbit at the end {_cell(self.last)}: {distance:+.4f} ± {error:.4f} from it",
        ])  # fmt: skip

    def picture(self) -> Any:
        """Return exponent and disorder over epochs."""
        with style():
            fig = StyledFigure(figsize=(9.6, 3.8))
            left, right = fig.subplots(1, 2)
            plot(self, left)
            for row in self.disorder:
                right.plot(self.epoch, row, color=DARK, alpha=0.6, marker="o", markersize=3)
            name_axes(right, "epoch", "sd over neurons of the mean state", whole=True)
            right.set_ylim(bottom=0)
            finish(right, "Disorder of the field", self.disorder)
        return fig


def run(
    *,
    networks: int = 4,
    size: int = 1000,
    gain: float = 2.0,
    activity: float = 0.0,
    threshold_mean: float = 0.3,
    threshold_std: float = 0.5,
    epochs: int = 200,
    steps: int = 40,
    rate: float = 0.3,
    horizon: float = 20.0,
    every: int = 25,
    measured: int = 400,
    transfer: str = "tanh",
    seed: int = 0,
) -> Iterator[IntrinsicPlasticity]:
    """Yield the study with one network more each time.

    The full setting has ``networks=20``, which brings the error of the mean below 0.001.

    Parameters
    ----------
    networks, size
        Random networks, and neurons of each.
    gain, transfer
        g and the name of the transfer function.
    activity
        m_0, the mean activity that every neuron should have.
    threshold_mean, threshold_std
        Of the Gaussian thresholds before learning.
    epochs, steps
        Updates of the thresholds, and steps that each one averages.
    rate, horizon
        eta and h of the rule, `plasticity.IntrinsicHomeostasis`.
    every, measured
        Epochs between looks, and steps of a look; the last exponent takes four times as many.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        On wrong arguments, before the first network.

    References
    ----------
    J. Naude, B. Cessac, H. Berry, B. Delord, Journal of Neuroscience 33 (2013) 15032.

    Examples
    --------
    >>> *_, found = run(networks=1, size=20, epochs=2, every=1, measured=20)
    >>> found.exponents.shape, round(float(found.after), 4)
    (torch.Size([1, 3]), 0.1547)
    """
    checks.count("networks", networks)
    checks.count("size", size, low=2)
    checks.count("seed", seed, low=0)
    checks.count("measured", measured, low=20)
    checks.number("threshold_mean", threshold_mean)
    checks.number("threshold_std", threshold_std, low=0)
    rule = IntrinsicHomeostasis(rate, horizon, activity=activity)
    after = balanced(as_transfer(transfer), checks.positive("gain", gain), activity)[1]
    before = solve(
        gain=gain, threshold=threshold_mean, threshold_std=threshold_std, transfer=transfer
    ).lyapunov
    observe = {
        "exponent": lambda f, u: max_lyapunov(f, u, measured, transient=100).exponents[0],
        "disorder": lambda f, u: rollout(f, u, measured).mean(0).std(),
    }
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    for i in range(networks):
        draw = np.random.default_rng([seed, size, i])
        J, theta, u = (
            torch.from_numpy(draw.standard_normal(shape)).float()
            for shape in ((size, size), size, size)
        )
        cell = SNTCell(
            J / size**0.5, gain=gain, threshold=threshold_mean + threshold_std * theta,
            transfer=transfer, trainable=(),
        )  # fmt: skip
        history = learn(
            cell, rule, u, epochs, steps=steps, observe=observe, every=every, control=None
        )
        last = max_lyapunov(history.cell, history.state, 4 * measured, transient=100)
        seen.append((history["exponent"], history["disorder"], last.exponents[0]))
        exponents, disorder, ends = (torch.stack(part) for part in zip(*seen, strict=True))
        yield IntrinsicPlasticity(
            epoch=history.epoch,
            exponents=exponents,
            disorder=disorder,
            last=ends,
            before=before,
            after=torch.tensor(after, dtype=torch.float64),
            size=size,
            planned=networks,
        )


def balanced(phi: Transfer, gain: float, activity: float) -> tuple[float, float]:
    """Return static field z and largest exponent of a large network whose activities are all m_0.

    Raises
    ------
    ValueError
        If no field gives that activity.

    Examples
    --------
    >>> z, exponent = balanced(as_transfer("tanh"), 2.0, 0.0)
    >>> abs(z) < 1e-9, round(exponent, 6)
    (True, 0.154724)
    """
    z, w = 0.0, 1.0
    for _ in range(500):
        variance = gain**2 * w
        if (
            not _lack(-_FAR, phi, gain, variance, activity)
            < 0
            < _lack(_FAR, phi, gain, variance, activity)
        ):
            raise ValueError(f"activity: expected one that f has on average, got {activity}")
        z = float(brentq(_lack, -_FAR, _FAR, args=(phi, gain, variance, activity)))  # pyright: ignore[reportArgumentType]
        old, w = w, float(phi.second_moment(gain * z, variance)) - activity**2
        if abs(w - old) < 1e-13:
            break
    return z, math.log(gain**2 * float(phi.slope_sq(gain * z, gain**2 * w))) / 2


def _lack(z: float, phi: Transfer, gain: float, variance: float, activity: float) -> float:
    """Return how much more active than m_0 neurons are at a static field z."""
    return float(phi.mean(gain * z, variance)) - activity


_FAR = 50.0  # a static field beyond which every neuron is saturated


def _cell(values: Tensor) -> str:
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{float(values.mean()):.4f} ± {error:.4f}"


@plot.register(IntrinsicPlasticity)
@style()
def _(result: IntrinsicPlasticity, ax: Any = None) -> Any:
    ax = on(ax)
    for i, row in enumerate(result.exponents):
        label = f"{len(result.exponents)} networks" if i == 0 else None
        ax.plot(result.epoch, row, color=DARK, alpha=0.6, marker="o", markersize=3, label=label)
    dotted: dict[str, Any] = THEORY | {"linestyle": (0, (1, 1.5))}
    ax.axhline(float(result.before), label="mean field, disordered", **dotted)
    ax.axhline(float(result.after), label="mean field, balanced", **THEORY)
    name_axes(ax, "epoch", "largest Lyapunov exponent (nats / step)", whole=True)
    return finish(ax, f"Homeostasis of thresholds, N = {result.size}", result.exponents)
