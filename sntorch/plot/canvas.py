"""What all pictures share: the style, the doors `plot` and `figure`, labels, legends, numbers."""

from __future__ import annotations

import contextlib
import functools
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from sntorch.results import Result, time_unit
from sntorch.results import plus_minus as plus_minus

DARK, MIDDLE, LIGHT, GREY = "#12355b", "#d1603d", "#a9bccb", "#666666"
SIGNED = LinearSegmentedColormap.from_list("signed", ["#4a7fb0", "white", "#e08a5b"])
THEORY: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (5, 3))}


_RC: dict[Any, Any] = (
    {"axes.prop_cycle": cycler(color=[DARK, MIDDLE, GREY, LIGHT])}
    | {"axes.labelsize": 9, "axes.titlesize": 10, "axes.titleweight": "bold", "font.size": 9}
    | {"legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8}
    | {"axes.linewidth": 0.7, "lines.linewidth": 1.4, "lines.markersize": 4}
    | {"axes.spines.right": False, "axes.spines.top": False}
    | {"axes.edgecolor": "#444444", "xtick.color": "#444444", "ytick.color": "#444444"}
    | {"axes.labelcolor": "black", "text.color": "black"}
    | {"xtick.labelcolor": "black", "ytick.labelcolor": "black"}
    | {"axes.facecolor": "white", "figure.facecolor": "white", "savefig.facecolor": "white"}
    | {"figure.constrained_layout.use": True, "figure.dpi": 110}
    | {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}  # text stays text
)


_LEGEND: dict[str, Any] = (
    {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "alignment": "left"}
    | {"borderaxespad": 0, "borderpad": 0.1, "columnspacing": 1.2, "handlelength": 1.8}
    | {"labelspacing": 0.2, "title_fontsize": 8}
)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Return a context, also a decorator, in which matplotlib draws as this library does.

    The colours differ in lightness, so that they are told apart by the colour-blind and in grey;
    PDF and SVG keep text as text.  Also ``sntorch.style``.

    Examples
    --------
    >>> with style():
    ...     axes = Figure().subplots()
    >>> axes.spines["top"].get_visible()
    False
    """
    with matplotlib.rc_context(_RC):
        try:
            yield
        finally:
            # A notebook turns this on with its first figure; undone here, it would not show it.
            interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)


def _png(fig: Any) -> bytes:
    picture = io.BytesIO()
    fig.savefig(picture, format="png")
    return picture.getvalue()


class StyledFigure(Figure):
    """A figure that is in style also when it is saved: the kind of fonts is chosen only then."""

    @style()
    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save the figure in style."""
        super().savefig(fname, **kwargs)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: without pyplot nobody else tells it."""
        return _png(self)


class ShownAxes(Axes):
    """Axes that stand for their whole figure where a cell of a notebook ends with them."""

    def _repr_png_(self) -> bytes:
        return _png(self.figure)


_MANY = (list, tuple, Iterator)  # what analyses of several networks return


@functools.singledispatch
def plot(result: object, ax: Axes | None = None) -> Axes:
    """Return the axes on which the record is drawn, new ones unless they are given.

    Raises
    ------
    ValueError
        If there is no picture of such a record.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(20))
    >>> plot(snt.analysis.jacobian_spectrum(cell, torch.randn(4, 20))).get_xlabel()
    'real part of λ (per step)'
    """
    several = "; plot.figure(*records) draws several" if isinstance(result, _MANY) else ""
    raise ValueError(
        f"result: expected the record of an analysis, got {type(result).__name__}{several}"
    )


@functools.singledispatch
def report(result: object) -> Figure:
    """Return a figure of many panels: of a training run, or of a survey of a network.

    What was not measured, or has no finite number, has no panel.

    Raises
    ------
    ValueError
        If there is no report of such a record.

    Examples
    --------
    >>> import torch
    >>> import sntorch as snt
    >>> epoch, loss = torch.arange(3), torch.tensor([2.0, 1.0, 0.5])
    >>> curves = {"train/loss": loss, "val/loss": loss}
    >>> history = snt.results.TrainingHistory(
    ...     title="digits", epoch=epoch, curves=curves, before={}, after={}
    ... )
    >>> len(snt.plot.report(history).axes)
    1
    """
    known = ", ".join(sorted(kind.__name__ for kind in report.registry if kind is not object))
    raise ValueError(f"result: expected one of {known}, got {type(result).__name__}")


def figure(*results: Result, title: str | None = None) -> Figure:
    """Return a figure with one panel per record, in a row.

    Raises
    ------
    ValueError
        Without any record, and if there is no picture of one of them.

    Examples
    --------
    >>> import sntorch as snt
    >>> cell = snt.SNTCell(snt.couplings.gaussian(10))
    >>> spectrum = snt.analysis.jacobian_spectrum(cell, torch.zeros(10))
    >>> exponents = snt.analysis.lyapunov_spectrum(cell, torch.zeros(10), 50)
    >>> [ax.get_xlabel() for ax in figure(spectrum, exponents).axes]
    ['real part of λ (per step)', 'index']
    """
    if not results:
        raise ValueError("results: expected at least one record, got none")
    with style():
        fig = StyledFigure(figsize=(4.6 * len(results), 3.8))
        for i, result in enumerate(results):
            plot(result, fig.add_subplot(1, len(results), i + 1))
        headline(fig, title)
    return fig


def points(ax: Axes, x: NDArray[Any], y: Any, error: Any, label: str, line: str = "-") -> None:
    """Draw numbers with their standard errors."""
    y, error = array(y).ravel(), np.nan_to_num(finite(error).ravel())
    keep, few = np.isfinite(y), len(y) <= 40
    if keep.any():
        look = {"color": DARK, "marker": "o" if few else ".", "linestyle": line, "elinewidth": 0.9}
        ax.errorbar(x[keep], y[keep], error[keep], label=label, zorder=3, **look)


def histogram(ax: Axes, values: NDArray[Any], label: str, colour: str, fill: bool = True) -> None:
    """Draw a density, or a line where all numbers are one."""
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(values) > 1e-12 * np.abs(values).max():
        bins = min(40, max(5, round(len(values) ** 0.5)))
        density, edges = np.histogram(values, bins, density=True)
        look: dict[str, Any] = {"color": colour, "fill": fill, "linewidth": 0.9}
        ax.stairs(density, edges, label=label or None, **look)
    elif len(values):
        ax.axvline(values[0], color=colour, label=f"{label} (all equal)")


def finish(
    ax: Axes, title: str, data: Any = 0.0, note: str = "", below: Sequence[Axes] = ()
) -> Axes:
    """Put title, note and a legend of all lines above the axes; say so if `data` has no number."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set(size=7)
    ax.yaxis.get_offset_text().set(x=-0.02, ha="right")  # beside the note, not under it
    named: dict[str, Any] = {}
    for each in (ax, *below):
        handles, labels = each.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if not some(data):
        note = "no finite value"
    width = sum(len(label) + 6.5 for label in named)  # in letters; a panel has room for about 54
    columns = len(named) if 0 < width < 54 else 2
    place = {"ncols": columns, "title": note or None}
    legend = ax.legend(list(named.values()), list(named), **place, **_LEGEND)
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            handle.set(alpha=1, markersize=4)
    rows = math.ceil(len(named) / columns) + len(note.splitlines())
    ax.set_title(title, loc="left", pad=5 + 12 * rows)
    return ax


def name_axes(ax: Axes, x: str, y: str, whole: bool = False) -> None:
    """Say what the axes are; `whole` is for an x axis that counts."""
    ax.set(xlabel=x, ylabel=y)
    look = {"integer": True, "min_n_ticks": 1} if whole else {}
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], **look))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def logarithmic(ax: Axes, names: str = "xy") -> None:
    """Make axes logarithmic, both or one, with plain numbers at 1, 2 and 5 of every decade."""
    for name in names:
        ax.set(**{f"{name}scale": "log"})
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def colour_bar(ax: Axes, image: Any, label: str, **look: Any) -> Colorbar:
    """Put a colour bar beside the axes, as high as they are, whatever their proportions."""
    place = ax.inset_axes((1.04, 0, 0.045, 1))
    return ax.figure.colorbar(image, cax=place, label=label, **look)


def headline(fig: Figure, title: str | None) -> None:
    """Put a title over the whole figure."""
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)


def on(ax: Axes | None) -> Axes:
    """Return the axes to draw on, new ones unless they are given."""
    if ax is not None and not isinstance(ax, Axes):
        raise ValueError(f"ax: expected matplotlib Axes or None, got {type(ax).__name__}")
    if ax is None:
        return StyledFigure(figsize=(4.6, 3.8)).add_subplot(axes_class=ShownAxes)
    return ax


def array(values: Any) -> NDArray[Any]:
    """Return numbers as a double precision array."""
    values = torch.as_tensor(values).detach().cpu()
    return values.to(torch.complex128 if values.is_complex() else torch.float64).numpy()


def finite(values: Any) -> NDArray[Any]:
    """Return numbers as an array in which all that is not finite is NaN."""
    values = array(values)
    return np.where(np.isfinite(values), values, np.nan)


def some(values: Any) -> bool:
    """Tell whether there is a finite number."""
    return bool(np.isfinite(array(values)).any())


def mean_of(values: Any) -> float:
    """Return the mean of the finite numbers, NaN if there is none."""
    values = array(values)
    return float(values[np.isfinite(values)].mean()) if some(values) else math.nan


def step_of(result: Result | None) -> str:
    """Return what the rates of a record are per."""
    return time_unit(getattr(result, "dt", 1.0))
