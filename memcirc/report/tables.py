"""Rows of plain values as an aligned text table, or as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from memcirc.report.numbers import number


def text_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Columns aligned with spaces; numbers to the right."""
    cells = [[*columns], *([number(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table in Markdown's pipe syntax."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(number(row.get(name)).replace("|", "\\|") for name in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
