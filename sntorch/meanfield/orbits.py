"""Orbits of the mean field of populations without leak: to rest, round a cycle, or neither."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield.averages import intervals
from sntorch.meanfield.pairs import Pairs
from sntorch.meanfield.tables import Tables

__all__ = ["arrive", "follow", "static_overlap"]

_NEWTON = 30
_REPEATS, _SLOW, _REST = 1e-9, 1e-5, 1e-12
_RISING, _TERMS = 2000, 256
_NUDGE = 1e-6
_DEAD = 1e-13  # a variance that only rounding keeps alive


def follow(t: Tables, mu: Tensor, v: Tensor, steps: int, window: int) -> dict[str, Tensor]:
    """Return the last `window` steps of orbits from (B, P), and what is known of them."""
    means, variances, micro, macro, slopes = _orbit(t, mu, v, steps, window)
    period, residual = _period(means, variances)
    found = {
        "mean": means.mean(0),
        "variance": variances.mean(0),
        "slope_sq": slopes,
        "overlap": torch.full_like(mu, torch.nan),
        "microscopic": micro,
        "macroscopic": macro,
        "residual": residual,
    }
    rest = (period == 1).nonzero().squeeze(-1)
    if len(rest):
        for name, value in _stand(t.take(rest), means[-1, rest], variances[-1, rest]).items():
            found[name][rest] = value
    arrived = (period != 1) | (found["residual"] <= _REPEATS * (1 + variances[-1].amax(-1)))
    found |= {"period": torch.where(arrived, period, 0), "means": means, "variances": variances}
    return found | {"covariances": found["variance"].unsqueeze(-1)}


def _orbit(
    t: Tables, mu: Tensor, v: Tensor, steps: int, window: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return means and variances (K, B, P), both exponents (B,), and the average E f'^2 (B, P).

    Where all come to rest, exponents and slopes are left to `_stand`.
    """
    B, P = mu.shape
    for i in range(steps):
        # A nudge off symmetric points, where an unstable mean would stay for ever.
        if i == 1:
            mu = mu + _NUDGE
        before = torch.cat([mu, v])
        mu, v = t.step(mu, v)
        if i > 1 and bool((torch.cat([mu, v]) - before).abs().max() <= _REST * (1 + v.abs().max())):
            orbit = mu.expand(window, -1, -1), v.expand(window, -1, -1)
            return *orbit, torch.zeros_like(mu[:, 0]), torch.zeros_like(mu[:, 0]), 0 * mu
    means, variances = [], []
    small = torch.ones(B, P, 1, dtype=mu.dtype, device=mu.device)
    frame = torch.linspace(1, 2, 2 * P, dtype=mu.dtype, device=mu.device).expand(B, -1)[..., None]
    micro, macro, slopes = torch.zeros_like(mu[:, 0]), torch.zeros_like(mu[:, 0]), 0 * mu
    for i in range(2 * window):
        at = t.at(mu, v)
        small = (t.power * at.slope_sq[:, None]) @ small
        frame = t.jacobian(at) @ frame
        grown = small.sum((-2, -1)), frame.square().sum((-2, -1)).sqrt()
        small = small / grown[0].clamp(min=1e-300)[:, None, None]
        frame = frame / grown[1].clamp(min=1e-300)[:, None, None]
        if i >= window:  # by then the frames have turned to the leading directions
            micro, macro = micro + grown[0].log() / 2, macro + grown[1].log()
            slopes = slopes + at.slope_sq / window
            means.append(mu)
            variances.append(v)
        mu, v = t.image(at)
    return torch.stack(means), torch.stack(variances), micro / window, macro / window, slopes


def _period(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Return the period (B,) of each orbit (K, B, P), 0 without one, and what is left of it."""
    x = torch.cat([means, variances], -1)
    scale = 1 + x.abs().amax((0, 2))
    period = torch.zeros(x.shape[1], dtype=torch.int64, device=x.device)
    residual = torch.full_like(scale, torch.nan)
    for k in range(1, len(x) // 2 + 1):
        change = (x[k:] - x[:-k])[-k:].abs().amax((0, 2))
        # A slow approach to rest looks alike after one step: `_stand` tells whether there is one.
        new = (period == 0) & (change <= (_SLOW if k == 1 else _REPEATS) * scale)
        period, residual = torch.where(new, k, period), torch.where(new, change, residual)
    return period, residual


def _stand(t: Tables, mu: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Return mean fields at rest, to the last digit, with their exact exponents."""
    mu, v = arrive(t, mu, v)
    at = t.at(mu, v)
    miss = torch.cat(t.image(at), -1) - torch.cat([mu, v], -1)
    micro = torch.linalg.eigvals(t.power * at.slope_sq[:, None]).abs().amax(-1).log() / 2
    own = torch.linalg.eigvals(t.jacobian(at)).abs().amax(-1).log()
    # Where nothing varies, v is quadratic in the perturbation of a neuron and counts half.
    quiet = (v == 0).all(-1)
    mean_only = torch.linalg.eigvals(t.mean * at.slope[:, None]).abs().amax(-1).log()
    return {
        "mean": mu,
        "variance": v,
        "slope_sq": at.slope_sq,
        "overlap": static_overlap(t, mu, v)[0],
        "microscopic": micro,
        "macroscopic": torch.where(quiet, torch.maximum(mean_only, micro), own),
        "residual": miss.abs().amax(-1),
    }


def arrive(t: Tables, mu: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fixed point near mean and variance (B, P) by Newton's method."""
    P = mu.shape[-1]
    x = torch.cat([mu, v], -1)
    for _ in range(_NEWTON):
        at = t.at(x[:, :P], x[:, P:])
        miss = torch.cat(t.image(at), -1) - x
        if bool((miss.abs() <= 1e-15 * (1 + x.abs())).all()):
            break
        eye = torch.eye(2 * P, dtype=x.dtype, device=x.device)
        step = torch.linalg.solve_ex(eye - t.jacobian(at), miss.unsqueeze(-1)).result
        new = x + step.squeeze(-1)
        # At a transition the matrix is singular: there the map itself goes on.
        fits = new.isfinite().all(-1) & (new[:, P:] >= 0).all(-1)
        fits &= (new - x).abs().amax(-1) <= 1e-3 * (1 + x.abs().amax(-1))
        x = torch.where(fits.unsqueeze(-1), new, x + miss)
    alone = (t.static + t.noise == 0).all(-1) & (x[:, P:] < _DEAD).all(-1)
    return x[:, :P], x[:, P:].masked_fill(alone.unsqueeze(-1), 0)


def static_overlap(t: Tables, mu: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest static overlap (B, P), rising from below, and E f' f' at it."""
    mesh = int(intervals(t.gain.flatten(), v.flatten(), t.fine).max())
    pairs = Pairs(t.phi, t.gain.flatten(), mu.flatten(), v.flatten(), mesh, _TERMS)
    q = t.static
    for _ in range(_RISING):
        new = t.field(pairs(q.reshape(-1, 1)).reshape(*v.shape, 1)).squeeze(-1)
        done = bool(((new - q).abs() <= 1e-13 * (1 + v)).all())
        q = torch.minimum(new, v)
        if done:
            break
    return q, pairs.slope(q.reshape(-1, 1)).reshape(v.shape)
