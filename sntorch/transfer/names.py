"""The transfer functions that have a name."""

from __future__ import annotations

from sntorch.transfer.base import Transfer
from sntorch.transfer.closed import Erf, Linear, NormalCdf, Relu
from sntorch.transfer.sigmoids import Hill, Sigmoid, Softplus, Tanh, Tanh01

__all__ = ["TRANSFERS", "as_transfer"]

TRANSFERS: dict[str, Transfer] = {
    "tanh": Tanh(),
    "erf": Erf(),
    "normal_cdf": NormalCdf(),
    "tanh01": Tanh01(),
    "sigmoid": Sigmoid(),
    "hill": Hill(),
    "relu": Relu(),
    "softplus": Softplus(),
    "linear": Linear(),
}
"""The transfer functions that have a name."""


def as_transfer(obj: object) -> Transfer:
    """Return the `Transfer` that `obj` is or names.

    Raises
    ------
    ValueError
        If it is neither a `Transfer` nor a name in `TRANSFERS`.

    Examples
    --------
    >>> import torch
    >>> as_transfer("erf")(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    if isinstance(obj, Transfer):
        return obj
    if isinstance(obj, str) and obj in TRANSFERS:
        return TRANSFERS[obj]
    known = ", ".join(TRANSFERS)
    raise ValueError(f"transfer: expected one of {known}, or a Transfer, got {obj!r}")
