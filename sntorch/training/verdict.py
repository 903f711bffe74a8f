"""The table with which a run ends: what was measured before and after, and what is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sntorch.results import TrainingHistory

__all__ = ["table"]

_NETWORK = {
    "largest Lyapunov exponent (nats/step)": "lyapunov/max",
    "spectral radius": "spectrum/radius",
    "entropy production per neuron (nats/step)": "flux/entropy_production_per_neuron",
    "contraction rate (nats/step)": "flux/contraction_rate",
}
_POTENTIAL = (  # label, name, name of the standard error, name of what is known
    ("loss", "loss", "", ""),
    ("entropy production (nats/time)", "entropy_production", "entropy_production_stderr",
     "entropy_production_exact"),
    ("  on the states of training", "entropy_production_train", "", "entropy_production_exact"),
    ("  of the true potential, same states", "entropy_production_known", "",
     "entropy_production_exact"),
    ("information of the potential (per step)", "information", "", ""),
    ("  on the states of training", "information_train", "", ""),
    ("error of the potential in the box, relative", "error", "", ""),
    ("correlation with the true potential", "correlation", "", ""),
    ("what is not stationary, relative", "balance", "", ""),
    ("Hamilton-Jacobi residual, relative", "hamilton_jacobi", "", ""),
    ("missed of the teacher's squared slope", "missed", "", ""),
)  # fmt: skip


def table(history: TrainingHistory, tested: Mapping[str, float]) -> str:
    """Return what changed, before and after, and for a potential what is known, as text."""
    potential = "walkers/escape_rate" in tested
    lines = [f"{'':44}{'before':>10}{'after':>10}"]
    if potential:
        lines[0] += f"{'± s.e.':>10}{'known':>10}"
        return "\n".join([*lines, *_potential_rows(history, tested), *_walkers(tested)])
    for name in ("accuracy", "loss"):
        if f"test/{name}" in tested:
            lines.append(f"{f'test {name}':44}{'':10}{tested[f'test/{name}']:10.4f}")
    for label, name in _NETWORK.items():
        known = _curve(history, name)
        if known:
            lines.append(f"{label:44}{known[0]:10.4f}{known[-1]:10.4f}")
    return "\n".join(lines)


def _potential_rows(history: TrainingHistory, tested: Mapping[str, float]) -> list[str]:
    lines = []
    for label, name, error, known in _POTENTIAL:
        same = name == "loss" and tested["test/loss"] == tested.get("test/entropy_production")
        if f"test/{name}" not in tested or same:
            continue
        before = _curve(history, f"val/{name}")[:1]
        numbers = [*(before or [math.nan]), *(tested.get(f"test/{n}", math.nan)
                                              for n in (name, error, known))]  # fmt: skip
        lines.append(f"{label:44}" + "".join(_number(value) for value in numbers).rstrip())
    return lines


def _walkers(tested: Mapping[str, float]) -> list[str]:
    """Return what is to say of the walkers on which the potential was tested."""
    lost, z = tested["walkers/escape_rate"], tested.get("walkers/z")
    words = []
    if z is not None and tested["walkers/stationary"] > 0.5:
        words.append(f"in a steady state as far as they tell (largest deviation {z:.2g} s.e.)")
    elif z is not None:
        words.append(f"NOT in a steady state (deviation {z:.2g} s.e.): give them more burn_in")
    words.append(f"{lost:.2g} of them lost per unit of time" if lost else "none lost")
    return [f"walkers: {', '.join(words)}"]


def _curve(history: TrainingHistory, name: str) -> Sequence[float]:
    values = history.curves.get(name)
    return [] if values is None else values[values.isfinite()].tolist()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return " " * 10
    return f"{value:10.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:10.1e}"
