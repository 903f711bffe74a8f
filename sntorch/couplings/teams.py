"""The processes that hold a network together, and what happens when one of them is lost.

All run the same program on the same numbers, and each keeps a part of what is too large for one.
A collective call returns when all have made it.  If one does not come, the others do not wait for
ever: they call the roll through the store at which all had met, and raise `LostWorker` with the
names of those that do not answer.
"""

from __future__ import annotations

import datetime
import itertools
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore

from sntorch import checks

__all__ = ["LostWorker", "Team"]

_TEAMS = itertools.count()
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_GRACE = 3.0  # seconds more than a collective call that the roll call waits

Value = TypeVar("Value")


class LostWorker(RuntimeError):
    """A process of the team did not come to a collective call; `ranks` says which.

    Examples
    --------
    >>> LostWorker("team: rank 1 did not come", (1,)).ranks
    (1,)
    """

    def __init__(self, message: str, ranks: tuple[int, ...]) -> None:
        super().__init__(message)
        self.ranks = ranks


class Team:
    """The processes that ``torchrun`` started, as a context: leaving it, all wait for each other.

    Communication is by gloo between CPUs and by NCCL between GPUs.

    Parameters
    ----------
    timeout
        Seconds that a process may come later than the others to a collective call.  All end within
        twice that after one was lost: the roll call waits as long again, for those that are still
        in a call.
    start
        Seconds that a process may come later than the others to the start.
    device
        Where the tensors are, ``"cpu"`` or ``"cuda"``, which becomes the GPU ``LOCAL_RANK``.

    Raises
    ------
    ValueError
        If the environment is not that of ``torchrun``, or torch.distributed is in use already.
    LostWorker
        If not all processes come.

    Examples
    --------
    In a program that is started by ``torchrun --nproc-per-node 2 program.py``::

        with snt.couplings.Team() as team:
            rows = J[team.rows(len(J))]  # made or loaded by each process for itself
            cell = snt.SNTCell(snt.couplings.Sharded(rows, team), leak=0.5)
            orbit = snt.rollout(cell, u, 100)  # the same numbers in all processes
    """

    def __init__(
        self, *, timeout: float = 25.0, start: float = 50.0, device: torch.device | str = "cpu"
    ) -> None:
        self.timeout = checks.positive("timeout", timeout)
        checks.positive("start", start)
        missing = [name for name in _ENVIRONMENT if name not in os.environ]
        if missing:
            raise ValueError(
                "team: expected a process started by torchrun, "
                f"got an environment without {', '.join(missing)}"
            )
        if dist.is_initialized():
            raise ValueError("team: expected no process group yet, got one that is in use")
        self.device = torch.device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        self.rank, self.size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
        self._meet(start)
        self._together(
            lambda: dist.init_process_group(
                "nccl" if self.device.type == "cuda" else "gloo",
                store=PrefixStore("group", self._store),
                rank=self.rank,
                world_size=self.size,
                timeout=datetime.timedelta(seconds=self.timeout),
            )
        )

    def _meet(self, start: float) -> None:
        """Wait for all at the store, whose host is torchrun or rank 0."""
        patience, end = datetime.timedelta(seconds=start), time.monotonic() + start
        elastic = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        host = self.rank == 0 and not elastic
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
                *place, self.size, host, patience, wait_for_workers=False
            )
        except dist.DistNetworkError as error:
            if host:
                raise
            raise LostWorker(f"lost the host of the store, rank 0: {error}", (0,)) from error
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._store = PrefixStore(f"sntorch/{attempt}/{next(_TEAMS)}", store)
        self._store.set(f"name/{self.rank}", f"{socket.gethostname()}, process {os.getpid()}")
        late = [rank for rank in range(self.size) if not self._answers("name", rank, end)]
        if late:
            names = " and ".join(f"rank {rank}" for rank in late)
            raise LostWorker(f"no {names} of {self.size} within {start:g} s of the start", (*late,))

    def rows(self, n: int) -> slice:
        """Return the share of n rows that this process holds if all hold equally many, or nearly.

        Raises
        ------
        ValueError
            If there are fewer rows than processes.
        """
        checks.count("n", n, low=self.size)
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def gather(self, part: Tensor, sizes: tuple[int, ...]) -> Tensor:
        """Return the parts (sizes[r], ...) of all ranks r below each other."""
        largest = max(sizes)
        padded = part.contiguous()
        if len(part) < largest:
            padded = part.new_zeros(largest, *part.shape[1:])
            padded[: len(part)] = part
        whole = part.new_empty(self.size * largest, *part.shape[1:])
        pieces = list(whole.split(largest))
        self._together(lambda: dist.all_gather(pieces, padded))
        if min(sizes) == largest:
            return whole
        return torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of what all ranks bring, of the same shape."""
        total = value.clone(memory_format=torch.contiguous_format)
        self._together(lambda: dist.all_reduce(total))
        return total

    def tell(self, value: Value) -> list[Value]:
        """Return what each rank tells all others: a small object that can be pickled."""
        told: list[Any] = [None] * self.size
        self._together(lambda: dist.all_gather_object(told, value))
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if dist.is_initialized():
            try:
                if kind is None:
                    self._together(dist.barrier)
            finally:
                _leave()

    def __deepcopy__(self, memo: object) -> Self:
        return self  # copies of a layer are held by the same processes

    def _together(self, call: Callable[[], object]) -> None:
        """Make a collective call; if it fails, find out who is missing."""
        try:
            call()
        except RuntimeError as error:
            lost = self._roll_call()
            if not lost:
                raise
            names = " and ".join(self._name(rank) for rank in lost)
            reason = str(error).strip().partition("\n")[0]
            raise LostWorker(f"lost {names} of {self.size}: {reason}", tuple(lost)) from error

    def _roll_call(self) -> list[int]:
        """Return the ranks that do not answer."""
        _leave()  # whoever waits for this process wakes up and calls the roll too
        end = time.monotonic() + self.timeout + _GRACE
        try:
            self._store.set(f"here/{self.rank}", "")
            lost = [rank for rank in range(self.size) if not self._answers("here", rank, end)]
            self._store.set(f"done/{self.rank}", "")
            if self.rank == 0:  # it may be the host of the store: the others still ask
                for rank in set(range(self.size)) - set(lost):
                    self._answers("done", rank, end + _GRACE)
        except dist.DistNetworkError:
            return [0]  # the host of the store
        return lost

    def _answers(self, question: str, rank: int, end: float) -> bool:
        left = datetime.timedelta(seconds=max(0.01, end - time.monotonic()))
        try:
            self._store.wait([f"{question}/{rank}"], left)
        except dist.DistStoreError:
            return False
        return True

    def _name(self, rank: int) -> str:
        try:
            return f"rank {rank} ({self._store.get(f'name/{rank}').decode()})"
        except dist.DistNetworkError:  # the store went with its host
            return f"rank {rank}"


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
