"""The record of slow learning: what was seen, and the network as it is at the end."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from sntorch.cells import SNTCell
from sntorch.results import Result

__all__ = ["LearningHistory"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LearningHistory(Result):
    """What was seen while a network learned, and the network as it is at the end.

    ``history[name]`` is ``history.curves[name]``.
    """

    epoch: Tensor
    """(E,), epochs completed when a row was taken; 0 is before learning."""
    curves: dict[str, Tensor]
    """One entry (E, ...) per observed analysis.  Where an analysis returns a record, the entry is
    the first of its scalars, and all of them are there as ``name/scalar``."""
    before: dict[str, Result]
    """Records of the observed analyses before learning, of those that return one."""
    after: dict[str, Result]
    """The same at the last observation."""
    control: LearningHistory | None
    """The same without learning; None if it was not asked for or nothing is observed."""
    stopped: str
    """Why learning ended before its time, with the epoch; empty if it did not."""
    learned: int
    """Epochs completed by the network below."""
    cell: SNTCell
    """The network after that many epochs."""
    state: Tensor
    """(..., N), where its orbit stands."""

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.curves:
            known = ", ".join(self.curves) or "none"
            raise KeyError(f"{name}: expected one of the observed analyses ({known})")
        return self.curves[name]

    def __repr__(self) -> str:
        seen = f"{int(self.epoch[0])} to {int(self.epoch[-1])}" if len(self.epoch) else "none"
        names = ", ".join(self.curves) or "none"
        return f"LearningHistory(epoch={seen}, curves={names}, stopped={self.stopped!r})"

    def scalars(self) -> dict[str, float]:
        """Return the mean over the batch axes of the last value of every curve."""
        return {name: float(curve[-1].mean()) for name, curve in self.curves.items() if len(curve)}
