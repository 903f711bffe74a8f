"""What all studies share: a record that shows itself, and the folder it is written to.

The `run` of a study is a generator of records.  Each one is complete in itself and holds what is
known so far, so that whoever conducts the study shows its progress and may stop it at any time.
"""

from __future__ import annotations

import abc
import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sntorch.results import Result

__all__ = ["Study", "earlier", "keep", "write"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Study(Result, abc.ABC):
    """The record of a study, complete or on the way.

    Examples
    --------
    >>> from sntorch import studies
    >>> *_, study = studies.phase_diagram.run(points=5)
    >>> study.progress
    '25 points, 40% chaotic'
    """

    @property
    @abc.abstractmethod
    def progress(self) -> str:
        """One line about what was added last."""

    @abc.abstractmethod
    def table(self) -> str:
        """Return what was found, beside what was published, as text."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the measurements one by one, for a CSV file; none by default."""
        return []

    @abc.abstractmethod
    def picture(self) -> Any:
        """Return what was found as a matplotlib figure."""


def keep(study: Study, folder: pathlib.Path) -> None:
    """Write ``record.pt``; a kill leaves it as it was, or whole."""
    beside = folder / ".record.pt.partial"
    torch.save(dataclasses.asdict(study), beside)
    beside.replace(folder / "record.pt")


def earlier(
    file: str | None, about: Mapping[str, Any], names: Sequence[str]
) -> dict[str, list[torch.Tensor]]:
    """Return the rows of some tables of an earlier record, none of them if there is no file.

    Raises
    ------
    ValueError
        If there is no such file, or its record is about something else.
    """
    if file is None:
        return {name: [] for name in names}
    if not pathlib.Path(file).is_file():
        raise ValueError(f"known: expected the record of a study, got {file}")
    record = torch.load(file, weights_only=True)
    for name, value in about.items():
        if record.get(name) != value:
            raise ValueError(
                f"known: expected a record with {name} {value!r}, got {record.get(name)!r}"
            )
    return {name: list(record[name]) for name in names}


def write(study: Study, folder: pathlib.Path) -> None:
    """Write ``record.pt``, ``result.json``, ``table.txt``, ``report.png`` and ``report.pdf``.

    The record is a plain dictionary of its fields, which ``torch.load`` reads without sntorch.
    Where the study has `Study.rows`, they are ``rows.csv``.
    """
    keep(study, folder)
    (folder / "result.json").write_text(json.dumps(study.scalars(), indent=2))
    rows = study.rows()
    if rows:
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    (folder / "table.txt").write_text(f"{study.table()}\n")
    picture = study.picture()
    picture.savefig(folder / "report.png", dpi=110)
    picture.savefig(folder / "report.pdf")
