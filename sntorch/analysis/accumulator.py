"""Linear response in pieces: what has been averaged so far, and how to go on.

See `sntorch.analysis.response` for the estimators.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sntorch import checks
from sntorch.analysis.blocks import Blocks, Moments, cut, jackknife, moved
from sntorch.analysis.kernels import LinearResponse, frequencies, transform
from sntorch.analysis.kicks import (
    from_slopes,
    noise_precision,
    replicas,
    summed_jacobian,
    tangents,
)
from sntorch.analysis.tangents import own_stream
from sntorch.dynamics import enter
from sntorch.noise import add_noise, draw_noise, noise_of
from sntorch.observing import observing
from sntorch.results import BLOCKS, block_lengths

__all__ = ["METHODS", "ResponseAccumulator"]

METHODS = ("tangent", "noise", "finite_difference", "mean_field")
_ENTRIES = 2**22  # numbers held at once beside the kernel: 32 MB in float64


class ResponseAccumulator:
    """`linear_response` in pieces: `update` as often as wanted, `result` whenever wanted.

    ``state_dict()`` holds all that is known, the position of the noise included; an accumulator
    made with the same arguments that loads it goes on to the same bits.  Arguments are those of
    `linear_response`; with frequencies `omega` (W,), `susceptibility` has chi block by block.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20), noise=0.5)
    >>> part = ResponseAccumulator(cell, torch.zeros(20), lags=5, method="noise")
    >>> part.update(1000).update(1000).result().samples
    2000
    """

    def __init__(
        self,
        f: object,
        u: Tensor,
        *,
        lags: int,
        method: str = "tangent",
        transient: int = 0,
        x: Tensor | None = None,
        amplitude: float | None = None,
        omega: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.f, self.x = enter(f, u, x=x)
        if x is not None and x.ndim > 1:
            raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
        self.lags = checks.count("lags", lags)
        self.method = checks.one_of("method", method, METHODS)
        checks.count("transient", transient, low=0)
        checks.generator(generator, u.device)
        default = torch.finfo(u.dtype).eps ** (1 / 3)
        self.amplitude = default if amplitude is None else checks.positive("amplitude", amplitude)
        with observing(self.f, u):
            self.sigma = noise_of(self.f, u)
            self.precision = noise_precision(self.sigma) if method == "noise" else u
            self.stream = own_stream(u.device) if generator is None else generator
            self.u = u.reshape(-1, u.shape[-1]).clone()
            self.samples = 0
            self.moments, self.waves = Moments(), Moments()
            self.omega = None if omega is None else frequencies(omega, u)
            self.blocks = Blocks()
            self.means: list[Tensor] = []
            for _ in range(transient):
                self.u = self._step(self.u)
            self.past, self.centre = self.u, self.u
            self.room = self.u.new_empty(0)
            if method == "noise":
                self._warm_up()

    def update(self, samples: int, *, progress: bool = False) -> ResponseAccumulator:
        """Add `samples` kicks, rounded up to whole rows, and return the accumulator."""
        steps = -(-checks.count("samples", samples) // len(self.u))
        lengths = block_lengths(steps)
        if self.method == "noise":
            longest = max(1, _ENTRIES // self.u.numel())
            lengths = [part for length in lengths for part in cut(length, longest)]
        with observing(self.f, self.u):
            for length in tqdm(lengths, desc="linear response", disable=not progress):
                self._round(length, max(1, min(len(self.u), -(-BLOCKS // len(lengths)))))
        return self

    def result(self) -> LinearResponse:
        """Return what is known so far."""
        if not self.samples:
            raise ValueError("samples: expected an update before the result, got none")
        left_out: Iterator[Tensor] = self.blocks.left_out()
        if self.method == "mean_field":
            kernel = _powers(self.blocks.mean(), self.lags)
            left_out = (_powers(A, self.lags) for A in left_out)
            kept = list(left_out) if self._small else []
            stderr = jackknife(kernel, kept or left_out)
        else:
            kernel, stderr = self.moments.result()
            kept = list(left_out)
        return LinearResponse(
            kernel=kernel,
            stderr=stderr,
            samples=self.samples,
            method=self.method,
            noise=torch.zeros_like(kernel[0, 0, 0]) if self.sigma is None else self.sigma.detach(),
            amplitude=self.amplitude if self.method == "finite_difference" else math.nan,
            left_out=torch.stack(kept) if kept else None,
            dt=self.f.dt,
        )

    def susceptibility(self) -> tuple[Tensor, Tensor]:
        """Return chi (W, N, N) at the frequencies `omega` and its error, from its own blocks."""
        if self.omega is None:
            raise ValueError("omega: expected frequencies when the accumulator was made, got none")
        if self.method == "mean_field":
            found = self.result()
            return found.susceptibility(self.omega), found.susceptibility_stderr(self.omega)
        value, error = self.waves.result()
        return torch.view_as_complex(value), (error.square().sum(-1) / 2).sqrt()

    def drift(self) -> float:
        """Return by how many of its spreads the mean state moved in time: some 6 is too far.

        The larger of two ratios: first block against the others, first half against the second.
        """
        means = torch.stack(self.means)
        count = len(means)
        if count < 8:
            return 0.0
        floor = torch.finfo(means.dtype).eps ** 0.5 * (means.abs().mean() + means.std())
        return max(moved(means[:cut], means[cut:], floor) for cut in (1, count // 2))

    def state_dict(self) -> dict[str, Any]:
        """Return all that is known, as tensors and numbers that ``torch.save`` takes."""
        tensors = {name: getattr(self, name).clone() for name in ("u", "past", "centre")}
        return {
            **tensors,
            "method": self.method,
            "samples": self.samples,
            "moments": self.moments.state(),
            "waves": self.waves.state(),
            "blocks": list(self.blocks.items),
            "means": list(self.means),
            "stream": self.stream.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        if state["method"] != self.method or state["u"].shape != self.u.shape:
            raise ValueError(
                f"state: expected that of method {self.method!r} with {tuple(self.u.shape)}, "
                f"got {state['method']!r} with {tuple(state['u'].shape)}"
            )
        if state["past"].shape != self.past.shape:
            raise ValueError("state: expected that of an accumulator with the same lags")
        self.u, self.past, self.centre = (state[n].clone() for n in ("u", "past", "centre"))
        self.samples = state["samples"]
        self.moments, self.waves = Moments(*state["moments"]), Moments(*state["waves"])
        self.blocks, self.means = Blocks(state["blocks"]), list(state["means"])
        self.stream.set_state(state["stream"])

    @property
    def _small(self) -> bool:
        """Whether blocks of whole kernels are few enough numbers to be kept."""
        return BLOCKS * (self.lags + 1) * self.u.shape[-1] ** 2 <= _ENTRIES

    def _round(self, steps: int, groups: int) -> None:
        """Make `steps` samples of every row; every group of rows gives a block."""
        if self.method == "noise":
            self._stream(steps, groups)
        elif self.method == "mean_field":
            self._average(steps, groups)
        else:
            self._kick(steps, groups)
        self.samples += steps * len(self.u)

    def _kick(self, steps: int, groups: int) -> None:
        copies = 2 if self.method == "finite_difference" else 1
        largest = max(1, _ENTRIES // (copies * self.u.shape[-1] ** 2))
        groups = max(groups, -(-len(self.u) // largest))
        mean, ends = torch.zeros_like(self.u[0]), []
        for u in self.u.tensor_split(groups):
            total = u.new_zeros(self.lags + 1, u.shape[-1], u.shape[-1])
            for _ in range(steps):
                pushed = self._pushed(u)
                for lag, (state, V) in enumerate(itertools.islice(pushed, self.lags), start=1):
                    total[lag] += V.sum(0) if len(V) > 1 else V[0]
                    mean += state.sum(0)
                    u = state
            ends.append(u)
            self._close(total.div_(steps * len(u)), steps * len(u))
        self.u = torch.cat(ends)
        self.means.append(mean / (steps * self.lags * len(self.u)))

    def _pushed(self, u: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield states and what became of the kicks (R, N, N) after 1, 2, ... steps."""
        if self.method == "finite_difference":
            return replicas(self.f, u, self.x, self.sigma, self.stream, self.amplitude)
        return tangents(self.f, u, self.x, self.sigma, self.stream)

    def _average(self, steps: int, groups: int) -> None:
        """Average Jacobians, or the slopes that make them."""
        mean, ends = torch.zeros_like(self.u[0]), []
        for u in self.u.tensor_split(groups):
            total, rows = u.new_zeros(()), len(u)
            for _ in range(steps):
                total = total + summed_jacobian(self.f, u, self.x)
                u = self._step(u)
                mean += u.sum(0)
            ends.append(u)
            average = from_slopes(self.f, total / (steps * rows))
            self._close(torch.stack([average, average]), steps * rows)
        self.u = torch.cat(ends)
        self.means.append(mean / (steps * len(self.u)))

    def _stream(self, steps: int, groups: int) -> None:
        """Correlate F(u) of `steps` steps with the noise of the `lags` steps before each."""
        if len(self.room) < self.lags + 2 * steps:  # kept: new ones leave holes in the memory
            self.room = self.u.new_empty(self.lags + 2 * steps, *self.u.shape)
        values, kicks = self.room[:steps], self.room[steps : 2 * steps + self.lags]
        kicks[: self.lags] = self.past
        for value, kick in zip(values, kicks[self.lags :], strict=True):
            draw_noise(kick, self.sigma, self.stream)
            value.copy_(self.f.map(self.u, self.x))
            self.u = value + kick
        self.means.append(values.mean((0, 1)))
        values -= self.centre
        self.past = kicks[steps:].clone()
        n = values.shape[-1]
        for rows in torch.arange(len(self.u), device=self.u.device).tensor_split(groups):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            left = values[:, part].reshape(-1, n).T
            total = values.new_empty(self.lags + 1, n, n)
            for lag in range(1, self.lags + 1):
                first = self.lags - lag
                total[lag] = left @ kicks[first : first + steps, part].reshape(-1, n)
            block = total @ self.precision if self.precision.ndim == 2 else total * self.precision
            self._close(block.div_(left.shape[1]), left.shape[1])

    def _warm_up(self) -> None:
        """Fill the memory of the noise, and fix the mean to subtract: from outside the samples."""
        noise, total = [], torch.zeros_like(self.u[0])
        steps = max(self.lags, 100)
        for _ in range(steps):
            value = self.f.map(self.u, self.x)
            self.u = add_noise(value, self.sigma, self.stream)
            noise = [*noise, self.u - value][-self.lags :]
            total += value.mean(0)
        self.past, self.centre = torch.stack(noise), total / steps

    def _step(self, u: Tensor) -> Tensor:
        return add_noise(self.f.map(u, self.x), self.sigma, self.stream)

    def _close(self, block: Tensor, weight: int) -> None:
        """Add the mean over one block."""
        block[0] = torch.eye(block.shape[-1], dtype=block.dtype, device=block.device)
        # What is not finite stays so at all later lags, and a sum shows it.
        if not math.isfinite(block[-1].sum().item()):
            raise ValueError(
                "u: expected bounded orbits and tangents, got numbers that are not finite after "
                f"{self.samples} samples; fewer lags may do"
            )
        if self.method == "mean_field":
            self.blocks.add(block[1], float(weight))
            return
        if self._small:
            self.blocks.add(block.clone(), float(weight))
        if self.omega is not None:
            self.waves.add(torch.view_as_real(transform(block, self.omega)), float(weight))
        self.moments.add(block, float(weight))


def _powers(A: Tensor, lags: int) -> Tensor:
    powers = [torch.eye(len(A), dtype=A.dtype, device=A.device)]
    for _ in range(lags):
        powers.append(A @ powers[-1])
    return torch.stack(powers)
