r"""Stable and unstable parts of the response: kicks that chaos carries on, and kicks it forgets.

Along an orbit the tangent space is the sum of the unstable directions, in which perturbations grow,
and of the stable ones: the spans of the covariant Lyapunov vectors with positive and with other
exponents.  With P(u) the projection on the unstable directions along the stable ones,

.. math:: K(\tau) = K^u(\tau) + K^s(\tau), \qquad
          K^u(\tau) = \langle DF^\tau P \rangle, \quad K^s(\tau) = \langle DF^\tau (1 - P) \rangle.

:math:`DF^\tau (1 - P)` shrinks orbit by orbit, about as fast as the largest negative exponent says.
:math:`DF^\tau P` grows, and only its mean decays, by mixing: it is a correlation function, and its
resonances are seen in the spectra of spontaneous activity.  Those of :math:`K^s`, answers to kicks
across the attractor, are not (Ruelle 1999; Cessac and Sepulchre 2004).

The projection.  The unstable directions are spanned by the first k columns of the frame Q of
`sntorch.analysis.tangents`, aligned by the past.  Stable directions are those that the future
forgets: they are orthogonal to the k covectors W that grow most when pulled back from later times,

.. math:: W(t) \propto DF_{u(t)}^\top W(t+1), \qquad P = Q\, (W^\top Q)^{-1} W^\top.

k vectors each way are enough: no stable vector is needed and DF may be singular.  The sine of the
smallest angle between the two spaces is the smallest singular value of :math:`W^\top Q`, W
orthonormal.  Where the angle is often near zero, P is large there and both parts have heavy tails
that cancel in their sum.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from sntorch import checks
from sntorch.analysis.blocks import Moments, cut
from sntorch.analysis.kernels import LinearResponse
from sntorch.analysis.tangents import Interval, TangentWalk, own_stream, random_frame
from sntorch.dynamics import Dynamics, enter, step
from sntorch.noise import noise_of
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean

__all__ = ["ResponseParts", "response_parts"]

_PILOT = 500  # steps from which exponents are known
_ERRORS = 3  # standard errors by which an unstable exponent is positive
_ENTRIES = 2**22  # numbers of the frames that are held at once


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ResponseParts(Result):
    """The response of unstable and of stable directions; the kernels add up to that of both."""

    unstable: LinearResponse
    """K^u; ``kernel[0]`` is the mean projection <P>."""
    stable: LinearResponse
    """K^s."""
    whole: LinearResponse
    """K, from the same samples: an error of its own, since those of the parts may cancel."""
    dimension: int
    """Unstable directions, k."""
    exponents: Tensor
    """(N,), Lyapunov exponents per unit of time, mean over rows."""
    exponents_stderr: Tensor
    """(N,)."""
    angles: Tensor
    """(T, R), smallest angle between unstable and stable directions, in radians, at each time and
    row; NaN where all directions are of one kind."""

    @property
    def share(self) -> Tensor:
        """Norm of K^u over the sum of the norms of both parts (lags + 1,), errors taken out."""
        return self.unstable.signal / (self.unstable.signal + self.stable.signal)

    def scalars(self) -> dict[str, float]:
        """Return the unstable dimension, the smallest angle, and the unstable share at lag 1."""
        known = self.angles[~self.angles.isnan()]
        return {
            "dimension": float(self.dimension),
            "angle_min": float(known.min()) if len(known) else math.nan,
            "share": float(self.share[1]),
        }


def response_parts(
    f: object,
    u: Tensor,
    *,
    lags: int,
    samples: int,
    unstable: int | None = None,
    transient: int = 0,
    settle: int = 100,
    x: Tensor | None = None,
    progress: bool = False,
    generator: torch.Generator | None = None,
) -> ResponseParts:
    """Return the unstable and the stable part of K(0) ... K(lags), for small networks.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise acts on the orbit.
    u
        Initial states (..., N); all rows are replicas of one ensemble.
    lags
        The largest lag, in steps.
    samples
        States that are averaged over, all rows together; rounded up to whole rows.
    unstable
        How many directions count as unstable; by default as many as exponents are positive by
        more than 3 standard errors, after 500 steps.
    transient
        Steps of states and frames before these 500.
    settle
        Steps after the last lag from which the stable directions are found: some ten times the
        inverse of the gap between the exponents on both sides of zero.
    x
        Constant drive (I,).
    progress
        Show a progress bar.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments, and when an orbit or a part leaves the finite numbers.

    References
    ----------
    D. Ruelle, J. Stat. Phys. 95 (1999) 393.  B. Cessac, J.-A. Sepulchre, Phys. Rev. E 70 (2004)
    056111.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[2.0, 1.0], [0.0, 0.5]], dtype=torch.float64)
    >>> zero = torch.zeros(2, dtype=torch.float64)
    >>> found = response_parts(lambda u: u @ M.T, zero, lags=3, samples=20, transient=50)
    >>> found.dimension, found.stable.kernel[3].round(decimals=4)  # 0.5 ** 3 at most
    (1, tensor([[ 0.0000, -0.0833],
            [ 0.0000,  0.1250]], dtype=torch.float64))
    """
    f, x = enter(f, u, x=x)
    if x is not None and x.ndim > 1:
        raise ValueError(f"x: expected a constant drive (I,), got {tuple(x.shape)}")
    size, lags = u.shape[-1], checks.count("lags", lags)
    steps = -(-checks.count("samples", samples, low=2) // (u.numel() // size))
    if unstable is not None:
        checks.count("unstable", unstable, low=0, high=size)
    transient = checks.count("transient", transient, low=0)
    settle = checks.count("settle", settle, low=0)
    checks.generator(generator, u.device)
    u = u.reshape(-1, size).clone()
    with observing(f, u):
        stream = own_stream(u.device) if generator is None else generator
        walk = TangentWalk(f, u, size, x, stream, Interval("auto", u.dtype))
        walk.skip(transient)
        mean, error = _exponents(walk)
        k = int((mean > _ERRORS * error).sum()) if unstable is None else unstable
        orbit = _Orbit(f, x, stream, [walk.u], walk.V[..., :k])
        longest = max(1, _ENTRIES // (len(u) * size * (size + k)))
        parts, angles = (Moments(), Moments(), Moments()), []
        lengths = [part for length in block_lengths(steps) for part in cut(length, longest)]
        bar = tqdm(total=steps, desc="response parts", disable=not progress)
        # Blocks share a window, since every window takes `settle` steps more.
        per = max(1, longest // lengths[0])
        for together in (lengths[i : i + per] for i in range(0, len(lengths), per)):
            window = orbit.window(sum(together) + lags, settle)
            for length in together:
                angles.append(_angles(window, length))
                for moments, block in zip(parts, _pushed(f, window, length, lags, x), strict=True):
                    moments.add(block, float(length))
                window = _Window(*(each[length:] for each in window))
                bar.update(length)
            orbit.forget(sum(together))
        bar.close()
        sigma = noise_of(f, u)
    sigma = u.new_zeros(()) if sigma is None else sigma.detach()
    kernels = [_record(moments, steps * len(u), sigma, f.dt) for moments in parts]
    return ResponseParts(
        unstable=kernels[0],
        stable=kernels[1],
        whole=kernels[2],
        dimension=k,
        exponents=mean,
        exponents_stderr=error,
        angles=torch.cat(angles),
    )


class _Window(NamedTuple):
    """A stretch of orbit: states u, unstable frame Q, and A of the projection P = Q A."""

    u: Tensor
    """(T, R, N)."""
    Q: Tensor
    """(T, R, N, k)."""
    W: Tensor
    """(T, R, N, k), orthonormal covectors that vanish on stable directions."""
    A: Tensor
    """(T, R, k, N), (W^T Q)^-1 W^T."""


class _Orbit:
    """An orbit with its unstable frame, of which only what is still needed is kept."""

    def __init__(
        self, f: Dynamics, x: Tensor | None, stream: torch.Generator, u: list[Tensor], Q: Tensor
    ) -> None:
        self.f, self.x, self.stream, self.states, self.frames = f, x, stream, u, [Q]
        self.sigma = noise_of(f, u[0])

    def window(self, steps: int, settle: int) -> _Window:
        """Return the next states 0 ... `steps` with their projections."""
        while len(self.states) < steps + settle + 1:
            self.states.append(step(self.f, self.states[-1], self.x, self.sigma, self.stream))
        u = torch.stack(self.states[: steps + 1])
        if not self.frames[0].shape[-1]:
            nothing = self.frames[0].expand(*u.shape, 0)
            return _Window(u, nothing, nothing, nothing.mT)
        while len(self.frames) < steps + 1:
            pushed = self.f.jvp(self.states[len(self.frames) - 1], self.frames[-1], self.x)[1]
            self.frames.append(torch.linalg.qr(pushed).Q)
        W, covectors = random_frame(u[0], self.frames[0].shape[-1]), []
        for state in reversed(self.states):
            W = torch.linalg.qr(self.f.vjp(state, W, self.x)[1]).Q
            covectors.append(W)
        Q, W = torch.stack(self.frames), torch.stack(covectors[::-1][: steps + 1])
        inverse, _ = torch.linalg.inv_ex(W.mT @ Q)
        return _Window(u, Q, W, inverse @ W.mT)

    def forget(self, steps: int) -> None:
        """Begin the next window `steps` later."""
        self.states, self.frames = self.states[steps:], self.frames[steps:] or self.frames


def _exponents(walk: TangentWalk) -> tuple[Tensor, Tensor]:
    """Return mean and standard error (N,) of the exponents over time and rows."""
    lengths = block_lengths(_PILOT)
    grown = torch.stack([walk.advance(length)[0].mean(0) / length for length in lengths])
    mean, error = block_mean(grown / walk.f.dt, lengths)
    return mean, error


def _pushed(
    f: Dynamics, window: _Window, length: int, lags: int, x: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return means (lags + 1, N, N) of unstable, stable and whole tangents from `length` states."""
    u, Q, _, A = window
    size, start = u.shape[-1], A[:length]
    grown = Q[:length]
    shrunk = torch.eye(size, dtype=u.dtype, device=u.device) - grown @ start
    unstable, stable = u.new_empty(2, lags + 1, size, size)
    unstable[0], stable[0] = (grown @ start).mean((0, 1)), shrunk.mean((0, 1))
    for lag in range(1, lags + 1):
        both = torch.cat([grown, shrunk], dim=-1)
        both = f.jvp(u[lag - 1 : lag - 1 + length], both, x)[1]
        grown, shrunk = both.split([Q.shape[-1], size], dim=-1)
        # Rounding lets the unstable directions in again, where they would grow.
        now = slice(lag, lag + length)
        shrunk = shrunk - Q[now] @ (A[now] @ shrunk)
        unstable[lag], stable[lag] = (grown @ start).mean((0, 1)), shrunk.mean((0, 1))
    if not math.isfinite((unstable.sum() + stable.sum()).item()):
        raise ValueError(
            "u: expected bounded orbits and parts, got numbers that are not finite; fewer lags "
            "may do"
        )
    return unstable, stable, unstable + stable


def _angles(window: _Window, length: int) -> Tensor:
    size, k = window.Q.shape[-2:]
    if not 0 < k < size:
        return window.u.new_full(window.u[:length].shape[:-1], math.nan)
    sines = torch.linalg.svdvals(window.W[:length].mT @ window.Q[:length])[..., -1]
    return sines.clamp(max=1).asin()


def _record(moments: Moments, samples: int, noise: Tensor, dt: float) -> LinearResponse:
    kernel, stderr = moments.result()
    return LinearResponse(
        kernel=kernel,
        stderr=stderr,
        samples=samples,
        method="tangent",
        noise=noise,
        amplitude=math.nan,
        dt=dt,
    )
