"""Run every study and build one page of what was found: ``sntorch reproduce [NAME ...]``.

Each study runs in a process of its own, several at a time, and writes into its folder of --output.
One that is finished is kept: after an interruption the command goes on where it stopped.  The page,
index.html, has for every study the published claim, what was measured beside what should be, and
the figure; nothing else is needed to look at it.  The status is 1 if a study failed or disagrees.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from sntorch import checks
from sntorch.commands.page import Chapter, page
from sntorch.studies.claims import CLAIMS, judge

__all__ = ["reproduce"]

_PAUSE = 0.2  # seconds between two looks at the processes


@dataclasses.dataclass
class _Job:
    """A study that runs."""

    name: str
    folder: pathlib.Path
    process: subprocess.Popen[bytes]
    since: float

    @property
    def line(self) -> str:
        """The last line that it said."""
        lines = (self.folder / "log.txt").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def reproduce(arguments: Sequence[str]) -> int:
    """Run the studies that are not finished and write the page; return 1 unless all agree."""
    options = _parser().parse_args(arguments)
    try:
        names = _names(options.names)
        jobs = checks.count("jobs", options.jobs)
    except ValueError as error:
        print(f"sntorch reproduce: {error}", file=sys.stderr)
        return 1
    output = pathlib.Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    interrupted = False
    if options.again:
        for name in names:
            shutil.rmtree(_folder(output, name), ignore_errors=True)
    try:
        _run([name for name in names if not _finished(output, name)], output, jobs)
    except KeyboardInterrupt:
        interrupted = True
    chapters = [_chapter(name, _folder(output, name)) for name in names]
    (output / "index.html").write_text(page(chapters), encoding="utf-8")
    for chapter in chapters:
        print(f"{chapter.verdict:12} {chapter.name}")
    print(f"\npage: {output / 'index.html'}")
    if interrupted:
        print("Interrupted.  The same command goes on.", file=sys.stderr)
        return 130
    return 0 if all(chapter.verdict == "agrees" for chapter in chapters) else 1


def _names(asked: Sequence[str]) -> list[str]:
    """Return full names of experiments; a study may be called by its last word."""
    short = {name.rpartition("/")[2]: name for name in CLAIMS}
    for word in asked:
        if word not in short and word not in CLAIMS:
            raise ValueError(f"names: expected some of {', '.join(short)}, got {word!r}")
    return [short.get(word, word) for word in asked] or list(CLAIMS)


def _folder(output: pathlib.Path, name: str) -> pathlib.Path:
    return output / name.rpartition("/")[2]


def _finished(output: pathlib.Path, name: str) -> bool:
    return (_folder(output, name) / "finished.json").is_file()


def _run(names: list[str], output: pathlib.Path, jobs: int) -> None:
    """Run the studies, `jobs` at a time; failures are seen on the page."""
    waiting, running, said = list(names), [], ""
    with tqdm(total=len(names), unit="study", disable=not names) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(0), output))
                for job in [job for job in running if job.process.poll() is not None]:
                    running.remove(job)
                    _end(job)
                    bar.update()
                words = " | ".join(f"{job.folder.name}: {job.line[:30]}" for job in running)
                if words != said:
                    bar.set_postfix_str(words)
                    said = words
                time.sleep(_PAUSE)
        finally:
            for job in running:
                job.process.terminate()
                job.process.wait()


def _start(name: str, output: pathlib.Path) -> _Job:
    folder = _folder(output, name)
    shutil.rmtree(folder, ignore_errors=True)  # what an interruption left
    folder.mkdir(parents=True)
    words = [f"experiment={name}", f"hydra.run.dir={folder.absolute()}", "hydra.output_subdir=null"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sntorch.cli", *words],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env,
        )  # fmt: skip
    return _Job(name, folder, process, time.monotonic())


def _end(job: _Job) -> None:
    if job.process.returncode == 0 and (job.folder / "result.json").is_file():
        seconds = time.monotonic() - job.since
        (job.folder / "finished.json").write_text(json.dumps({"seconds": seconds}))


def _chapter(name: str, folder: pathlib.Path) -> Chapter:
    """Return what the page says of a study; of a failed one its last words."""
    claim = CLAIMS[name]
    words = {"name": name, "source": claim.source, "claim": claim.text}
    if not (folder / "finished.json").is_file():
        log = folder / "log.txt"
        last = log.read_text(errors="replace").splitlines()[-12:] if log.is_file() else []
        return Chapter(**words, findings=[], table="\n".join(last), picture=None, seconds=None)
    found = json.loads((folder / "result.json").read_text())
    return Chapter(
        **words,
        findings=judge(name, found),
        table=(folder / "table.txt").read_text(),
        picture=(folder / "report.png").read_bytes(),
        seconds=json.loads((folder / "finished.json").read_text())["seconds"],
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sntorch reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="studies; all of them if none is named")
    parser.add_argument("--output", default="reproduction", help="folder of the page")
    parser.add_argument("--jobs", type=int, default=2, help="studies at a time")
    parser.add_argument("--again", action="store_true", help="also those that are finished")
    return parser
