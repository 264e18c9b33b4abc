"""The page of a patching study: findings first, then a section an artefact; one self-contained file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape

from memcirc.artifacts import write_text
from memcirc.report.drawing import Drawing
from memcirc.report.findings import Finding


@dataclass(frozen=True)
class TableBlock:
    """Rows of plain values under a title, with a note on how to read them."""

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One artefact: paragraphs, lines shown as they are, figures, tables."""

    title: str
    text: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[TableBlock, ...] = ()
    shown: tuple[str, ...] = ()


def write_page(
    out: Path,
    title: str,
    introduction: Sequence[str],
    findings: Sequence[Finding],
    sections: Sequence[Section],
    statement: Mapping[str, Any],
) -> Path:
    """Write ``out/report.html`` and return its path."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("memcirc.patching"), PackageLoader("memcirc.report")]),
        autoescape=select_autoescape(("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    content = {
        "title": title,
        "introduction": introduction,
        "findings": findings,
        "sections": sections,
        "statement": statement,
    }
    path = out / "report.html"
    write_text(path, environment.get_template("study.html.j2").render(content))
    return path


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
    return str(value)
