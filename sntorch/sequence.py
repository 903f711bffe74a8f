"""The SNT network as a layer that reads sequences, in the place of ``nn.RNN``."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.dynamics import Dynamics, as_dynamics, rollout

__all__ = ["SNT"]


@final
class SNT(nn.Module):
    """The SNT network as a sequence layer, with the calling convention of ``nn.RNN``.

    ``output, h_T = layer(input, h0)``: input (T, B, I), or (T, I) without a batch; with
    `batch_first` (B, T, I).  h0 and h_T are (B, N), zeros by default.  Noise comes from
    ``cell.generator``, else from torch's global generator.  Under autocast the layer keeps the
    precision of the cell, and gives its output in it.

    Parameters
    ----------
    cell
        The `SNTCell` that makes the steps.
    batch_first
        Batch before time in input and output.
    output
        ``"state"`` returns u, so that ``output[-1]`` is h_T; ``"rate"`` returns f(u).

    Examples
    --------
    >>> import torch
    >>> import sntorch as snt
    >>> layer = snt.SNT(snt.SNTCell(snt.couplings.gaussian(20), input_size=3))
    >>> output, h = layer(torch.randn(7, 4, 3))
    >>> output.shape, h.shape, torch.equal(output[-1], h)
    (torch.Size([7, 4, 20]), torch.Size([4, 20]), True)
    """

    def __init__(self, cell: SNTCell, *, batch_first: bool = False, output: str = "state") -> None:
        super().__init__()
        if not isinstance(cell, SNTCell):
            raise ValueError(f"cell: expected an SNTCell, got {type(cell).__name__}")
        if cell.input_size == 0:
            raise ValueError("cell: expected input_size >= 1 to read sequences, got 0; use rollout")
        self.cell = cell
        self.batch_first = batch_first
        self.output = checks.one_of("output", output, ("state", "rate"))

    @property
    def input_size(self) -> int:
        """I, as torch's layers call it."""
        return self.cell.input_size

    @property
    def hidden_size(self) -> int:
        """N, as torch's layers call it."""
        return self.cell.size

    def forward(self, input: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the orbit driven by `input` and its last state.

        Raises
        ------
        ValueError
            If `input` is not (T, I) or (T, B, I), or h0 does not fit it.
        """
        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            # In a chaotic network rounding grows: its orbit stays in the precision of the cell.
            with torch.autocast(kind, enabled=False):
                dtype = self.cell.gain.dtype
                return self.forward(input.to(dtype), None if h0 is None else h0.to(dtype))
        size = self.cell.input_size
        if input.ndim not in (2, 3) or input.shape[-1] != size:
            raise ValueError(
                f"input: expected (T, {size}) or (T, B, {size}), got {tuple(input.shape)}"
            )
        checks.finite("input", checks.same_kind("input", input, self.cell.gain, "the cell"))
        swap = self.batch_first and input.ndim == 3
        x = input.transpose(0, 1) if swap else input
        u = x.new_zeros(*x.shape[1:-1], self.cell.size) if h0 is None else h0
        expected = (*x.shape[1:-1], self.cell.size)
        if u.shape != expected:
            raise ValueError(f"h0: expected {expected}, got {tuple(u.shape)}")
        checks.finite("h0", checks.same_kind("h0", u, self.cell.gain, "the cell"))
        steps, generator = x.shape[0], self.cell.generator
        if self.output == "rate":
            orbit, output = self.cell.rated_orbit(u, steps, x=x, generator=generator)
        else:
            output = orbit = rollout(self.cell, u, steps, x=x, generator=generator)
        return output.transpose(0, 1) if swap else output, orbit[-1]

    def extra_repr(self) -> str:
        """Say how the layer is called."""
        return f"batch_first={self.batch_first}, output={self.output!r}"


@as_dynamics.register
def _(obj: SNT, *, size: int | None = None, noise: object = None, dt: object = None) -> Dynamics:
    return as_dynamics(obj.cell, size=size, noise=noise, dt=dt)
