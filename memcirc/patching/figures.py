"""Figures of patching studies: faceted heat maps with labelled axes, attention maps, bars, lines, points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, STYLE
from memcirc.report.plotting import Figure, style

DIVERGING, RISING = "RdBu_r", "Blues"
Numbers = Sequence[Any] | np.ndarray
PALETTE = (FOUND, CHANCE, "#2f8f6b", "#7a4fa3", "#a8324a", MUTED)


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
    with style(STYLE):
        figure = Figure(figsize=(width, n_rows * height + 0.3), layout="constrained")
        grid = figure.subplots(n_rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        drawn: Any = None
        for i, (title, matrix) in enumerate(panels.items()):
            axes = grid.flat[i]
            axes.set_facecolor("#e6e8ea")
            drawn = axes.pcolormesh(
                np.ma.masked_invalid(matrix), cmap=RISING if rising else DIVERGING, vmin=0 if rising else -limit,
                vmax=limit, edgecolors="white", linewidth=0.3,
            )  # fmt: skip
            axes.set_title(title, fontsize=9)
            axes.set_ylim(len(y_labels), 0)
            _label(axes.xaxis, x_labels, 90 if max(map(len, x_labels)) > 2 else 0)
            _label(axes.yaxis, y_labels, 0)
            if i % columns == 0:
                axes.set_ylabel(y_name)
            if i // columns == n_rows - 1:
                axes.set_xlabel(x_name)
        figure.colorbar(drawn, ax=list(grid.flat), shrink=0.8, pad=0.01, label=value_name)
    return figure


def _label(axis: Any, labels: Sequence[str], rotation: int) -> None:
    axis.set_ticks(np.arange(len(labels)) + 0.5, labels, rotation=rotation, fontsize=7)
    axis.set_tick_params(length=0)


def bars(
    values: Mapping[str, float], value_name: str, errors: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Labelled horizontal bars, the first on top, with intervals where they are given."""
    names = list(values)
    with style(STYLE):
        figure = Figure(figsize=(6.4, 0.6 + 0.23 * len(names)))
        axes = figure.subplots()
        heights = [values[name] for name in names]
        colours = [FOUND if height >= 0 else CHANCE for height in heights]
        axes.barh(names, heights, color=colours)
        if errors is not None:
            low, high = (np.array([errors[name][i] for name in names]) for i in (0, 1))
            spans = np.abs(np.stack([heights - low, high - heights]))
            axes.errorbar(heights, names, xerr=spans, fmt="none", ecolor=INK, capsize=2)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.invert_yaxis()
        axes.set_xlabel(value_name)
    return figure


def lines(curves: Mapping[str, tuple[Numbers, Numbers]], x_name: str, y_name: str, zero: bool = True) -> Figure:
    """Curves over a common axis."""
    with style(STYLE):
        figure = Figure(figsize=(6.4, 3.1))
        axes = figure.subplots()
        for i, (name, (x, y)) in enumerate(curves.items()):
            axes.plot(x, y, color=PALETTE[i % len(PALETTE)], marker="o", markersize=3, label=name)
        if zero:
            axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set(xlabel=x_name, ylabel=y_name)
        axes.legend(frameon=False, fontsize=7.5)
    return figure


def points(
    panels: Mapping[str, Mapping[str, tuple[Numbers, Numbers]]],
    x_name: str,
    y_name: str,
    diagonal: bool = False,
) -> Figure:
    """Clouds of points, a panel each; ``diagonal`` draws where both axes agree."""
    with style(STYLE):
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
