"""Tangents compiled by torch, for maps that do not know their own."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from sntorch.differentiable import brief, plain, push, recording
from sntorch.dynamics import Dynamics, as_dynamics

__all__ = ["CompiledTangents", "compile_tangents"]


@final
class CompiledTangents(Dynamics):
    """The same dynamics with compiled tangents; made by `compile_tangents`."""

    def __init__(self, f: Dynamics) -> None:
        super().__init__()
        self.base = f
        self.size, self.dt, self.generator = f.size, f.dt, f.generator
        self._compiled: Callable[..., tuple[Tensor, Tensor]] | None = None

    @property
    def noise(self) -> float | Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Standard deviation of the noise per step, that of the base."""
        return self.base.noise

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) of the base."""
        return self.base.map(u, x)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V by compiled code; where gradients are recorded, as the base does."""
        if torch.is_grad_enabled():
            return self.base.jvp(u, V, x)
        u, V, x = plain(self.check_frame("V", u, V)), plain(V), plain(x)
        if self._compiled is None:
            self._compiled = _compile_push()
        with recording():
            try:
                return self._compiled(self.base.map, u, V, x)
            except RuntimeError as error:
                self.base.jvp(u, V, x)  # a mistake in the map itself shows here, as it is
                raise RuntimeError(
                    "f: torch.compile failed, which needs a C++ compiler and a map of plain "
                    f"operations: {brief(error)!r}; use f without compile_tangents"
                ) from error

    def vjp(self, u: Tensor, W: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF^T W of the base."""
        return self.base.vjp(u, W, x)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None}  # a copy compiles for itself


def compile_tangents(f: object) -> Dynamics:
    """Return f with `jvp` compiled by torch: some seconds at first, then several times faster.

    Worth it for functions and modules of one's own that are asked for thousands of tangents, as
    `analysis.lyapunov_spectrum` does; SNT cells and torch's networks know their tangents and are
    faster without.  Every new shape of state and frame is compiled anew, up to torch's limit of 8.
    Where gradients are recorded, as in `analysis.growth_rates`, the tangents are those of f.

    Raises
    ------
    RuntimeError
        From the first `jvp`, where torch cannot compile, for instance without a C++ compiler.

    Examples
    --------
    >>> import sntorch as snt
    >>> fast = snt.compile_tangents(lambda u: 4 * u * (1 - u))
    >>> fast.map(torch.tensor([0.25]))  # compiles when the first tangent is asked for
    tensor([0.7500])
    """
    return CompiledTangents(as_dynamics(f))


def _compile_push() -> Callable[..., tuple[Tensor, Tensor]]:
    # Torch compiles a code object a few times only: every dynamics gets one of its own.
    own = types.FunctionType(push.__code__.replace(), push.__globals__, "push")
    return torch.compile(own, fullgraph=True, dynamic=False)
