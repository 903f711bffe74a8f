"""Files that are written whole or not at all, and what a full disk is called."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import pathlib
from collections.abc import Iterator

__all__ = ["is_full", "renamed", "taken", "write_text"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def renamed(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a place beside `target`; what was written there takes its name if all went well.

    Neither a kill nor a full disk then leaves half a file, or takes the one that was there.
    """
    beside = target.with_name(f".{target.name}.partial")
    try:
        yield beside
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())  # otherwise the name may reach the disk before the content
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def write_text(target: pathlib.Path, text: str) -> None:
    """Write a text, whole or not at all."""
    with renamed(target) as beside:
        beside.write_text(text, encoding="utf-8")


def is_full(error: OSError) -> bool:
    """Tell whether a write found no room: on the disk, in a quota, or below a limit."""
    return error.errno in _FULL


@functools.cache  # whoever asks again in this process means the same folder
def taken(folder: str) -> str:
    """Make the folder, with a number behind its name if a run of the same second has it."""
    mine, tries = folder, itertools.count(2)
    while True:
        try:
            os.makedirs(mine)
        except FileExistsError:
            mine = f"{folder}_{next(tries)}"
        else:
            return mine
