"""All ratios at once, kept in a file, and two such files side by side.

    python scripts/bench/run.py [--rounds 5] [--output now.json] [rollout lyapunov couplings ...]
    python scripts/bench/run.py --compare before.json now.json

A name may be that of one section, ``rollout.training``; the benches that train, compile or search,
`compiled`, `digits`, `fixed_points`, `monitors` and `training`, take minutes each.  Figures are
medians over rounds of ratios of CPU times, and the brackets their quartiles; a change is marked
where the quartiles of the two files do not meet.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import subprocess
from typing import Any

import compiled
import couplings
import digits
import fixed_points
import gpu
import lyapunov
import meanfield
import monitors
import plasticity
import potentials
import precision
import response
import rollout
import speed_potential
import torch
import training
from measure import HEAD, Figure, Sections, figures

BENCHES: dict[str, Sections] = {
    module.__name__: module.SECTIONS
    for module in (
        rollout,
        couplings,
        lyapunov,
        response,
        plasticity,
        meanfield,
        speed_potential,
        potentials,
        precision,
        training,
        monitors,
        fixed_points,
        compiled,
        digits,
        gpu,
    )
}
NAMES = [*BENCHES, *(f"{name}.{part}" for name, parts in BENCHES.items() for part in parts)]


def origin() -> dict[str, str]:
    """Return what the figures belong to: commit, machine, versions."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = pathlib.Path(__file__).parent
    try:
        commit = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        commit = ""
    machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"commit": commit, "machine": machine, "torch": str(torch.__version__)}


def measured(names: list[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Measure and print benches or sections; return the figures by name."""
    found = {}
    print(HEAD)
    for chosen in names:
        bench, _, part = chosen.partition(".")
        sections = BENCHES[bench]
        for section, figure in figures(sections, [part] if part else list(sections), rounds):
            print(figure.row, flush=True)
            found[f"{bench}.{section}: {figure.name}"] = figure._asdict()
    return found


def beside(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a table of two measurements, those that only one of them has left out."""
    rows = []
    for key in before["figures"].keys() & now["figures"].keys():
        old, new = (Figure(**which["figures"][key]) for which in (before, now))
        mark = "" if _meet(old, new) else f"  {new.value / old.value - 1:+.0%}"
        rows.append(f"{key:80}{_shown(old):>22}{_shown(new):>22}  {new.bound:8}{mark}")
    titles = (f"{which['commit']}" for which in (before, now))
    return ["".join([" " * 80, *(f"{title:>22}" for title in titles)]), *sorted(rows)]


def _meet(a: Figure, b: Figure) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return abs(a.value - b.value) < 0.1 * a.value
    return a.low <= b.high and b.low <= a.high


def _shown(figure: Figure) -> str:
    spread = "" if figure.low is None else f" [{figure.low:.2f}, {figure.high:.2f}]"
    return f"{figure.value:.2f}{spread}"


def main() -> None:
    """Measure, or compare what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for the figures")
    parser.add_argument("--compare", nargs=2, type=pathlib.Path, metavar=("BEFORE", "NOW"))
    options = parser.parse_args()
    if options.compare:
        before, now = (json.loads(path.read_text()) for path in options.compare)
        print("\n".join(beside(before, now)))
        return
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"expected names among {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    found = measured(options.names or list(BENCHES), options.rounds)
    if options.output:
        options.output.write_text(json.dumps({**origin(), "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
