"""The report of a network: a panel for every question that has an answer."""

from __future__ import annotations

from matplotlib.figure import Figure

from sntorch.plot.canvas import StyledFigure, headline, plot, report, style
from sntorch.surveys import Survey

_WHEN = {"reading": "while it reads", "exponents": "in the stationary state"}


@report.register
def _(result: Survey) -> Figure:
    names = list(result.records)
    rows = 1 if len(names) < 4 else 2
    columns = max(1, -(-len(names) // rows))
    with style():
        fig = StyledFigure(figsize=(4.4 * columns, 3.7 * rows + 0.3))
        for i, name in enumerate(names):
            record = result.records[name]
            ax = plot(record, fig.add_subplot(rows, columns, i + 1))
            if name in _WHEN:
                ax.set_xlabel(f"{ax.get_xlabel()}, {_WHEN[name]}")
        headline(fig, f"Dynamics of a network, N = {result.size}")
    return fig
