"""The figure kit of all pages: their style, colours and panels, heat maps, bars, lines and points."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from memcirc.report.plotting import Axes, ConstrainedLayoutEngine, Figure, style

FOUND, CHANCE, INK, MUTED = "#1b5e8c", "#c26a1a", "#1d2329", "#8a939c"
PALETTE = (FOUND, CHANCE, "#2f8f6b", "#7a4fa3", "#a8324a", MUTED, "#8f7a00", "#2a8fa3")
DIVERGING, RISING = "RdBu_r", "Blues"
Numbers = Sequence[Any] | np.ndarray
P = ParamSpec("P")

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.titlecolor": INK,
    "legend.labelcolor": INK,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "memcirc",
}


def styled(drawn: Callable[P, Figure]) -> Callable[P, Figure]:
    """The function, which draws in the style of the pages."""

    @wraps(drawn)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style(STYLE):
            return drawn(*args, **kwargs)

    return in_style


def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element that scales with the page; the same bytes for the same figure."""
    buffer = io.StringIO()
    with style(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF whose text stays text, with its fonts; the same bytes for the same figure."""
    buffer = io.BytesIO()
    with style(STYLE):
        figure.savefig(buffer, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    return buffer.getvalue()


def panels(
    n: int, width: float = 4.3, height: float = 2.9, columns: int = 2, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A grid of n panels; what is left over is hidden."""
    n_rows = -(-n // columns)
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06)
    figure = Figure(figsize=(width * min(n, columns), height * n_rows), layout=layout)
    grid = figure.subplots(n_rows, min(n, columns), squeeze=False, **options)
    for axes in grid.flat[n:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:n])


def heat(
    axes: Axes,
    matrix: np.ndarray,
    x_labels: Sequence[str],
    y_labels: Sequence[str],
    limits: tuple[float, float],
    colours: str = RISING,
) -> Any:
    """A heat map with a label at each row, the first on top, and each column; what does not exist is grey. Cell (i, j)
    has its middle at (j + 0.5, i + 0.5).

    Args:
        limits: the values of the first and of the last colour.

    Returns:
        what a colour bar needs.
    """
    axes.set_facecolor("#e6e8ea")
    drawn = axes.pcolormesh(
        np.ma.masked_invalid(matrix), cmap=colours, vmin=limits[0], vmax=limits[1], edgecolors="white", linewidth=0.3
    )
    axes.set_ylim(len(y_labels), 0)
    _label(axes.xaxis, x_labels, 90 if max(map(len, x_labels)) > 2 else 0)
    _label(axes.yaxis, y_labels, 0)
    return drawn


def _label(axis: Any, labels: Sequence[str], rotation: int) -> None:
    axis.set_ticks(np.arange(len(labels)) + 0.5, labels, rotation=rotation, fontsize=7)
    axis.set_tick_params(length=0)


@styled
def heat_maps(
    panels: Mapping[str, np.ndarray],
    x_labels: Sequence[str],
    y_labels: Sequence[str],
    x_name: str,
    y_name: str,
    value_name: str,
    columns: int = 3,
    rising: bool = False,
) -> Figure:
    """Matrices side by side on one colour scale, centred on 0 (``rising``: from 0 up); what does not exist is grey."""
    columns = min(columns, len(panels))
    n_rows = -(-len(panels) // columns)
    height = max(1.5, 0.22 * len(y_labels) + 0.8 + 0.045 * max(map(len, x_labels)))
    limit = max((float(np.nanmax(np.abs(m))) for m in panels.values() if np.isfinite(m).any()), default=1.0) or 1.0
    width = min(11.5, columns * max(2.6, 0.24 * len(x_labels) + 1.0) + 0.9)
    figure = Figure(figsize=(width, n_rows * height + 0.3), layout="constrained")
    grid = figure.subplots(n_rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    drawn: Any = None
    for i, (title, matrix) in enumerate(panels.items()):
        axes = grid.flat[i]
        colours = RISING if rising else DIVERGING
        drawn = heat(axes, matrix, x_labels, y_labels, (0.0 if rising else -limit, limit), colours)
        axes.set_title(title, fontsize=9)
        if i % columns == 0:
            axes.set_ylabel(y_name)
        if i // columns == n_rows - 1:
            axes.set_xlabel(x_name)
    figure.colorbar(drawn, ax=list(grid.flat), shrink=0.8, pad=0.01, label=value_name)
    return figure


@styled
def bars(
    values: Mapping[str, float], value_name: str, errors: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Labelled horizontal bars, the first on top, with intervals where they are given."""
    names = list(values)
    figure = Figure(figsize=(6.4, 0.6 + 0.23 * len(names)))
    axes = figure.subplots()
    heights = [values[name] for name in names]
    colours = [FOUND if height >= 0 else CHANCE for height in heights]
    spans = None
    if errors is not None:
        low, high = (np.array([errors[name][i] for name in names]) for i in (0, 1))
        spans = np.abs(np.stack([heights - low, high - heights]))
    axes.barh(names, heights, color=colours, xerr=spans, ecolor=INK, capsize=2)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel(value_name)
    return figure


@styled
def lines(curves: Mapping[str, tuple[Numbers, Numbers]], x_name: str, y_name: str, zero: bool = True) -> Figure:
    """Curves over a common axis."""
    figure = Figure(figsize=(6.4, 3.1))
    axes = figure.subplots()
    for i, (name, (x, y)) in enumerate(curves.items()):
        axes.plot(x, y, color=PALETTE[i % len(PALETTE)], marker="o", markersize=3, label=name)
    if zero:
        axes.axhline(0, color=MUTED, linewidth=0.8)
    if all(float(place).is_integer() for x, _ in curves.values() for place in x):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.legend(frameon=False, fontsize=7.5)
    return figure


@styled
def points(
    panels: Mapping[str, Mapping[str, tuple[Numbers, Numbers]]],
    x_name: str,
    y_name: str,
    diagonal: bool = False,
) -> Figure:
    """Clouds of points, a panel each; ``diagonal`` draws where both axes agree."""
    figure = Figure(figsize=(min(11.5, 3.6 * len(panels)), 3.3), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, clouds) in zip(grid, panels.items(), strict=True):
        for i, (name, (x, y)) in enumerate(clouds.items()):
            axes.scatter(x, y, s=14, color=PALETTE[i % len(PALETTE)], alpha=0.75, label=name, linewidths=0)
        if diagonal:
            values = np.concatenate([np.asarray(v, dtype=float) for cloud in clouds.values() for v in cloud])
            ends = [float(values.min()), float(values.max())]
            axes.plot(ends, ends, color=MUTED, linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set(xlabel=x_name, ylabel=y_name)
        if len(clouds) > 1:
            axes.legend(frameon=False, fontsize=7.5)
    return figure
