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
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from sntorch import checks
from sntorch.analysis.tangents import own_stream
from sntorch.dynamics import add_noise, enter, noise_of, observing
from sntorch.results import BLOCKS, Result, block_lengths

__all__ = ["LinearResponse", "ResponseAccumulator", "ResponseWarning", "linear_response"]

METHODS = ("tangent", "noise", "finite_difference", "mean_field")
_RESOLVED = 3  # standard errors from zero
_LARGE = 100  # neurons from which on slopes average out
_PILOT = 2 * BLOCKS  # samples from which errors are foreseen
_ENTRIES = 2**22  # numbers held at once beside the kernel: 32 MB in float64
_DRIFT = 6.0  # spreads by which an early and a late mean may differ


class ResponseWarning(UserWarning):
    """The response is below its noise, not linear, or that of a state which is not stationary."""


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
        root mean square error over all lags is the smallest, as a pilot of 40 samples foresees.
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
        method = choose(f, u, samples, settings)
    accumulator = ResponseAccumulator(f, u, method=method, generator=generator, **settings)
    result = accumulator.update(samples, progress=progress).result()
    warn(result, accumulator.drift(), stacklevel=2)
    return result


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
            self.precision = _precision(self.sigma) if method == "noise" else u
            self.stream = own_stream(u.device) if generator is None else generator
            self.u = u.reshape(-1, u.shape[-1]).clone()
            self.samples = 0
            self.moments, self.waves = _Moments(), _Moments()
            self.omega = None if omega is None else frequencies(omega, u)
            self.blocks: list[tuple[float, Tensor]] = []
            self.means: list[Tensor] = []
            for _ in range(transient):
                self.u = self._step(self.u)
            self.past, self.centre = self.u, self.u
            if method == "noise":
                self._warm_up()

    def update(self, samples: int, *, progress: bool = False) -> ResponseAccumulator:
        """Add `samples` kicks, rounded up to whole rows, and return the accumulator."""
        steps = -(-checks.count("samples", samples) // len(self.u))
        lengths = block_lengths(steps)
        if self.method == "noise":
            longest = max(1, _ENTRIES // self.u.numel())
            lengths = [part for length in lengths for part in _cut(length, longest)]
        with observing(self.f, self.u):
            for length in tqdm(lengths, desc="linear response", disable=not progress):
                self._round(length, max(1, min(len(self.u), -(-BLOCKS // len(lengths)))))
        return self

    def result(self) -> LinearResponse:
        """Return what is known so far."""
        if not self.samples:
            raise ValueError("samples: expected an update before the result, got none")
        kernel, stderr = self._powers() if self.method == "mean_field" else self.moments.result()
        return LinearResponse(
            kernel=kernel,
            stderr=stderr,
            samples=self.samples,
            method=self.method,
            noise=torch.zeros_like(kernel[0, 0, 0]) if self.sigma is None else self.sigma.detach(),
            amplitude=self.amplitude if self.method == "finite_difference" else math.nan,
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
        return max(_moved(means[:cut], means[cut:], floor) for cut in (1, count // 2))

    def state_dict(self) -> dict[str, Any]:
        """Return all that is known, as tensors and numbers that ``torch.save`` takes."""
        tensors = {name: getattr(self, name).clone() for name in ("u", "past", "centre")}
        return {
            **tensors,
            "method": self.method,
            "samples": self.samples,
            "moments": self.moments.state(),
            "waves": self.waves.state(),
            "blocks": list(self.blocks),
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
        self.moments, self.waves = _Moments(*state["moments"]), _Moments(*state["waves"])
        self.blocks, self.means = list(state["blocks"]), list(state["means"])
        self.stream.set_state(state["stream"])

    def _round(self, steps: int, groups: int) -> None:
        """Make `steps` samples of every row; every group of rows gives a block."""
        if self.method == "noise":
            self._stream(steps, groups)
        else:
            self._kick(steps, groups)
        self.samples += steps * len(self.u)

    def _kick(self, steps: int, groups: int) -> None:
        lags = 1 if self.method == "mean_field" else self.lags
        copies = 2 if self.method == "finite_difference" else 1
        largest = max(1, _ENTRIES // (copies * self.u.shape[-1] ** 2))
        groups = max(groups, -(-len(self.u) // largest))
        push = self._replicas if self.method == "finite_difference" else self._tangents
        mean, ends = torch.zeros_like(self.u[0]), []
        for u in self.u.tensor_split(groups):
            total = u.new_zeros(lags + 1, u.shape[-1], u.shape[-1])
            for _ in range(steps):
                for lag, (state, V) in enumerate(push(u, lags), start=1):
                    total[lag] += V.sum(0) if len(V) > 1 else V[0]
                    mean += state.sum(0)
                    u = state
            ends.append(u)
            self._close(total.div_(steps * len(u)), steps * len(u))
        self.u = torch.cat(ends)
        self.means.append(mean / (steps * lags * len(self.u)))

    def _tangents(self, u: Tensor, lags: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield states and tangents (R, N, N) of 1, 2, ... steps."""
        V = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device).expand(*u.shape, -1)
        for _ in range(lags):
            value, V = self.f.jvp(u, V, self.x)
            u = add_noise(value, self.sigma, self.stream)
            yield u, V

    def _replicas(self, u: Tensor, lags: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield states and differences (R, N, N) of replicas kicked both ways on every neuron."""
        kick = self.amplitude * torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)
        replicas = u[:, None] + torch.stack([kick, -kick])[:, None]  # (2, R, j, i)
        for _ in range(lags):
            value = self.f.map(u, self.x)
            u = add_noise(value, self.sigma, self.stream)
            replicas = self.f.map(replicas, self.x) + (u - value)[:, None]
            yield u, ((replicas[0] - replicas[1]) / (2 * self.amplitude)).mT

    def _stream(self, steps: int, groups: int) -> None:
        """Correlate F(u) of `steps` steps with the noise of the `lags` steps before each."""
        values, noise = self.u.new_empty(steps, *self.u.shape), [*self.past]
        for t in range(steps):
            values[t] = self.f.map(self.u, self.x)
            self.u = add_noise(values[t], self.sigma, self.stream)
            noise.append(self.u - values[t])
        self.means.append(values.mean((0, 1)))
        kicks, values = torch.stack(noise), values - self.centre
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
            noise = (
                [*noise[-self.lags + 1 :], self.u - value] if self.lags > 1 else [self.u - value]
            )
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
        if self.method != "mean_field":
            if self.omega is not None:
                self.waves.add(torch.view_as_real(transform(block, self.omega)), float(weight))
            self.moments.add(block, float(weight))
            return
        self.blocks.append((float(weight), block[1]))
        if len(self.blocks) > BLOCKS:  # neighbours become one
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=False)
            rest = self.blocks[len(self.blocks) // 2 * 2 :]
            self.blocks = [(v + w, (v * a + w * b) / (v + w)) for (v, a), (w, b) in pairs] + rest

    def _powers(self) -> tuple[Tensor, Tensor]:
        """Return powers of <DF> and their errors, leaving out one block after the other."""
        weights = [weight for weight, _ in self.blocks]
        total = sum(
            (w * block for w, block in self.blocks), start=torch.zeros_like(self.blocks[0][1])
        )
        whole = _powers(total / sum(weights), self.lags)
        count = len(self.blocks)
        if count < 2:
            return whole, torch.full_like(whole, math.nan)
        square = torch.zeros_like(whole)
        for weight, block in self.blocks:
            without = (total - weight * block) / (sum(weights) - weight)
            square += (_powers(without, self.lags) - whole).square()
        return whole, (square * ((count - 1) / count)).sqrt()


class _Moments:
    """Weighted mean of blocks and its standard error, one block at a time (West 1979)."""

    def __init__(
        self,
        count: int = 0,
        weight: float = 0.0,
        mean: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> None:
        self.count, self.weight, self.mean, self.spread = count, weight, mean, spread

    def add(self, value: Tensor, weight: float) -> None:
        """Add a block; `value` is used up."""
        self.count += 1
        self.weight += weight
        if self.mean is None or self.spread is None:
            self.mean, self.spread = value.clone(), torch.zeros_like(value)
            return
        # Lag by lag and in place: a whole kernel does not fit into a cache.
        for mean, spread, new in zip(self.mean, self.spread, value, strict=True):
            delta = new - mean
            mean.add_(delta, alpha=weight / self.weight)
            spread.addcmul_(delta, new.sub_(mean), value=weight)

    def state(self) -> tuple[int, float, Tensor | None, Tensor | None]:
        if self.mean is None or self.spread is None:
            return 0, 0.0, None, None
        return self.count, self.weight, self.mean.clone(), self.spread.clone()

    def result(self) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.spread is None:
            raise ValueError("samples: expected some, got none")
        if self.count < 2:
            return self.mean, torch.full_like(self.mean, math.nan)
        return self.mean, (self.spread / ((self.count - 1) * self.weight)).sqrt()


def _powers(A: Tensor, lags: int) -> Tensor:
    powers = [torch.eye(len(A), dtype=A.dtype, device=A.device)]
    for _ in range(lags):
        powers.append(A @ powers[-1])
    return torch.stack(powers)


def _precision(sigma: Tensor | None) -> Tensor:
    """Return the inverse of sigma sigma^T: () or (N,) where it is diagonal."""
    if sigma is None or (sigma.ndim < 2 and not bool((sigma > 0).all())):
        raise ValueError(
            "noise: expected > 0 on every neuron, since method 'noise' correlates with it; got 0"
        )
    if sigma.ndim < 2:
        return sigma.detach().square().reciprocal()
    inverse, failed = torch.linalg.inv_ex(sigma.detach() @ sigma.detach().mT)
    condition = float(torch.linalg.cond(sigma.detach()))
    if bool(failed) or condition > 0.1 / torch.finfo(sigma.dtype).eps ** 0.5:
        raise ValueError(f"noise: expected a matrix of full rank, got condition {condition:.1e}")
    return inverse


def _cut(length: int, longest: int) -> list[int]:
    parts = -(-length // longest)
    short, longer = divmod(length, parts)
    return [short + 1] * longer + [short] * (parts - longer)


def _moved(early: Tensor, late: Tensor, floor: Tensor) -> float:
    """Return the rms over neurons of the change of the mean, in standard errors."""
    error = late.var(0) / len(late)
    error = error + (early.var(0) if len(early) > 1 else late.var(0)) / len(early)
    change = (early.mean(0) - late.mean(0)) / (error.sqrt() + floor)
    return float(change.square().mean().sqrt())


def choose(f: object, u: Tensor, samples: int, settings: dict[str, Any]) -> str:
    """Return the method whose error a pilot foresees to be the smallest at equal samples."""
    f, _ = enter(f, u, x=settings["x"])
    kinds = ["tangent"]
    sigma = noise_of(f, u)
    if sigma is not None and (sigma.ndim == 2 or bool((sigma > 0).all())):
        kinds.append("noise")
    if u.shape[-1] >= _LARGE:
        kinds.append("mean_field")
    if len(kinds) == 1:
        return kinds[0]
    u = u.reshape(-1, u.shape[-1])[:_PILOT]
    pilots = {
        kind: ResponseAccumulator(f, u, method=kind, **settings).update(_PILOT).result()
        for kind in kinds
    }
    tangent = pilots["tangent"]
    errors = {
        kind: float((pilot.error.square().mean() * pilot.samples / samples).sqrt())
        for kind, pilot in pilots.items()
    }
    if "mean_field" in pilots:
        field = pilots["mean_field"]
        bias = (field.kernel - tangent.kernel).square() - tangent.stderr.square()
        # Only where the pilot sees something can it judge the approximation.
        seen = tangent.signal > tangent.error
        bias = float(bias[seen].mean().clamp(min=0).sqrt())
        errors["mean_field"] = math.hypot(errors["mean_field"], bias)
    return min(errors, key=errors.__getitem__)


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
