"""Square matrices as raw material: drawn if they fit the memory, refused by name if they do not."""

from __future__ import annotations

import torch
from torch import Tensor

from sntorch import checks, memory

__all__ = ["fits", "square"]

_INSTEAD = "use couplings.sparse(layout='csr'), or couplings.Sharded over several processes"


def square(
    n: int,
    generator: torch.Generator | None,
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    *,
    arrays: int = 1,
) -> Tensor:
    """Return standard normal numbers (n, n); `arrays` such matrices will exist at the same time.

    Raises
    ------
    ValueError
        If they do not fit the memory, or the generator is not torch's or of another device.
    """
    checks.generator(generator, device)
    fits("n", (n, n), dtype, device, arrays=arrays)
    return torch.randn(n, n, generator=generator, dtype=dtype, device=device)


def fits(
    name: str,
    shape: tuple[int, int],
    dtype: torch.dtype | None,
    device: torch.device | str | None,
    *,
    arrays: int = 1,
) -> None:
    """Refuse the argument `name` if `arrays` matrices of a shape do not fit the memory."""
    memory.afford(name, arrays * memory.size_of(*shape, dtype=dtype), device, _INSTEAD)
