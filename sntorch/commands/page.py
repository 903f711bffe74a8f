"""The page of `sntorch reproduce`: one HTML file with every figure in it."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from html import escape

from sntorch.studies.findings import Finding

__all__ = ["Chapter", "page"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chapter:
    """What is said of a study."""

    name: str
    source: str
    claim: str
    findings: list[Finding]
    """Empty if the study is not finished."""
    table: str
    """What the study wrote; of one that is not finished its last words."""
    picture: bytes | None
    """PNG."""
    seconds: float | None
    """How long it ran."""

    @property
    def verdict(self) -> str:
        """``agrees``, ``disagrees`` or ``not finished``."""
        if not self.findings:
            return "not finished"
        return "agrees" if all(each.agrees for each in self.findings) else "disagrees"

    @property
    def anchor(self) -> str:
        """Where it is on the page."""
        return self.name.rpartition("/")[2]


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2733; background: white; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 3rem; border-top: 1px solid #ccd5de;
  padding-top: 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .6rem;
  border-bottom: 1px solid #e4e9ee; vertical-align: top; }
pre { overflow-x: auto; font-size: .8rem; background: #f4f6f8; padding: .8rem; }
img { max-width: 100%; }
blockquote { margin: 0; padding-left: 1rem; border-left: 3px solid #a9bccb; }
.agrees { color: #12355b; font-weight: 600; } .disagrees { color: #b3431c; font-weight: 600; }
.not { color: #666; font-weight: 600; }
"""


def page(chapters: Sequence[Chapter]) -> str:
    """Return the whole page as HTML that needs no other file.

    Examples
    --------
    >>> "0 of 0 studies agree" in page([])
    True
    """
    agree = sum(chapter.verdict == "agrees" for chapter in chapters)
    rows = "".join(_row(chapter) for chapter in chapters)
    body = "".join(_section(chapter) for chapter in chapters)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>sntorch: published claims and what was measured</title><style>{_STYLE}</style>"
        "</head><body><h1>Published claims and what was measured</h1>"
        f"<p>{agree} of {len(chapters)} studies agree with what was published.</p>"
        "<table><tr><th>study</th><th>claim</th><th>verdict</th><th>time</th></tr>"
        f"{rows}</table>{body}</body></html>\n"
    )


def _row(chapter: Chapter) -> str:
    time = "" if chapter.seconds is None else f"{chapter.seconds:.0f} s"
    link = f'<a href="#{escape(chapter.anchor)}">{escape(chapter.anchor)}</a>'
    cells = (link, escape(chapter.claim), _mark(chapter.verdict), time)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _section(chapter: Chapter) -> str:
    lines = "".join(map(_line, chapter.findings))
    head = "<tr><th>number</th><th>measured</th><th>should be</th><th></th></tr>"
    parts = [
        f'<h2 id="{escape(chapter.anchor)}">{escape(chapter.anchor.replace("_", " "))}</h2>',
        f"<blockquote>{escape(chapter.claim)}<br><small>{escape(chapter.source)}</small>",
        f"</blockquote><p>{_mark(chapter.verdict)}</p>",
        f"<table>{head}{lines}</table>" if lines else "",
    ]
    if chapter.picture is not None:
        data = base64.b64encode(chapter.picture).decode()
        name = escape(chapter.anchor)
        parts.append(f'<p><img alt="{name}" src="data:image/png;base64,{data}"></p>')
    parts.append(f"<details><summary>table</summary><pre>{escape(chapter.table)}</pre></details>")
    command = f"sntorch experiment={chapter.name}"
    parts.append(f"<p><small>made by <code>{escape(command)}</code></small></p>")
    return "".join(parts)


def _line(each: Finding) -> str:
    cells = [escape(cell) for cell in (each.what, each.measured, each.expected)]
    cells.append(_mark("agrees" if each.agrees else "disagrees"))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _mark(verdict: str) -> str:
    return f'<span class="{verdict}">{verdict}</span>'
