r"""Covariant Lyapunov vectors: the directions in which an orbit is unstable, one per exponent.

The columns of the frame Q of `sntorch.analysis.tangents` are orthogonal by force; only the first
says how a perturbation really grows.  The covariant vectors :math:`v_i` do (Ginelli et al. 2007):

.. math:: DF_{u(t)}\, v_i(t) = e^{\gamma_i(t)\,dt}\, v_i(t+1), \qquad |v_i| = 1, \qquad
          \lambda_i = \langle \gamma_i \rangle.

In the frame they are upper triangular, v = Q C, and C is found backward in time,

.. math:: DF\, Q(t) = Q(t+1) R(t), \qquad C(t) \propto R(t)^{-1} C(t+1),

from any C at the end: the backward pass turns every column into its own direction.  Three stretches
of time: `transient` steps align the frame, `steps` are measured, `settle` steps after them align C.
Over the measured steps the covariant rates and those of the frame, ln |R_ii|, differ only by what
the diagonal of C has gained between the ends, of order 1/steps.

Memory.  The orbit is walked twice: once to store :math:`\sqrt T` checkpoints of state, frame and
noise, then segment by segment backward.  Beside the vectors that are returned, about
:math:`3 \sqrt T` frames are held.

The angle between the unstable and the stable vectors tells hyperbolicity: bounded away from zero
where the dynamics is hyperbolic, reaching zero at tangencies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sntorch import checks
from sntorch.analysis.tangents import Interval, TangentWalk, own_stream, random_frame
from sntorch.dynamics import enter
from sntorch.observing import observing
from sntorch.results import Result, block_lengths, block_mean, over_rows

__all__ = ["CovariantVectors", "covariant_lyapunov_vectors"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CovariantVectors(Result):
    """The covariant Lyapunov vectors along an orbit, and how each of them grows."""

    vectors: Tensor
    """(T, ..., N, k), columns of length 1, in the order of the exponents; signs are arbitrary."""
    states: Tensor
    """(T, ..., N), where the vectors are attached: DF at states[t] maps vectors[t] to [t + 1]."""
    growth: Tensor
    """(T, ..., k), ln |DF v_i| per unit of time: the local rates."""
    exponents: Tensor
    """(..., k), mean of `growth`: largest first if the orbit is long."""
    stderr: Tensor
    """(..., k), by block averaging."""
    gram_schmidt: Tensor
    """(..., k), the exponents from the frame over the same steps."""
    gap: Tensor
    """(..., k), how far apart two random starts of the backward pass still left each vector at the
    end of the window: it is not known better there.  Close exponents take long to separate."""
    dt: float = 1.0
    """Time per step."""

    @property
    def angles(self) -> Tensor:
        """Smallest angle (T, ...) between unstable and stable vectors, in radians, at each time.

        Unstable are those with a positive exponent, stable the other ones of the k; NaN in rows
        where either is missing.
        """
        T, (N, k) = len(self.vectors), self.vectors.shape[-2:]
        frames, unstable = self.vectors.reshape(T, -1, N, k), self.exponents.reshape(-1, k) > 0
        angles = frames.new_full(frames.shape[:2], torch.nan)
        for row, up in enumerate(unstable):
            if bool(up.any()) and not bool(up.all()):
                columns = frames[:, row]
                angles[:, row] = _smallest_angle(columns[..., up], columns[..., ~up])
        return angles.reshape(self.vectors.shape[:-2])

    def scalars(self) -> dict[str, float]:
        """Return the largest exponent with its stderr, smallest and mean angle, largest gap."""
        mean, error = over_rows(self.exponents, self.stderr, axes=1)
        known = self.angles
        known = known[~known.isnan()]
        return {
            "max": float(mean[0]),
            "max_stderr": float(error[0]),
            "angle_min": float(known.min()) if len(known) else math.nan,
            "angle_mean": float(known.mean()) if len(known) else math.nan,
            "gap": float(self.gap.max()),
        }


def covariant_lyapunov_vectors(
    f: object,
    u: Tensor,
    steps: int,
    *,
    k: int | None = None,
    transient: int = 0,
    settle: int = 100,
    x: Tensor | None = None,
    checkpoints: int | None = None,
    generator: torch.Generator | None = None,
) -> CovariantVectors:
    """Return the first k covariant Lyapunov vectors of f at every step of the orbits from u.

    Parameters
    ----------
    f
        Anything `as_dynamics` accepts; its noise acts on the orbit.
    u
        Initial states (..., N).
    steps
        Steps at which vectors are returned, T.
    k
        How many vectors; all N by default.
    transient
        Steps of state and frame before; without them the first vectors still turn.
    settle
        Steps after; without them the last vectors are still random: see `gap`.
    x
        Constant drive (I,) or one per step (transient + steps + settle, ..., I).
    checkpoints
        Into how many segments `steps` and `settle` are cut; the root of their number by default.
        Memory depends on it, the result does not.
    generator
        Source of the noise; None starts at torch's global state and leaves it untouched.

    Raises
    ------
    ValueError
        On wrong arguments; when an orbit leaves the finite numbers; and when DF loses one of the k
        directions, which then has no way back.

    Warns
    -----
    AccuracyWarning
        Where one step sets columns apart by more than rounding allows, as in `lyapunov_spectrum`.

    References
    ----------
    F. Ginelli, P. Poggi, A. Turchi, H. Chate, R. Livi, A. Politi, Phys. Rev. Lett. 99 (2007)
    130601.

    Examples
    --------
    >>> import sntorch as snt
    >>> M = torch.tensor([[1.2, 1.0], [0.0, 0.5]], dtype=torch.float64)
    >>> found = snt.analysis.covariant_lyapunov_vectors(
    ...     lambda u: u @ M.T, torch.zeros(2, dtype=torch.float64), 5, transient=50
    ... )
    >>> found.vectors[0].abs().round(decimals=4)  # the eigenvectors of M
    tensor([[1.0000, 0.8192],
            [0.0000, 0.5735]], dtype=torch.float64)
    """
    transient = checks.count("transient", transient, low=0)
    total = checks.count("steps", steps) + checks.count("settle", settle, low=0)
    f, x = enter(f, u, transient + total, x)
    k = checks.count("k", u.shape[-1] if k is None else k, high=u.shape[-1])
    segments = math.isqrt(total) if checkpoints is None else checkpoints
    checks.count("checkpoints", segments, high=total)
    checks.generator(generator, u.device)
    with observing(f, u):
        stream = own_stream(u.device) if generator is None else generator
        walk = TangentWalk(f, u.clone(), k, x, stream, Interval(1, u.dtype))
        walk.skip(transient)
        short, longer = divmod(total, segments)
        tape = _Tape(walk, stream, [short + 1] * longer + [short] * (segments - longer))
        result = _collect(tape, steps, f.dt)
    walk.interval.warn(k, u.dtype, stacklevel=2)
    return result


class _Snapshot(NamedTuple):
    """All that a walk needs to be walked again to the same bits."""

    step: int
    u: Tensor
    V: Tensor
    noise: Tensor


class _Segment(NamedTuple):
    """States, frames, triangles and what they grow, of L successive steps from `start` on."""

    start: int
    states: Tensor
    frames: Tensor
    triangles: Tensor
    logs: Tensor


class _Tape:
    """A walk that is read backward: checkpoints in passing, then segment by segment again."""

    def __init__(self, walk: TangentWalk, stream: torch.Generator, lengths: list[int]) -> None:
        self.walk, self.stream, self.lengths = walk, stream, lengths
        self.origin = walk.step
        self.snapshots: list[_Snapshot] = []
        for length in lengths:
            self.snapshots.append(_Snapshot(walk.step, walk.u, walk.V, stream.get_state()))
            if len(self.snapshots) < len(lengths):  # the last segment is walked when it is read
                walk.advance(length)

    def segments(self) -> Iterator[_Segment]:
        """Yield the segments, last one first; leave the stream where the whole walk does."""
        end: Tensor | None = None
        while self.snapshots:
            length, snapshot = self.lengths[len(self.snapshots) - 1], self.snapshots.pop()
            self.walk.step, self.walk.u, self.walk.V = snapshot.step, snapshot.u, snapshot.V
            self.stream.set_state(snapshot.noise)
            yield self._read(length)
            end = self.stream.get_state() if end is None else end
        if end is not None:
            self.stream.set_state(end)

    def _read(self, length: int) -> _Segment:
        walk = self.walk
        start, states, frames, triangles = walk.step, list[Tensor](), list[Tensor](), list[Tensor]()
        for _ in range(length):
            states.append(walk.u)
            frames.append(walk.V)
            walk.push()
            triangles.append(walk.orthonormalise())
        R = torch.stack(triangles)
        logs = R.diagonal(dim1=-2, dim2=-1).abs().log()
        walk.interval.update(logs, 1)
        lost = (logs == -torch.inf).nonzero()
        if len(lost):
            raise ValueError(
                "k: expected at most as many vectors as DF keeps directions, got "
                f"{R.shape[-1]}, of which step {start + int(lost[0, 0]) + 1} loses some"
            )
        return _Segment(start - self.origin, torch.stack(states), torch.stack(frames), R, logs)


def _collect(tape: _Tape, steps: int, dt: float) -> CovariantVectors:
    """Walk C backward through the tape; two of them, until the window is reached."""
    u, V = tape.walk.u, tape.walk.V
    (N, k), rows = V.shape[-2:], u.shape[:-1]
    vectors, states = u.new_empty(steps, *rows, N, k), u.new_empty(steps, *u.shape)
    growth, logs = u.new_empty(2, steps, *rows, k)
    C = _unit(random_frame(u.new_empty(2, *rows, k), k).triu())[0]
    gap = _distance(C)
    for segment in tape.segments():
        turned: list[tuple[Tensor, Tensor]] = []
        for j in reversed(range(len(segment.states))):
            t = segment.start + j
            C, lengths = _unit(torch.linalg.solve_triangular(segment.triangles[j], C, upper=True))
            if t == steps:
                gap = _distance(C)
            if t < steps:
                C, lengths = C[-1:], lengths[-1]
                turned.append((C[0], lengths))
        if turned:
            inside = slice(segment.start, segment.start + len(turned))
            C_all, shrunk = (torch.stack(part[::-1]) for part in zip(*turned, strict=True))
            torch.matmul(segment.frames[: len(turned)], C_all, out=vectors[inside])
            states[inside] = segment.states[: len(turned)]
            growth[inside] = -shrunk.log() / dt
            logs[inside] = segment.logs[: len(turned)]
    blocks = block_lengths(steps)
    means = torch.stack([part.mean(0) for part in growth.split(blocks)])
    mean, stderr = block_mean(means, blocks)
    return CovariantVectors(
        vectors=vectors,
        states=states,
        growth=growth,
        exponents=mean,
        stderr=stderr,
        gram_schmidt=logs.sum(0) / (steps * dt),
        gap=gap,
        dt=dt,
    )


def _unit(C: Tensor) -> tuple[Tensor, Tensor]:
    """Return C with columns of length 1, and the lengths (..., k) that they had."""
    lengths = torch.linalg.vector_norm(C, dim=-2)
    return C / lengths.unsqueeze(-2), lengths


def _distance(C: Tensor) -> Tensor:
    """Return how far apart the columns (..., k) of C (2, ..., k, k) are, signs left out."""
    a, b = C
    sign = (a * b).sum(-2, keepdim=True).sign()
    return torch.linalg.vector_norm(a - sign * b, dim=-2)


def _smallest_angle(A: Tensor, B: Tensor) -> Tensor:
    """Return the smallest principal angle (...) between the spans of A and B (..., N, k)."""
    A, B = torch.linalg.qr(A).Q, torch.linalg.qr(B).Q
    inside = A.mT @ B
    cos = torch.linalg.svdvals(inside)[..., 0]
    # Where the cosine is near 1 it has lost the angle; the sine, of what sticks out, has it.
    sin = torch.linalg.svdvals(B - A @ inside)[..., -1]
    return torch.atan2(sin, cos)
