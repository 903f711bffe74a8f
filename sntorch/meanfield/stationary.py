"""The door to the stationary mean field: one call answers for arrays of ensembles."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch.meanfield.dynamic import fluctuating
from sntorch.meanfield.growth import largest_root, slope_pairs
from sntorch.meanfield.record import MeanField, Number, Parameters, enter
from sntorch.meanfield.static import Static, evaluate, overlap, relax, spectral
from sntorch.meanfield.tables import Tables
from sntorch.transfer import Transfer

__all__ = ["answer", "rescaled", "settled", "solve", "start"]

_NUDGE = 1e-3
_SOLVED = 1e-9
_STEPS = 100  # of the map, after the nudge


def solve(
    *,
    gain: Number,
    std: Number = 1.0,
    mean: Number = 0.0,
    threshold: Number = 0.0,
    threshold_std: Number = 0.0,
    noise: Number = 0.0,
    leak: Number = 0.0,
    transfer: str | Transfer = "tanh",
) -> MeanField:
    r"""Return the stationary mean field of random networks; every argument may be an array.

    Arguments broadcast, so that a phase diagram is one call.  Without leak two numbers are solved
    for (`sntorch.meanfield.static`), with leak a covariance function (`sntorch.meanfield.dynamic`).
    Of coexisting solutions it is the one that networks reach from large activity, with a positive
    mean where both signs are possible; `solutions` returns all of them.

    Parameters
    ----------
    gain, std, mean
        g; J and Jbar: E J_ij = mean/N, Var J_ij = std^2/N, std >= 0.
    threshold, threshold_std
        Mean and standard deviation over neurons of the thresholds, which are subtracted.
    noise
        Standard deviation per step, >= 0.
    leak
        gamma, in [0, 1).
    transfer
        A name of `sntorch.transfer` or a `Transfer`.

    Raises
    ------
    ValueError
        For an argument outside its domain, and shapes that do not broadcast.  Equations without
        a bounded solution are no error: the residual says so.

    Notes
    -----
    Sparse networks with K inputs of variance J^2 / K obey the same equations from K of about 10 on.
    Limitation (M): couplings are independent; reciprocal correlations (``symmetry``) obey other
    equations.  Limitation (C): a mean field that oscillates is reported by `MeanField.stationary`
    and followed, without leak, by `populations`; with leak its stability is known in the direction
    of the mean only.

    References
    ----------
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717; B. Cessac,
    J. Phys. I France 5 (1995) 409.

    Examples
    --------
    >>> import sntorch as snt
    >>> field = snt.meanfield.solve(gain=[0.9, 1.5, 3.0])
    >>> field.lyapunov, field.chaotic
    (tensor([-0.1054,  0.0652,  0.3102], dtype=torch.float64), tensor([False,  True,  True]))
    """
    numbers: dict[str, Number] = {
        "gain": gain,
        "std": std,
        "mean": mean,
        "threshold": threshold,
        "threshold_std": threshold_std,
        "noise": noise,
        "leak": leak,
    }
    p, shape, arguments, phi = enter(numbers, transfer)
    scaled = rescaled(p)
    s = relax(phi, scaled, *start(scaled))
    return answer(phi, p, settled(phi, scaled, s), shape, arguments)


def rescaled(p: Parameters) -> Parameters:
    """Return the ensembles without leak that have the same fixed points."""
    if not bool(p.leak.any()):
        return p
    keep = 1 - p.leak
    return Parameters(
        gain=p.gain,
        std=p.std / keep,
        mean=p.mean / keep,
        threshold=p.threshold / keep,
        threshold_std=p.threshold_std / keep,
        noise=p.noise / (keep * (1 + p.leak)).sqrt(),
        leak=torch.zeros_like(p.leak),
    )


def answer(
    phi: Transfer, p: Parameters, s: Static, shape: tuple[int, ...], arguments: dict[str, Tensor]
) -> MeanField:
    """Return the record that belongs to solutions of the rescaled equations."""
    scaled = rescaled(p)
    macro = spectral(scaled, s)
    calm = (p.leak + p.std * s.at.slope_sq.sqrt() <= 1) | (s.v == 0)
    still = (p.noise == 0) & calm
    moving = ((p.leak > 0) & ~still & s.v.isfinite()).nonzero().squeeze(-1)
    q, pair = overlap(phi, scaled, s, scaled.static, still)
    micro = (p.leak + p.std * torch.where(still, s.at.slope_sq, pair).sqrt()).log()
    plain = p.leak == 0
    micro = torch.where(plain, (p.std * s.at.slope_sq.sqrt()).log(), micro)
    covariances = s.v.unsqueeze(-1)
    if len(moving):
        s, q, pair, micro, macro, covariances = _moving(phi, p, s, moving, q, pair, micro, macro)
    fields = {
        "mean": s.mu,
        "variance": s.v,
        "overlap": q,
        "slope": s.at.slope,
        "slope_sq": s.at.slope_sq,
        "slope_pair": pair,
        "microscopic": micro,
        "macroscopic": macro,
        "lyapunov": torch.maximum(micro, macro),
        "chaotic": (micro > 0) & (s.v > 0),
        "residual": s.residual,
    }
    return MeanField(
        **{name: value.reshape(shape) for name, value in fields.items()},
        covariances=covariances.reshape(*shape, -1),
        arguments=arguments,
        transfer=repr(phi),
    )


def start(p: Parameters) -> tuple[Tensor, Tensor]:
    """Return a mean and variance above those of the most active solution, if f is bounded by 1."""
    v = p.std.square() + p.independent
    return p.mean.clamp(min=0) - p.threshold, v


def settled(phi: Transfer, p: Parameters, s: Static) -> Static:
    """Return the solution with unstable ones nudged away along the map, where it leads elsewhere.

    Newton's method also finds solutions that no network stays at.
    """
    rows = (s.residual.isfinite() & (spectral(p, s) > 1e-9)).nonzero().squeeze(-1)
    if not len(rows):
        return s
    part = p.take(rows)
    mu, v = s.mu[rows] + _NUDGE, s.v[rows] * (1 + _NUDGE) + _NUDGE**2
    residual = torch.full_like(mu, torch.inf)
    for _ in range(_STEPS):
        at = evaluate(phi, part, mu, v, residual, s.fine).at
        mu, v = (
            part.mean * at.mean - part.threshold,
            part.std.square() * at.square + part.independent,
        )
    new = relax(phi, part, mu, v)
    better = (new.residual <= _SOLVED * (1 + new.v)) & (spectral(part, new) <= 1e-9)
    rows, at = rows[better], better.nonzero().squeeze(-1)
    mu, v, residual = s.mu.clone(), s.v.clone(), s.residual.clone()
    mu[rows], v[rows], residual[rows] = new.mu[at], new.v[at], new.residual[at]
    return evaluate(phi, p, mu, v, residual, s.fine)


def _moving(
    phi: Transfer,
    p: Parameters,
    s: Static,
    rows: Tensor,
    q: Tensor,
    pair: Tensor,
    micro: Tensor,
    macro: Tensor,
) -> tuple[Static, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return everything with the rows of fluctuating states replaced by the exact theory."""
    part = p.take(rows)
    tables = Tables.of(phi, part)
    law = (each[rows].unsqueeze(-1) for each in (s.mu, s.v, q, pair))
    ring = fluctuating(tables, *law)
    mu, v, residual = s.mu.clone(), s.v.clone(), s.residual.clone()
    mu[rows], v[rows], residual[rows] = ring.mu[:, 0], ring.covariance[:, 0, 0], ring.residual
    new = evaluate(phi, p, mu, v, residual, s.fine)
    scaled = rescaled(part)
    own = evaluate(phi, part, mu[rows], v[rows], ring.residual, s.fine)
    none = torch.zeros_like(rows, dtype=torch.bool)
    q[rows], pair[rows] = overlap(phi, scaled, own, scaled.static, none)
    W = tables.power.unsqueeze(-1) * slope_pairs(tables, ring).unsqueeze(1)
    far = tables.power * pair[rows].reshape(-1, 1, 1)
    micro[rows] = largest_root(tables.leak, W, far).log()
    macro[rows] = (part.leak + part.mean * own.at.slope).abs().log()
    covariances = q.unsqueeze(-1).repeat(1, ring.covariance.shape[-1])
    covariances[:, 0] = new.v
    covariances[rows] = ring.covariance[:, 0]
    return new, q, pair, micro, macro, covariances
