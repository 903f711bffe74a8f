r"""Several SNT networks of one size as one dynamics: a sweep over disorder is an axis of the state.

States are (..., R, N): network r acts on ``u[..., r, :]``, and every question asked of the whole is
answered row by row.  All products of a step are one batched product, which for networks of up to
some hundred neurons costs a fraction of R small ones; of larger networks, each by itself stays in
the cache, and orbits are quicker one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

import torch
from torch import Tensor

from sntorch import checks
from sntorch.cells import SNTCell
from sntorch.differentiable import transformed
from sntorch.drives import drive_at
from sntorch.dynamics import Dynamics
from sntorch.noise import draw_noise

__all__ = ["Networks"]

_LARGE = 200  # neurons from which single vectors are multiplied one by one
_SHARED = ("size", "input_size")


@final
class Networks(Dynamics):
    """R networks side by side: a `Dynamics` whose states (..., R, N) belong to them row by row.

    The cells are copied and not trained.  Gain, leak and threshold may differ from cell to cell.

    Parameters
    ----------
    cells
        `SNTCell` with dense couplings, all of one size, number of inputs, transfer function, noise,
        dtype and device.

    Raises
    ------
    ValueError
        If there are none, or they differ in what they must share: the first that does is named.

    Examples
    --------
    Exponents of 32 networks in one go, with their scatter:

    >>> import sntorch as snt
    >>> cells = [snt.SNTCell(snt.couplings.gaussian(50), gain=2.0) for _ in range(32)]
    >>> found = snt.analysis.max_lyapunov(snt.Networks(cells), torch.randn(32, 50), 200)
    >>> found.exponents.shape
    torch.Size([32, 1])
    """

    def __init__(self, cells: Sequence[SNTCell]) -> None:
        super().__init__()
        cells = _alike(cells)
        first = cells[0]
        self.size, self.count, self.input_size = first.size, len(cells), first.input_size
        self.transfer, self.noise = first.transfer, first.noise.detach().clone()
        self.coupling: Tensor
        self.gain: Tensor
        self.leak: Tensor
        self.threshold: Tensor
        self.input_weight: Tensor | None
        W = None if first.input_weight is None else _stacked(cells, "input_weight")
        self.register_buffer("coupling", _stacked(cells, "coupling"))
        self.register_buffer("input_weight", W)
        for name in ("gain", "leak", "threshold"):
            rows = [getattr(cell, name).detach().expand(self.size) for cell in cells]
            self.register_buffer(name, torch.stack(rows))

    def check(self, u: Tensor) -> Tensor:
        """Return `u` if it can be a state (..., R, N)."""
        super().check(u)
        if u.ndim < 2 or u.shape[-2] != self.count:
            shape = f"(..., {self.count}, {self.size})"
            raise ValueError(f"u: expected {shape}, a row per network, got {tuple(u.shape)}")
        return u

    def map(self, u: Tensor, x: Tensor | None = None) -> Tensor:
        """Return F(u, x) (..., R, N); x is (I,), or (..., R, I) with 1 for what all share."""
        self.check(u)
        return self._proceed(u, self.transfer(self.gain * u), x)

    def jvp(self, u: Tensor, V: Tensor, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return F and DF V (..., R, N, k), one batched product for all vectors."""
        self.check_frame("V", u, V)
        rate, slope = self.transfer.with_derivative(self.gain * u)
        vectors = ((self.gain * slope).unsqueeze(-1) * V).mT
        pushed = torch.addcmul(self._products(vectors, self.coupling.mT).mT, self._column(), V)
        return self._proceed(u, rate, x), pushed

    def pullback(
        self, u: Tensor, x: Tensor | None = None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return F and the function W -> leak W + f' * (J^T W)."""
        self.check(u)
        rate, slope = self.transfer.with_derivative(self.gain * u)
        slope = (self.gain * slope).unsqueeze(-1)

        def pull(W: Tensor) -> Tensor:
            return torch.addcmul(slope * self._products(W.mT, self.coupling).mT, self._column(), W)

        return self._proceed(u, rate, x), pull

    def orbit(
        self,
        u: Tensor,
        steps: int,
        x: Tensor | None,
        sigma: Tensor | None,
        generator: torch.Generator | None,
        every: int,
    ) -> tuple[Tensor, Tensor]:
        """Make many steps in place where no gradient is asked for."""
        drives = [t for t in (u, x) if t is not None]
        asked = torch.is_grad_enabled() and any(t.requires_grad for t in drives)
        if asked or transformed(*drives):
            return super().orbit(u, steps, x, sigma, generator, every)
        stored = u.new_empty(steps // every, *u.shape)
        last = u.contiguous()
        f, B = torch.empty_like(last), torch.empty_like(last)
        multiply = self._multiply(f)
        with torch.inference_mode():
            for t in range(1, steps + 1):
                self.transfer.into(f, torch.mul(self.gain, last, out=f))
                place = torch.addcmul(self._drive(drive_at(x, t - 1)), self.leak, last)
                multiply(place)
                if sigma is not None:
                    draw_noise(B, sigma, generator)
                    place.add_(B)
                if t % every == 0:
                    stored[t // every - 1] = place
                last = place
        return stored, stored[-1] if steps % every == 0 else last.clone()

    def extra_repr(self) -> str:
        """Say how many there are, and of which size."""
        return f"count={self.count}, size={self.size}, input_size={self.input_size}"

    def _proceed(self, u: Tensor, rate: Tensor, x: Tensor | None) -> Tensor:
        rest = torch.addcmul(self._drive(x), self.leak, u)
        return rest + self._products(rate.unsqueeze(-2), self.coupling.mT).squeeze(-2)

    def _products(self, vectors: Tensor, J: Tensor) -> Tensor:
        """Return v J_r for the vectors (..., R, k, N) of every network r."""
        rows = vectors.flatten(0, -4) if vectors.ndim > 3 else vectors.unsqueeze(0)
        flat = rows.transpose(0, 1)  # (R, B, k, N)
        value = torch.bmm(flat.reshape(self.count, -1, self.size), J)
        return value.view(flat.shape).transpose(0, 1).reshape(vectors.shape)

    def _multiply(self, f: Tensor) -> Callable[[Tensor], None]:
        """Return the function that adds J_r f to a place like f, which is read at every call."""
        rows = f.view(-1, self.count, self.size).transpose(0, 1)
        if rows.shape[1] == 1 and self.size >= _LARGE:
            pairs = list(zip(self.coupling.unbind(), rows.squeeze(1).unbind(), strict=True))

            def one_by_one(place: Tensor) -> None:
                for (J, rate), out in zip(pairs, place.view(f.shape[-2:]).unbind(), strict=True):
                    out.addmv_(J, rate)

            return one_by_one
        J = self.coupling.mT

        def together(place: Tensor) -> None:
            place.view(-1, self.count, self.size).transpose(0, 1).baddbmm_(rows, J)

        return together

    def _drive(self, x: Tensor | None) -> Tensor:
        if x is None:
            return -self.threshold
        if self.input_weight is None:
            raise ValueError("x: expected None, since the cells have input_size 0; got a drive")
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"x: expected {self.input_size} on the last axis, got {tuple(x.shape)}"
            )
        if x.ndim > 1:
            x = x.expand(*x.shape[:-2], self.count, self.input_size)
        return torch.einsum(
            "rni,...ri->...rn" if x.ndim > 1 else "rni,i->rn", self.input_weight, x
        ) - (self.threshold)

    def _column(self) -> Tensor:
        return self.leak.unsqueeze(-1)


def _alike(cells: Sequence[SNTCell]) -> list[SNTCell]:
    """Return the cells if they can stand side by side."""
    if not isinstance(cells, Iterable):
        raise ValueError(f"cells: expected several SNTCell, got {type(cells).__name__}")
    found = list(cells)
    if not found:
        raise ValueError("cells: expected at least one SNTCell, got none")
    for i, cell in enumerate(found):
        if not isinstance(cell, SNTCell):
            raise ValueError(f"cells[{i}]: expected an SNTCell, got {type(cell).__name__}")
        if not isinstance(cell.coupling, Tensor):
            kind = type(cell.coupling).__name__
            raise ValueError(f"cells[{i}]: expected dense couplings, got a {kind} layer")
        for name in _SHARED:
            mine, first = getattr(cell, name), getattr(found[0], name)
            if mine != first:
                raise ValueError(
                    f"cells[{i}]: expected {name} {first}, as of the first, got {mine}"
                )
        checks.same_kind(f"cells[{i}]", cell.coupling, found[0].coupling, "the first")
        phi, first = cell.transfer, found[0].transfer
        if type(phi) is not type(first) or vars(phi) != vars(first):
            raise ValueError(f"cells[{i}]: expected transfer {first}, as of the first, got {phi}")
        if not torch.equal(cell.noise, found[0].noise):
            raise ValueError(f"cells[{i}]: expected the noise of the first, got another")
    return found


def _stacked(cells: list[SNTCell], name: str) -> Tensor:
    return torch.stack([getattr(cell, name).detach() for cell in cells])
