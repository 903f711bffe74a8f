r"""Which couplings decide: how any number that a network has answers to each of its parameters.

Locally, for a number m(p), such as a barrier, flux, period or entropy production, and couplings p,

.. math:: g_i = \frac{\partial m}{\partial p_i}, \qquad
          s_i = \frac{\partial \ln |m|}{\partial \ln |p_i|} = \frac{p_i}{m}\, g_i,

s the relative change of m per relative change of p.  Where m is made by differentiable operations
autograd gives g to rounding; else central differences do, extrapolated from steps h and h/2
(Richardson), their difference being the error.  Globally, over a box of parameters, independent
and uniform, the variance of m is split (Sobol 1993) into

.. math:: S_i = \frac{\mathrm{Var}\, E[m | p_i]}{\mathrm{Var}\, m}, \qquad
          T_i = 1 - \frac{\mathrm{Var}\, E[m | p_{\sim i}]}{\mathrm{Var}\, m},

what p_i explains alone, and what it explains with all others; T - S is interaction.  The indices
are those of ``scipy.stats.sobol_indices`` on a scrambled Sobol sequence.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from sntorch import checks
from sntorch.results import Result

__all__ = ["Sensitivity", "SobolIndices", "global_sensitivity", "sensitivity"]

Measure = Callable[[Tensor], Tensor | float]
"""From parameters to one number."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Sensitivity(Result):
    """How a number answers to small changes of each parameter."""

    value: Tensor
    """(), m at the parameters."""
    parameters: Tensor
    """(...), p."""
    gradient: Tensor
    """(...), dm/dp; zero where a parameter is zero and `zeros` were left out."""
    error: Tensor
    """(...), of the gradient; zero by autograd."""
    method: str
    """``autograd`` or ``differences``."""

    @property
    def logarithmic(self) -> Tensor:
        """Relative change of m per relative change of p (...); NaN where m is zero."""
        return torch.where(self.value == 0, torch.nan, self.parameters * self.gradient / self.value)

    @property
    def ranking(self) -> Tensor:
        """Flat indices of the parameters, that with the largest logarithmic derivative first."""
        return self.logarithmic.abs().flatten().argsort(descending=True)

    def scalars(self) -> dict[str, float]:
        """Return the number, and the largest logarithmic derivative."""
        largest = self.logarithmic.abs().max()
        return {"value": float(self.value), "largest_logarithmic": float(largest)}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SobolIndices(Result):
    """Shares of the variance of a number over a box of parameters."""

    first: Tensor
    """(P,), what a parameter explains alone."""
    total: Tensor
    """(P,), what it explains together with all others."""
    first_stderr: Tensor
    """(P,), by the bootstrap."""
    total_stderr: Tensor
    """(P,), by the bootstrap."""
    mean: float
    """Of the number over the box."""
    std: float
    """Of the number over the box."""
    evaluations: int
    """How often the number was asked for."""

    def scalars(self) -> dict[str, float]:
        """Return mean and spread of the number, and what parameters explain one by one."""
        return {"mean": self.mean, "std": self.std, "explained_alone": float(self.first.sum())}


def sensitivity(
    measure: Measure, parameters: Tensor, *, step: float = 1e-3, method: str = "auto"
) -> Sensitivity:
    """Return the derivatives of a number by each parameter that is not zero.

    Parameters
    ----------
    measure
        From parameters, shaped as those given, to one number; the same parameters must always
        give the same number, a simulation the same noise.
    parameters
        (...), couplings J for example; entries that are zero are no synapses and stay so.
    step
        Of the differences, relative to each parameter.
    method
        ``autograd``, ``differences``, or ``auto``: autograd where the number carries a gradient.

    Raises
    ------
    ValueError
        On wrong arguments, if the number is not one finite number, and if ``autograd`` is wanted
        of a number without gradient.

    Examples
    --------
    >>> p = torch.tensor([2.0, 3.0], dtype=torch.float64)
    >>> sensitivity(lambda p: p[0] ** 2 / p[1], p).logarithmic
    tensor([ 2., -1.], dtype=torch.float64)
    """
    checks.finite("parameters", checks.floating("parameters", parameters))
    step = checks.number("step", step, low=1e-8, high=0.5)
    checks.one_of("method", method, ("auto", "autograd", "differences"))
    p = parameters.detach().clone()
    wanted = method != "differences"
    with torch.inference_mode(False), torch.set_grad_enabled(wanted), warnings.catch_warnings():
        # A measure that makes a plain number of its tensors has no gradient, and need not.
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad")
        leaf = p.clone().requires_grad_(wanted)
        value = _number(measure(leaf), p)
        smooth = value.requires_grad
        if method == "autograd" and not smooth:
            raise ValueError("measure: expected a number that carries a gradient, got none")
        if smooth:
            (gradient,) = torch.autograd.grad(value, leaf)
            gradient = torch.where(p == 0, 0.0, gradient)
            return Sensitivity(
                value=value.detach(),
                parameters=p,
                gradient=gradient,
                error=torch.zeros_like(p),
                method="autograd",
            )
    with torch.no_grad():
        gradient, error = _differences(measure, p, step)
    return Sensitivity(
        value=value.detach(), parameters=p, gradient=gradient, error=error, method="differences"
    )


def global_sensitivity(
    measure: Measure,
    low: Tensor,
    high: Tensor,
    *,
    samples: int = 256,
    generator: torch.Generator | None = None,
) -> SobolIndices:
    """Return Sobol's indices of a number over a box of parameters.

    Parameters
    ----------
    measure
        From parameters (P,) to one number.
    low, high
        (P,), the corners of the box.
    samples
        n, a power of two; the number is asked for n (P + 2) times.
    generator
        Scrambles the sequence; None is always the same scrambling.

    Raises
    ------
    ValueError
        On wrong arguments, and if the number is not one finite number.

    References
    ----------
    I. M. Sobol, Math. Model. Comput. Exp. 1 (1993) 407; A. Saltelli et al., Comput. Phys. Commun.
    181 (2010) 259.

    Examples
    --------
    >>> low, high = torch.zeros(2), torch.ones(2)
    >>> found = global_sensitivity(lambda p: p[0] + 2 * p[1], low, high)
    >>> [round(float(share), 1) for share in found.first]  # 1 : 4
    [0.2, 0.8]
    """
    checks.finite("low", checks.floating("low", low, ndim=1))
    checks.finite("high", checks.same_kind("high", checks.floating("high", high), low, "low"))
    if low.ndim != 1 or high.shape != low.shape or not bool((low < high).all()):
        raise ValueError(f"high: expected ({len(low)},) numbers above those of low, got {high}")
    checks.count("samples", samples, low=4)
    if samples & (samples - 1):
        raise ValueError(f"samples: expected a power of two, got {samples}")
    count = len(low)
    seed = generator.initial_seed() if generator is not None else 0
    engine = torch.quasirandom.SobolEngine(2 * count, scramble=True, seed=seed % 2**31)
    unit = engine.draw(samples, dtype=torch.float64).to(low)
    A, B = (low + (high - low) * part for part in unit.split(count, -1))
    mixed = [torch.cat([A[:, :i], B[:, i : i + 1], A[:, i + 1 :]], -1) for i in range(count)]
    with torch.no_grad():
        f_A, f_B, *f_AB = [
            torch.stack([_number(measure(row), low) for row in points]).double().cpu().numpy()
            for points in (A, B, *mixed)
        ]
    whole = np.concatenate([f_A, f_B])
    if not whole.std() > 1e-14 * abs(whole.mean()):
        raise ValueError("measure: expected a number that changes over the box, got a constant")
    values = {"f_A": f_A[None], "f_B": f_B[None], "f_AB": np.stack(f_AB)[:, None]}
    found: Any = scipy.stats.sobol_indices(func=values, n=samples)
    first_error, total_error = _bootstrap(f_A, f_B, np.stack(f_AB))
    return SobolIndices(
        first=low.new_tensor(found.first_order.ravel()),
        total=low.new_tensor(found.total_order.ravel()),
        first_stderr=low.new_tensor(first_error),
        total_stderr=low.new_tensor(total_error),
        mean=float(whole.mean()),
        std=float(whole.std()),
        evaluations=samples * (count + 2),
    )


def _number(value: Tensor | float, like: Tensor) -> Tensor:
    """Return what a measure gave as one finite number."""
    if not isinstance(value, Tensor):  # torch would round a number of Python to float32
        value = torch.tensor(value, dtype=torch.float64, device=like.device)
    value = value if value.is_floating_point() else value.to(like)
    if value.numel() != 1 or not bool(value.isfinite().all()):
        got = tuple(value.shape) if value.numel() != 1 else value.item()
        raise ValueError(f"measure: expected one finite number, got {got}")
    return value.reshape(())


def _differences(measure: Measure, p: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Return derivatives by all entries that are not zero, and the error of each."""
    gradient, error = torch.zeros_like(p), torch.zeros_like(p)
    for i in p.flatten().nonzero().squeeze(-1).tolist():
        h = step * float(p.flatten()[i].abs())
        wide, narrow = (_central(measure, p, i, each) for each in (h, h / 2))
        gradient.view(-1)[i] = (4 * narrow - wide) / 3
        error.view(-1)[i] = (narrow - wide).abs() / 3
    return gradient, error


def _central(measure: Measure, p: Tensor, i: int, h: float) -> Tensor:
    ends = []
    for sign in (1, -1):
        moved = p.clone()
        moved.view(-1)[i] += sign * h
        ends.append(_number(measure(moved), p))
    return (ends[0] - ends[1]) / (2 * h)


def _bootstrap(f_A: Any, f_B: Any, f_AB: Any, draws: int = 200) -> tuple[Any, Any]:
    """Return standard errors (P,) of both indices by drawing rows again."""
    stream = np.random.default_rng(0)
    first, total = [], []
    for _ in range(draws):
        rows = stream.integers(0, len(f_A), len(f_A))
        values = {
            "f_A": f_A[None, rows], "f_B": f_B[None, rows], "f_AB": f_AB[:, None][:, :, rows]
        }  # fmt: skip
        found: Any = scipy.stats.sobol_indices(func=values, n=len(f_A))
        first.append(found.first_order.ravel())
        total.append(found.total_order.ravel())
    return np.std(first, 0), np.std(total, 0)
