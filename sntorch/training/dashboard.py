"""What TensorBoard shows of a run beside its curves: charts, a summary, hyper-parameters.

``custom_scalars`` keeps one layout for a run, the last that was written: the charts of all monitors
are laid out together.  ``text`` has the table of the run; ``hparams`` the values of its
configuration under short names, beside what the test and the monitors said at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from sntorch.results import TrainingHistory

__all__ = ["describe", "hyperparameters", "lay_out"]

_LEARNING = {
    "learning": {
        "loss": ["Multiline", [r"^train/loss$", r"^val/loss$"]],
        "accuracy": ["Multiline", [r"^train/accuracy$", r"^val/accuracy$"]],
    }
}
_FINAL = ("lyapunov/max", "spectrum/radius", "flux/entropy_production_per_neuron")


def lay_out(loggers: Iterable[TensorBoardLogger], layouts: Iterable[Mapping[str, Any]]) -> None:
    """Write the charts of all monitors, and those of learning, as one layout."""
    charts: dict[str, dict[str, Any]] = {name: dict(each) for name, each in _LEARNING.items()}
    for layout in layouts:
        for name, each in layout.items():
            charts[name] = charts.get(name, {}) | each
    for logger in loggers:
        logger.experiment.add_custom_scalars(charts)


def describe(
    loggers: Sequence[Any],
    config: Mapping[str, Any],
    history: TrainingHistory,
    tested: Mapping[str, float],
    text: str,
) -> None:
    """Log hyper-parameters with the numbers at the end, and the table of the run as text."""
    last = history.scalars()
    metrics = dict(tested) | {name: last[name] for name in _FINAL if name in last}
    metrics = {f"hp/{name}": v for name, v in metrics.items() if math.isfinite(v)}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hyperparameters(config), metrics)
            body = "\n".join(f"    {line}" for line in text.splitlines())
            logger.experiment.add_text("summary", f"**{history.title}**\n\n{body}", 0)
        else:
            parts = {name: config[name] for name in ("seed", "task", "model")}
            logger.log_hyperparams(parts, metrics)
        logger.save()


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return seed, task and model of a configuration, flat: a class stands for its dotted name.

    Names are the last two words of a path, the whole path where these are taken.

    Examples
    --------
    >>> cell = {"_target_": "x.Cell", "gain": 1.2}
    >>> hyperparameters({"seed": 0, "model": {"recurrent": {"cell": cell}}})
    {'seed': 0, 'recurrent/cell': 'Cell', 'cell/gain': 1.2}
    """
    flat: dict[str, Any] = {}
    for name in ("seed", "task", "model"):
        _flatten(flat, (name,), config.get(name))
    return flat


def _flatten(flat: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    short = "/".join(path[-2:])
    name = "/".join(path) if short in flat else short
    if isinstance(value, Mapping):
        if "_target_" in value:
            flat[name] = str(value["_target_"]).rpartition(".")[2]
        for key, each in value.items():
            if not str(key).startswith("_"):
                _flatten(flat, (*path, str(key)), each)
    elif isinstance(value, list | tuple):
        flat[name] = ", ".join(map(str, value))
    elif value is not None:
        flat[name] = value
