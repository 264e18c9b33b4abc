"""What a figure's points say, and where they lie on it: what a page tells a reader who points at one.

The figure is asked, whatever drew it: its labelled lines with the bands of their colour, its bars with their whiskers,
its clouds of points and the cells of its maps; names of axes, ticks and panels make the words.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memcirc.report.plotting import Axes, Figure, category, collections, colors, containers, ticker

MOST = 2000
"""Of more points a figure tells none: they lie too close to point at one."""
PANEL = "panel-{}"
EDGE = 1e-9
COLOUR_BAR = "<colorbar>"
OF_BARS = "_nolegend_"
"""What matplotlib calls the whiskers that belong to bars."""
NAMING = (ticker.FixedFormatter, ticker.FuncFormatter, category.StrCategoryFormatter)
Words = Callable[[float, float], str]
Told = Iterator[tuple[float, float, str]]


@dataclass(frozen=True)
class Reading:
    """A point of a figure: its place, in the units of its drawing from the upper left corner, and what it says."""

    x: float
    y: float
    text: str


def mark_panels(figure: Figure) -> None:
    """Name the panels, so that they are found in the figure's drawing."""
    for number, axes in enumerate(figure.axes):
        axes.patch.set_gid(PANEL.format(number))


def readings_of(figure: Figure, svg: str) -> tuple[Reading, ...]:
    """The points of a figure of marked panels, in the drawing that was made of it."""
    found: list[Reading] = []
    shown = [axes.get_visible() and axes.get_label() != COLOUR_BAR for axes in figure.axes]
    for number, axes in enumerate(figure.axes):
        place = _place(svg, number)
        if not shown[number] or place is None:
            continue
        title = axes.get_title().replace("\n", " ") if sum(shown) > 1 else ""
        to_panel = axes.transData - axes.transAxes
        names = [_axis_name(axes, which) for which in ("x", "y")]
        for x, y, said in _told(axes, *names):
            across, up = to_panel.transform((x, y))
            if -EDGE <= across <= 1 + EDGE and -EDGE <= up <= 1 + EDGE:  # not where a value is not a number
                found.append(Reading(*place(across, up), _joined(title, said)))
    return tuple(found) if len(found) <= MOST else ()


def _place(svg: str, number: int) -> Callable[[float, float], tuple[float, float]] | None:
    """From shares of a panel's width and height, from its lower left corner, to a place on the drawing."""
    path = re.search(rf'id="{PANEL.format(number)}">\s*<path d="([^"]*)"', svg)
    if path is None:
        return None
    corners = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path[1]), dtype=float)
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    return lambda across, up: (
        round(float(left + across * (right - left)), 1),
        round(float(bottom + up * (top - bottom)), 1),
    )


def _axis_name(axes: Axes, which: str) -> str:
    """What an axis measures; of panels that share it one may say so for all."""
    shared = getattr(axes, f"get_shared_{which}_axes")()
    names = (getattr(each, f"get_{which}label")() for each in (axes, *shared.get_siblings(axes)))
    return next((str(name) for name in names if name), "")


def _told(axes: Axes, x_name: str, y_name: str) -> Told:
    def at(x: float, y: float) -> str:
        return f"{_at(axes.xaxis, x_name, x)}, {_at(axes.yaxis, y_name, y)}"

    for line in axes.lines:
        if _label(line) and line.get_transform() is axes.transData:
            yield from _of_line(line, axes.collections, at)
    for container in axes.containers:
        if isinstance(container, containers.BarContainer):
            yield from _of_bars(container, at)
        elif container.get_label() != OF_BARS:
            places = container.lines[0].get_xydata()
            yield from _with_whiskers(places, container, _label(container), at)
    for part in axes.collections:
        if isinstance(part, collections.QuadMesh):
            yield from _of_cells(part, at)
        elif isinstance(part, collections.PathCollection):
            yield from ((x, y, _joined(_label(part), at(x, y))) for x, y in np.ma.filled(part.get_offsets(), np.nan))


def _of_line(line: Any, drawn: Sequence[Any], at: Words) -> Told:
    """A line's points, each with the ends of the bands of the line's colour."""
    points = np.asarray(line.get_xydata(), dtype=float)
    bands = {}
    for band in drawn:
        if isinstance(band, collections.PolyCollection) and _label(band) and _same_colour(band, line):
            edges = band.get_paths()[0].vertices
            if np.isin(points[:, 0], edges[:, 0]).all():
                bands[_label(band)] = edges
    for x, y in points:
        spans = ((name, edges[edges[:, 0] == x, 1]) for name, edges in bands.items())
        told = (f"; {name} {_number(span.min())} to {_number(span.max())}" for name, span in spans)
        yield x, y, _joined(_label(line), at(x, y)) + "".join(told)


def _of_bars(bars: Any, at: Words) -> Told:
    """The ends of bars, each with those of its whisker."""
    across, up = (0.5, 1.0) if bars.orientation == "vertical" else (1.0, 0.5)
    places = [(bar.get_x() + across * bar.get_width(), bar.get_y() + up * bar.get_height()) for bar in bars.patches]
    yield from _with_whiskers(places, bars.errorbar, _label(bars), at)


def _with_whiskers(places: Any, errorbar: Any, name: str, at: Words) -> Told:
    whiskers = errorbar.lines[2][0].get_segments() if errorbar else [()] * len(places)
    for (x, y), whisker in zip(places, whiskers, strict=True):
        bounds = ""
        if np.shape(whisker) == (2, 2):  # it is not, where an end is not known
            along = int(whisker[0][0] == whisker[1][0])
            bounds = f" ({_number(whisker[0][along])} to {_number(whisker[1][along])})"
        yield x, y, _joined(name, at(x, y)) + bounds


def _of_cells(cells: Any, at: Words) -> Told:
    corners, values = cells.get_coordinates(), np.ma.filled(cells.get_array().astype(float), np.nan)
    middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    for (x, y), value in zip(middles.reshape(-1, 2), values.ravel(), strict=True):
        if np.isfinite(value):
            yield x, y, f"{at(x, y)}: {_number(value)}"


def _same_colour(band: Any, line: Any) -> bool:
    return bool(np.allclose(band.get_facecolor()[0][:3], colors.to_rgb(line.get_color())))


def _label(artist: Any) -> str:
    """What the legend calls it; nothing where it is not in one."""
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _at(axis: Any, name: str, value: float) -> str:
    """A place on an axis in words: those of its tick where ticks have words."""
    told = _number(value)
    if isinstance(axis.get_major_formatter(), NAMING):
        ticks = np.asarray(axis.get_majorticklocs())
        labels = axis.get_major_formatter().format_ticks(ticks)
        told = labels[int(np.abs(ticks - value).argmin())].replace("\n", ", ") if len(labels) else told
    return f"{name} {told}".strip()


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"
