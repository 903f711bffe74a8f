"""Pictures of the records: one function per type, all in one style.

``plot(record)`` draws one record on one axes, ``figure(record, record)`` several in a row, and
``report(record)`` a whole training run or survey.  Figures are made without pyplot: nothing is
registered, no window opens, and they may be drawn while a network trains.

Measurements are dark and solid; rows, and what was before training, are light; theory is a thin
dashed line beside them: the zero of an exponent, the circular law of a spectrum.  Lightness and
markers repeat what colour says, so that a picture also reads in grey.  Numbers that are not finite
are left out, and legends stand above the axes, where they cover no data.
"""

from __future__ import annotations

import sys
import types

from matplotlib.axes import Axes

from sntorch.plot import (
    attractors,
    equilibria,
    equilibrium,
    exponents,
    fitted,
    grids,
    irreversibility,
    landscape,
    meanfield,
    memory,
    plasticity,
    potentials,
    regimes,
    response,
    spectra,
    survey,
    sweeps,
    training,
)
from sntorch.plot.canvas import figure, plot, report, style
from sntorch.plot.plasticity import learning
from sntorch.plot.regimes import along, panels

__all__ = [
    "along",
    "attractors",
    "equilibria",
    "equilibrium",
    "exponents",
    "figure",
    "fitted",
    "grids",
    "irreversibility",
    "landscape",
    "learning",
    "meanfield",
    "memory",
    "panels",
    "plasticity",
    "plot",
    "potentials",
    "regimes",
    "report",
    "response",
    "spectra",
    "style",
    "survey",
    "sweeps",
    "training",
]


class _CallableModule(types.ModuleType):
    """The module itself: once imported it shadows the function ``sntorch.plot``, so it answers."""

    def __call__(self, result: object, ax: Axes | None = None) -> Axes:
        return plot(result, ax)


sys.modules[__name__].__class__ = _CallableModule
