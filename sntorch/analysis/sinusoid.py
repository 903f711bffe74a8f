r"""The weak sinusoid on one neuron: the experiment that measures a susceptibility directly.

Pairs of replicas are driven by :math:`\pm \epsilon \cos \omega t` under common noise; half their
difference is fitted by a sinusoid.  A response is linear if halving epsilon leaves chi alone,

.. math:: \|\chi_\epsilon - \chi_{\epsilon/2}\| \le \max(0.05\, \|\chi_\epsilon\|,\;
          1.3 \text{ standard errors of the difference}),

and epsilon is halved until it is.  Small chaotic networks without noise are fragile: doubling
epsilon may change an apparent susceptibility several times over, by locking.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.kernels import waves
from sntorch.analysis.kicks import paired_replicas
from sntorch.dynamics import Dynamics
from sntorch.observing import observing

__all__ = ["sinusoids"]

_HALVINGS = 8
_TOLERANCE = 0.05  # relative change of chi that counts as linear
_UNITS = 8  # independent estimates at least, of which the spread is the error


def sinusoids(
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
    """Return the fields of a `Susceptibility` that driving tells, one entry per frequency.

    Every one of `sources` (S,) is driven from the states u (R, N) for `settle` steps, then for
    `samples` steps, all rows together, that are measured.
    """
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
