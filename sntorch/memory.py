"""Sizes that cannot be: refused before anything is allocated, with the bytes that they would need.

Without this an array larger than the memory ends in the operating system's killing of the process,
or in minutes of swapping.  What is free is what the kernel says can be had without swapping, or
what the process's control group has left, whichever is less; on a GPU what is free there, with what
torch's allocator keeps in reserve.  On a system that tells none of these nothing is refused.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import torch

__all__ = ["afford", "available", "size_of"]

_SMALL = 2**26  # bytes that nobody counts: looking takes longer than making them

_ROOT = pathlib.Path("/sys/fs/cgroup")
_GROUPS = (  # limit, use, and its part that files may give back, of both kinds of control groups
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def afford(
    name: str,
    needed: int,
    device: torch.device | str | None,
    instead: str,
) -> None:
    """Refuse an argument whose arrays would not fit the memory of `device`.

    Parameters
    ----------
    name
        The argument to blame.
    needed
        Bytes to be allocated (`size_of`), all arrays that exist at the same time.
    device
        Where; None is torch's default.
    instead
        What to do, the end of the message: ``"use couplings.sparse"``.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    if needed < _SMALL:
        return
    where = torch.get_default_device() if device is None else torch.device(device)
    free = available(where)
    if free is not None and needed > free:
        raise ValueError(
            f"{name}: expected arrays that fit the {_human(free)} free on {where}, "
            f"got {needed} bytes ({_human(needed)}); {instead}"
        )


def size_of(*shape: int, dtype: torch.dtype | None = None) -> int:
    """Return the bytes of an array; without a dtype in torch's default."""
    bytes_each = (torch.get_default_dtype() if dtype is None else dtype).itemsize
    for length in shape:
        bytes_each *= length
    return bytes_each


def available(device: torch.device | str = "cpu") -> int | None:
    """Return the bytes that can still be allocated on a device, None where nobody knows."""
    device = torch.device(device)
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    return min((*_of_system(), *_of_groups()), default=None)


def _of_system() -> Iterator[int]:
    free = _fields(pathlib.Path("/proc/meminfo")).get("MemAvailable:")
    if free is not None:
        yield free * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    for limit_file, use_file, returned in _GROUPS:
        limit, use = (_number(_ROOT / name) for name in (limit_file, use_file))
        if limit is None or use is None:
            continue
        stat = _fields((_ROOT / use_file).with_name("memory.stat"))
        yield max(0, limit - use + stat.get(returned, 0))


def _number(path: pathlib.Path) -> int | None:
    """Return the number in a file; None if there is no file, or a word such as "max" in it."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: pathlib.Path) -> dict[str, int]:
    """Return the table "name number" of a file of the kernel, empty if there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def _human(count: int) -> str:
    """Return bytes in the unit that shows the number best."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
