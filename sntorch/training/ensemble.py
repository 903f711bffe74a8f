"""The random ensemble to which a network belongs, and where in it the edge of chaos lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.couplings import Coupling
from sntorch.meanfield import solve

__all__ = ["at_edge", "ensemble", "tables"]

_MOST = 50.0  # a new value is sought between the present one over this, and times this
_STEPS = 20


def ensemble(cell: SNTCell, x: Tensor | None = None) -> dict[str, Any]:
    """Return the arguments of `meanfield.solve` that describe a cell and its input (..., I).

    What the network reads counts as disorder of the thresholds, as far as it is constant over rows
    and time, and else as noise.
    """
    found = tables(cell, x, [cell.size])
    return {name: float(value.detach()) for name, value in found.items()}


def tables(cell: SNTCell, x: Tensor | None, sizes: list[int]) -> dict[str, Any]:
    """Return the arguments of `populations` that describe the network and its input (T, R, I)."""
    n = cell.size
    J = cell.coupling.to_dense() if isinstance(cell.coupling, Coupling) else cell.coupling
    threshold, noise = cell.threshold.expand(n), cell.noise.square().expand(n)
    if x is not None and cell.input_weight is not None:
        drive = x.flatten(0, -2) @ cell.input_weight.T
        threshold, noise = threshold - drive.mean(0), noise + drive.var(0, correction=0)
    blocks = [rows.split(sizes, dim=1) for rows in J.split(sizes)]

    def each(values: Tensor, average: Callable[[Tensor], Tensor] = torch.mean) -> Tensor:
        return torch.stack([average(part) for part in values.expand(n).split(sizes)])

    return {
        "gain": each(cell.gain),
        "leak": each(cell.leak),
        "mean": torch.stack([torch.stack([b.shape[1] * b.mean() for b in row]) for row in blocks]),
        "std": torch.stack(
            [torch.stack([(b.shape[1] * b.var()).sqrt() for b in row]) for row in blocks]
        ),
        "threshold": each(threshold),
        "threshold_std": each(threshold, torch.std),
        "noise": each(noise).sqrt(),
    }


def at_edge(
    cell: SNTCell,
    target_exponent: float = 0.0,
    *,
    parameter: str = "gain",
    x: Tensor | None = None,
) -> SNTCell:
    r"""Return the cell, changed so that mean-field theory gives it a certain largest exponent.

    A critical initialisation: mean and variance of the couplings, leak, thresholds, noise and the
    drive are measured, `meanfield.solve` is asked for the exponent at other gains or coupling
    strengths, and the cell takes the value nearest to its own.  A network of N neurons differs from
    theory by about :math:`1/\sqrt N`.  Theory is that of independent couplings of one population.

    Parameters
    ----------
    cell
        The cell, which is changed in place.
    target_exponent
        In nats per step, within +-10.
    parameter
        ``"gain"`` multiplies the gains, ``"std"`` the deviations of the couplings from their mean,
        which must be a dense tensor.
    x
        Sequences (..., I) that it will read, for instance a training batch; none by default.

    Raises
    ------
    ValueError
        On wrong arguments, and if no value between 1/50 and 50 times the present one has the
        target exponent: the exponents that there are stand in the message.

    References
    ----------
    L. Molgedey, J. Schuchhardt, H. G. Schuster, Phys. Rev. Lett. 69 (1992) 3717.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(2000, generator=torch.Generator()), noise=0.3)
    >>> at_edge(cell).gain  # noise suppresses chaos: without it the gain would be 1
    tensor(1.5...)
    """
    if not isinstance(cell, SNTCell):
        raise ValueError(f"cell: expected an SNTCell, got {type(cell).__name__}")
    target = checks.number("target_exponent", target_exponent, -10, 10)
    checks.one_of("parameter", parameter, ("gain", "std"))
    if parameter == "std" and isinstance(cell.coupling, Coupling):
        got = type(cell.coupling).__name__
        raise ValueError(f"parameter: expected 'gain' for a layer of couplings, got a {got}")
    if x is not None:
        checks.finite("x", checks.same_kind("x", checks.floating("x", x, 2), cell.gain, "the cell"))
        if x.shape[-1] != cell.input_size:
            raise ValueError(f"x: expected (..., {cell.input_size}), got {tuple(x.shape)}")
    with torch.no_grad():
        settings = ensemble(cell, x)
        factor = _factor(settings, target, parameter, cell.transfer)
        if parameter == "gain":
            cell.gain = cell.gain * factor
        else:
            mean = cell.coupling.mean()
            cell.coupling.copy_(mean + factor * (cell.coupling - mean))
    return cell


def _factor(settings: dict[str, Any], target: float, parameter: str, transfer: Any) -> float:
    """Return by what to multiply: the crossing nearest to 1 on the scale of logarithms."""
    start = settings[parameter]
    if not start:
        raise ValueError(f"cell: expected a {parameter} that is not 0, got 0")

    def gap(log: float) -> float:
        value = start * math.exp(log)
        field = solve(**settings | {parameter: value}, transfer=transfer)
        return float(field.lyapunov) - target

    # Outwards from the present value: far away, with a leak, theory takes longest.
    width = math.log(_MOST) / _STEPS
    ends = {1: gap(0.0), -1: gap(0.0)}
    seen = [ends[1]]
    for i in range(_STEPS):
        for side, near in ends.items():
            ends[side] = far = gap(side * (i + 1) * width)
            seen.append(far)
            if near * far <= 0:
                inner, outer = side * i * width, side * (i + 1) * width
                root: Any = scipy.optimize.brentq(gap, inner, outer, xtol=1e-6)
                return math.exp(root)
    low, high = (f(v for v in seen if math.isfinite(v)) + target for f in (min, max))
    raise ValueError(
        f"target_exponent: expected one from {low:.3g} to {high:.3g}, which values of the "
        f"{parameter} give, got {target}"
    )
