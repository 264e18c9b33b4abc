"""Rows of plain values as an aligned text table, as Markdown, CSV or LaTeX."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from memcirc.report.numbers import number, visible

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}
OBEYED = re.compile(r"[\\`*\[\]<>|]|(?<!\w)_|_(?!\w)")
"""Signs that Markdown takes for more than themselves; an underscore within a word is none."""
UNICODE = {"–": "--", "→": r"$\rightarrow$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$"}


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
    lines += [" | ".join(_in_markdown(number(row.get(name))) for name in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _in_markdown(text: str) -> str:
    """Text that stays in its cell and means nothing to Markdown."""
    return OBEYED.sub(r"\\\g<0>", visible(text).replace("\n", "\\n"))


def csv_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The table with all digits; a line of names first."""
    room = io.StringIO()
    writer = csv.DictWriter(room, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: visible(value) for name, value in row.items()} for row in rows)
    return room.getvalue()


def latex_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], caption: str) -> str:
    """The table as a float with ``booktabs`` rules."""
    textual = [any(isinstance(row.get(name), str) for row in rows) for name in columns]
    lines = [[name.replace("_", " ") for name in columns]]
    lines += [[number(row.get(name)) for name in columns] for row in rows]
    head, *body = (" & ".join(map(escaped, line)) + r" \\" for line in lines)
    sides = "".join("l" if text else "r" for text in textual)
    return "\n".join(
        [
            r"\begin{table}", r"\centering\small", rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", rf"\caption{{{escaped(caption)}}}",
            r"\end{table}", "",
        ]
    )  # fmt: skip


def escaped(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    return "".join(SPECIAL.get(sign, UNICODE.get(sign, sign)) for sign in visible(text).replace("\n", " "))
