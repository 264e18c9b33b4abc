"""What the pages of studies are made of: records as tables, matrices as heat maps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from memcirc.report import figures
from memcirc.report.drawing import Drawing, draw
from memcirc.report.sections import TableBlock

Column = str | Callable[[Any], Any]
"""Of a record the attribute of that name, or what a function makes of it."""


def table(records: Iterable[Any], columns: Mapping[str, Column], title: str = "", note: str = "") -> TableBlock:
    """A table with one row for each record, and under each heading what its column gives of the record."""
    rows = [
        {
            heading: column(record) if callable(column) else getattr(record, column)
            for heading, column in columns.items()
        }
        for record in records
    ]
    return TableBlock(tuple(columns), rows, title, note)


def entries(items: Iterable[tuple[Any, Any]], key: str, value: str, title: str = "", note: str = "") -> TableBlock:
    """A table with one row for each pair of a key and a value, under the two headings given."""
    return table(items, {key: itemgetter(0), value: itemgetter(1)}, title, note)


@dataclass(frozen=True)
class Axes:
    """What heat maps side by side have in common: the names of their axes and of their values, the labels along them
    (default: numbers from 0), how many stand in a row, and whether their values rise from 0 (default: either way)."""

    x: str
    y: str
    value: str
    x_labels: Sequence[str] = ()
    y_labels: Sequence[str] = ()
    columns: int = 3
    rising: bool = False


def heat_map(out: Path, name: str, panels: Mapping[str, np.ndarray], axes: Axes, caption: str) -> Drawing:
    """Matrices [y, x] by title, side by side; written to ``out/figures/NAME.svg``."""
    rows, columns = next(iter(panels.values())).shape
    figure = figures.heat_maps(
        panels, axes.x_labels or numbered(columns), axes.y_labels or numbered(rows), axes.x, axes.y, axes.value,
        axes.columns, axes.rising,
    )  # fmt: skip
    return draw(out, name, figure, caption)


def numbered(n: int) -> list[str]:
    """Labels "0" to "n - 1"."""
    return [str(i) for i in range(n)]
